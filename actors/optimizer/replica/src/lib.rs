//! The container replica: a customer's stack, built from its model as containers, loaded, and measured.
//!
//! Purpose: to see whether what the other two engines predict for a [`StackModel`] comes true on real processes.
//! [`plan`] turns the model into container specifications, [`serve`] is what runs in a tier's container, [`load`]
//! sends requests at times that were decided beforehand, [`engine`] talks to the container engine, and [`measure`]
//! does all of it and sets the measured figures beside those of the discrete-event engine.
//!
//! Invariants: everything made on an engine bears the label of its run and is removed at the end, whatever happens;
//! everything that decides (plan, schedule, calibration, comparison) is a pure function.
//!
//! [`StackModel`]: twinscale_environment::model::StackModel

pub mod burn;
mod clock;
pub mod config;
pub mod engine;
pub mod load;
pub mod measure;
pub mod plan;
pub mod serve;
mod task;
mod warning;
