//! A network in memory that loses, doubles, delays and reorders datagrams and can be cut, by a seed.
//!
//! Under tokio's paused time and with the same seed, the same sends meet the same fates; [`FaultNetwork::trace`]
//! is a hash of all of them, to compare two runs by.

use async_trait::async_trait;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::datagrams::{DatagramSocket, Datagrams};
use crate::limits::INBOX_DATAGRAMS_MAX;

/// What may happen to a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Lost, of a thousand.
    pub lost_per_mille: u32,
    /// Delivered twice, of a thousand.
    pub doubled_per_mille: u32,
    /// Time on the way, in milliseconds; a range lets datagrams overtake each other.
    pub delay_ms: RangeInclusive<u64>,
}

impl Default for Faults {
    /// No faults, no delay.
    fn default() -> Self {
        Self {
            lost_per_mille: 0,
            doubled_per_mille: 0,
            delay_ms: 0..=0,
        }
    }
}

/// The network; clones are the same one.
#[derive(Clone, Debug)]
pub struct FaultNetwork {
    wires: Arc<Mutex<Wires>>,
}

/// When a datagram is due, and its number among all, for order.
type Due = (Instant, u64);

#[derive(Debug, Default)]
struct Inbox {
    arriving: BTreeMap<Due, (SocketAddr, Vec<u8>)>,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Wires {
    rng: ChaCha8Rng,
    faults: Faults,
    /// From and to.
    cut: BTreeSet<(SocketAddr, SocketAddr)>,
    inboxes: BTreeMap<SocketAddr, Inbox>,
    deliveries: u64,
    next_port: u16,
    started: Instant,
    trace: Sha256,
}

impl FaultNetwork {
    /// A network without faults, whose later faults are drawn from a seed. Needs tokio's time.
    pub fn new(seed: u64) -> Self {
        let wires = Wires {
            rng: ChaCha8Rng::seed_from_u64(seed),
            faults: Faults::default(),
            cut: BTreeSet::new(),
            inboxes: BTreeMap::new(),
            deliveries: 0,
            next_port: 1,
            started: Instant::now(),
            trace: Sha256::new(),
        };
        Self {
            wires: Arc::new(Mutex::new(wires)),
        }
    }

    /// Sets what may happen from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.wires().faults = faults;
    }

    /// Lets nothing through from one address to another; the other way stays open.
    pub fn cut_one_way(&self, from: SocketAddr, to: SocketAddr) {
        self.wires().cut.insert((from, to));
    }

    /// Lets nothing through between two sides, either way.
    pub fn partition(&self, one: &[SocketAddr], other: &[SocketAddr]) {
        let mut wires = self.wires();
        for left in one {
            for right in other {
                wires.cut.extend([(*left, *right), (*right, *left)]);
            }
        }
    }

    /// Mends every cut.
    pub fn heal(&self) {
        self.wires().cut.clear();
    }

    /// Hashes what was sent so far: when, whence, whither, the bytes and their fate.
    pub fn trace(&self) -> String {
        let hash = self.wires().trace.clone().finalize();
        format!("{hash:x}")
    }

    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wires {
    fn send(&mut self, datagram: &[u8], from: SocketAddr, to: SocketAddr) {
        // Always as many draws for a datagram, so that a cut does not shift the fates of others.
        let lost = self.rng.random_range(0..1_000) < self.faults.lost_per_mille;
        let doubled = self.rng.random_range(0..1_000) < self.faults.doubled_per_mille;
        let delays = [(); 2].map(|()| self.rng.random_range(self.faults.delay_ms.clone()));
        let copies = match (lost || self.cut.contains(&(from, to)), doubled) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        self.note(datagram, from, to, copies, delays);
        for delay in delays.into_iter().take(copies) {
            self.deliver(datagram, from, to, delay);
        }
    }

    fn deliver(&mut self, datagram: &[u8], from: SocketAddr, to: SocketAddr, delay_ms: u64) {
        self.deliveries += 1;
        let due = Instant::now() + Duration::from_millis(delay_ms);
        let Some(inbox) = self.inboxes.get_mut(&to) else {
            return;
        };
        if inbox.arriving.len() < INBOX_DATAGRAMS_MAX {
            let number = self.deliveries;
            inbox
                .arriving
                .insert((due, number), (from, datagram.to_vec()));
            inbox.changed.notify_one();
        }
    }

    fn note(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        to: SocketAddr,
        copies: usize,
        delays: [u64; 2],
    ) {
        let elapsed = self.started.elapsed().as_nanos();
        let line = format!(
            "{elapsed} {from} {to} {copies} {delays:?} {} ",
            datagram.len()
        );
        self.trace.update(line);
        self.trace.update(datagram);
    }

    fn free_address(&mut self, wanted: SocketAddr) -> io::Result<SocketAddr> {
        let mut address = wanted;
        while wanted.port() == 0 {
            address.set_port(self.next_port);
            self.next_port = self
                .next_port
                .checked_add(1)
                .ok_or(io::ErrorKind::AddrNotAvailable)?;
            if !self.inboxes.contains_key(&address) {
                return Ok(address);
            }
        }
        if self.inboxes.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(address)
    }
}

#[async_trait]
impl Datagrams for FaultNetwork {
    async fn bind(&self, at: SocketAddr) -> io::Result<Box<dyn DatagramSocket>> {
        let mut wires = self.wires();
        let address = wires.free_address(at)?;
        let inbox = Inbox::default();
        let changed = Arc::clone(&inbox.changed);
        wires.inboxes.insert(address, inbox);
        Ok(Box::new(FaultSocket {
            network: self.clone(),
            address,
            changed,
        }))
    }
}

#[derive(Debug)]
struct FaultSocket {
    network: FaultNetwork,
    address: SocketAddr,
    changed: Arc<Notify>,
}

enum Next {
    Arrived(SocketAddr, Vec<u8>),
    DueAt(Instant),
    Nothing,
}

impl FaultSocket {
    fn next(&self) -> Next {
        let mut wires = self.network.wires();
        let Some(inbox) = wires.inboxes.get_mut(&self.address) else {
            return Next::Nothing;
        };
        match inbox.arriving.first_key_value() {
            Some(((due, _), _)) if *due > Instant::now() => Next::DueAt(*due),
            Some(_) => match inbox.arriving.pop_first() {
                Some((_, (from, datagram))) => Next::Arrived(from, datagram),
                None => Next::Nothing,
            },
            None => Next::Nothing,
        }
    }
}

#[async_trait]
impl DatagramSocket for FaultSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.network.wires().send(datagram, self.address, to);
        Ok(())
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            match self.next() {
                Next::Arrived(from, datagram) => {
                    let copied = buffer
                        .iter_mut()
                        .zip(&datagram)
                        .map(|(to, from)| *to = *from)
                        .count();
                    return Ok((copied, from));
                }
                // A wake-up between the look and the wait is kept by `notify_one`.
                Next::DueAt(due) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(due) => {}
                        () = self.changed.notified() => {}
                    }
                }
                Next::Nothing => self.changed.notified().await,
            }
        }
    }
}

impl Drop for FaultSocket {
    fn drop(&mut self) {
        self.network.wires().inboxes.remove(&self.address);
    }
}

#[cfg(test)]
mod tests;
