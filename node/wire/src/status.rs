//! Errors and refusals as gRPC statuses, and back.

use crate::headers::insert;
use crate::refusal::{Refusal, RefusalReason};
use tonic::{Code, Status};
use twinscale_protocol::{WireError, WireErrorCode};

const CODE: &str = "twinscale-code";
const REFUSAL: &str = "twinscale-refusal";

/// An error's text travels in a header, which has no room for more.
const MESSAGE_BYTES_MAX: usize = 2_048;

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

fn shortened(message: &str) -> String {
    let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
    message.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
