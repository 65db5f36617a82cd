//! Two processes under one node id.

use std::time::Duration;
use twinscale_membership::{
    KeyRing, Liveness, MemberState, MembershipView, PublishError, RefusalReason, Standing,
};
use twinscale_protocol::NodeNumber;

use super::harness::{Cluster, SOON, address, is, key, until};

#[tokio::test(start_paused = true)]
async fn the_younger_of_two_refuses_and_everyone_reports_it() {
    let mut cluster = Cluster::of(3, 31).await;
    cluster.serve().await;
    let mut config = cluster.config(2);
    config.listen = address(99);
    // Under the number 99 here, but with the node id 2.
    cluster.start_with(99, config, KeyRing::new(key(1))).await;
    let younger = cluster.member(99);
    let early = younger.set_state(MemberState::Serving).await;
    assert!(
        matches!(early, Err(PublishError::StandingUnknown)),
        "{early:?}"
    );

    let view = until(younger, "it refuses", SOON, |view| {
        matches!(view.standing, Standing::Refused(_))
    })
    .await;
    let duplicate = match &view.standing {
        Standing::Refused(duplicate) => Some(duplicate),
        _ => None,
    };
    let duplicate = duplicate.expect("just seen");
    assert_eq!(duplicate.member, NodeNumber(2));
    let lives: Vec<_> = duplicate.lives.iter().map(|(_, at)| *at).collect();
    assert_eq!(lives, [address(2), address(99)], "the older first");
    assert!(
        duplicate.to_string().contains("give it a node id"),
        "{duplicate}"
    );
    let refused = younger.set_state(MemberState::Serving).await;
    assert!(
        matches!(refused, Err(PublishError::Refused(_))),
        "{refused:?}"
    );

    // The older one and the rest report it; the older one may go on.
    for number in [1, 2, 3] {
        let member = cluster.member(number);
        until(member, "the duplicate", SOON, |view| {
            view.duplicates
                .iter()
                .any(|one| one.member == NodeNumber(2))
        })
        .await;
        assert_eq!(cluster.view(number).standing, Standing::Clear);
    }
    cluster
        .member(2)
        .set_state(MemberState::Serving)
        .await
        .expect("the older one serves");

    // The others hear from the younger that, and why, it does not serve.
    until(cluster.member(1), "its reason", SOON, |view| {
        let newest = view.members.get(&NodeNumber(2)).expect("a member");
        newest.gossip == address(99)
            && matches!(&newest.state, Some(MemberState::NotReady { why }) if why.contains("10.0.0.2:7000"))
    })
    .await;

    // A refusal is for good, also when the older one ends; the operator restarts the younger.
    cluster.kill(2).await;
    until(cluster.member(1), "no duplicate any more", SOON, |view| {
        view.duplicates.is_empty()
    })
    .await;
    assert!(matches!(cluster.view(99).standing, Standing::Refused(_)));
    cluster.kill(99).await;
    cluster.start(2).await;
    until(cluster.member(2), "clear", SOON, |view| {
        view.standing == Standing::Clear && is(view, 1, Liveness::Alive)
    })
    .await;
    cluster
        .member(2)
        .set_state(MemberState::Serving)
        .await
        .expect("it serves");
}

#[tokio::test(start_paused = true)]
async fn a_quick_restart_is_no_duplicate() {
    let mut cluster = Cluster::of(3, 32).await;
    for _ in 0..10 {
        cluster.kill(3).await;
        cluster.start(3).await;
        // In every view on the way, not only in the last.
        let always = |view: &MembershipView| {
            assert_eq!(view.duplicates, []);
            view.alive() == 3 && view.standing == Standing::Clear
        };
        cluster.until_all("all see all", always).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_restarts_refuses_nothing_of_its_own() {
    let mut cluster = Cluster::new(33);
    for number in 1..=3 {
        cluster.start(number).await;
    }
    cluster.settle().await;
    cluster.kill(3).await;
    cluster.start(3).await;
    cluster.settle().await;
    // Some hundred rounds, in which gossip looks for the earlier life as well.
    tokio::time::sleep(Duration::from_mins(1)).await;
    for number in 1..=3 {
        let refusals = cluster.member(number).refusals();
        assert_eq!(refusals.count(RefusalReason::Replayed), 0, "{number}");
    }
}
