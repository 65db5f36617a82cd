//! A report on the real sample traces with a plain stand-in for Twinscale: last weeks' mean and spread.

use crate::report::{
    AssumedPrice, Contender, Contest, CustomerReport, FrontierPoint, MissTally, ReportInput,
    Restart, Score, SourceNote, TierPoint, TierReport,
};
use crate::rivals::{
    CaseOption, Outcome, RivalPlans, TARGETS, TierCase, evaluate, lifetimes_of_counts,
    perfect_foresight,
};
use crate::samples::{
    POLICIES, STACKS, SampleCustomer, sample_customers, sample_events, sample_trace,
};
use crate::trace::CustomerTrace;
use twinscale_cluster_config::{PolicyFile, StackFile, assumed_prices, planned_capacity};
use twinscale_protocol::metric;
use twinscale_protocol::policy::Policy;
use twinscale_protocol::stack::Tier;
use twinscale_protocol::twin::{ByCause, GuardRule, Miss, Unserved};
use twinscale_protocol::{DomainTime, FixedValue, MicroDollars, Seconds, TierName};

const HOURS_PER_WEEK: usize = 168;

/// Makes the report.
pub(crate) fn example() -> ReportInput {
    let trace = sample_trace().expect("a trace");
    let events = sample_events().expect("events");
    let policies = PolicyFile::parse(POLICIES, "policies").expect("policies");
    let stacks = StackFile::parse(STACKS, "stacks").expect("stacks");
    let samples = sample_customers().expect("customers");
    let customers = samples.iter().map(|sample| {
        let stack = stacks.stated(&sample.customer).expect("a stack");
        let policy = policies.policy_of(&sample.customer);
        let history = &trace.customers[&sample.customer];
        CustomerReport {
            customer: sample.customer.clone(),
            start: sample.replay_start,
            interval: sample.interval,
            tiers: stack
                .tiers
                .iter()
                .map(|tier| tier_report(sample, history, policy, tier))
                .collect(),
            extras: Contest::default(),
            misses: misses(sample),
            events: events
                .of(&sample.customer)
                .into_iter()
                .filter(|event| event.end > sample.replay_start && event.start < sample.replay_end)
                .collect(),
            restarts: vec![Restart {
                at: DomainTime(sample.replay_start.0 + 9 * 86_400 + 7_200),
                actor: "forecaster".to_owned(),
            }],
            assumed_prices: assumed_prices(stack)
                .into_iter()
                .map(|option| AssumedPrice {
                    vm_type: option.vm_type.clone(),
                    price_per_hour: option.price_per_hour,
                })
                .collect(),
        }
    });
    let customers: Vec<CustomerReport> = customers.collect();
    let mut sources: Vec<SourceNote> = samples
        .iter()
        .map(|sample| SourceNote {
            dataset: sample.dataset.clone(),
            attribution: sample.attribution.clone(),
            licence: sample.licence.clone(),
        })
        .collect();
    sources.sort();
    sources.dedup();
    ReportInput {
        title: "Example on the sample traces".to_owned(),
        seed: 1,
        frontier: frontier(&customers),
        customers,
        sources,
        notes: vec!["A stand-in plans here, not Twinscale.".to_owned()],
    }
}

/// A few made-up misses with every cause.
fn misses(sample: &SampleCustomer) -> MissTally {
    let part = |hours: i64| Unserved {
        vm_seconds: FixedValue(hours * 3_600_000_000),
        money: MicroDollars(hours * 1_920_000),
    };
    let mut tally = MissTally::default();
    for number in 0..40_i64 {
        tally.add(&Miss {
            tier: TierName::new("web").expect("a name"),
            step_at: DomainTime(sample.replay_start.0 + number * 36_000),
            demand: FixedValue(12_500_000 + number),
            served: FixedValue(10_000_000),
            forecast_high: Some(FixedValue(11_000_000)),
            planned: Some(FixedValue(10_500_000)),
            short: Seconds(3_600),
            causes: ByCause {
                forecast: part(number % 7),
                plan: part(number % 5),
                guardrail: part(number % 3),
                provider: part(number % 2),
                start_up: part(1),
            },
            rule: Some(GuardRule::StepLimit),
        });
    }
    tally
}

/// Twinscale's own point and a curve for each rival.
fn frontier(customers: &[CustomerReport]) -> Vec<FrontierPoint> {
    let scores = customers.iter().fold(Score::default(), |sum, one| {
        sum.plus(&one.scores().twinscale)
    });
    let own = FrontierPoint {
        contender: Contender::Twinscale,
        knob: None,
        is_shown: true,
        cost_ratio: 1.3,
        under_share: scores.under_share(),
        unserved_share: scores.unserved_share(),
    };
    let rivals = [Contender::Reactive, Contender::Predictive];
    let curves = rivals.into_iter().flat_map(|contender| {
        TARGETS.into_iter().map(move |target| FrontierPoint {
            contender,
            knob: Some(target),
            is_shown: (target - 0.8).abs() < 1e-9,
            cost_ratio: 0.8 / target,
            under_share: 0.3 * target * target,
            unserved_share: 0.1 * target * target,
        })
    });
    std::iter::once(own).chain(curves).collect()
}

fn tier_report(
    sample: &SampleCustomer,
    history: &CustomerTrace,
    policy: &Policy,
    tier: &Tier,
) -> TierReport {
    let series = &history.series[&tier.demand];
    let case = TierCase {
        start: sample.replay_start,
        interval: sample.interval,
        demand: series.grid(sample.replay_start, sample.replay_end),
        history: series.grid(sample.history_start, sample.replay_start),
        options: tier
            .vm_types
            .iter()
            .map(|option| CaseOption {
                vm_type: option.vm_type.clone(),
                price_per_hour: option.price_per_hour,
                capacity: planned_capacity(policy, tier, option).expect("a capacity"),
            })
            .collect(),
        start_up: tier.start_up,
        minimum_bill: tier.minimum_bill,
        floor: tier.min_vms.max(policy.limits.floor).0,
        ceiling: policy.limits.ceiling.0,
    };
    let forecasts = forecasts(&case);
    let (index, option) = case.cheapest().expect("an option");
    let counts: Vec<u32> = forecasts
        .iter()
        .map(|[_, _, high]| {
            let count = high
                .0
                .unsigned_abs()
                .div_ceil(option.capacity.0.unsigned_abs());
            u32::try_from(count)
                .expect("a sane count")
                .clamp(case.floor, case.ceiling)
        })
        .collect();
    let initial = counts.first().copied().unwrap_or_default();
    let plans = RivalPlans::new(&case);
    let outcomes = Contest {
        twinscale: evaluate(&case, &lifetimes_of_counts(&case, index, initial, &counts)),
        reactive: plans.reactive(0.8),
        predictive: plans.predictive(0.8),
        autopilot: plans.autopilot(0.8),
        static_peak: plans.static_peak(1.0),
        foresight: evaluate(&case, &perfect_foresight(&case)),
    };
    TierReport {
        tier: tier.name.clone(),
        demand: tier.demand.clone(),
        unit: metric::find(&tier.demand.metric)
            .expect("a known metric")
            .unit
            .to_owned(),
        points: points(&case, &forecasts, &outcomes),
        outcomes,
    }
}

fn points(
    case: &TierCase,
    forecasts: &[[FixedValue; 3]],
    outcomes: &Contest<Outcome>,
) -> Vec<TierPoint> {
    let supplies = outcomes
        .twinscale
        .serving
        .iter()
        .zip(&outcomes.reactive.serving);
    case.demand
        .iter()
        .zip(forecasts)
        .zip(supplies)
        .map(|((demand, forecast), (own, rival))| TierPoint {
            demand: *demand,
            forecast: Some(*forecast),
            supply: *own,
            supply_reactive: *rival,
        })
        .collect()
}

/// Mean of the same hour in the last three weeks, corrected by the last hours' error, give or take the
/// spread of its own past errors. Sees only hours before each step.
fn forecasts(case: &TierCase) -> Vec<[FixedValue; 3]> {
    let mut known: Vec<f64> = Vec::new();
    for value in case.history.iter().chain(&case.demand) {
        let last = known.last().copied().unwrap_or_default();
        known.push(value.map_or(last, FixedValue::units));
    }
    let seasonal = |at: usize| {
        let weeks: Vec<f64> = (1..=3)
            .filter_map(|week| known.get(at.checked_sub(week * HOURS_PER_WEEK)?))
            .copied()
            .collect();
        if weeks.is_empty() {
            known[at.saturating_sub(1)]
        } else {
            weeks.iter().sum::<f64>() / weeks.len() as f64
        }
    };
    let centre = |at: usize| {
        let error = known[at - 1] - seasonal(at - 1);
        (seasonal(at) + 0.7 * error).max(0.0)
    };
    let first = case.history.len();
    let mut spread = known[..first].iter().sum::<f64>() / first as f64 * 0.1;
    (first..known.len())
        .map(|at| {
            if at > first {
                let miss = (known[at - 1] - centre(at - 1)).abs();
                spread = 0.95 * spread + 0.05 * miss;
            }
            let middle = centre(at);
            [middle - 2.0 * spread, middle, middle + 2.0 * spread].map(FixedValue::from_model)
        })
        .collect()
}
