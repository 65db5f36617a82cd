//! Names and addresses of one run, which no other run of this machine has.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::ChaosError;
use crate::loop_disk::run;

/// Where iproute2 keeps namespaces.
const NAME_SPACES: &str = "/run/netns";

/// The port of the bridge that leads to the runner.
pub(super) const RUNNER_PORT: &str = "runner";

/// The last number of the runner's address.
const RUNNER_NUMBER: u8 = 254;

/// Subnets of 256 addresses in 10.64.0.0/10.
const SUBNETS: u32 = 64 * 256;

/// What the switch drops. Addresses are still resolved across a cut, so that one way of a one-way cut does
/// not end with the other.
pub(super) const TABLE: &str = "table bridge twinscale { \
    set cut { type ifname . ifname; }; \
    chain forward { type filter hook forward priority 0; policy accept; \
    meta protocol != arp iifname . oifname @cut drop; }; }";

/// Fabrics that this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

#[derive(Clone, Debug)]
pub(super) struct Names {
    process: u32,
    fabric: u32,
    subnet: u32,
}

impl Names {
    pub(super) fn of_this_run() -> Self {
        let process = std::process::id();
        let fabric = MADE.fetch_add(1, Ordering::Relaxed);
        Self {
            process,
            fabric,
            subnet: process.wrapping_mul(31).wrapping_add(fabric) % SUBNETS,
        }
    }

    /// Moves on to a subnet of which this machine knows nothing.
    pub(super) fn choose_subnet(&mut self, tried_max: u32) -> Result<(), ChaosError> {
        let known =
            ["addr", "route"].map(|what| run("ip", &["-o", "-4", what, "show"].map(Path::new)));
        let [addresses, routes] = known;
        let known = format!(" {} {}", addresses?, routes?);
        for _ in 0..tried_max {
            let [a, b, c, _] = self.octets(0);
            if !known.contains(&format!(" {a}.{b}.{c}.")) {
                return Ok(());
            }
            self.subnet = (self.subnet + 1) % SUBNETS;
        }
        Err(ChaosError::NotHere {
            what: "a network of namespaces".to_owned(),
            because: format!("{tried_max} subnets of 10.64.0.0/10 in a row are in use"),
        })
    }

    pub(super) fn host(&self, host: usize) -> String {
        format!("{}-{host}", self.stem())
    }

    pub(super) fn switch(&self) -> String {
        format!("{}-switch", self.stem())
    }

    /// The runner's end; the kernel takes at most 15 characters.
    pub(super) fn runner_link(&self) -> String {
        format!("tw{:x}.{:x}", self.process, self.fabric % 0x1000)
    }

    pub(super) fn file(&self, host: usize) -> PathBuf {
        Path::new(NAME_SPACES).join(self.host(host))
    }

    pub(super) fn switch_file(&self) -> PathBuf {
        Path::new(NAME_SPACES).join(self.switch())
    }

    pub(super) fn address(&self, host: usize) -> IpAddr {
        Ipv4Addr::from(self.octets(number(host))).into()
    }

    pub(super) fn runner_address(&self) -> IpAddr {
        Ipv4Addr::from(self.octets(RUNNER_NUMBER)).into()
    }

    /// All of 127.0.0.0/8 is this machine.
    pub(super) fn loopback(&self, host: usize) -> IpAddr {
        let [_, b, c, d] = self.octets(number(host));
        Ipv4Addr::from([127, b, c, d]).into()
    }

    fn stem(&self) -> String {
        format!("tw-{:x}-{:x}", self.process, self.fabric)
    }

    fn octets(&self, number: u8) -> [u8; 4] {
        let [_, _, high, low] = self.subnet.to_be_bytes();
        [10, 64 + high, low, number]
    }
}

/// The port of the bridge that leads to a host.
pub(super) fn port(host: usize) -> String {
    format!("host{host}")
}

/// Drops what goes between these pairs, and nothing else.
pub(super) fn cut_script(drops: &BTreeSet<(usize, usize)>) -> String {
    let mut script = "flush set bridge twinscale cut".to_owned();
    for (place, (from, to)) in drops.iter().enumerate() {
        let begin = if place == 0 {
            "; add element bridge twinscale cut { "
        } else {
            ", "
        };
        // Writing to a string cannot fail.
        let _written = write!(script, "{begin}\"{}\" . \"{}\"", port(*from), port(*to));
    }
    if !drops.is_empty() {
        script.push_str(" }");
    }
    script
}

/// Hosts have the numbers from 1.
fn number(host: usize) -> u8 {
    u8::try_from(host + 1).map_or(RUNNER_NUMBER - 1, |number| number.min(RUNNER_NUMBER - 1))
}

#[cfg(test)]
mod tests {
    use super::{Names, cut_script};

    #[test]
    fn names_fit_the_kernel_and_differ_between_fabrics() {
        let (one, other) = (Names::of_this_run(), Names::of_this_run());
        assert_ne!(one.host(0), other.host(0));
        assert_ne!(one.runner_link(), other.runner_link());
        let longest = Names {
            process: 4_194_304,
            fabric: u32::MAX,
            subnet: 0,
        };
        assert!(longest.runner_link().len() <= 15);
    }

    #[test]
    fn no_cut_flushes_and_cuts_name_their_ports() {
        assert_eq!(cut_script(&[].into()), "flush set bridge twinscale cut");
        assert_eq!(
            cut_script(&[(0, 2), (2, 0)].into()),
            "flush set bridge twinscale cut; add element bridge twinscale cut \
             { \"host0\" . \"host2\", \"host2\" . \"host0\" }"
        );
    }
}
