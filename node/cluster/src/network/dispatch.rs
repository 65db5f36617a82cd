//! Who answers which kind of call.

use super::directory::Directory;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use twinscale_protocol::envelope::{EnvelopeError, EnvelopeKind};
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};
use twinscale_wire::{Call, Envelope, Handler, Identity, Replies, Role, StreamCall};

/// Answers the calls of one kind.
pub trait Answer: Send + Sync + 'static {
    /// Answers a call; `node` is the number of the node that calls, and `None` for a person.
    ///
    /// # Errors
    /// What the caller is told.
    fn answer(
        &self,
        node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>>;
}

/// Who may make calls of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Nodes of the directory.
    Nodes,
    /// Any certificate of the cluster: a node that wants to join is in no directory yet.
    Certified,
    /// Operators, and nodes that send on what an operator asked.
    Operators,
    /// Operators and viewers, and nodes that send on what one of them asked.
    People,
}

/// Who answers which kind of call, and who may make it.
#[derive(Default)]
pub struct Dispatch {
    directory: Arc<Directory>,
    kinds: BTreeMap<EnvelopeKind, (Callers, Arc<dyn Answer>)>,
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch")
            .field("kinds", &self.kinds.keys())
            .finish_non_exhaustive()
    }
}

impl Dispatch {
    /// Knows no kind yet.
    #[must_use]
    pub fn new(directory: Arc<Directory>) -> Self {
        Self {
            directory,
            kinds: BTreeMap::new(),
        }
    }

    /// Has a kind answered.
    #[must_use]
    pub fn on(mut self, kind: EnvelopeKind, callers: Callers, answer: Arc<dyn Answer>) -> Self {
        self.kinds.insert(kind, (callers, answer));
        self
    }

    fn admit(&self, callers: Callers, caller: &Identity) -> Result<Option<NodeNumber>, WireError> {
        let node = match caller {
            Identity::Node(name) => self.directory.number_of(name),
            _ => None,
        };
        let role = caller.role();
        let may = match callers {
            Callers::Nodes => node.is_some(),
            Callers::Certified => true,
            Callers::Operators => node.is_some() || role == Role::Operator,
            Callers::People => node.is_some() || role != Role::Node,
        };
        if may {
            return Ok(node);
        }
        let remedy = match (callers, role) {
            (Callers::Operators, Role::Viewer) => "use the certificate of an operator",
            (_, Role::Node) => "it is no node of this cluster's registry: let it join first",
            _ => "only nodes of the cluster may",
        };
        Err(WireError::new(
            WireErrorCode::PermissionDenied,
            format!("{caller} may not ask this: {remedy}"),
        ))
    }
}

impl Handler for Dispatch {
    fn knows(&self, kind: EnvelopeKind) -> bool {
        self.kinds.contains_key(&kind)
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let kind = call.envelope.kind();
            let Some((callers, answer)) = self.kinds.get(&kind) else {
                return Err(not_answered(kind));
            };
            let node = self.admit(*callers, &call.caller)?;
            answer.answer(node, call).await
        })
    }

    fn stream(&self, _call: StreamCall) -> BoxFuture<'_, Result<Replies, WireError>> {
        Box::pin(async {
            Err(WireError::new(
                WireErrorCode::Invalid,
                "this version takes no streams: send calls",
            ))
        })
    }
}

/// Says that what was asked cannot be read.
pub(crate) fn invalid(error: &EnvelopeError) -> WireError {
    WireError::new(WireErrorCode::Invalid, error.to_string())
}

/// Opens what a call asks.
///
/// # Errors
/// [`WireErrorCode::Invalid`] when it cannot be read.
pub fn opened<T: DeserializeOwned + 'static>(
    call: &Call,
    kind: EnvelopeKind,
) -> Result<T, WireError> {
    call.envelope.open(kind).map_err(|error| invalid(&error))
}

/// Seals an answer to a question that changed nothing, or that may be asked again.
///
/// # Errors
/// [`WireErrorCode::Internal`] when it cannot be encoded.
pub fn answered<T: Serialize>(kind: EnvelopeKind, answer: &T) -> Result<Envelope, WireError> {
    Envelope::seal(kind, answer)
        .map_err(|error| WireError::new(WireErrorCode::Internal, error.to_string()))
}

/// Wraps an answer that was encoded elsewhere.
pub(crate) fn sealed(answer: impl Into<Bytes>) -> Result<Envelope, WireError> {
    // What was asked may have happened by now: an answer that cannot be sent says nothing of it.
    Envelope::checked(answer.into())
        .map_err(|error| WireError::new(WireErrorCode::OutcomeUnknown, error.to_string()))
}

fn not_answered(kind: EnvelopeKind) -> WireError {
    let text = format!("kind {:#06x} is not answered here", kind.0);
    WireError::new(WireErrorCode::Invalid, text)
}

#[cfg(test)]
mod tests {
    use super::super::directory::NodePlace;
    use super::*;
    use twinscale_protocol::NodeId;

    fn admitted(callers: Callers, caller: &str) -> bool {
        let directory = Arc::new(Directory::default());
        let name = NodeId::new("a").expect("an id");
        let address = "a:1".to_owned();
        directory.set(BTreeMap::from([(
            NodeNumber(1),
            NodePlace { name, address },
        )]));
        let caller: Identity = caller.parse().expect("an identity");
        let admitted = Dispatch::new(directory).admit(callers, &caller);
        if let Err(error) = &admitted {
            assert_eq!(error.code, WireErrorCode::PermissionDenied);
        }
        admitted.is_ok()
    }

    #[test]
    fn who_may_ask_what() {
        let table = [
            (Callers::Nodes, [true, false, false, false]),
            (Callers::Certified, [true, true, true, true]),
            (Callers::Operators, [true, false, true, false]),
            (Callers::People, [true, false, true, true]),
        ];
        for (callers, may) in table {
            for (caller, may) in ["node/a", "node/stranger", "operator/o", "viewer/v"]
                .iter()
                .zip(may)
            {
                assert_eq!(admitted(callers, caller), may, "{callers:?} {caller}");
            }
        }
    }
}
