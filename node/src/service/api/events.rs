//! `POST /v1/events`: campaigns, releases, holidays and incidents, durable when answered.

use super::body::BodyReader;
use super::error::{ApiError, ErrorCode, ErrorReply, echo_within};
use super::forward::refused;
use super::lines::{Line, LineSplitter};
use super::refusal::{RefusalCode, Refusals};
use super::sample_line::{Moment, MomentForms};
use crate::service::limits::{ECHO_BYTES_MAX, EVENT_LINES_MAX, LINE_BYTES_MAX};
use crate::service::state::Service;
use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use twinscale_protocol::twin::AnnounceRequest;
use twinscale_protocol::{
    CustomerId, DomainTime, Event, EventKind, MetricName, SeriesKey, VmTypeId,
};
use twinscale_twin::HostError;
use utoipa::ToSchema;

/// A line of events as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventLine {
    /// Whose event.
    pub customer: String,
    /// `holiday`, `campaign`, `release`, `earnings`, `season`, `price_change`, `other` or `incident`.
    #[schema(value_type = String, example = "campaign")]
    pub kind: EventKind,
    /// Its name, at most 256 bytes.
    pub name: String,
    /// When it starts.
    #[schema(value_type = MomentForms)]
    pub start: Moment,
    /// When it ends, exclusive.
    #[schema(value_type = MomentForms)]
    pub end: Moment,
    /// Since when it is known; now when left out. No forecast issued earlier uses it.
    #[schema(value_type = Option<MomentForms>)]
    pub known_from: Option<Moment>,
    /// The one series that it concerns; all of them when left out.
    pub vm_type: Option<String>,
    /// The metric of that series.
    pub metric: Option<String>,
}

/// What became of the events of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventsReply {
    /// Kept, durably; one with the same kind, name, start and series replaces the older.
    pub accepted: u64,
    /// Not taken; sending them again changes nothing.
    pub refused: Refusals,
}

/// Takes events: one JSON object a line. The answer 200 means that every accepted event is on disk and
/// applied. A customer must exist: it has sent samples, or has a policy.
#[utoipa::path(
    post,
    path = "/v1/events",
    tag = "ingest",
    request_body(content = EventLine, content_type = "application/x-ndjson",
        description = "JSON lines, at most 10,000; plain or with content-encoding gzip"),
    responses(
        (status = 200, description = "durable", body = EventsReply),
        (status = 400, description = "no whole body; nothing is kept", body = ErrorReply),
        (status = 408, description = "the body came too slowly; nothing is kept", body = ErrorReply),
        (status = 413, description = "the body is too large; nothing is kept", body = ErrorReply),
        (status = 429, description = "overloaded: send the same again after Retry-After", body = ErrorReply),
        (status = 503, description = "not now, or outcome unknown: send the same again", body = ErrorReply),
    )
)]
pub(crate) async fn events(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Json<EventsReply>, ApiError> {
    let _permit = service.begin_ingest()?;
    let (customers, mut refusals) = read(&service, request).await?;
    let mut accepted = 0;
    for (customer, lines) in customers {
        if !is_known(&service, &customer).await? {
            for (line, _) in lines {
                refusals.note(line, RefusalCode::Customer, || {
                    format!("there is no customer `{customer}`: send samples or configure it first")
                });
            }
            continue;
        }
        // One command each: an event that breaks a rule must not take others with it.
        for (line, event) in lines {
            let request = AnnounceRequest {
                customer: customer.clone(),
                events: vec![event],
            };
            match service.twins().announce(request).await {
                Ok(_recorded) => accepted += 1,
                Err(error @ (HostError::Refused { .. } | HostError::Quarantined { .. })) => {
                    refusals.note(line, RefusalCode::Event, || error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(Json(EventsReply {
        accepted,
        refused: refusals,
    }))
}

/// Whether a customer has a twin, on this node or where its shard is led.
async fn is_known(service: &Service, customer: &CustomerId) -> Result<bool, ApiError> {
    if service.twins().knows(customer) {
        return Ok(true);
    }
    match service.forwarder() {
        Some(forwarder) => forwarder.is_known(customer).await.map_err(refused),
        None => Ok(false),
    }
}

/// Events by customer, each with its line.
type ByCustomer = BTreeMap<CustomerId, Vec<(u32, Event)>>;

async fn read(service: &Service, request: Request) -> Result<(ByCustomer, Refusals), ApiError> {
    let (head, body) = request.into_parts();
    let limit = service.settings().body_bytes_max;
    let mut body = BodyReader::start(&head.headers, body, limit).await?;
    let (now, mut customers, mut refusals) =
        (service.now(), ByCustomer::new(), Refusals::default());
    let mut take = |number: u32, line: Line<'_>| match line {
        Line::TooLong => refusals.note(number, RefusalCode::LineTooLong, || {
            format!("line is longer than {LINE_BYTES_MAX} bytes: one event a line")
        }),
        Line::Text(text) => match parse(text, now) {
            Ok((customer, event)) => customers.entry(customer).or_default().push((number, event)),
            Err((code, message)) => refusals.note(number, code, || message),
        },
    };
    let mut splitter = LineSplitter::default();
    while let Some(piece) = body.next().await? {
        splitter.feed(&piece, &mut take);
        if splitter.count() > EVENT_LINES_MAX {
            body.discard().await;
            break;
        }
    }
    splitter.finish(&mut take);
    if splitter.count() > EVENT_LINES_MAX {
        return Err(ApiError::new(
            ErrorCode::TooLarge,
            format!("the body has more than {EVENT_LINES_MAX} lines; nothing of it is kept"),
            "split it",
        )
        .closing());
    }
    if customers.is_empty() && refusals.count == 0 {
        return Err(ApiError::invalid(
            "the body has no events",
            "send one JSON object a line, such as {\"customer\":\"acme\",\"kind\":\"campaign\",\
             \"name\":\"spring sale\",\"start\":1700000000,\"end\":1700086400}",
        ));
    }
    Ok((customers, refusals))
}

fn parse(line: &[u8], now: DomainTime) -> Result<(CustomerId, Event), (RefusalCode, String)> {
    let line: EventLine = serde_json::from_slice(line).map_err(|error| {
        let words = echo_within(&error.to_string(), 3 * ECHO_BYTES_MAX);
        (RefusalCode::Malformed, words)
    })?;
    let customer = CustomerId::new(line.customer)
        .map_err(|error| (RefusalCode::Customer, error.to_string()))?;
    let series = match (line.vm_type, line.metric) {
        (None, None) => None,
        (Some(vm_type), Some(metric)) => Some(SeriesKey {
            vm_type: VmTypeId::new(vm_type)
                .map_err(|error| (RefusalCode::VmType, error.to_string()))?,
            metric: MetricName::new(metric)
                .map_err(|error| (RefusalCode::Metric, error.to_string()))?,
        }),
        _ => {
            let message = "vm_type and metric name a series together: send both or none".to_owned();
            return Err((RefusalCode::Event, message));
        }
    };
    let event = Event {
        kind: line.kind,
        name: line.name,
        start: DomainTime(line.start.0),
        end: DomainTime(line.end.0),
        known_from: line.known_from.map_or(now, |moment| DomainTime(moment.0)),
        series,
    };
    Ok((customer, event))
}
