//! What a peer streams back.

use super::call::error_of_status;
use crate::admission::Admitted;
use crate::envelope::Envelope;
use crate::error::CallError;
use crate::metrics::{InFlightMark, WireMetrics};
use bytes::Bytes;
use futures::stream::Stream;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use tonic::{Status, Streaming};
use twinscale_protocol::NodeId;

/// What a peer streams back; an error is the last item. Dropping it ends the stream in both directions.
pub struct ReplyStream {
    peer: NodeId,
    messages: Option<Streaming<Bytes>>,
    late: Pin<Box<Sleep>>,
    deadline: Duration,
    metrics: Option<WireMetrics>,
    _admitted: Admitted,
    mark: Option<InFlightMark>,
}

impl ReplyStream {
    pub(super) fn new(
        peer: &NodeId,
        messages: Streaming<Bytes>,
        (at, deadline): (Instant, Duration),
        admitted: Admitted,
    ) -> Self {
        Self {
            peer: peer.clone(),
            messages: Some(messages),
            late: Box::pin(tokio::time::sleep_until(at)),
            deadline,
            metrics: None,
            _admitted: admitted,
            mark: None,
        }
    }

    pub(super) fn counted(mut self, mark: InFlightMark, metrics: WireMetrics) -> Self {
        self.mark = Some(mark);
        self.metrics = Some(metrics);
        self
    }

    fn read(&self, message: Result<Bytes, Status>) -> Result<Envelope, CallError> {
        let bytes = message.map_err(|status| error_of_status(&self.peer, &status))?;
        Envelope::checked(bytes).map_err(|error| CallError::malformed(&self.peer, &error))
    }

    fn end(&mut self, error: Option<&CallError>) {
        self.messages = None;
        self.mark = None;
        if let (Some(error), Some(metrics)) = (error, &self.metrics) {
            metrics.failed(error.reason());
        }
    }
}

impl Stream for ReplyStream {
    type Item = Result<Envelope, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(messages) = self.messages.as_mut() else {
            return Poll::Ready(None);
        };
        let read = match Pin::new(messages).poll_next(cx) {
            Poll::Ready(Some(message)) => self.read(message),
            Poll::Ready(None) => {
                self.end(None);
                return Poll::Ready(None);
            }
            Poll::Pending if self.late.as_mut().poll(cx).is_pending() => return Poll::Pending,
            Poll::Pending => Err(CallError::Deadline {
                peer: self.peer.clone(),
                deadline: self.deadline,
                was_sent: true,
            }),
        };
        if let Err(error) = &read {
            self.end(Some(error));
        }
        Poll::Ready(Some(read))
    }
}

impl fmt::Debug for ReplyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyStream")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
