//! Asks a running node for snapshots.

use super::memory::{Memory, StepMemory};
use super::snapshot::LiveSnapshot;
use crate::error::ExpectedError;
use crate::service::api::{CustomerItem, CustomersReply, NodeReply, StepsReply, WeightsInService};
use crate::service::client::{ApiClient, Target};
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use std::collections::BTreeSet;
use std::time::Duration;

/// Customers that are listed at the most: more than a person scrolls through.
pub const LISTED_MAX: usize = 5_000;

/// Customers that are asked for at once.
const PAGE: usize = 1_000;

/// Steps that are over, of the chosen twin.
const PAST: usize = 400;

/// Twins whose past forecasts are kept.
const TWINS_REMEMBERED: usize = 64;

/// Time for one answer: a node that is slower counts as one that does not answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Time for what is told of weights: the node asks all others for it, and what is seen every second waits for none.
const WEIGHTS_LIMIT: Duration = Duration::from_secs(2);

/// Asks one node.
#[derive(Debug)]
pub struct Poller {
    client: ApiClient,
    address: String,
    memory: Memory,
}

impl Poller {
    /// Makes one for an address such as `http://127.0.0.1:7878`.
    #[must_use]
    pub fn new(address: &str) -> Self {
        let target = Target::Url(address.to_owned());
        Self {
            client: ApiClient::new(target).with_request_limit(ANSWER_LIMIT),
            address: address.to_owned(),
            memory: Memory::of_twins(TWINS_REMEMBERED),
        }
    }

    /// Asks for all that is shown; the first customer is the chosen one where none is named.
    ///
    /// # Errors
    /// When the node does not answer, or not as expected.
    pub async fn snapshot(&mut self, chosen: Option<&str>) -> Result<LiveSnapshot, ExpectedError> {
        let node: NodeReply = self.client.get("/v1/node").await?;
        let (twins, silent) = self.twins().await?;
        let chosen = chosen.or_else(|| twins.first().map(|twin| twin.customer.as_str()));
        let chosen = match chosen {
            Some(customer) => self.steps(customer, &twins).await?,
            None => None,
        };
        let address = match silent.as_slice() {
            [] => self.address.clone(),
            nodes => format!("{} (silent: node {})", self.address, nodes.join(", ")),
        };
        let weights = self.weights().await;
        let shown = (weights, chosen);
        Ok(LiveSnapshot::of_daemon(&address, node, twins, shown))
    }

    /// What forecasts are made with; none from a node that does not tell, or not in time.
    async fn weights(&self) -> Option<WeightsInService> {
        let asked = self.client.get("/v1/weights");
        tokio::time::timeout(WEIGHTS_LIMIT, asked).await.ok()?.ok()
    }

    /// All twins, and the nodes that did not tell theirs.
    async fn twins(&self) -> Result<(Vec<CustomerItem>, Vec<String>), ExpectedError> {
        let mut twins = Vec::new();
        let mut silent = BTreeSet::new();
        let mut path = format!("/v1/customers?limit={PAGE}");
        loop {
            let page: CustomersReply = self.client.get(&path).await?;
            twins.extend(page.customers);
            silent.extend(page.silent.iter().map(|one| one.node));
            match page.next_after {
                // Names of customers need no escapes.
                Some(after) if twins.len() < LISTED_MAX => {
                    path = format!("/v1/customers?limit={PAGE}&after={after}");
                }
                _ => {
                    let silent = silent.iter().map(ToString::to_string);
                    return Ok((twins, silent.collect()));
                }
            }
        }
    }

    /// Asks for the steps of a twin; none when it is gone.
    async fn steps(
        &mut self,
        customer: &str,
        twins: &[CustomerItem],
    ) -> Result<Option<StepsReply>, ExpectedError> {
        let path = format!("/v1/customers/{customer}/steps?past={PAST}");
        let answer = self.client.send(Method::GET, &path, Bytes::new()).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let mut reply: StepsReply = answer.json(&path)?;
        if let Some(twin) = twins.iter().find(|twin| twin.customer == customer) {
            self.remember(twin);
        }
        self.memory.complete(&mut reply);
        Ok(Some(reply))
    }

    fn remember(&mut self, twin: &CustomerItem) {
        for tier in &twin.tiers {
            let known = StepMemory {
                forecast: tier.forecast,
                supply: tier.supply,
            };
            self.memory
                .note(&twin.customer, &tier.tier, tier.step_at, known);
        }
    }
}
