//! What answers the calls of a server.

use crate::envelope::Envelope;
use crate::identity::Identity;
use crate::refusal::{Refusal, RefusalReason};
use crate::trace::TraceContext;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, Stream};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Instant;
use tonic::Status;
use twinscale_protocol::envelope::{EnvelopeError, EnvelopeKind};
use twinscale_protocol::{WireError, WireErrorCode};

/// Answers the calls of a server.
///
/// A future of it is dropped at any await when its deadline passes or its caller goes: what must be
/// carried through belongs into a task of its own. A panic is answered as an internal error.
pub trait Handler: Send + Sync + 'static {
    /// Whether a kind is known here; a call of another kind is refused before it gets here.
    fn knows(&self, kind: EnvelopeKind) -> bool;

    /// Answers a call.
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Envelope, WireError>>;

    /// Answers a stream with a stream; what is not read holds the caller back.
    fn stream(&self, call: StreamCall) -> BoxFuture<'_, Result<Replies, WireError>>;
}

/// The answers to a stream; an error ends it.
pub type Replies = BoxStream<'static, Result<Envelope, WireError>>;

/// A call that came in.
#[derive(Debug)]
pub struct Call {
    /// Who calls, by certificate.
    pub caller: Identity,
    /// When the caller gives up.
    pub deadline: Instant,
    /// The trace that the call belongs to.
    pub trace: Option<TraceContext>,
    /// What is asked.
    pub envelope: Envelope,
}

/// A stream that came in.
#[derive(Debug)]
pub struct StreamCall {
    /// Who calls, by certificate.
    pub caller: Identity,
    /// When the caller gives up.
    pub deadline: Instant,
    /// The trace that the call belongs to.
    pub trace: Option<TraceContext>,
    /// What the caller sends.
    pub items: Inbound,
}

/// What a caller streams; it ends with an error when the caller goes or sends what is no envelope.
pub struct Inbound {
    messages: tonic::Streaming<bytes::Bytes>,
    knows: Box<dyn Fn(EnvelopeKind) -> bool + Send + Sync>,
    count: Box<dyn Fn(RefusalReason) + Send + Sync>,
    has_failed: bool,
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").finish_non_exhaustive()
    }
}

impl Inbound {
    pub(crate) fn new(
        messages: tonic::Streaming<bytes::Bytes>,
        knows: impl Fn(EnvelopeKind) -> bool + Send + Sync + 'static,
        count: impl Fn(RefusalReason) + Send + Sync + 'static,
    ) -> Self {
        Self {
            messages,
            knows: Box::new(knows),
            count: Box::new(count),
            has_failed: false,
        }
    }

    fn refused(&mut self, refusal: Refusal) -> WireError {
        self.has_failed = true;
        (self.count)(refusal.reason);
        WireError::new(WireErrorCode::Invalid, refusal.text)
    }

    fn cut(&mut self, status: &Status) -> WireError {
        self.has_failed = true;
        let text = format!("the caller's stream ended early: {}", status.message());
        WireError::new(WireErrorCode::Unavailable, text)
    }

    fn read(&mut self, message: Result<bytes::Bytes, Status>) -> Result<Envelope, WireError> {
        match message {
            Ok(bytes) => match checked_request(bytes, &self.knows) {
                Ok(envelope) => Ok(envelope),
                Err(refusal) => Err(self.refused(refusal)),
            },
            Err(status) => Err(match oversize(&status) {
                Some(refusal) => self.refused(refusal),
                None => self.cut(&status),
            }),
        }
    }
}

impl Stream for Inbound {
    type Item = Result<Envelope, WireError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_failed {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.messages).poll_next(cx) {
            Poll::Ready(Some(message)) => Poll::Ready(Some(self.read(message))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Checks what a caller sent before a handler sees it.
pub(crate) fn checked_request(
    bytes: bytes::Bytes,
    knows: &dyn Fn(EnvelopeKind) -> bool,
) -> Result<Envelope, Refusal> {
    let envelope = Envelope::checked(bytes).map_err(|error| {
        let reason = match error {
            EnvelopeError::TooLarge { .. } => RefusalReason::Oversize,
            EnvelopeError::Newer { .. } => RefusalReason::UnknownKind,
            _ => RefusalReason::Malformed,
        };
        Refusal::new(reason, format!("request is not readable: {error}"))
    })?;
    if knows(envelope.kind()) {
        return Ok(envelope);
    }
    let kind = envelope.kind().0;
    let version = env!("CARGO_PKG_VERSION");
    Err(Refusal::new(
        RefusalReason::UnknownKind,
        format!(
            "envelope kind {kind:#06x} is not known to version {version}: upgrade this node, or send an older kind"
        ),
    ))
}

/// Tells a message above the limit from other failures to read one.
pub(crate) fn oversize(status: &Status) -> Option<Refusal> {
    let is_over = match status.code() {
        tonic::Code::OutOfRange => true,
        tonic::Code::ResourceExhausted => status.message().contains("size limit"),
        _ => false,
    };
    is_over.then(|| {
        let limit = crate::envelope::ENVELOPE_BYTES_MAX;
        Refusal::new(
            RefusalReason::Oversize,
            format!(
                "message is above the limit of {limit} bytes: send it as a stream of parts ({})",
                status.message()
            ),
        )
    })
}
