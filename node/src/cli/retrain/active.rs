//! The weights that a cluster forecasts with, over its API.

use crate::error::ExpectedError;
use crate::progress::Progress;
use crate::service::api::WeightsInService;
use crate::service::client::ApiClient;
use axum::body::Bytes;
use axum::http::Method;
use twinscale_forecast_model::shipped::SHIPPED_WEIGHTS;
use twinscale_forecast_model::weights_id;
use twinscale_weights::{Assembly, AssemblyError, Part};

/// What helps where a node does not give what it tells of.
const HINT: &str = "give the command again, or name the file to go on from with --from";

/// Fetches the weights that are active now, unless they are those of this program.
///
/// # Errors
/// When the node does not tell of them or does not give them, or when what came is not what it told.
pub(super) async fn fetch_active(
    client: &ApiClient,
    quiet: bool,
) -> Result<Vec<u8>, ExpectedError> {
    let told: WeightsInService = client.get("/v1/weights").await?;
    let shipped = weights_id(SHIPPED_WEIGHTS)
        .map_err(|error| ExpectedError::input("the shipped weights have no id", error))?;
    if told.active == shipped.to_string() {
        return Ok(SHIPPED_WEIGHTS.to_vec());
    }
    let digest = digest_of(&told.sha256).ok_or_else(|| {
        odd(format!(
            "weights {}: sha256 `{}` is no hash of 64 hex digits",
            told.active, told.sha256
        ))
    })?;
    let broken = |error: AssemblyError| odd(format!("weights {}: {error}", told.active));
    let mut assembly = Assembly::new(Part::Weights, digest, told.bytes).map_err(broken)?;
    let progress = Progress::start("fetching", told.bytes, quiet);
    progress.note(format!("weights {}", told.active));
    while let Some(offset) = assembly.next() {
        progress.at(offset);
        let path = format!("/v1/weights/{}/file?offset={offset}", told.active);
        let answer = client.send(Method::GET, &path, Bytes::new()).await?;
        let piece = answer.success(&path)?;
        assembly.take(offset, piece).map_err(broken)?;
    }
    let weights = assembly.finish().map_err(broken)?;
    let found = weights_id(&weights)
        .map_err(|error| ExpectedError::input("what was fetched has no id", error))?;
    if found.to_string() != told.active {
        return Err(odd(format!(
            "weights {found} came where {} were asked for",
            told.active
        )));
    }
    Ok(weights)
}

fn odd(context: String) -> ExpectedError {
    ExpectedError::Environment {
        context,
        hint: HINT.to_owned(),
        source: None,
    }
}

/// Reads a SHA-256 of 64 hex digits.
fn digest_of(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(digits.chunks(2)) {
        let digit = |place: usize| char::from(*pair.get(place)?).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::client::Target;
    use crate::service::server;
    use axum::extract::Query;
    use axum::routing::get;
    use axum::{Json, Router};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use twinscale_weights::sha256;

    /// Two pieces and a bit.
    fn file() -> Vec<u8> {
        (0..(2_u32 << 20) + 77)
            .map(|at| u8::try_from(at % 251).expect("small"))
            .collect()
    }

    fn told(weights: &[u8]) -> WeightsInService {
        let digest = sha256(weights);
        let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        WeightsInService {
            active: weights_id(weights).expect("an id").to_string(),
            is_shipped: false,
            active_since: Some(1),
            bytes: weights.len() as u64,
            sha256: digits.concat(),
            trial: None,
            nodes: Vec::new(),
            silent: Vec::new(),
        }
    }

    /// A node that tells of weights and gives pieces of a file; counts the pieces.
    async fn serve(
        tasks: &mut JoinSet<usize>,
        told: WeightsInService,
        file: Vec<u8>,
    ) -> (ApiClient, Arc<AtomicUsize>) {
        let pieces = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&pieces);
        let piece = move |Query(query): Query<BTreeMap<String, usize>>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let from = query["offset"].min(file.len());
            let to = (from + (1 << 20)).min(file.len());
            let piece = file[from..to].to_vec();
            async move { piece }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let router = Router::new()
            .route("/v1/weights", get(move || async move { Json(told) }))
            .route("/v1/weights/{weights}/file", get(piece));
        let never = std::future::pending();
        tasks.spawn(server::serve(listener, router, 8, Duration::ZERO, never));
        let client = ApiClient::new(Target::Url(format!("http://{address}")));
        (client, pieces)
    }

    #[tokio::test]
    async fn the_active_weights_come_whole() {
        let mut tasks = JoinSet::new();
        let file = file();
        let (client, pieces) = serve(&mut tasks, told(&file), file.clone()).await;
        let fetched = fetch_active(&client, true).await.expect("fetched");
        assert!(fetched == file, "{} bytes", fetched.len());
        assert_eq!(pieces.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn what_this_program_has_is_not_fetched() {
        let mut tasks = JoinSet::new();
        let (client, pieces) = serve(&mut tasks, told(SHIPPED_WEIGHTS), Vec::new()).await;
        let fetched = fetch_active(&client, true).await.expect("at hand");
        assert!(fetched == SHIPPED_WEIGHTS);
        assert_eq!(pieces.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn what_is_not_what_was_told_is_refused() {
        let file = file();
        let mut spoilt = file.clone();
        spoilt[1_500_000] ^= 1;
        let short = file[..file.len() - 1].to_vec();
        let sound = told(&file);
        let with = |change: fn(&mut WeightsInService)| {
            let mut told = told(&file);
            change(&mut told);
            told
        };
        for (told, file, word) in [
            (sound.clone(), spoilt, "another hash"),
            (sound, short, "does not go on"),
            (
                with(|told| told.sha256.truncate(63)),
                file.clone(),
                "64 hex digits",
            ),
            (
                with(|told| told.sha256 = "g".repeat(64)),
                file.clone(),
                "64 hex digits",
            ),
            (with(|told| told.bytes = 0), file.clone(), "0 bytes"),
            (with(|told| told.bytes = u64::MAX), file.clone(), "bytes"),
            (
                with(|told| told.active = "0123456789abcdef".to_owned()),
                file.clone(),
                "0123456789abcdef were asked for",
            ),
        ] {
            let mut tasks = JoinSet::new();
            let (client, _pieces) = serve(&mut tasks, told, file).await;
            let error = fetch_active(&client, true).await.expect_err(word);
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
    }

    #[tokio::test]
    async fn a_node_that_does_not_tell_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let mut tasks = JoinSet::new();
        let never = std::future::pending();
        let router = Router::new();
        tasks.spawn(server::serve(listener, router, 8, Duration::ZERO, never));
        let client = ApiClient::new(Target::Url(format!("http://{address}")));
        let error = fetch_active(&client, true)
            .await
            .expect_err("an older node");
        assert!(error.to_string().contains("/v1/weights"), "{error}");
    }
}
