//! How groups behave.

use std::time::Duration;

/// Times and limits of all groups of a node; every node of a cluster has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupsOptions {
    /// How long a call with entries may take. A leader makes itself heard each one and a half of it, which is
    /// how openraft ticks.
    pub heartbeat: Duration,
    /// How long a vote may take; the pauses between attempts to be elected are measured by it.
    pub election_min: Duration,
    /// How long a follower that heard from its leader keeps faith with it: it grants no other vote, and
    /// stands for election only after it.
    pub election_max: Duration,
    /// A snapshot is taken once this many entries were applied since the last one.
    pub snapshot_every_entries: u64,
    /// How many entries before the snapshot stay in the log, for followers that lag a little.
    pub keep_entries: u64,
    /// How many proposals of one group may be under way.
    pub proposals_max: usize,
    /// The largest proposal, in bytes.
    pub proposal_bytes_max: usize,
    /// How long a part of a snapshot may take.
    pub chunk_deadline: Duration,
    /// How often a full disk is looked at.
    pub probe_interval: Duration,
}

impl Default for GroupsOptions {
    /// Heartbeats each 150 ms and faith of 800 ms in a leader: a failure is over in about a second. A snapshot
    /// every 10,000 entries of which 1,000 stay; 256 proposals of up to 4 MiB under way.
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(400),
            election_max: Duration::from_millis(800),
            snapshot_every_entries: 10_000,
            keep_entries: 1_000,
            proposals_max: 256,
            proposal_bytes_max: 4 << 20,
            chunk_deadline: Duration::from_secs(2),
            probe_interval: Duration::from_secs(1),
        }
    }
}

impl GroupsOptions {
    pub(crate) fn raft_config(&self) -> Result<openraft::Config, String> {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let config = openraft::Config {
            cluster_name: "twinscale".to_owned(),
            heartbeat_interval: ms(self.heartbeat),
            election_timeout_min: ms(self.election_min),
            election_timeout_max: ms(self.election_max),
            install_snapshot_timeout: ms(self.chunk_deadline),
            // Replicas stand when their own module says so.
            enable_elect: false,
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(self.snapshot_every_entries),
            max_in_snapshot_log_to_keep: self.keep_entries,
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| error.to_string())
    }
}
