//! The nodes of a cluster under test: processes of this program, each in its own network and on its own disk.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use twinscale::dev::layout::{Layout, LayoutOptions, NodeLayout};
use twinscale::dev::processes::{cloud_arguments, last_words, node_arguments};
use twinscale::service::client::{ApiClient, Target};

use super::super::damage::damage_store;
use super::super::deployment::{Deployment, StoreDamage};
use super::super::disk::NodeDisk;
use super::super::fabric::{Entrance, Fabric};
use super::of_product;
use crate::error::ChaosError;

/// How long a node may take to end in order, in seconds.
const END_LIMIT_S: i64 = 60;

/// A program that nodes can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeProgram {
    file: PathBuf,
    /// What comes before the words of `twinscale`.
    leading: Option<&'static str>,
}

impl NodeProgram {
    /// This program, which has the product in it.
    pub(super) fn of_runner(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            leading: Some("node"),
        }
    }

    /// A `twinscale` of its own.
    pub(super) fn alone(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            leading: None,
        }
    }
}

/// Processes of a laid out cluster; dropping them kills them.
#[derive(Debug)]
pub(super) struct Processes {
    layout: Layout,
    nodes: Vec<Node>,
    cloud: Child,
}

#[derive(Debug)]
struct Node {
    program: NodeProgram,
    entrance: Entrance,
    disk: NodeDisk,
    child: Option<Child>,
}

impl Processes {
    /// Lays a cluster out in a folder and starts its cloud, beside the runner: the network between nodes
    /// and cloud is never cut. No node runs yet.
    pub(super) fn lay_out(
        program: &Path,
        folder: &Path,
        options: LayoutOptions,
        fabric: &mut Fabric,
    ) -> Result<Self, ChaosError> {
        let options = LayoutOptions {
            addresses: (0..fabric.hosts())
                .map(|host| fabric.address(host))
                .collect(),
            cloud: fabric.runner_address(),
            ..options
        };
        let layout = Layout::write(folder, &options).map_err(|error| ChaosError::Product {
            reason: format!("the cluster cannot be laid out: {error:#}"),
        })?;
        let mut nodes = Vec::new();
        for (host, node) in layout.nodes.iter().enumerate() {
            let disk = NodeDisk::make(fabric)?;
            on_own_disk(node, &disk)?;
            nodes.push(Node {
                program: NodeProgram::of_runner(program),
                entrance: fabric.entrance(host),
                disk,
                child: None,
            });
        }
        let cloud = start_cloud(program, &layout)?;
        fabric.adopt(&cloud)?;
        Ok(Self {
            layout,
            nodes,
            cloud,
        })
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Clients of the nodes' APIs, in the order of the nodes.
    pub(super) fn clients(&self) -> Vec<ApiClient> {
        let nodes = self.layout.nodes.iter();
        let url = |node: &NodeLayout| Target::Url(format!("http://{}", node.api));
        nodes.map(|node| ApiClient::new(url(node))).collect()
    }

    /// The folder of a node's store.
    pub(super) fn store(&mut self, node: usize) -> Result<PathBuf, ChaosError> {
        Ok(self.node(node)?.disk.data_dir().join("store"))
    }

    /// The last words of a node.
    pub(super) fn last_words(&self, node: usize) -> String {
        let node = self.layout.nodes.get(node);
        node.map_or_else(String::new, |node| last_words(&node.log()))
    }

    /// Has a node run another program, from its next start on.
    pub(super) fn set_program(
        &mut self,
        node: usize,
        program: &NodeProgram,
    ) -> Result<(), ChaosError> {
        self.node(node)?.program = program.clone();
        Ok(())
    }

    fn node(&mut self, node: usize) -> Result<&mut Node, ChaosError> {
        let count = self.nodes.len();
        self.nodes.get_mut(node).ok_or_else(|| ChaosError::NotHere {
            what: format!("node {node}"),
            because: format!("there are {count} nodes, from 0"),
        })
    }
}

impl Deployment for Processes {
    fn nodes(&self) -> usize {
        self.nodes.len()
    }

    fn start(&mut self, node: usize) -> Result<(), ChaosError> {
        let Some(layout) = self.layout.nodes.get(node).cloned() else {
            return self.node(node).map(drop);
        };
        let log = layout.log();
        let opened = OpenOptions::new().create(true).append(true).open(&log);
        let log = opened.map_err(|error| ChaosError::io("open", log, error))?;
        let one = self.node(node)?;
        let NodeProgram { file, leading } = one.program.clone();
        let mut command = one.entrance.command(file.as_os_str());
        // The first founds the cluster once; on a disk that has one it only says that it may.
        command
            .args(leading)
            .args(node_arguments(&layout, node == 0));
        one.child = Some(quiet(&mut command, log, &file)?);
        Ok(())
    }

    fn kill(&mut self, node: usize) -> Result<(), ChaosError> {
        if let Some(mut child) = self.node(node)?.child.take() {
            // Fails only when it has ended already.
            drop(child.kill());
            let ended = child.wait();
            ended.map_err(|error| ChaosError::io("wait for", "a node", error))?;
        }
        Ok(())
    }

    fn wait_for_end(&mut self, node: usize) -> Result<(), ChaosError> {
        let Some(pid) = self.pid(node) else {
            return self.kill(node);
        };
        let failed = |error: rustix::io::Errno| ChaosError::io("wait for", "a node", error.into());
        let process = pidfd_open(pid, PidfdFlags::empty()).map_err(failed)?;
        // Readable once it has ended.
        let mut ended = [PollFd::new(&process, PollFlags::IN)];
        let limit = Timespec {
            tv_sec: END_LIMIT_S,
            tv_nsec: 0,
        };
        // A person's Ctrl-C ends the run in order; it must not end this.
        let count = retry_on_intr(|| poll(&mut ended, Some(&limit))).map_err(failed)?;
        // Takes what has ended, or kills what has not.
        self.kill(node)?;
        if count > 0 {
            return Ok(());
        }
        Err(ChaosError::Product {
            reason: format!("node {node} did not end within {END_LIMIT_S} s of SIGTERM"),
        })
    }

    fn pid(&mut self, node: usize) -> Option<Pid> {
        let child = self.nodes.get_mut(node)?.child.as_mut()?;
        let runs = matches!(child.try_wait(), Ok(None));
        runs.then(|| Pid::from_child(child))
    }

    fn api(&self, node: usize) -> SocketAddr {
        let node = self.layout.nodes.get(node).or(self.layout.nodes.first());
        node.map_or(self.layout.cloud, |node| node.api)
    }

    fn damage(&mut self, node: usize, damage: StoreDamage) -> Result<(), ChaosError> {
        damage_store(&self.store(node)?, damage)
    }

    fn disk(&mut self, node: usize) -> &mut NodeDisk {
        let place = node.min(self.nodes.len().saturating_sub(1));
        &mut self.nodes[place].disk
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(child) = &mut node.child {
                drop(child.kill());
                drop(child.wait());
            }
        }
        drop(self.cloud.kill());
        drop(self.cloud.wait());
    }
}

/// The layout names a folder for the data: it becomes the way to the node's own disk.
fn on_own_disk(node: &NodeLayout, disk: &NodeDisk) -> Result<(), ChaosError> {
    let data_dir = disk.data_dir();
    fs::create_dir_all(&data_dir).map_err(|error| ChaosError::io("create", &data_dir, error))?;
    std::os::unix::fs::symlink(&data_dir, &node.data_dir)
        .map_err(|error| ChaosError::io("link", &node.data_dir, error))
}

fn start_cloud(program: &Path, layout: &Layout) -> Result<Child, ChaosError> {
    let dir = &layout.cloud_dir;
    fs::create_dir_all(dir).map_err(|error| ChaosError::io("create", dir, error))?;
    let log = dir.join("cloud.log");
    let log = File::create(&log).map_err(|error| ChaosError::io("create", log, error))?;
    let mut command = Command::new(program);
    command.arg("node").args(cloud_arguments(layout));
    quiet(&mut command, log, program)
}

fn quiet(command: &mut Command, log: File, program: &Path) -> Result<Child, ChaosError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|error| ChaosError::io("start", program, error))
}

/// A client of the cloud of a layout.
pub(super) fn cloud_of(layout: &Layout) -> Result<twinscale::sim_cloud::RemoteCloud, ChaosError> {
    let address = layout.cloud.to_string();
    twinscale::sim_cloud::RemoteCloud::connect(&address).map_err(of_product)
}
