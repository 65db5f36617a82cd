//! `POST /v1/telemetry`: samples in, durable when answered.

use super::batch::{Batch, CustomerBatch};
use super::body::BodyReader;
use super::error::{ApiError, ErrorCode, ErrorReply};
use super::lines::LineSplitter;
use super::refusal::{RefusalCode, Refusals};
use super::sample_line::SampleLine;
use crate::observe::catalogue::INGEST_SECONDS;
use crate::service::limits::{ANSWER_LIMIT, CUSTOMERS_AT_ONCE, LINES_MAX};
use crate::service::state::Service;
use axum::Json;
use axum::extract::{Request, State};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;
use tracing::Instrument as _;
use twinscale_protocol::twin::{IngestReply, IngestRequest};
use twinscale_protocol::{CustomerId, DomainTime};
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

async fn take_samples(service: &Service, request: Request) -> Result<TelemetryReply, ApiError> {
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

async fn store(
    service: &Service,
    now: DomainTime,
    batch: Batch,
) -> Result<TelemetryReply, ApiError> {
    let Batch {
        customers,
        mut refusals,
        ..
    } = batch;
    let mut total = IngestReply::default();
    // All wait for the same few fsyncs; what is refused at once does not wait.
    let mut under_way = futures::stream::FuturesUnordered::new();
    let mut failure = None;
    for (customer, one) in customers {
        let Some(one) = admitted(service, &customer, one, &mut refusals) else {
            continue;
        };
        under_way.push(ingest(service, now, customer, one));
        while under_way.len() >= CUSTOMERS_AT_ONCE
            && let Some(ingested) = under_way.next().await
        {
            failure = join(&mut total, &mut refusals, ingested).err().or(failure);
        }
        if failure.is_some() {
            break;
        }
    }
    while let Some(ingested) = under_way.next().await {
        failure = join(&mut total, &mut refusals, ingested).err().or(failure);
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

/// What the node's bounds leave of a customer's samples.
fn admitted(
    service: &Service,
    customer: &CustomerId,
    mut one: CustomerBatch,
    refusals: &mut Refusals,
) -> Option<CustomerBatch> {
    let (twins, admission) = (service.twins(), service.admission());
    if let Err((code, message)) = admission.admit_customer(twins, customer) {
        one.refuse_all(refusals, code, &message);
        return None;
    }
    let refused: Vec<_> = one
        .series()
        .into_iter()
        .filter_map(|series| {
            let refusal = admission.admit_series(twins, customer, series).err()?;
            Some((series.clone(), refusal))
        })
        .collect();
    for (series, (code, message)) in refused {
        one.refuse_series(&series, refusals, (code, &message));
    }
    (!one.samples.is_empty()).then_some(one)
}

/// What became of a customer's samples.
type Ingested = Result<(IngestReply, Refusals), ApiError>;

async fn ingest(
    service: &Service,
    now: DomainTime,
    customer: CustomerId,
    one: CustomerBatch,
) -> Ingested {
    let (samples, mut places) = one.into_parts();
    let request = IngestRequest {
        customer,
        now,
        samples,
    };
    let mut refusals = Refusals::default();
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
    match ingested {
        Ok(reply) => {
            places.note(&reply, &mut refusals);
            Ok((reply, refusals))
        }
        Err(error @ HostError::TooManyTwins { .. }) => {
            places.refuse_all(
                &mut refusals,
                RefusalCode::NodeCustomersFull,
                &error.to_string(),
            );
            Ok((IngestReply::default(), refusals))
        }
        Err(error) => Err(error.into()),
    }
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
