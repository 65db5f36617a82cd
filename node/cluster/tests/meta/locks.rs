//! Whether the folders of a node that was killed are free again.

use std::path::Path;
use twinscale_log::LOCK_NAME;
use twinscale_log::disk::{Disk as _, FsDisk, Locking};
use twinscale_store::{StoreError, StoreOptions, open_store};

pub(crate) fn is_free(log: &Path) -> bool {
    let disk = FsDisk::at(log).expect("a folder");
    let locking = disk.lock(LOCK_NAME).expect("a lock file");
    matches!(locking, Locking::Taken(_))
}

pub(crate) fn is_store_free(store: &Path) -> bool {
    match open_store(store, StoreOptions::default()) {
        Ok(opened) => opened.store.close().is_ok(),
        Err(StoreError::InUse { .. }) => false,
        // Whoever opens it next says why.
        Err(_other) => true,
    }
}
