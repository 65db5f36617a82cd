//! Limits of the log.

/// Limits of one log; [`LogOptions::default`] suits a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_field_names,
    reason = "all are limits, and the unit comes first"
)]
pub struct LogOptions {
    /// A batch that finds its segment at least this large begins a new one, in bytes.
    pub segment_bytes_max: u64,
    /// How many proposals may wait for the writer.
    pub queue_proposals_max: usize,
    /// How many bytes on disk the waiting proposals may amount to.
    pub queue_bytes_max: usize,
    /// The writer stops gathering a batch once it holds this many bytes.
    pub batch_bytes_max: usize,
}

impl Default for LogOptions {
    /// 64 MiB segments (purge granularity), 4,096 proposals or 64 MiB waiting, 4 MiB per fsync.
    fn default() -> Self {
        Self {
            segment_bytes_max: 64 << 20,
            queue_proposals_max: 4_096,
            queue_bytes_max: 64 << 20,
            batch_bytes_max: 4 << 20,
        }
    }
}
