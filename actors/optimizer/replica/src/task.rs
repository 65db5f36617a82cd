//! Tasks that outlive their caller on purpose.

use std::future::Future;
use tokio::task::JoinHandle;

/// Starts work that goes on when nobody waits for it: connections, and visits whose caller gave up.
#[expect(
    clippy::disallowed_methods,
    reason = "they end with their peer or their work, and all of them with the process"
)]
pub(crate) fn start<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(work)
}
