//! Runs the traces through the node.

use super::suite::{Suite, SuiteTrace};
use crate::assembly::{ForecastWeights, Node, NodeOptions, NodeTwin, WatchLimits};
use crate::error::ExpectedError;
use crate::observe::Instruments;
use futures::future::try_join_all;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use twinscale_optimizer::actor::OptimizerRequest;
use twinscale_protocol::optimizer::{Plan, PlanRequest, PlanTrigger};
use twinscale_protocol::policy::{Limits, Mode, Policy, Retention, Sla};
use twinscale_protocol::stack::{Stack, Tier, TierVmType};
use twinscale_protocol::twin::{
    ConfigureRequest, IngestRequest, SAMPLES_PER_REQUEST_MAX, TickRequest,
};
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, Gib, MetricName, MicroDollars, MilliCores, PartsPerMillion,
    Sample, Seconds, SeriesKey, TierName, VmCount, VmTypeId,
};
use twinscale_provisioner::SimCloudConfig;
use twinscale_twin::demand::{PlanBasis, plan_request_under};
use twinscale_twin::{SharedTwin, TurnSummary, TwinMessage};

/// System time that a turn or a plan may take, restarts of an actor included.
const ASK_LIMIT: Duration = Duration::from_mins(15);
/// Price of a VM; only its ratio to that of an under-provisioned step matters.
const VM_PRICE_PER_HOUR: MicroDollars = MicroDollars(3_600_000);
/// Most VMs of a trace: what a decision may ask for.
const VMS_MAX: VmCount = VmCount(1_000_000);
/// Observations are kept this long: no trace is longer.
const RETENTION: Seconds = Seconds(20 * 365 * 86_400);

/// Turns and plans that wait at once, over all traces: half of what a shared actor's mailbox takes, so
/// that no number of traces and knobs overloads it.
const ASKED_MAX: usize = 512;

/// How to run.
#[derive(Clone, Debug)]
pub struct ElasticityOptions {
    /// Folder for log and store.
    pub directory: PathBuf,
    /// Root of all randomness.
    pub seed: u64,
    /// Plans that are made at once.
    pub threads: NonZeroUsize,
    /// The forecaster's weights.
    pub weights: ForecastWeights,
    /// Prices of an under-provisioned step, each a multiple of what the mean demand's VMs cost in a step.
    pub knobs: Vec<f64>,
}

/// What a trace's twin asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceDecisions {
    /// VMs asked for. Shape `[decision][knob]`.
    pub desired: Vec<Vec<u32>>,
    /// Decisions whose forecast was not the network's.
    pub fallbacks: u64,
}

/// Lets twins decide at every decision time of every trace; the answer has the suites' shape.
///
/// All traces run side by side, so that the forecaster fills its batches; what each asks for does not
/// depend on the others.
///
/// # Errors
/// When the node does not start, a sample is refused, or there is no forecast or plan.
pub async fn decide(
    suites: &[Suite],
    options: &ElasticityOptions,
    done: &(dyn Fn(u64) + Send + Sync),
) -> anyhow::Result<Vec<Vec<TraceDecisions>>> {
    let (node, _report) = Node::start(NodeOptions {
        directory: options.directory.clone(),
        seed: options.seed,
        optimizer_threads: options.threads,
        weights: options.weights.clone(),
        cloud: SimCloudConfig::with_seed(options.seed),
        watch: WatchLimits::patient(),
        instruments: Instruments::default(),
    })
    .await?;
    let count = AtomicU64::new(0);
    let asked = Semaphore::new(ASKED_MAX);
    let tell = || done(count.fetch_add(1, Ordering::Relaxed) + 1);
    let of_suite = |(number, suite)| {
        let traces = traces(suite);
        let node = &node;
        let (tell, asked) = (&tell, &asked);
        try_join_all(traces.map(move |trace| async move {
            Run::new((node, asked), (number, suite), trace, options)?
                .decide(tell)
                .await
        }))
    };
    let decisions = try_join_all(suites.iter().enumerate().map(of_suite)).await;
    node.stop().await;
    decisions
}

fn traces(suite: &Suite) -> impl Iterator<Item = (usize, &SuiteTrace)> {
    suite.traces.iter().enumerate()
}

/// One trace on its way.
struct Run<'a> {
    node: &'a Node,
    asked: &'a Semaphore,
    suite: &'a Suite,
    trace: &'a SuiteTrace,
    customer: CustomerId,
    key: SeriesKey,
    /// One per knob.
    policies: Vec<Policy>,
    seed: u64,
}

impl<'a> Run<'a> {
    fn new(
        (node, asked): (&'a Node, &'a Semaphore),
        (suite_number, suite): (usize, &'a Suite),
        (number, trace): (usize, &'a SuiteTrace),
        options: &ElasticityOptions,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            node,
            asked,
            suite,
            trace,
            customer: CustomerId::new(format!("suite-{suite_number}-trace-{number}"))?,
            key: SeriesKey {
                vm_type: VmTypeId::new("vm")?,
                metric: MetricName::new("vm_count")?,
            },
            policies: options.knobs.iter().map(|knob| policy(*knob)).collect(),
            seed: options.seed,
        })
    }

    async fn decide(&self, done: &(dyn Fn() + Send + Sync)) -> anyhow::Result<TraceDecisions> {
        let twin = self.prepare().await?;
        let mut decisions = TraceDecisions::default();
        let every = self.suite.decision_steps();
        for step in self.trace.scored_from..self.trace.load.len() {
            if (step - self.trace.scored_from).is_multiple_of(every) {
                self.turn(&twin, step).await?;
                let desired = self.desired(decisions.desired.last()).await?;
                decisions.desired.push(desired);
                done();
            }
            twin.clock.advance_to(self.at(step + 1)).await;
            twin.clock.idle().await;
            self.ingest(step..step + 1).await?;
        }
        let counters = self
            .node
            .twins()
            .read(&self.customer, twinscale_twin::TwinState::counters);
        decisions.fallbacks = counters.unwrap_or_default().fallback_forecasts;
        twin.actor.stop().await;
        Ok(decisions)
    }

    /// Starts a twin and gives it what was known before the window.
    async fn prepare(&self) -> anyhow::Result<NodeTwin> {
        let peak_steps = self.suite.start_up_s / self.suite.interval_s.max(1) + 1;
        let request = ConfigureRequest {
            customer: self.customer.clone(),
            policy: policy(1.0),
            stack: self.stack()?,
            interval: Seconds(self.suite.interval_s),
            horizon_steps: u16::try_from(peak_steps)?,
        };
        self.node
            .twins()
            .configure(request)
            .await
            .map_err(|error| self.failed(error))?;
        let history: Vec<usize> = (0..self.trace.scored_from).collect();
        for steps in history.chunks(SAMPLES_PER_REQUEST_MAX) {
            if let [first, .., last] | [first @ last] = steps {
                self.ingest(*first..last + 1).await?;
            }
        }
        self.node
            .start_twin(&self.customer, self.at(self.trace.scored_from))
            .await
    }

    /// Has the twin forecast.
    async fn turn(&self, twin: &NodeTwin, step: usize) -> anyhow::Result<()> {
        let now = self.at(step);
        let _permit = self.asked.acquire().await?;
        let asked = twin.actor.address().ask(ASK_LIMIT, |reply_to| {
            TwinMessage::Tick(TickRequest { now }, reply_to)
        });
        let summary: TurnSummary = asked
            .await
            .map_err(|error| self.failed(error))?
            .map_err(|error| self.failed(error))?;
        if let Some(failure) = summary.failures.first() {
            return Err(ExpectedError::input_hint(
                format!(
                    "trace `{}` of {}: no decision at {now}: {failure}",
                    self.trace.name, self.suite.name
                ),
                "run again with -v to see what the actors say",
            )
            .into());
        }
        Ok(())
    }

    /// Plans for every knob from the stored forecast.
    async fn desired(&self, before: Option<&Vec<u32>>) -> anyhow::Result<Vec<u32>> {
        let requests = self.requests(before)?;
        let plans = requests.into_iter().map(|request| self.plan(request));
        let plans: Vec<Plan> = try_join_all(plans).await?;
        Ok(plans
            .iter()
            .map(|plan| {
                let counts = plan.allocation.vms.first().map(|vms| &vms.counts);
                counts
                    .and_then(|counts| counts.first())
                    .map_or(0, |count| count.0)
            })
            .collect())
    }

    fn requests(&self, before: Option<&Vec<u32>>) -> anyhow::Result<Vec<PlanRequest>> {
        let twin: SharedTwin = self
            .node
            .twins()
            .twin(&self.customer)
            .ok_or_else(|| anyhow::anyhow!("twin `{}` is gone", self.customer))?;
        let basis = PlanBasis {
            trigger: PlanTrigger::Periodic,
            root_seed: self.seed,
        };
        let first = self.first_demand();
        twin.read(|state| {
            let policies = self.policies.iter().enumerate();
            policies
                .map(|(number, policy)| {
                    let mut request = plan_request_under(state, policy, basis)
                        .map_err(|error| self.failed(error))?;
                    let running = before.and_then(|before| before.get(number)).copied();
                    for option in request.tiers.iter_mut().flat_map(|tier| &mut tier.options) {
                        // What this price asked for runs or starts; a VM counts from its request on,
                        // so its start costs nothing on top.
                        option.initial = VmCount(running.unwrap_or(first));
                        option.start_cost = MicroDollars(0);
                    }
                    Ok(request)
                })
                .collect()
        })
    }

    async fn plan(&self, request: PlanRequest) -> anyhow::Result<Plan> {
        let _permit = self.asked.acquire().await?;
        let address = self.node.optimizer().address();
        let asked = address.ask(ASK_LIMIT, |reply_to| {
            OptimizerRequest::Plan(Box::new(request.clone()), reply_to)
        });
        let plan = asked.await.map_err(|error| self.failed(error))?;
        plan.map_err(|error| self.failed(error).into())
    }

    /// VMs that serve when the window begins: those for the last sample before it.
    fn first_demand(&self) -> u32 {
        let known = self.trace.load[..self.trace.scored_from].iter().rev();
        let last = known.flatten().next().copied().unwrap_or(0.0);
        // Loads are bounded when they are read.
        FixedValue::from_model(last.ceil().max(1.0))
            .units()
            .to_string()
            .parse()
            .unwrap_or(1)
    }

    async fn ingest(&self, steps: std::ops::Range<usize>) -> anyhow::Result<()> {
        let now = self.at(steps.end);
        let samples: Vec<Sample> = steps
            .filter_map(|step| {
                let load = self.trace.load.get(step).copied().flatten()?;
                Some(Sample {
                    series: self.key.clone(),
                    at: self.at(step),
                    value: FixedValue::from_model(load),
                })
            })
            .collect();
        if samples.is_empty() {
            return Ok(());
        }
        let request = IngestRequest {
            customer: self.customer.clone(),
            now,
            samples,
        };
        let reply = self
            .node
            .twins()
            .ingest(request)
            .await
            .map_err(|error| self.failed(error))?;
        match reply.refused.first() {
            None => Ok(()),
            Some(refused) => Err(ExpectedError::input_hint(
                format!(
                    "trace `{}` of {}: the sample at {} was refused: {:?}",
                    self.trace.name, self.suite.name, refused.at, refused.reason
                ),
                "give times after 1970 and before the year 5138",
            )
            .into()),
        }
    }

    fn at(&self, step: usize) -> DomainTime {
        DomainTime(self.suite.time_s(self.trace, step))
    }

    fn stack(&self) -> anyhow::Result<Stack> {
        Ok(Stack {
            tiers: vec![Tier {
                name: TierName::new("vms")?,
                demand: self.key.clone(),
                vm_types: vec![TierVmType {
                    vm_type: self.key.vm_type.clone(),
                    price_per_hour: VM_PRICE_PER_HOUR,
                    price_assumed: true,
                    capacity_per_vm: None,
                    vcpu: MilliCores(1_000),
                    memory: Gib(1),
                }],
                start_up: Seconds(self.suite.start_up_s),
                minimum_bill: Seconds(self.suite.minimum_bill_s),
                min_vms: VmCount(1),
                min_up: Seconds(0),
                service: None,
            }],
            volumes: Vec::new(),
            link: None,
        })
    }

    fn failed(&self, error: impl std::error::Error + Send + Sync + 'static) -> ExpectedError {
        ExpectedError::input(
            format!("trace `{}` of {} stopped", self.trace.name, self.suite.name),
            error,
        )
    }
}

/// What a price of an under-provisioned step asks for, and nothing else: VMs cost, and a miss costs by
/// itself and by its depth. A step that misses as many VMs as are needed on average costs twice what one
/// does that is barely missed.
fn policy(knob: f64) -> Policy {
    Policy {
        mode: Mode::Observe,
        sla: Sla {
            level_min: PartsPerMillion(500_000),
            level_max: PartsPerMillion(990_000),
            risk_budget: PartsPerMillion::ONE,
            unserved_price_ratio: FixedValue::from_model(knob),
            under_provisioned_step_price_ratio: FixedValue::from_model(knob),
        },
        budget_per_day: None,
        limits: Limits {
            floor: VmCount(1),
            ceiling: VMS_MAX,
            step_out_max: VMS_MAX,
            step_in_max: VMS_MAX,
            cooldown_out: Seconds(0),
            cooldown_in: Seconds(0),
        },
        metrics: std::collections::BTreeMap::new(),
        retention: Retention {
            raw: RETENTION,
            five_minutes: RETENTION,
            one_hour: RETENTION,
        },
        search_evaluations: 0,
    }
}
