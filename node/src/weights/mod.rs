//! Weights in service: what group 0 says of them, carried out on this node.
//!
//! [`keeper`] has the registered files here and the forecaster serve and compare what it should; [`fetch`] brings
//! files from other nodes; [`answers`] gives files to them and takes those of operators; [`gather`] asks what
//! every node serves; [`judge`] decides trials where group 0 is led; [`schedule`] has the command retrain there
//! when it is due; [`reader`] tells of all that over the API. Invariants: what is decided is committed in group 0
//! before anybody acts on it; a node that cannot follow serves with what it has, and says so. Not here: forecasts and their scores
//! (`twinscale_forecaster::shadow`), and how files are kept (`twinscale_weights`).

pub mod answers;
pub mod fetch;
pub mod gather;
pub mod judge;
pub mod keeper;
pub mod local;
pub mod message;
pub mod notice;
pub mod reader;
pub mod schedule;

use answers::{ChunkAnswers, NodeAnswers, PutAnswers, ReadAnswers};
use gather::Gather;
use judge::Judge;
use keeper::Keeper;
use local::LocalWeights;
use message::{WEIGHTS_NODE, WEIGHTS_PUT, WEIGHTS_READ};
use reader::WeightsReader;
use schedule::{RetrainOptions, Retrainer};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use twinscale_cluster::network::{Callers, LateAnswer};
use twinscale_cluster::node::ClusterNode;
use twinscale_cluster_config::{ForecasterSettings, NodeSettings};
use twinscale_forecaster::shadow::Rule;
use twinscale_membership::{SystemWallClock, WallClock};
use twinscale_protocol::Seconds;
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_weights::{CHUNK_REQUEST, FileError, WeightsFiles};

use crate::assembly::{ForecastWeights, Node};

/// How often the leader of group 0 looks at the trial.
const JUDGE_EVERY: Duration = Duration::from_secs(10);

/// Folder of weights in the data directory.
const FOLDER: &str = "weights";

/// The places of these answers in a node that starts before its service.
#[derive(Clone, Debug, Default)]
pub struct WeightsSlots {
    chunks: Arc<LateAnswer>,
    puts: Arc<LateAnswer>,
    nodes: Arc<LateAnswer>,
    reads: Arc<LateAnswer>,
}

impl WeightsSlots {
    /// What the node is set up with: the kinds, and who may ask them.
    #[must_use]
    pub fn late(&self) -> Vec<(EnvelopeKind, Callers, Arc<LateAnswer>)> {
        vec![
            (CHUNK_REQUEST, Callers::Nodes, Arc::clone(&self.chunks)),
            (WEIGHTS_NODE, Callers::Nodes, Arc::clone(&self.nodes)),
            (WEIGHTS_PUT, Callers::Operators, Arc::clone(&self.puts)),
            (WEIGHTS_READ, Callers::People, Arc::clone(&self.reads)),
        ]
    }
}

/// How weights are served on a node.
#[derive(Clone, Debug)]
pub struct WeightsOptions {
    /// The data directory.
    pub data_dir: PathBuf,
    /// By which rule trials are decided.
    pub rule: Rule,
    /// How often the leader of group 0 looks at the trial.
    pub judge_every: Duration,
    /// How the command is started that retrains; `None` = it is not.
    pub retrain: Option<RetrainOptions>,
    /// The clock.
    pub clock: Arc<dyn WallClock>,
}

impl WeightsOptions {
    /// As the settings of a node say, whose API listens at an address.
    pub fn of(settings: &NodeSettings, api: SocketAddr) -> Self {
        let ForecasterSettings {
            retrain_every,
            retrain_limit,
            retrain_steps,
            trial_series_min,
            trial_forecasts_min,
            trial_span_min,
            trial_max,
            watch,
            margin_percent,
        } = settings.forecaster;
        let duration = |seconds: Seconds| Duration::from_secs(u64::from(seconds.0));
        let program = std::env::current_exe();
        if let Err(error) = &program {
            tracing::warn!(%error, "this node cannot find its program: it does not retrain");
        }
        let retrain = retrain_every.zip(program.ok());
        Self {
            data_dir: settings.data_dir.clone(),
            rule: Rule {
                series_min: usize::try_from(trial_series_min).unwrap_or(usize::MAX),
                forecasts_min: u64::from(trial_forecasts_min),
                span_min_s: u64::from(trial_span_min.0),
                trial_max_s: u64::from(trial_max.0),
                watch_s: u64::from(watch.0),
                margin: f64::from(margin_percent) / 100.0,
                ..Rule::default()
            },
            judge_every: JUDGE_EVERY,
            retrain: retrain.map(|(every, program)| RetrainOptions {
                every: duration(every),
                limit: duration(retrain_limit),
                steps: u64::from(retrain_steps),
                program,
                server: format!("http://{api}"),
                data_dir: settings.data_dir.clone(),
            }),
            clock: Arc::new(SystemWallClock),
        }
    }
}

/// Weights in service on a node; dropping it ends its tasks.
#[derive(Debug)]
pub struct WeightsService {
    local: Arc<LocalWeights>,
    gather: Gather,
    _tasks: JoinSet<()>,
}

impl WeightsService {
    /// Follows group 0, and answers from now on.
    ///
    /// # Errors
    /// When the folder of weights cannot be used.
    pub fn start(
        slots: &WeightsSlots,
        cluster: &ClusterNode,
        node: &Node,
        options: WeightsOptions,
    ) -> Result<Self, FileError> {
        let files = WeightsFiles::open(options.data_dir.join(FOLDER))?;
        let instruments = node.instruments().clone();
        let shown = Arc::clone(cluster.keeper().shown());
        let local = Arc::new(LocalWeights::new(files, node.serving().clone()));
        let gather = Gather {
            own: cluster.number(),
            calls: cluster.calls().clone(),
            shown: Arc::clone(&shown),
            members: cluster.membership().watch(),
            local: Arc::clone(&local),
            rule: options.rule,
        };
        let keeper = Keeper::new(
            Arc::clone(&local),
            gather.clone(),
            node.forecaster().address().clone(),
            instruments.clone(),
        );
        let judge = Judge {
            gather: gather.clone(),
            writer: cluster.writer().clone(),
            clock: Arc::clone(&options.clock),
            every: options.judge_every,
            instruments: instruments.clone(),
        };
        let firsts = [
            slots.chunks.set(Arc::new(ChunkAnswers {
                local: Arc::clone(&local),
                shown: Arc::clone(&shown),
            })),
            slots.puts.set(Arc::new(PutAnswers {
                local: Arc::clone(&local),
                shown,
            })),
            slots.nodes.set(Arc::new(NodeAnswers(gather.clone()))),
            slots.reads.set(Arc::new(ReadAnswers(gather.clone()))),
        ];
        debug_assert!(firsts.iter().all(|first| *first), "a node has one of these");
        let mut tasks = JoinSet::new();
        tasks.spawn(keeper.run());
        tasks.spawn(judge.run());
        let told = gather.clone();
        if let Some(retrain) = options.retrain {
            let retrainer = Retrainer {
                options: retrain,
                local: Arc::clone(&local),
                gather,
                writer: cluster.writer().clone(),
                clock: options.clock,
                instruments,
            };
            tasks.spawn(retrainer.run());
        }
        Ok(Self {
            local,
            gather: told,
            _tasks: tasks,
        })
    }

    /// The weights of this node.
    pub fn local(&self) -> &Arc<LocalWeights> {
        &self.local
    }

    /// Tells of weights over the API of a node that was started with some.
    pub fn reader(&self, base: ForecastWeights) -> WeightsReader {
        WeightsReader::among(base, self.gather.clone())
    }
}
