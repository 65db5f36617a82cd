//! What twins know, as the API shows it: seconds since 1970, US dollars, units of the metric.

use super::steps::{TierView, TwinAround, is_fresh, rate, tier_views};
use crate::assembly::TWIN_MAILBOX;
use crate::service::keeper::{Glance, LastTurn};
use serde::{Deserialize, Serialize};
use twinscale_protocol::MicroDollars;
use twinscale_protocol::optimizer::{Plan, PlanCost};
use twinscale_protocol::twin::TwinCounters;
use twinscale_twin::TwinState;
use utoipa::ToSchema;

/// One customer of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CustomerItem {
    /// Its name.
    pub customer: String,
    /// `unconfigured` (samples are stored, nothing else happens), `driven` (its turns are taken; its actor may
    /// rest between them), `waiting` (configured, its actor does not run), or `quarantined`.
    pub state: String,
    /// `observe`, `advise` or `enforce`.
    pub mode: Option<String>,
    /// Series that it sends.
    pub series: u64,
    /// Samples stored.
    pub samples: u64,
    /// VMs that serve.
    pub serving: u64,
    /// VMs that start.
    pub starting: u64,
    /// Whether its forecast knows the newest interval that is over; none without a forecast.
    pub fresh: Option<bool>,
    /// What it runs costs an hour, in US dollars.
    pub rate_usd_hour: f64,
    /// What it cost so far, by the provider's ledger, in US dollars; none where the provider does not tell.
    pub cost_usd: Option<f64>,
    /// Restarts of its actor since the node started.
    pub restarts: u64,
    /// Messages that wait for its actor or are being handled.
    pub mailbox: u64,
    /// Most of these.
    pub mailbox_max: u64,
    /// Its tiers, in the order of their names.
    pub tiers: Vec<TierView>,
}

/// A page of customers, in the order of their names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CustomersReply {
    /// The customers.
    pub customers: Vec<CustomerItem>,
    /// Send this as `after` for the next page; none at the end.
    pub next_after: Option<String>,
    /// Nodes that did not answer: customers whose shards they lead are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<SilentView>,
}

/// A node that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SilentView {
    /// Its number.
    pub node: u64,
    /// Why.
    pub reason: String,
}

/// What a twin knows and does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TwinReply {
    /// Whose twin.
    pub customer: String,
    /// As in the list of customers.
    pub state: String,
    /// Why it is quarantined.
    pub quarantine: Option<String>,
    /// `observe`, `advise` or `enforce`.
    pub mode: Option<String>,
    /// Length of a step, in seconds.
    pub interval_s: Option<u32>,
    /// Steps that forecasts and plans look ahead.
    pub horizon_steps: Option<u16>,
    /// Counts the changes of policy and stack.
    pub config_version: u64,
    /// What it sends.
    pub series: Vec<SeriesView>,
    /// End of the newest interval that was forecast.
    pub forecast_issued_at: Option<i64>,
    /// Number of the target plan.
    pub plan: Option<u64>,
    /// What the target plan costs.
    pub plan_cost: Option<PlanCostView>,
    /// What runs, as last observed.
    pub vms: Vec<VmGroupView>,
    /// Calls whose outcome is not known yet.
    pub open_intents: u64,
    /// Its newest turn since the node started.
    pub last_turn: Option<TurnView>,
    /// When its actor comes back, where it was put away because it has nothing to do until then.
    #[serde(default)]
    pub rests_until: Option<i64>,
    /// Restarts of its actor since the node started.
    pub restarts: u64,
    /// Names the incarnation of its actor that runs; after a restart, or a rest, it is another one.
    pub actor_id: Option<String>,
    /// Counts since it exists.
    pub counters: CountersView,
    /// What people wrote down, in the order in which it came.
    #[cfg(feature = "next-schema")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<super::notes::NoteView>,
}

/// A series that is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeriesView {
    /// What was measured.
    pub vm_type: String,
    /// The metric.
    pub metric: String,
    /// Time of the newest sample.
    pub newest_at: Option<i64>,
}

/// VMs of one tier and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmGroupView {
    /// The tier.
    pub tier: String,
    /// The type.
    pub vm_type: String,
    /// That serve.
    pub serving: u64,
    /// That start.
    pub starting: u64,
}

/// What a turn came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TurnView {
    /// When.
    pub at: i64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Whether it had to do without a fresh forecast.
    pub stale: bool,
    /// Launches.
    pub launches: u32,
    /// Terminations.
    pub terminations: u32,
    /// What failed on the way.
    pub failures: Vec<String>,
}

/// Counts of a twin since it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountersView {
    /// Samples stored.
    pub samples: u64,
    /// Samples that came again.
    pub duplicates: u64,
    /// Samples that came again with another value.
    pub corrected: u64,
    /// Samples refused.
    pub refused: u64,
    /// Forecasts.
    pub forecasts: u64,
    /// Turns without a fresh forecast.
    pub stale_turns: u64,
    /// Plans.
    pub plans: u64,
    /// VMs launched.
    pub launches: u64,
    /// VMs terminated.
    pub terminations: u64,
}

/// What a plan costs over its steps, in US dollars.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanCostView {
    /// Running VMs.
    pub vms_usd: f64,
    /// Starts.
    pub starts_usd: f64,
    /// Volumes.
    pub storage_usd: f64,
    /// The link.
    pub link_usd: f64,
    /// Expected unserved demand.
    pub unserved_usd: f64,
    /// All of it.
    pub total_usd: f64,
    /// Demand-weighted probability of an under-provisioned step.
    pub risk: f64,
}

/// The target plan of a customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanReply {
    /// Its number.
    pub number: u64,
    /// The plan before it.
    pub parent: Option<u64>,
    /// Why it was made.
    pub trigger: String,
    /// Start of the first step.
    pub first_step_at: i64,
    /// Length of a step, in seconds.
    pub interval_s: u32,
    /// VMs on in each step.
    pub vms: Vec<PlanVmsView>,
    /// Blocks of volumes in each step.
    pub volumes: Vec<PlanVolumeView>,
    /// Option of the link in each step; empty without a link.
    pub link: Vec<u32>,
    /// Covered level of demand in each step.
    pub levels: Vec<f64>,
    /// What it costs.
    pub cost: PlanCostView,
    /// `exact`, `genetic` or `heuristic`.
    pub method: String,
    /// Candidates that were evaluated.
    pub evaluations: u32,
}

/// VMs of one tier and type in each step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanVmsView {
    /// The tier.
    pub tier: String,
    /// The type.
    pub vm_type: String,
    /// VMs on.
    pub counts: Vec<u32>,
}

/// Blocks of one volume in each step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanVolumeView {
    /// The volume.
    pub volume: String,
    /// Its blocks.
    pub blocks: Vec<u32>,
}

/// A page of stored samples of one series, ascending in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ObservationsReply {
    /// Time and value.
    #[schema(value_type = Vec<Vec<f64>>)]
    pub samples: Vec<(i64, f64)>,
    /// Send this as `from` for the next page; none at the end.
    pub next_from: Option<i64>,
}

/// The word that stands for a value in JSON.
pub(crate) fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_unwritable) => String::new(),
    }
}

pub(crate) fn cost_view(plan: &Plan) -> PlanCostView {
    let cost: &PlanCost = &plan.cost;
    PlanCostView {
        vms_usd: cost.vms.dollars(),
        starts_usd: cost.starts.dollars(),
        storage_usd: cost.storage.dollars(),
        link_usd: cost.link.dollars(),
        unserved_usd: cost.unserved.dollars(),
        total_usd: cost.total().dollars(),
        risk: plan.risk.share(),
    }
}

/// How a twin is, in a word.
pub(crate) fn state_word(state: &TwinState, is_running: bool) -> String {
    let word = match (state.quarantine(), state.config()) {
        (Some(_), _) => "quarantined",
        (None, None) => "unconfigured",
        (None, Some(_)) if is_running => "driven",
        (None, Some(_)) => "waiting",
    };
    word.to_owned()
}

pub(crate) fn customer_item(state: &TwinState, around: &TwinAround) -> CustomerItem {
    let vms = &state.observed().vms;
    let serving = vms.iter().filter(|vm| vm.serving_since.is_some()).count();
    CustomerItem {
        customer: state.customer().to_string(),
        state: state_word(state, around.is_running),
        mode: state.config().map(|config| word(config.policy.mode)),
        series: state.series().count() as u64,
        samples: state.counters().samples,
        serving: serving as u64,
        starting: vms.len().saturating_sub(serving) as u64,
        fresh: is_fresh(state, around.now),
        rate_usd_hour: rate(state).dollars(),
        cost_usd: around.cost.map(MicroDollars::dollars),
        restarts: around.restarts,
        mailbox: around.mailbox,
        mailbox_max: TWIN_MAILBOX as u64,
        tiers: tier_views(state, around.now),
    }
}

pub(crate) fn twin_reply(state: &TwinState, glance: Option<&Glance>) -> TwinReply {
    let config = state.config();
    let plan = state.target_plan();
    let series = state.series().map(|key| SeriesView {
        vm_type: key.vm_type.to_string(),
        metric: key.metric.to_string(),
        newest_at: state.newest_sample_at(key).map(|at| at.0),
    });
    TwinReply {
        customer: state.customer().to_string(),
        state: state_word(state, glance.is_some_and(|glance| glance.is_driven)),
        quarantine: state.quarantine().map(str::to_owned),
        mode: config.map(|config| word(config.policy.mode)),
        interval_s: config.map(|config| config.interval.0),
        horizon_steps: config.map(|config| config.horizon_steps),
        config_version: state.config_version(),
        series: series.collect(),
        forecast_issued_at: state.forecast().map(|record| record.issued_at.0),
        plan: plan.map(|plan| plan.number.0),
        plan_cost: plan.map(cost_view),
        vms: vm_groups(state),
        open_intents: state.open_intents().count() as u64,
        last_turn: glance
            .and_then(|glance| glance.last_turn.clone())
            .map(turn_view),
        rests_until: glance
            .and_then(|glance| glance.rests_until)
            .map(|until| until.0),
        restarts: glance.map_or(0, |glance| glance.restarts),
        actor_id: glance.and_then(|glance| glance.actor_id.clone()),
        counters: counters_view(state.counters()),
        #[cfg(feature = "next-schema")]
        notes: super::notes::note_views(state),
    }
}

fn vm_groups(state: &TwinState) -> Vec<VmGroupView> {
    let mut groups = std::collections::BTreeMap::new();
    for vm in &state.observed().vms {
        let (serving, starting) = groups
            .entry((&vm.tier, &vm.vm_type))
            .or_insert((0_u64, 0_u64));
        *(if vm.serving_since.is_some() {
            serving
        } else {
            starting
        }) += 1;
    }
    let groups = groups.into_iter();
    groups
        .map(|((tier, vm_type), (serving, starting))| VmGroupView {
            tier: tier.to_string(),
            vm_type: vm_type.to_string(),
            serving,
            starting,
        })
        .collect()
}

fn turn_view(turn: LastTurn) -> TurnView {
    let LastTurn { at, took, outcome } = turn;
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match outcome {
        Ok(summary) => TurnView {
            at: at.0,
            took_ms,
            stale: summary.stale,
            launches: summary.launches,
            terminations: summary.terminations,
            failures: summary.failures,
        },
        Err(error) => TurnView {
            at: at.0,
            took_ms,
            stale: true,
            launches: 0,
            terminations: 0,
            failures: vec![error],
        },
    }
}

fn counters_view(counters: TwinCounters) -> CountersView {
    CountersView {
        samples: counters.samples,
        duplicates: counters.duplicates,
        corrected: counters.replaced,
        refused: counters.refused,
        forecasts: counters.forecasts,
        stale_turns: counters.stale_turns,
        plans: counters.plans,
        launches: counters.launches,
        terminations: counters.terminations,
    }
}

pub(crate) fn plan_reply(plan: &Plan) -> PlanReply {
    let vms = plan.allocation.vms.iter().map(|one| PlanVmsView {
        tier: one.tier.to_string(),
        vm_type: one.vm_type.to_string(),
        counts: one.counts.iter().map(|count| count.0).collect(),
    });
    let volumes = plan.allocation.volumes.iter().map(|one| PlanVolumeView {
        volume: one.volume.to_string(),
        blocks: one.blocks.clone(),
    });
    PlanReply {
        number: plan.number.0,
        parent: plan.parent.map(|parent| parent.0),
        trigger: word(plan.trigger),
        first_step_at: plan.first_step_at.0,
        interval_s: plan.interval.0,
        vms: vms.collect(),
        volumes: volumes.collect(),
        link: plan.allocation.link.clone(),
        levels: plan.levels.iter().map(|level| level.share()).collect(),
        cost: cost_view(plan),
        method: word(plan.search.method),
        evaluations: plan.search.evaluations,
    }
}
