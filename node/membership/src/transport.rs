//! chitchat's transport: every message sealed on its way out, admitted and inspected on its way in.

use anyhow::Context;
use async_trait::async_trait;
use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatId, ChitchatMessage, Serializable};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;
use tracing::warn;

use crate::clock::WallClock;
use crate::datagrams::DatagramSocket;
use crate::gate::{Gate, Refused};
use crate::inspect::inspect;
use crate::limits::LOG_INTERVAL;
use crate::refusal::{RefusalReason, Refusals};
use crate::ring::SharedKeyRing;
use crate::roster::Roster;
use crate::seal::{SealError, Sealer};

/// Room for a datagram longer than any that is accepted, so that one that is too long is seen to be.
const RECEIVE_BYTES: usize = 65_536;

/// Gives chitchat the one socket that was opened beforehand, so that its port is known before the start.
pub(crate) struct SealedTransport(Mutex<Option<SealedSocket>>);

impl SealedTransport {
    pub(crate) fn new(socket: SealedSocket) -> Self {
        Self(Mutex::new(Some(socket)))
    }
}

#[async_trait]
impl Transport for SealedTransport {
    async fn open(&self, _listen_addr: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let socket = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .context("the gossip socket was taken before")?;
        Ok(Box::new(socket))
    }
}

/// What a sealed socket is made of.
pub(crate) struct Wiring {
    pub(crate) socket: Box<dyn DatagramSocket>,
    pub(crate) sealer: Sealer,
    pub(crate) gate: Gate,
    pub(crate) keys: SharedKeyRing,
    pub(crate) clock: Arc<dyn WallClock>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) own: ChitchatId,
}

/// A socket of chitchat's messages over sealed datagrams.
pub(crate) struct SealedSocket {
    wiring: Wiring,
    logged: BTreeMap<RefusalReason, Instant>,
    received: Vec<u8>,
    message: Vec<u8>,
    datagram: Vec<u8>,
}

impl SealedSocket {
    pub(crate) fn new(wiring: Wiring) -> Self {
        Self {
            wiring,
            logged: BTreeMap::new(),
            received: vec![0; RECEIVE_BYTES],
            message: Vec::new(),
            datagram: Vec::new(),
        }
    }

    /// Turns the first `length` received bytes into a message, or counts and logs why not.
    fn read(&mut self, length: usize, from: SocketAddr) -> Option<ChitchatMessage> {
        let now_ms = self.wiring.clock.unix_ms();
        match self.admit(length, now_ms) {
            Ok(message) => Some(message),
            Err(refused) => {
                self.refuse(refused, &from);
                None
            }
        }
    }

    fn admit(&mut self, length: usize, now_ms: u64) -> Result<ChitchatMessage, Refused> {
        let wiring = &mut self.wiring;
        let datagram = self.received.get(..length).unwrap_or_default();
        let gate = &mut wiring.gate;
        let admitted = wiring
            .keys
            .read(|keys| gate.admit(keys, datagram, now_ms))?;
        let sender = admitted.session.member;
        wiring.refusals.clear_clock(sender);
        let inspected = inspect(&admitted.message)?;
        if !wiring.roster.admit(&inspected.digest) {
            return Err(RefusalReason::TooManyIncarnations.into());
        }
        let own = inspected.digest.iter().find(|(id, _)| *id == wiring.own);
        if let Some((_, version)) = own {
            wiring.roster.confirm(sender, *version);
        }
        Ok(inspected.message)
    }

    fn refuse(&mut self, refused: Refused, with: &dyn fmt::Display) {
        self.wiring.refusals.note(refused.reason);
        if let Some(report) = refused.clock {
            self.wiring.refusals.note_clock(report);
        }
        if !self.may_log(refused.reason) {
            return;
        }
        let clock = refused.clock.map(|report| report.to_string());
        let remedy = refused.reason.remedy();
        warn!(with = %with, reason = %refused.reason, clock, remedy, "refused gossip");
    }

    /// One line for each reason in a while: whoever floods the port must not flood the log.
    fn may_log(&mut self, reason: RefusalReason) -> bool {
        let now = Instant::now();
        let last = self.logged.get(&reason);
        let due = last.is_none_or(|at| now.duration_since(*at) >= LOG_INTERVAL);
        if due {
            self.logged.insert(reason, now);
        }
        due
    }
}

#[async_trait]
impl Socket for SealedSocket {
    /// A message to an earlier life of this member, which gossip looks for at its own address until that life is
    /// forgotten, goes nowhere: this one would get it, and refuse it as its own.
    ///
    /// A message that cannot be sent is lost, as any datagram may be: gossip sends again, and the loss is
    /// counted. An error here would only be logged by chitchat, at every round.
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        if to == self.wiring.own.gossip_advertise_addr {
            return Ok(());
        }
        self.message.clear();
        message.serialize(&mut self.message);
        let now_ms = self.wiring.clock.unix_ms();
        let (sealer, message, datagram) =
            (&mut self.wiring.sealer, &self.message, &mut self.datagram);
        let sealed = self
            .wiring
            .keys
            .read(|keys| sealer.seal(keys, now_ms, message, datagram));
        match sealed {
            Ok(()) => {
                if let Err(error) = self.wiring.socket.send_to(&self.datagram, to).await {
                    self.refuse(RefusalReason::SendFailed.into(), &format!("{to}: {error}"));
                }
            }
            Err(SealError::TooLarge) => {
                self.refuse(RefusalReason::OutgoingTooLarge.into(), &to);
            }
            Err(SealError::Unable) => self.refuse(RefusalReason::SendFailed.into(), &to),
        }
        Ok(())
    }

    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        loop {
            let received = self.wiring.socket.recv_from(&mut self.received).await;
            match received {
                Ok((length, from)) => {
                    if let Some(message) = self.read(length, from) {
                        return Ok((from, message));
                    }
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error).context("cannot receive gossip any more"),
            }
        }
    }
}

/// An error about one datagram or one moment, after which the socket works on.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, OutOfMemory, WouldBlock};
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | Interrupted | OutOfMemory | WouldBlock
    )
}
