//! CPU time of a container, from the kernel's control groups of version 1 or 2.

use std::fs;
use std::io;
use std::path::PathBuf;

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// The account of a container's CPU time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuAccount {
    path: PathBuf,
}

impl CpuAccount {
    /// Finds the account of a process.
    ///
    /// # Errors
    /// When there is none that can be read: the engine runs on another machine, or without control groups.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let path = usage_paths(&text).into_iter().find(|path| path.exists());
        let path = path.ok_or_else(|| io::Error::other("its control group has no CPU account"))?;
        Ok(Self { path })
    }

    /// CPU seconds since the container began.
    ///
    /// # Errors
    /// When the container has ended.
    pub fn seconds(&self) -> io::Result<f64> {
        let text = fs::read_to_string(&self.path)?;
        seconds(&text).ok_or_else(|| io::Error::other("the CPU account is no number"))
    }
}

/// Where the account may be, from the text of `/proc/PID/cgroup`: version 1 first, which a hybrid system counts in.
pub fn usage_paths(text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        if controllers.split(',').any(|one| one == "cpuacct") {
            for folder in [controllers, "cpuacct"] {
                found.push(PathBuf::from(format!(
                    "{MOUNT}/{folder}{path}/cpuacct.usage"
                )));
            }
        }
    }
    let unified = text.lines().find_map(|line| line.strip_prefix("0::"));
    found.extend(unified.map(|path| PathBuf::from(format!("{MOUNT}{path}/cpu.stat"))));
    found
}

/// Nanoseconds of version 1, or the line of version 2 in microseconds.
fn seconds(text: &str) -> Option<f64> {
    if let Ok(nanoseconds) = text.trim().parse::<u64>() {
        return Some(nanoseconds as f64 * 1e-9);
    }
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "))?;
    line.trim()
        .parse::<u64>()
        .ok()
        .map(|micros| micros as f64 * 1e-6)
}

#[cfg(test)]
mod tests {
    use super::{seconds, usage_paths};
    use std::path::PathBuf;

    #[test]
    fn both_versions_are_found() {
        let old = "3:cpuset:/docker/a\n2:cpu,cpuacct:/docker/a\n0::/docker/a\n";
        let expected = [
            "/sys/fs/cgroup/cpu,cpuacct/docker/a/cpuacct.usage",
            "/sys/fs/cgroup/cpuacct/docker/a/cpuacct.usage",
            "/sys/fs/cgroup/docker/a/cpu.stat",
        ];
        assert_eq!(usage_paths(old), expected.map(PathBuf::from));
        let new = usage_paths("0::/system.slice/docker-a.scope\n");
        assert_eq!(
            new,
            [PathBuf::from(
                "/sys/fs/cgroup/system.slice/docker-a.scope/cpu.stat"
            )]
        );
        assert!(usage_paths("garbage").is_empty());
    }

    #[test]
    fn both_units_are_seconds() {
        assert_eq!(seconds("2500000000\n"), Some(2.5));
        assert_eq!(seconds("usage_usec 2500000\nuser_usec 1\n"), Some(2.5));
        assert_eq!(seconds("nothing"), None);
    }
}
