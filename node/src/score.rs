//! What a replay cost and served, beside its rivals under the same rules.
//!
//! Invariant: Twinscale's VMs, volumes and link come from the provider's ledger, never from its own plans;
//! all contenders are priced by the same functions ([`evaluate`], [`crate::rivals::extras`]).

use crate::replay::ReplayedCustomer;
use crate::report::{Contender, Contest, FrontierPoint, Score};
use crate::rivals::extras::{ExtraCost, ExtraDemand, link_cost, volume_cost};
use crate::rivals::{
    CaseOption, MULTIPLES, Outcome, ReactiveSettings, RivalPlans, TARGETS, TierCase, VmLife,
    evaluate, perfect_foresight,
};
use crate::trace::SeriesTrace;
use crate::workload::ReplayCustomer;
use std::collections::BTreeMap;
use twinscale_cluster_config::planned_capacity;
use twinscale_protocol::stack::Tier;
use twinscale_protocol::{FixedValue, MicroDollars, Seconds, SeriesKey, TierName, VmTypeId};
use twinscale_provisioner::lifetimes::Lifetimes;
use twinscale_twin::demand::mbps_factor;

/// VMs that a provider's ledger holds, by tier and type.
pub type LedgerVms = BTreeMap<(TierName, VmTypeId), Lifetimes>;

/// One tier under each contender.
#[derive(Clone, Debug)]
pub struct TierScores {
    /// As each contender is shown.
    pub outcomes: Contest<Outcome>,
    /// The rivals at every setting of their knobs.
    pub sweep: Vec<KnobScore>,
}

/// A rival at one setting of its knob.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnobScore {
    /// Who.
    pub contender: Contender,
    /// The setting.
    pub knob: f64,
    /// What it comes to.
    pub score: Score,
}

/// Prices one tier of a replay under each contender; VMs of rivals serve `rival_start_up` after their
/// request, or the tier's start-up time where that is shorter.
#[must_use]
pub fn score_tier(
    replayed: &ReplayCustomer,
    tier: &Tier,
    vms: &LedgerVms,
    rival_start_up: Seconds,
) -> TierScores {
    let case = TierCase {
        start_up: rival_start_up.min(tier.start_up),
        ..case_of(replayed, tier)
    };
    let plans = RivalPlans::new(&case);
    let shown = ReactiveSettings::default().target;
    let outcomes = Contest {
        twinscale: evaluate(&case, &lives_of(tier, vms)),
        reactive: plans.reactive(shown),
        predictive: plans.predictive(shown),
        autopilot: plans.autopilot(shown),
        static_peak: plans.static_peak(1.0),
        foresight: evaluate(&case, &perfect_foresight(&case)),
    };
    TierScores {
        outcomes,
        sweep: sweep(&plans),
    }
}

/// Prices what Twinscale's ledger holds for a tier, without any rival.
#[must_use]
pub fn score_own(replayed: &ReplayCustomer, vms: &LedgerVms) -> Score {
    let tiers = replayed.stack.tiers.iter();
    tiers.fold(Score::default(), |sum, tier| {
        let case = case_of(replayed, tier);
        sum.plus(&Score::of(&evaluate(&case, &lives_of(tier, vms))))
    })
}

fn sweep(plans: &RivalPlans<'_>) -> Vec<KnobScore> {
    let targets = TARGETS.into_iter().flat_map(|target| {
        [
            (Contender::Reactive, target, plans.reactive(target)),
            (Contender::Predictive, target, plans.predictive(target)),
            (Contender::Autopilot, target, plans.autopilot(target)),
        ]
    });
    let multiples = MULTIPLES.into_iter().map(|multiple| {
        let outcome = plans.static_peak(multiple);
        (Contender::StaticPeak, multiple, outcome)
    });
    let points = targets.chain(multiples);
    points
        .map(|(contender, knob, outcome)| KnobScore {
            contender,
            knob,
            score: Score::of(&outcome),
        })
        .collect()
}

/// Adds the sweep of another tier, knob by knob.
pub fn add_sweep(sum: &mut Vec<KnobScore>, tier: Vec<KnobScore>) {
    if sum.is_empty() {
        *sum = tier;
        return;
    }
    for (sum, one) in sum.iter_mut().zip(tier) {
        sum.score = sum.score.plus(&one.score);
    }
}

/// What a customer's volumes and link cost each contender.
#[must_use]
pub fn score_extras(
    replayed: &ReplayCustomer,
    outcome: &ReplayedCustomer,
) -> Contest<MicroDollars> {
    let interval = replayed.interval;
    let demand = |key: &SeriesKey| {
        let (start, end) = (replayed.scored_start(), replayed.end());
        let series = replayed.trace.series.get(key);
        let grid = |from, until| series.map(|one| one.grid(from, until)).unwrap_or_default();
        let first = series.and_then(SeriesTrace::first_at).unwrap_or(start);
        ExtraDemand {
            history: grid(first.min(start), start),
            window: grid(start, end),
        }
    };
    let volumes = replayed.stack.volumes.iter();
    let volumes = volumes.map(|volume| volume_cost(volume, &demand(&volume.demand), interval));
    let links = replayed.stack.link.iter().map(|link| {
        // Configured, so the metric was checked to be one of a link.
        let (numerator, denominator) = mbps_factor(&link.demand, interval).unwrap_or((1, 1));
        let mbps = |value: FixedValue| {
            let mbps = i128::from(value.0) * i128::from(numerator) / i128::from(denominator);
            FixedValue(i64::try_from(mbps).unwrap_or(i64::MAX))
        };
        link_cost(link, &demand(&link.demand), interval, mbps)
    });
    let sum = volumes
        .chain(links)
        .fold(ExtraCost::default(), |sum, one| ExtraCost {
            rival: sum.rival.plus(one.rival),
            foresight: sum.foresight.plus(one.foresight),
        });
    Contest::of(|contender| match contender {
        Contender::Twinscale => outcome.storage_and_link,
        Contender::Foresight => sum.foresight,
        _ => sum.rival,
    })
}

/// Adds up customers, each of which counts the same, to one point of a frontier.
#[derive(Clone, Copy, Debug, Default)]
pub struct MeanPoint {
    customers: u32,
    cost_ratio: f64,
    under_share: f64,
    unserved_share: f64,
}

impl MeanPoint {
    /// Adds a customer; one whose demand costs nothing with perfect foresight says nothing.
    pub fn add(&mut self, score: &Score, foresight: &Score) {
        if let Some(ratio) = score.cost_ratio(foresight) {
            self.customers += 1;
            self.cost_ratio += ratio;
            self.under_share += score.under_share();
            self.unserved_share += score.unserved_share();
        }
    }

    /// Makes the point; `None` without a customer.
    #[must_use]
    pub fn point(
        &self,
        contender: Contender,
        knob: Option<f64>,
        is_shown: bool,
    ) -> Option<FrontierPoint> {
        let count = f64::from(self.customers);
        (self.customers > 0).then(|| FrontierPoint {
            contender,
            knob,
            is_shown,
            cost_ratio: self.cost_ratio / count,
            under_share: self.under_share / count,
            unserved_share: self.unserved_share / count,
        })
    }
}

fn case_of(replayed: &ReplayCustomer, tier: &Tier) -> TierCase {
    let (start, end) = (replayed.scored_start(), replayed.end());
    let series = replayed.trace.series.get(&tier.demand);
    let grid = |from, until| {
        series
            .map(|series| series.grid(from, until))
            .unwrap_or_default()
    };
    let first = series.and_then(SeriesTrace::first_at);
    TierCase {
        start,
        interval: replayed.interval,
        demand: grid(start, end),
        history: grid(first.unwrap_or(start).min(start), start),
        options: options_of(replayed, tier),
        start_up: tier.start_up,
        minimum_bill: tier.minimum_bill,
        floor: tier.min_vms.0.max(replayed.policy.limits.floor.0),
        ceiling: replayed.policy.limits.ceiling.0,
    }
}

fn options_of(replayed: &ReplayCustomer, tier: &Tier) -> Vec<CaseOption> {
    let options = tier.vm_types.iter().filter_map(|option| {
        let capacity = planned_capacity(&replayed.policy, tier, option)?;
        Some(CaseOption {
            vm_type: option.vm_type.clone(),
            price_per_hour: option.price_per_hour,
            capacity,
        })
    });
    options.collect()
}

fn lives_of(tier: &Tier, vms: &LedgerVms) -> Vec<VmLife> {
    let mut lives = Vec::new();
    for (index, option) in tier.vm_types.iter().enumerate() {
        let found = vms.get(&(tier.name.clone(), option.vm_type.clone()));
        let found = found.into_iter().flat_map(|found| &found.0);
        lives.extend(found.map(|life| VmLife {
            option: index,
            requested: life.requested_at,
            serving: life.serving_at,
            ended: life.ended_at,
            count: 1,
        }));
    }
    lives
}
