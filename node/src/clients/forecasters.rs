//! The forecaster of this node, and those of others while it cannot forecast.
//!
//! A twin whose node has no forecaster that answers is not left without a forecast: a peer with the same
//! weights makes it, since a forecast is a function of the request and the weights. Invariants: what was lent
//! to this node is never lent on; a forecaster that is only busy is not borrowed around, for that would move
//! load through the cluster and lose no less; a node without others asks its own and nobody else.

#[cfg(test)]
mod tests;

use super::trouble::Trouble;
use super::wire;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use twinscale_forecaster::actor::ForecasterRequest;
use twinscale_forecaster::serving::Serving;
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest};
use twinscale_protocol::{NodeNumber, WeightsId, WireError, WireErrorCode};
use twinscale_supervision::{Address, Away, ChildWatch, Supervised};
use twinscale_twin::Answer;

/// Of the time for a forecast, one part in so many is the own forecaster's, where others may be asked.
const OWN_PART: u32 = 2;

/// Pause before everybody is asked again, when nobody could forecast.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Peers that make forecasts for this node.
pub trait Lenders: Debug + Send + Sync {
    /// Has a peer with these weights forecast.
    fn borrow(
        &self,
        weights: WeightsId,
        request: ForecastRequest,
        limit: Duration,
    ) -> Answer<Borrowed>;

    /// Whether there is anybody who may be asked.
    fn has_peers(&self) -> bool;
}

/// A forecast that a peer made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Borrowed {
    /// It.
    pub reply: ForecastReply,
    /// Who made it.
    pub lender: NodeNumber,
}

/// A forecast, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forecast {
    /// The forecaster of this node.
    Own(ForecastReply),
    /// That of a peer.
    Borrowed(Borrowed),
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BorrowCounts {
    /// Forecasts that a peer made.
    pub borrowed: u64,
    /// Rounds through the peers in which nobody did.
    pub in_vain: u64,
}

/// The forecaster of this node, and those of others while it cannot forecast.
#[derive(Debug)]
pub struct Forecasters {
    own: Address<ForecasterRequest>,
    watch: ChildWatch,
    serving: Serving,
    lenders: Option<Arc<dyn Lenders>>,
    trouble: Trouble,
    /// Whether the newest forecast was borrowed, so that each change is logged once.
    borrows: AtomicBool,
    borrowed: AtomicU64,
    in_vain: AtomicU64,
}

impl Forecasters {
    /// Asks a forecaster that serves so, and lenders while it cannot forecast.
    pub fn new(
        own: &Supervised<ForecasterRequest>,
        serving: Serving,
        lenders: Option<Arc<dyn Lenders>>,
    ) -> Self {
        Self {
            own: own.address().clone(),
            watch: own.watch(),
            serving,
            lenders,
            trouble: Trouble::default(),
            borrows: AtomicBool::new(false),
            borrowed: AtomicU64::new(0),
            in_vain: AtomicU64::new(0),
        }
    }

    /// The weights that this node's forecaster serves now.
    pub fn weights(&self) -> WeightsId {
        self.serving.served().weights
    }

    /// Why the forecaster of this node cannot forecast, as far as is known without asking it.
    pub fn unfit(&self) -> Option<String> {
        let away = self.watch.away().map(|away| away.to_string());
        away.or_else(|| self.trouble.reason())
    }

    /// Why the forecaster of this node was given up, where nobody is there whose forecaster would do.
    pub fn is_lost(&self) -> Option<String> {
        let has_peers = self.lenders.as_ref().is_some_and(|one| one.has_peers());
        match self.watch.away() {
            Some(Away::GivenUp { reason }) if !has_peers => Some(reason),
            _ => None,
        }
    }

    /// Whether forecasts may be borrowed.
    pub fn may_borrow(&self) -> bool {
        self.lenders.is_some()
    }

    /// Counts since the start.
    pub fn counts(&self) -> BorrowCounts {
        BorrowCounts {
            borrowed: self.borrowed.load(Ordering::Relaxed),
            in_vain: self.in_vain.load(Ordering::Relaxed),
        }
    }

    /// Forecasts for a twin of this node.
    ///
    /// # Errors
    /// What the own forecaster says, and why no peer helps.
    pub async fn forecast(
        &self,
        request: &ForecastRequest,
        limit: Duration,
    ) -> Result<Forecast, WireError> {
        let Some(lenders) = &self.lenders else {
            return self.own(request, limit).await.map(Forecast::Own);
        };
        let deadline = Instant::now() + limit;
        loop {
            let own = match self.try_own(request, limit).await {
                Ok(reply) => {
                    self.note_own();
                    return Ok(Forecast::Own(reply));
                }
                Err(error) if !is_for_peers(error.code) => return Err(error),
                Err(error) => error,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let asked = lenders.borrow(self.weights(), request.clone(), left);
            match asked.await {
                Ok(borrowed) => {
                    self.note_borrowed(&own, borrowed.lender);
                    return Ok(Forecast::Borrowed(borrowed));
                }
                Err(error) => {
                    self.in_vain.fetch_add(1, Ordering::Relaxed);
                    if Instant::now() + ASK_AGAIN >= deadline {
                        let text = format!("{}; and no peer lends: {}", own.message, error.message);
                        return Err(WireError::new(WireErrorCode::Timeout, text));
                    }
                }
            }
            sleep(ASK_AGAIN).await;
        }
    }

    /// Forecasts for a twin of another node: by the own forecaster or not at all.
    ///
    /// # Errors
    /// Unavailable while it cannot forecast, and what it says.
    pub async fn lend(
        &self,
        request: &ForecastRequest,
        limit: Duration,
    ) -> Result<ForecastReply, WireError> {
        if let Some(reason) = self.unfit() {
            return Err(unavailable(&reason));
        }
        tokio::select! {
            answer = self.own(request, limit) => answer,
            away = self.watch.goes_away() => Err(unavailable(&away.to_string())),
        }
    }

    async fn own(
        &self,
        request: &ForecastRequest,
        limit: Duration,
    ) -> Result<ForecastReply, WireError> {
        let message = |reply_to| ForecasterRequest::Forecast(Box::new(request.clone()), reply_to);
        match self.own.ask(limit, message).await {
            Ok(answer) => answer,
            Err(error) => Err(wire(&error)),
        }
    }

    /// Asks the own forecaster unless it is known to be of no use, for no longer than its part of the time.
    async fn try_own(
        &self,
        request: &ForecastRequest,
        limit: Duration,
    ) -> Result<ForecastReply, WireError> {
        let part = limit / OWN_PART;
        if let Some(away) = self.watch.away() {
            return Err(unavailable(&away.to_string()));
        }
        if let Some(reason) = self.trouble.keeps_away(part) {
            return Err(unavailable(&reason));
        }
        let answer = tokio::select! {
            answer = self.own(request, part) => answer,
            away = self.watch.goes_away() => return Err(unavailable(&away.to_string())),
        };
        match &answer {
            Err(error) if is_for_peers(error.code) => self.trouble.begin(&error.message),
            _ => self.trouble.end(),
        }
        answer
    }

    fn note_own(&self) {
        if self.borrows.swap(false, Ordering::Relaxed) {
            tracing::info!("the forecaster of this node forecasts again: nothing is borrowed");
        }
    }

    fn note_borrowed(&self, own: &WireError, lender: NodeNumber) {
        self.borrowed.fetch_add(1, Ordering::Relaxed);
        if !self.borrows.swap(true, Ordering::Relaxed) {
            let reason = &own.message;
            tracing::warn!(
                reason, %lender,
                "the forecaster of this node does not forecast: its twins borrow from others"
            );
        }
    }
}

/// Whether a peer may do better: what cannot be forecast at all it cannot either, and a full mailbox is no
/// failure.
fn is_for_peers(code: WireErrorCode) -> bool {
    matches!(
        code,
        WireErrorCode::Unavailable | WireErrorCode::Timeout | WireErrorCode::Internal
    )
}

fn unavailable(reason: &str) -> WireError {
    let text = format!("the forecaster of this node does not forecast: {reason}");
    WireError::new(WireErrorCode::Unavailable, text)
}
