//! What membership is started with.

use rand::TryRngCore;
use rand::rngs::OsRng;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use twinscale_protocol::{ClusterId, NodeNumber};

use crate::clock::WallClock;
use crate::datagrams::Datagrams;
use crate::error::{ConfigError, EntropyError};
use crate::gossiped::Identity;
use crate::ids::Incarnation;

/// Settings of one member. The defaults of [`MembershipConfig::new`] see a dead member in about a second.
#[derive(Clone, Debug)]
pub struct MembershipConfig {
    /// The cluster to be in.
    pub cluster: ClusterId,
    /// This node's number.
    pub member: NodeNumber,
    /// This life's number, see [`Incarnation::starting`].
    pub incarnation: Incarnation,
    /// What the others are told of this node.
    pub identity: Identity,
    /// Where to listen for gossip; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where others reach that, when it is not where it listens.
    pub advertise: Option<SocketAddr>,
    /// Gossip addresses of some members, `host:port`; names are looked up again every minute.
    pub seeds: Vec<String>,
    /// Time between two rounds of gossip.
    pub gossip_interval: Duration,
    /// How unlikely silence must be before a member counts as dead: silence in mean heartbeat intervals.
    pub phi_threshold: f64,
    /// Heartbeat interval that is assumed of a member that was just met.
    pub initial_interval: Duration,
    /// How long a dead incarnation stays in gossip and in the view. Long values let the incarnations of a
    /// node that crashes in a loop pile up; a member that returns later is found again all the same.
    pub forget_after: Duration,
    /// How far a sender's clock may be off before its datagrams are refused and it is reported.
    pub clock_bound: Duration,
    /// How long two incarnations of one member must both go on living before they count as a duplicate
    /// rather than a restart.
    pub duplicate_after: Duration,
}

impl MembershipConfig {
    /// Settings with the measured defaults.
    pub fn new(
        cluster: ClusterId,
        member: NodeNumber,
        incarnation: Incarnation,
        identity: Identity,
        listen: SocketAddr,
    ) -> Self {
        Self {
            cluster,
            member,
            incarnation,
            identity,
            listen,
            advertise: None,
            seeds: Vec::new(),
            gossip_interval: Duration::from_millis(200),
            phi_threshold: 8.0,
            initial_interval: Duration::from_millis(400),
            forget_after: Duration::from_mins(10),
            clock_bound: Duration::from_mins(5),
            duplicate_after: Duration::from_secs(3),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for (key, time) in [
            ("gossip_interval", self.gossip_interval),
            ("initial_interval", self.initial_interval),
            ("forget_after", self.forget_after),
            ("clock_bound", self.clock_bound),
            ("duplicate_after", self.duplicate_after),
        ] {
            if time.is_zero() {
                return Err(ConfigError::Zero { key });
            }
        }
        // Written so that what is no number is refused too.
        if !(1.0..=100.0).contains(&self.phi_threshold) {
            let given = self.phi_threshold.to_string();
            return Err(ConfigError::Phi { given });
        }
        Ok(())
    }
}

/// Random bytes of one start, which with a counter make every nonce.
///
/// One salt must never be used by two starts with one key: that would give away what they send.
#[derive(Clone, Copy)]
pub struct SessionSalt(pub(crate) [u8; 16]);

impl SessionSalt {
    /// Draws a salt from the system.
    ///
    /// # Errors
    /// [`EntropyError`] when the system gives no random bytes.
    pub fn from_system() -> Result<Self, EntropyError> {
        let mut bytes = [0; 16];
        OsRng
            .try_fill_bytes(&mut bytes)
            .map_err(|error| EntropyError(error.to_string()))?;
        Ok(Self(bytes))
    }

    /// Gives the bytes away, for whoever wants random bytes of the system.
    #[must_use]
    pub fn into_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Takes a salt that was drawn elsewhere, such as from a simulation's seed.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SessionSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSalt")
    }
}

/// What is passed in: time, network and entropy.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Stamps datagrams.
    pub clock: Arc<dyn WallClock>,
    /// The network.
    pub datagrams: Arc<dyn Datagrams>,
    /// This start's salt.
    pub salt: SessionSalt,
}
