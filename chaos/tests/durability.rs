//! The scenarios in small, as real processes.

use std::process::{Command, Output};

fn chaos(arguments: &[&str]) -> (Output, serde_json::Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_twinscale-chaos"))
        .args(arguments)
        .output()
        .expect("the built binary starts");
    let verdict = serde_json::from_slice(&output.stdout).unwrap_or(serde_json::Value::Null);
    (output, verdict)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn acknowledged_samples_survive_kills() {
    let (output, verdict) = chaos(&["kill9", "--times", "3", "--seed", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(verdict["passed"], true);
    assert_eq!(verdict["blows"], 3);
    assert!(verdict["acknowledged"].as_u64().unwrap() > 0);
    assert_eq!(verdict["acknowledged"], verdict["present"]);
}

/// Without root there is no loop device, and the scenario must say so.
#[test]
fn acknowledged_samples_survive_power_cuts_and_the_checker_can_fail() {
    let (output, verdict) = chaos(&["power-cut", "--times", "2", "--seed", "1"]);
    if output.status.code() == Some(77) {
        assert!(text(&output).contains("needs root"), "{}", text(&output));
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(verdict["passed"], true);
    let arguments = [
        "power-cut",
        "--times",
        "5",
        "--seed",
        "1",
        "--workload",
        "unsynced",
    ];
    let (output, verdict) = chaos(&arguments);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert_eq!(verdict["passed"], false);
    let has_failed = !verdict["failure"].is_null();
    assert!(has_failed || verdict["lost"].as_u64().unwrap() > 0);
}

#[test]
fn a_daemon_under_load_keeps_what_it_acknowledged() {
    for fault in ["kill9", "power-cut", "disk-full", "fsync-error"] {
        let (output, verdict) = chaos(&["service", "--fault", fault, "--times", "1"]);
        if output.status.code() == Some(77) {
            assert!(text(&output).contains("needs root"), "{}", text(&output));
            continue;
        }
        assert_eq!(output.status.code(), Some(0), "{fault}: {}", text(&output));
        assert_eq!(verdict["passed"], true, "{fault}");
        assert!(verdict["acknowledged"].as_u64().unwrap() > 0, "{fault}");
        assert_eq!(verdict["acknowledged"], verdict["stored"], "{fault}");
    }
}

#[test]
fn a_worker_on_a_bad_directory_says_why() {
    let (output, _) = chaos(&[
        "ingest-worker",
        "--directory",
        "/proc/no-such-place",
        "--seed",
        "1",
        "--first-sequence",
        "0",
        "--workload",
        "log-store",
    ]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output).contains("/proc/no-such-place"),
        "{}",
        text(&output)
    );
}
