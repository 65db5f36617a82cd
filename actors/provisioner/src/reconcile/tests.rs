//! Cases and properties of the reconcile.

use super::*;
use proptest::prelude::*;
use twinscale_protocol::policy::Limits;
use twinscale_protocol::provisioner::{Desired, DesiredVms, ObservedVm, TierChange, VolumeBlocks};
use twinscale_protocol::{CustomerId, IntentId, Mbps, MicroDollars, Seconds};

const NOW: DomainTime = DomainTime(100_000);
const OPEN: Limits = Limits {
    floor: VmCount(0),
    ceiling: VmCount(1_000),
    step_out_max: VmCount(1_000),
    step_in_max: VmCount(1_000),
    cooldown_out: Seconds(0),
    cooldown_in: Seconds(0),
};

fn tier(name: &str) -> TierName {
    TierName::new(name).expect("a tier")
}

fn vm_type(name: &str) -> VmTypeId {
    VmTypeId::new(name).expect("a type")
}

fn wanted(name: &str, count: u32, count_next: u32) -> DesiredVms {
    DesiredVms {
        tier: tier("web"),
        vm_type: vm_type(name),
        count: VmCount(count),
        count_next: VmCount(count_next),
    }
}

fn seen(vm: u64, name: &str, serving: bool) -> ObservedVm {
    ObservedVm {
        vm: VmId(vm),
        tier: tier("web"),
        vm_type: vm_type(name),
        requested_at: NOW.minus(Seconds(600)),
        serving_since: serving.then_some(NOW.minus(Seconds(300))),
    }
}

fn launch(id: u64, vm: u64, name: &str) -> Intent {
    Intent {
        id: IntentId(id),
        at: NOW.minus(Seconds(60)),
        action: Action::Launch {
            vm: VmId(vm),
            tier: tier("web"),
            vm_type: vm_type(name),
            price_per_hour: MicroDollars(100_000),
            minimum_bill: Seconds(60),
        },
    }
}

fn terminate(id: u64, vm: u64) -> Intent {
    Intent {
        id: IntentId(id),
        at: NOW.minus(Seconds(60)),
        action: Action::Terminate { vm: VmId(vm) },
    }
}

fn request(desired: Vec<DesiredVms>, observed: Vec<ObservedVm>) -> ReconcileRequest {
    ReconcileRequest {
        customer: CustomerId::new("acme").expect("an id"),
        now: NOW,
        mode: Mode::Enforce,
        desired: Desired {
            vms: desired,
            ..Desired::default()
        },
        observed: ObservedAllocation {
            vms: observed,
            ..ObservedAllocation::default()
        },
        open_intents: Vec::new(),
        limits: OPEN,
        last_changes: Vec::new(),
    }
}

/// Operations and held counts in a short form: `+2a` launches two of type a, `-7` ends VM 7, `?3` retries
/// intent 3; `cooldown 2` holds two back.
fn check(request: &ReconcileRequest, expect: &str) {
    let reply = reconcile(request);
    let operations = reply.operations.iter().map(|operation| match operation {
        Operation::Launch { vm_type, count, .. } => format!("+{}{vm_type}", count.0),
        Operation::Terminate { vm } => format!("-{vm}"),
        Operation::ResizeVolume(volume) => format!("volume {}", volume.blocks),
        Operation::ResizeLink(link) => format!("link {}", link.option),
        Operation::Retry { intent } => format!("?{intent}"),
    });
    let held = reply.held.iter().map(|held| {
        let rule = format!("{:?}", held.rule).to_lowercase();
        format!("{rule} {}", held.count.0)
    });
    let found: Vec<_> = operations.chain(held).collect();
    assert_eq!(found.join(", "), expect);
}

#[test]
fn the_difference_is_provisioned_or_deprovisioned() {
    let vms = || vec![seen(1, "a", true), seen(2, "a", true), seen(3, "b", true)];
    check(
        &request(vec![wanted("a", 2, 2), wanted("b", 1, 1)], vms()),
        "",
    );
    check(
        &request(vec![wanted("a", 4, 0), wanted("b", 0, 0)], vms()),
        "+2a, -3",
    );
    check(
        &request(vec![wanted("a", 1, 1), wanted("b", 1, 4)], vms()),
        "+3b, -2",
    );
}

#[test]
fn a_type_or_tier_that_is_no_longer_named_is_wound_down() {
    check(
        &request(
            vec![wanted("a", 1, 1)],
            vec![seen(1, "a", true), seen(2, "b", true)],
        ),
        "-2",
    );
    let mut gone = request(vec![], vec![seen(1, "a", true), seen(2, "b", true)]);
    gone.limits.floor = VmCount(1);
    check(&gone, "-1, -2");
    gone.desired.blind = true;
    check(&gone, "blind 2");
}

#[test]
fn launches_are_for_either_step_and_terminations_below_both() {
    let vms = || (1..=4).map(|vm| seen(vm, "a", true)).collect();
    check(&request(vec![wanted("a", 2, 6)], vms()), "+2a");
    check(&request(vec![wanted("a", 4, 1)], vms()), "");
    check(&request(vec![wanted("a", 3, 2)], vms()), "-4");
}

#[test]
fn what_does_not_serve_ends_first_then_the_newest() {
    let vms = vec![
        seen(1, "a", true),
        seen(2, "a", false),
        seen(3, "a", false),
        seen(4, "a", true),
    ];
    check(&request(vec![wanted("a", 1, 1)], vms), "-3, -2, -4");
}

#[test]
fn open_intents_count_as_carried_out() {
    let mut open = request(
        vec![wanted("a", 3, 3)],
        vec![seen(1, "a", true), seen(2, "a", true)],
    );
    open.open_intents = vec![launch(9, 3, "a")];
    check(&open, "?9");
    // The VM of the intent has been seen meanwhile: it counts once.
    open.observed.vms.push(seen(3, "a", false));
    check(&open, "?9");
    // One is ending, so another is needed; the retries come in the order of their intents.
    open.open_intents.insert(0, terminate(11, 1));
    check(&open, "?9, ?11, +1a");
    // No longer wanted: it is settled first, then ended.
    open.desired.vms = vec![wanted("a", 1, 1)];
    check(&open, "?9, ?11, -3");
}

#[test]
fn floor_and_ceiling_bound_a_tier() {
    let mut bounded = request(
        vec![wanted("a", 1, 1), wanted("b", 0, 0)],
        vec![seen(1, "a", true), seen(2, "b", true), seen(3, "b", true)],
    );
    bounded.limits.floor = VmCount(2);
    check(&bounded, "-3, floor 1");
    bounded.limits.floor = VmCount(6);
    // Both of type b stay; the rest is launched, of the type that there is most of.
    check(&bounded, "+3b, floor 2");
    bounded.limits.floor = VmCount(0);
    bounded.limits.ceiling = VmCount(2);
    // Launches are cut before VMs that are there.
    bounded.desired.vms = vec![wanted("a", 3, 3), wanted("b", 2, 2)];
    check(&bounded, "-3, ceiling 3");
    // The present step comes before the next, whatever is there already.
    bounded.desired.vms = vec![wanted("a", 0, 5), wanted("b", 2, 0)];
    check(&bounded, "-1, ceiling 5");
}

#[test]
fn step_limits_cut_and_the_present_comes_first() {
    let mut limited = request(vec![wanted("a", 1, 9), wanted("b", 3, 3)], vec![]);
    limited.limits.step_out_max = VmCount(5);
    check(&limited, "+2a, +3b, steplimit 7");
    let vms = (1..=6).map(|vm| seen(vm, "a", true)).collect();
    let mut limited = request(vec![wanted("a", 1, 1)], vms);
    limited.limits.step_in_max = VmCount(2);
    check(&limited, "-6, -5, steplimit 3");
    // A VM that is ending already uses the step up.
    limited.open_intents = vec![terminate(1, 6)];
    check(&limited, "?1, -5, steplimit 3");
}

#[test]
fn a_vm_stays_while_its_replacement_is_held_back() {
    let vms = || (1..=3).map(|vm| seen(vm, "a", true)).collect();
    let mut swap = request(vec![wanted("a", 0, 0), wanted("b", 3, 3)], vms());
    swap.limits.step_out_max = VmCount(1);
    check(&swap, "+1b, -3, steplimit 4");
    swap.limits.cooldown_out = Seconds(60);
    swap.last_changes = changed(Some(10), None);
    check(&swap, "cooldown 6");
    // What cannot stop leaves no room under the ceiling.
    let mut swap = request(vec![wanted("b", 3, 3)], vms());
    swap.limits.ceiling = VmCount(4);
    swap.desired.blind = true;
    check(&swap, "+1b, ceiling 2, blind 3");
}

#[test]
fn a_step_is_not_taken_twice_in_one_moment() {
    let mut started = request(
        vec![wanted("a", 4, 4)],
        vec![seen(1, "a", false), seen(2, "a", false)],
    );
    started.limits.step_out_max = VmCount(2);
    for vm in &mut started.observed.vms {
        vm.requested_at = NOW;
    }
    check(&started, "steplimit 2");
}

fn changed(out_at: Option<i64>, in_at: Option<i64>) -> Vec<TierChange> {
    vec![TierChange {
        tier: tier("web"),
        out_at: out_at.map(|ago| DomainTime(NOW.0 - ago)),
        in_at: in_at.map(|ago| DomainTime(NOW.0 - ago)),
    }]
}

#[test]
fn cooldowns_hold_each_direction() {
    let mut out = request(vec![wanted("a", 3, 3)], vec![seen(1, "a", true)]);
    out.limits.cooldown_out = Seconds(60);
    out.last_changes = changed(Some(59), None);
    check(&out, "cooldown 2");
    out.last_changes = changed(Some(60), Some(1));
    check(&out, "+2a");
    // Too few to run at all does not wait.
    out.last_changes = changed(Some(1), None);
    out.limits.floor = VmCount(2);
    out.desired.vms = vec![wanted("a", 0, 0)];
    check(&out, "+1a, floor 1");

    let mut scale_in = request(vec![wanted("a", 0, 0)], vec![seen(1, "a", true)]);
    scale_in.limits.cooldown_in = Seconds(300);
    scale_in.last_changes = changed(Some(299), Some(900));
    check(&scale_in, "cooldown 1");
    scale_in.last_changes = changed(Some(300), Some(900));
    check(&scale_in, "-1");
    // A change that is dated after the clock holds too.
    scale_in.last_changes = changed(Some(-50), None);
    check(&scale_in, "cooldown 1");
}

#[test]
fn blind_scales_out_only() {
    let mut blind = request(
        vec![wanted("a", 0, 0), wanted("b", 2, 0)],
        vec![seen(1, "a", true)],
    );
    blind.desired.blind = true;
    check(&blind, "+2b, blind 1");
}

#[test]
fn other_modes_hold_everything() {
    let mut advised = request(
        vec![wanted("a", 0, 0), wanted("b", 2, 0)],
        vec![seen(1, "a", true)],
    );
    advised.open_intents = vec![launch(4, 5, "b")];
    for mode in [Mode::Observe, Mode::Advise] {
        advised.mode = mode;
        check(&advised, "mode 3");
    }
    advised.mode = Mode::Enforce;
    check(&advised, "?4, +1b, -1");
}

#[test]
fn a_pass_is_bounded_whatever_is_wanted() {
    let mut wild = request(
        vec![wanted("b", u32::MAX, 0), wanted("a", 0, u32::MAX)],
        vec![seen(1, "c", true)],
    );
    wild.limits.ceiling = VmCount(u32::MAX);
    wild.limits.step_out_max = VmCount(u32::MAX);
    wild.open_intents = vec![launch(1, 7, "a")];
    // As the present comes first, all of the step's room is type b's; the cut termination is held too.
    check(
        &wild,
        "?1, +4095b, ceiling 4294967295, steplimit 4294963202",
    );
}

fn volume(blocks: u32) -> VolumeBlocks {
    VolumeBlocks {
        volume: tier("data"),
        blocks,
        price_block_hour: MicroDollars(10),
    }
}

fn link(option: u32) -> LinkSize {
    LinkSize {
        option,
        bandwidth: Mbps(u64::from(option) * 100),
        price_per_hour: MicroDollars(5_000),
    }
}

#[test]
fn volumes_grow_and_never_shrink() {
    let mut storage = request(vec![], vec![]);
    storage.desired.volumes = vec![volume(4)];
    check(&storage, "volume 4");
    storage.observed.volumes = vec![volume(3)];
    check(&storage, "volume 4");
    storage.open_intents = vec![Intent {
        id: IntentId(1),
        at: NOW,
        action: Action::ResizeVolume(volume(4)),
    }];
    check(&storage, "?1");
    storage.desired.volumes = vec![volume(6)];
    check(&storage, "?1, volume 6");
    storage.open_intents.clear();
    storage.desired.volumes = vec![volume(2)];
    check(&storage, "");
}

#[test]
fn a_link_grows_before_and_shrinks_after() {
    let mut net = request(vec![wanted("a", 1, 1)], vec![seen(1, "b", true)]);
    net.desired.link = Some(link(2));
    check(&net, "+1a, link 2, -1");
    net.observed.link = Some(link(3));
    check(&net, "+1a, -1, link 2");
    net.desired.blind = true;
    check(&net, "+1a, blind 0, blind 1");
    net.desired.blind = false;
    net.open_intents = vec![Intent {
        id: IntentId(8),
        at: NOW,
        action: Action::ResizeLink(link(2)),
    }];
    check(&net, "?8, +1a, -1");
    let mut dearer = link(3);
    dearer.price_per_hour = MicroDollars(9_999);
    net.open_intents.clear();
    net.desired.link = Some(dearer);
    check(&net, "+1a, -1");
}

/// Carries the operations out on the request's own state, as a faultless provider would.
fn carried_out(request: &ReconcileRequest, reply: &ReconcileReply) -> ReconcileRequest {
    let mut after = request.clone();
    let vms = request.observed.vms.iter().map(|seen| seen.vm.0);
    let mut next_vm = vms.max().unwrap_or(0).max(1_000_000);
    for operation in &reply.operations {
        let actions = match operation {
            Operation::Retry { intent } => {
                let place = after
                    .open_intents
                    .iter()
                    .position(|open| open.id == *intent);
                let place = place.expect("a retry names an open intent");
                vec![after.open_intents.remove(place).action]
            }
            Operation::Launch {
                tier,
                vm_type,
                count,
            } => (0..count.0)
                .map(|_| {
                    next_vm += 1;
                    Action::Launch {
                        vm: VmId(next_vm),
                        tier: tier.clone(),
                        vm_type: vm_type.clone(),
                        price_per_hour: MicroDollars(1),
                        minimum_bill: Seconds(60),
                    }
                })
                .collect(),
            Operation::Terminate { vm } => vec![Action::Terminate { vm: *vm }],
            Operation::ResizeVolume(volume) => vec![Action::ResizeVolume(volume.clone())],
            Operation::ResizeLink(link) => vec![Action::ResizeLink(*link)],
        };
        for action in actions {
            carry_out(&mut after.observed, action);
        }
    }
    after
}

fn carry_out(observed: &mut ObservedAllocation, action: Action) {
    match action {
        Action::Launch {
            vm, tier, vm_type, ..
        } => {
            if !observed.vms.iter().any(|seen| seen.vm == vm) {
                observed.vms.push(ObservedVm {
                    vm,
                    tier,
                    vm_type,
                    requested_at: NOW,
                    serving_since: None,
                });
            }
        }
        Action::Terminate { vm } => observed.vms.retain(|seen| seen.vm != vm),
        Action::ResizeVolume(volume) => {
            observed.volumes.retain(|seen| seen.volume != volume.volume);
            observed.volumes.push(volume);
        }
        Action::ResizeLink(link) => observed.link = Some(link),
    }
}

prop_compose! {
    fn any_request()(
        desired in prop::collection::vec((0..3_u8, 0..8_u32, 0..8_u32), 0..4),
        observed in prop::collection::vec((0..3_u8, any::<bool>(), any::<bool>()), 0..14),
        opened in prop::collection::vec((0..3_u8, any::<bool>()), 0..5),
        limits in (0..6_u32, 0..16_u32, 0..6_u32, 0..6_u32),
        blind in prop::bool::weighted(0.2),
        sizes in (0..4_u32, 0..4_u32, 0..4_u32, prop::option::of(0..4_u32)),
    ) -> ReconcileRequest {
        let name = |index: u8| ["a", "b", "c"][usize::from(index)];
        let observed: Vec<_> = (1_u64..).zip(&observed)
            .map(|(vm, (index, serving, _))| seen(vm, name(*index), *serving))
            .collect();
        let ending = (100_u64..).zip(&observed).filter(|(_, vm)| vm.vm.0 % 5 == 0)
            .map(|(id, vm)| terminate(id, vm.vm.0));
        let starting = (1_u64..).zip(&opened).map(|(id, (index, was_seen))| {
            let vm = if *was_seen && id <= observed.len() as u64 { id } else { 500 + id };
            let seen_as = observed.iter().find(|seen| seen.vm.0 == vm);
            launch(id, vm, seen_as.map_or(name(*index), |seen| seen.vm_type.as_str()))
        });
        let open_intents = starting.chain(ending).collect();
        let desired = desired.iter().map(|(index, now, next)| wanted(name(*index), *now, *next)).collect();
        let mut request = request(desired, observed);
        request.open_intents = open_intents;
        request.limits.floor = VmCount(limits.0);
        request.limits.ceiling = VmCount(limits.1);
        request.limits.step_out_max = VmCount(limits.2 + 1);
        request.limits.step_in_max = VmCount(limits.3 + 1);
        request.desired.blind = blind;
        request.desired.volumes = vec![volume(sizes.0)];
        request.observed.volumes = vec![volume(sizes.1)];
        request.desired.link = Some(link(sizes.2));
        request.observed.link = sizes.3.map(link);
        request
    }
}

fn launched(reply: &ReconcileReply) -> u32 {
    let counts = reply.operations.iter().map(|operation| match operation {
        Operation::Launch { count, .. } => count.0,
        _ => 0,
    });
    counts.sum()
}

fn terminated(reply: &ReconcileReply) -> Vec<VmId> {
    let vms = reply
        .operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::Terminate { vm } => Some(*vm),
            _ => None,
        });
    vms.collect()
}

proptest! {
    #[test]
    fn guardrails_hold(request in any_request()) {
        let reply = reconcile(&request);
        let stops = terminated(&reply);
        prop_assert!(launched(&reply) <= request.limits.step_out_max.0);
        prop_assert!(u32::try_from(stops.len()).expect("few") <= request.limits.step_in_max.0);
        if request.desired.blind {
            prop_assert_eq!(&stops, &[]);
        }
        let unique: BTreeSet<_> = stops.iter().collect();
        prop_assert_eq!(unique.len(), stops.len(), "a VM is named once");
        for intent in &request.open_intents {
            if let Action::Terminate { vm } = intent.action {
                prop_assert!(!stops.contains(&vm), "VM {} is ending already", vm);
            }
        }
        let after = carried_out(&request, &reply);
        let count = u32::try_from(after.observed.vms.len()).expect("few");
        let before = u32::try_from(request.observed.vms.len()).expect("few");
        if launched(&reply) > 0 && request.open_intents.is_empty() {
            prop_assert!(count <= request.limits.ceiling.0.max(before), "{count} VMs");
        }
        if !stops.is_empty() && !request.desired.vms.is_empty() {
            prop_assert!(count >= request.limits.floor.0.min(request.limits.ceiling.0), "{count} VMs");
            let mut totals: BTreeMap<_, (u32, u32)> = BTreeMap::new();
            for row in &request.desired.vms {
                let sums = totals.entry(&row.vm_type).or_default();
                *sums = (sums.0 + row.count.0, sums.1 + row.count_next.0);
            }
            let total: u32 = totals.values().map(|(now, next)| *now.max(next)).sum();
            prop_assert!(count >= total.min(request.limits.ceiling.0), "{count} of {total} VMs");
        }
    }

    #[test]
    fn every_open_intent_is_retried_once_and_first(request in any_request()) {
        let reply = reconcile(&request);
        let mut ids: Vec<_> = request.open_intents.iter().map(|intent| intent.id).collect();
        ids.sort();
        let retried: Vec<_> = reply.operations.iter().map_while(|operation| match operation {
            Operation::Retry { intent } => Some(*intent),
            _ => None,
        }).collect();
        prop_assert_eq!(retried, ids);
    }

    /// With room in every guardrail, one pass is enough: the next has nothing to do.
    #[test]
    fn one_pass_settles(mut request in any_request()) {
        request.limits.step_out_max = VmCount(1_000);
        request.limits.step_in_max = VmCount(1_000);
        request.limits.ceiling = VmCount(1_000);
        let after = carried_out(&request, &reconcile(&request));
        let again = reconcile(&after);
        prop_assert_eq!(again.operations, &[]);
    }

    /// Under any limits, passes at later moments come to rest.
    #[test]
    fn passes_come_to_rest(request in any_request()) {
        let mut state = request;
        for _ in 0..40 {
            let reply = reconcile(&state);
            if reply.operations.is_empty() {
                break;
            }
            state = carried_out(&state, &reply);
            state.now = state.now.plus(Seconds(3_600));
        }
        prop_assert_eq!(reconcile(&state).operations, &[]);
    }

    /// The order in which rows come changes nothing.
    #[test]
    fn order_of_rows_does_not_matter(request in any_request()) {
        let mut turned = request.clone();
        turned.desired.vms.reverse();
        turned.observed.vms.reverse();
        turned.open_intents.reverse();
        prop_assert_eq!(reconcile(&request), reconcile(&turned));
    }
}
