//! What the actor keeps to forecast in the shadow, and how it does so.

use super::{EngineSlot, ForecasterRequest, ForecasterState, ShadowTick};
use crate::serving::{Loaded, Serving};
use crate::shadow::OfferedSeries;
use ractor::{ActorProcessingErr, ActorRef};
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest, SeriesForecast};
use twinscale_supervision::{ComputeError, DomainClock, Mailbox, Permitted};

/// Answered requests that wait to be forecast in the shadow; further ones are left out and counted.
const BACKLOG_MAX: usize = 64;

/// Series of one request that are compared: the live requests behind it wait for no more than these.
const SERIES_OF_REQUEST_MAX: usize = 8;

/// An answered request, to be forecast again.
#[derive(Debug)]
struct Answered {
    request: ForecastRequest,
    /// By series of the request.
    champion: Vec<SeriesForecast>,
}

/// What waits to be forecast in the shadow.
#[derive(Debug)]
pub(super) struct Shadowing {
    /// The actor's own mailbox, for the one tick that may be on its way.
    myself: Mailbox<ForecasterRequest>,
    engine: EngineSlot,
    backlog: VecDeque<Answered>,
}

impl Shadowing {
    pub(super) fn new(myself: ActorRef<Permitted<ForecasterRequest>>, clock: &DomainClock) -> Self {
        Self {
            myself: Mailbox::new(myself, 1, clock.clone()),
            engine: EngineSlot::default(),
            backlog: VecDeque::new(),
        }
    }

    /// Keeps an answered request while there is a comparison, and room.
    pub(super) fn offer(
        &mut self,
        serving: &Serving,
        mut request: ForecastRequest,
        reply: &ForecastReply,
    ) {
        if !serving.compares() {
            self.backlog.clear();
            return;
        }
        if self.backlog.len() >= BACKLOG_MAX {
            serving.count_shadow(0, 1);
            return;
        }
        let windows = std::mem::take(&mut request.series);
        let mut champion = Vec::new();
        for (window, forecast) in windows.into_iter().zip(&reply.forecasts) {
            let takes = serving.with_book(|book| book.takes(&request.customer, &window.key));
            if takes == Some(true) && champion.len() < SERIES_OF_REQUEST_MAX {
                request.series.push(window);
                champion.push(forecast.clone());
            }
        }
        if !champion.is_empty() {
            self.backlog.push_back(Answered { request, champion });
        }
    }

    /// Asks for a turn behind everything that waits already, where there is something to do.
    pub(super) fn call(&self) {
        if !self.backlog.is_empty() {
            // A tick that is on its way does as well.
            drop(
                self.myself
                    .try_send(ForecasterRequest::Shadow(ShadowTick(()))),
            );
        }
    }
}

impl ForecasterState {
    /// Forecasts one answered request in the shadow, and asks for the next turn.
    pub(super) async fn run_shadow(&mut self) -> Result<(), ActorProcessingErr> {
        let serving = self.arguments.serving.clone();
        let Some(answered) = self.shadow.backlog.pop_front() else {
            return Ok(());
        };
        let slot = Arc::clone(&self.shadow.engine);
        let shared = serving.clone();
        let job = move || {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if shared.load_challenger(&mut slot).is_some()
                && let Some(loaded) = slot.as_mut()
            {
                forecast_again(&shared, loaded, answered);
            }
        };
        match self.compute.run(job, self.arguments.job_limit).await {
            Ok(()) => {}
            Err(error @ ComputeError::Exhausted { .. }) => return Err(error.into()),
            Err(error) => {
                self.shadow.engine = EngineSlot::default();
                serving.fail_comparison(&error.to_string());
            }
        }
        self.shadow.call();
        Ok(())
    }
}

/// Scores earlier forecasts by what the request shows, and keeps those of both for it.
fn forecast_again(serving: &Serving, loaded: &mut Loaded, answered: Answered) {
    let Answered {
        mut request,
        champion,
    } = answered;
    let known = serving.with_book(|book| {
        book.observe(&request);
        for window in &mut request.series {
            window.calibration = book.calibration(&request.customer, &window.key);
        }
    });
    if known.is_none() {
        return;
    }
    let mut replies = loaded.engine.forecast_batch(std::slice::from_ref(&request));
    match replies.pop() {
        Some(Ok(reply)) => {
            let offered = request.series.iter().zip(&champion);
            let made = reply.forecasts.iter().zip(&reply.calibrations);
            for ((window, champion), (challenger, calibration)) in offered.zip(made) {
                let offered = OfferedSeries {
                    window,
                    champion,
                    challenger,
                    calibration,
                };
                serving.with_book(|book| book.offer(&request, offered));
            }
            serving.count_shadow(1, 0);
        }
        Some(Err(error)) => serving.fail_comparison(&error.to_string()),
        None => {}
    }
}
