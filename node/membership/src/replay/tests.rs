//! Properties of window and guard against plain models.

use twinscale_protocol::NodeNumber;

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn session(member: u64) -> Session {
    Session {
        member: NodeNumber(member),
        incarnation: Incarnation(1),
        salt: [3; 16],
    }
}

/// Counters as a network would deliver them: mostly near each other, repeated, now and then far off.
fn counters() -> impl Strategy<Value = Vec<u64>> {
    let near = 1..3 * REPLAY_WINDOW;
    let far = prop_oneof![Just(0), Just(u64::MAX), Just(u64::MAX - 1), 1..u64::MAX];
    proptest::collection::vec(prop_oneof![9 => near, 1 => far], 0..3_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Against a plain model: a set of all that was accepted, and the newest.
    #[test]
    fn a_counter_is_accepted_at_most_once_and_just_when_the_window_allows(counters in counters()) {
        let mut window = ReplayWindow::new();
        let mut accepted = BTreeSet::new();
        let mut newest = 0;
        for counter in counters {
            let in_window = counter > newest || newest - counter < REPLAY_WINDOW;
            let expected = counter > 0 && in_window && !accepted.contains(&counter);
            prop_assert_eq!(window.accept(counter), expected, "counter {} after {}", counter, newest);
            if expected {
                accepted.insert(counter);
                newest = newest.max(counter);
            }
        }
    }

    /// Whatever arrives, from whom, with which times, and whatever the guard forgets.
    #[test]
    fn a_guard_accepts_each_datagram_at_most_once(
        deliveries in proptest::collection::vec((0..6_u64, 1..40_u64, 0..1_000_u64), 0..500),
    ) {
        let mut guard = ReplayGuard::new(session(99), 50);
        let mut accepted = BTreeSet::new();
        for (member, counter, now_ms) in deliveries {
            // A sender's clock and counter rise together; the receiver's clock jumps about.
            let judgement = guard.judge(session(member), counter, 1_000 + counter, now_ms);
            if now_ms % 7 == 0 {
                guard.forget_stale(now_ms);
            }
            if judgement == Judgement::Accepted {
                prop_assert!(accepted.insert((member, counter)), "{member}: {counter} twice");
            }
        }
    }
}

#[test]
fn the_window_has_exactly_its_bounds() {
    let mut window = ReplayWindow::new();
    let newest = 10 * REPLAY_WINDOW;
    assert!(window.accept(newest));
    assert!(window.accept(newest - REPLAY_WINDOW + 1), "the last inside");
    assert!(!window.accept(newest - REPLAY_WINDOW), "the first outside");
    assert!(!window.accept(newest), "again");
    assert!(
        window.accept(newest + REPLAY_WINDOW),
        "a leap clears the window"
    );
    assert!(!window.accept(newest), "behind it now");
    assert!(window.accept(newest + 1));
}

/// Found by the property above: a session that comes back after it was forgotten has an empty window.
#[test]
fn a_session_that_was_forgotten_and_came_back_takes_no_datagram_of_its_past() {
    let mut guard = ReplayGuard::new(session(99), 50);
    assert_eq!(guard.judge(session(1), 22, 1_022, 10), Judgement::Accepted);
    guard.forget_stale(900);
    assert_eq!(guard.judge(session(1), 40, 1_040, 10), Judgement::Accepted);
    assert_eq!(guard.judge(session(1), 22, 1_022, 10), Judgement::Replayed);
}

#[test]
fn a_reflected_datagram_is_a_replay() {
    let mut guard = ReplayGuard::new(session(1), 1_000);
    assert_eq!(guard.judge(session(1), 7, 0, 0), Judgement::Replayed);
}

#[test]
fn sessions_are_bounded_and_stale_ones_make_room() {
    let mut guard = ReplayGuard::new(session(u64::MAX), 1_000);
    for member in 0..SESSIONS_MAX as u64 {
        assert_eq!(guard.judge(session(member), 1, 10, 10), Judgement::Accepted);
    }
    let one_more = session(SESSIONS_MAX as u64);
    assert_eq!(
        guard.judge(one_more, 1, 2_010, 2_010),
        Judgement::TooManySessions
    );
    assert_eq!(
        guard.judge(session(0), 2, 2_010, 2_010),
        Judgement::Accepted
    );
    assert_eq!(guard.judge(one_more, 1, 2_011, 2_011), Judgement::Accepted);
    assert_eq!(
        guard.sessions.len(),
        2,
        "the one heard lately, and the new one"
    );
    assert_eq!(
        guard.judge(session(5), 1, 10, 10),
        Judgement::Replayed,
        "forgotten, not fresh"
    );
}
