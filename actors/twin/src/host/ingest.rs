//! What comes from outside, for the twins of this host.

use super::{HostError, TwinHost};
use crate::intake;
use crate::state::EventsRecorded;
use twinscale_protocol::twin::{AnnounceRequest, ConfigureRequest, IngestReply, IngestRequest};

impl TwinHost {
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
    /// [`HostError::Refused`] with the key that breaks a rule; others as [`TwinHost::propose`].
    pub async fn configure(&self, request: ConfigureRequest) -> Result<u64, HostError> {
        intake::configure(self, request, None).await
    }

    /// Announces events: [`intake::announce`].
    ///
    /// # Errors
    /// [`HostError::Refused`] with the event that breaks a rule; others as [`TwinHost::propose`].
    pub async fn announce(&self, request: AnnounceRequest) -> Result<EventsRecorded, HostError> {
        intake::announce(self, request).await
    }
}
