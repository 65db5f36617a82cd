//! The weights of this node: its files, and what is known of them.

use super::message::{Fetching, NodeShadow, NodeWeights};
use super::notice::notice_of;
use crate::assembly::ForecastWeights;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use twinscale_forecaster::serving::Serving;
use twinscale_meta::stored::v2::{WeightsChoice, WeightsNotice, WeightsRecord};
use twinscale_protocol::{NodeNumber, WeightsId, WireError, WireErrorCode};
use twinscale_weights::{Assembly, FileError, FileName, Part, WeightsFiles};

use super::message::{PutCall, PutReply};

/// Files that operators bring at the same time.
const PUTS_MAX: usize = 2;

/// Time after which a file that nobody goes on to bring makes room.
const PUT_STALE: Duration = Duration::from_mins(2);

/// The weights of this node.
#[derive(Debug)]
pub struct LocalWeights {
    files: WeightsFiles,
    serving: Serving,
    known: Mutex<Known>,
    puts: Mutex<BTreeMap<[u8; 32], Put>>,
    /// Tells the keeper that a file came or went.
    pub(super) changed: Notify,
}

/// What is known of the files.
#[derive(Debug, Default)]
struct Known {
    /// Weights that are here and verified since the start.
    verified: BTreeSet<WeightsId>,
    fetching: Option<Fetching>,
    trouble: Option<String>,
}

/// Files that an operator brings.
#[derive(Debug)]
struct Put {
    card: Option<Vec<u8>>,
    assembly: Assembly,
    part: Part,
    touched: Instant,
}

impl Put {
    /// Begins a file; the card that came before stays.
    fn begin(call: &PutCall, former: Option<Self>) -> Result<Self, String> {
        let card = former.and_then(|put| put.card);
        if call.part == Part::Weights && card.is_none() {
            return Err("the card comes first: begin with it".to_owned());
        }
        let assembly = Assembly::new(call.part, call.digest, call.total);
        Ok(Self {
            card,
            assembly: assembly.map_err(|error| error.to_string())?,
            part: call.part,
            touched: Instant::now(),
        })
    }
}

/// Says on the wire what is wrong with a file.
pub(super) fn wire(error: &FileError) -> WireError {
    let code = match error {
        FileError::Missing { .. } => WireErrorCode::NotFound,
        FileError::Broken { .. } | FileError::Io { .. } => WireErrorCode::Unavailable,
    };
    let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})"));
    WireError::new(code, format!("{error}{}", cause.unwrap_or_default()))
}

fn ended(error: tokio::task::JoinError) -> WireError {
    WireError::new(
        WireErrorCode::Internal,
        format!("a look at a file ended: {error}"),
    )
}

impl LocalWeights {
    pub(super) fn new(files: WeightsFiles, serving: Serving) -> Self {
        Self {
            files,
            serving,
            known: Mutex::default(),
            puts: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn serving(&self) -> &Serving {
        &self.serving
    }

    /// The weights that are here and verified.
    pub fn verified(&self) -> BTreeSet<WeightsId> {
        self.known().verified.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn say_fetching(&self, fetching: Option<Fetching>) {
        self.known().fetching = fetching;
    }

    /// Says what is wrong, or that nothing is; it is logged when it changes.
    pub(super) fn say_trouble(&self, trouble: Option<String>) {
        let mut known = self.known();
        if known.trouble == trouble {
            return;
        }
        if let Some(trouble) = &trouble {
            tracing::warn!(trouble, "this node does not follow the register of weights");
        } else {
            tracing::info!("this node follows the register of weights again");
        }
        known.trouble = trouble;
    }

    /// Reads weights with their card, verified by their hashes, and makes sure that this program can use them.
    pub(super) async fn load(&self, notice: &WeightsNotice) -> Result<ForecastWeights, WireError> {
        let (files, notice) = (self.files.clone(), notice.clone());
        let id = notice.id.clone();
        let loaded = spawn_blocking(move || {
            let name = |part, digest| FileName {
                id: notice.id.clone(),
                part,
                digest,
            };
            let card = files.load(&name(Part::Card, notice.summary.digest));
            let card = card.map_err(|error| wire(&error))?;
            let weights = files.load(&name(Part::Weights, notice.digest));
            let weights = weights.map_err(|error| wire(&error))?;
            ForecastWeights::of_bytes(&weights, &card)
        });
        let loaded = loaded.await.map_err(ended)?;
        let mut known = self.known();
        match &loaded {
            Ok(_weights) => known.verified.insert(id),
            Err(_error) => known.verified.remove(&id),
        };
        drop(known);
        loaded
    }

    /// Keeps weights with their card durably.
    pub(super) async fn store(
        &self,
        id: &WeightsId,
        weights: Vec<u8>,
        card: Vec<u8>,
    ) -> Result<(), WireError> {
        let (files, id) = (self.files.clone(), id.clone());
        let stored = spawn_blocking(move || files.store(&id, &weights, &card));
        stored.await.map_err(ended)?.map_err(|error| wire(&error))?;
        self.changed.notify_one();
        Ok(())
    }

    /// A piece of a file; the first one only of a file that is whole.
    pub(super) async fn chunk(
        &self,
        name: FileName,
        length_at: impl FnOnce(u64) -> (usize, u64) + Send + 'static,
        is_first: bool,
    ) -> Result<Vec<u8>, WireError> {
        let (files, id) = (self.files.clone(), name.id.clone());
        let read = spawn_blocking(move || {
            if is_first {
                files.load(&name)?;
            }
            files.read_at(&name.id, name.part, length_at)
        });
        let read = read.await.map_err(ended)?;
        if matches!(read, Err(FileError::Broken { .. })) {
            self.known().verified.remove(&id);
            self.changed.notify_one();
        }
        read.map_err(|error| wire(&error))
    }

    /// All weights whose files are here.
    pub(super) async fn list(&self) -> Result<Vec<WeightsId>, WireError> {
        let files = self.files.clone();
        let listed = spawn_blocking(move || files.list()).await;
        listed.map_err(ended)?.map_err(|error| wire(&error))
    }

    pub(super) async fn remove(&self, id: &WeightsId) -> Result<(), WireError> {
        let (files, gone) = (self.files.clone(), id.clone());
        let removed = spawn_blocking(move || files.remove(&gone)).await;
        removed.map_err(ended)?.map_err(|error| wire(&error))?;
        self.known().verified.remove(id);
        Ok(())
    }

    /// Takes a chunk that an operator brings; both files whole, they are checked and kept.
    pub(super) async fn put(&self, call: PutCall) -> Result<PutReply, WireError> {
        let taken = self.take(&call);
        let taken = taken.map_err(|error| WireError::new(WireErrorCode::Conflict, error))?;
        let (weights, card) = match taken {
            Taken::Part { have } => return Ok(PutReply { have, notice: None }),
            Taken::Whole { weights, card } => (weights, card),
        };
        let checked = spawn_blocking(move || {
            let loaded = ForecastWeights::of_bytes(&weights, &card)?;
            let notice = notice_of(&weights, &card, loaded.card())?;
            Ok::<_, WireError>((weights, card, notice))
        });
        let (weights, card, notice) = checked.await.map_err(ended)??;
        let have = notice.bytes;
        self.store(&notice.id, weights, card).await?;
        Ok(PutReply {
            have,
            notice: Some(notice),
        })
    }

    fn take(&self, call: &PutCall) -> Result<Taken, String> {
        let mut puts = self.puts.lock().unwrap_or_else(PoisonError::into_inner);
        puts.retain(|_digest, put| put.touched.elapsed() < PUT_STALE);
        let former = puts.remove(&call.weights);
        let mut put = if call.offset == 0 {
            if puts.len() >= PUTS_MAX {
                return Err(format!(
                    "{PUTS_MAX} files are being brought already: wait for their end"
                ));
            }
            Put::begin(call, former)?
        } else {
            let is_part = |put: &Put| put.part == call.part;
            let former = former.filter(is_part);
            former.ok_or("this node has no beginning of this file: begin again")?
        };
        let taken = put.assembly.take(call.offset, &call.bytes);
        taken.map_err(|error| error.to_string())?;
        put.touched = Instant::now();
        let have = put.assembly.have();
        if put.assembly.next().is_none() {
            let whole = put.assembly.clone().finish();
            let whole = whole.map_err(|error| error.to_string())?;
            if let (Part::Weights, Some(card)) = (put.part, &put.card) {
                let card = card.clone();
                let weights = whole;
                return Ok(Taken::Whole { weights, card });
            }
            put.card = Some(whole);
        }
        puts.insert(call.weights, put);
        Ok(Taken::Part { have })
    }

    /// This node for others; the sums of a comparison with it.
    pub(super) fn picture(
        &self,
        node: NodeNumber,
        name: String,
        register: &WeightsRecord,
    ) -> NodeWeights {
        let served = self.serving.served();
        let shipped = self.serving.base().id;
        let wanted = match &register.active {
            WeightsChoice::Shipped => shipped.clone(),
            WeightsChoice::Registered(id) => id.clone(),
        };
        let known = self.known();
        let failed = served
            .failed
            .map(|(id, reason)| format!("weights {id} cannot be loaded: {reason}"));
        let shadow = self.serving.shadow();
        NodeWeights {
            node,
            name,
            in_step: served.weights == wanted,
            serves: served.weights,
            shipped,
            trouble: known.trouble.clone().or(failed),
            local: known.verified.iter().cloned().collect(),
            fetching: known.fetching.clone(),
            shadow: shadow.as_ref().map(|shown| NodeShadow {
                trial: shown.trial,
                series: shown.counts.series,
                done: shown.counts.done,
                dropped: shown.counts.dropped,
                failed: shown.failed.clone(),
            }),
            tallies: shadow.map(|shown| shown.tallies).unwrap_or_default(),
        }
    }
}

/// What a chunk came to.
enum Taken {
    /// More are to come.
    Part { have: u64 },
    /// Both files are whole.
    Whole { weights: Vec<u8>, card: Vec<u8> },
}
