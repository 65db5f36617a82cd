//! Starts what a daemon serves: the twins of its own log, or those of the shards that it holds among others.

use super::keeper::Keeper;
use super::state::Service;
use super::wall_clock::WallClock;
use crate::assembly::{Node, NodeOptions, Surroundings};
use crate::cluster::start::{Together, provider};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use twinscale_cluster_config::NodeSettings;
use twinscale_protocol::NodeNumber;

/// What a daemon serves.
#[derive(Debug)]
pub(super) struct Booted {
    node: Arc<Node>,
    keeper: Arc<Keeper>,
    together: Option<Together>,
    /// Customers that it holds twins of.
    pub(super) customers: usize,
    /// Twins that are driven from the start.
    pub(super) twins: usize,
}

impl Booted {
    /// Starts the node; `api` is where its API listens.
    ///
    /// # Errors
    /// When log, store or certificate cannot be used, the cluster does not take the node, or an actor cannot
    /// be started.
    pub(super) async fn start(
        options: NodeOptions,
        settings: &NodeSettings,
        wall: &Arc<dyn WallClock>,
        api: SocketAddr,
        founds: bool,
    ) -> anyhow::Result<Self> {
        let Some(cluster) = &settings.cluster else {
            let (node, _report) = Node::start_recorded(options).await?;
            let (node, keeper) = kept(node, settings, wall);
            let twins = keeper.start_all().await?;
            return Ok(Self {
                customers: node.twins().customers().len(),
                node,
                keeper,
                together: None,
                twins,
            });
        };
        let driver = provider(settings, cluster).await?;
        let told = options.instruments.clone();
        let mut together = Together::start((settings, cluster), api, founds, told).await?;
        let twins = Arc::clone(together.twins());
        let around = Surroundings {
            lenders: Some(together.lenders()),
            ..Surroundings::of(&twins, driver)
        };
        let node = Node::start_for(options, around).await?;
        let (node, keeper) = kept(node, settings, wall);
        together.drive(Arc::clone(&keeper));
        Ok(Self {
            customers: node.twins().customers().len(),
            node,
            keeper,
            together: Some(together),
            twins: 0,
        })
    }

    /// Its number and where it listens for other nodes, where there are others.
    pub(super) fn place(&self) -> Option<(NodeNumber, SocketAddr)> {
        let node = self.together.as_ref()?.node();
        Some((node.number(), node.listens_on()))
    }

    /// Joins it with what the handlers of the API share.
    pub(super) fn service(
        self,
        wall: Arc<dyn WallClock>,
        settings: NodeSettings,
        address: SocketAddr,
    ) -> (Arc<Service>, Option<Together>) {
        let service = Service::new(self.node, self.keeper, wall, settings, address);
        let service = match &self.together {
            Some(together) => service
                .among(Arc::clone(together.forwarder()))
                .telling(together.node().figures()),
            None => service,
        };
        (Arc::new(service), self.together)
    }
}

fn kept(
    node: Node,
    settings: &NodeSettings,
    wall: &Arc<dyn WallClock>,
) -> (Arc<Node>, Arc<Keeper>) {
    let node = Arc::new(node);
    let keeper = Keeper::new(
        Arc::clone(&node),
        Arc::clone(wall),
        settings.turns_at_once,
        Duration::from_secs(u64::from(settings.passivate_after.0)),
    );
    (node, Arc::new(keeper))
}
