//! A clock that is off is reported, not a silent split.

use twinscale_membership::{Liveness, RefusalReason};
use twinscale_protocol::NodeNumber;

use super::harness::{Cluster, is};

#[tokio::test(start_paused = true)]
async fn a_clock_an_hour_off_is_told_on_both_sides_and_heals() {
    let cluster = Cluster::of(4, 51).await;
    let clock = cluster.clocks.get(&4).expect("a clock");
    clock.set_offset_ms(-3_600_000);
    for number in [1, 2, 3] {
        let member = cluster.member(number);
        super::harness::until(member, "4 is dead", super::harness::SOON, |view| {
            is(view, 4, Liveness::Dead)
        })
        .await;
        let refusals = member.refusals();
        assert!(refusals.count(RefusalReason::Clock) > 0);
        let reported: Vec<_> = refusals.clocks.iter().map(|one| one.member).collect();
        assert_eq!(reported, [NodeNumber(4)]);
        let text = refusals.clocks.first().expect("a report").to_string();
        assert!(text.contains("node 4 is 3600 s behind ours"), "{text}");
    }
    // It sees all others ahead, so an operator knows that the fault is its own.
    let all_ahead = || {
        let clocks = cluster.member(4).refusals().clocks;
        let ahead = clocks.iter().filter(|one| one.offset_ms > 3_500_000);
        ahead.map(|one| one.member.0).eq([1, 2, 3])
    };
    super::harness::until_true("all clocks are ahead of it", all_ahead).await;

    clock.set_offset_ms(0);
    cluster.settle().await;
    let forgiven = || cluster.member(1).refusals().clocks.is_empty();
    super::harness::until_true("no clock is reported any more", forgiven).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_a_minute_off_does_no_harm() {
    let cluster = Cluster::of(4, 52).await;
    cluster
        .clocks
        .get(&4)
        .expect("a clock")
        .set_offset_ms(60_000);
    tokio::time::sleep(std::time::Duration::from_mins(1)).await;
    cluster.settle().await;
    assert_eq!(cluster.deaths(), 0);
}
