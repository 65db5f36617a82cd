//! Running what a turn asks for, each effect in a task of its own under a limit of system time.

use super::TwinArguments;
use super::message::{Private, TwinMessage};
use crate::clients::{Answer, ForecastClient, PlanClient, ProvisionClient, TwinWriter};
use crate::cycle::{CycleSettings, Effect, TurnEvent};
use crate::host::HostError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use twinscale_protocol::{DomainTime, WireError, WireErrorCode};
use twinscale_supervision::{DomainClock, Mailbox};

/// Whom a twin asks, its clock and its settings; shared by all incarnations.
#[derive(Clone, Debug)]
pub struct TwinDependencies {
    /// The one writer of the twin.
    pub host: Arc<dyn TwinWriter>,
    /// Forecasts.
    pub forecaster: Arc<dyn ForecastClient>,
    /// Plans.
    pub optimizer: Arc<dyn PlanClient>,
    /// Provisions.
    pub provisioner: Arc<dyn ProvisionClient>,
    /// Domain time.
    pub clock: DomainClock,
    /// What turns have in common.
    pub settings: CycleSettings,
    /// How long effects may take.
    pub limits: PhaseLimits,
}

/// How long the effects of a turn may take, in system time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseLimits {
    /// A forecast.
    pub forecast: Duration,
    /// A plan.
    pub plan: Duration,
    /// Each of the provisioner's answers.
    pub provision: Duration,
    /// A commit.
    pub commit: Duration,
    /// Pause before whoever was unavailable or overloaded is asked again.
    pub retry_pause: Duration,
}

impl Default for PhaseLimits {
    /// A restarted forecaster is back within seconds and may load weights; a search is bounded by its
    /// evaluations; a provider's call may take a minute.
    fn default() -> Self {
        Self {
            forecast: Duration::from_secs(30),
            plan: Duration::from_mins(1),
            provision: Duration::from_mins(1),
            commit: Duration::from_secs(30),
            retry_pause: Duration::from_millis(20),
        }
    }
}

pub(super) type Host = Arc<dyn TwinWriter>;

pub(super) type Proposal<R> = Pin<Box<dyn Future<Output = Result<R, HostError>> + Send>>;

/// A task that is given up when it is dropped.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Task {
    #[expect(
        clippy::disallowed_methods,
        reason = "the handle is kept in the actor's state, which ends the task with the actor"
    )]
    pub(super) fn start(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    pub(super) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts an effect; what comes of it is sent to the actor with the number of its turn.
pub(super) fn start(
    arguments: &TwinArguments,
    private: &Mailbox<TwinMessage>,
    turn: u64,
    effect: Effect,
) -> Task {
    let arguments = arguments.clone();
    let private = private.clone();
    Task::start(async move {
        let event = run(&arguments, effect).await;
        tell(
            &private,
            Private::Came {
                turn,
                event: Box::new(event),
            },
        );
    })
}

/// Waits for a moment of domain time, then tells the actor.
pub(super) fn wake_at(clock: &DomainClock, private: &Mailbox<TwinMessage>, at: DomainTime) -> Task {
    // Set here and not in the task: the clock must not pass the moment before the task runs.
    let wake_up = clock.wake_at(at);
    let private = private.clone();
    Task::start(async move {
        let mark = wake_up.await;
        tell(&private, Private::Woke { at });
        drop(mark);
    })
}

fn tell(private: &Mailbox<TwinMessage>, message: Private) {
    if let Err(error) = private.try_send(TwinMessage::Private(message)) {
        // The actor has ended; its next incarnation starts from what was committed.
        tracing::debug!(%error, "answer came too late");
    }
}

async fn run(arguments: &TwinArguments, effect: Effect) -> TurnEvent {
    let TwinArguments {
        customer,
        dependencies,
    } = arguments;
    let TwinDependencies {
        forecaster,
        optimizer,
        provisioner,
        ..
    } = dependencies;
    let limits = dependencies.limits;
    match effect {
        Effect::Forecast(request) => {
            let ask = |left| forecaster.forecast((*request).clone(), left);
            TurnEvent::Forecast(asked("forecaster", limits.forecast, &limits, ask).await)
        }
        Effect::Plan(request) => {
            let ask = |left| optimizer.plan((*request).clone(), left);
            let plan = asked("optimizer", limits.plan, &limits, ask).await;
            TurnEvent::Plan(Box::new(plan))
        }
        Effect::Reconcile(request) => {
            let ask = |left| provisioner.reconcile((*request).clone(), left);
            TurnEvent::Reconcile(asked("provisioner", limits.provision, &limits, ask).await)
        }
        Effect::Execute(request) => {
            let ask = |left| -> Answer<_> {
                // Between this check and the call nothing is waited for; a provider that checks the
                // generation refuses what another leader has overtaken meanwhile.
                let confirmed = dependencies.host.confirm(request.generation, left);
                let (provisioner, request) = (Arc::clone(provisioner), (*request).clone());
                Box::pin(async move {
                    confirmed.await?;
                    provisioner.execute(request, left).await
                })
            };
            TurnEvent::Execute(asked("provisioner", limits.provision, &limits, ask).await)
        }
        Effect::Observe(request) => {
            let ask = |left| provisioner.observe(request.clone(), left);
            TurnEvent::Observe(asked("provisioner", limits.provision, &limits, ask).await)
        }
        Effect::Commit(command) => {
            let ask = |_left| -> Answer<_> {
                let (host, customer) = (Arc::clone(&dependencies.host), customer.clone());
                let command = (*command).clone();
                Box::pin(async move {
                    let result = host.commit(&customer, command).await;
                    result.map_err(WireError::from)
                })
            };
            TurnEvent::Commit(asked("log", limits.commit, &limits, ask).await)
        }
        Effect::End => TurnEvent::Commit(Err(WireError::new(
            WireErrorCode::Internal,
            "the end of a turn is no effect",
        ))),
    }
}

/// Asks within a limit; who is unavailable or overloaded is asked again. A commit that was shed was not
/// committed, and every other request is idempotent, so asking again is safe.
async fn asked<R>(
    name: &str,
    limit: Duration,
    limits: &PhaseLimits,
    ask: impl Fn(Duration) -> Answer<R>,
) -> Result<R, WireError> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = tokio::time::timeout_at(deadline, ask(left)).await;
        let error = match answer {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(error)) => error,
            Err(_late) => {
                let text = format!("{name} did not answer within {limit:?}");
                return Err(WireError::new(WireErrorCode::Timeout, text));
            }
        };
        let again = matches!(
            error.code,
            WireErrorCode::Unavailable | WireErrorCode::Overloaded
        );
        if !again || Instant::now() + limits.retry_pause >= deadline {
            return Err(error);
        }
        tokio::time::sleep(limits.retry_pause).await;
    }
}
