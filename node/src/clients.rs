//! The actors of this node as a twin asks them.
//!
//! Each adapter asks through an address, so that a restarted actor is asked again within the limit. A
//! forecaster that cannot forecast is one whose part a peer's may take: [`Forecasters`].

mod forecasters;
mod trouble;

pub use forecasters::{BorrowCounts, Borrowed, Forecast, Forecasters, Lenders};

use crate::observe::Instruments;
use crate::observe::catalogue::{FORECAST_SECONDS, Metric, PLAN_SECONDS};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};
use twinscale_optimizer::actor::OptimizerRequest;
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest, ForecastSource};
use twinscale_protocol::optimizer::{Plan, PlanRequest};
use twinscale_protocol::provisioner::{
    ExecuteReply, ExecuteRequest, ObserveReply, ObserveRequest, ReconcileReply, ReconcileRequest,
};
use twinscale_protocol::{WireError, WireErrorCode};
use twinscale_provisioner::ProvisionerRequest;
use twinscale_supervision::{Address, AskError};
use twinscale_twin::{Answer, ForecastClient, PlanClient, ProvisionClient};

/// The forecaster.
#[derive(Clone, Debug)]
pub struct ForecasterClient {
    /// Where it is, and who may take its part.
    pub forecasters: Arc<Forecasters>,
    /// Who is told how long it takes.
    pub instruments: Instruments,
}

/// The optimizer.
#[derive(Clone, Debug)]
pub struct OptimizerClient {
    /// Where it is.
    pub address: Address<OptimizerRequest>,
    /// Who is told how long it takes.
    pub instruments: Instruments,
}

/// The provisioner.
#[derive(Clone, Debug)]
pub struct ProvisionerClient(pub Address<ProvisionerRequest>);

/// Says on the wire why there is no answer.
pub fn wire(error: &AskError) -> WireError {
    let code = match error {
        AskError::Timeout { .. } => WireErrorCode::Timeout,
        AskError::Overloaded { .. } => WireErrorCode::Overloaded,
        AskError::Gone { .. } => WireErrorCode::Unavailable,
    };
    WireError::new(code, error.to_string())
}

/// Joins "no answer" and "an error for an answer".
async fn flat<R>(
    asked: impl Future<Output = Result<Result<R, WireError>, AskError>> + Send,
) -> Result<R, WireError> {
    match asked.await {
        Ok(answer) => answer,
        Err(error) => Err(wire(&error)),
    }
}

/// Tells how long an answer took, and what it was.
struct Told {
    instruments: Instruments,
    metric: &'static Metric,
    begun: Instant,
    span: Span,
}

impl Told {
    fn tell<R>(&self, answer: &Result<R, WireError>, made: impl FnOnce(&R) -> &'static str) {
        let outcome = match answer {
            Ok(reply) => made(reply),
            Err(error) => error.code.as_str(),
        };
        self.span.record("outcome", outcome);
        self.instruments
            .time(self.metric, &[outcome], self.begun.elapsed());
    }
}

/// What made the forecasts of a reply; one fallback among them counts.
fn made_by(forecast: &Forecast) -> &'static str {
    let reply = match forecast {
        Forecast::Own(reply) => reply,
        Forecast::Borrowed(_) => return "borrowed",
    };
    let mut sources = reply.forecasts.iter().map(|forecast| &forecast.source);
    if sources.all(|source| matches!(source, ForecastSource::Network(_))) {
        "network"
    } else {
        "fallback"
    }
}

impl ForecastClient for ForecasterClient {
    fn forecast(&self, request: ForecastRequest, limit: Duration) -> Answer<ForecastReply> {
        let span = tracing::info_span!(
            "forecast",
            customer = %request.customer,
            series = request.series.len(),
            outcome = Empty,
            lender = Empty
        );
        let Self {
            forecasters,
            instruments,
        } = self.clone();
        let told = Told {
            instruments,
            metric: &FORECAST_SECONDS,
            begun: Instant::now(),
            span: span.clone(),
        };
        let asked = async move {
            let answer = forecasters.forecast(&request, limit).await;
            told.tell(&answer, made_by);
            match answer? {
                Forecast::Own(reply) => Ok(reply),
                Forecast::Borrowed(borrowed) => {
                    told.span.record("lender", borrowed.lender.0);
                    Ok(borrowed.reply)
                }
            }
        };
        Box::pin(asked.instrument(span))
    }
}

impl PlanClient for OptimizerClient {
    fn plan(&self, request: PlanRequest, limit: Duration) -> Answer<Plan> {
        let span = tracing::info_span!(
            "plan",
            customer = %request.customer,
            number = request.number.0,
            outcome = Empty
        );
        let Self {
            address,
            instruments,
        } = self.clone();
        let told = Told {
            instruments,
            metric: &PLAN_SECONDS,
            begun: Instant::now(),
            span: span.clone(),
        };
        let asked = async move {
            let message = |reply_to| OptimizerRequest::Plan(Box::new(request.clone()), reply_to);
            let answer = flat(address.ask(limit, message)).await;
            told.tell(&answer, |_plan| "planned");
            answer
        };
        Box::pin(asked.instrument(span))
    }
}

impl ProvisionClient for ProvisionerClient {
    fn reconcile(&self, request: ReconcileRequest, limit: Duration) -> Answer<ReconcileReply> {
        let address = self.0.clone();
        Box::pin(async move {
            let message =
                |reply_to| ProvisionerRequest::Reconcile(Box::new(request.clone()), reply_to);
            address
                .ask(limit, message)
                .await
                .map_err(|error| wire(&error))
        })
    }

    fn execute(&self, request: ExecuteRequest, limit: Duration) -> Answer<ExecuteReply> {
        let address = self.0.clone();
        Box::pin(async move {
            let message =
                |reply_to| ProvisionerRequest::Execute(Box::new(request.clone()), reply_to);
            flat(address.ask(limit, message)).await
        })
    }

    fn observe(&self, request: ObserveRequest, limit: Duration) -> Answer<ObserveReply> {
        let address = self.0.clone();
        Box::pin(async move {
            let message = |reply_to| ProvisionerRequest::Observe(request.clone(), reply_to);
            flat(address.ask(limit, message)).await
        })
    }
}
