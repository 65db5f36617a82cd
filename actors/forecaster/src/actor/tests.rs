use super::*;
use crate::fixtures::{OneCandidate, request, wave};
use crate::serving::WeightsVersion;
use twinscale_protocol::forecaster::ForecastSource;
use twinscale_protocol::{DomainTime, WeightsId};
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
    let base = WeightsVersion {
        id: WeightsId::new("candidate-3").expect("an id"),
        make: make_engine,
    };
    start_serving(Serving::new(base), job_limit, health).await
}

async fn start_serving(
    serving: Serving,
    job_limit: Duration,
    health: &Health,
) -> Supervised<ForecasterRequest> {
    let clock = DomainClock::starting_at(DomainTime(0));
    let spec = ChildSpec {
        name: "forecaster".to_owned(),
        make: Arc::new(|| Forecaster),
        arguments: ForecasterArguments {
            serving,
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

fn version(candidate: usize) -> WeightsVersion {
    let engine = move || {
        let network = OneCandidate {
            candidate,
            gap: 0.5,
        };
        Engine::new(Box::new(network), Vec::new())
    };
    WeightsVersion {
        id: engine().weights_id(),
        make: Arc::new(move || Ok(engine())),
    }
}

#[tokio::test]
async fn weights_change_between_jobs_and_no_request_is_lost() {
    let serving = Serving::new(version(3));
    let forecaster = start_serving(serving.clone(), JOB_LIMIT, &Health::default()).await;
    let before = ask(&forecaster, "acme").await;
    let mailbox = forecaster.address().running(LIMIT).await.expect("runs");
    let mut replies = Vec::new();
    for number in 0..60 {
        let (reply_to, reply) = tokio::sync::oneshot::channel();
        let request = request("acme", 3600, &wave(200, 3600, 7));
        mailbox
            .try_send(ForecasterRequest::Forecast(Box::new(request), reply_to))
            .expect("room");
        replies.push(reply);
        if number == 30 {
            serving.serve(version(1));
            tokio::task::yield_now().await;
        }
    }
    let mut sources = Vec::new();
    for reply in replies {
        let reply = reply.await.expect("an answer").expect("a forecast");
        sources.push(reply.forecasts[0].source.clone());
    }
    sources.dedup();
    let source = |candidate| ForecastSource::Network(version(candidate).id);
    assert!(sources.len() <= 2, "{sources:?}");
    assert_eq!(sources.last(), Some(&source(1)));
    assert_eq!(serving.served().weights, version(1).id);
    assert_eq!(before.forecasts[0].source, source(3));
    // A new incarnation serves what was said before.
    forecaster.kill_child();
    let after = ask(&forecaster, "acme").await;
    assert_eq!(after.forecasts[0].source, source(1));
    forecaster.stop().await;
}

/// Asks hour after hour, and waits until all of it was forecast in the shadow.
async fn ask_for_days(forecaster: &Supervised<ForecasterRequest>, serving: &Serving, hours: u64) {
    let values = wave(200 + usize::try_from(hours).expect("few"), 3600, 7);
    for hour in 0..hours {
        let until = 200 + usize::try_from(hour).expect("few");
        let request = request("acme", 3600, &values[..until]);
        let asked = forecaster.address().ask(LIMIT, |reply_to| {
            ForecasterRequest::Forecast(Box::new(request.clone()), reply_to)
        });
        asked.await.expect("an answer").expect("a forecast");
        let wait = async {
            while serving
                .shadow()
                .is_some_and(|shown| shown.failed.is_none() && shown.counts.done <= hour)
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, wait).await.expect("it is done");
    }
}

#[tokio::test]
async fn a_challenger_is_scored_on_live_requests_beside_the_champion() {
    let serving = Serving::new(version(0));
    // The same time of yesterday knows of the wave; the last value does not.
    serving.compare(5, version(0).id, version(3));
    let forecaster = start_serving(serving.clone(), JOB_LIMIT, &Health::default()).await;
    ask_for_days(&forecaster, &serving, 30).await;
    let shown = serving.shadow().expect("a comparison");
    assert_eq!(
        (shown.trial, shown.counts.done, shown.counts.series),
        (5, 30, 1)
    );
    let [one] = shown.tallies[..] else {
        panic!("one series: {shown:?}");
    };
    assert!(one.tally.steps >= 24, "{one:?}");
    assert!(
        one.tally.losses[0] > 0.0 && one.tally.losses[1] > 0.0,
        "{one:?}"
    );
    assert!(
        (one.tally.losses[0] - one.tally.losses[1]).abs() > 1e-9,
        "two sets of weights forecast: {one:?}"
    );
    forecaster.stop().await;
}

#[tokio::test]
async fn a_challenger_that_panics_costs_the_comparison_alone() {
    let serving = Serving::new(version(3));
    let torn = WeightsVersion {
        id: WeightsId::new("torn").expect("an id"),
        make: Arc::new(panic_on_purpose),
    };
    serving.compare(1, version(3).id, torn);
    let forecaster = start_serving(serving.clone(), JOB_LIMIT, &Health::default()).await;
    let before = ask(&forecaster, "acme").await;
    ask_for_days(&forecaster, &serving, 1).await;
    assert_eq!(ask(&forecaster, "acme").await, before);
    let shown = serving.shadow().expect("it says why");
    assert_eq!(shown.failed.as_deref(), Some("job panicked"));
    assert_eq!(forecaster.restarts(), 0);
    forecaster.stop().await;
}

#[tokio::test]
async fn live_requests_go_first_and_what_is_too_much_is_left_out() {
    let serving = Serving::new(version(3));
    serving.compare(1, version(3).id, version(1));
    let forecaster = start_serving(serving.clone(), JOB_LIMIT, &Health::default()).await;
    let mailbox = forecaster.address().running(LIMIT).await.expect("runs");
    let mut replies = Vec::new();
    for number in 0..100 {
        let (reply_to, reply) = tokio::sync::oneshot::channel();
        let request = request(&format!("c-{number}"), 3600, &wave(200, 3600, number));
        mailbox
            .try_send(ForecasterRequest::Forecast(Box::new(request), reply_to))
            .expect("room");
        replies.push(reply);
    }
    for reply in replies {
        reply.await.expect("an answer").expect("a forecast");
    }
    let wait = async {
        loop {
            let counts = serving.shadow().expect("a comparison").counts;
            if counts.done + counts.dropped == 100 {
                return counts;
            }
            tokio::task::yield_now().await;
        }
    };
    let counts = tokio::time::timeout(LIMIT, wait).await.expect("it is done");
    assert!(counts.dropped > 0 && counts.done >= 32, "{counts:?}");
    forecaster.stop().await;
}
