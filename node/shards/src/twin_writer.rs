//! The writer that the twins of a shard's leader propose through.

use crate::error::ShardsError;
use crate::host::HostedShard;
use crate::places::{Places, check_schema};
use std::sync::Arc;
use std::time::Duration;
use twinscale_protocol::envelope::EnvelopeError;
use twinscale_protocol::{CustomerId, Generation, RequestId, WireError};
use twinscale_twin::shard::shard_command;
use twinscale_twin::{Answer, HostError, Proposal, SharedTwin, TwinCommand, TwinWriter};

/// Proposes for the twins of one shard, and only while this node leads it under one generation.
///
/// A twin that outlives its leadership cannot commit: its proposals are refused here or by the group.
#[derive(Debug)]
pub struct LeaderWriter {
    shard: Arc<HostedShard>,
    places: Arc<dyn Places>,
    generation: Generation,
}

impl LeaderWriter {
    /// Takes a shard that this node leads; `places` knows the cluster's schema.
    pub fn new(shard: Arc<HostedShard>, places: Arc<dyn Places>, generation: Generation) -> Self {
        Self {
            shard,
            places,
            generation,
        }
    }

    /// The generation under which the twins were started.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    fn not_leader(&self) -> ShardsError {
        ShardsError::NotLeader {
            shard: self.shard.shard(),
            leader: self.shard.leader(),
        }
    }

    async fn write(
        &self,
        customer: &CustomerId,
        command: TwinCommand,
    ) -> Result<twinscale_twin::ApplyResult, ShardsError> {
        if self.shard.generation() != Some(self.generation) {
            return Err(self.not_leader());
        }
        check_schema(&*self.places, self.shard.shard(), &command)?;
        // A twin's own commands name what they rest on (a plan its parent, an intent its identity), so that
        // they need no id.
        let encoded = shard_command(RequestId::NONE, customer, &command);
        let encoded = encoded.map_err(|error: EnvelopeError| ShardsError::Invalid {
            shard: self.shard.shard(),
            reason: error.to_string(),
        })?;
        let proposal = self.shard.propose(encoded).await?;
        if Generation(proposal.generation) == self.generation {
            return Ok(proposal.result);
        }
        // Committed, but by a later leadership of this node, whose twins are others.
        Err(ShardsError::OutcomeUnknown {
            shard: self.shard.shard(),
            reason: format!(
                "it was committed under generation {} and asked for under {}",
                proposal.generation, self.generation
            ),
        })
    }
}

impl TwinWriter for LeaderWriter {
    fn commit<'a>(&'a self, customer: &'a CustomerId, command: TwinCommand) -> Proposal<'a> {
        Box::pin(async move {
            let written = self.write(customer, command).await;
            written.map_err(|error| HostError::Shard(error.into()))
        })
    }

    fn find(&self, customer: &CustomerId) -> Option<SharedTwin> {
        self.shard.machine().reader().twin(customer)
    }

    fn confirm(&self, generation: Generation, limit: Duration) -> Answer<()> {
        let shard = Arc::clone(&self.shard);
        Box::pin(async move {
            let confirmed = shard.confirm(generation, limit).await;
            confirmed.map_err(WireError::from)
        })
    }
}
