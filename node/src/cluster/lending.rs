//! Forecasts that nodes make for each other.
//!
//! [`PeerLenders`] asks peers when this node's forecaster cannot forecast, [`LoanAnswers`] makes forecasts for
//! them when theirs cannot. Invariants: only weights of the same id are lent, so that a borrowed forecast is
//! the one that the borrower would have made; loans at once are bounded, so that a borrower cannot starve the
//! twins of its lender; what is asked of a lender is never sent on.

use super::forward::sealed;
use super::messages::{FORECAST_LENT, FORECAST_LOAN, LoanCall, LoanReply};
use crate::clients::{Borrowed, Forecasters, Lenders};
use crate::observe::Instruments;
use crate::observe::catalogue::{FORECASTS_BORROWED, FORECASTS_LENT};
use futures::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use twinscale_cluster::network::{Answer, NodeCalls, opened};
use twinscale_membership::{Liveness, MembershipView};
use twinscale_protocol::envelope;
use twinscale_protocol::forecaster::{ForecastRequest, ForecastSource, SeriesForecast};
use twinscale_protocol::{NodeNumber, WeightsId, WireError, WireErrorCode};
use twinscale_wire::{Call, Envelope};

/// Forecasts for others that are made at once: half of what the forecaster takes in one job, so that every
/// other job is for the twins of this node, whatever others ask.
const LOANS_AT_ONCE: usize = 16;

/// Peers that are asked in one round.
const PEERS_ASKED_MAX: usize = 5;

/// Of the time that is left, the part that one peer has.
const PEER_PART: u32 = 2;

/// What is kept of a borrower's time for the way back.
const WAY_BACK: Duration = Duration::from_millis(100);

/// Asks peers for forecasts, one after the other.
pub struct PeerLenders {
    own: NodeNumber,
    calls: NodeCalls,
    members: watch::Receiver<Arc<MembershipView>>,
    instruments: Instruments,
    /// Where the next round begins, so that no peer has all of it.
    next: AtomicUsize,
}

impl fmt::Debug for PeerLenders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerLenders")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl PeerLenders {
    /// Asks the nodes that are heard.
    pub fn new(
        own: NodeNumber,
        calls: NodeCalls,
        members: watch::Receiver<Arc<MembershipView>>,
        instruments: Instruments,
    ) -> Self {
        Self {
            own,
            calls,
            members,
            instruments,
            next: AtomicUsize::new(0),
        }
    }

    fn peers(&self) -> Vec<NodeNumber> {
        let view = self.members.borrow();
        let alive = view.members.values();
        let alive = alive.filter(|one| one.liveness == Liveness::Alive && one.id != self.own);
        alive.map(|one| one.id).collect()
    }
}

/// Whom to ask in one round, in order.
fn round(mut peers: Vec<NodeNumber>, next: usize) -> Vec<NodeNumber> {
    if let Some(first) = next.checked_rem(peers.len()) {
        peers.rotate_left(first);
    }
    peers.truncate(PEERS_ASKED_MAX);
    peers
}

impl Lenders for PeerLenders {
    fn borrow(
        &self,
        weights: WeightsId,
        request: ForecastRequest,
        limit: Duration,
    ) -> twinscale_twin::Answer<Borrowed> {
        let deadline = Instant::now() + limit;
        let peers = round(self.peers(), self.next.fetch_add(1, Ordering::Relaxed));
        let (calls, instruments) = (self.calls.clone(), self.instruments.clone());
        Box::pin(async move {
            let call = LoanCall { weights, request };
            let mut last = WireError::new(WireErrorCode::Unavailable, "no other node is heard");
            for lender in peers {
                let left = deadline.saturating_duration_since(Instant::now());
                let answer = ask(&calls, lender, &call, left / PEER_PART).await;
                let outcome = answer.as_ref().map_or_else(code, |_reply| "borrowed");
                instruments.add(&FORECASTS_BORROWED, &[outcome], 1);
                match answer {
                    Ok(LoanReply(reply)) => return Ok(Borrowed { reply, lender }),
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
    }

    fn has_peers(&self) -> bool {
        !self.peers().is_empty()
    }
}

fn code(error: &WireError) -> &'static str {
    error.code.as_str()
}

async fn ask(
    calls: &NodeCalls,
    lender: NodeNumber,
    call: &LoanCall,
    limit: Duration,
) -> Result<LoanReply, WireError> {
    let unreadable =
        |error: envelope::EnvelopeError| WireError::new(WireErrorCode::Internal, error.to_string());
    let sealed = envelope::seal(FORECAST_LOAN, call).map_err(unreadable)?;
    let reply = calls.call(lender, sealed, limit).await?;
    envelope::open(FORECAST_LENT, &reply).map_err(unreadable)
}

/// Makes forecasts for peers.
#[derive(Debug)]
pub struct LoanAnswers {
    forecasters: Arc<Forecasters>,
    instruments: Instruments,
    admitted: Semaphore,
}

impl LoanAnswers {
    /// Lends a forecaster.
    pub fn new(forecasters: Arc<Forecasters>, instruments: Instruments) -> Self {
        Self {
            forecasters,
            instruments,
            admitted: Semaphore::new(LOANS_AT_ONCE),
        }
    }

    async fn lend(&self, call: LoanCall, limit: Duration) -> Result<LoanReply, WireError> {
        let own = self.forecasters.weights();
        if call.weights != own {
            return Err(other_weights(&own, &call.weights));
        }
        let _admitted = self.admitted.try_acquire().map_err(|_full| {
            let text = format!("this node makes {LOANS_AT_ONCE} forecasts for others already");
            WireError::new(WireErrorCode::Overloaded, text)
        })?;
        let lent = self.forecasters.lend(&call.request, limit).await?;
        // Its weights may have changed meanwhile.
        let is_other = |forecast: &SeriesForecast| match &forecast.source {
            ForecastSource::Network(id) => *id != call.weights,
            _ => false,
        };
        if lent.forecasts.iter().any(is_other) {
            return Err(other_weights(&self.forecasters.weights(), &call.weights));
        }
        Ok(LoanReply(lent))
    }
}

fn other_weights(own: &WeightsId, asked: &WeightsId) -> WireError {
    let text = format!("this node forecasts with weights {own}, not {asked}");
    WireError::new(WireErrorCode::Conflict, text)
}

impl Answer for LoanAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let asked = opened(&call, FORECAST_LOAN)?;
            let left = call.deadline.saturating_duration_since(Instant::now());
            let lent = self.lend(asked, left.saturating_sub(WAY_BACK)).await;
            let outcome = lent.as_ref().map_or_else(code, |_reply| "lent");
            self.instruments.add(&FORECASTS_LENT, &[outcome], 1);
            sealed(FORECAST_LENT, &lent?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_begin_with_one_peer_after_the_other() {
        let nodes = |numbers: &[u64]| -> Vec<NodeNumber> {
            numbers.iter().copied().map(NodeNumber).collect()
        };
        assert_eq!(round(nodes(&[]), 3), []);
        assert_eq!(round(nodes(&[1, 3]), 0), nodes(&[1, 3]));
        assert_eq!(round(nodes(&[1, 3]), 5), nodes(&[3, 1]));
        let many = round((1..=9).map(NodeNumber).collect(), 7);
        assert_eq!(many, nodes(&[8, 9, 1, 2, 3]));
    }
}
