//! What a customer's demand looks like, in words, numbers and pictures.
//!
//! [`find`] explains a series by patterns: cycles, business hours, jobs, growth, steps, spikes, answers to
//! events, idleness, noise. Each comes with a strength and the evidence for it.
//!
//! [`siblings`] finds series that are alike by their [`Fingerprint`], and [`borrowed_profile`] makes of them
//! a week for a customer without history. [`ChangeDetector`] watches a series sample by sample for changes of
//! level, scale and shape.
//!
//! Pure: samples, events and times are passed in; there is no clock, file or thread here, and the same
//! series gives the same answer. What forecasts is `twinscale-forecaster`.

mod change;
mod cycle;
mod find;
mod fingerprint;
mod grid;
mod numeric;
mod profile;
mod report;
mod siblings;
mod slots;
mod svg;
mod text;

pub use change::{
    CHANGE_VERSION, Change, ChangeDetector, ChangeError, ChangeKind, Memory, changes,
};
pub use find::find;
pub use fingerprint::{Candidate, Distance, FINGERPRINT_VERSION, Fingerprint, Part};
pub use grid::{
    DAY_S, EVENTS_MAX, Grid, GridError, INTERVAL_S_MAX, KnownEvent, SAMPLES_MAX, VALUE_MAX,
};
pub use profile::{PROFILE_LEVELS, WEEK_HOURS, WeekProfile};
pub use report::{
    BusinessHours, Clock, ClockRule, Detail, EXAMPLES_MAX, Evidence, FORMAT, MonthDay, NotTold,
    Pattern, Report, Span,
};
pub use siblings::{
    BorrowedProfile, FittedProfile, SIBLINGS_MAX, Sibling, borrowed_profile, siblings,
};
pub use svg::svg;
pub use text::{sentence, sentences};
