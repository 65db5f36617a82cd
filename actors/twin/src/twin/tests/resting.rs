//! Twins whose actor ends and whose state is put away between their turns.

use super::*;
use crate::twins::Twins as _;

/// Puts the state away; the twin's actor has ended.
fn put_away(world: &World) {
    world.host.put_away_idle();
    world.host.put_away_idle();
    assert_eq!(world.host.residency().resident, 0);
}

#[tokio::test]
async fn a_twin_that_rests_commits_what_one_commits_that_never_does() {
    let (awake, resting) = (World::new(), World::new());
    let twin = awake.twin("acme", config()).await;
    let mut rested = resting.twin("acme", config()).await;
    let mut woken = 0;
    for hour in 1..60 {
        awake.step("acme", &twin, hour).await.expect("a turn");
        resting.step("acme", &rested, hour).await.expect("a turn");
        rested.stop().await;
        put_away(&resting);
        // Due by what is committed: nothing of the actor is left to know it.
        let outline = resting.host.outline(&customer("acme")).expect("a twin");
        let due = outline.wake_up.filter(|at| *at < hours(hour + 1));
        if let Some(at) = due {
            // The one that never rests is woken by its timer, before the next samples come.
            awake.clock.advance_to(at).await;
            resting.clock.advance_to(at).await;
            woken += 1;
        }
        rested = resting.start("acme").await;
    }
    // What the last wake-up was for.
    awake.step("acme", &twin, 60).await.expect("a turn");
    resting.step("acme", &rested, 60).await.expect("a turn");
    assert!(woken > 20, "woken {woken} times for what a step will need");
    let (expected, found) = (commands_of(&awake, "acme"), commands_of(&resting, "acme"));
    assert_eq!(found.len(), expected.len());
    let differing = found
        .iter()
        .zip(&expected)
        .find(|(one, other)| one != other);
    assert!(differing.is_none(), "the same commands: {differing:#?}");
    assert!(resting.host.residency().brought_back >= 59);
    twin.stop().await;
    rested.stop().await;
}

#[tokio::test]
async fn a_question_to_a_twin_at_rest_is_answered_as_before() {
    let world = World::new();
    let twin = world.twin("acme", config()).await;
    for hour in 1..30 {
        world.step("acme", &twin, hour).await.expect("a turn");
    }
    let report = twin.address().ask(LIMIT, TwinMessage::Report).await;
    let before = report.expect("an answer").expect("a twin");
    twin.stop().await;
    put_away(&world);
    let twin = world.start("acme").await;
    let report = twin.address().ask(LIMIT, TwinMessage::Report).await;
    assert_eq!(report.expect("an answer").expect("a twin"), before);
    twin.stop().await;
}
