//! What schema 2 adds to the stored kinds: the register of weights, its commands, and a snapshot that has it.
//!
//! Invariant: as for version 1, the bytes never change; `golden/v2.txt` holds samples. A state whose register
//! was never written to is stored in version 1 throughout, whatever program stores it: so replicas of two
//! programs hold the same bytes until the first of these commands, which the schema gate lets in, comes.

use super::v1::{By, MetaRecord, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use twinscale_protocol::WeightsId;
use twinscale_protocol::envelope::EnvelopeKind;

/// The whole state, with a register of weights: takes the place of [`super::v1::SNAPSHOT`].
pub const SNAPSHOT: EnvelopeKind = EnvelopeKind(0x0503);

/// The schema number whose commands this module holds.
pub const SCHEMA: u32 = 2;

/// What can happen to the register of weights.
///
/// Invariant: variants are stored by their place, so new ones come last and need a newer schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WeightsCommand {
    /// Makes weights known; nodes fetch them from whoever has them.
    Register(WeightsNotice),
    /// Forgets weights, and ends the trial of them.
    Drop {
        /// Which.
        weights: WeightsChoice,
    },
    /// Has weights forecast in the shadow of the active ones.
    Shadow {
        /// Which.
        weights: WeightsChoice,
    },
    /// Makes weights the active ones; those that were so are watched beside them for a while.
    Promote {
        /// Which.
        weights: WeightsChoice,
        /// What was measured, where a trial decided.
        judged: Option<Judged>,
    },
    /// Makes those active again that were so before.
    RollBack {
        /// What was measured, where a trial decided.
        judged: Option<Judged>,
    },
    /// Ends a trial without a change of the active weights.
    EndTrial {
        /// What was measured.
        judged: Judged,
        /// Why.
        why: TrialEnd,
    },
    /// Notes how a training on the cluster's own history ended.
    NoteRetraining(Retraining),
}

/// What a trial came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The number of the trial.
    pub trial: u64,
    /// What was measured.
    pub figures: Figures,
}

/// Weights as they are made known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsNotice {
    /// Their id: the first 16 hex digits of the digest.
    pub id: WeightsId,
    /// SHA-256 of the file.
    pub digest: [u8; 32],
    /// Length of the file.
    pub bytes: u64,
    /// Their card in short.
    pub summary: CardSummary,
}

/// A card in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardSummary {
    /// SHA-256 of the card.
    pub digest: [u8; 32],
    /// Length of the card.
    pub bytes: u64,
    /// The weights that these were trained further from.
    pub parent: Option<WeightsId>,
    /// Networks in the file.
    pub networks: u16,
    /// Series that were trained on.
    pub series: u32,
    /// The lowest validation loss of its networks, in millionths.
    pub validation_loss: Option<u32>,
    /// Where the data came from, in short.
    pub origin: String,
}

/// Weights that nodes may serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WeightsChoice {
    /// Those that a node's program was started with.
    #[default]
    Shipped,
    /// Registered ones.
    Registered(WeightsId),
}

/// All that is kept of weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsRecord {
    /// Weights that are known, ascending by id.
    pub known: Vec<KnownWeights>,
    /// What nodes serve.
    pub active: WeightsChoice,
    /// Since when.
    pub active_since: UnixMillis,
    /// What they served before, while that can be gone back to.
    pub previous: Option<WeightsChoice>,
    /// The comparison under way.
    pub trial: Option<Trial>,
    /// Comparisons that ever began: the number of the last one.
    pub trials: u64,
    /// Decisions that were ever taken.
    pub decided: u64,
    /// The newest of them, ascending.
    pub decisions: VecDeque<Decision>,
}

/// Weights that are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownWeights {
    /// As they were made known.
    pub notice: WeightsNotice,
    /// When.
    pub at: UnixMillis,
    /// By whom.
    pub by: By,
}

/// A comparison of a challenger with the active weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Its number, from 1.
    pub number: u64,
    /// Who forecasts in the shadow.
    pub challenger: WeightsChoice,
    /// What it is for.
    pub mode: TrialMode,
    /// Since when.
    pub since: UnixMillis,
}

/// What a comparison is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrialMode {
    /// Whether the challenger is to become active.
    Shadow,
    /// Whether the weights that were active before are to become so again.
    Watch,
}

/// Something that was decided about weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Its number, from 1.
    pub number: u64,
    /// When.
    pub at: UnixMillis,
    /// By whom.
    pub by: By,
    /// What.
    pub what: DecisionKind,
    /// About which weights.
    pub weights: WeightsChoice,
    /// What was measured, where that decided.
    pub figures: Option<Figures>,
}

/// What was decided.
///
/// Invariant: variants are stored by their place, so new ones come last and need a newer schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DecisionKind {
    /// The weights became known.
    Registered,
    /// They were forgotten.
    Dropped,
    /// They forecast in the shadow.
    Shadowed,
    /// They became active.
    Promoted,
    /// They became active again.
    RolledBack,
    /// The comparison with them ended without a change.
    TrialEnded(TrialEnd),
    /// A training that began from them ended.
    Retrained(RetrainingEnd),
}

/// Why a comparison ended without a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrialEnd {
    /// The challenger is worse.
    Worse,
    /// It took too long to tell.
    Undecided,
    /// Nothing in the time of the watch spoke for going back.
    WatchOver,
}

/// How a training on the cluster's own history ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retraining {
    /// The weights that it began from.
    pub parent: WeightsChoice,
    /// How it ended.
    pub end: RetrainingEnd,
}

/// How a training ended.
///
/// Invariant: variants are stored by their place, so new ones come last and need a newer schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetrainingEnd {
    /// It brought weights whose validation loss is lower, and submitted them.
    Submitted,
    /// The validation loss is not lower: nothing was submitted.
    NotBetter,
    /// It failed; the log of the node that ran it says why.
    Failed,
    /// It was ended since it took too long.
    TimedOut,
}

/// What a comparison measured. All shares are in millionths, so that replicas keep the same bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Series with forecasts of both.
    pub series: u32,
    /// Forecasts that were compared.
    pub forecasts: u64,
    /// Steps of these whose truth is known.
    pub steps: u64,
    /// Time from the first to the last compared step, in seconds.
    pub span_s: u64,
    /// The challenger's loss over that of the active weights: the mean over series.
    pub ratio: u32,
    /// Lower end of its 95 % interval.
    pub ratio_low: u32,
    /// Upper end of its 95 % interval.
    pub ratio_high: u32,
    /// Share of truths within the challenger's 80 % and 90 % intervals.
    pub coverage: [u32; 2],
    /// The same of the active weights.
    pub coverage_active: [u32; 2],
}

/// A state with a register of weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaRecordV2 {
    /// The register.
    pub weights: WeightsRecord,
    /// The rest, as it was without.
    pub rest: MetaRecord,
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
