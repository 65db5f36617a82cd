//! What a runner must know of the cluster under test: which processes there are, and how they are started.

use std::net::SocketAddr;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::disk::NodeDisk;
use crate::error::ChaosError;

/// What becomes of a node's store, which can be made anew from its log and its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreDamage {
    /// It is deleted.
    Lost,
    /// Bytes in its midst are others.
    Corrupted,
}

/// The nodes of a cluster, numbered from 0, as processes of this machine.
///
/// A node runs from `start` until `kill`, or until it ends by itself.
pub trait Deployment {
    /// How many there are.
    fn nodes(&self) -> usize;

    /// Starts one that does not run; it need not serve yet when this returns.
    ///
    /// # Errors
    /// [`ChaosError`] when its process cannot be started.
    fn start(&mut self, node: usize) -> Result<(), ChaosError>;

    /// Ends one with SIGKILL, and waits until its process is gone; one that does not run is left alone.
    ///
    /// # Errors
    /// [`ChaosError`] when it cannot be ended.
    fn kill(&mut self, node: usize) -> Result<(), ChaosError>;

    /// Waits until one ends by itself; one that does not in time is killed, and that is an error.
    ///
    /// # Errors
    /// [`ChaosError::Product`] when it did not end in order.
    fn wait_for_end(&mut self, node: usize) -> Result<(), ChaosError>;

    /// The process of one that runs.
    fn pid(&mut self, node: usize) -> Option<Pid>;

    /// Where it serves its API.
    fn api(&self, node: usize) -> SocketAddr;

    /// Damages the store of one that does not run.
    ///
    /// # Errors
    /// [`ChaosError`] when there is nothing to damage, or it cannot be.
    fn damage(&mut self, node: usize, damage: StoreDamage) -> Result<(), ChaosError>;

    /// The disk with its data.
    fn disk(&mut self, node: usize) -> &mut NodeDisk;
}
