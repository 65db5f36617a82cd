//! The optimizer of a node: gathers plan requests, runs them on a bounded pool of threads, answers.
//!
//! One job plans one customer and is a function of its request, so that neither the number of threads
//! nor the order of requests changes a plan. A job that hangs or panics costs its thread, which is
//! replaced, and its own request an error. Requests beyond the mailbox are refused as overloaded by the
//! sender's permit. It decides nothing about plans.

use crate::request;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio::task::JoinSet;
use twinscale_protocol::optimizer::{Plan, PlanRequest};
use twinscale_protocol::{WireError, WireErrorCode};
use twinscale_supervision::{
    ComputeError, ComputeThread, DomainClock, Health, Mailbox, Permitted, ReplyTo, answer,
    hang_thread,
};

/// Time after which a job counts as hung: a search of millions of evaluations takes seconds.
pub const JOB_LIMIT: Duration = Duration::from_mins(2);

/// Answer to a plan request.
pub type PlanAnswer = Result<Plan, WireError>;

/// What an optimizer is asked.
#[derive(Debug)]
pub enum OptimizerRequest {
    /// Plan one customer.
    Plan(Box<PlanRequest>, ReplyTo<PlanAnswer>),
    /// Fail on purpose.
    Fault(OptimizerFault),
    /// Run what has been gathered; only the optimizer itself can send it.
    Run(RunTick),
}

/// How tests and chaos runs make an optimizer fail.
#[derive(Debug)]
pub enum OptimizerFault {
    /// The optimizer panics.
    Panic,
    /// A job panics; the optimizer survives and its asker gets an error.
    PanicJob(ReplyTo<PlanAnswer>),
    /// Its handler never ends; its supervisor restarts it when the limit of a message is over.
    Hang,
    /// A job hangs for so long; the optimizer abandons its thread when the limit of a job is over.
    HangJob(Duration, ReplyTo<PlanAnswer>),
}

/// The optimizer's word to itself that the mailbox has been gathered.
#[derive(Debug)]
pub struct RunTick(());

/// How an optimizer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerPolicy {
    /// Jobs that run at once, each on a thread of its own.
    pub workers: NonZeroUsize,
    /// System time after which a job counts as hung; [`JOB_LIMIT`] unless a test needs less.
    pub job_limit: Duration,
}

/// What an optimizer is given when it starts.
#[derive(Clone, Debug)]
pub struct OptimizerArguments {
    /// How it works.
    pub policy: WorkerPolicy,
    /// The domain clock that waits for the plans.
    pub clock: DomainClock,
    /// Where a hung thread is counted.
    pub health: Health,
}

/// What an optimizer holds while it runs.
#[derive(Debug)]
pub struct OptimizerState {
    policy: WorkerPolicy,
    /// Its own mailbox, for the one tick that may be on its way.
    myself: Mailbox<OptimizerRequest>,
    /// Idle workers; all of them between two runs.
    workers: Vec<ComputeThread>,
    /// Gathered jobs, in order of arrival.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    job: Job,
    reply_to: ReplyTo<PlanAnswer>,
    /// Kept until the answer is given: the bound counts it, and domain time waits for it.
    _permitted: Permitted<OptimizerRequest>,
}

#[derive(Debug)]
enum Job {
    Plan(Box<PlanRequest>),
    Panic,
    Hang(Duration),
}

/// The actor: one per node.
#[derive(Clone, Copy, Debug)]
pub struct Optimizer;

impl Actor for Optimizer {
    type Msg = Permitted<OptimizerRequest>;
    type State = OptimizerState;
    type Arguments = OptimizerArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let OptimizerArguments {
            policy,
            clock,
            health,
        } = arguments;
        let workers = (0..policy.workers.get()).map(|_| ComputeThread::start("optimizer", &health));
        Ok(OptimizerState {
            policy,
            myself: Mailbox::new(myself, 1, clock),
            workers: workers.collect(),
            waiting: VecDeque::new(),
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        mut permitted: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let tick = OptimizerRequest::Run(RunTick(()));
        match std::mem::replace(&mut permitted.message, tick) {
            OptimizerRequest::Plan(request, reply_to) => {
                state.gather(Job::Plan(request), reply_to, permitted)
            }
            OptimizerRequest::Run(RunTick(())) => {
                drop(permitted);
                state.run_waiting().await
            }
            OptimizerRequest::Fault(OptimizerFault::PanicJob(reply_to)) => {
                state.gather(Job::Panic, reply_to, permitted)
            }
            OptimizerRequest::Fault(OptimizerFault::HangJob(duration, reply_to)) => {
                state.gather(Job::Hang(duration), reply_to, permitted)
            }
            OptimizerRequest::Fault(OptimizerFault::Panic) => panic_on_purpose(),
            OptimizerRequest::Fault(OptimizerFault::Hang) => std::future::pending().await,
        }
    }
}

impl OptimizerState {
    fn gather(
        &mut self,
        job: Job,
        reply_to: ReplyTo<PlanAnswer>,
        permitted: Permitted<OptimizerRequest>,
    ) -> Result<(), ActorProcessingErr> {
        if self.waiting.is_empty() {
            // It arrives behind everything that waits already.
            self.myself.try_send(OptimizerRequest::Run(RunTick(())))?;
        }
        self.waiting.push_back(Waiting {
            job,
            reply_to,
            _permitted: permitted,
        });
        Ok(())
    }

    /// Runs all gathered jobs, as many at once as there are workers.
    async fn run_waiting(&mut self) -> Result<(), ActorProcessingErr> {
        // Dropping the set, as when this actor is killed, ends its tasks; a thread ends with its job.
        let mut running = JoinSet::new();
        loop {
            while !self.waiting.is_empty() && !self.workers.is_empty() {
                if let (Some(worker), Some(waiting)) =
                    (self.workers.pop(), self.waiting.pop_front())
                {
                    running.spawn(run(worker, waiting, self.policy.job_limit));
                }
            }
            match running.join_next().await {
                None => return Ok(()),
                Some(Ok(Ok(worker))) => self.workers.push(worker),
                Some(Ok(Err(exhausted))) => return Err(exhausted.into()),
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }
}

/// Runs one job on a worker and gives the worker back, unless too many of its threads hang.
async fn run(
    mut worker: ComputeThread,
    waiting: Waiting,
    job_limit: Duration,
) -> Result<ComputeThread, ComputeError> {
    let Waiting {
        job,
        reply_to,
        _permitted,
    } = waiting;
    let work = move || match job {
        Job::Plan(request) => request::plan(&request, NonZeroUsize::MIN).map_err(WireError::from),
        Job::Panic => panic_on_purpose(),
        Job::Hang(duration) => {
            hang_thread(duration);
            let text = "the job was asked to hang, and has no plan";
            Err(WireError::new(WireErrorCode::Internal, text))
        }
    };
    match worker.run(work, job_limit).await {
        Ok(reply) => answer(reply_to, reply),
        Err(error @ ComputeError::Exhausted { .. }) => return Err(error),
        Err(error) => {
            tracing::warn!(%error, "plan job failed; a new thread takes over");
            let code = match error {
                ComputeError::Hung { .. } => WireErrorCode::Timeout,
                _ => WireErrorCode::Internal,
            };
            answer(
                reply_to,
                Err(WireError::new(code, format!("no plan: {error}"))),
            );
        }
    }
    Ok(worker)
}

#[expect(clippy::panic, reason = "a fault that was asked for")]
fn panic_on_purpose<R>() -> R {
    panic!("asked to panic");
}
