//! The optimizer actor under its supervisor: answers, faults, bounds.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use twinscale_optimizer::{
    Optimizer, OptimizerArguments, OptimizerFault, OptimizerRequest, PlanAnswer, WorkerPolicy, plan,
};
use twinscale_protocol::optimizer::{PlanRequest, PlanRules, PlanTrigger, TierProblem, VmOption};
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MicroDollars, MilliCores, PartsPerMillion, PlanNumber,
    Seconds, TierName, VmCount, VmTypeId, WireErrorCode,
};
use twinscale_supervision::{
    AskError, ChildSpec, DomainClock, Health, Oversight, RestartPolicy, Supervised, supervise,
};

const LIMIT: Duration = Duration::from_mins(1);

fn request(number: u64) -> PlanRequest {
    let option = |name: &str, capacity: f64, price: i64| VmOption {
        vm_type: VmTypeId::new(name).expect("a name"),
        price_per_hour: MicroDollars(price),
        start_cost: MicroDollars(price / 10),
        capacity: FixedValue::from_model(capacity),
        vcpu: MilliCores(2_000),
        initial: VmCount(4),
    };
    let quantiles = |step: u32| {
        [0.6, 0.7, 0.85, 1.0, 1.15, 1.35, 1.5, 1.8]
            .map(|factor| FixedValue::from_model(factor * f64::from(5 + step % 5)))
    };
    PlanRequest {
        customer: CustomerId::new("acme").expect("an id"),
        number: PlanNumber(number),
        parent: None,
        trigger: PlanTrigger::First,
        first_step_at: DomainTime(0),
        interval: Seconds(3600),
        steps: 10,
        tiers: vec![TierProblem {
            name: TierName::new("app").expect("a name"),
            demand: (0..10).map(quantiles).collect(),
            options: vec![option("large", 4.1, 390_000), option("small", 1.0, 100_000)],
            min_vms: VmCount(1),
            max_vms: VmCount(100),
            delay_steps: 0,
            min_up_steps: 1,
            start_max_per_step: VmCount(20),
            stop_max_per_step: VmCount(20),
            service: None,
            unserved_price_per_unit_hour: MicroDollars(500_000),
            peak: None,
        }],
        volumes: Vec::new(),
        link: None,
        rules: PlanRules {
            level_min: PartsPerMillion(800_000),
            level_max: PartsPerMillion(990_000),
            risk_budget: PartsPerMillion(200_000),
            budget: None,
            vcpu_quota: None,
        },
        last_plan: None,
        seed: number,
        evaluations: 2_000,
    }
}

async fn start(workers: usize, mailbox_capacity: usize) -> Supervised<OptimizerRequest> {
    start_under(workers, mailbox_capacity, LIMIT, &Health::default()).await
}

async fn start_under(
    workers: usize,
    mailbox_capacity: usize,
    job_limit: Duration,
    health: &Health,
) -> Supervised<OptimizerRequest> {
    let clock = DomainClock::starting_at(DomainTime(0));
    let policy = WorkerPolicy {
        workers: NonZeroUsize::new(workers).expect("not zero"),
        job_limit,
    };
    supervise(ChildSpec {
        name: "optimizer".to_owned(),
        make: Arc::new(|| Optimizer),
        arguments: OptimizerArguments {
            policy,
            clock: clock.clone(),
            health: health.clone(),
        },
        mailbox_capacity,
        policy: RestartPolicy {
            backoff_first: Duration::from_millis(1),
            ..RestartPolicy::default()
        },
        clock,
        oversight: Oversight::default(),
    })
    .await
    .expect("a supervisor starts")
}

async fn ask(
    optimizer: &Supervised<OptimizerRequest>,
    number: u64,
) -> Result<PlanAnswer, AskError> {
    let address = optimizer.address();
    address
        .ask(LIMIT, |reply_to| {
            OptimizerRequest::Plan(Box::new(request(number)), reply_to)
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_do_not_depend_on_the_workers() {
    let one = start(1, 64).await;
    let three = start(3, 64).await;
    let mailbox = three.address().running(LIMIT).await.expect("runs");
    let mut replies = Vec::new();
    for number in 0..8 {
        let (reply_to, reply) = oneshot::channel();
        mailbox
            .try_send(OptimizerRequest::Plan(Box::new(request(number)), reply_to))
            .expect("there is room");
        replies.push(reply);
    }
    for (number, reply) in (0..).zip(replies) {
        let together = reply.await.expect("answered").expect("a plan");
        assert_eq!(together.number, PlanNumber(number));
        assert_eq!(
            ask(&one, number).await.expect("answered"),
            Ok(together.clone())
        );
        assert_eq!(plan(&request(number), NonZeroUsize::MIN), Ok(together));
    }
    one.stop().await;
    three.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_job_fails_alone_and_a_killed_actor_comes_back() {
    let optimizer = start(2, 64).await;
    let mailbox = optimizer.address().running(LIMIT).await.expect("runs");
    let first = mailbox.actor_id();
    let (bad, bad_reply) = oneshot::channel();
    let (good, good_reply) = oneshot::channel();
    let fault = OptimizerRequest::Fault(OptimizerFault::PanicJob(bad));
    mailbox.try_send(fault).expect("there is room");
    let fine = OptimizerRequest::Plan(Box::new(request(1)), good);
    mailbox.try_send(fine).expect("there is room");
    let error = bad_reply.await.expect("answered").expect_err("it panicked");
    assert_eq!(error.code, WireErrorCode::Internal);
    assert!(good_reply.await.expect("answered").is_ok());
    let still = optimizer.address().running(LIMIT).await.expect("runs");
    assert_eq!(still.actor_id(), first, "the actor itself did not fail");

    mailbox
        .try_send(OptimizerRequest::Fault(OptimizerFault::Panic))
        .expect("there is room");
    assert!(
        ask(&optimizer, 2)
            .await
            .expect("answered by the next one")
            .is_ok()
    );
    let second = optimizer
        .address()
        .running(LIMIT)
        .await
        .expect("runs")
        .actor_id();
    assert_ne!(first, second);

    optimizer.kill_child();
    let mut report = optimizer.report();
    report
        .wait_for(|report| report.restarts == 2)
        .await
        .expect("the supervisor lives");
    assert!(ask(&optimizer, 3).await.expect("answered").is_ok());
    optimizer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hung_jobs_cost_their_threads_until_the_node_must_end() {
    let health = Health::with_abandoned_max(2);
    let optimizer = start_under(1, 64, Duration::from_secs(5), &health).await;
    let before = ask(&optimizer, 1).await.expect("answered");
    for hung in 1..=2 {
        let mailbox = optimizer.address().running(LIMIT).await.expect("runs");
        let (reply_to, reply) = oneshot::channel();
        let fault = OptimizerFault::HangJob(2 * LIMIT, reply_to);
        mailbox
            .try_send(OptimizerRequest::Fault(fault))
            .expect("there is room");
        let error = reply.await.expect("answered").expect_err("it hung");
        assert_eq!(error.code, WireErrorCode::Timeout);
        assert_eq!(health.abandoned_threads(), (hung, 2));
        if hung == 1 {
            assert_eq!(ask(&optimizer, 1).await.expect("answered"), before);
            assert_eq!(health.failures(), []);
        }
    }
    assert_eq!(health.failures().len(), 1);
    optimizer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_mailbox_refuses_and_an_impossible_policy_is_an_error() {
    let optimizer = start(1, 2).await;
    let mailbox = optimizer.address().running(LIMIT).await.expect("runs");
    let mut replies = Vec::new();
    let refused = loop {
        let (reply_to, reply) = oneshot::channel();
        let sent = mailbox.try_send(OptimizerRequest::Plan(Box::new(request(1)), reply_to));
        replies.push(reply);
        if let Err(error) = sent {
            break error;
        }
        assert!(replies.len() < 100_000, "the mailbox has no bound");
    };
    assert!(refused.to_string().contains("mailbox full"), "{refused}");
    replies.pop();
    for reply in replies {
        assert!(reply.await.expect("answered").is_ok());
    }

    let ask_for = optimizer.address().ask(LIMIT, |reply_to| {
        let mut impossible = request(1);
        impossible.tiers[0].max_vms = VmCount(1);
        OptimizerRequest::Plan(Box::new(impossible), reply_to)
    });
    let error = ask_for
        .await
        .expect("answered")
        .expect_err("one VM is too few");
    assert_eq!(error.code, WireErrorCode::Invalid);
    optimizer.stop().await;
}
