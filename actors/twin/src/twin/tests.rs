mod fakes;
mod resting;

use super::*;
use crate::fixtures::{START, config, customer, hours, record, samples, series, vm_type, vms};
use crate::state::PartKey;
use crate::stored::entry;
use crate::stored::v1::{TwinCommand, TwinConfig};
use crate::{ApplyResult, CycleSettings, HostOptions, TwinHost, TwinWriter};
use fakes::{Cloud, CoverNinety, DayBefore};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;
use twinscale_log::{CommandLog, FileLog, LogIndex, LogOptions, ReadLimits};
use twinscale_protocol::optimizer::PlanTrigger;
use twinscale_protocol::policy::Mode;
use twinscale_protocol::twin::TickRequest;
use twinscale_protocol::{Generation, Seconds};
use twinscale_store::{MemoryDisk, open_in_memory};
use twinscale_supervision::{
    ChildSpec, DomainClock, Oversight, RestartPolicy, Supervised, supervise,
};

const LIMIT: Duration = Duration::from_secs(20);

/// Twins with everything that they need.
struct World {
    clock: DomainClock,
    log: Arc<dyn CommandLog>,
    host: Arc<TwinHost>,
    forecaster: Arc<DayBefore>,
    optimizer: Arc<CoverNinety>,
    cloud: Arc<Cloud>,
    limits: PhaseLimits,
    _directory: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (log, _) = FileLog::open(directory.path(), LogOptions::default()).expect("opens");
        let log: Arc<dyn CommandLog> = Arc::new(log);
        let store = open_in_memory(&MemoryDisk::default()).expect("opens");
        let (host, _) = TwinHost::open(Arc::clone(&log), store, HostOptions::default())
            .expect("the host opens");
        Self {
            clock: DomainClock::starting_at(START),
            log,
            host: Arc::new(host),
            forecaster: Arc::default(),
            optimizer: Arc::default(),
            cloud: Arc::default(),
            limits: PhaseLimits::default(),
            _directory: directory,
        }
    }

    async fn twin(&self, name: &str, config: TwinConfig) -> Supervised<TwinMessage> {
        let customer = customer(name);
        let configured = self.host.propose(&customer, TwinCommand::Configure(config));
        let configured = configured.await.expect("applied");
        assert!(
            matches!(configured, ApplyResult::Configured { .. }),
            "{configured:?}"
        );
        self.start(name).await
    }

    /// Starts the actor of a twin that is configured.
    async fn start(&self, name: &str) -> Supervised<TwinMessage> {
        let customer = customer(name);
        let dependencies = TwinDependencies {
            host: Arc::clone(&self.host) as Arc<dyn TwinWriter>,
            forecaster: Arc::<DayBefore>::clone(&self.forecaster),
            optimizer: Arc::<CoverNinety>::clone(&self.optimizer),
            provisioner: Arc::<Cloud>::clone(&self.cloud),
            clock: self.clock.clone(),
            settings: CycleSettings {
                root_seed: 1,
                generation: Generation(1),
            },
            limits: self.limits,
        };
        let spec = ChildSpec {
            name: format!("twin-{name}"),
            make: Arc::new(|| Twin),
            arguments: TwinArguments {
                customer,
                dependencies,
            },
            mailbox_capacity: 16,
            policy: RestartPolicy {
                backoff_first: Duration::from_millis(1),
                // Handlers wait for nothing, so that only one that hangs takes longer.
                message_limit: Duration::from_secs(2),
                ..RestartPolicy::default()
            },
            clock: self.clock.clone(),
            oversight: Oversight::default(),
        };
        supervise(spec).await.expect("the supervisor starts")
    }

    /// Ingests the demand of the hour before and runs the step that begins at `hour`.
    async fn step(
        &self,
        name: &str,
        twin: &Supervised<TwinMessage>,
        hour: i64,
    ) -> Result<TurnSummary, WireError> {
        let key = series("typeA", "vm_count");
        let group = samples(&key, hours(hour - 1), &[demand(hour - 1)]);
        let now = hours(hour);
        let ingested = self.host.propose(&customer(name), record(now, group)).await;
        assert!(ingested.is_ok(), "{ingested:?}");
        self.clock.advance_to(now).await;
        tick(twin, now).await
    }

    fn state<R>(&self, name: &str, look: impl FnOnce(&TwinState) -> R) -> R {
        self.host.read(&customer(name), look).expect("a twin")
    }
}

async fn tick(twin: &Supervised<TwinMessage>, now: DomainTime) -> Result<TurnSummary, WireError> {
    let request = TickRequest { now };
    twin.address()
        .ask(LIMIT, |reply_to| TwinMessage::Tick(request, reply_to))
        .await
        .expect("an answer")
}

/// Between 5 VMs at night and 16 at noon.
fn demand(hour: i64) -> i64 {
    let of_day = hour.rem_euclid(24);
    5 + of_day.min(24 - of_day) * 11 / 12
}

#[tokio::test]
async fn vms_serve_when_the_step_begins_that_needs_them() {
    let world = World::new();
    let acme = customer("acme");
    let twin = world.twin("acme", config()).await;
    for hour in 1..96 {
        let summary = world.step("acme", &twin, hour).await.expect("a turn");
        assert_eq!(summary.failures, Vec::<String>::new());
        if hour > 26 {
            // The day before is known: what this step needs was started a start-up time ahead of it.
            let serving = world.cloud.serving(&acme, hours(hour));
            let needed = usize::try_from(demand(hour)).expect("few");
            assert!(
                serving >= needed,
                "hour {hour}: {serving} serve, {needed} are needed"
            );
        }
        let planned = world.state("acme", |state| {
            state.target_plan().expect("a plan").allocation.vms[0].counts[0].0
        });
        let observed = world.state("acme", |state| state.observed().vms.len());
        assert_eq!(observed, planned as usize, "hour {hour}");
        assert_eq!(observed, world.cloud.running(&acme), "hour {hour}");
    }
    let counters = world.state("acme", TwinState::counters);
    assert_eq!((counters.stale_turns, counters.infeasible_turns), (0, 0));
    assert_eq!(
        counters.plans, 95,
        "one type and nothing that couples: planned every step"
    );
    let launches = usize::try_from(counters.launches).expect("few");
    assert_eq!(launches, world.cloud.ever(&acme));
    assert!(counters.terminations > 0);
    assert_eq!(world.cloud.repeated.load(Ordering::SeqCst), 0);
    twin.stop().await;
}

#[tokio::test]
async fn without_a_fresh_forecast_the_last_plan_stays_and_nothing_scales_in() {
    let world = World::new();
    let twin = world.twin("acme", config()).await;
    for hour in 1..38 {
        world.step("acme", &twin, hour).await.expect("a turn");
    }
    let width = |state: &TwinState| {
        let quantiles = state.forecast().expect("a forecast").forecasts[0].quantiles[0];
        quantiles[7].0 - quantiles[0].0
    };
    let plan = world.state("acme", |state| state.target_plan().cloned());
    let fresh = world.state("acme", width);
    world.forecaster.failures.store(6, Ordering::SeqCst);
    let mut widths = vec![fresh];
    for hour in 38..44 {
        // Demand falls in the afternoon; a blind twin keeps what it has.
        let summary = world.step("acme", &twin, hour).await.expect("a turn");
        assert!(summary.stale && summary.terminations == 0, "{summary:?}");
        assert!(
            summary.failures[0].contains("no forecast today"),
            "{summary:?}"
        );
        widths.push(world.state("acme", width));
    }
    assert!(widths.is_sorted_by(|one, next| one < next), "{widths:?}");
    assert_eq!(
        world.state("acme", |state| state.target_plan().cloned()),
        plan
    );
    assert_eq!(world.state("acme", TwinState::counters).stale_turns, 6);
    let summary = world.step("acme", &twin, 44).await.expect("a turn");
    assert!(!summary.stale && summary.terminations > 0, "{summary:?}");
    twin.stop().await;
}

#[tokio::test]
async fn without_an_observation_nothing_scales_in() {
    let world = World::new();
    let twin = world.twin("acme", config()).await;
    for hour in 1..40 {
        world.step("acme", &twin, hour).await.expect("a turn");
    }
    world.cloud.unseen.store(2, Ordering::SeqCst);
    let summary = world.step("acme", &twin, 40).await.expect("a turn");
    assert_eq!(summary.terminations, 0, "{summary:?}");
    twin.stop().await;
}

#[tokio::test]
async fn a_plan_error_keeps_the_last_plan_and_is_counted() {
    let world = World::new();
    let twin = world.twin("acme", config()).await;
    world.step("acme", &twin, 1).await.expect("a turn");
    let last = world.state("acme", |state| state.target_plan().cloned());
    let codes = [WireErrorCode::Invalid, WireErrorCode::Internal];
    for (hour, code) in (2..).zip(codes) {
        world
            .optimizer
            .failures
            .lock()
            .expect("not poisoned")
            .push(code);
        let summary = world.step("acme", &twin, hour).await.expect("a turn");
        assert_eq!(summary.plan, None);
        assert!(summary.failures[0].contains("no plan today"), "{summary:?}");
    }
    assert_eq!(
        world.state("acme", |state| state.target_plan().cloned()),
        last
    );
    assert_eq!(world.state("acme", TwinState::counters).infeasible_turns, 1);
    // Who was unavailable is asked again within the limit.
    world
        .optimizer
        .failures
        .lock()
        .expect("not poisoned")
        .extend([WireErrorCode::Unavailable, WireErrorCode::Overloaded]);
    let summary = world.step("acme", &twin, 4).await.expect("a turn");
    assert!(
        summary.plan.is_some() && summary.failures.is_empty(),
        "{summary:?}"
    );
    twin.stop().await;
}

#[tokio::test]
async fn a_twin_that_dies_in_a_turn_doubles_and_leaks_nothing() {
    let world = World::new();
    let acme = customer("acme");
    let twin = world.twin("acme", config()).await;
    // The provider starts the VMs, its answer is lost, and the twin dies while it waits.
    world.cloud.swallowed.store(1, Ordering::SeqCst);
    let asked = world.step("acme", &twin, 1);
    let killed = async {
        let mut open = 0;
        while open == 0 {
            tokio::task::yield_now().await;
            if world.cloud.running(&acme) > 0 {
                open = world.state("acme", |state| state.open_intents().count());
            }
        }
        twin.kill_child();
        open
    };
    let (summary, open) = tokio::join!(asked, killed);
    let summary = summary.expect("the next incarnation answers");
    assert!(open > 0);
    assert_eq!(world.cloud.repeated.load(Ordering::SeqCst) as usize, open);
    assert_eq!(world.state("acme", |state| state.open_intents().count()), 0);
    let observed = world.state("acme", |state| state.observed().vms.len());
    assert_eq!(
        (observed, world.cloud.ever(&acme)),
        (open, open),
        "{summary:?}"
    );
    assert_eq!(twin.restarts(), 1);
    // The forecast and the plan of this step were committed before: they are not made twice.
    let counters = world.state("acme", TwinState::counters);
    assert_eq!((counters.forecasts, counters.plans), (1, 1));
    twin.stop().await;
}

#[tokio::test]
async fn one_twins_end_leaves_the_others_alone() {
    let world = World::new();
    let acme = world.twin("acme", config()).await;
    let globex = world.twin("globex", config()).await;
    for hour in 1..10 {
        let mailbox = acme.address().running(LIMIT).await.expect("it runs");
        mailbox
            .try_send(TwinMessage::Fault(TwinFault::Panic))
            .expect("room");
        let summary = world.step("globex", &globex, hour).await.expect("a turn");
        assert!(summary.failures.is_empty(), "{summary:?}");
        world
            .step("acme", &acme, hour)
            .await
            .expect("the next incarnation answers");
    }
    assert!(acme.restarts() >= 8, "{} restarts", acme.restarts());
    assert_eq!(globex.restarts(), 0);
    let plans = |name| world.state(name, |state| state.plans().cloned().collect::<Vec<_>>());
    assert_eq!(plans("acme"), plans("globex"));
    acme.stop().await;
    globex.stop().await;
}

#[tokio::test]
async fn a_twin_whose_handler_never_ends_is_restarted_and_answers() {
    let world = World::new();
    let acme = world.twin("acme", config()).await;
    let mailbox = acme.address().running(LIMIT).await.expect("it runs");
    mailbox
        .try_send(TwinMessage::Fault(TwinFault::Hang))
        .expect("room");
    let mut report = acme.report();
    let restarted = report.wait_for(|report| report.restarts == 1).await;
    drop(restarted.expect("the supervisor lives"));
    let summary = world.step("acme", &acme, 1).await.expect("a turn");
    assert!(summary.failures.is_empty(), "{summary:?}");
    acme.stop().await;
}

#[tokio::test]
async fn a_stack_that_is_searched_is_planned_on_triggers_only() {
    let world = World::new();
    let mut config = config();
    let types = &mut config.stack.tiers[0].vm_types;
    types.push(vm_type("typeB", 200_000));
    let twin = world.twin("acme", config.clone()).await;
    let mut triggers = Vec::new();
    for hour in 1..9 {
        let summary = world.step("acme", &twin, hour).await.expect("a turn");
        triggers.push(summary.trigger);
    }
    assert_eq!(triggers[0], Some(PlanTrigger::First));
    assert_eq!(
        triggers[6],
        Some(PlanTrigger::Periodic),
        "after six hours: {triggers:?}"
    );
    assert_eq!(triggers.iter().flatten().count(), 2, "{triggers:?}");
    // Twenty VMs more than the range.
    let key = series("typeA", "vm_count");
    let group = samples(&key, hours(8), &[demand(8) + 20]);
    world
        .host
        .propose(&customer("acme"), record(hours(9), group))
        .await
        .expect("stored");
    world.clock.advance_to(hours(9)).await;
    let summary = tick(&twin, hours(9)).await.expect("a turn");
    assert_eq!(summary.trigger, Some(PlanTrigger::Surprise));
    config.policy.limits.ceiling = twinscale_protocol::VmCount(50);
    let request = twinscale_protocol::twin::ConfigureRequest {
        customer: customer("acme"),
        policy: config.policy,
        stack: config.stack,
        interval: config.interval,
        horizon_steps: config.horizon_steps,
    };
    let version = twin
        .address()
        .ask(LIMIT, |to| {
            TwinMessage::Configure(Box::new(request.clone()), to)
        })
        .await;
    assert_eq!(version, Ok(Ok(2)));
    let summary = world.step("acme", &twin, 10).await.expect("a turn");
    assert_eq!(summary.trigger, Some(PlanTrigger::PolicyChange));
    twin.stop().await;
}

#[tokio::test]
async fn modes_go_as_far_as_they_say() {
    let world = World::new();
    for (name, mode, plans) in [("acme", Mode::Observe, 0), ("globex", Mode::Enforce, 1)] {
        let mut config = config();
        config.policy.mode = mode;
        let twin = world.twin(name, config).await;
        world.step(name, &twin, 1).await.expect("a turn");
        let counters = world.state(name, TwinState::counters);
        assert_eq!((counters.forecasts, counters.plans), (1, plans), "{mode:?}");
        assert_eq!(counters.launches > 0, mode == Mode::Enforce);
        twin.stop().await;
    }
}

#[tokio::test]
async fn a_tick_that_cannot_be_is_refused() {
    let world = World::new();
    let twin = world.twin("acme", config()).await;
    world.step("acme", &twin, 5).await.expect("a turn");
    let error = tick(&twin, hours(3))
        .await
        .expect_err("the clock went back");
    assert_eq!(error.code, WireErrorCode::Invalid);
    assert!(error.message.contains("clock went back"), "{error}");
    world
        .host
        .twin(&customer("acme"))
        .expect("a twin")
        .change_for_test(|state| state.set_quarantine("a test"));
    let error = tick(&twin, hours(6)).await.expect_err("quarantined");
    assert!(error.message.contains("a test"), "{error}");
    twin.stop().await;
}

#[tokio::test]
async fn domain_time_stands_still_while_a_turn_is_under_way() {
    let mut world = World::new();
    world.limits.provision = Duration::from_millis(200);
    let twin = world.twin("acme", config()).await;
    world.cloud.swallowed.store(1, Ordering::SeqCst);
    let asked = world.step("acme", &twin, 1);
    let watched = async {
        while world.cloud.running(&customer("acme")) == 0 {
            tokio::task::yield_now().await;
        }
        // The turn waits for the provider until its limit; the clock waits for the turn.
        assert!(world.clock.in_flight() > 0);
        world.clock.advance_to(hours(2)).await;
        assert!(world.state("acme", |state| state.open_intents().count()) == 0);
    };
    let (summary, ()) = tokio::join!(asked, watched);
    let failures = summary.expect("a turn").failures;
    assert!(
        failures[0].contains("did not answer within"),
        "{failures:?}"
    );
    twin.stop().await;
}

/// What the log holds of one customer.
fn commands_of(world: &World, name: &str) -> Vec<TwinCommand> {
    let mut found = Vec::new();
    let mut from = LogIndex::new(1);
    loop {
        let entries = world
            .log
            .read(from, ReadLimits::default())
            .expect("readable");
        let Some(last) = entries.last() else {
            return found;
        };
        from = last.index.next();
        for entry in entries {
            let (of, command) = entry::decode(&entry.payload).expect("decodes");
            if of == customer(name) {
                found.push(command);
            }
        }
    }
}

async fn run_of(names: &[&str]) -> (Vec<TwinCommand>, Vec<(PartKey, Vec<u8>)>) {
    let world = World::new();
    let mut twins = Vec::new();
    for name in names {
        twins.push((*name, world.twin(name, config()).await));
    }
    for hour in 1..40 {
        for (name, _) in &twins {
            let group = samples(
                &series("typeA", "vm_count"),
                hours(hour - 1),
                &[demand(hour - 1)],
            );
            let stored = world
                .host
                .propose(&customer(name), record(hours(hour), group))
                .await;
            assert!(stored.is_ok(), "{stored:?}");
        }
        world.clock.advance_to(hours(hour)).await;
        let mut turns = tokio::task::JoinSet::new();
        for (_, twin) in &twins {
            let address = twin.address().clone();
            let now = hours(hour);
            turns.spawn(async move {
                let request = TickRequest { now };
                let asked = address
                    .ask(LIMIT, |to| TwinMessage::Tick(request, to))
                    .await;
                asked.expect("an answer").expect("a turn")
            });
        }
        while let Some(turn) = turns.join_next().await {
            turn.expect("no panic");
        }
    }
    let bytes = world.state("acme", |state| state.encode_all().expect("encodes"));
    let commands = commands_of(&world, "acme");
    for (_, twin) in twins {
        twin.stop().await;
    }
    (commands, bytes)
}

/// A customer's commands are the same alone on one thread and among others on two.
#[test]
fn threads_and_other_customers_change_no_command() {
    let runtime = |threads| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let alone = runtime(1).block_on(run_of(&["acme"]));
    let among = runtime(2).block_on(run_of(&["acme", "globex", "initech", "umbrella"]));
    assert_eq!(alone.0, among.0);
    assert_eq!(alone.1, among.1);
}

#[tokio::test]
async fn the_report_and_the_observations_are_what_is_committed() {
    let world = World::new();
    let twin = world.twin("acme", config()).await;
    world.step("acme", &twin, 1).await.expect("a turn");
    let report = twin.address().ask(LIMIT, TwinMessage::Report).await;
    let report = report.expect("an answer").expect("a twin");
    assert_eq!(
        Some(report),
        world.host.read(&customer("acme"), TwinState::report)
    );
    let request = ObservationsRequest {
        vm_type: series("typeA", "vm_count").vm_type,
        metric: series("typeA", "vm_count").metric,
        from: START,
        until: START.plus(Seconds(3_600)),
    };
    let ask = |to| TwinMessage::Observations(request.clone(), to);
    let reply = twin.address().ask(LIMIT, ask).await.expect("an answer");
    assert_eq!(reply.samples, [(START, vms(demand(0)))]);
    twin.stop().await;
}
