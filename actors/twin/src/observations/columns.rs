//! Variable-length integers and the columns of a block.
//!
//! Layout: number of slots, a flags byte (bits 0 to 2 = decimal scale, bit 7 = counts follow), the times
//! (the first, then changes of the distance), the sums divided by 10^scale (the first, then distances),
//! the counts where not all are 1. Signed numbers are zigzag-coded. A regular series of VM counts takes
//! two bytes a slot.

use crate::observations::Slot;
use twinscale_protocol::DomainTime;

const SCALE_MASK: u8 = 0b111;
const SCALE_MAX: u8 = 6;
const COUNTS_FLAG: u8 = 0b1000_0000;

/// Encodes slots, ascending in time and not empty.
pub(super) fn encode(slots: &[Slot]) -> Vec<u8> {
    let scale = (0..=SCALE_MAX)
        .rev()
        .find(|scale| {
            let unit = power_of_ten(*scale);
            slots.iter().all(|slot| slot.sum % unit == 0)
        })
        .unwrap_or(0);
    let counted = slots.iter().any(|slot| slot.count != 1);
    let mut bytes = Vec::with_capacity(8 + slots.len() * 3);
    put(&mut bytes, slots.len() as u128);
    bytes.push(scale | if counted { COUNTS_FLAG } else { 0 });
    let (mut at, mut distance) = (0_i128, 0_i128);
    for slot in slots {
        let next = i128::from(slot.at.0);
        put_signed(&mut bytes, next - at - distance);
        distance = next - at;
        at = next;
    }
    let unit = power_of_ten(scale);
    let mut sum = 0_i128;
    for slot in slots {
        let next = slot.sum / unit;
        put_signed(&mut bytes, next - sum);
        sum = next;
    }
    if counted {
        for slot in slots {
            put(&mut bytes, u128::from(slot.count));
        }
    }
    bytes
}

/// Decodes what [`encode`] wrote; `None` for anything else.
pub(super) fn decode(bytes: &[u8], slots_max: usize) -> Option<Vec<Slot>> {
    let mut rest = bytes;
    let count = usize::try_from(take(&mut rest)?).ok()?;
    if count == 0 || count > slots_max {
        return None;
    }
    let (flags, after) = rest.split_first()?;
    rest = after;
    let scale = flags & SCALE_MASK;
    if scale > SCALE_MAX || flags & !(SCALE_MASK | COUNTS_FLAG) != 0 {
        return None;
    }
    let mut slots = Vec::with_capacity(count);
    let (mut at, mut distance) = (0_i128, 0_i128);
    for _ in 0..count {
        distance = distance.checked_add(take_signed(&mut rest)?)?;
        at = at.checked_add(distance)?;
        slots.push(Slot {
            at: DomainTime(i64::try_from(at).ok()?),
            sum: 0,
            count: 1,
        });
    }
    let unit = power_of_ten(scale);
    let mut sum = 0_i128;
    for slot in &mut slots {
        sum = sum.checked_add(take_signed(&mut rest)?)?;
        slot.sum = sum.checked_mul(unit)?;
    }
    if flags & COUNTS_FLAG != 0 {
        for slot in &mut slots {
            slot.count = u32::try_from(take(&mut rest)?).ok()?;
        }
    }
    let ascending = slots
        .iter()
        .zip(slots.iter().skip(1))
        .all(|(one, next)| one.at < next.at);
    (rest.is_empty() && ascending).then_some(slots)
}

const fn power_of_ten(scale: u8) -> i128 {
    10_i128.pow(scale as u32)
}

fn put(bytes: &mut Vec<u8>, mut value: u128) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn take(rest: &mut &[u8]) -> Option<u128> {
    let mut value = 0_u128;
    for shift in (0..128).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u128::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_signed(bytes: &mut Vec<u8>, value: i128) {
    put(bytes, ((value << 1) ^ (value >> 127)).cast_unsigned());
}

fn take_signed(rest: &mut &[u8]) -> Option<i128> {
    let coded = take(rest)?;
    Some((coded >> 1).cast_signed() ^ -((coded & 1).cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slot() -> impl Strategy<Value = (i64, i64, u32)> {
        (1_i64..1_000_000, any::<i64>(), any::<u32>())
    }

    #[test]
    fn a_regular_series_of_vm_counts_takes_two_bytes_a_slot() {
        let slots: Vec<Slot> = (0..256_i64)
            .map(|hour| Slot {
                at: DomainTime(1_700_000_000 + hour * 3_600),
                sum: i128::from(20 + hour % 24) * 1_000_000,
                count: 1,
            })
            .collect();
        let bytes = encode(&slots);
        assert!(bytes.len() < 2 * 256 + 16, "{} bytes", bytes.len());
        assert_eq!(decode(&bytes, 256), Some(slots));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(parts in proptest::collection::vec(slot(), 1..256)) {
            let mut at = -1_000_000_i64;
            let slots: Vec<Slot> = parts
                .iter()
                .map(|(step, sum, count)| {
                    at += step;
                    Slot { at: DomainTime(at), sum: i128::from(*sum) * i128::from(*count), count: *count }
                })
                .collect();
            prop_assert_eq!(decode(&encode(&slots), 256), Some(slots));
        }

        #[test]
        fn other_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(slots) = decode(&bytes, 256) {
                prop_assert!(!slots.is_empty());
            }
        }
    }
}
