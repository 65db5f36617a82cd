//! A disk without room: what is refused leaves no trace, and the log goes on by itself.

use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;

use proptest::prelude::*;

use super::model::Model;
use super::{command, open_small, read_all};
use crate::command::{Command, CommandLog};
use crate::error::LogError;
use crate::fault_disk::{Fault, FaultDisk};
use crate::file_log::FileLog;
use crate::options::LogOptions;
use crate::refusal::is_refusal;
use crate::room::{DiskRoom, FsRoom};

/// Proposes, with only so much room left, and notes what was acknowledged.
fn propose_with_room(
    disk: &FaultDisk,
    log: &FileLog,
    model: &mut Model,
    room: u64,
    commands: Vec<Command>,
) -> Result<(), LogError> {
    disk.leave_room(Some(room));
    let reply = log.propose(commands.clone()).wait();
    disk.leave_room(None);
    let outcome = reply.clone().map(|_| ());
    assert!(model.note(commands, reply), "a full disk poisons nothing");
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_full_disk_refuses_for_certain_at_any_write(
        seed in any::<u64>(),
        steps in prop::collection::vec((0_u64..400, prop::collection::vec(0_usize..120, 1..4)), 1..30),
        is_cut in any::<bool>(),
    ) {
        let disk = FaultDisk::new(seed);
        let mut model = Model::default();
        let (log, _) = open_small(&disk).unwrap();
        let mut next_id = 0;
        for (room, fillers) in steps {
            let commands = fillers.into_iter().map(|filler| {
                next_id += 1;
                command(next_id, filler)
            });
            let commands: Vec<Command> = commands.collect();
            match propose_with_room(&disk, &log, &mut model, room, commands.clone()) {
                Ok(()) => {}
                Err(LogError::WriteRefused { source, .. }) => {
                    prop_assert!(is_refusal(&source));
                    // With room the same proposal goes through, without opening the log again.
                    prop_assert!(model.propose(&log, commands));
                }
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
        let acknowledged = model.kept.len();
        prop_assert_eq!(read_all(&log).len(), acknowledged);
        drop(log);
        if is_cut {
            disk.crash();
        } else {
            disk.kill();
        }
        let (log, report) = open_small(&disk).unwrap();
        model.check(&log);
        // Nothing that was refused came back, and nothing had to be cut.
        prop_assert_eq!(model.kept.len(), acknowledged);
        prop_assert_eq!(report.torn_tail, None);
    }

    #[test]
    fn one_refused_operation_anywhere_is_refused_or_poisons(
        seed in any::<u64>(),
        after in 0_u64..40,
        is_cut in any::<bool>(),
    ) {
        let disk = FaultDisk::new(seed);
        let mut model = Model::default();
        let (log, _) = open_small(&disk).unwrap();
        disk.arm(after, Fault::Error);
        for id in 0..12 {
            if !model.propose(&log, vec![command(id, 80)]) {
                break;
            }
        }
        drop(log);
        if is_cut {
            disk.crash();
        } else {
            disk.kill();
        }
        let (log, _) = open_small(&disk).unwrap();
        model.check(&log);
    }
}

#[test]
fn a_write_that_cannot_be_taken_back_poisons() {
    let disk = FaultDisk::new(1);
    let (log, _) = open_small(&disk).unwrap();
    log.propose(vec![command(1, 40)]).wait().unwrap();
    // The write is cut short for want of room; the length cannot be set back.
    disk.leave_room(Some(10));
    disk.arm(1, Fault::Error);
    let error = log.propose(vec![command(2, 40)]).wait().unwrap_err();
    assert!(matches!(error, LogError::OutcomeUnknown { .. }), "{error}");
    disk.leave_room(None);
    let error = log.propose(vec![command(3, 40)]).wait().unwrap_err();
    assert!(matches!(error, LogError::Poisoned { .. }), "{error}");
}

#[test]
fn refusals_are_counted_and_say_what_to_do() {
    let disk = FaultDisk::new(1);
    let (log, _) = open_small(&disk).unwrap();
    disk.leave_room(Some(0));
    let error = log.propose(vec![command(2, 40)]).wait().unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("entry 1") && text.contains("free space"),
        "{text}"
    );
    assert!(!error.is_outcome_unknown());
    assert_eq!(log.metrics().refused, 1);
}

/// A file system in memory with a limit, unmounted when dropped.
struct SmallDisk {
    mount_point: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts one; `None`, and a message, where this user may not.
    fn mount(bytes: u64) -> Option<Self> {
        let mount_point = tempfile::tempdir().unwrap();
        let mounted = Program::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(mount_point.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { mount_point }),
            refused => {
                println!("skipped: a small file system cannot be mounted: {refused:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.mount_point.path()
    }

    fn remount(&self, option: &str) {
        let done = Program::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(self.path())
            .status();
        assert!(done.unwrap().success(), "remount,{option}");
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

#[test]
fn a_real_disk_that_fills_up_refuses_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(1 << 20) else {
        return;
    };
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![1; 600 << 10]).unwrap();
    let options = LogOptions {
        segment_bytes_max: 64 << 10,
        ..LogOptions::default()
    };
    let path = disk.path().join("log");
    let (log, _) = FileLog::open(&path, options).unwrap();
    let mut model = Model::default();
    let mut refusals = 0;
    for id in 0..400 {
        let commands = vec![command(id, 3_000)];
        let reply = log.propose(commands.clone()).wait();
        if let Err(error) = &reply {
            assert!(matches!(error, LogError::WriteRefused { .. }), "{error}");
            refusals += 1;
            if refusals == 5 {
                std::fs::remove_file(&filler).unwrap();
            }
        }
        model.note(commands, reply);
        if refusals == 5 && model.kept.len() > 150 {
            break;
        }
    }
    assert_eq!(refusals, 5, "the disk fills up once");
    assert!(model.kept.len() > 150, "it goes on when there is room");
    let acknowledged = model.kept.len();
    drop(log);
    let (log, report) = FileLog::open(&path, options).unwrap();
    assert_eq!(report.torn_tail, None);
    model.check(&log);
    assert_eq!(model.kept.len(), acknowledged);
}

#[test]
fn a_real_disk_shows_its_room_and_a_read_only_one_is_named() {
    let Some(disk) = SmallDisk::mount(1 << 20) else {
        return;
    };
    let room = FsRoom::at(disk.path()).room().unwrap();
    assert_eq!((room.free_bytes, room.is_read_only), (1 << 20, false));
    std::fs::create_dir(disk.path().join("log")).unwrap();
    disk.remount("ro");
    assert!(FsRoom::at(disk.path()).room().unwrap().is_read_only);
    for path in ["log", "new"] {
        let path = disk.path().join(path);
        let error = FileLog::open(&path, LogOptions::default()).unwrap_err();
        let LogError::NotWritable { directory, source } = &error else {
            panic!("{error}");
        };
        assert_eq!(directory, &path);
        assert!(Arc::clone(source).kind() == std::io::ErrorKind::ReadOnlyFilesystem);
        assert!(error.to_string().contains("mount it read-write"), "{error}");
    }
    disk.remount("rw");
    FileLog::open(&disk.path().join("log"), LogOptions::default()).unwrap();
}
