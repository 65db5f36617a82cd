//! `POST /v1/telemetry`: samples in, durable when answered.

use super::batch::{Batch, CustomerBatch, Places};
use super::body::BodyReader;
use super::error::{ApiError, ErrorCode, ErrorReply};
use super::forward::refused;
use super::lines::LineSplitter;
use super::refusal::{RefusalCode, Refusals};
use super::sample_line::SampleLine;
use crate::cluster::messages::{IngestCall, Taken};
use crate::observe::catalogue::INGEST_SECONDS;
use crate::service::limits::{ANSWER_LIMIT, CUSTOMERS_AT_ONCE, LINES_MAX};
use crate::service::state::Service;
use axum::Json;
use axum::extract::{Request, State};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;
use tracing::Instrument as _;
use twinscale_protocol::twin::{IngestReply, IngestRequest};
use twinscale_protocol::{CustomerId, DomainTime, SeriesKey, ShardId, WireError};
use twinscale_shards::ShardsError;
use twinscale_twin::HostError;
use utoipa::ToSchema;

/// What became of the samples of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TelemetryReply {
    /// Stored for the first time, durably.
    pub accepted: u64,
    /// There already with the same value.
    pub duplicates: u64,
    /// There already with another value, which was replaced.
    pub corrected: u64,
    /// Not taken; sending them again changes nothing.
    pub refused: Refusals,
}

/// Takes samples: one JSON object a line. The answer 200 means that every accepted, repeated and corrected
/// sample is on disk and applied; refused lines are named with their reason. A sample's key is (customer,
/// VM type, metric, timestamp): sending one again stores nothing twice.
#[utoipa::path(
    post,
    path = "/v1/telemetry",
    tag = "ingest",
    request_body(content = SampleLine<'static>, content_type = "application/x-ndjson",
        description = "JSON lines, at most 50,000; plain or with content-encoding gzip"),
    responses(
        (status = 200, description = "durable", body = TelemetryReply),
        (status = 400, description = "no whole body; nothing is stored", body = ErrorReply),
        (status = 408, description = "the body came too slowly; nothing is stored", body = ErrorReply),
        (status = 413, description = "the body is too large; nothing is stored", body = ErrorReply),
        (status = 415, description = "unknown content-encoding", body = ErrorReply),
        (status = 429, description = "overloaded: send the same again after Retry-After", body = ErrorReply),
        (status = 503, description = "not now, or outcome unknown: send the same again", body = ErrorReply),
    )
)]
pub(crate) async fn telemetry(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Json<TelemetryReply>, ApiError> {
    let counters = service.counters();
    counters.telemetry_requests.fetch_add(1, Ordering::Relaxed);
    let begun = Instant::now();
    let reply = take_samples(&service, request).await;
    let outcome = match &reply {
        Ok(_) => "durable",
        Err(error) if error.code() == ErrorCode::Overloaded => "overloaded",
        Err(_) => "failed",
    };
    let instruments = service.node().instruments();
    instruments.time(&INGEST_SECONDS, &[outcome], begun.elapsed());
    reply.map(Json)
}

async fn take_samples(
    service: &Arc<Service>,
    request: Request,
) -> Result<TelemetryReply, ApiError> {
    let counters = service.counters();
    let _permit = service.begin_ingest()?;
    let now = service.now();
    let batch = read_batch(service, request, now).await?;
    let stored = tokio::time::timeout(ANSWER_LIMIT, store(service, now, batch)).await;
    let reply = stored.unwrap_or_else(|_late| {
        Err(ApiError::new(
            ErrorCode::OutcomeUnknown,
            format!("samples were not durable within {ANSWER_LIMIT:?}"),
            "send the same again; nothing is stored twice",
        ))
    });
    if reply
        .as_ref()
        .is_err_and(|error| error.code() == ErrorCode::Overloaded)
    {
        counters.overloaded.fetch_add(1, Ordering::Relaxed);
    }
    reply
}

async fn read_batch(
    service: &Service,
    request: Request,
    now: DomainTime,
) -> Result<Batch, ApiError> {
    let (head, body) = request.into_parts();
    let limit = service.settings().body_bytes_max;
    let mut body = BodyReader::start(&head.headers, body, limit).await?;
    let mut batch = Batch::new(now, now.plus(service.settings().future_max));
    let mut splitter = LineSplitter::default();
    while let Some(piece) = body.next().await? {
        splitter.feed(&piece, &mut |number, line| batch.take(number, line));
        if splitter.count() > LINES_MAX {
            body.discard().await;
            return Err(too_many_lines());
        }
    }
    splitter.finish(&mut |number, line| batch.take(number, line));
    if splitter.count() > LINES_MAX {
        return Err(too_many_lines());
    }
    if batch.customers.is_empty() && batch.refusals.count == 0 {
        return Err(ApiError::invalid(
            "the body has no samples",
            "send one JSON object a line, such as {\"customer\":\"acme\",\"vm_type\":\"web\",\
             \"metric\":\"requests\",\"timestamp\":1700000000,\"value\":1250}",
        ));
    }
    Ok(batch)
}

fn too_many_lines() -> ApiError {
    ApiError::new(
        ErrorCode::TooLarge,
        format!("the body has more than {LINES_MAX} lines; nothing of it is stored"),
        "split it",
    )
    .closing()
}

/// Samples of one customer on their way, with the lines that they came from.
type OnTheirWay = (IngestRequest, Places);

async fn store(
    service: &Arc<Service>,
    now: DomainTime,
    batch: Batch,
) -> Result<TelemetryReply, ApiError> {
    let Batch {
        customers,
        mut refusals,
        ..
    } = batch;
    let mut total = IngestReply::default();
    let (here, elsewhere) = split(service, now, customers)?;
    // All wait for the same few fsyncs.
    let mut waiting: Vec<BoxFuture<'static, Vec<Ingested>>> = Vec::new();
    for (request, places) in here {
        let service = Arc::clone(service);
        let taken = async move { vec![noted(take(&service, request).await, places)] };
        waiting.push(taken.boxed());
    }
    for (shard, requests) in elsewhere {
        waiting.push(send_on(Arc::clone(service), shard, requests).boxed());
    }
    let mut under_way = futures::stream::iter(waiting).buffer_unordered(CUSTOMERS_AT_ONCE);
    let mut failure = None;
    while let Some(ingested) = under_way.next().await {
        for one in ingested {
            failure = join(&mut total, &mut refusals, one).err().or(failure);
        }
    }
    service.counters().count(&total, &refusals);
    match failure {
        // What was stored stays stored, and is known as such when it comes again.
        Some(error) => Err(error),
        None => Ok(TelemetryReply {
            accepted: u64::from(total.stored),
            duplicates: u64::from(total.duplicates),
            corrected: u64::from(total.replaced),
            refused: refusals,
        }),
    }
}

/// What this node takes itself, and what it sends on, by shard.
type Split = (Vec<OnTheirWay>, BTreeMap<ShardId, Vec<OnTheirWay>>);

/// Says which samples this node takes itself; nothing of a body is taken while this node does not know.
fn split(
    service: &Service,
    now: DomainTime,
    customers: BTreeMap<CustomerId, CustomerBatch>,
) -> Result<Split, ApiError> {
    let mut here = Vec::new();
    let mut elsewhere: BTreeMap<ShardId, Vec<OnTheirWay>> = BTreeMap::new();
    for (customer, one) in customers {
        let (samples, places) = one.into_parts();
        let shard = match service.forwarder().filter(|one| !one.leads(&customer)) {
            Some(others) => {
                let shard = others.twins().shard_of(&customer);
                Some(shard.ok_or_else(|| refused(ShardsError::Unplaced))?)
            }
            None => None,
        };
        let request = IngestRequest {
            customer,
            now,
            samples,
        };
        match shard {
            Some(shard) => elsewhere.entry(shard).or_default().push((request, places)),
            None => here.push((request, places)),
        }
    }
    Ok((here, elsewhere))
}

/// What became of a customer's samples.
type Ingested = Result<(IngestReply, Refusals), ApiError>;

async fn send_on(
    service: Arc<Service>,
    shard: ShardId,
    requests: Vec<OnTheirWay>,
) -> Vec<Ingested> {
    let Some(forwarder) = service.forwarder() else {
        return vec![Err(unaccounted(requests.len(), 0))];
    };
    let (requests, places): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
    let count = requests.len();
    let here = |call: IngestCall| take_all(Arc::clone(&service), call).boxed();
    match forwarder
        .ingest(IngestCall { shard, requests }, &here)
        .await
    {
        Ok(taken) if taken.len() != count => vec![Err(unaccounted(count, taken.len()))],
        Ok(taken) => taken
            .into_iter()
            .zip(places)
            .map(|(taken, places)| noted(taken, places))
            .collect(),
        Err(error) => vec![Err(refused(error))],
    }
}

/// Takes samples of several customers on this node; returns what became of them, in order.
pub(super) async fn take_all(service: Arc<Service>, call: IngestCall) -> Vec<Taken> {
    let mut waiting: Vec<BoxFuture<'static, Taken>> = Vec::new();
    for request in call.requests {
        let service = Arc::clone(&service);
        waiting.push(async move { take(&service, request).await }.boxed());
    }
    let taken = futures::stream::iter(waiting).buffered(CUSTOMERS_AT_ONCE);
    taken.collect().await
}

/// Takes samples of one customer on this node: what its bounds let in is durable and applied then.
async fn take(service: &Service, mut request: IngestRequest) -> Taken {
    let mut refused = keep_out(service, &mut request);
    if request.samples.is_empty() {
        let outcome = Ok(IngestReply::default());
        return Taken { outcome, refused };
    }
    let span = tracing::info_span!(
        "samples",
        customer = %request.customer,
        count = request.samples.len(),
        outcome = tracing::field::Empty
    );
    let ingested = service
        .twins()
        .ingest(request)
        .instrument(span.clone())
        .await;
    span.record(
        "outcome",
        if ingested.is_ok() {
            "durable"
        } else {
            "failed"
        },
    );
    let outcome = match ingested {
        Err(error @ HostError::TooManyTwins { .. }) => {
            refused.push((None, RefusalCode::NodeCustomersFull, error.to_string()));
            Ok(IngestReply::default())
        }
        other => other.map_err(WireError::from),
    };
    Taken { outcome, refused }
}

/// Takes out the samples that the node's bounds keep out, and says why.
fn keep_out(
    service: &Service,
    request: &mut IngestRequest,
) -> Vec<(Option<SeriesKey>, RefusalCode, String)> {
    let (twins, admission) = (service.twins(), service.admission());
    let customer = &request.customer;
    if let Err((code, message)) = admission.admit_customer(twins, customer) {
        request.samples.clear();
        return vec![(None, code, message)];
    }
    let series: BTreeSet<&SeriesKey> = request.samples.iter().map(|one| &one.series).collect();
    let refused = series.into_iter().filter_map(|series| {
        let (code, message) = admission.admit_series(twins, customer, series).err()?;
        Some((Some(series.clone()), code, message))
    });
    let refused: Vec<_> = refused.collect();
    if !refused.is_empty() {
        let is_out = |series: &SeriesKey| refused.iter().any(|one| one.0.as_ref() == Some(series));
        request.samples.retain(|sample| !is_out(&sample.series));
    }
    refused
}

/// Finds the lines of what was refused.
fn noted(taken: Taken, mut places: Places) -> Ingested {
    let mut refusals = Refusals::default();
    for (series, code, message) in taken.refused {
        match series {
            Some(series) => places.refuse_series(&series, &mut refusals, (code, &message)),
            None => places.refuse_all(&mut refusals, code, &message),
        }
    }
    let reply = taken.outcome?;
    let kept_out = usize::try_from(refusals.count).unwrap_or(usize::MAX);
    let (wanted, answered) = (places.count(), answered(&reply).saturating_add(kept_out));
    if wanted != answered {
        return Err(unaccounted(wanted, answered));
    }
    places.note(&reply, &mut refusals);
    Ok((reply, refusals))
}

/// Samples that a twin's answer speaks of.
fn answered(reply: &IngestReply) -> usize {
    [reply.stored, reply.duplicates, reply.replaced]
        .into_iter()
        .filter_map(|count| usize::try_from(count).ok())
        .fold(reply.refused.len(), usize::saturating_add)
}

/// An answer that does not speak of all that was sent acknowledges nothing of it.
fn unaccounted(wanted: usize, answered: usize) -> ApiError {
    ApiError::new(
        ErrorCode::OutcomeUnknown,
        format!("of {wanted} samples or customers, {answered} were answered for: report a defect"),
        "send the same again; nothing is stored twice",
    )
}

fn join(
    total: &mut IngestReply,
    refusals: &mut Refusals,
    ingested: Ingested,
) -> Result<(), ApiError> {
    let (reply, refused) = ingested?;
    total.stored = total.stored.saturating_add(reply.stored);
    total.duplicates = total.duplicates.saturating_add(reply.duplicates);
    total.replaced = total.replaced.saturating_add(reply.replaced);
    refusals.join(refused);
    Ok(())
}
