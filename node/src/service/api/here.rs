//! Answers what other nodes send on to this one: the same handlers as for its own clients.

use super::error::ApiError;
use super::telemetry::take_all;
use crate::cluster::forward::HereAnswers;
use crate::cluster::messages::{ApiAnswer, ApiCall, IngestCall, Taken};
use crate::service::state::Service;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, header};
use axum::response::{IntoResponse as _, Response};
use futures::future::BoxFuture;
use std::convert::Infallible;
use std::sync::Arc;
use tower::ServiceExt as _;

/// Headers of a request that the API reads.
const REQUEST_HEADERS: [HeaderName; 3] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::IF_MATCH,
];

/// Headers of an answer that clients read.
const ANSWER_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::RETRY_AFTER, header::ETAG];

/// Longest answer that is sent on, in bytes: an envelope holds it.
const ANSWER_BYTES_MAX: usize = 15 << 20;

/// Answers what other nodes send on to this one.
pub(crate) struct Here {
    service: Arc<Service>,
    router: Router,
}

impl Here {
    /// Answers through handlers that send nothing on.
    pub(crate) fn new(service: Arc<Service>, router: Router) -> Self {
        Self { service, router }
    }
}

impl HereAnswers for Here {
    fn api(&self, call: ApiCall) -> BoxFuture<'_, ApiAnswer> {
        Box::pin(async move {
            let response = match request_of(call) {
                Ok(request) => match self.router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => unreachable_answer(never),
                },
                Err(error) => error.into_response(),
            };
            answer_of(response).await
        })
    }

    fn ingest(&self, call: IngestCall) -> BoxFuture<'_, Vec<Taken>> {
        Box::pin(take_all(Arc::clone(&self.service), call))
    }

    fn is_open(&self) -> bool {
        !self.service.is_stopping()
    }
}

fn unreachable_answer(never: Infallible) -> Response {
    match never {}
}

/// Makes a message of a request whose body is there.
pub(super) fn call_of(parts: &axum::http::request::Parts, body: Vec<u8>) -> ApiCall {
    let headers = REQUEST_HEADERS.iter().filter_map(|name| {
        let value = parts.headers.get(name)?;
        Some((name.to_string(), value.as_bytes().to_vec()))
    });
    let target = parts.uri.path_and_query();
    ApiCall {
        shard: None,
        method: parts.method.to_string(),
        target: target.map_or_else(|| "/".to_owned(), ToString::to_string),
        headers: headers.collect(),
        body,
    }
}

fn request_of(call: ApiCall) -> Result<Request<Body>, ApiError> {
    let mut request = Request::builder()
        .method(call.method.as_str())
        .uri(call.target);
    for (name, value) in call.headers {
        request = request.header(name, value);
    }
    request.body(Body::from(call.body)).map_err(|error| {
        ApiError::invalid(
            format!("the request cannot be sent on: {error}"),
            "correct it",
        )
    })
}

async fn answer_of(response: Response) -> ApiAnswer {
    let (parts, body) = response.into_parts();
    let headers = ANSWER_HEADERS.iter().filter_map(|name| {
        let value = parts.headers.get(name)?;
        Some((name.to_string(), value.as_bytes().to_vec()))
    });
    let headers: Vec<_> = headers.collect();
    match axum::body::to_bytes(body, ANSWER_BYTES_MAX).await {
        Ok(body) => ApiAnswer {
            status: parts.status.as_u16(),
            headers,
            body: body.to_vec(),
        },
        Err(_too_long) => ApiAnswer {
            status: axum::http::StatusCode::INSUFFICIENT_STORAGE.as_u16(),
            headers: Vec::new(),
            body: b"the answer is too long to be sent on: ask for a smaller page, or the node that leads".to_vec(),
        },
    }
}

/// Makes a response of an answer that came from another node.
pub(super) fn response_of(answer: ApiAnswer) -> Response {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            response = response.header(name, value);
        }
    }
    response
        .body(Body::from(answer.body))
        .unwrap_or_else(|error| {
            let text = format!("the answer of another node cannot be sent on: {error}");
            ApiError::new(super::error::ErrorCode::Internal, text, "ask again").into_response()
        })
}
