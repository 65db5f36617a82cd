//! What every node serves and has compared.

use super::local::LocalWeights;
use super::message::{NodeWeights, WEIGHTS_NODE, WEIGHTS_NODE_REPLY, WeightsNodes};
use super::notice::millionths;
use crate::cluster::commands::message::SilentNode;
use futures::StreamExt as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use twinscale_cluster::admin::FiguresLine;
use twinscale_cluster::meta::MetaShown;
use twinscale_cluster::network::NodeCalls;
use twinscale_forecaster::shadow::{Comparison, Rule, compare, merge};
use twinscale_membership::{Liveness, MembershipView};
use twinscale_meta::stored::v2::Figures;
use twinscale_meta::{MetaState, NodeState};
use twinscale_protocol::envelope;
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};

/// How long a node may take to tell of its weights.
const NODE_LIMIT: Duration = Duration::from_secs(5);

/// Nodes that are asked at the same time.
const ASKED_AT_ONCE: usize = 16;

/// Asks all nodes of their weights. Clones share what they ask with.
#[derive(Clone)]
pub struct Gather {
    pub(super) own: NodeNumber,
    pub(super) calls: NodeCalls,
    pub(super) shown: Arc<MetaShown>,
    pub(super) members: watch::Receiver<Arc<MembershipView>>,
    pub(super) local: Arc<LocalWeights>,
    pub(super) rule: Rule,
}

impl fmt::Debug for Gather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl Gather {
    /// This node.
    pub(super) fn own(&self) -> NodeWeights {
        let state = self.shown.state();
        let name = name_of(&state, self.own);
        self.local.picture(self.own, name, state.weights())
    }

    /// Other nodes that are heard.
    pub(super) fn peers(&self) -> Vec<NodeNumber> {
        let view = Arc::clone(&self.members.borrow());
        let alive = view.members.values();
        let alive = alive.filter(|one| one.liveness == Liveness::Alive && one.id != self.own);
        alive.map(|one| one.id).collect()
    }

    /// All nodes, with their sums.
    pub(super) async fn all(&self) -> (Vec<NodeWeights>, Vec<SilentNode>) {
        let state = self.shown.state();
        let peers = self.peers();
        let missing = state.nodes().iter().filter(|node| {
            let counts = !matches!(node.state, NodeState::Decommissioned | NodeState::Dead);
            counts && node.number != self.own && !peers.contains(&node.number)
        });
        let mut silent: Vec<SilentNode> = missing
            .map(|node| silent_node(&state, node.number, "it is not heard".to_owned()))
            .collect();
        let asked = peers
            .into_iter()
            .map(|node| async move { (node, self.ask(node).await) });
        let answers = futures::stream::iter(asked).buffered(ASKED_AT_ONCE);
        let answers: Vec<(NodeNumber, Result<NodeWeights, WireError>)> = answers.collect().await;
        let mut nodes = vec![self.own()];
        for (node, answer) in answers {
            match answer {
                Ok(one) => nodes.push(one),
                Err(error) => silent.push(silent_node(&state, node, error.message)),
            }
        }
        nodes.sort_by_key(|one| one.node);
        (nodes, silent)
    }

    async fn ask(&self, node: NodeNumber) -> Result<NodeWeights, WireError> {
        let unreadable = |error: envelope::EnvelopeError| {
            WireError::new(WireErrorCode::Internal, error.to_string())
        };
        let request = envelope::seal(WEIGHTS_NODE, &()).map_err(unreadable)?;
        let reply = self.calls.call(node, request, NODE_LIMIT).await?;
        envelope::open(WEIGHTS_NODE_REPLY, &reply).map_err(unreadable)
    }

    /// All nodes for people, with what was compared so far.
    pub(super) async fn shown(&self) -> WeightsNodes {
        let (mut nodes, silent) = self.all().await;
        let comparison = self.comparison(&nodes);
        for node in &mut nodes {
            node.tallies.clear();
        }
        WeightsNodes {
            nodes,
            silent,
            comparison: comparison.map(|found| FiguresLine::from(figures(&found))),
        }
    }

    /// What nodes compared in the trial under way.
    pub(super) fn comparison(&self, nodes: &[NodeWeights]) -> Option<Comparison> {
        let state = self.shown.state();
        let number = state.weights().trial.as_ref()?.number;
        let of_trial = nodes.iter().filter(|node| {
            node.shadow
                .as_ref()
                .is_some_and(|shadow| shadow.trial == number)
        });
        let tallies = of_trial.flat_map(|node| node.tallies.iter().copied());
        compare(&merge(tallies), &self.rule)
    }
}

/// Figures as group 0 keeps them.
pub(super) fn figures(found: &Comparison) -> Figures {
    Figures {
        series: u32::try_from(found.series).unwrap_or(u32::MAX),
        forecasts: found.forecasts,
        steps: found.steps,
        span_s: found.span_s,
        ratio: millionths(found.ratio),
        ratio_low: millionths(found.interval[0]),
        ratio_high: millionths(found.interval[1]),
        coverage: found.coverage.map(millionths),
        coverage_active: found.coverage_champion.map(millionths),
    }
}

fn name_of(state: &MetaState, node: NodeNumber) -> String {
    let known = state.node(node).map(|node| node.facts.name.to_string());
    known.unwrap_or_else(|| node.to_string())
}

fn silent_node(state: &MetaState, node: NodeNumber, reason: String) -> SilentNode {
    SilentNode {
        node,
        name: name_of(state, node),
        reason,
    }
}
