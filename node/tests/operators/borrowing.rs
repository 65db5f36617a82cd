//! A node whose forecaster cannot forecast, among others whose can: its twins borrow.

use crate::harness::{Nodes, customer, until};
use crate::{json, table};
use std::collections::BTreeSet;
use twinscale_protocol::CustomerId;
use twinscale_protocol::forecaster::ForecastSource;
use twinscale_twin::TwinState;

/// Customers whose twins one node drives.
async fn driven_by(nodes: &Nodes, node: u64, count: usize) -> Vec<CustomerId> {
    let mut found = Vec::new();
    for number in 0..200 {
        if found.len() < count && nodes.leader_of(&customer(number)).await == node {
            found.push(customer(number));
        }
    }
    assert_eq!(found.len(), count, "customers of one shard");
    found
}

/// Configures a customer with a past, and waits for the first turn; it must come to a fresh forecast of the
/// network.
async fn turns_with_a_fresh_forecast(nodes: &Nodes, node: u64, customer: &CustomerId) {
    nodes.record(customer).await;
    nodes.configure(customer).await;
    let service = nodes.service(node);
    let kept = || service.keeper().find(customer);
    let turn = || kept().and_then(|kept| kept.last_turn());
    until("a turn of the twin", || turn().is_some()).await;
    let turn = turn().expect("it was waited for");
    let summary = turn.outcome.expect("it ends");
    assert!(!summary.stale, "{summary:?}");
    let source = |state: &TwinState| {
        let record = state.forecast().expect("a forecast");
        record.forecasts[0].source.clone()
    };
    let source = service.twins().read(customer, source);
    let weights = service.node().forecasters().weights();
    let wanted = ForecastSource::Network(weights);
    assert_eq!(
        source,
        Some(wanted),
        "as the own forecaster would have made it"
    );
}

async fn counted(nodes: &Nodes, node: u64, series: &str) -> u64 {
    nodes.counted(node, series).await.unwrap_or_default()
}

async fn told_by_doctor(nodes: &Nodes) -> String {
    let doctor = nodes.doctor().await;
    assert!(doctor.status.success(), "others forecast: {doctor:?}");
    String::from_utf8_lossy(&doctor.stdout).into_owned()
}

async fn check_paused(nodes: &Nodes, node: u64, customer: &CustomerId) {
    let on = format!("node-{node}");
    let pause = ["actors", "pause", "forecaster", "--on", &on, "--for", "600"];
    json(nodes, "operator/ada", &pause).await;
    turns_with_a_fresh_forecast(nodes, node, customer).await;
    let borrowed = "twinscale_forecasts_borrowed_total{outcome=\"borrowed\"}";
    assert_eq!(counted(nodes, node, borrowed).await, 1);
    let took = "twinscale_forecast_seconds_count{outcome=\"borrowed\"}";
    assert_eq!(counted(nodes, node, took).await, 1);
    assert_eq!(counted(nodes, node, "twinscale_forecaster_fit").await, 0);
    let lent = "twinscale_forecasts_lent_total{outcome=\"lent\"}";
    let mut lenders = BTreeSet::new();
    for other in 1..=3 {
        if counted(nodes, other, lent).await == 1 {
            lenders.insert(other);
        }
    }
    assert_eq!(lenders.len(), 1, "one lends");
    assert!(!lenders.contains(&node));
    let tree = table(nodes, &["actors", "tree", "--on", &on]).await;
    assert!(
        tree.contains("it is paused; twins borrow from other nodes: 1 forecasts"),
        "{tree}"
    );
    let doctor = told_by_doctor(nodes).await;
    assert!(
        doctor.contains("2 of 3 forecast") && doctor.contains(&on),
        "{doctor}"
    );
}

async fn check_resumed(nodes: &Nodes, node: u64, customer: &CustomerId) {
    let on = format!("node-{node}");
    json(
        nodes,
        "operator/ada",
        &["actors", "resume", "forecaster", "--on", &on],
    )
    .await;
    turns_with_a_fresh_forecast(nodes, node, customer).await;
    let own = "twinscale_forecast_seconds_count{outcome=\"network\"}";
    assert_eq!(
        counted(nodes, node, own).await,
        1,
        "it forecasts itself again"
    );
    assert_eq!(counted(nodes, node, "twinscale_forecaster_fit").await, 1);
}

async fn check_given_up(nodes: &Nodes, node: u64, customer: &CustomerId) {
    let forecaster = nodes.service(node).node().forecaster();
    let report = forecaster.report();
    until("the forecaster is given up", || {
        forecaster.kill_child();
        forecaster.watch().away().is_some()
    })
    .await;
    assert!(report.borrow().restarts >= 1);
    turns_with_a_fresh_forecast(nodes, node, customer).await;
    let health = nodes.service(node).node().health();
    assert_eq!(health.failures(), [], "a node that borrows goes on");
    let doctor = told_by_doctor(nodes).await;
    assert!(doctor.contains("it was given up"), "{doctor}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_of_a_node_without_a_forecaster_borrow_that_of_a_peer() {
    let nodes = Nodes::start(3, 2).await;
    let struck = nodes.leader_of(&customer(0)).await;
    let customers = driven_by(&nodes, struck, 3).await;
    check_paused(&nodes, struck, &customers[0]).await;
    check_resumed(&nodes, struck, &customers[1]).await;
    check_given_up(&nodes, struck, &customers[2]).await;
    nodes.stop().await;
}
