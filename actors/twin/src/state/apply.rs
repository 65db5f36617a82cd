//! Applying a command: total, and the same everywhere.

use super::{PartKey, TwinState};
use crate::limits::REASON_BYTES_MAX;
use crate::stored::v1::{ForecastRecord, TwinCommand};
use serde::{Deserialize, Serialize};
use twinscale_protocol::provisioner::Intent;
use twinscale_protocol::twin::IngestReply;
use twinscale_protocol::{IntentId, PlanNumber};

/// What came of a command. Shards store it: a new kind goes to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApplyResult {
    /// Policy and stack are set; this is their version.
    Configured {
        /// Counts the changes.
        config_version: u64,
    },
    /// Samples are recorded.
    SamplesRecorded(IngestReply),
    /// Events are recorded.
    EventsRecorded(EventsRecorded),
    /// Forecasts are kept.
    ForecastStored,
    /// The turn is counted.
    TurnNoted,
    /// The plan is the target.
    PlanCommitted(PlanNumber),
    /// The intents to carry out, in order: new ones with their identities, and those to retry.
    IntentsCommitted(Vec<Intent>),
    /// Outcomes are noted.
    OutcomesCommitted(OutcomesCommitted),
    /// The observation is kept.
    AllocationObserved,
    /// The twin works again.
    QuarantineLifted,
    /// The command was not applied; the twin goes on.
    Refused(Refusal),
    /// The twin is quarantined, by this command or before.
    Quarantined {
        /// Why.
        reason: String,
    },
    /// The note is kept (schema 2).
    #[cfg(feature = "next-schema")]
    Annotated {
        /// Notes that were ever taken.
        notes_taken: u64,
    },
}

/// What came of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsRecorded {
    /// New ones.
    pub stored: u32,
    /// The same again.
    pub duplicates: u32,
    /// Known ones with another end, or known at another time: replaced.
    pub replaced: u32,
}

/// What came of outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomesCommitted {
    /// Intents that are closed as done.
    pub done: u32,
    /// Intents that are closed as refused.
    pub refused: u32,
    /// Intents that stay open.
    pub unknown: u32,
    /// Outcomes of intents that were closed before.
    pub repeated: u32,
}

/// Why a command was not applied. Shards store it: a new kind goes to the end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The command breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// The state moved on since the plan was asked for.
    #[error(
        "plan {number} of parent {parent} and configuration {config_version} is late: the target is \
         {target} under configuration {current_version}; read the state again and plan again"
    )]
    PlanConflict {
        /// The plan's number.
        number: PlanNumber,
        /// Its parent; 0 = none.
        parent: PlanNumber,
        /// The configuration it was made from.
        config_version: u64,
        /// The target now; 0 = none.
        target: PlanNumber,
        /// The configuration now.
        current_version: u64,
    },
    /// Policy and stack are needed first.
    #[error("twin has no policy and stack yet: configure it first")]
    NotConfigured,
    /// Too many intents are open.
    #[error(
        "{open} intents are open and {wanted} more would pass the limit of {limit}: carry out or \
         close the open ones first"
    )]
    TooManyIntents {
        /// Open now.
        open: usize,
        /// Wanted on top.
        wanted: usize,
        /// The limit.
        limit: usize,
    },
    /// A retry of an intent that is not open.
    #[error("intent {0} is not open: read the state again")]
    IntentNotOpen(IntentId),
    /// The configuration was changed since it was read.
    #[error(
        "configuration {expected} is no longer the current one, which is {current}: read it again and decide again"
    )]
    ConfigChanged {
        /// The version that it was to be of.
        expected: u64,
        /// The version that it is of.
        current: u64,
    },
}

/// Why a command quarantines the twin: state and command disagree about what was committed before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unapplicable {
    /// An outcome of an intent that was never committed.
    #[error("outcome of intent {intent}, but intents end before {next}")]
    UnknownIntent {
        /// The intent.
        intent: IntentId,
        /// The next number to be given.
        next: IntentId,
    },
    /// The identities are used up.
    #[error("identities are used up: next VM {next_vm}, next intent {next_intent}")]
    IdentitiesUsedUp {
        /// The next VM.
        next_vm: u64,
        /// The next intent.
        next_intent: u64,
    },
}

/// Why a command was not applied, in either way.
#[derive(Debug)]
pub(super) enum NotApplied {
    /// The twin goes on.
    Refused(Refusal),
    /// The twin stops.
    Unapplicable(Unapplicable),
}

impl From<Refusal> for NotApplied {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Unapplicable> for NotApplied {
    fn from(reason: Unapplicable) -> Self {
        Self::Unapplicable(reason)
    }
}

/// Makes a refusal of a text.
pub(super) fn invalid(text: impl Into<String>) -> NotApplied {
    NotApplied::Refused(Refusal::Invalid(text.into()))
}

impl TwinState {
    /// Applies a committed command. Total: a command that cannot be applied is refused and changes
    /// nothing, or, where it contradicts what was committed before, quarantines this twin.
    pub fn apply(&mut self, command: TwinCommand) -> ApplyResult {
        if let Some(reason) = &self.meta.quarantine {
            if command == TwinCommand::LiftQuarantine {
                self.meta.quarantine = None;
                self.mark(PartKey::Meta);
                return ApplyResult::QuarantineLifted;
            }
            let reason = reason.clone();
            return ApplyResult::Quarantined { reason };
        }
        match self.apply_sound(command) {
            Ok(result) => result,
            Err(NotApplied::Refused(refusal)) => ApplyResult::Refused(refusal),
            Err(NotApplied::Unapplicable(reason)) => self.set_quarantine(&reason.to_string()),
        }
    }

    /// Quarantines the twin for a reason that lies outside its commands, such as a command whose bytes
    /// cannot be read.
    pub fn set_quarantine(&mut self, reason: &str) -> ApplyResult {
        let mut reason = reason.to_owned();
        let mut end = reason.len().min(REASON_BYTES_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        self.meta.quarantine = Some(reason.clone());
        self.mark(PartKey::Meta);
        ApplyResult::Quarantined { reason }
    }

    fn apply_infeasible_turn(&mut self, at: twinscale_protocol::DomainTime) -> ApplyResult {
        self.note_infeasible(at);
        let counter = &mut self.meta.counters.infeasible_turns;
        *counter = counter.saturating_add(1);
        self.mark(PartKey::Meta);
        ApplyResult::TurnNoted
    }

    fn check_version(&self, expected: u64) -> Result<(), NotApplied> {
        let current = self.meta.config_version;
        if current == expected {
            return Ok(());
        }
        Err(NotApplied::Refused(Refusal::ConfigChanged {
            expected,
            current,
        }))
    }

    fn apply_sound(&mut self, command: TwinCommand) -> Result<ApplyResult, NotApplied> {
        match command {
            TwinCommand::Configure(config) => self.apply_configure(config),
            TwinCommand::RecordSamples { now, groups } => Ok(self.apply_samples(now, groups)),
            TwinCommand::RecordEvents { events } => self.apply_events(events),
            TwinCommand::StoreForecast {
                issued_at,
                surprised,
                forecasts,
                calibrations,
                feedback,
            } => {
                let record = ForecastRecord {
                    issued_at,
                    surprised,
                    forecasts,
                };
                let stored = self.apply_forecast(record, calibrations)?;
                self.apply_feedback(feedback);
                Ok(stored)
            }
            TwinCommand::NoteStaleTurn {
                at,
                surprised,
                forecasts,
                feedback,
            } => {
                let noted = self.apply_stale_turn(ForecastRecord {
                    issued_at: at,
                    surprised,
                    forecasts,
                })?;
                self.apply_feedback(feedback);
                Ok(noted)
            }
            TwinCommand::CommitPlan {
                at,
                config_version,
                plan,
            } => self.apply_plan(at, config_version, plan),
            TwinCommand::NoteInfeasibleTurn { at } => Ok(self.apply_infeasible_turn(at)),
            TwinCommand::CommitIntents {
                at,
                operations,
                held,
            } => {
                let committed = self.apply_intents(at, operations)?;
                self.note_held(at, held);
                Ok(committed)
            }
            TwinCommand::CommitOutcomes { at, outcomes } => self.apply_outcomes(at, outcomes),
            TwinCommand::ObserveAllocation {
                at,
                allocation,
                start_up,
            } => self.apply_observed(at, allocation, start_up),
            TwinCommand::LiftQuarantine => Ok(ApplyResult::QuarantineLifted),
            TwinCommand::ConfigureIf {
                config_version,
                config,
            } => {
                self.check_version(config_version)?;
                self.apply_configure(config)
            }
            #[cfg(feature = "next-schema")]
            TwinCommand::Annotate(note) => self.apply_note(note),
        }
    }
}
