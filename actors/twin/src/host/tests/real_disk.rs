//! Log and store on a real file system of a few megabytes that fills up.

use super::*;
use crate::host::{HostStatus, RoomOptions};
use std::fs::File;
use std::path::Path;
use std::process::Command as Program;
use std::time::Duration;
use tokio::time::timeout;

/// Generous: a wait that ends here has failed.
const DEADLINE: Duration = Duration::from_mins(1);

const DISK_BYTES: u64 = 24 << 20;

/// Files and folders that the disk holds at the most.
const DISK_FILES: u64 = 1_024;

/// What others have written to the disk, and what they delete to make room.
const FILLER_BYTES: u64 = 14 << 20;

/// A file system in memory with a limit, unmounted when dropped.
struct SmallDisk {
    mount_point: TempDir,
}

impl SmallDisk {
    /// Mounts one with a file on it that can be deleted; `None`, and a message, where this user may not.
    fn mount() -> Option<Self> {
        let mount_point = tempfile::tempdir().expect("a directory");
        let mounted = Program::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={DISK_BYTES},nr_inodes={DISK_FILES}"))
            .arg("tmpfs")
            .arg(mount_point.path())
            .output();
        if !mounted.as_ref().is_ok_and(|output| output.status.success()) {
            println!("skipped: a small file system cannot be mounted: {mounted:?}");
            return None;
        }
        let disk = Self { mount_point };
        let filler = File::create(disk.filler()).expect("room for a file");
        rustix::fs::fallocate(
            &filler,
            rustix::fs::FallocateFlags::empty(),
            0,
            FILLER_BYTES,
        )
        .expect("room for the filler");
        Some(disk)
    }

    fn path(&self) -> &Path {
        self.mount_point.path()
    }

    /// Takes all bytes and all names, so that nothing can be made there: a store's engine may put its first
    /// write off for a moment, a new folder cannot wait.
    fn fill(&self) {
        let others = std::fs::write(self.path().join("others"), vec![1; 24 << 20]);
        assert!(others.is_err(), "the disk is full");
        std::fs::create_dir(self.names()).expect("a name is left");
        let full = (0..DISK_FILES).find_map(|number| {
            let name = self.names().join(number.to_string());
            File::create(name).err()
        });
        assert!(full.is_some(), "no name is left");
    }

    fn make_room(&self) {
        std::fs::remove_dir_all(self.names()).expect("the names are there");
        std::fs::remove_file(self.filler()).expect("the filler is there");
    }

    fn names(&self) -> PathBuf {
        self.path().join("names")
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(
            Program::new("umount")
                .arg("--lazy")
                .arg(self.path())
                .status(),
        );
    }
}

fn open(disk: &SmallDisk, reserve_bytes: u64) -> TwinHost {
    open_reported(disk, reserve_bytes).0
}

fn open_reported(disk: &SmallDisk, reserve_bytes: u64) -> (TwinHost, HostOpenReport) {
    let log = FileLog::open(&disk.path().join("log"), LogOptions::default());
    let room = RoomOptions {
        reserve_bytes,
        margin_bytes: 1 << 20,
        pause_min: Duration::from_millis(5),
        pause_max: Duration::from_millis(50),
        ..RoomOptions::default()
    };
    let options = HostOptions {
        room,
        ..HostOptions::default()
    };
    let log = Arc::new(log.expect("the log opens").0);
    let store = disk.path().join("store");
    let opened = TwinHost::open_at(log, &store, StoreOptions::default(), options);
    opened.expect("the host opens")
}

/// One request of a customer of its own: ten hours with five values each.
async fn ingest(host: &TwinHost, number: usize) -> Result<u32, HostError> {
    let values: Vec<(DomainTime, i64)> = (0..600_i64)
        .map(|minute| (DomainTime(START.0 + minute * 60), minute))
        .collect();
    let sample = request(&format!("customer-{number}"), hours(10), &values);
    let reply = timeout(DEADLINE, host.ingest(sample)).await;
    Ok(reply.expect("answered in time")?.stored)
}

/// Fills the disk, makes room, and looks for everything that was acknowledged.
async fn fill_and_make_room(reserve_bytes: u64) {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let host = open(&disk, reserve_bytes);
    let mut kept = Vec::new();
    let mut refused = 0;
    let mut number = 0;
    while refused < 20 {
        match ingest(&host, number).await {
            Ok(stored) => {
                assert_eq!(stored, 600);
                kept.push(number);
            }
            Err(HostError::ReadOnly { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        number += 1;
        assert!(number < 20_000, "the disk fills up");
    }
    println!(
        "kept {} before the disk was full: {:?}",
        kept.len(),
        host.status()
    );
    std::fs::remove_file(disk.filler()).expect("the filler is there");
    let until = kept.len() + 50;
    while kept.len() < until {
        let mut status = host.watch_status();
        let open_again = status.wait_for(|status| *status == HostStatus::ReadWrite);
        let open_again = timeout(DEADLINE, open_again).await;
        drop(open_again.expect("in time").expect("the host lives"));
        number += 1;
        match ingest(&host, number).await {
            Ok(_) => kept.push(number),
            // The store writes behind and may meet what happened earlier only now.
            Err(HostError::ReadOnly { reason, .. }) => println!("once more: {reason}"),
            Err(error) => panic!("{error}"),
        }
    }
    let before = bytes_of(&host);
    drop(host);
    let host = open(&disk, reserve_bytes);
    assert!(bytes_of(&host) == before, "the same after a restart");
    assert_eq!(host.customers().len(), kept.len());
    for number in kept {
        let name = customer(&format!("customer-{number}"));
        let counters = host.read(&name, TwinState::counters);
        assert_eq!(counters.map(|counters| counters.samples), Some(600));
    }
}

#[tokio::test]
async fn a_node_without_room_for_its_store_is_made_from_the_log_and_waits() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let host = open(&disk, 4 << 20);
    for number in 0..20 {
        assert_eq!(ingest(&host, number).await.expect("there is room"), 600);
    }
    let before = bytes_of(&host);
    drop(host);
    std::fs::remove_dir_all(disk.path().join("store")).expect("the store is there");
    disk.fill();
    let (host, report) = open_reported(&disk, 4 << 20);
    assert_eq!(report.store, None, "there is no room for one");
    let status = host.status();
    assert!(matches!(status, HostStatus::ReadOnly { .. }), "{status:?}");
    assert!(bytes_of(&host) == before, "the log has everything");
    disk.make_room();
    let mut status = host.watch_status();
    let open_again = status.wait_for(|status| *status == HostStatus::ReadWrite);
    let open_again = timeout(DEADLINE, open_again).await;
    drop(open_again.expect("in time").expect("the host lives"));
    assert_eq!(ingest(&host, 20).await.expect("there is room"), 600);
    let before = bytes_of(&host);
    drop(host);
    assert!(bytes_of(&open(&disk, 4 << 20)) == before);
}

/// The usual case: the store never meets a full disk.
#[tokio::test]
async fn a_host_with_a_reserve_goes_on_when_there_is_room() {
    fill_and_make_room(4 << 20).await;
}

/// Without a reserve, or when others take it, the store meets the full disk as well.
#[tokio::test]
async fn a_host_without_a_reserve_goes_on_too() {
    fill_and_make_room(0).await;
}
