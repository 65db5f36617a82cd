//! What others would have done with the same demand, and what any of it costs.
//!
//! The rivals: a reactive autoscaler after the Kubernetes HPA, the same with a floor from an hourly forecast
//! after AWS, a moving window after Google's Autopilot, a fleet sized for the known peak, and perfect
//! foresight. All are pure functions of a [`TierCase`]; all but the last see only samples that were complete
//! at each decision. [`evaluate`] prices lifetimes of VMs, of rivals and of Twinscale alike: billed by the
//! second, demand compared with what serves at every moment. [`extras`] does the same for volumes and links.

mod case;
mod evaluate;
pub mod extras;
mod foresight;
mod lifetimes;
mod moving_window;
#[cfg(test)]
mod peers;
mod predictive;
mod reactive;
mod sweep;
#[cfg(test)]
mod tests;

pub use case::{CaseOption, TierCase};
pub use evaluate::{Outcome, evaluate};
pub use foresight::{perfect_foresight, static_peak};
pub use lifetimes::{VmLife, lifetimes_of_counts};
pub use moving_window::{moving_window, moving_window_counts, window_wishes};
pub use predictive::{HourlyForecast, predictive, predictive_counts};
pub use reactive::{ReactiveSettings, reactive, reactive_counts};
pub use sweep::{MULTIPLES, RivalPlans, TARGETS};
