//! Policies on traces that they were not trained on: what they ask for, and whether they may act.

use crate::bootstrap::{Draws, Interval, interval};
use crate::environment::{Choosing, Setting};
use crate::gate::{Evidence, Verdict, judge};
use crate::guard::{Guard, KEEP, Ladder};
use crate::off_policy::{Estimate, Log, SavingsModel, estimate, log};
use crate::policies::{Exploring, PolicyError, Shifted, StochasticPolicy};
use crate::trace::Trace;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Traces, prices and guard of an evaluation; `folds` has the fold of each trace.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// All traces.
    pub traces: &'a [Trace],
    /// The prices.
    pub ladder: &'a Ladder,
    /// How far a policy may go.
    pub guard: &'a Guard,
    /// The fold of each trace: its policy was trained on the other folds.
    pub folds: &'a [usize],
}

impl<'a> Field<'a> {
    fn on(&self, trace: &'a Trace, operator: usize) -> Setting<'a> {
        Setting {
            trace,
            ladder: self.ladder,
            guard: self.guard,
            operator,
        }
    }
}

/// One policy per fold.
pub type ByFold<'a> = &'a [&'a dyn StochasticPolicy];

fn of_fold(policies: ByFold<'_>, fold: usize) -> Result<&dyn StochasticPolicy, PolicyError> {
    let policy = policies.get(fold).or(policies.last()).copied();
    policy.ok_or_else(|| PolicyError::Failed {
        cause: "there is none".to_owned(),
    })
}

/// What policies decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// VMs asked for. Shape `[trace][operator][step]`.
    pub desired: Vec<Vec<Vec<u32>>>,
    /// Share of the steps in which the operator's setting was left.
    pub moved: f64,
}

/// What the policies ask for on every trace at every operator's price.
///
/// # Errors
/// [`PolicyError`] of a policy.
pub fn decisions(field: &Field<'_>, policies: ByFold<'_>) -> Result<Decided, PolicyError> {
    let (mut moved, mut steps) = (0_usize, 0_usize);
    let mut all = Vec::with_capacity(field.traces.len());
    for (trace, fold) in field.traces.iter().zip(field.folds) {
        let policy = of_fold(policies, *fold)?;
        let mut by_price = Vec::with_capacity(field.ladder.len());
        for operator in 0..field.ladder.len() {
            let setting = field.on(trace, operator);
            let run = setting.run(policy, &setting.states(), &mut Choosing::Likeliest)?;
            moved += run.shifts.iter().filter(|shift| **shift != KEEP).count();
            steps += run.shifts.len();
            by_price.push(run.desired);
        }
        all.push(by_price);
    }
    Ok(Decided {
        desired: all,
        moved: moved as f64 / (steps.max(1) as f64),
    })
}

/// Operator's prices that decisions are logged at unless others are asked for: what operators may want.
/// Above them a handful of misses decides.
pub const LOGGED_PRICES: [f64; 5] = [1.0, 4.0, 16.0, 64.0, 256.0];
/// Share of the logged decisions that is uniform unless another is asked for.
pub const EXPLORED: f64 = 0.5;

/// How decisions are logged and judged.
#[derive(Clone, Debug, PartialEq)]
pub struct OffPolicyOptions {
    /// Operator's prices to judge at, as settings.
    pub operators: Vec<usize>,
    /// Share of the logged decisions that is uniform over what is allowed; the rest keeps the operator's.
    pub explored: f64,
    /// Root of the behaviour's randomness.
    pub seed: u64,
    /// How intervals are drawn.
    pub draws: Draws,
}

impl OffPolicyOptions {
    /// Logs at those of [`LOGGED_PRICES`] that the ladder has.
    pub fn with_seed(ladder: &Ladder, seed: u64) -> Self {
        let is_logged = |setting: &usize| LOGGED_PRICES.contains(&ladder.price(*setting));
        Self {
            operators: (0..ladder.len()).filter(is_logged).collect(),
            explored: EXPLORED,
            seed,
            draws: Draws::default(),
        }
    }
}

/// Money saved as a share of the operator's, by suite and price, on traces of other folds than the
/// policies'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OffPolicyRow {
    /// The suite.
    pub suite: String,
    /// The operator's price; `None` = all prices together, each with the same weight.
    pub price: Option<f64>,
    /// By running the policy on the trace: possible since demand does not depend on decisions.
    pub replayed: Option<Interval>,
    /// By importance weights.
    pub weighted: Option<Interval>,
    /// By importance weights that sum to the number of steps.
    pub self_normalised: Option<Interval>,
    /// Doubly robust.
    pub doubly_robust: Option<Interval>,
    /// Share of the logged steps that the weights are worth.
    pub effective: f64,
    /// The gate's answer; given for all prices together.
    pub verdict: Option<Verdict>,
}

/// One trace at one price.
struct Row {
    trace: usize,
    operator: usize,
    operator_money: f64,
    replayed: f64,
    estimate: Estimate,
    steps: f64,
}

/// Logs decisions, estimates what the policies would have saved, and judges.
///
/// Memory: the logs of all traces at one price, about 200 bytes a step.
///
/// # Errors
/// [`PolicyError`] of a policy.
pub fn off_policy(
    field: &Field<'_>,
    policies: ByFold<'_>,
    options: &OffPolicyOptions,
) -> Result<Vec<OffPolicyRow>, PolicyError> {
    let mut rows = Vec::new();
    for operator in &options.operators {
        rows.extend(at_price(field, policies, options, *operator)?);
    }
    let mut suites: Vec<&str> = Vec::new();
    for trace in field.traces {
        let suite = trace.demand().suite.as_str();
        if !suites.contains(&suite) {
            suites.push(suite);
        }
    }
    let mut table = Vec::new();
    for suite in suites {
        let of_suite = |row: &&Row| field.traces[row.trace].demand().suite == suite;
        for operator in &options.operators {
            let some = rows.iter().filter(of_suite);
            let some: Vec<&Row> = some.filter(|row| row.operator == *operator).collect();
            let price = Some(field.ladder.price(*operator));
            table.push(summed(field, suite, price, &some, options));
        }
        let all: Vec<&Row> = rows.iter().filter(of_suite).collect();
        table.push(summed(field, suite, None, &all, options));
    }
    Ok(table)
}

fn at_price(
    field: &Field<'_>,
    policies: ByFold<'_>,
    options: &OffPolicyOptions,
    operator: usize,
) -> Result<Vec<Row>, PolicyError> {
    let behaviour = Exploring {
        policy: Shifted { shift: KEEP },
        share: options.explored,
    };
    let logs = (0..)
        .zip(field.traces)
        .map(|(number, trace)| {
            let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
            rng.set_stream((number << 8) | operator as u64);
            log(&field.on(trace, operator), &behaviour, &mut rng)
        })
        .collect::<Result<Vec<Log>, _>>()?;
    let used: BTreeSet<usize> = field.folds.iter().copied().collect();
    let mut rows = Vec::new();
    for fold in used {
        let policy = of_fold(policies, fold)?;
        let others = logs.iter().zip(field.folds);
        let model = SavingsModel::fit(
            others
                .filter(|(_, other)| **other != fold)
                .map(|(log, _)| log),
        );
        let members = logs.iter().zip(field.folds).enumerate();
        for (number, (log, _)) in members.filter(|(_, (_, of))| **of == fold) {
            let setting = field.on(&field.traces[number], operator);
            let run = setting.run(policy, &log.states, &mut Choosing::Likeliest)?;
            let steps = log.saved.len().max(1) as f64;
            let paid: f64 = setting.money(&run.desired).iter().sum::<f64>() / steps;
            rows.push(Row {
                trace: number,
                operator,
                operator_money: log.operator_money,
                replayed: log.operator_money - paid,
                estimate: estimate(log, policy, &model)?,
                steps,
            });
        }
    }
    Ok(rows)
}

fn summed(
    field: &Field<'_>,
    suite: &str,
    price: Option<f64>,
    rows: &[&Row],
    options: &OffPolicyOptions,
) -> OffPolicyRow {
    let customers: Vec<&str> = rows
        .iter()
        .map(|row| field.traces[row.trace].demand().customer.as_str())
        .collect();
    let share = |saved: &dyn Fn(&Row) -> f64| {
        let statistic = |drawn: &[usize]| {
            let mut by_price: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
            for row in drawn {
                let row = rows[*row];
                let sums = by_price.entry(row.operator).or_default();
                sums.0 += saved(row);
                sums.1 += row.operator_money;
            }
            let shares = by_price.values().map(|(saved, money)| saved / money);
            (!by_price.is_empty()).then(|| shares.sum::<f64>() / (by_price.len() as f64))
        };
        interval(&customers, &options.draws, &statistic)
    };
    let replayed = share(&|row| row.replayed);
    let doubly_robust = share(&|row| row.estimate.doubly_robust);
    let steps: f64 = rows.iter().map(|row| row.steps).sum();
    let effective: f64 = rows.iter().map(|row| row.estimate.effective_steps).sum();
    let effective = effective / steps.max(1.0);
    let evidence = Evidence {
        effective,
        customers: customers.iter().collect::<BTreeSet<_>>().len(),
        advantages: &[replayed, doubly_robust],
    };
    OffPolicyRow {
        suite: suite.to_owned(),
        price,
        replayed,
        weighted: share(&|row| row.estimate.weighted),
        self_normalised: share(&|row| row.estimate.self_normalised),
        doubly_robust,
        effective,
        verdict: price.is_none().then(|| judge(&evidence)),
    }
}
