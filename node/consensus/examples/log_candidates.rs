//! Measures the candidates for the log of all groups on one disk, in one run, and prints one line each.
//!
//! 64 groups; a client waits for each of its records before the next. `file log`: the log of this product.
//! `fjall`: an embedded store behind one writer that turns all that waits into one batch and one sync.
//!
//! `cargo run -p twinscale-consensus --example log_candidates -- DIRECTORY`

use std::error::Error;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use tokio::sync::oneshot;
use twinscale_log::{
    Command, CommandLog, FileLog, LogOptions, MonotonicClock, SystemMonotonicClock,
};

const GROUPS: u64 = 64;
const RUN: Duration = Duration::from_secs(5);

type Failure = Box<dyn Error + Send + Sync>;

/// What a candidate does: makes some records of a group durable.
trait Candidate: Sync {
    fn append(&self, group: u64, index: u64, records: &[Vec<u8>]) -> Result<(), Failure>;
}

impl Candidate for FileLog {
    fn append(&self, _group: u64, _index: u64, records: &[Vec<u8>]) -> Result<(), Failure> {
        let command = |payload: &Vec<u8>| Command {
            kind: 1,
            payload: payload.clone(),
        };
        let proposal = self.propose(records.iter().map(command).collect());
        proposal.wait()?;
        Ok(())
    }
}

/// Records on their way to the one writer.
struct Waiting {
    records: Vec<(Vec<u8>, Vec<u8>)>,
    reply: oneshot::Sender<Result<(), String>>,
}

struct FjallWriter {
    sender: SyncSender<Waiting>,
}

impl FjallWriter {
    fn open(directory: &Path) -> Result<Self, Failure> {
        let database = Database::builder(directory).open()?;
        let keyspace = database.keyspace("log", KeyspaceCreateOptions::default)?;
        let (sender, receiver): (_, Receiver<Waiting>) = sync_channel(4_096);
        std::thread::spawn(move || {
            while let Ok(first) = receiver.recv() {
                let mut waiting = vec![first];
                waiting.extend(receiver.try_iter().take(4_095));
                let mut batch = database.batch();
                for (key, value) in waiting.iter().flat_map(|one| &one.records) {
                    batch.insert(&keyspace, key.clone(), value.clone());
                }
                let written = batch
                    .commit()
                    .and_then(|()| database.persist(PersistMode::SyncData))
                    .map_err(|error| error.to_string());
                for one in waiting {
                    drop(one.reply.send(written.clone()));
                }
            }
        });
        Ok(Self { sender })
    }
}

impl Candidate for FjallWriter {
    fn append(&self, group: u64, index: u64, records: &[Vec<u8>]) -> Result<(), Failure> {
        let with_key = |(at, record): (u64, &Vec<u8>)| {
            let key = [group.to_be_bytes(), at.to_be_bytes()].concat();
            (key, record.clone())
        };
        let records = (index..).zip(records).map(with_key).collect();
        let (reply, replied) = oneshot::channel();
        self.sender.send(Waiting { records, reply })?;
        replied.blocking_recv()??;
        Ok(())
    }
}

/// Returns proposals per second and the median and slowest latency.
fn measure(
    candidate: &dyn Candidate,
    clients: u64,
    records: usize,
    clock: &dyn MonotonicClock,
) -> Result<(f64, Duration, Duration), Failure> {
    let stop = AtomicBool::new(false);
    let indexes: Vec<AtomicU64> = (0..GROUPS).map(|_| AtomicU64::new(0)).collect();
    let started = clock.elapsed();
    let run = &|client: u64| -> Result<Vec<Duration>, Failure> {
        let group = client % GROUPS;
        let record = vec![vec![0x5a; 100]; records];
        let index = &indexes[usize::try_from(group)?];
        let mut latencies = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let first = index.fetch_add(records as u64, Ordering::Relaxed);
            let began = clock.elapsed();
            candidate.append(group, first, &record)?;
            latencies.push(clock.elapsed().saturating_sub(began));
            stop.fetch_or(
                clock.elapsed().saturating_sub(started) >= RUN,
                Ordering::Relaxed,
            );
        }
        Ok(latencies)
    };
    let outcomes: Vec<Result<Vec<Duration>, Failure>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..clients)
            .map(|client| scope.spawn(move || run(client)))
            .collect();
        let ended =
            |one: std::thread::ScopedJoinHandle<'_, _>| one.join().expect("no client panics");
        running.into_iter().map(ended).collect()
    });
    let elapsed = clock.elapsed().saturating_sub(started);
    let mut latencies = Vec::new();
    for outcome in outcomes {
        latencies.extend(outcome?);
    }
    latencies.sort_unstable();
    let median = latencies[latencies.len() / 2];
    let slowest = latencies[latencies.len() - 1];
    Ok((
        latencies.len() as f64 / elapsed.as_secs_f64(),
        median,
        slowest,
    ))
}

fn main() -> Result<(), Failure> {
    let directory: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("give an empty directory on the disk to measure")?
        .into();
    let clock = Arc::new(SystemMonotonicClock::start());
    for round in 0..2 {
        for (clients, records) in [(64, 1), (256, 1), (64, 10), (256, 10)] {
            let place = directory.join(format!("{round}-{clients}-{records}"));
            let (file, _) = FileLog::open(&place.join("file"), LogOptions::default())?;
            let fjall = FjallWriter::open(&place.join("fjall"))?;
            let candidates: [(&str, &dyn Candidate); 2] = [("file log", &file), ("fjall", &fjall)];
            for (name, candidate) in candidates {
                let (rate, median, slowest) = measure(candidate, clients, records, &*clock)?;
                writeln!(
                    stdout(),
                    "round {round}, {clients} clients, {records} x 100 B: {name}: {rate:.0} proposals/s, \
                     p50 {median:.1?}, max {slowest:.1?}"
                )?;
            }
        }
    }
    Ok(())
}
