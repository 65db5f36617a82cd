//! A short run of the scenario on a cluster of processes: some faults, and every promise checked.

use std::process::Command;

use serde_json::Value;

#[test]
fn a_cluster_keeps_its_promises_through_a_few_faults() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_twinscale-chaos"))
        // Of four nodes three hold group 0: the other one hears from them alone where customers belong.
        .args(["cluster", "--nodes", "4", "--shards", "4", "--twins", "12"])
        .args(["--registers", "4", "--kills", "1", "--pauses", "0"])
        .args(["--partitions", "1", "--power-cuts", "1", "--rest", "1"])
        .args(["--hold", "3", "--seed", "5", "--out"])
        .arg(folder.path().join("run"))
        .output()
        .expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr);
    let verdict: Value = serde_json::from_slice(&output.stdout).expect(&told);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert_eq!(verdict["passed"], true, "{told}");
    assert_eq!(verdict["played"]["struck"]["kill"], 1);
    let count = |part: &str, name: &str| verdict[part][name].as_u64().expect(name);
    assert!(count("telemetry", "acknowledged") > 0, "{told}");
    assert!(count("registers", "operations") > 50, "{told}");
    assert_eq!(count("registers", "linearizable"), 4, "{told}");
    assert!(count("fencing", "calls") > 0, "{told}");
    assert!(count("vms", "running") >= 12, "{told}");
    for name in [
        "history.jsonl",
        "faults.json",
        "stored.json",
        "verdict.json",
    ] {
        assert!(folder.path().join("run").join(name).exists(), "{name}");
    }
}
