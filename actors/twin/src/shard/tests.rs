mod away;

use super::*;
use crate::fixtures::{
    START, config, customer, hours, plan, record, samples, series, store_forecast,
};
use crate::state::{ApplyResult, Refusal};
use proptest::prelude::*;
use std::io::Cursor;
use std::sync::Arc;
use twinscale_log::LogIndex;
use twinscale_protocol::ShardId;
use twinscale_store::{MemoryDisk, StoreOptions, open_in_memory};

const SHARD: ShardId = ShardId(3);

fn shard_of(customer: &CustomerId) -> ShardId {
    let is_other = customer.as_str().starts_with("other");
    if is_other { ShardId(4) } else { SHARD }
}

/// Opens the shard of a disk.
fn open(disk: &MemoryDisk) -> (ShardTwins, Arc<ShardStores>) {
    let store = open_in_memory(disk).expect("memory opens");
    let (shards, stores, _report) = ShardStores::open(store, &shard_of).expect("shards are read");
    let found = shards.into_iter().find(|one| one.shard() == SHARD);
    let shard = found.unwrap_or_else(|| stores.empty(SHARD));
    (shard, stores)
}

fn entry(commands: Vec<ShardCommand>) -> Vec<u8> {
    encode_batch(commands).expect("small")
}

fn one(request: u128, name: &str, command: &TwinCommand) -> ShardCommand {
    shard_command(RequestId(request), &customer(name), command).expect("small")
}

fn apply(shard: &mut ShardTwins, index: u64, payload: &[u8]) -> Vec<ApplyResult> {
    let entry = ShardEntry {
        index: LogIndex::new(index),
        payload,
    };
    let consensus = index.to_le_bytes();
    let mut results = shard.apply(&[entry], &consensus).expect("applies");
    results.pop().expect("one per entry")
}

fn written(shard: &ShardTwins) -> Bytes {
    let mut bytes = Vec::new();
    shard
        .copy()
        .expect("the store is read")
        .write(&mut bytes)
        .expect("memory takes it");
    Bytes(bytes)
}

/// Bytes that a failed test shows by their length only.
#[derive(Clone, PartialEq)]
struct Bytes(Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

fn read(bytes: &[u8]) -> Result<ShardCopy, ShardError> {
    ShardCopy::read(SHARD, &mut Cursor::new(bytes))
}

fn some_command(kind: u8, step: i64) -> TwinCommand {
    let key = series("typeA", "vm_count");
    match kind % 5 {
        0 => TwinCommand::Configure(config()),
        1 => store_forecast(&key, hours(step), 4 + step % 7),
        2 => TwinCommand::CommitPlan {
            at: START,
            plan: plan(1, START, &[2; 24]),
            config_version: 1,
        },
        _ => record(hours(step + 2), samples(&key, hours(step), &[step % 9, 5])),
    }
}

fn payloads(kinds: &[(u8, u8, u8)]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    for (place, chunk) in kinds.chunks(3).enumerate() {
        let commands = chunk.iter().enumerate().map(|(at, (kind, who, request))| {
            let name = format!("customer-{}", who % 4);
            let step = i64::try_from(place * 3 + at).expect("few");
            one(u128::from(request % 16), &name, &some_command(*kind, step))
        });
        payloads.push(entry(commands.collect()));
        if place % 4 == 3 {
            payloads.push(Vec::new());
        }
    }
    payloads
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However entries are batched, wherever the process ends, whatever is put away, and by log or snapshot:
    /// the same bytes.
    #[test]
    fn replicas_of_one_log_are_one_another(
        kinds in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 1..40),
        batch in 1_usize..7,
        restart_at in 0_usize..14,
        snapshot_at in 0_usize..14,
        away in any::<u16>(),
    ) {
        let payloads = payloads(&kinds);
        let (mut plain, _) = open(&MemoryDisk::default());
        let mut expected = Vec::new();
        for (place, payload) in payloads.iter().enumerate() {
            expected.push(apply(&mut plain, place as u64 + 1, payload));
        }

        let disk = MemoryDisk::default();
        let (mut shard, mut stores) = open(&disk);
        let mut found = Vec::new();
        let mut place = 0;
        while place < payloads.len() {
            if place >= restart_at && shard.applied().get() == place as u64 && place % 2 == 0 {
                drop((shard, stores));
                (shard, stores) = open(&disk);
                prop_assert_eq!(shard.applied().get(), place as u64);
            }
            if place >= snapshot_at {
                let copy = read(&written(&shard)).expect("whole");
                let (mut other, _) = open(&MemoryDisk::default());
                other.install(copy).expect("installs");
                prop_assert_eq!(written(&other), written(&shard));
            }
            if away >> (place % 16) & 1 == 1 {
                shard.reader().put_away_idle();
                shard.reader().put_away_idle();
                prop_assert_eq!(shard.reader().residency().resident, 0);
            }
            let until = (place + batch).min(payloads.len());
            let entries: Vec<ShardEntry<'_>> = (place..until)
                .map(|at| ShardEntry { index: LogIndex::new(at as u64 + 1), payload: &payloads[at] })
                .collect();
            let consensus = (until as u64).to_le_bytes();
            found.extend(shard.apply(&entries, &consensus).expect("applies"));
            place = until;
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(written(&shard), written(&plain));
        drop((shard, stores));
        let (shard, _stores) = open(&disk);
        prop_assert_eq!(written(&shard), written(&plain), "and after a restart");
    }
}

#[test]
fn a_retry_takes_effect_once_also_after_a_restart_and_on_a_new_replica() {
    let disk = MemoryDisk::default();
    let (mut shard, stores) = open(&disk);
    let configure = TwinCommand::Configure(config());
    let payload = entry(vec![one(7, "acme", &configure)]);
    let first = apply(&mut shard, 1, &payload);
    assert_eq!(first, [ApplyResult::Configured { config_version: 1 }]);
    let mut other = TwinCommand::Configure(config());
    if let TwinCommand::Configure(config) = &mut other {
        config.horizon_steps = 12;
    }
    let changed = apply(&mut shard, 2, &entry(vec![one(8, "acme", &other)]));
    assert_eq!(changed, [ApplyResult::Configured { config_version: 2 }]);
    assert_eq!(apply(&mut shard, 3, &payload), first, "a retry");
    let copy = read(&written(&shard)).expect("whole");
    drop((shard, stores));
    let (mut shard, _stores) = open(&disk);
    assert_eq!(apply(&mut shard, 4, &payload), first, "after a restart");
    let (mut replica, _) = open(&MemoryDisk::default());
    replica.install(copy).expect("installs");
    assert_eq!(apply(&mut replica, 4, &payload), first, "by snapshot");
    let horizon = replica.reader().twin(&customer("acme")).expect("a twin");
    let horizon = horizon.read(|state| state.config().map(|config| config.horizon_steps));
    assert_eq!(horizon, Some(12), "what came between stays");
}

#[test]
fn the_oldest_requests_are_forgotten_and_leave_nothing_behind() {
    let disk = MemoryDisk::default();
    let (mut shard, stores) = open(&disk);
    let lift = TwinCommand::LiftQuarantine;
    let extra = 10;
    for first in (1..=u128::from(REMEMBERED_MAX) + extra)
        .collect::<Vec<_>>()
        .chunks(512)
    {
        let commands = first.iter().map(|request| one(*request, "acme", &lift));
        let index = shard.applied().next().get();
        apply(&mut shard, index, &entry(commands.collect()));
    }
    let (before, _) = (written(&shard), drop((shard, stores)));
    let (mut shard, stores) = open(&disk);
    assert_eq!(written(&shard), before);
    let key = series("typeA", "vm_count");
    let samples = record(hours(2), samples(&key, hours(0), &[1]));
    let index = shard.applied().next().get();
    let again = apply(
        &mut shard,
        index,
        &entry(vec![one(extra + 1, "acme", &samples)]),
    );
    assert_eq!(again, [ApplyResult::QuarantineLifted], "still remembered");
    let forgotten = apply(
        &mut shard,
        index + 1,
        &entry(vec![one(1, "acme", &samples)]),
    );
    assert!(
        matches!(forgotten[0], ApplyResult::SamplesRecorded(_)),
        "{forgotten:?}"
    );
    shard.erase().expect("erases");
    drop(stores);
    let store = open_in_memory(&disk).expect("opens");
    assert_eq!(store.entries(), 0, "nothing of the shard is left");
}

#[test]
fn shards_of_a_node_share_a_store_and_nothing_else() {
    let disk = MemoryDisk::default();
    let (mut shard, stores) = open(&disk);
    let mut other = stores.empty(ShardId(4));
    let configure = TwinCommand::Configure(config());
    apply(&mut shard, 5, &entry(vec![one(1, "acme", &configure)]));
    apply(&mut other, 9, &entry(vec![one(1, "other", &configure)]));
    let kept = written(&other);
    shard.erase().expect("erases");
    drop((other, stores));
    let store = open_in_memory(&disk).expect("opens");
    let (shards, _, report) = ShardStores::open(store, &shard_of).expect("read");
    assert_eq!((shards.len(), report.twins), (1, 1));
    assert_eq!(
        (shards[0].shard(), shards[0].applied().get()),
        (ShardId(4), 9)
    );
    assert_eq!(shards[0].consensus(), 9_u64.to_le_bytes());
    assert_eq!(written(&shards[0]), kept);
}

#[test]
fn unreadable_commands_quarantine_their_twin_and_newer_ones_stop_the_replica() {
    let (mut shard, _stores) = open(&MemoryDisk::default());
    let configure = TwinCommand::Configure(config());
    let mut damaged = one(0, "acme", &configure);
    *damaged.payload.last_mut().expect("bytes") ^= 1;
    let nameless = ShardCommand {
        request: RequestId::NONE,
        payload: vec![200, 1],
    };
    let batch = vec![damaged, nameless, one(0, "globex", &configure)];
    let results = apply(&mut shard, 1, &entry(batch));
    assert!(
        matches!(&results[0], ApplyResult::Quarantined { .. }),
        "{results:?}"
    );
    assert!(matches!(
        &results[1],
        ApplyResult::Refused(Refusal::Invalid(_))
    ));
    assert_eq!(results[2], ApplyResult::Configured { config_version: 1 });

    let mut newer = one(0, "acme", &configure);
    newer.payload[9] = 9;
    let before = written(&shard);
    let payload = entry(vec![newer]);
    let index = LogIndex::new(2);
    let refused = shard.apply(
        &[ShardEntry {
            index,
            payload: &payload,
        }],
        &[],
    );
    assert!(
        matches!(refused, Err(ShardError::Newer { .. })),
        "{refused:?}"
    );
    assert_eq!(written(&shard), before);
    let index = LogIndex::new(1);
    let again = shard.apply(
        &[ShardEntry {
            index,
            payload: &[],
        }],
        &[],
    );
    assert!(matches!(again, Err(ShardError::Order { .. })), "{again:?}");
}

#[test]
fn a_snapshot_that_is_not_whole_is_refused() {
    let (mut shard, stores) = open(&MemoryDisk::default());
    for (place, payload) in payloads(&[(0, 1, 1), (3, 1, 0), (1, 1, 2), (0, 2, 3), (4, 2, 0)])
        .iter()
        .enumerate()
    {
        apply(&mut shard, place as u64 + 1, payload);
    }
    let sound = written(&shard);
    read(&sound).expect("whole");
    for cut in 0..sound.len() {
        read(&sound[..cut]).expect_err("cut");
    }
    for at in 0..sound.len() {
        let mut damaged = sound.to_vec();
        damaged[at] ^= 0x10;
        read(&damaged).expect_err("damaged");
    }
    let mut longer = sound.to_vec();
    longer.push(0);
    read(&longer).expect_err("more behind its end");
    let mut other = stores.empty(ShardId(4));
    let refused = other.install(read(&sound).expect("whole"));
    assert!(
        matches!(refused, Err(ShardError::Snapshot { .. })),
        "{refused:?}"
    );
    assert!(other.reader().is_empty());
}

#[test]
fn a_store_on_disk_that_broke_is_set_aside_and_filled_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let options = StoreOptions::default();
    let (_, stores, _) = ShardStores::open_at(&path, options, &shard_of).expect("opens");
    let mut shard = stores.empty(SHARD);
    apply(
        &mut shard,
        1,
        &entry(vec![one(0, "acme", &some_command(0, 0))]),
    );
    let snapshot = written(&shard);
    drop((shard, stores));
    std::fs::write(path.join("FORMAT"), b"no marker").expect("written");
    let (shards, stores, report) = ShardStores::open_at(&path, options, &shard_of).expect("opens");
    assert!(shards.is_empty(), "{report:?}");
    let mut shard = stores.empty(SHARD);
    shard
        .install(read(&snapshot).expect("whole"))
        .expect("installs");
    assert_eq!(written(&shard), snapshot);
}
