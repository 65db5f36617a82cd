//! A state in parts, so that a command rewrites in the store only what it changed.
//!
//! Keys are those of `twinscale-store`: versioned, by customer, then a kind and numbers that sort.

use super::TwinState;
use crate::observations::{BlockKey, Resolution, Touched};
#[cfg(not(feature = "next-schema"))]
use crate::stored::v1::META;
use crate::stored::v1::{
    ALLOCATION, AllocationRecord, BLOCK, BlockRecord, CALIBRATION, CONFIG, CalibrationRecord,
    EVENTS, FEEDBACK, FORECAST, INTENTS, IntentsRecord, KINDS, PLAN, SERIES, SeriesRecord,
};
use std::collections::BTreeSet;
use twinscale_protocol::envelope::{self, EnvelopeError};
use twinscale_protocol::{CustomerId, DomainTime, PlanNumber};
use twinscale_store::{StoreError, customer_key};

/// What every key of a twin starts with.
pub(crate) const KEYS_PREFIX: &[u8] = b"/v1/customer/";

/// Names one part of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartKey {
    /// Counters, quarantine, chain head, next identities.
    Meta,
    /// Policy, stack, interval, horizon.
    Config,
    /// A series, by number.
    Series(u32),
    /// A block of a series: number, code of the resolution, first time.
    Block(u32, u8, DomainTime),
    /// Events.
    Events,
    /// The newest forecasts.
    Forecast,
    /// The calibration of a series, by its number.
    Calibration(u32),
    /// A plan.
    Plan(PlanNumber),
    /// Observed allocation.
    Allocation,
    /// Open intents.
    Intents,
    /// What steps are judged by, and what came of it.
    Feedback,
    /// The newest notes.
    #[cfg(feature = "next-schema")]
    Notes,
}

/// A part with its new value; `None` = it is gone.
pub type PartChange = (PartKey, Option<Vec<u8>>);

/// Why stored parts are no state.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A key that this program does not write.
    #[error(
        "stored key {key} is of no known form: upgrade this node, or set the store aside so that it is \
         rebuilt from the log"
    )]
    Key {
        /// The key, escaped.
        key: String,
    },
    /// A value that cannot be read.
    #[error(
        "twin `{customer}`: stored {part:?} cannot be read: set the store aside so that it is rebuilt \
         from the log"
    )]
    Value {
        /// Whose twin.
        customer: CustomerId,
        /// Which part.
        part: PartKey,
        /// Why.
        #[source]
        source: EnvelopeError,
    },
    /// A value that does not fit the others.
    #[error(
        "twin `{customer}`: stored {part:?} does not fit: {reason}; set the store aside so that it is \
         rebuilt from the log"
    )]
    Inconsistent {
        /// Whose twin.
        customer: CustomerId,
        /// Which part.
        part: PartKey,
        /// What does not fit.
        reason: &'static str,
    },
}

impl RestoreError {
    /// Says whether rebuilding the store from the log helps; for a newer program's store it must not be
    /// tried.
    pub fn needs_rebuild(&self) -> bool {
        match self {
            Self::Value { source, .. } => match source {
                EnvelopeError::Newer { .. } => false,
                // Whole, and of a layout that a newer program gave this part.
                EnvelopeError::Kind { found, .. } => !KINDS.contains(found),
                _ => true,
            },
            Self::Inconsistent { .. } => true,
            Self::Key { .. } => false,
        }
    }
}

impl PartKey {
    /// The key under which the store keeps the part.
    ///
    /// # Errors
    /// [`StoreError`] for a customer id that no key may be made of, which the id's own rule prevents.
    pub fn to_key(self, customer: &CustomerId) -> Result<Vec<u8>, StoreError> {
        let key = |kind| customer_key(customer.as_str(), kind);
        Ok(match self {
            Self::Meta => key("meta")?,
            Self::Config => key("config")?,
            Self::Series(number) => key("series")?.number(u64::from(number)),
            Self::Block(number, resolution, at) => key("block")?
                .number(u64::from(number))
                .number(u64::from(resolution))
                .signed(at.0),
            Self::Events => key("events")?,
            Self::Forecast => key("forecast")?,
            Self::Calibration(number) => key("calibration")?.number(u64::from(number)),
            Self::Plan(number) => key("plan")?.number(number.0),
            Self::Allocation => key("allocation")?,
            Self::Intents => key("intents")?,
            Self::Feedback => key("feedback")?,
            #[cfg(feature = "next-schema")]
            Self::Notes => key("notes")?,
        }
        .build())
    }

    /// Reads a key back; `None` when it is of no known form.
    pub fn from_key(key: &[u8]) -> Option<(CustomerId, Self)> {
        let rest = str::from_utf8(key.strip_prefix(KEYS_PREFIX)?).ok()?;
        let mut texts = rest.split('/').skip(1);
        let customer = CustomerId::new(texts.next()?).ok()?;
        let kind = texts.next()?;
        let numbers = texts
            .map(|text| u64::from_str_radix(text, 16).ok())
            .collect::<Option<Vec<u64>>>()?;
        let part = match (kind, numbers.as_slice()) {
            ("meta", []) => Self::Meta,
            ("config", []) => Self::Config,
            ("series", [number]) => Self::Series(u32::try_from(*number).ok()?),
            ("block", [number, resolution, at]) => Self::Block(
                u32::try_from(*number).ok()?,
                u8::try_from(*resolution).ok()?,
                DomainTime((at ^ (1 << 63)).cast_signed()),
            ),
            ("events", []) => Self::Events,
            ("forecast", []) => Self::Forecast,
            ("calibration", [number]) => Self::Calibration(u32::try_from(*number).ok()?),
            ("plan", [number]) => Self::Plan(PlanNumber(*number)),
            ("allocation", []) => Self::Allocation,
            ("intents", []) => Self::Intents,
            ("feedback", []) => Self::Feedback,
            #[cfg(feature = "next-schema")]
            ("notes", []) => Self::Notes,
            _ => return None,
        };
        Some((customer, part))
    }
}

impl TwinState {
    /// Takes the parts that changed since the last call, each with its value; `None` = remove it.
    ///
    /// # Errors
    /// [`EnvelopeError`] when a part is larger than an envelope may be, which the bounds prevent.
    pub fn take_changes(&mut self) -> Result<Vec<PartChange>, EnvelopeError> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty
            .into_iter()
            .map(|part| Ok((part, self.encode(part)?)))
            .collect()
    }

    /// Encodes the whole state, ascending by key: what a store holds, and what two states are compared by.
    ///
    /// # Errors
    /// As [`TwinState::take_changes`].
    pub fn encode_all(&self) -> Result<Vec<(PartKey, Vec<u8>)>, EnvelopeError> {
        let mut keys = BTreeSet::from([
            PartKey::Meta,
            PartKey::Config,
            PartKey::Events,
            PartKey::Forecast,
            PartKey::Allocation,
            PartKey::Intents,
            PartKey::Feedback,
            #[cfg(feature = "next-schema")]
            PartKey::Notes,
        ]);
        let all = self.observations.all_parts();
        keys.extend(
            all.series
                .iter()
                .map(|number| PartKey::Calibration(*number)),
        );
        keys.extend(all.part_keys());
        keys.extend(self.plans.keys().map(|number| PartKey::Plan(*number)));
        let mut parts = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(bytes) = self.encode(key)? {
                parts.push((key, bytes));
            }
        }
        Ok(parts)
    }

    /// Puts a state together again from its parts, in ascending order of their keys.
    ///
    /// # Errors
    /// [`RestoreError`] that names the part.
    pub fn restore(
        customer: CustomerId,
        parts: impl IntoIterator<Item = (PartKey, Vec<u8>)>,
    ) -> Result<Self, RestoreError> {
        let mut state = Self::new(customer);
        for (part, bytes) in parts {
            state.restore_part(part, &bytes)?;
        }
        let known = state
            .meta
            .target
            .is_none_or(|target| state.plans.contains_key(&target.number));
        if known {
            Ok(state)
        } else {
            Err(state.inconsistent(PartKey::Meta, "its target plan is missing"))
        }
    }

    /// Whether something changed that was not taken for the store yet.
    pub(crate) fn has_changes(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub(crate) fn mark(&mut self, part: PartKey) {
        self.dirty.insert(part);
    }

    pub(super) fn mark_touched(&mut self, touched: &Touched) {
        self.dirty.extend(touched.part_keys());
    }

    fn encode(&self, part: PartKey) -> Result<Option<Vec<u8>>, EnvelopeError> {
        let sealed = match part {
            PartKey::Meta => self.encode_meta()?,
            PartKey::Config => match &self.config {
                Some(config) => envelope::seal(CONFIG, config)?,
                None => return Ok(None),
            },
            PartKey::Series(number) => match self.observations.series_record(number) {
                Some((key, floors)) => envelope::seal(SERIES, &SeriesRecord { key, floors })?,
                None => return Ok(None),
            },
            PartKey::Block(..) => {
                let bytes = part
                    .block_key()
                    .and_then(|key| self.observations.block_bytes(key));
                match bytes.map(<[u8]>::to_vec) {
                    Some(bytes) => envelope::seal(BLOCK, &BlockRecord { bytes })?,
                    None => return Ok(None),
                }
            }
            PartKey::Events => envelope::seal(EVENTS, &self.events)?,
            PartKey::Forecast => match &self.forecast {
                Some(record) => envelope::seal(FORECAST, record)?,
                None => return Ok(None),
            },
            PartKey::Calibration(number) => {
                let record = self
                    .observations
                    .series_record(number)
                    .and_then(|(key, _)| self.calibrations.get(&key).cloned());
                match record {
                    Some(bytes) => envelope::seal(CALIBRATION, &CalibrationRecord { bytes })?,
                    None => return Ok(None),
                }
            }
            PartKey::Plan(number) => match self.plans.get(&number) {
                Some(plan) => envelope::seal(PLAN, plan)?,
                None => return Ok(None),
            },
            PartKey::Allocation => envelope::seal(ALLOCATION, &self.allocation)?,
            PartKey::Intents => {
                let open = self.open_intents.values().cloned().collect();
                envelope::seal(INTENTS, &IntentsRecord { open })?
            }
            PartKey::Feedback => envelope::seal(FEEDBACK, &self.feedback)?,
            #[cfg(feature = "next-schema")]
            PartKey::Notes => return self.encode_notes(),
        };
        Ok(Some(sealed))
    }

    fn restore_part(&mut self, part: PartKey, bytes: &[u8]) -> Result<(), RestoreError> {
        let customer = self.customer.clone();
        let unreadable = |source| RestoreError::Value {
            customer: customer.clone(),
            part,
            source,
        };
        let fits = match part {
            PartKey::Meta => self.restore_meta(bytes).map(Ok).map_err(unreadable)?,
            PartKey::Config => {
                self.config = Some(envelope::open(CONFIG, bytes).map_err(unreadable)?);
                Ok(())
            }
            PartKey::Series(number) => {
                let SeriesRecord { key, floors } =
                    envelope::open(SERIES, bytes).map_err(unreadable)?;
                self.observations.restore_series(number, key, floors)
            }
            PartKey::Block(..) => {
                let BlockRecord { bytes } = envelope::open(BLOCK, bytes).map_err(unreadable)?;
                match part.block_key() {
                    Some(key) => self.observations.restore_block(key, bytes),
                    None => Err("its resolution is unknown"),
                }
            }
            PartKey::Events => {
                self.events = envelope::open(EVENTS, bytes).map_err(unreadable)?;
                Ok(())
            }
            PartKey::Forecast => {
                self.forecast = Some(envelope::open(FORECAST, bytes).map_err(unreadable)?);
                Ok(())
            }
            PartKey::Calibration(number) => {
                let CalibrationRecord { bytes } =
                    envelope::open(CALIBRATION, bytes).map_err(unreadable)?;
                match self.observations.series_record(number) {
                    Some((key, _)) => {
                        self.calibrations.insert(key, bytes);
                        Ok(())
                    }
                    None => Err("its series is missing"),
                }
            }
            PartKey::Plan(number) => {
                let plan = envelope::open(PLAN, bytes).map_err(unreadable)?;
                self.plans.insert(number, plan);
                Ok(())
            }
            PartKey::Allocation => {
                let record: AllocationRecord =
                    envelope::open(ALLOCATION, bytes).map_err(unreadable)?;
                self.allocation = record;
                Ok(())
            }
            PartKey::Intents => {
                let IntentsRecord { open } = envelope::open(INTENTS, bytes).map_err(unreadable)?;
                self.open_intents = open.into_iter().map(|one| (one.id, one)).collect();
                Ok(())
            }
            PartKey::Feedback => {
                self.feedback = envelope::open(FEEDBACK, bytes).map_err(unreadable)?;
                Ok(())
            }
            #[cfg(feature = "next-schema")]
            PartKey::Notes => self.restore_notes(bytes).map(Ok).map_err(unreadable)?,
        };
        fits.map_err(|reason| self.inconsistent(part, reason))
    }

    #[cfg(not(feature = "next-schema"))]
    fn encode_meta(&self) -> Result<Vec<u8>, EnvelopeError> {
        envelope::seal(META, &self.meta)
    }

    #[cfg(not(feature = "next-schema"))]
    fn restore_meta(&mut self, bytes: &[u8]) -> Result<(), EnvelopeError> {
        self.meta = envelope::open(META, bytes)?;
        Ok(())
    }

    fn inconsistent(&self, part: PartKey, reason: &'static str) -> RestoreError {
        RestoreError::Inconsistent {
            customer: self.customer.clone(),
            part,
            reason,
        }
    }
}

impl PartKey {
    fn block_key(self) -> Option<BlockKey> {
        let Self::Block(series, resolution, first_at) = self else {
            return None;
        };
        Some(BlockKey {
            series,
            resolution: Resolution::from_code(resolution)?,
            first_at,
        })
    }
}

impl Touched {
    fn part_keys(&self) -> impl Iterator<Item = PartKey> + '_ {
        let series = self.series.iter().map(|number| PartKey::Series(*number));
        let blocks = self
            .blocks
            .iter()
            .map(|block| PartKey::Block(block.series, block.resolution.code(), block.first_at));
        series.chain(blocks)
    }
}
