//! The container engine, through its command line.
//!
//! The command and not the engine's API: it brings the contexts, credentials and replacements (podman) that are set
//! up for the person who calls it, as in `deploy/test.sh`, and no client library. A replica makes a few dozen calls.
//! What is measured does not go through it: CPU time is read from the kernel's control groups, since `docker stats`
//! tells rounded shares only.

mod arguments;
mod cgroup;
mod docker;

pub use self::arguments::{RUN_LABEL, RunSettings, run_arguments};
pub use self::cgroup::{CpuAccount, usage_paths};
pub use self::docker::{Engine, EngineError, Run, clean};
