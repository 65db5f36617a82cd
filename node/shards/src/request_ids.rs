//! Ids under which a request that is sent again takes effect once.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::sync::{Mutex, PoisonError};
use twinscale_protocol::RequestId;

/// Draws request ids.
#[derive(Debug)]
pub struct RequestIds(Mutex<ChaCha8Rng>);

impl RequestIds {
    /// Draws from a seed, which no other process may use.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(Mutex::new(ChaCha8Rng::from_seed(seed)))
    }

    /// The next id.
    pub fn next(&self) -> RequestId {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let id = RequestId(random.random());
            if id != RequestId::NONE {
                return id;
            }
        }
    }
}
