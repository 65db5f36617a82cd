//! The key space.

use proptest::prelude::*;

use crate::error::StoreError;
use crate::keys::{customer_key, customer_prefix, node_key};

#[test]
fn customer_ids_outside_the_rule_are_refused() {
    let long = "a".repeat(64);
    for id in [
        "", "Acme", "a/b", "../x", "a\0b", "acmé", "a b", "a_b", &long,
    ] {
        let error = customer_key(id, "plan").unwrap_err();
        assert!(
            matches!(error, StoreError::InvalidCustomer { .. }),
            "{id:?}"
        );
    }
    customer_key(&"a".repeat(63), "plan").unwrap();
}

#[test]
fn keys_are_spelled_as_documented() {
    let key = customer_key("acme", "sample")
        .unwrap()
        .text("m5/large")
        .number(255)
        .build();
    // The first eight bytes of SHA-256 of "acme".
    let expected = "/v1/customer/822b33ad87c148a0/acme/sample/m5%2flarge/00000000000000ff";
    assert_eq!(String::from_utf8(key).unwrap(), expected);
    let key = node_key("shard").number(1).build();
    assert_eq!(key, b"/v1/node/shard/0000000000000001");
}

#[test]
fn a_prefix_does_not_reach_into_a_longer_name() {
    let prefix = customer_key("acme", "plan").unwrap().prefix();
    let other = customer_key("acme", "planned").unwrap().number(1).build();
    assert!(!other.starts_with(&prefix));
    assert!(
        !customer_prefix("acme-2")
            .unwrap()
            .starts_with(&customer_prefix("acme").unwrap())
    );
}

proptest! {
    #[test]
    fn numbers_sort_as_their_keys(left in any::<i64>(), right in any::<i64>()) {
        let key = |at| node_key("x").signed(at).build();
        prop_assert_eq!(left.cmp(&right), key(left).cmp(&key(right)));
    }

    #[test]
    fn different_parts_give_different_keys(
        left in prop::collection::vec(".{0,6}", 1..4),
        right in prop::collection::vec(".{0,6}", 1..4),
    ) {
        let build = |parts: &[String]| {
            parts.iter().fold(node_key("x"), |key, part| key.text(part)).build()
        };
        prop_assert_eq!(left == right, build(&left) == build(&right));
    }
}
