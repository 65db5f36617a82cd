//! The forecaster of a node: gathers what waits, runs the engine on a thread of its own, answers.
//!
//! Requests that are already in the mailbox share a run; since each is answered as if it were alone, that
//! changes the speed and nothing else. Weights change between two jobs, as [`Serving`] says; while others are
//! compared with them, requests that were answered are forecast again with those, a few at a time, behind what
//! waits. A job that hangs or panics costs its thread and its engine, both of
//! which are replaced, and the requests of that job an error. It decides nothing about forecasts.

mod shadowing;
#[cfg(test)]
mod tests;

use crate::actor::shadowing::Shadowing;
use crate::engine::Engine;
use crate::serving::{Loaded, Serving};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest};
use twinscale_protocol::{WireError, WireErrorCode};
use twinscale_supervision::{
    ComputeError, ComputeThread, DomainClock, Health, Mailbox, Permitted, ReplyTo, answer,
    hang_thread,
};

/// Requests of one job: a warm one of three series each fills a batch and a half.
const JOB_REQUESTS_MAX: usize = 32;

/// Time after which a job counts as hung: a cold job of 32 customers takes seconds on a busy machine.
pub const JOB_LIMIT: Duration = Duration::from_mins(2);

/// Answer to a forecast request.
pub type ForecastAnswer = Result<ForecastReply, WireError>;

/// What a forecaster is asked.
#[derive(Debug)]
pub enum ForecasterRequest {
    /// Forecast one customer's series.
    Forecast(Box<ForecastRequest>, ReplyTo<ForecastAnswer>),
    /// Set all weights to zero, so that a test sees what hangs on them; lasts until the next restart.
    ZeroWeights(ReplyTo<Result<(), WireError>>),
    /// Fail on purpose.
    Fault(ForecasterFault),
    /// Load the weights that are wanted, rather than with the next forecast.
    Load(ReplyTo<Result<(), WireError>>),
    /// Run what has been gathered; only the forecaster itself can send it.
    Run(RunTick),
    /// Forecast in the shadow what was answered; only the forecaster itself can send it.
    Shadow(ShadowTick),
}

/// How tests and chaos runs make a forecaster fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForecasterFault {
    /// The forecaster panics.
    Panic,
    /// Its compute thread panics; the forecaster survives.
    PanicThread,
    /// Its handler never ends; its supervisor restarts it when the limit of a message is over.
    Hang,
    /// Its compute thread hangs for so long; the forecaster abandons it when the limit of a job is over.
    HangThread(Duration),
}

/// The forecaster's word to itself that the mailbox has been gathered.
#[derive(Debug)]
pub struct RunTick(());

/// The forecaster's word to itself that it may forecast in the shadow.
#[derive(Debug)]
pub struct ShadowTick(());

/// Makes an engine; called on the compute thread, also after a hung or failed job.
pub type MakeEngine = Arc<dyn Fn() -> Result<Engine, WireError> + Send + Sync>;

/// What a forecaster is given when it starts.
#[derive(Clone)]
pub struct ForecasterArguments {
    /// Which weights it serves and compares.
    pub serving: Serving,
    /// System time after which a job counts as hung; [`JOB_LIMIT`] unless a test needs less.
    pub job_limit: Duration,
    /// The domain clock that waits for the forecasts.
    pub clock: DomainClock,
    /// Where a hung thread is counted.
    pub health: Health,
}

/// What a forecaster holds while it runs.
#[derive(Debug)]
pub struct ForecasterState {
    arguments: ForecasterArguments,
    /// Its own mailbox, for the one tick that may be on its way.
    myself: Mailbox<ForecasterRequest>,
    compute: ComputeThread,
    engine: EngineSlot,
    /// What is to be forecast in the shadow.
    shadow: Shadowing,
    /// Gathered requests, with the permits they hold.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    request: ForecastRequest,
    reply_to: ReplyTo<ForecastAnswer>,
    /// Kept until the answer is given: the bound counts it, and domain time waits for it.
    permitted: Permitted<ForecasterRequest>,
}

/// The engine, on loan to a job; empty before the first.
type EngineSlot = Arc<Mutex<Option<Loaded>>>;

impl std::fmt::Debug for ForecasterArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForecasterArguments")
            .field("job_limit", &self.job_limit)
            .finish_non_exhaustive()
    }
}

/// The actor: one per node.
#[derive(Clone, Copy, Debug)]
pub struct Forecaster;

impl Actor for Forecaster {
    type Msg = Permitted<ForecasterRequest>;
    type State = ForecasterState;
    type Arguments = ForecasterArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(ForecasterState {
            shadow: Shadowing::new(myself.clone(), &arguments.clock),
            myself: Mailbox::new(myself, 1, arguments.clock.clone()),
            compute: ComputeThread::start("forecaster", &arguments.health),
            arguments,
            engine: EngineSlot::default(),
            waiting: Vec::new(),
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        mut permitted: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let tick = ForecasterRequest::Run(RunTick(()));
        match std::mem::replace(&mut permitted.message, tick) {
            ForecasterRequest::Forecast(request, reply_to) => {
                state.gather(*request, reply_to, permitted)
            }
            ForecasterRequest::Run(RunTick(())) => {
                drop(permitted);
                state.run_waiting().await?;
                state.shadow.call();
                Ok(())
            }
            ForecasterRequest::Shadow(ShadowTick(())) => {
                drop(permitted);
                state.run_shadow().await
            }
            ForecasterRequest::Load(reply_to) => {
                let loaded = state.with_engine(|_engine| Ok(())).await?;
                answer(reply_to, loaded);
                Ok(())
            }
            ForecasterRequest::ZeroWeights(reply_to) => {
                let zeroed = state.zero_weights().await?;
                answer(reply_to, zeroed);
                Ok(())
            }
            ForecasterRequest::Fault(fault) => state.fail(fault).await,
        }
    }
}

impl ForecasterState {
    fn gather(
        &mut self,
        request: ForecastRequest,
        reply_to: ReplyTo<ForecastAnswer>,
        permitted: Permitted<ForecasterRequest>,
    ) -> Result<(), ActorProcessingErr> {
        if self.waiting.is_empty() {
            // It arrives behind everything that waits already.
            self.myself.try_send(ForecasterRequest::Run(RunTick(())))?;
        }
        self.waiting.push(Waiting {
            request,
            reply_to,
            permitted,
        });
        Ok(())
    }

    async fn run_waiting(&mut self) -> Result<(), ActorProcessingErr> {
        let mut waiting = std::mem::take(&mut self.waiting);
        while !waiting.is_empty() {
            let rest = waiting.split_off(JOB_REQUESTS_MAX.min(waiting.len()));
            self.run_job(waiting).await?;
            waiting = rest;
        }
        Ok(())
    }

    async fn run_job(&mut self, waiting: Vec<Waiting>) -> Result<(), ActorProcessingErr> {
        let (requests, askers): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .map(|waiting| {
                let Waiting {
                    request,
                    reply_to,
                    permitted,
                } = waiting;
                (request, (reply_to, permitted))
            })
            .unzip();
        let answers = self
            .with_engine(move |engine| {
                let replies = engine.forecast_batch(&requests).into_iter();
                let replies = replies.map(|reply| reply.map_err(|error| WireError::from(&error)));
                Ok((replies.collect::<Vec<ForecastAnswer>>(), requests))
            })
            .await?;
        match answers {
            Ok((answers, requests)) => {
                for (((reply_to, permitted), reply), request) in
                    askers.into_iter().zip(answers).zip(requests)
                {
                    if let Ok(reply) = &reply {
                        self.shadow.offer(&self.arguments.serving, request, reply);
                    }
                    answer(reply_to, reply);
                    drop(permitted);
                }
            }
            Err(error) => {
                for (reply_to, permitted) in askers {
                    answer(reply_to, Err(error.clone()));
                    drop(permitted);
                }
            }
        }
        Ok(())
    }

    async fn zero_weights(&mut self) -> Result<Result<(), WireError>, ActorProcessingErr> {
        self.with_engine(|engine| {
            engine
                .zero_weights()
                .map_err(|error| WireError::new(WireErrorCode::Internal, error.to_string()))
        })
        .await
    }

    /// Runs work on the compute thread; after a hung or failed job the next one makes a new engine.
    async fn with_engine<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Engine) -> Result<R, WireError> + Send + 'static,
    ) -> Result<Result<R, WireError>, ActorProcessingErr> {
        let slot = Arc::clone(&self.engine);
        let serving = self.arguments.serving.clone();
        let job = move || {
            // Nobody else holds the lock: jobs follow one another, and a failed one loses the slot.
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            serving.load(&mut slot)?;
            let loaded = slot.as_mut();
            let loaded = loaded
                .ok_or_else(|| WireError::new(WireErrorCode::Internal, "no engine was made"))?;
            work(&mut loaded.engine)
        };
        match self.compute.run(job, self.arguments.job_limit).await {
            Ok(result) => Ok(result),
            Err(error @ ComputeError::Exhausted { .. }) => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "forecast job failed; a new engine takes over");
                self.engine = EngineSlot::default();
                let code = match error {
                    ComputeError::Hung { .. } => WireErrorCode::Timeout,
                    _ => WireErrorCode::Internal,
                };
                Ok(Err(WireError::new(code, format!("no forecast: {error}"))))
            }
        }
    }

    async fn fail(&mut self, fault: ForecasterFault) -> Result<(), ActorProcessingErr> {
        match fault {
            ForecasterFault::Panic => panic_on_purpose(),
            ForecasterFault::PanicThread => {
                let failed: Result<(), WireError> =
                    self.with_engine(|_engine| panic_on_purpose()).await?;
                drop(failed);
                Ok(())
            }
            ForecasterFault::Hang => std::future::pending().await,
            ForecasterFault::HangThread(duration) => {
                let hung = self.with_engine(move |_engine| {
                    hang_thread(duration);
                    Ok(())
                });
                drop(hung.await?);
                Ok(())
            }
        }
    }
}

#[expect(clippy::panic, reason = "a fault that was asked for")]
fn panic_on_purpose<R>() -> R {
    panic!("asked to panic");
}
