//! Weights in service: brought to every node, compared on live requests, promoted, gone back from.

use crate::harness::{Nodes, customer, until};
use crate::{json, refuses, table};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;
use twinscale::assembly::ForecastWeights;
use twinscale::clients::Forecast;
use twinscale_forecast_model::shipped::{SHIPPED_CARD, SHIPPED_WEIGHTS};
use twinscale_forecast_model::weights_id;
use twinscale_meta::stored::v2::{DecisionKind, TrialEnd, TrialMode, WeightsChoice};
use twinscale_protocol::forecaster::{
    ForecastReply, ForecastRequest, ForecastSource, SeriesWindow,
};
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MetricName, Seconds, SeriesKey, VmTypeId, WeightsId,
};

const DEADLINE: Duration = Duration::from_mins(3);

/// Customers of each node whose demand is forecast.
const CUSTOMERS: u64 = 4;

/// Hours of history before the first forecast.
const HISTORY: usize = 10 * 24;

/// A file of weights that are all zero, with its card: the shipped one with nothing in its tensors.
fn zeros(folder: &Path) -> (String, WeightsId) {
    let mut weights = SHIPPED_WEIGHTS.to_vec();
    let header: [u8; 8] = weights[..8].try_into().expect("eight bytes");
    let tensors = 8 + usize::try_from(u64::from_le_bytes(header)).expect("small");
    weights[tensors..].fill(0);
    let id = weights_id(&weights).expect("an id");
    let mut card: Value = serde_json::from_slice(SHIPPED_CARD).expect("a card");
    card["weights_id"] = Value::from(id.to_string());
    let file = folder.join("zeros.safetensors");
    std::fs::write(&file, weights).expect("written");
    std::fs::write(folder.join("zeros.json"), card.to_string()).expect("written");
    (file.display().to_string(), id)
}

/// Demand of an hour: office hours, weekends off, and what is of this customer alone.
fn demand(node: u64, number: u64, hour: usize) -> f64 {
    let at = u64::try_from(hour).expect("small");
    let (day, of_day) = (at / 24 % 7, at % 24);
    let office = if (8..18).contains(&of_day) && day < 5 {
        60.0
    } else {
        12.0
    };
    let mixed = (at * 2_654_435_761 + node * 97 + number * 31) % 1_000;
    office * (1.0 + 0.1 * number as f64) + mixed as f64 / 100.0
}

/// Asks the forecasters of nodes hour after hour, as twins do.
struct Life {
    hour: usize,
    calibrations: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Life {
    fn new() -> Self {
        Self {
            hour: HISTORY,
            calibrations: BTreeMap::new(),
        }
    }

    fn request(&self, node: u64, number: u64) -> ForecastRequest {
        let first_at = DomainTime(1_699_833_600);
        let hours = i64::try_from(self.hour).expect("small");
        let values =
            (0..self.hour).map(|hour| Some(FixedValue::from_model(demand(node, number, hour))));
        let calibration = self.calibrations.get(&(node, number));
        ForecastRequest {
            customer: CustomerId::new(format!("life-{node}-{number}")).expect("an id"),
            issued_at: DomainTime(first_at.0 + hours * 3_600),
            interval: Seconds(3_600),
            horizon_steps: 24,
            series: vec![SeriesWindow {
                key: SeriesKey {
                    vm_type: VmTypeId::new("web").expect("an id"),
                    metric: MetricName::new("vm_count").expect("a name"),
                },
                first_at,
                values: values.collect(),
                lead_steps: 1,
                calibration: calibration.cloned().unwrap_or_default(),
            }],
            events: Vec::new(),
        }
    }

    /// Lives for one hour on these nodes.
    async fn pass(&mut self, nodes: &Nodes, on: &[u64]) {
        for node in on {
            for number in 0..CUSTOMERS {
                let reply = forecast(nodes, *node, &self.request(*node, number)).await;
                let calibration = reply.calibrations[0].clone();
                self.calibrations.insert((*node, number), calibration);
            }
        }
        self.hour += 1;
    }

    /// Lives until something is decided.
    async fn until(
        &mut self,
        nodes: &Nodes,
        on: &[u64],
        what: &str,
        is_so: impl Fn(&Nodes) -> bool,
    ) {
        let deadline = Instant::now() + DEADLINE;
        while !is_so(nodes) {
            let shown = || table_of(nodes);
            assert!(Instant::now() < deadline, "in vain: {what}: {}", shown());
            self.pass(nodes, on).await;
        }
    }
}

fn table_of(nodes: &Nodes) -> String {
    format!("{:?}", nodes.register(1))
}

async fn forecast(nodes: &Nodes, node: u64, request: &ForecastRequest) -> ForecastReply {
    let forecasters = nodes.service(node).node().forecasters();
    let answer = forecasters.forecast(request, DEADLINE).await;
    match answer.expect("a forecast") {
        Forecast::Own(reply) => reply,
        Forecast::Borrowed(borrowed) => panic!("nothing is wrong here: {borrowed:?}"),
    }
}

async fn operate(nodes: &Nodes, arguments: &[&str]) -> Value {
    json(nodes, "operator/ada", arguments).await
}

fn serves(nodes: &Nodes, node: u64) -> WeightsId {
    nodes.service(node).node().serving().served().weights
}

/// Waits until nodes serve weights, of which they tell.
async fn all_serve(nodes: &Nodes, on: &[u64], id: &WeightsId) {
    let what = format!("{on:?} serve {id}");
    until(&what, || on.iter().all(|node| serves(nodes, *node) == *id)).await;
    let shown = operate(nodes, &["weights", "show"]).await;
    for node in shown["nodes"].as_array().expect("nodes") {
        let number = node["node"].as_u64().expect("a number");
        if on.contains(&number) {
            assert_eq!(node["serves"], id.to_string(), "{shown}");
            assert_eq!(node["in_step"], true, "{shown}");
        }
    }
}

fn last_decision(nodes: &Nodes) -> Option<(DecisionKind, WeightsChoice, bool)> {
    let register = nodes.register(1);
    let last = register.decisions.back()?;
    Some((last.what, last.weights.clone(), last.figures.is_some()))
}

/// Below the gate nothing of it is taken, and the hint says what to do; nobody but an operator may.
async fn check_gate(nodes: &Nodes, file: &str) {
    for arguments in [
        &["weights", "put", file][..],
        &["weights", "rollback"],
        &["weights", "promote", "shipped"],
    ] {
        let refused = nodes.run("operator/ada", arguments).await;
        refuses(&refused, 3, &["need schema 2", "twinscale schema raise"]);
    }
    let listed = table(nodes, &["weights", "list"]).await;
    assert!(listed.contains("schema is 1"), "{listed}");
    operate(nodes, &["schema", "raise", "2"]).await;
    let refused = nodes.run("viewer/vic", &["weights", "put", file]).await;
    refuses(&refused, 3, &["as viewer/vic", "operator/NAME"]);
    let unknown = nodes
        .run("operator/ada", &["weights", "shadow", "0123"])
        .await;
    refuses(&unknown, 3, &["`0123` names no weights", "shipped"]);
}

/// A file is brought to one node, and comes to all of them; the same again changes nothing.
async fn check_put(nodes: &Nodes, file: &str, id: &WeightsId) {
    let put = operate(nodes, &["weights", "put", file]).await;
    assert_eq!(
        (&put["outcome"], &put["weights"]),
        (&"applied".into(), &id.to_string().into())
    );
    for node in 1..=3 {
        assert!(nodes.verified(node).contains(id), "node {node}");
    }
    let again = operate(nodes, &["weights", "put", file]).await;
    assert_eq!(again["outcome"], "unchanged");
    let audit = operate(nodes, &["audit", "--by", "operator/ada"]).await;
    let last = audit["records"]
        .as_array()
        .and_then(|lines| lines.last())
        .expect("a line");
    assert_eq!(last["what"], "register-weights", "{audit}");
    let number = u64::from_str_radix(id.as_str(), 16).expect("hex");
    assert_eq!(last["value"], number);
    let listed = table(nodes, &["weights", "list"]).await;
    assert!(
        listed.contains(id.as_str()) && listed.contains("operator/ada"),
        "{listed}"
    );
}

/// A challenger that is worse is found out, and dropped with figures.
async fn check_worse(nodes: &Nodes, life: &mut Life, id: &WeightsId) {
    let short: String = id.as_str().chars().take(8).collect();
    operate(nodes, &["weights", "shadow", &short]).await;
    let dropped = |nodes: &Nodes| {
        let worse = DecisionKind::TrialEnded(TrialEnd::Worse);
        last_decision(nodes).is_some_and(|(what, _, measured)| what == worse && measured)
    };
    life.until(nodes, &[1, 2, 3], "zeros are found out", dropped)
        .await;
    let register = nodes.register(1);
    assert_eq!(register.active, WeightsChoice::Shipped);
    let figures = register
        .decisions
        .back()
        .and_then(|one| one.figures)
        .expect("figures");
    assert!(
        figures.ratio_low > 1_000_000 && figures.series >= 6,
        "{figures:?}"
    );
    let listed = table(nodes, &["weights", "list"]).await;
    assert!(listed.contains("trial-ended-worse"), "{listed}");
}

/// An operator's mistake is seen in the watch, and the cluster goes back by itself.
async fn check_watch(nodes: &Nodes, life: &mut Life, id: &WeightsId, shipped: &WeightsId) {
    operate(nodes, &["weights", "promote", id.as_str()]).await;
    all_serve(nodes, &[1, 2, 3], id).await;
    let trial = nodes.register(1).trial.expect("a watch");
    assert_eq!(
        (trial.mode, trial.challenger),
        (TrialMode::Watch, WeightsChoice::Shipped)
    );
    let shown = table(nodes, &["weights", "show"]).await;
    assert!(shown.contains("is watched beside it"), "{shown}");
    let back = |nodes: &Nodes| nodes.register(1).active == WeightsChoice::Shipped;
    life.until(nodes, &[1, 2, 3], "the cluster goes back", back)
        .await;
    let (what, _, measured) = last_decision(nodes).expect("a decision");
    assert_eq!((what, measured), (DecisionKind::RolledBack, true));
    all_serve(nodes, &[1, 2, 3], shipped).await;
}

/// A challenger that is truly better is promoted by what was measured.
async fn check_promotion(nodes: &Nodes, life: &mut Life, id: &WeightsId, shipped: &WeightsId) {
    operate(nodes, &["weights", "promote", id.as_str()]).await;
    operate(nodes, &["weights", "drop", "shipped"]).await;
    all_serve(nodes, &[1, 2, 3], id).await;
    let refused = nodes
        .run("operator/ada", &["weights", "drop", id.as_str()])
        .await;
    refuses(&refused, 3, &["are the active ones", "roll back first"]);
    operate(nodes, &["weights", "shadow", "shipped"]).await;
    let promoted = |nodes: &Nodes| nodes.register(1).active == WeightsChoice::Shipped;
    life.until(nodes, &[1, 2, 3], "the better ones are promoted", promoted)
        .await;
    let (what, weights, measured) = last_decision(nodes).expect("a decision");
    let wanted = (DecisionKind::Promoted, WeightsChoice::Shipped, true);
    assert_eq!((what, weights, measured), wanted);
    all_serve(nodes, &[1, 2, 3], shipped).await;
    let counted = nodes
        .counted_everywhere("twinscale_weights_decisions_total{decision=\"promoted\"}")
        .await;
    assert_eq!(counted, 1);
    // The way back is open for an operator as well, once.
    operate(nodes, &["weights", "rollback"]).await;
    all_serve(nodes, &[1, 2, 3], id).await;
    let refused = nodes.run("operator/ada", &["weights", "rollback"]).await;
    refuses(&refused, 3, &["no weights were active before"]);
}

/// A node that was down finds out what is active, and fetches anew what its disk has spoilt meanwhile.
async fn check_down(nodes: &mut Nodes, id: &WeightsId) {
    nodes.halt(2).await;
    let file = nodes
        .data_dir(2)
        .join("weights")
        .join(format!("{id}.safetensors"));
    let mut bytes = std::fs::read(&file).expect("it has them");
    let last = bytes.last_mut().expect("not empty");
    *last ^= 1;
    std::fs::write(&file, bytes).expect("spoilt");
    nodes.resume(2).await;
    all_serve(nodes, &[2], id).await;
    let aside = nodes
        .data_dir(2)
        .join("weights")
        .join(format!("{id}.safetensors.broken"));
    assert!(aside.exists(), "the broken file is kept for whoever looks");
    let fetched = "twinscale_weights_fetched_total{outcome=\"fetched\"}";
    assert_eq!(nodes.counted(2, fetched).await, Some(1));
    nodes
        .comes_to_count(2, "twinscale_weights_in_step", 1)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_are_brought_compared_promoted_and_gone_back_from() {
    let folder = TempDir::new().expect("a folder");
    let (file, id) = zeros(folder.path());
    let mut nodes = Nodes::start(3, 2).await;
    let shipped = serves(&nodes, 1);
    let mut life = Life::new();
    check_gate(&nodes, &file).await;
    check_put(&nodes, &file, &id).await;
    check_worse(&nodes, &mut life, &id).await;
    check_watch(&nodes, &mut life, &id, &shipped).await;
    check_promotion(&nodes, &mut life, &id, &shipped).await;
    check_down(&mut nodes, &id).await;
    // One that joins later has them as well.
    nodes.join(4).await;
    until("node 4 has the weights", || nodes.verified(4).contains(&id)).await;
    all_serve(&nodes, &[4], &id).await;
    nodes.stop().await;
}

fn mixed(number: u64) -> ForecastWeights {
    let shipped = ForecastWeights::load(None).expect("they ship");
    if number == 3 {
        shipped.zeroed()
    } else {
        shipped
    }
}

/// Nodes whose programs ship different weights: what one learnt of a series starts afresh on the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_different_weights_live_together() {
    let nodes = Nodes::start_with(3, 2, mixed).await;
    let mut life = Life::new();
    life.pass(&nodes, &[1]).await;
    life.pass(&nodes, &[1]).await;
    let learnt = life.request(1, 0);
    assert!(!learnt.series[0].calibration.is_empty());
    let fresh = Life {
        hour: life.hour,
        ..Life::new()
    };
    let source = |reply: &ForecastReply| reply.forecasts[0].source.clone();
    let own = forecast(&nodes, 1, &learnt).await;
    let moved = forecast(&nodes, 3, &learnt).await;
    let afresh = forecast(&nodes, 3, &fresh.request(1, 0)).await;
    assert_eq!(source(&own), ForecastSource::Network(serves(&nodes, 1)));
    assert_eq!(source(&moved), ForecastSource::Network(serves(&nodes, 3)));
    assert_ne!(serves(&nodes, 1), serves(&nodes, 3));
    let quantiles = |reply: &ForecastReply| reply.forecasts[0].quantiles.clone();
    assert_eq!(quantiles(&moved), quantiles(&afresh), "by back-casting");
    assert_ne!(quantiles(&moved), quantiles(&own));
    // What node 3 learnt is of no harm on node 1 either, which is where the twin goes when 3 fails.
    let mut back = learnt.clone();
    back.series[0].calibration = moved.calibrations[0].clone();
    let again = forecast(&nodes, 1, &back).await;
    let afresh = forecast(&nodes, 1, &fresh.request(1, 0)).await;
    assert_eq!(quantiles(&again), quantiles(&afresh));
    // Twins go on turning on all of them.
    for number in 0..4 {
        nodes.configure(&customer(number)).await;
    }
    nodes.all_are_driven(4).await;
    nodes.stop().await;
}
