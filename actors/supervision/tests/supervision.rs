//! Mailbox, supervisor, address and compute thread together, on real actors.
#![expect(clippy::panic, reason = "actors that panic on purpose are the subject")]

use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use twinscale_protocol::DomainTime;
use twinscale_supervision::{
    AskError, Away, ChildSpec, ChildState, ComputeError, ComputeThread, DomainClock, Failure,
    FailureScope, Health, Oversight, PAUSE_MAX, Permitted, ReplyTo, RestartPolicy, SendError,
    Supervised, answer, hang_thread, supervise,
};

const LIMIT: Duration = Duration::from_secs(30);

/// Short, so that a hung handler is noticed soon; no other handler of these tests takes a millisecond.
const MESSAGE_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum CounterRequest {
    Add(u64, ReplyTo<u64>),
    Panic,
    /// Ends without an answer, as a crash between commit and reply would.
    AddThenPanic(u64),
    Wait(oneshot::Receiver<()>),
    /// Ends with an error, as an actor does that cannot go on.
    Fail,
    /// Never ends.
    Hang,
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
            CounterRequest::Fail => return Err("asked to fail".into()),
            CounterRequest::Hang => std::future::pending().await,
        }
        Ok(())
    }
}

async fn start(capacity: usize, restarts_max: usize) -> (Supervised<CounterRequest>, DomainClock) {
    start_under(capacity, restarts_max, Oversight::default()).await
}

async fn start_under(
    capacity: usize,
    restarts_max: usize,
    oversight: Oversight,
) -> (Supervised<CounterRequest>, DomainClock) {
    let clock = DomainClock::starting_at(DomainTime(0));
    let spec = ChildSpec {
        name: "counter".to_owned(),
        make: Arc::new(|| Counter),
        arguments: Arc::new(AtomicU64::new(0)),
        mailbox_capacity: capacity,
        policy: RestartPolicy {
            restarts_max,
            message_limit: MESSAGE_LIMIT,
            ..RestartPolicy::default()
        },
        clock: clock.clone(),
        oversight,
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
async fn a_hung_thread_is_abandoned_and_replaced_and_its_late_reply_is_dropped() {
    let health = Health::default();
    let mut compute = ComputeThread::start("test-compute", &health);
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let (tell, late) = std::sync::mpsc::channel::<()>();
    let hung = compute
        .run(
            move || {
                let released = hold.recv();
                tell.send(()).expect("the test waits");
                released.map_or("late", |()| "released")
            },
            Duration::from_millis(20),
        )
        .await;
    assert!(matches!(hung, Err(ComputeError::Hung { abandoned: 1, .. })));
    // Its replacement answers while it still hangs, and what it says in the end reaches nobody.
    assert_eq!(compute.run(|| "next", LIMIT).await, Ok("next"));
    drop(release);
    late.recv_timeout(LIMIT).expect("the hung job ends");
    assert_eq!(compute.run(|| "third", LIMIT).await, Ok("third"));

    let panicked: Result<(), _> = compute.run(|| panic!("asked to panic"), LIMIT).await;
    assert_eq!(panicked, Err(ComputeError::Panicked));
    assert_eq!(compute.run(|| "fourth", LIMIT).await, Ok("fourth"));
    let [(kind, counts)] = health.threads()[..] else {
        panic!("one kind of thread: {:?}", health.threads());
    };
    assert_eq!(
        (kind, counts.done, counts.panicked, counts.hung),
        ("test-compute", 3, 1, 1)
    );
}

#[tokio::test]
async fn too_many_hung_threads_fail_the_node_whoever_owns_them() {
    let health = Health::with_abandoned_max(2);
    for name in ["forecaster", "optimizer"] {
        assert_eq!(health.failures(), []);
        let mut compute = ComputeThread::start(name, &health);
        let hung = compute.run(|| hang_thread(LIMIT), Duration::from_millis(5));
        assert!(matches!(hung.await, Err(ComputeError::Hung { .. })));
    }
    assert_eq!(
        health.failed().await,
        Failure::ThreadsExhausted {
            thread: "optimizer",
            abandoned: 2,
            abandoned_max: 2
        }
    );
    // A restarted actor starts new threads; the bound is the node's all the same.
    let mut compute = ComputeThread::start("forecaster", &health);
    let refused = compute.run(|| 6 * 7, LIMIT).await;
    assert_eq!(refused, Err(ComputeError::Exhausted { abandoned: 2 }));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_ends_is_restarted_and_counted() {
    let oversight = Oversight::default();
    let health = oversight.health.clone();
    let (counter, clock) = start_under(8, 20, oversight).await;
    let mailbox = counter.address().running(LIMIT).await.expect("runs");
    mailbox.try_send(CounterRequest::Hang).expect("taken");
    let asked = counter
        .address()
        .ask(LIMIT, |reply| CounterRequest::Add(1, reply));
    assert_eq!(asked.await, Ok(1), "the next incarnation answers");
    clock.idle().await;
    let [(_, counts)] = health.actors()[..] else {
        panic!("one kind of actor: {:?}", health.actors());
    };
    assert_eq!((counts.restarts, counts.hung), (1, 1));
    assert_eq!((counts.running, counts.capacity, counts.waiting), (1, 8, 0));
    counter.stop().await;
    assert_eq!(health.actors()[0].1.running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_gives_up_fails_the_node_only_where_the_node_needs_the_child() {
    for (scope, failures) in [(FailureScope::Child, 0), (FailureScope::Node, 1)] {
        let health = Health::default();
        let oversight = Oversight {
            health: health.clone(),
            kind: "counter",
            scope,
        };
        let (counter, _clock) = start_under(8, 1, oversight).await;
        let mut report = counter.report();
        for restarts in 0..2 {
            report
                .wait_for(|report| {
                    report.restarts == restarts && report.state == ChildState::Running
                })
                .await
                .expect("supervisor lives");
            assert_eq!(counter.watch().away(), None);
            let mailbox = counter.address().running(LIMIT).await.expect("runs");
            mailbox.try_send(CounterRequest::Fail).expect("taken");
        }
        let away = counter.watch().goes_away().await;
        assert!(matches!(&away, Away::GivenUp { .. }), "{away}");
        assert_eq!(counter.watch().away(), Some(away));
        assert_eq!(health.failures().len(), failures, "{scope:?}");
        assert_eq!(health.actors()[0].1.given_up, 1);
    }
}

/// A handler that fails drops what it held before its supervisor hears of it: not a moment of domain
/// time may pass in between.
#[tokio::test]
async fn domain_time_stands_still_from_the_moment_a_handler_fails() {
    for message in [
        CounterRequest::Panic,
        CounterRequest::AddThenPanic(1),
        CounterRequest::Fail,
    ] {
        let (counter, clock) = start(8, 20).await;
        let mailbox = counter.address().running(LIMIT).await.expect("runs");
        mailbox.try_send(message).expect("taken");
        clock.advance_to(DomainTime(60)).await;
        let report = counter.report().borrow().clone();
        assert_eq!((report.state, report.restarts), (ChildState::Running, 1));
        assert_eq!(clock.in_flight(), 0, "no mark is left behind");
        counter.stop().await;
    }
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

#[tokio::test]
async fn an_orderly_restart_ends_the_message_first_and_counts_for_nothing() {
    // One restart in a minute, and the second would be given up: orderly ones do not count.
    let (counter, clock) = start(8, 1).await;
    let address = counter.address().clone();
    for round in 1..=4_u64 {
        let mailbox = address.running(LIMIT).await.expect("runs");
        let (go_on, waits) = oneshot::channel();
        mailbox
            .try_send(CounterRequest::Wait(waits))
            .expect("taken");
        counter.restart_child();
        let first = mailbox.actor_id();
        assert_eq!(
            address.current().map(|one| one.actor_id()),
            Some(first),
            "it ends its message"
        );
        go_on.send(()).expect("it waits");
        let mut report = counter.report();
        let restarted = report
            .wait_for(|report| report.restarts == round && report.state == ChildState::Running);
        restarted.await.expect("supervisor lives");
        let added = address
            .ask(LIMIT, |reply| CounterRequest::Add(1, reply))
            .await;
        assert_eq!(added, Ok(round));
        assert_ne!(
            address.running(LIMIT).await.expect("runs").actor_id(),
            first
        );
    }
    clock.advance_to(DomainTime(10)).await;
    assert_eq!(clock.in_flight(), 0);
    counter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_actor_takes_no_message_until_it_is_resumed_or_its_time_is_over() {
    let (counter, _clock) = start(8, 20).await;
    let address = counter.address().clone();
    let add = || {
        address.ask(Duration::from_secs(3), |reply| {
            CounterRequest::Add(1, reply)
        })
    };
    assert_eq!(counter.pause_child(Duration::from_hours(9)), PAUSE_MAX);
    assert!(
        matches!(add().await, Err(AskError::Timeout { .. })),
        "longer than a message may take"
    );
    assert_eq!(counter.restarts(), 0, "it is held, and does not hang");
    counter.kill_child();
    assert!(
        matches!(add().await, Err(AskError::Timeout { .. })),
        "the next incarnation as well"
    );
    assert!(counter.resume_child());
    let resumed = add().await.expect("it answers");
    assert!(!counter.resume_child(), "it is not paused any more");

    let time = counter.pause_child(Duration::from_secs(2));
    let began = tokio::time::Instant::now();
    assert_eq!(add().await, Ok(resumed + 1), "the pause ends by itself");
    assert!(began.elapsed() >= time);
    assert_eq!(counter.paused_for(), None);

    assert_eq!(counter.watch().away(), None);
    let watch = counter.watch();
    let (away, _time) = tokio::join!(watch.goes_away(), async {
        counter.pause_child(Duration::from_mins(1))
    });
    assert_eq!((&away, watch.away().as_ref()), (&Away::Paused, Some(&away)));
    counter.restart_child();
    let restarted = add().await.expect("a restart ends a pause");
    assert_eq!(restarted, resumed + 2);
    counter.pause_child(Duration::from_mins(1));
    counter.stop().await;
}
