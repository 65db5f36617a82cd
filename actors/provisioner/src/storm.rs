//! Storms: a twin's provisioning loop against a provider that answers badly, for many seeds.
//!
//! The loop commits as a twin does: intents before the calls, outcomes after them; it crashes between the
//! two, loses its memory, loses its shard to a new owner while its last calls are still on their way. A
//! safety phase with faults is followed by a liveness phase without; the checks read the provider's ledger.

use crate::check::{Violation, check_generations, check_keys, check_settled, check_sizes};
use crate::execute::{RetryPolicy, execute, observe};
use crate::memory::SharedMemory;
use crate::reconcile::reconcile;
use crate::simcloud::{FaultConfig, SimCloudConfig, SimCloudDriver};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::policy::{Limits, Mode};
use twinscale_protocol::provisioner::{
    Action, Desired, DesiredVms, ExecuteReply, ExecuteRequest, Intent, LinkSize, ObserveRequest,
    ObservedAllocation, ObservedVm, Operation, OutcomeResult, ReconcileRequest, VolumeBlocks,
};
use twinscale_protocol::{
    CustomerId, DomainTime, Generation, IntentId, Mbps, MicroDollars, PartsPerMillion, Seconds,
    TierName, VmCount, VmId, VmTypeId,
};

/// Turns of the safety phase.
const TURNS: u32 = 40;

/// Turns of the liveness phase: the promise is two reconcile periods.
const TURNS_TO_SETTLE: u32 = 2;

/// What may go wrong besides the provider.
#[derive(Clone, Copy, Debug)]
struct Weather {
    /// Length of a turn; below the longest lag of a listing, so that stale listings matter.
    period: Seconds,
    /// Share of each of the provider's faults.
    faults: PartsPerMillion,
    /// Probability of a crash between calls and outcomes, or of not calling at all.
    crash: f64,
    /// Probability of a new owner, with the old one's calls still on their way.
    new_owner: f64,
    /// Probability that memory is lost.
    forget: f64,
}

const ROUGH: Weather = Weather {
    period: Seconds(200),
    faults: PartsPerMillion(60_000),
    crash: 0.15,
    new_owner: 0.1,
    forget: 0.1,
};

/// A twin, as far as provisioning goes.
struct LoopTwin {
    customer: CustomerId,
    generation: Generation,
    now: DomainTime,
    next: u64,
    observed: ObservedAllocation,
    open_intents: BTreeMap<IntentId, Intent>,
    /// Every identity that was ever committed.
    committed: BTreeSet<VmId>,
    /// A request of an earlier owner that has not arrived yet.
    on_its_way: Option<ExecuteRequest>,
    memory: SharedMemory,
}

fn tier(name: &str) -> TierName {
    TierName::new(name).expect("a name")
}

fn vm_type(name: &str) -> VmTypeId {
    VmTypeId::new(name).expect("a type")
}

impl LoopTwin {
    fn new() -> Self {
        Self {
            customer: CustomerId::new("acme").expect("an id"),
            generation: Generation(1),
            now: DomainTime(0),
            next: 0,
            observed: ObservedAllocation::default(),
            open_intents: BTreeMap::new(),
            committed: BTreeSet::new(),
            on_its_way: None,
            memory: SharedMemory::default(),
        }
    }

    /// Runs one turn; `rng` decides what goes wrong on this side.
    async fn turn(
        &mut self,
        driver: &SimCloudDriver,
        desired: &Desired,
        (weather, rng): (&Weather, &mut ChaCha8Rng),
    ) {
        self.now = self.now.plus(weather.period);
        let retry = RetryPolicy::without_waits();
        let request = ObserveRequest {
            customer: self.customer.clone(),
            now: self.now,
        };
        let seen = observe(driver, &self.memory, &retry, &request).await;
        let blind = seen.is_err();
        if let Ok(seen) = seen {
            self.observed = seen.allocation;
        }
        let operations = self.plan(desired, blind);
        let intents = self.commit(operations);
        let request = ExecuteRequest {
            customer: self.customer.clone(),
            generation: self.generation,
            now: self.now,
            intents,
        };
        if rng.random_bool(weather.new_owner) {
            // The calls of the old owner arrive at some later moment, or never.
            self.generation.0 += 1;
            self.on_its_way = Some(request);
        } else if rng.random_bool(weather.crash) {
            // Committed, and the node is gone before any call.
        } else {
            let reply = execute(driver, &self.memory, &retry, &request).await;
            if !rng.random_bool(weather.crash) {
                self.settle(&reply.expect("few intents"));
            }
        }
        if rng.random_bool(weather.forget) {
            self.memory = SharedMemory::default();
        }
        if rng.random_bool(0.5) {
            self.deliver_late(driver).await;
        }
    }

    /// Lets the calls of an earlier owner arrive; nobody learns what comes of them.
    async fn deliver_late(&mut self, driver: &SimCloudDriver) {
        if let Some(late) = self.on_its_way.take() {
            let (memory, retry) = (SharedMemory::default(), RetryPolicy::without_waits());
            drop(execute(driver, &memory, &retry, &late).await);
        }
    }

    fn plan(&self, desired: &Desired, blind: bool) -> Vec<Operation> {
        let request = ReconcileRequest {
            customer: self.customer.clone(),
            now: self.now,
            mode: Mode::Enforce,
            desired: Desired {
                blind,
                ..desired.clone()
            },
            observed: self.observed.clone(),
            open_intents: self.open_intents.values().cloned().collect(),
            limits: Limits {
                floor: VmCount(0),
                ceiling: VmCount(100),
                step_out_max: VmCount(100),
                step_in_max: VmCount(100),
                cooldown_out: Seconds(0),
                cooldown_in: Seconds(0),
            },
            last_changes: Vec::new(),
        };
        reconcile(&request).operations
    }

    fn commit(&mut self, operations: Vec<Operation>) -> Vec<Intent> {
        let mut intents = Vec::new();
        for operation in operations {
            match operation {
                Operation::Retry { intent } => intents.push(self.open_intents[&intent].clone()),
                Operation::Launch {
                    tier,
                    vm_type,
                    count,
                } => {
                    for _ in 0..count.0 {
                        let vm = VmId(self.next);
                        self.committed.insert(vm);
                        let action = Action::Launch {
                            vm,
                            tier: tier.clone(),
                            vm_type: vm_type.clone(),
                            price_per_hour: MicroDollars(100_000),
                            minimum_bill: Seconds(60),
                        };
                        intents.push(self.open(action));
                    }
                }
                Operation::Terminate { vm } => intents.push(self.open(Action::Terminate { vm })),
                Operation::ResizeVolume(volume) => {
                    intents.push(self.open(Action::ResizeVolume(volume)));
                }
                Operation::ResizeLink(link) => intents.push(self.open(Action::ResizeLink(link))),
            }
        }
        intents
    }

    fn open(&mut self, action: Action) -> Intent {
        let intent = Intent {
            id: IntentId(self.next),
            at: self.now,
            action,
        };
        self.next += 1;
        self.open_intents.insert(intent.id, intent.clone());
        intent
    }

    fn settle(&mut self, reply: &ExecuteReply) {
        for outcome in &reply.outcomes {
            if matches!(outcome.result, OutcomeResult::Unknown(_)) {
                continue;
            }
            let intent = self.open_intents.remove(&outcome.intent);
            let intent = intent.expect("an outcome is of an open intent");
            if outcome.result == OutcomeResult::Done {
                self.note_done(intent);
            }
        }
    }

    /// What the twin's own state makes of a known outcome until the next observation.
    fn note_done(&mut self, intent: Intent) {
        let vms = &mut self.observed.vms;
        match intent.action {
            Action::Launch {
                vm, tier, vm_type, ..
            } if !vms.iter().any(|seen| seen.vm == vm) => vms.push(ObservedVm {
                vm,
                tier,
                vm_type,
                requested_at: intent.at,
                serving_since: None,
            }),
            Action::Terminate { vm } => vms.retain(|seen| seen.vm != vm),
            Action::Launch { .. } | Action::ResizeVolume(_) | Action::ResizeLink(_) => {}
        }
    }

    fn known(&self) -> BTreeSet<VmId> {
        let open = self
            .open_intents
            .values()
            .filter_map(|intent| match intent.action {
                Action::Launch { vm, .. } => Some(vm),
                _ => None,
            });
        self.observed
            .vms
            .iter()
            .map(|seen| seen.vm)
            .chain(open)
            .collect()
    }
}

fn any_desired(rng: &mut ChaCha8Rng, blocks: u32) -> Desired {
    let mut row = |tier_name: &str, type_name: &str| DesiredVms {
        tier: tier(tier_name),
        vm_type: vm_type(type_name),
        count: VmCount(rng.random_range(0..12)),
        count_next: VmCount(rng.random_range(0..12)),
    };
    let vms = vec![row("web", "a"), row("web", "b"), row("db", "a")];
    Desired {
        vms,
        volumes: vec![VolumeBlocks {
            volume: tier("data"),
            blocks,
            price_block_hour: MicroDollars(100),
        }],
        link: Some(link(rng.random_range(0..4))),
        blind: false,
    }
}

fn link(option: u32) -> LinkSize {
    LinkSize {
        option,
        bandwidth: Mbps(100 * u64::from(option)),
        price_per_hour: MicroDollars(1_000),
    }
}

/// Runs one storm and gives what broke.
async fn storm(seed: u64, weather: Weather, mut config: SimCloudConfig) -> Vec<Violation> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    config.start_up.seed = seed;
    config.start_up.failed = PartsPerMillion(50_000);
    config.faults = FaultConfig::all(weather.faults);
    let driver = SimCloudDriver::new(config);
    let mut twin = LoopTwin::new();
    let mut blocks = 1;
    let mut desired = any_desired(&mut rng, blocks);
    for _ in 0..TURNS {
        if rng.random_bool(0.5) {
            blocks += 1;
            desired = any_desired(&mut rng, blocks);
        }
        twin.turn(&driver, &desired, (&weather, &mut rng)).await;
    }

    twin.deliver_late(&driver).await;
    driver.with_cloud(|cloud| {
        cloud.set_faults(FaultConfig::none());
        cloud.set_failed_starts(PartsPerMillion(0));
    });
    let calm = Weather {
        // Longer than any start, so that none fails after the last look.
        period: Seconds(3_600),
        faults: PartsPerMillion(0),
        crash: 0.0,
        new_owner: 0.0,
        forget: 0.0,
    };
    for _ in 0..TURNS_TO_SETTLE {
        twin.turn(&driver, &desired, (&calm, &mut rng)).await;
    }
    driver.with_cloud(|cloud| {
        let customer = &twin.customer;
        let ledger = cloud.ledger(customer).expect("has called");
        let known = twin.known();
        let mut broken = check_keys(customer, ledger, &twin.committed);
        broken.extend(check_generations(customer, ledger));
        broken.extend(check_settled(
            customer,
            ledger,
            (&desired, &known),
            twin.now,
        ));
        let allocation = cloud.allocation(customer, twin.now);
        broken.extend(check_sizes(customer, &allocation, &desired));
        assert_eq!(twin.open_intents.len(), 0, "every intent has an outcome");
        broken
    })
}

#[tokio::test]
async fn no_vm_is_doubled_leaked_or_orphaned() {
    for seed in 0..400 {
        let broken = storm(seed, ROUGH, SimCloudConfig::with_seed(0)).await;
        assert_eq!(broken, [], "seed {seed}");
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_ledger() {
    let run = |seed| async move {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut config = SimCloudConfig::with_seed(seed);
        config.faults = FaultConfig::all(ROUGH.faults);
        let driver = SimCloudDriver::new(config);
        let mut twin = LoopTwin::new();
        for blocks in 0..TURNS {
            let desired = any_desired(&mut rng, blocks);
            twin.turn(&driver, &desired, (&ROUGH, &mut rng)).await;
        }
        driver.with_cloud(|cloud| cloud.ledger(&twin.customer).expect("has called").clone())
    };
    assert_eq!(run(5).await, run(5).await);
    assert_ne!(run(5).await, run(6).await);
}

/// While memory lasts, not even for a moment does more run than is wanted.
#[tokio::test]
async fn a_steady_wish_is_never_exceeded() {
    let weather = Weather {
        new_owner: 0.0,
        forget: 0.0,
        ..ROUGH
    };
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut config = SimCloudConfig::with_seed(seed);
        config.start_up.failed = PartsPerMillion(50_000);
        config.faults = FaultConfig::all(weather.faults);
        let driver = SimCloudDriver::new(config);
        let desired = Desired {
            vms: vec![DesiredVms {
                tier: tier("web"),
                vm_type: vm_type("a"),
                count: VmCount(6),
                count_next: VmCount(6),
            }],
            ..Desired::default()
        };
        let mut twin = LoopTwin::new();
        for _ in 0..TURNS {
            twin.turn(&driver, &desired, (&weather, &mut rng)).await;
        }
        let most = driver.with_cloud(|cloud| {
            let vms = cloud.ledger(&twin.customer).expect("has called").vms();
            let spans = vms.iter().map(|vm| {
                let ended_at = vm.life.ended_at.unwrap_or(twin.now.plus(Seconds(1)));
                (vm.life.requested_at, ended_at)
            });
            let running = crate::steps::CountSteps::from_spans(spans);
            running.changes().iter().map(|(_, count)| *count).max()
        });
        assert_eq!(most, Some(6), "seed {seed}");
    }
}

/// The checks are worth something: providers that check less, and the checks find it.
#[tokio::test]
async fn careless_providers_are_caught() {
    let mut no_keys = SimCloudConfig::with_seed(0);
    no_keys.checks.keys = false;
    let mut no_fence = SimCloudConfig::with_seed(0);
    no_fence.checks.generations = false;
    let (mut doubled, mut stale) = (0, 0);
    for seed in 0..60 {
        let broken = storm(seed, ROUGH, no_keys.clone()).await;
        doubled += u32::from(
            broken
                .iter()
                .any(|one| matches!(one, Violation::DoubledVm { .. })),
        );
        // What a late call did without a fence was adopted or undone: nothing else is broken.
        let broken = storm(seed, ROUGH, no_fence.clone()).await;
        let is_stale = |one: &Violation| matches!(one, Violation::StaleGeneration { .. });
        assert!(broken.iter().all(is_stale), "seed {seed}: {broken:?}");
        stale += u32::from(!broken.is_empty());
    }
    assert!(doubled >= 50, "found in {doubled} of 60 storms");
    assert!(stale >= 10, "found in {stale} of 60 storms");
}
