//! Stored bytes of version 1 must stay as they are: each sample is written and read as it was once.

use super::*;
use crate::fixtures::{
    START, config, forecast, hours, link, mapping, plan, samples, series, tier_name, volume,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use twinscale_protocol::envelope;
use twinscale_protocol::provisioner::{
    Action, HeldRule, LinkSize, ObservedVm, OutcomeResult, VolumeBlocks,
};
use twinscale_protocol::twin::{ByCause, Unserved};
use twinscale_protocol::{EventKind, Mbps, MicroDollars, PartsPerMillion};

const GOLDEN: &str = include_str!("../golden/v1.txt");

fn vm_type() -> VmTypeId {
    VmTypeId::new("typeA").expect("an id")
}

fn blocks() -> VolumeBlocks {
    VolumeBlocks {
        volume: tier_name("disk"),
        blocks: 3,
        price_block_hour: MicroDollars(1_000),
    }
}

const fn link_size() -> LinkSize {
    LinkSize {
        option: 1,
        bandwidth: Mbps(1_000),
        price_per_hour: MicroDollars(50_000),
    }
}

fn event() -> Event {
    Event {
        kind: EventKind::Campaign,
        name: "spring sale".to_owned(),
        start: START,
        end: hours(5),
        known_from: START,
        series: Some(series("typeA", "vm_count")),
    }
}

fn full_config() -> TwinConfig {
    let mut config = config();
    config.policy.budget_per_day = Some(MicroDollars(5_000_000));
    config
        .policy
        .metrics
        .insert(series("typeA", "requests").metric, mapping());
    config.stack.volumes.push(volume());
    config.stack.link = Some(link("net_in_mbps"));
    config
}

fn allocation() -> ObservedAllocation {
    ObservedAllocation {
        vms: vec![ObservedVm {
            vm: VmId(1),
            tier: tier_name("web"),
            vm_type: vm_type(),
            requested_at: START,
            serving_since: Some(hours(1)),
        }],
        volumes: vec![blocks()],
        link: Some(link_size()),
    }
}

fn start_up() -> Vec<StartUpTime> {
    vec![StartUpTime {
        vm_type: vm_type(),
        count: 5,
        p95: Seconds(290),
        failed: PartsPerMillion(10_000),
    }]
}

fn actions() -> Vec<Action> {
    vec![
        Action::Launch {
            vm: VmId(1),
            tier: tier_name("web"),
            vm_type: vm_type(),
            price_per_hour: MicroDollars(96_000),
            minimum_bill: Seconds(60),
        },
        Action::Terminate { vm: VmId(1) },
        Action::ResizeVolume(blocks()),
        Action::ResizeLink(link_size()),
    ]
}

fn held() -> Held {
    Held {
        tier: tier_name("web"),
        rule: HeldRule::StepLimit,
        count: VmCount(2),
    }
}

fn cover() -> CoverRecord {
    CoverRecord {
        tier: tier_name("web"),
        step_at: hours(2),
        early: Some(Cover {
            high: Some(FixedValue(9_000_000)),
            planned: Some(FixedValue(8_000_000)),
            bound: Some(GuardRule::Ceiling),
        }),
        late: None,
    }
}

fn miss() -> Miss {
    let part = |vm_seconds| Unserved {
        vm_seconds: FixedValue(vm_seconds),
        money: MicroDollars(vm_seconds / 1_000),
    };
    Miss {
        tier: tier_name("web"),
        step_at: START,
        demand: FixedValue(10_000_000),
        served: FixedValue(9_500_000),
        forecast_high: Some(FixedValue(9_000_000)),
        planned: Some(FixedValue(8_000_000)),
        short: Seconds(1_800),
        causes: ByCause {
            forecast: part(1_800_000_000),
            plan: part(1),
            guardrail: part(2),
            provider: part(3),
            start_up: part(4),
        },
        rule: Some(GuardRule::Infeasible),
    }
}

fn feedback() -> Feedback {
    Feedback {
        judged_until: hours(1),
        covers: vec![cover()],
        judged: vec![JudgedSteps {
            tier: tier_name("web"),
            steps: 1,
        }],
        misses: vec![miss()],
    }
}

fn feedback_record() -> FeedbackRecord {
    let mut totals = TierMisses::new(tier_name("web"));
    totals.judged_steps = 1;
    totals.add(&miss());
    FeedbackRecord {
        judged_until: Some(hours(1)),
        covers: vec![cover()],
        ended: vec![EndedVms {
            tier: tier_name("web"),
            vm_type: vm_type(),
            serving_since: START,
            ended_at: hours(1),
            count: VmCount(3),
        }],
        failed: vec![FailedVms {
            tier: tier_name("web"),
            vm_type: vm_type(),
            from: START,
            until: hours(2),
            count: VmCount(1),
        }],
        held: vec![HeldPass {
            at: START,
            held: vec![held()],
        }],
        infeasible_at: Some(START),
        totals: vec![totals],
        latest: vec![miss()],
    }
}

fn told() -> Vec<(&'static str, TwinCommand)> {
    let key = series("typeA", "vm_count");
    let forecasts = vec![forecast(&key, START, 10, 2)];
    vec![
        ("configure", TwinCommand::Configure(full_config())),
        (
            "record_samples",
            TwinCommand::RecordSamples {
                now: hours(3),
                groups: vec![samples(&key, START, &[1, 2, 300])],
            },
        ),
        (
            "record_events",
            TwinCommand::RecordEvents {
                events: vec![event()],
            },
        ),
        (
            "store_forecast",
            TwinCommand::StoreForecast {
                issued_at: START,
                surprised: true,
                forecasts: forecasts.clone(),
                calibrations: vec![vec![1, 2, 3]],
                feedback: Some(feedback()),
            },
        ),
        (
            "note_stale_turn",
            TwinCommand::NoteStaleTurn {
                at: START,
                surprised: false,
                forecasts,
                feedback: None,
            },
        ),
        (
            "commit_plan",
            TwinCommand::CommitPlan {
                at: START,
                config_version: 2,
                plan: plan(2, START, &[3, 4]),
            },
        ),
        (
            "note_infeasible_turn",
            TwinCommand::NoteInfeasibleTurn { at: START },
        ),
        ("lift_quarantine", TwinCommand::LiftQuarantine),
        (
            "configure_if",
            TwinCommand::ConfigureIf {
                config_version: 2,
                config: full_config(),
            },
        ),
    ]
}

fn provisioned() -> Vec<(&'static str, TwinCommand)> {
    let results = [
        OutcomeResult::Done,
        OutcomeResult::Refused("capacity".to_owned()),
        OutcomeResult::Unknown("time-out".to_owned()),
    ];
    let outcomes = (1..).zip(results).map(|(intent, result)| IntentOutcome {
        intent: IntentId(intent),
        result,
    });
    let operations = vec![
        Operation::Launch {
            tier: tier_name("web"),
            vm_type: vm_type(),
            count: VmCount(2),
        },
        Operation::Terminate { vm: VmId(1) },
        Operation::ResizeVolume(blocks()),
        Operation::ResizeLink(link_size()),
        Operation::Retry {
            intent: IntentId(1),
        },
    ];
    let at = START;
    vec![
        (
            "commit_intents",
            TwinCommand::CommitIntents {
                at,
                operations,
                held: vec![held()],
            },
        ),
        (
            "commit_outcomes",
            TwinCommand::CommitOutcomes {
                at,
                outcomes: outcomes.collect(),
            },
        ),
        (
            "observe_allocation",
            TwinCommand::ObserveAllocation {
                at,
                allocation: allocation(),
                start_up: start_up(),
            },
        ),
    ]
}

fn meta() -> Meta {
    Meta {
        counters: TwinCounters {
            samples: 300,
            launches: 2,
            ..TwinCounters::default()
        },
        quarantine: Some("a reason".to_owned()),
        config_version: 2,
        target: Some(TargetPlan {
            number: PlanNumber(7),
            at: START,
            config_version: 2,
        }),
        next_vm: VmId(3),
        next_intent: IntentId(5),
    }
}

fn allocation_record() -> AllocationRecord {
    let change = |name: &str| TierChange {
        tier: tier_name(name),
        out_at: Some(START),
        in_at: None,
    };
    AllocationRecord {
        observed_at: Some(START),
        observed: allocation(),
        start_up: start_up(),
        tier_changes: vec![change("web")],
        volume_changes: vec![change("disk")],
        link_changed_at: Some(START),
    }
}

/// Checks that a sample is written and read as it was once.
struct Golden {
    known: BTreeMap<&'static str, &'static str>,
    wrong: String,
}

impl Golden {
    fn check<T>(&mut self, name: &'static str, kind: EnvelopeKind, value: &T)
    where
        T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let bytes = envelope::seal(kind, value).expect("encodes");
        let mut hex = String::new();
        for byte in &bytes {
            write!(hex, "{byte:02x}").expect("a string takes all");
        }
        if self.known.remove(name) != Some(hex.as_str()) {
            writeln!(self.wrong, "{name} {hex}").expect("a string takes all");
        }
        assert_eq!(&envelope::open::<T>(kind, &bytes).expect("decodes"), value);
    }
}

#[test]
fn version_1_bytes_stay_as_they_are() {
    let mut golden = Golden {
        known: GOLDEN
            .lines()
            .filter_map(|line| line.split_once(' '))
            .collect(),
        wrong: String::new(),
    };
    for (name, command) in told().into_iter().chain(provisioned()) {
        golden.check(name, COMMAND, &command);
    }
    let key = series("typeA", "vm_count");
    let intents = (1..).zip(actions()).map(|(id, action)| Intent {
        id: IntentId(id),
        at: START,
        action,
    });
    let open = intents.collect();
    golden.check("meta", META, &meta());
    golden.check("config", CONFIG, &full_config());
    golden.check(
        "series",
        SERIES,
        &SeriesRecord {
            key: key.clone(),
            floors: [START, START, DomainTime(0)],
        },
    );
    let bytes = vec![3, 0, 1, 2];
    golden.check("block", BLOCK, &BlockRecord { bytes });
    golden.check("events", EVENTS, &vec![event()]);
    golden.check(
        "forecast",
        FORECAST,
        &ForecastRecord {
            issued_at: START,
            surprised: true,
            forecasts: vec![forecast(&key, START, 10, 2)],
        },
    );
    let bytes = vec![9, 8];
    golden.check("calibration", CALIBRATION, &CalibrationRecord { bytes });
    golden.check("plan", PLAN, &plan(2, START, &[3, 4]));
    golden.check("allocation", ALLOCATION, &allocation_record());
    golden.check("intents", INTENTS, &IntentsRecord { open });
    golden.check("feedback", FEEDBACK, &feedback_record());
    assert!(
        golden.wrong.is_empty() && golden.known.is_empty(),
        "stored bytes changed; a changed type needs a new version. Written now:\n{}Not written: {:?}",
        golden.wrong,
        golden.known.keys()
    );
}
