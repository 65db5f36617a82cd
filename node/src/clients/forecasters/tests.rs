//! Two forecasters of which one fails, without the wire between them.

use super::*;
use crate::assembly::{ForecastWeights, start_forecaster};
use twinscale_forecaster::actor::ForecasterFault;
use twinscale_protocol::{CustomerId, DomainTime, Seconds};
use twinscale_supervision::DomainClock;

/// The forecaster of a peer, asked as [`crate::cluster::lending::LoanAnswers`] asks it.
#[derive(Debug)]
struct Peer(Arc<Forecasters>);

impl Lenders for Peer {
    fn borrow(
        &self,
        _weights: WeightsId,
        request: ForecastRequest,
        limit: Duration,
    ) -> Answer<Borrowed> {
        let peer = Arc::clone(&self.0);
        Box::pin(async move {
            let reply = peer.lend(&request, limit).await?;
            let lender = NodeNumber(2);
            Ok(Borrowed { reply, lender })
        })
    }

    fn has_peers(&self) -> bool {
        true
    }
}

fn request() -> ForecastRequest {
    ForecastRequest {
        customer: CustomerId::new("acme").expect("an id"),
        issued_at: DomainTime(0),
        interval: Seconds(3_600),
        horizon_steps: 1,
        series: Vec::new(),
        events: Vec::new(),
    }
}

async fn started() -> (Supervised<ForecasterRequest>, Serving) {
    let weights = ForecastWeights::load(None).expect("they ship");
    let clock = DomainClock::starting_at(DomainTime(0));
    let forecaster = start_forecaster(&weights, &clock).await.expect("starts");
    (forecaster, weights.serving())
}

fn is_borrowed(answer: &Result<Forecast, WireError>) -> bool {
    matches!(answer, Ok(Forecast::Borrowed(_)))
}

#[tokio::test]
async fn a_forecaster_that_hangs_is_waited_for_once() {
    let limit = Duration::from_secs(8);
    let (own, weights) = started().await;
    let (other, _) = started().await;
    let peer = Forecasters::new(&other, weights.clone(), None);
    let lenders: Arc<dyn Lenders> = Arc::new(Peer(Arc::new(peer)));
    let forecasters = Forecasters::new(&own, weights, Some(lenders));
    let first = forecasters.forecast(&request(), limit).await;
    assert!(matches!(first, Ok(Forecast::Own(_))), "{first:?}");

    let mailbox = own.address().running(limit).await.expect("it runs");
    let hang = ForecasterRequest::Fault(ForecasterFault::Hang);
    mailbox.try_send(hang).expect("taken");
    let begun = Instant::now();
    let waited = forecasters.forecast(&request(), limit).await;
    assert!(is_borrowed(&waited), "{waited:?}");
    assert!(begun.elapsed() >= limit / OWN_PART, "its part of the time");
    assert!(forecasters.unfit().is_some());
    let begun = Instant::now();
    let next = forecasters.forecast(&request(), limit).await;
    assert!(is_borrowed(&next), "{next:?}");
    assert!(begun.elapsed() < limit / OWN_PART, "it is known to hang");
    let counts = forecasters.counts();
    assert_eq!((counts.borrowed, counts.in_vain), (2, 0));
    own.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn whoever_borrows_is_told_of_both_when_nobody_forecasts() {
    let limit = Duration::from_millis(1_200);
    let (own, weights) = started().await;
    let (other, _) = started().await;
    let peer = Forecasters::new(&other, weights.clone(), None);
    let lenders: Arc<dyn Lenders> = Arc::new(Peer(Arc::new(peer)));
    let forecasters = Forecasters::new(&own, weights, Some(lenders));
    for forecaster in [&own, &other] {
        forecaster.pause_child(Duration::from_mins(1));
    }
    let error = forecasters.forecast(&request(), limit).await;
    let error = error.expect_err("both are paused");
    assert_eq!(error.code, WireErrorCode::Timeout);
    assert_eq!(error.message.matches("it is paused").count(), 2, "{error}");
    assert!(forecasters.counts().in_vain >= 2);
    other.resume_child();
    let borrowed = forecasters.forecast(&request(), limit).await;
    assert!(is_borrowed(&borrowed), "{borrowed:?}");
    own.stop().await;
    other.stop().await;
}
