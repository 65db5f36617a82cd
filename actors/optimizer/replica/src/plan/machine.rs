//! The machine that this runs on.

use super::Machine;
use std::fs;
use std::io;

/// Looks at the cores that this process may use and at the memory of the machine.
///
/// # Errors
/// When the kernel does not tell.
pub fn machine() -> io::Result<Machine> {
    let set = rustix::thread::sched_getaffinity(None)?;
    let numbers = 0..rustix::thread::CpuSet::MAX_CPU;
    let cores = numbers.filter(|core| set.is_set(*core));
    let text = fs::read_to_string("/proc/meminfo")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: Option<u64> = total.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Ok(Machine {
        cores: cores.filter_map(|core| u32::try_from(core).ok()).collect(),
        memory_mib: kib.ok_or_else(|| io::Error::other("/proc/meminfo has no MemTotal"))? / 1024,
    })
}
