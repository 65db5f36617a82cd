//! A client of the API: keeps connections, finds the node again after a restart.

use crate::error::ExpectedError;
use crate::service::api::ErrorReply;
use crate::service::daemon::ADDRESS_FILE;
use crate::service::limits::HEAD_LIMIT;
use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Longest answer that is read, in bytes: a page of 50,000 samples has about 2 MB.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Time for one request and its answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(90);

/// Time after which an idle connection is not used again: a node closes it at [`HEAD_LIMIT`], and a request that
/// crosses that on its way has an outcome that nobody knows.
const IDLE_LIMIT: Duration = Duration::from_secs(HEAD_LIMIT.as_secs() / 2);

/// Where the node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// At an address, such as `http://127.0.0.1:7878`.
    Url(String),
    /// At any of several addresses, those of the nodes of one cluster: one is asked for as long as it answers,
    /// then the next.
    AnyOf(Vec<String>),
    /// Where the file in its data directory says; read for every request, so that it is found after a
    /// restart on another port.
    DataDir(PathBuf),
}

/// A client of the API.
#[derive(Clone, Debug)]
pub struct ApiClient {
    target: Target,
    /// Which of several addresses is asked; it grows when one does not answer. Copies of a client share it.
    asked: Arc<AtomicUsize>,
    request_limit: Duration,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct ApiAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Seconds after which to come back, where it says so.
    pub retry_after: Option<Duration>,
    /// The version of the configuration, where it says so.
    pub version: Option<u64>,
    /// Its body.
    pub body: Vec<u8>,
}

impl ApiClient {
    /// Makes a client; it connects when it is first used.
    #[must_use]
    pub fn new(target: Target) -> Self {
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .build_http();
        Self {
            target,
            asked: Arc::default(),
            request_limit: REQUEST_LIMIT,
            http,
        }
    }

    /// Waits no longer than this for an answer.
    #[must_use]
    pub fn with_request_limit(self, request_limit: Duration) -> Self {
        Self {
            request_limit,
            ..self
        }
    }

    /// Where it looks for the node.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Sends a request and waits for the answer; an answer that is no success is no error here. Of several
    /// addresses each is tried once until one answers: what the API takes does no harm when it comes twice.
    ///
    /// # Errors
    /// When there is no answer, with the reason.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<ApiAnswer, ExpectedError> {
        let mut sent = self.send_if(method.clone(), path, body.clone(), None).await;
        for _ in 1..self.address_count() {
            if sent.is_ok() {
                break;
            }
            sent = self.send_if(method.clone(), path, body.clone(), None).await;
        }
        sent
    }

    /// As [`Self::send`], to be done only while a configuration is of a version; 0 = there is none yet. Sent
    /// once: after a change whose outcome is unknown the version may be another one.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_if(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        version: Option<u64>,
    ) -> Result<ApiAnswer, ExpectedError> {
        let asked = self.asked.load(Ordering::Relaxed);
        let url = format!("{}{path}", self.base(asked)?);
        let mut request = Request::builder()
            .method(method)
            .uri(&url)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(version) = version {
            request = request.header(header::IF_MATCH, format!("\"{version}\""));
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| ExpectedError::input(format!("`{url}` is no URL"), error))?;
        let answered = tokio::time::timeout(self.request_limit, self.answer(request)).await;
        let serves =
            matches!(&answered, Ok(Ok(answer)) if answer.status != StatusCode::SERVICE_UNAVAILABLE);
        if !serves {
            self.turn_from(asked);
        }
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(no_answer(&url, Some(source))),
            Err(_late) => Err(no_answer(&url, None)),
        }
    }

    /// Reads a JSON answer.
    ///
    /// # Errors
    /// When there is no answer, or it is no success.
    pub async fn get<R: serde::de::DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<R, ExpectedError> {
        let answer = self.send(Method::GET, path, Bytes::new()).await?;
        answer.json(path)
    }

    fn address_count(&self) -> usize {
        match &self.target {
            Target::Url(_) | Target::DataDir(_) => 1,
            Target::AnyOf(urls) => urls.len(),
        }
    }

    /// The next request goes to the next address; requests that failed together turn once.
    fn turn_from(&self, asked: usize) {
        let next = asked.wrapping_add(1);
        let (order, same) = (Ordering::Relaxed, Ordering::Relaxed);
        // Another request has turned already where it is no longer the same.
        let _turned = self.asked.compare_exchange(asked, next, order, same);
    }

    fn base(&self, asked: usize) -> Result<String, ExpectedError> {
        let bare = |url: &str| url.trim_end_matches('/').to_owned();
        match &self.target {
            Target::Url(url) => Ok(bare(url)),
            Target::AnyOf(urls) => {
                let place = asked.checked_rem(urls.len()).unwrap_or_default();
                urls.get(place).map(|url| bare(url)).ok_or_else(|| {
                    ExpectedError::input_hint(
                        "no address of a node is given",
                        "give at least one, such as http://127.0.0.1:7878",
                    )
                })
            }
            Target::DataDir(directory) => {
                let path = directory.join(ADDRESS_FILE);
                let address = std::fs::read_to_string(&path)
                    .map_err(|source| ExpectedError::file("read", &path, source))?;
                Ok(format!("http://{}", address.trim()))
            }
        }
    }

    async fn answer(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<ApiAnswer, Box<dyn std::error::Error + Send + Sync>> {
        let (head, body) = self.http.request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await?
            .to_bytes();
        let told = |name| head.headers.get(name)?.to_str().ok();
        let retry_after = told(header::RETRY_AFTER).and_then(|value: &str| value.parse().ok());
        let version =
            told(header::ETAG).and_then(|tag: &str| tag.trim_matches('"').parse::<u64>().ok());
        Ok(ApiAnswer {
            status: head.status,
            retry_after: retry_after.map(Duration::from_secs),
            version,
            body: body.to_vec(),
        })
    }
}

impl ApiAnswer {
    /// Reads the body of a success.
    ///
    /// # Errors
    /// When it is none, with the answer's words, or does not fit.
    pub fn json<R: serde::de::DeserializeOwned>(&self, path: &str) -> Result<R, ExpectedError> {
        serde_json::from_slice(self.success(path)?)
            .map_err(|error| ExpectedError::input(format!("{path}: unexpected answer"), error))
    }

    /// The body of a success.
    ///
    /// # Errors
    /// When it is none, with the answer's words.
    pub fn success(&self, path: &str) -> Result<&[u8], ExpectedError> {
        if let (false, Ok(ErrorReply { error })) = (
            self.status.is_success(),
            serde_json::from_slice::<ErrorReply>(&self.body),
        ) {
            let context = format!("{path}: {}", error.message);
            return Err(if self.status.is_server_error() {
                ExpectedError::Environment {
                    context,
                    hint: error.hint,
                    source: None,
                }
            } else {
                ExpectedError::input_hint(context, error.hint)
            });
        }
        if !self.status.is_success() {
            let words: String = String::from_utf8_lossy(&self.body)
                .chars()
                .take(2_000)
                .collect();
            return Err(ExpectedError::input_hint(
                format!("{path}: the node answered {}: {words}", self.status),
                "look at GET /v1/ready and the node's log",
            ));
        }
        Ok(&self.body)
    }
}

fn no_answer(url: &str, source: Option<Box<dyn std::error::Error + Send + Sync>>) -> ExpectedError {
    ExpectedError::Environment {
        context: format!("no answer from {url}"),
        hint: "is the node running? start it with: twinscale run".to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::server;
    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    /// A server that counts what it is asked and answers with a status; it ends with the tasks.
    async fn serve(tasks: &mut JoinSet<usize>, status: StatusCode) -> (String, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let answer = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async move { status }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let router = Router::new().route("/", get(answer));
        let never = std::future::pending();
        tasks.spawn(server::serve(listener, router, 8, Duration::ZERO, never));
        (format!("http://{address}"), asked)
    }

    async fn nobody() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        format!("http://{}", listener.local_addr().expect("it listens"))
    }

    async fn ask(client: &ApiClient) -> Result<StatusCode, ExpectedError> {
        let sent = client.send(Method::GET, "/", Bytes::new()).await;
        sent.map(|answer| answer.status)
    }

    #[tokio::test]
    async fn the_next_of_several_addresses_is_asked_when_one_does_not_answer() {
        let mut tasks = JoinSet::new();
        let (serving, asked) = serve(&mut tasks, StatusCode::OK).await;
        let (stopping, refused) = serve(&mut tasks, StatusCode::SERVICE_UNAVAILABLE).await;
        let client = ApiClient::new(Target::AnyOf(vec![nobody().await, stopping, serving]));
        // The first is passed over at once; what the second says is told, and not asked for again.
        let first = ask(&client).await.expect("it answers");
        assert_eq!(first, StatusCode::SERVICE_UNAVAILABLE);
        for _ in 0..3 {
            let later = ask(&client.clone()).await.expect("it answers");
            assert_eq!(later, StatusCode::OK);
        }
        assert_eq!(refused.load(Ordering::Relaxed), 1);
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn a_change_of_one_version_is_sent_once() {
        let mut tasks = JoinSet::new();
        let (serving, asked) = serve(&mut tasks, StatusCode::OK).await;
        let client = ApiClient::new(Target::AnyOf(vec![nobody().await, serving]));
        let sent = client
            .send_if(Method::GET, "/", Bytes::new(), Some(1))
            .await;
        sent.expect_err("its outcome is unknown");
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn nobody_at_any_address_is_an_error() {
        let client = ApiClient::new(Target::AnyOf(vec![nobody().await, nobody().await]));
        ask(&client).await.expect_err("nobody answers");
        let client = ApiClient::new(Target::AnyOf(Vec::new()));
        let error = ask(&client).await.expect_err("there is no address");
        assert_eq!(error.exit_code(), 3);
    }
}
