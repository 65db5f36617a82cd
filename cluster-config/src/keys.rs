//! The registry of keys: kind, range, default, example and meaning of each.
//!
//! Checking, defaults and the reference page all read these tables, so one line here is all that a new
//! key takes besides its use.

mod node;

pub use node::{CLUSTER_KEYS, FORECASTER_KEYS, NODE_KEYS};

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number within bounds.
    Whole {
        /// Least.
        min: i64,
        /// Most.
        max: i64,
    },
    /// A number within bounds; whole ones may be written without a point.
    Number {
        /// Least.
        min: f64,
        /// Most.
        max: f64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these numbers.
    OneOf(&'static [f64]),
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeySpec {
    /// Its path: `*` stands for a name that the author chooses, `[]` for an entry of a list of tables.
    pub path: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Its default as TOML; `None` = none.
    pub default: Option<&'static str>,
    /// An example value as TOML.
    pub example: &'static str,
    /// What it means, with its unit.
    pub meaning: &'static str,
}

const fn key(
    path: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    example: &'static str,
    meaning: &'static str,
) -> KeySpec {
    KeySpec {
        path,
        kind,
        default,
        example,
        meaning,
    }
}

const fn whole(min: i64, max: i64) -> Kind {
    Kind::Whole { min, max }
}

const fn number(min: f64, max: f64) -> Kind {
    Kind::Number { min, max }
}

/// Quantile levels that a plan can cover.
pub const LEVELS: &[f64] = &[0.5, 0.8, 0.9, 0.95, 0.99];

// Bounds: a length of time stays below 136 years (u32 seconds), an amount of money below what i64
// micro-dollars hold many times over.
const TIME_MAX: i64 = 4_000_000_000;
const VMS_MAX: i64 = 1_000_000;
const USD_MAX: f64 = 1e9;
const SIZE_MAX: f64 = 9e12;

/// Keys of a policy: under `[default]` and under `[customer.NAME]`.
pub const POLICY_KEYS: &[KeySpec] = &[
    key(
        "mode",
        Kind::Word(&["observe", "advise", "enforce"]),
        Some("\"enforce\""),
        "\"observe\"",
        "How far Twinscale may go: `observe` learns and forecasts, `advise` plans too, `enforce` provisions.",
    ),
    key(
        "budget_per_day_usd",
        number(0.0, USD_MAX),
        None,
        "250.0",
        "Most that one day of VMs, storage and bandwidth may cost, in US dollars; no limit when absent.",
    ),
    key(
        "search_evaluations",
        whole(0, 100_000_000),
        Some("20000"),
        "100000",
        "Candidate plans that one search may evaluate; 0 = heuristic and exact paths only.",
    ),
    key(
        "sla.level_min",
        Kind::OneOf(LEVELS),
        Some("0.9"),
        "0.95",
        "Lowest quantile level of demand that every step covers.",
    ),
    key(
        "sla.level_max",
        Kind::OneOf(LEVELS),
        Some("0.99"),
        "0.99",
        "Highest quantile level worth paying for.",
    ),
    key(
        "sla.risk_budget",
        number(0.0, 1.0),
        Some("0.1"),
        "0.02",
        "Largest demand-weighted probability that a step is under-provisioned.",
    ),
    key(
        "sla.unserved_price_ratio",
        number(0.0, 1e6),
        Some("20.0"),
        "50.0",
        "Price of one hour of one VM's worth of unserved demand, as a multiple of that VM's price. At 20, covering the 0.95 quantile pays.",
    ),
    key(
        "sla.under_provisioned_step_price_ratio",
        number(0.0, 1e6),
        Some("0.0"),
        "100.0",
        "Price of a step in which demand exceeds what serves, as a multiple of what the VMs that the customer needs on average cost in a step; larger is safer. 0 = such steps have no price of their own.",
    ),
    key(
        "limits.floor",
        whole(0, VMS_MAX),
        Some("0"),
        "2",
        "Never fewer VMs than this, per tier.",
    ),
    key(
        "limits.ceiling",
        whole(1, VMS_MAX),
        Some("10000"),
        "200",
        "Never more VMs than this, per tier.",
    ),
    key(
        "limits.step_out_max",
        whole(1, VMS_MAX),
        Some("1000"),
        "50",
        "Most VMs started in one step, per tier.",
    ),
    key(
        "limits.step_in_max",
        whole(1, VMS_MAX),
        Some("1000"),
        "20",
        "Most VMs stopped in one step, per tier.",
    ),
    key(
        "limits.cooldown_out_s",
        whole(0, TIME_MAX),
        Some("0"),
        "60",
        "Least time between two scale-outs of a tier, in seconds.",
    ),
    key(
        "limits.cooldown_in_s",
        whole(0, TIME_MAX),
        Some("300"),
        "1800",
        "Least time between a tier's last change and a scale-in, in seconds.",
    ),
    key(
        "metrics.*.capacity_per_vm",
        number(1e-6, SIZE_MAX),
        None,
        "25000.0",
        "What one VM can do when fully used, in the metric's unit. Needed for every demand metric but `vm_count`, here or with the stack's VM types.",
    ),
    key(
        "metrics.*.target_utilisation",
        number(0.01, 1.0),
        Some("0.8"),
        "0.7",
        "Share of a VM's capacity that may be planned for.",
    ),
    key(
        "retention.raw_s",
        whole(3_600, TIME_MAX),
        Some("7776000"),
        "2592000",
        "How long raw samples are kept, in seconds (default 90 days).",
    ),
    key(
        "retention.five_minutes_s",
        whole(3_600, TIME_MAX),
        Some("15552000"),
        "7776000",
        "How long five-minute roll-ups are kept, in seconds (default 180 days).",
    ),
    key(
        "retention.one_hour_s",
        whole(3_600, TIME_MAX),
        Some("94608000"),
        "63072000",
        "How long one-hour roll-ups are kept, in seconds (default 3 years).",
    ),
];

/// Keys of a tier that also stand under `[tier_defaults]`.
pub const TIER_DEFAULT_KEYS: &[KeySpec] = &[
    key(
        "start_up_s",
        whole(0, 86_400),
        Some("300"),
        "120",
        "Time from a VM's request until it serves, in seconds, until a start-up time has been learned.",
    ),
    key(
        "minimum_bill_s",
        whole(0, 86_400),
        Some("60"),
        "3600",
        "Shortest time that a VM is billed, in seconds.",
    ),
    key(
        "min_vms",
        whole(0, VMS_MAX),
        Some("1"),
        "2",
        "Least number of serving VMs.",
    ),
    key(
        "min_up_s",
        whole(0, TIME_MAX),
        Some("0"),
        "7200",
        "Least time that a VM stays, in seconds, so that plans do not flap.",
    ),
];

/// Keys of a VM type under `[vm_type.NAME]`: facts that hold in every tier.
pub const VM_TYPE_KEYS: &[KeySpec] = &[
    key(
        "price_per_hour_usd",
        number(0.0, USD_MAX),
        None,
        "0.096",
        "Price of one VM for one hour, in US dollars. Assumed, and named in reports, when absent.",
    ),
    key(
        "price_assumed",
        Kind::Flag,
        Some("false"),
        "true",
        "Whether the price is a guess; reports name it.",
    ),
    key(
        "vcpu",
        number(0.001, 1e6),
        Some("4.0"),
        "2",
        "Virtual CPUs of one VM.",
    ),
    key(
        "memory_gib",
        whole(0, VMS_MAX),
        Some("16"),
        "8",
        "Memory of one VM, in GiB.",
    ),
];

/// Keys of a stack besides its tiers' defaults: under `[default]` and under `[customer.NAME]`.
pub const STACK_KEYS: &[KeySpec] = &[
    key(
        "tier.*.demand",
        Kind::Text,
        None,
        "\"web/requests\"",
        "The series that the tier serves: `VM type/metric` as the trace names them. Needed.",
    ),
    key(
        "tier.*.vm_type[].name",
        Kind::Text,
        None,
        "\"c7g.large\"",
        "A VM type that may serve the tier. Needed.",
    ),
    key(
        "tier.*.vm_type[].capacity_per_vm",
        number(1e-6, SIZE_MAX),
        None,
        "18000.0",
        "What one VM of the type can do in this tier when fully used, in the metric's unit; the policy's value when absent.",
    ),
    key(
        "tier.*.service.service_time_us",
        whole(1, 3_600_000_000),
        None,
        "20000",
        "Mean service time of one request on one core, in microseconds. Needed where `service` stands.",
    ),
    key(
        "tier.*.service.p99_target_us",
        whole(1, 3_600_000_000),
        None,
        "250000",
        "Response time that 99 % of requests must meet, in microseconds. Needed where `service` stands.",
    ),
    key(
        "volume.*.demand",
        Kind::Text,
        None,
        "\"db/storage_gib\"",
        "The series of GiB that the volume must hold. Needed.",
    ),
    key(
        "volume.*.block_gib",
        whole(1, VMS_MAX),
        Some("100"),
        "50",
        "Size of one block, in GiB.",
    ),
    key(
        "volume.*.price_block_hour_usd",
        number(0.0, USD_MAX),
        None,
        "0.011",
        "Price of one block for one hour, in US dollars. Needed.",
    ),
    key(
        "volume.*.cooldown_s",
        whole(0, TIME_MAX),
        Some("21600"),
        "21600",
        "Least time between two changes, in seconds.",
    ),
    key(
        "volume.*.blocks_max",
        whole(1, VMS_MAX),
        Some("1000"),
        "64",
        "Most blocks.",
    ),
    key(
        "volume.*.blocks_initial",
        whole(0, VMS_MAX),
        Some("1"),
        "4",
        "Blocks at the start.",
    ),
    key(
        "link.demand",
        Kind::Text,
        None,
        "\"web/net_out_mbps\"",
        "The series of Mbps that the link must carry. Needed where `link` stands.",
    ),
    key(
        "link.hold_s",
        whole(0, TIME_MAX),
        Some("3600"),
        "3600",
        "Least time that an option is held, in seconds.",
    ),
    key(
        "link.option_initial",
        whole(0, 1_000),
        Some("0"),
        "1",
        "The option at the start, counted from 0.",
    ),
    key(
        "link.option[].bandwidth_mbps",
        whole(1, 100_000_000),
        None,
        "1000",
        "Bandwidth of the option, in Mbps; ascending. Needed.",
    ),
    key(
        "link.option[].price_per_hour_usd",
        number(0.0, USD_MAX),
        None,
        "0.30",
        "Price of the option for one hour, in US dollars. Needed.",
    ),
];

/// Finds a key of a table by its path pattern.
pub(crate) fn find(specs: &[KeySpec], path: &str) -> Option<KeySpec> {
    specs.iter().copied().find(|spec| spec.path == path)
}

/// A key that also stands deeper in a stack, with its path there.
macro_rules! nested {
    ($($path:literal => $specs:ident[$index:literal]),* $(,)?) => {
        &[$(KeySpec { path: $path, ..$specs[$index] }),*]
    };
}

/// Keys of `[tier_defaults]` and `[vm_type.NAME]` where a tier or one of its VM types overrides them.
const NESTED_KEYS: &[KeySpec] = nested![
    "tier.*.start_up_s" => TIER_DEFAULT_KEYS[0],
    "tier.*.minimum_bill_s" => TIER_DEFAULT_KEYS[1],
    "tier.*.min_vms" => TIER_DEFAULT_KEYS[2],
    "tier.*.min_up_s" => TIER_DEFAULT_KEYS[3],
    "tier.*.vm_type[].price_per_hour_usd" => VM_TYPE_KEYS[0],
    "tier.*.vm_type[].price_assumed" => VM_TYPE_KEYS[1],
    "tier.*.vm_type[].vcpu" => VM_TYPE_KEYS[2],
    "tier.*.vm_type[].memory_gib" => VM_TYPE_KEYS[3],
];

/// Lists the keys that a tier or one of its VM types may override.
pub(crate) fn nested_specs() -> &'static [KeySpec] {
    NESTED_KEYS
}
