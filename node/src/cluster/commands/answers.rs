//! Answers people, from this node and from others.

use super::gather::Gatherer;
use super::message::{
    ACTORS_READ, ACTORS_READ_REPLY, ACTORS_WRITE, ACTORS_WRITE_REPLY, ActorDone, ActorName,
    ActorOrder, ActorsReply, ActorsRequest, NodeActors, TWINS_MAX, TWINS_READ, TWINS_READ_REPLY,
    TwinLine, TwinsList, TwinsReply, TwinsRequest,
};
use super::operate::Operations;
use super::show::Here;
use crate::cluster::pages;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use twinscale_cluster::admin::{Asked, admit_person};
use twinscale_cluster::network::{Answer, answered, opened};
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_protocol::{AccountName, CustomerId, NodeNumber, WireError, WireErrorCode};
use twinscale_wire::{Call, Envelope};

/// How long another node may take to tell of its twins or actors.
const GATHER_LIMIT: Duration = Duration::from_secs(5);

/// What is kept of a caller's time for the way back.
const WAY_BACK: Duration = Duration::from_millis(250);

/// What a person asks, who it is, and whether another node sent it on.
struct Opened<T> {
    by: AccountName,
    is_sent_on: bool,
    request: T,
    /// For how long other nodes may be asked.
    limit: Duration,
}

fn open<T: DeserializeOwned + 'static>(
    kind: EnvelopeKind,
    call: &Call,
) -> Result<Opened<T>, WireError> {
    let asked: Asked<T> = opened(call, kind)?;
    let (by, is_sent_on) = admit_person(&call.caller, asked.by)?;
    let left = call.deadline.saturating_duration_since(Instant::now());
    Ok(Opened {
        by,
        is_sent_on,
        request: asked.request,
        limit: left.saturating_sub(WAY_BACK),
    })
}

/// Tells of twins.
#[derive(Debug)]
pub(super) struct TwinAnswers(pub(super) Arc<Gatherer>);

impl TwinAnswers {
    async fn twins(&self, opened: Opened<TwinsRequest>) -> Result<TwinsReply, WireError> {
        let kinds = (TWINS_READ, TWINS_READ_REPLY);
        let Opened { by, request, .. } = &opened;
        let limit = opened.limit.min(GATHER_LIMIT);
        let nodes = match request {
            _ if opened.is_sent_on => Vec::new(),
            TwinsRequest::List { .. } => self.0.others(),
            TwinsRequest::Show { customer } => {
                let mut holders = self.0.holders(customer);
                holders.retain(|node| *node != self.0.own());
                holders
            }
        };
        let asked = self.0.ask_all(nodes, kinds, by, request, limit);
        let (replies, silent): (Vec<TwinsReply>, _) = asked.await;
        let service = self.0.service()?;
        let shard_of = |customer: &CustomerId| self.0.shard_of(customer);
        let here = self.0.here(&service, &shard_of);
        match request {
            TwinsRequest::List { after, at_most } => {
                let at_most = (*at_most).clamp(1, TWINS_MAX) as usize;
                let own = list(&here, after.as_ref(), at_most);
                let others = replies.into_iter().filter_map(|reply| match reply {
                    TwinsReply::List(list) => Some(list),
                    TwinsReply::Show { .. } => None,
                });
                let mut merged = merge(own, others, at_most);
                merged.silent = silent;
                Ok(TwinsReply::List(merged))
            }
            TwinsRequest::Show { customer } => {
                let own = here.shown(customer)?;
                let others = replies.into_iter().filter_map(|reply| match reply {
                    TwinsReply::Show { twin, .. } => twin,
                    TwinsReply::List(_) => None,
                });
                let twin = own.or_else(|| others.into_iter().next());
                Ok(TwinsReply::Show { twin, silent })
            }
        }
    }
}

fn list(here: &Here<'_>, after: Option<&CustomerId>, at_most: usize) -> TwinsList {
    let customers = here.customers().into_iter();
    let mut behind = customers.filter(|customer| after.is_none_or(|after| customer > after));
    let shown: Vec<CustomerId> = behind.by_ref().take(at_most).collect();
    let has_more = behind.next().is_some();
    let next_after = shown.last().filter(|_| has_more).cloned();
    TwinsList {
        twins: shown
            .iter()
            .filter_map(|customer| here.line(customer))
            .collect(),
        next_after,
        silent: Vec::new(),
    }
}

fn merge(own: TwinsList, others: impl Iterator<Item = TwinsList>, at_most: usize) -> TwinsList {
    let pages = std::iter::once(own).chain(others);
    let pages = pages.map(|page| (page.twins, page.next_after));
    let key = |twin: &TwinLine| twin.customer.clone();
    let (twins, next_after) = pages::merge(pages, at_most, key);
    TwinsList {
        twins,
        next_after,
        silent: Vec::new(),
    }
}

impl Answer for TwinAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let reply = self.twins(open(TWINS_READ, &call)?).await?;
            answered(TWINS_READ_REPLY, &reply)
        })
    }
}

/// Tells of actors.
#[derive(Debug)]
pub(super) struct ActorAnswers(pub(super) Arc<Gatherer>);

impl ActorAnswers {
    async fn actors(&self, opened: Opened<ActorsRequest>) -> Result<ActorsReply, WireError> {
        let kinds = (ACTORS_READ, ACTORS_READ_REPLY);
        let Opened { by, request, .. } = &opened;
        let limit = opened.limit.min(GATHER_LIMIT);
        let (ActorsRequest::Tree { node } | ActorsRequest::Inspect { node, .. }) = request;
        let own = self.0.own();
        let only = node.as_deref().map(|node| self.0.resolve(node));
        let only = only.transpose()?;
        let mut nodes = match (opened.is_sent_on, only) {
            (true, _) => Vec::new(),
            (false, Some(node)) => vec![node],
            (false, None) => self.0.others(),
        };
        nodes.retain(|node| *node != own);
        let asked = self.0.ask_all(nodes, kinds, by, request, limit);
        let (replies, silent): (Vec<ActorsReply>, _) = asked.await;
        let mut found: Vec<NodeActors> =
            replies.into_iter().flat_map(|reply| reply.nodes).collect();
        if opened.is_sent_on || only.is_none_or(|only| only == own) {
            let service = self.0.service()?;
            let shard_of = |customer: &CustomerId| self.0.shard_of(customer);
            let here = self.0.here(&service, &shard_of);
            if let ActorsRequest::Inspect { actor, .. } = request {
                here.woken(actor).await?;
            }
            found.extend(actors_here(&here, request));
        }
        found.sort_by_key(|one| one.node);
        Ok(ActorsReply {
            nodes: found,
            silent,
        })
    }
}

fn actors_here(here: &Here<'_>, request: &ActorsRequest) -> Option<NodeActors> {
    match request {
        ActorsRequest::Tree { .. } => Some(here.tree()),
        ActorsRequest::Inspect { actor, .. } => {
            let line = here.actor(actor)?;
            Some(NodeActors {
                actors: vec![line],
                twins_left_out: 0,
                ..here.tree()
            })
        }
    }
}

impl Answer for ActorAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let reply = self.actors(open(ACTORS_READ, &call)?).await?;
            answered(ACTORS_READ_REPLY, &reply)
        })
    }
}

/// Has actors operated.
#[derive(Debug)]
pub(super) struct OperateAnswers {
    pub(super) gatherer: Arc<Gatherer>,
    pub(super) operations: Operations,
}

impl OperateAnswers {
    async fn here(&self, by: &AccountName, order: &ActorOrder) -> Result<ActorDone, WireError> {
        let service = self.gatherer.service()?;
        let shard_of = |customer: &CustomerId| self.gatherer.shard_of(customer);
        let here = self.gatherer.here(&service, &shard_of);
        self.operations.run(&here, by, order).await
    }

    /// The nodes on which the actor may be.
    fn nodes(&self, order: &ActorOrder) -> Result<Vec<NodeNumber>, WireError> {
        match (&order.node, &order.actor) {
            (Some(node), _) => Ok(vec![self.gatherer.resolve(node)?]),
            (None, ActorName::Twin(customer)) => Ok(self.gatherer.holders(customer)),
            (None, actor) => Err(WireError::new(
                WireErrorCode::Invalid,
                format!("every node has a {actor}: name the node"),
            )),
        }
    }

    async fn order(&self, opened: Opened<ActorOrder>) -> Result<ActorDone, WireError> {
        let Opened { by, request, .. } = &opened;
        if opened.is_sent_on {
            return self.here(by, request).await;
        }
        let kinds = (ACTORS_WRITE, ACTORS_WRITE_REPLY);
        let until = Instant::now() + opened.limit;
        let mut silent = None;
        for node in self.nodes(request)? {
            let left = until.saturating_duration_since(Instant::now());
            let done = if node == self.gatherer.own() {
                self.here(by, request).await
            } else {
                self.gatherer.ask(node, kinds, by, request, left).await
            };
            match done {
                Ok(ActorDone::NotHere) => {}
                Err(error) if error.code == WireErrorCode::Unavailable => silent = Some(error),
                done => return done,
            }
        }
        Err(silent.unwrap_or_else(|| {
            let actor = &request.actor;
            let text = format!("no node that was asked drives {actor}: is it configured?");
            WireError::new(WireErrorCode::NotFound, text)
        }))
    }
}

impl Answer for OperateAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let done = self.order(open(ACTORS_WRITE, &call)?).await?;
            answered(ACTORS_WRITE_REPLY, &done)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_protocol::ShardId;

    fn page(names: &[&str], next_after: Option<&str>) -> TwinsList {
        let id = |name: &str| CustomerId::new(name).expect("an id");
        let line = |name: &&str| TwinLine {
            customer: id(name),
            shard: ShardId(0),
            node: NodeNumber(1),
            node_name: "a".to_owned(),
            state: "driven".to_owned(),
            mode: None,
            plan: None,
            serving: 0,
            starting: 0,
            last_turn: None,
            restarts: 0,
        };
        TwinsList {
            twins: names.iter().map(line).collect(),
            next_after: next_after.map(id),
            silent: Vec::new(),
        }
    }

    fn merged(own: TwinsList, other: TwinsList, at_most: usize) -> (Vec<String>, Option<String>) {
        let merged = merge(own, std::iter::once(other), at_most);
        let names = merged.twins.iter().map(|twin| twin.customer.to_string());
        (
            names.collect(),
            merged.next_after.map(|next| next.to_string()),
        )
    }

    #[test]
    fn pages_of_nodes_leave_nobody_out() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let all = merged(page(&["a", "d"], None), page(&["b", "c"], None), 9);
        assert_eq!(all, (names(&["a", "b", "c", "d"]), None));
        // The other node has more behind c, which may come before d.
        let cut = merged(page(&["a", "d"], None), page(&["b", "c"], Some("c")), 9);
        assert_eq!(cut, (names(&["a", "b", "c"]), Some("c".to_owned())));
        let full = merged(page(&["a", "d"], None), page(&["b", "c"], None), 2);
        assert_eq!(full, (names(&["a", "b"]), Some("b".to_owned())));
        let twice = merged(page(&["a"], None), page(&["a"], None), 9);
        assert_eq!(twice, (names(&["a"]), None));
    }
}
