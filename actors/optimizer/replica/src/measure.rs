//! Measures a stack on containers and sets it beside what the discrete-event engine predicts.
//!
//! First the demands are calibrated: each class runs alone at a low load, and the CPU time of a tier over the visits
//! to it is what one visit costs there (the utilisation law), the HTTP stack and its system calls included. What a
//! request takes beyond what the calibrated model predicts at that load (sockets, wake-ups, scheduling) becomes a
//! fixed delay between clients and the entry. Then the stack is measured at other, higher loads, which took no part
//! in the calibration.

mod calibrate;
mod compare;
mod drive;
mod observe;
mod report;

pub use self::calibrate::{Calibrated, Fit, Observation, TierUse, calibrated, delayed};
pub use self::compare::{ClassRow, Figure, LoadRow, TierRow, rates_at};
pub use self::drive::{MeasureError, MeasureOptions, measure};
pub use self::report::Report;
