//! Driver and cloud over real sockets; a cloud that is none.

#![expect(
    clippy::disallowed_methods,
    reason = "no actor is there whose task it could be"
)]

use super::RemoteCloud;
use super::ledger::{EffectView, OperationView};
use super::routes::{CloudService, router};
use crate::recorded_cloud::RecordedCloud;
use crate::service::client::{ApiClient, Target};
use crate::service::server::serve;
use axum::http::Method;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use twinscale_protocol::{
    CustomerId, DomainTime, Generation, MicroDollars, Seconds, TierName, VmId, VmTypeId,
};
use twinscale_provisioner::SimCloudConfig;
use twinscale_provisioner::conformance::{self, DomainTimeTarget};
use twinscale_provisioner::driver::{CallContext, DriverError, ProviderDriver as _, VmSpec};

/// What the calls below are cut off after, where they get no answer.
const SHORT: Duration = Duration::from_millis(300);

/// A cloud that serves until it is stopped.
struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<usize>,
}

impl Served {
    async fn start(folder: &Path) -> Self {
        let cloud = RecordedCloud::open(folder, SimCloudConfig::with_seed(5)).await;
        let cloud = cloud.expect("it opens");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let router = router(CloudService::new(cloud, 5));
        let stopped = async move { drop(stopped.await) };
        let task = tokio::spawn(async move {
            serve(listener, router, 16, Duration::from_secs(5), stopped).await
        });
        Self {
            address,
            stop,
            task,
        }
    }

    fn driver(&self) -> RemoteCloud {
        RemoteCloud::connect(&self.address.to_string()).expect("an address")
    }

    async fn stop(self) {
        drop(self.stop);
        assert_eq!(self.task.await.expect("it ends"), 0, "nothing is cut off");
    }
}

fn acme() -> CustomerId {
    CustomerId::new("acme").expect("an id")
}

fn context(generation: u64, now: i64) -> CallContext {
    CallContext {
        customer: acme(),
        generation: Generation(generation),
        now: DomainTime(now),
    }
}

fn spec(vm: u64) -> VmSpec {
    VmSpec {
        vm: VmId(vm),
        tier: TierName::new("web").expect("a tier"),
        vm_type: VmTypeId::new("typeA").expect("a type"),
        price_per_hour: MicroDollars(96_000),
        minimum_bill: Seconds(60),
    }
}

#[tokio::test]
async fn the_remote_cloud_conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    let served = Served::start(folder.path()).await;
    let mut target = DomainTimeTarget {
        driver: served.driver(),
        now: DomainTime(10_000),
        vm_types: ["typeA", "typeB"].map(|name| VmTypeId::new(name).expect("a type")),
        start_max: Seconds(3_000),
    };
    let passed = conformance::run(&mut target).await;
    assert_eq!(passed.map(|names| names.len()), Ok(11));
    served.stop().await;
}

#[tokio::test]
async fn two_nodes_see_one_cloud_which_refuses_the_one_that_led_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let served = Served::start(folder.path()).await;
    let (old, new) = (served.driver(), served.driver());
    old.launch(&context(1, 2_000), &spec(1))
        .await
        .expect("done");
    new.launch(&context(2, 1_000), &spec(2))
        .await
        .expect("done");
    let stale = Err(DriverError::StaleGeneration {
        sent: Generation(1),
        highest: Generation(2),
    });
    let launched = old.launch(&context(1, 2_100), &spec(3)).await;
    assert_eq!(launched, stale);
    let listing = new.list(&acme(), DomainTime(9_000)).await.expect("listed");
    let vms: Vec<u64> = listing.allocation.vms.iter().map(|vm| vm.vm.0).collect();
    assert_eq!(vms, [1, 2]);
    assert_eq!(new.customers().await, Ok(vec![acme()]));

    let at = DomainTime(9_000);
    let ledger = new.ledger(&acme(), Some(at)).await.expect("a ledger");
    let calls: Vec<_> = ledger
        .calls
        .iter()
        .map(|call| (call.at.0, call.effect))
        .collect();
    assert_eq!(
        calls,
        [
            (2_000, EffectView::Applied),
            (2_000, EffectView::Applied),
            (2_100, EffectView::RefusedStale),
            (9_000, EffectView::Applied),
        ],
        "times never go back"
    );
    assert_eq!(
        ledger.calls[2].operation,
        OperationView::Launch { vm: VmId(3) }
    );
    assert_eq!(ledger.calls[2].generation, Some(Generation(1)));
    assert!(ledger.vms.iter().all(|vm| vm.runs), "{ledger:?}");
    // 7,000 s at 0.096 dollars an hour each; a bill is rounded once.
    let known: Vec<i64> = ledger.vms.iter().map(|vm| vm.cost.0).collect();
    assert_eq!(known, [186_667, 186_667]);
    let other = CustomerId::new("other").expect("an id");
    let costs = new.costs(&[other, acme()], at).await.expect("costs");
    assert_eq!(costs, [Some(MicroDollars(0)), Some(MicroDollars(373_333))]);
    served.stop().await;
}

#[tokio::test]
async fn a_long_ledger_comes_page_by_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let served = Served::start(folder.path()).await;
    let driver = served.driver();
    let listings = super::ledger::PAGE_MAX as u64 + 5;
    driver
        .launch(&context(1, 1_000), &spec(1))
        .await
        .expect("done");
    for _ in 0..listings {
        driver
            .list(&acme(), DomainTime(1_000))
            .await
            .expect("listed");
    }
    let ledger = driver.ledger(&acme(), None).await.expect("a ledger");
    let sequences: Vec<u64> = ledger.calls.iter().map(|call| call.sequence).collect();
    assert_eq!(sequences, (0..=listings).collect::<Vec<_>>());
    assert_eq!(ledger.vms.len(), 1);
    served.stop().await;
}

/// Takes connections, reads a request of each, answers it with the bytes, and closes.
async fn impostor(answer: Vec<u8>) -> (RemoteCloud, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _peer)) = listener.accept().await {
            let mut request = vec![0; 4_096];
            if stream.read(&mut request).await.is_ok() {
                drop(stream.write_all(&answer).await);
                drop(stream.shutdown().await);
            }
        }
    });
    let driver = RemoteCloud::connect(&format!("http://{address}")).expect("an address");
    (driver.with_call_limit(Duration::from_secs(10)), task)
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

async fn launched(answer: Vec<u8>) -> Result<(), DriverError> {
    let (driver, task) = impostor(answer).await;
    let launched = driver.launch(&context(1, 1_000), &spec(1)).await;
    task.abort();
    launched
}

#[tokio::test]
async fn what_is_not_understood_is_an_unknown_outcome() {
    let error = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"m","hint":"h"}}}}"#);
    let long = format!(r#"{{"outcome":"done","more":"{}"}}"#, "x".repeat(17 << 20));
    let cases = [
        ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("nothing at all", Vec::new()),
        ("an empty body", answer("200 OK", "")),
        ("a page of HTML", answer("200 OK", "<html>hello</html>")),
        ("another object", answer("200 OK", r#"{"status":"ok"}"#)),
        (
            "another outcome",
            answer("200 OK", r#"{"outcome":"queued"}"#),
        ),
        (
            "another success",
            answer("202 Accepted", r#"{"outcome":"done"}"#),
        ),
        (
            "a cut body",
            b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"outcome\":".to_vec(),
        ),
        ("an endless body", answer("200 OK", &long)),
        ("a move", answer("302 Found", "")),
        ("a failure", answer("500 Internal Server Error", "oops")),
        (
            "a proxy's words",
            answer("429 Too Many Requests", "slow down"),
        ),
        (
            "a stale call without numbers",
            answer("409 Conflict", &error("stale-generation")),
        ),
        (
            "a code under another status",
            answer("200 OK", &error("refused")),
        ),
        (
            "a status with another code",
            answer("422 Unprocessable Entity", &error("throttled")),
        ),
        (
            "an unknown code",
            answer("400 Bad Request", &error("teapot")),
        ),
        (
            "what it says is unknown",
            answer("503 Service Unavailable", &error("outcome-unknown")),
        ),
        (
            "a request cut off",
            answer("408 Request Timeout", &error("timeout")),
        ),
    ];
    for (case, bytes) in cases {
        let launched = launched(bytes).await;
        let is_unknown = matches!(launched, Err(DriverError::Unknown { .. }));
        assert!(is_unknown, "{case}: {launched:?}");
    }
}

#[tokio::test]
async fn what_is_understood_is_told_as_it_was_meant() {
    let error = |code: &str| {
        let text = r#""message":"m","hint":"h","sent":1,"highest":7,"later_field":true"#;
        format!(r#"{{"error":{{"code":"{code}",{text}}}}}"#)
    };
    let refused = || DriverError::Refused {
        reason: "m".to_owned(),
    };
    let stale = DriverError::StaleGeneration {
        sent: Generation(1),
        highest: Generation(7),
    };
    let cases = [
        ("429 Too Many Requests", "throttled", DriverError::Throttled),
        ("409 Conflict", "stale-generation", stale),
        ("422 Unprocessable Entity", "refused", refused()),
        ("400 Bad Request", "invalid", refused()),
        ("413 Payload Too Large", "too-large", refused()),
    ];
    for (status, code, expected) in cases {
        assert_eq!(launched(answer(status, &error(code))).await, Err(expected));
    }
    let done = answer("200 OK", r#"{"outcome":"done","later_field":true}"#);
    assert_eq!(launched(done).await, Ok(()));
}

#[tokio::test]
async fn a_cloud_that_hangs_or_is_away_is_given_up_within_the_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let hanging = RemoteCloud::connect(&address).expect("an address");
    // The rest of a call is no wait: ten times the limit is room for a busy machine.
    let given_up = |driver: RemoteCloud| {
        tokio::time::timeout(SHORT * 10, async move {
            let driver = driver.with_call_limit(SHORT);
            driver.launch(&context(1, 1_000), &spec(1)).await
        })
    };
    let hung = given_up(hanging).await.expect("within the limit");
    assert!(matches!(hung, Err(DriverError::Unknown { .. })), "{hung:?}");
    drop(silent);
    let away = given_up(RemoteCloud::connect(&address).expect("an address")).await;
    let away = away.expect("within the limit");
    let Err(DriverError::Unknown { reason }) = away else {
        panic!("an outcome of a cloud that is away: {away:?}");
    };
    assert!(reason.contains(&address), "{reason}");
}

/// Method, path, body, status, code, and a word of the message.
const BAD_REQUESTS: &str = r#"
POST | /v1/launch | { | 400 | invalid | line 1
POST | /v1/launch | \xff\xfe | 400 | invalid | /v1/launch
POST | /v1/launch | {HEAD,"now":-1,"change":{VM,"price_per_hour":1}} | 400 | invalid | `now` = -1
POST | /v1/launch | {HEAD,"now":9223372036854775807,"change":{VM,"price_per_hour":1}} | 400 | invalid | `now`
POST | /v1/launch | {HEAD,"now":1e99,"change":{VM,"price_per_hour":1}} | 400 | invalid | /v1/launch
POST | /v1/launch | {HEAD,"now":5,"change":{VM,"price_per_hour":-3}} | 400 | invalid | `change.price_per_hour` = -3
POST | /v1/launch | {HEAD,"now":5,"change":{VM,"price_per_hour":1},"colour":1} | 400 | invalid | colour
POST | /v1/launch | {HEAD,"now":5,"change":{VM,"price_per_hour":1,"colour":1}} | 400 | invalid | colour
POST | /v1/launch | {HEAD,"now":5} | 400 | invalid | change
POST | /v1/terminate | {HEAD,"now":5,"change":{"vm":-1}} | 400 | invalid | -1
POST | /v1/resize-volume | {HEAD,"now":5,"change":{"volume":"","blocks":1,"price_block_hour":1}} | 400 | invalid | valid
POST | /v1/resize-link | {HEAD,"now":5,"change":{"option":1,"bandwidth":1,"price_per_hour":-1}} | 400 | invalid | -1
POST | /v1/list | {"customer":"A B","now":5} | 400 | invalid | A B
POST | /v1/costs | {"customers":["acme"],"until":-1} | 400 | invalid | `until` = -1
POST | /v1/fly | {} | 404 | not-found | path
GET | /v1/launch | | 405 | method-not-allowed | method
GET | /v1/ledger | | 400 | invalid | customer
GET | /v1/ledger?customer=acme&at=-5 | | 400 | invalid | `at` = -5
GET | /v1/ledger?customer=acme&page=5 | | 400 | invalid | page
GET | /v1/ledger?customer=.. | | 400 | invalid | customer id
GET | /v1/customers?after=A%20B | | 400 | invalid | customer id
"#;

fn bad_requests() -> Vec<[String; 6]> {
    let head = r#""customer":"acme","generation":1"#;
    let vm = r#""vm":1,"tier":"web","vm_type":"a","minimum_bill":60"#;
    let lines = BAD_REQUESTS.trim().lines();
    let mut requests: Vec<[String; 6]> = lines
        .map(|line| {
            let parts = line.split('|').map(|part| {
                let part = part.trim().replace("HEAD", head);
                part.replace("VM", vm)
            });
            let parts: Vec<String> = parts.collect();
            parts.try_into().expect("six parts")
        })
        .collect();
    let many = serde_json::json!({ "customers": vec!["acme"; 1_001], "until": 5 }).to_string();
    let long = " ".repeat(200_000);
    let more = [
        [
            "POST",
            "/v1/costs",
            &many,
            "400",
            "invalid",
            "1001 customers",
        ],
        ["POST", "/v1/launch", &long, "413", "too-large", "131072"],
    ];
    requests.extend(more.map(|one| one.map(str::to_owned)));
    requests
}

#[tokio::test]
async fn a_request_that_cannot_be_used_is_told_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let served = Served::start(folder.path()).await;
    let client = ApiClient::new(Target::Url(format!("http://{}", served.address)));
    for [method, path, body, status, code, word] in bad_requests() {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let case = format!("{method} {path} {body:.80}");
        let answer = client.send(method, &path, body.into()).await;
        let answer = answer.expect("it answers");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status.as_str(), status, "{case}: {text}");
        let reply: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let error = &reply["error"];
        assert_eq!(error["code"], *code, "{case}: {text}");
        let message = error["message"].as_str().expect("words");
        assert!(message.contains(&word), "{case}: {text}");
        let hint = error["hint"].as_str().expect("words");
        assert!(!hint.is_empty(), "{case}: {text}");
    }
    let driver = served.driver();
    assert_eq!(driver.customers().await, Ok(Vec::new()), "nothing was done");
    let launched = driver.launch(&context(1, 5), &spec(1)).await;
    assert_eq!(launched, Ok(()), "it still serves");
    assert_eq!(driver.health().await.map(|health| health.changes), Ok(1));
    served.stop().await;
}

#[test]
fn an_address_that_is_none_is_refused_with_what_to_write() {
    for address in [
        "",
        "cloud",
        "127.0.0.1",
        "http://h",
        "https://h:1",
        "h:0",
        "h:1/path",
        "h:1?q",
        "a b:1",
        "h:99999",
    ] {
        let error = RemoteCloud::connect(address).expect_err(address);
        assert!(
            error.hint().is_some_and(|hint| hint.contains("sim-cloud")),
            "{address}"
        );
        assert_eq!(error.exit_code(), 3);
    }
    for address in [
        "127.0.0.1:7900",
        "http://127.0.0.1:7900/",
        "http://cloud.local:80",
        "[::1]:7900",
    ] {
        assert!(RemoteCloud::connect(address).is_ok(), "{address}");
    }
}
