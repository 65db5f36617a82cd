//! Parts of the cluster scenarios, as real processes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn check(history: &str, more: &[&str]) -> (Output, serde_json::Value) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(history.as_bytes()).expect("room");
    let output = Command::new(env!("CARGO_BIN_EXE_twinscale-chaos"))
        .arg("check-history")
        .arg(file.path())
        .args(more)
        .output()
        .expect("the built binary starts");
    let verdict = serde_json::from_slice(&output.stdout).unwrap_or(serde_json::Value::Null);
    (output, verdict)
}

const WRITTEN: &str = r#"{"at_us":1,"process":0,"event":"invoke","key":"acme","op":{"do":"write","value":5}}
{"at_us":2,"process":0,"event":"ok","answer":{"was":"done"}}
{"at_us":3,"process":1,"event":"invoke","key":"acme","op":{"do":"read"}}
"#;

#[test]
fn a_history_is_checked_from_its_file() {
    let right = format!(
        "{WRITTEN}{}\n",
        r#"{"at_us":4,"process":1,"event":"ok","answer":{"was":"read","value":5}}"#
    );
    let (output, verdict) = check(&right, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(verdict["registers"]["linearizable"], 1);
    let wrong = right.replace("\"value\":5}}\n{\"at_us\":2", "\"value\":6}}\n{\"at_us\":2");
    let (output, verdict) = check(&wrong, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(verdict["registers"]["violated"], 1);
    assert_eq!(verdict["passed"], false);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("acme") && told.contains("FAILED"), "{told}");
}

#[test]
fn a_file_that_is_no_history_is_named() {
    let (output, _) = check("{}\n", &[]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(
        told.contains("cannot be checked: line 1 is no event"),
        "{told}"
    );
}

fn network() -> (Child, Vec<PathBuf>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_twinscale-chaos"))
        .args(["network", "--hosts", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the built binary starts");
    let out = child.stdout.take().expect("a pipe");
    let lines = BufReader::new(out).lines().take(2);
    let files = lines.map(|line| {
        let line = line.expect("a line");
        PathBuf::from(line.split(' ').next_back().expect("a file"))
    });
    let files = files.collect();
    (child, files)
}

/// Whatever ends the runner, its namespaces and what runs in them end too.
#[test]
fn a_network_is_removed_however_its_runner_ends() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let (mut runner, files) = network();
        if files.iter().all(|file| file == Path::new("-")) {
            // Without root there is nothing to remove.
            drop(runner.stdin.take());
            assert!(runner.wait().expect("it ends").success());
            return;
        }
        assert!(files.iter().all(|file| file.exists()), "{files:?}");
        let mut inside = Command::new("nsenter")
            .arg(format!("--net={}", files[0].display()))
            .args(["--", "sleep", "600"])
            .spawn()
            .expect("started");
        let comm = format!("/proc/{}/comm", inside.id());
        while std::fs::read_to_string(&comm).is_ok_and(|name| name.trim() != "sleep") {
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&runner), signal).expect("signalled");
        assert!(!runner.wait().expect("it ends").success());
        assert!(!inside.wait().expect("it ends").success(), "{signal:?}");
        while files.iter().any(|file| file.exists()) {
            std::thread::yield_now();
        }
    }
}
