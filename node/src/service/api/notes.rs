//! `/v1/customers/{customer}/notes`: what people write down about a customer (schema 3).
//!
//! Any node refuses it by name while the cluster's schema is below, before it looks who leads: the leader
//! may run a program that does not know the path.

use super::body::BodyReader;
use super::configure::customer_id;
use super::customers::read;
use super::error::{ApiError, ErrorCode, ErrorReply};
use super::sample_line::{Moment, MomentForms};
use crate::service::limits::DOCUMENT_BYTES_MAX;
use crate::service::state::Service;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use twinscale_protocol::DomainTime;
use twinscale_twin::TwinState;
use twinscale_twin::stored::v3::Note;
use utoipa::ToSchema;

/// The schema that notes need.
const SCHEMA: u32 = 3;

/// A note that is to be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoteLine {
    /// What: 1 to 2,048 bytes.
    pub text: String,
    /// Who, at most 128 bytes.
    #[serde(default)]
    pub author: String,
    /// When; now when left out. The same note of the same moment is kept once: give a moment to send it
    /// again after an unknown outcome.
    #[schema(value_type = Option<MomentForms>)]
    pub at: Option<Moment>,
}

/// A note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoteView {
    /// When.
    pub at: i64,
    /// Who, as they said.
    pub author: String,
    /// What.
    pub text: String,
}

/// The notes on a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotesReply {
    /// Notes that were ever taken; the newest 64 are kept.
    pub taken: u64,
    /// The newest, in the order in which they came.
    pub notes: Vec<NoteView>,
}

/// That a note is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoteTaken {
    /// Notes that were ever taken.
    pub taken: u64,
}

/// Refuses what the cluster's schema does not open yet.
pub(super) async fn behind_gate(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    // No name of a customer has a slash, so that no other path of the API begins and ends like this.
    let path = request.uri().path().strip_prefix("/v1/customers/");
    let is_of_notes = path.is_some_and(|path| path.ends_with("/notes"));
    // A node alone is all of its cluster.
    let gate = service
        .forwarder()
        .map_or(SCHEMA, |forwarder| forwarder.twins().schema_gate());
    if is_of_notes && gate < SCHEMA {
        return ApiError::new(
            ErrorCode::FeatureNotEnabled,
            format!("notes need schema {SCHEMA}, and the cluster's is {gate}"),
            "upgrade every node, then `twinscale schema raise`; `twinscale schema show` tells what each node knows",
        )
        .into_response();
    }
    next.run(request).await
}

/// Shows the newest notes on a customer.
#[utoipa::path(get, path = "/v1/customers/{customer}/notes", tag = "customers",
    params(("customer" = String, Path)),
    responses(
        (status = 200, description = "the notes", body = NotesReply),
        (status = 404, description = "no such customer", body = ErrorReply),
        (status = 409, description = "the cluster's schema is below 3", body = ErrorReply),
    ))]
pub(crate) async fn get_notes(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
) -> Result<Json<NotesReply>, ApiError> {
    let _permit = service.begin_read()?;
    let customer = customer_id(&customer)?;
    read(&service, &customer, |state| NotesReply {
        taken: state.notes_taken(),
        notes: note_views(state),
    })
    .map(Json)
}

/// Writes a note down. The answer 200 means that it is on disk and applied.
#[utoipa::path(post, path = "/v1/customers/{customer}/notes", tag = "customers",
    params(("customer" = String, Path)),
    request_body = NoteLine,
    responses(
        (status = 200, description = "durable", body = NoteTaken),
        (status = 400, description = "a rule is broken", body = ErrorReply),
        (status = 404, description = "no such customer", body = ErrorReply),
        (status = 409, description = "the cluster's schema is below 3", body = ErrorReply),
        (status = 503, description = "not now, or outcome unknown: send the same again", body = ErrorReply),
    ))]
pub(crate) async fn post_note(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
    request: Request,
) -> Result<Json<NoteTaken>, ApiError> {
    let _permit = service.begin_ingest()?;
    let customer = customer_id(&customer)?;
    let (head, body) = request.into_parts();
    let body = BodyReader::start(&head.headers, body, DOCUMENT_BYTES_MAX).await?;
    let line: NoteLine = serde_json::from_slice(&body.whole().await?).map_err(|error| {
        ApiError::invalid(
            format!("the body is no note: {error}"),
            "send JSON such as {\"text\":\"moves in May\",\"author\":\"ada\"}",
        )
    })?;
    read(&service, &customer, |_known| ())?;
    let note = Note {
        at: line.at.map_or(service.now(), |moment| DomainTime(moment.0)),
        author: line.author,
        text: line.text,
    };
    let taken = service.twins().annotate(customer, note).await?;
    Ok(Json(NoteTaken { taken }))
}

/// The notes of a state.
pub(super) fn note_views(state: &TwinState) -> Vec<NoteView> {
    let notes = state.notes().iter();
    notes
        .map(|note| NoteView {
            at: note.at.0,
            author: note.author.clone(),
            text: note.text.clone(),
        })
        .collect()
}
