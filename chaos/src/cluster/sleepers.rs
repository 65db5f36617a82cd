//! A deployment for tests.

use super::damage::damage_store;
use super::deployment::{Deployment, StoreDamage};
use super::disk::NodeDisk;
use super::fabric::Fabric;
use super::faults::RunClock;
use crate::error::ChaosError;
use rustix::process::Pid;
use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// Two nodes that do nothing.
#[derive(Debug)]
pub(super) struct Sleepers {
    pub(super) children: [Option<Child>; 2],
    pub(super) disks: Vec<NodeDisk>,
    addresses: Vec<SocketAddr>,
}

impl Sleepers {
    pub(super) fn new(fabric: &mut Fabric) -> Self {
        let address = |host| SocketAddr::new(fabric.address(host), 7_000);
        let addresses = (0..2).map(address).collect();
        let mut sleepers = Self {
            children: [None, None],
            disks: (0..2)
                .map(|_| NodeDisk::make(fabric).expect("a disk"))
                .collect(),
            addresses,
        };
        for node in 0..2 {
            fs::create_dir(sleepers.disk(node).data_dir()).expect("a folder");
            sleepers.start(node).expect("started");
        }
        sleepers
    }
}

impl Deployment for Sleepers {
    fn nodes(&self) -> usize {
        self.children.len()
    }

    fn start(&mut self, node: usize) -> Result<(), ChaosError> {
        let child = Command::new("sleep")
            .arg("600")
            .stdout(Stdio::null())
            .spawn();
        self.children[node] = Some(child.expect("started"));
        Ok(())
    }

    fn kill(&mut self, node: usize) -> Result<(), ChaosError> {
        if let Some(mut child) = self.children[node].take() {
            child.kill().expect("killed");
            child.wait().expect("gone");
        }
        Ok(())
    }

    fn wait_for_end(&mut self, node: usize) -> Result<(), ChaosError> {
        if let Some(mut child) = self.children[node].take() {
            child.wait().expect("gone");
        }
        Ok(())
    }

    fn pid(&mut self, node: usize) -> Option<Pid> {
        self.children[node].as_ref().map(Pid::from_child)
    }

    fn api(&self, node: usize) -> SocketAddr {
        self.addresses[node]
    }

    fn damage(&mut self, node: usize, damage: StoreDamage) -> Result<(), ChaosError> {
        damage_store(&self.disk(node).data_dir().join("store"), damage)
    }

    fn disk(&mut self, node: usize) -> &mut NodeDisk {
        &mut self.disks[node]
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for node in 0..2 {
            drop(self.kill(node));
        }
    }
}

/// Each look at it is a microsecond later.
pub(super) fn clock() -> RunClock {
    let now = AtomicU64::new(0);
    Box::new(move || now.fetch_add(1, Ordering::Relaxed))
}
