//! The register of weights: which the cluster knows, which it serves, which it compares, and why.
//!
//! Invariants: weights that are active, compared or gone back to are known; at most one comparison is under way,
//! and never of the active weights with themselves; a decision of a comparison names its number, so that one
//! that comes late is refused.

use super::apply::{Change, DONE, SAME};
use super::{MetaState, Refusal};
use crate::limits::{
    CARD_BYTES_MAX, DECISIONS_MAX, ORIGIN_BYTES_MAX, WEIGHTS_BYTES_MAX, WEIGHTS_KNOWN_MAX,
};
use crate::stored::v1::MetaEntry;
use crate::stored::v2::{
    Decision, DecisionKind, Figures, Judged, KnownWeights, Trial, TrialEnd, TrialMode,
    WeightsChoice, WeightsCommand, WeightsNotice, WeightsRecord,
};
use std::fmt;
use twinscale_protocol::WeightsId;

impl MetaState {
    /// The register of weights.
    pub fn weights(&self) -> &WeightsRecord {
        &self.weights
    }

    pub(super) fn apply_weights(&mut self, command: &WeightsCommand, entry: &MetaEntry) -> Change {
        match command {
            WeightsCommand::Register(notice) => self.register(notice, entry),
            WeightsCommand::Drop { weights } => self.drop_weights(weights, entry),
            WeightsCommand::Shadow { weights } => self.shadow(weights, entry),
            WeightsCommand::Promote { weights, judged } => self.promote(weights, *judged, entry),
            WeightsCommand::RollBack { judged } => self.roll_back(*judged, entry),
            WeightsCommand::EndTrial { judged, why } => self.end_trial(*judged, *why, entry),
            WeightsCommand::NoteRetraining(retraining) => {
                let what = DecisionKind::Retrained(retraining.end);
                self.decide(entry, what, retraining.parent.clone(), None);
                DONE
            }
        }
    }

    fn register(&mut self, notice: &WeightsNotice, entry: &MetaEntry) -> Change {
        check_notice(notice)?;
        let known = &self.weights.known;
        let place = match known.binary_search_by(|one| one.notice.id.cmp(&notice.id)) {
            // Another card of the same weights changes nothing.
            Ok(place)
                if known
                    .get(place)
                    .is_some_and(|one| one.notice.digest == notice.digest) =>
            {
                return SAME;
            }
            Ok(_place) => {
                let id = notice.id.clone();
                return Err(Refusal::WeightsNotice { id });
            }
            Err(place) => place,
        };
        if known.len() >= WEIGHTS_KNOWN_MAX {
            return Err(Refusal::TooManyWeights);
        }
        let one = KnownWeights {
            notice: notice.clone(),
            at: entry.at,
            by: entry.by.clone(),
        };
        self.weights.known.insert(place, one);
        let weights = WeightsChoice::Registered(notice.id.clone());
        self.decide(entry, DecisionKind::Registered, weights, None);
        DONE
    }

    fn drop_weights(&mut self, weights: &WeightsChoice, entry: &MetaEntry) -> Change {
        self.check_known(weights)?;
        if *weights == self.weights.active {
            return Err(Refusal::WeightsActive {
                weights: weights.clone(),
            });
        }
        let trial = self.weights.trial.take_if(|one| one.challenger == *weights);
        let before = self.weights.known.len();
        if let WeightsChoice::Registered(id) = weights {
            self.weights.known.retain(|one| one.notice.id != *id);
            self.weights.previous.take_if(|one| *one == *weights);
        }
        if trial.is_none() && self.weights.known.len() == before {
            return SAME;
        }
        self.decide(entry, DecisionKind::Dropped, weights.clone(), None);
        DONE
    }

    fn shadow(&mut self, weights: &WeightsChoice, entry: &MetaEntry) -> Change {
        self.check_known(weights)?;
        if *weights == self.weights.active {
            return Err(Refusal::WeightsActive {
                weights: weights.clone(),
            });
        }
        if let Some(trial) = &self.weights.trial {
            if trial.challenger == *weights && trial.mode == TrialMode::Shadow {
                return SAME;
            }
            return Err(Refusal::TrialUnderWay {
                number: trial.number,
                weights: trial.challenger.clone(),
            });
        }
        self.begin_trial(weights.clone(), TrialMode::Shadow, entry);
        self.decide(entry, DecisionKind::Shadowed, weights.clone(), None);
        DONE
    }

    fn promote(
        &mut self,
        weights: &WeightsChoice,
        judged: Option<Judged>,
        entry: &MetaEntry,
    ) -> Change {
        self.check_known(weights)?;
        if let Some(judged) = judged {
            self.check_trial(judged, TrialMode::Shadow)?;
        }
        if *weights == self.weights.active {
            return SAME;
        }
        let former = std::mem::replace(&mut self.weights.active, weights.clone());
        self.weights.active_since = entry.at;
        self.weights.previous = Some(former.clone());
        self.begin_trial(former, TrialMode::Watch, entry);
        let figures = judged.map(|judged| judged.figures);
        self.decide(entry, DecisionKind::Promoted, weights.clone(), figures);
        DONE
    }

    fn roll_back(&mut self, judged: Option<Judged>, entry: &MetaEntry) -> Change {
        if let Some(judged) = judged {
            self.check_trial(judged, TrialMode::Watch)?;
        }
        let previous = self.weights.previous.take();
        let previous = previous.ok_or(Refusal::NothingBefore)?;
        self.weights.active = previous.clone();
        self.weights.active_since = entry.at;
        self.weights.trial = None;
        let figures = judged.map(|judged| judged.figures);
        self.decide(entry, DecisionKind::RolledBack, previous, figures);
        DONE
    }

    fn end_trial(&mut self, judged: Judged, why: TrialEnd, entry: &MetaEntry) -> Change {
        let mode = match why {
            TrialEnd::Worse | TrialEnd::Undecided => TrialMode::Shadow,
            TrialEnd::WatchOver => TrialMode::Watch,
        };
        self.check_trial(judged, mode)?;
        if let Some(trial) = self.weights.trial.take() {
            let what = DecisionKind::TrialEnded(why);
            self.decide(entry, what, trial.challenger, Some(judged.figures));
        }
        DONE
    }

    fn begin_trial(&mut self, challenger: WeightsChoice, mode: TrialMode, entry: &MetaEntry) {
        self.weights.trials = self.weights.trials.saturating_add(1);
        self.weights.trial = Some(Trial {
            number: self.weights.trials,
            challenger,
            mode,
            since: entry.at,
        });
    }

    fn check_known(&self, weights: &WeightsChoice) -> Result<(), Refusal> {
        match weights {
            WeightsChoice::Shipped => Ok(()),
            WeightsChoice::Registered(id) if self.weights.knows(id) => Ok(()),
            WeightsChoice::Registered(id) => Err(Refusal::UnknownWeights { id: id.clone() }),
        }
    }

    fn check_trial(&self, judged: Judged, mode: TrialMode) -> Result<(), Refusal> {
        let number = judged.trial;
        let trial = self.weights.trial.as_ref();
        if trial.is_some_and(|trial| trial.number == number && trial.mode == mode) {
            return Ok(());
        }
        Err(Refusal::NoSuchTrial { number })
    }

    fn decide(
        &mut self,
        entry: &MetaEntry,
        what: DecisionKind,
        weights: WeightsChoice,
        figures: Option<Figures>,
    ) {
        let record = &mut self.weights;
        record.decided = record.decided.saturating_add(1);
        while record.decisions.len() >= DECISIONS_MAX {
            record.decisions.pop_front();
        }
        record.decisions.push_back(Decision {
            number: record.decided,
            at: entry.at,
            by: entry.by.clone(),
            what,
            weights,
            figures,
        });
    }
}

impl WeightsRecord {
    /// Registered weights.
    pub fn find(&self, id: &WeightsId) -> Option<&KnownWeights> {
        let place = self.known.binary_search_by(|one| one.notice.id.cmp(id));
        self.known.get(place.ok()?)
    }

    /// Whether weights are registered.
    pub fn knows(&self, id: &WeightsId) -> bool {
        self.find(id).is_some()
    }

    /// Whether a command ever changed it.
    pub(crate) fn was_written(&self) -> bool {
        *self != Self::default()
    }

    /// Says what does not hold together.
    pub(crate) fn check(&self) -> Result<(), String> {
        let known = self.known.len();
        let ensure = |holds: bool, what: String| if holds { Ok(()) } else { Err(what) };
        ensure(known <= WEIGHTS_KNOWN_MAX, format!("{known} weights"))?;
        let mut pairs = self.known.iter().zip(self.known.iter().skip(1));
        let sorted = pairs.all(|(one, next)| one.notice.id < next.notice.id);
        ensure(sorted, "weights are not in order".to_owned())?;
        for one in &self.known {
            check_notice(&one.notice).map_err(|refusal| refusal.to_string())?;
        }
        let trial = self.trial.as_ref();
        let used = [
            Some(&self.active),
            self.previous.as_ref(),
            trial.map(|one| &one.challenger),
        ];
        for choice in used.into_iter().flatten() {
            if let WeightsChoice::Registered(id) = choice {
                ensure(self.knows(id), format!("weights {id} are not known"))?;
            }
        }
        let of_itself = trial.is_some_and(|one| one.challenger == self.active);
        ensure(!of_itself, "a trial of the active weights".to_owned())?;
        let numbered = trial.is_none_or(|one| one.number == self.trials);
        ensure(numbered, "number of the trial".to_owned())?;
        let decisions = self.decisions.len();
        ensure(
            decisions <= DECISIONS_MAX,
            format!("{decisions} decisions on weights"),
        )
    }
}

impl WeightsChoice {
    /// The id of registered weights.
    pub fn id(&self) -> Option<&WeightsId> {
        match self {
            Self::Shipped => None,
            Self::Registered(id) => Some(id),
        }
    }

    /// The number that the audit names weights by: that which their id writes in hex.
    pub(super) fn number(&self) -> Option<u64> {
        u64::from_str_radix(self.id()?.as_str(), 16).ok()
    }
}

impl fmt::Display for WeightsChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped => f.write_str("shipped"),
            Self::Registered(id) => id.fmt(f),
        }
    }
}

/// The id that a file with such a digest has.
pub fn id_of_digest(digest: &[u8; 32]) -> Option<WeightsId> {
    let first: [u8; 8] = digest.first_chunk().copied()?;
    WeightsId::new(format!("{:016x}", u64::from_be_bytes(first))).ok()
}

fn check_notice(notice: &WeightsNotice) -> Result<(), Refusal> {
    let summary = &notice.summary;
    let holds = id_of_digest(&notice.digest).as_ref() == Some(&notice.id)
        && (1..=WEIGHTS_BYTES_MAX).contains(&notice.bytes)
        && (1..=CARD_BYTES_MAX).contains(&summary.bytes)
        && summary.origin.len() <= ORIGIN_BYTES_MAX;
    if holds {
        return Ok(());
    }
    Err(Refusal::WeightsNotice {
        id: notice.id.clone(),
    })
}
