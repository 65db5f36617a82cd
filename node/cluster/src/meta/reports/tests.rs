//! What the planner is shown of reports that come late, twice, or from leaders of old terms.

use super::*;
use twinscale_protocol::ShardId;

const GROUP: GroupId = GroupId::Shard(ShardId(3));

fn at(seconds: u64) -> UnixMillis {
    UnixMillis(1_700_000_000_000 + seconds * 1_000)
}

fn led(term: u64, membership_index: u64, voters: &[u64], learners: &[u64]) -> LedGroup {
    let numbers = |nodes: &[u64]| nodes.iter().copied().map(NodeNumber).collect::<Vec<_>>();
    LedGroup {
        group: GROUP,
        term,
        membership_index,
        voters: vec![numbers(voters)],
        learners: numbers(learners),
        last_index: Some(99),
        matched: BTreeMap::new(),
    }
}

fn report(node: u64, number: u64, led: Option<LedGroup>) -> NodeReport {
    NodeReport {
        node: NodeNumber(node),
        number: (1, number),
        meta_index: None,
        held: BTreeMap::from([(GROUP, 0)]),
        led: led.into_iter().collect(),
    }
}

fn observed(reports: &Reports, now: UnixMillis) -> GroupObserved {
    reports.observe(now).remove(&GROUP).expect("reported of")
}

#[test]
fn newest_term_leads_and_no_membership_goes_back() {
    let reports = Reports::default();
    reports.take(report(1, 1, Some(led(4, 20, &[1, 2, 3], &[]))), at(0));
    reports.take(report(2, 1, Some(led(5, 30, &[2, 3, 4], &[]))), at(1));
    // The old leader still believes in itself, and its report comes last.
    reports.take(report(1, 2, Some(led(4, 20, &[1, 2, 3], &[]))), at(2));
    let seen = observed(&reports, at(2));
    assert_eq!(seen.leader, Some(NodeNumber(2)));
    assert_eq!(seen.membership_index, 30);
    assert_eq!(seen.held_by, [1, 2].map(NodeNumber).into());
    // Even when nobody else reports any more, nor after another node led group 0 meanwhile.
    reports.forget();
    reports.take(report(1, 3, Some(led(4, 20, &[1, 2, 3], &[]))), at(9));
    let seen = observed(&reports, at(9));
    assert_eq!(seen.leader, Some(NodeNumber(1)));
    assert_eq!(seen.membership_index, 30);
    assert_eq!(seen.voters, [[2, 3, 4].map(NodeNumber).into()]);
}

#[test]
fn late_and_repeated_reports_change_nothing_and_old_ones_end() {
    let reports = Reports::default();
    reports.take(report(1, 2, None), at(0));
    reports.take(report(1, 1, Some(led(4, 20, &[1], &[]))), at(1));
    assert_eq!(observed(&reports, at(1)).leader, None);
    assert_eq!(reports.reporters(at(2)), [NodeNumber(1)].into());
    assert_eq!(reports.reporters(at(3)), BTreeSet::new());
    assert!(reports.observe(at(3)).is_empty());
    let restarted = NodeReport {
        number: (2, 0),
        ..report(1, 0, Some(led(5, 21, &[1], &[])))
    };
    reports.take(restarted, at(4));
    assert_eq!(observed(&reports, at(4)).leader, Some(NodeNumber(1)));
}

#[test]
fn learner_that_does_not_grow_is_seen_to_stand_still() {
    let reports = Reports::default();
    let mut copies = led(4, 20, &[1], &[2]);
    reports.take(report(1, 1, Some(copies.clone())), at(0));
    let learner = |now| observed(&reports, now).learners[&NodeNumber(2)];
    assert_eq!(learner(at(0)).lag, u64::MAX, "it did not answer yet");
    reports.take(report(1, 2, Some(copies.clone())), at(2));
    assert_eq!(learner(at(2)).stalled_for, Seconds(2));
    copies.matched.insert(NodeNumber(2), Some(89));
    reports.take(report(1, 3, Some(copies.clone())), at(4));
    let grown = LearnerProgress {
        lag: 10,
        stalled_for: Seconds(0),
    };
    assert_eq!(learner(at(4)), grown);
    reports.take(report(1, 4, Some(copies.clone())), at(6));
    assert_eq!(learner(at(6)).stalled_for, Seconds(2));
    copies.last_index = Some(89);
    reports.take(report(1, 5, Some(copies)), at(7));
    assert_eq!(learner(at(7)).lag, 0);
}
