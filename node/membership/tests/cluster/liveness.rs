//! Who is alive: meeting, telling, dying, returning, leaving.

use std::collections::BTreeMap;
use std::time::Duration;
use twinscale_membership::{Change, LeaderHint, Liveness, Load, MemberState, RefusalReason};
use twinscale_protocol::NodeNumber;

use super::harness::{Cluster, SOON, is, until};

#[tokio::test(start_paused = true)]
async fn members_meet_and_know_what_each_tells() {
    let cluster = Cluster::of(5, 1).await;
    cluster.serve().await;
    let load = Load {
        twins: 1_200,
        cpu_per_mille: 415,
        log_latency_us: 2_300,
    };
    let third = cluster.member(3);
    third.set_load(load).await.expect("told");
    third
        .set_leads(&BTreeMap::from([(17, 4), (18, 9)]))
        .await
        .expect("told");
    // An older claim of the same shard, by a leader that does not know yet.
    let stale = BTreeMap::from([(17, 3)]);
    cluster.member(5).set_leads(&stale).await.expect("told");
    cluster
        .until_all("member 3 told all", |view| {
            let told = view.members.get(&NodeNumber(3)).expect("a member");
            let stale = view.members.get(&NodeNumber(5)).expect("a member");
            told.load == Some(load)
                && told.leads.len() == 2
                && stale.leads.len() == 1
                && told.state == Some(MemberState::Serving)
        })
        .await;
    let view = cluster.view(1);
    let member = NodeNumber(3);
    assert_eq!(view.leader_hint(17), Some(LeaderHint { member, term: 4 }));
    assert_eq!(view.leader_hint(18), Some(LeaderHint { member, term: 9 }));
    assert_eq!(view.leader_hint(19), None);
    let told = view.members.get(&member).expect("a member");
    let identity = told.identity.as_ref().expect("an identity");
    assert_eq!(identity.name.as_str(), "node-3");
    assert_eq!(identity.zone, "zone-0");
    assert!(told.unreadable.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dead_member_is_seen_dead_gives_no_hint_and_returns_as_a_new_incarnation() {
    let mut cluster = Cluster::of(5, 2).await;
    let fourth = cluster.member(4);
    fourth
        .set_leads(&BTreeMap::from([(7, 2)]))
        .await
        .expect("told");
    cluster
        .until_all("the hint", |view| view.leader_hint(7).is_some())
        .await;
    let before = cluster.view(1);
    cluster.kill(4).await;
    cluster
        .until_all("member 4 is dead", |view| is(view, 4, Liveness::Dead))
        .await;
    let dead = cluster.view(1);
    assert_eq!(dead.changes_since(&before), [Change::Died(NodeNumber(4))]);
    assert_eq!(dead.leader_hint(7), None, "the dead lead nothing");
    assert_eq!(dead.alive(), 4);

    cluster.start(4).await;
    cluster.settle().await;
    let back = cluster.view(1);
    let restarted = Change::Restarted(NodeNumber(4));
    assert!(back.changes_since(&dead).contains(&restarted));
    assert_eq!(back.members.len(), 5, "shown once");
    assert_eq!(cluster.view(1).duplicates, [], "a restart is no duplicate");
}

#[tokio::test(start_paused = true)]
async fn no_one_dies_falsely_in_ten_minutes_of_a_poor_network() {
    let cluster = Cluster::of(5, 3).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    cluster.settle().await;
    assert_eq!(cluster.deaths(), 0);
    let replayed = cluster.member(1).refusals().count(RefusalReason::Replayed);
    assert!(replayed > 100, "the network doubles: {replayed}");
}

#[tokio::test(start_paused = true)]
async fn a_leaver_has_left_and_not_failed() {
    let mut cluster = Cluster::of(5, 4).await;
    let leaver = cluster.members.remove(&2).expect("a member");
    let report = leaver.leave(SOON).await.expect("told");
    assert_eq!(report.told, [1, 3, 4, 5].map(NodeNumber));
    assert_eq!(report.untold, []);
    cluster
        .until_all("member 2 left", |view| is(view, 2, Liveness::Left))
        .await;
    // Its silence, long after, makes no failure of it.
    tokio::time::sleep(Duration::from_mins(1)).await;
    cluster
        .until_all("member 2 left", |view| is(view, 2, Liveness::Left))
        .await;
    assert_eq!(cluster.deaths(), 0);

    cluster.start(2).await;
    cluster.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_leaver_says_who_did_not_hear_it() {
    let mut cluster = Cluster::of(3, 5).await;
    let gone = super::harness::address(3);
    cluster
        .network
        .partition(&[gone], &[1, 2].map(super::harness::address));
    let leaver = cluster.members.remove(&1).expect("a member");
    let report = leaver
        .leave(Duration::from_millis(700))
        .await
        .expect("told");
    assert_eq!(report.told, [NodeNumber(2)]);
    assert_eq!(report.untold, [NodeNumber(3)]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_not_ready_says_why() {
    let cluster = Cluster::of(3, 6).await;
    let why = "the disk is full; free 2 GB at /var/lib/twinscale".to_owned();
    let state = MemberState::NotReady { why };
    cluster
        .member(2)
        .set_state(state.clone())
        .await
        .expect("told");
    let view = until(cluster.member(3), "the reason", SOON, |view| {
        let member = view.members.get(&NodeNumber(2)).expect("a member");
        member.state == Some(state.clone())
    })
    .await;
    assert!(is(&view, 2, Liveness::Alive), "not ready is not dead");
}

/// Each tells as much as it may, so that no datagram holds all, and thirty digests beside.
#[tokio::test(start_paused = true)]
async fn thirty_members_with_the_longest_hints_know_all_and_see_deaths() {
    let mut cluster = Cluster::of(30, 7).await;
    for (number, member) in &cluster.members {
        // Of numbers that do not repeat, so that they pack badly.
        let shards = (0..1_500_u64).map(|shard| {
            let term = (shard * 7_919 + number * 104_729) % 1_000_003;
            (u32::try_from(shard).expect("small"), term)
        });
        member.set_leads(&shards.collect()).await.expect("told");
    }
    cluster
        .until_all("all hints of all", |view| {
            view.members.values().all(|one| one.leads.len() == 1_500)
        })
        .await;
    assert_eq!(cluster.deaths(), 0);
    for number in 26..=30 {
        cluster.kill(number).await;
    }
    cluster
        .until_all("five are dead", |view| view.alive() == 25)
        .await;
    for member in cluster.members.values() {
        let refusals = member.refusals();
        for reason in [
            RefusalReason::OutgoingTooLarge,
            RefusalReason::TooLarge,
            RefusalReason::Malformed,
        ] {
            assert_eq!(refusals.count(reason), 0, "{reason}");
        }
    }
    let hint = cluster.view(1).leader_hint(17).expect("a hint");
    let view = cluster.view(1);
    let highest = view
        .members
        .values()
        .filter(|one| one.liveness == Liveness::Alive);
    let highest = highest.filter_map(|one| one.leads.get(&17)).max();
    assert_eq!(Some(&hint.term), highest);
}
