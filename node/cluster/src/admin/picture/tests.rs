use super::super::message::{CLUSTER_READ_REPLY, NODE_PROBE_REPLY, ReadReply, Routed};
use super::super::probe::ProbeReply;
use super::*;
use twinscale_protocol::envelope::{EnvelopeKind, HEADER_BYTES, open, seal};

fn body<T: Serialize>(kind: EnvelopeKind, value: &T) -> Vec<u8> {
    let bytes = seal(kind, value).expect("encodes");
    bytes[HEADER_BYTES..].to_vec()
}

fn check(reply: ReadReply, golden: &[&[u8]]) {
    let reply = Routed::Done(reply);
    assert_eq!(body(CLUSTER_READ_REPLY, &reply), golden.concat());
    let bytes = seal(CLUSTER_READ_REPLY, &reply).expect("encodes");
    let read: Routed<ReadReply> = open(CLUSTER_READ_REPLY, &bytes).expect("decodes");
    assert_eq!(read, reply);
}

fn seen_by() -> SeenBy {
    SeenBy {
        node: NodeNumber(1),
        meta_leader: Some(NodeNumber(2)),
        at_unix_ms: 5,
    }
}

#[test]
fn golden_bytes_of_members() {
    let members = vec![MemberLine {
        number: NodeNumber(1),
        name: NodeId::new("a").expect("an id"),
        zone: ZoneName::new("z").expect("a zone"),
        state: MemberState::Serving,
        wish: MemberWish::Drain,
        heard: Heard::Alive,
        heard_since_unix_ms: None,
        deaths: 0,
        peer_address: "p".to_owned(),
        api_address: "q".to_owned(),
        software: "s".to_owned(),
        incarnation: 2,
        twins: None,
        cpu_per_mille: None,
        meta: MetaPart::Leader,
        replicas: 4,
        leads: Some(5),
        clock_offset_ms: Some(-1),
        certificate: None,
        silent: None,
    }];
    let seen_by = seen_by();
    check(
        ReadReply::Members(MembersReply { seen_by, members }),
        &[
            &[0, 0, 1, 1, 2, 5],
            &[1, 1, 1, 97, 1, 122, 1, 1, 0, 0, 0],
            &[1, 112, 1, 113, 1, 115, 2, 0, 0, 3, 4, 1, 5, 1, 1, 0, 0],
        ],
    );
}

#[test]
fn golden_bytes_of_shards() {
    let line = ShardLine {
        shard: Some(ShardId(17)),
        voters: vec![NodeNumber(1), NodeNumber(2)],
        learners: Vec::new(),
        leader: Some(NodeNumber(1)),
        term: Some(3),
        answering: 2,
        health: GroupHealth::Degraded,
        lag: Some(4),
        moving: Some(MoveLine {
            number: 9,
            add: vec![NodeNumber(3)],
            remove: vec![NodeNumber(2)],
            stage: "s".to_owned(),
            reason: "r".to_owned(),
            waits: "w".to_owned(),
            started_unix_ms: 6,
        }),
    };
    check(
        ReadReply::Shards(ShardsReply {
            seen_by: seen_by(),
            names: BTreeMap::from([(NodeNumber(1), NodeId::new("a").expect("an id"))]),
            shards: vec![line],
        }),
        &[
            &[0, 1, 1, 1, 2, 5],
            &[1, 1, 1, 97],
            &[1, 1, 17, 2, 1, 2, 0, 1, 1, 1, 3, 2, 1, 1, 4],
            &[1, 9, 1, 3, 1, 2, 1, 115, 1, 114, 1, 119, 6],
        ],
    );
}

#[test]
fn golden_bytes_of_an_audit_and_of_a_probe() {
    let line = AuditLine {
        number: 7,
        at_unix_ms: 8,
        by: "b".to_owned(),
        what: "w".to_owned(),
        node: None,
        node_name: None,
        group: None,
        value: Some(9),
        outcome: "o".to_owned(),
        reason: None,
    };
    check(
        ReadReply::Audit(AuditReply {
            seen_by: seen_by(),
            audited: 7,
            records: vec![line],
        }),
        &[
            &[0, 2, 1, 1, 2, 5, 7],
            &[1, 7, 8, 1, 98, 1, 119, 0, 0, 0, 1, 9, 1, 111, 0],
        ],
    );
    let probe = ProbeReply {
        unix_ms: 5,
        certificate: Certificate {
            not_after: 3,
            level: CertificateLevel::Soon,
        },
    };
    assert_eq!(body(NODE_PROBE_REPLY, &probe), [5, 6, 1]);
}

#[test]
fn golden_bytes_of_the_schema() {
    let nodes = vec![SchemaLine {
        number: NodeNumber(1),
        name: NodeId::new("a").expect("an id"),
        state: MemberState::Serving,
        software: "s".to_owned(),
        oldest: 1,
        newest: 2,
    }];
    let reply = SchemaReply {
        seen_by: seen_by(),
        gate: 1,
        nodes,
    };
    check(
        ReadReply::Schema(reply),
        &[&[0, 4, 1, 1, 2, 5], &[1, 1, 1, 1, 97, 1, 1, 115, 1, 2]],
    );
}
