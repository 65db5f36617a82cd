//! What ends a command under a live view: its keys, and signals. The terminal is restored before the end.

use crate::error::ExpectedError;
use crate::live::session::{LiveView, Viewing};
use crate::progress::Progress;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Waits for whatever ends a command.
pub(super) struct Stops {
    viewing: watch::Receiver<Viewing>,
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    pub(super) fn listen(view: &LiveView) -> anyhow::Result<Self> {
        Ok(Self {
            viewing: view.viewing(),
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the end; shows the progress line when only the view is closed.
    pub(super) async fn next(&mut self, progress: &Progress) -> ExpectedError {
        let closed = async {
            let ended = self.viewing.wait_for(|viewing| *viewing != Viewing::Open);
            let ended = ended.await.map(|ended| ended.clone());
            if !matches!(ended, Ok(Viewing::Interrupted)) {
                // The view is gone, its replay is not.
                progress.show();
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = closed => ExpectedError::Interrupted { signal: 2 },
            _ = self.interrupt.recv() => ExpectedError::Interrupted { signal: 2 },
            _ = self.terminate.recv() => ExpectedError::Interrupted { signal: 15 },
        }
    }
}
