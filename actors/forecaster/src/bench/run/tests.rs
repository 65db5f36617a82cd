use super::*;
use crate::engine::Engine;
use crate::fixtures::OneCandidate;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::Write as _;
use twinscale_protocol::WeightsId;

const HOURS: usize = 24 * 40;
const HORIZON: usize = 24;
const ORIGINS: usize = 6;
const STRIDE: usize = 31;

/// Position of the last sample that the forecast of a round may see.
fn origin(round: usize) -> usize {
    HOURS - 1 - HORIZON - STRIDE * (ORIGINS - 1 - round)
}

/// A directory with one series, whose values from `changed_from` on are others.
fn directory(changed_from: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let protocol = format!(
        r#"{{"set": {{"interval_s": 3600, "horizon": {HORIZON}, "n_origins": {ORIGINS}, "stride": {STRIDE},
            "season": 24, "series": {{"dev": ["c/v/requests"]}}}}}}"#
    );
    std::fs::write(folder.path().join("protocol.json"), protocol).expect("written");
    let events = "dataset,customer_or_series,start,end,kind,name,known_in_advance,source\n";
    std::fs::write(folder.path().join("events.csv"), events).expect("written");
    std::fs::create_dir(folder.path().join("dev")).expect("made");
    let file = File::create(folder.path().join("dev/set.csv.gz")).expect("made");
    let mut file = GzEncoder::new(file, Compression::fast());
    writeln!(file, "customer,vm_type,metric,timestamp,value").expect("written");
    for hour in 0..HOURS {
        let usual = 20 + hour % 24 + hour * 7 % 5;
        let value = if hour < changed_from {
            usual
        } else {
            900 - usual
        };
        writeln!(file, "c,v,requests,{},{value}", 1_600_041_600 + hour * 3600).expect("written");
    }
    file.finish().expect("written");
    folder
}

/// Rows of the submission by round.
fn forecasts(folder: &Path) -> Vec<Vec<String>> {
    let out = folder.join("out.csv");
    let options = BenchOptions {
        directory: folder.to_owned(),
        split: "dev".to_owned(),
        out: Some(out.clone()),
        history_days: None,
        with_events: true,
    };
    let card = WeightsCard {
        card_version: crate::card::CARD_VERSION,
        weights_id: WeightsId::new("0123456789abcdef").expect("an id"),
        weights_bytes: 1,
        networks: Vec::new(),
        datasets: std::collections::BTreeMap::new(),
        limits: Vec::new(),
        parent: None,
    };
    let network = OneCandidate {
        candidate: 3,
        gap: 0.5,
    };
    let mut engine = Engine::new(Box::new(network), Vec::new());
    let mut answer = |requests: &[ForecastRequest]| {
        let replies = engine.forecast_batch(requests).into_iter();
        replies
            .map(|reply| reply.map_err(|error| WireError::from(&error)))
            .collect()
    };
    let outcome = run(&options, &card, &mut answer, &mut |_| {}).expect("runs");
    assert_eq!(outcome.forecasts, ORIGINS);
    let text = std::fs::read_to_string(out).expect("a submission");
    let rows: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    rows.chunks(HORIZON).map(<[String]>::to_vec).collect()
}

#[test]
fn what_comes_after_an_origin_changes_nothing_before() {
    let whole = forecasts(directory(HOURS).path());
    for round in 0..ORIGINS {
        let other = forecasts(directory(origin(round) + 1).path());
        assert_eq!(other[..=round], whole[..=round], "round {round}");
        if round + 1 < ORIGINS {
            assert_ne!(other[round + 1], whole[round + 1], "later ones see it");
        }
    }
}
