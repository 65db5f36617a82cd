//! What a customer's demand looks like, in words, numbers and pictures.
//!
//! [`find`] explains a series by patterns: cycles, business hours, jobs, growth, steps, spikes, answers to
//! events, idleness, noise. Each comes with a strength and the evidence for it.
//!
//! [`ChangeDetector`] watches a series sample by sample for changes of level, scale and shape.
//!
//! Pure: samples, events and times are passed in; there is no clock, file or thread here, and the same
//! series gives the same answer. What forecasts is `twinscale-forecaster`.

mod change;
mod cycle;
mod find;
mod grid;
mod numeric;
mod profile;
mod report;
mod slots;
mod svg;
mod text;

pub use change::{
    CHANGE_VERSION, Change, ChangeDetector, ChangeError, ChangeKind, Memory, changes,
};
pub use find::find;
pub use grid::{
    DAY_S, EVENTS_MAX, Grid, GridError, INTERVAL_S_MAX, KnownEvent, SAMPLES_MAX, VALUE_MAX,
};
pub use profile::{PROFILE_LEVELS, WEEK_HOURS, WeekProfile};
pub use report::{
    BusinessHours, Clock, ClockRule, Detail, EXAMPLES_MAX, Evidence, FORMAT, MonthDay, NotTold,
    Pattern, Report, Span,
};
pub use svg::svg;
pub use text::{sentence, sentences};
