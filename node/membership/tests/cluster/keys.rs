//! Keys change under a running cluster.

use std::time::Duration;
use twinscale_membership::{KeyRing, KeyState, RefusalReason};
use twinscale_protocol::ClusterId;

use super::harness::{Cluster, key};

/// Long enough for some dozen rounds between any two members.
const STEP: Duration = Duration::from_secs(15);

#[tokio::test(start_paused = true)]
async fn a_rotation_over_five_members_costs_no_death_and_the_old_key_ends() {
    let cluster = Cluster::of(5, 21).await;
    let (old, new) = (key(1).id(), key(2).id());
    // One node after the other, with rounds between: at each moment some are a step ahead.
    for member in cluster.members.values() {
        member.keys().accept(key(2)).expect("room");
        tokio::time::sleep(STEP).await;
    }
    for member in cluster.members.values() {
        member.keys().send_with(new).expect("accepted");
        tokio::time::sleep(STEP).await;
    }
    let opened_under_old = |cluster: &Cluster| -> u64 {
        let reports = cluster.members.values().flat_map(|one| one.keys().report());
        reports
            .filter(|one| one.id == old)
            .map(|one| one.opened)
            .sum()
    };
    let before = opened_under_old(&cluster);
    tokio::time::sleep(STEP).await;
    assert_eq!(
        opened_under_old(&cluster),
        before,
        "the report says that the old key is idle"
    );
    for member in cluster.members.values() {
        member.keys().retire(old).expect("idle");
        tokio::time::sleep(STEP).await;
    }
    cluster.settle().await;
    assert_eq!(cluster.deaths(), 0);
    for member in cluster.members.values() {
        let report = member.keys().report();
        assert_eq!(report.len(), 1);
        assert!(
            report
                .iter()
                .all(|one| one.id == new && one.state == KeyState::Sending)
        );
        assert_eq!(member.refusals().count(RefusalReason::UnknownKey), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_with_another_key_or_cluster_id_stays_outside_and_is_counted() {
    let mut cluster = Cluster::of(3, 22).await;
    let config = cluster.config(4);
    cluster.start_with(4, config, KeyRing::new(key(9))).await;
    let mut config = cluster.config(5);
    config.cluster = ClusterId::new("elsewhere").expect("an id");
    cluster.start_with(5, config, KeyRing::new(key(1))).await;
    tokio::time::sleep(STEP).await;
    for number in [1, 2] {
        let refusals = cluster.member(number).refusals();
        assert!(refusals.count(RefusalReason::UnknownKey) > 0, "{number}");
        assert!(refusals.count(RefusalReason::OtherCluster) > 0, "{number}");
        assert_eq!(cluster.view(number).members.len(), 3);
    }
    assert_eq!(cluster.view(4).members.len(), 1);
    assert_eq!(cluster.view(5).members.len(), 1);
    assert_eq!(cluster.deaths(), 0);
}
