//! All twins that a node serves, whoever commits for them, and under what each of them acts.

use crate::clients::TwinWriter;
use crate::host::{HostError, HostMetrics, HostStatus, Residency, SharedTwin};
use crate::intake;
use crate::outline::TwinOutline;
use crate::state::{EventsRecorded, TwinState};
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::watch;
use twinscale_protocol::twin::{AnnounceRequest, ConfigureRequest, IngestReply, IngestRequest};
use twinscale_protocol::{CustomerId, Generation};

/// All twins that a node serves: of its own log, or of the shards whose replicas it holds.
pub trait Twins: TwinWriter {
    /// Names the customers that have a twin here, ascending.
    fn customers(&self) -> Vec<CustomerId>;

    /// Whether a customer has a twin here, in memory or put away.
    fn knows(&self, customer: &CustomerId) -> bool;

    /// What is known of a twin without bringing its state back.
    fn outline(&self, customer: &CustomerId) -> Option<TwinOutline>;

    /// Counts the changes of a twin's policy and stack, 0 = it is not configured; as `outline`, and cheaper.
    fn config_version(&self, customer: &CustomerId) -> Option<u64>;

    /// A twin's state as it is now, which does not keep it in memory: for those who look at many.
    fn peek(&self, customer: &CustomerId) -> Option<SharedTwin>;

    /// Puts away the states that nobody used since the last time; returns how many.
    fn put_away_idle(&self) -> usize;

    /// How many states are in memory and how many are put away.
    fn residency(&self) -> Residency;

    /// Says whether commands are taken, and why not.
    fn status(&self) -> HostStatus;

    /// Follows the status: a node ends when it becomes [`HostStatus::Failed`].
    fn watch_status(&self) -> watch::Receiver<HostStatus>;

    /// Counts since the start.
    fn metrics(&self) -> HostMetrics;
}

impl dyn Twins + '_ {
    /// Finds a customer's twin.
    pub fn twin(&self, customer: &CustomerId) -> Option<SharedTwin> {
        self.find(customer)
    }

    /// Reads a customer's state; `None` when there is no such twin here.
    pub fn read<R>(&self, customer: &CustomerId, look: impl FnOnce(&TwinState) -> R) -> Option<R> {
        self.find(customer).map(|twin| twin.read(look))
    }

    /// As `read`, without keeping the state in memory for it.
    pub fn glance<R>(
        &self,
        customer: &CustomerId,
        look: impl FnOnce(&TwinState) -> R,
    ) -> Option<R> {
        self.peek(customer).map(|twin| twin.read(look))
    }

    /// Stores samples: [`intake::ingest`].
    ///
    /// # Errors
    /// [`HostError`]: a request that breaks a rule is not stored at all.
    pub async fn ingest(&self, request: IngestRequest) -> Result<IngestReply, HostError> {
        intake::ingest(self, request).await
    }

    /// Sets a customer's policy and stack: [`intake::configure`].
    ///
    /// # Errors
    /// [`HostError::Refused`] with the key that breaks a rule; others as [`TwinWriter::commit`].
    pub async fn configure(&self, request: ConfigureRequest) -> Result<u64, HostError> {
        intake::configure(self, request, None).await
    }

    /// As `configure`, if the configuration is of a version; 0 = there is none yet.
    ///
    /// # Errors
    /// As `configure`, and [`HostError::Refused`] when it is of another version.
    pub async fn configure_if(
        &self,
        request: ConfigureRequest,
        version: u64,
    ) -> Result<u64, HostError> {
        intake::configure(self, request, Some(version)).await
    }

    /// Announces events: [`intake::announce`].
    ///
    /// # Errors
    /// [`HostError::Refused`] with the event that breaks a rule; others as [`TwinWriter::commit`].
    pub async fn announce(&self, request: AnnounceRequest) -> Result<EventsRecorded, HostError> {
        intake::announce(self, request).await
    }

    /// Writes a note down: [`intake::annotate`].
    ///
    /// # Errors
    /// As [`intake::annotate`].
    #[cfg(feature = "next-schema")]
    pub async fn annotate(
        &self,
        customer: CustomerId,
        note: crate::stored::v3::Note,
    ) -> Result<u64, HostError> {
        intake::annotate(self, customer, note).await
    }
}

/// Under what a twin acts: who commits for it, and the generation that fences its effects outside.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Commits for it, as long as the generation lasts.
    pub writer: Arc<dyn TwinWriter>,
    /// Who leads, as a number that only rises.
    pub generation: Generation,
}

/// Says whose twins a node may drive.
pub trait Authorities: Debug + Send + Sync {
    /// Under what a customer's twin acts on this node; `None` when another node drives it.
    fn of(&self, customer: &CustomerId) -> Option<Authority>;
}
