//! One turn of the loop: observe, forecast, try, commit, provision, learn.
//!
//! Pure: a turn is told what happened and says the one thing to do next; the actor does it and tells the
//! turn. Whatever is decided is decided on committed state, so a turn that was cut short by a crash is
//! taken up by running it again: a forecast or plan that is committed for this moment is not made twice,
//! open intents are retried under their identities.
//!
//! Invariants: nothing is carried out before its intent is committed; without a fresh forecast or
//! observation nothing scales in; a failure of one part keeps what was committed before and is told in
//! the summary.

mod desired;
mod inputs;
mod stale;

pub use desired::{next_wake_up, reconcile_request};
pub use inputs::{forecast_request, is_surprised, plan_trigger};
pub use stale::shifted_and_widened;

use crate::demand::{self, PlanBasis};
use crate::feedback::feedback;
use crate::state::{ApplyResult, Refusal, TwinState};
use crate::stored::v1::TwinCommand;
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest};
use twinscale_protocol::optimizer::{Plan, PlanRequest, PlanTrigger};
use twinscale_protocol::policy::Mode;
use twinscale_protocol::provisioner::{
    Action, ExecuteReply, ExecuteRequest, Held, Intent, ObserveReply, ObserveRequest,
    ReconcileReply, ReconcileRequest,
};
use twinscale_protocol::{DomainTime, Generation, PlanNumber, WireError, WireErrorCode};

/// What sets a turn off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnKind {
    /// A step begins: the whole loop.
    Step,
    /// A step is about to begin: what it needs is started now, by the committed plan.
    Lead,
}

/// What turns of one twin have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CycleSettings {
    /// Root of all randomness of this run.
    pub root_seed: u64,
    /// The fencing number of outside effects.
    pub generation: Generation,
}

/// The one thing to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask the forecaster.
    Forecast(Box<ForecastRequest>),
    /// Ask the optimizer.
    Plan(Box<PlanRequest>),
    /// Ask the provisioner what must change.
    Reconcile(Box<ReconcileRequest>),
    /// Have committed intents carried out.
    Execute(Box<ExecuteRequest>),
    /// Ask what the provider runs.
    Observe(ObserveRequest),
    /// Have a command committed and applied.
    Commit(Box<TwinCommand>),
    /// Nothing: the turn is over.
    End,
}

/// What came of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnEvent {
    /// The forecaster's answer.
    Forecast(Result<ForecastReply, WireError>),
    /// The optimizer's answer.
    Plan(Box<Result<Plan, WireError>>),
    /// The provisioner's diff.
    Reconcile(Result<ReconcileReply, WireError>),
    /// The outcomes of intents.
    Execute(Result<ExecuteReply, WireError>),
    /// What the provider runs.
    Observe(Result<ObserveReply, WireError>),
    /// What applying a command came to.
    Commit(Result<ApplyResult, WireError>),
}

/// What a turn came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnSummary {
    /// When, in domain time.
    pub at: DomainTime,
    /// Whether it had to do without a fresh forecast.
    pub stale: bool,
    /// Why a plan was asked for, if one was.
    pub trigger: Option<PlanTrigger>,
    /// The plan that was committed, if one was.
    pub plan: Option<PlanNumber>,
    /// Launches that were committed.
    pub launches: u32,
    /// Terminations that were committed.
    pub terminations: u32,
    /// What guardrails held back.
    pub held: Vec<Held>,
    /// What failed on the way, for people; the turn went on without it.
    pub failures: Vec<String>,
}

/// A turn under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    kind: TurnKind,
    now: DomainTime,
    settings: CycleSettings,
    phase: Phase,
    /// Whether the last interval was a surprise; known before the forecast that saw it is replaced.
    surprised: bool,
    /// Whether what runs could not be seen.
    unseen: bool,
    intents: Vec<Intent>,
    summary: TurnSummary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    ObserveFirst,
    CommitFirst,
    Forecast,
    CommitForecast,
    CommitStale,
    Plan,
    CommitPlan,
    CommitInfeasible,
    Reconcile,
    CommitIntents,
    Execute,
    CommitOutcomes,
    ObserveLast,
    CommitLast,
    Over,
}

impl Turn {
    /// Begins a turn.
    ///
    /// # Errors
    /// [`WireError`]: not configured, quarantined, or a clock that went back.
    pub fn begin(
        kind: TurnKind,
        now: DomainTime,
        settings: CycleSettings,
        state: &TwinState,
    ) -> Result<(Self, Effect), WireError> {
        check_begin(now, state)?;
        let turn = Self {
            kind,
            now,
            settings,
            phase: Phase::ObserveFirst,
            surprised: is_surprised(state, now),
            unseen: false,
            intents: Vec::new(),
            summary: TurnSummary {
                at: now,
                stale: false,
                trigger: None,
                plan: None,
                launches: 0,
                terminations: 0,
                held: Vec::new(),
                failures: Vec::new(),
            },
        };
        let effect = turn.observe(state);
        Ok((turn, effect))
    }

    /// Takes what came of the last effect and says what to do next.
    pub fn on(&mut self, state: &TwinState, event: TurnEvent) -> Effect {
        match (self.phase, event) {
            (Phase::ObserveFirst, TurnEvent::Observe(seen)) => {
                self.unseen = seen.is_err();
                self.seen(state, seen, Phase::CommitFirst)
            }
            (Phase::ObserveLast, TurnEvent::Observe(seen)) => {
                self.seen(state, seen, Phase::CommitLast)
            }
            (Phase::Forecast, TurnEvent::Forecast(reply)) => self.forecast_came(state, reply),
            (Phase::Plan, TurnEvent::Plan(plan)) => self.plan_came(state, *plan),
            (Phase::Reconcile, TurnEvent::Reconcile(reply)) => self.diff_came(state, reply),
            (Phase::Execute, TurnEvent::Execute(reply)) => self.outcomes_came(reply),
            (_, TurnEvent::Commit(Ok(ApplyResult::Quarantined { reason }))) => {
                self.fail("twin is quarantined", &reason);
                self.end()
            }
            (_, TurnEvent::Commit(Err(error))) => {
                self.fail("commit failed", &error);
                self.end()
            }
            (_, TurnEvent::Commit(Ok(result))) => self.committed(state, result),
            (phase, other) => {
                // Only a defect of the shell brings an answer that nobody asked for.
                self.fail("unexpected answer", &format!("{other:?} in {phase:?}"));
                self.end()
            }
        }
    }

    /// What it came to so far.
    pub fn summary(&self) -> &TurnSummary {
        &self.summary
    }

    fn committed(&mut self, state: &TwinState, result: ApplyResult) -> Effect {
        if let ApplyResult::Refused(refusal) = &result {
            self.fail("commit was refused", refusal);
        }
        match self.phase {
            Phase::CommitFirst => self.after_first_look(state),
            Phase::CommitForecast => match result {
                ApplyResult::ForecastStored => self.plan(state),
                _ => self.go_stale(state),
            },
            Phase::CommitStale | Phase::CommitInfeasible => self.reconcile(state),
            Phase::CommitPlan => {
                if let ApplyResult::PlanCommitted(number) = result {
                    self.summary.plan = Some(number);
                }
                self.reconcile(state)
            }
            Phase::CommitIntents => match result {
                ApplyResult::IntentsCommitted(intents) => self.execute(state, intents),
                _ => self.end(),
            },
            Phase::CommitOutcomes => {
                self.phase = Phase::ObserveLast;
                self.observe(state)
            }
            _ => self.end(),
        }
    }

    fn observe(&self, state: &TwinState) -> Effect {
        Effect::Observe(ObserveRequest {
            customer: state.customer().clone(),
            now: self.now,
        })
    }

    /// Commits what is seen where it differs from what is known.
    fn seen(
        &mut self,
        state: &TwinState,
        seen: Result<ObserveReply, WireError>,
        phase: Phase,
    ) -> Effect {
        self.phase = phase;
        match seen {
            Ok(seen) if !inputs::is_known(state, &seen) => commit(TwinCommand::ObserveAllocation {
                at: self.now,
                allocation: seen.allocation,
                start_up: seen.start_up,
            }),
            Ok(_) if phase == Phase::CommitFirst => self.after_first_look(state),
            Ok(_) => self.end(),
            Err(error) => {
                self.fail("provider could not be observed", &error);
                if phase == Phase::CommitFirst {
                    self.after_first_look(state)
                } else {
                    self.end()
                }
            }
        }
    }

    fn after_first_look(&mut self, state: &TwinState) -> Effect {
        match self.kind {
            TurnKind::Lead => self.reconcile(state),
            // Committed for this moment already, by a turn that was cut short: not made twice.
            TurnKind::Step if inputs::has_fresh_forecast(state, self.now) => self.plan(state),
            TurnKind::Step => match forecast_request(state, self.now) {
                Some(request) => {
                    self.phase = Phase::Forecast;
                    Effect::Forecast(Box::new(request))
                }
                None => self.end(),
            },
        }
    }

    fn forecast_came(
        &mut self,
        state: &TwinState,
        reply: Result<ForecastReply, WireError>,
    ) -> Effect {
        match reply {
            Ok(ForecastReply {
                forecasts,
                calibrations,
            }) => {
                self.phase = Phase::CommitForecast;
                commit(TwinCommand::StoreForecast {
                    issued_at: inputs::issued_at(state, self.now),
                    surprised: self.surprised,
                    forecasts,
                    calibrations,
                    feedback: feedback(state, self.now, self.unseen),
                })
            }
            Err(error) => {
                self.fail("no fresh forecast", &error);
                self.go_stale(state)
            }
        }
    }

    fn go_stale(&mut self, state: &TwinState) -> Effect {
        self.phase = Phase::CommitStale;
        self.summary.stale = true;
        let at = inputs::issued_at(state, self.now);
        commit(TwinCommand::NoteStaleTurn {
            at,
            surprised: self.surprised,
            forecasts: shifted_and_widened(state, at),
            feedback: feedback(state, self.now, self.unseen),
        })
    }

    fn plan(&mut self, state: &TwinState) -> Effect {
        let Some(trigger) = plan_trigger(state, self.now, self.surprised) else {
            return self.reconcile(state);
        };
        self.summary.trigger = Some(trigger);
        let root_seed = self.settings.root_seed;
        match demand::plan_request(state, PlanBasis { trigger, root_seed }) {
            Ok(request) => {
                self.phase = Phase::Plan;
                Effect::Plan(Box::new(request))
            }
            Err(error) => {
                self.fail("no plan can be asked for", &error);
                self.reconcile(state)
            }
        }
    }

    fn plan_came(&mut self, state: &TwinState, plan: Result<Plan, WireError>) -> Effect {
        match plan {
            Ok(plan) => {
                self.phase = Phase::CommitPlan;
                commit(TwinCommand::CommitPlan {
                    at: self.now,
                    config_version: state.config_version(),
                    plan,
                })
            }
            Err(error) => {
                self.fail("no new plan", &error);
                if error.code == WireErrorCode::Invalid {
                    self.phase = Phase::CommitInfeasible;
                    commit(TwinCommand::NoteInfeasibleTurn { at: self.now })
                } else {
                    self.reconcile(state)
                }
            }
        }
    }

    fn reconcile(&mut self, state: &TwinState) -> Effect {
        let watches = state
            .config()
            .is_none_or(|config| config.policy.mode == Mode::Observe);
        if watches {
            return self.end();
        }
        match reconcile_request(state, self.now, self.unseen) {
            Some(request) => {
                self.phase = Phase::Reconcile;
                Effect::Reconcile(Box::new(request))
            }
            None => self.end(),
        }
    }

    fn diff_came(&mut self, state: &TwinState, reply: Result<ReconcileReply, WireError>) -> Effect {
        match reply {
            Ok(ReconcileReply { operations, held }) => {
                self.summary.held.clone_from(&held);
                if operations.is_empty() && state.knows_held(&held) {
                    return self.end();
                }
                self.phase = Phase::CommitIntents;
                commit(TwinCommand::CommitIntents {
                    at: self.now,
                    operations,
                    held,
                })
            }
            Err(error) => {
                self.fail("no diff", &error);
                self.end()
            }
        }
    }

    fn execute(&mut self, state: &TwinState, intents: Vec<Intent>) -> Effect {
        if intents.is_empty() {
            return self.end();
        }
        for intent in &intents {
            match intent.action {
                Action::Launch { .. } => self.summary.launches += 1,
                Action::Terminate { .. } => self.summary.terminations += 1,
                Action::ResizeVolume(_) | Action::ResizeLink(_) => {}
            }
        }
        self.phase = Phase::Execute;
        self.intents.clone_from(&intents);
        Effect::Execute(Box::new(ExecuteRequest {
            customer: state.customer().clone(),
            generation: self.settings.generation,
            now: self.now,
            intents,
        }))
    }

    fn outcomes_came(&mut self, reply: Result<ExecuteReply, WireError>) -> Effect {
        match reply {
            Ok(ExecuteReply { outcomes }) => {
                let foreign = outcomes
                    .iter()
                    .find(|outcome| !self.intents.iter().any(|one| one.id == outcome.intent));
                if let Some(outcome) = foreign {
                    let intent = outcome.intent;
                    self.fail("outcome of an intent that was not asked for", &intent);
                    return self.end();
                }
                self.phase = Phase::CommitOutcomes;
                commit(TwinCommand::CommitOutcomes {
                    at: self.now,
                    outcomes,
                })
            }
            Err(error) => {
                // The intents stay open: the next turn retries them under their identities.
                self.fail("outcomes are unknown", &error);
                self.end()
            }
        }
    }

    fn end(&mut self) -> Effect {
        self.phase = Phase::Over;
        Effect::End
    }

    fn fail(&mut self, what: &str, why: &dyn std::fmt::Display) {
        self.summary.failures.push(format!("{what}: {why}"));
    }
}

fn commit(command: TwinCommand) -> Effect {
    Effect::Commit(Box::new(command))
}

fn check_begin(now: DomainTime, state: &TwinState) -> Result<(), WireError> {
    let customer = state.customer();
    if let Some(reason) = state.quarantine() {
        let text = format!("twin `{customer}` is quarantined: {reason}");
        return Err(WireError::new(WireErrorCode::Unavailable, text));
    }
    if state.config().is_none() {
        let text = Refusal::NotConfigured.to_string();
        return Err(WireError::new(
            WireErrorCode::NotFound,
            format!("twin `{customer}`: {text}"),
        ));
    }
    match state.forecast().map(|record| record.issued_at) {
        Some(issued_at) if issued_at > now => Err(WireError::new(
            WireErrorCode::Invalid,
            format!(
                "twin `{customer}`: the clock went back to {now}, behind the forecast of {issued_at}: \
                 set the clock right"
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
