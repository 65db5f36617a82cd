//! Sends samples and events, and sends the same again where the node says so.

use super::super::runtime;
use super::Destination;
use crate::console;
use crate::error::ExpectedError;
use crate::service::api::{EventLine, EventsReply, Refusals, SampleLine, TelemetryReply};
use crate::service::client::{ApiAnswer, ApiClient, Target};
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;
use tokio::runtime::Runtime;
use twinscale_protocol::{CustomerId, Sample};

/// Lines of one request.
const LINES_AT_ONCE: usize = 5_000;
/// Times that the same is sent again before it is given up; nothing is stored twice.
const AGAIN_MAX: u32 = 8;
/// Pause before it is sent again, where the node does not name one.
const PAUSE: Duration = Duration::from_secs(1);

/// What became of what was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Stored, or there already.
    pub(super) taken: u64,
    /// Refused by the node.
    pub(super) refused: u64,
    /// The first refusals, in the node's words.
    pub(super) reasons: Vec<String>,
}

/// Where things go: a node, or standard output in a dry run.
pub(super) struct Poster {
    customer: CustomerId,
    way: Option<(Runtime, ApiClient)>,
    pub(super) sent: Sent,
}

impl Poster {
    pub(super) fn new(destination: &Destination, customer: &CustomerId) -> anyhow::Result<Self> {
        let way = if destination.dry_run {
            None
        } else {
            let client = ApiClient::new(Target::AnyOf(destination.url.clone()));
            Some((runtime(1)?, client))
        };
        Ok(Self {
            customer: customer.clone(),
            way,
            sent: Sent::default(),
        })
    }

    pub(super) fn samples(&mut self, samples: &[Sample]) -> anyhow::Result<()> {
        let customer = self.customer.to_string();
        let lines = samples.iter().map(|sample| SampleLine {
            customer: Cow::Borrowed(customer.as_str()),
            vm_type: Cow::Borrowed(sample.series.vm_type.as_str()),
            metric: Cow::Borrowed(sample.series.metric.as_str()),
            timestamp: crate::service::api::Moment(sample.at.0),
            value: sample.value.units(),
        });
        let lines: Vec<_> = lines.collect();
        for lines in lines.chunks(LINES_AT_ONCE) {
            if let Some(answer) = self.post("/v1/telemetry", lines)? {
                let reply: TelemetryReply = answer.json("/v1/telemetry")?;
                let taken = [reply.accepted, reply.duplicates, reply.corrected];
                self.note(taken.iter().sum(), &reply.refused);
            }
        }
        Ok(())
    }

    pub(super) fn events(&mut self, events: &[EventLine]) -> anyhow::Result<()> {
        for lines in events.chunks(LINES_AT_ONCE) {
            if let Some(answer) = self.post("/v1/events", lines)? {
                let reply: EventsReply = answer.json("/v1/events")?;
                self.note(reply.accepted, &reply.refused);
            }
        }
        Ok(())
    }

    /// Sends lines until they are taken; none where they were only printed.
    fn post(&self, path: &str, lines: &[impl Serialize]) -> anyhow::Result<Option<ApiAnswer>> {
        let mut body = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut body, line)?;
            body.push(b'\n');
        }
        let Some((runtime, client)) = &self.way else {
            console::print(&String::from_utf8_lossy(&body))?;
            return Ok(None);
        };
        let body = Bytes::from(body);
        runtime.block_on(async {
            let mut again = 0;
            loop {
                let answer = client.send(Method::POST, path, body.clone()).await;
                let told = answer.as_ref().ok().and_then(|answer| answer.retry_after);
                let pause = told.unwrap_or(PAUSE);
                let is_final = answer
                    .as_ref()
                    .is_ok_and(|answer| !is_passing(answer.status));
                if is_final || again == AGAIN_MAX {
                    return answer.map(Some).map_err(anyhow::Error::from);
                }
                again += 1;
                tokio::time::sleep(pause).await;
            }
        })
    }

    fn note(&mut self, taken: u64, refusals: &Refusals) {
        self.sent.taken = self.sent.taken.saturating_add(taken);
        self.sent.refused = self.sent.refused.saturating_add(refusals.count);
        let lines = refusals.lines.iter().map(|line| line.message.clone());
        for reason in lines {
            if self.sent.reasons.len() < 3 && !self.sent.reasons.contains(&reason) {
                self.sent.reasons.push(reason);
            }
        }
    }

    /// Says what became of it; refusals are an error, since what was refused is not stored.
    pub(super) fn finish(self, what: &str, quiet: bool) -> anyhow::Result<()> {
        let Sent {
            taken,
            refused,
            reasons,
        } = self.sent;
        if self.way.is_some() && !quiet {
            console::say(&format!("{taken} {what} of `{}` stored", self.customer));
        }
        if refused == 0 {
            return Ok(());
        }
        Err(ExpectedError::input_hint(
            format!("{refused} {what} were refused: {}", reasons.join("; ")),
            "correct them and send again: what is stored already is not stored twice",
        )
        .into())
    }
}

/// Whether the same may be taken a while later.
fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE
}
