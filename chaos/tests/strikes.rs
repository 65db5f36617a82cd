//! Actors of a daemon under load are felled, in small, as real processes.

use std::process::{Child, Command, Output, Stdio};

fn start(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_twinscale-chaos"))
        .args(["service", "--seed", "1", "--fault"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the built binary starts")
}

#[track_caller]
fn passed(child: Child) -> serde_json::Value {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().expect("it ends");
    let words = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(0), "{words}");
    let verdict: serde_json::Value = serde_json::from_slice(&stdout).expect("JSON");
    assert_eq!(verdict["passed"], true, "{words}");
    assert!(verdict["acknowledged"].as_u64() > Some(0), "{words}");
    assert_eq!(verdict["acknowledged"], verdict["stored"], "{words}");
    verdict
}

/// Each kind in each way once. Only customers from the fifth on have plans to search for in each step.
#[test]
fn every_kind_of_actor_comes_back_in_a_daemon_under_load() {
    let common = |times: &'static str, customers: &'static str, limit: &'static str| {
        let pace = ["--interval", "2", "--limit", limit];
        [
            &["actors", "--times", times, "--customers", customers],
            &pace[..],
        ]
        .concat()
    };
    let only = |mut arguments: Vec<&'static str>, kinds: &[&'static str]| {
        for kind in kinds {
            arguments.extend(["--only", kind]);
        }
        start(&arguments)
    };
    let runs = [
        (8, only(common("8", "3", "2"), &["twin", "forecaster"])),
        (5, only(common("5", "5", "3"), &["optimizer"])),
        (5, only(common("5", "3", "2"), &["provisioner"])),
    ];
    for (strikes, run) in runs {
        let verdict = passed(run);
        let actors = &verdict["actors"];
        assert_eq!(actors["strikes"], strikes, "{verdict}");
        let kinds = actors["kinds"].as_array().expect("a list");
        assert_eq!(kinds.len(), strikes, "each kind and blow once: {verdict}");
        for kind in kinds {
            let blow = kind["blow"].as_str().expect("a word");
            let back = kind["back_max_ms"].as_u64().expect("a number");
            // What hangs is noticed when its limit is over, and not before.
            assert!(!blow.starts_with("hang") || back >= 2_000, "{verdict}");
            assert!(back > 0, "{verdict}");
        }
        assert_eq!(actors["quiet"]["impaired"], 0, "{verdict}");
    }
}

#[test]
fn a_daemon_that_loses_too_many_threads_says_so_ends_and_serves_again() {
    let verdict = passed(start(&["hung-threads", "--times", "1"]));
    assert_eq!(verdict["ended_by_itself"], 1, "{verdict}");
}

#[test]
fn a_way_that_a_kind_cannot_be_struck_in_is_told() {
    let arguments = [
        "actors",
        "--only",
        "twin",
        "--blow",
        "hang-job",
        "--customers",
        "1",
    ];
    let output = start(&arguments).wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("a twin runs no jobs"), "{words}");
}
