//! The sealed datagram: what is sent in clear, what is encrypted, and what authenticates it.
//!
//! ```text
//! clear:  magic 4 | version 1 | cluster tag 8 | key id 8 | salt 16 | counter 8
//! sealed: member 8 | incarnation 8 | sent at, ms 8 | message        then a tag of 16
//! ```
//! Numbers are little-endian. The nonce is salt and counter: the salt is random for each start, the counter
//! rises within it, so no nonce comes twice. The associated data is all that is in clear and the full id
//! of the cluster.

use chacha20poly1305::XNonce;
use chacha20poly1305::aead::AeadInOut;
use sha2::{Digest, Sha256};
use twinscale_protocol::{ClusterId, NodeNumber};

use crate::ids::Incarnation;
use crate::key::KeyId;
use crate::limits::DATAGRAM_BYTES_MAX;
use crate::refusal::RefusalReason;
use crate::replay::Session;
use crate::ring::KeyRing;

const MAGIC: [u8; 4] = *b"TWGS";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 45;
const STAMP_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// What sealing adds to a message, in bytes.
pub(crate) const OVERHEAD_BYTES: usize = HEADER_BYTES + STAMP_BYTES + TAG_BYTES;

/// Sets the tag's hash apart from any other use of the id.
const CLUSTER_TAG_CONTEXT: &[u8] = b"twinscale gossip cluster tag 1";

/// A cluster's id as datagrams carry it: a short tag in clear, to tell "another cluster" from "forged", and
/// the whole of it in the associated data.
#[derive(Clone, Debug)]
pub(crate) struct ClusterBinding {
    id: ClusterId,
    tag: [u8; 8],
}

impl ClusterBinding {
    pub(crate) fn new(id: ClusterId) -> Self {
        let hash = Sha256::new()
            .chain_update(CLUSTER_TAG_CONTEXT)
            .chain_update(id.as_str())
            .finalize();
        let mut tag = [0; 8];
        tag.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Self { id, tag }
    }

    fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        [header, self.id.as_str().as_bytes()].concat()
    }
}

/// Why a message was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealError {
    TooLarge,
    /// The counter is used up or there is no key: neither happens in practice, and neither may panic.
    Unable,
}

/// Seals what one session sends.
#[derive(Debug)]
pub(crate) struct Sealer {
    cluster: ClusterBinding,
    session: Session,
    counter: u64,
}

impl Sealer {
    pub(crate) fn new(cluster: ClusterBinding, session: Session) -> Self {
        Self {
            cluster,
            session,
            counter: 0,
        }
    }

    /// Seals a message into `datagram`, replacing what is there.
    pub(crate) fn seal(
        &mut self,
        keys: &KeyRing,
        now_ms: u64,
        message: &[u8],
        datagram: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        if message.len() > DATAGRAM_BYTES_MAX - OVERHEAD_BYTES {
            return Err(SealError::TooLarge);
        }
        let key = keys.sending().ok_or(SealError::Unable)?;
        let counter = self.counter.checked_add(1).ok_or(SealError::Unable)?;
        self.counter = counter;
        let nonce = nonce(&self.session.salt, counter);
        datagram.clear();
        datagram.extend_from_slice(&MAGIC);
        datagram.push(VERSION);
        datagram.extend_from_slice(&self.cluster.tag);
        datagram.extend_from_slice(&key.id().0);
        datagram.extend_from_slice(&nonce);
        let associated = self.cluster.associated_data(datagram);
        let mut body = Vec::with_capacity(STAMP_BYTES + message.len() + TAG_BYTES);
        body.extend_from_slice(&self.session.member.0.to_le_bytes());
        body.extend_from_slice(&self.session.incarnation.0.to_le_bytes());
        body.extend_from_slice(&now_ms.to_le_bytes());
        body.extend_from_slice(message);
        key.cipher()
            .encrypt_in_place(&XNonce::from(nonce), &associated, &mut body)
            .map_err(|chacha20poly1305::Error| SealError::Unable)?;
        datagram.extend_from_slice(&body);
        Ok(())
    }
}

fn nonce(salt: &[u8; 16], counter: u64) -> [u8; 24] {
    let mut nonce = [0; 24];
    let parts = salt.iter().copied().chain(counter.to_le_bytes());
    nonce
        .iter_mut()
        .zip(parts)
        .for_each(|(to, from)| *to = from);
    nonce
}

/// An authentic datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) counter: u64,
    pub(crate) sent_at_ms: u64,
    pub(crate) key: KeyId,
    pub(crate) message: Vec<u8>,
}

/// Opens a datagram: cheap checks on the clear part first, then authenticity.
pub(crate) fn open(
    cluster: &ClusterBinding,
    keys: &KeyRing,
    datagram: &[u8],
) -> Result<Opened, RefusalReason> {
    if datagram.len() > DATAGRAM_BYTES_MAX {
        return Err(RefusalReason::TooLarge);
    }
    if datagram.len() < OVERHEAD_BYTES {
        return Err(RefusalReason::Malformed);
    }
    let (header, body) = datagram.split_at(HEADER_BYTES);
    let clear = read_header(header).ok_or(RefusalReason::Malformed)?;
    if clear.cluster_tag != cluster.tag {
        return Err(RefusalReason::OtherCluster);
    }
    let key = keys.accepted(clear.key).ok_or(RefusalReason::UnknownKey)?;
    let mut body = body.to_vec();
    let associated = cluster.associated_data(header);
    key.cipher()
        .decrypt_in_place(
            &XNonce::from(nonce(&clear.salt, clear.counter)),
            &associated,
            &mut body,
        )
        .map_err(|chacha20poly1305::Error| RefusalReason::Forged)?;
    read_body(&clear, &body).ok_or(RefusalReason::Malformed)
}

struct Clear {
    cluster_tag: [u8; 8],
    key: KeyId,
    salt: [u8; 16],
    counter: u64,
}

fn read_header(mut rest: &[u8]) -> Option<Clear> {
    let magic: [u8; 4] = take(&mut rest)?;
    let [version] = take(&mut rest)?;
    let clear = Clear {
        cluster_tag: take(&mut rest)?,
        key: KeyId(take(&mut rest)?),
        salt: take(&mut rest)?,
        counter: u64::from_le_bytes(take(&mut rest)?),
    };
    (magic == MAGIC && version == VERSION && rest.is_empty()).then_some(clear)
}

fn read_body(clear: &Clear, mut rest: &[u8]) -> Option<Opened> {
    let session = Session {
        member: NodeNumber(u64::from_le_bytes(take(&mut rest)?)),
        incarnation: Incarnation(u64::from_le_bytes(take(&mut rest)?)),
        salt: clear.salt,
    };
    Some(Opened {
        session,
        counter: clear.counter,
        sent_at_ms: u64::from_le_bytes(take(&mut rest)?),
        key: clear.key,
        message: rest.to_vec(),
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

#[cfg(test)]
mod tests;
