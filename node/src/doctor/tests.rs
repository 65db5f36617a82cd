use super::judge;
use super::place;
use super::probe;
use super::{CHECKS, Outcome, Patient, diagnose};
use crate::assembly::ForecastWeights;
use crate::service::wall_clock::SystemWallClock;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;
use twinscale_cluster_config::NodeSettings;
use twinscale_log::{FileLog, LogOptions, Room, SystemMonotonicClock};
use twinscale_protocol::DomainTime;

const GIB: u64 = 1 << 30;

fn settings(data_dir: &Path, listen: SocketAddr) -> NodeSettings {
    NodeSettings {
        data_dir: data_dir.to_owned(),
        listen,
        ..NodeSettings::default()
    }
}

fn outcomes(settings: &NodeSettings, weights: &ForecastWeights) -> Vec<(&'static str, Outcome)> {
    let patient = Patient {
        settings,
        weights,
        wall: &SystemWallClock,
        clock: &SystemMonotonicClock::start(),
    };
    let mut begun = Vec::new();
    let diagnosis = diagnose(&patient, &mut |name| begun.push(name));
    let checks = diagnosis.checks.iter();
    let found: Vec<_> = checks.map(|check| (check.name, check.outcome)).collect();
    let names: Vec<_> = found.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len() as u64, CHECKS);
    assert_eq!(begun, names, "each check is announced before it is made");
    let worst = found.iter().map(|(_, outcome)| *outcome).max();
    assert_eq!(Some(diagnosis.outcome), worst);
    let text = diagnosis.to_string();
    for check in &diagnosis.checks {
        assert!(text.contains(&check.found), "{text}");
        assert_eq!(
            check.remedy.is_some(),
            check.outcome != Outcome::Passed,
            "{check:?}"
        );
    }
    found
}

#[test]
fn a_sound_machine_passes_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let weights = ForecastWeights::load(None).unwrap();
    let settings = settings(&data, "127.0.0.1:0".parse().unwrap());
    for (name, outcome) in outcomes(&settings, &weights) {
        assert!(outcome < Outcome::Failed, "{name} failed");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_in_use_a_taken_address_and_dead_weights_fail() {
    let folder = tempfile::tempdir().unwrap();
    let (_log, _report) = FileLog::open(&folder.path().join("log"), LogOptions::default()).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let weights = ForecastWeights::load(None).unwrap();
    let settings = settings(folder.path(), taken.local_addr().unwrap());
    let failed: Vec<_> = outcomes(&settings, &weights)
        .into_iter()
        .filter(|(_, outcome)| *outcome == Outcome::Failed)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(failed, ["data folder", "address"]);
    let text = place::folder(folder.path()).found;
    let process = std::process::id().to_string();
    assert!(text.contains(&process), "names the holder: {text}");
}

#[test]
fn a_file_in_place_of_the_folder_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert_eq!(place::folder(&file).outcome, Outcome::Failed);
    assert_eq!(place::folder(&file.join("data")).outcome, Outcome::Failed);
}

#[test]
fn room_is_judged_by_what_a_node_needs() {
    let judged = |free_bytes, is_read_only| {
        let room = Room {
            free_bytes,
            is_read_only,
        };
        judge::room("data", room).outcome
    };
    assert_eq!(judged(100 * GIB, false), Outcome::Passed);
    assert_eq!(judged(GIB, false), Outcome::Warned);
    assert_eq!(judged(GIB / 32, false), Outcome::Failed);
    assert_eq!(judged(100 * GIB, true), Outcome::Failed);
}

#[test]
fn syncs_that_are_none_and_slow_ones_are_named() {
    let judged = |micros: u64| judge::sync(&[Duration::from_micros(micros); 30]).outcome;
    assert_eq!(judged(3), Outcome::Warned);
    assert_eq!(judged(900), Outcome::Passed);
    assert_eq!(judged(80_000), Outcome::Warned);
}

#[test]
fn a_clock_that_is_not_set_fails() {
    assert_eq!(judge::clock(DomainTime(0)).outcome, Outcome::Failed);
    assert_eq!(
        judge::clock(DomainTime(1_795_000_000)).outcome,
        Outcome::Passed
    );
    assert_eq!(judge::clock(DomainTime(i64::MAX)).outcome, Outcome::Failed);
}

#[test]
fn limits_of_the_machine_are_compared_with_the_settings() {
    assert_eq!(
        judge::open_files(Some(1_024), 1_024).outcome,
        Outcome::Failed
    );
    assert_eq!(judge::open_files(Some(1_024), 512).outcome, Outcome::Passed);
    assert_eq!(judge::open_files(None, 65_536).outcome, Outcome::Passed);
    assert_eq!(judge::processors(1, 0).outcome, Outcome::Warned);
    assert_eq!(judge::processors(2, 2).outcome, Outcome::Passed);
    assert_eq!(judge::processors(2, 8).outcome, Outcome::Warned);
    assert_eq!(judge::memory(Some(GIB / 8), 10).outcome, Outcome::Failed);
    assert_eq!(judge::memory(Some(GIB), 100_000).outcome, Outcome::Warned);
    assert_eq!(
        judge::memory(Some(8 * GIB), 10_000).outcome,
        Outcome::Passed
    );
    assert_eq!(judge::memory(None, 10).outcome, Outcome::Warned);
}

#[test]
fn available_memory_is_read_as_the_kernel_writes_it() {
    let text = "MemTotal:       24602712 kB\nMemAvailable:   23104428 kB\n";
    assert_eq!(probe::available_bytes(text), Some(23_104_428 * 1_024));
    assert_eq!(probe::available_bytes("MemAvailable: many kB\n"), None);
    assert_eq!(probe::available_bytes(""), None);
}
