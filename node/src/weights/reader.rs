//! What this node tells of weights over its API: the active ones, what is compared with them, who serves others,
//! and the file of each.
//!
//! Invariant: who asks often costs the other nodes no more than who asks seldom.

use super::answers::ChunkAnswers;
use super::gather::Gather;
use super::message::WeightsNodes;
use crate::assembly::ForecastWeights;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use twinscale_forecaster::shadow::Rule;
use twinscale_meta::stored::v2::WeightsRecord;
use twinscale_protocol::{WeightsId, WireError, WireErrorCode};
use twinscale_weights::{ChunkCall, Part, sha256};

/// Time for which what the nodes told is told again: many look every second, and weights change seldom.
const NODES_KEPT: Duration = Duration::from_secs(2);

/// Tells of weights; clones share what was told.
#[derive(Clone, Debug)]
pub struct WeightsReader {
    base: Base,
    cluster: Option<Gather>,
    told: Arc<Mutex<Option<Told>>>,
}

/// What the nodes told, and when.
type Told = (Instant, Arc<WeightsNodes>);

/// The weights that the program was started with.
#[derive(Clone, Debug)]
struct Base {
    weights: ForecastWeights,
    digest: [u8; 32],
}

/// A file of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsFile {
    /// The weights.
    pub id: WeightsId,
    /// SHA-256 of the file.
    pub digest: [u8; 32],
    /// Its length.
    pub bytes: u64,
}

impl WeightsReader {
    /// Tells of the weights of a node without others.
    pub fn alone(weights: ForecastWeights) -> Self {
        Self::new(weights, None)
    }

    /// Tells of the weights of a cluster, on a node that was started with some.
    pub(super) fn among(weights: ForecastWeights, gather: Gather) -> Self {
        Self::new(weights, Some(gather))
    }

    fn new(weights: ForecastWeights, cluster: Option<Gather>) -> Self {
        let digest = sha256(weights.bytes());
        Self {
            base: Base { weights, digest },
            cluster,
            told: Arc::default(),
        }
    }

    /// The register of the cluster, as far as this node knows it; `None` = this node is alone.
    pub fn register(&self) -> Option<WeightsRecord> {
        let gather = self.cluster.as_ref()?;
        Some(gather.shown.state().weights().clone())
    }

    /// By which rule trials are decided; `None` = this node is alone.
    pub fn rule(&self) -> Option<&Rule> {
        self.cluster.as_ref().map(|gather| &gather.rule)
    }

    /// The file of the weights that are active by a register.
    pub fn active_by(&self, register: &WeightsRecord) -> WeightsFile {
        let mut known = register.known.iter().map(|one| &one.notice);
        let active = known.find(|notice| register.active.id() == Some(&notice.id));
        match active {
            Some(notice) => WeightsFile {
                id: notice.id.clone(),
                digest: notice.digest,
                bytes: notice.bytes,
            },
            None => WeightsFile {
                id: self.base.weights.version().id,
                digest: self.base.digest,
                bytes: self.base.weights.bytes().len() as u64,
            },
        }
    }

    /// What every node serves and has compared, of the last seconds; `None` = this node is alone.
    pub async fn nodes(&self) -> Option<Arc<WeightsNodes>> {
        let gather = self.cluster.as_ref()?;
        // Whoever comes meanwhile waits for the same answers.
        let mut told = self.told.lock().await;
        if let Some((at, nodes)) = told.as_ref()
            && at.elapsed() < NODES_KEPT
        {
            return Some(Arc::clone(nodes));
        }
        let nodes = Arc::new(gather.shown().await);
        *told = Some((Instant::now(), Arc::clone(&nodes)));
        Some(nodes)
    }

    /// A piece of a weights file, at most as long as the pieces that nodes send each other; empty behind its end.
    ///
    /// # Errors
    /// When nobody knows the weights, or their file is not here yet.
    pub async fn chunk(&self, id: &WeightsId, offset: u64) -> Result<Vec<u8>, WireError> {
        let part = Part::Weights;
        if *id == self.base.weights.card().weights_id {
            let (bytes, digest) = (self.base.weights.bytes(), self.base.digest);
            let call = ChunkCall {
                digest,
                part,
                offset,
            };
            let length = call.length_in(bytes.len() as u64);
            let behind = bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..);
            return Ok(behind
                .unwrap_or_default()
                .iter()
                .take(length)
                .copied()
                .collect());
        }
        let register = self.register().unwrap_or_default();
        let mut known = register.known.iter().map(|one| &one.notice);
        let found = known.find(|notice| notice.id == *id);
        let (Some(notice), Some(gather)) = (found, &self.cluster) else {
            let text = format!("weights {id} are not registered, as far as this node knows");
            return Err(WireError::new(WireErrorCode::NotFound, text));
        };
        let answers = ChunkAnswers {
            local: Arc::clone(&gather.local),
            shown: Arc::clone(&gather.shown),
        };
        let call = ChunkCall {
            digest: notice.digest,
            part,
            offset,
        };
        answers
            .chunk(call)
            .await
            .map(|chunk| chunk.bytes)
            .map_err(|error| {
                // Registered, so it comes here: the node is fetching it.
                let text = format!("the file of weights {id} is not here: {}", error.message);
                WireError::new(WireErrorCode::Unavailable, text)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_forecast_model::shipped::SHIPPED_WEIGHTS;
    use twinscale_weights::Assembly;

    #[tokio::test]
    async fn the_file_of_a_node_alone_comes_whole_in_pieces() {
        let weights = ForecastWeights::load(None).expect("they ship");
        let reader = WeightsReader::alone(weights);
        let file = reader.active_by(&WeightsRecord::default());
        let mut assembly = Assembly::new(Part::Weights, file.digest, file.bytes).expect("sound");
        while let Some(offset) = assembly.next() {
            let chunk = reader.chunk(&file.id, offset).await.expect("it is here");
            assembly.take(offset, &chunk).expect("the next piece");
        }
        assert!(assembly.finish().expect("whole") == SHIPPED_WEIGHTS);
        for behind in [file.bytes, u64::MAX] {
            assert_eq!(reader.chunk(&file.id, behind).await, Ok(Vec::new()));
        }
        let other = WeightsId::new("0123456789abcdef").expect("an id");
        let error = reader.chunk(&other, 0).await.expect_err("unknown");
        assert_eq!(error.code, WireErrorCode::NotFound);
        assert!(error.message.contains("0123456789abcdef"), "{error}");
        assert_eq!((reader.register(), reader.nodes().await), (None, None));
    }
}
