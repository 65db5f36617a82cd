//! Many proposers and one writer: batching, refusal when full, poisoning.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};

use super::model::Model;
use super::{command, indexes, open_small, read_all};
use crate::clock::SystemMonotonicClock;
use crate::command::{Command, CommandLog, LogIndex, ReadLimits};
use crate::disk::{Disk, DiskFile, Locking};
use crate::error::LogError;
use crate::fault_disk::{Fault, FaultDisk};
use crate::file_log::FileLog;
use crate::format::PAYLOAD_BYTES_MAX;
use crate::metrics::{BatchCommitted, LogObserver};
use crate::options::LogOptions;

/// Holds every sync of a file until the gate is opened, and counts those that wait.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        while !state.0 {
            state = self.changed.wait(state).unwrap();
        }
    }

    fn set_open(&self, is_open: bool) {
        self.state.lock().unwrap().0 = is_open;
        self.changed.notify_all();
    }

    fn wait_for_syncs(&self, count: usize) {
        let mut state = self.state.lock().unwrap();
        while state.1 < count {
            state = self.changed.wait(state).unwrap();
        }
    }

    fn syncs(&self) -> usize {
        self.state.lock().unwrap().1
    }
}

#[derive(Clone, Debug)]
struct GatedDisk {
    disk: FaultDisk,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl GatedDisk {
    fn gated(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(GatedFile {
            file,
            gate: Arc::clone(&self.gate),
        })
    }
}

impl Disk for GatedDisk {
    fn lock(&self, name: &str) -> io::Result<Locking> {
        self.disk.lock(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.gated(self.disk.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.gated(self.disk.open(name)?))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
    fn path_of(&self, name: &str) -> PathBuf {
        self.disk.path_of(name)
    }
}

impl DiskFile for GatedFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync_data()
    }
    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }
}

#[derive(Debug, Default)]
struct Recorder {
    batches: Mutex<Vec<BatchCommitted>>,
    poisonings: Mutex<Vec<String>>,
}

impl LogObserver for Recorder {
    fn batch_committed(&self, batch: &BatchCommitted) {
        self.batches.lock().unwrap().push(*batch);
    }
    fn write_refused(&self, _reason: &str) {}
    fn poisoned(&self, reason: &str) {
        self.poisonings.lock().unwrap().push(reason.to_owned());
    }
}

/// A log whose writer is stuck in the sync of a first proposal.
struct Stuck {
    disk: GatedDisk,
    log: FileLog,
    recorder: Arc<Recorder>,
    first: crate::Proposal,
}

fn stuck(options: LogOptions) -> Stuck {
    let disk = GatedDisk {
        disk: FaultDisk::new(3),
        gate: Arc::default(),
    };
    let recorder = Arc::new(Recorder::default());
    disk.gate.set_open(true);
    let (log, _) = FileLog::open_on(
        Arc::new(disk.clone()),
        options,
        Arc::clone(&recorder) as Arc<dyn LogObserver>,
        Arc::new(SystemMonotonicClock::start()),
    )
    .unwrap();
    disk.gate.set_open(false);
    let before = disk.gate.syncs();
    let first = log.propose(vec![command(0, 8)]);
    disk.gate.wait_for_syncs(before + 1);
    Stuck {
        disk,
        log,
        recorder,
        first,
    }
}

#[test]
fn what_waits_shares_one_sync_and_nothing_is_acknowledged_before_it() {
    let stuck = stuck(LogOptions::default());
    let before = stuck.disk.gate.syncs();
    let waiting: Vec<_> = (1..=50)
        .map(|id| {
            stuck
                .log
                .propose(vec![command(id, 8), command(100 + id, 8)])
        })
        .collect();
    assert_eq!(stuck.log.last_index().get(), 0, "nothing is durable yet");
    assert!(read_all(&stuck.log).is_empty());
    stuck.disk.gate.set_open(true);
    assert_eq!(stuck.first.wait().unwrap().first_index.get(), 1);
    for (at, proposal) in (0..).zip(waiting) {
        assert_eq!(proposal.wait().unwrap().first_index.get(), 2 + 2 * at);
    }
    assert_eq!(stuck.disk.gate.syncs() - before, 1, "one more sync for all");
    assert_eq!(
        indexes(&read_all(&stuck.log)),
        (1..=101).collect::<Vec<_>>()
    );
    let metrics = stuck.log.metrics();
    assert_eq!(metrics.batches, 2);
    assert_eq!((metrics.proposals, metrics.entries), (51, 101));
    assert_eq!(metrics.batch_proposals_max, 50);
    let batches = stuck.recorder.batches.lock().unwrap();
    assert_eq!(
        batches.iter().map(|batch| batch.bytes).sum::<u64>(),
        metrics.bytes
    );
}

#[test]
fn a_full_queue_refuses_with_its_capacity_and_recovers() {
    let stuck = stuck(LogOptions {
        queue_proposals_max: 4,
        ..LogOptions::default()
    });
    let waiting: Vec<_> = (1..=4)
        .map(|id| stuck.log.propose(vec![command(id, 8)]))
        .collect();
    let error = stuck.log.propose(vec![command(5, 8)]).wait().unwrap_err();
    assert!(
        matches!(
            error,
            LogError::Overloaded {
                proposals_max: 4,
                ..
            }
        ),
        "{error}"
    );
    stuck.disk.gate.set_open(true);
    for proposal in waiting {
        proposal.wait().unwrap();
    }
    assert_eq!(stuck.log.metrics().overloaded, 1);
    let place = stuck.log.propose(vec![command(6, 8)]).wait().unwrap();
    assert_eq!(place.first_index.get(), 6, "the refused one left no trace");
}

#[test]
fn the_bytes_of_the_queue_are_bounded_too() {
    let stuck = stuck(LogOptions {
        queue_bytes_max: 1_000,
        ..LogOptions::default()
    });
    let fits = stuck.log.propose(vec![command(1, 600)]);
    let error = stuck.log.propose(vec![command(2, 600)]).wait().unwrap_err();
    assert!(
        matches!(
            error,
            LogError::Overloaded {
                bytes_max: 1_000,
                ..
            }
        ),
        "{error}"
    );
    let error = stuck
        .log
        .propose(vec![command(3, 2_000)])
        .wait()
        .unwrap_err();
    assert!(
        matches!(error, LogError::ProposalTooLarge { .. }),
        "{error}"
    );
    stuck.disk.gate.set_open(true);
    fits.wait().unwrap();
    stuck.log.propose(vec![command(4, 600)]).wait().unwrap();
}

#[test]
fn a_failed_sync_poisons_and_is_never_retried() {
    let stuck = stuck(LogOptions::default());
    let waiting = stuck.log.propose(vec![command(1, 8)]);
    // The first proposal's sync is next, and it fails.
    stuck.disk.disk.arm(0, Fault::Error);
    stuck.disk.gate.set_open(true);
    let error = stuck.first.wait().unwrap_err();
    assert!(matches!(error, LogError::OutcomeUnknown { .. }), "{error}");
    assert!(error.to_string().contains("entry 1"), "{error}");
    for proposal in [waiting, stuck.log.propose(vec![command(2, 8)])] {
        let error = proposal.wait().unwrap_err();
        assert!(matches!(error, LogError::Poisoned { .. }), "{error}");
        assert!(error.to_string().contains("disk is full"), "{error}");
    }
    assert_eq!(stuck.log.last_index().get(), 0);
    assert_eq!(stuck.recorder.poisonings.lock().unwrap().len(), 1);
}

#[test]
fn proposals_that_cannot_be_stored_are_refused_alone() {
    let disk = FaultDisk::new(0);
    let (log, _) = open_small(&disk).unwrap();
    let error = log.propose(Vec::new()).wait().unwrap_err();
    assert!(matches!(error, LogError::EmptyProposal), "{error}");
    let payload = vec![0; PAYLOAD_BYTES_MAX + 1];
    let error = log
        .propose(vec![Command { kind: 0, payload }])
        .wait()
        .unwrap_err();
    assert!(matches!(error, LogError::CommandTooLarge { .. }), "{error}");
    let payload = vec![7; PAYLOAD_BYTES_MAX];
    log.propose(vec![Command { kind: 0, payload }])
        .wait()
        .unwrap();
    log.propose(vec![command(1, 8)]).wait().unwrap();
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn proposers_on_many_threads_get_every_entry_once() {
    let disk = FaultDisk::new(11);
    let (log, _) = open_small(&disk).unwrap();
    let replies: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0_u64..16)
            .map(|thread| {
                let log = &log;
                scope.spawn(move || {
                    (0_u64..40)
                        .map(|at| {
                            let commands = vec![command(thread * 1_000 + at, 20)];
                            (commands.clone(), log.propose(commands).wait())
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let mut model = Model::default();
    for (commands, reply) in replies {
        assert!(model.note(commands, reply));
    }
    assert_eq!(model.kept.len(), 640);
    disk.crash();
    let (log, _) = open_small(&disk).unwrap();
    model.check(&log);
}

#[test]
fn a_reader_that_follows_the_writer_sees_every_entry_once_and_whole() {
    let disk = FaultDisk::new(5);
    let (log, _) = open_small(&disk).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for id in 0..300 {
                log.propose(vec![command(id, 30)]).wait().unwrap();
            }
        });
        let mut next = LogIndex::new(1);
        while next.get() <= 300 {
            for entry in log.read(next, ReadLimits::default()).unwrap() {
                assert_eq!(entry.index, next);
                assert_eq!(entry.payload, command(next.get() - 1, 30).payload);
                next = next.next();
            }
        }
    });
}

#[tokio::test]
async fn a_proposal_can_be_awaited() {
    let disk = FaultDisk::new(0);
    let (log, _) = open_small(&disk).unwrap();
    let place = log.propose(vec![command(1, 8)]).await.unwrap();
    assert_eq!(place.first_index, place.last_index);
    log.propose(Vec::new()).await.unwrap_err();
}
