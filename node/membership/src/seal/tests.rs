//! The format's golden bytes, and everything that must not open, through the whole gate.

use proptest::prelude::*;
use twinscale_protocol::{ClusterId, NodeNumber};

use super::*;
use crate::gate::{Gate, Refused};
use crate::key::key_for_test;

const NOW_MS: u64 = 1_800_000_000_000;
const BOUND_MS: u64 = 300_000;

fn cluster(name: &str) -> ClusterBinding {
    ClusterBinding::new(ClusterId::new(name).expect("an id"))
}

fn session(member: u64) -> Session {
    Session {
        member: NodeNumber(member),
        incarnation: Incarnation(77),
        salt: [u8::try_from(member).expect("small"); 16],
    }
}

fn ring(number: u8) -> KeyRing {
    KeyRing::new(key_for_test(number))
}

fn sealed(by: &mut Sealer, keys: &KeyRing, now_ms: u64, message: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    by.seal(keys, now_ms, message, &mut datagram)
        .expect("it fits");
    datagram
}

fn sender() -> Sealer {
    Sealer::new(cluster("one"), session(1))
}

fn gate() -> Gate {
    Gate::new(cluster("one"), session(2), BOUND_MS)
}

#[track_caller]
fn check_refused(gate: &mut Gate, keys: &KeyRing, datagram: &[u8], reason: RefusalReason) {
    let refused = gate.admit(keys, datagram, NOW_MS).expect_err("refused");
    assert_eq!(refused, Refused::from(reason));
}

#[test]
fn the_format_has_golden_bytes() {
    let datagram = sealed(&mut sender(), &ring(1), NOW_MS, b"hello");
    let hex: Vec<String> = datagram.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex.concat(), GOLDEN);
    let opened = open(&cluster("one"), &ring(1), &datagram).expect("it opens");
    assert_eq!(opened.session, session(1));
    assert_eq!((opened.counter, opened.sent_at_ms), (1, NOW_MS));
    assert_eq!(opened.message, b"hello");
}

const GOLDEN: &str = "5457475301245870afa52ede28678c2b263880ba1d010101010101010101010101010101010100000000000000bff1c7e85f0fe1bd8ca6521fc100348c320c0684ec7858d8ad6e27f35d2c163dce3bccfabe1cbc258460a822b9";

#[test]
fn a_datagram_is_admitted_once() {
    let (keys, mut sender, mut gate) = (ring(1), sender(), gate());
    let first = sealed(&mut sender, &keys, NOW_MS, b"first");
    let second = sealed(&mut sender, &keys, NOW_MS, b"second");
    assert_ne!(first.get(45..), second.get(45..));
    let admitted = gate.admit(&keys, &second, NOW_MS).expect("new");
    assert_eq!(
        (admitted.session, admitted.message.as_slice()),
        (session(1), &b"second"[..])
    );
    gate.admit(&keys, &first, NOW_MS).expect("late, but new");
    check_refused(&mut gate, &keys, &first, RefusalReason::Replayed);
    check_refused(&mut gate, &keys, &second, RefusalReason::Replayed);
}

#[test]
fn a_datagram_that_comes_back_to_its_sender_is_a_replay() {
    let keys = ring(1);
    let mut own_gate = Gate::new(cluster("one"), session(1), BOUND_MS);
    let datagram = sealed(&mut sender(), &keys, NOW_MS, b"x");
    check_refused(&mut own_gate, &keys, &datagram, RefusalReason::Replayed);
}

#[test]
fn other_clusters_keys_and_sizes_are_told_apart() {
    let (keys, mut gate) = (ring(1), gate());
    let good = sealed(&mut sender(), &keys, NOW_MS, b"good");

    let mut elsewhere = Sealer::new(cluster("two"), session(1));
    let other = sealed(&mut elsewhere, &keys, NOW_MS, b"x");
    check_refused(&mut gate, &keys, &other, RefusalReason::OtherCluster);

    // The tag of this cluster over the body of another: the full id is authenticated too.
    let mut grafted = other;
    grafted[5..13].copy_from_slice(&good[5..13]);
    check_refused(&mut gate, &keys, &grafted, RefusalReason::Forged);

    let foreign = sealed(&mut sender(), &ring(9), NOW_MS, b"x");
    check_refused(&mut gate, &keys, &foreign, RefusalReason::UnknownKey);

    // Another key that passes itself off under this one's name.
    let mut renamed = foreign;
    renamed[13..21].copy_from_slice(&good[13..21]);
    check_refused(&mut gate, &keys, &renamed, RefusalReason::Forged);

    let oversized = [good.as_slice(), &vec![0; DATAGRAM_BYTES_MAX]].concat();
    check_refused(&mut gate, &keys, &oversized, RefusalReason::TooLarge);

    let mut next_version = good.clone();
    next_version[4] = 2;
    check_refused(&mut gate, &keys, &next_version, RefusalReason::Malformed);
    check_refused(&mut gate, &keys, b"", RefusalReason::Malformed);
    gate.admit(&keys, &good, NOW_MS)
        .expect("nothing of this spent it");
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused() {
    let (keys, mut gate) = (ring(1), gate());
    let good = sealed(&mut sender(), &keys, NOW_MS, b"a message of some length");
    for length in 0..good.len() {
        let refused = gate.admit(&keys, &good[..length], NOW_MS);
        assert!(refused.is_err(), "cut to {length}");
    }
    for bit in 0..good.len() * 8 {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let refused = gate.admit(&keys, &flipped, NOW_MS);
        assert!(refused.is_err(), "bit {bit}");
    }
    gate.admit(&keys, &good, NOW_MS).expect("the sound one");
}

#[test]
fn a_clock_that_is_an_hour_off_is_reported_with_its_side() {
    let (keys, mut gate) = (ring(1), gate());
    for (sent_at_ms, offset_ms, side) in [
        (NOW_MS - 3_600_000, -3_600_000, "3600 s behind ours"),
        (NOW_MS + 3_600_000, 3_600_000, "3600 s ahead of ours"),
        (0, -1_800_000_000_000, "behind"),
        (u64::MAX, i64::MAX, "ahead of"),
    ] {
        let datagram = sealed(&mut sender(), &keys, sent_at_ms, b"x");
        let refused = gate.admit(&keys, &datagram, NOW_MS).expect_err("refused");
        assert_eq!(refused.reason, RefusalReason::Clock);
        let report = refused.clock.expect("a report");
        assert_eq!(
            (report.member, report.offset_ms),
            (NodeNumber(1), offset_ms)
        );
        assert!(report.to_string().contains(side), "{report}");
    }
    let edge = sealed(&mut sender(), &keys, NOW_MS - BOUND_MS, b"x");
    gate.admit(&keys, &edge, NOW_MS)
        .expect("just within the bound");
}

#[test]
fn an_old_key_opens_until_it_is_retired() {
    let (old, new) = (key_for_test(1), key_for_test(2));
    let (old_id, new_id) = (old.id(), new.id());
    let mut keys = KeyRing::new(old);
    keys.accept(new).expect("room");
    let (mut sender, mut gate) = (sender(), gate());
    let under_old = sealed(&mut sender, &keys, NOW_MS, b"old");
    let late_under_old = sealed(&mut sender, &keys, NOW_MS, b"old, late");
    keys.send_with(new_id).expect("accepted");
    let under_new = sealed(&mut sender, &keys, NOW_MS, b"new");
    gate.admit(&keys, &under_old, NOW_MS).expect("accepted");
    gate.admit(&keys, &under_new, NOW_MS).expect("accepted");
    let opened: Vec<_> = keys.report().iter().map(|key| key.opened).collect();
    assert_eq!(opened, [1, 1]);
    keys.retire(old_id).expect("not sending");
    check_refused(&mut gate, &keys, &late_under_old, RefusalReason::UnknownKey);
}

#[test]
fn the_largest_message_fits_and_one_byte_more_does_not() {
    let (keys, mut sender, mut datagram) = (ring(1), sender(), Vec::new());
    let largest = vec![7; DATAGRAM_BYTES_MAX - OVERHEAD_BYTES];
    sender
        .seal(&keys, NOW_MS, &largest, &mut datagram)
        .expect("fits");
    assert_eq!(datagram.len(), DATAGRAM_BYTES_MAX);
    let admitted = gate().admit(&keys, &datagram, NOW_MS).expect("opens");
    assert_eq!(admitted.message, largest);
    let more = [largest.as_slice(), &[7]].concat();
    let refused = sender.seal(&keys, NOW_MS, &more, &mut datagram);
    assert_eq!(refused, Err(SealError::TooLarge));
}

#[test]
fn a_counter_that_is_used_up_seals_nothing_more() {
    let mut worn = sender();
    worn.counter = u64::MAX;
    let refused = worn.seal(&ring(1), NOW_MS, b"x", &mut Vec::new());
    assert_eq!(refused, Err(SealError::Unable));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(gate().admit(&ring(1), &bytes, NOW_MS).is_err());
    }

    /// Bytes that pass the cheap checks, so that the deeper ones are reached.
    #[test]
    fn random_bytes_behind_a_good_header_are_forged(body in proptest::collection::vec(any::<u8>(), 40..400)) {
        let keys = ring(1);
        let good = sealed(&mut sender(), &keys, NOW_MS, b"x");
        let forged = [&good[..HEADER_BYTES], &body].concat();
        let refused = gate().admit(&keys, &forged, NOW_MS).expect_err("refused");
        prop_assert_eq!(refused.reason, RefusalReason::Forged);
    }

    #[test]
    fn a_mutated_datagram_is_refused(
        message in proptest::collection::vec(any::<u8>(), 0..200),
        places in proptest::collection::vec((any::<prop::sample::Index>(), 1..=u8::MAX), 1..6),
    ) {
        let keys = ring(1);
        let good = sealed(&mut sender(), &keys, NOW_MS, &message);
        let mut mutated = good.clone();
        for (place, flip) in places {
            let place = place.index(mutated.len());
            mutated[place] ^= flip;
        }
        prop_assume!(mutated != good);
        prop_assert!(gate().admit(&keys, &mutated, NOW_MS).is_err());
    }
}
