//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Largest datagram, in bytes: what UDP over IPv4 carries. Also the cap on what is read before decryption.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Largest total of what one datagram decompresses to, in bytes: four times what it may carry packed, so
/// that a few packed bytes cannot fill the memory.
pub const DECODED_BYTES_MAX: usize = 262_144;

/// Members and dead incarnations that gossip keeps at once. A digest of twice as many still fits a datagram
/// beside a delta; one that does not fit makes the server of chitchat panic.
pub const INCARNATIONS_MAX: usize = 400;

/// Bytes of one gossiped value: a delta that carries one beside a full digest still fits a datagram.
pub const VALUE_BYTES_MAX: usize = 24_576;

/// Bytes of one gossiped key.
pub const KEY_BYTES_MAX: usize = 64;

/// Keys of one member in one datagram; this version writes four, later ones may write more.
pub const KEYS_PER_MEMBER_MAX: usize = 16;

/// Largest heartbeat or version taken from the network: far above what a member reaches in a century, and
/// far enough below the end of `u64` that adding to it cannot overflow.
pub const VERSION_MAX: u64 = 1 << 48;

/// Shards that one member can name itself leader of.
pub const LEADS_MAX: usize = 2_048;

/// Characters of a reason or zone.
pub const TEXT_CHARS_MAX: usize = 200;

/// Bytes of an advertised address.
pub const ENDPOINT_BYTES_MAX: usize = 255;

/// Keys in a ring: the one in use, its successor, and room for a rotation that was broken off.
pub const KEYS_MAX: usize = 4;

/// Counters behind the newest that a receiver tells apart. A sender uses one counter for all receivers, so
/// in a busy cluster this is some ten seconds of lateness.
pub const REPLAY_WINDOW: u64 = 1_024;

/// Senders' sessions remembered by the replay guard; one is kept for twice the clock bound after its last
/// datagram, so that what is forgotten is refused by its time.
pub const SESSIONS_MAX: usize = 4_096;

/// Nodes whose clocks are reported as off at once.
pub const CLOCK_REPORTS_MAX: usize = 64;

/// Datagrams that wait in one socket of the in-memory network, as a kernel's buffer would hold.
pub const INBOX_DATAGRAMS_MAX: usize = 4_096;

/// Shortest time between two log lines for one reason of refusal.
pub const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// How often a member that is not alive is looked for at its last address, one member at a time.
pub const RECALL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a member's address is remembered after it was last alive, to find it after a long partition.
pub const RECALL_FOR: Duration = Duration::from_hours(24);

/// How often a leaver tells those that have not confirmed yet.
pub const FAREWELL_INTERVAL: Duration = Duration::from_millis(50);
