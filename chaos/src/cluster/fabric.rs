//! A network for the nodes of a scenario, which can be cut.
//!
//! With root each host has a network namespace of its own, and all are joined by a bridge in a further one;
//! nftables drops what crosses a cut on its way over the bridge. The runner has an address on the bridge as
//! well and is never cut off: clients see every node, also those in the minority. Without root the hosts are
//! addresses of this machine, which cannot be cut from each other.
//!
//! Invariants: names and addresses are of this run alone; whatever ends the run, SIGKILL included, a
//! [guard] process of its own kills what is left running and removes the namespaces; a change of the cuts
//! takes effect as a whole or not at all.

pub mod cut;
pub mod guard;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::ChaosError;
use crate::loop_disk::run;
use cut::Cut;
use guard::Guard;
use names::Names;

/// Most hosts of a fabric.
pub const HOSTS_MAX: usize = 16;

/// Subnets that are tried for one that is free.
const SUBNETS_TRIED_MAX: u32 = 64;

/// Which kind of network the hosts have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FabricKind {
    /// A namespace each, which can be cut.
    Namespaces,
    /// An address of this machine each, which cannot.
    Loopback,
}

/// A cut that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CutId(u64);

/// The network; dropping it removes it with all that runs in it.
#[derive(Debug)]
pub struct Fabric {
    names: Names,
    hosts: usize,
    kind: FabricKind,
    guard: Guard,
    cuts: BTreeMap<CutId, BTreeSet<(usize, usize)>>,
    cuts_made: u64,
}

impl Fabric {
    /// Builds a network of hosts, numbered from 0: of namespaces with root, on loopback addresses without.
    ///
    /// # Errors
    /// [`ChaosError`] for too many hosts, and for a command of the system that failed.
    pub fn build(hosts: usize) -> Result<Self, ChaosError> {
        let mut fabric = Self::build_on_loopback(hosts)?;
        if rustix::process::geteuid().is_root() {
            fabric.names.choose_subnet(SUBNETS_TRIED_MAX)?;
            fabric.kind = FabricKind::Namespaces;
            fabric.join_hosts()?;
        }
        Ok(fabric)
    }

    /// Builds a network of loopback addresses, with or without root.
    ///
    /// # Errors
    /// [`ChaosError::NotHere`] for more than [`HOSTS_MAX`] hosts.
    pub fn build_on_loopback(hosts: usize) -> Result<Self, ChaosError> {
        if !(1..=HOSTS_MAX).contains(&hosts) {
            return Err(ChaosError::NotHere {
                what: format!("{hosts} hosts"),
                because: format!("a fabric has 1 to {HOSTS_MAX}"),
            });
        }
        Ok(Self {
            names: Names::of_this_run(),
            hosts,
            kind: FabricKind::Loopback,
            guard: Guard::post()?,
            cuts: BTreeMap::new(),
            cuts_made: 0,
        })
    }

    /// Says which kind it is.
    pub const fn kind(&self) -> FabricKind {
        self.kind
    }

    /// How many hosts it has.
    pub const fn hosts(&self) -> usize {
        self.hosts
    }

    /// The address of a host, at which the others and the runner reach it.
    pub fn address(&self, host: usize) -> IpAddr {
        match self.kind {
            FabricKind::Namespaces => self.names.address(host),
            FabricKind::Loopback => self.names.loopback(host),
        }
    }

    /// The address of the runner, from which it calls.
    pub fn runner_address(&self) -> IpAddr {
        match self.kind {
            FabricKind::Namespaces => self.names.runner_address(),
            FabricKind::Loopback => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// The file of a host's namespace, where it has one.
    pub fn name_space(&self, host: usize) -> Option<PathBuf> {
        self.has_name_spaces().then(|| self.names.file(host))
    }

    /// A command whose process runs in a host's network; its process id is that of the program.
    pub fn command(&self, host: usize, program: &OsStr) -> Command {
        self.entrance(host).command(program)
    }

    /// The way into a host's network, for who starts processes in it.
    pub fn entrance(&self, host: usize) -> Entrance {
        Entrance(self.name_space(host))
    }

    /// Runs something on a thread in a host's network; sockets that it opens stay in it.
    ///
    /// # Errors
    /// [`ChaosError::Io`] when the network cannot be entered.
    pub fn within<T: Send>(
        &self,
        host: usize,
        work: impl FnOnce() -> T + Send,
    ) -> Result<T, ChaosError> {
        let file = self.name_space(host);
        let entered = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                if let Some(file) = &file {
                    enter(file)?;
                }
                Ok(work())
            });
            thread.join()
        });
        match entered {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Cuts hosts from each other, beside the cuts that are in force.
    ///
    /// # Errors
    /// [`ChaosError::NotHere`] on loopback; [`ChaosError::Command`] when nftables refuses, and then nothing
    /// has changed.
    pub fn cut(&mut self, cut: &Cut) -> Result<CutId, ChaosError> {
        if !self.has_name_spaces() {
            return Err(ChaosError::NotHere {
                what: "a partition".to_owned(),
                because:
                    "hosts on loopback addresses cannot be cut from each other; run it as root"
                        .to_owned(),
            });
        }
        let id = CutId(self.cuts_made);
        let mut cuts = self.cuts.clone();
        cuts.insert(id, cut.drops(self.hosts));
        self.enforce(cuts)?;
        self.cuts_made += 1;
        Ok(id)
    }

    /// Heals a cut; others stay in force. One that is healed already is no error.
    ///
    /// # Errors
    /// [`ChaosError::Command`] when nftables refuses, and then nothing has changed.
    pub fn heal(&mut self, id: CutId) -> Result<(), ChaosError> {
        let mut cuts = self.cuts.clone();
        match cuts.remove(&id) {
            None => Ok(()),
            Some(_) => self.enforce(cuts),
        }
    }

    /// Heals all cuts.
    ///
    /// # Errors
    /// [`ChaosError::Command`] when nftables refuses, and then nothing has changed.
    pub fn heal_all(&mut self) -> Result<(), ChaosError> {
        if self.cuts.is_empty() {
            return Ok(());
        }
        self.enforce(BTreeMap::new())
    }

    /// Has the guard run a command when the fabric is removed or its process ends, before what it was told
    /// before.
    ///
    /// # Errors
    /// [`ChaosError::Io`] when the guard does not listen any more.
    pub fn at_end(&mut self, command: &[&Path]) -> Result<(), ChaosError> {
        self.guard.at_end(command)
    }

    /// Has the guard kill a process that was started, if it runs then. One in a namespace is killed anyway.
    ///
    /// # Errors
    /// [`ChaosError::Io`] when the guard does not listen any more.
    pub fn adopt(&mut self, child: &Child) -> Result<(), ChaosError> {
        self.guard.kill_at_end(child.id())
    }

    /// Removes everything and waits until it is gone.
    ///
    /// # Errors
    /// [`ChaosError`] when something is left.
    pub fn remove(self) -> Result<(), ChaosError> {
        let has_name_spaces = self.has_name_spaces();
        self.guard.dismiss()?;
        if !has_name_spaces {
            return Ok(());
        }
        let left = (0..self.hosts).map(|host| self.names.file(host));
        match left
            .chain([self.names.switch_file()])
            .find(|file| file.exists())
        {
            None => Ok(()),
            Some(file) => Err(ChaosError::Command {
                command: format!("ip netns del {}", file.display()),
                reason: "the namespace is still there".to_owned(),
            }),
        }
    }

    fn has_name_spaces(&self) -> bool {
        self.kind == FabricKind::Namespaces
    }

    fn join_hosts(&mut self) -> Result<(), ChaosError> {
        let names = self.names.clone();
        let switch = names.switch();
        self.add_name_space(&switch)?;
        ip(&["-n", &switch, "link", "set", "lo", "up"])?;
        ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", "br0", "up"])?;
        run("nsenter", &nft(&names, names::TABLE).each())?;
        for host in 0..self.hosts {
            let (name, port) = (names.host(host), names::port(host));
            self.add_name_space(&name)?;
            ip(&[
                "-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "eth0",
                "netns", &name,
            ])?;
            ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"])?;
            let address = format!("{}/24", names.address(host));
            ip(&["-n", &name, "addr", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &name, "link", "set", "eth0", "up"])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
        }
        self.join_runner(&switch)
    }

    fn join_runner(&mut self, switch: &str) -> Result<(), ChaosError> {
        let link = self.names.runner_link();
        self.at_end(&paths(&["ip", "link", "del", &link]))?;
        let port = names::RUNNER_PORT;
        ip(&[
            "link", "add", &link, "type", "veth", "peer", "name", port, "netns", switch,
        ])?;
        ip(&["-n", switch, "link", "set", port, "master", "br0", "up"])?;
        let address = format!("{}/24", self.names.runner_address());
        ip(&["addr", "add", &address, "dev", &link])?;
        ip(&["link", "set", &link, "up"])
    }

    /// The guard is told first, so that a run that is broken off here leaves nothing.
    fn add_name_space(&mut self, name: &str) -> Result<(), ChaosError> {
        self.at_end(&paths(&["ip", "netns", "del", name]))?;
        self.guard.kill_in_name_space_at_end(name)?;
        ip(&["netns", "add", name])
    }

    fn enforce(
        &mut self,
        cuts: BTreeMap<CutId, BTreeSet<(usize, usize)>>,
    ) -> Result<(), ChaosError> {
        let drops: BTreeSet<(usize, usize)> = cuts.values().flatten().copied().collect();
        run(
            "nsenter",
            &nft(&self.names, &names::cut_script(&drops)).each(),
        )?;
        self.cuts = cuts;
        Ok(())
    }
}

/// The way into a host's network.
#[derive(Clone, Debug)]
pub struct Entrance(Option<PathBuf>);

impl Entrance {
    /// A command whose process runs in the network; its process id is that of the program.
    pub fn command(&self, program: &OsStr) -> Command {
        let Some(file) = &self.0 else {
            return Command::new(program);
        };
        let mut name_space = std::ffi::OsString::from("--net=");
        name_space.push(file);
        let mut command = Command::new("nsenter");
        command.arg(name_space).arg("--").arg(program);
        command
    }
}

/// The arguments of `nsenter` that run a script of nftables in the switch's namespace.
struct NftArguments([PathBuf; 4]);

impl NftArguments {
    fn each(&self) -> Vec<&Path> {
        self.0.iter().map(PathBuf::as_path).collect()
    }
}

fn nft(names: &Names, script: &str) -> NftArguments {
    let name_space = format!("--net={}", names.switch_file().display());
    NftArguments([name_space.into(), "--".into(), "nft".into(), script.into()])
}

fn ip(arguments: &[&str]) -> Result<(), ChaosError> {
    run("ip", &paths(arguments)).map(drop)
}

fn paths<'a>(words: &[&'a str]) -> Vec<&'a Path> {
    words.iter().map(|word| Path::new(*word)).collect()
}

fn enter(file: &Path) -> Result<(), ChaosError> {
    let failed = |error| ChaosError::io("enter", file, error);
    let open = File::open(file).map_err(failed)?;
    move_into_link_name_space(open.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| failed(error.into()))
}

#[cfg(test)]
mod tests;
