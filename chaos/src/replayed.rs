//! A short replay of sample customers on an embedded node, with or without strikes.

use std::num::NonZeroUsize;

use tokio::runtime::Builder;
use twinscale::assembly::{ForecastWeights, NodeOptions, WatchLimits};
use twinscale::observe::Instruments;
use twinscale::progress::Progress;
use twinscale::replay::{ClusterOptions, ReplayOptions, Replayed, replay, replay_on_cluster};
use twinscale::report::report_json;
use twinscale::summary::{ReportFrame, report_input};
use twinscale::workload::{ReplayCustomer, from_samples};
use twinscale_provisioner::SimCloudConfig;

use crate::error::ChaosError;
use crate::strike::{Decision, Felt, Strike, StrikingSink};

/// How to replay.
#[derive(Clone, Debug)]
pub struct ReplayCase {
    /// Root of all randomness.
    pub seed: u64,
    /// Threads of the runtime, and plans that are searched at once.
    pub threads: NonZeroUsize,
    /// The forecaster's weights.
    pub weights: ForecastWeights,
    /// The step at which the demo's own strike falls, if it does.
    pub kill_forecaster_at: Option<usize>,
    /// Which actors are felled, and when.
    pub strikes: Vec<Strike>,
    /// The nodes on which it runs, and when one of them is killed; one alone without.
    pub cluster: Option<ClusterOptions>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct ReplayOutcome {
    /// The report, as `twinscale demo --json` prints it.
    pub json: String,
    /// What the replay itself returned.
    pub replayed: Replayed,
    /// What was decided and seen in each step, by step and customer.
    pub decisions: Vec<Decision>,
    /// The strikes after which the actor was back.
    pub felt: Vec<Felt>,
    /// Promises that did not hold; empty when all did.
    pub violations: Vec<String>,
}

impl ReplayCase {
    /// A case with the shipped weights, and nothing felled.
    ///
    /// # Errors
    /// When this build's weights are broken.
    pub fn undisturbed(seed: u64) -> Result<Self, ChaosError> {
        Ok(Self {
            seed,
            threads: NonZeroUsize::MIN,
            weights: ForecastWeights::load(None).map_err(|error| product(&error))?,
            kill_forecaster_at: None,
            strikes: Vec::new(),
            cluster: None,
        })
    }

    /// Replays customers on a node, or a cluster, of their own; strikes fall on a node alone.
    ///
    /// # Errors
    /// When the node does not start, or the replay stops.
    pub fn run(&self, customers: &[ReplayCustomer]) -> Result<ReplayOutcome, ChaosError> {
        let folder = tempfile::tempdir()
            .map_err(|error| ChaosError::io("create", std::env::temp_dir(), error))?;
        let cloud = SimCloudConfig::with_seed(self.seed);
        let rival_start_up = cloud.start_up.shape.median;
        let options = ReplayOptions {
            node: NodeOptions {
                directory: folder.path().to_owned(),
                seed: self.seed,
                optimizer_threads: self.threads,
                weights: self.weights.clone(),
                cloud,
                watch: WatchLimits::default(),
                instruments: Instruments::default(),
            },
            kill_forecaster_at: self.kill_forecaster_at,
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(self.threads.get())
            .enable_all()
            .build()
            .map_err(|error| ChaosError::io("start", "the runtime", error))?;
        let mut sink = StrikingSink::new(customers, &self.strikes);
        let progress = Progress::start("replay", 1, true);
        let replayed = runtime.block_on(async {
            match self.cluster {
                Some(cluster) => {
                    replay_on_cluster(customers, options, cluster, &mut sink, &progress).await
                }
                None => replay(customers, options, &mut sink, &progress).await,
            }
        });
        let replayed = replayed.map_err(|error| product(&error))?;
        let frame = ReportFrame {
            title: "Chaos",
            seed: self.seed,
            rival_start_up,
            killed_at: None,
            notes: Vec::new(),
        };
        let input = report_input(customers, &replayed, &sink.first_steps, &frame);
        let json = report_json(&input).map_err(|error| ChaosError::Product {
            reason: error.to_string(),
        })?;
        Ok(ReplayOutcome {
            json,
            replayed,
            decisions: sink.decisions,
            felt: sink.felt,
            violations: sink.violations,
        })
    }
}

/// The first sample customers, each with its first steps only: a warm-up day and what follows.
///
/// # Errors
/// When this build's samples are broken.
pub fn short_samples(customers: usize, steps: usize) -> Result<Vec<ReplayCustomer>, ChaosError> {
    let mut found = from_samples(customers, 1).map_err(|error| product(&error))?;
    for one in &mut found {
        one.steps.truncate(steps);
    }
    Ok(found)
}

fn product(error: &anyhow::Error) -> ChaosError {
    ChaosError::Product {
        reason: format!("{error:#}"),
    }
}
