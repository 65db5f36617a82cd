//! SQLite as one would use it for this: one table, one writer, WAL, every commit synced.
//!
//! One thread owns the connection, so that no client waits for a lock with a timer. It takes the oldest
//! request, or all that wait, writes them in one transaction, and answers after the commit.

use super::contender::{Contender, Prepared};
use super::work::{Request, Work};
use anyhow::{Context as _, bail};
use futures::future::BoxFuture;
use rusqlite::{Connection, TransactionBehavior, params};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Requests that may wait, as many as the product's writer takes.
const QUEUE_MAX: usize = 4_096;

/// Requests of one transaction, as many as share one fsync in the product.
const GROUP_MAX: usize = 1_024;

/// The page cache, as large as that of the product's store.
const CACHE_KIB: i64 = 64 * 1_024;

const INSERT: &str = "INSERT INTO sample (customer, series, at, value) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (customer, series, at) DO UPDATE SET value = excluded.value";

/// What the writer's thread is told.
struct Queued {
    request: Request,
    /// Whether it may share a transaction.
    grouped: bool,
    reply_to: oneshot::Sender<Result<(), String>>,
}

/// The database with its writer.
pub struct Database {
    queue: SyncSender<Queued>,
    writer: JoinHandle<anyhow::Result<Connection>>,
    commits: Arc<AtomicU64>,
}

/// One way of using it, with its part of the work.
pub struct Sqlite {
    database: Arc<Database>,
    work: Arc<Work>,
    grouped: bool,
}

impl Database {
    /// Makes a database with the history in it.
    pub fn create(path: &Path, work: &Work) -> anyhow::Result<Self> {
        let mut connection = open(path).context("failed to make the SQLite database")?;
        write_history(&mut connection, work).context("failed to write the history into SQLite")?;
        let (queue, waiting) = sync_channel(QUEUE_MAX);
        let commits = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&commits);
        let writer = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || write(connection, &waiting, &counted))?;
        Ok(Self {
            queue,
            writer,
            commits,
        })
    }

    /// Ends the writer and counts the samples.
    pub fn finish(self) -> anyhow::Result<u64> {
        drop(self.queue);
        let connection = self
            .writer
            .join()
            .unwrap_or_else(|_panic| bail!("the writer of SQLite panicked"))?;
        let count: i64 =
            connection.query_row("SELECT count(*) FROM sample", [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    // Nobody else opens it: without shared memory and locks it is a little faster.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.execute_batch(
        "CREATE TABLE sample (
            customer INTEGER NOT NULL,
            series INTEGER NOT NULL,
            at INTEGER NOT NULL,
            value INTEGER NOT NULL,
            PRIMARY KEY (customer, series, at)
        ) WITHOUT ROWID",
    )?;
    Ok(connection)
}

fn write_history(connection: &mut Connection, work: &Work) -> rusqlite::Result<()> {
    let customers: Vec<usize> = (0..work.customers()).collect();
    for some in customers.chunks(100) {
        let requests: Vec<Request> = some.iter().map(|one| work.history(*one)).collect();
        insert(connection, requests.iter())?;
    }
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
}

fn write(
    mut connection: Connection,
    waiting: &Receiver<Queued>,
    commits: &AtomicU64,
) -> anyhow::Result<Connection> {
    while let Ok(first) = waiting.recv() {
        let grouped = first.grouped;
        let mut group = vec![first];
        while grouped && group.len() < GROUP_MAX {
            let Ok(next) = waiting.try_recv() else { break };
            group.push(next);
        }
        let requests = group.iter().map(|queued| &queued.request);
        let stored = insert(&mut connection, requests).map_err(|error| error.to_string());
        commits.fetch_add(1, Ordering::Relaxed);
        for queued in group {
            // Nobody waits any more at the end of a slice that failed.
            drop(queued.reply_to.send(stored.clone()));
        }
    }
    Ok(connection)
}

fn insert<'a>(
    connection: &mut Connection,
    requests: impl Iterator<Item = &'a Request>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut insert = transaction.prepare_cached(INSERT)?;
        for request in requests {
            let customer = request.customer as i64;
            for (series, at, value) in &request.samples {
                insert.execute(params![customer, series.cast_signed(), at.0, value.0])?;
            }
        }
    }
    transaction.commit()
}

impl Sqlite {
    /// Uses a database in one of two ways.
    pub fn new(database: Arc<Database>, work: Arc<Work>, grouped: bool) -> Self {
        Self {
            database,
            work,
            grouped,
        }
    }
}

impl Contender for Sqlite {
    fn prepare(&self, batch: u32) -> Prepared {
        Prepared::Samples(self.work.next(batch))
    }

    fn store(&self, prepared: Prepared) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            let Prepared::Samples(request) = prepared else {
                bail!("SQLite takes samples, not bodies");
            };
            let (reply_to, reply) = oneshot::channel();
            let queued = Queued {
                request,
                grouped: self.grouped,
                reply_to,
            };
            if self.database.queue.try_send(queued).is_err() {
                bail!("the writer of SQLite takes nothing");
            }
            reply.await?.map_err(anyhow::Error::msg)
        })
    }

    fn commits(&self) -> BoxFuture<'_, anyhow::Result<u64>> {
        Box::pin(async { Ok(self.database.commits.load(Ordering::Relaxed)) })
    }
}
