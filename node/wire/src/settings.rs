//! Limits and intervals of the wire.

use std::time::Duration;

/// Limits and intervals of the wire; both ends use the same.
#[derive(Clone, Debug)]
pub struct WireSettings {
    /// From the first packet to the peer's answer that it is who it is.
    pub connect_timeout: Duration,
    /// Silence after which the other end is asked whether it lives.
    pub keep_alive_interval: Duration,
    /// How long the answer may take; then the connection is given up.
    pub keep_alive_timeout: Duration,
    /// Pause after the first failed attempt to connect; it doubles with each.
    pub backoff_first: Duration,
    /// Longest pause between two attempts.
    pub backoff_max: Duration,
    /// Root of the jitter of the pauses.
    pub jitter_seed: u64,
    /// Calls under way with one peer, in each direction.
    pub calls_per_peer_max: usize,
    /// Bytes of requests of calls under way with one peer, in each direction; one call of any allowed
    /// size fits.
    pub bytes_per_peer_max: usize,
    /// Streams under way with one peer, in each direction.
    pub streams_per_peer_max: usize,
    /// Connections that a server holds, those in their handshake included.
    pub connections_max: usize,
    /// How often the certificate of an open connection is verified again.
    pub recheck_interval: Duration,
    /// What calls under way have to end, when a connection's certificate is no longer trusted.
    pub revoked_grace: Duration,
}

impl Default for WireSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            keep_alive_interval: Duration::from_secs(2),
            keep_alive_timeout: Duration::from_secs(2),
            backoff_first: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            jitter_seed: 0,
            calls_per_peer_max: 128,
            bytes_per_peer_max: 64 * 1024 * 1024,
            streams_per_peer_max: 4,
            connections_max: 1_024,
            recheck_interval: Duration::from_mins(1),
            revoked_grace: Duration::from_secs(5),
        }
    }
}

/// Unread bytes of one stream that the other end may send.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// Unread bytes of all streams of a connection: more than the streams of one peer can hold together, so
/// that a stream whose reader is slow never stops another.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 * STREAM_WINDOW_BYTES;

/// Calls that end by their deadline before a busy server took them up: more than can be under way, since
/// the connection is closed as an attack when they are more. The default of 20 breaks clusters.
pub(crate) const UNACCEPTED_RESETS_MAX: usize = 4_096;

/// How long a deadline may be; a peer that asks for more gets this.
pub(crate) const DEADLINE_MAX: Duration = Duration::from_hours(1);

/// The deadline of a caller that names none.
pub(crate) const DEADLINE_DEFAULT: Duration = Duration::from_secs(30);
