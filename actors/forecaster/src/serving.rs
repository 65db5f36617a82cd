//! Which weights a forecaster serves and compares: said by the node, read by the actor before each job.
//!
//! Invariants: what is served changes between two jobs and never within one; weights that cannot be loaded
//! change nothing but [`Serving::served`], which says so; a restarted actor finds what was said to the one
//! before it. Not here: where weights come from.

use crate::actor::MakeEngine;
use crate::engine::Engine;
use crate::shadow::{SeriesTally, ShadowBook};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use twinscale_protocol::{WeightsId, WireError};

/// Weights that an engine can be made of.
#[derive(Clone)]
pub struct WeightsVersion {
    /// Their id.
    pub id: WeightsId,
    /// Makes the engine.
    pub make: MakeEngine,
}

impl fmt::Debug for WeightsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeightsVersion")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What a forecaster serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The weights of the newest engine.
    pub weights: WeightsId,
    /// Weights that it was to serve and cannot, with the reason.
    pub failed: Option<(WeightsId, String)>,
}

/// Counts of a comparison since it began on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShadowCounts {
    /// Requests that were forecast in the shadow.
    pub done: u64,
    /// Requests that were left out since too many waited.
    pub dropped: u64,
    /// Series that are compared now.
    pub series: u64,
}

/// A comparison as a node shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShadowShown {
    /// Its number.
    pub trial: u64,
    /// Counts.
    pub counts: ShadowCounts,
    /// Why it cannot go on here.
    pub failed: Option<String>,
    /// The sums by series.
    pub tallies: Vec<SeriesTally>,
}

/// Which weights a forecaster serves and compares; clones share it.
#[derive(Clone, Debug)]
pub struct Serving(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Those that the program was started with: served while nothing else can be.
    base: WeightsVersion,
    wanted: WeightsVersion,
    served: Served,
    shadow: Option<Shadow>,
    /// Requests of all comparisons since the start.
    ever: ShadowCounts,
}

#[derive(Debug)]
struct Shadow {
    challenger: WeightsVersion,
    book: ShadowBook,
    counts: ShadowCounts,
    failed: Option<String>,
}

/// An engine with the weights that it was made for.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) engine: Engine,
    /// What was wanted when it was made: tried once.
    tried: WeightsId,
}

impl Serving {
    /// Serves weights until others are wanted.
    pub fn new(base: WeightsVersion) -> Self {
        let served = Served {
            weights: base.id.clone(),
            failed: None,
        };
        Self(Arc::new(Mutex::new(State {
            wanted: base.clone(),
            base,
            served,
            shadow: None,
            ever: ShadowCounts::default(),
        })))
    }

    /// The weights that the program was started with.
    pub fn base(&self) -> WeightsVersion {
        self.state().base.clone()
    }

    /// What is to be served from the next job on.
    pub fn wanted(&self) -> WeightsId {
        self.state().wanted.id.clone()
    }

    /// What is served.
    pub fn served(&self) -> Served {
        self.state().served.clone()
    }

    /// Serves other weights from the next job on.
    pub fn serve(&self, version: WeightsVersion) {
        self.state().wanted = version;
    }

    /// Compares a challenger with weights that are served, in a comparison of this number. Nothing is begun
    /// anew where it goes on already.
    pub fn compare(&self, trial: u64, champion: WeightsId, challenger: WeightsVersion) {
        let mut state = self.state();
        let goes_on = state
            .shadow
            .as_ref()
            .is_some_and(|shadow| shadow.book.names() == (trial, &champion, &challenger.id));
        if goes_on {
            return;
        }
        state.shadow = Some(Shadow {
            book: ShadowBook::new(trial, champion, challenger.id.clone()),
            challenger,
            counts: ShadowCounts::default(),
            failed: None,
        });
    }

    /// Compares nothing any more.
    pub fn end_comparison(&self) {
        self.state().shadow = None;
    }

    /// How far the comparison is; `None` = there is none.
    pub fn shadow(&self) -> Option<ShadowShown> {
        let state = self.state();
        let shadow = state.shadow.as_ref()?;
        let series = u64::try_from(shadow.book.series()).unwrap_or(u64::MAX);
        Some(ShadowShown {
            trial: shadow.book.names().0,
            counts: ShadowCounts {
                series,
                ..shadow.counts
            },
            failed: shadow.failed.clone(),
            tallies: shadow.book.tallies(),
        })
    }

    /// Requests of all comparisons since the start, and series that are compared now.
    pub fn shadow_ever(&self) -> ShadowCounts {
        let state = self.state();
        let series = state.shadow.as_ref().map_or(0, |one| one.book.series());
        ShadowCounts {
            series: u64::try_from(series).unwrap_or(u64::MAX),
            ..state.ever
        }
    }

    /// A panic of who held it leaves it as it was between two calls.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the engine that is wanted, unless it is there; one that cannot be made changes nothing while
    /// another is there.
    pub(crate) fn load(&self, slot: &mut Option<Loaded>) -> Result<(), WireError> {
        let wanted = self.state().wanted.clone();
        if slot
            .as_ref()
            .is_some_and(|loaded| loaded.tried == wanted.id)
        {
            return Ok(());
        }
        let (engine, failed) = match (wanted.make)() {
            Ok(engine) => (engine, None),
            Err(error) => {
                let failed = Some((wanted.id.clone(), error.message.clone()));
                let base = self.base();
                let instead = match slot.take() {
                    Some(loaded) => loaded.engine,
                    None if base.id == wanted.id => return Err(error),
                    None => (base.make)()?,
                };
                tracing::warn!(
                    weights = %wanted.id, %error,
                    "weights cannot be loaded: the forecaster keeps those that it has"
                );
                (instead, failed)
            }
        };
        let weights = engine.weights_id();
        let tried = wanted.id;
        *slot = Some(Loaded { engine, tried });
        let mut state = self.state();
        let served = Served { weights, failed };
        if state.served.weights != served.weights {
            tracing::info!(weights = %served.weights, "the forecaster serves other weights");
        }
        state.served = served;
        Ok(())
    }

    /// Makes the challenger's engine, unless it is there; `None` = nothing is compared, or cannot be.
    pub(crate) fn load_challenger(&self, slot: &mut Option<Loaded>) -> Option<()> {
        let challenger = {
            let state = self.state();
            let shadow = state.shadow.as_ref()?;
            if shadow.failed.is_some() {
                return None;
            }
            shadow.challenger.clone()
        };
        if slot
            .as_ref()
            .is_some_and(|loaded| loaded.tried == challenger.id)
        {
            return Some(());
        }
        match (challenger.make)() {
            Ok(engine) => {
                let tried = challenger.id;
                *slot = Some(Loaded { engine, tried });
                Some(())
            }
            Err(error) => {
                self.fail_comparison(&error.message);
                None
            }
        }
    }

    /// Whether forecasts are compared now.
    pub(crate) fn compares(&self) -> bool {
        let state = self.state();
        state
            .shadow
            .as_ref()
            .is_some_and(|one| one.failed.is_none())
    }

    /// The comparison cannot go on here: a challenger that failed once is not tried again.
    pub(crate) fn fail_comparison(&self, reason: &str) {
        if let Some(shadow) = &mut self.state().shadow {
            tracing::warn!(
                challenger = %shadow.challenger.id, reason,
                "the challenger cannot forecast here: it is not compared any more"
            );
            shadow.failed = Some(reason.to_owned());
        }
    }

    /// Looks into or changes the comparison.
    pub(crate) fn with_book<R>(&self, work: impl FnOnce(&mut ShadowBook) -> R) -> Option<R> {
        let mut state = self.state();
        state.shadow.as_mut().map(|shadow| work(&mut shadow.book))
    }

    pub(crate) fn count_shadow(&self, done: u64, dropped: u64) {
        let mut state = self.state();
        state.ever.done += done;
        state.ever.dropped += dropped;
        if let Some(shadow) = &mut state.shadow {
            shadow.counts.done += done;
            shadow.counts.dropped += dropped;
        }
    }
}

#[cfg(test)]
mod tests;
