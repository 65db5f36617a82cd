//! The actors of this node as a twin asks them.
//!
//! Each adapter asks through an address, so that a restarted actor is asked again within the limit.

use std::future::Future;
use std::time::Duration;
use twinscale_forecaster::actor::ForecasterRequest;
use twinscale_optimizer::actor::OptimizerRequest;
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest};
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
pub struct ForecasterClient(pub Address<ForecasterRequest>);

/// The optimizer.
#[derive(Clone, Debug)]
pub struct OptimizerClient(pub Address<OptimizerRequest>);

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

impl ForecastClient for ForecasterClient {
    fn forecast(&self, request: ForecastRequest, limit: Duration) -> Answer<ForecastReply> {
        let address = self.0.clone();
        Box::pin(async move {
            let message =
                |reply_to| ForecasterRequest::Forecast(Box::new(request.clone()), reply_to);
            flat(address.ask(limit, message)).await
        })
    }
}

impl PlanClient for OptimizerClient {
    fn plan(&self, request: PlanRequest, limit: Duration) -> Answer<Plan> {
        let address = self.0.clone();
        Box::pin(async move {
            let message = |reply_to| OptimizerRequest::Plan(Box::new(request.clone()), reply_to);
            flat(address.ask(limit, message)).await
        })
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
