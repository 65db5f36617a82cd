//! The last part of a start: what answers others, and what runs by itself.

use super::answers::{ErrandAnswers, MetaNetwork, ReportAnswers};
use super::error::NodeError;
use super::gate::Gate;
use super::joining::{JOIN_REQUEST, JoinAnswers, follow};
use super::places::MetaPlaces;
use super::start::{Before, ClusterNode};
use crate::admin::{
    Admin, AdminParts, CLUSTER_READ, CLUSTER_WRITE, NODE_PROBE, ProbeAnswers, ReadAnswers,
    WriteAnswers,
};
use crate::meta::{
    DriverParts, ERRAND_REQUEST, Hands, HeardMembers, MetaDriver, MetaShown, MetaWriter,
    NODE_REPORT, ReplicaKeeper, ReportDesk, Reporter, Reports,
};
use crate::network::{Answer, Callers, ConsensusAnswers, Dispatch, NodeCalls, ShardAnswers};
use std::sync::Arc;
use tokio::task::JoinSet;
use twinscale_consensus::PEER_REQUEST;
use twinscale_membership::{MemberState, Membership, Standing};
use twinscale_protocol::NodeNumber;
use twinscale_shards::{Places, Router, RouterOptions, SHARD_REQUEST, ShardHost};
use twinscale_wire::Server;

/// A node whose parts run, and which nobody can call yet.
pub(super) struct Running<'a> {
    pub(super) before: &'a Before,
    pub(super) number: NodeNumber,
    pub(super) keeper: &'a Arc<ReplicaKeeper>,
    pub(super) membership: &'a Arc<Membership>,
}

impl Running<'_> {
    pub(super) async fn start(
        self,
        shown: Arc<MetaShown>,
        host: Arc<ShardHost>,
    ) -> Result<ClusterNode, NodeError> {
        let Before {
            setup,
            file,
            directory,
            ..
        } = self.before;
        let groups = self.keeper.groups();
        let clock = Arc::clone(&setup.clock);
        let gate = Gate::new(file.schema);
        let places = self.places(&shown, &gate);
        let router = self.router(&places, &host);
        let reports = Arc::new(Reports::default());
        let hands = Hands::new(Arc::clone(self.keeper));
        let desk = ReportDesk::new(
            Arc::clone(self.keeper),
            Arc::clone(&reports),
            Arc::clone(&clock),
        );
        let meta_group = groups.group(twinscale_consensus::GroupId(0));
        let writer = MetaWriter::new(meta_group, Arc::clone(&clock));
        let network = Arc::new(MetaNetwork {
            own: self.number,
            calls: self.calls(),
            hands: hands.clone(),
            desk: desk.clone(),
            members: self.membership.watch(),
        });
        let joins = JoinAnswers {
            cluster: file.cluster.clone(),
            writer: writer.clone(),
            shown: Arc::clone(&shown),
        };
        let parts = DriverParts {
            writer: writer.clone(),
            shown: Arc::clone(&shown),
            heard: Arc::new(HeardMembers::new(self.membership.watch())),
            carrier: Arc::<MetaNetwork>::clone(&network),
            reports,
            clock,
        };
        let dispatch = self.answers(&network, joins, Arc::clone(&router));
        let dispatch = self.answers_of_people(dispatch, &parts);
        let server = self.bind(dispatch).await?;
        let reporter = Reporter::new(self.number, file.incarnation, desk, network);
        let mut tasks = JoinSet::new();
        tasks.spawn(gate.keeper(file, setup).run(Arc::clone(&shown)));
        tasks.spawn(follow(shown, Arc::clone(directory)));
        tasks.spawn(MetaDriver::new(parts).run());
        tasks.spawn(reporter.run(hands.done()));
        tasks.spawn(serve(Arc::clone(self.membership)));
        Ok(ClusterNode {
            number: self.number,
            router,
            keeper: Arc::clone(self.keeper),
            host,
            writer,
            membership: Arc::clone(self.membership),
            calls: self.calls(),
            places,
            server,
            wire: setup.observers.wire.clone(),
            gate,
            tasks,
        })
    }

    fn places(&self, shown: &Arc<MetaShown>, gate: &Gate) -> Arc<dyn Places> {
        Arc::new(MetaPlaces {
            shown: Arc::clone(shown),
            recorded: self.keeper.recorded_shards(),
            members: self.membership.watch(),
            gate: gate.open.subscribe(),
        })
    }

    async fn bind(&self, dispatch: Dispatch) -> Result<Server, NodeError> {
        let setup = &self.before.setup;
        let server = Server::bind(
            setup.listen,
            setup.credentials.clone(),
            setup.wire.clone(),
            Arc::new(dispatch),
            setup.observers.wire.clone(),
        );
        Ok(server.await?)
    }

    fn calls(&self) -> NodeCalls {
        let Before {
            peers, directory, ..
        } = self.before;
        NodeCalls::new(peers.clone(), Arc::clone(directory))
    }

    fn router(&self, places: &Arc<dyn Places>, host: &Arc<ShardHost>) -> Arc<Router> {
        Arc::new(Router::new(
            self.number.0,
            Arc::clone(host),
            Arc::clone(places),
            Arc::new(self.calls()),
            RouterOptions::default(),
        ))
    }

    fn answers(&self, network: &MetaNetwork, joins: JoinAnswers, router: Arc<Router>) -> Dispatch {
        let consensus = Arc::new(ConsensusAnswers::new(
            Arc::clone(self.keeper.groups()),
            Arc::clone(&self.before.directory),
        ));
        let errands = Arc::new(ErrandAnswers(network.hands.clone()));
        let reports = Arc::new(ReportAnswers(network.desk.clone()));
        Dispatch::new(Arc::clone(&self.before.directory))
            .on(PEER_REQUEST, Callers::Nodes, consensus)
            .on(
                SHARD_REQUEST,
                Callers::Nodes,
                Arc::new(ShardAnswers(router)),
            )
            .on(ERRAND_REQUEST, Callers::Nodes, errands)
            .on(NODE_REPORT, Callers::Nodes, reports)
            .on(JOIN_REQUEST, Callers::Certified, Arc::new(joins))
    }

    /// Adds what people ask, and what parts answer that start after the node.
    fn answers_of_people(&self, dispatch: Dispatch, parts: &DriverParts) -> Dispatch {
        let setup = &self.before.setup;
        let admin = Arc::new(Admin::new(AdminParts {
            own: self.number,
            writer: parts.writer.clone(),
            shown: Arc::clone(&parts.shown),
            reports: Arc::clone(&parts.reports),
            heard: Arc::clone(&parts.heard),
            members: self.membership.watch(),
            calls: self.calls(),
            carrier: Arc::clone(&parts.carrier),
            credentials: setup.credentials.clone(),
            clock: Arc::clone(&parts.clock),
        }));
        let probes = Arc::new(ProbeAnswers {
            clock: Arc::clone(&parts.clock),
            credentials: setup.credentials.clone(),
        });
        let reads = Arc::new(ReadAnswers(Arc::clone(&admin)));
        let dispatch = dispatch
            .on(CLUSTER_READ, Callers::People, reads)
            .on(
                CLUSTER_WRITE,
                Callers::Operators,
                Arc::new(WriteAnswers(admin)),
            )
            .on(NODE_PROBE, Callers::Nodes, probes);
        let late = self.before.setup.late.iter();
        late.fold(dispatch, |dispatch, (kind, callers, answer)| {
            dispatch.on(*kind, *callers, Arc::clone(answer) as Arc<dyn Answer>)
        })
    }
}

/// Says that this node serves, once it is known that nobody else has its number.
async fn serve(membership: Arc<Membership>) {
    let mut views = membership.watch();
    let clear = views.wait_for(|view| view.standing != Standing::Checking);
    let standing = match clear.await {
        Ok(view) => view.standing.clone(),
        Err(_ended) => return,
    };
    if let Standing::Refused(duplicate) = standing {
        tracing::error!("this node does not serve: {duplicate}");
        return;
    }
    if let Err(error) = membership.set_state(MemberState::Serving).await {
        tracing::error!(%error, "this node cannot say that it serves");
    }
}
