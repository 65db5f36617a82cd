use super::*;
use crate::fixtures::{OneCandidate, request, wave};
use twinscale_protocol::DomainTime;
use twinscale_supervision::{ChildSpec, Health, Oversight, RestartPolicy, Supervised, supervise};

const LIMIT: Duration = Duration::from_mins(1);

async fn start(make_engine: MakeEngine, job_limit: Duration) -> Supervised<ForecasterRequest> {
    start_under(make_engine, job_limit, &Health::default()).await
}

async fn start_under(
    make_engine: MakeEngine,
    job_limit: Duration,
    health: &Health,
) -> Supervised<ForecasterRequest> {
    let clock = DomainClock::starting_at(DomainTime(0));
    let spec = ChildSpec {
        name: "forecaster".to_owned(),
        make: Arc::new(|| Forecaster),
        arguments: ForecasterArguments {
            make_engine,
            job_limit,
            clock: clock.clone(),
            health: health.clone(),
        },
        mailbox_capacity: 128,
        policy: RestartPolicy::default(),
        clock,
        oversight: Oversight::default(),
    };
    supervise(spec).await.expect("a supervisor starts")
}

fn engine() -> Engine {
    let network = OneCandidate {
        candidate: 3,
        gap: 0.5,
    };
    Engine::new(Box::new(network), Vec::new())
}

async fn ask(forecaster: &Supervised<ForecasterRequest>, customer: &str) -> ForecastReply {
    let request = request(customer, 3600, &wave(200, 3600, 7));
    let asked = forecaster
        .address()
        .ask(LIMIT, |reply_to| {
            ForecasterRequest::Forecast(Box::new(request.clone()), reply_to)
        })
        .await;
    asked.expect("an answer").expect("a forecast")
}

#[tokio::test]
async fn many_askers_get_what_one_gets() {
    let forecaster = start(Arc::new(|| Ok(engine())), JOB_LIMIT).await;
    let alone = ask(&forecaster, "acme").await;
    let mailbox = forecaster.address().running(LIMIT).await.expect("runs");
    let mut replies = Vec::new();
    for seed in 0..40_u64 {
        let (reply_to, reply) = tokio::sync::oneshot::channel();
        let request = request(
            "acme",
            3600,
            &wave(200, 3600, if seed == 17 { 7 } else { seed }),
        );
        mailbox
            .try_send(ForecasterRequest::Forecast(Box::new(request), reply_to))
            .expect("room");
        replies.push(reply);
    }
    for (seed, reply) in replies.into_iter().enumerate() {
        let reply = reply.await.expect("an answer").expect("a forecast");
        assert_eq!(reply == alone, seed == 17 || seed == 7, "seed {seed}");
    }
    forecaster.stop().await;
}

#[tokio::test]
async fn it_comes_back_from_panic_and_kill_under_a_new_id() {
    let forecaster = start(Arc::new(|| Ok(engine())), JOB_LIMIT).await;
    let before = ask(&forecaster, "acme").await;
    let first = forecaster.address().running(LIMIT).await.expect("runs");
    first
        .try_send(ForecasterRequest::Fault(ForecasterFault::Panic))
        .expect("room");
    let mut report = forecaster.report();
    report
        .wait_for(|report| report.restarts == 1)
        .await
        .expect("a supervisor");
    assert_eq!(ask(&forecaster, "acme").await, before);
    forecaster.kill_child();
    report
        .wait_for(|report| report.restarts == 2)
        .await
        .expect("a supervisor");
    assert_eq!(ask(&forecaster, "acme").await, before);
    let last = forecaster.address().running(LIMIT).await.expect("runs");
    assert_ne!(first.actor_id(), last.actor_id());
    forecaster.stop().await;
}

#[tokio::test]
async fn a_panic_of_the_thread_costs_the_engine_alone() {
    let forecaster = start(Arc::new(|| Ok(engine())), JOB_LIMIT).await;
    let before = ask(&forecaster, "acme").await;
    let mailbox = forecaster.address().running(LIMIT).await.expect("runs");
    mailbox
        .try_send(ForecasterRequest::Fault(ForecasterFault::PanicThread))
        .expect("room");
    assert_eq!(ask(&forecaster, "acme").await, before);
    assert_eq!(forecaster.restarts(), 0);
    forecaster.stop().await;
}

#[tokio::test]
async fn a_hung_thread_is_abandoned_and_the_next_one_forecasts_the_same() {
    let health = Health::default();
    let job_limit = Duration::from_secs(2);
    let forecaster = start_under(Arc::new(|| Ok(engine())), job_limit, &health).await;
    let before = ask(&forecaster, "acme").await;
    let mailbox = forecaster.address().running(LIMIT).await.expect("runs");
    let fault = ForecasterFault::HangThread(2 * LIMIT);
    mailbox
        .try_send(ForecasterRequest::Fault(fault))
        .expect("room");
    assert_eq!(ask(&forecaster, "acme").await, before);
    assert_eq!(forecaster.restarts(), 0);
    assert_eq!(health.abandoned_threads(), (1, 3));
    assert_eq!(health.failures(), []);
    forecaster.stop().await;
}

#[tokio::test]
async fn zeroed_weights_change_the_forecast_until_the_restart() {
    let forecaster = start(Arc::new(|| Ok(engine())), JOB_LIMIT).await;
    let before = ask(&forecaster, "acme").await;
    let zeroed = forecaster
        .address()
        .ask(LIMIT, ForecasterRequest::ZeroWeights)
        .await;
    assert_eq!(zeroed.expect("an answer"), Ok(()));
    assert_ne!(ask(&forecaster, "acme").await, before);
    forecaster.stop().await;
}

#[tokio::test]
async fn an_engine_that_cannot_be_made_is_an_error_and_not_an_end() {
    let broken: MakeEngine = Arc::new(|| {
        Err(WireError::new(
            WireErrorCode::Internal,
            "weights are corrupt",
        ))
    });
    let forecaster = start(broken, JOB_LIMIT).await;
    let request = request("acme", 3600, &wave(200, 3600, 7));
    let asked = forecaster
        .address()
        .ask(LIMIT, |reply_to| {
            ForecasterRequest::Forecast(Box::new(request.clone()), reply_to)
        })
        .await;
    let error = asked.expect("an answer").expect_err("no engine");
    assert_eq!(error.message, "weights are corrupt");
    assert_eq!(forecaster.restarts(), 0);
    forecaster.stop().await;
}
