//! A whole small stack in one process: two tiers' servers and the generator over loopback, without containers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use twinscale_environment::model::{Balancer, Distribution, ServiceDemand, StackModel, read_model};
use twinscale_environment::simulation::Load;
use twinscale_replica::config::{Peer, ServeCall, ServeClass, ServeConfig, Target};
use twinscale_replica::load::{
    Entry, LoadOutcome, LoadRun, RunOptions, ScheduleError, now, schedule,
};
use twinscale_replica::serve::{HttpConnection, Serving, serve};

/// Demands are short and rates low: the test shares its machine, and checks what no load of it can change.
const MODEL: &str = r#"
customer = "test"
[class.page]
entry = "web"
rate_per_s = 40.0
[vm_type.core]
vcpu = 1
memory_gib = 1
price_per_hour_usd = 0
free = true
[tier.web]
vm = [{ type = "core", count = 1 }]
demand.page = { mean_s = 0.002, distribution = "deterministic" }
"#;

fn model() -> StackModel {
    read_model(MODEL, "test").expect("it is whole").model
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn demand(mean_s: f64) -> ServiceDemand {
    ServiceDemand {
        mean_s,
        distribution: Distribution::Deterministic,
        scv: None,
        read_share: None,
        write_mean_s: None,
    }
}

fn config(tier: &str, mean_s: f64, calls: Vec<ServeCall>) -> ServeConfig {
    let class = ServeClass {
        demand: Some(demand(mean_s)),
        stages: (0..calls.len()).map(|place| vec![place]).collect(),
    };
    ServeConfig {
        tier: tier.to_owned(),
        workers: 2,
        waiting_max: None,
        holds_worker: false,
        speed: 1.0,
        classes: BTreeMap::from([("page".to_owned(), class)]),
        calls,
    }
}

fn call(to: &str, address: SocketAddr) -> ServeCall {
    ServeCall {
        to: to.to_owned(),
        target: Target::Http,
        peers: vec![peer(address)],
        balancer: Balancer::RoundRobin,
        per_request: 2.0,
        on_miss_of: None,
        parallel: false,
        request_bytes: 100,
        response_bytes: 5_000,
        pool_size: Some(4),
        timeout_s: None,
        retries_max: 0,
        retry_backoff_s: 0.05,
    }
}

fn peer(address: SocketAddr) -> Peer {
    Peer {
        address: address.to_string(),
        cores: 1.0,
        is_primary: true,
    }
}

async fn loaded(web: &Serving, rate: f64, seconds: f64) -> LoadOutcome {
    let model = model();
    let class = model.classes.keys().next().expect("there is one").clone();
    let load = Load::steady(vec![(class, rate)], seconds);
    let planned = schedule(&model, &load, 1).expect("the load is whole");
    let entry = Entry {
        peers: vec![peer(web.address)],
        balancer: Balancer::RoundRobin,
        request_bytes: 300,
        response_bytes: 2_000,
    };
    let options = RunOptions {
        start: now(),
        warm_up_s: 0.0,
        core: None,
    };
    let run = LoadRun::start(planned, vec![entry], options).expect("a thread starts");
    run.finish().await.expect("the generator runs")
}

async fn stack() -> (Serving, Serving) {
    let store = serve(config("store", 0.001, Vec::new()), loopback())
        .await
        .expect("a port is free");
    let calls = vec![call("store", store.address)];
    let web = serve(config("web", 0.002, calls), loopback())
        .await
        .expect("a port is free");
    (store, web)
}

#[tokio::test]
async fn every_request_is_served_and_burns_its_demand() {
    let (store, web) = stack().await;
    let outcome = loaded(&web, 40.0, 3.0).await;
    let class = &outcome.classes[0];
    assert!(class.sent > 60, "{} of about 120", class.sent);
    assert_eq!((class.served, class.failed), (class.sent, 0));
    let (store, web) = (store.status(), web.status());
    assert_eq!(web.visits["page"], class.sent);
    assert_eq!(web.calls["store"], 2 * class.sent);
    assert_eq!(store.visits["page"], 2 * class.sent, "two calls each");
    // A demand is burnt whole, and at most a tick of 4 ms more is charged to it.
    let (visits, burnt_s) = (class.sent as f64, web.burnt_s["page"]);
    assert!(burnt_s >= 0.002 * visits, "{burnt_s} s for {visits} visits");
    // A response is at least what is burnt for it, one after the other.
    let fastest_s = class.responses.quantile(0.0);
    assert!(fastest_s >= 0.0039, "{fastest_s} s and 4 ms burnt");
    assert!(class.rests.quantile(0.5) < class.responses.quantile(0.5));
}

#[tokio::test]
async fn a_full_line_refuses() {
    let mut one = config("web", 0.2, Vec::new());
    one.workers = 1;
    one.waiting_max = Some(0);
    let web = serve(one, loopback()).await.expect("a port is free");
    let outcome = loaded(&web, 50.0, 1.0).await;
    let class = &outcome.classes[0];
    assert!(
        class.failed > 0 && class.served > 0,
        "{} of {}",
        class.failed,
        class.sent
    );
    assert_eq!(web.status().refused, class.failed);
}

#[tokio::test]
async fn waiting_counts_from_the_time_meant() {
    // Requests come every 20 ms and take 100 ms on one worker: the tenth waits for nine, though none is sent late.
    let mut one = config("web", 0.1, Vec::new());
    one.workers = 1;
    let web = serve(one, loopback()).await.expect("a port is free");
    let outcome = loaded(&web, 50.0, 0.4).await;
    let class = &outcome.classes[0];
    assert_eq!(class.failed, 0);
    let slowest_s = class.responses.quantile(1.0);
    let all_s = 0.1 * class.sent as f64;
    assert!(
        slowest_s > all_s - 0.41,
        "{slowest_s} s after {} requests",
        class.sent
    );
}

#[tokio::test]
async fn a_caller_gives_up_and_the_work_goes_on() {
    let store = serve(config("store", 0.3, Vec::new()), loopback())
        .await
        .expect("a port is free");
    let mut slow = call("store", store.address);
    slow.per_request = 1.0;
    slow.timeout_s = Some(0.02);
    slow.retries_max = 1;
    let web = serve(config("web", 0.0, vec![slow]), loopback())
        .await
        .expect("a port is free");
    let mut client = HttpConnection::connect(&web.address.to_string())
        .await
        .expect("it listens");
    let visited = client.visit("page", 7, 10, 10).await.expect("it answers");
    assert_eq!(visited, None, "both tries were given up");
    assert_eq!(web.status().timed_out, 2);
    let begun = now();
    while store.status().burnt_s["page"] < 0.6 {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{:?}",
            store.status()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn nonsense_is_refused() {
    let (_store, web) = stack().await;
    let mut client = HttpConnection::connect(&web.address.to_string())
        .await
        .expect("it listens");
    assert_eq!(
        client
            .visit("no such class", 1, 0, 0)
            .await
            .expect("it answers"),
        None
    );
    assert!(client.get("/nowhere").await.is_err());
    assert!(client.get("/ready").await.is_ok(), "the store listens");
    assert!(client.get("/status").await.is_ok());
}

#[test]
fn arrivals_follow_rates_and_seed() {
    let model = model();
    let class = model.classes.keys().next().expect("there is one").clone();
    let load = Load {
        step_s: 100.0,
        rates: vec![(class.clone(), vec![10.0, 0.0, 50.0])],
    };
    let planned = schedule(&model, &load, 3).expect("it is whole");
    let within = |from: f64| {
        let times = planned.requests.iter().map(|one| one.at_s);
        times.filter(|at| (from..from + 100.0).contains(at)).count()
    };
    assert!((850..1_150).contains(&within(0.0)), "{}", within(0.0));
    assert_eq!(within(100.0), 0);
    assert!((4_700..5_300).contains(&within(200.0)), "{}", within(200.0));
    assert!(
        planned
            .requests
            .is_sorted_by(|left, right| left.at_s <= right.at_s)
    );
    assert_eq!(schedule(&model, &load, 3), Ok(planned.clone()));
    assert_ne!(schedule(&model, &load, 4), Ok(planned));
    let endless = Load::steady(vec![(class.clone(), 1e6)], 1e6);
    assert_eq!(schedule(&model, &endless, 1), Err(ScheduleError::TooMany));
    let wrong = Load::steady(vec![(class, f64::NAN)], 1.0);
    assert!(matches!(
        schedule(&model, &wrong, 1),
        Err(ScheduleError::Number(_))
    ));
}
