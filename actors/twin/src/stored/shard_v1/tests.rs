//! Stored bytes of version 1 must stay as they are: each sample is written and read as it was once.

use super::*;
use std::fmt::Write as _;
use twinscale_protocol::envelope;

const GOLDEN: &str = include_str!("../golden/shard_v1.txt");

fn check<T>(written: &mut String, name: &str, kind: EnvelopeKind, value: &T)
where
    T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let bytes = envelope::seal(kind, value).expect("encodes");
    let known = GOLDEN.lines().find_map(|line| line.strip_prefix(name));
    let known = known.unwrap_or_default().trim();
    let bytes_of = |at: usize| u8::from_str_radix(known.get(at..at + 2)?, 16).ok();
    let known: Vec<u8> = (0..known.len()).step_by(2).filter_map(bytes_of).collect();
    if !known.is_empty() {
        assert_eq!(
            &envelope::open::<T>(kind, &known).expect("still readable"),
            value
        );
    }
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes it");
        hex
    });
    writeln!(written, "{name} {hex}").expect("a string takes it");
}

#[test]
fn version_1_bytes_stay_as_they_are() {
    let mut written = String::new();
    let mark = ShardMark {
        applied: 77,
        consensus: vec![1, 2, 3],
        next_remembered: 5,
    };
    let batch = ShardBatch {
        commands: vec![ShardCommand {
            request: RequestId(0x1234_5678_9abc_def0_1234_5678_9abc_def0),
            payload: vec![4, 97, 99, 109, 101],
        }],
    };
    let results = [
        ApplyResult::Configured { config_version: 3 },
        ApplyResult::Refused(crate::state::Refusal::Invalid("no".to_owned())),
        ApplyResult::Quarantined {
            reason: "odd".to_owned(),
        },
    ];
    check(&mut written, "batch", SHARD_BATCH, &batch);
    check(&mut written, "mark", SHARD_MARK, &mark);
    for (name, result) in ["configured", "refused", "quarantined"].iter().zip(results) {
        let request = RequestId(9);
        let one = Remembered { request, result };
        check(&mut written, name, REMEMBERED, &one);
    }
    let begin = SnapshotBegin {
        shard: ShardId(3),
        mark,
        twins: 2,
    };
    check(&mut written, "begin", SNAPSHOT_BEGIN, &begin);
    let part = SnapshotPart {
        key: b"/v1/customer/x".to_vec(),
        value: vec![9; 3],
    };
    check(&mut written, "part", SNAPSHOT_PART, &part);
    check(&mut written, "end", SNAPSHOT_END, &SnapshotEnd { parts: 4 });
    assert_eq!(
        written, GOLDEN,
        "stored bytes changed: make a new kind instead"
    );
}
