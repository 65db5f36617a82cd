//! The composition root: builds the actors of a node, the same ones for demo, backtest and benchmark.
//!
//! Invariant: nothing else in this program starts an actor or opens a log or store.

mod shared;
mod watch;
mod weights;

pub use shared::{SHARED_MAILBOX, start_forecaster};
pub use watch::WatchLimits;
pub use weights::ForecastWeights;

use crate::clients::{ForecasterClient, Forecasters, Lenders, OptimizerClient, ProvisionerClient};
use crate::error::ExpectedError;
use crate::observe::Instruments;
use crate::observe::log::ObservedLog;
use crate::observe::provider::ObservedDriver;
use crate::recorded_cloud::RecordedCloud;
use anyhow::Context as _;
use shared::SharedStart;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twinscale_forecaster::actor::ForecasterRequest;
use twinscale_forecaster::serving::Serving;
use twinscale_log::{CommandLog, FileLog, LogOptions};
use twinscale_optimizer::actor::OptimizerRequest;
use twinscale_protocol::{CustomerId, DomainTime, Generation};
use twinscale_provisioner::memory::SharedMemory;
use twinscale_provisioner::{
    ProviderDriver, ProvisionerRequest, RetryPolicy, SimCloudConfig, SimCloudDriver,
};
use twinscale_store::StoreOptions;
use twinscale_supervision::{
    ChildSpec, DomainClock, FailureScope, Health, Oversight, RestartPolicy, Supervised, supervise,
};
use twinscale_twin::{
    Authorities, Authority, CycleSettings, HostOpenReport, HostOptions, Twin, TwinArguments,
    TwinDependencies, TwinHost, TwinMessage, TwinWriter, Twins,
};

/// Messages that wait for a twin: a tick, and a few questions.
pub const TWIN_MAILBOX: usize = 16;

/// A node without others leads from its first term on: whoever has the log's lock is the only one.
const GENERATION: Generation = Generation(1);

/// How a node is built.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Folder of log and store.
    pub directory: PathBuf,
    /// Root of all randomness.
    pub seed: u64,
    /// Plans that are searched at once.
    pub optimizer_threads: NonZeroUsize,
    /// The forecaster's weights.
    pub weights: ForecastWeights,
    /// The provider, where it is a simulated cloud of this node alone.
    pub cloud: SimCloudConfig,
    /// How long work may take before it counts as hung.
    pub watch: WatchLimits,
    /// Who is told what goes on; off where nobody asks.
    pub instruments: Instruments,
}

/// The shared actors of a node, with its log, store and provider.
#[derive(Debug)]
pub struct Node {
    twins: Arc<dyn Twins>,
    authorities: Arc<dyn Authorities>,
    provider: Arc<dyn ProviderDriver>,
    cloud: Option<SimCloudDriver>,
    forecaster: Supervised<ForecasterRequest>,
    forecasters: Arc<Forecasters>,
    serving: Serving,
    optimizer: Supervised<OptimizerRequest>,
    provisioner: Supervised<ProvisionerRequest>,
    seed: u64,
    health: Health,
    watch: WatchLimits,
    instruments: Instruments,
}

/// What a node among others is built on.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The twins of the replicas that it holds.
    pub twins: Arc<dyn Twins>,
    /// Whose twins it drives.
    pub authorities: Arc<dyn Authorities>,
    /// A provider that nodes share, in place of [`NodeOptions::cloud`].
    pub driver: Arc<dyn ProviderDriver>,
    /// Peers that forecast while its own forecaster cannot; none = a forecaster that is given up ends the node.
    pub lenders: Option<Arc<dyn Lenders>>,
    /// How calls of the provider that fail are repeated.
    pub retry: RetryPolicy,
    /// What the provider's starts have taught.
    pub memory: SharedMemory,
}

impl Surroundings {
    /// Twins with a provider: without lenders, with waits before calls are repeated, and a memory of its own.
    pub fn of<T: Twins + Authorities + 'static>(
        twins: &Arc<T>,
        driver: Arc<dyn ProviderDriver>,
    ) -> Self {
        Self {
            twins: Arc::clone(twins) as Arc<dyn Twins>,
            authorities: Arc::clone(twins) as Arc<dyn Authorities>,
            driver,
            lenders: None,
            retry: RetryPolicy::default(),
            memory: SharedMemory::default(),
        }
    }
}

/// One supervised twin with its domain time.
#[derive(Debug)]
pub struct NodeTwin {
    /// Whose it is.
    pub customer: CustomerId,
    /// Its actor.
    pub actor: Supervised<TwinMessage>,
    /// Its domain time: customers of a replay live in different years.
    pub clock: DomainClock,
}

impl Node {
    /// Opens log and store, and starts the shared actors.
    ///
    /// # Errors
    /// When the folder cannot be used, log or store do not open, or an actor cannot be started.
    pub async fn start(options: NodeOptions) -> anyhow::Result<(Self, HostOpenReport)> {
        let (host, report) = open_observed_host(&options.directory, &options.instruments)?;
        let cloud = SimCloudDriver::new(options.cloud.clone());
        let around = Alone::over(host, Arc::new(cloud.clone()));
        let node = Self::build(options, around, Some(cloud)).await?;
        Ok((node, report))
    }

    /// As [`Node::start`], with a provider that is the same after a restart: it has a log in the folder.
    ///
    /// # Errors
    /// As [`Node::start`], and when the provider's log does not open.
    pub async fn start_recorded(options: NodeOptions) -> anyhow::Result<(Self, HostOpenReport)> {
        let (host, report) = open_observed_host(&options.directory, &options.instruments)?;
        let place = options.directory.join("cloud");
        let recorded = RecordedCloud::open(&place, options.cloud.clone()).await?;
        let cloud = recorded.cloud().clone();
        let around = Alone::over(host, Arc::new(recorded));
        let node = Self::build(options, around, Some(cloud)).await?;
        Ok((node, report))
    }

    /// Starts the shared actors of a node among others.
    ///
    /// # Errors
    /// When an actor cannot be started.
    pub async fn start_for(options: NodeOptions, around: Surroundings) -> anyhow::Result<Self> {
        Self::build(options, around, None).await
    }

    async fn build(
        options: NodeOptions,
        around: Surroundings,
        cloud: Option<SimCloudDriver>,
    ) -> anyhow::Result<Self> {
        let Surroundings {
            twins,
            authorities,
            driver,
            lenders,
            retry,
            memory,
        } = around;
        let instruments = options.instruments;
        // Shared actors answer in system time; whoever waits for them holds the domain time of its twin.
        let clock = DomainClock::starting_at(DomainTime(0));
        let health = Health::with_abandoned_max(options.watch.abandoned_threads_max);
        let start = SharedStart {
            clock: &clock,
            health: &health,
            watch: options.watch,
        };
        // Without others that forecast, a node without a forecaster is of no use.
        let scope = match &lenders {
            Some(_) => FailureScope::Child,
            None => FailureScope::Node,
        };
        let serving = options.weights.serving();
        let forecaster = start.forecaster(&serving, scope).await?;
        let observed = ObservedDriver::new(Arc::clone(&driver), instruments.clone());
        Ok(Self {
            twins,
            authorities,
            forecasters: Arc::new(Forecasters::new(&forecaster, serving.clone(), lenders)),
            serving,
            forecaster,
            optimizer: start.optimizer(options.optimizer_threads).await?,
            provisioner: start.provisioner(Arc::new(observed), retry, memory).await?,
            provider: driver,
            cloud,
            seed: options.seed,
            health,
            watch: options.watch,
            instruments,
        })
    }

    /// Starts the actor of a twin that this node drives, at a moment of its domain time.
    ///
    /// # Errors
    /// When another node drives it, or its supervisor cannot be started.
    pub async fn start_twin(
        &self,
        customer: &CustomerId,
        now: DomainTime,
    ) -> anyhow::Result<NodeTwin> {
        let authority = self.authorities.of(customer);
        let authority = authority
            .with_context(|| format!("another node drives the twin of customer `{customer}`"))?;
        self.start_twin_under(customer, now, authority).await
    }

    /// Starts the actor of a twin under an authority.
    ///
    /// # Errors
    /// When its supervisor cannot be started.
    pub async fn start_twin_under(
        &self,
        customer: &CustomerId,
        now: DomainTime,
        authority: Authority,
    ) -> anyhow::Result<NodeTwin> {
        let clock = DomainClock::starting_at(now);
        let dependencies = TwinDependencies {
            host: authority.writer,
            forecaster: Arc::new(ForecasterClient {
                forecasters: Arc::clone(&self.forecasters),
                instruments: self.instruments.clone(),
            }),
            optimizer: Arc::new(OptimizerClient {
                address: self.optimizer.address().clone(),
                instruments: self.instruments.clone(),
            }),
            provisioner: Arc::new(ProvisionerClient(self.provisioner.address().clone())),
            clock: clock.clone(),
            settings: CycleSettings {
                root_seed: self.seed,
                generation: authority.generation,
            },
            limits: self.watch.phases,
        };
        let spec = ChildSpec {
            name: format!("twin {customer}"),
            make: Arc::new(|| Twin),
            arguments: TwinArguments {
                customer: customer.clone(),
                dependencies,
            },
            mailbox_capacity: TWIN_MAILBOX,
            policy: RestartPolicy {
                message_limit: self.watch.twin_message,
                ..RestartPolicy::default()
            },
            clock: clock.clone(),
            oversight: Oversight {
                health: self.health.clone(),
                kind: "twin",
                scope: FailureScope::Child,
            },
        };
        let actor = supervise(spec).await?;
        Ok(NodeTwin {
            customer: customer.clone(),
            actor,
            clock,
        })
    }

    /// All twins that it serves: ingest, configuration, reads.
    pub fn twins(&self) -> &dyn Twins {
        &*self.twins
    }

    /// Whose twins it drives.
    pub fn authorities(&self) -> &dyn Authorities {
        &*self.authorities
    }

    /// The provider.
    pub fn provider(&self) -> &dyn ProviderDriver {
        &*self.provider
    }

    /// The provider's inside, where it is a simulated cloud of this node alone: for reports and checks.
    pub fn cloud(&self) -> Option<&SimCloudDriver> {
        self.cloud.as_ref()
    }

    /// The forecaster.
    pub fn forecaster(&self) -> &Supervised<ForecasterRequest> {
        &self.forecaster
    }

    /// The way to the forecaster, and to those of others while it cannot forecast.
    pub fn forecasters(&self) -> &Arc<Forecasters> {
        &self.forecasters
    }

    /// Which weights the forecaster serves and compares.
    pub fn serving(&self) -> &Serving {
        &self.serving
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &Supervised<OptimizerRequest> {
        &self.optimizer
    }

    /// The provisioner.
    pub fn provisioner(&self) -> &Supervised<ProvisionerRequest> {
        &self.provisioner
    }

    /// Who is told what goes on.
    pub fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    /// How the node is: what its supervisors and compute threads report, and whether it must end.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Ends the shared actors; twins are ended before, by [`NodeTwin::actor`].
    pub async fn stop(self) {
        self.provisioner.stop().await;
        self.optimizer.stop().await;
        self.forecaster.stop().await;
    }
}

/// A node without others: it drives all twins of its one log.
#[derive(Debug)]
struct Alone(Arc<TwinHost>);

impl Alone {
    fn over(host: TwinHost, driver: Arc<dyn ProviderDriver>) -> Surroundings {
        let host = Arc::new(host);
        Surroundings {
            twins: Arc::clone(&host) as Arc<dyn Twins>,
            authorities: Arc::new(Self(host)),
            driver,
            lenders: None,
            // A simulated cloud in the same process answers at once, and waiting would only slow a replay.
            retry: RetryPolicy::without_waits(),
            memory: SharedMemory::default(),
        }
    }
}

impl Authorities for Alone {
    fn of(&self, _customer: &CustomerId) -> Option<Authority> {
        Some(Authority {
            writer: Arc::clone(&self.0) as Arc<dyn TwinWriter>,
            generation: GENERATION,
        })
    }
}

/// Opens the twins of a folder: their log, and the store of what was applied.
///
/// # Errors
/// When the folder cannot be used, or log or store do not open.
pub fn open_host(directory: &Path) -> anyhow::Result<(TwinHost, HostOpenReport)> {
    open_observed_host(directory, &Instruments::default())
}

fn open_observed_host(
    directory: &Path,
    instruments: &Instruments,
) -> anyhow::Result<(TwinHost, HostOpenReport)> {
    std::fs::create_dir_all(directory)
        .map_err(|source| ExpectedError::file("create", directory, source))?;
    let place = directory.display();
    let refused = |error| ExpectedError::input(format!("the log in {place} does not open"), error);
    let observer = ObservedLog(instruments.clone());
    let (log, _report) = FileLog::open_observed(
        &directory.join("log"),
        LogOptions::default(),
        Arc::new(observer),
    )
    .map_err(refused)?;
    let log: Arc<dyn CommandLog> = Arc::new(log);
    let store = directory.join("store");
    TwinHost::open_at(log, &store, StoreOptions::default(), HostOptions::default()).map_err(
        |error| ExpectedError::input(format!("the twins in {place} do not open"), error).into(),
    )
}
