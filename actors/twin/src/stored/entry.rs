//! The payload of a log entry: whose twin, and the sealed command.
//!
//! The customer stands outside the envelope, so that a command that cannot be read quarantines one twin
//! and not the node. Layout: length of the customer id (one byte), the id, the envelope.

use super::v1::{COMMAND, KINDS, TwinCommand};
use twinscale_protocol::CustomerId;
use twinscale_protocol::envelope::{self, EnvelopeError};

/// What is wrong with a payload.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Not even the customer can be read.
    #[error("payload names no customer: the entry is not one of a twin")]
    Customer,
    /// Written by a newer program.
    #[error("command of twin `{customer}` was written by a newer program")]
    Newer {
        /// Whose twin.
        customer: CustomerId,
        /// Which version.
        #[source]
        source: EnvelopeError,
    },
    /// The command cannot be read.
    #[error("command of twin `{customer}` cannot be read")]
    Command {
        /// Whose twin.
        customer: CustomerId,
        /// Why.
        #[source]
        source: EnvelopeError,
    },
}

/// Encodes a command with its customer.
///
/// # Errors
/// [`EnvelopeError::TooLarge`] for a command that no entry can hold.
#[expect(
    clippy::missing_panics_doc,
    reason = "the rule of an id bounds its length"
)]
pub fn encode(customer: &CustomerId, command: &TwinCommand) -> Result<Vec<u8>, EnvelopeError> {
    let sealed = envelope::seal(COMMAND, command)?;
    let id = customer.as_str().as_bytes();
    let length = u8::try_from(id.len()).expect("an id has at most 63 bytes");
    let mut payload = Vec::with_capacity(1 + id.len() + sealed.len());
    payload.push(length);
    payload.extend_from_slice(id);
    payload.extend_from_slice(&sealed);
    Ok(payload)
}

/// Decodes a payload.
///
/// # Errors
/// [`EntryError`], with the customer where it can be read.
pub fn decode(payload: &[u8]) -> Result<(CustomerId, TwinCommand), EntryError> {
    let (customer, sealed) = split(payload).ok_or(EntryError::Customer)?;
    match envelope::open(COMMAND, sealed) {
        Ok(command) => Ok((customer, command)),
        Err(source) if is_of_newer(sealed, &source) => Err(EntryError::Newer { customer, source }),
        Err(source) => Err(EntryError::Command { customer, source }),
    }
}

/// Whether a newer program wrote it: bytes that are whole and that this program does not know. A replica
/// that passed over them would differ from those that know them.
fn is_of_newer(sealed: &[u8], error: &EnvelopeError) -> bool {
    matches!(error, EnvelopeError::Newer { .. })
        || envelope::check(sealed).is_ok_and(|kind| KINDS.contains(&kind.0))
}

/// Reads whose twin a payload is for; `None` when it names nobody.
pub fn customer(payload: &[u8]) -> Option<CustomerId> {
    split(payload).map(|(customer, _)| customer)
}

fn split(payload: &[u8]) -> Option<(CustomerId, &[u8])> {
    let (length, rest) = payload.split_first()?;
    let (id, sealed) = rest.split_at_checked(usize::from(*length))?;
    let customer = CustomerId::new(str::from_utf8(id).ok()?).ok()?;
    Some((customer, sealed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_command_still_names_its_customer() {
        let customer = CustomerId::new("acme").expect("an id");
        let good = encode(&customer, &TwinCommand::LiftQuarantine).expect("encodes");
        let (found, command) = decode(&good).expect("decodes");
        assert_eq!(
            (found, command),
            (customer.clone(), TwinCommand::LiftQuarantine)
        );
        let mut damaged = good.clone();
        *damaged.last_mut().expect("not empty") ^= 1;
        assert!(
            matches!(decode(&damaged), Err(EntryError::Command { customer: of, .. }) if of == customer)
        );
        let mut newer = good;
        newer[9] = 9;
        assert!(matches!(decode(&newer), Err(EntryError::Newer { .. })));
        for sealed in [
            envelope::seal(envelope::EnvelopeKind(*KINDS.end()), &1_u8),
            // A command behind the last one that is known.
            envelope::seal(COMMAND, &250_u8),
        ] {
            let sealed = sealed.expect("sealed");
            let whole = [&[4][..], b"acme", &sealed].concat();
            assert!(matches!(decode(&whole), Err(EntryError::Newer { .. })));
            let mut damaged = whole;
            *damaged.last_mut().expect("not empty") ^= 1;
            assert!(matches!(decode(&damaged), Err(EntryError::Command { .. })));
        }
        assert!(matches!(decode(&[200, 1]), Err(EntryError::Customer)));
    }
}
