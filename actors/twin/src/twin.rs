//! The actor of one customer's twin: receives, asks the core, runs its effects, replies. It decides
//! nothing and never waits in a handler: answers come back as private messages.
//!
//! A turn holds an in-flight mark of domain time from its first effect to its end. Each effect has a limit
//! of system time. A twin that ends in the middle of a turn is restarted by its supervisor, reads what was
//! committed and, where intents are open, retries them at once under their identities; whoever waited for
//! the turn asks again, which is safe.

mod effects;
mod message;

pub use effects::{PhaseLimits, TwinDependencies};
pub use message::{TwinFault, TwinMessage};

use crate::cycle::{self, Effect, Turn, TurnEvent, TurnKind, TurnSummary};
use crate::intake;
use crate::observations::Resolution;
use crate::state::TwinState;
use effects::Task;
use message::Private;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use twinscale_protocol::twin::{ObservationsReply, ObservationsRequest, TwinReport};
use twinscale_protocol::{CustomerId, DomainTime, Seconds, SeriesKey, WireError, WireErrorCode};
use twinscale_supervision::{InFlight, Mailbox, Permitted, ReplyTo, answer};

/// Private messages under way at once: one answer, one wake-up, and room to spare.
const PRIVATE_CAPACITY: usize = 8;

/// Configurations and announcements under way at once.
const PROPOSALS_MAX: usize = 16;

/// What a twin's actor is given when it starts.
#[derive(Clone, Debug)]
pub struct TwinArguments {
    /// Whose twin it is.
    pub customer: CustomerId,
    /// Whom it asks, its clock and its settings.
    pub dependencies: TwinDependencies,
}

/// The answer that a tick waits for.
type TickReply = ReplyTo<Result<TurnSummary, WireError>>;

/// What a twin's actor holds while it runs; what must outlive it is committed.
#[derive(Debug)]
pub struct TwinRuntime {
    arguments: TwinArguments,
    /// Through which tasks send their answers back.
    private: Mailbox<TwinMessage>,
    turn: Option<RunningTurn>,
    /// The newest tick that came while a turn was under way.
    waiting: Option<(DomainTime, TickReply, InFlight)>,
    /// Counts the turns, so that an answer to an older one is known as such.
    turns: u64,
    wake_up: Option<Task>,
    proposals: Vec<Task>,
}

/// A turn with what it holds until it ends.
#[derive(Debug)]
struct RunningTurn {
    turn: Turn,
    reply_to: Option<TickReply>,
    /// The effect under way; dropped with the turn, which gives it up.
    task: Option<Task>,
    _mark: InFlight,
}

/// The actor of one customer's twin.
#[derive(Clone, Copy, Debug)]
pub struct Twin;

impl Actor for Twin {
    type Msg = Permitted<TwinMessage>;
    type State = TwinRuntime;
    type Arguments = TwinArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let clock = arguments.dependencies.clock.clone();
        let mut runtime = TwinRuntime {
            private: Mailbox::new(myself, PRIVATE_CAPACITY, clock),
            arguments,
            turn: None,
            waiting: None,
            turns: 0,
            wake_up: None,
            proposals: Vec::new(),
        };
        runtime.resume();
        Ok(runtime)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        permitted: Self::Msg,
        runtime: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match permitted.message {
            TwinMessage::Tick(request, reply_to) => runtime.tick(request.now, reply_to),
            TwinMessage::Private(Private::Came { turn, event }) => runtime.came(turn, *event),
            TwinMessage::Private(Private::Woke { at }) => runtime.woke(at),
            TwinMessage::Report(reply_to) => answer(reply_to, runtime.report()),
            TwinMessage::Observations(request, reply_to) => {
                answer(reply_to, runtime.observations(&request));
            }
            TwinMessage::Configure(request, reply_to) => runtime.propose(reply_to, |host| {
                Box::pin(async move { intake::configure(&*host, *request, None).await })
            }),
            TwinMessage::Announce(request, reply_to) => runtime.propose(reply_to, |host| {
                Box::pin(async move { intake::announce(&*host, request).await })
            }),
            TwinMessage::Fault(TwinFault::Panic) => panic_on_purpose(),
            TwinMessage::Fault(TwinFault::Hang) => std::future::pending().await,
        }
        Ok(())
    }
}

impl TwinRuntime {
    /// Takes up what was committed before this incarnation: open intents are retried now.
    fn resume(&mut self) {
        let now = self.arguments.dependencies.clock.now();
        let has_open = self.read(|state| state.open_intents().next().is_some());
        if has_open == Some(true) {
            self.begin(TurnKind::Lead, now, None);
        } else {
            // A wake-up that is due now may have been lost with the incarnation before.
            self.set_wake_up(now.minus(Seconds(1)));
        }
    }

    fn tick(&mut self, now: DomainTime, reply_to: TickReply) {
        if self.turn.is_none() {
            self.begin(TurnKind::Step, now, Some(reply_to));
            return;
        }
        let mark = self.arguments.dependencies.clock.begin();
        if let Some((older, reply_to, _mark)) = self.waiting.replace((now, reply_to, mark)) {
            let text =
                format!("tick at {older} was overtaken by the one at {now}: ask for that one");
            answer(reply_to, Err(WireError::new(WireErrorCode::Conflict, text)));
        }
    }

    fn woke(&mut self, at: DomainTime) {
        self.wake_up = None;
        // A turn that is under way looks at the same state and sets the next wake-up when it ends.
        if self.turn.is_none() {
            self.begin(TurnKind::Lead, at, None);
        }
    }

    fn begin(&mut self, kind: TurnKind, now: DomainTime, reply_to: Option<TickReply>) {
        self.wake_up = None;
        let settings = self.arguments.dependencies.settings;
        let begun = self.read(|state| Turn::begin(kind, now, settings, state));
        match begun {
            Some(Ok((turn, effect))) => {
                self.turns += 1;
                self.turn = Some(RunningTurn {
                    turn,
                    reply_to,
                    task: None,
                    _mark: self.arguments.dependencies.clock.begin(),
                });
                self.run(effect);
            }
            Some(Err(error)) => self.refuse(reply_to, error),
            None => {
                let customer = &self.arguments.customer;
                let text = format!("there is no twin `{customer}` yet: configure it first");
                self.refuse(reply_to, WireError::new(WireErrorCode::NotFound, text));
            }
        }
    }

    fn refuse(&mut self, reply_to: Option<TickReply>, error: WireError) {
        if let Some(reply_to) = reply_to {
            answer(reply_to, Err(error));
        } else {
            let customer = &self.arguments.customer;
            tracing::warn!(%customer, %error, "no turn is possible");
        }
    }

    fn came(&mut self, number: u64, event: TurnEvent) {
        if number != self.turns {
            return;
        }
        let host = &self.arguments.dependencies.host;
        let Some(twin) = host.find(&self.arguments.customer) else {
            return;
        };
        if let Some(running) = &mut self.turn {
            let effect = twin.read(|state| running.turn.on(state, event));
            self.run(effect);
        }
    }

    fn run(&mut self, effect: Effect) {
        if effect == Effect::End {
            self.end();
            return;
        }
        let task = effects::start(&self.arguments, &self.private, self.turns, effect);
        if let Some(running) = &mut self.turn {
            running.task = Some(task);
        }
    }

    fn end(&mut self) {
        let Some(running) = self.turn.take() else {
            return;
        };
        let summary = running.turn.summary().clone();
        for failure in &summary.failures {
            let customer = &self.arguments.customer;
            tracing::warn!(%customer, at = %summary.at, failure, "turn went on without it");
        }
        // The next wake-up is set before the answer and before the mark is dropped: time stands still
        // until it is.
        self.set_wake_up(summary.at);
        if let Some(reply_to) = running.reply_to {
            answer(reply_to, Ok(summary));
        }
        if let Some((now, reply_to, _mark)) = self.waiting.take() {
            self.begin(TurnKind::Step, now, Some(reply_to));
        }
    }

    fn set_wake_up(&mut self, now: DomainTime) {
        let next = self.read(|state| cycle::next_wake_up(state, now)).flatten();
        self.wake_up =
            next.map(|at| effects::wake_at(&self.arguments.dependencies.clock, &self.private, at));
    }

    fn report(&self) -> Result<TwinReport, WireError> {
        self.read(TwinState::report).ok_or_else(|| {
            let customer = &self.arguments.customer;
            let text = format!("there is no twin `{customer}` yet: configure it first");
            WireError::new(WireErrorCode::NotFound, text)
        })
    }

    fn observations(&self, request: &ObservationsRequest) -> ObservationsReply {
        let key = SeriesKey {
            vm_type: request.vm_type.clone(),
            metric: request.metric.clone(),
        };
        let raw = Resolution::Raw;
        let slots = self.read(|state| state.observations(&key, raw, request.from, request.until));
        let values = slots.unwrap_or_default().into_iter();
        ObservationsReply {
            samples: values
                .filter_map(|slot| Some((slot.at, slot.mean()?)))
                .collect(),
        }
    }

    fn propose<R: Send + 'static>(
        &mut self,
        reply_to: ReplyTo<Result<R, WireError>>,
        ask: impl FnOnce(effects::Host) -> effects::Proposal<R>,
    ) {
        self.proposals.retain(|task| !task.is_finished());
        if self.proposals.len() >= PROPOSALS_MAX {
            let text =
                format!("{PROPOSALS_MAX} changes of this twin are under way: try again later");
            answer(
                reply_to,
                Err(WireError::new(WireErrorCode::Overloaded, text)),
            );
            return;
        }
        let dependencies = &self.arguments.dependencies;
        let mark = dependencies.clock.begin();
        let proposal = ask(Arc::clone(&dependencies.host));
        self.proposals.push(Task::start(async move {
            answer(reply_to, proposal.await.map_err(WireError::from));
            drop(mark);
        }));
    }

    fn read<R>(&self, look: impl FnOnce(&TwinState) -> R) -> Option<R> {
        let host = &self.arguments.dependencies.host;
        let twin = host.find(&self.arguments.customer)?;
        Some(twin.read(look))
    }
}

#[expect(clippy::panic, reason = "a fault that was asked for")]
fn panic_on_purpose() {
    panic!("asked to panic");
}

#[cfg(test)]
mod tests;
