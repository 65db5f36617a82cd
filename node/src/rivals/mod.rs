//! What others would have done with the same demand, and what any of it costs.
//!
//! Three rivals: a reactive autoscaler after the Kubernetes HPA, a fleet sized for the known peak, and
//! perfect foresight. All are pure functions of a [`TierCase`]; the reactive one and the static one see
//! only samples that were complete at each decision. [`evaluate`] prices lifetimes of VMs, of rivals and
//! of Twinscale alike: billed by the second, demand compared with what serves at every moment.

mod case;
mod evaluate;
mod foresight;
mod lifetimes;
mod reactive;
#[cfg(test)]
mod tests;

pub use case::{CaseOption, TierCase};
pub use evaluate::{Outcome, evaluate};
pub use foresight::{perfect_foresight, static_peak};
pub use lifetimes::{VmLife, lifetimes_of_counts};
pub use reactive::{ReactiveSettings, reactive, reactive_counts};
