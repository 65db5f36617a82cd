//! How a member is put together: socket, seal, gate, gossip.

use chitchat::{ChitchatConfig, ChitchatId, FailureDetectorConfig};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Environment, MembershipConfig};
use crate::datagrams::DatagramSocket;
use crate::error::{ConfigError, PublishError, StartError};
use crate::gate::Gate;
use crate::gossiped::{
    IDENTITY_KEY, LEADS_KEY, LOAD_KEY, Load, MemberState, STATE_KEY, encode_identity, encode_leads,
    encode_load, encode_state,
};
use crate::refusal::Refusals;
use crate::replay::Session;
use crate::ring::SharedKeyRing;
use crate::roster::Roster;
use crate::seal::{ClusterBinding, Sealer};
use crate::tracker::Life;
use crate::transport::{SealedSocket, Wiring};

/// Heartbeats that the detector averages over: at five rounds a second, some minutes.
const SAMPLING_WINDOW: usize = 1_000;

/// A heartbeat gap above this is an outage, not a sample of the rhythm.
const INTERVAL_MAX: Duration = Duration::from_secs(5);

/// What the transport shares with the handle.
pub(crate) struct Parts {
    pub(crate) keys: SharedKeyRing,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) roster: Arc<Roster>,
}

pub(crate) fn sealed_socket(
    config: &MembershipConfig,
    environment: &Environment,
    own: Life,
    socket: Box<dyn DatagramSocket>,
    parts: &Parts,
) -> SealedSocket {
    let cluster = ClusterBinding::new(config.cluster.clone());
    let session = Session {
        member: own.member,
        incarnation: own.incarnation,
        salt: environment.salt.0,
    };
    let clock_bound_ms = u64::try_from(config.clock_bound.as_millis()).unwrap_or(u64::MAX);
    SealedSocket::new(Wiring {
        socket,
        sealer: Sealer::new(cluster.clone(), session),
        gate: Gate::new(cluster, session, clock_bound_ms),
        keys: parts.keys.clone(),
        clock: Arc::clone(&environment.clock),
        refusals: Arc::clone(&parts.refusals),
        roster: Arc::clone(&parts.roster),
        own: chitchat_id(own),
    })
}

fn chitchat_id(own: Life) -> ChitchatId {
    ChitchatId::new(own.member.to_string(), own.incarnation.0, own.address)
}

pub(crate) fn chitchat_config(config: &MembershipConfig, own: Life) -> ChitchatConfig {
    ChitchatConfig {
        chitchat_id: chitchat_id(own),
        cluster_id: config.cluster.as_str().to_owned(),
        gossip_interval: config.gossip_interval,
        listen_addr: config.listen,
        seed_nodes: config.seeds.clone(),
        failure_detector_config: FailureDetectorConfig {
            phi_threshold: config.phi_threshold,
            sampling_window_size: SAMPLING_WINDOW,
            max_interval: INTERVAL_MAX,
            initial_interval: config.initial_interval,
            dead_node_grace_period: config.forget_after,
        },
        // No key is ever deleted.
        marked_for_deletion_grace_period: config.forget_after,
        catchup_callback: None,
        extra_liveness_predicate: None,
    }
}

pub(crate) fn first_documents(
    config: &MembershipConfig,
) -> Result<Vec<(String, String)>, PublishError> {
    let own = |key: &str, text| (key.to_owned(), text);
    Ok(vec![
        own(IDENTITY_KEY, encode_identity(&config.identity)?),
        own(STATE_KEY, encode_state(&MemberState::Joining)?),
        own(LOAD_KEY, encode_load(&Load::default())?),
        own(LEADS_KEY, encode_leads(&BTreeMap::new())?),
    ])
}

/// Opens the socket; returns it with the address that others are told.
pub(crate) async fn open_socket(
    config: &MembershipConfig,
    environment: &Environment,
) -> Result<(Box<dyn DatagramSocket>, SocketAddr), StartError> {
    let address = config.listen;
    let bind = |source| StartError::Bind { address, source };
    let socket = environment.datagrams.bind(address).await.map_err(bind)?;
    let advertised = match config.advertise {
        Some(advertised) => advertised,
        None => socket.local_addr().map_err(bind)?,
    };
    if advertised.ip().is_unspecified() || advertised.port() == 0 {
        return Err(ConfigError::Unreachable(advertised).into());
    }
    Ok((socket, advertised))
}
