//! Lines per interval, by severity and by template.

use super::record::{LogRecord, Severity};
use crate::sealed::{self, StateError};
use crate::secret::InputSecret;
use crate::templates::{ESTABLISHED_MAX, MinerState, TemplateId, TemplateMiner, TemplateText};
use crate::windows::{NotCounted, Windows, WindowsError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use twinscale_protocol::units::MICROS;
use twinscale_protocol::{
    DomainTime, FixedValue, MetricName, Sample, Seconds, SeriesKey, VmTypeId,
};

const WHAT: &str = "the rates of a log";

/// Most templates whose counts can enter the published ones in one interval.
pub const TOP_TEMPLATES_MAX: usize = 32;

/// Most templates that have a series of their own: with severities and `other` 72 of the 256 series of a twin.
pub const PUBLISHED_MAX: usize = 64;

/// A published template that was not among the top for this long makes room for another.
pub const PUBLISHED_REST: Seconds = Seconds(30 * 86_400);

/// Most templates counted apart in one interval; lines of further ones count as `other`.
const WINDOW_TEMPLATES_MAX: usize = 2 * ESTABLISHED_MAX;

/// How to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRatesOptions {
    /// The VM type (or tier) whose log it is: first half of the series' names.
    pub vm_type: VmTypeId,
    /// Length of an interval: that of the twin's samples.
    pub interval: Seconds,
    /// How much older than the newest line one may be and still be counted.
    pub lateness: Seconds,
    /// How many templates of an interval, by count, may become series: at most [`TOP_TEMPLATES_MAX`].
    pub top_templates: usize,
    /// Whether words of templates are kept.
    pub text: TemplateText,
}

/// Why lines cannot be counted so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogRatesError {
    /// Interval and lateness.
    #[error(transparent)]
    Windows(#[from] WindowsError),
    /// More templates than may become series.
    #[error("{found} top templates are more than {TOP_TEMPLATES_MAX}: ask for fewer")]
    TopTemplates {
        /// What was asked for.
        found: usize,
    },
}

/// Counts of one interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    severities: [u64; Severity::ALL.len()],
    templates: BTreeMap<TemplateId, u64>,
    other: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    miner: MinerState,
    windows: Windows<Counts>,
    published: BTreeMap<TemplateId, DomainTime>,
}

/// Counts lines, and gives samples of closed intervals.
///
/// An interval without any line gives no samples: whether the source was silent or away is not known. Any other gives
/// one for every severity and for every published template, zeros too.
#[derive(Debug)]
pub struct LogRates {
    options: LogRatesOptions,
    miner: TemplateMiner,
    windows: Windows<Counts>,
    /// Templates with a series, each with the last interval in which it was among the top.
    published: BTreeMap<TemplateId, DomainTime>,
}

impl LogRates {
    /// Begins to count.
    ///
    /// # Errors
    /// [`LogRatesError`] for settings that would keep too much.
    pub fn new(options: LogRatesOptions, secret: &InputSecret) -> Result<Self, LogRatesError> {
        if options.top_templates > TOP_TEMPLATES_MAX {
            return Err(LogRatesError::TopTemplates {
                found: options.top_templates,
            });
        }
        Ok(Self {
            windows: Windows::new(options.interval, options.lateness)?,
            miner: TemplateMiner::new(secret, options.text),
            published: BTreeMap::new(),
            options,
        })
    }

    /// Counts a line; `now` is the caller's clock.
    ///
    /// # Errors
    /// [`NotCounted`] for a line that is late or ahead of the clock; it is counted as such.
    pub fn observe(&mut self, record: &LogRecord<'_>, now: DomainTime) -> Result<(), NotCounted> {
        let (_, counts) = self.windows.slot(record.at, now)?;
        let id = self.miner.observe(&record.message);
        let severity = counts.severities.iter_mut().zip(Severity::ALL);
        for (count, _) in severity.filter(|(_, known)| *known == record.severity) {
            *count = count.saturating_add(1);
        }
        let has_room = counts.templates.len() < WINDOW_TEMPLATES_MAX;
        let count = if id == TemplateId::OTHER || !(has_room || counts.templates.contains_key(&id))
        {
            &mut counts.other
        } else {
            counts.templates.entry(id).or_default()
        };
        *count = count.saturating_add(1);
        Ok(())
    }

    /// Gives the samples of intervals that the watermark has passed, oldest first.
    pub fn take_closed(&mut self) -> Vec<Sample> {
        let closed = self.windows.take_closed();
        self.samples_of(closed)
    }

    /// Gives also those that ended by `now` minus the lateness, when the source has fallen silent.
    pub fn take_idle(&mut self, now: DomainTime) -> Vec<Sample> {
        let closed = self.windows.take_idle(now);
        self.samples_of(closed)
    }

    /// Gives all, at the end of a file.
    pub fn take_all(&mut self) -> Vec<Sample> {
        let closed = self.windows.take_all();
        self.samples_of(closed)
    }

    /// Counts lines that came too late.
    pub fn late(&self) -> u64 {
        self.windows.late()
    }

    /// Counts lines ahead of the clock or before the epoch.
    pub fn out_of_range(&self) -> u64 {
        self.windows.out_of_range()
    }

    /// Reads the watermark: no interval that ends by then takes anything more.
    pub fn watermark(&self) -> DomainTime {
        self.windows.watermark()
    }

    /// The templates behind the series.
    pub fn miner(&self) -> &TemplateMiner {
        &self.miner
    }

    /// Writes the state: templates, open intervals and which templates have series.
    ///
    /// # Errors
    /// [`StateError`] when it is too large, which the limits exclude.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        let state = State {
            miner: self.miner.state(),
            windows: self.windows.clone(),
            published: self.published.clone(),
        };
        sealed::seal(WHAT, sealed::LOG_RATES, &state)
    }

    /// Goes on from a state.
    ///
    /// # Errors
    /// [`StateError`] for bytes that are none, of another secret, or of another interval or lateness.
    pub fn from_bytes(
        bytes: &[u8],
        options: LogRatesOptions,
        secret: &InputSecret,
    ) -> Result<Self, StateError> {
        let refuse = |rule| StateError::Rule { what: WHAT, rule };
        let state: State = sealed::open(WHAT, sealed::LOG_RATES, bytes)?;
        let fresh =
            Self::new(options, secret).map_err(|_bad| refuse("the settings are not valid"))?;
        if !state.windows.is_alike(&fresh.windows) {
            return Err(refuse("interval or lateness are not those of the settings"));
        }
        let is_small = |counts: &Counts| counts.templates.len() <= WINDOW_TEMPLATES_MAX;
        if state.published.len() > PUBLISHED_MAX || !state.windows.open().all(is_small) {
            return Err(refuse("it counts more templates than are kept"));
        }
        Ok(Self {
            miner: TemplateMiner::from_state(state.miner, secret, fresh.options.text)?,
            windows: state.windows,
            published: state.published,
            options: fresh.options,
        })
    }

    fn samples_of(&mut self, closed: Vec<(DomainTime, Counts)>) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (at, counts) in closed {
            self.publish(at, &counts);
            let mut push = |name: String, count: u64| {
                let metric = MetricName::new(name).expect("a-z, 0-9 and _, at most 33 bytes");
                samples.push(Sample {
                    series: SeriesKey {
                        vm_type: self.options.vm_type.clone(),
                        metric,
                    },
                    at,
                    value: whole(count),
                });
            };
            for (severity, count) in Severity::ALL.iter().zip(counts.severities) {
                push(format!("log_{}", severity.name()), count);
            }
            let mut other = counts.other;
            for (id, count) in &counts.templates {
                if !self.published.contains_key(id) {
                    other = other.saturating_add(*count);
                }
            }
            for id in self.published.keys() {
                let count = counts.templates.get(id).copied().unwrap_or(0);
                push(format!("log_template_{id}"), count);
            }
            push(format!("log_template_{}", TemplateId::OTHER), other);
        }
        samples
    }

    /// Lets the top templates of an interval into the published ones, while there is room.
    fn publish(&mut self, at: DomainTime, counts: &Counts) {
        let mut top: Vec<(&TemplateId, &u64)> = counts.templates.iter().collect();
        top.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
        for (id, _) in top.into_iter().take(self.options.top_templates) {
            if self.published.len() >= PUBLISHED_MAX && !self.published.contains_key(id) {
                let oldest = self.published.iter().min_by_key(|(_, last)| **last);
                let rested = oldest.filter(|(_, last)| last.plus(PUBLISHED_REST) < at);
                let Some(rested) = rested.map(|(id, _)| *id) else {
                    continue;
                };
                self.published.remove(&rested);
            }
            self.published.insert(*id, at);
        }
    }
}

fn whole(count: u64) -> FixedValue {
    FixedValue(
        i64::try_from(count)
            .unwrap_or(i64::MAX)
            .saturating_mul(MICROS),
    )
}
