//! Customers that write and look whether what was acknowledged is there, and what cuts them off.

use super::{Cluster, DEADLINE, LIMIT, SHARDS};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use twinscale_meta::{ShardCount, shard_of};
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MetricName, NodeNumber, RequestId, SeriesKey, VmTypeId,
};
use twinscale_twin::shard::shard_command;
use twinscale_twin::{SampleGroup, TwinCommand};

const CUSTOMERS: u64 = 24;
const START: DomainTime = DomainTime(1_700_006_400);

impl Cluster {
    /// Lets nothing through between a node and the others.
    pub(crate) fn isolate(&self, number: u64) {
        let node = NodeNumber(number);
        self.network.isolate(&BTreeSet::from([node]));
        self.hub.state().alone.insert(node);
        self.hub.turn(node, false, self.hub.incarnation(node));
    }

    /// Ends the isolation of a node.
    pub(crate) fn heal(&self, number: u64) {
        let node = NodeNumber(number);
        self.network.heal();
        self.hub.state().alone.clear();
        self.hub.turn(node, true, self.hub.incarnation(node));
    }

    /// Writes to every customer; acknowledged when it returns.
    pub(crate) async fn write_all(&self, round: u64) {
        for number in 0..CUSTOMERS {
            let written = async {
                while !self.write(number, round).await {
                    sleep(Duration::from_millis(50)).await;
                }
            };
            timeout(DEADLINE, written).await.expect("it is written");
        }
    }

    async fn write(&self, number: u64, round: u64) -> bool {
        let customer = customer(number, round);
        let id = RequestId(u128::from(round * 1_000 + number + 1));
        let command = shard_command(id, &customer, &samples(number)).expect("small");
        match self.leader_of(shard(&customer)) {
            Some(hosted) => hosted.propose(command).await.is_ok(),
            None => false,
        }
    }

    /// Checks that what was written in all rounds is there.
    pub(crate) async fn check_all(&self, rounds: u64) {
        let written = (1..=rounds).flat_map(|round| (0..CUSTOMERS).map(move |one| (one, round)));
        for (number, round) in written {
            let customer = customer(number, round);
            let read = async {
                let mut found = self.has_twin(&customer).await;
                while found.is_none() {
                    sleep(Duration::from_millis(50)).await;
                    found = self.has_twin(&customer).await;
                }
                found
            };
            let is_there = timeout(DEADLINE, read).await.expect("somebody leads");
            assert_eq!(is_there, Some(true), "{customer} of round {round} is lost");
        }
    }

    async fn has_twin(&self, customer: &CustomerId) -> Option<bool> {
        let hosted = self.leader_of(shard(customer))?;
        let read = hosted.read_linearizable(customer, LIMIT).await;
        read.ok().map(|twin| twin.is_some())
    }
}

fn shard(customer: &CustomerId) -> u32 {
    shard_of(customer, ShardCount::new(SHARDS).expect("a count")).0
}

fn customer(number: u64, round: u64) -> CustomerId {
    CustomerId::new(format!("customer-{round}-{number}")).expect("an id")
}

fn samples(number: u64) -> TwinCommand {
    let value = FixedValue(i64::try_from(number).expect("small") * 1_000_000);
    let series = SeriesKey {
        vm_type: VmTypeId::new("typeA").expect("an id"),
        metric: MetricName::new("vm_count").expect("a name"),
    };
    TwinCommand::RecordSamples {
        now: DomainTime(START.0 + 7_200),
        groups: vec![SampleGroup {
            series,
            samples: vec![(START, value)],
        }],
    }
}
