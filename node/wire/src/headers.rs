//! What is said beside a body: who calls whom in which cluster, the deadline, the trace, and errors.

use crate::identity::Identity;
use crate::refusal::{Refusal, RefusalReason};
use crate::settings::{DEADLINE_DEFAULT, DEADLINE_MAX};
use crate::trace::TraceContext;
use http::HeaderMap;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Code, Status};
use twinscale_protocol::{ClusterId, NodeId, WireError, WireErrorCode};

pub(crate) const HELLO_PATH: &str = "/twinscale.wire.v1.Wire/Hello";
pub(crate) const CALL_PATH: &str = "/twinscale.wire.v1.Wire/Call";
pub(crate) const STREAM_PATH: &str = "/twinscale.wire.v1.Wire/Stream";

const CLUSTER: &str = "twinscale-cluster";
const FROM: &str = "twinscale-from";
const TO: &str = "twinscale-to";
const BYTES: &str = "twinscale-bytes";
const CODE: &str = "twinscale-code";
const REFUSAL: &str = "twinscale-refusal";
const TRACE: &str = "traceparent";
const DEADLINE: &str = "grpc-timeout";

/// An error's text travels in a header, which has no room for more.
const MESSAGE_BYTES_MAX: usize = 2_048;

/// What a caller says beside the body.
#[derive(Clone, Debug)]
pub(crate) struct RequestHeaders {
    pub(crate) deadline: Duration,
    pub(crate) trace: Option<TraceContext>,
    /// How long the body is; it is not read beyond.
    pub(crate) bytes: Option<usize>,
}

/// Who calls whom.
#[derive(Clone, Debug)]
pub(crate) struct Parties<'a> {
    pub(crate) cluster: &'a ClusterId,
    pub(crate) from: &'a Identity,
    pub(crate) to: &'a NodeId,
}

impl RequestHeaders {
    pub(crate) fn write(&self, parties: &Parties<'_>, request: &mut MetadataMap) {
        insert(request, CLUSTER, parties.cluster.as_str());
        insert(request, FROM, &parties.from.to_string());
        insert(request, TO, parties.to.as_str());
        if let Some(bytes) = self.bytes {
            insert(request, BYTES, &bytes.to_string());
        }
        if let Some(trace) = self.trace {
            insert(request, TRACE, &trace.to_string());
        }
        insert(request, DEADLINE, &written_deadline(self.deadline));
    }

    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let deadline = text(headers, DEADLINE).map_or(DEADLINE_DEFAULT, |text| {
            read_deadline(text).unwrap_or(DEADLINE_DEFAULT)
        });
        Self {
            deadline: deadline.min(DEADLINE_MAX),
            trace: text(headers, TRACE).and_then(|text| text.parse().ok()),
            bytes: text(headers, BYTES).and_then(|text| text.parse().ok()),
        }
    }
}

/// Checks that a caller is who its certificate says, and means this node.
pub(crate) fn check_parties(headers: &HeaderMap, expected: &Parties<'_>) -> Result<(), Refusal> {
    let said = |name| text(headers, name).unwrap_or("nothing");
    let cluster = said(CLUSTER);
    if cluster != expected.cluster.as_str() {
        return Err(Refusal::new(
            RefusalReason::OtherCluster,
            format!(
                "the call is for cluster `{cluster}` and this node is of `{}`: correct the \
                 caller's cluster id or its addresses",
                expected.cluster
            ),
        ));
    }
    let from = said(FROM);
    if from != expected.from.to_string() {
        return Err(Refusal::new(
            RefusalReason::OtherIdentity,
            format!(
                "the caller says that it is {from} and its certificate that it is {}: give it \
                 its own certificate",
                expected.from
            ),
        ));
    }
    let to = said(TO);
    if to != expected.to.as_str() {
        return Err(Refusal::new(
            RefusalReason::Misrouted,
            format!(
                "the call is for node `{to}` and this is node `{}`: correct the caller's \
                 addresses",
                expected.to
            ),
        ));
    }
    Ok(())
}

pub(crate) fn status_of_error(error: &WireError) -> Status {
    let mut status = Status::new(grpc_code(error.code), shortened(&error.message));
    insert(status.metadata_mut(), CODE, error.code.as_str());
    status
}

pub(crate) fn status_of_refusal(refusal: &Refusal) -> Status {
    let code = match refusal.reason {
        RefusalReason::Overloaded | RefusalReason::TooManyConnections => Code::ResourceExhausted,
        RefusalReason::Malformed | RefusalReason::Oversize => Code::InvalidArgument,
        RefusalReason::UnknownKind => Code::Unimplemented,
        _ => Code::PermissionDenied,
    };
    let mut status = Status::new(code, shortened(&refusal.text));
    insert(status.metadata_mut(), REFUSAL, refusal.reason.as_str());
    status
}

/// What a status of the peer says.
#[derive(Debug)]
pub(crate) enum Answer {
    Error(WireError),
    Refusal(Refusal),
    /// No answer of the peer: the transport failed.
    None,
}

pub(crate) fn answer_of_status(status: &Status) -> Answer {
    let header = |name| {
        status
            .metadata()
            .get(name)
            .and_then(|text| text.to_str().ok())
    };
    if let Some(name) = header(REFUSAL) {
        let reason = REFUSALS_SENT
            .into_iter()
            .find(|reason| reason.as_str() == name);
        if let Some(reason) = reason {
            return Answer::Refusal(Refusal::new(reason, status.message()));
        }
    }
    if let Some(name) = header(CODE) {
        // A code of a newer node counts as what gRPC makes of it.
        let known = CODES.into_iter().find(|code| code.as_str() == name);
        let code = known.unwrap_or_else(|| code_of_grpc(status.code()));
        return Answer::Error(WireError::new(code, status.message()));
    }
    if header(REFUSAL).is_some() {
        let code = code_of_grpc(status.code());
        return Answer::Error(WireError::new(code, status.message()));
    }
    Answer::None
}

const REFUSALS_SENT: [RefusalReason; 8] = [
    RefusalReason::OtherCluster,
    RefusalReason::OtherIdentity,
    RefusalReason::Misrouted,
    RefusalReason::Overloaded,
    RefusalReason::Malformed,
    RefusalReason::Oversize,
    RefusalReason::UnknownKind,
    RefusalReason::TooManyConnections,
];

const CODES: [WireErrorCode; 11] = [
    WireErrorCode::Invalid,
    WireErrorCode::NotFound,
    WireErrorCode::Conflict,
    WireErrorCode::StaleGeneration,
    WireErrorCode::NotLeader,
    WireErrorCode::PermissionDenied,
    WireErrorCode::Unavailable,
    WireErrorCode::Timeout,
    WireErrorCode::Overloaded,
    WireErrorCode::Internal,
    WireErrorCode::OutcomeUnknown,
];

fn grpc_code(code: WireErrorCode) -> Code {
    match code {
        WireErrorCode::Invalid => Code::InvalidArgument,
        WireErrorCode::NotFound => Code::NotFound,
        WireErrorCode::Conflict | WireErrorCode::StaleGeneration => Code::Aborted,
        WireErrorCode::NotLeader => Code::FailedPrecondition,
        WireErrorCode::PermissionDenied => Code::PermissionDenied,
        WireErrorCode::Unavailable => Code::Unavailable,
        WireErrorCode::Timeout => Code::DeadlineExceeded,
        WireErrorCode::Overloaded => Code::ResourceExhausted,
        WireErrorCode::Internal => Code::Internal,
        WireErrorCode::OutcomeUnknown => Code::Unknown,
    }
}

fn code_of_grpc(code: Code) -> WireErrorCode {
    match code {
        Code::InvalidArgument | Code::Unimplemented | Code::OutOfRange => WireErrorCode::Invalid,
        Code::NotFound => WireErrorCode::NotFound,
        Code::Aborted | Code::AlreadyExists => WireErrorCode::Conflict,
        Code::FailedPrecondition => WireErrorCode::NotLeader,
        Code::PermissionDenied | Code::Unauthenticated => WireErrorCode::PermissionDenied,
        Code::Unavailable => WireErrorCode::Unavailable,
        Code::DeadlineExceeded => WireErrorCode::Timeout,
        Code::ResourceExhausted => WireErrorCode::Overloaded,
        Code::Internal | Code::DataLoss => WireErrorCode::Internal,
        Code::Ok | Code::Cancelled | Code::Unknown => WireErrorCode::OutcomeUnknown,
    }
}

fn insert(metadata: &mut MetadataMap, name: &'static str, value: &str) {
    let value: MetadataValue<Ascii> = value
        .parse()
        .expect("ids, numbers and names of codes are visible ASCII");
    metadata.insert(name, value);
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn shortened(message: &str) -> String {
    let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
    message.get(..end).unwrap_or_default().to_owned()
}

/// Source: gRPC over HTTP/2, `Timeout`: at most 8 digits and a unit.
fn written_deadline(deadline: Duration) -> String {
    let micros = deadline.as_micros();
    if micros < 100_000_000 {
        return format!("{micros}u");
    }
    format!("{}m", deadline.as_millis().min(99_999_999))
}

fn read_deadline(text: &str) -> Option<Duration> {
    let digits = text.get(..text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match text.get(digits.len()..)? {
        "H" => Some(Duration::from_secs(count * 3_600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_code_of_an_error_comes_back() {
        for code in CODES {
            let error = WireError::new(code, "why");
            let Answer::Error(back) = answer_of_status(&status_of_error(&error)) else {
                panic!("{code} was not read as an error");
            };
            assert_eq!(back, error);
        }
    }

    #[test]
    fn every_refusal_that_is_sent_comes_back() {
        for reason in REFUSALS_SENT {
            let refusal = Refusal::new(reason, "why");
            let Answer::Refusal(back) = answer_of_status(&status_of_refusal(&refusal)) else {
                panic!("{reason} was not read as a refusal");
            };
            assert_eq!(back, refusal);
        }
    }

    #[test]
    fn a_code_of_a_newer_node_counts_as_what_grpc_makes_of_it() {
        let mut status = Status::new(Code::ResourceExhausted, "later");
        insert(status.metadata_mut(), CODE, "quota-of-the-future");
        let Answer::Error(error) = answer_of_status(&status) else {
            panic!("not an error");
        };
        assert_eq!(error.code, WireErrorCode::Overloaded);
    }

    #[test]
    fn a_status_without_our_headers_is_no_answer() {
        let status = Status::new(Code::Unavailable, "broken pipe");
        assert!(matches!(answer_of_status(&status), Answer::None));
    }

    #[test]
    fn a_long_error_text_is_cut_at_a_character() {
        let error = WireError::new(WireErrorCode::Internal, "ä".repeat(3_000));
        let status = status_of_error(&error);
        assert_eq!(status.message().len(), MESSAGE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn a_deadline_comes_back_within_a_millisecond(micros in 0_u64..3_600_000_000) {
            let deadline = Duration::from_micros(micros);
            let back = read_deadline(&written_deadline(deadline)).expect("written by us");
            prop_assert!(back <= deadline);
            prop_assert!(deadline.checked_sub(back).expect("not more") < Duration::from_millis(1));
        }

        #[test]
        fn any_text_of_a_deadline_is_read_without_panic(text in ".{0,20}") {
            if let Some(deadline) = read_deadline(&text) {
                prop_assert!(deadline <= Duration::from_hours(99_999_999));
            }
        }
    }
}
