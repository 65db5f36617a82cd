//! Weights trained further on what a cluster's customers sent: by the schedule of a daemon, and by hand. The trainer
//! is the real one, with few steps.

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use twinscale::dev::layout::{Layout, LayoutOptions};
use twinscale::dev::processes::{OwnProcess, node_arguments, ready, start_cloud};
use twinscale::service::client::{ApiClient, Target};
use twinscale::service::wall_clock::{SystemWallClock, WallClock as _};
use twinscale_forecast_model::shipped::{SHIPPED_CARD, SHIPPED_WEIGHTS};
use twinscale_forecast_model::weights_id;
use twinscale_protocol::{ClusterId, WeightsId};

const PROGRAM: &str = env!("CARGO_BIN_EXE_twinscale");

/// Far more than a training of so few steps takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(4);

/// Optimiser steps: the fewest after which spoilt weights have mended beyond doubt.
const STEPS: u64 = 20;

/// Days of hours that each customer has sent, and customers: the last eighth of all of it must give a batch of 128
/// origins a day before its end.
const DAYS: i64 = 40;
const CUSTOMERS: i64 = 10;

const HOUR_S: i64 = 3_600;

/// Weights of one small network that was spoilt, so that few steps make it better: that of the shipped file with each
/// number a tenth smaller.
fn spoilt(folder: &Path) -> (PathBuf, WeightsId) {
    const TAKEN: &str = "2.dense.";
    let header: [u8; 8] = SHIPPED_WEIGHTS[..8].try_into().expect("eight bytes");
    let tensors = 8 + usize::try_from(u64::from_le_bytes(header)).expect("small");
    let header: Value = serde_json::from_slice(&SHIPPED_WEIGHTS[8..tensors]).expect("a header");
    let (mut taken, mut bytes) = (Map::new(), Vec::new());
    for (name, tensor) in header.as_object().expect("tensors") {
        let Some(own) = name.strip_prefix(TAKEN) else {
            continue;
        };
        let end = |place: usize| {
            let end = tensor["data_offsets"][place].as_u64().expect("an offset");
            tensors + usize::try_from(end).expect("small")
        };
        let begin = bytes.len();
        for number in SHIPPED_WEIGHTS[end(0)..end(1)].chunks_exact(4) {
            let number = f32::from_le_bytes(number.try_into().expect("four bytes"));
            bytes.extend((0.9 * number).to_le_bytes());
        }
        let mut tensor = tensor.clone();
        tensor["data_offsets"] = json!([begin, bytes.len()]);
        taken.insert(format!("0.dense.{own}"), tensor);
    }
    let mut header = Value::Object(taken).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = u64::try_from(header.len()).expect("small").to_le_bytes();
    let weights = [&length[..], &header, &bytes].concat();
    let id = weights_id(&weights).expect("an id");
    let mut card: Value = serde_json::from_slice(SHIPPED_CARD).expect("a card");
    card["weights_id"] = Value::from(id.to_string());
    card["networks"] = json!([card["networks"][2]]);
    let file = folder.join("spoilt.safetensors");
    std::fs::write(&file, weights).expect("written");
    std::fs::write(file.with_extension("json"), card.to_string()).expect("written");
    (file, id)
}

/// A cluster of one daemon that retrains when it may.
struct Daemon {
    layout: Layout,
    node: OwnProcess,
    _cloud: OwnProcess,
    folder: TempDir,
    client: ApiClient,
}

impl Daemon {
    async fn start() -> (Self, WeightsId) {
        let folder = TempDir::new().expect("a folder");
        let (weights, id) = spoilt(folder.path());
        let mut node_keys = toml::Table::new();
        node_keys.insert("interval_s".to_owned(), toml::Value::from(HOUR_S));
        let options = LayoutOptions {
            cluster: ClusterId::new("test").expect("an id"),
            nodes: 1,
            replication: 1,
            shards: Some(1),
            addresses: Vec::new(),
            cloud: Ipv4Addr::LOCALHOST.into(),
            node_keys,
        };
        let layout = Layout::write(&folder.path().join("cluster"), &options).expect("laid out");
        let place = &layout.nodes[0];
        let mut settings = std::fs::read_to_string(&place.settings).expect("written");
        // The first is due at once, the next one not while the test runs.
        write!(
            settings,
            "\n[forecaster]\nretrain_every_s = 86400\nretrain_steps = {STEPS}\n"
        )
        .expect("text grows");
        std::fs::write(&place.settings, settings).expect("written");
        let cloud = start_cloud(Path::new(PROGRAM), &layout).expect("starts");
        let mut arguments = node_arguments(place, true);
        arguments.extend(["--weights".to_owned(), weights.display().to_string()]);
        let node = OwnProcess::start(Path::new(PROGRAM), &place.name, &arguments, place.log());
        let mut node = node.expect("starts");
        ready(&mut node, place, DEADLINE).await.expect("it serves");
        let client = ApiClient::new(Target::Url(format!("http://{}", place.api)));
        let daemon = Self {
            node,
            _cloud: cloud,
            client,
            folder,
            layout,
        };
        (daemon, id)
    }

    async fn send(&self, (method, path): (Method, &str), body: String) -> Value {
        let answer = self.client.send(method, path, Bytes::from(body)).await;
        let answer = answer.expect("it answers");
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    async fn get(&self, path: &str) -> Value {
        self.send((Method::GET, path), String::new()).await
    }

    /// Customers with days of office hours.
    async fn feed(&self) {
        let last = SystemWallClock.now().0 / HOUR_S * HOUR_S;
        for number in 0..CUSTOMERS {
            let wishes = json!({"policy": {}, "stack": {"tier":
                {"web": {"demand": "web/vm_count", "vm_type": [{"name": "web"}]}}}});
            let path = format!("/v1/customers/customer-{number}");
            self.send((Method::PUT, &path), wishes.to_string()).await;
            let mut lines = String::new();
            for hours in 1..=DAYS * 24 {
                let at = last - hours * HOUR_S;
                let is_busy = (8..18).contains(&(at / HOUR_S % 24));
                let value = (if is_busy { 30 } else { 10 }) + number + hours % 5;
                let line = json!({"customer": format!("customer-{number}"), "vm_type": "web",
                    "metric": "vm_count", "timestamp": at, "value": value});
                writeln!(lines, "{line}").expect("text grows");
            }
            let stored = self.send((Method::POST, "/v1/telemetry"), lines).await;
            assert_eq!(stored["accepted"], DAYS * 24, "{stored}");
        }
    }

    /// Runs the binary as an operator.
    async fn operate(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .args(self.layout.operator_arguments());
        let ran = tokio::task::spawn_blocking(move || command.output());
        let output = ran.await.expect("it ends");
        output.expect("the built binary starts")
    }

    async fn told(&self, arguments: &[&str]) -> Value {
        let output = self.operate(&[arguments, &["--json"]].concat()).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Waits until something is compared with the active weights.
    async fn in_trial(&self) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let told = self.get("/v1/weights").await;
            if told["trial"].is_object() {
                return told;
            }
            let words = self.node.last_words();
            assert!(Instant::now() < deadline, "no trial: {told}\n{words}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn metrics(&self) -> String {
        let answer = self.client.send(Method::GET, "/metrics", Bytes::new());
        let answer = answer.await.expect("it answers");
        String::from_utf8(answer.body).expect("text")
    }
}

/// What the schedule brought is known with its parent, compared, and told of.
async fn check_schedule(daemon: &Daemon, parent: &WeightsId) -> String {
    let told = daemon.in_trial().await;
    assert_eq!(told["active"], parent.to_string(), "{told}");
    assert_eq!(
        (&told["is_shipped"], &told["trial"]["is_watch"]),
        (&true.into(), &false.into())
    );
    let challenger = told["trial"]["challenger"]
        .as_str()
        .expect("an id")
        .to_owned();
    let listed = daemon.told(&["weights", "list"]).await;
    let known = listed["known"].as_array().expect("a list");
    assert_eq!(known.len(), 1, "{listed}");
    assert_eq!(known[0]["id"], challenger, "{listed}");
    assert_eq!(known[0]["parent"], parent.to_string(), "{listed}");
    let file = format!("weights/{challenger}.safetensors");
    let file = daemon.layout.nodes[0].data_dir.join(file);
    let id = weights_id(&std::fs::read(file).expect("it is kept")).expect("an id");
    assert_eq!(id.to_string(), challenger);
    // How it ended is committed behind the trial.
    let deadline = Instant::now() + DEADLINE;
    let ended = "twinscale_retrainings_total{outcome=\"submitted\"} 1";
    while !daemon.metrics().await.contains(ended) {
        assert!(Instant::now() < deadline, "{}", daemon.metrics().await);
        sleep(Duration::from_millis(50)).await;
    }
    let what = |listed: &Value| -> Vec<String> {
        let decisions = listed["decisions"].as_array().expect("a list").iter();
        decisions
            .map(|one| one["what"].as_str().expect("a word").to_owned())
            .collect()
    };
    let wanted = ["registered", "shadowed", "retrained"];
    loop {
        let listed = daemon.told(&["weights", "list"]).await;
        if what(&listed) == wanted {
            break;
        }
        assert!(Instant::now() < deadline, "{listed}");
        sleep(Duration::from_millis(50)).await;
    }
    challenger
}

/// The view and the operator's command tell the same.
async fn check_shown(daemon: &Daemon, parent: &WeightsId, challenger: &str) {
    let short = |id: &str| id.chars().take(8).collect::<String>();
    let shown = daemon.told(&["weights", "show"]).await;
    assert_eq!(shown["nodes"][0]["in_step"], true, "{shown}");
    assert_eq!(
        shown["register"]["trial"]["challenger"], challenger,
        "{shown}"
    );
    let url = format!("http://{}", daemon.layout.nodes[0].api);
    let mut top = Command::new(PROGRAM);
    top.args(["top", "--once", "--node", &url]);
    let top = tokio::task::spawn_blocking(move || top.output()).await;
    let top = top.expect("it ends").expect("the built binary starts");
    let top = String::from_utf8_lossy(&top.stdout);
    let line = format!(
        "weights {} (shipped); shadow {} 0 %",
        short(parent.as_str()),
        short(challenger)
    );
    assert!(top.contains(&line), "`{line}` is not in: {top}");
}

/// By hand: the active weights are fetched, what comes of them is submitted.
async fn check_by_hand(daemon: &Daemon, parent: &WeightsId, former: &str) {
    let url = format!("http://{}", daemon.layout.nodes[0].api);
    let out = daemon.folder.path().join("next.safetensors");
    let (out, steps) = (out.display().to_string(), STEPS.to_string());
    let arguments = ["weights", "retrain", "--server", &url, "--out", &out];
    let more = ["--steps", &steps, "--seed", "2", "--submit"];
    let arguments = [&arguments[..], &more].concat();
    daemon.told(&["weights", "drop", former]).await;
    let told = daemon.told(&arguments).await;
    assert_eq!(
        (&told["improved"], &told["submitted"]),
        (&true.into(), &true.into()),
        "{told}"
    );
    assert_eq!(told["parent"], parent.to_string(), "{told}");
    assert_eq!(told["customers"], CUSTOMERS, "{told}");
    let (before, after) = (&told["loss_before"], &told["loss_after"]);
    assert!(after.as_f64() < before.as_f64(), "{told}");
    let trial = daemon.in_trial().await;
    assert_eq!(trial["trial"]["challenger"], told["weights"], "{trial}");
    assert_ne!(told["weights"], former);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_are_retrained_on_a_schedule_and_by_hand() {
    let (daemon, parent) = Daemon::start().await;
    daemon.feed().await;
    // The register opens, and a training is due: there was none yet.
    daemon.told(&["schema", "raise", "2"]).await;
    let challenger = check_schedule(&daemon, &parent).await;
    check_shown(&daemon, &parent, &challenger).await;
    check_by_hand(&daemon, &parent, &challenger).await;
    daemon.node.stop(DEADLINE).await;
}
