//! A tiny run of all contenders.

use super::contender::Name;
use super::{IngestArguments, chart, measure};
use twinscale::progress::Progress;

fn tiny() -> IngestArguments {
    IngestArguments {
        twins: vec![2, 10],
        clients: vec![1, 4],
        batches: vec![1, 10],
        rounds: 1,
        slice_ms: 20,
        history: 3,
        only: Name::ALL.to_vec(),
        directory: None,
        json: false,
        out: None,
        chart: None,
    }
}

#[test]
fn every_contender_acknowledges_and_syncs_for_it() {
    let report = measure(&tiny(), &Progress::start("", 1, true), &|_report| Ok(())).expect("a run");
    assert_eq!(report.cells.len(), 8);
    for cell in &report.cells {
        let names: Vec<Name> = cell.contenders.iter().map(|one| one.name).collect();
        assert_eq!(names, Name::ALL);
        assert!(cell.log_bytes_per_request > 0.0);
        for one in &cell.contenders {
            // A request has a commit of its own, or shares it with the other clients, and never goes without.
            let clients = u64::from(cell.clients);
            assert!(one.requests > 0, "{one:?}");
            assert!(one.commits * clients >= one.requests, "{one:?} of {cell:?}");
            if one.name == Name::Sqlite {
                assert_eq!(one.commits, one.requests);
            }
            assert!(one.p50_ms <= one.p99_ms);
        }
    }
    let text = report.text();
    assert_eq!(text.matches("bare disk").count(), 8, "{text}");
    assert!(text.contains("x "), "growth is told: {text}");
    let picture = chart::svg(&report);
    assert_eq!(
        picture.matches("<path class=\"line dot").count(),
        4 * Name::ALL.len()
    );
}
