//! One tier's demand and the rules under which it is served.

use twinscale_protocol::{DomainTime, FixedValue, MicroDollars, Seconds, VmTypeId};

/// Float noise that no count hangs on: demands are multiples of a millionth.
pub(super) const NOISE: f64 = 1e-9;

/// One tier over one window: everything that a rival may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierCase {
    /// Start of the first interval of `demand`.
    pub start: DomainTime,
    /// Length of an interval.
    pub interval: Seconds,
    /// Demand per interval of the window, in the metric's unit; `None` = missing: neither scored nor
    /// billed.
    pub demand: Vec<Option<FixedValue>>,
    /// Demand per interval before the window, oldest first; the last one ends at `start`.
    pub history: Vec<Option<FixedValue>>,
    /// VM types that may serve the tier; at least one.
    pub options: Vec<CaseOption>,
    /// Time from a VM's request until it serves.
    pub start_up: Seconds,
    /// Shortest time that is billed.
    pub minimum_bill: Seconds,
    /// Never fewer VMs than this.
    pub floor: u32,
    /// Never more VMs than this.
    pub ceiling: u32,
}

/// A VM type of a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseOption {
    /// The type.
    pub vm_type: VmTypeId,
    /// What one VM costs for one hour.
    pub price_per_hour: MicroDollars,
    /// Demand units that one serving VM covers, target utilisation already taken off; above 0.
    pub capacity: FixedValue,
}

impl TierCase {
    /// End of the window.
    pub fn end(&self) -> DomainTime {
        self.step_at(self.demand.len())
    }

    /// Start of an interval of the window.
    pub(super) fn step_at(&self, step: usize) -> DomainTime {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let length = step.saturating_mul(i64::from(self.interval.0));
        DomainTime(self.start.0.saturating_add(length))
    }

    /// The VM type that is cheapest per unit of capacity, of equal ones the smallest: the one that rivals
    /// use.
    pub fn cheapest(&self) -> Option<(usize, &CaseOption)> {
        self.options.iter().enumerate().min_by(|(_, a), (_, b)| {
            // a.price / a.capacity < b.price / b.capacity, in whole numbers.
            let left = i128::from(a.price_per_hour.0) * i128::from(b.capacity.0);
            let right = i128::from(b.price_per_hour.0) * i128::from(a.capacity.0);
            left.cmp(&right).then(a.capacity.cmp(&b.capacity))
        })
    }

    /// Counts the VMs of a type that cover a demand, within floor and ceiling.
    pub(super) fn needed(&self, demand: FixedValue, option: &CaseOption) -> u32 {
        self.bounded(covering(demand, option))
    }

    /// Holds a count within floor and ceiling.
    pub(super) fn bounded(&self, count: u32) -> u32 {
        count.max(self.floor).min(self.ceiling)
    }

    /// The last known demand before the window; 0 if there is none.
    pub(super) fn demand_before(&self) -> FixedValue {
        self.history
            .iter()
            .rev()
            .find_map(|value| *value)
            .unwrap_or_default()
    }

    /// Demand per interval of history and window, in units, missing ones filled with the last known value;
    /// what is missing before the first known value is left out of the history.
    pub(super) fn units_carried(&self) -> Vec<f64> {
        let unknown = self.history.iter().take_while(|value| value.is_none());
        let mut last = FixedValue(0);
        let all = self
            .history
            .iter()
            .skip(unknown.count())
            .chain(&self.demand);
        all.map(|value| {
            last = value.unwrap_or(last);
            last.units()
        })
        .collect()
    }

    /// Counts the VMs of the cheapest type that cover so many units.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of VMs, clamped to the range"
    )]
    pub(super) fn covering_units(&self, units: f64) -> u32 {
        let capacity = self
            .cheapest()
            .map_or(1.0, |(_, option)| option.capacity.units());
        let count = (units / capacity.max(1e-6) - NOISE).ceil();
        count.clamp(0.0, f64::from(u32::MAX)) as u32
    }

    /// Demand per interval of the window, missing ones filled with the last known value.
    pub(super) fn demand_carried(&self) -> Vec<FixedValue> {
        let mut last = self.demand_before();
        self.demand
            .iter()
            .map(|value| {
                last = value.unwrap_or(last);
                last
            })
            .collect()
    }
}

/// Counts the VMs of a type that cover a demand.
pub(super) fn covering(demand: FixedValue, option: &CaseOption) -> u32 {
    let count = demand
        .0
        .max(0)
        .unsigned_abs()
        .div_ceil(option.capacity.0.max(1).unsigned_abs());
    u32::try_from(count).unwrap_or(u32::MAX)
}
