//! Bounds of what group 0 keeps, and the times by which the planner judges.

/// Most shards of a cluster. One node holds a group for each of its replicas; past this number several
/// clusters behind one router are cheaper.
pub const SHARDS_MAX: u32 = 4_096;

/// Shards of a cluster that does not say otherwise: about ten for each node of a small one.
pub const SHARDS_DEFAULT: u32 = 64;

/// Most replicas of a shard: seven survive three losses, and each further one slows every write.
pub const REPLICATION_MAX: u8 = 7;

/// Replicas of a shard where there are nodes enough.
pub const REPLICATION_DEFAULT: u8 = 3;

/// Most voters of group 0: five survive two losses.
pub const META_VOTERS_MAX: usize = 5;

/// Most nodes that are not decommissioned.
pub const NODES_ACTIVE_MAX: usize = 2_048;

/// Most nodes ever: a number and a name are never given again, so their records stay.
pub const NODES_EVER_MAX: usize = 16_384;

/// Most bytes of an advertised address: a host name of DNS with its port.
pub const ADDRESS_BYTES_MAX: usize = 262;

/// Most bytes of a software version.
pub const SOFTWARE_BYTES_MAX: usize = 64;

/// Most bytes of the defaults of policies.
pub const DEFAULTS_BYTES_MAX: usize = 64 * 1024;

/// Commands that the audit keeps; older ones are only counted.
pub const AUDIT_RECORDS_MAX: usize = 512;

/// Most moves under way in the cluster, those that wait for a lost majority included.
pub const MOVES_MAX: usize = 256;

/// Moves that go on at the same time where no setting says otherwise: each copies a snapshot.
pub const MOVES_AT_ONCE_DEFAULT: u16 = 4;

/// Seconds for which a node is not heard before its replicas are replaced, where no setting says
/// otherwise: a restart takes less.
pub const DEAD_AFTER_S_DEFAULT: u32 = 300;

/// Most replicas that one move adds, and most that it removes: the number of voters changes by two.
pub const MOVE_REPLICAS_MAX: usize = 2;

/// Nodes that a group does not try again for a while.
pub const AVOIDED_MAX: usize = 4;

/// For how long a group does not try a node again after a move to it was rolled back.
pub const AVOID_S: u32 = 300;

/// For how long a learner may stand still, or a node be unheard, before a move to it is rolled back.
pub const STALL_S: u32 = 120;

/// For how long a move waits for the leader to hand over before it removes it all the same.
pub const HAND_OVER_S: u32 = 30;

/// Log entries by which a replica may lag and still count as caught up: a fraction of a second of a
/// busy group, so that the joint change does not wait for it.
pub const CAUGHT_UP_ENTRIES: u64 = 128;

/// Shards that one command places or notes: far below the largest entry.
pub const SHARDS_PER_COMMAND_MAX: usize = 256;

/// Waiting groups that a progress report names; the others are counted.
pub const WAITS_REPORTED_MAX: usize = 64;

/// Transfers of leadership that go on at the same time for the sake of evenness: each stops a shard for
/// a moment.
pub const TRANSFERS_AT_ONCE: usize = 8;

/// Most weights that a cluster knows: the active ones, those before them, a challenger, and room to choose.
pub const WEIGHTS_KNOWN_MAX: usize = 8;

/// Most bytes of a weights file, as the reader of such files has it.
pub const WEIGHTS_BYTES_MAX: u64 = 64 << 20;

/// Most bytes of a weights card: it names every series that was trained on.
pub const CARD_BYTES_MAX: u64 = 8 << 20;

/// Most bytes of what a card says of the origin of its data, in short.
pub const ORIGIN_BYTES_MAX: usize = 128;

/// Decisions on weights that are kept; older ones are only counted.
pub const DECISIONS_MAX: usize = 64;
