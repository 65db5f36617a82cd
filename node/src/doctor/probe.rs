//! Checks of the machine: address, files, processors, memory.

use super::{Check, judge};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Looks whether the address can be listened on.
pub(super) fn address(address: SocketAddr) -> Check {
    let name = "address";
    match TcpListener::bind(address) {
        Ok(_closed_here) => {
            let found = format!("{address} is free");
            if address.ip().is_loopback() {
                Check::passed(name, found)
            } else {
                Check::warned(
                    name,
                    format!("{found}, and reaches beyond this machine"),
                    "the API asks nobody who they are: keep it behind a firewall or a proxy that does",
                )
            }
        }
        Err(error) => Check::failed(
            name,
            format!("{address} cannot be listened on: {error}"),
            match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "stop what listens there, or choose another port with --listen"
                }
                io::ErrorKind::PermissionDenied => {
                    "choose a port above 1023 with --listen, or give the right to bind lower ones"
                }
                _ => "choose an address of this machine with --listen",
            },
        ),
    }
}

/// Looks at the limit of open files.
pub(super) fn open_files(connections_max: usize) -> Check {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    judge::open_files(limit.current, connections_max)
}

/// Looks at the processors.
pub(super) fn processors(threads: u32) -> Check {
    let found = std::thread::available_parallelism().map_or(1, usize::from);
    judge::processors(found, threads)
}

/// Looks at the memory of the machine and of the control group of this process.
pub(super) fn memory(series_max: usize) -> Check {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    let machine = available_bytes(&meminfo);
    // `max` = no limit of the group, and so is a group that has none.
    let group = group.trim().parse::<u64>().ok();
    let available = machine.map(|bytes| group.map_or(bytes, |limit| limit.min(bytes)));
    judge::memory(available, series_max)
}

/// Reads `MemAvailable` of `/proc/meminfo`, in bytes.
pub(super) fn available_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}
