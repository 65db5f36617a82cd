//! One request of an authenticated caller.

use super::Shared;
use crate::admission::{Admitted, Slots};
use crate::codec::RawCodec;
use crate::envelope::{ENVELOPE_BYTES_MAX, Envelope};
use crate::handler::{Call, Inbound, Replies, StreamCall, checked_request};
use crate::headers::{CALL_PATH, HELLO_PATH, Parties, RequestHeaders, STREAM_PATH, check_parties};
use crate::hello::{HELLO, HelloV1};
use crate::identity::Identity;
use crate::metrics::{ANSWERED, InFlightMark};
use crate::refusal::{Refusal, RefusalReason};
use crate::status::{status_of_error, status_of_refusal};
use crate::trace::TraceContext;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::Stream;
use http::{Request, Response};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep};
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::{Status, Streaming};
use twinscale_protocol::{WireError, WireErrorCode};

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) shared: Arc<Shared>,
    pub(super) identity: Identity,
    pub(super) slots: Arc<Slots>,
}

pub(super) async fn answer(
    caller: Arc<Caller>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let parties = Parties {
        cluster: &caller.shared.cluster,
        from: &caller.identity,
        to: &caller.shared.node,
    };
    let answered = match check_parties(request.headers(), &parties) {
        Ok(()) => match request.uri().path() {
            HELLO_PATH => hello(request).await,
            CALL_PATH => call(&caller, request).await,
            STREAM_PATH => stream(&caller, request).await,
            path => Err(Refusal::new(
                RefusalReason::UnknownKind,
                format!("no method {path} here: upgrade this node"),
            )),
        },
        Err(refusal) => Err(refusal),
    };
    Ok(answered.unwrap_or_else(|refusal| caller.refused(&refusal)))
}

impl Caller {
    fn refused(&self, refusal: &Refusal) -> Response<Body> {
        self.shared.refuse(&self.identity.to_string(), refusal);
        status_of_refusal(refusal).into_http()
    }
}

async fn hello(request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    struct Hello;
    impl UnaryService<Bytes> for Hello {
        type Response = Bytes;
        type Future = std::future::Ready<Result<tonic::Response<Bytes>, Status>>;

        fn call(&mut self, _: tonic::Request<Bytes>) -> Self::Future {
            let sealed = Envelope::seal(HELLO, &HelloV1::own());
            std::future::ready(match sealed {
                Ok(envelope) => Ok(tonic::Response::new(envelope.bytes().clone())),
                Err(error) => Err(Status::internal(error.to_string())),
            })
        }
    }
    Ok(Grpc::new(RawCodec)
        .unary(Hello, request.map(Body::new))
        .await)
}

async fn call(caller: &Arc<Caller>, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let said = RequestHeaders::read(request.headers());
    let bytes = said.bytes.unwrap_or(ENVELOPE_BYTES_MAX);
    if bytes > ENVELOPE_BYTES_MAX {
        return Err(oversize(bytes, ENVELOPE_BYTES_MAX));
    }
    let _admitted = caller.slots.admit_call(bytes).map_err(overloaded)?;
    let _mark = caller.shared.metrics.served();
    let deadline = Instant::now() + said.deadline;
    let service = CallService {
        caller: Arc::clone(caller),
        deadline,
        trace: said.trace,
    };
    let mut grpc = Grpc::new(RawCodec).max_decoding_message_size(bytes);
    let answered = grpc.unary(service, request.map(Body::new));
    let Ok(response) = tokio::time::timeout_at(deadline, answered).await else {
        return Ok(late().into_http());
    };
    // What tonic says of a message above its limit.
    let out_of_range = i32::from(tonic::Code::OutOfRange).to_string();
    let status = response.headers().get("grpc-status");
    if status.is_some_and(|status| status.as_bytes() == out_of_range.as_bytes()) {
        return Err(oversize(bytes.saturating_add(1), bytes));
    }
    Ok(response)
}

async fn stream(
    caller: &Arc<Caller>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let said = RequestHeaders::read(request.headers());
    let admitted = caller.slots.admit_stream().map_err(overloaded)?;
    let deadline = Instant::now() + said.deadline;
    let service = StreamService {
        mark: Some((admitted, caller.shared.metrics.served())),
        caller: Arc::clone(caller),
        deadline,
        trace: said.trace,
    };
    let mut grpc = Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(ENVELOPE_BYTES_MAX);
    let answered = grpc.streaming(service, request.map(Body::new));
    match tokio::time::timeout_at(deadline, answered).await {
        Ok(response) => Ok(response),
        Err(_) => Ok(late().into_http()),
    }
}

fn oversize(bytes: usize, limit: usize) -> Refusal {
    Refusal::new(
        RefusalReason::Oversize,
        format!(
            "request of {bytes} bytes or more is above the limit of {limit}: send it as a stream of \
             parts"
        ),
    )
}

fn overloaded(limit: String) -> Refusal {
    Refusal::new(
        RefusalReason::Overloaded,
        format!("this node has {limit} of this caller under way, as many as may be: try later"),
    )
}

fn late() -> Status {
    let text = "the deadline passed before the handler ended";
    status_of_error(&WireError::new(WireErrorCode::Timeout, text))
}

fn panicked() -> WireError {
    let text = "the handler failed: see the log of this node";
    WireError::new(WireErrorCode::Internal, text)
}

struct CallService {
    caller: Arc<Caller>,
    deadline: Instant,
    trace: Option<TraceContext>,
}

impl UnaryService<Bytes> for CallService {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let caller = Arc::clone(&self.caller);
        let (deadline, trace) = (self.deadline, self.trace);
        Box::pin(async move {
            let shared = &caller.shared;
            let envelope =
                checked_request(request.into_inner(), &|kind| shared.handler.knows(kind)).map_err(
                    |refusal| {
                        shared.refuse(&caller.identity.to_string(), &refusal);
                        status_of_refusal(&refusal)
                    },
                )?;
            let (kind, begun) = (envelope.kind(), Instant::now());
            let call = Call {
                caller: caller.identity.clone(),
                deadline,
                trace,
                envelope,
            };
            let answered = AssertUnwindSafe(shared.handler.call(call)).catch_unwind();
            let answered = answered.await.unwrap_or_else(|_| Err(panicked()));
            shared.metrics.call_served();
            let outcome = answered
                .as_ref()
                .map_or_else(|error| error.code.as_str(), |_| ANSWERED);
            shared.metrics.served_call(kind, outcome, begun.elapsed());
            match answered {
                Ok(envelope) => Ok(tonic::Response::new(envelope.bytes().clone())),
                Err(error) => Err(status_of_error(&error)),
            }
        })
    }
}

struct StreamService {
    caller: Arc<Caller>,
    deadline: Instant,
    trace: Option<TraceContext>,
    mark: Option<(Admitted, InFlightMark)>,
}

impl StreamingService<Bytes> for StreamService {
    type Response = Bytes;
    type ResponseStream = Outbound;
    type Future = BoxFuture<'static, Result<tonic::Response<Outbound>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let caller = Arc::clone(&self.caller);
        let (deadline, trace, mark) = (self.deadline, self.trace, self.mark.take());
        Box::pin(async move {
            let shared = &caller.shared;
            let (knowing, counting) = (Arc::clone(&shared.handler), shared.metrics.clone());
            let call = StreamCall {
                caller: caller.identity.clone(),
                deadline,
                trace,
                items: Inbound::new(
                    request.into_inner(),
                    move |kind| knowing.knows(kind),
                    move |reason| counting.refused(reason),
                ),
            };
            let answered = AssertUnwindSafe(shared.handler.stream(call)).catch_unwind();
            let answered = answered.await.unwrap_or_else(|_| Err(panicked()));
            shared.metrics.stream_served();
            match answered {
                Ok(replies) => Ok(tonic::Response::new(Outbound {
                    replies: Some(replies),
                    late: Box::pin(tokio::time::sleep_until(deadline)),
                    _mark: mark,
                })),
                Err(error) => Err(status_of_error(&error)),
            }
        })
    }
}

/// The answers of a stream, until its deadline.
struct Outbound {
    replies: Option<Replies>,
    late: Pin<Box<Sleep>>,
    _mark: Option<(Admitted, InFlightMark)>,
}

impl Stream for Outbound {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(replies) = self.replies.as_mut() else {
            return Poll::Ready(None);
        };
        match replies.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(envelope))) => Poll::Ready(Some(Ok(envelope.bytes().clone()))),
            Poll::Ready(Some(Err(error))) => {
                self.replies = None;
                Poll::Ready(Some(Err(status_of_error(&error))))
            }
            Poll::Ready(None) => {
                self.replies = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                if self.late.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.replies = None;
                Poll::Ready(Some(Err(late())))
            }
        }
    }
}
