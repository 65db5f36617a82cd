//! Gives the customers of a fleet their policies and stacks.

use super::fleet::{Fleet, Member};
use crate::error::ExpectedError;
use crate::service::api::{ConfigureReply, Wishes};
use crate::service::client::ApiClient;
use axum::body::Bytes;
use axum::http::Method;
use futures::{StreamExt as _, TryStreamExt as _};
use twinscale_cluster_config::{policy_table, stack_table};
use twinscale_protocol::Seconds;

/// Customers that are configured at once.
const CUSTOMERS_AT_ONCE: usize = 16;

/// Configures every customer; the same again changes nothing.
///
/// # Errors
/// When the node does not answer, or refuses.
pub async fn configure(
    client: &ApiClient,
    fleet: &Fleet,
    interval: Seconds,
) -> Result<(), ExpectedError> {
    let members = fleet.members().iter();
    let asked = members.map(|member| configure_one(client, fleet, member, interval));
    futures::stream::iter(asked)
        .buffer_unordered(CUSTOMERS_AT_ONCE)
        .try_collect()
        .await
}

async fn configure_one(
    client: &ApiClient,
    fleet: &Fleet,
    member: &Member,
    interval: Seconds,
) -> Result<(), ExpectedError> {
    let Some(source) = fleet.source(member) else {
        return Ok(());
    };
    let mut stack = stack_table(&source.stack);
    stack.insert("interval_s".to_owned(), i64::from(interval.0).into());
    let wishes = Wishes {
        policy: policy_table(&source.policy),
        stack,
    };
    let path = format!("/v1/customers/{}", member.customer);
    let body = serde_json::to_vec(&wishes)
        .map_err(|error| ExpectedError::input(format!("{path}: no JSON"), error))?;
    let answer = client.send(Method::PUT, &path, Bytes::from(body)).await?;
    answer.json::<ConfigureReply>(&path).map(drop)
}
