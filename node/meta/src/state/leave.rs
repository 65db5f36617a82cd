//! Nodes drain, fill again, and leave for good.

use super::apply::{Change, DONE, SAME};
use super::{MetaState, Refusal};
use crate::stored::v1::{NodeRecord, NodeState, NodeWish, UnixMillis};
use twinscale_protocol::NodeNumber;

impl MetaState {
    pub(super) fn apply_drain(&mut self, number: NodeNumber, at: UnixMillis) -> Change {
        self.start_emptying(number, NodeWish::Drain, at)
    }

    pub(super) fn apply_fill(&mut self, number: NodeNumber, at: UnixMillis) -> Change {
        let node = self.node_mut(number)?;
        if node.state == NodeState::Decommissioned {
            return Err(Refusal::Decommissioned { node: number });
        }
        if node.wish == NodeWish::Serve {
            return SAME;
        }
        node.wish = NodeWish::Serve;
        if node.state == NodeState::Draining {
            node.state = NodeState::Serving;
            node.since = at;
        }
        DONE
    }

    pub(super) fn apply_decommission(
        &mut self,
        number: NodeNumber,
        unreachable: &[NodeNumber],
        at: UnixMillis,
    ) -> Change {
        let node = self.active(number)?;
        if node.wish == NodeWish::Leave {
            return SAME;
        }
        // Its replicas leave by joint changes, which need a majority with the node in it.
        let stuck = self.first_without_majority(number, unreachable);
        if let Some((group, live, voters)) = stuck {
            return Err(Refusal::NoQuorum {
                group,
                live,
                voters,
            });
        }
        self.start_emptying(number, NodeWish::Leave, at)
    }

    pub(super) fn apply_removal(
        &mut self,
        number: NodeNumber,
        unreachable: &[NodeNumber],
        at: UnixMillis,
    ) -> Change {
        let node = self.active(number)?;
        if node.wish == NodeWish::Leave && node.state == NodeState::Dead {
            return SAME;
        }
        let serves_no_more = node.state == NodeState::Dead;
        let mut lost = unreachable.to_vec();
        lost.push(number);
        if let Some((group, live, voters)) = self.first_without_majority(number, &lost) {
            let node = number;
            return Err(Refusal::WouldLoseQuorum {
                group,
                node,
                live,
                voters,
            });
        }
        if !serves_no_more {
            self.check_enough_without(number)?;
        }
        let held_at_first = self.replicas_of(number);
        let node = self.node_mut(number)?;
        if node.wish == NodeWish::Serve {
            node.held_at_first = held_at_first;
        }
        node.wish = NodeWish::Leave;
        node.state = NodeState::Dead;
        node.since = at;
        DONE
    }

    pub(super) fn apply_decommission_end(&mut self, number: NodeNumber, at: UnixMillis) -> Change {
        let node = self.node_mut(number)?;
        if node.state == NodeState::Decommissioned {
            return SAME;
        }
        if node.wish != NodeWish::Leave {
            let state = node.state;
            return Err(Refusal::NotLeaving {
                node: number,
                state,
            });
        }
        let replicas = self.replicas_of(number);
        if replicas > 0 {
            return Err(Refusal::StillHolds {
                node: number,
                replicas,
            });
        }
        let node = self.node_mut(number)?;
        node.state = NodeState::Decommissioned;
        node.since = at;
        // Name, directory and number stay for ever; where it was does not matter any more.
        node.facts.peer_address = String::new();
        node.facts.api_address = String::new();
        DONE
    }

    fn active(&self, number: NodeNumber) -> Result<&NodeRecord, Refusal> {
        let node = self
            .node(number)
            .ok_or(Refusal::UnknownNode { node: number })?;
        if node.state == NodeState::Decommissioned {
            return Err(Refusal::Decommissioned { node: number });
        }
        Ok(node)
    }

    fn start_emptying(&mut self, number: NodeNumber, wish: NodeWish, at: UnixMillis) -> Change {
        let node = self.active(number)?;
        if node.wish == wish {
            return SAME;
        }
        let fresh = node.wish == NodeWish::Serve;
        if fresh {
            self.check_enough_without(number)?;
        }
        let held_at_first = self.replicas_of(number);
        let node = self.node_mut(number)?;
        node.wish = wish;
        if fresh {
            node.held_at_first = held_at_first;
        }
        if matches!(node.state, NodeState::Serving) {
            node.state = NodeState::Draining;
            node.since = at;
        }
        DONE
    }

    /// Checks that the serving nodes other than this one can hold every replica of a shard.
    fn check_enough_without(&self, number: NodeNumber) -> Result<(), Refusal> {
        let others = self
            .nodes()
            .iter()
            .filter(|node| node.number != number && node.state == NodeState::Serving);
        let left = u32::try_from(others.count()).unwrap_or(u32::MAX);
        let replication = self.record.settings.replication;
        if left < u32::from(replication) {
            let node = number;
            return Err(Refusal::TooFewNodes {
                node,
                left,
                replication,
            });
        }
        Ok(())
    }
}
