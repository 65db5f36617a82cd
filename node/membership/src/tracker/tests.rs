//! The rules of the view on hand-made rounds, and invariants over random ones.

use proptest::prelude::*;
use twinscale_protocol::NodeNumber;

use super::*;
use crate::gossiped::MemberState;
use crate::view::Change;

const GRACE: Duration = Duration::from_secs(3);

fn life(member: u64, incarnation: u64) -> Life {
    Life {
        member: NodeNumber(member),
        incarnation: Incarnation(incarnation),
        address: SocketAddr::from(([10, 0, 0, 1], 7_000)),
    }
}

fn seen(life: Life, alive: bool, heartbeat: u64) -> Observed {
    Observed {
        life,
        alive,
        heartbeat,
        version: 0,
        document: None,
    }
}

fn at(seconds: u64) -> Moment {
    Moment {
        elapsed: Duration::from_secs(seconds),
        unix_ms: seconds * 1_000,
    }
}

fn left() -> Document {
    Document {
        state: Some(MemberState::Left),
        ..Document::default()
    }
}

#[test]
fn an_incarnation_that_never_lived_is_not_shown() {
    let mut tracker = Tracker::new(life(1, 1), GRACE);
    let round = vec![seen(life(1, 1), true, 1), seen(life(2, 1), false, 9)];
    tracker.observe(round, at(0));
    assert_eq!(tracker.view().liveness(NodeNumber(2)), None);
    assert_eq!(tracker.view().alive(), 1);
}

#[test]
fn a_view_changes_only_with_what_it_shows() {
    let mut tracker = Tracker::new(life(1, 1), GRACE);
    let round = |heartbeat| {
        vec![
            seen(life(1, 1), true, heartbeat),
            seen(life(2, 1), true, heartbeat),
        ]
    };
    assert!(tracker.observe(round(1), at(0)));
    assert!(!tracker.observe(round(2), at(1)), "only heartbeats rose");
    let number = tracker.view().number;
    assert!(tracker.observe(round(3), at(3)), "the standing is clear");
    assert_eq!(tracker.view().number, number + 1);
}

#[test]
fn a_leaver_that_falls_silent_has_not_died() {
    let mut tracker = Tracker::new(life(1, 1), GRACE);
    let mut farewell = seen(life(2, 1), true, 2);
    farewell.document = Some(left());
    farewell.version = 5;
    tracker.observe(
        vec![seen(life(1, 1), true, 1), seen(life(2, 1), true, 1)],
        at(0),
    );
    tracker.observe(vec![seen(life(1, 1), true, 2), farewell], at(1));
    let before = tracker.view().clone();
    let mut silent = seen(life(2, 1), false, 2);
    silent.version = 5;
    tracker.observe(vec![seen(life(1, 1), true, 3), silent], at(2));
    let member = tracker.view().members.get(&NodeNumber(2)).expect("shown");
    assert_eq!((member.liveness, member.deaths), (Liveness::Left, 0));
    assert_eq!(member.since_unix_ms, 1_000);
    assert_eq!(tracker.view().changes_since(&before), []);
}

/// The older incarnation's heartbeat stands still: its silence is only not noticed yet.
#[test]
fn a_restart_is_checked_until_the_old_life_is_silent() {
    let mut tracker = Tracker::new(life(1, 8), GRACE);
    for second in 0..5 {
        let round = vec![
            seen(life(1, 7), true, 50),
            seen(life(1, 8), true, second + 1),
        ];
        tracker.observe(round, at(second));
        assert_eq!(tracker.view().standing, Standing::Checking, "{second}");
        assert_eq!(tracker.view().duplicates, []);
    }
    let round = vec![seen(life(1, 7), false, 50), seen(life(1, 8), true, 9)];
    tracker.observe(round, at(5));
    assert_eq!(tracker.view().standing, Standing::Clear);
    let own = tracker.view().members.get(&NodeNumber(1)).expect("shown");
    assert_eq!(own.incarnation, Incarnation(8));
}

#[test]
fn the_younger_of_two_that_go_on_living_is_refused_for_good_and_the_older_is_not() {
    let run = |own| {
        let mut tracker = Tracker::new(own, GRACE);
        for second in 0..6 {
            let rounds = [7, 8].map(|number| seen(life(1, number), true, second + 1));
            tracker.observe(rounds.into(), at(second));
        }
        tracker
    };
    let mut younger = run(life(1, 8));
    assert!(matches!(younger.view().standing, Standing::Refused(_)));
    assert_eq!(younger.view().duplicates.len(), 1);
    younger.observe(vec![seen(life(1, 8), true, 99)], at(60));
    assert_eq!(younger.view().duplicates, []);
    assert!(
        matches!(younger.view().standing, Standing::Refused(_)),
        "for good"
    );

    let older = run(life(1, 7));
    assert_eq!(older.view().standing, Standing::Clear);
    assert_eq!(
        older.view().duplicates.len(),
        1,
        "it reports it all the same"
    );
}

#[test]
fn changes_name_a_death_a_return_and_a_forgetting() {
    let mut tracker = Tracker::new(life(1, 1), GRACE);
    let own = || seen(life(1, 1), true, 1);
    let mut steps = Vec::new();
    for (second, other) in [
        (0, Some(true)),
        (1, Some(false)),
        (2, Some(true)),
        (3, Some(false)),
        (4, None),
    ] {
        let before = tracker.view().clone();
        let other = other.map(|alive| seen(life(2, 1), alive, second));
        tracker.observe(std::iter::once(own()).chain(other).collect(), at(second));
        steps.push(tracker.view().changes_since(&before));
    }
    let id = NodeNumber(2);
    let expected = [
        vec![Change::Appeared(NodeNumber(1)), Change::Appeared(id)],
        vec![Change::Died(id)],
        vec![Change::Returned(id)],
        vec![Change::Died(id)],
        vec![Change::Forgotten(id)],
    ];
    assert_eq!(steps, expected);
}

fn rounds() -> impl Strategy<Value = Vec<Vec<(u64, u64, bool, u64)>>> {
    let one = (2..5_u64, 1..4_u64, any::<bool>(), 0..50_u64);
    proptest::collection::vec(proptest::collection::vec(one, 0..8), 0..40)
}

proptest! {
    #[test]
    fn a_living_member_is_always_shown_alive_and_once(rounds in rounds()) {
        let mut tracker = Tracker::new(life(1, 1), GRACE);
        for (second, round) in (0..).zip(rounds) {
            let observed: BTreeMap<Life, Observed> = round
                .into_iter()
                .map(|(member, incarnation, alive, heartbeat)| {
                    let life = life(member, incarnation);
                    (life, seen(life, alive, heartbeat))
                })
                .collect();
            let living: BTreeMap<NodeNumber, Incarnation> = observed
                .values()
                .filter(|one| one.alive)
                .map(|one| (one.life.member, one.life.incarnation))
                .collect();
            let known: Vec<NodeNumber> = observed.keys().map(|one| one.member).collect();
            let mut round: Vec<_> = observed.into_values().collect();
            round.push(seen(life(1, 1), true, second));
            tracker.observe(round, at(second));
            let view = tracker.view();
            for (id, incarnation) in living {
                let member = view.members.get(&id).expect("shown");
                prop_assert_eq!(member.liveness, Liveness::Alive);
                prop_assert_eq!(member.incarnation, incarnation, "the newest that lives");
            }
            for id in view.members.keys() {
                prop_assert!(*id == NodeNumber(1) || known.contains(id), "forgotten with gossip");
            }
        }
    }
}
