//! What operators and viewers ask of the twins and actors of nodes.
//!
//! Twins and actors are where they run: the node that is asked gathers from all nodes, or sends a command on
//! to the node that it concerns, with the name of the person. Invariants: an operation on an actor is done once
//! for each request id, however often it is sent; a pause ends by itself. Not here: what group 0 decides
//! (`twinscale_cluster::admin`).

mod answers;
mod gather;
pub mod message;
mod operate;
mod show;

use answers::{ActorAnswers, OperateAnswers, TwinAnswers};
use gather::Gatherer;
use message::{ACTORS_READ, ACTORS_WRITE, TWINS_READ};
use operate::Operations;
use std::sync::{Arc, Weak};
use tokio::sync::watch;
use twinscale_cluster::meta::MetaShown;
use twinscale_cluster::network::{Callers, LateAnswer, NodeCalls};
use twinscale_cluster::node::ClusterNode;
use twinscale_membership::MembershipView;
use twinscale_protocol::NodeNumber;
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_shards::Places;

use crate::service::state::Service;

/// The places of these answers in a node that starts before its service.
#[derive(Clone, Debug, Default)]
pub struct CommandSlots {
    twins: Arc<LateAnswer>,
    actors: Arc<LateAnswer>,
    operations: Arc<LateAnswer>,
}

impl CommandSlots {
    /// What the node is set up with: the kinds, and who may ask them.
    #[must_use]
    pub fn late(&self) -> Vec<(EnvelopeKind, Callers, Arc<LateAnswer>)> {
        vec![
            (TWINS_READ, Callers::People, Arc::clone(&self.twins)),
            (ACTORS_READ, Callers::People, Arc::clone(&self.actors)),
            (
                ACTORS_WRITE,
                Callers::Operators,
                Arc::clone(&self.operations),
            ),
        ]
    }

    /// Has a service answer from now on; only the first is taken. It is not kept alive.
    pub fn fill(&self, node: &ClusterNode, service: &Arc<Service>) {
        let around = Around {
            own: node.number(),
            service: Arc::downgrade(service),
            calls: node.calls().clone(),
            places: Arc::clone(node.places()),
            shown: Arc::clone(node.keeper().shown()),
            members: node.membership().watch(),
        };
        let gatherer = Arc::new(Gatherer::new(around));
        let first = [
            self.twins.set(Arc::new(TwinAnswers(Arc::clone(&gatherer)))),
            self.actors
                .set(Arc::new(ActorAnswers(Arc::clone(&gatherer)))),
            self.operations.set(Arc::new(OperateAnswers {
                gatherer,
                operations: Operations::default(),
            })),
        ];
        debug_assert!(first.iter().all(|first| *first), "a node has one service");
    }
}

/// What these answers rest on.
#[derive(Debug)]
struct Around {
    own: NodeNumber,
    /// The daemon takes its service apart when it stops.
    service: Weak<Service>,
    calls: NodeCalls,
    places: Arc<dyn Places>,
    shown: Arc<MetaShown>,
    members: watch::Receiver<Arc<MembershipView>>,
}
