//! Bounds of one twin, each with its reason.

use twinscale_protocol::{DomainTime, Seconds};

/// Most series of one twin: 64 VM types with four metrics each.
pub const SERIES_MAX: usize = 256;

/// Most events kept; past it the ones that ended first are dropped.
pub const EVENTS_MAX: usize = 4_096;

/// Most events of one command.
pub const EVENTS_PER_REQUEST_MAX: usize = 1_024;

/// Longest name of an event, in bytes.
pub const EVENT_NAME_BYTES_MAX: usize = 256;

/// Most slots of one block of observations: decoding one takes about a microsecond, and a new sample
/// rewrites one block of about 600 bytes.
pub const BLOCK_SLOTS_MAX: usize = 256;

/// Most blocks of one series and resolution: 8.4 million samples, about three months of one a second.
/// Past it the oldest block goes, as if the retention were shorter.
pub const BLOCKS_PER_LEVEL_MAX: usize = 32_768;

/// How far a sample may lie ahead of the clock of its request: clocks of senders differ by minutes, and
/// a sample may carry the start of the interval that is still running.
pub const FUTURE_MAX: Seconds = Seconds(3_600);

/// The time before which nothing is taken: the epoch.
pub const OLDEST_TIME: DomainTime = DomainTime(0);

/// The time after which nothing is taken (year 5138): sums of times then never overflow.
pub const NEWEST_TIME: DomainTime = DomainTime(100_000_000_000);

/// Longest planning step: one week.
pub const INTERVAL_MAX: Seconds = Seconds(7 * 86_400);

/// Most steps of a forecast or plan: three days of five minutes, or six weeks of hours.
pub const HORIZON_STEPS_MAX: u16 = 1_024;

/// Most tiers of a stack.
pub const TIERS_MAX: usize = 32;

/// Most VM types of one tier.
pub const VM_TYPES_PER_TIER_MAX: usize = 64;

/// Most volumes of a stack.
pub const VOLUMES_MAX: usize = 32;

/// Most sizes of a link.
pub const LINK_OPTIONS_MAX: usize = 64;

/// Plans that are kept, the target plan among them: enough to see what led to the newest.
pub const PLANS_KEPT: usize = 8;

/// Most intents without an outcome: past it nothing new is wanted from the provider until some close.
pub const OPEN_INTENTS_MAX: usize = 4_096;

/// Most VMs of an observed allocation.
pub const OBSERVED_VMS_MAX: usize = 65_536;

/// Largest calibration of one series, in bytes; what is in it is the forecaster's.
pub const CALIBRATION_BYTES_MAX: usize = 256 * 1_024;

/// Starts that must have been seen before the learned start-up time replaces the stack's.
pub const START_UPS_LEARNED_MIN: u32 = 3;

/// Longest reason of a quarantine, in bytes.
pub const REASON_BYTES_MAX: usize = 512;

/// Domain time after which a plan that was searched for is searched for again.
pub const PLAN_PERIOD: Seconds = Seconds(6 * 3_600);

/// Context sent with a forecast request at steps of half an hour and more: six weeks.
pub const CONTEXT_LONG: Seconds = Seconds(42 * 86_400);

/// Context sent with a forecast request at shorter steps: two weeks.
pub const CONTEXT_SHORT: Seconds = Seconds(14 * 86_400);

/// Step from which on the long context is sent.
pub const CONTEXT_LONG_FROM: Seconds = Seconds(1_800);

/// Most steps of context: eight days of minutes, so that the same time of the week before is in it.
pub const CONTEXT_STEPS_MAX: usize = 11_520;

/// Most steps of the first context of a series, from which the forecaster learns what is usual: two weeks
/// of minutes, ten of five minutes, two years of hours.
pub const CONTEXT_STEPS_FIRST: usize = 20_160;

/// Steps that a late sample may lag behind before its step is left unjudged: one, since the next turn asks
/// again.
pub const JUDGED_LATE_STEPS: i64 = 1;

/// Most steps that one turn judges: after a longer pause of the node the older ones stay unjudged.
pub const JUDGED_STEPS_MAX: i64 = 64;

/// Most steps that a decision is taken to cover when none follows it: as many as are judged.
pub const COVER_STEPS_MAX: i64 = JUDGED_STEPS_MAX;

/// Most covers that are kept: those of all tiers for two steps ahead, or of a few tiers for many.
pub const COVERS_MAX: usize = 1_024;

/// Most groups of VMs that ended or failed and are kept until their steps are judged; past it the oldest
/// go, and a miss may be blamed on the start-up instead.
pub const ENDED_GROUPS_MAX: usize = 1_024;

/// Most passes that held something back and are kept until the steps they reach into are judged.
pub const HELD_PASSES_MAX: usize = 64;

/// Notes that are kept: past it the oldest go.
#[cfg(feature = "next-schema")]
pub const NOTES_MAX: usize = 64;

/// Longest note, in bytes: what one reads at a glance.
#[cfg(feature = "next-schema")]
pub const NOTE_BYTES_MAX: usize = 2_048;

/// Longest name of who wrote a note, in bytes.
#[cfg(feature = "next-schema")]
pub const NOTE_AUTHOR_BYTES_MAX: usize = 128;
