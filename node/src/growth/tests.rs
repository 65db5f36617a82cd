//! A tiny run, and what its table says.

use super::fleet::{self, Fleet, HISTORY_STEPS};
use super::{GrowthOptions, GrowthReport, measure};
use crate::assembly::ForecastWeights;
use crate::micro::Machine;
use crate::progress::Progress;
use twinscale_log::SystemMonotonicClock;
use twinscale_twin::demand::is_exact;

#[test]
fn ten_twins_go_through_all_phases() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let options = GrowthOptions {
        directory: folder.path().to_owned(),
        twins: 10,
        active_max: 6,
        weights: ForecastWeights::load(None).expect("the shipped weights"),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let clock = SystemMonotonicClock::start();
    let quiet = Progress::start("", 1, true);
    let row = runtime
        .block_on(measure(&options, &clock, &quiet))
        .expect("a run");
    let rates = [
        row.histories_per_s,
        row.activations_per_s,
        row.first_turns_per_s,
        row.turns_per_s,
        row.forecasts_per_s,
        row.plans_per_s,
        row.memory_mib.process,
        row.memory_mib.started,
        row.cold_report.p50_ms,
        row.cold_sample.p99_ms,
        row.snapshot_kib[0],
        row.store_mib,
        row.log_mib,
        row.start_s,
    ];
    assert!(rates.iter().all(|rate| *rate > 0.0), "{row:?}");
    assert_eq!(row.active, 6);
    assert!(row.snapshot_kib[1] > row.snapshot_kib[0], "{row:?}");
    assert!(row.forecasts_gflops < row.peak_gflops, "{row:?}");

    let mut more = row;
    more.twins = 100;
    more.plans_per_s = row.plans_per_s / 2.0;
    more.memory_mib.passive = row.memory_mib.passive + 9.0;
    let report = GrowthReport::new(&Machine::here(), vec![more, row]).expect("plain data");
    let table = report.table();
    let plans = table.lines().find(|line| line.starts_with("plans"));
    assert!(
        plans.is_some_and(|line| line.ends_with("x 0.50")),
        "{table}"
    );
    assert!(
        table.contains("slope from 10 to 100 twins: 102.4 KiB per put-away twin"),
        "{table}"
    );
}

#[test]
fn twins_are_planned_for_exactly_and_differ() {
    let fleet = Fleet::new().expect("valid names");
    let customer = fleet::customer(3).expect("a valid name");
    let configuration = fleet.configuration(&customer);
    assert!(is_exact(&configuration.policy, &configuration.stack));
    let day = |number| {
        let samples = fleet.samples(&customer, number, 0..HISTORY_STEPS).samples;
        let vms = samples.iter().map(|sample| fleet::vms(sample.value));
        vms.collect::<Vec<i64>>()
    };
    assert!(day(1).iter().all(|vms| (1..200).contains(vms)));
    assert_ne!(day(1), day(2));
}
