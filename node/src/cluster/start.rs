//! Starts a node among others for the daemon, and ends it.

use super::answers::{ApiAnswers, IngestAnswers};
use super::commands::CommandSlots;
use super::forward::{Forwarder, HereAnswers};
use super::gossip_keys;
use super::lending::{LoanAnswers, PeerLenders};
use super::messages::{API_REQUEST, FORECAST_LOAN, INGEST_REQUEST};
use super::owner::Owner;
use super::twins::ShardedTwins;
use crate::assembly::Node;
use crate::clients::{Forecasters, Lenders};
use crate::error::ExpectedError;
use crate::observe::{self, Instruments};
use crate::recorded_cloud::RecordedCloud;
use crate::service::keeper::Keeper;
use crate::service::state::Service;
use crate::sim_cloud::RemoteCloud;
use crate::weights::{WeightsOptions, WeightsService, WeightsSlots};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use twinscale_cluster::network::{Callers, LateAnswer};
use twinscale_cluster::node::{ClusterNode, NodeFile, NodeSetup};
use twinscale_cluster_config::{ClusterSettings, NodeSettings};
use twinscale_consensus::{GroupLogOptions, GroupRole, GroupsOptions, LogCondition};
use twinscale_membership::{
    GossipState, KeyRing, Liveness, Load, MembershipView, SessionSalt, Standing, SystemWallClock,
};
use twinscale_meta::Creation;
use twinscale_meta::limits::SHARDS_DEFAULT;
use twinscale_meta::stored::v1::{By, SchemaRange};
use twinscale_protocol::{AccountName, NodeNumber};
use twinscale_provisioner::{ProviderDriver, SimCloudConfig};
use twinscale_shards::RequestIds;
use twinscale_twin::HostStatus;
use twinscale_twin::stored::schema::{NEWEST_SCHEMA, OLDEST_SCHEMA};
use twinscale_wire::{
    CredentialFiles, Credentials, DefaultTimeProvider, Identity, Task, WireSettings,
};

/// How long a node may ask the others to take it in.
const JOIN_LIMIT: Duration = Duration::from_mins(2);

/// How long one group may take to give its leadership away: an election.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(3);

/// How often certificate and key are looked at.
const CREDENTIALS_PERIOD: Duration = Duration::from_secs(5);

/// How often the others are told what this node leads and how busy it is.
const TELL_PERIOD: Duration = Duration::from_secs(1);

/// Why a node cannot go on among others.
#[derive(Debug)]
pub enum Parted {
    /// It has failed, or the others have let it go.
    Failed(String),
    /// It was started with what does not go with the cluster, and heard so only now.
    Refused(ExpectedError),
}

/// A node among others, with its twins.
#[derive(Debug)]
pub struct Together {
    node: ClusterNode,
    twins: Arc<ShardedTwins>,
    forwarder: Arc<Forwarder>,
    api: Arc<LateAnswer>,
    ingest: Arc<LateAnswer>,
    loans: Arc<LateAnswer>,
    slots: CommandSlots,
    weights: WeightsSlots,
    tasks: JoinSet<()>,
    /// The number of shards that the settings say.
    shards: Option<u32>,
    instruments: Instruments,
    _credentials: Task,
}

impl Together {
    /// Starts the node of a directory again, or founds a cluster with it, or has it join one.
    ///
    /// # Errors
    /// When a file cannot be used, the directory belongs to another node, or the others do not take it.
    pub async fn start(
        (settings, cluster): (&NodeSettings, &ClusterSettings),
        api: SocketAddr,
        founds: bool,
        instruments: Instruments,
    ) -> anyhow::Result<Self> {
        let credentials = credentials_of(settings, cluster)?;
        let keys = gossip_keys::read(&cluster.gossip_keys)?;
        let late = Arc::<LateAnswer>::default;
        let (late_api, late_ingest, late_loans) = (late(), late(), late());
        let slots = CommandSlots::default();
        let weights = WeightsSlots::default();
        let mut late = [slots.late(), weights.late()].concat();
        late.extend([
            (API_REQUEST, Callers::Nodes, Arc::clone(&late_api)),
            (INGEST_REQUEST, Callers::Nodes, Arc::clone(&late_ingest)),
            (FORECAST_LOAN, Callers::Nodes, Arc::clone(&late_loans)),
        ]);
        let setup = NodeSetup {
            directory: settings.data_dir.clone(),
            credentials: credentials.clone(),
            listen: cluster.listen,
            api_address: cluster.api.clone().unwrap_or_else(|| api.to_string()),
            zone: cluster.zone.clone(),
            seeds: cluster.seeds.clone().into_iter().collect(),
            wire: WireSettings::default(),
            groups: GroupsOptions::default(),
            log: GroupLogOptions::default(),
            clock: Arc::new(SystemWallClock),
            schemas: SchemaRange {
                oldest: OLDEST_SCHEMA,
                newest: NEWEST_SCHEMA,
            },
            late,
            observers: observe::cluster::observers(&instruments),
        };
        let node = begin(setup, keys, cluster, founds).await?;
        let credentials = credentials.watch(CREDENTIALS_PERIOD);
        let twins = Arc::new(ShardedTwins::new(
            Arc::clone(node.host()),
            Arc::clone(node.router()),
            Arc::clone(node.places()),
            RequestIds::new(seed()?),
        ));
        let forwarder = Forwarder::new(
            node.number(),
            (Arc::clone(&twins), Arc::clone(node.router())),
            node.calls().clone(),
            node.membership().watch(),
            instruments.clone(),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(follow_log(
            node.keeper().groups().log().condition(),
            Arc::clone(&twins),
        ));
        let keys = node.membership().keys().clone();
        tasks.spawn(gossip_keys::follow(cluster.gossip_keys.clone(), keys));
        Ok(Self {
            forwarder: Arc::new(forwarder),
            api: late_api,
            ingest: late_ingest,
            loans: late_loans,
            slots,
            weights,
            node,
            twins,
            tasks,
            shards: cluster.shards,
            instruments,
            _credentials: credentials,
        })
    }

    /// Its part in the cluster.
    pub fn node(&self) -> &ClusterNode {
        &self.node
    }

    /// Its twins.
    pub fn twins(&self) -> &Arc<ShardedTwins> {
        &self.twins
    }

    /// Its way to the leaders.
    pub fn forwarder(&self) -> &Arc<Forwarder> {
        &self.forwarder
    }

    /// Its way to forecasts of peers.
    pub fn lenders(&self) -> Arc<dyn Lenders> {
        Arc::new(PeerLenders::new(
            self.node.number(),
            self.node.calls().clone(),
            self.node.membership().watch(),
            self.instruments.clone(),
        ))
    }

    /// Drives the twins of the shards that it leads, from now on.
    pub fn drive(&mut self, keeper: Arc<Keeper>) {
        let owner = Owner::new(Arc::clone(&self.twins), keeper);
        self.tasks.spawn(owner.run(Arc::clone(self.node.host())));
    }

    /// Follows what group 0 says of weights, and answers for them, from now on.
    ///
    /// # Errors
    /// When the folder of weights cannot be used.
    pub fn serve_weights(
        &self,
        node: &Node,
        options: WeightsOptions,
    ) -> Result<WeightsService, ExpectedError> {
        let started = WeightsService::start(&self.weights, &self.node, node, options);
        started.map_err(|error| ExpectedError::input("the folder of weights cannot be used", error))
    }

    /// Answers other nodes, operators and viewers, from now on.
    pub fn answer(&self, service: &Arc<Service>, here: &Arc<dyn HereAnswers>) {
        self.slots.fill(&self.node, service);
        let forecasters = Arc::clone(service.node().forecasters());
        let lends = LoanAnswers::new(forecasters, self.instruments.clone());
        self.loans.set(Arc::new(lends));
        self.api.set(Arc::new(ApiAnswers {
            forwarder: Arc::clone(&self.forwarder),
            here: Arc::clone(here),
        }));
        self.ingest.set(Arc::new(IngestAnswers {
            forwarder: Arc::clone(&self.forwarder),
            here: Arc::clone(here),
        }));
    }

    /// Tells the others what this node leads and how busy it is, and waits until it cannot go on among them;
    /// returns why.
    pub async fn failed(
        &self,
        twins: impl Fn() -> usize + Send + Sync,
        forecasters: &Forecasters,
    ) -> Parted {
        let mut views = self.node.membership().watch();
        let mut tick = tokio::time::interval(TELL_PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                failure = cut_off(&mut views) => return Parted::Failed(failure),
                reason = self.node.expelled() => return Parted::Failed(reason),
                _now = tick.tick() => {}
            }
            self.tell(twins()).await;
            if let Some(reason) = forecasters.is_lost() {
                return Parted::Failed(format!(
                    "the forecaster ended too often and no other node is heard whose forecaster would do, the \
                     last time since: {reason}; restart the node"
                ));
            }
            if let Err(error) = check_shards(&self.node, self.shards) {
                return Parted::Refused(error);
            }
        }
    }

    async fn tell(&self, twins: usize) {
        let led = self.twins.led();
        let leads: BTreeMap<u32, u64> = led
            .iter()
            .map(|(shard, generation)| (shard.0, generation.0))
            .collect();
        let load = Load {
            twins: u32::try_from(twins).unwrap_or(u32::MAX),
            ..Load::default()
        };
        let membership = self.node.membership();
        let told = match membership.set_leads(&leads).await {
            Ok(()) => membership.set_load(load).await,
            refused => refused,
        };
        if let Err(error) = told {
            tracing::warn!(%error, "the others are not told what this node leads");
        }
    }

    /// Gives the leadership of its groups to others that are alive, each within a time: what a group cannot
    /// give away is elected anew a second after this node is gone.
    pub async fn hand_over(&self) {
        let own = self.node.number();
        let view = self.node.membership().view();
        let is_alive = |node: &NodeNumber| {
            let member = view.members.get(node);
            *node != own && member.is_some_and(|one| one.liveness == Liveness::Alive)
        };
        let groups = self.node.keeper().groups();
        let led = groups.started().into_iter().filter_map(|id| {
            let group = groups.group(id);
            let status = group.status().ok()?;
            let status = status.borrow();
            let voters = status.voters.last()?;
            let to = voters.iter().copied().find(is_alive)?;
            (status.role == GroupRole::Leader).then_some((group, to))
        });
        let led: Vec<_> = led.collect();
        let count = led.len();
        let handed = led
            .iter()
            .map(|(group, to)| group.transfer_leadership(*to, HAND_OVER_LIMIT));
        let handed = futures::future::join_all(handed).await;
        let given = handed.iter().filter(|one| one.is_ok()).count();
        tracing::info!(given, count, "leadership was handed over");
    }

    /// Drives no twins any more.
    pub async fn rest(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Leaves the cluster's sight in order and ends all replicas.
    pub async fn stop(mut self, drain: Duration) {
        self.rest().await;
        self.node.stop(drain).await;
    }
}

/// The provider of a node among others.
///
/// # Errors
/// When its address is none, or the log of a cloud of this node's own does not open.
pub async fn provider(
    settings: &NodeSettings,
    cluster: &ClusterSettings,
) -> anyhow::Result<Arc<dyn ProviderDriver>> {
    if let Some(address) = &cluster.cloud {
        return Ok(Arc::new(RemoteCloud::connect(address)?));
    }
    let place = settings.data_dir.join("cloud");
    let config = SimCloudConfig::with_seed(settings.seed);
    Ok(Arc::new(RecordedCloud::open(&place, config).await?))
}

/// The certificate of the node, which must name it.
fn credentials_of(
    settings: &NodeSettings,
    cluster: &ClusterSettings,
) -> Result<Credentials, ExpectedError> {
    let files = CredentialFiles::in_dir(&cluster.certificates);
    let credentials = Credentials::load(files, Arc::new(DefaultTimeProvider));
    let credentials = credentials.map_err(|error| {
        ExpectedError::input("the certificate of this node cannot be used", error)
    })?;
    check_name(settings, credentials.identity())?;
    Ok(credentials)
}

fn check_name(settings: &NodeSettings, identity: &Identity) -> Result<(), ExpectedError> {
    match identity {
        Identity::Node(name) if *name == settings.name => Ok(()),
        other => Err(ExpectedError::input_hint(
            format!(
                "the certificate is of {other}, and this node's name is `{}`",
                settings.name
            ),
            format!(
                "give the node its own certificate (twinscale ca issue CA node/{0} --out DIR), or write its \
                 name: [node] name = \"…\"",
                settings.name
            ),
        )),
    }
}

async fn begin(
    setup: NodeSetup,
    keys: KeyRing,
    cluster: &ClusterSettings,
    founds: bool,
) -> anyhow::Result<ClusterNode> {
    let file = NodeFile::read(&setup.directory);
    let file =
        file.map_err(|error| ExpectedError::input("the data directory cannot be used", error))?;
    // A founding that was cut short is finished by the same command.
    let is_known = file.is_some_and(|file| file.number.is_some() && !(founds && file.founding));
    let started = if is_known {
        ClusterNode::restart(setup, keys).await
    } else if founds {
        let name = AccountName::new(format!("node-{}", cluster_name(&setup)))?;
        let creation = |id, facts| Creation {
            shard_count: cluster.shards.unwrap_or(SHARDS_DEFAULT),
            replication: cluster.replication,
            ..Creation::new(id, facts, cluster.nodes_expected)
        };
        ClusterNode::found(setup, keys, By::Operator(name), creation).await
    } else if cluster.seeds.is_empty() {
        return Err(ExpectedError::input_hint(
            format!("{} is empty, and no seed is given", setup.directory.display()),
            "name a node that runs under [cluster.seeds] to join its cluster, or start the first node of a new \
             cluster once with --found",
        )
        .into());
    } else {
        ClusterNode::join(setup, keys, JOIN_LIMIT).await
    };
    let node = started.map_err(|error| ExpectedError::input("this node does not start", error))?;
    check_shards(&node, cluster.shards)?;
    Ok(node)
}

fn cluster_name(setup: &NodeSetup) -> String {
    match setup.credentials.identity() {
        Identity::Node(name) => name.to_string(),
        other => other.to_string(),
    }
}

/// The number of shards is fixed with the cluster: settings that say another one are a mistake.
fn check_shards(node: &ClusterNode, shards: Option<u32>) -> Result<(), ExpectedError> {
    let keeper = node.keeper();
    // A node that starts again may not have heard of group 0 yet; what its replicas were recorded under is the same.
    let made = keeper.shown().state().shard_count();
    let made = made.or_else(|| keeper.shards());
    match (shards, made) {
        (Some(wanted), Some(made)) if wanted != made.get() => Err(ExpectedError::input_hint(
            format!(
                "cluster.shards is {wanted}, and the cluster was made with {}",
                made.get()
            ),
            format!(
                "write shards = {} or leave it out: the number is fixed when a cluster is made",
                made.get()
            ),
        )),
        _ => Ok(()),
    }
}

fn seed() -> anyhow::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let (first, second) = (SessionSalt::from_system()?, SessionSalt::from_system()?);
    let bytes = first.into_bytes().into_iter().chain(second.into_bytes());
    seed.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    Ok(seed)
}

/// Waits until gossip ends or another process has this node's number; returns which.
async fn cut_off(views: &mut watch::Receiver<Arc<MembershipView>>) -> String {
    match views.wait_for(|view| failure(view).is_some()).await {
        Ok(view) => failure(&view).unwrap_or_default(),
        Err(_ended) => "gossip has ended".to_owned(),
    }
}

fn failure(view: &MembershipView) -> Option<String> {
    match (&view.gossip, &view.standing) {
        (GossipState::Stopped { why }, _) => Some(format!("gossip has ended: {why}")),
        (_, Standing::Refused(duplicate)) => Some(duplicate.to_string()),
        _ => None,
    }
}

/// Shows whether the log takes writes as the status of the twins.
async fn follow_log(mut condition: watch::Receiver<LogCondition>, twins: Arc<ShardedTwins>) {
    loop {
        let status = match &*condition.borrow_and_update() {
            LogCondition::Working => HostStatus::ReadWrite,
            LogCondition::Refusing { reason } => HostStatus::ReadOnly {
                reason: reason.clone(),
                lasting: Duration::ZERO,
                free_bytes: None,
                needed_bytes: GroupLogOptions::default().resume_free_bytes,
            },
            LogCondition::Poisoned { reason } => HostStatus::Failed {
                reason: reason.clone(),
            },
        };
        twins.set_status(status);
        if condition.changed().await.is_err() {
            return;
        }
    }
}
