//! The daemon from outside: a real process, real sockets, real signals.

#![expect(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "outside of the process only the system's own clock says how long it took"
)]

#[path = "service/ahead.rs"]
mod ahead;
#[path = "service/inputs.rs"]
mod inputs;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// For whatever is waited for; a busy machine takes seconds.
const DEADLINE: Duration = Duration::from_mins(2);

/// More memory than this for bad input is a leak.
const MEMORY_GROWTH_MAX: u64 = 96 << 20;

struct Daemon {
    child: Child,
    address: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A test that failed must not leave it behind; one that ended it finds it gone.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(folder: &Path, settings: Option<&str>) -> Child {
    spawn_with(folder, settings, &[])
}

fn spawn_with(folder: &Path, settings: Option<&str>, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinscale"));
    command.args(["run", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(folder.join("data")).args(more);
    if let Some(settings) = settings {
        let path = folder.join("node.toml");
        std::fs::write(&path, settings).expect("the folder takes a file");
        command.arg("--config").arg(path);
    }
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log.txt"));
    command
        .stderr(log.expect("the folder takes a file"))
        .stdout(Stdio::null())
        .spawn()
        .expect("the built binary starts")
}

fn start(folder: &TempDir, settings: Option<&str>) -> Daemon {
    start_with(folder, settings, &[])
}

fn start_with(folder: &TempDir, settings: Option<&str>, more: &[&str]) -> Daemon {
    let file = folder.path().join("data/listen.addr");
    drop(std::fs::remove_file(&file));
    let mut child = spawn_with(folder.path(), settings, more);
    let address = wait_for("an address", || {
        if let Ok(Some(status)) = child.try_wait() {
            let log = std::fs::read_to_string(folder.path().join("log.txt"));
            panic!(
                "the daemon ended with {status}: {}",
                log.unwrap_or_default()
            );
        }
        std::fs::read_to_string(&file).ok()
    });
    Daemon {
        child,
        address: address.trim().to_owned(),
    }
}

#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            begun.elapsed() < DEADLINE,
            "{what} did not come within {DEADLINE:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn now() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH);
    passed.expect("the clock is behind 1970").as_secs()
}

impl Daemon {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a limit");
        stream
    }

    /// Sends a request and returns status and body.
    fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let mut stream = self.connect();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        stream
            .write_all(head.as_bytes())
            .expect("it takes the head");
        stream.write_all(body).expect("it takes the body");
        answer(stream)
    }

    fn post(&self, body: &str) -> serde_json::Value {
        let (status, text) = self.send("POST", "/v1/telemetry", "", body.as_bytes());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    fn get(&self, path: &str) -> serde_json::Value {
        let (status, text) = self.send("GET", path, "", b"");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    fn memory(&self) -> u64 {
        self.get("/v1/node")["resident_bytes"]
            .as_u64()
            .expect("a number")
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    fn ended(&mut self) -> ExitStatus {
        wait_for("the end of the daemon", || {
            self.child.try_wait().expect("a child")
        })
    }
}

fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    // A connection that is reset behind the answer has answered.
    drop(stream.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text
        .get(9..12)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status, body.unwrap_or_default())
}

fn line(customer: &str, vm_type: &str, at: u64, value: u32) -> String {
    format!(
        "{{\"customer\":\"{customer}\",\"vm_type\":\"{vm_type}\",\"metric\":\"requests\",\
         \"timestamp\":{at},\"value\":{value}}}\n"
    )
}

#[test]
fn samples_come_again_late_and_from_a_wrong_clock() {
    let folder = TempDir::new().expect("a folder");
    let daemon = start(&folder, None);
    let now = now();
    let first = line("acme", "web", now, 1);
    assert_eq!(daemon.post(&first)["accepted"], 1);
    assert_eq!(daemon.post(&first)["duplicates"], 1);
    assert_eq!(daemon.post(&line("acme", "web", now, 2))["corrected"], 1);
    let ahead = daemon.post(&line("acme", "web", now + 3_600, 1));
    assert_eq!(ahead["refused"]["lines"][0]["code"], "in-the-future");
    let words = ahead["refused"]["lines"][0]["message"].to_string();
    assert!(
        words.contains("at most 300 s") && words.contains("clock"),
        "{words}"
    );
    assert_eq!(
        daemon.post(&line("acme", "web", now - 3_600, 1))["accepted"],
        1,
        "late is taken"
    );
    let old = daemon.post(&line("acme", "web", now - 200 * 86_400, 1));
    assert_eq!(old["refused"]["lines"][0]["code"], "too-old");
    let stored = daemon.get("/v1/customers/acme/observations?vm_type=web&metric=requests");
    assert_eq!(
        stored["samples"],
        serde_json::json!([[now - 3_600, 1.0], [now, 2.0]])
    );
    let listed = daemon.get("/v1/customers");
    assert_eq!(listed["customers"][0]["state"], "unconfigured");
}

#[test]
fn half_a_request_stores_nothing_and_harms_nobody() {
    let folder = TempDir::new().expect("a folder");
    let daemon = start(&folder, None);
    let body = line("acme", "web", now(), 1);
    let mut stream = daemon.connect();
    let head = "POST /v1/telemetry HTTP/1.1\r\nhost: node\r\ncontent-length: 100000\r\n\r\n";
    stream
        .write_all(head.as_bytes())
        .expect("it takes the head");
    stream.write_all(body.as_bytes()).expect("it takes a part");
    stream.shutdown(Shutdown::Write).expect("half a close");
    let (status, text) = answer(stream);
    assert!(status == 400 || status == 0, "{status}: {text}");
    let mut stream = daemon.connect();
    stream.write_all(b"POST /v1/tele").expect("it takes a part");
    drop(stream);
    let (status, text) = daemon.send(
        "POST",
        "/v1/telemetry",
        "content-encoding: gzip\r\n",
        b"\x1f\x8b\x08",
    );
    assert_eq!(status, 400, "{text}");
    assert_eq!(
        daemon.get("/v1/customers")["customers"],
        serde_json::json!([])
    );
    assert_eq!(daemon.get("/v1/ready")["ready"], true);
}

#[test]
fn a_gigabyte_never_sits_in_memory() {
    let folder = TempDir::new().expect("a folder");
    let daemon = start(&folder, None);
    let before = daemon.memory();
    let zeros = vec![0_u8; 1 << 20];
    for head in ["content-length: 1073741824", "transfer-encoding: chunked"] {
        let mut stream = daemon.connect();
        let head = format!("POST /v1/telemetry HTTP/1.1\r\nhost: node\r\n{head}\r\n\r\n");
        stream
            .write_all(head.as_bytes())
            .expect("it takes the head");
        let is_chunked = head.contains("chunked");
        let mut reader = stream.try_clone().expect("a second handle");
        let reading = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            drop(reader.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        });
        for _ in 0..1_024 {
            let piece = [b"100000\r\n".as_slice(), &zeros, b"\r\n"];
            let piece = if is_chunked {
                piece.concat()
            } else {
                zeros.clone()
            };
            if stream.write_all(&piece).is_err() {
                break;
            }
        }
        let told = reading.join().expect("the reader ends");
        assert!(told.starts_with("HTTP/1.1 413"), "{told:?}");
    }
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown < MEMORY_GROWTH_MAX, "grew by {grown} bytes");
}

#[test]
fn names_that_a_client_invents_take_bounded_memory() {
    let folder = TempDir::new().expect("a folder");
    let settings = "[node]\nseries_max = 300\nunconfigured_max = 20\n";
    let daemon = start(&folder, Some(settings));
    let before = daemon.memory();
    let now = now();
    let mut number = 0_u64;
    let mut refused = 0;
    for round in 0..20 {
        let mut body = String::new();
        for _ in 0..10_000 {
            number += 1;
            let name = if round % 2 == 0 {
                format!("c{number}")
            } else {
                "c1".to_owned()
            };
            body.push_str(&line(&name, &format!("t{number}"), now, 1));
        }
        let reply = daemon.post(&body);
        refused += reply["refused"]["count"].as_u64().expect("a number");
        let listed = reply["refused"]["lines"].as_array().map_or(0, Vec::len);
        assert!(listed <= 100, "{listed} refusals are listed");
    }
    let node = daemon.get("/v1/node");
    assert!(node["customers"]["total"].as_u64() <= Some(20), "{node}");
    assert!(node["customers"]["series"].as_u64() <= Some(300), "{node}");
    assert!(refused > 199_000, "{refused}");
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown < MEMORY_GROWTH_MAX, "grew by {grown} bytes");
    assert_eq!(
        daemon.post(&line("c1", "t1", now, 1))["duplicates"],
        1,
        "who is known is served"
    );
}

#[test]
fn a_second_daemon_on_the_directory_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let daemon = start(&folder, None);
    let mut second = spawn(folder.path(), None);
    let status = wait_for("the end of the second", || {
        second.try_wait().expect("a child")
    });
    assert!(matches!(status.code(), Some(3 | 4)), "{status}");
    let told = std::fs::read_to_string(folder.path().join("log.txt")).expect("a log");
    assert!(told.contains("data"), "{told}");
    assert!(
        told.contains(&daemon.child.id().to_string()),
        "names who holds it: {told}"
    );
    assert_eq!(daemon.get("/v1/health")["status"], "live");
}

/// Its own mounts let a test have a read-only directory even where it runs as root.
fn run_on_a_read_only_mount(folder: &Path) -> std::process::Output {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).expect("the folder takes one");
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && \
                  exec \"$0\" run --listen 127.0.0.1:0 --data-dir \"$1\"";
    Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_twinscale"))
        .arg(&data)
        .output()
        .expect("unshare runs")
}

/// Containers without privileges forbid mounts of one's own.
fn may_mount(folder: &Path) -> bool {
    let script = "mount --bind \"$0\" \"$0\"";
    let tried = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script])
        .arg(folder)
        .output();
    tried.is_ok_and(|output| output.status.success())
}

#[test]
fn a_read_only_directory_is_refused_and_keeps_what_it_has() {
    let folder = TempDir::new().expect("a folder");
    if !may_mount(folder.path()) {
        eprintln!("skipped: this machine forbids mounts of one's own");
        return;
    }
    let mut daemon = start(&folder, None);
    assert_eq!(daemon.post(&line("acme", "web", now(), 7))["accepted"], 1);
    daemon.signal("-TERM");
    assert!(daemon.ended().success());
    let output = run_on_a_read_only_mount(folder.path());
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{told}");
    for word in ["Read-only file system", "data", "hint:"] {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
    let daemon = start(&folder, None);
    let stored = daemon.get("/v1/customers/acme/observations?vm_type=web&metric=requests");
    assert_eq!(stored["samples"][0][1], 7.0);
}

/// Runs the load generator while the daemon is ended by a signal and started again, twice.
fn nothing_is_lost_over(signal: &str, is_graceful: bool) {
    let folder = TempDir::new().expect("a folder");
    let mut daemon = start(&folder, None);
    let load = Command::new(env!("CARGO_BIN_EXE_twinscale"))
        .args([
            "-q",
            "load",
            "--customers",
            "20",
            "--rate",
            "400",
            "--duration",
            "15",
            "--batch",
            "20",
        ])
        .args([
            "--configure",
            "--interval",
            "5",
            "--verify",
            "--json",
            "--data-dir",
            "data",
        ])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the built binary starts");
    for _ in 0..2 {
        wait_for("some samples", || {
            let accepted = daemon.get("/v1/node")["ingest"]["accepted"].as_u64()?;
            (accepted >= 400).then_some(())
        });
        daemon.signal(signal);
        let status = daemon.ended();
        assert_eq!(status.success(), is_graceful, "{status}");
        daemon = start(&folder, None);
    }
    let output = load.wait_with_output().expect("the load ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let verified = &report["verified"];
    assert!(verified["acknowledged"].as_u64() > Some(2_000), "{text}");
    assert_eq!(verified["acknowledged"], verified["stored"], "{text}");
    let mut sum = String::new();
    for key in ["lost", "altered", "doubled"] {
        write!(sum, "{}", verified[key]).expect("text grows");
    }
    assert_eq!(sum, "000", "{text}");
}

#[test]
fn sigterm_under_load_loses_nothing() {
    nothing_is_lost_over("-TERM", true);
}

#[test]
fn sigkill_under_load_loses_nothing() {
    nothing_is_lost_over("-KILL", false);
}

/// Short limits, so that what hangs is noticed within seconds.
const SHORT_LIMITS: &str = "[node.watch]\nforecast_job_s = 1\nplan_job_s = 1\nshared_message_s = 2\n\
                            abandoned_threads_max = 1\nfarewell_s = 60\n";

fn actor_id(daemon: &Daemon, place: usize) -> serde_json::Value {
    daemon.get("/v1/node")["actors"][place]["id"].clone()
}

/// The address of the daemon's fault port as a daemon of its own, to send to.
fn strike(folder: &TempDir, body: &str) -> (u16, String) {
    let file = folder.path().join("data/fault.addr");
    let address = std::fs::read_to_string(file).expect("there is a fault port");
    let mut stream = TcpStream::connect(address.trim()).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a limit");
    let head = format!(
        "POST /chaos/v1/strike HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let sent = stream.write_all(format!("{head}{body}").as_bytes());
    sent.expect("it takes the request");
    answer(stream)
}

#[test]
fn actors_are_struck_only_through_a_port_that_was_asked_for() {
    let folder = TempDir::new().expect("a folder");
    let daemon = start(&folder, None);
    assert!(!folder.path().join("data/fault.addr").exists());
    let (status, _) = daemon.send("POST", "/chaos/v1/strike", "", b"{}");
    assert_eq!(status, 404, "the API strikes nobody");
    drop(daemon);
    let mut refused = spawn_with(folder.path(), None, &["--fault-port", "0.0.0.0:0"]);
    let status = wait_for("the refusal", || refused.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(3));
    let daemon = start_with(&folder, None, &["--fault-port", "127.0.0.1:0"]);
    let log = std::fs::read_to_string(folder.path().join("log.txt")).expect("a log");
    assert!(log.contains("give a loopback address"), "{log}");
    assert!(log.contains("WARNING: the fault port is open"), "{log}");
    for (body, expected) in [
        ("{}", 400),
        (r#"{"victim":"twin","blow":"panic"}"#, 400),
        (
            r#"{"victim":"twin","blow":"hang-job","customer":"nobody"}"#,
            404,
        ),
    ] {
        let (status, text) = strike(&folder, body);
        assert_eq!(status, expected, "{body}: {text}");
    }
    let before = actor_id(&daemon, 0);
    let (status, text) = strike(&folder, r#"{"victim":"forecaster","blow":"panic"}"#);
    assert_eq!(status, 200, "{text}");
    wait_for("another incarnation", || {
        let id = actor_id(&daemon, 0);
        (!id.is_null() && id != before).then_some(())
    });
}

#[test]
fn a_node_that_cannot_go_on_says_so_refuses_samples_and_ends() {
    let folder = TempDir::new().expect("a folder");
    let mut daemon = start_with(
        &folder,
        Some(SHORT_LIMITS),
        &["--fault-port", "127.0.0.1:0"],
    );
    let first = line("acme", "web", now(), 1);
    assert_eq!(daemon.post(&first)["accepted"], 1);
    let (status, text) = strike(&folder, r#"{"victim":"optimizer","blow":"hang-job"}"#);
    assert_eq!(status, 200, "{text}");
    let told = wait_for("an unready node", || {
        let (status, text) = daemon.send("GET", "/v1/ready", "", b"");
        (status == 503).then_some(text)
    });
    assert!(told.contains("threads-exhausted"), "{told}");
    let (status, text) = daemon.send("POST", "/v1/telemetry", "", first.as_bytes());
    assert_eq!(status, 503, "{text}");
    // It says why for a minute; who is asked to end meanwhile ends, and says the same.
    daemon.signal("-TERM");
    assert_eq!(daemon.ended().code(), Some(4));
    let log = std::fs::read_to_string(folder.path().join("log.txt")).expect("a log");
    assert!(log.contains("1 of at most 1 compute threads hang"), "{log}");
    let daemon = start(&folder, None);
    assert_eq!(daemon.post(&first)["duplicates"], 1, "nothing is lost");
}
