//! The driver of the nodes: calls the simulated cloud of the cluster.
//!
//! Invariant: only an answer that is wholly understood tells an outcome. A connection that cannot be made or
//! breaks, an answer that is late, too long or in other words, and a failure of the cloud are
//! [`DriverError::Unknown`]: the change may have happened, and the same call under the same identity finds out.

use super::ledger::{LedgerQuery, LedgerReply};
use super::routes::CallCode;
use super::wire::{
    COSTS, CUSTOMERS, CUSTOMERS_MAX, ChangeReply, ChangeRequest, CloudErrorReply, CloudHealth,
    CostsReply, CostsRequest, CustomersPage, HEALTH, LAUNCH, LEDGER, LIST, LaunchChange, ListReply,
    ListRequest, RESIZE_LINK, RESIZE_VOLUME, TERMINATE, TerminateChange,
};
use crate::error::ExpectedError;
use crate::service::client::{ApiAnswer, ApiClient, Target};
use axum::http::{Method, StatusCode, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::time::Duration;
use twinscale_protocol::provisioner::{LinkSize, VolumeBlocks};
use twinscale_protocol::{CustomerId, DomainTime, MicroDollars, VmId};
use twinscale_provisioner::driver::{
    CallContext, DriverError, DriverFuture, Listing, ProviderDriver, VmSpec,
};

/// Time for one call and its answer, connection included: a cloud on its feet takes some milliseconds. Where it
/// hangs, five intents of three attempts each take 46 s, less than the minute after which a twin gives up.
pub const CALL_LIMIT: Duration = Duration::from_secs(3);

/// The simulated cloud of a cluster, as a node calls it.
#[derive(Clone, Debug)]
pub struct RemoteCloud {
    name: String,
    client: ApiClient,
}

impl RemoteCloud {
    /// Makes a driver for the cloud at an address, such as `http://127.0.0.1:7900` or `127.0.0.1:7900`. It
    /// connects when it is first used, so that a node starts also while the cloud is away.
    ///
    /// # Errors
    /// When the address is none.
    pub fn connect(address: &str) -> Result<Self, ExpectedError> {
        let url = if address.contains("://") {
            address.to_owned()
        } else {
            format!("http://{address}")
        };
        let wrong = |why: &str| {
            ExpectedError::input_hint(
                format!("`{address}` is no address of a simulated cloud: {why}"),
                "write it as twinscale sim-cloud prints it, such as http://127.0.0.1:7900",
            )
        };
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("{error}")))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("only http is spoken"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.port_u16().is_none_or(|port| port == 0) {
            return Err(wrong("it has no port"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("a path or query follows the port"));
        }
        let url = format!("http://{authority}");
        Ok(Self {
            name: format!("simulated cloud at {url}"),
            client: ApiClient::new(Target::Url(url)).with_request_limit(CALL_LIMIT),
        })
    }

    /// Waits no longer than this for an answer.
    #[must_use]
    pub fn with_call_limit(self, limit: Duration) -> Self {
        let client = self.client.with_request_limit(limit);
        Self { client, ..self }
    }

    /// Reads a customer's whole ledger, page by page; what runs is told for a time, or for that of the
    /// customer's latest call.
    ///
    /// # Errors
    /// When a page does not come. Calls that come meanwhile may be in it or not.
    pub async fn ledger(
        &self,
        customer: &CustomerId,
        at: Option<DomainTime>,
    ) -> Result<LedgerReply, DriverError> {
        let mut query = LedgerQuery {
            customer: customer.clone(),
            at,
            calls_from: 0,
            vms_from: 0,
        };
        let mut whole = self.page(&query).await?;
        loop {
            let (calls, vms) = (whole.next_calls_from, whole.next_vms_from);
            if calls.is_none() && vms.is_none() {
                return Ok(whole);
            }
            // Where one of both has ended, the rest of it is empty.
            query.calls_from = calls.unwrap_or(u64::MAX);
            query.vms_from = vms.unwrap_or(u64::MAX);
            query.at = Some(whole.at);
            let page = self.page(&query).await?;
            if page.calls.is_empty() && page.vms.is_empty() {
                return Err(unknown("the ledger's next page is empty"));
            }
            whole.calls.extend(page.calls);
            whole.vms.extend(page.vms);
            whole.calls_dropped = page.calls_dropped;
            whole.next_calls_from = page.next_calls_from;
            whole.next_vms_from = page.next_vms_from;
        }
    }

    async fn page(&self, query: &LedgerQuery) -> Result<LedgerReply, DriverError> {
        let LedgerQuery {
            customer,
            at,
            calls_from,
            vms_from,
        } = query;
        let at = at.map_or_else(String::new, |at| format!("&at={}", at.0));
        let path =
            format!("{LEDGER}?customer={customer}&calls_from={calls_from}&vms_from={vms_from}{at}");
        self.get(&path).await
    }

    /// Reads the customers that ever called, ascending.
    ///
    /// # Errors
    /// When a page does not come.
    pub async fn customers(&self) -> Result<Vec<CustomerId>, DriverError> {
        let mut customers = Vec::new();
        let mut path = CUSTOMERS.to_owned();
        loop {
            let page: CustomersPage = self.get(&path).await?;
            customers.extend(page.customers);
            match page.next_after {
                Some(after) => path = format!("{CUSTOMERS}?after={after}"),
                None => return Ok(customers),
            }
        }
    }

    /// Asks how the cloud is.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn health(&self) -> Result<CloudHealth, DriverError> {
        self.get(HEALTH).await
    }

    async fn change<C: Serialize + Sync>(
        &self,
        path: &str,
        context: &CallContext,
        change: C,
    ) -> Result<(), DriverError> {
        let request = ChangeRequest::new(context, change);
        let _done: ChangeReply = self.post(path, &request).await?;
        Ok(())
    }

    async fn post<R: DeserializeOwned>(
        &self,
        path: &str,
        request: &(impl Serialize + Sync),
    ) -> Result<R, DriverError> {
        let body = serde_json::to_vec(request).map_err(|error| DriverError::Refused {
            reason: format!("the call cannot be written: {error}"),
        })?;
        read(self.client.send(Method::POST, path, body.into()).await)
    }

    async fn get<R: DeserializeOwned>(&self, path: &str) -> Result<R, DriverError> {
        read(self.client.send(Method::GET, path, Vec::new().into()).await)
    }
}

/// Reads an answer, or why there is none.
fn read<R: DeserializeOwned>(answer: Result<ApiAnswer, ExpectedError>) -> Result<R, DriverError> {
    let answer = answer.map_err(|error| unknown(&with_causes(&error)))?;
    if answer.status != StatusCode::OK {
        return Err(refusal(&answer));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| unknown(&format!("the answer is not understood: {error}")))
}

/// Reads why a call did not succeed: a code together with its status.
fn refusal(answer: &ApiAnswer) -> DriverError {
    let status = answer.status;
    let Ok(reply) = serde_json::from_slice::<CloudErrorReply>(&answer.body) else {
        return unknown(&format!("status {status} and no reason that is understood"));
    };
    let error = reply.error;
    let is = |code: CallCode| status == code.status() && error.code == code.word();
    if is(CallCode::StaleGeneration)
        && let (Some(sent), Some(highest)) = (error.sent, error.highest)
    {
        return DriverError::StaleGeneration { sent, highest };
    }
    if is(CallCode::Throttled) {
        return DriverError::Throttled;
    }
    // A request that the cloud could not read was not carried out.
    let is_unread = matches!(
        (status.as_u16(), error.code.as_str()),
        (400, "invalid")
            | (404, "not-found")
            | (405, "method-not-allowed")
            | (413, "too-large")
            | (415, "media-type")
    );
    if is(CallCode::Refused) || is_unread {
        let reason = error.message;
        return DriverError::Refused { reason };
    }
    unknown(&format!(
        "status {status}: {}: {}",
        error.code, error.message
    ))
}

fn unknown(reason: &str) -> DriverError {
    DriverError::Unknown {
        reason: reason.to_owned(),
    }
}

fn with_causes(error: &ExpectedError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

impl ProviderDriver for RemoteCloud {
    fn name(&self) -> &str {
        &self.name
    }

    fn checks_generations(&self) -> bool {
        true
    }

    fn launch<'a>(&'a self, context: &'a CallContext, spec: &'a VmSpec) -> DriverFuture<'a, ()> {
        Box::pin(self.change(LAUNCH, context, LaunchChange::from(spec)))
    }

    fn terminate<'a>(&'a self, context: &'a CallContext, vm: VmId) -> DriverFuture<'a, ()> {
        Box::pin(self.change(TERMINATE, context, TerminateChange { vm }))
    }

    fn resize_volume<'a>(
        &'a self,
        context: &'a CallContext,
        volume: &'a VolumeBlocks,
    ) -> DriverFuture<'a, ()> {
        Box::pin(self.change(RESIZE_VOLUME, context, volume))
    }

    fn resize_link<'a>(&'a self, context: &'a CallContext, link: LinkSize) -> DriverFuture<'a, ()> {
        Box::pin(self.change(RESIZE_LINK, context, link))
    }

    fn list<'a>(&'a self, customer: &'a CustomerId, now: DomainTime) -> DriverFuture<'a, Listing> {
        Box::pin(async move {
            let customer = customer.clone();
            let reply: ListReply = self.post(LIST, &ListRequest { customer, now }).await?;
            Ok(reply.into())
        })
    }

    fn costs<'a>(
        &'a self,
        customers: &'a [CustomerId],
        until: DomainTime,
    ) -> DriverFuture<'a, Vec<Option<MicroDollars>>> {
        Box::pin(async move {
            let mut costs = Vec::with_capacity(customers.len());
            for customers in customers.chunks(CUSTOMERS_MAX) {
                let customers = customers.to_vec();
                let asked = customers.len();
                let request = CostsRequest { customers, until };
                let reply: CostsReply = self.post(COSTS, &request).await?;
                if reply.costs.len() != asked {
                    return Err(unknown("the answer has costs of other customers"));
                }
                costs.extend(reply.costs);
            }
            Ok(costs)
        })
    }
}
