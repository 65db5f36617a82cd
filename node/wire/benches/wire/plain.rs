//! tonic as it comes, over plain TCP, with the same bytes.

use super::{Failure, Transport, message};
use bytes::{Buf, BufMut, Bytes};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use http::uri::PathAndQuery;
use http::{Request, Response};
use std::convert::Infallible;
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{StreamingService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use tower_service::Service;
use twinscale_wire::Envelope;

const LIMIT: usize = 16 * 1024 * 1024 + 16;

#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

#[derive(Clone, Copy)]
struct Echo;

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = std::future::Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        std::future::ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

impl StreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = BoxFuture<'static, Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(async move {
            let mut parts = request.into_inner();
            let mut last = None;
            while let Some(part) = parts.message().await? {
                last = Some(part);
            }
            Ok(tonic::Response::new(stream::iter(last.map(Ok)).boxed()))
        })
    }
}

impl Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut grpc = tonic::server::Grpc::new(Raw)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(LIMIT);
        Box::pin(async move {
            Ok(if request.uri().path().ends_with("/Call") {
                grpc.unary(Self, request).await
            } else {
                grpc.streaming(Self, request).await
            })
        })
    }
}

#[derive(Clone, Debug)]
pub(super) struct Plain(Channel);

pub(super) async fn plain() -> Result<(Plain, JoinSet<()>), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = tonic::transport::Server::builder();
        drop(server.serve_with_incoming(Echo, incoming).await);
    });
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
    Ok((Plain(endpoint.connect().await?), serving))
}

impl Transport for Plain {
    async fn call(&self, body: Envelope) -> Result<(), Failure> {
        let mut grpc = tonic::client::Grpc::new(self.0.clone()).max_decoding_message_size(LIMIT);
        grpc.ready().await?;
        let request = tonic::Request::new(message(&body));
        grpc.unary(request, PathAndQuery::from_static("/bench/Call"), Raw)
            .await?;
        Ok(())
    }

    async fn stream(
        &self,
        parts: impl Stream<Item = Envelope> + Send + 'static,
        compress: bool,
    ) -> Result<(), Failure> {
        let mut grpc = tonic::client::Grpc::new(self.0.clone()).max_decoding_message_size(LIMIT);
        if compress {
            grpc = grpc.send_compressed(CompressionEncoding::Zstd);
        }
        grpc.ready().await?;
        let request = tonic::Request::new(parts.map(|part| message(&part)));
        let path = PathAndQuery::from_static("/bench/Stream");
        let mut replies = grpc.streaming(request, path, Raw).await?.into_inner();
        while let Some(reply) = replies.message().await? {
            assert!(!reply.is_empty());
        }
        Ok(())
    }
}
