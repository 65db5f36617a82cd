//! The twins of one shard, as its consensus group applies them on every replica.
//!
//! A group's log gives entries of commands; applying one changes twins in memory and writes what changed,
//! with how far the shard is applied, into the node's store in one batch. The store can be rebuilt: it is
//! brought forward by the log, or a snapshot of the shard takes its place.
//!
//! Invariants: the same entries give the same bytes on every replica; a command whose bytes cannot be read
//! quarantines its twin alone; a request that is remembered takes effect once; a snapshot is checked whole
//! before anything of it replaces anything. Not here: who may propose (the leader), and how entries travel.

mod error;
mod remembered;
mod snapshot;
mod stores;
#[cfg(test)]
mod tests;
mod twins;

pub use error::ShardError;
pub use remembered::REMEMBERED_MAX;
pub use snapshot::ShardCopy;
pub use stores::{ShardStores, ShardStoresReport};
pub use twins::{ShardEntry, ShardReader, ShardTwins};

use crate::state::TwinState;
use crate::stored::entry;
use crate::stored::shard_v1::{SHARD_BATCH, ShardBatch, ShardCommand};
use crate::stored::v1::TwinCommand;
use twinscale_protocol::envelope::{self, EnvelopeError};
use twinscale_protocol::{CustomerId, RequestId};
use twinscale_store::KeyValue;

/// Makes the entry of a command of its own or a part of a batch.
///
/// # Errors
/// [`EnvelopeError::TooLarge`] for a command that no entry can hold.
pub fn shard_command(
    request: RequestId,
    customer: &CustomerId,
    command: &TwinCommand,
) -> Result<ShardCommand, EnvelopeError> {
    Ok(ShardCommand {
        request,
        payload: entry::encode(customer, command)?,
    })
}

/// Reads whose twin a command is for; `None` when it names nobody.
pub fn command_customer(command: &ShardCommand) -> Option<CustomerId> {
    entry::customer(&command.payload)
}

/// Encodes commands as one entry.
///
/// # Errors
/// [`EnvelopeError::TooLarge`] when an entry cannot hold them all.
pub fn encode_batch(commands: Vec<ShardCommand>) -> Result<Vec<u8>, EnvelopeError> {
    envelope::seal(SHARD_BATCH, &ShardBatch { commands })
}

/// All keys under which a store holds a twin, with their values.
fn parts_of(state: &TwinState) -> Result<Vec<KeyValue>, ShardError> {
    let customer = state.customer();
    let encoded = state.encode_all().map_err(|source| ShardError::Encode {
        customer: customer.clone(),
        source,
    })?;
    encoded
        .into_iter()
        .map(|(part, value)| Ok((part.to_key(customer).map_err(ShardError::Store)?, value)))
        .collect()
}
