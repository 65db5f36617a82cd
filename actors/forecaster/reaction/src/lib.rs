//! How a customer's demand answers to what it meets: latency, throttling, price and events.
//!
//! Purpose: [`history`] checks what was observed, [`drivers`] turns it into what a step's demand may answer
//! to, [`effect`] says what a shared model makes of that, [`estimate`] finds how strongly one customer answers,
//! and with what interval, [`supposed`] asks what other drivers would do. [`laws`] and [`closed_loop`] make
//! histories of which the truth is known; [`evaluate`] and [`study`] say whether a model may be used, [`naive`] what a
//! plain regression finds instead. The network is in `twinscale-forecast-model`.
//!
//! Invariants: pure, no clock and no files; randomness from a seed. A step answers to earlier steps' latency
//! and throttling alone, never to its own, which its own demand made. Where no driver is off its normal the
//! effect is exactly zero, and it is never beyond [`effect::EFFECT_MAX`].

pub mod closed_loop;
pub mod drivers;
pub mod effect;
pub mod estimate;
pub mod evaluate;
pub mod history;
pub mod laws;
mod matrix;
pub mod naive;
pub mod response;
pub mod study;
pub mod supposed;
