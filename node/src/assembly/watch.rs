//! How long the work of a node's actors may take.

use std::time::Duration;
use twinscale_cluster_config::WatchSettings;
use twinscale_forecaster::actor::JOB_LIMIT;
use twinscale_optimizer::actor::JOB_LIMIT as PLAN_LIMIT;
use twinscale_protocol::Seconds;
use twinscale_supervision::RestartPolicy;
use twinscale_supervision::health::ABANDONED_THREADS_MAX;
use twinscale_twin::PhaseLimits;

/// How long work may take before it counts as hung, in system time, and how much of it a node survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchLimits {
    /// A forecast job.
    pub forecast_job: Duration,
    /// A plan job.
    pub plan_job: Duration,
    /// One message of a shared actor, which may wait for several jobs.
    pub shared_message: Duration,
    /// Restarts of a shared actor within a minute after which its supervisor gives up.
    pub shared_restarts_max: usize,
    /// One message of a twin, which waits for nothing.
    pub twin_message: Duration,
    /// Threads that may be lost to hung jobs before the node fails.
    pub abandoned_threads_max: u32,
    /// How long a twin waits for others.
    pub phases: PhaseLimits,
}

/// A wait that only ends early what hangs for good.
const PATIENCE: Duration = Duration::from_mins(10);

impl WatchLimits {
    /// For replays and benchmarks: on a machine with other work they take longer, and give the same. A twin that
    /// lost its patience there would act without a fresh forecast, and the outcome would hang on the machine.
    pub fn patient() -> Self {
        Self {
            forecast_job: PATIENCE,
            plan_job: PATIENCE,
            shared_message: PATIENCE,
            twin_message: PATIENCE,
            phases: PhaseLimits {
                forecast: PATIENCE,
                plan: PATIENCE,
                provision: PATIENCE,
                commit: PATIENCE,
                ..PhaseLimits::default()
            },
            ..Self::default()
        }
    }
}

impl Default for WatchLimits {
    /// A job of minutes, a few of them for one message; a twin's handler takes milliseconds.
    fn default() -> Self {
        Self {
            forecast_job: JOB_LIMIT,
            plan_job: PLAN_LIMIT,
            shared_message: RestartPolicy::default().message_limit,
            shared_restarts_max: RestartPolicy::default().restarts_max,
            twin_message: Duration::from_mins(1),
            abandoned_threads_max: ABANDONED_THREADS_MAX,
            phases: PhaseLimits::default(),
        }
    }
}

impl From<&WatchSettings> for WatchLimits {
    fn from(settings: &WatchSettings) -> Self {
        let limit = |seconds: Seconds| Duration::from_secs(u64::from(seconds.0));
        Self {
            forecast_job: limit(settings.forecast_job),
            plan_job: limit(settings.plan_job),
            shared_message: limit(settings.shared_message),
            shared_restarts_max: RestartPolicy::default().restarts_max,
            twin_message: limit(settings.twin_message),
            abandoned_threads_max: settings.abandoned_threads_max,
            phases: PhaseLimits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_cluster_config::NodeSettings;

    #[test]
    fn a_node_without_settings_is_watched_like_a_replay() {
        let settings = NodeSettings::default();
        assert_eq!(
            WatchLimits::from(&settings.watch),
            WatchLimits::default(),
            "the defaults of the settings are those of the actors"
        );
    }
}
