//! Questions and operations as they travel.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_protocol::{CustomerId, NodeNumber, RequestId, ShardId};

/// An `Asked` of a [`TwinsRequest`].
pub const TWINS_READ: EnvelopeKind = EnvelopeKind(0x0826);

/// A [`TwinsReply`].
pub const TWINS_READ_REPLY: EnvelopeKind = EnvelopeKind(0x0827);

/// An `Asked` of an [`ActorsRequest`].
pub const ACTORS_READ: EnvelopeKind = EnvelopeKind(0x0828);

/// An [`ActorsReply`].
pub const ACTORS_READ_REPLY: EnvelopeKind = EnvelopeKind(0x0829);

/// An `Asked` of an [`ActorOrder`].
pub const ACTORS_WRITE: EnvelopeKind = EnvelopeKind(0x082a);

/// An [`ActorDone`].
pub const ACTORS_WRITE_REPLY: EnvelopeKind = EnvelopeKind(0x082b);

/// Most twins in one answer.
pub const TWINS_MAX: u32 = 1_000;

/// What is asked of twins.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TwinsRequest {
    /// The customers in the order of their names.
    List {
        /// Behind this one.
        after: Option<CustomerId>,
        /// At most so many, up to [`TWINS_MAX`].
        at_most: u32,
    },
    /// One twin.
    Show {
        /// Whose.
        customer: CustomerId,
    },
}

/// The answers, each to the question of the same place.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TwinsReply {
    /// Customers.
    List(TwinsList),
    /// The twin; `None` = no node that answered drives it.
    Show {
        /// It.
        twin: Option<TwinShown>,
        /// Nodes that did not answer.
        silent: Vec<SilentNode>,
    },
}

/// A page of customers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinsList {
    /// In the order of their names.
    pub twins: Vec<TwinLine>,
    /// Ask behind this one for the next page; `None` at the end.
    pub next_after: Option<CustomerId>,
    /// Nodes that did not answer: twins that they drive are missing.
    pub silent: Vec<SilentNode>,
}

/// A node that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilentNode {
    /// The node.
    pub node: NodeNumber,
    /// Its name, or its number where that is not known.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A customer's twin in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinLine {
    /// Whose.
    pub customer: CustomerId,
    /// Its shard.
    pub shard: ShardId,
    /// The node that leads the shard and drives the twin.
    pub node: NodeNumber,
    /// The name of that node.
    pub node_name: String,
    /// `unconfigured`, `driven`, `waiting` or `quarantined`.
    pub state: String,
    /// `observe`, `advise` or `enforce`.
    pub mode: Option<String>,
    /// Number of the target plan.
    pub plan: Option<u64>,
    /// VMs that serve.
    pub serving: u32,
    /// VMs that start.
    pub starting: u32,
    /// The newest turn since this node drives it.
    pub last_turn: Option<LastTurnLine>,
    /// Restarts of its actor since this node drives it.
    pub restarts: u64,
}

/// What a turn came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTurnLine {
    /// When, in seconds since 1970.
    pub at: i64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Whether it had no fresh forecast.
    pub stale: bool,
    /// Why nothing came of it, or what failed on the way.
    pub failures: Vec<String>,
}

/// A twin at length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinShown {
    /// The line of the list.
    pub line: TwinLine,
    /// The twin as `GET /v1/customers/NAME` shows it, in JSON.
    pub json: String,
}

/// An actor of a node.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ActorName {
    /// The forecaster, which all twins share.
    Forecaster,
    /// The optimizer, which all twins share.
    Optimizer,
    /// The provisioner, which all twins share.
    Provisioner,
    /// The twin of a customer.
    Twin(CustomerId),
}

impl fmt::Display for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forecaster => f.write_str("forecaster"),
            Self::Optimizer => f.write_str("optimizer"),
            Self::Provisioner => f.write_str("provisioner"),
            Self::Twin(customer) => write!(f, "twin/{customer}"),
        }
    }
}

impl FromStr for ActorName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("twin/")) {
            ("forecaster", _) => Ok(Self::Forecaster),
            ("optimizer", _) => Ok(Self::Optimizer),
            ("provisioner", _) => Ok(Self::Provisioner),
            (_, Some(customer)) => CustomerId::new(customer)
                .map(Self::Twin)
                .map_err(|error| error.to_string()),
            _ => Err(format!(
                "`{text}` is no actor: name forecaster, optimizer, provisioner or twin/CUSTOMER"
            )),
        }
    }
}

/// What is asked of actors.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActorsRequest {
    /// All actors.
    Tree {
        /// Of one node alone, by name or number.
        node: Option<String>,
    },
    /// One actor.
    Inspect {
        /// Which.
        actor: ActorName,
        /// On which node; without it, on every one that has it.
        node: Option<String>,
    },
}

/// The actors of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorsReply {
    /// By node.
    pub nodes: Vec<NodeActors>,
    /// Nodes that did not answer.
    pub silent: Vec<SilentNode>,
}

/// The actors of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeActors {
    /// The node.
    pub node: NodeNumber,
    /// Its name.
    pub name: String,
    /// Its actors: those that all twins share, then twins in the order of their customers.
    pub actors: Vec<ActorLine>,
    /// Twins that are driven there.
    pub twins: u64,
    /// Twins that are left out above, where there are too many.
    pub twins_left_out: u64,
}

/// An actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorLine {
    /// Its name.
    pub actor: String,
    /// How it is.
    pub state: ActorState,
    /// Why it is not running.
    pub reason: Option<String>,
    /// Names the incarnation that runs; after a restart it is another one.
    pub incarnation: Option<String>,
    /// Restarts since the node started, or drives the twin.
    pub restarts: u64,
    /// Messages that wait or are being handled.
    pub mailbox: u64,
    /// Most of these.
    pub mailbox_max: u64,
    /// How long its pause lasts still, in milliseconds.
    pub paused_for_ms: Option<u64>,
}

/// How an actor is.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorState {
    /// It runs.
    Running,
    /// It runs and takes no message.
    Paused,
    /// It ended and comes back after its back-off.
    Restarting,
    /// It ended too often; nothing starts it again.
    GivenUp,
}

/// What is done to an actor.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActorOperation {
    /// It ends behind the message that it handles, and a new incarnation begins.
    Restart,
    /// It is ended wherever it is, as by a crash; its supervisor starts it again.
    Kill,
    /// It takes no message until it is resumed or the time is over.
    Pause {
        /// How long, in seconds.
        seconds: u32,
    },
    /// A pause ends.
    Resume,
}

/// An operation on an actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorOrder {
    /// Tells a repetition from another order.
    pub request: RequestId,
    /// Which.
    pub actor: ActorName,
    /// On which node, by name or number; a twin is found by itself.
    pub node: Option<String>,
    /// What.
    pub operation: ActorOperation,
}

/// What came of an order.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActorDone {
    /// It was done.
    Done {
        /// Where.
        node: NodeNumber,
        /// The name of that node.
        name: String,
        /// How the actor is now.
        actor: ActorLine,
        /// The incarnation that was there before.
        before: Option<String>,
        /// For people: what came of it.
        note: String,
    },
    /// The actor is not on this node.
    NotHere,
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_protocol::envelope::{HEADER_BYTES, seal};

    #[test]
    fn golden_bytes_of_orders_and_questions() {
        let acme = CustomerId::new("ab").expect("an id");
        let operations: [(ActorOperation, &[u8]); 4] = [
            (ActorOperation::Restart, &[0]),
            (ActorOperation::Kill, &[1]),
            (ActorOperation::Pause { seconds: 9 }, &[2, 9]),
            (ActorOperation::Resume, &[3]),
        ];
        for (operation, golden) in operations {
            let order = ActorOrder {
                request: RequestId(5),
                actor: ActorName::Twin(acme.clone()),
                node: None,
                operation,
            };
            let bytes = seal(ACTORS_WRITE, &order).expect("encodes");
            let golden = [&[5, 3, 2, 97, 98, 0], golden].concat();
            assert_eq!(&bytes[HEADER_BYTES..], golden, "{operation:?}");
        }
        let list = TwinsRequest::List {
            after: None,
            at_most: 7,
        };
        let bytes = seal(TWINS_READ, &list).expect("encodes");
        assert_eq!(&bytes[HEADER_BYTES..], [0, 0, 7]);
        let tree = ActorsRequest::Tree { node: None };
        let bytes = seal(ACTORS_READ, &tree).expect("encodes");
        assert_eq!(&bytes[HEADER_BYTES..], [0, 0]);
    }

    #[test]
    fn actors_have_names() {
        for name in ["forecaster", "optimizer", "provisioner", "twin/acme"] {
            let actor: ActorName = name.parse().expect("a name");
            assert_eq!(actor.to_string(), name);
        }
        for wrong in ["", "twin", "twin/", "acme", "Forecaster"] {
            assert!(wrong.parse::<ActorName>().is_err(), "{wrong}");
        }
    }
}
