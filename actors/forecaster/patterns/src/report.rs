//! What is found: patterns with kind, strength and evidence, as plain data.
//!
//! The JSON form is named [`FORMAT`]; its field names do not change under that name. Times are epoch
//! seconds (UTC); sizes are in the metric's unit; shares are of the series' level.

use serde::{Deserialize, Serialize};
use twinscale_protocol::EventKind;

/// Name and version of the JSON form.
pub const FORMAT: &str = "twinscale-patterns/1";

/// All that a series shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: String,
    /// What was looked at.
    pub span: Span,
    /// Mean of the last four weeks, in the metric's unit; of a series that has all but ended (below 5 % of
    /// what it was) its mean while it lived.
    pub level: f64,
    /// The patterns: cycles first, then bursts, trends, answers to events, and what is left.
    pub patterns: Vec<Pattern>,
    /// What could not be looked for, and why.
    pub not_told: Vec<NotTold>,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// First observed sample.
    pub start_s: i64,
    /// First second after the last one.
    pub end_s: i64,
    /// Length of a step.
    pub interval_s: i64,
    /// Observed samples.
    pub samples: usize,
    /// Share of the steps that were not observed.
    pub missing_share: f64,
}

/// A pattern.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pattern {
    /// Its kind, and what only this kind has.
    #[serde(flatten)]
    pub detail: Detail,
    /// How much of the series it is, 0 to 1; what it measures is told by each kind.
    pub strength: f64,
    /// Why it is believed.
    pub evidence: Evidence,
}

/// What every kind of pattern can show for itself; what does not apply is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// After how many seconds it comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_s: Option<f64>,
    /// How large it is, in the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<f64>,
    /// How large it is, as a share of the level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_share: Option<f64>,
    /// In how many cycles it was seen; of what is no cycle, in how many samples, bursts or events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_in: Option<usize>,
    /// Of how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycles: Option<usize>,
    /// Probability of seeing as much without the pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// Share of the variance that it explains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variance_explained: Option<f64>,
    /// Times of some examples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples_s: Vec<i64>,
}

/// Most examples of one pattern.
pub const EXAMPLES_MAX: usize = 5;

/// Kinds of patterns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Detail {
    /// Nothing but one value. Strength: 1.
    Constant {
        /// The value.
        value: f64,
    },
    /// A shape that comes back each day. Strength: share of the variance inside days.
    Daily {
        /// Hour (UTC) of the highest mean.
        peak_hour: f64,
        /// Hour (UTC) of the lowest mean.
        trough_hour: f64,
        /// Means of the day's slots over the level.
        shape: Vec<f64>,
    },
    /// Days of the week that differ. Strength: share of the variance inside weeks that no daily shape is.
    Weekly {
        /// Weekday (UTC, Monday 0) of the highest mean.
        high_weekday: usize,
        /// Weekday of the lowest mean.
        low_weekday: usize,
        /// Means of the weekdays over the level.
        shape: Vec<f64>,
    },
    /// A day of the month that differs. Strength: 0 where it differs from month to month as much as from
    /// other days, 1 where it is always the same.
    Monthly {
        /// Which day.
        day: MonthDay,
        /// Its mean over that of ordinary days.
        factor: f64,
    },
    /// A shape that comes back each year. Strength: share of the variance inside years.
    Yearly {
        /// Month (1 to 12) of the highest mean.
        peak_month: usize,
        /// Month of the lowest mean.
        trough_month: usize,
        /// Means of the months over the level, growth taken off.
        shape: Vec<f64>,
    },
    /// Hours of weekdays in which most is wanted. Strength: share of the weekly profile that two levels,
    /// inside and outside, explain.
    BusinessHours(BusinessHours),
    /// Weekends lower than the days around them. Strength: the depth, 1 = nothing on weekends.
    WeekendDip {
        /// Mean of the weekend over that of the weekdays.
        ratio: f64,
    },
    /// Weekends higher than the days around them. Strength: the share by which weekdays are lower.
    WeekendPeak {
        /// Mean of the weekend over that of the weekdays.
        ratio: f64,
    },
    /// Regular bursts. Strength: share of its times at which it ran.
    BatchJob {
        /// From start to start.
        period_s: i64,
        /// Start inside the period, counted from the epoch, a Thursday's midnight UTC; of a period below a day
        /// that does not divide it the time of day of the last start.
        offset_s: i64,
        /// How long it lasts (median).
        duration_s: i64,
    },
    /// A level that rises or falls. Strength: share of the spread of the level that the line explains.
    Growth {
        /// Share of the median level that is added each month (30.44 days).
        per_month: f64,
        /// Lower end of its 95 % interval.
        lower: f64,
        /// Upper end.
        upper: f64,
    },
    /// A level that jumps and stays. Strength: the jump over the higher level.
    Step {
        /// When: the start of the day, UTC.
        at_s: i64,
        /// Median of the two weeks before.
        from: f64,
        /// Median of the two weeks after.
        to: f64,
    },
    /// Irregular bursts. Strength: share of the spread of all samples that they make.
    Spikes {
        /// How many a week.
        per_week: f64,
        /// How long they last (median).
        duration_s: i64,
    },
    /// What events of a kind do. Strength: 1 - standard error / size of the effect.
    EventResponse {
        /// The kind.
        event: EventKind,
        /// How many were seen.
        events: usize,
        /// Demand while they last over what would be expected, shrunk to 1 when few.
        factor: f64,
        /// Lower end of its 95 % interval.
        lower: f64,
        /// Upper end.
        upper: f64,
        /// Days before the start on which it shows already.
        lead_days: usize,
        /// Days after the end until a third of it is left; `None`: longer than was looked at.
        decay_days: Option<usize>,
    },
    /// Zero or nearly so. Strength: share of the observed samples.
    Idle {
        /// Share of the samples that are 0.
        zero_share: f64,
        /// The longest span without demand.
        longest_s: i64,
    },
    /// Days on end at one value above 0. Strength: share of the observed samples.
    Flat {
        /// The longest such span.
        longest_s: i64,
    },
    /// What none of the cycles explains, from one slot to the next. Strength: its spread over the level,
    /// at most 1.
    Noise {
        /// Robust standard deviation over the level.
        share: f64,
    },
}

/// A day of the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "which", rename_all = "snake_case")]
pub enum MonthDay {
    /// A date, 1 to 28.
    Day {
        /// The date.
        day: usize,
    },
    /// The last day.
    LastDay,
    /// The first weekday from Monday to Friday.
    FirstBusinessDay,
    /// The last one.
    LastBusinessDay,
}

/// When a customer works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BusinessHours {
    /// Weekdays (Monday 0), in local time.
    pub weekdays: Vec<usize>,
    /// First hour, local time.
    pub from_hour: usize,
    /// First hour after, local time.
    pub to_hour: usize,
    /// The clock that fits best.
    pub clock: Clock,
    /// Demand inside over demand outside; `None`: nothing outside.
    pub ratio: Option<f64>,
}

/// A local clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// How it changes over the year.
    pub rule: ClockRule,
    /// Hours ahead of UTC in winter. Samples cannot tell it: it is what puts the middle of the hours next
    /// to 13:00; without summer time it is 0 where the middle lies there within 2.5 hours.
    pub offset_hours: i8,
    /// Whether both summer and winter were seen, so that the rule is more than a guess.
    pub is_rule_seen: bool,
}

/// How a clock changes over the year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockRule {
    /// Never.
    Fixed,
    /// Last Sunday of March to last Sunday of October.
    Europe,
    /// Second Sunday of March to first Sunday of November.
    UnitedStates,
}

/// Something that was not looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotTold {
    /// The kind, as in [`Detail`].
    pub kind: String,
    /// Why.
    pub reason: String,
}

impl Detail {
    /// The stable name of the kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Constant { .. } => "constant",
            Self::Daily { .. } => "daily",
            Self::Weekly { .. } => "weekly",
            Self::Monthly { .. } => "monthly",
            Self::Yearly { .. } => "yearly",
            Self::BusinessHours(_) => "business_hours",
            Self::WeekendDip { .. } => "weekend_dip",
            Self::WeekendPeak { .. } => "weekend_peak",
            Self::BatchJob { .. } => "batch_job",
            Self::Growth { .. } => "growth",
            Self::Step { .. } => "step",
            Self::Spikes { .. } => "spikes",
            Self::EventResponse { .. } => "event_response",
            Self::Idle { .. } => "idle",
            Self::Flat { .. } => "flat",
            Self::Noise { .. } => "noise",
        }
    }
}

impl Report {
    /// The patterns of a kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Pattern> {
        self.patterns
            .iter()
            .filter(move |pattern| pattern.detail.kind() == kind)
    }
}
