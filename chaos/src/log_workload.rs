//! Commands through the log into the store: the path under every acknowledged write.
//!
//! A sequence is never sent again once it may be there, so each must be in the log exactly once.
//! The store counts how often each was applied, so a replay that applies twice shows as well.

use std::path::Path;

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use twinscale_log::{Command, CommandLog, Entry, FileLog, ReadLimits};
use twinscale_store::{
    Batch, OpenOutcome, OpenedStore, Pending, StateStore, StoreError, StoreOptions, node_key,
    open_store, replay,
};

use crate::audit::{Audit, Ledger};
use crate::error::ChaosError;
use crate::log_disk::open_log;
use crate::workload::{Ingest, Workload};

/// The kind of the commands; the log does not read it.
const COMMAND_KIND: u16 = 7;

/// The longest filler of a command, in bytes: commands of many sizes cross page borders.
const FILLER_BYTES_MAX: usize = 600;

#[derive(Debug)]
pub(crate) struct LogWorkload {
    seed: u64,
    syncs: bool,
}

impl LogWorkload {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, syncs: true }
    }

    pub(crate) fn without_sync(seed: u64) -> Self {
        Self { seed, syncs: false }
    }

    fn open_all(&self, directory: &Path) -> Result<Opened, ChaosError> {
        let (log, log_report) = open_log(directory, self.syncs)?;
        let OpenedStore { store, report } =
            open_store(&directory.join("store"), StoreOptions::default())?;
        let replayed = replay(&log, &*store, ReadLimits::default(), &mut |entry, batch| {
            count_entry(&*store, entry, batch)
        })?;
        Ok(Opened {
            log,
            store,
            was_tail_torn: log_report.torn_tail.is_some(),
            was_store_rebuilt: matches!(report.outcome, OpenOutcome::Rebuilt { .. }),
            replayed_entries: replayed.entries,
        })
    }

    fn payload(&self, sequence: u64) -> Vec<u8> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed ^ sequence.rotate_left(32));
        let filler_bytes = random.next_u32() as usize % FILLER_BYTES_MAX;
        let mut payload = vec![0; 8 + filler_bytes];
        random.fill_bytes(&mut payload);
        if let Some(head) = payload.first_chunk_mut::<8>() {
            *head = sequence.to_le_bytes();
        }
        payload
    }
}

struct Opened {
    log: FileLog,
    store: Box<dyn StateStore>,
    was_tail_torn: bool,
    was_store_rebuilt: bool,
    replayed_entries: u64,
}

fn sequence_of(entry: &Entry) -> Option<u64> {
    entry
        .payload
        .first_chunk()
        .map(|bytes| u64::from_le_bytes(*bytes))
}

/// Applies an entry: one more copy of its sequence.
fn count_entry(store: &dyn StateStore, entry: &Entry, batch: &mut Batch) -> Result<(), StoreError> {
    let key = node_key("chaos")
        .number(sequence_of(entry).unwrap_or(u64::MAX))
        .build();
    let before = match batch.pending(&key) {
        Pending::Put(value) => Some(value.to_vec()),
        Pending::Deleted | Pending::Unchanged => store.get(&key)?,
    };
    let copies = before.as_deref().map_or(0, copies_of) + 1;
    batch.put(key, copies.to_le_bytes());
    Ok(())
}

fn copies_of(value: &[u8]) -> u64 {
    value
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl Ingest for (FileLog, Box<dyn StateStore>, u64) {
    fn ingest(&mut self, sequences: &[u64]) -> Result<(), ChaosError> {
        let (log, store, seed) = self;
        let workload = LogWorkload::new(*seed);
        let proposals: Vec<_> = sequences
            .iter()
            .map(|sequence| {
                log.propose(vec![Command {
                    kind: COMMAND_KIND,
                    payload: workload.payload(*sequence),
                }])
            })
            .collect();
        for proposal in proposals {
            proposal.wait()?;
        }
        // Acknowledged is fsynced and applied.
        replay(log, &**store, ReadLimits::default(), &mut |entry, batch| {
            count_entry(&**store, entry, batch)
        })?;
        Ok(())
    }
}

impl Workload for LogWorkload {
    fn open(&self, directory: &Path) -> Result<Box<dyn Ingest>, ChaosError> {
        let opened = self.open_all(directory)?;
        Ok(Box::new((opened.log, opened.store, self.seed)))
    }

    fn audit(&self, directory: &Path) -> Result<Audit, ChaosError> {
        let opened = self.open_all(directory)?;
        let mut audit = Audit {
            was_tail_torn: opened.was_tail_torn,
            was_store_rebuilt: opened.was_store_rebuilt,
            replayed_entries: opened.replayed_entries,
            ..Audit::default()
        };
        let mut next = opened.log.first_index();
        loop {
            let entries = opened.log.read(next, ReadLimits::default())?;
            let Some(last) = entries.last() else { break };
            next = last.index.next();
            for entry in &entries {
                let sequence = sequence_of(entry).unwrap_or(u64::MAX);
                *audit.copies.entry(sequence).or_default() += 1;
                if entry.payload != self.payload(sequence) {
                    audit.altered.insert(sequence);
                }
            }
        }
        for (sequence, copies) in &mut audit.copies {
            let key = node_key("chaos").number(*sequence).build();
            let applied = opened.store.get(&key)?.as_deref().map_or(0, copies_of);
            if applied == 0 {
                // In the log and not in the state: as good as altered.
                audit.altered.insert(*sequence);
            }
            *copies = applied.max(*copies);
        }
        opened.log.close()?;
        opened.store.close()?;
        Ok(audit)
    }

    fn next_sequence(&self, ledger: &Ledger, audit: &Audit) -> u64 {
        let present = audit.copies.keys().last().copied();
        let acknowledged = ledger.acknowledged().last().copied();
        present.max(acknowledged).map_or(0, |last| last + 1)
    }
}
