//! Real messages pass; no bytes whatever make chitchat panic.

use chitchat::transport::{Socket, Transport};
use chitchat::{
    ChitchatConfig, ChitchatHandle, FailureDetectorConfig, Serializable, spawn_chitchat,
};
use proptest::prelude::*;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

const LIMIT: Duration = Duration::from_mins(1);

/// A chitchat server whose messages go to and come from the test.
struct Open {
    sent: mpsc::Sender<Vec<u8>>,
    received: Mutex<Option<mpsc::Receiver<ChitchatMessage>>>,
}

struct OpenSocket {
    sent: mpsc::Sender<Vec<u8>>,
    received: mpsc::Receiver<ChitchatMessage>,
}

#[async_trait::async_trait]
impl Transport for Open {
    async fn open(&self, _at: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        Ok(Box::new(OpenSocket {
            sent: self.sent.clone(),
            received: self.received.lock().expect("sound").take().expect("once"),
        }))
    }
}

#[async_trait::async_trait]
impl Socket for OpenSocket {
    async fn send(&mut self, _to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        message.serialize(&mut bytes);
        // What the test does not read is lost, as on a network.
        drop(self.sent.try_send(bytes));
        Ok(())
    }

    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        let message = self.received.recv().await;
        Ok((
            address(9),
            message.ok_or_else(|| anyhow::anyhow!("closed"))?,
        ))
    }
}

struct Server {
    gossip: ChitchatHandle,
    to: mpsc::Sender<ChitchatMessage>,
    from: mpsc::Receiver<Vec<u8>>,
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 7_000))
}

async fn server(number: u8) -> Server {
    let (sent, from) = mpsc::channel(64);
    let (to, received) = mpsc::channel(64);
    let config = ChitchatConfig {
        chitchat_id: ChitchatId::new(number.to_string(), 1, address(number)),
        cluster_id: "test".to_owned(),
        gossip_interval: Duration::from_millis(200),
        listen_addr: address(number),
        seed_nodes: vec![address(9).to_string()],
        failure_detector_config: FailureDetectorConfig::default(),
        marked_for_deletion_grace_period: Duration::from_mins(1),
        catchup_callback: None,
        extra_liveness_predicate: None,
    };
    let values = (0..6)
        .map(|key| (format!("key/{key}"), "value ".repeat(key * 90)))
        .collect();
    let transport = Open {
        sent,
        received: Mutex::new(Some(received)),
    };
    let gossip = spawn_chitchat(config, values, &transport)
        .await
        .expect("starts");
    Server { gossip, to, from }
}

impl Server {
    async fn next(&mut self) -> Vec<u8> {
        let next = timeout(LIMIT, self.from.recv()).await.expect("in time");
        next.expect("it sends")
    }

    /// The next message of a kind.
    async fn next_of(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let message = self.next().await;
            if message.get(3) == Some(&kind) {
                return message;
            }
        }
    }

    async fn give(&self, message: ChitchatMessage) {
        self.to.send(message).await.expect("it listens");
    }
}

/// One handshake's real messages: request, answer, and answer to that.
async fn handshake() -> [Vec<u8>; 3] {
    let (mut one, mut other) = (server(1).await, server(2).await);
    let request = one.next_of(0).await;
    other.give(inspect(&request).expect("sound").message).await;
    let answer = other.next_of(1).await;
    one.give(inspect(&answer).expect("sound").message).await;
    let end = one.next_of(2).await;
    other.give(inspect(&end).expect("sound").message).await;
    // Asked once more, it knows of both.
    let request = one.next_of(0).await;
    one.gossip.abort();
    other.gossip.abort();
    [request, answer, end]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

#[tokio::test(start_paused = true)]
async fn real_messages_pass_and_their_digest_is_read() {
    let [request, answer, end] = handshake().await;
    let known = inspect(&request).expect("sound").digest;
    let ids: Vec<_> = known.iter().map(|(id, _)| id.node_id.to_string()).collect();
    assert_eq!(ids, ["1", "2"]);
    let own = known
        .iter()
        .find(|(id, _)| &*id.node_id == "1")
        .expect("itself");
    assert_eq!(own.1, 6, "six values, six versions");
    assert!(answer.len() > 150, "it carries values: {}", answer.len());
    assert_eq!(inspect(&end).expect("sound").digest, []);
}

#[tokio::test(start_paused = true)]
async fn every_cut_and_everything_appended_is_refused() {
    for message in handshake().await {
        for length in 0..message.len() {
            assert!(inspect(&message[..length]).is_err(), "cut to {length}");
        }
        let longer = [message.as_slice(), &[0]].concat();
        assert_eq!(
            inspect(&longer).expect_err("refused"),
            RefusalReason::Malformed
        );
    }
}

fn header(kind: u8) -> Vec<u8> {
    let mut bytes = MAGIC.to_le_bytes().to_vec();
    bytes.extend([PROTOCOL, kind]);
    bytes
}

/// A delta in one plain block.
fn delta(operations: &[u8]) -> Vec<u8> {
    let mut bytes = header(2);
    bytes.push(2);
    u16::try_from(operations.len())
        .expect("short")
        .serialize(&mut bytes);
    bytes.extend_from_slice(operations);
    bytes.push(0);
    bytes
}

fn member_operation(id: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    ChitchatId::new(id, 1, address(1)).serialize(&mut bytes);
    0_u64.serialize(&mut bytes);
    0_u64.serialize(&mut bytes);
    bytes
}

fn key_operation(key: &str, value: &str, version: u64) -> Vec<u8> {
    let mut bytes = vec![1];
    key.serialize(&mut bytes);
    value.serialize(&mut bytes);
    version.serialize(&mut bytes);
    bytes.push(0);
    bytes
}

fn newest_operation(version: u64) -> Vec<u8> {
    let mut bytes = vec![2];
    version.serialize(&mut bytes);
    bytes
}

#[track_caller]
fn check(bytes: &[u8], expected: Result<(), RefusalReason>) {
    assert_eq!(inspect(bytes).map(drop), expected);
}

#[test]
fn what_would_break_an_assertion_of_chitchat_is_malformed() {
    let member = member_operation("1");
    let key = key_operation("k", "v", 5);
    check(&delta(&[member.clone(), key.clone()].concat()), Ok(()));
    check(
        &delta(&[member.clone(), newest_operation(4)].concat()),
        Ok(()),
    );
    let malformed = Err(RefusalReason::Malformed);
    // The newest version below that of a key.
    check(
        &delta(&[member.clone(), key.clone(), newest_operation(4)].concat()),
        malformed,
    );
    // Versions that would overflow when the own ones go on from them.
    check(
        &delta(&[member.clone(), key_operation("k", "v", u64::MAX)].concat()),
        malformed,
    );
    check(
        &delta(&[member.clone(), newest_operation(VERSION_MAX + 1)].concat()),
        malformed,
    );
    // Versions that do not rise, and operations on no one.
    check(
        &delta(&[member.clone(), key.clone(), key.clone()].concat()),
        malformed,
    );
    check(&delta(&key), malformed);
    check(&delta(&[member.clone(), member].concat()), malformed);
    // Ids that are not written so.
    check(&delta(&member_operation("01")), malformed);
    check(&delta(&member_operation("alpha")), malformed);
}

/// Why inspection exists: given as it is, one such message ends chitchat's server.
#[tokio::test(start_paused = true)]
async fn what_is_refused_would_have_ended_the_server() {
    let mut server = server(1).await;
    let mut name = Vec::new();
    "test".serialize(&mut name);
    let greeting = [header(0), digest_of(&[(2, 1, 0, 0)]), name].concat();
    server
        .give(inspect(&greeting).expect("sound").message)
        .await;
    server.next_of(1).await;
    let operations = [
        member_operation_of(2),
        key_operation("k", "v", 9),
        newest_operation(5),
    ];
    let fatal = delta(&operations.concat());
    assert_eq!(
        inspect(&fatal).expect_err("refused"),
        RefusalReason::Malformed
    );
    let message = ChitchatMessage::deserialize(&mut &*fatal).expect("chitchat takes it");
    server.give(message).await;
    let ended = timeout(LIMIT, server.gossip.termination_watcher());
    ended.await.expect("in time").expect_err("it panicked");
}

fn member_operation_of(number: u8) -> Vec<u8> {
    let mut bytes = vec![0];
    ChitchatId::new(number.to_string(), 1, address(number)).serialize(&mut bytes);
    0_u64.serialize(&mut bytes);
    0_u64.serialize(&mut bytes);
    bytes
}

#[test]
fn sizes_are_capped_before_anything_is_kept() {
    let member = member_operation("1");
    let long_key = key_operation(&"k".repeat(KEY_BYTES_MAX + 1), "v", 1);
    check(
        &delta(&[member.clone(), long_key].concat()),
        Err(RefusalReason::TooLarge),
    );
    let long_value = key_operation("k", &"v".repeat(VALUE_BYTES_MAX + 1), 1);
    check(
        &delta(&[member.clone(), long_value].concat()),
        Err(RefusalReason::TooLarge),
    );
    let many: Vec<u8> = (1..=17)
        .flat_map(|one| key_operation("k", "v", one))
        .collect();
    check(
        &delta(&[member, many].concat()),
        Err(RefusalReason::Malformed),
    );

    let mut crowd = header(0);
    u16::MAX.serialize(&mut crowd);
    check(&crowd, Err(RefusalReason::TooManyIncarnations));

    // Sixty kilobytes of blocks, each of which unpacks to sixty-four.
    let block = zstd::bulk::compress(&vec![0; BLOCK_BYTES_MAX], 1).expect("packed");
    let mut bomb = header(2);
    while bomb.len() < 60_000 {
        bomb.push(1);
        u16::try_from(block.len())
            .expect("short")
            .serialize(&mut bomb);
        bomb.extend_from_slice(&block);
    }
    bomb.push(0);
    check(&bomb, Err(RefusalReason::TooLarge));
}

fn mostly_zero() -> impl Strategy<Value = u64> {
    prop_oneof![20 => Just(0), 1 => 0..12_u64, 1 => Just(VERSION_MAX)]
}

/// Operations that are likely to be read far: of real kinds, on few ids, with near and far versions.
fn operations() -> impl Strategy<Value = Vec<u8>> {
    let version = prop_oneof![30 => 0..12_u64, 1 => Just(VERSION_MAX), 1 => Just(u64::MAX)];
    let text = "[a-z/]{0,6}";
    let operation = prop_oneof![
        // Mostly from the start, or nothing of it would be applied.
        (0..4_u8, mostly_zero(), mostly_zero()).prop_map(|(id, collected, from)| {
            let mut bytes = vec![0];
            ChitchatId::new(id.to_string(), 1, address(id)).serialize(&mut bytes);
            collected.serialize(&mut bytes);
            from.serialize(&mut bytes);
            bytes
        }),
        (text, text, version.clone(), 0..=DELETION_CODE_MAX).prop_map(
            |(key, value, version, deletion)| {
                let mut bytes = key_operation(&key, &value, version);
                *bytes.last_mut().expect("a code") = deletion;
                bytes
            }
        ),
        version.prop_map(newest_operation),
    ];
    proptest::collection::vec(operation, 0..8).prop_map(|operations| operations.concat())
}

fn digest_of(entries: &[(u8, u64, u64, u64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    u16::try_from(entries.len())
        .expect("short")
        .serialize(&mut bytes);
    for (id, heartbeat, collected, newest) in entries {
        ChitchatId::new(id.to_string(), 1, address(*id)).serialize(&mut bytes);
        for version in [heartbeat, collected, newest] {
            version.serialize(&mut bytes);
        }
    }
    bytes
}

/// Gives a server all that passes inspection; true when it still answers.
fn survives(messages: &[Vec<u8>]) -> bool {
    runtime().block_on(async {
        let mut server = server(1).await;
        for message in messages {
            if let Ok(inspected) = inspect(message) {
                server.give(inspected.message).await;
            }
        }
        let question = [header(0), digest_of(&[(3, 1, 0, 0)]), {
            let mut name = Vec::new();
            "test".serialize(&mut name);
            name
        }]
        .concat();
        let question = inspect(&question).expect("sound").message;
        server.to.send(question).await.is_ok() && timeout(LIMIT, server.next_of(1)).await.is_ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), kind in 0..5_u8) {
        drop(inspect(&bytes));
        drop(inspect(&[header(kind), bytes].concat()));
    }

    /// Sequences of well-formed nonsense, as only a holder of the key could send.
    #[test]
    fn a_server_survives_all_that_passes(
        deltas in proptest::collection::vec(operations(), 1..8),
        entries in proptest::collection::vec((0..4_u8, 0..9_u64, 0..9_u64, 0..9_u64), 0..4),
    ) {
        let mut messages = Vec::new();
        let digest = digest_of(&entries);
        let mut name = Vec::new();
        "test".serialize(&mut name);
        messages.push([header(0), digest.clone(), name].concat());
        for operations in &deltas {
            let ack = delta(operations);
            messages.push([header(1), digest.clone(), ack[4..].to_vec()].concat());
            messages.push(ack);
        }
        prop_assert!(survives(&messages));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Real messages with bytes changed, dropped and doubled.
    #[test]
    fn a_server_survives_mutated_messages(
        mutations in proptest::collection::vec(
            (0..3_usize, any::<prop::sample::Index>(), any::<u8>(), 0..3_u8),
            1..40,
        ),
    ) {
        let real = Arc::new(runtime().block_on(handshake()));
        let mutated: Vec<_> = mutations
            .into_iter()
            .map(|(which, place, byte, how)| {
                let mut message = real[which].clone();
                let place = place.index(message.len());
                match how {
                    0 => message[place] ^= byte,
                    1 => drop(message.remove(place)),
                    _ => message.insert(place, byte),
                }
                message
            })
            .collect();
        prop_assert!(survives(&mutated));
    }
}
