//! Whether the host takes commands, and when it tries again after the disk took nothing more.
//!
//! A full disk is no failure: what was acknowledged is safe, reads go on, and the writer tries again by
//! itself, with a growing pause, once there is room. It stops before the disk is full, at a reserve, so
//! that the store and the operator have room to act in.

use super::HostError;
use std::sync::Arc;
use std::time::Duration;
use twinscale_log::{DiskRoom, MonotonicClock, Room};

/// How the host treats a disk that fills up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomOptions {
    /// Nothing more is taken below this much free space, in bytes.
    pub reserve_bytes: u64,
    /// This much more must be free before commands are taken again, in bytes.
    pub margin_bytes: u64,
    /// The pause before the first new attempt.
    pub pause_min: Duration,
    /// Each attempt that fails doubles the pause, up to this.
    pub pause_max: Duration,
    /// Attempts to open a failed store again before the host gives up.
    pub store_attempts_max: u32,
}

impl Default for RoomOptions {
    /// A reserve of 64 MiB, which one store segment per core and the operator's tools fit into, and a
    /// margin of two full batches; new attempts after 100 ms to 5 s.
    fn default() -> Self {
        Self {
            reserve_bytes: 64 << 20,
            margin_bytes: 8 << 20,
            pause_min: Duration::from_millis(100),
            pause_max: Duration::from_secs(5),
            store_attempts_max: 5,
        }
    }
}

/// What a host takes at the moment; reads work in every case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostStatus {
    /// Commands are committed.
    ReadWrite,
    /// Commands are refused, none of them is kept; the host goes back to [`HostStatus::ReadWrite`] by
    /// itself.
    ReadOnly {
        /// Why.
        reason: String,
        /// How long it had been so at the last attempt.
        lasting: Duration,
        /// What was free at the last attempt, in bytes, where the disk says so.
        free_bytes: Option<u64>,
        /// What must become free before commands are taken again, in bytes.
        needed_bytes: u64,
    },
    /// Commands are refused until the process is started again.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What a host stands on besides log and store: passed in, so that tests have their own.
#[derive(Clone, Debug)]
pub struct HostSurroundings {
    /// The disk that holds log and store.
    pub room: Arc<dyn DiskRoom>,
    /// System time.
    pub clock: Arc<dyn MonotonicClock>,
}

/// Whether the writer may write; only the writer's thread has it.
#[derive(Debug)]
pub(super) struct Gate {
    surroundings: HostSurroundings,
    options: RoomOptions,
    closed: Option<Closed>,
    /// The pause of the next closing: it grows until a command was committed.
    next_pause: Duration,
}

#[derive(Clone, Debug)]
struct Closed {
    reason: String,
    since: Duration,
    try_at: Duration,
    needed_bytes: u64,
}

impl Gate {
    pub(super) fn new(surroundings: HostSurroundings, options: RoomOptions) -> Self {
        Self {
            surroundings,
            options,
            closed: None,
            next_pause: options.pause_min,
        }
    }

    /// How long until the next attempt; `None` while the gate is open.
    pub(super) fn pause(&self) -> Option<Duration> {
        let closed = self.closed.as_ref()?;
        Some(closed.try_at.saturating_sub(self.now()))
    }

    pub(super) fn is_due(&self) -> bool {
        self.pause() == Some(Duration::ZERO)
    }

    /// Looks whether there is room for a batch, without asking the log.
    pub(super) fn lack(&self) -> Option<String> {
        describe_lack(self.room()?, self.options.reserve_bytes)
    }

    /// Looks whether there is room to go on: more than the reserve, or the host would waver.
    pub(super) fn lack_to_resume(&self) -> Option<String> {
        describe_lack(self.room()?, self.resume_bytes())
    }

    /// Closes, or stays closed for a longer pause.
    pub(super) fn close(&mut self, reason: String) {
        let now = self.now();
        let free = self.room().map_or(0, |room| room.free_bytes);
        self.closed = Some(Closed {
            reason,
            since: self.closed.as_ref().map_or(now, |closed| closed.since),
            try_at: now + self.next_pause,
            needed_bytes: self.resume_bytes().saturating_sub(free),
        });
        self.next_pause = (self.next_pause * 2).min(self.options.pause_max);
    }

    /// Opens; the pause stays long until [`Gate::worked`].
    pub(super) fn open(&mut self) {
        self.closed = None;
    }

    /// A command was committed.
    pub(super) fn worked(&mut self) {
        self.next_pause = self.options.pause_min;
    }

    pub(super) fn status(&self) -> HostStatus {
        let Some(closed) = &self.closed else {
            return HostStatus::ReadWrite;
        };
        HostStatus::ReadOnly {
            reason: closed.reason.clone(),
            lasting: self.now().saturating_sub(closed.since),
            free_bytes: self.room().map(|room| room.free_bytes),
            needed_bytes: closed.needed_bytes,
        }
    }

    fn resume_bytes(&self) -> u64 {
        self.options
            .reserve_bytes
            .saturating_add(self.options.margin_bytes)
    }

    /// A disk that does not say how much room it has is tried all the same.
    fn room(&self) -> Option<Room> {
        self.surroundings.room.room().ok()
    }

    pub(super) fn now(&self) -> Duration {
        self.surroundings.clock.elapsed()
    }
}

fn describe_lack(room: Room, wanted_bytes: u64) -> Option<String> {
    let free = room.free_bytes;
    if room.is_read_only {
        Some("file system is mounted read-only".to_owned())
    } else if free < wanted_bytes {
        Some(format!(
            "disk has {free} bytes left, {wanted_bytes} must stay free"
        ))
    } else {
        None
    }
}

impl HostStatus {
    /// Why a command is refused for now; `None` when it is taken or the host has failed.
    pub(super) fn refusal(&self) -> Option<HostError> {
        match self {
            Self::ReadOnly {
                reason,
                needed_bytes,
                ..
            } => Some(HostError::ReadOnly {
                reason: reason.clone(),
                needed_bytes: *needed_bytes,
            }),
            Self::ReadWrite | Self::Failed { .. } => None,
        }
    }
}
