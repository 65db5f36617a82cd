//! Prices lifetimes: exact integrals over the window.

use super::case::TierCase;
use super::lifetimes::VmLife;
use twinscale_protocol::{DomainTime, FixedValue, MicroDollars};

const SECONDS_PER_HOUR: i128 = 3_600;

/// What lifetimes of VMs cost and what they served, over the observed intervals of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Billed VM-seconds.
    pub billed_vm_seconds: u64,
    /// What they cost.
    pub cost: MicroDollars,
    /// Demand, in millionths of a unit times seconds.
    pub demand_unit_seconds: i128,
    /// Demand above what served, in the same.
    pub unserved_unit_seconds: i128,
    /// Demand units that one VM of the cheapest type covers, in millionths.
    pub capacity_unit: FixedValue,
    /// Seconds of the window with a known demand.
    pub observed_seconds: u64,
    /// Seconds of these in which less served than was wanted.
    pub under_seconds: u64,
    /// VMs asked for within the window.
    pub starts: u64,
    /// Capacity that served, averaged over each interval, in the metric's unit.
    pub serving: Vec<FixedValue>,
}

impl Outcome {
    /// Demand in VM-hours of the cheapest type.
    pub fn demand_vm_hours(&self) -> f64 {
        self.vm_hours(self.demand_unit_seconds)
    }

    /// Unserved demand in VM-hours of the cheapest type.
    pub fn unserved_vm_hours(&self) -> f64 {
        self.vm_hours(self.unserved_unit_seconds)
    }

    /// Billed VM-hours, of whatever type.
    pub fn billed_vm_hours(&self) -> f64 {
        self.billed_vm_seconds as f64 / 3_600.0
    }

    /// Share of the demand that was not served; 0 without demand.
    pub fn unserved_share(&self) -> f64 {
        share(
            self.unserved_unit_seconds as f64,
            self.demand_unit_seconds as f64,
        )
    }

    /// Share of the time in which less served than was wanted.
    pub fn under_share(&self) -> f64 {
        share(self.under_seconds as f64, self.observed_seconds as f64)
    }

    fn vm_hours(&self, unit_seconds: i128) -> f64 {
        unit_seconds as f64 / self.capacity_unit.0.max(1) as f64 / 3_600.0
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Computes cost and service of lifetimes over a case's window.
///
/// A VM is billed from its request, or the window's start, to its end, or the window's, and at least for
/// the minimum when it ends within the window. Intervals with no known demand are left out of everything.
///
/// Cost: O(n log n) in the number of VMs plus the number of intervals.
pub fn evaluate(case: &TierCase, lives: &[VmLife]) -> Outcome {
    let observed = Observed::new(case);
    let mut outcome = Outcome {
        capacity_unit: case
            .cheapest()
            .map(|(_, option)| option.capacity)
            .unwrap_or_default(),
        observed_seconds: observed.before(case.end()),
        ..Outcome::default()
    };
    let mut billed_by_option = vec![0_u64; case.options.len()];
    for life in lives {
        if let Some(billed) = billed_by_option.get_mut(life.option) {
            let seconds = billed_seconds(case, &observed, life);
            *billed = billed.saturating_add(seconds.saturating_mul(u64::from(life.count)));
        }
        let in_window = life.requested >= case.start && life.requested < case.end();
        if in_window {
            outcome.starts = outcome.starts.saturating_add(u64::from(life.count));
        }
    }
    for (option, billed) in case.options.iter().zip(&billed_by_option) {
        outcome.billed_vm_seconds = outcome.billed_vm_seconds.saturating_add(*billed);
        let micro_dollar_seconds = i128::from(option.price_per_hour.0) * i128::from(*billed);
        // Rounded once per type, to the nearest micro-dollar.
        let cost = (micro_dollar_seconds + SECONDS_PER_HOUR / 2) / SECONDS_PER_HOUR;
        let cost = MicroDollars(i64::try_from(cost).unwrap_or(i64::MAX));
        outcome.cost = outcome.cost.plus(cost);
    }
    serve(case, lives, &mut outcome);
    outcome
}

/// Seconds of a life that are billed.
fn billed_seconds(case: &TierCase, observed: &Observed<'_>, life: &VmLife) -> u64 {
    let (start, end) = (case.start, case.end());
    let from = life.requested.max(start);
    let until = life.ended.unwrap_or(end).min(end);
    if until < from || from >= end {
        return 0;
    }
    let in_use = observed.before(until).saturating_sub(observed.before(from));
    let ended_here = life
        .ended
        .is_some_and(|ended| ended >= start && ended < end && observed.covers(ended));
    if !ended_here {
        return in_use;
    }
    let lived = until.seconds_since(life.requested);
    let missing = i64::from(case.minimum_bill.0).saturating_sub(lived).max(0);
    in_use.saturating_add(missing.unsigned_abs())
}

/// Sweeps over all changes of the serving capacity, interval by interval.
fn serve(case: &TierCase, lives: &[VmLife], outcome: &mut Outcome) {
    let mut changes: Vec<(DomainTime, i64)> = Vec::with_capacity(lives.len() * 2);
    for life in lives {
        let (Some(option), Some(serving)) = (case.options.get(life.option), life.serving) else {
            continue;
        };
        if life.ended.is_some_and(|ended| ended <= serving) {
            continue;
        }
        let capacity = option.capacity.0.saturating_mul(i64::from(life.count));
        changes.push((serving, capacity));
        if let Some(ended) = life.ended {
            changes.push((ended, capacity.saturating_neg()));
        }
    }
    changes.sort_unstable_by_key(|(at, _)| *at);
    let mut changes = changes.into_iter().peekable();
    let mut capacity = 0_i64;
    for (step, demand) in case.demand.iter().enumerate() {
        let (mut now, end) = (case.step_at(step), case.step_at(step + 1));
        let mut capacity_seconds = 0_i128;
        while now < end {
            while let Some((_, change)) = changes.next_if(|(at, _)| *at <= now) {
                capacity = capacity.saturating_add(change);
            }
            let until = changes.peek().map_or(end, |(at, _)| (*at).min(end));
            let seconds = until.seconds_since(now);
            capacity_seconds += i128::from(capacity) * i128::from(seconds);
            if let Some(demand) = demand {
                let unserved = demand.0.saturating_sub(capacity).max(0);
                outcome.demand_unit_seconds += i128::from(demand.0) * i128::from(seconds);
                outcome.unserved_unit_seconds += i128::from(unserved) * i128::from(seconds);
                outcome.under_seconds += if unserved > 0 {
                    seconds.unsigned_abs()
                } else {
                    0
                };
            }
            now = until;
        }
        let mean = capacity_seconds / i128::from(case.interval.0.max(1));
        outcome
            .serving
            .push(FixedValue(i64::try_from(mean).unwrap_or(i64::MAX)));
    }
}

/// Counts observed seconds up to any moment of the window.
struct Observed<'a> {
    case: &'a TierCase,
    /// Observed seconds before each interval.
    prefix: Vec<u64>,
}

impl<'a> Observed<'a> {
    fn new(case: &'a TierCase) -> Self {
        let mut prefix = Vec::with_capacity(case.demand.len() + 1);
        let mut sum = 0_u64;
        prefix.push(sum);
        for demand in &case.demand {
            sum += if demand.is_some() {
                u64::from(case.interval.0)
            } else {
                0
            };
            prefix.push(sum);
        }
        Self { case, prefix }
    }

    /// Observed seconds from the window's start to a moment within it.
    fn before(&self, at: DomainTime) -> u64 {
        let (step, into) = self.locate(at);
        let whole = self.prefix.get(step).copied().unwrap_or_default();
        let is_observed = self.case.demand.get(step).is_some_and(Option::is_some);
        whole + if is_observed { into } else { 0 }
    }

    /// Whether the demand at a moment is known.
    fn covers(&self, at: DomainTime) -> bool {
        let (step, _) = self.locate(at);
        self.case.demand.get(step).is_some_and(Option::is_some)
    }

    fn locate(&self, at: DomainTime) -> (usize, u64) {
        let since = at.seconds_since(self.case.start).max(0).unsigned_abs();
        let interval = u64::from(self.case.interval.0.max(1));
        let step = usize::try_from(since / interval).unwrap_or(usize::MAX);
        if step >= self.case.demand.len() {
            (self.case.demand.len(), 0)
        } else {
            (step, since % interval)
        }
    }
}
