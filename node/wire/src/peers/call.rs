//! One call or stream on one connection.

use super::connect::Connection;
use crate::codec::RawCodec;
use crate::credentials::Credentials;
use crate::envelope::{ENVELOPE_BYTES_MAX, Envelope};
use crate::error::CallError;
use crate::headers::{CALL_PATH, HELLO_PATH, Parties, RequestHeaders, STREAM_PATH};
use crate::hello::{HELLO, HelloV1};
use crate::status::{Answer, answer_of_status};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{Stream, StreamExt};
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use std::fmt;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::codec::CompressionEncoding;
use tonic::{Request, Status, Streaming};
use twinscale_protocol::NodeId;

/// What became of a request.
pub(super) enum Outcome<T> {
    Done(Result<T, CallError>),
    /// The transport knows that the peer did not take it up, as when the connection was closing: it may
    /// be sent again.
    NeverTaken,
}

/// A request about to be sent.
pub(super) struct Sending<'a> {
    credentials: &'a Credentials,
    peer: &'a NodeId,
    connection: &'a Connection,
    headers: &'a RequestHeaders,
}

impl<'a> Sending<'a> {
    pub(super) fn new(
        credentials: &'a Credentials,
        peer: &'a NodeId,
        connection: &'a Connection,
        headers: &'a RequestHeaders,
    ) -> Self {
        Self {
            credentials,
            peer,
            connection,
            headers,
        }
    }

    pub(super) async fn call(self, envelope: Bytes) -> Outcome<Envelope> {
        let peer = self.peer;
        match self.unary(CALL_PATH, envelope).await {
            Outcome::Done(Ok(bytes)) => Outcome::Done(
                Envelope::checked(bytes).map_err(|error| CallError::malformed(peer, &error)),
            ),
            Outcome::Done(Err(error)) => Outcome::Done(Err(error)),
            Outcome::NeverTaken => Outcome::NeverTaken,
        }
    }

    pub(super) async fn hello(self) -> Outcome<String> {
        let own = match Envelope::seal(HELLO, &HelloV1::own()) {
            Ok(envelope) => envelope.bytes().clone(),
            Err(error) => return Outcome::Done(Err(CallError::malformed(self.peer, &error))),
        };
        let peer = self.peer;
        match self.unary(HELLO_PATH, own).await {
            Outcome::Done(Ok(bytes)) => {
                let opened =
                    Envelope::checked(bytes).and_then(|hello| hello.open::<HelloV1>(HELLO));
                Outcome::Done(match opened {
                    Ok(hello) => Ok(hello.version),
                    Err(error) => Err(CallError::malformed(peer, &error)),
                })
            }
            Outcome::Done(Err(error)) => Outcome::Done(Err(error)),
            Outcome::NeverTaken => Outcome::NeverTaken,
        }
    }

    async fn unary(self, path: &'static str, body: Bytes) -> Outcome<Bytes> {
        let mut grpc = self.grpc();
        let request = self.request(body);
        let answered = grpc
            .unary(request, PathAndQuery::from_static(path), RawCodec)
            .await;
        match answered {
            Ok(response) => Outcome::Done(Ok(response.into_inner())),
            Err(status) if was_never_taken(&status) => Outcome::NeverTaken,
            Err(status) => Outcome::Done(Err(error_of_status(self.peer, &status))),
        }
    }

    pub(super) async fn stream(
        self,
        items: impl Stream<Item = Envelope> + Send + 'static,
        compress: bool,
    ) -> Result<Streaming<Bytes>, CallError> {
        let mut grpc = self.grpc();
        if compress {
            grpc = grpc
                .send_compressed(CompressionEncoding::Zstd)
                .accept_compressed(CompressionEncoding::Zstd);
        }
        let request = self.request(items.map(|item| item.bytes().clone()));
        let path = PathAndQuery::from_static(STREAM_PATH);
        match grpc.streaming(request, path, RawCodec).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(error_of_status(self.peer, &status)),
        }
    }

    fn grpc(&self) -> Grpc<Sender> {
        let sender = Sender(self.connection.sender.clone());
        let origin = http::Uri::from_static("https://twinscale");
        Grpc::with_origin(sender, origin).max_decoding_message_size(ENVELOPE_BYTES_MAX)
    }

    fn request<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        let parties = Parties {
            cluster: self.credentials.cluster(),
            from: self.credentials.identity(),
            to: self.peer,
        };
        self.headers.write(&parties, request.metadata_mut());
        request
    }
}

/// Reads what a failed request means.
pub(super) fn error_of_status(peer: &NodeId, status: &Status) -> CallError {
    let peer = peer.clone();
    match answer_of_status(status) {
        Answer::Refusal(refusal) => CallError::Refused { peer, refusal },
        Answer::Error(error) => CallError::Answered { peer, error },
        Answer::None if was_never_taken(status) => CallError::Unreachable {
            peer,
            cause: status.message().to_owned(),
        },
        Answer::None => CallError::Interrupted {
            peer,
            cause: status.message().to_owned(),
        },
    }
}

fn was_never_taken(status: &Status) -> bool {
    let mut next = std::error::Error::source(status);
    while let Some(error) = next {
        if let Some(failed) = error.downcast_ref::<SendFailed>() {
            return failed.was_never_taken;
        }
        next = error.source();
    }
    false
}

/// A connection as tonic wants it.
#[derive(Clone, Debug)]
struct Sender(http2::SendRequest<Body>);

#[derive(Debug)]
struct SendFailed {
    was_never_taken: bool,
    cause: String,
}

impl std::error::Error for SendFailed {}

impl fmt::Display for SendFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl GrpcService<Body> for Sender {
    type ResponseBody = Incoming;
    type Error = SendFailed;
    type Future = BoxFuture<'static, Result<http::Response<Incoming>, SendFailed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendFailed>> {
        // A connection that has ended says so to the request itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let sent = self.0.try_send_request(request);
        Box::pin(async move {
            sent.await.map_err(|mut failed| SendFailed {
                was_never_taken: failed.take_message().is_some()
                    || is_left_by_closing(failed.error()),
                cause: whole_text(failed.error()),
            })
        })
    }
}

/// Whether a closing peer said that it took up neither this nor later requests.
///
/// Source: RFC 9113, sections 6.8 and 8.7 (GOAWAY and `REFUSED_STREAM`).
fn is_left_by_closing(error: &hyper::Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            let is_closing = error.is_go_away()
                && error.is_remote()
                && error.reason() == Some(h2::Reason::NO_ERROR);
            return is_refused || is_closing;
        }
        next = error.source();
    }
    false
}

fn whole_text(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
