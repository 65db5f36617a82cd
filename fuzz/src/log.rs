//! Opening a log whose files hold anything.

use std::sync::Arc;
use twinscale_log::fault_disk::FaultDisk;
use twinscale_log::{
    Command, CommandLog, Entry, FileLog, LogError, LogIndex, LogOptions, NoObserver, ReadLimits,
    SystemMonotonicClock,
};

const SEGMENT: &str = "segment-00000000000000000001.log";

/// A log that opens holds the same entries when it is opened again, and takes one more.
pub fn log_recovery(bytes: &[u8]) {
    let disk = FaultDisk::new(1);
    disk.overwrite_file(SEGMENT, bytes.to_vec());
    let Ok(log) = open(&disk) else {
        let kept = disk.file_bytes(SEGMENT).expect("a refused file stays");
        assert_eq!(kept, bytes, "a log that does not open is left alone");
        return;
    };
    let before = entries(&log);
    let command = Command {
        kind: 7,
        payload: b"one more".to_vec(),
    };
    let place = log.propose(vec![command]).wait().expect("the disk is well");
    assert_eq!(place.first_index.get(), before.len() as u64 + 1);
    log.close().expect("the disk is well");
    let log = open(&disk).expect("it opened before");
    let after = entries(&log);
    assert_eq!(after.split_last().map(|(_, rest)| rest), Some(&before[..]));
}

fn open(disk: &FaultDisk) -> Result<FileLog, LogError> {
    let clock = Arc::new(SystemMonotonicClock::start());
    let options = LogOptions::default();
    FileLog::open_on(Arc::new(disk.clone()), options, Arc::new(NoObserver), clock)
        .map(|(log, _)| log)
}

fn entries(log: &FileLog) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let next = all
            .last()
            .map_or(LogIndex::new(1), |entry| entry.index.next());
        let more = log
            .read(next, ReadLimits::default())
            .expect("it was checked");
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}
