//! Bounds of the service that nobody needs to configure, each with its reason.

use std::time::Duration;

/// Longest line of a body of JSON lines, in bytes: a sample has about 110, an event with a name of 256
/// bytes about 500.
pub const LINE_BYTES_MAX: usize = 4_096;

/// Most lines of one body: the samples that one command of a twin may carry.
pub const LINES_MAX: usize = twinscale_protocol::twin::SAMPLES_PER_REQUEST_MAX;

/// Most events of one body: each is a command of its own, and a few thousand share an fsync.
pub const EVENT_LINES_MAX: usize = 10_000;

/// Refused lines that an answer names; the others are counted.
pub const REFUSALS_LISTED_MAX: usize = 100;

/// Longest piece of a client's text that an answer repeats, in bytes.
pub const ECHO_BYTES_MAX: usize = 80;

/// Bodies that are read and ingested at once; further requests are told to come back. With bodies of
/// 8 MiB this bounds what waits in memory to about a gigabyte, with usual batches to some megabytes.
pub const INGESTS_AT_ONCE: usize = 64;

/// Customers of one request whose samples wait for the writer at the same time: an eighth of its queue.
pub const CUSTOMERS_AT_ONCE: usize = 512;

/// Reads (reports, forecasts, observations) that are served at once.
pub const READS_AT_ONCE: usize = 64;

/// Time that a client has for the head of a request.
pub const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// Time after which a connection ends whose client does not take what it was sent.
pub const UNREAD_LIMIT: Duration = Duration::from_secs(30);

/// Time that a client has for the body of a request.
pub const BODY_LIMIT: Duration = Duration::from_secs(30);

/// Time that a request may take once its body is there.
pub const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// Largest head of a request, in bytes, and the piece in which bodies are read.
pub const HEAD_BYTES_MAX: usize = 64 * 1_024;

/// Most header fields of a request.
pub const HEADERS_MAX: usize = 64;

/// Seconds after which a client that was told "overloaded" should come back.
pub const RETRY_AFTER_S: u32 = 1;

/// Body that is read and thrown away after it was refused, so that a client that writes before it reads
/// still gets the answer; what is longer loses its connection.
pub const DISCARD_BYTES_MAX: usize = 16 << 20;

/// Time for throwing away a refused body.
pub const DISCARD_LIMIT: Duration = Duration::from_secs(2);

/// Compressed bytes that are unpacked in one go: at the most about a megabyte comes of them.
pub const UNPACK_STEP_BYTES: usize = 1_024;

/// Longest body of a policy or stack, in bytes: a stack of 32 tiers with 64 VM types each fits.
pub const DOCUMENT_BYTES_MAX: usize = 512 * 1_024;

/// Customers of one page of a list.
pub const PAGE_CUSTOMERS_MAX: usize = 1_000;

/// Time that a page waits for the provider to tell what customers cost; past it, the page shows no cost.
pub const COSTS_LIMIT: Duration = Duration::from_secs(2);

/// Steps that are over, of one page.
pub const PAGE_STEPS_MAX: usize = 1_000;

/// Samples of one page of observations.
pub const PAGE_SAMPLES_MAX: usize = 50_000;

/// System time that one turn may take before its driver gives up waiting.
pub const TURN_LIMIT: Duration = Duration::from_mins(5);

/// Longest wait of a twin's driver before it looks at the clock again: the clock may have been set.
pub const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// Pause after which series and customers are counted again.
pub const RECOUNT_PERIOD: Duration = Duration::from_secs(30);
