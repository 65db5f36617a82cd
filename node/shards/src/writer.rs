//! Proposes the commands of a shard's twins, many in an entry.
//!
//! Commands wait in one bounded queue; a task takes what waits, makes an entry of it and proposes that.
//! A few entries may be under way at once, so that a slow disk of one replica does not hold all back.

use crate::error::ShardsError;
use crate::machine::decode_results;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use twinscale_consensus::Group;
use twinscale_protocol::ShardId;
use twinscale_twin::ApplyResult;
use twinscale_twin::shard::encode_batch;
use twinscale_twin::stored::shard_v1::ShardCommand;

/// Bounds of a shard's writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// Commands that may wait.
    pub queue_commands_max: usize,
    /// Bytes that waiting commands may amount to.
    pub queue_bytes_max: usize,
    /// Commands of one entry.
    pub entry_commands_max: usize,
    /// Bytes after which an entry is full.
    pub entry_bytes_max: usize,
    /// Entries under way at once.
    pub entries_max: usize,
    /// System time after which the outcome of an entry counts as unknown.
    pub entry_limit: Duration,
}

impl Default for WriterOptions {
    /// A queue of 1,024 commands or 16 MiB; entries of 256 commands or 1 MiB, four of them under way; ten
    /// seconds, in which a shard elects another leader several times.
    fn default() -> Self {
        Self {
            queue_commands_max: 1_024,
            queue_bytes_max: 16 << 20,
            entry_commands_max: 256,
            entry_bytes_max: 1 << 20,
            entries_max: 4,
            entry_limit: Duration::from_secs(10),
        }
    }
}

/// A command that was committed and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// What came of it.
    pub result: ApplyResult,
    /// The generation under which it was committed.
    pub generation: u64,
}

type ReplyTo = oneshot::Sender<Result<Proposal, ShardsError>>;

struct Waiting {
    command: ShardCommand,
    reply_to: ReplyTo,
    /// Its bytes, given back when it leaves the queue.
    _room: OwnedSemaphorePermit,
}

/// Proposes the commands of one shard. Dropping it gives up what waits, with an unknown outcome.
#[derive(Debug)]
pub struct ShardWriter {
    shard: ShardId,
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    options: WriterOptions,
    task: JoinHandle<()>,
}

impl ShardWriter {
    /// Starts the writer of a group; call it inside a tokio runtime.
    #[expect(
        clippy::disallowed_methods,
        reason = "the handle is kept here, and the task is ended with it"
    )]
    pub fn start(shard: ShardId, group: Group, options: WriterOptions) -> Self {
        let (queue, waiting) = mpsc::channel(options.queue_commands_max.max(1));
        let room = options.queue_bytes_max.min(Semaphore::MAX_PERMITS);
        let task = tokio::spawn(write(shard, group, waiting, options));
        Self {
            shard,
            queue,
            room: Arc::new(Semaphore::new(room)),
            options,
            task,
        }
    }

    /// Has a command committed and applied.
    ///
    /// # Errors
    /// [`ShardsError`]; but for [`ShardsError::OutcomeUnknown`] it never takes effect.
    pub async fn propose(&self, command: ShardCommand) -> Result<Proposal, ShardsError> {
        let shard = self.shard;
        let bytes = command.payload.len();
        let full = |reason: String| ShardsError::Overloaded { shard, reason };
        let wanted = u32::try_from(bytes.max(1)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(wanted);
        let room = room.map_err(|_full| {
            full(format!(
                "{} bytes of commands wait already",
                self.options.queue_bytes_max
            ))
        })?;
        let (reply_to, reply) = oneshot::channel();
        let waiting = Waiting {
            command,
            reply_to,
            _room: room,
        };
        self.queue.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => full(format!(
                "{} commands wait already",
                self.options.queue_commands_max
            )),
            mpsc::error::TrySendError::Closed(_) => ShardsError::NotHere { shard },
        })?;
        reply.await.unwrap_or_else(|_gone| {
            Err(ShardsError::OutcomeUnknown {
                shard,
                reason: "the shard's writer ended".to_owned(),
            })
        })
    }
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write(
    shard: ShardId,
    group: Group,
    mut waiting: mpsc::Receiver<Waiting>,
    options: WriterOptions,
) {
    let mut under_way = JoinSet::new();
    while let Some(first) = waiting.recv().await {
        let (commands, replies) = gather(first, &mut waiting, &options);
        while under_way.len() >= options.entries_max.max(1) {
            note_end(under_way.join_next().await);
        }
        while let Some(ended) = under_way.try_join_next() {
            note_end(Some(ended));
        }
        let group = group.clone();
        under_way.spawn(async move {
            let outcome = commit(shard, &group, commands, options.entry_limit).await;
            answer(shard, outcome, replies);
        });
    }
}

fn note_end(ended: Option<Result<(), tokio::task::JoinError>>) {
    if let Some(Err(error)) = ended {
        tracing::error!(%error, "an entry's task failed; its outcomes are unknown");
    }
}

fn gather(
    first: Waiting,
    waiting: &mut mpsc::Receiver<Waiting>,
    options: &WriterOptions,
) -> (Vec<ShardCommand>, Vec<ReplyTo>) {
    let mut bytes = first.command.payload.len();
    let mut commands = vec![first.command];
    let mut replies = vec![first.reply_to];
    while commands.len() < options.entry_commands_max && bytes < options.entry_bytes_max {
        let Ok(next) = waiting.try_recv() else {
            break;
        };
        bytes = bytes.saturating_add(next.command.payload.len());
        commands.push(next.command);
        replies.push(next.reply_to);
    }
    (commands, replies)
}

async fn commit(
    shard: ShardId,
    group: &Group,
    commands: Vec<ShardCommand>,
    limit: Duration,
) -> Result<(u64, Vec<ApplyResult>), ShardsError> {
    let count = commands.len();
    let entry = encode_batch(commands).map_err(|error| ShardsError::Invalid {
        shard,
        reason: error.to_string(),
    })?;
    let proposed = group.propose(Bytes::from(entry), limit).await;
    let proposed = proposed.map_err(|error| ShardsError::of_group(shard, error))?;
    // It is committed: what cannot be read now is unknown to whoever asked, and not undone.
    let unknown = |reason: String| ShardsError::OutcomeUnknown { shard, reason };
    let results = decode_results(&proposed.response).map_err(|error| unknown(error.to_string()))?;
    if results.len() != count {
        return Err(unknown(format!(
            "{} results of {count} commands",
            results.len()
        )));
    }
    Ok((proposed.position.term, results))
}

fn answer(
    shard: ShardId,
    outcome: Result<(u64, Vec<ApplyResult>), ShardsError>,
    replies: Vec<ReplyTo>,
) {
    match outcome {
        Ok((generation, results)) => {
            for (reply_to, result) in replies.into_iter().zip(results) {
                // Nobody waits any more: the command is committed all the same.
                drop(reply_to.send(Ok(Proposal { result, generation })));
            }
        }
        Err(error) => {
            tracing::debug!(%shard, %error, "an entry was not committed");
            for reply_to in replies {
                drop(reply_to.send(Err(error.clone())));
            }
        }
    }
}
