//! A reactive autoscaler after the Kubernetes Horizontal Pod Autoscaler.
//!
//! Source: Kubernetes documentation, horizontal pod autoscaling, algorithm details and default behaviour:
//! desired = ceil(ready * utilisation / target) outside a tolerance; VMs that do not serve yet count as
//! idle on the way up; scale-down follows the largest recommendation of the stabilisation window.

use super::case::{NOISE, TierCase};
use super::lifetimes::{VmLife, lifetimes_of_counts};
use std::collections::VecDeque;
use twinscale_protocol::Seconds;

/// The utilisation that capacities are planned for: what they have left of it is taken off.
const PLANNED_UTILISATION: f64 = 0.8;

/// Behaviour of the reactive autoscaler; the default is that of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReactiveSettings {
    /// Utilisation to hold. At 0.8 it is the one that capacities are planned for.
    pub target: f64,
    /// Relative deviation from the target that is left alone.
    pub tolerance: f64,
    /// Time between two looks at the newest sample.
    pub sync: Seconds,
    /// How long the largest recommendation holds off a scale-down.
    pub down_stabilisation: Seconds,
    /// VMs that one look may add at least.
    pub up_count: u32,
    /// Factor by which one look may grow the tier at least.
    pub up_factor: f64,
}

impl Default for ReactiveSettings {
    /// The planned utilisation, tolerance 0.1, a look every 15 s, 300 s down-stabilisation, up by the larger of 4 VMs and 100 %.
    fn default() -> Self {
        Self {
            target: PLANNED_UTILISATION,
            tolerance: 0.1,
            sync: Seconds(15),
            down_stabilisation: Seconds(300),
            up_count: 4,
            up_factor: 2.0,
        }
    }
}

impl ReactiveSettings {
    /// Scales a demand so that capacities as planned hold it at the target utilisation.
    pub(super) fn scaled(&self, units: f64) -> f64 {
        units * (PLANNED_UTILISATION / self.target.max(1e-3))
    }
}

/// Serves a tier reactively with its cheapest VM type per unit of capacity.
///
/// At each interval's start it sees the interval that has just ended, and looks at it until its wish stands
/// still or the interval is over.
pub fn reactive(case: &TierCase, settings: &ReactiveSettings) -> Vec<VmLife> {
    let Some((option, _)) = case.cheapest() else {
        return Vec::new();
    };
    let counts = reactive_counts(case, settings);
    lifetimes_of_counts(case, option, initial(case), &counts)
}

/// Computes the wanted count per interval of the window.
pub fn reactive_counts(case: &TierCase, settings: &ReactiveSettings) -> Vec<u32> {
    reactive_counts_above(case, settings, &[])
}

/// Computes the wanted count per interval of the window, never below a floor of its own per interval.
pub(super) fn reactive_counts_above(
    case: &TierCase,
    settings: &ReactiveSettings,
    floors: &[u32],
) -> Vec<u32> {
    let Some((_, option)) = case.cheapest() else {
        return Vec::new();
    };
    let interval = case.interval.0.max(1);
    let looks = (interval / settings.sync.0.max(1)).max(1);
    let starting_steps = (case.start_up.0 / interval) as usize;
    let remembered = (settings.down_stabilisation.0 / interval) as usize;
    let mut current = f64::from(initial(case));
    let mut history = VecDeque::from(vec![current; starting_steps + 1]);
    let mut recommendations: VecDeque<f64> = VecDeque::new();
    let carried = case.demand_carried();
    let seen = std::iter::once(case.demand_before()).chain(carried);
    let mut counts = Vec::with_capacity(case.demand.len());
    for (step, demand) in seen.take(case.demand.len()).enumerate() {
        let floor = floors.get(step).copied().unwrap_or_default();
        let ready = history.iter().copied().fold(f64::INFINITY, f64::min);
        let mut tier = Tier {
            load: settings.scaled(demand.0.max(0) as f64) / option.capacity.0.max(1) as f64,
            ready: ready.max(1.0),
            current,
        };
        let past = recommendations.iter().copied().fold(0.0, f64::max);
        let best = tier.settle(settings, looks, past, |count| {
            bounded(case, count.max(f64::from(floor)))
        });
        current = tier.current;
        if remembered > 0 {
            recommendations.push_back(best);
            if recommendations.len() > remembered {
                recommendations.pop_front();
            }
        }
        history.push_back(current);
        history.pop_front();
        counts.push(count_of(current));
    }
    counts
}

/// What the autoscaler sees at one decision.
struct Tier {
    /// Demand of the newest sample, in VMs at the target utilisation.
    load: f64,
    /// VMs that served throughout the newest sample, at least 1.
    ready: f64,
    /// VMs wanted so far.
    current: f64,
}

impl Tier {
    /// Looks until nothing changes; answers the largest raw recommendation.
    fn settle(
        &mut self,
        settings: &ReactiveSettings,
        looks: u32,
        past: f64,
        bound: impl Fn(f64) -> f64,
    ) -> f64 {
        let mut best: f64 = 0.0;
        for _ in 0..looks {
            let raw = self.recommendation(settings).max(1.0);
            best = best.max(raw);
            let wanted = if raw > self.current {
                let most = (self.current * settings.up_factor)
                    .max(self.current + f64::from(settings.up_count));
                raw.min(most)
            } else {
                self.current.min(raw.max(past.max(best)))
            };
            let wanted = bound(wanted);
            if same(wanted, self.current) {
                break;
            }
            self.current = wanted;
        }
        best
    }

    /// The raw recommendation: tolerance and VMs that are not ready, nothing else.
    fn recommendation(&self, settings: &ReactiveSettings) -> f64 {
        let unready = (self.current - self.ready).max(0.0);
        let ready = self.ready.min(self.current).max(1.0);
        let ratio = self.load / ready;
        if unready > 0.0 && ratio > 1.0 {
            // Those that do not serve yet count as idle; if that turns the direction, nothing happens.
            let damped = self.load / (ready + unready);
            let wanted = (self.load - NOISE).ceil();
            let stays = (1.0 - damped).abs() <= settings.tolerance + NOISE
                || damped < 1.0
                || wanted < self.current;
            return if stays { self.current } else { wanted };
        }
        if (1.0 - ratio).abs() <= settings.tolerance + NOISE {
            self.current
        } else {
            (ratio * ready - NOISE).ceil()
        }
    }
}

/// VMs that serve when the window begins: those that the last sample before it needs.
pub(super) fn initial(case: &TierCase) -> u32 {
    case.cheapest()
        .map(|(_, option)| case.needed(case.demand_before(), option))
        .unwrap_or_default()
}

fn bounded(case: &TierCase, count: f64) -> f64 {
    f64::from(case.bounded(count_of(count)))
}

fn same(left: f64, right: f64) -> bool {
    (left - right).abs() < 0.5
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of VMs, clamped to the range"
)]
fn count_of(count: f64) -> u32 {
    count.clamp(0.0, f64::from(u32::MAX)).round() as u32
}
