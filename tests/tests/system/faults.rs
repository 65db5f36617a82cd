//! Each kind of actor panics and is killed in the middle of a replay, and nobody notices.

use std::sync::LazyLock;
use std::time::Duration;

use twinscale::workload::ReplayCustomer;
use twinscale_chaos::{
    Blow, ReplayCase, ReplayOutcome, Strike, Victim, differences, short_samples,
};

const STEPS: usize = 34;

struct Undisturbed {
    customers: Vec<ReplayCustomer>,
    case: ReplayCase,
    outcome: ReplayOutcome,
}

static UNDISTURBED: LazyLock<Undisturbed> = LazyLock::new(|| {
    let customers = short_samples(3, STEPS).expect("the samples load");
    let case = ReplayCase::undisturbed(3).expect("the weights load");
    let outcome = case.run(&customers).expect("it replays");
    Undisturbed {
        customers,
        case,
        outcome,
    }
});

/// At the begin of a step, amid its turns, and most likely behind them.
const DELAYS: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(4),
    Duration::from_millis(15),
];

/// Fells a victim by both blows after each delay, two steps apart.
fn nobody_notices(victim: Victim) {
    let Undisturbed {
        customers,
        case,
        outcome: expected,
    } = &*UNDISTURBED;
    assert_eq!(expected.violations, [""; 0]);
    let blows = [Blow::Panic, Blow::Kill];
    let pairs = DELAYS
        .into_iter()
        .flat_map(|delay| blows.map(|blow| (delay, blow)));
    let strikes = pairs.enumerate().map(|(index, (delay, blow))| Strike {
        step: 2 + index * 4,
        victim,
        blow,
        delay,
    });
    let case = ReplayCase {
        strikes: strikes.collect(),
        ..case.clone()
    };
    let found = case.run(customers).expect("it replays");
    // The checks inside: another actor id, every sample there once, the provider's ledger as committed.
    assert_eq!(found.violations, [""; 0]);
    assert_eq!(found.felt.len(), case.strikes.len());
    assert_eq!(differences(customers, expected, &found), [""; 0]);
    let restarts = if victim == Victim::Forecaster {
        case.strikes.len() as u64
    } else {
        0
    };
    assert_eq!(found.replayed.forecaster_restarts, restarts);
}

#[test]
fn a_twin_comes_back() {
    nobody_notices(Victim::Twin(1));
}

#[test]
fn the_forecaster_comes_back() {
    nobody_notices(Victim::Forecaster);
}

#[test]
fn the_optimizer_comes_back() {
    nobody_notices(Victim::Optimizer);
}

#[test]
fn the_provisioner_comes_back() {
    nobody_notices(Victim::Provisioner);
}

#[test]
fn all_of_them_in_one_step_come_back() {
    let Undisturbed {
        customers,
        case,
        outcome: expected,
    } = &*UNDISTURBED;
    let victims = [
        Victim::Twin(0),
        Victim::Twin(2),
        Victim::Forecaster,
        Victim::Optimizer,
        Victim::Provisioner,
    ];
    let strikes = victims.map(|victim| Strike {
        step: 10,
        victim,
        blow: Blow::Kill,
        delay: Duration::from_millis(1),
    });
    let case = ReplayCase {
        strikes: strikes.to_vec(),
        ..case.clone()
    };
    let found = case.run(customers).expect("it replays");
    assert_eq!(found.violations, [""; 0]);
    assert_eq!(found.felt.len(), victims.len());
    assert_eq!(differences(customers, expected, &found), [""; 0]);
}
