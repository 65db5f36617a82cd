//! What is replayed: customers with their history, their steps and their configuration.
//!
//! Invariant: every sample of a trace is either history (before the first step) or belongs to exactly
//! one step; a step's samples become known at its end.

use crate::error::ExpectedError;
use crate::samples::{self, SampleCustomer};
use crate::trace::{CustomerTrace, Events, Trace};
use twinscale_cluster_config::{PolicyFile, StackFile, check_customer};
use twinscale_protocol::policy::Policy;
use twinscale_protocol::stack::Stack;
use twinscale_protocol::{CustomerId, DomainTime, Event, Sample, Seconds};

/// Steps replayed before the scored ones, so that the allocation at the start is the system's own.
pub const WARM_UP: Seconds = Seconds(86_400);

/// Longest horizon, in time: a day of hourly steps, four hours of shorter ones.
const HORIZON_HOURLY_STEPS: u16 = 24;
const HORIZON_SHORT_STEPS: u16 = 48;
const HOUR: u32 = 3_600;
const WEEK: u32 = 7 * 86_400;

/// Most steps of one replay: half a year of five-minute steps, so that memory stays bounded.
const STEPS_MAX: usize = 52_560;

/// One customer to be replayed.
#[derive(Clone, Debug)]
pub struct ReplayCustomer {
    /// Its name.
    pub customer: CustomerId,
    /// Its policy.
    pub policy: Policy,
    /// Its stack.
    pub stack: Stack,
    /// Length of a step.
    pub interval: Seconds,
    /// How far forecasts and plans look ahead.
    pub horizon_steps: u16,
    /// Samples from before the first step.
    pub history: Vec<Sample>,
    /// Start of the first step.
    pub first_step_at: DomainTime,
    /// The samples of each step.
    pub steps: Vec<Vec<Sample>>,
    /// Index of the first step that is scored.
    pub scored_from: usize,
    /// Its events.
    pub events: Vec<Event>,
    /// All its observations, for rivals and reports.
    pub trace: CustomerTrace,
    /// Where the data come from, for reports: source, licence, attribution.
    pub origin: Option<SampleCustomer>,
}

impl ReplayCustomer {
    /// Start of a step.
    pub fn step_at(&self, step: usize) -> DomainTime {
        let seconds = i64::try_from(step)
            .unwrap_or(i64::MAX)
            .saturating_mul(i64::from(self.interval.0));
        DomainTime(self.first_step_at.0.saturating_add(seconds))
    }

    /// Start of the scored part.
    pub fn scored_start(&self) -> DomainTime {
        self.step_at(self.scored_from)
    }

    /// End of the replay.
    pub fn end(&self) -> DomainTime {
        self.step_at(self.steps.len())
    }
}

/// The part of a trace that is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayWindow {
    /// Start of the first scored step.
    pub start: DomainTime,
    /// End of the last step.
    pub end: DomainTime,
}

/// Loads the sample customers that ship with the program.
///
/// # Errors
/// When this build embeds broken files.
pub fn from_samples(customers: usize, weeks: u32) -> anyhow::Result<Vec<ReplayCustomer>> {
    let mut trace = samples::sample_trace()?;
    let events = samples::sample_events()?;
    let policies = PolicyFile::parse(samples::POLICIES, "samples/config/policies.toml")?;
    let stacks = StackFile::parse(samples::STACKS, "samples/config/stacks.toml")?;
    let mut found = Vec::new();
    for origin in samples::sample_customers()?.into_iter().take(customers) {
        let start = origin.replay_start;
        let length = Seconds(weeks.saturating_mul(WEEK));
        let window = ReplayWindow {
            start,
            end: origin.replay_end.min(start.plus(length)),
        };
        let observed = trace.customers.remove(&origin.customer).unwrap_or_default();
        let mut one = customer(
            &origin.customer,
            observed,
            &policies,
            &stacks,
            &events,
            Some(window),
        )?;
        one.origin = Some(origin);
        found.push(one);
    }
    Ok(found)
}

/// Makes customers of a trace that a person brought.
///
/// # Errors
/// When policy and stack do not fit the trace, or a customer has too little history; all customers'
/// troubles are told at once.
pub fn from_trace(
    trace: Trace,
    policies: &PolicyFile,
    stacks: &StackFile,
    events: &Events,
    window: Option<ReplayWindow>,
) -> anyhow::Result<Vec<ReplayCustomer>> {
    let mut found = Vec::new();
    for (name, observed) in trace.customers {
        found.push(customer(&name, observed, policies, stacks, events, window)?);
    }
    if found.is_empty() {
        return Err(ExpectedError::input_hint(
            "the trace has no samples",
            "give a CSV file with the columns customer,vm_type,metric,timestamp,value",
        )
        .into());
    }
    Ok(found)
}

fn customer(
    name: &CustomerId,
    trace: CustomerTrace,
    policies: &PolicyFile,
    stacks: &StackFile,
    events: &Events,
    window: Option<ReplayWindow>,
) -> anyhow::Result<ReplayCustomer> {
    let policy = policies.policy_of(name).clone();
    let series = trace.series.keys().cloned().collect();
    let stack = stacks.stack_of(name, &series, &policy);
    check_customer(name, &policy, &stack).map_err(|error| {
        ExpectedError::input(format!("customer `{name}` cannot be planned for"), error)
    })?;
    check_series(name, &trace, &stack)?;
    let interval = trace.interval();
    let window = checked_window(name, &trace, interval, window)?;
    let first_step_at = window.start.minus(WARM_UP).floor_to(interval);
    let (history, steps) = split(&trace, interval, first_step_at, window.end);
    let scored_from = usize::try_from(WARM_UP.0 / interval.0.max(1)).unwrap_or(0);
    Ok(ReplayCustomer {
        customer: name.clone(),
        policy,
        stack,
        interval,
        horizon_steps: if interval.0 >= HOUR {
            HORIZON_HOURLY_STEPS
        } else {
            HORIZON_SHORT_STEPS
        },
        history,
        first_step_at,
        steps,
        scored_from,
        events: events.of(name),
        trace,
        origin: None,
    })
}

fn check_series(name: &CustomerId, trace: &CustomerTrace, stack: &Stack) -> anyhow::Result<()> {
    let tiers = stack.tiers.iter().map(|tier| (&tier.name, &tier.demand));
    let volumes = stack
        .volumes
        .iter()
        .map(|volume| (&volume.name, &volume.demand));
    for (part, demand) in tiers.chain(volumes) {
        if !trace.series.contains_key(demand) {
            let known: Vec<String> = trace.series.keys().map(ToString::to_string).collect();
            return Err(ExpectedError::input_hint(
                format!("customer `{name}`: `{part}` is to serve the series `{demand}`, which the trace does not have"),
                format!("name one of: {}", known.join(", ")),
            )
            .into());
        }
    }
    if stack.tiers.is_empty() {
        return Err(ExpectedError::input_hint(
            format!("customer `{name}` has no series that is a demand of VMs"),
            "bring a demand metric such as vm_count, or map one in the policy: [default.metrics.NAME] capacity_per_vm = ...",
        )
        .into());
    }
    Ok(())
}

/// A trace without a window is replayed in its last third, four weeks at the most.
fn checked_window(
    name: &CustomerId,
    trace: &CustomerTrace,
    interval: Seconds,
    window: Option<ReplayWindow>,
) -> anyhow::Result<ReplayWindow> {
    let (begin, end) = trace.span().unwrap_or_default();
    let third = u32::try_from(end.seconds_since(begin) / 3).unwrap_or(u32::MAX);
    let default = ReplayWindow {
        start: end.minus(Seconds(third.min(4 * WEEK))).floor_to(interval),
        end,
    };
    let window = window.unwrap_or(default);
    let window = ReplayWindow {
        start: window.start.floor_to(interval),
        end: window.end.min(end),
    };
    let earliest = begin.plus(WARM_UP).plus(WARM_UP);
    if window.start < earliest || window.start >= window.end {
        return Err(ExpectedError::input_hint(
            format!(
                "customer `{name}`: a replay from {} to {} does not fit its samples from {begin} to {end}",
                window.start, window.end
            ),
            "leave at least two days of history before --from, and something to replay behind it",
        )
        .into());
    }
    let steps = window.end.seconds_since(window.start) / i64::from(interval.0.max(1));
    if usize::try_from(steps).is_ok_and(|steps| steps <= STEPS_MAX) {
        return Ok(window);
    }
    Err(ExpectedError::input_hint(
        format!("customer `{name}`: {steps} steps are more than the {STEPS_MAX} of one replay"),
        "choose a shorter window with --from and --until",
    )
    .into())
}

fn split(
    trace: &CustomerTrace,
    interval: Seconds,
    first_step_at: DomainTime,
    end: DomainTime,
) -> (Vec<Sample>, Vec<Vec<Sample>>) {
    let length = i64::from(interval.0.max(1));
    let count = usize::try_from(end.seconds_since(first_step_at) / length).unwrap_or(0);
    let mut history = Vec::new();
    let mut steps = vec![Vec::new(); count];
    for sample in trace.samples_by_time() {
        if sample.at < first_step_at {
            history.push(sample);
            continue;
        }
        let index = sample.at.seconds_since(first_step_at) / length;
        if let Some(step) = usize::try_from(index)
            .ok()
            .and_then(|index| steps.get_mut(index))
        {
            step.push(sample);
        }
    }
    (history, steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_make_twelve_customers_with_four_weeks_each() {
        let customers = from_samples(12, 4).expect("the samples load");
        assert_eq!(customers.len(), 12);
        for one in &customers {
            assert!(
                (28 * 24..=29 * 24).contains(&one.steps.len()),
                "{}",
                one.customer
            );
            assert_eq!(one.scored_from, 24);
            let origin = one.origin.as_ref().expect("samples have an origin");
            assert_eq!(one.scored_start(), origin.replay_start);
            assert!(
                origin.replay_start >= origin.cut,
                "{} is replayed before its cut",
                one.customer
            );
            assert!(
                one.history.len() > 500,
                "{}: {}",
                one.customer,
                one.history.len()
            );
            let replayed: usize = one.steps.iter().map(Vec::len).sum();
            assert!(replayed > 28 * 24 / 2, "{}: {replayed}", one.customer);
        }
    }

    #[test]
    fn every_sample_is_history_or_in_one_step_or_behind_the_window() {
        let one = from_samples(1, 1).expect("the samples load").remove(0);
        for (index, step) in one.steps.iter().enumerate() {
            let (from, until) = (one.step_at(index), one.step_at(index + 1));
            assert!(step.iter().all(|sample| (from..until).contains(&sample.at)));
        }
        assert!(
            one.history
                .iter()
                .all(|sample| sample.at < one.first_step_at)
        );
        let behind = one
            .trace
            .samples_by_time()
            .iter()
            .filter(|sample| sample.at >= one.end())
            .count();
        let replayed: usize = one.steps.iter().map(Vec::len).sum();
        assert_eq!(
            one.history.len() + replayed + behind,
            one.trace.sample_count()
        );
    }
}
