//! How much may be under way with one peer. What is over it is refused at once and not queued, so that
//! a peer that does not answer costs a known amount of memory.

use crate::identity::Identity;
use crate::settings::WireSettings;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes are counted in these units, since a semaphore counts to 2^29 on small machines.
const UNIT_BYTES: usize = 1_024;

/// The slots of one peer, in one direction.
#[derive(Debug)]
pub(crate) struct Slots {
    calls: Arc<Semaphore>,
    units: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    calls_max: usize,
    bytes_max: usize,
    streams_max: usize,
}

/// A place among what is under way; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Admitted {
    _place: OwnedSemaphorePermit,
    _units: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(crate) fn new(settings: &WireSettings) -> Self {
        let units = settings.bytes_per_peer_max.div_ceil(UNIT_BYTES);
        Self {
            calls: Arc::new(Semaphore::new(settings.calls_per_peer_max)),
            units: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            streams: Arc::new(Semaphore::new(settings.streams_per_peer_max)),
            calls_max: settings.calls_per_peer_max,
            bytes_max: settings.bytes_per_peer_max,
            streams_max: settings.streams_per_peer_max,
        }
    }

    /// Takes a place for a call of so many bytes; the error is the limit that is reached, in words.
    pub(crate) fn admit_call(&self, bytes: usize) -> Result<Admitted, String> {
        let Ok(place) = Arc::clone(&self.calls).try_acquire_owned() else {
            return Err(format!("{} calls", self.calls_max));
        };
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let Ok(units) = Arc::clone(&self.units).try_acquire_many_owned(units) else {
            return Err(format!("calls of {} bytes", self.bytes_max));
        };
        Ok(Admitted {
            _place: place,
            _units: Some(units),
        })
    }

    /// Takes a place for a stream; the error is the limit that is reached, in words.
    pub(crate) fn admit_stream(&self) -> Result<Admitted, String> {
        let Ok(place) = Arc::clone(&self.streams).try_acquire_owned() else {
            return Err(format!("{} streams", self.streams_max));
        };
        Ok(Admitted {
            _place: place,
            _units: None,
        })
    }
}

/// The slots of all callers of a server; those of a caller live as long as it has a connection.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    slots: Mutex<BTreeMap<Identity, Weak<Slots>>>,
}

impl Callers {
    pub(crate) fn slots(&self, caller: &Identity, settings: &WireSettings) -> Arc<Slots> {
        let mut all = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slots) = all.get(caller).and_then(Weak::upgrade) {
            return slots;
        }
        all.retain(|_, slots| slots.strong_count() > 0);
        // Twice what a caller allows itself: a call that its caller gave up counts here until it is told.
        let slots = Arc::new(Slots::new(&WireSettings {
            calls_per_peer_max: settings.calls_per_peer_max.saturating_mul(2),
            bytes_per_peer_max: settings.bytes_per_peer_max.saturating_mul(2),
            streams_per_peer_max: settings.streams_per_peer_max.saturating_mul(2),
            ..settings.clone()
        }));
        all.insert(caller.clone(), Arc::downgrade(&slots));
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_named_and_frees_with_its_place() {
        let slots = Slots::new(&WireSettings {
            calls_per_peer_max: 2,
            bytes_per_peer_max: 4_096,
            streams_per_peer_max: 1,
            ..WireSettings::default()
        });
        let first = slots.admit_call(2_048).expect("fits");
        assert_eq!(
            slots.admit_call(2_049).expect_err("3 of 2 KiB"),
            "calls of 4096 bytes"
        );
        let second = slots.admit_call(10).expect("fits");
        assert_eq!(slots.admit_call(1).expect_err("third"), "2 calls");
        drop((first, second));
        let whole = slots.admit_call(4_096);
        assert!(whole.is_ok(), "all places are free again");
        let stream = slots.admit_stream();
        assert!(stream.is_ok());
        assert_eq!(slots.admit_stream().expect_err("second"), "1 streams");
    }
}
