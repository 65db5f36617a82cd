//! HTTP between tiers: one visit is one request.

use super::tier::{TierServer, Visited};
use crate::config::{ServeConfig, ServeStatus};
use crate::task;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

/// Header that names the class.
const CLASS: &str = "x-class";
/// Header with the seed of the visit.
const SEED: &str = "x-seed";
/// Header with the bytes that the caller wants back.
const ANSWER: &str = "x-answer";
/// Header of an answer with the CPU seconds burnt for it.
const BURNT: &str = "x-burnt";
/// Largest body, either way: the planner refuses models beyond it.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// What bodies are made of.
static FILL: [u8; BODY_BYTES_MAX] = [b'.'; BODY_BYTES_MAX];

/// A server that runs.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    tier: Arc<TierServer>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Serving {
    /// What it has done so far.
    pub fn status(&self) -> ServeStatus {
        self.tier.status()
    }

    /// Waits until it ends, which it does only when its task is ended.
    pub async fn ended(self) {
        drop(self.accepting.await);
    }
}

/// Starts the server of one VM.
///
/// # Errors
/// When the address is taken or threads cannot be started.
pub async fn serve(config: ServeConfig, listen: SocketAddr) -> io::Result<Serving> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let tier = TierServer::new(config)?;
    let accepting = task::start(accept(listener, Arc::clone(&tier)));
    Ok(Serving {
        address,
        tier,
        accepting,
    })
}

#[expect(clippy::infinite_loop, reason = "it ends with its task")]
async fn accept(listener: TcpListener, tier: Arc<TierServer>) {
    loop {
        // A connection that fails before it is accepted is its client's loss alone.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        drop(stream.set_nodelay(true));
        let tier = Arc::clone(&tier);
        let service = service_fn(move |request| answer(Arc::clone(&tier), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        drop(task::start(connection));
    }
}

async fn answer(
    tier: Arc<TierServer>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == Method::GET {
        return Ok(match request.uri().path() {
            "/status" => {
                let text = serde_json::to_vec(&tier.status()).unwrap_or_default();
                Response::new(Full::from(text))
            }
            "/ready" => ready(&tier).await,
            _ => reply(StatusCode::NOT_FOUND, 0),
        });
    }
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let number = |name| header(name).and_then(|text| text.parse::<u64>().ok());
    let (class, seed) = (header(CLASS).map(str::to_owned), number(SEED));
    let answer_bytes = number(ANSWER).and_then(|bytes| usize::try_from(bytes).ok());
    let answer_bytes = answer_bytes.unwrap_or(0).min(BODY_BYTES_MAX);
    let (Some(class), Some(seed)) = (class, seed) else {
        return Ok(reply(StatusCode::BAD_REQUEST, 0));
    };
    if Limited::new(request.into_body(), BODY_BYTES_MAX)
        .collect()
        .await
        .is_err()
    {
        return Ok(reply(StatusCode::BAD_REQUEST, 0));
    }
    // In a task of its own, so that it goes on when the caller gives up.
    let visited = task::start(async move { tier.visit(&class, seed).await }).await;
    Ok(match visited {
        Ok(Visited::Served { burnt_s }) => {
            let mut served = reply(StatusCode::OK, answer_bytes);
            if let Ok(text) = HeaderValue::from_str(&format!("{burnt_s:.9}")) {
                served.headers_mut().insert(BURNT, text);
            }
            served
        }
        Ok(Visited::Refused) => reply(StatusCode::SERVICE_UNAVAILABLE, 0),
        Ok(Visited::Failed) => reply(StatusCode::BAD_GATEWAY, 0),
        Ok(Visited::Unknown) => reply(StatusCode::NOT_FOUND, 0),
        Err(_) => reply(StatusCode::INTERNAL_SERVER_ERROR, 0),
    })
}

/// Whether all that it calls takes connections.
async fn ready(tier: &TierServer) -> Response<Full<Bytes>> {
    for peer in tier.calls().flat_map(|call| &call.peers) {
        if TcpStream::connect(&peer.address).await.is_err() {
            return reply(StatusCode::SERVICE_UNAVAILABLE, 0);
        }
    }
    reply(StatusCode::OK, 0)
}

fn fill(bytes: usize) -> Full<Bytes> {
    Full::new(Bytes::from_static(&FILL[..bytes.min(BODY_BYTES_MAX)]))
}

fn reply(status: StatusCode, bytes: usize) -> Response<Full<Bytes>> {
    let mut response = Response::new(fill(bytes));
    *response.status_mut() = status;
    response
}

/// A connection to a tier's server.
#[derive(Debug)]
pub struct HttpConnection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl HttpConnection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        drop(task::start(connection));
        Ok(Self {
            sender,
            host: address.to_owned(),
        })
    }

    /// Makes a visit; tells the CPU seconds that were burnt for it, one after the other, where it was served.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn visit(
        &mut self,
        class: &str,
        seed: u64,
        request_bytes: usize,
        response_bytes: usize,
    ) -> io::Result<Option<f64>> {
        let request = Request::post("/visit")
            .header("host", &self.host)
            .header(CLASS, class)
            .header(SEED, seed)
            .header(ANSWER, response_bytes)
            .body(fill(request_bytes))
            .map_err(io::Error::other)?;
        let (status, headers, _) = self.send(request).await?;
        let text = headers.get(BURNT).and_then(|value| value.to_str().ok());
        let burnt_s = text.and_then(|text| text.parse().ok()).unwrap_or(0.0);
        Ok((status == StatusCode::OK).then_some(burnt_s))
    }

    /// Asks for a document.
    ///
    /// # Errors
    /// When the connection fails, or the answer is no success.
    pub async fn get(&mut self, path: &str) -> io::Result<Bytes> {
        let request = Request::get(path)
            .header("host", &self.host)
            .body(fill(0))
            .map_err(io::Error::other)?;
        let (status, _, bytes) = self.send(request).await?;
        if status.is_success() {
            Ok(bytes)
        } else {
            Err(io::Error::other(format!("{path} answers with {status}")))
        }
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> io::Result<(StatusCode, HeaderMap, Bytes)> {
        self.sender.ready().await.map_err(io::Error::other)?;
        let response = self
            .sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let bytes = body.map_err(io::Error::other)?.to_bytes();
        Ok((head.status, head.headers, bytes))
    }
}
