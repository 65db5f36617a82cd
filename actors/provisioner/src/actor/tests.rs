//! The actor through its supervisor: serial lanes, bounds, failures that lose nothing.

use super::*;
use crate::driver::{CallContext, DriverFuture, Listing, VmSpec};
use crate::simcloud::{SimCloudConfig, SimCloudDriver};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot, watch};
use twinscale_protocol::policy::{Limits, Mode};
use twinscale_protocol::provisioner::{
    Action, Desired, DesiredVms, Intent, LinkSize, ObservedAllocation, Operation, OutcomeResult,
    VolumeBlocks,
};
use twinscale_protocol::{
    DomainTime, Generation, IntentId, MicroDollars, Seconds, TierName, VmCount, VmId, VmTypeId,
};
use twinscale_supervision::{ChildSpec, Oversight, RestartPolicy, Supervised, supervise};

const LIMIT: Duration = Duration::from_secs(20);

fn customer(name: &str) -> CustomerId {
    CustomerId::new(name).expect("an id")
}

fn arguments(driver: Arc<dyn ProviderDriver>) -> ProvisionerArguments {
    ProvisionerArguments {
        driver,
        memory: SharedMemory::default(),
        retry: RetryPolicy::without_waits(),
        clock: DomainClock::starting_at(DomainTime(0)),
    }
}

async fn start(arguments: ProvisionerArguments) -> Supervised<ProvisionerRequest> {
    let spec = ChildSpec {
        name: "provisioner".to_owned(),
        make: Arc::new(|| Provisioner),
        clock: arguments.clock.clone(),
        arguments,
        mailbox_capacity: 64,
        policy: RestartPolicy {
            backoff_first: Duration::from_millis(1),
            ..RestartPolicy::default()
        },
        oversight: Oversight::default(),
    };
    supervise(spec).await.expect("a supervisor starts")
}

fn launch(vm: u64) -> Intent {
    Intent {
        id: IntentId(vm),
        at: DomainTime(0),
        action: Action::Launch {
            vm: VmId(vm),
            tier: TierName::new("web").expect("a tier"),
            vm_type: VmTypeId::new("typeA").expect("a type"),
            price_per_hour: MicroDollars(100_000),
            minimum_bill: Seconds(60),
        },
    }
}

fn execute_request(name: &str, vms: impl IntoIterator<Item = u64>) -> ExecuteRequest {
    ExecuteRequest {
        customer: customer(name),
        generation: Generation(1),
        now: DomainTime(0),
        intents: vms.into_iter().map(launch).collect(),
    }
}

async fn execute(
    provisioner: &Supervised<ProvisionerRequest>,
    request: ExecuteRequest,
) -> Result<ExecuteReply, WireError> {
    let ask = |reply_to| ProvisionerRequest::Execute(Box::new(request.clone()), reply_to);
    provisioner
        .address()
        .ask(LIMIT, ask)
        .await
        .expect("an answer")
}

async fn observe(
    provisioner: &Supervised<ProvisionerRequest>,
    name: &str,
    now: i64,
) -> Result<ObserveReply, WireError> {
    let request = ObserveRequest {
        customer: customer(name),
        now: DomainTime(now),
    };
    let ask = |reply_to| ProvisionerRequest::Observe(request.clone(), reply_to);
    provisioner
        .address()
        .ask(LIMIT, ask)
        .await
        .expect("an answer")
}

async fn ended(provisioner: &Supervised<ProvisionerRequest>, fault: ProvisionerFault) {
    let before = provisioner.restarts();
    let mailbox = provisioner.address().running(LIMIT).await.expect("it runs");
    mailbox
        .send(ProvisionerRequest::Fault(fault))
        .await
        .expect("it is taken");
    let mut report = provisioner.report();
    report
        .wait_for(|report| report.restarts > before)
        .await
        .expect("the supervisor lives");
}

fn wanting_three() -> ReconcileRequest {
    ReconcileRequest {
        customer: customer("acme"),
        now: DomainTime(0),
        mode: Mode::Enforce,
        desired: Desired {
            vms: vec![DesiredVms {
                tier: TierName::new("web").expect("a tier"),
                vm_type: VmTypeId::new("typeA").expect("a type"),
                count: VmCount(3),
                count_next: VmCount(0),
            }],
            ..Desired::default()
        },
        observed: ObservedAllocation::default(),
        open_intents: Vec::new(),
        limits: Limits {
            floor: VmCount(1),
            ceiling: VmCount(10),
            step_out_max: VmCount(10),
            step_in_max: VmCount(10),
            cooldown_out: Seconds(0),
            cooldown_in: Seconds(0),
        },
        last_changes: Vec::new(),
    }
}

#[tokio::test]
async fn a_turn_goes_from_the_diff_to_serving_vms() {
    let driver = SimCloudDriver::new(SimCloudConfig::with_seed(1));
    let provisioner = start(arguments(Arc::new(driver))).await;
    let request = wanting_three();
    let ask = |reply_to| ProvisionerRequest::Reconcile(Box::new(request.clone()), reply_to);
    let reply = provisioner
        .address()
        .ask(LIMIT, ask)
        .await
        .expect("an answer");
    let Some(Operation::Launch { count, .. }) = reply.operations.first() else {
        panic!("expected a launch, found {reply:?}");
    };
    let vms = 1..=u64::from(count.0);
    let outcomes = execute(&provisioner, execute_request("acme", vms))
        .await
        .expect("tried");
    let done = |outcome: &&twinscale_protocol::provisioner::IntentOutcome| {
        outcome.result == OutcomeResult::Done
    };
    assert_eq!(outcomes.outcomes.iter().filter(done).count(), 3);
    let starting = observe(&provisioner, "acme", 0).await.expect("a listing");
    assert!(
        starting
            .allocation
            .vms
            .iter()
            .all(|vm| vm.serving_since.is_none())
    );
    let serving = observe(&provisioner, "acme", 3_000)
        .await
        .expect("a listing");
    assert!(
        serving
            .allocation
            .vms
            .iter()
            .all(|vm| vm.serving_since.is_some())
    );
    // Learned at 3000, so told from the next moment on.
    let learned = observe(&provisioner, "acme", 3_001)
        .await
        .expect("a listing");
    let learned = learned
        .start_up
        .first()
        .expect("a type has been learned")
        .clone();
    assert_eq!(learned.count, 3);
    assert!(learned.p95 > Seconds(60), "{learned:?}");
    provisioner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hung_lane_is_ended_with_its_provisioner_and_both_come_back() {
    let driver = SimCloudDriver::new(SimCloudConfig::with_seed(1));
    let provisioner = start(arguments(Arc::new(driver))).await;
    let mailbox = provisioner.address().running(LIMIT).await.expect("it runs");
    let fault = ProvisionerFault::HangLane(customer("acme"));
    mailbox
        .try_send(ProvisionerRequest::Fault(fault))
        .expect("there is room");
    // Other customers have lanes of their own.
    let other = execute(&provisioner, execute_request("globex", 0..1)).await;
    assert_eq!(other.expect("tried").outcomes.len(), 1);
    let mut report = provisioner.report();
    let restarted = report.wait_for(|report| report.restarts == 1).await;
    drop(restarted.expect("the supervisor lives"));
    let own = execute(&provisioner, execute_request("acme", 1..2)).await;
    assert_eq!(own.expect("tried").outcomes.len(), 1);
    provisioner.stop().await;
}

#[tokio::test]
async fn panics_and_kills_lose_nothing_and_double_nothing() {
    let driver = SimCloudDriver::new(SimCloudConfig::with_seed(1));
    let provisioner = start(arguments(Arc::new(driver.clone()))).await;
    for round in 0..5_u64 {
        let vms = round * 10..round * 10 + 10;
        let id = provisioner
            .address()
            .running(LIMIT)
            .await
            .expect("it runs")
            .actor_id();
        execute(&provisioner, execute_request("acme", vms.clone()))
            .await
            .expect("tried");
        match round % 3 {
            0 => ended(&provisioner, ProvisionerFault::Panic).await,
            1 => ended(&provisioner, ProvisionerFault::PanicLane(customer("acme"))).await,
            _ => {
                let before = provisioner.restarts();
                provisioner.kill_child();
                let mut report = provisioner.report();
                let restarted = report.wait_for(|report| report.restarts > before).await;
                drop(restarted.expect("the supervisor lives"));
            }
        }
        // Asked again after the failure, as a twin does that got no answer.
        let again = execute(&provisioner, execute_request("acme", vms))
            .await
            .expect("tried");
        assert!(
            again
                .outcomes
                .iter()
                .all(|outcome| outcome.result == OutcomeResult::Done)
        );
        let now = provisioner
            .address()
            .running(LIMIT)
            .await
            .expect("it runs")
            .actor_id();
        assert_ne!(id, now, "a new incarnation has a new id");
    }
    let seen = observe(&provisioner, "acme", 0).await.expect("a listing");
    assert_eq!(seen.allocation.vms.len(), 50);
    let committed: BTreeSet<_> = (0..50).map(VmId).collect();
    let broken = driver.with_cloud(|cloud| {
        let acme = customer("acme");
        crate::check::check_keys(&acme, cloud.ledger(&acme).expect("has called"), &committed)
    });
    assert_eq!(broken, []);
    provisioner.stop().await;
}

/// A provider whose calls wait until the test lets them go on.
#[derive(Debug)]
struct Gated {
    gate: Semaphore,
    calls: Mutex<Vec<(CustomerId, VmId)>>,
    entered: watch::Sender<usize>,
}

impl Gated {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            gate: Semaphore::new(0),
            calls: Mutex::new(Vec::new()),
            entered: watch::channel(0).0,
        })
    }

    async fn wait_entered(&self, count: usize) {
        let mut entered = self.entered.subscribe();
        let waited = tokio::time::timeout(LIMIT, entered.wait_for(|seen| *seen >= count)).await;
        drop(
            waited
                .expect("calls come in time")
                .expect("the provider lives"),
        );
    }
}

impl ProviderDriver for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn checks_generations(&self) -> bool {
        false
    }

    fn launch<'a>(&'a self, context: &'a CallContext, spec: &'a VmSpec) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let call = (context.customer.clone(), spec.vm);
            self.calls.lock().expect("not poisoned").push(call);
            self.entered.send_modify(|entered| *entered += 1);
            self.gate.acquire().await.expect("never closed").forget();
            Ok(())
        })
    }

    fn terminate<'a>(&'a self, _: &'a CallContext, _: VmId) -> DriverFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn resize_volume<'a>(
        &'a self,
        _: &'a CallContext,
        _: &'a VolumeBlocks,
    ) -> DriverFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn resize_link<'a>(&'a self, _: &'a CallContext, _: LinkSize) -> DriverFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn list<'a>(&'a self, _: &'a CustomerId, _: DomainTime) -> DriverFuture<'a, Listing> {
        Box::pin(async { Ok(Listing::default()) })
    }
}

async fn send_execute(
    provisioner: &Supervised<ProvisionerRequest>,
    request: ExecuteRequest,
) -> oneshot::Receiver<Result<ExecuteReply, WireError>> {
    let (reply_to, reply) = oneshot::channel();
    let mailbox = provisioner.address().running(LIMIT).await.expect("it runs");
    let message = ProvisionerRequest::Execute(Box::new(request), reply_to);
    mailbox.send(message).await.expect("it is taken");
    reply
}

#[tokio::test]
async fn a_customer_is_served_one_call_at_a_time_and_others_do_not_wait() {
    let gated = Gated::new();
    let provisioner = start(arguments(Arc::clone(&gated) as Arc<dyn ProviderDriver>)).await;
    let first = send_execute(&provisioner, execute_request("acme", [1, 2])).await;
    let second = send_execute(&provisioner, execute_request("acme", [3])).await;
    let other = send_execute(&provisioner, execute_request("globex", [1])).await;
    // Both customers are at the provider; acme's second call is not.
    gated.wait_entered(2).await;
    let mut calls = gated.calls.lock().expect("not poisoned").clone();
    calls.sort();
    assert_eq!(
        calls,
        [(customer("acme"), VmId(1)), (customer("globex"), VmId(1))]
    );
    gated.gate.add_permits(4);
    for reply in [first, second, other] {
        let reply = reply.await.expect("answered").expect("tried");
        assert!(
            reply
                .outcomes
                .iter()
                .all(|outcome| outcome.result == OutcomeResult::Done)
        );
    }
    let calls = gated.calls.lock().expect("not poisoned").clone();
    let acme: Vec<_> = calls
        .iter()
        .filter(|(name, _)| *name == customer("acme"))
        .collect();
    assert_eq!(
        acme.iter().map(|(_, vm)| vm.0).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    provisioner.stop().await;
}

#[tokio::test]
async fn a_full_lane_says_so_at_once() {
    let gated = Gated::new();
    let provisioner = start(arguments(Arc::clone(&gated) as Arc<dyn ProviderDriver>)).await;
    let mut waiting = Vec::new();
    for vm in 0..u64::try_from(LANE_CAPACITY).expect("small") {
        waiting.push(send_execute(&provisioner, execute_request("acme", [vm])).await);
    }
    let refused = execute(&provisioner, execute_request("acme", [99])).await;
    let error = refused.expect_err("no room");
    assert_eq!(error.code, WireErrorCode::Overloaded, "{error}");
    gated.gate.add_permits(waiting.len());
    for reply in waiting {
        reply.await.expect("answered").expect("tried");
    }
    provisioner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_gives_unknown_and_is_not_asked_for_ever() {
    let gated = Gated::new();
    let mut arguments = arguments(Arc::clone(&gated) as Arc<dyn ProviderDriver>);
    arguments.retry = RetryPolicy::default();
    let provisioner = start(arguments).await;
    let reply = send_execute(&provisioner, execute_request("acme", 1..=20)).await;
    let outcomes = reply.await.expect("answered").expect("tried").outcomes;
    assert_eq!(outcomes.len(), 20);
    let unknown = |outcome: &&twinscale_protocol::provisioner::IntentOutcome| {
        matches!(outcome.result, OutcomeResult::Unknown(_))
    };
    assert_eq!(outcomes.iter().filter(unknown).count(), 20);
    // Five intents of three attempts each, then the provider counts as down.
    assert_eq!(gated.calls.lock().expect("not poisoned").len(), 15);
    provisioner.stop().await;
}

#[tokio::test]
async fn domain_time_waits_for_a_lane() {
    let gated = Gated::new();
    let arguments = arguments(Arc::clone(&gated) as Arc<dyn ProviderDriver>);
    let clock = arguments.clock.clone();
    let provisioner = start(arguments).await;
    let reply = send_execute(&provisioner, execute_request("acme", [1])).await;
    gated.wait_entered(1).await;
    assert!(clock.in_flight() > 0);
    gated.gate.add_permits(1);
    reply.await.expect("answered").expect("tried");
    clock.advance_to(DomainTime(60)).await;
    assert_eq!(clock.now(), DomainTime(60));
    provisioner.stop().await;
}
