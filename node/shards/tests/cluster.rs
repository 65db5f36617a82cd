//! Shards on several nodes in one process: real logs and stores on disk, a network in memory with faults.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "tests spawn their clients, wait for them, and fail by panics"
)]

#[path = "cluster/harness.rs"]
mod harness;

use harness::{Cluster, START, customer, plan, policy_of, samples};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use twinscale_protocol::envelope;
use twinscale_protocol::provisioner::{Action, Intent, Operation};
use twinscale_protocol::{
    CustomerId, Generation, PlanNumber, RequestId, ShardId, TierName, VmCount, VmTypeId,
    WireErrorCode,
};
use twinscale_provisioner::check::check_generations;
use twinscale_provisioner::driver::{CallContext, DriverError, VmSpec};
use twinscale_provisioner::{ProviderDriver as _, SimCloudConfig, SimCloudDriver};
use twinscale_shards::{
    HostedShard, LeaderWriter, Places, SHARD_RESPONSE, ShardAnswer, ShardRequest, ShardsError,
};
use twinscale_twin::shard::shard_command;
use twinscale_twin::{ApplyResult, HostError, Refusal, TwinCommand, TwinWriter as _};

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_for_the_wrong_shard_is_refused_by_its_leader() {
    let cluster = Cluster::start(3, 4, 11).await;
    let (name, wrong) = (customer(5), ShardId(2));
    let leader = cluster.leader_of(wrong.0).await;
    let request = ShardRequest {
        shard: wrong,
        command: shard_command(RequestId(7), &name, &samples(5)).expect("small"),
    };
    let answer = cluster.node(leader).router.answer(request).await;
    let ShardAnswer(answer) = envelope::open(SHARD_RESPONSE, &answer).expect("readable");
    let refused = Err(ShardsError::Misplaced {
        shard: wrong,
        customer: name.clone(),
        belongs_to: ShardId(1),
    });
    assert_eq!(answer, refused);
    let reader = cluster.node(leader).shard(wrong.0);
    assert!(reader.machine().reader().twin(&name).is_none());
    cluster.stop().await;
}

/// Knows of no shard, as a node that has just joined.
#[derive(Debug)]
struct Unknown;

impl Places for Unknown {
    fn shard_of(&self, _customer: &CustomerId) -> Option<ShardId> {
        None
    }

    fn replicas(&self, _shard: ShardId) -> Vec<u64> {
        Vec::new()
    }

    fn is_silent(&self, _node: u64) -> bool {
        false
    }

    fn schema(&self) -> u32 {
        1
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_knows_no_shards_takes_nothing() {
    let cluster = Cluster::start(1, 1, 12).await;
    let router = cluster.node(1).router_with(Arc::new(Unknown));
    let name = customer(0);
    let proposed = router
        .propose(RequestId(1), &name, &samples(0), LIMIT)
        .await;
    assert_eq!(proposed, Err(ShardsError::Unplaced));
    let request = ShardRequest {
        shard: ShardId(0),
        command: shard_command(RequestId(2), &name, &samples(0)).expect("small"),
    };
    let answer = router.answer(request).await;
    let ShardAnswer(answer) = envelope::open(SHARD_RESPONSE, &answer).expect("readable");
    assert_eq!(answer, Err(ShardsError::Unplaced));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_takes_any_command_and_all_replicas_agree() {
    let cluster = Cluster::start(3, 4, 1).await;
    for number in 0..24 {
        let node = number % 3 + 1;
        let name = customer(number);
        let configured = cluster
            .propose(
                node,
                RequestId(u128::from(number) + 1),
                &name,
                policy_of(24),
                LIMIT,
            )
            .await
            .expect("configures");
        assert_eq!(
            configured.result,
            ApplyResult::Configured { config_version: 1 }
        );
        let stored = cluster
            .propose(node, RequestId::NONE, &name, samples(number), LIMIT)
            .await
            .expect("stores");
        assert!(matches!(stored.result, ApplyResult::SamplesRecorded(_)));
        assert!(stored.generation > 0);
    }
    cluster.wait_for_equal_replicas().await;
    let twins: usize = cluster
        .node(2)
        .shards()
        .map(|one| one.machine().reader().len())
        .sum();
    assert_eq!(twins, 24);
    let counts = cluster.node(1).router.counts();
    assert!(counts.local + counts.remote >= 16, "{counts:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_takes_effect_once_whoever_leads_by_then() {
    let mut cluster = Cluster::start(3, 1, 2).await;
    let name = customer(7);
    let request = RequestId(99);
    let leader = cluster.leader_of(0).await;
    let first = cluster.propose(leader, request, &name, policy_of(24), LIMIT);
    assert_eq!(first.await.expect("takes it").result, configured(1));
    let other = policy_of(12);
    let second = cluster.propose(leader, RequestId(100), &name, other, LIMIT);
    assert_eq!(second.await.expect("takes it").result, configured(2));
    cluster.kill(leader);
    let survivor = cluster
        .numbers()
        .find(|number| *number != leader)
        .expect("two are left");
    let again = cluster.propose(survivor, request, &name, policy_of(24), LIMIT);
    assert_eq!(
        again.await.expect("takes it").result,
        configured(1),
        "what the first came to"
    );
    cluster.restart(leader).await;
    cluster.wait_for_equal_replicas().await;
    let again = cluster.propose(leader, request, &name, policy_of(24), LIMIT);
    assert_eq!(again.await.expect("takes it").result, configured(1));
    cluster.stop().await;
}

fn configured(config_version: u64) -> ApplyResult {
    ApplyResult::Configured { config_version }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_cut_off_confirms_nothing() {
    let cluster = Cluster::start(3, 1, 3).await;
    let leader = cluster.leader_of(0).await;
    let shard = cluster.node(leader).shard(0);
    let generation = shard.generation().expect("it leads");
    shard
        .confirm(generation, LIMIT)
        .await
        .expect("it leads, and others say so");
    let next = Generation(generation.0 + 1);
    let wrong = shard.confirm(next, LIMIT).await;
    assert!(
        matches!(wrong, Err(ShardsError::NotLeader { .. })),
        "{wrong:?}"
    );
    cluster.isolate(&BTreeSet::from([leader]));
    let refused = shard.confirm(generation, Duration::from_secs(2)).await;
    assert!(refused.is_err(), "nobody confirms it");
    let survivor = cluster
        .numbers()
        .find(|number| *number != leader)
        .expect("two are left");
    let name = customer(1);
    let taken = cluster.propose(survivor, RequestId(5), &name, policy_of(24), LIMIT);
    let taken = taken.await.expect("the majority goes on");
    assert!(taken.generation > generation.0);
    cluster.heal();
    let late = shard.confirm(generation, LIMIT).await;
    assert!(late.is_err(), "its generation is over: {late:?}");
    cluster.wait_for_equal_replicas().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_refuses_and_says_so() {
    let cluster = Cluster::start(3, 1, 4).await;
    let leader = cluster.leader_of(0).await;
    cluster.isolate(&BTreeSet::from([leader]));
    let limit = Duration::from_secs(3);
    let name = customer(1);
    let refused = cluster.propose(leader, RequestId(1), &name, policy_of(24), limit);
    let refused = refused.await.expect_err("no majority is connected");
    assert!(!matches!(refused, ShardsError::Invalid { .. }), "{refused}");
    cluster.heal();
    let taken = cluster.propose(leader, RequestId(1), &name, policy_of(24), LIMIT);
    assert_eq!(
        taken.await.expect("takes it").result,
        configured(1),
        "once, whatever became of the first"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_is_cut_off_refuses_soon_and_the_majority_serves() {
    let cluster = Cluster::start(5, 1, 8).await;
    let leader = cluster.leader_of(0).await;
    let other = leader % 5 + 1;
    let rest = other % 5 + 1;
    cluster.isolate(&BTreeSet::from([leader, other]));
    let name = customer(1);
    for (node, number) in [(leader, 1), (other, 2)] {
        let asked = Instant::now();
        let refused = cluster.propose(node, RequestId(number), &name, policy_of(24), LIMIT);
        let refused = refused.await.expect_err("two of five are no majority");
        // What the old leader took before it noticed is unknown, whatever it says later.
        let text = refused.to_string();
        if !refused.is_outcome_unknown() {
            assert!(text.contains("it hears 2 of 5 voters"), "{text}");
            assert!(text.contains("ask another node"), "{text}");
        }
        assert!(asked.elapsed() < LIMIT / 2, "{:?}", asked.elapsed());
    }
    // Now it is known: nobody waits any more.
    let asked = Instant::now();
    let refused = cluster.propose(other, RequestId(3), &name, policy_of(24), LIMIT);
    let refused = refused.await.expect_err("two of five are no majority");
    assert!(matches!(refused, ShardsError::CutOff { .. }), "{refused}");
    assert_eq!(refused.code(), WireErrorCode::Unavailable);
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    let taken = cluster.propose(rest, RequestId(4), &name, policy_of(24), LIMIT);
    taken
        .await
        .expect("three of five elect a leader, and this waits for it");
    cluster.heal();
    // The cut is over at once, though another partition began a moment ago.
    let taken = cluster.propose(other, RequestId(5), &name, policy_of(24), LIMIT);
    taken.await.expect("all are there");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_reach_the_leader_alone_says_so() {
    let cluster = Cluster::start(3, 1, 9).await;
    let leader = cluster.leader_of(0).await;
    let other = leader % 3 + 1;
    cluster.part(leader, other);
    let name = customer(1);
    let asked = Instant::now();
    let refused = cluster.propose(other, RequestId(1), &name, policy_of(24), LIMIT);
    let refused = refused.await.expect_err("its leader is out of its reach");
    assert!(asked.elapsed() < LIMIT / 2, "{:?}", asked.elapsed());
    let text = refused.to_string();
    let named = format!("node {leader} leads the shard, and this node cannot reach it");
    assert!(text.contains(&named), "{text}");
    let taken = cluster.propose(leader, RequestId(2), &name, policy_of(24), LIMIT);
    taken.await.expect("the leader has a majority without it");
    cluster.heal();
    let taken = cluster.propose(other, RequestId(3), &name, policy_of(24), LIMIT);
    taken.await.expect("all reach each other");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_wait_for_the_next_leader_while_a_majority_is_there() {
    let mut cluster = Cluster::start(5, 1, 10).await;
    let name = customer(1);
    for number in 1..=2 {
        let leader = cluster.leader_of(0).await;
        let survivors: Vec<u64> = cluster.numbers().filter(|one| *one != leader).collect();
        cluster.kill(leader);
        let asked = survivors.iter().map(|node| {
            let request = RequestId(u128::from(number * 10 + node));
            cluster.propose(*node, request, &name, policy_of(24), LIMIT)
        });
        for taken in futures::future::join_all(asked).await {
            taken.expect("it waited for an election");
        }
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_lost_is_filled_again() {
    let mut cluster = Cluster::start(3, 2, 5).await;
    for number in 0..10 {
        let node = 1;
        let name = customer(number);
        let stored = cluster
            .propose(node, RequestId::NONE, &name, samples(number), LIMIT)
            .await;
        stored.expect("stores");
    }
    cluster.wait_for_equal_replicas().await;
    cluster.kill(2);
    std::fs::remove_dir_all(cluster.folder(2).join("store")).expect("it is there");
    cluster.restart(2).await;
    cluster.wait_for_equal_replicas().await;
    let twins: usize = cluster
        .node(2)
        .shards()
        .map(|one| one.machine().reader().len())
        .sum();
    assert_eq!(twins, 10);
    cluster.stop().await;
}

/// Clients change one twin's plan by compare-and-set through any node, while nodes are killed and cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compare_and_set_is_linearizable_under_kills_and_partitions() {
    let mut cluster = Cluster::start(3, 1, 6).await;
    let name = customer(0);
    let configured = cluster.propose(1, RequestId(1), &name, policy_of(24), LIMIT);
    configured.await.expect("configures");
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let mut acknowledged: Vec<u64> = Vec::new();
    let mut unknown: Vec<u64> = Vec::new();
    let mut next = 1;
    for round in 0..12 {
        let victim = random.random_range(1..=3);
        match round % 3 {
            0 => cluster.kill(victim),
            1 => cluster.isolate(&BTreeSet::from([victim])),
            _ => {}
        }
        let clients = cluster
            .numbers()
            .filter(|number| *number != victim)
            .map(|number| {
                let router = Arc::clone(&cluster.node(number).router);
                let (name, command) = (name.clone(), plan(next));
                tokio::spawn(async move {
                    router
                        .propose(RequestId::NONE, &name, &command, LIMIT)
                        .await
                })
            });
        let mut winners = 0;
        for client in clients.collect::<Vec<_>>() {
            match client.await.expect("no panic") {
                Ok(proposal) => match proposal.result {
                    ApplyResult::PlanCommitted(number) => {
                        assert_eq!(number, PlanNumber(next));
                        acknowledged.push(next);
                        winners += 1;
                    }
                    ApplyResult::Refused(Refusal::PlanConflict { .. }) => {}
                    other => panic!("{other:?}"),
                },
                Err(error) if error.is_outcome_unknown() => unknown.push(next),
                Err(error) => panic!("nobody serves though two are connected: {error}"),
            }
        }
        assert!(winners <= 1, "two clients set plan {next}");
        cluster.heal();
        cluster.restart(victim).await;
        let target = cluster.target(&name).await;
        assert!(
            target >= acknowledged.last().copied().unwrap_or(0),
            "an acknowledged plan is gone"
        );
        assert!(
            target == next || target == next - 1,
            "{target} after {next}"
        );
        assert!(winners == 0 || target == next);
        if target == next && winners == 0 {
            assert!(
                unknown.contains(&next),
                "a plan was set that nobody asked for"
            );
        }
        next = target + 1;
    }
    assert!(
        acknowledged.len() >= 6,
        "{acknowledged:?} acknowledged, {unknown:?} unknown"
    );
    cluster.wait_for_equal_replicas().await;
    cluster.stop().await;
}

/// The VM that an intent allocated, as the provider is asked for it.
fn launch_of(intent: &Intent) -> VmSpec {
    let Action::Launch {
        vm,
        tier,
        vm_type,
        price_per_hour,
        minimum_bill,
    } = intent.action.clone()
    else {
        panic!("{intent:?} launches nothing");
    };
    VmSpec {
        vm,
        tier,
        vm_type,
        price_per_hour,
        minimum_bill,
    }
}

fn leader_of(cluster: &Cluster, shard: &Arc<HostedShard>) -> LeaderWriter {
    let generation = shard.generation().expect("it leads");
    LeaderWriter::new(Arc::clone(shard), cluster.places_of(1), generation)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_paused_between_check_and_call_is_refused_by_the_cloud() {
    let cluster = Cluster::start(3, 1, 8).await;
    let cloud = SimCloudDriver::new(SimCloudConfig::with_seed(8));
    let name = customer(3);
    let old_leader = cluster.leader_of(0).await;
    let shard = cluster.node(old_leader).shard(0);
    let old = leader_of(&cluster, &shard);
    old.commit(&name, policy_of(24)).await.expect("configures");
    let committed = old.commit(&name, launch_one()).await.expect("commits");
    let ApplyResult::IntentsCommitted(intents) = committed else {
        panic!("{committed:?}");
    };
    old.confirm(old.generation(), LIMIT)
        .await
        .expect("it leads");

    // Here it is paused, and another takes over what it left open.
    cluster.isolate(&BTreeSet::from([old_leader]));
    let new_leader = cluster.other_leader(0, old_leader).await;
    let shard = cluster.node(new_leader).shard(0);
    let new = leader_of(&cluster, &shard);
    assert!(new.generation() > old.generation());
    new.confirm(new.generation(), LIMIT)
        .await
        .expect("it leads");
    let twin = new.find(&name).expect("it was committed");
    let open: Vec<Intent> = twin.read(|state| state.open_intents().cloned().collect());
    assert_eq!(open, intents, "the new leader finds what is open");
    let call = |generation| CallContext {
        customer: name.clone(),
        generation,
        now: START,
    };
    let spec = launch_of(&open[0]);
    cloud
        .launch(&call(new.generation()), &spec)
        .await
        .expect("starts");

    // It wakes up: the check of before no longer holds, and the cloud knows.
    let late = cloud.launch(&call(old.generation()), &spec).await;
    let stale = DriverError::StaleGeneration {
        sent: old.generation(),
        highest: new.generation(),
    };
    assert_eq!(late, Err(stale));
    let refused = old.confirm(old.generation(), Duration::from_secs(2)).await;
    refused.expect_err("nobody confirms it");
    cluster.heal();
    cluster.wait_for_equal_replicas().await;
    old.commit(&name, launch_one())
        .await
        .expect_err("it may commit nothing any more");
    let vms = cloud.with_cloud(|cloud| {
        let ledger = cloud.ledger(&name).expect("it was called");
        assert!(check_generations(&name, ledger).is_empty());
        ledger.vms().len()
    });
    assert_eq!(vms, 1, "neither doubled nor lost");
    cluster.stop().await;
}

fn launch_one() -> TwinCommand {
    TwinCommand::CommitIntents {
        at: START,
        operations: vec![Operation::Launch {
            tier: TierName::new("web").expect("a name"),
            vm_type: VmTypeId::new("typeA").expect("an id"),
            count: VmCount(1),
        }],
        held: Vec::new(),
    }
}

#[test]
fn commands_without_an_id_must_stand_repetition() {
    // A plan names its parent and samples their time; what has neither goes under an id.
    assert!(
        matches!(plan(2), TwinCommand::CommitPlan { plan, .. } if plan.parent == Some(PlanNumber(1)))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_not_every_node_knows_is_proposed_by_nobody() {
    let cluster = Cluster::start(3, 1, 9).await;
    let name = customer(1);
    let leader = cluster.leader_of(0).await;
    let shard = cluster.node(leader).shard(0);
    let writer = leader_of(&cluster, &shard);
    // No command is that new yet: the gate is below all of them instead.
    cluster.set_gate(0);
    for node in cluster.numbers() {
        let proposed = cluster.propose(node, RequestId(7), &name, policy_of(24), LIMIT);
        let refused = proposed.await.expect_err("it is refused");
        let (schema, gate) = (1, 0);
        let shard = shard.shard();
        assert_eq!(
            refused,
            ShardsError::BeyondGate {
                shard,
                schema,
                gate
            }
        );
        assert!(refused.is_final() && !refused.is_outcome_unknown());
    }
    let refused = writer.commit(&name, policy_of(24)).await;
    assert!(matches!(refused, Err(HostError::Shard(_))), "{refused:?}");
    assert!(shard.machine().reader().customers().is_empty());
    cluster.set_gate(1);
    let proposed = cluster.propose(leader, RequestId(7), &name, policy_of(24), LIMIT);
    proposed.await.expect("every node knows it");
}
