//! Twins of a host that are put away.

use super::*;
use crate::fixtures::record;
use crate::host::HostStatus;

/// More than are kept in memory while a log is replayed.
const MANY: i64 = 1_100;

/// Has all of them wait for the writer at once, so that they share a few syncs.
async fn ingest_into_many(host: &TwinHost) {
    let key = series("typeA", "vm_count");
    let enqueued = (0..MANY).map(|number| {
        let command = record(hours(1), samples(&key, START, &[number % 50]));
        let name = customer(&format!("customer-{number}"));
        host.enqueue(&name, command).expect("there is room")
    });
    for reply in enqueued.collect::<Vec<_>>() {
        reply.await.expect("answered").expect("stored");
    }
}

#[tokio::test]
async fn twins_that_are_put_away_go_on_as_if_they_had_not_been() {
    let (plain, away) = (Node::new(), Node::new());
    let (plain, _) = plain.open();
    let (host, _) = away.open();
    for hour in 0..40 {
        let name = ["acme", "globex", "initech"][usize::try_from(hour % 3).expect("small")];
        for host in [&plain, &host] {
            let sample = request(name, hours(hour + 1), &[(hours(hour), hour)]);
            host.ingest(sample).await.expect("stored");
        }
        if hour % 5 == 0 {
            host.put_away_idle();
            host.put_away_idle();
            assert_eq!(host.residency().resident, 0);
        }
    }
    assert!(host.residency().brought_back >= 8);
    assert_eq!(bytes_of(&host), bytes_of(&plain));
    drop(host);
    let (host, report) = away.open();
    assert_eq!((report.twins, report.replayed), (3, 0));
    assert_eq!(host.residency().resident, 0, "they were looked at and left");
    assert_eq!(bytes_of(&host), bytes_of(&plain));
}

#[tokio::test]
async fn many_twins_are_made_of_their_log_without_all_being_in_memory() {
    let node = Node::new();
    let (host, _) = node.open();
    ingest_into_many(&host).await;
    let before = bytes_of(&host);
    drop(host);
    std::fs::remove_dir_all(node.store()).expect("the store is there");
    let (host, report) = node.open();
    assert_eq!((report.twins, report.replayed), (1_100, 1_100));
    let counts = host.residency();
    assert_eq!(counts.resident, 0);
    assert!(counts.put_away >= 1_100);
    assert!(bytes_of(&host) == before, "the same twins");
}

#[tokio::test]
async fn a_host_whose_twin_does_not_come_back_takes_nothing_more() {
    let (node, disk) = (Node::new(), MemoryDisk::default());
    let store = || open_in_memory(&disk).expect("it opens");
    let opened = TwinHost::open(node.log(), store(), HostOptions::default());
    let (host, _) = opened.expect("the host opens");
    let stored = host.ingest(request("acme", hours(1), &[(START, 1)])).await;
    assert_eq!(stored.expect("stored").stored, 1);
    host.put_away_idle();
    host.put_away_idle();
    let (name, store) = (customer("acme"), store());
    let mut batch = Batch::new();
    for (key, _value) in recovery::stored_parts(&*store, &name).expect("they are read") {
        batch.delete(key);
    }
    let next = store.applied_index().next();
    store.apply(&batch, next).expect("it takes it");
    assert!(host.twin(&name).is_none() && host.knows(&name));
    host.put_away_idle();
    let HostStatus::Failed { reason } = host.status() else {
        panic!("it cannot go on: {:?}", host.status());
    };
    assert!(reason.contains("acme"), "{reason}");
}
