//! The scenario `actors`: each kind of actor is felled in the middle of a replay, and nobody may notice.
//!
//! A round replays sample customers on a node of its own while one strike per kind falls at a step, in a
//! way and after a delay that the seed picks. Its report, its decisions and the provider's bills must be
//! those of the undisturbed replay; every sample must be there once; the provider's ledger must agree
//! with what the twins committed.

use std::fmt::{self, Display};
use std::time::Duration;

use clap::ValueEnum as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use twinscale::workload::ReplayCustomer;

use crate::error::ChaosError;
use crate::replayed::{ReplayCase, ReplayOutcome, short_samples};
use crate::strike::{Blow, Strike, Victim};

/// Customers of the replay.
const CUSTOMERS: usize = 3;

/// Steps of the replay: the warm-up day, and the scored ones behind it.
const STEPS: usize = 36;

/// Strikes fall from the second step on, and leave the last three for two reconcile periods.
const STRIKE_STEPS: std::ops::Range<usize> = 1..STEPS - 3;

/// Longest delay after the begin of a step: strikes fall into its turns, between them, and behind them.
const DELAY_US_MAX: u64 = 60_000;

/// Violations that a verdict names.
const NAMED_MAX: usize = 20;

/// The version of the JSON form.
const VERDICT_VERSION: u32 = 1;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct ActorsOptions {
    /// How many replays with strikes.
    pub rounds: u32,
    /// Picks steps, blows and delays, and is the node's seed.
    pub seed: u64,
    /// Fell only actors of this kind, as many times as there are kinds.
    pub only: Option<ActorKind>,
}

/// A kind of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum ActorKind {
    /// One per customer.
    Twin,
    /// One per node.
    Forecaster,
    /// One per node.
    Optimizer,
    /// One per node.
    Provisioner,
}

/// What the scenario found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActorsVerdict {
    /// The version of this form.
    pub version: u32,
    /// The scenario's name.
    pub scenario: &'static str,
    /// The seed that replays it, up to the timing of the machine.
    pub seed: u64,
    /// Replays with strikes.
    pub rounds: u32,
    /// Strikes dealt.
    pub strikes: u64,
    /// Actors that were back under a new id.
    pub recovered: u64,
    /// Median system time until an actor was back, in milliseconds.
    pub recovery_p50_ms: u64,
    /// Longest system time until an actor was back, in milliseconds.
    pub recovery_max_ms: u64,
    /// The first promises that did not hold.
    pub violations: Vec<String>,
    /// Every actor came back, and nothing else changed.
    pub passed: bool,
}

/// Runs the scenario.
///
/// # Errors
/// When the undisturbed replay does not run.
pub fn run_actors(options: &ActorsOptions) -> Result<ActorsVerdict, ChaosError> {
    let customers = short_samples(CUSTOMERS, STEPS)?;
    let undisturbed = ReplayCase::undisturbed(options.seed)?;
    let expected = undisturbed.run(&customers)?;
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let mut recoveries = Vec::new();
    let mut violations: Vec<String> = expected
        .violations
        .iter()
        .map(|text| format!("undisturbed: {text}"))
        .collect();
    let mut strikes = 0;
    for round in 0..options.rounds {
        let case = ReplayCase {
            strikes: pick(&mut random, options.only, customers.len()),
            ..undisturbed.clone()
        };
        strikes += case.strikes.len() as u64;
        let found = run_round(&case, &customers, &expected, &mut recoveries);
        violations.extend(
            found
                .into_iter()
                .map(|text| format!("round {round}: {text}")),
        );
    }
    recoveries.sort_unstable();
    let at = |place: usize| recoveries.get(place).copied().map_or(0, millis);
    let recovered = recoveries.len() as u64;
    let passed = violations.is_empty() && recovered == strikes && strikes > 0;
    violations.truncate(NAMED_MAX);
    Ok(ActorsVerdict {
        version: VERDICT_VERSION,
        scenario: "actors",
        seed: options.seed,
        rounds: options.rounds,
        strikes,
        recovered,
        recovery_p50_ms: at(recoveries.len() / 2),
        recovery_max_ms: at(recoveries.len().saturating_sub(1)),
        violations,
        passed,
    })
}

/// Says what differs from the undisturbed replay; a replay that stops is such a difference.
fn run_round(
    case: &ReplayCase,
    customers: &[ReplayCustomer],
    expected: &ReplayOutcome,
    recoveries: &mut Vec<Duration>,
) -> Vec<String> {
    let found = match case.run(customers) {
        Ok(found) => found,
        Err(error) => return vec![format!("{}, under {:?}", error.chain(), case.strikes)],
    };
    recoveries.extend(found.felt.iter().map(|felt| felt.recovery));
    let mut violations = found.violations.clone();
    violations.extend(differences(customers, expected, &found));
    if !violations.is_empty() {
        violations.push(format!("strikes were {:?}", case.strikes));
    }
    violations
}

/// Says where the outcome of a replay is not what another one's is.
pub fn differences(
    customers: &[ReplayCustomer],
    expected: &ReplayOutcome,
    found: &ReplayOutcome,
) -> Vec<String> {
    let mut differences = Vec::new();
    let pairs = expected.decisions.iter().zip(&found.decisions);
    let other = pairs.clone().find(|(expected, found)| expected != found);
    if let Some((decision, _)) = other {
        let name = customers
            .get(decision.customer)
            .map(|one| one.customer.to_string())
            .unwrap_or_default();
        differences.push(format!(
            "customer {name} decided or saw something else in step {}",
            decision.step
        ));
    }
    if expected.decisions.len() != found.decisions.len() {
        differences.push(format!(
            "{} turns instead of {}",
            found.decisions.len(),
            expected.decisions.len()
        ));
    }
    let replayed = expected.replayed.customers.iter();
    for (one, (expected, found)) in customers
        .iter()
        .zip(replayed.zip(&found.replayed.customers))
    {
        if expected.vms != found.vms || expected.bill != found.bill {
            differences.push(format!("customer {} has another bill", one.customer));
        }
        if expected.failures != found.failures {
            differences.push(format!(
                "customer {} has the failures {:?}",
                one.customer, found.failures
            ));
        }
    }
    if expected.json != found.json {
        differences.push("the report is another one".to_owned());
    }
    differences
}

/// One strike per kind of actor, or as many at the one kind, at steps that the seed picks.
fn pick(random: &mut ChaCha8Rng, only: Option<ActorKind>, customers: usize) -> Vec<Strike> {
    let kinds = ActorKind::value_variants().iter();
    kinds
        .map(|kind| Strike {
            step: random.random_range(STRIKE_STEPS),
            victim: match only.unwrap_or(*kind) {
                ActorKind::Twin => Victim::Twin(random.random_range(0..customers.max(1))),
                ActorKind::Forecaster => Victim::Forecaster,
                ActorKind::Optimizer => Victim::Optimizer,
                ActorKind::Provisioner => Victim::Provisioner,
            },
            blow: if random.random_bool(0.5) {
                Blow::Panic
            } else {
                Blow::Kill
            },
            delay: Duration::from_micros(random.random_range(0..=DELAY_US_MAX)),
        })
        .collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Display for ActorsVerdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: {} after {} strikes in {} rounds (seed {})\n  back under a new id {}, recovery p50 {} \
             ms, longest {} ms",
            self.scenario,
            if self.passed { "passed" } else { "FAILED" },
            self.strikes,
            self.rounds,
            self.seed,
            self.recovered,
            self.recovery_p50_ms,
            self.recovery_max_ms,
        )?;
        for violation in &self.violations {
            write!(formatter, "\n  {violation}")?;
        }
        Ok(())
    }
}
