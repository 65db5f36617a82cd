//! Tasks that end with who started them.

use std::future::Future;
use tokio::task::JoinHandle;

/// A background task; dropping it ends the task.
#[derive(Debug)]
#[must_use = "the task ends when this is dropped"]
pub struct Task(JoinHandle<()>);

impl Task {
    #[expect(
        clippy::disallowed_methods,
        reason = "the handle is kept by who started it, and its drop ends the task"
    )]
    pub(crate) fn start(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    pub(crate) async fn ended(&mut self) {
        // A task that panicked or was ended has ended too.
        drop((&mut self.0).await);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
