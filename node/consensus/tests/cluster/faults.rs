//! Faults while clients work: what they were told stays true.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use twinscale_consensus::GroupId;
use twinscale_consensus::memory_network::LinkFaults;
use twinscale_protocol::NodeNumber;

use crate::clients::Clients;
use crate::harness::Cluster;

const FIRST: GroupId = GroupId(0);

/// What befalls the leader of the first group, or the whole network.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    CutPower,
    Freeze,
    /// The leader on the smaller side.
    Half,
    /// The leader hears, and nobody hears it.
    Mute,
    /// Everybody hears the leader, and it hears nobody.
    Deaf,
    /// The leader and one follower.
    Pair,
}

const FAULTS: [Fault; 7] = [
    Fault::Kill,
    Fault::CutPower,
    Fault::Freeze,
    Fault::Half,
    Fault::Mute,
    Fault::Deaf,
    Fault::Pair,
];

/// Lets a fault strike, waits until operations go on without the leader, and ends the fault.
fn strike(cluster: &mut Cluster, clients: &Clients, fault: Fault, random: &mut ChaCha8Rng) {
    let leader = cluster.wait_leader(FIRST, &cluster.numbers());
    let others: Vec<NodeNumber> = cluster
        .numbers()
        .into_iter()
        .filter(|number| *number != leader)
        .collect();
    let other = others[random.random_range(0..others.len())];
    match fault {
        Fault::Kill => {
            cluster.kill(leader);
        }
        Fault::CutPower => {
            cluster.cut_power(leader);
        }
        Fault::Freeze => {
            cluster.freeze(leader);
        }
        Fault::Half => {
            let mut side = [leader].into();
            if cluster.numbers().len() > 3 {
                side = [leader, other].into();
            }
            cluster.network.isolate(&side);
        }
        Fault::Mute => {
            for other in &others {
                cluster.network.cut(leader, *other);
            }
        }
        Fault::Deaf => {
            for other in &others {
                cluster.network.cut(*other, leader);
            }
        }
        Fault::Pair => {
            cluster.network.cut(leader, other);
            cluster.network.cut(other, leader);
        }
    }
    clients.know(cluster);
    // Of all groups: also of those whose leader this is not.
    clients.wait_progress(cluster, 60);
    if !matches!(fault, Fault::Pair) {
        cluster.wait_leader(FIRST, &others);
    }
    match fault {
        Fault::Kill | Fault::CutPower => cluster.restart(leader),
        Fault::Freeze => cluster.thaw(leader),
        Fault::Half | Fault::Mute | Fault::Deaf | Fault::Pair => cluster.network.heal(),
    }
    clients.know(cluster);
    clients.wait_progress(cluster, 60);
}

fn survive(seed: u64, nodes: u64, groups: u32, links: LinkFaults, rounds: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut cluster = Cluster::start(seed, nodes, groups);
    cluster.network.set_faults(links);
    let clients = Clients::start(&cluster, seed, 3);
    clients.wait_progress(&cluster, 100);
    for round in 0..rounds {
        strike(
            &mut cluster,
            &clients,
            FAULTS[round % FAULTS.len()],
            &mut random,
        );
    }
    cluster.network.set_faults(LinkFaults::default());
    let acknowledged = clients.finish(&cluster);
    assert!(
        acknowledged > 300,
        "{acknowledged} writes were acknowledged"
    );
}

#[test]
fn three_nodes_survive_every_fault_of_their_leader() {
    survive(1, 3, 3, LinkFaults::default(), 7);
}

#[test]
fn five_nodes_survive_every_fault_of_their_leader() {
    survive(2, 5, 2, LinkFaults::default(), 7);
}

#[test]
fn three_nodes_survive_faults_on_a_bad_network() {
    let links = LinkFaults {
        lost_per_mille: 30,
        doubled_per_mille: 100,
        delay_max: Duration::from_millis(8),
    };
    survive(3, 3, 2, links, 7);
}

/// Every node loses its power at once, more than once.
#[test]
fn cluster_that_loses_all_power_keeps_what_it_acknowledged() {
    let mut cluster = Cluster::start(4, 3, 4);
    let clients = Clients::start(&cluster, 4, 3);
    for _ in 0..3 {
        clients.wait_progress(&cluster, 300);
        for number in cluster.numbers() {
            cluster.cut_power(number);
        }
        clients.know(&cluster);
        for number in 1..=3 {
            cluster.restart(NodeNumber(number));
        }
        clients.know(&cluster);
    }
    clients.wait_progress(&cluster, 300);
    let acknowledged = clients.finish(&cluster);
    assert!(
        acknowledged > 300,
        "{acknowledged} writes were acknowledged"
    );
}

#[test]
fn what_all_agreed_on_is_what_they_agree_on_after_a_power_cut() {
    let mut cluster = Cluster::start(5, 3, 4);
    let clients = Clients::start(&cluster, 5, 3);
    clients.wait_progress(&cluster, 300);
    clients.finish(&cluster);
    let before = cluster.wait_agreement();
    assert!(before.values().any(|writers| !writers.is_empty()));
    for _ in 0..3 {
        for number in cluster.numbers() {
            cluster.cut_power(number);
        }
        for number in 1..=3 {
            cluster.restart(NodeNumber(number));
        }
        assert_eq!(cluster.wait_agreement(), before);
    }
}
