//! Nodes join, serve and die. A number and a name are given once.

use super::apply::{Applied, Change, DONE, SAME};
use super::{MetaState, Refusal};
use crate::limits::{ADDRESS_BYTES_MAX, NODES_ACTIVE_MAX, NODES_EVER_MAX, SOFTWARE_BYTES_MAX};
use crate::stored::v1::{NodeFacts, NodeRecord, NodeState, NodeWish, UnixMillis};
use twinscale_protocol::NodeNumber;

impl MetaState {
    /// Admits a node. The name decides: a known one must come with its directory and a later start, a
    /// new one with a new directory. So a wiped node gets a new number, which consensus needs: what it
    /// voted for is lost.
    pub(super) fn apply_join(
        &mut self,
        facts: &NodeFacts,
        claims: Option<NodeNumber>,
        at: UnixMillis,
    ) -> Change {
        check_facts(facts, self.record.schema)?;
        let known = self
            .nodes()
            .iter()
            .find(|node| node.facts.name == facts.name);
        if let Some(known) = known {
            check_return(known, facts, claims)?;
            let number = known.number;
            return self.apply_return(number, facts, at);
        }
        if let Some(claims) = claims {
            return Err(Refusal::DuplicateNumber {
                claims,
                owner: None,
            });
        }
        let same_disk = self
            .nodes()
            .iter()
            .find(|node| node.facts.disk == facts.disk);
        if let Some(owner) = same_disk {
            return Err(Refusal::DuplicateDisk { node: owner.number });
        }
        let active = self
            .nodes()
            .iter()
            .filter(|node| node.state != NodeState::Decommissioned);
        let active = active.count();
        if active >= NODES_ACTIVE_MAX || self.record.nodes.len() >= NODES_EVER_MAX {
            let active = u32::try_from(active).unwrap_or(u32::MAX);
            return Err(Refusal::TooManyNodes { active });
        }
        let ever = u64::try_from(self.record.nodes.len()).unwrap_or(u64::MAX);
        let number = NodeNumber(ever.saturating_add(1));
        self.record.nodes.push(new_node(number, facts.clone(), at));
        Ok((Applied::Joined(number), true))
    }

    fn apply_return(&mut self, number: NodeNumber, facts: &NodeFacts, at: UnixMillis) -> Change {
        let node = self.node_mut(number)?;
        if node.facts == *facts {
            return Ok((Applied::Joined(number), false));
        }
        node.facts = facts.clone();
        if node.state == NodeState::Dead {
            node.state = NodeState::Joining;
            node.since = at;
        }
        Ok((Applied::Joined(number), true))
    }

    pub(super) fn apply_serving(
        &mut self,
        number: NodeNumber,
        incarnation: u64,
        at: UnixMillis,
    ) -> Change {
        let node = self.known_start(number, incarnation)?;
        if matches!(node.state, NodeState::Serving | NodeState::Draining) {
            return SAME;
        }
        node.state = match node.wish {
            NodeWish::Serve => NodeState::Serving,
            NodeWish::Drain | NodeWish::Leave => NodeState::Draining,
        };
        node.since = at;
        DONE
    }

    pub(super) fn apply_dead(
        &mut self,
        number: NodeNumber,
        incarnation: u64,
        at: UnixMillis,
    ) -> Change {
        let node = self.known_start(number, incarnation)?;
        if node.state == NodeState::Dead {
            return SAME;
        }
        node.state = NodeState::Dead;
        node.since = at;
        DONE
    }

    fn known_start(&mut self, number: NodeNumber, given: u64) -> Result<&mut NodeRecord, Refusal> {
        let node = self.node_mut(number)?;
        let known = node.facts.incarnation;
        if node.state == NodeState::Decommissioned {
            return Err(Refusal::Decommissioned { node: number });
        }
        if known != given {
            return Err(Refusal::OtherStart {
                node: number,
                given,
                known,
            });
        }
        Ok(node)
    }
}

pub(super) fn new_node(number: NodeNumber, facts: NodeFacts, at: UnixMillis) -> NodeRecord {
    NodeRecord {
        number,
        facts,
        state: NodeState::Joining,
        wish: NodeWish::Serve,
        since: at,
        held_at_first: 0,
    }
}

/// Checks what a node says of itself, and that it can apply what is behind the gate.
pub(super) fn check_facts(facts: &NodeFacts, gate: u32) -> Result<(), Refusal> {
    let fits = |text: &str, most: usize| (1..=most).contains(&text.len());
    let sound = fits(&facts.peer_address, ADDRESS_BYTES_MAX)
        && fits(&facts.api_address, ADDRESS_BYTES_MAX)
        && fits(&facts.software, SOFTWARE_BYTES_MAX)
        && facts.incarnation > 0;
    if !sound {
        let name = facts.name.clone();
        return Err(Refusal::BadFacts { name });
    }
    let range = facts.schema;
    if range.holds(gate) {
        return Ok(());
    }
    Err(Refusal::SchemaOfNode {
        oldest: range.oldest,
        newest: range.newest,
        gate,
    })
}

fn check_return(
    known: &NodeRecord,
    facts: &NodeFacts,
    claims: Option<NodeNumber>,
) -> Result<(), Refusal> {
    let node = known.number;
    if known.state == NodeState::Decommissioned {
        return Err(Refusal::Decommissioned { node });
    }
    if known.facts.disk != facts.disk {
        let name = facts.name.clone();
        return Err(Refusal::NameTaken { name, node });
    }
    if let Some(claims) = claims.filter(|claims| *claims != node) {
        let owner = Some(node);
        return Err(Refusal::DuplicateNumber { claims, owner });
    }
    let known = &known.facts;
    let (given, start) = (facts.incarnation, known.incarnation);
    if given < start || (given == start && facts != known) {
        return Err(Refusal::DuplicateStart {
            node,
            given,
            known: start,
        });
    }
    Ok(())
}
