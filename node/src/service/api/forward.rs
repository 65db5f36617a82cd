//! Has requests that concern one customer answered by the node that leads its shard.

use super::body::BodyReader;
use super::customers::CustomersPage;
use super::error::ApiError;
use super::here::{call_of, response_of};
use super::views::{CustomerItem, CustomersReply, SilentView};
use crate::cluster::forward::{Forwarder, HereAnswers};
use crate::cluster::messages::ApiCall;
use crate::cluster::pages;
use crate::service::limits::DOCUMENT_BYTES_MAX;
use crate::service::state::Service;
use axum::body::Body;
use axum::extract::{RawPathParams, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use twinscale_protocol::CustomerId;
use twinscale_shards::ShardsError;
use twinscale_twin::HostError;

/// What a node needs to send requests on.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) service: Arc<Service>,
    pub(super) here: Arc<dyn HereAnswers>,
}

/// Answers here while this node leads the customer's shard; sends on what another node must answer.
pub(super) async fn to_leader(
    State(way): State<Way>,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let named = params.iter().find(|(name, _)| *name == "customer");
    let customer = named.and_then(|(_, value)| CustomerId::new(value).ok());
    let (Some(forwarder), Some(customer)) = (way.service.forwarder(), customer) else {
        return next.run(request).await;
    };
    let Some(shard) = forwarder.twins().shard_of(&customer) else {
        return refused(ShardsError::Unplaced).into_response();
    };
    if !way.service.is_stopping() && forwarder.confirm(shard).await.is_ok() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let call = match read(body).await {
        Ok(body) => call_of(&parts, body),
        Err(error) => return error.into_response(),
    };
    match forwarder.api(call, shard, &*way.here).await {
        Ok(answer) => response_of(answer),
        Err(error) => refused(error).into_response(),
    }
}

/// Reads a body as it was sent, packed or not.
async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    let reader = BodyReader::start(&HeaderMap::new(), body, DOCUMENT_BYTES_MAX).await?;
    reader.whole().await
}

/// Says to a client that a shard did not answer.
pub(super) fn refused(error: ShardsError) -> ApiError {
    HostError::Shard(error.into()).into()
}

/// The customers whose shards other nodes lead, joined to those of this one, in the order of their names; nodes
/// that do not answer are named.
pub(super) async fn everywhere(
    forwarder: &Forwarder,
    page: &CustomersPage,
    limit: usize,
    here: CustomersReply,
) -> CustomersReply {
    let after = page.after.as_ref().map(|after| format!("&after={after}"));
    let call = ApiCall {
        shard: None,
        method: "GET".to_owned(),
        target: format!(
            "/v1/customers?led=true&limit={limit}{}",
            after.unwrap_or_default()
        ),
        headers: Vec::new(),
        body: Vec::new(),
    };
    let mut pages = vec![(here.customers, here.next_after)];
    let mut silent = Vec::new();
    for (node, answered) in forwarder.everywhere(&call).await {
        let answered = answered.map_err(|error| error.message);
        let reply = answered.and_then(|answer| {
            serde_json::from_slice::<CustomersReply>(&answer.body)
                .map_err(|error| error.to_string())
        });
        match reply {
            Ok(reply) => pages.push((reply.customers, reply.next_after)),
            Err(reason) => silent.push(SilentView {
                node: node.0,
                reason,
            }),
        }
    }
    let key = |item: &CustomerItem| item.customer.clone();
    let (customers, next_after) = pages::merge(pages, limit, key);
    CustomersReply {
        customers,
        next_after,
        silent,
    }
}
