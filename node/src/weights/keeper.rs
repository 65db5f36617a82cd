//! Has this node follow the register: files here, forecaster on what is active, challenger in its shadow.
//!
//! It looks at what should be and at what is, on each change and on a period, and takes no hint of what changed.

use super::fetch::{Fetched, fetch};
use super::gather::Gather;
use super::local::LocalWeights;
use crate::observe::Instruments;
use crate::observe::catalogue::{WEIGHTS_FETCHED, WEIGHTS_IN_STEP};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};
use twinscale_forecaster::actor::ForecasterRequest;
use twinscale_forecaster::serving::WeightsVersion;
use twinscale_meta::stored::v2::{WeightsChoice, WeightsNotice, WeightsRecord};
use twinscale_protocol::{WeightsId, WireError, WireErrorCode};
use twinscale_supervision::Address;

/// How often the node looks when nothing is said.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Pause after the first fetch that failed; it doubles with each.
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// Longest pause between two fetches.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How long files stay that group 0 does not know: an operator makes them known right after they came.
const STRANGERS_KEPT: Duration = Duration::from_mins(10);

/// How often files are verified again, so that a broken one is found before it is needed.
const VERIFY_EVERY: Duration = Duration::from_hours(1);

/// Follows the register.
pub(super) struct Keeper {
    local: Arc<LocalWeights>,
    gather: Gather,
    forecaster: Address<ForecasterRequest>,
    instruments: Instruments,
    /// Weights that were read and that this program can use, with when they were verified.
    versions: BTreeMap<WeightsId, (WeightsVersion, Instant)>,
    /// Weights that this program cannot use: they are not tried again.
    unusable: BTreeMap<WeightsId, String>,
    retries: BTreeMap<WeightsId, Retry>,
    strangers: BTreeMap<WeightsId, Instant>,
    /// Which peer is asked first.
    round: usize,
}

/// When weights are fetched again.
struct Retry {
    at: Instant,
    pause: Duration,
    reason: String,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("versions", &self.versions.keys())
            .finish_non_exhaustive()
    }
}

impl Keeper {
    pub(super) fn new(
        local: Arc<LocalWeights>,
        gather: Gather,
        forecaster: Address<ForecasterRequest>,
        instruments: Instruments,
    ) -> Self {
        Self {
            local,
            gather,
            forecaster,
            instruments,
            versions: BTreeMap::new(),
            unusable: BTreeMap::new(),
            retries: BTreeMap::new(),
            strangers: BTreeMap::new(),
            round: 0,
        }
    }

    /// Follows for ever.
    pub(super) async fn run(mut self) {
        let mut states = self.gather.shown.subscribe();
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let register = states.borrow_and_update().weights().clone();
            self.look(&register).await;
            tokio::select! {
                _ = ticks.tick() => {}
                Ok(()) = states.changed() => {}
                () = self.local.changed.notified() => {}
            }
        }
    }

    async fn look(&mut self, register: &WeightsRecord) {
        for notice in in_order(register) {
            self.ensure(notice).await;
            // What can be followed is followed before the next file is fetched.
            self.follow(register);
        }
        self.follow(register);
        self.say_in_step(register);
        self.say_trouble(register);
        self.tidy(register).await;
    }

    /// Has a file here, verified and read.
    async fn ensure(&mut self, notice: &WeightsNotice) {
        let id = &notice.id;
        let is_fresh = self.versions.get(id).is_some_and(|(_, verified)| {
            verified.elapsed() < VERIFY_EVERY && self.local.verified().contains(id)
        });
        if is_fresh || self.unusable.contains_key(id) {
            return;
        }
        let now = Instant::now();
        if self.retries.get(id).is_some_and(|retry| now < retry.at) {
            return;
        }
        let loaded = match self.local.load(notice).await {
            Err(error) if is_for_peers(&error) => self.fetched(notice).await,
            loaded => loaded.map(|weights| weights.version()),
        };
        match loaded {
            Ok(version) => {
                self.retries.remove(id);
                self.versions.insert(id.clone(), (version, now));
            }
            Err(error) if error.code == WireErrorCode::Invalid => {
                self.versions.remove(id);
                self.unusable.insert(id.clone(), error.message);
            }
            Err(error) => {
                self.versions.remove(id);
                self.wait(id, error);
            }
        }
    }

    async fn fetched(&mut self, notice: &WeightsNotice) -> Result<WeightsVersion, WireError> {
        self.round = self.round.wrapping_add(1);
        let fetched = fetch(&self.gather, notice, self.round).await;
        let outcome = fetched
            .as_ref()
            .map_or_else(|error| error.code.as_str(), |_| "fetched");
        self.instruments.add(&WEIGHTS_FETCHED, &[outcome], 1);
        let Fetched { weights, card } = fetched?;
        self.local.store(&notice.id, weights, card).await?;
        let loaded = self.local.load(notice).await?;
        Ok(loaded.version())
    }

    fn wait(&mut self, id: &WeightsId, error: WireError) {
        let last = self.retries.get(id).map(|retry| retry.pause);
        let pause = last.map_or(RETRY_FIRST, |pause| (pause * 2).min(RETRY_MAX));
        tracing::debug!(weights = %id, %error, ?pause, "weights are not here yet");
        let retry = Retry {
            at: Instant::now() + pause,
            pause,
            reason: error.message,
        };
        self.retries.insert(id.clone(), retry);
    }

    /// Has the forecaster serve and compare what it should, as far as that is here.
    fn follow(&self, register: &WeightsRecord) {
        let serving = self.local.serving();
        if let Some(active) = self.version(&register.active)
            && serving.wanted() != active.id
        {
            serving.serve(active);
            self.load();
        }
        let trial = register.trial.as_ref();
        let challenger = trial.and_then(|trial| self.version(&trial.challenger));
        let active = self.version(&register.active);
        match (trial, active, challenger) {
            (Some(trial), Some(active), Some(challenger)) => {
                serving.compare(trial.number, active.id, challenger);
            }
            _ => serving.end_comparison(),
        }
    }

    fn version(&self, choice: &WeightsChoice) -> Option<WeightsVersion> {
        match choice {
            WeightsChoice::Shipped => Some(self.local.serving().base()),
            WeightsChoice::Registered(id) => {
                self.versions.get(id).map(|(version, _)| version.clone())
            }
        }
    }

    /// Has the forecaster load at once what it is to serve, rather than with the next forecast.
    fn load(&self) {
        let (reply_to, _reply) = oneshot::channel();
        let mailbox = self.forecaster.current();
        let sent = mailbox.map(|mailbox| mailbox.try_send(ForecasterRequest::Load(reply_to)));
        if let Some(Err(error)) = sent {
            tracing::debug!(%error, "the forecaster loads with its next forecast");
        }
    }

    /// Counts whether the node serves what it should, also while that is not here yet.
    fn say_in_step(&self, register: &WeightsRecord) {
        let served = self.local.serving().served().weights;
        let active = self.version(&register.active);
        let in_step = active.is_some_and(|active| active.id == served);
        let value = if in_step { 1.0 } else { 0.0 };
        self.instruments.set(&WEIGHTS_IN_STEP, &[], value);
    }

    /// Says why the node does not follow.
    fn say_trouble(&self, register: &WeightsRecord) {
        let trial = register.trial.as_ref().map(|trial| &trial.challenger);
        let needed = [Some(&register.active), trial];
        let ids = needed.into_iter().flatten().filter_map(WeightsChoice::id);
        let reasons = ids.filter_map(|id| {
            let unusable = self.unusable.get(id);
            if let Some(reason) = unusable {
                return Some(format!(
                    "weights {id} cannot be used by this program: {reason}"
                ));
            }
            let retry = self.retries.get(id)?;
            Some(format!("weights {id} are not here: {}", retry.reason))
        });
        let reasons: Vec<String> = reasons.collect();
        let trouble = (!reasons.is_empty()).then(|| reasons.join("; "));
        self.local.say_trouble(trouble);
    }

    /// Forgets and removes what group 0 does not know.
    async fn tidy(&mut self, register: &WeightsRecord) {
        self.versions.retain(|id, _| register.knows(id));
        self.unusable.retain(|id, _| register.knows(id));
        self.retries.retain(|id, _| register.knows(id));
        let listed = match self.local.list().await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(%error, "the folder of weights cannot be read");
                return;
            }
        };
        self.strangers
            .retain(|id, _| listed.contains(id) && !register.knows(id));
        for id in listed.into_iter().filter(|id| !register.knows(id)) {
            let since = *self
                .strangers
                .entry(id.clone())
                .or_insert_with(Instant::now);
            if since.elapsed() < STRANGERS_KEPT {
                continue;
            }
            match self.local.remove(&id).await {
                Ok(()) => tracing::info!(weights = %id, "weights that nobody knows were removed"),
                Err(error) => tracing::warn!(weights = %id, %error, "weights cannot be removed"),
            }
        }
    }
}

/// Whether another node may help: the file is missing, or was broken.
fn is_for_peers(error: &WireError) -> bool {
    matches!(
        error.code,
        WireErrorCode::NotFound | WireErrorCode::Unavailable
    )
}

/// What is needed first comes first.
fn in_order(register: &WeightsRecord) -> Vec<&WeightsNotice> {
    let trial = register.trial.as_ref().map(|trial| &trial.challenger);
    let needed = |id: &WeightsId| {
        let is = |choice: Option<&WeightsChoice>| choice.and_then(WeightsChoice::id) == Some(id);
        match (is(Some(&register.active)), is(trial)) {
            (true, _) => 0,
            (false, true) => 1,
            _ => 2,
        }
    };
    let mut notices: Vec<&WeightsNotice> = register.known.iter().map(|one| &one.notice).collect();
    notices.sort_by_key(|notice| needed(&notice.id));
    notices
}
