//! Parts of the cluster scenarios, as real processes.

use std::fs;
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

/// What a runner holds, one host a line: its namespace and its folder of data, if it has them.
fn network(more: &[&str]) -> (Child, Vec<[Option<PathBuf>; 2]>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_twinscale-chaos"))
        .args(["network", "--hosts", "2"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the built binary starts");
    let out = child.stdout.take().expect("a pipe");
    let lines = BufReader::new(out).lines().take(2);
    let held = lines.map(|line| {
        let line = line.expect("a line");
        let mut words = line.split(' ').skip(2);
        let mut path = || words.next().filter(|word| *word != "-").map(PathBuf::from);
        [path(), path()]
    });
    let held = held.collect();
    (child, held)
}

/// Tells whether this process was started to ignore SIGINT, which those that it starts inherit.
fn is_interrupt_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("readable");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask.expect("a mask").trim(), 16).expect("a number");
    mask & 0b10 != 0
}

/// Whatever ends the runner, its namespaces and what runs in them end too.
#[test]
fn a_network_is_removed_however_its_runner_ends() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        if signal == Signal::INT && is_interrupt_ignored() {
            // In the background of a shell without job control, and so do its children.
            continue;
        }
        let (mut runner, held) = network(&[]);
        let files: Vec<&PathBuf> = held.iter().filter_map(|[file, _]| file.as_ref()).collect();
        let Some(first) = files.first() else {
            // Without root there is nothing to remove.
            drop(runner.stdin.take());
            assert!(runner.wait().expect("it ends").success());
            return;
        };
        assert!(files.iter().all(|file| file.exists()), "{files:?}");
        let mut inside = Command::new("nsenter")
            .arg(format!("--net={}", first.display()))
            .args(["--", "sleep", "600"])
            .spawn()
            .expect("started");
        let comm = format!("/proc/{}/comm", inside.id());
        while fs::read_to_string(&comm).is_ok_and(|name| name.trim() != "sleep") {
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&runner), signal).expect("signalled");
        assert!(!runner.wait().expect("it ends").success());
        assert!(!inside.wait().expect("it ends").success(), "{signal:?}");
        wait_until(|| files.iter().all(|file| !file.exists()));
    }
}

/// A disk without its runner would keep a loop device and a mount for ever.
#[test]
fn disks_are_removed_with_a_runner_that_was_killed() {
    let (mut runner, held) = network(&["--disks"]);
    let mount_points: Vec<&Path> = held
        .iter()
        .filter_map(|[_, data_dir]| data_dir.as_deref()?.parent())
        .collect();
    assert_eq!(mount_points.len(), 2);
    if held.iter().all(|[name_space, _]| name_space.is_none()) {
        // Without root the disks are folders, which nothing but their owner removes.
        drop(runner.stdin.take());
        assert!(runner.wait().expect("it ends").success());
        return;
    }
    let is_mounted = |place: &&Path| {
        let mounts = fs::read_to_string("/proc/mounts").expect("mounts");
        mounts.contains(&format!(" {} ", place.display()))
    };
    let is_attached = |place: &&Path| {
        let image = place.with_file_name("disk.ext4");
        let listed = Command::new("losetup").arg("-j").arg(image).output();
        !listed.expect("a list").stdout.is_empty()
    };
    assert!(mount_points.iter().all(is_mounted));
    assert!(mount_points.iter().all(is_attached));
    kill_process(Pid::from_child(&runner), Signal::KILL).expect("signalled");
    runner.wait().expect("it ends");
    wait_until(|| !mount_points.iter().any(|place| place.exists()));
    assert!(!mount_points.iter().any(is_mounted));
    let devices = fs::read_dir("/sys/block").expect("devices").flatten();
    let backing = devices
        .filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok());
    let left: Vec<String> = backing
        .filter(|file| {
            let is_of = |place: &&Path| file.contains(&*place.with_file_name("").to_string_lossy());
            mount_points.iter().any(is_of)
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn wait_until(is_done: impl Fn() -> bool) {
    while !is_done() {
        std::thread::yield_now();
    }
}
