//! What one run counts.

use super::layout::Layout;
use super::load::Load;
use crate::events::histogram::Histogram;

/// Scale of response times: histograms tell apart what lies within some doublings of it.
pub(super) const RESPONSE_SCALE_S: f64 = 0.05;

/// Counts of one class.
#[derive(Clone, Debug)]
pub(super) struct ClassTally {
    /// Response times of served requests.
    pub(super) responses: Histogram,
    pub(super) came: u64,
    pub(super) served: u64,
    pub(super) sum_s: f64,
    /// Served later than the promises for 50, 95 and 99 %.
    pub(super) late: [u64; 3],
    pub(super) steps: Vec<StepTally>,
    promised_s: [Option<f64>; 3],
}

/// Counts of one class in one step of the load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct StepTally {
    pub(super) came: u64,
    pub(super) served: u64,
    pub(super) sum_s: f64,
    /// Served later than the promise for 99 %.
    pub(super) late: u64,
}

/// Counts of a run.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) classes: Vec<ClassTally>,
    /// By tier.
    pub(super) refused: Vec<u64>,
    /// By call.
    pub(super) timed_out: Vec<u64>,
    pub(super) events: u64,
    /// Whether requests were turned away because more were in flight than a run can hold.
    pub(super) overloaded: bool,
    step_s: f64,
    counts_from_s: f64,
    pub(super) measured_s: f64,
}

impl Tally {
    pub(super) fn new(layout: &Layout, load: &Load, counts_from_s: f64) -> Self {
        let steps = load.steps();
        let classes = layout.classes.iter().map(|class| ClassTally {
            responses: Histogram::new(RESPONSE_SCALE_S),
            came: 0,
            served: 0,
            sum_s: 0.0,
            late: [0; 3],
            steps: vec![StepTally::default(); steps],
            promised_s: [
                class.promised.p50_s,
                class.promised.p95_s,
                class.promised.p99_s,
            ],
        });
        Self {
            classes: classes.collect(),
            refused: vec![0; layout.tiers.len()],
            timed_out: vec![0; layout.calls.len()],
            events: 0,
            overloaded: false,
            step_s: load.step_s,
            counts_from_s,
            measured_s: 0.0,
        }
    }

    /// Begins to count what tiers and calls meet; requests count by when they came.
    pub(super) fn begin(&mut self) {
        self.refused.fill(0);
        self.timed_out.fill(0);
    }

    pub(super) fn end(&mut self, now: f64) {
        self.measured_s = (now - self.counts_from_s).max(0.0);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times are not negative, and steps few"
    )]
    fn step(&self, at_s: f64) -> usize {
        (at_s / self.step_s) as usize
    }

    /// A request came.
    pub(super) fn came(&mut self, class: usize, at_s: f64) {
        if at_s < self.counts_from_s {
            return;
        }
        let step = self.step(at_s);
        let class = &mut self.classes[class];
        class.came += 1;
        if let Some(step) = class.steps.get_mut(step) {
            step.came += 1;
        }
    }

    /// A request that came at a time was served.
    pub(super) fn served(&mut self, class: usize, came_at_s: f64, took_s: f64) {
        if came_at_s < self.counts_from_s {
            return;
        }
        let step = self.step(came_at_s);
        let class = &mut self.classes[class];
        class.responses.record(took_s);
        class.served += 1;
        class.sum_s += took_s;
        let is_late = |promised: Option<f64>| promised.is_some_and(|promised| took_s > promised);
        for (late, promised) in class.late.iter_mut().zip(class.promised_s) {
            *late += u64::from(is_late(promised));
        }
        let late = is_late(class.promised_s[2]);
        if let Some(step) = class.steps.get_mut(step) {
            step.served += 1;
            step.sum_s += took_s;
            step.late += u64::from(late);
        }
    }

    pub(super) fn refused(&mut self, tier: usize) {
        self.refused[tier] += 1;
    }

    pub(super) fn timed_out(&mut self, call: usize) {
        self.timed_out[call] += 1;
    }
}
