//! The bytes of every record kind: a change of them needs a new kind.

use std::fmt::Write;

use bytes::Bytes;
use openraft::{EntryPayload, Membership};
use twinscale_protocol::NodeNumber;

use super::position;
use crate::group_log::record::{Record, RecordError};
use crate::ids::GroupId;
use crate::types::{Batch, Entry, Vote};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn golden_bytes_of_every_kind() {
    let group = GroupId(300);
    let entry = |payload| {
        let log_id = position(7, 9).into();
        Record::Entry(group, Entry { log_id, payload })
    };
    let nodes = [NodeNumber(1), NodeNumber(2), NodeNumber(3)];
    let joint = vec![nodes[..2].iter().copied().collect(), [nodes[2]].into()];
    let membership = Membership::new(joint, None);
    let batch = EntryPayload::Normal(Batch(Bytes::from_static(b"abc")));
    let mut vote = Vote::new(4, NodeNumber(2));
    vote.commit();
    let cases = [
        (entry(EntryPayload::Blank), 0x0101, "fb2c01070900"),
        (entry(batch), 0x0101, "fb2c0107090103616263"),
        (
            entry(EntryPayload::Membership(membership)),
            0x0101,
            "fb2c010709020202010201030301020 3",
        ),
        (Record::Vote(group, vote), 0x0102, "fb2c0104010201"),
        (
            Record::Committed(group, position(7, 9)),
            0x0103,
            "fb2c010709",
        ),
        (Record::Truncated(group, 9), 0x0104, "fb2c0109"),
        (Record::Purged(group, position(7, 9)), 0x0105, "fb2c010709"),
        (Record::Erased(group), 0x0107, "fb2c01"),
        (Record::Probe, 0x0106, ""),
    ];
    for (record, kind, golden) in cases {
        let command = record.encode().unwrap();
        assert_eq!(command.kind, kind, "{record:?}");
        assert_eq!(hex(&command.payload), golden.replace(' ', ""), "{record:?}");
        let back = Record::decode(kind, &command.payload).unwrap();
        assert_eq!(format!("{back:?}"), format!("{record:?}"));
        if !command.payload.is_empty() {
            let cut = &command.payload[..command.payload.len() - 1];
            assert!(Record::decode(kind, cut).is_err(), "{record:?} cut short");
        }
        let long = [command.payload.as_slice(), &[0]].concat();
        assert!(
            Record::decode(kind, &long).is_err(),
            "{record:?} with a byte too many"
        );
    }
    let unknown = Record::decode(0x0199, &[]).unwrap_err();
    assert!(matches!(unknown, RecordError::Unknown { kind: 0x0199 }));
}
