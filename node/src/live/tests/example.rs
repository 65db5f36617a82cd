//! Snapshots with every kind of twin, actor and trouble.

use crate::live::snapshot::{ActorRow, Head, LiveSnapshot, Money, ReplayHead};
use crate::live::state::LiveState;
use crate::live::update::LiveEvent;
use crate::service::api::{
    CustomerItem, NodeWeightsView, NotReady, RangeView, StepView, StepsReply, TierStepsView,
    TierView, WeightsInService, WeightsMeasuredView, WeightsTrialView, WeightsWantedView,
};

/// 2024-01-15T12:00:00Z.
const NOW: i64 = 1_705_320_000;

const HOUR: i64 = 3_600;

/// Demand over a day, hour by hour.
const DAY: [f64; 24] = [
    210.0, 180.0, 160.0, 150.0, 155.0, 190.0, 280.0, 420.0, 560.0, 610.0, 640.0, 655.0, 650.0,
    645.0, 630.0, 620.0, 600.0, 590.0, 605.0, 580.0, 500.0, 410.0, 330.0, 260.0,
];

pub(super) fn demand(step: i64) -> f64 {
    DAY[usize::try_from(step.rem_euclid(24)).expect("an hour")]
}

fn range_around(value: f64) -> RangeView {
    RangeView {
        q10: value * 0.85,
        q50: value,
        q90: value * 1.2,
    }
}

fn tier(name: &str, demand: Option<f64>) -> TierView {
    TierView {
        tier: name.to_owned(),
        vm_type: name.to_owned(),
        metric: "requests".to_owned(),
        interval_s: 3_600,
        observed_at: demand.map(|_| NOW - HOUR),
        demand,
        step_at: NOW,
        forecast: demand.map(range_around),
        supply: Some(700.0),
        serving: 14,
        starting: 1,
    }
}

pub(super) fn twin(name: &str, state: &str, fresh: Option<bool>, cost: f64) -> CustomerItem {
    let is_configured = state != "unconfigured";
    CustomerItem {
        customer: name.to_owned(),
        state: state.to_owned(),
        mode: is_configured.then(|| "enforce".to_owned()),
        series: 2,
        samples: 1_000,
        serving: if is_configured { 14 } else { 0 },
        starting: u64::from(fresh == Some(true)),
        fresh,
        rate_usd_hour: cost / 100.0,
        cost_usd: Some(cost),
        restarts: u64::from(state == "waiting") * 3,
        mailbox: 1,
        mailbox_max: 16,
        tiers: if is_configured {
            let known = fresh.map(|_| demand(11));
            vec![
                tier("web", known),
                tier("db", known.map(|value| value / 10.0)),
            ]
        } else {
            Vec::new()
        },
    }
}

fn steps(customer: &str) -> StepsReply {
    let past = (-90..0).map(|step| {
        let value = demand(step + 12);
        // One evening was busier than anybody expected.
        let is_peak = (-30..-26).contains(&step);
        StepView {
            at: NOW + step * HOUR,
            demand: Some(if is_peak { value * 1.5 } else { value }),
            forecast: Some(range_around(value)),
            supply: Some(value * 1.25),
        }
    });
    let ahead = (0..24).map(|step| StepView {
        at: NOW + step * HOUR,
        demand: None,
        forecast: Some(range_around(demand(step + 12))),
        supply: Some(demand(step + 12) * 1.3),
    });
    StepsReply {
        customer: customer.to_owned(),
        now: NOW,
        tiers: vec![TierStepsView {
            tier: "web".to_owned(),
            past: past.collect(),
            ahead: ahead.collect(),
        }],
    }
}

fn actor(name: &str, state: &str, restarts: u64) -> ActorRow {
    ActorRow {
        name: name.to_owned(),
        state: state.to_owned(),
        restarts,
        mailbox: 12,
        mailbox_max: 1_024,
        abandoned_threads: 0,
    }
}

/// Weights that one of three nodes does not serve, with a challenger in their shadow.
fn weights() -> WeightsInService {
    let node = |number: u64, in_step| NodeWeightsView {
        node: number,
        name: format!("node-{number}"),
        serves: "6778b52560123456".to_owned(),
        in_step,
        note: None,
    };
    WeightsInService {
        active: "6778b52560123456".to_owned(),
        is_shipped: false,
        active_since: Some(NOW - 50 * HOUR),
        bytes: 3_000_000,
        sha256: "6778b525".repeat(8),
        trial: Some(WeightsTrialView {
            number: 4,
            challenger: "0123456789abcdef".to_owned(),
            is_watch: false,
            since: NOW - 20 * HOUR,
            requests: 1_000,
            measured: Some(WeightsMeasuredView {
                series: 9,
                forecasts: 180,
                span_s: 72_000,
                loss_ratio: 0.96,
                loss_ratio_low: 0.93,
                loss_ratio_high: 0.99,
            }),
            wanted: WeightsWantedView {
                series: 12,
                forecasts: 200,
                span_s: 86_400,
            },
        }),
        nodes: vec![node(1, true), node(2, false), node(3, true)],
        silent: Vec::new(),
    }
}

/// A daemon with six twins.
pub(super) fn daemon() -> LiveSnapshot {
    let twins = vec![
        twin("acme", "driven", Some(true), 12_345.6),
        twin("beta", "driven", Some(false), 99.5),
        twin("coyote", "waiting", Some(true), 7.25),
        twin("delta", "unconfigured", None, 0.0),
        twin("echo", "quarantined", None, 1.0),
        twin("foxtrot-with-a-long-name", "driven", None, 250.0),
    ];
    LiveSnapshot {
        head: Head {
            title: "node-1".to_owned(),
            address: Some("http://127.0.0.1:7878".to_owned()),
            version: "0.1.0".to_owned(),
            uptime_s: 200_000,
            ready: true,
            reasons: Vec::new(),
            log_entries: 1_234_567,
            log_syncs: 98_765,
            at: NOW,
            abandoned_threads: 1,
            abandoned_threads_max: 3,
            replay: None,
        },
        money: Money::of(&twins),
        twins_total: twins.len() as u64,
        weights: Some(weights()),
        chosen: Some(steps("acme")),
        actors: vec![
            actor("forecaster", "restarting", 2),
            actor("optimizer", "running", 0),
            actor("provisioner", "running", 0),
            actor("6 twins", "running", 3),
        ],
        twins,
    }
}

/// A replay in its middle.
pub(super) fn replay() -> LiveSnapshot {
    let mut snapshot = daemon();
    snapshot.head.title = "Twinscale demo".to_owned();
    snapshot.head.address = None;
    snapshot.weights = None;
    snapshot.head.replay = Some(ReplayHead {
        step: 345,
        steps: 696,
        steps_per_second: 17.4,
        speed: 62_640.0,
        left_s: Some(20),
    });
    snapshot
}

/// A node without customers.
pub(super) fn empty() -> LiveSnapshot {
    let mut snapshot = daemon();
    snapshot.twins.clear();
    snapshot.twins_total = 0;
    snapshot.chosen = None;
    snapshot.money = Money::default();
    snapshot
}

/// A node whose disk is full.
pub(super) fn read_only() -> LiveSnapshot {
    let mut snapshot = daemon();
    snapshot.head.ready = false;
    snapshot.head.reasons = vec![NotReady {
        code: "read-only".to_owned(),
        message: "nothing is stored until there is room (0 bytes free, 67108864 needed)".to_owned(),
        serves: false,
    }];
    snapshot
}

/// A view that shows a snapshot on a terminal of so many rows.
pub(super) fn state_of(snapshot: LiveSnapshot, height: u16) -> LiveState {
    let mut state = LiveState {
        colours: true,
        ..LiveState::default()
    };
    state.update(LiveEvent::Resized { height });
    state.update(LiveEvent::Snapshot(Box::new(snapshot)));
    state
}
