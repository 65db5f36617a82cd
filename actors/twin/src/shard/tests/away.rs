//! Twins that are put away: who keeps them in memory, and what brings them back.

use super::*;
use crate::outline::TwinOutline;
use crate::state::TwinState;
use twinscale_store::{Batch, customer_prefix};

/// A shard with a twin that was configured and sends samples.
fn with_acme() -> (ShardTwins, Arc<ShardStores>) {
    let (mut shard, stores) = open(&MemoryDisk::default());
    let key = series("typeA", "vm_count");
    let commands = [
        TwinCommand::Configure(config()),
        record(hours(2), samples(&key, hours(0), &[3, 5])),
        store_forecast(&key, hours(2), 4),
    ];
    for (index, command) in (1..).zip(&commands) {
        apply(&mut shard, index, &entry(vec![one(0, "acme", command)]));
    }
    (shard, stores)
}

/// Puts away what nobody used since the last two times.
fn put_away(shard: &ShardTwins) -> usize {
    shard.reader().put_away_idle() + shard.reader().put_away_idle()
}

fn resident(shard: &ShardTwins) -> u64 {
    shard.reader().residency().resident
}

#[test]
fn a_twin_that_nobody_used_is_put_away_and_comes_back_as_it_was() {
    let (shard, _stores) = with_acme();
    let (reader, acme) = (shard.reader(), customer("acme"));
    let before = reader.twin(&acme).expect("a twin").read(Clone::clone);
    let outline = TwinOutline::of(&before);
    assert_eq!(reader.put_away_idle(), 0, "it was used just now");
    assert_eq!(reader.put_away_idle(), 1);
    assert_eq!((resident(&shard), reader.len()), (0, 1));

    assert!(reader.knows(&acme));
    assert_eq!(
        reader.outline(&acme),
        Some(outline),
        "without bringing it back"
    );
    assert_eq!(
        outline.issued_at,
        before.forecast().map(|one| one.issued_at)
    );
    let peeked = reader.peek(&acme).expect("a twin");
    assert!(peeked.read(|state| *state == before));
    assert_eq!(resident(&shard), 0, "a glance keeps nothing in memory");

    let again = reader.twin(&acme).expect("a twin");
    assert!(again.read(|state| *state == before));
    assert_eq!(resident(&shard), 1);
    assert_eq!(put_away(&shard), 0, "somebody holds it");
    drop(again);
    assert_eq!(put_away(&shard), 1);
    let counts = reader.residency();
    assert_eq!(
        (counts.away, counts.put_away, counts.brought_back),
        (1, 2, 2)
    );
}

#[test]
fn a_command_brings_its_twin_back_and_the_others_stay_away() {
    let (mut shard, _stores) = with_acme();
    let configure = TwinCommand::Configure(config());
    apply(&mut shard, 4, &entry(vec![one(0, "globex", &configure)]));
    assert_eq!(put_away(&shard), 2);
    let key = series("typeA", "vm_count");
    let sample = record(hours(3), samples(&key, hours(2), &[7]));
    let results = apply(&mut shard, 5, &entry(vec![one(0, "acme", &sample)]));
    assert!(matches!(&results[0], ApplyResult::SamplesRecorded(reply) if reply.stored == 1));
    assert_eq!(resident(&shard), 1);
    let reader = shard.reader();
    let stored = reader.twin(&customer("acme")).expect("a twin");
    assert_eq!(stored.read(|state| state.counters().samples), 3);
}

#[test]
fn a_snapshot_is_the_same_whatever_is_put_away_and_leaves_it_there() {
    let (shard, _stores) = with_acme();
    let sound = written(&shard);
    assert_eq!(put_away(&shard), 1);
    assert_eq!(written(&shard), sound);
    assert_eq!(resident(&shard), 0);
    let (mut other, _) = open(&MemoryDisk::default());
    other
        .install(read(&sound).expect("whole"))
        .expect("installs");
    assert_eq!(resident(&other), 0, "its twins stand in the store");
    assert_eq!(written(&other), sound);
}

#[test]
fn a_twin_whose_stored_state_is_gone_stops_the_replica_and_is_not_made_anew() {
    let (mut shard, stores) = with_acme();
    assert_eq!(put_away(&shard), 1);
    let acme = customer("acme");
    let mut batch = Batch::new();
    for (key, _) in stores.stored_parts(&acme).expect("they are read") {
        assert!(key.starts_with(&customer_prefix("acme").expect("an id")));
        batch.delete(key);
    }
    stores.write(&batch).expect("memory takes it");

    let reader = shard.reader();
    assert!(reader.twin(&acme).is_none() && reader.peek(&acme).is_none());
    let failure = reader.failure().expect("it is told");
    assert!(failure.contains("acme"), "{failure}");
    let key = series("typeA", "vm_count");
    let command = record(hours(3), samples(&key, hours(2), &[7]));
    let payload = entry(vec![one(0, "acme", &command)]);
    let entries = [ShardEntry {
        index: LogIndex::new(4),
        payload: &payload,
    }];
    let refused = shard
        .apply(&entries, &[])
        .expect_err("it cannot be applied");
    assert!(refused.needs_rebuild(), "{refused}");
}

#[test]
fn nothing_is_put_away_after_the_store_refused_what_memory_has() {
    let (mut shard, _stores) = with_acme();
    let key = series("typeA", "vm_count");
    let sample = entry(vec![one(
        0,
        "acme",
        &record(hours(3), samples(&key, hours(2), &[7])),
    )]);
    let entries = [
        ShardEntry {
            index: LogIndex::new(4),
            payload: &sample,
        },
        ShardEntry {
            index: LogIndex::new(5),
            payload: b"no batch",
        },
    ];
    shard.apply(&entries, &[]).expect_err("the second is none");
    assert_eq!(put_away(&shard), 0);
    let reader = shard.reader();
    let twin = reader.twin(&customer("acme")).expect("a twin");
    assert_eq!(twin.read(|state: &TwinState| state.counters().samples), 3);
}
