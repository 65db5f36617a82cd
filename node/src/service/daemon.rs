//! Starts and ends the daemon: what is opened first is closed last.
//!
//! A node that cannot go on says so for a while, at `/v1/ready`, and takes nothing more; then it ends.
//! Order of the end: no new connection or sample, requests under way end within a deadline, drivers and
//! twins end, shared actors end, the writer commits what waits, log and store close. A process that is
//! killed instead loses nothing that was acknowledged: the next start recovers from the log.

use super::api::{Here, router, with_leaders};
use super::boot::Booted;
use super::fault_port::{FaultPort, serve_faults};
use super::limits::RECOUNT_PERIOD;
use super::server::serve;
use super::state::Service;
use super::wall_clock::WallClock;
use crate::assembly::{ForecastWeights, NodeOptions, WatchLimits};
use crate::cluster::forward::HereAnswers;
use crate::cluster::start::{Parted, Together};
use crate::error::ExpectedError;
use crate::observe::Instruments;
use crate::weights::reader::WeightsReader;
use crate::weights::{WeightsOptions, WeightsService};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use twinscale_cluster_config::NodeSettings;
use twinscale_protocol::NodeNumber;
use twinscale_provisioner::SimCloudConfig;
use twinscale_twin::HostStatus;

/// File in the data directory that holds the address while the daemon runs.
pub const ADDRESS_FILE: &str = "listen.addr";

/// File in the data directory that holds the address of the fault port, where one was asked for.
pub const FAULT_ADDRESS_FILE: &str = "fault.addr";

/// How long calls of other nodes may take to end when this node stops.
const CALLS_DRAIN: Duration = Duration::from_secs(2);

/// How a daemon is set up.
#[derive(Clone, Debug)]
pub struct DaemonOptions {
    /// Where it keeps what, where it listens, and its bounds.
    pub settings: NodeSettings,
    /// The forecaster's weights.
    pub weights: ForecastWeights,
    /// The time.
    pub wall: Arc<dyn WallClock>,
    /// Where chaos tests may strike actors; nowhere on a node that serves.
    pub fault_port: Option<SocketAddr>,
    /// Whether a cluster is made with this node, where its directory is empty.
    pub founds: bool,
}

/// What a daemon found when it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it lets its actors be struck.
    pub fault_port: Option<SocketAddr>,
    /// Customers that it holds twins of.
    pub customers: usize,
    /// Twins that are driven.
    pub twins: usize,
    /// Its number and where it listens for other nodes, where there are others.
    pub cluster: Option<(NodeNumber, SocketAddr)>,
}

/// How a daemon ended.
#[derive(Debug)]
pub struct Ended {
    /// Connections that were cut off since their requests did not end in time.
    pub cut_off: usize,
    /// Why it ended without being asked to.
    pub failure: Option<ExpectedError>,
}

/// Runs a daemon until `stop` resolves.
///
/// # Errors
/// When the directory, log, store or address cannot be used, or an actor cannot be started.
pub async fn run(
    options: DaemonOptions,
    started: impl FnOnce(&Started),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Ended> {
    let DaemonOptions {
        settings,
        weights,
        wall,
        fault_port,
        founds,
    } = options;
    let listener = listen(settings.listen).await?;
    let address = listener
        .local_addr()
        .map_err(|error| cannot_listen(settings.listen, error))?;
    let base = weights.clone();
    let options = node_options(&settings, weights, Instruments::on()?);
    let booted = Booted::start(options, &settings, &wall, address, founds).await?;
    let fault_port = match fault_port {
        Some(address) => Some(FaultPort::open(address).await?),
        None => None,
    };
    let data_dir = settings.data_dir.clone();
    let (connections_max, drain) = (settings.connections_max, settings.drain);
    let farewell = Duration::from_secs(u64::from(settings.watch.farewell.0));
    let report = Started {
        address,
        fault_port: fault_port.as_ref().map(FaultPort::address),
        customers: booted.customers,
        twins: booted.twins,
        cluster: booted.place(),
    };
    let (service, together) = booted.service(wall, settings, address);
    let router = serving(&service, together.as_ref());
    let weights = serve_weights(&service, together.as_ref(), base)?;
    // All is ready before anybody learns where the node is.
    let address_files = AddressFile::write_all(
        &data_dir,
        &[
            (FAULT_ADDRESS_FILE, report.fault_port),
            (ADDRESS_FILE, Some(address)),
        ],
    )?;
    started(&report);
    let mut failure = None;
    let stop = async {
        tokio::pin!(stop);
        tokio::select! {
            () = &mut stop => {}
            reason = failed(&service) => failure = Some(cannot_work(reason)),
            error = apart(&service, together.as_ref()) => failure = Some(error),
            never = recount(&service) => match never {},
            never = serve_faults(fault_port, &service) => match never {},
        }
        service.stop_taking();
        if failure.is_some() {
            // Who watches it must be able to read why before it is gone.
            drop(tokio::time::timeout(farewell, stop).await);
        }
    };
    let drain = Duration::from_secs(u64::from(drain.0));
    let cut_off = serve(listener, router, connections_max, drain, stop).await;
    drop((address_files, weights));
    end(service, together).await;
    Ok(Ended { cut_off, failure })
}

/// The API: of a node alone, or of one that sends on what another must answer and answers others.
fn serving(service: &Arc<Service>, together: Option<&Together>) -> axum::Router {
    let alone = router(Arc::clone(service));
    let Some(together) = together else {
        return alone;
    };
    let here: Arc<dyn HereAnswers> = Arc::new(Here::new(Arc::clone(service), alone.clone()));
    together.answer(service, &here);
    with_leaders(Arc::clone(service), alone, here)
}

/// Has a node among others follow what they say of weights, and any node tell of them.
fn serve_weights(
    service: &Service,
    together: Option<&Together>,
    base: ForecastWeights,
) -> anyhow::Result<Option<WeightsService>> {
    let Some(together) = together else {
        service.tell_weights(WeightsReader::alone(base));
        return Ok(None);
    };
    let options = WeightsOptions::of(service.settings(), service.listen());
    let weights = together.serve_weights(service.node(), options)?;
    service.tell_weights(weights.reader(base));
    Ok(Some(weights))
}

/// Waits until a node among others cannot go on among them; a node alone waits for ever.
async fn apart(service: &Service, together: Option<&Together>) -> ExpectedError {
    match together {
        Some(together) => {
            let forecasters = service.node().forecasters();
            let driven = || {
                let report = service.keeper().report();
                report.running + report.resting
            };
            match together.failed(driven, forecasters).await {
                Parted::Failed(reason) => cannot_work(reason),
                Parted::Refused(error) => error,
            }
        }
        None => std::future::pending().await,
    }
}

/// Waits until the node cannot do its work any more: the writer of all twins has failed for good, an actor
/// that all twins need is given up, or too many threads hang. Returns why.
async fn failed(service: &Service) -> String {
    let mut status = service.twins().watch_status();
    let failed = status.wait_for(|status| matches!(status, HostStatus::Failed { .. }));
    tokio::select! {
        failure = service.node().health().failed() => failure.to_string(),
        failed = failed => match failed.as_deref() {
            Ok(HostStatus::Failed { reason }) => format!("nothing can be stored any more: {reason}"),
            _ => "the writer of the twins has ended".to_owned(),
        },
    }
}

/// What a node that has failed tells whoever starts it.
fn cannot_work(reason: String) -> ExpectedError {
    ExpectedError::Environment {
        context: format!("the node cannot do its work any more: {reason}"),
        hint: "start the node again: what was acknowledged is there; where a disk failed, look at it first"
            .to_owned(),
        source: None,
    }
}

/// Counts series and customers again, until it is dropped.
#[expect(
    clippy::infinite_loop,
    reason = "its type says that it never returns; who waits for it drops it"
)]
async fn recount(service: &Service) -> Infallible {
    loop {
        tokio::time::sleep(RECOUNT_PERIOD).await;
        service.node().instruments().upkeep();
        service.admission().recount(service.twins());
    }
}

async fn end(service: Arc<Service>, together: Option<Together>) {
    let mut together = together;
    if let Some(together) = &mut together {
        together.hand_over().await;
        together.rest().await;
    }
    service.keeper().stop().await;
    if let Some(together) = together {
        together.stop(CALLS_DRAIN).await;
    }
    let node = Arc::into_inner(service).and_then(Service::into_node);
    if let Some(node) = node {
        node.stop().await;
    } else {
        // Something still looks at it; the process ends all the same, and nothing acknowledged is lost.
        tracing::warn!("the actors were in use at the end");
    }
}

fn node_options(
    settings: &NodeSettings,
    weights: ForecastWeights,
    instruments: Instruments,
) -> NodeOptions {
    let threads = usize::try_from(settings.compute_threads).unwrap_or(0);
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    NodeOptions {
        directory: settings.data_dir.clone(),
        seed: settings.seed,
        optimizer_threads: NonZeroUsize::new(threads).unwrap_or_else(cores),
        weights,
        cloud: SimCloudConfig::with_seed(settings.seed),
        watch: WatchLimits::from(&settings.watch),
        instruments,
    }
}

pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, ExpectedError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| cannot_listen(address, error))
}

pub(crate) fn cannot_listen(address: SocketAddr, error: std::io::Error) -> ExpectedError {
    ExpectedError::Environment {
        context: format!("cannot listen on {address}"),
        hint: "choose another address with --listen; port 0 takes any free one".to_owned(),
        source: Some(Box::new(error)),
    }
}

/// A file with an address, there while the daemon takes requests.
#[derive(Debug)]
pub(crate) struct AddressFile(PathBuf);

impl AddressFile {
    /// Writes the addresses that there are, in order.
    fn write_all(
        directory: &Path,
        addresses: &[(&str, Option<SocketAddr>)],
    ) -> Result<Vec<Self>, ExpectedError> {
        let there = addresses
            .iter()
            .filter_map(|(name, address)| Some((name, (*address)?)));
        there
            .map(|(name, address)| Self::write(directory, name, address))
            .collect()
    }

    pub(crate) fn write(
        directory: &Path,
        name: &str,
        address: SocketAddr,
    ) -> Result<Self, ExpectedError> {
        let path = directory.join(name);
        // In one step, so that a reader never sees half an address.
        let partial = directory.join(format!("{name}.new"));
        std::fs::write(&partial, format!("{address}\n"))
            .and_then(|()| std::fs::rename(&partial, &path))
            .map_err(|source| ExpectedError::file("write", &path, source))?;
        Ok(Self(path))
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, "address file stays behind");
        }
    }
}
