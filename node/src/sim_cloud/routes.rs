//! The cloud over HTTP: reads a request within bounds, calls the recorded cloud, answers.
//!
//! Codes of a call that was understood: `refused` (422), `stale-generation` (409, with `sent` and `highest`),
//! `throttled` (429), `outcome-unknown` (503). A request that cannot be read has the codes of the daemon's API.

use super::ledger::{LedgerQuery, LedgerReply};
use super::wire::{
    COSTS, CUSTOMERS, CUSTOMERS_MAX, ChangeOutcome, ChangeReply, ChangeRequest, CloudErrorBody,
    CloudErrorReply, CloudHealth, CostsReply, CostsRequest, CustomersPage, HEALTH, LAUNCH, LEDGER,
    LIST, LaunchChange, ListReply, ListRequest, RESIZE_LINK, RESIZE_VOLUME, TERMINATE,
    TerminateChange, checked_link, checked_time, checked_volume,
};
use crate::recorded_cloud::RecordedCloud;
use crate::service::api::{ApiError, BodyReader, ErrorCode};
use crate::service::limits::{ANSWER_LIMIT, RETRY_AFTER_S};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ops::Bound;
use std::sync::Arc;
use twinscale_protocol::provisioner::{LinkSize, VolumeBlocks};
use twinscale_protocol::{CustomerId, DomainTime};
use twinscale_provisioner::driver::{DriverError, DriverFuture, ProviderDriver as _};

/// Longest body of a call, in bytes: a question for the costs of [`CUSTOMERS_MAX`] customers has about 66,000.
pub const BODY_BYTES_MAX: usize = 128 * 1_024;

const REQUEST_HINT: &str = "docs/reference/sim-cloud.md has the fields of every call";

/// What the routes serve.
#[derive(Clone, Debug)]
pub struct CloudService {
    cloud: RecordedCloud,
    seed: u64,
}

/// The code of a call that was understood and did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallCode {
    /// The cloud refuses for good; nothing happened.
    Refused,
    /// Another owner has called since; nothing happened.
    StaleGeneration,
    /// Too many calls; nothing happened.
    Throttled,
    /// It may or may not have happened.
    OutcomeUnknown,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum CallFault {
    /// The request cannot be read.
    Request(ApiError),
    /// The cloud did not do it.
    Call(DriverError),
}

/// A request's body, read within its bounds.
struct Asked<R>(R);

impl CloudService {
    /// Serves a cloud that was opened with a seed.
    #[must_use]
    pub fn new(cloud: RecordedCloud, seed: u64) -> Self {
        Self { cloud, seed }
    }

    /// How the cloud is.
    #[must_use]
    pub fn health(&self) -> CloudHealth {
        let customers = self.cloud.cloud();
        CloudHealth {
            name: self.cloud.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: self.seed,
            checks_generations: self.cloud.checks_generations(),
            customers: customers.with_cloud(|cloud| cloud.customers().count()) as u64,
            changes: self.cloud.changes(),
        }
    }
}

/// The routes over a cloud.
pub fn router(service: CloudService) -> Router {
    let hint = "docs/reference/sim-cloud.md lists the paths";
    Router::new()
        .route(LAUNCH, post(launch))
        .route(TERMINATE, post(terminate))
        .route(RESIZE_VOLUME, post(resize_volume))
        .route(RESIZE_LINK, post(resize_link))
        .route(LIST, post(list))
        .route(COSTS, post(costs))
        .route(LEDGER, get(ledger))
        .route(CUSTOMERS, get(customers))
        .route(HEALTH, get(health))
        .fallback(move || async move {
            ApiError::new(ErrorCode::NotFound, "there is nothing at this path", hint)
        })
        .method_not_allowed_fallback(move || async move {
            let message = "this path does not take that method";
            ApiError::new(ErrorCode::MethodNotAllowed, message, hint)
        })
        .with_state(Arc::new(service))
}

type Cloud = State<Arc<CloudService>>;

async fn launch(
    State(service): Cloud,
    Asked(request): Asked<ChangeRequest<LaunchChange>>,
) -> Result<Json<ChangeReply>, CallFault> {
    let (context, change) = request.into_parts()?;
    let spec = change.into_spec()?;
    done(service.cloud.launch(&context, &spec)).await
}

async fn terminate(
    State(service): Cloud,
    Asked(request): Asked<ChangeRequest<TerminateChange>>,
) -> Result<Json<ChangeReply>, CallFault> {
    let (context, change) = request.into_parts()?;
    done(service.cloud.terminate(&context, change.vm)).await
}

async fn resize_volume(
    State(service): Cloud,
    Asked(request): Asked<ChangeRequest<VolumeBlocks>>,
) -> Result<Json<ChangeReply>, CallFault> {
    let (context, volume) = request.into_parts()?;
    let volume = checked_volume(volume)?;
    done(service.cloud.resize_volume(&context, &volume)).await
}

async fn resize_link(
    State(service): Cloud,
    Asked(request): Asked<ChangeRequest<LinkSize>>,
) -> Result<Json<ChangeReply>, CallFault> {
    let (context, link) = request.into_parts()?;
    done(service.cloud.resize_link(&context, checked_link(link)?)).await
}

async fn list(
    State(service): Cloud,
    Asked(request): Asked<ListRequest>,
) -> Result<Json<ListReply>, CallFault> {
    let now = checked_time("now", request.now)?;
    let listing = within(service.cloud.list(&request.customer, now)).await?;
    Ok(Json(listing.into()))
}

async fn costs(
    State(service): Cloud,
    Asked(request): Asked<CostsRequest>,
) -> Result<Json<CostsReply>, CallFault> {
    let until = checked_time("until", request.until)?;
    let count = request.customers.len();
    if count > CUSTOMERS_MAX {
        let message = format!("{count} customers in one question");
        let hint = format!("ask for at most {CUSTOMERS_MAX} at once");
        return Err(ApiError::invalid(message, hint).into());
    }
    let costs = within(service.cloud.costs(&request.customers, until)).await?;
    Ok(Json(CostsReply { costs }))
}

async fn ledger(
    State(service): Cloud,
    query: Result<Query<LedgerQuery>, QueryRejection>,
) -> Result<Json<LedgerReply>, CallFault> {
    let query = asked(query)?;
    let at = query.at.map(|at| checked_time("at", at)).transpose()?;
    let reply = service.cloud.cloud().with_cloud(|cloud| {
        let at = at.unwrap_or_else(|| cloud.time_of(&query.customer, DomainTime(0)));
        LedgerReply::of(cloud.ledger(&query.customer), query.clone(), at)
    });
    Ok(Json(reply))
}

/// Which page of customers is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    after: Option<CustomerId>,
}

async fn customers(
    State(service): Cloud,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<CustomersPage>, CallFault> {
    let after = asked(query)?.after;
    let after = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut customers: Vec<CustomerId> = service.cloud.cloud().with_cloud(|cloud| {
        let page = cloud.customers_from(after).take(CUSTOMERS_MAX + 1);
        page.cloned().collect()
    });
    let is_last = customers.len() <= CUSTOMERS_MAX;
    customers.truncate(CUSTOMERS_MAX);
    let next_after = customers.last().filter(|_| !is_last).cloned();
    Ok(Json(CustomersPage {
        customers,
        next_after,
    }))
}

async fn health(State(service): Cloud) -> Json<CloudHealth> {
    Json(service.health())
}

async fn done(change: DriverFuture<'_, ()>) -> Result<Json<ChangeReply>, CallFault> {
    within(change).await?;
    Ok(Json(ChangeReply {
        outcome: ChangeOutcome::Done,
    }))
}

/// A disk that hangs must not keep the connection.
async fn within<T>(call: DriverFuture<'_, T>) -> Result<T, CallFault> {
    let answered = tokio::time::timeout(ANSWER_LIMIT, call).await;
    let unknown = |_late| DriverError::Unknown {
        reason: format!("the simulated cloud gave no answer within {ANSWER_LIMIT:?}"),
    };
    Ok(answered.map_err(unknown)??)
}

fn asked<Q>(query: Result<Query<Q>, QueryRejection>) -> Result<Q, ApiError> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(error) => Err(ApiError::invalid(error.body_text(), REQUEST_HINT)),
    }
}

impl<S: Sync, R: DeserializeOwned> FromRequest<S> for Asked<R> {
    type Rejection = CallFault;

    async fn from_request(request: Request, _state: &S) -> Result<Self, CallFault> {
        let (head, body) = request.into_parts();
        let reader = BodyReader::start(&head.headers, body, BODY_BYTES_MAX).await?;
        let body = reader.whole().await?;
        let request = serde_json::from_slice(&body).map_err(|error| {
            ApiError::invalid(
                format!("the body is not what {} takes: {error}", head.uri.path()),
                REQUEST_HINT,
            )
        })?;
        Ok(Self(request))
    }
}

impl From<ApiError> for CallFault {
    fn from(error: ApiError) -> Self {
        Self::Request(error)
    }
}

impl From<DriverError> for CallFault {
    fn from(error: DriverError) -> Self {
        Self::Call(error)
    }
}

impl CallCode {
    /// The status line that goes with it.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Refused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::StaleGeneration => StatusCode::CONFLICT,
            Self::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Self::OutcomeUnknown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The word that stands for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::StaleGeneration => "stale-generation",
            Self::Throttled => "throttled",
            Self::OutcomeUnknown => "outcome-unknown",
        }
    }
}

impl IntoResponse for CallFault {
    fn into_response(self) -> Response {
        let error = match self {
            Self::Request(error) => return error.into_response(),
            Self::Call(error) => error,
        };
        let (code, hint) = match &error {
            DriverError::Refused { .. } => (CallCode::Refused, "allocate another identity"),
            DriverError::StaleGeneration { .. } => (
                CallCode::StaleGeneration,
                "stop: another leader acts for this customer",
            ),
            DriverError::Throttled => (CallCode::Throttled, "send the same again later"),
            DriverError::Unknown { .. } => (
                CallCode::OutcomeUnknown,
                "send the same again under the same identity: nothing is done twice",
            ),
        };
        let (sent, highest) = match error {
            DriverError::StaleGeneration { sent, highest } => (Some(sent), Some(highest)),
            _ => (None, None),
        };
        let message = match error {
            DriverError::Refused { reason } | DriverError::Unknown { reason } => reason,
            other => other.to_string(),
        };
        let error = CloudErrorBody {
            code: code.word().to_owned(),
            message,
            hint: hint.to_owned(),
            sent,
            highest,
        };
        let mut response = (code.status(), Json(CloudErrorReply { error })).into_response();
        if code == CallCode::Throttled {
            let value = HeaderValue::from(RETRY_AFTER_S);
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}
