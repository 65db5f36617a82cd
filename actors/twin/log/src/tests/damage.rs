//! Files changed behind the log's back: it refuses or gives a prefix, it never gives nonsense.

use proptest::prelude::*;

use super::{append_each, indexes, open_small, read_all};
use crate::command::{CommandLog, DurablePoint, LogIndex, ReadLimits};
use crate::disk::Disk;
use crate::error::LogError;
use crate::fault_disk::{Fault, FaultDisk};
use crate::format::{FORMAT_VERSION, encode_segment_header_of_version, segment_name};

/// A closed log of 12 entries in three segments.
fn written_disk() -> FaultDisk {
    let disk = FaultDisk::new(7);
    let (log, _) = open_small(&disk).unwrap();
    append_each(&log, 0..12);
    log.close().unwrap();
    disk
}

fn segments(disk: &FaultDisk) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.retain(|name| name.starts_with("segment-"));
    names
}

fn flip(disk: &FaultDisk, name: &str, at: usize) {
    let mut bytes = disk.file_bytes(name).unwrap();
    bytes[at] ^= 0x10;
    disk.overwrite_file(name, bytes);
}

fn cut(disk: &FaultDisk, name: &str, bytes_cut: usize) {
    let mut bytes = disk.file_bytes(name).unwrap();
    bytes.truncate(bytes.len() - bytes_cut);
    disk.overwrite_file(name, bytes);
}

#[test]
fn damage_before_the_last_segment_is_refused_with_file_and_offset() {
    let disk = written_disk();
    let names = segments(&disk);
    assert_eq!(names.len(), 3);
    flip(&disk, &names[0], 32 + 108 + 50);
    let error = open_small(&disk).unwrap_err();
    let LogError::Corrupt {
        path,
        offset,
        index,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert!(path.ends_with(&names[0]), "{error}");
    assert_eq!((*offset, index.get()), (32 + 108, 2));
}

#[test]
fn damage_in_the_last_segment_before_a_later_batch_is_refused() {
    let disk = written_disk();
    disk.delete_file("durable-floor");
    let names = segments(&disk);
    flip(&disk, &names[2], 32 + 50);
    let error = open_small(&disk).unwrap_err();
    assert!(
        error.to_string().contains("of a later write follows"),
        "{error}"
    );
}

#[test]
fn a_cut_end_is_noticed_after_an_orderly_close() {
    let disk = written_disk();
    let names = segments(&disk);
    cut(&disk, &names[2], 1);
    let before = disk.file_bytes(&names[2]);
    let error = open_small(&disk).unwrap_err();
    assert!(
        matches!(&error, LogError::Truncated { last, durable_through, .. }
            if last.get() == 11 && durable_through.get() == 12),
        "{error}"
    );
    assert_eq!(disk.file_bytes(&names[2]), before, "nothing was changed");
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let disk = written_disk();
    disk.delete_file("durable-floor");
    let names = segments(&disk);
    cut(&disk, &names[2], 1);
    let (log, report) = open_small(&disk).unwrap();
    let torn = report.torn_tail.unwrap();
    assert!(torn.path.ends_with(&names[2]));
    assert_eq!(torn.bytes_cut, 107);
    assert_eq!(report.last_index.get(), 11);
    append_each(&log, 20..21);
    assert_eq!(indexes(&read_all(&log)), (1..=12).collect::<Vec<_>>());
}

#[test]
fn a_missing_segment_is_a_gap() {
    let disk = written_disk();
    let names = segments(&disk);
    disk.delete_file(&names[1]);
    let error = open_small(&disk).unwrap_err();
    assert!(
        matches!(&error, LogError::Gap { expected, found, .. }
            if expected.get() == 5 && found.get() == 9),
        "{error}"
    );
}

#[test]
fn a_missing_last_segment_or_an_emptied_directory_is_a_lost_end() {
    let disk = written_disk();
    for name in segments(&disk).into_iter().rev() {
        disk.delete_file(&name);
        let error = open_small(&disk).unwrap_err();
        assert!(matches!(error, LogError::Truncated { .. }), "{error}");
    }
}

#[test]
fn a_newer_version_is_refused_with_its_number() {
    let disk = written_disk();
    let newer = encode_segment_header_of_version(FORMAT_VERSION + 4, LogIndex::new(1));
    disk.overwrite_file(&segment_name(LogIndex::new(1)), newer);
    let error = open_small(&disk).unwrap_err();
    assert!(error.to_string().contains("format version 5"), "{error}");
    assert!(error.to_string().contains("up to 1"), "{error}");
}

#[test]
fn a_second_opener_is_refused() {
    let disk = written_disk();
    let (log, _) = open_small(&disk).unwrap();
    let error = open_small(&disk).unwrap_err();
    assert!(matches!(error, LogError::InUse { .. }), "{error}");
    drop(log);
    open_small(&disk).unwrap();
}

#[test]
fn purge_keeps_what_is_needed_and_reads_before_it_are_refused() {
    let disk = written_disk();
    let (log, _) = open_small(&disk).unwrap();
    let point = |index| DurablePoint::snapshot_fsynced_through(LogIndex::new(index));
    assert_eq!(
        log.purge(point(3)).unwrap().get(),
        1,
        "segment 1 holds entry 4"
    );
    assert_eq!(log.purge(point(4)).unwrap().get(), 5);
    let error = log
        .read(LogIndex::new(4), ReadLimits::default())
        .unwrap_err();
    assert!(matches!(error, LogError::Purged { .. }), "{error}");
    assert_eq!(
        log.purge(point(99)).unwrap().get(),
        9,
        "the last entry stays"
    );
    assert_eq!(indexes(&read_all(&log)), vec![9, 10, 11, 12]);
    let generation = log.generation();
    drop(log);
    let (log, report) = open_small(&disk).unwrap();
    assert_eq!((report.first_index.get(), report.last_index.get()), (9, 12));
    assert_eq!(
        log.generation(),
        generation,
        "nothing was committed under it"
    );
}

#[test]
fn purge_keeps_the_last_entry_when_the_newest_segment_is_empty() {
    let disk = written_disk();
    // A crash between the making of a segment and the first write to it.
    let empty = encode_segment_header_of_version(FORMAT_VERSION, LogIndex::new(13));
    disk.overwrite_file(&segment_name(LogIndex::new(13)), empty);
    let (log, _) = open_small(&disk).unwrap();
    let everything = DurablePoint::snapshot_fsynced_through(LogIndex::new(12));
    assert_eq!(log.purge(everything).unwrap().get(), 9);
    let generation = log.generation();
    drop(log);
    let (log, report) = open_small(&disk).unwrap();
    assert_eq!(report.last_index.get(), 12);
    assert_eq!(log.generation(), generation, "it never goes back");
}

#[test]
fn a_lost_segment_is_noticed_without_an_orderly_close() {
    let disk = FaultDisk::new(7);
    let (log, _) = open_small(&disk).unwrap();
    append_each(&log, 0..12);
    // The power fails before the close can record the end.
    disk.arm(0, Fault::PowerCut);
    drop(log);
    disk.crash();
    for name in &segments(&disk)[1..] {
        disk.delete_file(name);
    }
    let error = open_small(&disk).unwrap_err();
    assert!(
        matches!(&error, LogError::Truncated { last, durable_through, .. }
            if last.get() == 4 && durable_through.get() == 8),
        "{error}"
    );
}

#[test]
fn a_copy_of_a_segment_inside_a_payload_is_no_later_batch() {
    let disk = written_disk();
    let copied = disk.file_bytes(&segments(&disk)[2]).unwrap();
    let disk = FaultDisk::new(1);
    let (log, _) = open_small(&disk).unwrap();
    let payload = copied.clone();
    log.propose(vec![crate::Command { kind: 1, payload }])
        .wait()
        .unwrap();
    drop(log);
    disk.delete_file("durable-floor");
    cut(&disk, &segments(&disk)[0], 3);
    let (_, report) = open_small(&disk).unwrap();
    assert_eq!(report.last_index, LogIndex::ZERO);
    assert!(report.torn_tail.is_some());
}

/// Opens and reads a damaged log: an error, or a prefix of what was written.
fn check_prefix(disk: &FaultDisk, written: &[crate::Entry]) {
    let Ok((log, _)) = open_small(disk) else {
        return;
    };
    let entries = read_all(&log);
    assert!(entries.len() <= written.len());
    assert_eq!(
        entries,
        written[..entries.len()],
        "an altered entry was served"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_damage_gives_an_error_or_a_prefix(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1_u8..), 0..4),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..2),
        appended in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let disk = written_disk();
        let (log, _) = open_small(&disk).unwrap();
        let written = read_all(&log);
        drop(log);
        let names = disk.list().unwrap();
        for (name, at, mask) in flips {
            let name = name.get(&names);
            let mut bytes = disk.file_bytes(name).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            disk.overwrite_file(name, bytes);
        }
        for (name, at) in cuts {
            let name = name.get(&names);
            let mut bytes = disk.file_bytes(name).unwrap();
            bytes.truncate(at.index(bytes.len()));
            disk.overwrite_file(name, bytes);
        }
        let last = names.last().unwrap();
        let mut bytes = disk.file_bytes(last).unwrap();
        bytes.extend(appended);
        disk.overwrite_file(last, bytes);
        check_prefix(&disk, &written);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        with_header in any::<bool>(),
    ) {
        let disk = FaultDisk::new(0);
        let mut content = if with_header {
            encode_segment_header_of_version(FORMAT_VERSION, LogIndex::new(1))
        } else {
            Vec::new()
        };
        content.extend(bytes);
        disk.overwrite_file(&segment_name(LogIndex::new(1)), content);
        check_prefix(&disk, &[]);
    }
}
