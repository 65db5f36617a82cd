use super::cuts::{check_cuts, same_source};
use super::write::write_decisions;
use super::*;
use crate::assembly::ForecastWeights;
use std::fmt::Write as _;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use twinscale_forecaster::card::{DatasetCard, WeightsCard};

/// 2024-01-01T00:00:00Z.
const START_S: i64 = 1_704_067_200;
const STEPS: usize = 26 * 24;
const SCORED_FROM: usize = 24 * 24;

fn load(step: usize) -> f64 {
    let wave = [3.0, 2.5, 2.0, 4.0, 7.5, 9.0, 8.2, 5.1][step / 3 % 8];
    // A spread that repeats only after 101 steps, and a burst now and then.
    wave + (step * 37 % 101) as f64 / 60.0 + if step.is_multiple_of(89) { 6.0 } else { 0.0 }
}

fn trace(name: &str, shift: usize) -> SuiteTrace {
    SuiteTrace {
        name: name.to_owned(),
        dataset: "made".to_owned(),
        start_s: START_S,
        scored_from: SCORED_FROM,
        load: (0..STEPS)
            .map(|step| (step % 113 != 5).then(|| load(step + shift)))
            .collect(),
    }
}

fn suite() -> Suite {
    Suite {
        name: "hourly".to_owned(),
        interval_s: 3_600,
        start_up_s: 3_600,
        decision_s: 3_600,
        minimum_bill_s: 60,
        traces: vec![trace("one", 0), trace("two", 11)],
    }
}

fn decided(suite: &Suite, threads: usize) -> Vec<TraceDecisions> {
    let weights = ForecastWeights::load(None).expect("the shipped weights load");
    decided_with(suite, threads, weights)
}

fn decided_with(suite: &Suite, threads: usize, weights: ForecastWeights) -> Vec<TraceDecisions> {
    decided_at(suite, threads, weights, vec![0.5, 8.0, 128.0, 2_048.0])
}

fn decided_at(
    suite: &Suite,
    threads: usize,
    weights: ForecastWeights,
    knobs: Vec<f64>,
) -> Vec<TraceDecisions> {
    let folder = tempfile::tempdir().expect("a folder");
    let options = ElasticityOptions {
        directory: folder.path().to_owned(),
        seed: 1,
        threads: NonZeroUsize::new(threads).expect("not zero"),
        weights,
        knobs,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_time()
        .build()
        .expect("a runtime");
    let suites = std::slice::from_ref(suite);
    let mut decided = runtime
        .block_on(decide(suites, &options, &|_done| {}))
        .expect("it decides");
    assert_eq!(decided.len(), 1);
    decided.remove(0)
}

#[test]
fn a_decision_sees_what_came_before_it_alone_on_any_threads() {
    let whole = suite();
    let decisions = decided(&whole, 1);
    assert_eq!(decided(&whole, 2), decisions);
    assert!(decisions.iter().all(|trace| trace.fallbacks == 0));
    // From the 20th decision on everything is different, or missing.
    let cut = SCORED_FROM + 20;
    let mut other = whole.clone();
    for (step, value) in other.traces[0].load.iter_mut().enumerate().skip(cut) {
        *value = (step % 3 != 0).then_some(900.0);
    }
    let changed = decided(&other, 2);
    assert_eq!(changed[0].desired[..=20], decisions[0].desired[..=20]);
    assert_ne!(changed[0].desired[22..], decisions[0].desired[22..]);
    // The other trace does not notice.
    assert_eq!(changed[1], decisions[1]);
}

#[test]
fn more_plans_than_the_optimizer_takes_at_once_wait_for_their_turn() {
    let mut short = suite();
    for trace in &mut short.traces {
        trace.load.truncate(SCORED_FROM + 2);
    }
    let weights = ForecastWeights::load(None).expect("the shipped weights load");
    let knobs: Vec<f64> = (1..=700).map(f64::from).collect();
    let decisions = decided_at(&short, 2, weights, knobs);
    assert_eq!(decisions.len(), 2);
    for trace in decisions {
        assert_eq!(trace.desired.len(), 2);
        assert!(trace.desired.iter().all(|counts| counts.len() == 700));
    }
}

#[test]
fn other_weights_decide_otherwise() {
    // Until enough outlooks were learnt from, the network does not take part.
    let mut suite = suite();
    for trace in &mut suite.traces {
        trace.scored_from -= 10 * 24;
    }
    let shipped = ForecastWeights::load(None).expect("the shipped weights load");
    let real = decided_with(&suite, 2, shipped.clone());
    let zeroed = decided_with(&suite, 2, shipped.zeroed());
    for (real, zeroed) in real.iter().zip(&zeroed) {
        assert_eq!(real.desired[..100], zeroed.desired[..100]);
        let after = real.desired.iter().zip(&zeroed.desired).skip(100);
        let other = after.filter(|(real, zeroed)| real != zeroed).count();
        // The adapter learns the same series with any weights, so that few decisions hang on the networks.
        assert!(other > 3, "{other}");
    }
}

#[test]
fn a_dearer_miss_asks_for_more_and_covers_more() {
    let suite = suite();
    let decisions = decided(&suite, 2);
    for (trace, decisions) in suite.traces.iter().zip(&decisions) {
        let mut missed = [0; 4];
        for (at, desired) in decisions.desired.iter().enumerate() {
            assert!(desired.is_sorted() && desired[0] >= 1, "{desired:?}");
            let ahead = &trace.load[SCORED_FROM + at..(SCORED_FROM + at + 2).min(STEPS)];
            let peak = ahead.iter().flatten().copied().fold(0.0, f64::max);
            for (count, desired) in missed.iter_mut().zip(desired) {
                *count += usize::from(f64::from(*desired) < peak);
            }
        }
        assert!(missed[0] > missed[2], "{missed:?}");
        assert!(missed[3] <= 2, "{missed:?}");
    }
}

#[test]
fn the_file_holds_the_first_decision_and_each_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("decisions.csv");
    let mut suite = suite();
    suite.traces.truncate(1);
    let decisions = TraceDecisions {
        desired: vec![vec![2, 5], vec![2, 6], vec![3, 6]],
        fallbacks: 0,
    };
    let rows = write_decisions(&path, &[(suite, vec![decisions])], &[0.5, 8.0]);
    assert_eq!(rows.expect("it is written"), 4);
    let first = START_S + i64::try_from(SCORED_FROM).expect("small") * 3_600;
    let [second, third] = [first + 3_600, first + 7_200];
    assert_eq!(
        std::fs::read_to_string(&path).expect("it is there"),
        format!(
            "suite,series,knob,timestamp,desired\nhourly,one,0.5,{first},2\n\
             hourly,one,0.5,{third},3\nhourly,one,8,{first},5\nhourly,one,8,{second},6\n"
        )
    );
}

/// Writes a data directory with one suite and one series of 10 steps, the last 4 scored.
fn directory(manifest: &str, rows: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("dev")).expect("a folder");
    std::fs::write(folder.path().join("manifest.json"), manifest).expect("written");
    let file = std::fs::File::create(folder.path().join("dev/minute.csv.gz")).expect("created");
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    packed.write_all(rows.as_bytes()).expect("written");
    packed.finish().expect("written");
    folder
}

fn manifest() -> String {
    r#"{"suites": {"minute": {"dt": 60, "startup_s": 300, "decision_s": 60, "min_bill_s": 60}},
 "series": [{"suite": "minute", "split": "dev", "series": "a", "dataset": "made", "start": 600,
   "n": 10, "score_start": 960, "score_end": 1200}]}"#
        .to_owned()
}

fn rows() -> String {
    let mut text = "series,timestamp,load\n".to_owned();
    for step in (0..10).filter(|step| *step != 3) {
        writeln!(text, "a,{},{}.5", 600 + 60 * step, step).expect("text grows");
    }
    text
}

fn refused(manifest: &str, rows: &str) -> String {
    let folder = directory(manifest, rows);
    read_suites(folder.path(), "dev", &[])
        .expect_err("it cannot be used")
        .to_string()
        .replace(&folder.path().display().to_string(), "DIR")
}

#[test]
fn a_suite_is_read_with_its_window_and_gaps() {
    let folder = directory(&manifest(), &rows());
    let suites = read_suites(folder.path(), "dev", &["minute".to_owned()]).expect("it reads");
    let [suite] = suites.as_slice() else {
        panic!("{suites:?}")
    };
    assert_eq!((suite.interval_s, suite.start_up_s), (60, 300));
    let trace = &suite.traces[0];
    assert_eq!(
        (trace.scored_from, trace.scored(), trace.load.len()),
        (6, 4, 10)
    );
    assert_eq!((trace.load[3], trace.load[9]), (None, Some(9.5)));
    assert_eq!(suite.decisions(), 4);
}

#[test]
fn what_cannot_be_used_is_named_with_file_line_and_column() {
    let bad = |from: &str, to: &str| refused(&manifest(), &rows().replace(from, to));
    let file = "DIR/dev/minute.csv.gz";
    for (error, wanted) in [
        (
            bad("4.5", "-4.5"),
            format!("{file}, line 5, column load: `-4.5`"),
        ),
        (
            bad("4.5", "NaN"),
            format!("{file}, line 5, column load: `NaN`"),
        ),
        (
            bad("840", "845"),
            format!("{file}, line 5, column timestamp: `845`"),
        ),
        (
            bad("840", "1e3"),
            format!("{file}, line 5, column timestamp: `1e3`"),
        ),
        (
            bad("840", "660"),
            format!("{file}, line 5, column timestamp: `660` stands there twice"),
        ),
        (
            bad("840", "99999960"),
            format!("{file}, line 5, column timestamp: `99999960` lies outside"),
        ),
        (
            bad("a,840", "b,840"),
            format!("{file}, line 5, column series: `b`"),
        ),
        (
            bad("load", "value"),
            format!("{file}, line 1, column load:"),
        ),
        (
            refused(&manifest().replace("\"dt\": 60", "\"dt\": 7"), &rows()),
            "DIR/manifest.json, suites.minute.decision_s: 60 is not a multiple".to_owned(),
        ),
        (
            refused(&manifest().replace("960", "965"), &rows()),
            "DIR/manifest.json, series[0].score_start: 965".to_owned(),
        ),
        (
            refused(&manifest().replace(']', ""), &rows()),
            "DIR/manifest.json, line 3".to_owned(),
        ),
    ] {
        assert!(error.starts_with(&wanted), "{error}\n{wanted}");
    }
}

#[test]
fn a_missing_file_or_suite_or_split_is_named() {
    let folder = directory(&manifest(), &rows());
    let read = |split: &str, suite: &[String]| {
        read_suites(folder.path(), split, suite)
            .expect_err("not there")
            .to_string()
    };
    assert!(read("dev", &["daily".to_owned()]).contains("daily is no suite: name one of minute"));
    assert!(read("held", &[]).contains("held has no series"));
    let error = read_suites(Path::new("/nowhere"), "dev", &[]).expect_err("not there");
    assert!(error.to_string().contains("/nowhere/manifest.json"));
}

fn card(cuts: &[(&str, &str, i64)]) -> WeightsCard {
    let shipped = ForecastWeights::load(None).expect("the shipped weights load");
    let mut card = shipped.card().clone();
    card.datasets.clear();
    for (dataset, series, cut_s) in cuts {
        let dataset: &mut DatasetCard = card.datasets.entry((*dataset).to_owned()).or_default();
        dataset.cut_s.insert((*series).to_owned(), *cut_s);
    }
    card
}

#[test]
fn weights_that_saw_a_window_are_refused() {
    let first = START_S + i64::try_from(SCORED_FROM).expect("small") * 3_600;
    let suites = [suite()];
    for (cut_s, is_refused) in [(first, false), (first + 1, true)] {
        let card = card(&[
            ("made", "cc-one/pool/cpu", cut_s),
            ("made", "cc-six/pool/cpu", 0),
        ]);
        assert_eq!(check_cuts(&card, &suites).is_err(), is_refused);
    }
    // Another series of the same set, and the same name in another set.
    let other = card(&[
        ("made", "cc-six/pool/cpu", i64::MAX),
        ("made", "cc-ten/pool/cpu", i64::MAX),
        ("another", "cc-one/pool/cpu", i64::MAX),
    ]);
    assert!(check_cuts(&other, &suites).is_ok());
}

#[test]
fn traces_are_recognised_by_what_tells_their_series_apart() {
    let card = card(&[
        ("vms", "sf-region1/typeA/vm_count", 1),
        ("vms", "sf-region1/typeB/vm_count", 1),
        ("vms", "sf-region2/typeA/vm_count", 1),
        ("vms", "sf-region2/typeB/vm_count", 1),
        ("web", "nasa/web/requests", 1),
        ("pools", "cc-cluster1/pool/cpu", 1),
        ("pools", "cc-cluster1/pool/mem", 1),
        ("pools", "cc-cluster11/pool/cpu", 1),
    ]);
    let found = |dataset: &str, name: &str| {
        let trace = SuiteTrace {
            dataset: dataset.to_owned(),
            ..trace(name, 0)
        };
        same_source(&card, &trace).join(" ")
    };
    assert_eq!(
        found("vms", "vms.region1.typeA@w4"),
        "sf-region1/typeA/vm_count"
    );
    assert_eq!(found("vms", "vms.region3.typeA"), "");
    assert_eq!(found("web", "nasa60"), "nasa/web/requests");
    assert_eq!(
        found("pools", "pools.cc-cluster1"),
        "cc-cluster1/pool/cpu cc-cluster1/pool/mem"
    );
    assert_eq!(found("none", "nasa60"), "");
}
