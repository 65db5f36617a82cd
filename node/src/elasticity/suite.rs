//! The traces of a suite and their windows.

/// Prices of an under-provisioned step that are tried unless others are asked for, as multiples of what
/// the VMs that a customer needs on average cost in a step.
pub const KNOBS: [f64; 18] = [
    0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0,
    8192.0, 32_768.0, 131_072.0,
];

/// Traces with the same step.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// Length of a step in seconds.
    pub interval_s: u32,
    /// Time from a VM's request until it serves, in seconds.
    pub start_up_s: u32,
    /// Time between two decisions in seconds; whole steps.
    pub decision_s: u32,
    /// Shortest time that is billed, in seconds.
    pub minimum_bill_s: u32,
    /// In the order of the manifest.
    pub traces: Vec<SuiteTrace>,
}

/// One trace.
#[derive(Clone, Debug, PartialEq)]
pub struct SuiteTrace {
    /// Its name.
    pub name: String,
    /// Where it comes from: a dataset of the weights' card, or none of it.
    pub dataset: String,
    /// Time of the first step, epoch seconds.
    pub start_s: i64,
    /// First step of the scored window.
    pub scored_from: usize,
    /// Load per step in VMs; `None` = missing.
    pub load: Vec<Option<f64>>,
}

impl SuiteTrace {
    /// Steps of the scored window.
    pub fn scored(&self) -> usize {
        self.load.len().saturating_sub(self.scored_from)
    }
}

impl Suite {
    /// Steps from one decision to the next.
    pub fn decision_steps(&self) -> usize {
        usize::try_from(self.decision_s / self.interval_s.max(1)).map_or(1, |steps| steps.max(1))
    }

    /// Time of a trace's step, epoch seconds.
    pub fn time_s(&self, trace: &SuiteTrace, step: usize) -> i64 {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        trace
            .start_s
            .saturating_add(step.saturating_mul(i64::from(self.interval_s)))
    }

    /// Decisions in the scored windows of all traces.
    pub fn decisions(&self) -> usize {
        let steps = self.decision_steps();
        self.traces
            .iter()
            .map(|trace| trace.scored().div_ceil(steps))
            .sum()
    }
}
