//! What a twin's actor is told.

use crate::cycle::{TurnEvent, TurnSummary};
use crate::state::EventsRecorded;
use twinscale_protocol::twin::{
    AnnounceRequest, ConfigureRequest, ObservationsReply, ObservationsRequest, TickRequest,
    TwinReport,
};
use twinscale_protocol::{DomainTime, WireError};
use twinscale_supervision::ReplyTo;

/// What a twin's actor is told. Samples go to [`crate::TwinHost::ingest`], which needs no actor.
#[derive(Debug)]
pub enum TwinMessage {
    /// Run one turn of the loop; answered when the turn is over.
    Tick(TickRequest, ReplyTo<Result<TurnSummary, WireError>>),
    /// Show the twin.
    Report(ReplyTo<Result<TwinReport, WireError>>),
    /// Read stored observations.
    Observations(ObservationsRequest, ReplyTo<ObservationsReply>),
    /// Set policy and stack; answered with the version of the configuration.
    Configure(Box<ConfigureRequest>, ReplyTo<Result<u64, WireError>>),
    /// Announce events.
    Announce(AnnounceRequest, ReplyTo<Result<EventsRecorded, WireError>>),
    /// Fail on purpose.
    Fault(TwinFault),
    /// What the actor tells itself; nobody else can make one.
    Private(Private),
}

/// How tests and chaos runs make a twin fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TwinFault {
    /// The actor panics.
    Panic,
    /// Its handler never ends; its supervisor restarts it when the limit of a message is over.
    Hang,
}

/// The actor's messages to itself.
#[derive(Debug)]
#[expect(
    unnameable_types,
    reason = "visible in the message's type, made by the actor alone"
)]
pub enum Private {
    /// What came of an effect of a turn.
    Came {
        /// Which turn.
        turn: u64,
        /// What came.
        event: Box<TurnEvent>,
    },
    /// The moment that was waited for.
    Woke {
        /// When.
        at: DomainTime,
    },
}
