//! Mailbox, supervisor, address and compute thread together, on real actors.
#![expect(clippy::panic, reason = "actors that panic on purpose are the subject")]

use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use twinscale_protocol::DomainTime;
use twinscale_supervision::{
    AskError, ChildSpec, ChildState, ComputeError, ComputeThread, DomainClock, Permitted, ReplyTo,
    RestartPolicy, SendError, Supervised, answer, supervise,
};

const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
enum CounterRequest {
    Add(u64, ReplyTo<u64>),
    Panic,
    /// Ends without an answer, as a crash between commit and reply would.
    AddThenPanic(u64),
    Wait(oneshot::Receiver<()>),
}

struct Counter;

impl Actor for Counter {
    type Msg = Permitted<CounterRequest>;
    type State = Arc<AtomicU64>;
    type Arguments = Arc<AtomicU64>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        kept: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(kept)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        permitted: Self::Msg,
        kept: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match permitted.message {
            CounterRequest::Add(by, reply_to) => {
                answer(reply_to, kept.fetch_add(by, Ordering::SeqCst) + by);
            }
            CounterRequest::Panic => panic!("asked to panic"),
            CounterRequest::AddThenPanic(by) => {
                kept.fetch_add(by, Ordering::SeqCst);
                panic!("asked to panic");
            }
            CounterRequest::Wait(go_on) => drop(go_on.await),
        }
        Ok(())
    }
}

async fn start(capacity: usize, restarts_max: usize) -> (Supervised<CounterRequest>, DomainClock) {
    let clock = DomainClock::starting_at(DomainTime(0));
    let spec = ChildSpec {
        name: "counter".to_owned(),
        make: Arc::new(|| Counter),
        arguments: Arc::new(AtomicU64::new(0)),
        mailbox_capacity: capacity,
        policy: RestartPolicy {
            restarts_max,
            ..RestartPolicy::default()
        },
        clock: clock.clone(),
    };
    (supervise(spec).await.expect("a supervisor starts"), clock)
}

#[tokio::test]
async fn an_ask_survives_panic_and_kill_and_the_actor_id_changes() {
    let (counter, clock) = start(8, 20).await;
    let address = counter.address().clone();
    assert_eq!(
        address
            .ask(LIMIT, |reply| CounterRequest::Add(1, reply))
            .await,
        Ok(1)
    );
    let first = address.running(LIMIT).await.expect("runs").actor_id();

    let mailbox = address.current().expect("runs");
    mailbox.try_send(CounterRequest::Panic).expect("taken");
    assert_eq!(
        address
            .ask(LIMIT, |reply| CounterRequest::Add(1, reply))
            .await,
        Ok(2)
    );
    let second = address.running(LIMIT).await.expect("runs").actor_id();
    assert_ne!(first, second);

    counter.kill_child();
    let mut report = counter.report();
    report
        .wait_for(|report| report.restarts == 2)
        .await
        .expect("supervisor lives");
    assert_eq!(
        address
            .ask(LIMIT, |reply| CounterRequest::Add(1, reply))
            .await,
        Ok(3)
    );
    assert_ne!(
        address.running(LIMIT).await.expect("runs").actor_id(),
        second
    );

    clock.advance_to(DomainTime(10)).await;
    assert_eq!(clock.in_flight(), 0, "no mark is left behind by a crash");
    counter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn too_many_failures_are_given_up_and_askers_are_told() {
    let (counter, _clock) = start(8, 3).await;
    let mut report = counter.report();
    for _ in 0..4 {
        let mailbox = counter.address().running(LIMIT).await.expect("runs");
        mailbox
            .try_send(CounterRequest::AddThenPanic(1))
            .expect("taken");
        let id = mailbox.actor_id();
        let ended = report
            .wait_for(|report| report.state != ChildState::Running)
            .await;
        if matches!(
            ended.expect("supervisor lives").state,
            ChildState::GivenUp { .. }
        ) {
            break;
        }
        let mut again = counter.report();
        again
            .wait_for(|report| report.state == ChildState::Running)
            .await
            .expect("lives");
        assert_ne!(
            counter
                .address()
                .running(LIMIT)
                .await
                .expect("runs")
                .actor_id(),
            id
        );
    }
    let answer = counter
        .address()
        .ask(LIMIT, |reply| CounterRequest::Add(1, reply))
        .await;
    assert_eq!(
        answer,
        Err(AskError::Gone {
            name: "counter".to_owned()
        })
    );
}

#[tokio::test]
async fn a_full_mailbox_sheds_and_frees_its_room() {
    let (counter, clock) = start(2, 20).await;
    let mailbox = counter.address().running(LIMIT).await.expect("runs");
    let (go_on, wait) = oneshot::channel();
    mailbox.try_send(CounterRequest::Wait(wait)).expect("taken");
    let (reply, _unused) = oneshot::channel();
    mailbox
        .try_send(CounterRequest::Add(1, reply))
        .expect("taken");
    let full = counter
        .address()
        .ask(LIMIT, |reply| CounterRequest::Add(1, reply))
        .await;
    assert_eq!(
        full,
        Err(AskError::Overloaded {
            name: "counter".to_owned(),
            capacity: 2
        })
    );
    assert_eq!(
        mailbox.try_send(CounterRequest::Panic),
        Err(SendError::Overloaded { capacity: 2 })
    );
    go_on.send(()).expect("the actor waits");
    clock.advance_to(DomainTime(1)).await;
    assert_eq!(mailbox.depth(), 0);
    counter.stop().await;
}

#[tokio::test]
async fn a_hung_thread_is_abandoned_and_replaced() {
    let mut compute = ComputeThread::start("test-compute", 1);
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let hung = compute
        .run(move || hold.recv().is_ok(), Duration::from_millis(20))
        .await;
    assert!(matches!(hung, Err(ComputeError::Hung { abandoned: 1, .. })));
    drop(release);
    let next = compute.run(|| 6 * 7, LIMIT).await;
    assert_eq!(next, Err(ComputeError::Exhausted { abandoned: 1 }));
    let mut roomy = ComputeThread::start("test-compute", 2);
    let panicked: Result<(), _> = roomy.run(|| panic!("asked to panic"), LIMIT).await;
    assert_eq!(panicked, Err(ComputeError::Panicked));
    assert_eq!(roomy.run(|| 6 * 7, LIMIT).await, Ok(42));
}

#[tokio::test]
async fn domain_time_stands_still_while_a_child_is_down_and_no_longer() {
    let (counter, clock) = start(8, 1).await;
    let mut report = counter.report();
    counter.kill_child();
    report
        .wait_for(|report| report.restarts == 1)
        .await
        .expect("supervisor lives");
    let later = DomainTime(clock.now().0 + 60);
    clock.advance_to(later).await;
    assert_eq!(report.borrow().state, ChildState::Running);
    assert_eq!(clock.now(), later);

    // The second end is one too many: nothing comes back that time could wait for.
    counter.kill_child();
    report
        .wait_for(|report| matches!(report.state, ChildState::GivenUp { .. }))
        .await
        .expect("supervisor lives");
    clock.idle().await;
    counter.stop().await;
}
