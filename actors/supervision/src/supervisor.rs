//! Restarts a child with back-off; past a bounded intensity it gives up and says so.
//!
//! It does not repair state: a restart sees what was committed, nothing else. Invariant: at most one
//! incarnation of the child runs, and each has an actor id of its own. Domain time stands still while
//! the child is down: it may hold a moment that the child must not miss.

use crate::address::Address;
use crate::away::ChildWatch;
use crate::clock::{DomainClock, InFlight};
use crate::health::{ActorVitals, Failure, FailureScope, Oversight};
use crate::mailbox::{Mailbox, Permitted};
use crate::pause::Pause;
use crate::watched::{LostMark, Watch, Watched};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// When to restart and when to stop trying.
#[derive(Clone, Copy, Debug)]
pub struct RestartPolicy {
    /// First delay before a restart; it doubles with each one inside the window.
    pub backoff_first: Duration,
    /// Longest delay.
    pub backoff_max: Duration,
    /// Restarts allowed inside the window before the supervisor gives up.
    pub restarts_max: usize,
    /// Length of the window.
    pub window: Duration,
    /// System time that one message may take before the child counts as hung and is restarted.
    pub message_limit: Duration,
}

impl Default for RestartPolicy {
    /// 50 ms doubling to 5 s; more than 20 restarts in a minute mean that a restart does not help. Ten
    /// minutes for a message leave room for a few hung jobs, each of which has a limit of its own.
    fn default() -> Self {
        Self {
            backoff_first: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            restarts_max: 20,
            window: Duration::from_mins(1),
            message_limit: Duration::from_mins(10),
        }
    }
}

/// What a supervisor needs to make its child.
pub struct ChildSpec<C: Actor> {
    /// Name for people and logs.
    pub name: String,
    /// Makes the handler of a new incarnation.
    pub make: Arc<dyn Fn() -> C + Send + Sync>,
    /// Handed to every incarnation.
    pub arguments: C::Arguments,
    /// Bound of the child's mailbox, in messages.
    pub mailbox_capacity: usize,
    /// When to restart.
    pub policy: RestartPolicy,
    /// The domain clock that waits for the child's work.
    pub clock: DomainClock,
    /// To whom its supervisor reports.
    pub oversight: Oversight,
}

impl<C: Actor> fmt::Debug for ChildSpec<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How a child is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildState {
    /// It runs.
    Running,
    /// It ended and comes back after its back-off.
    Restarting {
        /// Why it ended.
        reason: String,
    },
    /// It ended too often; nothing will start it again.
    GivenUp {
        /// Why it ended the last time.
        reason: String,
    },
}

/// What a supervisor tells about its child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildReport {
    /// How it is.
    pub state: ChildState,
    /// Restarts since the start.
    pub restarts: u64,
}

/// A supervised child, seen from outside.
#[derive(Debug)]
pub struct Supervised<M: Send + 'static> {
    supervisor: ActorRef<SupervisorMessage>,
    address: Address<M>,
    report: watch::Receiver<ChildReport>,
    pause: Pause,
    joined: JoinHandle<()>,
}

/// The supervisor's own messages: private to it, hence not in `protocol`.
#[derive(Debug)]
pub struct SupervisorMessage(Order);

#[derive(Debug)]
enum Order {
    Respawn,
    Kill,
    Restart,
}

/// Starts a supervisor and its child.
///
/// # Errors
/// When ractor cannot start the supervisor; a child that cannot start is retried with back-off.
pub async fn supervise<C, M>(spec: ChildSpec<C>) -> Result<Supervised<M>, ractor::SpawnErr>
where
    C: Actor<Msg = Permitted<M>>,
    C::Arguments: Clone + Sync,
    M: Send + 'static,
{
    let (publish, current) = watch::channel(None);
    let (tell, report) = watch::channel(ChildReport {
        state: ChildState::Running,
        restarts: 0,
    });
    let address = Address::new(spec.name.clone(), current);
    let pause = Pause::default();
    let arguments = SupervisorArguments {
        spec,
        publish,
        tell,
        pause: pause.clone(),
    };
    let (supervisor, joined) =
        Actor::spawn(None, Supervisor::<C, M>(PhantomData), arguments).await?;
    Ok(Supervised {
        supervisor,
        address,
        report,
        pause,
        joined,
    })
}

impl<M: Send + 'static> Supervised<M> {
    /// Where the child is found.
    pub fn address(&self) -> &Address<M> {
        &self.address
    }

    /// How the child is, as a channel to wait on.
    pub fn report(&self) -> watch::Receiver<ChildReport> {
        self.report.clone()
    }

    /// Whether the child takes messages, to be looked at and waited for elsewhere.
    pub fn watch(&self) -> ChildWatch {
        ChildWatch::new(self.report.clone(), self.pause.clone())
    }

    /// Counts the restarts.
    pub fn restarts(&self) -> u64 {
        self.report.borrow().restarts
    }

    /// Kills the child, as a crash would; it comes back after its back-off.
    pub fn kill_child(&self) {
        // A supervisor that is gone has no child either.
        drop(self.supervisor.cast(SupervisorMessage(Order::Kill)));
    }

    /// Has the child end behind the message that it handles now, and starts it again at once. What waits in
    /// its mailbox is asked again by whoever asked. A pause ends, and the restart does not count among those
    /// after which the supervisor gives up.
    pub fn restart_child(&self) {
        self.pause.end();
        drop(self.supervisor.cast(SupervisorMessage(Order::Restart)));
    }

    /// Has the child, and whoever comes after it, take no message until [`Self::resume_child`], or until the
    /// time is over, at most [`crate::PAUSE_MAX`]; returns the time. A message that it handles now is ended.
    pub fn pause_child(&self, time: Duration) -> Duration {
        self.pause.begin(time)
    }

    /// Ends a pause; returns whether there was one.
    pub fn resume_child(&self) -> bool {
        self.pause.end()
    }

    /// How long a pause lasts still; `None` without one.
    pub fn paused_for(&self) -> Option<Duration> {
        self.pause.left()
    }

    /// Ends supervisor and child, and waits until both are gone.
    pub async fn stop(self) {
        self.pause.end();
        self.supervisor.stop(None);
        // The only error is the panic of the supervisor's task, which has ended it as well.
        drop(self.joined.await);
    }
}

struct Supervisor<C, M>(PhantomData<fn() -> (C, M)>);

struct SupervisorArguments<C: Actor, M: Send + 'static> {
    spec: ChildSpec<C>,
    publish: watch::Sender<Option<Mailbox<M>>>,
    tell: watch::Sender<ChildReport>,
    pause: Pause,
}

struct SupervisorState<C: Actor, M: Send + 'static> {
    arguments: SupervisorArguments<C, M>,
    restarts: VecDeque<Instant>,
    /// Holds domain time from the end of an incarnation until the next one runs.
    down: Option<InFlight>,
    /// Holds it from the moment a handler fails until `down` does.
    lost: LostMark,
    vitals: Arc<ActorVitals>,
    is_counted: bool,
    /// Whether the child was asked to end, and comes back at once.
    is_orderly: bool,
    respawn: Option<JoinHandle<Result<(), ractor::MessagingErr<SupervisorMessage>>>>,
}

impl<C, M> Actor for Supervisor<C, M>
where
    C: Actor<Msg = Permitted<M>>,
    C::Arguments: Clone + Sync,
    M: Send + 'static,
{
    type Msg = SupervisorMessage;
    type State = SupervisorState<C, M>;
    type Arguments = SupervisorArguments<C, M>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let oversight = &arguments.spec.oversight;
        let mut state = SupervisorState {
            vitals: oversight.health.actor(oversight.kind),
            arguments,
            restarts: VecDeque::new(),
            down: None,
            lost: LostMark::default(),
            is_counted: false,
            is_orderly: false,
            respawn: None,
        };
        state.spawn_child(&myself).await?;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        SupervisorMessage(order): Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match order {
            Order::Respawn => state.spawn_child(&myself).await,
            Order::Kill => {
                if let Some(mailbox) = state.arguments.publish.borrow().as_ref() {
                    // Before the kill, so that there is no moment between the two.
                    state.down = Some(state.arguments.spec.clock.begin());
                    mailbox.kill();
                }
                Ok(())
            }
            Order::Restart => {
                if let Some(mailbox) = state.arguments.publish.borrow().as_ref() {
                    state.down = Some(state.arguments.spec.clock.begin());
                    state.is_orderly = true;
                    mailbox.stop("restarted on purpose");
                }
                Ok(())
            }
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(_, error) => {
                state.child_ended(&myself, &error.to_string())
            }
            SupervisionEvent::ActorTerminated(_, _, reason) => {
                let reason = reason.unwrap_or_else(|| "ended without a reason".to_owned());
                state.child_ended(&myself, &reason)
            }
            _ => Ok(()),
        }
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Self::Msg>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(respawn) = state.respawn.take() {
            respawn.abort();
        }
        state.arguments.publish.send_replace(None);
        state.count_running(false);
        Ok(())
    }
}

impl<C, M> SupervisorState<C, M>
where
    C: Actor<Msg = Permitted<M>>,
    C::Arguments: Clone + Sync,
    M: Send + 'static,
{
    async fn spawn_child(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
    ) -> Result<(), ActorProcessingErr> {
        let spec = &self.arguments.spec;
        let watch = Watch {
            lost: self.lost.clone(),
            clock: spec.clock.clone(),
            message_limit: spec.policy.message_limit,
            vitals: Arc::clone(&self.vitals),
            pause: self.arguments.pause.clone(),
        };
        let child = Watched::new((spec.make)(), watch);
        match Actor::spawn_linked(None, child, spec.arguments.clone(), myself.get_cell()).await {
            Ok((actor, _join)) => {
                let mailbox = Mailbox::new(actor, spec.mailbox_capacity, spec.clock.clone());
                let mailbox = mailbox.counted_by(Arc::clone(&self.vitals));
                self.arguments.publish.send_replace(Some(mailbox));
                self.count_running(true);
                self.arguments
                    .tell
                    .send_modify(|report| report.state = ChildState::Running);
                self.down = None;
                Ok(())
            }
            // ractor sends no supervision event for a child that fails before it runs.
            Err(error) => self.child_ended(myself, &error.to_string()),
        }
    }

    fn child_ended(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        reason: &str,
    ) -> Result<(), ActorProcessingErr> {
        let clock = &self.arguments.spec.clock;
        self.down.get_or_insert_with(|| clock.begin());
        self.lost.clear();
        self.arguments.publish.send_replace(None);
        self.count_running(false);
        let name = self.arguments.spec.name.clone();
        let Some(delay) = self.next_delay() else {
            tracing::error!(actor = %name, reason, "restarts do not help; giving up");
            self.down = None;
            self.vitals.count_given_up();
            let oversight = &self.arguments.spec.oversight;
            if oversight.scope == FailureScope::Node {
                oversight.health.fail(Failure::GivenUp {
                    actor: name.clone(),
                    reason: reason.to_owned(),
                });
            }
            let state = ChildState::GivenUp {
                reason: reason.to_owned(),
            };
            self.arguments
                .tell
                .send_modify(|report| report.state = state);
            return Err(format!("{name} ended too often: {reason}").into());
        };
        tracing::warn!(actor = %name, reason, ?delay, "actor ended; restarting");
        self.arguments.tell.send_modify(|report| {
            report.state = ChildState::Restarting {
                reason: reason.to_owned(),
            };
            report.restarts += 1;
        });
        self.vitals.count_restart();
        self.respawn = Some(myself.send_after(delay, || SupervisorMessage(Order::Respawn)));
        Ok(())
    }

    /// Keeps the count of running actors right, however often it is told.
    fn count_running(&mut self, runs: bool) {
        let capacity = self.arguments.spec.mailbox_capacity;
        match (self.is_counted, runs) {
            (false, true) => self.vitals.started(capacity),
            (true, false) => self.vitals.ended(capacity),
            _ => {}
        }
        self.is_counted = runs;
    }

    fn next_delay(&mut self) -> Option<Duration> {
        if std::mem::take(&mut self.is_orderly) {
            return Some(Duration::ZERO);
        }
        let policy = self.arguments.spec.policy;
        let now = Instant::now();
        self.restarts
            .retain(|at| now.duration_since(*at) < policy.window);
        if self.restarts.len() >= policy.restarts_max {
            return None;
        }
        let doublings = u32::try_from(self.restarts.len()).unwrap_or(u32::MAX);
        self.restarts.push_back(now);
        let delay = policy
            .backoff_first
            .saturating_mul(2_u32.saturating_pow(doublings));
        Some(delay.min(policy.backoff_max))
    }
}
