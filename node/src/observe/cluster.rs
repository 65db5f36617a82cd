//! What a node among others tells of its part in the cluster.
//!
//! Consensus and wire tell of each proposal, snapshot and call; the rest is read when somebody asks. Invariant:
//! labels are words of this program, never of a peer or a client: a kind of call that this version does not
//! know is `other`.

use super::catalogue as metric;
use super::log::ObservedLog;
use super::{Instruments, Metric};
use crate::cluster::commands::message::{ACTORS_READ, ACTORS_WRITE, TWINS_READ};
use crate::cluster::messages::{API_REQUEST, FORECAST_LOAN, INGEST_REQUEST};
use crate::weights::message::{WEIGHTS_NODE, WEIGHTS_PUT, WEIGHTS_READ};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use twinscale_cluster::admin::{CLUSTER_READ, CLUSTER_WRITE, NODE_PROBE};
use twinscale_cluster::meta::{ERRAND_REQUEST, NODE_REPORT};
use twinscale_cluster::node::{JOIN_REQUEST, NodeFigures, NodeObservers};
use twinscale_consensus::{GroupsObserver, PEER_REQUEST, ProposalOutcome, SnapshotNews};
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_shards::SHARD_REQUEST;
use twinscale_weights::CHUNK_REQUEST;
use twinscale_wire::{WireMetrics, WireObserver};

/// Kinds of calls by the name that labels have.
const METHODS: [(EnvelopeKind, &str); 18] = [
    (PEER_REQUEST, "consensus"),
    (SHARD_REQUEST, "shard"),
    (API_REQUEST, "api"),
    (INGEST_REQUEST, "samples"),
    (FORECAST_LOAN, "forecast"),
    (ERRAND_REQUEST, "errand"),
    (NODE_REPORT, "report"),
    (JOIN_REQUEST, "join"),
    (NODE_PROBE, "probe"),
    (CLUSTER_READ, "cluster_read"),
    (CLUSTER_WRITE, "cluster_write"),
    (TWINS_READ, "twins_read"),
    (ACTORS_READ, "actors_read"),
    (ACTORS_WRITE, "actors_write"),
    (CHUNK_REQUEST, "weights_chunk"),
    (WEIGHTS_NODE, "weights_node"),
    (WEIGHTS_READ, "weights_read"),
    (WEIGHTS_PUT, "weights_put"),
];

/// Has the instruments told what the parts of a node among others do.
#[must_use]
pub fn observers(instruments: &Instruments) -> NodeObservers {
    let wire = ObservedWire(instruments.clone());
    NodeObservers {
        log: Arc::new(ObservedLog(instruments.clone())),
        groups: Arc::new(ObservedGroups(instruments.clone())),
        wire: WireMetrics::default().observed_by(Arc::new(wire)),
    }
}

/// Tells the instruments what consensus groups do.
#[derive(Debug)]
struct ObservedGroups(Instruments);

impl GroupsObserver for ObservedGroups {
    fn proposed(&self, outcome: ProposalOutcome, took: Duration) {
        self.0
            .time(&metric::COMMIT_SECONDS, &[outcome.as_str()], took);
    }

    fn stood(&self) {
        self.0.add(&metric::ELECTIONS, &[], 1);
    }

    fn led(&self) {
        self.0.add(&metric::LEADERSHIPS, &[], 1);
    }

    fn terms_passed(&self, terms: u64) {
        self.0.add(&metric::TERM_CHANGES, &[], terms);
    }

    fn snapshot(&self, news: SnapshotNews) {
        let (outcome, moved) = match news {
            SnapshotNews::Sent { bytes } => ("sent", Some(("sent", bytes))),
            SnapshotNews::NotSent => ("not_sent", None),
            SnapshotNews::Installed { bytes } => ("installed", Some(("received", bytes))),
            SnapshotNews::NotInstalled => ("not_installed", None),
        };
        self.0.add(&metric::SNAPSHOTS, &[outcome], 1);
        if let Some((direction, bytes)) = moved {
            self.0.add(&metric::SNAPSHOT_BYTES, &[direction], bytes);
        }
    }
}

/// Tells the instruments of calls between nodes.
#[derive(Debug)]
struct ObservedWire(Instruments);

impl WireObserver for ObservedWire {
    fn called(&self, kind: EnvelopeKind, outcome: &'static str, took: Duration) {
        let method = method(kind);
        self.0.add(&metric::WIRE_CALLS, &[method, outcome], 1);
        self.0.time(&metric::WIRE_CALL_SECONDS, &[method], took);
    }

    fn served(&self, kind: EnvelopeKind, outcome: &'static str, took: Duration) {
        let method = method(kind);
        self.0.add(&metric::WIRE_SERVED, &[method, outcome], 1);
        self.0.time(&metric::WIRE_SERVED_SECONDS, &[method], took);
    }
}

fn method(kind: EnvelopeKind) -> &'static str {
    let known = METHODS.iter().find(|(one, _)| *one == kind);
    known.map_or("other", |(_, name)| *name)
}

/// Enters the figures of a node among others.
pub(super) fn enter(figures: &NodeFigures, instruments: &Instruments) {
    let gauge = |metric: &Metric, labels: &[&str], value: u64| {
        instruments.set(metric, labels, value as f64);
    };
    let gauges = |metric: &Metric, counts: &BTreeMap<&'static str, u64>| {
        for (word, value) in counts {
            gauge(metric, &[word], *value);
        }
    };
    let totals = |metric: &Metric, counts: &BTreeMap<&'static str, u64>| {
        for (word, total) in counts {
            instruments.total(metric, &[word], *total);
        }
    };
    gauges(&metric::MEMBERS, &figures.heard);
    gauges(&metric::NODES, &figures.registered);
    totals(&metric::GOSSIP_REFUSED, &figures.datagrams_refused);
    gauges(&metric::GROUPS, &figures.groups);
    gauge(&metric::GROUPS_LEADERLESS, &[], figures.leaderless);
    gauge(&metric::REPLICA_LAG, &[], figures.lag_max);
    gauge(&metric::UNAPPLIED, &[], figures.unapplied_max);
    gauge(&metric::LOG_DISK, &[], figures.log_disk_bytes);
    let wire = &figures.wire;
    let in_flight = |count: i64| u64::try_from(count).unwrap_or_default();
    let made = in_flight(wire.made_in_flight);
    gauge(&metric::WIRE_IN_FLIGHT, &["made"], made);
    let served = in_flight(wire.served_in_flight);
    gauge(&metric::WIRE_IN_FLIGHT, &["served"], served);
    gauge(&metric::WIRE_CONNECTIONS, &[], in_flight(wire.connections));
    totals(&metric::WIRE_REFUSED, &wire.refused);
    let total = |metric: &Metric, labels: &[&str], total| instruments.total(metric, labels, total);
    total(&metric::WIRE_CONNECTS, &[], wire.connects);
    total(&metric::ROUTED, &["local"], figures.routed.local);
    total(&metric::ROUTED, &["remote"], figures.routed.remote);
    total(&metric::REDIRECTS, &[], figures.routed.redirects);
    total(&metric::ROUTE_RETRIES, &[], figures.routed.retries);
    total(&metric::REPEATED, &[], figures.repeated);
    gauge(&metric::MOVES_UNDER_WAY, &[], figures.moves_under_way);
    total(&metric::MOVES, &["finished"], figures.moves_finished);
    total(&metric::MOVES, &["rolled_back"], figures.moves_rolled_back);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_a_name_that_the_reference_lists() {
        let (_, listed) = metric::WIRE_CALLS.labels[0];
        let listed: Vec<&str> = listed.split(", ").collect();
        for (kind, name) in METHODS {
            assert_eq!(method(kind), name);
            assert!(listed.contains(&name), "{name}");
        }
        assert_eq!(listed.len(), METHODS.len() + 1);
        assert_eq!(method(EnvelopeKind(0x7f00)), "other");
    }
}
