mod away;
mod full_disk;
mod real_disk;

use super::*;
use crate::fixtures::{START, config, customer, hours, samples, series, vms};
use crate::state::Refusal;
use std::path::PathBuf;
use tempfile::TempDir;
use twinscale_log::disk::Disk;
use twinscale_log::fault_disk::{Fault, FaultDisk};
use twinscale_log::{
    CommandLog, FileLog, LogOptions, NoObserver, ReadLimits, SystemMonotonicClock,
};
use twinscale_protocol::twin::{IngestReply, IngestRequest, RefusalReason};
use twinscale_protocol::{DomainTime, FixedValue, Sample, Seconds, WireErrorCode};
use twinscale_store::{Batch, MemoryDisk, OpenOutcome, StateStore, open_in_memory, open_store};

struct Node {
    directory: TempDir,
}

impl Node {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory }
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn log(&self) -> Arc<dyn CommandLog> {
        let path = self.directory.path().join("log");
        let (log, _) = FileLog::open(&path, LogOptions::default()).expect("the log opens");
        Arc::new(log)
    }

    fn open(&self) -> (TwinHost, HostOpenReport) {
        TwinHost::open_at(
            self.log(),
            &self.store(),
            StoreOptions::default(),
            HostOptions::default(),
        )
        .expect("the host opens")
    }
}

fn memory() -> Box<dyn StateStore> {
    open_in_memory(&MemoryDisk::default()).expect("an empty store opens")
}

fn request(name: &str, now: DomainTime, values: &[(DomainTime, i64)]) -> IngestRequest {
    let sample = |(at, value): &(DomainTime, i64)| Sample {
        series: series("typeA", "vm_count"),
        at: *at,
        value: vms(*value),
    };
    IngestRequest {
        customer: customer(name),
        now,
        samples: values.iter().map(sample).collect(),
    }
}

type StateBytes = (CustomerId, Vec<(crate::state::PartKey, Vec<u8>)>);

fn bytes_of(host: &TwinHost) -> Vec<StateBytes> {
    host.customers()
        .into_iter()
        .map(|name| {
            let parts = host.read(&name, |state| state.encode_all().expect("encodes"));
            (name, parts.expect("a twin"))
        })
        .collect()
}

#[tokio::test]
async fn what_is_acknowledged_is_there_once_after_a_restart() {
    let node = Node::new();
    let (host, report) = node.open();
    assert_eq!((report.twins, report.replayed), (0, 0));
    let now = hours(2);
    let first = host.ingest(request("acme", now, &[(START, 1), (hours(1), 2)]));
    assert_eq!(first.await.expect("stored").stored, 2);
    let again = host.ingest(request("acme", now, &[(START, 1), (hours(1), 7)]));
    let again = again.await.expect("stored");
    assert_eq!((again.duplicates, again.replaced, again.stored), (1, 1, 0));
    host.propose(&customer("globex"), TwinCommand::Configure(config()))
        .await
        .expect("configured");
    let before = bytes_of(&host);
    drop(host);
    let (host, report) = node.open();
    assert_eq!((report.twins, report.replayed), (2, 0));
    assert_eq!(bytes_of(&host), before);
    let means = host.read(&customer("acme"), |state| {
        state.interval_means(&series("typeA", "vm_count"), START, Seconds(3_600), 2)
    });
    assert_eq!(means, Some(vec![Some(vms(1)), Some(vms(7))]));
}

#[tokio::test]
async fn a_lost_or_broken_store_is_rebuilt_from_the_log() {
    let node = Node::new();
    let (host, _) = node.open();
    for hour in 0..30 {
        let request = request("acme", hours(hour + 1), &[(hours(hour), hour)]);
        host.ingest(request).await.expect("stored");
    }
    let before = bytes_of(&host);
    drop(host);
    std::fs::remove_dir_all(node.store()).expect("the store is there");
    let (host, report) = node.open();
    assert_eq!(report.replayed, 30);
    assert_eq!(bytes_of(&host), before);
    drop(host);
    // A series without its record: each value is sound, together they are no state.
    let opened = open_store(&node.store(), StoreOptions::default()).expect("the store opens");
    let mut damage = Batch::new();
    let series_key = crate::state::PartKey::Series(0).to_key(&customer("acme"));
    damage.delete(series_key.expect("a key"));
    let next = report.applied_index.next();
    opened.store.apply(&damage, next).expect("applied");
    opened.store.close().expect("closed");
    let (host, report) = node.open();
    assert!(matches!(report.store, Some(OpenOutcome::Rebuilt { .. })));
    assert_eq!(bytes_of(&host), before);
}

#[tokio::test]
async fn many_proposals_share_one_batch_and_each_gets_its_own_answer() {
    let node = Node::new();
    let (host, _) = node.open();
    let host = Arc::new(host);
    let mut asks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let host = Arc::clone(&host);
        asks.spawn(async move {
            let name = format!("customer-{}", number % 20);
            let at = hours(number / 20);
            host.ingest(request(&name, at, &[(at, number)]))
                .await
                .expect("stored")
        });
    }
    while let Some(reply) = asks.join_next().await {
        assert_eq!(reply.expect("no panic").stored, 1);
    }
    let metrics = host.metrics();
    assert_eq!(metrics.commands, 200);
    assert!(metrics.batches < 200, "{} batches", metrics.batches);
    assert_eq!(host.customers().len(), 20);
}

#[tokio::test]
async fn requests_that_break_a_rule_name_it_and_store_nothing() {
    let node = Node::new();
    let (host, _) = node.open();
    let mut typo = request("acme", hours(1), &[(START, 1), (hours(1), 1)]);
    typo.samples[1].series = series("typeA", "vm_cuont");
    let error = host.ingest(typo).await.expect_err("a typo");
    assert_eq!(error.code(), WireErrorCode::Invalid);
    let text = error.to_string();
    assert!(
        text.contains("sample 1") && text.contains("vm_cuont"),
        "{text}"
    );
    let mut negative = request("acme", hours(1), &[(START, 1)]);
    negative.samples[0].value = FixedValue(-5);
    let error = host.ingest(negative).await.expect_err("negative");
    assert!(error.to_string().contains("negative"), "{error}");
    let clock = request("acme", DomainTime(-1), &[(START, 1)]);
    let error = host.ingest(clock).await.expect_err("a clock before 1970");
    assert!(matches!(error, HostError::Clock { .. }), "{error}");
    assert!(host.customers().is_empty());
}

#[tokio::test]
async fn too_old_and_too_new_samples_are_refused_with_the_limit() {
    let node = Node::new();
    let (host, _) = node.open();
    let now = hours(0);
    let far = request(
        "acme",
        now,
        &[
            (hours(2), 1),
            (DomainTime(START.0 - 71 * 86_400), 1),
            (now, 1),
        ],
    );
    let reply = host.ingest(far).await.expect("answered");
    assert_eq!(reply.stored, 1);
    let reasons: Vec<_> = reply.refused.iter().map(|one| one.reason).collect();
    assert_eq!(
        reasons,
        [
            RefusalReason::InTheFuture { newest: hours(1) },
            RefusalReason::TooOld {
                oldest: DomainTime(START.0 - 70 * 86_400)
            },
        ]
    );
}

#[tokio::test]
async fn a_quarantined_twin_leaves_the_others_alone() {
    let node = Node::new();
    let (host, _) = node.open();
    let bad = TwinCommand::CommitOutcomes {
        at: START,
        outcomes: vec![twinscale_protocol::provisioner::IntentOutcome {
            intent: twinscale_protocol::IntentId(99),
            result: twinscale_protocol::provisioner::OutcomeResult::Done,
        }],
    };
    let result = host.propose(&customer("acme"), bad).await.expect("applied");
    assert!(
        matches!(result, ApplyResult::Quarantined { .. }),
        "{result:?}"
    );
    let reply: IngestReply = host
        .ingest(request("acme", hours(1), &[(START, 1)]))
        .await
        .expect("answered");
    assert_eq!(reply.refused[0].reason, RefusalReason::Quarantined);
    let other = host.ingest(request("globex", hours(1), &[(START, 1)]));
    assert_eq!(other.await.expect("stored").stored, 1);
    drop(host);
    let (host, _) = node.open();
    let reason = host.read(&customer("acme"), |state| {
        state.quarantine().map(str::to_owned)
    });
    assert!(
        reason
            .flatten()
            .is_some_and(|reason| reason.contains("intent 99"))
    );
    let acme = customer("acme");
    let lifted = host.propose(&acme, TwinCommand::LiftQuarantine);
    assert_eq!(
        lifted.await.expect("applied"),
        ApplyResult::QuarantineLifted
    );
}

#[tokio::test]
async fn a_command_that_cannot_be_read_quarantines_its_twin_on_replay() {
    let node = Node::new();
    let log = node.log();
    let mut payload = entry::encode(&customer("acme"), &TwinCommand::LiftQuarantine).expect("fits");
    *payload.last_mut().expect("not empty") ^= 1;
    let good = entry::encode(&customer("globex"), &TwinCommand::Configure(config())).expect("fits");
    let kind = COMMAND.0;
    let commands = [payload, good].map(|payload| Command { kind, payload });
    log.propose(commands.to_vec()).await.expect("committed");
    drop(log);
    let (host, report) = node.open();
    assert_eq!((report.twins, report.replayed), (2, 2));
    let quarantined = |name: &str| host.read(&customer(name), |state| state.quarantine().is_some());
    assert_eq!(quarantined("acme"), Some(true));
    assert_eq!(quarantined("globex"), Some(false));
}

#[tokio::test]
async fn a_kind_of_a_newer_program_stops_the_opening() {
    let node = Node::new();
    let log = node.log();
    let newer = Command {
        kind: 0x01fe,
        payload: vec![0],
    };
    log.propose(vec![newer]).await.expect("committed");
    let opened = TwinHost::open(log, memory(), HostOptions::default());
    let text = opened.expect_err("newer").to_string();
    assert!(text.contains("replay"), "{text}");
}

#[tokio::test]
async fn a_failed_disk_is_a_clear_error_and_loses_nothing_acknowledged() {
    let disk = Arc::new(FaultDisk::new(7));
    let open_log = |disk: &Arc<FaultDisk>| {
        let disk: Arc<dyn Disk> = Arc::<FaultDisk>::clone(disk);
        FileLog::open_on(
            disk,
            LogOptions::default(),
            Arc::new(NoObserver),
            Arc::new(SystemMonotonicClock::start()),
        )
        .expect("the log opens")
        .0
    };
    let log = Arc::new(open_log(&disk));
    let host = TwinHost::open(log, memory(), HostOptions::default())
        .expect("opens")
        .0;
    let stored = host.ingest(request("acme", hours(1), &[(START, 5)]));
    assert_eq!(stored.await.expect("stored").stored, 1);
    // The sync of the next batch.
    disk.arm(1, Fault::Error);
    let mut failures = 0_u64;
    for hour in 1..4 {
        let late = host.ingest(request("acme", hours(hour + 1), &[(hours(hour), 5)]));
        if let Err(error) = late.await {
            assert!(matches!(error, HostError::Log(_)), "{error}");
            failures += 1;
        }
    }
    assert!(failures > 0, "the fault was hit");
    // Readers see what was acknowledged, and nothing that was not.
    let counted = host.read(&customer("acme"), |state| state.counters().samples);
    assert_eq!(counted, Some(4 - failures));
    drop(host);
    disk.crash();
    disk.disarm();
    let log = Arc::new(open_log(&disk));
    let host = TwinHost::open(log, memory(), HostOptions::default())
        .expect("opens")
        .0;
    let value = host.read(&customer("acme"), |state| {
        state.interval_means(&series("typeA", "vm_count"), START, Seconds(3_600), 1)
    });
    assert_eq!(value, Some(vec![Some(vms(5))]));
}

#[tokio::test]
async fn a_full_queue_sheds() {
    let node = Node::new();
    let options = HostOptions {
        queue_commands_max: 1,
        queue_bytes_max: 1,
        ..HostOptions::default()
    };
    let host = TwinHost::open(node.log(), memory(), options)
        .expect("opens")
        .0;
    let mut replies = Vec::new();
    let mut shed = 0;
    for number in 0..100 {
        let group = samples(&series("typeA", "vm_count"), hours(number), &[1; 200]);
        let now = hours(number + 200);
        let groups = vec![group];
        let command = TwinCommand::RecordSamples { now, groups };
        match host.enqueue(&customer("acme"), command) {
            Ok(reply) => replies.push(reply),
            Err(error) => {
                assert_eq!(error.code(), WireErrorCode::Overloaded);
                shed += 1;
            }
        }
    }
    assert!(shed > 0, "a queue of one command sheds some of a hundred");
    for reply in replies {
        reply.await.expect("the writer lives").expect("stored");
    }
    assert_eq!(host.metrics().overloaded, shed);
}

#[tokio::test]
async fn a_policy_that_breaks_a_rule_names_the_key() {
    let node = Node::new();
    let (host, _) = node.open();
    let mut wrong = config();
    wrong.stack.tiers[0].demand = series("typeA", "requests");
    let result = host
        .propose(&customer("acme"), TwinCommand::Configure(wrong))
        .await;
    let Ok(ApplyResult::Refused(Refusal::Invalid(text))) = result else {
        panic!("{result:?}");
    };
    assert!(text.contains("metrics.requests.capacity_per_vm"), "{text}");
}

/// The order in which customers' commands mix does not show in any of their states.
#[tokio::test]
async fn customers_do_not_see_each_others_interleaving() {
    let commands = |name: &str| -> Vec<IngestRequest> {
        (0..20)
            .map(|hour| request(name, hours(hour + 1), &[(hours(hour), hour * 3)]))
            .collect()
    };
    let names = ["acme", "globex", "initech"];
    let mut states = Vec::new();
    for by_customer in [true, false] {
        let node = Node::new();
        let (host, _) = node.open();
        let mut mixed: Vec<IngestRequest> = names.iter().flat_map(|name| commands(name)).collect();
        if !by_customer {
            mixed.sort_by_key(|request| request.now);
        }
        for request in mixed {
            host.ingest(request).await.expect("stored");
        }
        assert!(host.twin(&customer("acme")).is_some());
        states.push(bytes_of(&host));
    }
    assert_eq!(states[0], states[1]);
}

#[tokio::test]
async fn the_log_holds_what_was_acknowledged_before_the_answer() {
    let node = Node::new();
    let log = node.log();
    let host = TwinHost::open(Arc::clone(&log), memory(), HostOptions::default())
        .expect("opens")
        .0;
    host.ingest(request("acme", hours(1), &[(START, 1)]))
        .await
        .expect("stored");
    let entries = log
        .read(twinscale_log::LogIndex::new(1), ReadLimits::default())
        .expect("readable");
    assert_eq!(entries.len(), 1);
    let (name, _) = entry::decode(&entries[0].payload).expect("decodes");
    assert_eq!(name, customer("acme"));
}
