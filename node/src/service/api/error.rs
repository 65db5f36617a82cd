//! The one shape in which the API says that something did not work.

use crate::service::limits::{ECHO_BYTES_MAX, RETRY_AFTER_S};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use twinscale_protocol::{WireError, WireErrorCode};
use twinscale_twin::HostError;
use utoipa::ToSchema;

/// An answer that says what did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorReply {
    /// What did not work.
    pub error: ErrorBody,
}

/// What did not work, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What a program can act on.
    pub code: ErrorCode,
    /// For people: value and place.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// What a program can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request can never work as it is (400).
    Invalid,
    /// What it names does not exist (404).
    NotFound,
    /// The path takes other methods (405).
    MethodNotAllowed,
    /// The client was too slow (408).
    Timeout,
    /// The state does not allow it now (409).
    Conflict,
    /// What was read before is no longer so (412).
    PreconditionFailed,
    /// The body is longer than the limit (413).
    TooLarge,
    /// The body is of a kind that is not taken (415).
    MediaType,
    /// Too much at once: nothing is lost if the same is sent again after `Retry-After` (429).
    Overloaded,
    /// A defect of this program (500).
    Internal,
    /// Cannot be served at the moment (503).
    Unavailable,
    /// It may or may not have happened: send the same again, nothing is stored twice (503).
    OutcomeUnknown,
    /// Not every node of the cluster knows it yet, or its schema was not raised since (409).
    FeatureNotEnabled,
}

/// An error on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    body: ErrorBody,
    /// The rest of the request was not read: the connection cannot be used again.
    closes: bool,
}

impl ApiError {
    /// Makes an error of its parts.
    pub fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            body: ErrorBody {
                code,
                message: message.into(),
                hint: hint.into(),
            },
            closes: false,
        }
    }

    /// The request can never work as it is.
    pub fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, message, hint)
    }

    /// Too much at once.
    pub fn overloaded(message: impl Into<String>) -> Self {
        let hint = format!("send the same again after {RETRY_AFTER_S} s; nothing is stored twice");
        Self::new(ErrorCode::Overloaded, message, hint)
    }

    /// The node is on its way out.
    pub fn stopping() -> Self {
        Self::new(
            ErrorCode::Unavailable,
            "the node is stopping",
            "send the same again when it has started anew",
        )
        .closing()
    }

    /// The connection ends with this answer.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// What a program can act on.
    pub fn code(&self) -> ErrorCode {
        self.body.code
    }

    /// For people.
    pub fn message(&self) -> &str {
        &self.body.message
    }
}

impl ErrorCode {
    /// The status line that goes with it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict | Self::FeatureNotEnabled => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable | Self::OutcomeUnknown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<HostError> for ApiError {
    fn from(error: HostError) -> Self {
        WireError::from(error).into()
    }
}

impl From<WireError> for ApiError {
    fn from(error: WireError) -> Self {
        let WireError { code, message } = error;
        let (code, hint) = match code {
            WireErrorCode::Invalid => (ErrorCode::Invalid, "correct the request"),
            WireErrorCode::NotFound => (ErrorCode::NotFound, "GET /v1/customers lists what exists"),
            WireErrorCode::Conflict => {
                (ErrorCode::Conflict, "read the state again and decide again")
            }
            WireErrorCode::Overloaded => return Self::overloaded(message),
            WireErrorCode::OutcomeUnknown | WireErrorCode::Timeout => (
                ErrorCode::OutcomeUnknown,
                "send the same again; nothing is stored twice",
            ),
            WireErrorCode::Unavailable | WireErrorCode::NotLeader => {
                (ErrorCode::Unavailable, "GET /v1/ready says what is wrong")
            }
            WireErrorCode::StaleGeneration
            | WireErrorCode::PermissionDenied
            | WireErrorCode::Internal => (ErrorCode::Internal, "report a defect"),
        };
        Self::new(code, message, hint)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = self.body.code;
        let mut response = (code.status(), Json(ErrorReply { error: self.body })).into_response();
        let headers = response.headers_mut();
        if matches!(code, ErrorCode::Overloaded | ErrorCode::Unavailable) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A piece of a client's text that is fit to be repeated: cut, and without control characters.
pub(crate) fn echo(text: &str) -> String {
    echo_within(text, ECHO_BYTES_MAX)
}

/// As [`echo`], with a bound of its own.
pub(crate) fn echo_within(text: &str, bytes_max: usize) -> String {
    let mut short = String::with_capacity(bytes_max);
    for letter in text.chars() {
        if short.len() + letter.len_utf8() > bytes_max {
            short.push('…');
            break;
        }
        short.push(if letter.is_control() {
            '\u{fffd}'
        } else {
            letter
        });
    }
    short
}
