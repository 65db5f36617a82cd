//! Who would vote for whom, and when a replica is due.

use super::*;

const A: NodeNumber = NodeNumber(1);
const B: NodeNumber = NodeNumber(2);

const FIFTH: Option<LogPosition> = Some(LogPosition { term: 3, index: 5 });
const SIXTH: Option<LogPosition> = Some(LogPosition { term: 3, index: 6 });

#[test]
fn who_hears_a_leader_votes_for_no_other() {
    let options = GroupsOptions::default();
    let now = Instant::now();
    let mut state = State {
        heard: Some(now),
        ..State::default()
    };
    let almost = now + options.election_max - Duration::from_millis(1);
    assert!(!state.would_vote(almost, (FIFTH, A), (SIXTH, B), &options));
    let silent = now + options.election_max;
    assert!(state.would_vote(silent, (FIFTH, A), (SIXTH, B), &options));
    let due = state.due(options.election_max, now, Duration::ZERO);
    assert_eq!(
        due,
        silent + options.election_min / 2,
        "it leaves the field to the other"
    );
}

#[test]
fn shorter_log_gets_no_vote() {
    let options = GroupsOptions::default();
    let now = Instant::now();
    let mut state = State::default();
    let newer_term = Some(LogPosition { term: 4, index: 1 });
    assert!(!state.would_vote(now, (SIXTH, A), (FIFTH, B), &options));
    assert!(!state.would_vote(now, (newer_term, A), (SIXTH, B), &options));
    assert_eq!(state.yields_until, None);
    assert!(state.would_vote(now, (FIFTH, A), (FIFTH, B), &options));
    assert!(State::default().would_vote(now, (None, A), (None, B), &options));
}

#[test]
fn of_two_that_ask_at_once_one_gets_the_others_word() {
    let options = GroupsOptions::default();
    let now = Instant::now();
    for (last_a, last_b) in [
        (FIFTH, FIFTH),
        (FIFTH, SIXTH),
        (SIXTH, FIFTH),
        (None, FIFTH),
    ] {
        let asking = State {
            is_asking: true,
            ..State::default()
        };
        let (mut of_a, mut of_b) = (asking, asking);
        let a_says = of_a.would_vote(now, (last_a, A), (last_b, B), &options);
        let b_says = of_b.would_vote(now, (last_b, B), (last_a, A), &options);
        assert!(a_says != b_says, "{last_a:?} {last_b:?}: {a_says} {b_says}");
    }
}

#[test]
fn replica_is_due_after_all_that_keeps_it() {
    let now = Instant::now();
    let ms = Duration::from_millis;
    let mut state = State::default();
    assert_eq!(state.due(ms(800), now, ms(50)), now + ms(50));
    state.heard = Some(now);
    assert_eq!(state.due(ms(800), now, ms(50)), now + ms(800));
    state.yields_until = Some(now + ms(900));
    assert_eq!(state.due(ms(800), now, ms(50)), now + ms(900));
    assert_eq!(state.due(ms(800), now + ms(500), ms(500)), now + ms(1_000));
}

#[test]
fn majorities_of_both_sets_are_needed() {
    let set = |numbers: &[u64]| {
        numbers
            .iter()
            .copied()
            .map(NodeNumber)
            .collect::<BTreeSet<_>>()
    };
    let joint = [set(&[1, 2, 3]), set(&[3, 4, 5])];
    assert!(!has_majorities(&joint, &set(&[1, 2])));
    assert!(!has_majorities(&joint, &set(&[1, 2, 3])));
    assert!(has_majorities(&joint, &set(&[1, 3, 4])));
    assert!(has_majorities(&[set(&[1])], &set(&[1])));
    assert!(!has_majorities(&[set(&[1, 2])], &set(&[1])));
}
