//! A file put together of chunks that come in order.

use crate::files::sha256;
use crate::limits::CHUNK_BYTES;
use crate::message::Part;

/// Why chunks make no file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssemblyError {
    /// The file is empty, or larger than its kind may be.
    #[error("{part} of {bytes} bytes: send 1 to {} bytes", part.bytes_max())]
    Length {
        /// Which file.
        part: Part,
        /// Its length.
        bytes: u64,
    },
    /// A chunk is not the next one, or longer than what is left.
    #[error(
        "chunk of {bytes} bytes at {offset} does not go on at {next} of {total}: begin again with the first one"
    )]
    Order {
        /// Where it begins.
        offset: u64,
        /// Its length.
        bytes: u64,
        /// Where the next one must begin.
        next: u64,
        /// Length of the file.
        total: u64,
    },
    /// The whole is not what was announced.
    #[error("{part} has another hash than was announced: send it again")]
    Hash {
        /// Which file.
        part: Part,
    },
}

/// A file on its way.
#[derive(Clone, Debug)]
pub struct Assembly {
    part: Part,
    digest: [u8; 32],
    total: u64,
    bytes: Vec<u8>,
}

impl Assembly {
    /// Begins a file of a length and a hash.
    ///
    /// # Errors
    /// [`AssemblyError::Length`].
    pub fn new(part: Part, digest: [u8; 32], total: u64) -> Result<Self, AssemblyError> {
        if total == 0 || total > part.bytes_max() {
            let bytes = total;
            return Err(AssemblyError::Length { part, bytes });
        }
        Ok(Self {
            part,
            digest,
            total,
            bytes: Vec::new(),
        })
    }

    /// Where the next chunk must begin; `None` = all are there.
    pub fn next(&self) -> Option<u64> {
        let have = self.have();
        (have < self.total).then_some(have)
    }

    /// Its hash and its length, as they were announced.
    pub fn announced(&self) -> ([u8; 32], u64) {
        (self.digest, self.total)
    }

    /// Bytes that are there.
    pub fn have(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// [`AssemblyError::Order`]; what is there already stays.
    pub fn take(&mut self, offset: u64, chunk: &[u8]) -> Result<(), AssemblyError> {
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        let next = self.have();
        let fits = length <= (self.total - next).min(CHUNK_BYTES);
        if offset != next || length == 0 || !fits {
            return Err(AssemblyError::Order {
                offset,
                bytes: length,
                next,
                total: self.total,
            });
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// The whole file, once all of it is there and what was announced.
    ///
    /// # Errors
    /// [`AssemblyError::Order`] while chunks are missing, [`AssemblyError::Hash`].
    pub fn finish(self) -> Result<Vec<u8>, AssemblyError> {
        if let Some(next) = self.next() {
            return Err(AssemblyError::Order {
                offset: next,
                bytes: 0,
                next,
                total: self.total,
            });
        }
        if sha256(&self.bytes) != self.digest {
            return Err(AssemblyError::Hash { part: self.part });
        }
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_order_and_hash_are_checked() {
        for total in [0, Part::Card.bytes_max() + 1] {
            let refused = Assembly::new(Part::Card, [0; 32], total).expect_err("refused");
            assert!(matches!(refused, AssemblyError::Length { .. }), "{refused}");
        }
        let mut one = Assembly::new(Part::Weights, sha256(b"abcd"), 4).expect("begun");
        one.take(0, b"ab").expect("next");
        for (offset, chunk) in [(0, &b"ab"[..]), (3, b"d"), (2, b"cde"), (2, b"")] {
            assert!(one.take(offset, chunk).is_err(), "{offset} {chunk:?}");
        }
        assert!(one.clone().finish().is_err(), "half of it");
        let mut wrong = one.clone();
        wrong.take(2, b"cx").expect("next");
        let hash = AssemblyError::Hash {
            part: Part::Weights,
        };
        assert_eq!(wrong.finish(), Err(hash));
        one.take(2, b"cd").expect("next");
        assert_eq!(one.next(), None);
        assert_eq!(one.finish().expect("whole"), b"abcd");
    }

    proptest! {
        /// Whatever chunks come in whatever order: the file that was announced, or none.
        #[test]
        fn any_chunks_give_the_file_or_none(
            file in prop::collection::vec(any::<u8>(), 1..64),
            cuts in prop::collection::vec((0_usize..64, 0_usize..64), 0..40),
        ) {
            let total = u64::try_from(file.len()).expect("small");
            let mut one = Assembly::new(Part::Weights, sha256(&file), total).expect("begun");
            for (from, to) in cuts {
                let (from, to) = (from.min(file.len()), to.min(file.len()));
                let before = one.have();
                let taken = one.take(u64::try_from(from).expect("small"), file.get(from..to).unwrap_or(b""));
                prop_assert_eq!(taken.is_ok(), one.have() > before);
            }
            while let Some(next) = one.next() {
                let at = usize::try_from(next).expect("small");
                one.take(next, &file[at..=at]).expect("next");
            }
            prop_assert_eq!(one.finish().expect("whole"), file);
        }
    }
}
