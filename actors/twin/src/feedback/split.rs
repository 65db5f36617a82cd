//! One moment's missing demand, split over its causes; and the sums of a step, brought into units.

use twinscale_protocol::twin::{ByCause, MissCause, Unserved};
use twinscale_protocol::units::MICROS;
use twinscale_protocol::{FixedValue, MicroDollars};

const SECONDS_PER_HOUR: i128 = 3_600;

/// What a moment's judgement rests on, in millionths of the demand metric's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// What was wanted.
    pub(crate) demand: i64,
    /// What served.
    pub(crate) serving: i64,
    /// The highest quantile of the forecast; 0 without one.
    pub(crate) high: i64,
    /// What the plan wanted to serve; 0 without one.
    pub(crate) planned: i64,
    /// Whether a limit kept the plan from more.
    pub(crate) is_bound: bool,
    /// What limits held back of the plan.
    pub(crate) held: i64,
    /// What the provider refused, lost or has not answered for.
    pub(crate) failed: i64,
}

/// Splits what is missing at a moment; the parts add up to demand minus serving, or to nothing.
pub(crate) fn split(moment: &Moment) -> ByCause<i64> {
    let Moment {
        demand,
        serving,
        high,
        planned,
        is_bound,
        held,
        failed,
    } = *moment;
    let mut causes = ByCause::default();
    if demand <= serving {
        return causes;
    }
    let foreseen = demand.min(high.max(planned)).max(serving);
    causes.forecast = demand.saturating_sub(foreseen);
    let wanted = foreseen.min(planned).max(serving);
    let unplanned = foreseen.saturating_sub(wanted);
    let mut rest = wanted.saturating_sub(serving);
    let mut take = |most: i64| {
        let part = most.clamp(0, rest);
        rest = rest.saturating_sub(part);
        part
    };
    causes.guardrail = take(held);
    causes.provider = take(failed);
    causes.start_up = rest;
    if is_bound {
        causes.guardrail = causes.guardrail.saturating_add(unplanned);
    } else {
        causes.plan = unplanned;
    }
    causes
}

/// What one unit of demand is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnitWorth {
    /// Units that one VM of the cheapest type per capacity covers.
    pub(crate) capacity: FixedValue,
    /// Price of one unit that is not served for one hour.
    pub(crate) price_per_unit_hour: MicroDollars,
}

/// Brings sums of millionths of a unit times seconds into VM-seconds and money.
///
/// Rounded down as running sums, in the order of the causes, so that the parts add up to the whole as it
/// is rounded itself.
pub(crate) fn worth(sums: &ByCause<i128>, unit: UnitWorth) -> ByCause<Unserved> {
    let capacity = i128::from(unit.capacity.0.max(1));
    let price = i128::from(unit.price_per_unit_hour.0);
    let micros = i128::from(MICROS);
    let vm_seconds = |sum: i128| clamped(sum.saturating_mul(micros) / capacity);
    let money = |sum: i128| clamped(sum.saturating_mul(price) / (SECONDS_PER_HOUR * micros));
    let mut before = 0_i128;
    ByCause::of(|cause: MissCause| {
        let after = before.saturating_add(*sums.get(cause));
        let part = Unserved {
            vm_seconds: FixedValue(vm_seconds(after).saturating_sub(vm_seconds(before))),
            money: MicroDollars(money(after).saturating_sub(money(before))),
        };
        before = after;
        part
    })
}

fn clamped(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
