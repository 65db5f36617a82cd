use super::super::history::{Answer, History, Operated, Operation, Outcome};
use super::search::{Ended, Search};
use super::step::{Held, step};
use super::{Effort, RegisterVerdict, check_registers, counts, is_answered};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const ENOUGH: Effort<'_> = Effort {
    steps_max: 20_000_000,
    is_over: &|| false,
};

const WRITE: fn(u64) -> Operation = |value| Operation::Write { value };

const SET: fn(Option<u64>, u64) -> Operation =
    |expected, value| Operation::CompareAndSet { expected, value };

const READ: fn(Option<u64>) -> Answer = |value| Answer::Read { value };

/// An operation of the key `acme`; without an answer its outcome is unknown.
fn one(invoked_us: u64, operation: Operation, answered: Option<(u64, Answer)>) -> Operated {
    Operated {
        process: 0,
        invoked_us,
        key: "acme".to_owned(),
        operation,
        outcome: answered.map_or(Outcome::Unknown, |(at_us, answer)| Outcome::Ok {
            at_us,
            answer,
        }),
        line: 1,
    }
}

fn check(operations: &[Operated]) -> RegisterVerdict {
    let history = History {
        operations: operations.to_vec(),
    };
    check_registers(&history, &ENOUGH)
}

#[track_caller]
fn holds(operations: &[Operated]) {
    let verdict = check(operations);
    assert!(verdict.passed(), "{verdict:?}");
}

#[track_caller]
fn is_broken(operations: &[Operated], words: &[&str]) {
    let verdict = check(operations);
    assert_eq!(verdict.violated, 1, "{verdict:?}");
    let told = format!("{:?}", verdict.violations);
    for word in words {
        assert!(told.contains(word), "`{word}` is not in {told}");
    }
}

#[test]
fn a_register_that_does_as_it_says_is_linearizable() {
    holds(&[
        one(0, SET(None, 1), Some((5, Answer::Done))),
        one(1, Operation::Read, Some((3, READ(Some(1))))),
        one(2, Operation::Read, Some((3, READ(None)))),
        one(6, SET(Some(9), 2), Some((7, Answer::Conflict))),
        one(
            6,
            SET(Some(9), 2),
            Some((7, Answer::Found { value: Some(1) })),
        ),
        one(8, WRITE(4), Some((9, Answer::Done))),
        one(10, Operation::Read, Some((11, READ(Some(4))))),
    ]);
}

#[test]
fn a_lost_acknowledged_write_is_caught() {
    is_broken(
        &[
            one(0, WRITE(1), Some((1, Answer::Done))),
            one(2, WRITE(2), Some((3, Answer::Done))),
            one(4, Operation::Read, Some((5, READ(Some(1))))),
        ],
        &["read at 4 us -> 1", "states: [\"2\"]"],
    );
}

#[test]
fn a_stale_read_of_a_cut_off_leader_is_caught() {
    is_broken(
        &[
            one(0, SET(None, 1), Some((1, Answer::Done))),
            one(2, SET(Some(1), 2), Some((3, Answer::Done))),
            one(4, Operation::Read, Some((5, READ(Some(2))))),
            one(6, Operation::Read, Some((7, READ(Some(1))))),
        ],
        &["read at 6 us -> 1"],
    );
}

#[test]
fn two_owners_who_both_grant_one_compare_and_set_are_caught() {
    is_broken(
        &[
            one(0, SET(None, 1), Some((9, Answer::Done))),
            one(1, SET(None, 2), Some((8, Answer::Done))),
        ],
        &["set", "if nothing"],
    );
}

#[test]
fn a_conflict_that_nothing_explains_is_caught() {
    is_broken(
        &[
            one(0, SET(None, 1), Some((1, Answer::Done))),
            one(2, SET(Some(1), 2), Some((3, Answer::Conflict))),
        ],
        &["-> conflict at 3 us"],
    );
}

#[test]
fn a_refused_write_that_took_effect_is_caught() {
    let mut refused = one(0, WRITE(1), None);
    refused.outcome = Outcome::Fail;
    is_broken(
        &[refused, one(2, Operation::Read, Some((3, READ(Some(1)))))],
        &["-> 1 at 3 us"],
    );
}

#[test]
fn an_unknown_write_may_come_late_or_never_but_not_twice() {
    let unknown = one(0, SET(None, 1), None);
    let after = |at, value| one(at, Operation::Read, Some((at + 1, READ(value))));
    holds(&[unknown.clone(), after(5, None), after(9, None)]);
    holds(&[unknown.clone(), after(5, None), after(9, Some(1))]);
    is_broken(
        &[unknown.clone(), after(5, Some(1)), after(9, None)],
        &["-> nothing"],
    );
    let written = one(10, WRITE(2), Some((11, Answer::Done)));
    let unset = one(0, WRITE(1), None);
    is_broken(
        &[
            unset.clone(),
            after(5, Some(1)),
            written.clone(),
            after(12, Some(1)),
        ],
        &["read at 12 us -> 1"],
    );
    holds(&[unset, after(5, None), written, after(12, Some(1))]);
}

#[test]
fn a_retry_that_applied_twice_is_caught() {
    // 1 -> 2 by a request that was sent twice, and back to 1 in between.
    is_broken(
        &[
            one(0, WRITE(1), Some((1, Answer::Done))),
            one(2, SET(Some(1), 2), Some((9, Answer::Done))),
            one(3, Operation::Read, Some((4, READ(Some(2))))),
            one(5, SET(Some(2), 1), Some((6, Answer::Done))),
            one(7, Operation::Read, Some((8, READ(Some(2))))),
        ],
        &["read at 7 us -> 2"],
    );
}

#[test]
fn keys_are_independent() {
    let mut other = one(0, WRITE(2), Some((1, Answer::Done)));
    other.key = "globex".to_owned();
    let stale = one(2, Operation::Read, Some((3, READ(Some(2)))));
    let verdict = check(&[other, stale]);
    assert_eq!((verdict.keys, verdict.linearizable), (2, 1));
    assert_eq!(verdict.violations[0].key, "acme");
}

/// Eight processes on one key, one outcome in eight unknown, no value written twice, as runners do.
#[test]
fn many_unknown_outcomes_stay_decidable() {
    for seed in 0..4 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut operations = simulated(&mut random, 3_000, &[0; 8], Values::Fresh);
        let verdict = check(&operations);
        assert!(verdict.passed(), "{seed}: {verdict:?}");
        assert!(verdict.unknown > 200, "{seed}: {verdict:?}");
        // The last answer is another's: found behind all the others.
        let stale = READ(Some(1));
        operations.push(one(u64::MAX - 1, Operation::Read, Some((u64::MAX, stale))));
        assert_eq!(check(&operations).violated, 1, "{seed}");
    }
}

#[test]
fn a_search_past_its_limit_is_undecided_and_no_pass() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let history = History {
        operations: simulated(&mut random, 3_000, &[0; 12], Values::Few),
    };
    for effort in [
        Effort {
            steps_max: 10,
            is_over: &|| false,
        },
        Effort {
            steps_max: u64::MAX,
            is_over: &|| true,
        },
    ] {
        let verdict = check_registers(&history, &effort);
        assert_eq!(verdict.undecided, ["acme"]);
        assert!(!verdict.passed());
        assert_eq!(verdict.violated, 0);
    }
}

/// Against a search that tries every order: thousands of small histories, right ones and wrong ones.
#[test]
fn every_order_tried_gives_the_same_verdict() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut verdicts = [0_u32; 2];
    for case in 0..20_000 {
        let mut operations = simulated(&mut random, 8, &[0; 4], Values::Few);
        if case % 2 == 0 {
            corrupt(&mut random, &mut operations);
        }
        let wanted = any_order(&operations);
        for fold_from in [0, usize::MAX] {
            let found = found(&operations, fold_from);
            assert_eq!(found, wanted, "case {case}, {fold_from}: {operations:#?}");
        }
        verdicts[usize::from(wanted)] += 1;
    }
    assert!(verdicts.iter().all(|count| *count > 500), "{verdicts:?}");
}

/// What is written.
#[derive(Clone, Copy)]
enum Values {
    /// One of three values, guessed at random.
    Few,
    /// A value of its own; what is expected is mostly right.
    Fresh,
}

impl Values {
    fn unknown_one_in(self) -> u32 {
        match self {
            Self::Few => 3,
            Self::Fresh => 8,
        }
    }
}

/// Clients of a real register, whose operations take effect somewhere between their ends.
fn simulated(
    random: &mut ChaCha8Rng,
    count: u64,
    free_at: &[u64],
    values: Values,
) -> Vec<Operated> {
    let mut free_at = free_at.to_vec();
    let mut planned: Vec<(u64, u64, u64, Operation, bool)> = Vec::new();
    for place in 0..count {
        let process = random.random_range(0..free_at.len());
        let invoked = free_at[process] + random.random_range(1..10);
        let effect = invoked + random.random_range(0..20);
        let answered = effect + random.random_range(0..20);
        free_at[process] = answered + 1;
        let (written, guessed) = match values {
            Values::Few => (random.random_range(1..4), random.random_range(0..4)),
            Values::Fresh => (place + 10, 0),
        };
        let operation = match random.random_range(0..4) {
            0 => Operation::Read,
            1 => WRITE(written),
            _ => SET((guessed > 0).then_some(guessed), written),
        };
        planned.push((
            effect,
            invoked,
            answered,
            operation,
            random.random_ratio(1, values.unknown_one_in()),
        ));
    }
    planned.sort_by_key(|plan| plan.0);
    let mut state = None;
    let mut operations = Vec::new();
    for (_, invoked, answered, mut operation, is_unknown) in planned {
        if let (Values::Fresh, Operation::CompareAndSet { expected, .. }) = (values, &mut operation)
            && random.random_ratio(3, 4)
        {
            *expected = state;
        }
        let never = is_unknown && random.random_ratio(1, 2);
        let answer = match &operation {
            Operation::Read => Answer::Read { value: state },
            Operation::CompareAndSet { expected, .. } if *expected != state => Answer::Conflict,
            Operation::Write { value } | Operation::CompareAndSet { value, .. } => {
                state = if never { state } else { Some(*value) };
                Answer::Done
            }
            Operation::Samples { .. } => continue,
        };
        let answered = (!is_unknown).then_some((answered, answer));
        operations.push(one(invoked, operation, answered));
    }
    operations.sort_by_key(|one| one.invoked_us);
    operations
}

fn corrupt(random: &mut ChaCha8Rng, operations: &mut [Operated]) {
    let place = random.random_range(0..operations.len());
    if let Outcome::Ok { answer, .. } = &mut operations[place].outcome {
        *answer = match answer {
            Answer::Read { value } => READ(Some(value.map_or(1, |value| (value + 1) % 4))),
            Answer::Conflict => Answer::Done,
            _ if matches!(operations[place].operation, Operation::CompareAndSet { .. }) => {
                Answer::Conflict
            }
            _ => return,
        };
    }
}

/// Whether the search finds an order, with and without folded values.
fn found(operations: &[Operated], fold_from: usize) -> bool {
    let operations: Vec<&Operated> = operations.iter().filter(|one| counts(one)).collect();
    let mut search = Search::new(&operations, &ENOUGH);
    search.fold_from = fold_from;
    matches!(search.run(), Ended::Linearizable)
}

/// The definition, word for word.
fn any_order(operations: &[Operated]) -> bool {
    let operations: Vec<&Operated> = operations.iter().filter(|one| counts(one)).collect();
    continues(&operations, 0, Held::Nothing)
}

fn continues(operations: &[&Operated], taken: u32, state: Held) -> bool {
    let left = |place: usize| taken & (1 << place) == 0;
    let answered_us = |one: &Operated| match &one.outcome {
        Outcome::Ok { at_us, .. } => *at_us,
        _ => u64::MAX,
    };
    let mut places = (0..operations.len()).filter(|place| left(*place));
    if places.clone().all(|place| !is_answered(operations[place])) {
        return true;
    }
    let first_answer = places
        .clone()
        .map(|place| answered_us(operations[place]))
        .min();
    places.any(|place| {
        // What began after another had been answered comes after it.
        first_answer.is_none_or(|first| operations[place].invoked_us <= first)
            && step(operations[place], state)
                .is_some_and(|next| continues(operations, taken | 1 << place, next))
    })
}
