use super::super::deployment::Deployment as _;
use super::super::disk::NodeDisk;
use super::super::fabric::cut::Cut;
use super::super::fabric::{Fabric, FabricKind};
use super::super::sleepers::{Sleepers, clock};
use super::{Fault, Faults};
use crate::error::ChaosError;
use rustix::process::Pid;
use std::fs::{self, File};
use std::io::Write as _;

fn faults() -> Faults<Sleepers> {
    let mut fabric = Fabric::build(2).expect("a fabric");
    let sleepers = Sleepers::new(&mut fabric);
    Faults::new(sleepers, fabric, clock())
}

/// The state of a process, as the kernel tells it: `S` sleeps, `T` is stopped.
fn state(pid: Pid) -> String {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let text = fs::read_to_string(path).expect("it runs");
    let fields = text.rsplit(") ").next().expect("fields");
    fields.split(' ').next().expect("a state").to_owned()
}

fn wait_for(pid: Pid, wanted: &str) {
    while state(pid) != wanted {
        std::thread::yield_now();
    }
}

#[test]
fn a_killed_node_is_another_process_afterwards_and_the_other_is_not() {
    let mut faults = faults();
    let before = [0, 1].map(|node| faults.deployment().pid(node));
    let number = faults.begin(Fault::Kill { node: 0 }).expect("struck");
    assert_eq!(faults.deployment().pid(0), None);
    assert_eq!(faults.records()[0].ended_us, None);
    let again = faults.begin(Fault::Kill { node: 0 });
    assert!(
        matches!(again, Err(ChaosError::NotHere { .. })),
        "{again:?}"
    );
    faults.end(number).expect("ended");
    faults.end(number).expect("has ended before");
    let after = [0, 1].map(|node| faults.deployment().pid(node));
    assert!(after[0].is_some() && after[0] != before[0]);
    assert_eq!(after[1], before[1]);
    let records = faults.records();
    assert_eq!(records.len(), 1, "what was refused has no record");
    assert_eq!((records[0].begun_us, records[0].ended_us), (0, Some(1)));
}

#[test]
fn a_paused_node_stands_still_and_goes_on() {
    let mut faults = faults();
    let pid = faults.deployment().pid(1).expect("it runs");
    let number = faults.begin(Fault::Pause { node: 1 }).expect("struck");
    wait_for(pid, "T");
    assert!(faults.begin(Fault::Pause { node: 1 }).is_err());
    faults.end(number).expect("ended");
    wait_for(pid, "S");
}

#[test]
fn a_pause_that_a_kill_ended_touches_the_next_process_not() {
    let mut faults = faults();
    faults.begin(Fault::Pause { node: 1 }).expect("struck");
    let kill = faults.begin(Fault::Kill { node: 1 }).expect("struck");
    faults.end(kill).expect("ended");
    let next = faults.deployment().pid(1).expect("it runs");
    let pause = faults.begin(Fault::Pause { node: 1 }).expect("struck");
    wait_for(next, "T");
    faults.end(0).expect("ended");
    assert_eq!(state(next), "T", "only the second pause ends it");
    faults.end(pause).expect("ended");
    wait_for(next, "S");
}

#[test]
fn what_can_have_no_effect_is_refused_with_the_reason() {
    let mut fabric = Fabric::build_on_loopback(2).expect("addresses");
    let mut sleepers = Sleepers::new(&mut fabric);
    sleepers.disks = vec![
        NodeDisk::plain().expect("a folder"),
        NodeDisk::plain().expect("a folder"),
    ];
    let mut faults = Faults::new(sleepers, fabric, clock());
    for (fault, word) in [
        (Fault::Kill { node: 7 }, "there are 2 nodes"),
        (Fault::DiskFull { node: 0 }, "root"),
        (Fault::PowerCut { nodes: [0].into() }, "root"),
        (Fault::PowerCut { nodes: [].into() }, "no node"),
        (
            Fault::Partition {
                cut: Cut::Pair { one: 0, other: 1 },
            },
            "root",
        ),
        (
            Fault::Partition {
                cut: Cut::Half { side: [].into() },
            },
            "nobody",
        ),
    ] {
        let error = faults.begin(fault.clone()).expect_err(word).to_string();
        assert!(error.contains(word), "{fault:?}: {error}");
    }
    assert!(faults.records().is_empty());
    assert!(faults.deployment().pid(0).is_some(), "nothing was struck");
}

/// Writes a file on a node's disk, and syncs it or not.
fn write(faults: &mut Faults<Sleepers>, name: &str, is_synced: bool) {
    let folder = faults.deployment().disk(0).data_dir();
    let mut file = File::create(folder.join(name)).expect("a file");
    file.write_all(name.as_bytes()).expect("room");
    if is_synced {
        file.sync_all().expect("synced");
        File::open(folder)
            .expect("a folder")
            .sync_all()
            .expect("synced");
    }
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_a_full_disk_has_no_room() {
    let mut faults = faults();
    if !faults.deployment().disk(0).can_fail() {
        return;
    }
    write(&mut faults, "synced", true);
    write(&mut faults, "unsynced", false);
    let nodes = [0].into();
    let number = faults.begin(Fault::PowerCut { nodes }).expect("struck");
    assert_eq!(faults.deployment().pid(0), None);
    assert!(faults.deployment().pid(1).is_some());
    faults.end(number).expect("ended");
    assert!(faults.deployment().pid(0).is_some());
    let folder = faults.deployment().disk(0).data_dir();
    let synced = fs::read_to_string(folder.join("synced")).expect("it is there");
    assert_eq!(synced, "synced");
    let unsynced = fs::read_to_string(folder.join("unsynced")).unwrap_or_default();
    assert_eq!(unsynced, "", "what was not synced is gone");
    let full = faults.begin(Fault::DiskFull { node: 0 }).expect("struck");
    let error = fs::write(folder.join("more"), vec![0; 65_536]).expect_err("no room");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    faults.end(full).expect("ended");
    fs::write(folder.join("more"), vec![0; 65_536]).expect("room");
}

#[test]
fn all_faults_end_and_their_records_are_kept_as_lines() {
    let mut faults = faults();
    faults.begin(Fault::Kill { node: 0 }).expect("struck");
    faults.begin(Fault::Pause { node: 1 }).expect("struck");
    let mut kinds = vec!["kill", "pause"];
    if faults.fabric().kind() == FabricKind::Namespaces {
        let cut = Cut::OneWay {
            from: [0].into(),
            to: [1].into(),
        };
        faults.begin(Fault::Partition { cut }).expect("struck");
        kinds.push("partition-one-way");
    }
    faults.end_all().expect("ended");
    let (_sleepers, _fabric, records) = faults.into_parts();
    let found: Vec<_> = records.iter().map(|record| record.fault.kind()).collect();
    assert_eq!(found, kinds);
    assert!(records.iter().all(|record| record.ended_us.is_some()));
    let text = serde_json::to_string(&records).expect("json");
    assert_eq!(
        serde_json::from_str::<Vec<super::FaultRecord>>(&text).expect("records"),
        records
    );
    assert!(
        text.starts_with(r#"[{"number":0,"fault":"kill","node":0,"begun_us":0,"ended_us":"#),
        "{text}"
    );
}

#[test]
fn the_heart_of_a_fault_and_the_majority_that_it_leaves() {
    let cut = |cut| Fault::Partition { cut };
    let half = cut(Cut::Half {
        side: [0, 1].into(),
    });
    let other_half = cut(Cut::Half {
        side: [2, 3, 4].into(),
    });
    let deaf = cut(Cut::OneWay {
        from: [0, 1, 2, 4].into(),
        to: [3].into(),
    });
    let pair = cut(Cut::Pair { one: 1, other: 4 });
    let power = Fault::PowerCut {
        nodes: [0, 1].into(),
    };
    for (fault, struck) in [
        (&half, vec![0, 1]),
        (&other_half, vec![0, 1]),
        (&deaf, vec![3]),
        (&pair, vec![1, 4]),
        (&power, vec![0, 1]),
    ] {
        assert_eq!(fault.struck(5), struck.into_iter().collect(), "{fault:?}");
    }
    for (fault, replicas, leaves) in [
        // Either side of a cut may hold the majority.
        (&half, vec![0, 1, 2], true),
        (&half, vec![0, 2, 3], true),
        (&power, vec![0, 1, 2], false),
        (&power, vec![0, 2, 3], true),
        (&deaf, vec![1, 2, 3], true),
        (&pair, vec![1, 2, 4], true),
        (&pair, vec![1, 4], false),
    ] {
        let found = fault.leaves_majority(&replicas.iter().copied().collect(), 5);
        assert_eq!(found, leaves, "{fault:?} {replicas:?}");
    }
}
