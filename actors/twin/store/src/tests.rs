//! Tests of both engines, of opening, damage and replay.

mod keys;
mod opening;
mod replaying;

use std::path::Path;

use crate::checked::{MemoryDisk, open_in_memory};
use crate::conformance;
use crate::open::open_store;
use crate::options::{EngineKind, StoreOptions};

fn options(engine: EngineKind) -> StoreOptions {
    StoreOptions {
        engine,
        ..StoreOptions::default()
    }
}

fn check_engine(engine: EngineKind, path: &Path) {
    conformance::check_all(&mut || Ok(open_store(path, options(engine))?.store)).unwrap();
}

#[test]
fn sled_conforms() {
    let directory = tempfile::tempdir().unwrap();
    check_engine(EngineKind::Sled, &directory.path().join("store"));
}

#[test]
fn fjall_conforms() {
    let directory = tempfile::tempdir().unwrap();
    check_engine(EngineKind::Fjall, &directory.path().join("store"));
}

#[test]
fn the_memory_engine_conforms() {
    let disk = MemoryDisk::default();
    conformance::check_all(&mut || open_in_memory(&disk)).unwrap();
}

/// An engine that forgets a delete must not pass: the suite can fail.
#[test]
fn the_suite_refuses_a_store_that_is_not_empty() {
    let disk = MemoryDisk::default();
    let store = open_in_memory(&disk).unwrap();
    let mut batch = crate::Batch::new();
    batch.put(*b"/v1/x", *b"x");
    store
        .apply(&batch, twinscale_log::LogIndex::new(1))
        .unwrap();
    let error = conformance::check_all(&mut || open_in_memory(&disk)).unwrap_err();
    assert!(
        error.to_string().contains("a new store is empty"),
        "{error}"
    );
}
