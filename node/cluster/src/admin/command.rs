//! Carries out the commands of people, on the node that leads group 0.

use super::answers::Admin;
use super::look::{group_of, shard_of};
use super::message::{MoveTask, Outcome, Routed, Task, WriteReply, WriteRequest};
use crate::meta::{Errand, ErrandRequest, MetaError};
use futures::future::join_all;
use std::time::Duration;
use twinscale_meta::stored::v1::By;
use twinscale_meta::{
    Applied, GroupId, MetaCommand, MetaState, MoveReason, NodeState, Outcome as MetaOutcome,
    even_out,
};
use twinscale_protocol::{AccountName, NodeNumber, WireError, WireErrorCode};

/// How long a command may take to be committed.
const PROPOSE_LIMIT: Duration = Duration::from_secs(5);

/// How long a replica may take for its snapshot.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(20);

pub(super) type Carried = Result<Routed<WriteReply>, WireError>;

pub(super) fn done(outcome: Outcome, notes: Vec<String>, task: Option<Task>) -> WriteReply {
    WriteReply {
        outcome,
        notes,
        task,
    }
}

impl Admin {
    /// Carries a command out, where this node leads group 0.
    pub(super) async fn write_here(&self, by: &AccountName, request: &WriteRequest) -> Carried {
        if let Some(elsewhere) = self.elsewhere().await {
            return Ok(elsewhere);
        }
        let state = self.parts.shown.state();
        match request {
            WriteRequest::Drain { node } => {
                let node = resolve(&state, node)?;
                let command = MetaCommand::DrainNode { node };
                self.commit_task(by, command, Task::Empty { node }).await
            }
            WriteRequest::Undrain { node } => {
                let node = resolve(&state, node)?;
                self.commit(by, MetaCommand::FillNode { node }, None).await
            }
            WriteRequest::Decommission { node, is_gone } => {
                let node = resolve(&state, node)?;
                let unreachable = self.unreachable(&state);
                let command = if *is_gone {
                    if !unreachable.contains(&node) {
                        return Err(still_there(&state, node));
                    }
                    MetaCommand::RemoveNode { node, unreachable }
                } else {
                    MetaCommand::DecommissionNode { node, unreachable }
                };
                self.commit_task(by, command, Task::Leave { node }).await
            }
            WriteRequest::Move { shard, from, to } => {
                let (from, to) = (resolve(&state, from)?, resolve(&state, to)?);
                self.start_move(by, &state, group_of(*shard), (from, to))
                    .await
            }
            WriteRequest::Rebalance => self.rebalance(by, &state).await,
            WriteRequest::Snapshot { shard } => self.snapshot(by, &state, group_of(*shard)).await,
            WriteRequest::RaiseSchema { to } => self.raise_schema(by, &state, *to).await,
            WriteRequest::Weights(order) => self.order_weights(by, &state, order).await,
        }
    }

    async fn commit_task(&self, by: &AccountName, command: MetaCommand, task: Task) -> Carried {
        self.commit(by, command, Some(task)).await
    }

    /// Commits a command; a refusal is an error with its reason.
    pub(super) async fn commit(
        &self,
        by: &AccountName,
        command: MetaCommand,
        task: Option<Task>,
    ) -> Carried {
        let by = By::Operator(by.clone());
        match self.parts.writer.propose(by, command, PROPOSE_LIMIT).await {
            Ok(MetaOutcome::Applied(_)) => {
                Ok(Routed::Done(done(Outcome::Applied, Vec::new(), task)))
            }
            Ok(MetaOutcome::Unchanged(_)) => {
                let notes = vec!["it was so already".to_owned()];
                Ok(Routed::Done(done(Outcome::Unchanged, notes, task)))
            }
            Ok(MetaOutcome::Refused(refusal)) => {
                let text = refusal.to_string();
                Err(WireError::new(WireErrorCode::Conflict, text))
            }
            Err(MetaError::NotLeader { leader }) => Ok(Routed::NotLeader { leader }),
            Err(error) => Err(error.into()),
        }
    }

    /// Nodes of the registry that gossip does not hear here.
    fn unreachable(&self, state: &MetaState) -> Vec<NodeNumber> {
        let heard = self.known(state).observed.nodes;
        let nodes = state.nodes().iter();
        let nodes = nodes.filter(|node| node.state != NodeState::Decommissioned);
        let silent = nodes.filter(|node| heard.get(&node.number).is_none_or(|seen| !seen.alive));
        silent.map(|node| node.number).collect()
    }

    async fn start_move(
        &self,
        by: &AccountName,
        state: &MetaState,
        group: GroupId,
        (from, to): (NodeNumber, NodeNumber),
    ) -> Carried {
        let Some(record) = state.group(group) else {
            let text = format!("{group} is unknown: list the shards");
            return Err(WireError::new(WireErrorCode::NotFound, text));
        };
        let task = |number| {
            let one = MoveTask {
                shard: shard_of(group),
                number,
                add: vec![to],
                remove: vec![from],
            };
            Some(Task::Moves { moves: vec![one] })
        };
        // A command that was sent twice: its move goes on, or has ended.
        if let Some(one) = &record.under_way
            && one.add == [to]
            && one.remove == [from]
        {
            let notes = vec![format!("move {} does so already", one.number)];
            let reply = done(Outcome::Unchanged, notes, task(one.number));
            return Ok(Routed::Done(reply));
        }
        if record.voters.contains(&to) && !record.voters.contains(&from) {
            let notes = vec![format!(
                "node {to} has the replica, and node {from} has none"
            )];
            return Ok(Routed::Done(done(Outcome::Unchanged, notes, None)));
        }
        let command = MetaCommand::StartMove {
            group,
            version: record.version,
            add: vec![to],
            remove: vec![from],
            reason: MoveReason::Operator,
        };
        let by = By::Operator(by.clone());
        match self.parts.writer.propose(by, command, PROPOSE_LIMIT).await {
            Ok(
                MetaOutcome::Applied(Applied::MoveStarted(number))
                | MetaOutcome::Unchanged(Applied::MoveStarted(number)),
            ) => Ok(Routed::Done(done(
                Outcome::Applied,
                Vec::new(),
                task(number),
            ))),
            Ok(MetaOutcome::Refused(refusal)) => {
                let text = refusal.to_string();
                Err(WireError::new(WireErrorCode::Conflict, text))
            }
            Ok(other) => {
                let text = format!("group 0 started no move: {other:?}");
                Err(WireError::new(WireErrorCode::Internal, text))
            }
            Err(MetaError::NotLeader { leader }) => Ok(Routed::NotLeader { leader }),
            Err(error) => Err(error.into()),
        }
    }

    async fn rebalance(&self, by: &AccountName, state: &MetaState) -> Carried {
        let known = self.known(state);
        let at_most = usize::from(state.settings().moves_at_once);
        let mut moves = Vec::new();
        for command in even_out(state, &known.observed, at_most) {
            let MetaCommand::StartMove {
                group, add, remove, ..
            } = command.clone()
            else {
                continue;
            };
            let by = By::Operator(by.clone());
            match self.parts.writer.propose(by, command, PROPOSE_LIMIT).await {
                Ok(MetaOutcome::Applied(Applied::MoveStarted(number))) => moves.push(MoveTask {
                    shard: shard_of(group),
                    number,
                    add,
                    remove,
                }),
                // The planner was faster, or something came between: what is uneven still is planned anew.
                Ok(_) => {}
                Err(MetaError::NotLeader { leader }) if moves.is_empty() => {
                    return Ok(Routed::NotLeader { leader });
                }
                Err(error) if moves.is_empty() => return Err(error.into()),
                Err(_error) => break,
            }
        }
        let reply = if moves.is_empty() {
            let going = state
                .groups()
                .filter(|(_, group)| group.under_way.is_some());
            let going = going.count();
            let note = format!(
                "nothing is uneven that a move could better now ({going} moves go on already)"
            );
            done(Outcome::Unchanged, vec![note], None)
        } else {
            let note = format!("{} moves started", moves.len());
            let task = Some(Task::Moves { moves });
            done(Outcome::Applied, vec![note], task)
        };
        Ok(Routed::Done(reply))
    }

    /// Asks every node that holds a replica of a group for a snapshot.
    async fn snapshot(&self, by: &AccountName, state: &MetaState, group: GroupId) -> Carried {
        if state.group(group).is_none() {
            let text = format!("{group} is unknown: list the shards");
            return Err(WireError::new(WireErrorCode::NotFound, text));
        }
        tracing::info!(%group, by = by.as_str(), "an operator asks for snapshots");
        let known = self.known(state);
        let holders = known.observed.groups.get(&group);
        let holders = holders.map(|seen| seen.held_by.clone()).unwrap_or_default();
        let asked = holders.iter().map(|node| async move {
            let request = ErrandRequest {
                group,
                number: 0,
                errand: Errand::Snapshot,
                limit_ms: u32::try_from(SNAPSHOT_LIMIT.as_millis()).unwrap_or(u32::MAX),
            };
            (*node, self.parts.carrier.carry(*node, request).await)
        });
        let mut notes = Vec::new();
        let mut taken = 0;
        for (node, outcome) in join_all(asked).await {
            match outcome {
                Ok(()) => taken += 1,
                Err(error) => notes.push(format!("node {node} took none: {error}")),
            }
        }
        if taken == 0 {
            let why = if notes.is_empty() {
                "no node reports a replica of it".to_owned()
            } else {
                notes.join("; ")
            };
            let text = format!("no replica of {group} took a snapshot: {why}");
            return Err(WireError::new(WireErrorCode::Unavailable, text));
        }
        let all = holders.len();
        notes.insert(0, format!("{taken} of {all} replicas of {group} took one"));
        Ok(Routed::Done(done(Outcome::Applied, notes, None)))
    }
}

fn still_there(state: &MetaState, node: NodeNumber) -> WireError {
    let name = state
        .node(node)
        .map_or("?", |node| node.facts.name.as_str());
    let text =
        format!("node {name} is heard of: decommission it as one that is there, or stop it first");
    WireError::new(WireErrorCode::Conflict, text)
}

/// Finds a node by its name, or else by its number.
fn resolve(state: &MetaState, text: &str) -> Result<NodeNumber, WireError> {
    let named = state.nodes().iter().rev();
    let named = named.map(|node| (node.number, node.facts.name.as_str()));
    let found = named.clone().find(|(_, name)| *name == text);
    let number = || named.clone().find(|(number, _)| number.to_string() == text);
    found
        .or_else(number)
        .map(|(number, _)| number)
        .ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            let names: Vec<&str> = named.take(20).map(|(_, name)| name).collect();
            let text = format!("no node `{shown}`; there are: {}", names.join(", "));
            WireError::new(WireErrorCode::NotFound, text)
        })
}
