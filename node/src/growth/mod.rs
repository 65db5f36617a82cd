//! What twins cost as they become many: memory, turns, forecasts, plans, and what waking one takes, for one
//! number of twins.
//!
//! `fleet` makes the twins, `memory` reads what the process holds, `measure` goes through the
//! phases, `report` shows how figures grow by number of twins. The actors are those of every other
//! command. Invariants: memory is read in a process that has measured nothing before, once it writes
//! next to nothing any more; every figure is of work that the actors acknowledged.

mod fleet;
mod measure;
mod memory;
mod report;

#[cfg(test)]
mod tests;

pub use measure::{GrowthOptions, measure};
pub use report::{GrowthReport, GrowthRow, Latency, MemoryMib};
