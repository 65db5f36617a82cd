//! The bytes of messages: a change of them needs a new envelope kind.

use std::fmt::Write;

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use openraft::{EntryPayload, Membership};
use twinscale_protocol::NodeNumber;

use super::{AppendReply, ChunkBody, Reply, Request, RequestBody};
use crate::ids::{ClusterTag, GroupId, LogPosition};
use crate::machine::AppliedMark;
use crate::types::{Batch, Entry, StoredMembership, TypeConfig, Vote};

const AT: LogPosition = LogPosition { term: 7, index: 9 };

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The body's bytes, in hexadecimal; the envelope around them has tests of its own.
fn body_hex(message: &[u8]) -> String {
    hex(&message[twinscale_protocol::envelope::HEADER_BYTES..])
}

fn request(body: RequestBody) -> Request {
    Request {
        cluster: ClusterTag(1),
        from: NodeNumber(2),
        to: NodeNumber(3),
        group: GroupId(4),
        body,
    }
}

fn mark() -> AppliedMark {
    let membership = Membership::new(vec![[NodeNumber(1)].into()], None);
    AppliedMark::new(
        AT.into(),
        &StoredMembership::new(Some(AT.into()), membership),
    )
}

#[test]
fn golden_bytes_of_requests() {
    let vote = Vote::new(4, NodeNumber(2));
    let entry = Entry {
        log_id: AT.into(),
        payload: EntryPayload::Normal(Batch(Bytes::from_static(b"abc"))),
    };
    let append = AppendEntriesRequest::<TypeConfig> {
        vote,
        prev_log_id: None,
        entries: vec![entry],
        leader_commit: Some(AT.into()),
    };
    let chunk = ChunkBody {
        transfer: 5,
        vote: vote.into(),
        mark: mark(),
        file_bytes: 100,
        offset: 0,
        bytes: Bytes::from_static(b"abc"),
    };
    let last = Some(AT);
    let cases = [
        (
            RequestBody::Append(append.into()),
            "01020304000401020000010709010361626301070 9",
        ),
        (
            RequestBody::Vote {
                vote: vote.into(),
                last,
            },
            "01020304010401020001070 9",
        ),
        (
            RequestBody::Chunk(chunk),
            "0102030402050401020007090107090101010101640003616263",
        ),
        (RequestBody::Elect { last: None }, "010203040300"),
        (RequestBody::WouldVote { last }, "010203040401070 9"),
    ];
    for (body, golden) in cases {
        let request = request(body);
        let bytes = request.encode().unwrap();
        assert_eq!(body_hex(&bytes), golden.replace(' ', ""), "{request:?}");
        assert_eq!(Request::decode(&bytes).unwrap(), request);
    }
}

#[test]
fn who_stands_or_leads_with_a_request_is_known() {
    let vote = Vote::new(4, NodeNumber(2));
    let votes = RequestBody::Vote {
        vote: vote.into(),
        last: None,
    };
    assert_eq!(votes.stands_for(), Some(NodeNumber(2)));
    let append = AppendEntriesRequest::<TypeConfig> {
        vote,
        prev_log_id: None,
        entries: Vec::new(),
        leader_commit: None,
    };
    let append = RequestBody::Append(append.into());
    assert_eq!(append.stands_for(), Some(NodeNumber(2)));
    assert_eq!(RequestBody::Elect { last: None }.stands_for(), None);
}

#[test]
fn golden_bytes_of_replies() {
    let vote = Vote::new(4, NodeNumber(2));
    let partial = AppendEntriesResponse::PartialSuccess(Some(AT.into()));
    let granted = Reply::Vote {
        vote: vote.into(),
        is_granted: true,
        last: None,
    };
    let cases = [
        (Reply::of_append(Ok(AppendEntriesResponse::Success)), "0000"),
        (Reply::of_append(Ok(partial)), "0001010709"),
        (
            Reply::of_append(Ok(AppendEntriesResponse::Conflict)),
            "0002",
        ),
        (
            Reply::Append(AppendReply::HigherVote(vote.into())),
            "000304010200",
        ),
        (granted, "01040102000100"),
        (Reply::ChunkWanted { offset: 7 }, "0207"),
        (Reply::Installed { vote: vote.into() }, "0304010200"),
        (Reply::Elect { stands: true }, "0401"),
        (Reply::refused("no"), "05026e6f"),
        (Reply::WouldVote { would: true }, "0601"),
    ];
    for (reply, golden) in cases {
        let bytes = reply.encode().unwrap();
        assert_eq!(body_hex(&bytes), golden, "{reply:?}");
        assert_eq!(Reply::decode(&bytes).unwrap(), reply);
        assert!(Request::decode(&bytes).is_err(), "a reply is no request");
    }
}

#[test]
fn golden_bytes_of_a_mark() {
    let bytes = mark().to_bytes();
    assert_eq!(hex(&bytes), "01070901070901010 10101".replace(' ', ""));
    assert_eq!(AppliedMark::from_bytes(&bytes).unwrap(), mark());
    assert!(AppliedMark::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    assert!(AppliedMark::from_bytes(&[2]).is_err());
    assert!(AppliedMark::from_bytes(&[]).is_err());
}
