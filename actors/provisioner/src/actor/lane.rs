//! One customer's lane: carries out its requests one after another.

use crate::actor::panic_on_purpose;
use crate::driver::ProviderDriver;
use crate::execute::{RetryPolicy, execute, observe};
use crate::memory::SharedMemory;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use twinscale_protocol::WireError;
use twinscale_protocol::provisioner::{ExecuteReply, ExecuteRequest, ObserveReply, ObserveRequest};
use twinscale_supervision::{Permitted, ReplyTo, answer};

/// What a lane is asked; private to its provisioner.
#[derive(Debug)]
pub(crate) enum LaneRequest {
    Execute(
        Box<ExecuteRequest>,
        ReplyTo<Result<ExecuteReply, WireError>>,
    ),
    Observe(ObserveRequest, ReplyTo<Result<ObserveReply, WireError>>),
    Panic,
    Hang,
}

/// What a lane is given when it starts.
#[derive(Clone, Debug)]
pub(crate) struct LaneArguments {
    pub(crate) driver: Arc<dyn ProviderDriver>,
    pub(crate) memory: SharedMemory,
    pub(crate) retry: RetryPolicy,
}

/// The actor of one lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane;

impl Actor for Lane {
    type Msg = Permitted<LaneRequest>;
    type State = LaneArguments;
    type Arguments = LaneArguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(arguments)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        permitted: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let limit = state.retry.request_limit;
        // Cut short as by a crash: the intents stay open and are retried under their identities.
        match tokio::time::timeout(limit, serve(state, permitted.message)).await {
            Ok(()) => Ok(()),
            Err(_elapsed) => Err(format!("a provider request took longer than {limit:?}").into()),
        }
    }
}

async fn serve(lane: &LaneArguments, request: LaneRequest) {
    let LaneArguments {
        driver,
        memory,
        retry,
    } = lane;
    match request {
        LaneRequest::Execute(request, reply_to) => {
            let reply = execute(driver.as_ref(), memory, retry, &request).await;
            answer(reply_to, reply);
        }
        LaneRequest::Observe(request, reply_to) => {
            let reply = observe(driver.as_ref(), memory, retry, &request).await;
            answer(reply_to, reply);
        }
        LaneRequest::Panic => panic_on_purpose(),
        LaneRequest::Hang => std::future::pending().await,
    }
}
