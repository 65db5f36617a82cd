//! What is said beside a body: who calls whom in which cluster, the deadline and the trace.

use crate::identity::Identity;
use crate::refusal::{Refusal, RefusalReason};
use crate::settings::{DEADLINE_DEFAULT, DEADLINE_MAX};
use crate::trace::TraceContext;
use http::HeaderMap;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use twinscale_protocol::{ClusterId, NodeId};

pub(crate) const HELLO_PATH: &str = "/twinscale.wire.v1.Wire/Hello";
pub(crate) const CALL_PATH: &str = "/twinscale.wire.v1.Wire/Call";
pub(crate) const STREAM_PATH: &str = "/twinscale.wire.v1.Wire/Stream";

const CLUSTER: &str = "twinscale-cluster";
const FROM: &str = "twinscale-from";
const TO: &str = "twinscale-to";
const BYTES: &str = "twinscale-bytes";
const TRACE: &str = "traceparent";
const DEADLINE: &str = "grpc-timeout";

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

pub(crate) fn insert(metadata: &mut MetadataMap, name: &'static str, value: &str) {
    let value: MetadataValue<Ascii> = value
        .parse()
        .expect("ids, numbers and names of codes are visible ASCII");
    metadata.insert(name, value);
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
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
