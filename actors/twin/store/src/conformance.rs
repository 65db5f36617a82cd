//! What every engine must do, checked from outside.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use twinscale_log::LogIndex;

use crate::batch::{Batch, Pending};
use crate::error::StoreError;
use crate::keys::{customer_key, customer_prefix};
use crate::state_store::{KEY_BYTES_MAX, StateStore, VALUE_BYTES_MAX, collect_prefix};

/// Opens the store under test: empty at first, then with what was there when it was closed.
pub type Open<'a> = dyn FnMut() -> Result<Box<dyn StateStore>, StoreError> + 'a;

/// A promise that an engine broke.
#[derive(Debug, thiserror::Error)]
pub enum ConformanceError {
    /// A check found something else than it expects.
    #[error("check {check:?} failed: {found} found, {expected} expected")]
    Unexpected {
        /// The promise.
        check: &'static str,
        /// What was found.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// An operation failed that should not.
    #[error("store under test failed")]
    Store(#[from] StoreError),
}

/// Runs all checks; `open` must start with an empty store.
///
/// # Errors
/// The first broken promise.
pub fn check_all(open: &mut Open<'_>) -> Result<(), ConformanceError> {
    let store = open()?;
    expect("a new store is empty", store.entries(), 0)?;
    expect("nothing is applied", store.applied_index(), LogIndex::ZERO)?;
    check_reads_and_writes(&*store)?;
    check_order_and_bounds(&*store)?;
    check_applied_index(&*store)?;
    check_refusals(&*store)?;
    check_many_batches(store, open)
}

fn expect<T: PartialEq + std::fmt::Debug>(
    check: &'static str,
    found: T,
    expected: T,
) -> Result<(), ConformanceError> {
    if found == expected {
        return Ok(());
    }
    Err(ConformanceError::Unexpected {
        check,
        found: format!("{found:?}"),
        expected: format!("{expected:?}"),
    })
}

/// Applies a batch as the entry that follows.
fn apply_next(store: &dyn StateStore, batch: &Batch) -> Result<(), StoreError> {
    store.apply(batch, store.applied_index().next())
}

fn check_reads_and_writes(store: &dyn StateStore) -> Result<(), ConformanceError> {
    let mut batch = Batch::new();
    batch.put(*b"/v1/a", *b"one");
    batch.put(*b"/v1/b", *b"");
    batch.put(*b"/v1/b", *b"two");
    batch.delete(*b"/v1/absent");
    expect(
        "the later put counts",
        batch.pending(b"/v1/b"),
        Pending::Put(b"two"),
    )?;
    apply_next(store, &batch)?;
    expect("put is read", store.get(b"/v1/a")?, Some(b"one".to_vec()))?;
    expect(
        "later put is read",
        store.get(b"/v1/b")?,
        Some(b"two".to_vec()),
    )?;
    expect("absent key", store.get(b"/v1/absent")?, None)?;
    expect("keys are counted", store.entries(), 2)?;
    let mut batch = Batch::new();
    batch.delete(*b"/v1/a");
    batch.put(*b"/v1/b", *b"three");
    batch.put(*b"/v1/empty", *b"");
    apply_next(store, &batch)?;
    expect("deleted key", store.get(b"/v1/a")?, None)?;
    expect(
        "replaced value",
        store.get(b"/v1/b")?,
        Some(b"three".to_vec()),
    )?;
    expect("empty value", store.get(b"/v1/empty")?, Some(Vec::new()))?;
    expect("keys are counted after deletes", store.entries(), 2)?;
    let large = vec![0xa5; 3 << 20];
    let mut batch = Batch::new();
    batch.put(*b"/v1/large", large.clone());
    apply_next(store, &batch)?;
    expect(
        "large value",
        store.get(b"/v1/large")?.as_ref() == Some(&large),
        true,
    )?;
    clear(store)
}

fn clear(store: &dyn StateStore) -> Result<(), ConformanceError> {
    let mut batch = Batch::new();
    for (key, _) in collect_prefix(store, b"/", usize::MAX)? {
        batch.delete(key);
    }
    apply_next(store, &batch)?;
    expect("cleared store counts no key", store.entries(), 0)
}

fn check_order_and_bounds(store: &dyn StateStore) -> Result<(), ConformanceError> {
    let mut batch = Batch::new();
    for customer in ["acme", "acme-2", "globex"] {
        for at in [-5_i64, 3, 70_000, i64::MIN] {
            let key = customer_key(customer, "sample")?.signed(at).build();
            batch.put(key, at.to_le_bytes());
        }
        batch.put(customer_key(customer, "plan")?.number(1).build(), *b"p");
    }
    batch.put(vec![b'/', 0xff, 0xff], *b"last");
    apply_next(store, &batch)?;
    let samples = customer_key("acme", "sample")?.prefix();
    let found: Vec<Vec<u8>> = collect_prefix(store, &samples, usize::MAX)?
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    let expected: Vec<Vec<u8>> = [i64::MIN, -5, 3, 70_000]
        .iter()
        .map(|at| at.to_le_bytes().to_vec())
        .collect();
    expect("prefix scan is ordered and alone", found, expected)?;
    let start = customer_key("acme", "sample")?.signed(-5).build();
    let end = customer_key("acme", "sample")?.signed(70_000).build();
    let mut count = 0;
    store.scan_range(&start, &end, &mut |_, _| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    expect("range takes its start and leaves its end", count, 2)?;
    let mut visited = 0;
    store.scan_prefix(&customer_prefix("globex")?, &mut |_, _| {
        visited += 1;
        ControlFlow::Break(())
    })?;
    expect("a visitor ends the scan", visited, 1)?;
    expect(
        "a limit of a collection holds",
        collect_prefix(store, b"/", 4)?.len(),
        4,
    )?;
    let tail = collect_prefix(store, &[b'/', 0xff], usize::MAX)?;
    expect("a prefix of the last byte", tail.len(), 1)?;
    let all = collect_prefix(store, b"", usize::MAX)?;
    expect("the empty prefix sees keys alone", all.len(), 16)?;
    store.scan_range(&end, &start, &mut |_, _| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    expect("a reversed range is empty", count, 2)?;
    clear(store)
}

fn check_applied_index(store: &dyn StateStore) -> Result<(), ConformanceError> {
    let applied = store.applied_index();
    let far = LogIndex::new(applied.get() + 100);
    store.apply(&Batch::new(), far)?;
    expect("an empty batch moves the index", store.applied_index(), far)?;
    let mut batch = Batch::new();
    batch.put(*b"/v1/x", *b"again");
    for index in [LogIndex::ZERO, applied, far] {
        let refused = matches!(
            store.apply(&batch, index),
            Err(StoreError::AppliedAlready { .. })
        );
        expect("an applied entry is refused", refused, true)?;
    }
    expect(
        "a refused batch changes nothing",
        store.get(b"/v1/x")?,
        None,
    )
}

fn check_refusals(store: &dyn StateStore) -> Result<(), ConformanceError> {
    let applied = store.applied_index();
    let long_key = vec![b'/'; KEY_BYTES_MAX + 1];
    for key in [b"".as_slice(), b"!meta", b"v1/x", &long_key] {
        let mut batch = Batch::new();
        batch.put(*b"/v1/beside", *b"x");
        batch.put(key, *b"x");
        let refused = matches!(
            apply_next(store, &batch),
            Err(StoreError::InvalidKey { .. })
        );
        expect("a key outside the key space is refused", refused, true)?;
        let refused = matches!(store.get(key), Err(StoreError::InvalidKey { .. }));
        expect("a read outside the key space is refused", refused, true)?;
    }
    let mut batch = Batch::new();
    batch.put(*b"/v1/big", vec![0; VALUE_BYTES_MAX + 1]);
    let refused = matches!(
        apply_next(store, &batch),
        Err(StoreError::ValueTooLarge { .. })
    );
    expect("a value that is too large is refused", refused, true)?;
    expect("refusals change nothing", store.get(b"/v1/beside")?, None)?;
    expect("refusals move no index", store.applied_index(), applied)
}

/// Many batches with overwrites and deletes; the same state after closing and opening.
fn check_many_batches(
    store: Box<dyn StateStore>,
    open: &mut Open<'_>,
) -> Result<(), ConformanceError> {
    let mut model = Model::new();
    let mut store = store;
    for round in 0..6_u64 {
        for step in 0..50_u64 {
            let batch = mixed_batch(round * 50 + step, &mut model);
            apply_next(&*store, &batch)?;
        }
        expect_model(&*store, &model)?;
        let (applied, entries) = (store.applied_index(), store.entries());
        if round.is_multiple_of(2) {
            store.close()?;
        } else {
            // Dropping must keep the state as closing does.
            drop(store);
        }
        store = open()?;
        expect("the applied index is kept", store.applied_index(), applied)?;
        expect("the number of keys is kept", store.entries(), entries)?;
        expect_model(&*store, &model)?;
    }
    store.close()?;
    Ok(())
}

/// The state as a plain map.
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Puts ten keys out of a small set, so that most overwrite, and deletes some.
fn mixed_batch(step: u64, model: &mut Model) -> Batch {
    let mut batch = Batch::new();
    for at in 0..10 {
        // Steps of a prime walk through the keys in no plain order.
        let number = (step * 10 + at) * 7_919 % 401;
        let key = crate::keys::node_key("conformance").number(number).build();
        if number % 5 == step % 5 {
            batch.delete(key.clone());
            model.remove(&key);
        } else {
            let length = usize::try_from(number * 13 % 900).unwrap_or(0);
            let value = vec![u8::try_from(step % 251).unwrap_or(0); length];
            batch.put(key.clone(), value.clone());
            model.insert(key, value);
        }
    }
    batch
}

fn expect_model(store: &dyn StateStore, model: &Model) -> Result<(), ConformanceError> {
    let found: Model = collect_prefix(store, b"/", usize::MAX)?
        .into_iter()
        .collect();
    expect("the whole state is as applied", found == *model, true)?;
    expect("keys are counted", store.entries(), model.len() as u64)
}
