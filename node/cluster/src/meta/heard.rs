//! Who is heard of, as the planner is shown it.

use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use twinscale_membership::{Liveness, Member, MemberState, MembershipView};
use twinscale_meta::{MetaState, NodeObserved, NodeState, UnixMillis};
use twinscale_protocol::NodeNumber;

/// Who is heard of.
pub trait Heard: Send + Sync + 'static {
    /// Nodes that were heard of, with what they say.
    fn nodes(&self) -> BTreeMap<NodeNumber, NodeObserved>;
}

/// Hears through membership. Its incarnations must be the starts that nodes join with.
#[derive(Debug)]
pub struct HeardMembers {
    view: watch::Receiver<Arc<MembershipView>>,
}

impl HeardMembers {
    /// Looks at the views of a membership.
    pub fn new(view: watch::Receiver<Arc<MembershipView>>) -> Self {
        Self { view }
    }
}

impl Heard for HeardMembers {
    fn nodes(&self) -> BTreeMap<NodeNumber, NodeObserved> {
        let view = Arc::clone(&self.view.borrow());
        let members = view.members.values();
        members.map(|one| (one.id, observed(one))).collect()
    }
}

fn observed(one: &Member) -> NodeObserved {
    // A node that is drained is ready as well: whether it serves is for group 0 to say.
    let ready = matches!(
        one.state,
        Some(MemberState::Serving | MemberState::Draining)
    );
    NodeObserved {
        alive: one.liveness == Liveness::Alive,
        ready,
        incarnation: one.incarnation.0,
        since: UnixMillis(one.since_unix_ms),
        load: one.load.map_or(0, |load| u64::from(load.twins)),
    }
}

/// Adds the nodes that group 0 knows and nobody heard of: they are silent at least since somebody listens.
/// Without them a node that died before would never be replaced.
pub(crate) fn with_silent(
    mut heard: BTreeMap<NodeNumber, NodeObserved>,
    state: &MetaState,
    listening_since: UnixMillis,
) -> BTreeMap<NodeNumber, NodeObserved> {
    let members = state.nodes().iter();
    for record in members.filter(|record| record.state != NodeState::Decommissioned) {
        heard.entry(record.number).or_insert(NodeObserved {
            alive: false,
            ready: false,
            incarnation: record.facts.incarnation,
            since: listening_since,
            load: 0,
        });
    }
    heard
}
