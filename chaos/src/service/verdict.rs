//! What the scenario found.

use std::fmt::{self, Display};
use std::time::Duration;

use serde::Serialize;
use twinscale::load::verify::Verified;

use super::ServiceOptions;
use super::struck::ActorsUnderLoad;
use crate::error::ChaosError;

/// The version of the JSON form.
const VERDICT_VERSION: u32 = 1;

/// Violations that a verdict names.
const NAMED_MAX: usize = 20;

/// The outcome, for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceVerdict {
    /// The version of this form.
    pub version: u32,
    /// The scenario's name.
    pub scenario: &'static str,
    /// What befell the daemon.
    pub fault: &'static str,
    /// The seed that replays it, up to the timing of the machine.
    pub seed: u64,
    /// Blows dealt.
    pub blows: u64,
    /// Samples that were acknowledged to the client, by its own list.
    pub acknowledged: u64,
    /// Of these, stored with the value that was sent.
    pub stored: u64,
    /// Of these, missing at some look.
    pub lost: u64,
    /// Of these, stored with another value at some look.
    pub altered: u64,
    /// Read back more than once at some look.
    pub doubled: u64,
    /// Stored without an acknowledgement that arrived: allowed.
    pub unacknowledged: u64,
    /// Looks at everything that was acknowledged.
    pub audits: u64,
    /// How often the daemon ended by itself, with an exit code that says that it failed.
    pub ended_by_itself: u64,
    /// Failed syncs of the kernel that the daemon met as a read-only file system.
    pub turned_read_only: u64,
    /// Median time from its start to readiness, in milliseconds.
    pub recovery_p50_ms: u64,
    /// Longest time from its start to readiness, in milliseconds.
    pub recovery_max_ms: u64,
    /// Longest time from room on the disk to readiness, in milliseconds.
    pub resumed_max_ms: u64,
    /// Customers whose counts do not fit their samples.
    pub miscounted: Vec<String>,
    /// The first samples that are not as they should be.
    pub examples: Vec<String>,
    /// What befell its actors, where they were struck.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actors: Option<ActorsUnderLoad>,
    /// Why the daemon did not come back, or did not do what it should.
    pub failure: Option<String>,
    /// Nothing was lost, doubled or altered, and the daemon did what it should.
    pub passed: bool,
    #[serde(skip)]
    pub(super) recoveries: Vec<Duration>,
    #[serde(skip)]
    pub(super) resumed: Vec<Duration>,
}

impl ServiceVerdict {
    pub(super) fn new(options: &ServiceOptions) -> Self {
        Self {
            version: VERDICT_VERSION,
            scenario: "service",
            fault: options.fault.name(),
            seed: options.seed,
            blows: 0,
            acknowledged: 0,
            stored: 0,
            lost: 0,
            altered: 0,
            doubled: 0,
            unacknowledged: 0,
            audits: 0,
            ended_by_itself: 0,
            turned_read_only: 0,
            recovery_p50_ms: 0,
            recovery_max_ms: 0,
            resumed_max_ms: 0,
            miscounted: Vec::new(),
            examples: Vec::new(),
            actors: None,
            failure: None,
            passed: false,
            recoveries: Vec::new(),
            resumed: Vec::new(),
        }
    }

    /// Takes over what a look found; a violation once seen stays.
    pub(super) fn note(&mut self, found: &Verified) {
        self.audits += 1;
        self.acknowledged = found.acknowledged;
        self.stored = found.stored;
        self.unacknowledged = found.unacknowledged;
        self.lost = self.lost.max(found.lost);
        self.altered = self.altered.max(found.altered);
        self.doubled = self.doubled.max(found.doubled);
        let room = NAMED_MAX.saturating_sub(self.examples.len());
        self.examples
            .extend(found.examples.iter().take(room).cloned());
    }

    /// Notes a failure of the product; says whether going on proves nothing more.
    pub(super) fn blame(&mut self, outcome: Result<(), ChaosError>) -> Result<bool, ChaosError> {
        match outcome {
            Ok(()) => Ok(!self.is_sound()),
            Err(error) if error.is_of_product() => {
                self.failure.get_or_insert(error.chain());
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    fn is_sound(&self) -> bool {
        self.lost == 0
            && self.altered == 0
            && self.doubled == 0
            && self.miscounted.is_empty()
            && self.failure.is_none()
            && self.actors.as_ref().is_none_or(ActorsUnderLoad::is_sound)
    }

    pub(super) fn conclude(mut self) -> Self {
        self.recoveries.sort_unstable();
        let middle = self.recoveries.len() / 2;
        self.recovery_p50_ms = self.recoveries.get(middle).copied().map_or(0, millis);
        self.recovery_max_ms = self.recoveries.last().copied().map_or(0, millis);
        self.resumed_max_ms = self.resumed.iter().max().copied().map_or(0, millis);
        self.miscounted.truncate(NAMED_MAX);
        // A run that acknowledged nothing has shown nothing.
        self.passed = self.is_sound() && self.acknowledged > 0 && self.stored == self.acknowledged;
        self
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Display for ServiceVerdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.passed { "passed" } else { "FAILED" };
        writeln!(
            formatter,
            "service {}: {outcome} after {} blows (seed {})",
            self.fault, self.blows, self.seed
        )?;
        writeln!(
            formatter,
            "  acknowledged {}, stored {}; lost {}, altered {}, doubled {}, miscounted {}; stored \
             without acknowledgement {}; {} looks at everything",
            self.acknowledged,
            self.stored,
            self.lost,
            self.altered,
            self.doubled,
            self.miscounted.len(),
            self.unacknowledged,
            self.audits
        )?;
        write!(
            formatter,
            "  ready after a start: median {} ms, longest {} ms; after room on the disk: longest {} ms; \
             ended by itself {} times, read-only {} times",
            self.recovery_p50_ms,
            self.recovery_max_ms,
            self.resumed_max_ms,
            self.ended_by_itself,
            self.turned_read_only
        )?;
        if let Some(actors) = &self.actors {
            write!(formatter, "\n{actors}")?;
        }
        if let Some(reason) = &self.failure {
            write!(formatter, "\n  failed: {reason}")?;
        }
        for example in self.miscounted.iter().chain(&self.examples) {
            write!(formatter, "\n  {example}")?;
        }
        Ok(())
    }
}
