//! Daemons of a cluster as processes: configured, fed and read through any of them, while one is killed.

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;
use twinscale::dev::layout::{Layout, LayoutOptions};
use twinscale::dev::processes::{OwnProcess, ready, start_cloud, start_node};
use twinscale::service::client::{ApiAnswer, ApiClient, Target};
use twinscale::service::wall_clock::{SystemWallClock, WallClock as _};
use twinscale_protocol::ClusterId;
use twinscale_wire::DefaultTimeProvider;
use twinscale_wire::ca::{AUTHORITY_VALIDITY, CERTIFICATE_VALIDITY, CertificateAuthority};

const DEADLINE: Duration = Duration::from_mins(2);
const PROGRAM: &str = env!("CARGO_BIN_EXE_twinscale");

struct Daemons {
    layout: Layout,
    running: BTreeMap<usize, OwnProcess>,
    _cloud: OwnProcess,
    folder: TempDir,
}

impl Daemons {
    async fn start(nodes: u16) -> Self {
        let mut daemons = Self::lay_out(nodes);
        for number in 0..daemons.layout.nodes.len() {
            daemons.run(number);
        }
        for number in 0..daemons.layout.nodes.len() {
            daemons.ready(number).await;
        }
        daemons
    }

    /// A cluster none of whose nodes runs yet.
    fn lay_out(nodes: u16) -> Self {
        let folder = TempDir::new().expect("a folder");
        let options = LayoutOptions {
            cluster: ClusterId::new("test").expect("an id"),
            nodes,
            replication: if nodes < 3 { 1 } else { 3 },
            shards: Some(4),
            addresses: Vec::new(),
            cloud: Ipv4Addr::LOCALHOST.into(),
            node_keys: toml::Table::new(),
        };
        let layout = Layout::write(folder.path(), &options).expect("laid out");
        let cloud = start_cloud(Path::new(PROGRAM), &layout).expect("starts");
        Self {
            running: BTreeMap::new(),
            _cloud: cloud,
            folder,
            layout,
        }
    }

    fn run(&mut self, number: usize) {
        let node = &self.layout.nodes[number];
        let process = start_node(Path::new(PROGRAM), node, number == 0).expect("starts");
        self.running.insert(number, process);
    }

    async fn ready(&mut self, number: usize) {
        let process = self.running.get_mut(&number).expect("it runs");
        let ready = ready(process, &self.layout.nodes[number], DEADLINE).await;
        ready.expect("it serves");
    }

    fn client(&self, number: usize) -> ApiClient {
        ApiClient::new(Target::Url(format!(
            "http://{}",
            self.layout.nodes[number].api
        )))
    }

    /// Sends until the cluster answers: after a kill a request may be told to come again.
    async fn until_answered(
        &self,
        number: usize,
        (method, path): (Method, &str),
        body: &str,
        version: Option<u64>,
    ) -> ApiAnswer {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let body = Bytes::copy_from_slice(body.as_bytes());
            let client = self.client(number);
            let answered = client.send_if(method.clone(), path, body, version).await;
            let told = match answered {
                Ok(answer) if answer.status != StatusCode::SERVICE_UNAVAILABLE => return answer,
                Ok(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
                Err(error) => error.to_string(),
            };
            assert!(Instant::now() < deadline, "{path}: {told}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn read(&self, number: usize, path: &str) -> Value {
        let answer = self
            .until_answered(number, (Method::GET, path), "", None)
            .await;
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    fn operator(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .args(self.layout.operator_arguments());
        command.output().expect("it starts")
    }

    /// The place of the node that leads a customer's shard.
    async fn leader_of(&self, customer: &str) -> usize {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let output = self.operator(&["twins", "ls", "--json"]);
            let text = String::from_utf8_lossy(&output.stdout);
            let told: Value = serde_json::from_str(&text).unwrap_or_default();
            let twins = told["twins"].as_array().cloned().unwrap_or_default();
            let twin = twins.iter().find(|twin| twin["customer"] == customer);
            let name = twin.and_then(|twin| twin["node_name"].as_str());
            let place = self
                .layout
                .nodes
                .iter()
                .position(|node| Some(node.name.as_str()) == name);
            if let Some(place) = place {
                return place;
            }
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(
                Instant::now() < deadline,
                "nobody leads {customer}: {text} {words}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn stop(self) {
        let stops = self
            .running
            .into_values()
            .map(|process| process.stop(DEADLINE));
        futures::future::join_all(stops).await;
    }
}

fn wishes() -> String {
    let stack = json!({"tier": {"web": {"demand": "web/vm_count", "vm_type": [{"name": "web"}]}}});
    json!({"policy": {}, "stack": stack}).to_string()
}

/// One moment for the whole process: steps of two calls must not meet when an interval ends between them.
static NOW: LazyLock<u64> =
    LazyLock::new(|| u64::try_from(SystemWallClock.now().0).expect("after 1970"));

fn samples(customer: &str, steps: std::ops::Range<u64>) -> String {
    let now = *NOW;
    let lines = steps.map(|step| {
        let line = json!({"customer": customer, "vm_type": "web", "metric": "vm_count",
            "timestamp": now / 300 * 300 - 300 * (step + 1), "value": step % 7});
        format!("{line}\n")
    });
    lines.collect::<Vec<_>>().concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_takes_any_request_while_one_is_killed() {
    let mut daemons = Daemons::start(3).await;
    let customers = ["acme", "globex", "initech", "umbrella"];
    for (number, customer) in customers.iter().enumerate() {
        let path = format!("/v1/customers/{customer}");
        let put = (Method::PUT, path.as_str());
        let answer = daemons
            .until_answered(number % 3, put, &wishes(), None)
            .await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let batch: Vec<String> = customers.iter().map(|one| samples(one, 0..50)).collect();
    let telemetry = (Method::POST, "/v1/telemetry");
    let answer = daemons
        .until_answered(2, telemetry.clone(), &batch.concat(), None)
        .await;
    let reply: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(reply["accepted"], 200, "{reply}");
    for number in 0..3 {
        let listed = daemons.read(number, "/v1/customers").await;
        let listed = listed["customers"].as_array().expect("a list");
        assert_eq!(listed.len(), customers.len(), "{listed:?}");
    }

    let struck = daemons.leader_of("acme").await;
    let killed = daemons.running.remove(&struck).expect("it runs");
    let other = (struck + 1) % 3;
    // One that is held for alive and says nothing: the others are listed, and it is named.
    let id = i32::try_from(killed.id()).expect("small");
    let pid = rustix::process::Pid::from_raw(id).expect("above 0");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it runs");
    let client = daemons.client(other);
    let listed = client
        .send(Method::GET, "/v1/customers", Bytes::new())
        .await;
    let listed = listed.expect("it answers");
    let text = String::from_utf8_lossy(&listed.body);
    assert_eq!(listed.status, StatusCode::OK, "{text}");
    let listed: Value = serde_json::from_str(&text).expect("JSON");
    let silent = listed["silent"].as_array().expect("a list");
    assert_eq!(silent.len(), 1, "{listed}");
    drop(killed);
    let answer = daemons
        .until_answered(other, telemetry, &samples("acme", 50..60), None)
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_ne!(daemons.leader_of("acme").await, struck);
    let path = "/v1/customers/acme/observations?vm_type=web&metric=vm_count";
    let seen = daemons.read(other, path).await;
    assert_eq!(
        seen["samples"].as_array().expect("a list").len(),
        60,
        "none is lost"
    );

    daemons.run(struck);
    daemons.ready(struck).await;
    let seen = daemons.read(struck, path).await;
    assert_eq!(seen["samples"].as_array().expect("a list").len(), 60);
    daemons.stop().await;
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} in vain");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks with `twinscale ready`: its code, and what it says.
fn asked_ready(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(PROGRAM).arg("ready").args(arguments).output();
    let output = output.expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_goes_on_at_other_nodes_and_ends_with_its_report_when_told_to() {
    let mut daemons = Daemons::start(3).await;
    let nodes = daemons.layout.nodes.iter();
    let urls: Vec<String> = nodes.map(|node| format!("http://{}", node.api)).collect();
    let list = daemons.folder.path().join("acknowledged.csv");
    let load = Command::new(PROGRAM)
        .args(["--quiet", "load", "--configure", "--verify", "--json"])
        .args([
            "--customers",
            "6",
            "--rate",
            "40",
            "--batch",
            "20",
            "--duration",
            "3600",
        ])
        .args(["--url", &urls.join(",")])
        .arg("--acknowledged")
        .arg(&list)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let load = load.expect("it starts");
    until("samples are waited for", || lines(&list) >= 100).await;

    assert_eq!(asked_ready(&["--url", &urls[0]]).0, Some(0));
    let killed = daemons.running.remove(&0).expect("it runs");
    drop(killed);
    let (code, told) = asked_ready(&["--url", &urls[0]]);
    assert_eq!(code, Some(4));
    assert!(
        told.contains("no answer") && told.contains(&urls[0]),
        "{told}"
    );
    let before = lines(&list);
    until("more samples are waited for", || {
        lines(&list) >= before + 200
    })
    .await;

    let id = i32::try_from(load.id()).expect("small");
    let pid = rustix::process::Pid::from_raw(id).expect("above 0");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    let output = load.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let verified = &report["verified"];
    assert_eq!(report["acknowledged"], lines(&list), "{report}");
    assert_eq!(verified["stored"], report["acknowledged"], "{report}");
    for bad in ["lost", "altered", "doubled"] {
        assert_eq!(verified[bad], 0, "{report}");
    }

    let cloud = format!("http://{}", daemons.layout.cloud);
    assert_eq!(asked_ready(&["--live", "--url", &cloud]).0, Some(0));
    let (code, told) = asked_ready(&["--url", &cloud]);
    assert_eq!(code, Some(4), "a cloud does not serve: {told}");
    assert!(told.contains("404"), "{told}");
    daemons.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_through_different_nodes_do_not_overwrite_each_other() {
    let daemons = Daemons::start(3).await;
    let put = (Method::PUT, "/v1/customers/acme");
    let first = daemons
        .until_answered(0, put.clone(), &wishes(), Some(0))
        .await;
    assert_eq!(first.status, StatusCode::OK);
    let again = daemons.until_answered(1, put, &wishes(), Some(0)).await;
    assert_eq!(again.status, StatusCode::PRECONDITION_FAILED);
    let policy = (Method::PUT, "/v1/customers/acme/policy");
    let budget = |dollars: u32| json!({"budget_per_day_usd": dollars}).to_string();
    let (one, other) = (budget(500), budget(700));
    let writers = [
        daemons.until_answered(1, policy.clone(), &one, Some(1)),
        daemons.until_answered(2, policy.clone(), &other, Some(1)),
    ];
    let mut statuses: Vec<u16> = futures::future::join_all(writers)
        .await
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412], "one of them came first");
    let twin = daemons.read(0, "/v1/customers/acme").await;
    assert_eq!(twin["config_version"], 2);
    daemons.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one refusal after the other")]
async fn what_would_harm_a_cluster_is_refused_with_the_remedy() {
    let mut daemons = Daemons::start(3).await;
    let node = daemons.layout.nodes[1].clone();
    let settings = std::fs::read_to_string(&node.settings).expect("settings");
    let refused_with = |argument: Option<&str>, text: &str, words: &[&str]| {
        let path = node.dir.join("other.toml");
        std::fs::write(&path, text).expect("writes");
        let output = Command::new(PROGRAM)
            .arg("run")
            .arg("--config")
            .arg(&path)
            .args(argument)
            .output();
        let output = output.expect("it starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{told}");
        for word in words {
            assert!(told.contains(word), "`{word}` is not in: {told}");
        }
    };
    let refused = |text: &str, words: &[&str]| refused_with(None, text, words);
    let api = format!("{:?}", node.api.to_string());
    let free = settings.replace(&api, "\"127.0.0.1:0\"");
    let certificates = |name: &str| format!("{name}/certificates");
    refused(
        &free.replace(&certificates("node-2"), &certificates("node-3")),
        &["the certificate is of node/node-3", "twinscale ca issue"],
    );
    let as_other = free.replace(&certificates("node-2"), &certificates("node-3"));
    refused(
        &as_other.replace("name = \"node-2\"", "name = \"node-3\""),
        &["belongs to node `node-2`", "a directory of its own"],
    );
    refused(
        &free.replace("replication = 3", "replication = 4"),
        &["cluster.replication", "even"],
    );
    let elsewhere = free.replace("node-2/data", "node-2/fresh");
    let mut alone: toml::Table = elsewhere.parse().expect("TOML");
    let cluster = alone.get_mut("cluster").and_then(toml::Value::as_table_mut);
    cluster.expect("stated").remove("seeds");
    refused(&alone.to_string(), &["no seed is given", "--found"]);
    refused_with(
        Some("--found"),
        &elsewhere,
        &["cluster `test` runs already", "start without --found"],
    );
    refused(&elsewhere, &["`node-2` belongs to node", "a new name"]);

    let newer = node.dir.join("newer");
    std::fs::create_dir(&newer).expect("it is new");
    std::fs::write(newer.join("node.json"), "{\"format\": 2}").expect("writes");
    refused(
        &free.replace("node-2/data", "node-2/newer"),
        &["node.json", "not a node file of this version", "restore it"],
    );

    // A certificate of the same name from another cluster's authority.
    let other = ClusterId::new("elsewhere").expect("an id");
    let (time, place) = (Arc::new(DefaultTimeProvider), node.dir.join("ca"));
    let ca = CertificateAuthority::init(&place, &other, AUTHORITY_VALIDITY, time);
    let identity = "node/node-2".parse().expect("an identity");
    let folder = node.dir.join("foreign");
    let issued = ca
        .expect("made")
        .issue(&identity, CERTIFICATE_VALIDITY, &folder);
    issued.expect("issued");
    let foreign = |text: &str| text.replace(&certificates("node-2"), "node-2/foreign");
    refused(
        &foreign(&free),
        &[
            "of cluster `test`",
            "of cluster `elsewhere`",
            "a directory of its own",
        ],
    );
    let unseen = free.replace("node-2/data", "node-2/unseen");
    refused(&foreign(&unseen), &["refused", "authority"]);

    let stopped = daemons.running.remove(&1).expect("it runs");
    stopped.stop(DEADLINE).await;
    refused(
        &settings.replace("shards = 4", "shards = 8"),
        &[
            "cluster.shards is 8",
            "made with 4",
            "fixed when a cluster is made",
        ],
    );
    daemons.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founding_that_is_killed_again_and_again_makes_one_cluster() {
    let mut daemons = Daemons::lay_out(1);
    // From before the first byte to after the last one.
    for step in 0..12_u64 {
        daemons.run(0);
        tokio::time::sleep(Duration::from_millis(step * step * 10)).await;
        drop(daemons.running.remove(&0));
    }
    daemons.run(0);
    daemons.ready(0).await;
    let output = daemons.operator(&["members", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let members = told["members"].as_array().expect("a list");
    assert_eq!(members.len(), 1, "{told}");
    daemons.stop().await;
}
