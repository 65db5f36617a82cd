//! Which shard a customer belongs to.

use crate::stored::v1::ShardCount;
use sha2::{Digest, Sha256};
use twinscale_protocol::{CustomerId, ShardId};

/// Maps a customer to its shard: the first eight bytes of the SHA-256 of its id, little endian, modulo
/// the number of shards.
///
/// Determinism: the same on every node and for ever, since what is stored lies where this says; the
/// number of shards is fixed when a cluster is created. A cryptographic hash spreads any naming scheme.
/// Cost: one block of SHA-256, as an id has at most 63 bytes.
#[expect(
    clippy::missing_panics_doc,
    reason = "a digest has 32 bytes, and a number of shards 32 bits"
)]
pub fn shard_of(customer: &CustomerId, shards: ShardCount) -> ShardId {
    let digest = Sha256::digest(customer.as_str().as_bytes());
    let head = digest.first_chunk().expect("a digest has 32 bytes");
    let shard = u64::from_le_bytes(*head) % u64::from(shards.get());
    ShardId(u32::try_from(shard).expect("it is below a number of 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(customer: &str, shards: u32) -> u32 {
        let customer = CustomerId::new(customer).expect("an id");
        shard_of(&customer, ShardCount::new(shards).expect("a count")).0
    }

    #[test]
    fn customers_stay_where_they_are() {
        // python3: int.from_bytes(hashlib.sha256(b"acme").digest()[:8], "little") % 64
        let golden = [
            ("acme", [0, 2, 2_946]),
            ("globex", [0, 27, 347]),
            ("sf-region1", [0, 25, 281]),
        ];
        for (customer, [one, of_64, of_4096]) in golden {
            assert_eq!(shard(customer, 1), one, "{customer}");
            assert_eq!(shard(customer, 64), of_64, "{customer}");
            assert_eq!(shard(customer, 4_096), of_4096, "{customer}");
        }
    }

    #[test]
    fn numbered_customers_spread_evenly() {
        let mut counts = [0_u32; 64];
        for number in 0..64_000 {
            let shard = shard(&format!("customer-{number}"), 64);
            counts[usize::try_from(shard).expect("small")] += 1;
        }
        // A thousand each; a fair spread stays within five standard deviations, 158.
        assert!(counts.iter().all(|count| (842..=1_158).contains(count)));
    }
}
