//! One customer's resources in a simulated cloud.

use crate::driver::{CallContext, EndedVm, Listing, VmSpec};
use crate::lifetimes::{Lifetime, PriceSeconds};
use crate::simcloud::ledger::{CallEffect, Ledger, RefusalCause, VmRecord};
use crate::start_up::StartUpDraw;
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::provisioner::{LinkSize, ObservedVm, VolumeBlocks};
use twinscale_protocol::{DomainTime, Generation, Seconds, TierName, VmId, VmTypeId};

/// How long a listing still tells of VMs that ended: long enough for a caller that looks every hour.
const ENDED_LISTED_FOR: Seconds = Seconds(6 * 3_600);

/// One customer's resources and ledger.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) ledger: Ledger,
    /// Calls so far: the number from which a call's fault is drawn.
    pub(crate) calls: u64,
    /// Time of the latest call; an earlier one counts as this late, so that histories ascend.
    latest_at: Option<DomainTime>,
    generation_highest: Generation,
    /// Place in the ledger of the VM last started under each key.
    places: BTreeMap<VmId, usize>,
    /// Keys whose VM was ended before it was ever started.
    never_started: BTreeSet<VmId>,
    /// Places of VMs that run, or ended lately.
    recent: BTreeSet<usize>,
    volumes: BTreeMap<TierName, Vec<(DomainTime, VolumeBlocks)>>,
    link: Vec<(DomainTime, LinkSize)>,
}

impl Account {
    /// The caller's time as one that never goes back.
    pub(crate) fn time(&self, now: DomainTime) -> DomainTime {
        self.latest_at.map_or(now, |latest| latest.max(now))
    }

    /// As [`Account::time`], which is the latest from now on.
    pub(crate) fn clock(&mut self, now: DomainTime) -> DomainTime {
        let at = self.time(now);
        self.latest_at = Some(at);
        at
    }

    pub(crate) const fn generation_highest(&self) -> Generation {
        self.generation_highest
    }

    /// Takes note of a caller's generation; false when it is stale.
    pub(crate) fn admit(&mut self, generation: Generation) -> bool {
        let admitted = generation >= self.generation_highest;
        self.generation_highest = self.generation_highest.max(generation);
        admitted
    }

    /// Looks up what a launch under a known key comes to; `None` = the key is new.
    pub(crate) fn known(&self, spec: &VmSpec) -> Option<CallEffect> {
        if self.never_started.contains(&spec.vm) {
            return Some(CallEffect::Unchanged);
        }
        let place = self.places.get(&spec.vm)?;
        let known = &self.ledger.vm(*place)?.spec;
        Some(
            if (&known.tier, &known.vm_type) == (&spec.tier, &spec.vm_type) {
                CallEffect::Unchanged
            } else {
                CallEffect::Refused(RefusalCause::KeyConflict)
            },
        )
    }

    /// Starts a VM, whatever is known of its key.
    pub(crate) fn start(
        &mut self,
        context: &CallContext,
        spec: &VmSpec,
        at: DomainTime,
        draw: StartUpDraw,
    ) {
        let done_at = at.plus(draw.after);
        let life = Lifetime {
            vm: spec.vm,
            requested_at: at,
            serving_at: (!draw.failed).then_some(done_at),
            ended_at: draw.failed.then_some(done_at),
            price_per_hour: spec.price_per_hour,
            minimum_bill: spec.minimum_bill,
        };
        let place = self.ledger.record_start(VmRecord {
            spec: spec.clone(),
            generation: context.generation,
            life,
        });
        self.places.insert(spec.vm, place);
        self.recent.insert(place);
    }

    pub(crate) fn terminate(&mut self, vm: VmId, at: DomainTime) -> CallEffect {
        let Some(place) = self.places.get(&vm).copied() else {
            // Remembered, so that a launch that arrives after its own end starts nothing.
            self.never_started.insert(vm);
            return CallEffect::Unchanged;
        };
        if self.ledger.vm(place).is_some_and(|vm| vm.has_ended(at)) {
            return CallEffect::Unchanged;
        }
        self.ledger.end_vm(place, at);
        CallEffect::Applied
    }

    pub(crate) fn resize_volume(&mut self, volume: &VolumeBlocks, at: DomainTime) -> CallEffect {
        let history = self.volumes.entry(volume.volume.clone()).or_default();
        let blocks = history.last().map_or(0, |(_, last)| last.blocks);
        if volume.blocks <= blocks {
            return CallEffect::Unchanged;
        }
        history.push((at, volume.clone()));
        CallEffect::Applied
    }

    pub(crate) fn resize_link(&mut self, link: LinkSize, at: DomainTime) -> CallEffect {
        if self.link.last().is_some_and(|(_, last)| *last == link) {
            return CallEffect::Unchanged;
        }
        self.link.push((at, link));
        CallEffect::Applied
    }

    /// Lists the resources as they were at a time; `now` is the time up to which nothing may be forgotten.
    pub(crate) fn list(&mut self, as_of: DomainTime, now: DomainTime) -> Listing {
        let forget = now.minus(ENDED_LISTED_FOR);
        let ledger = &self.ledger;
        self.recent
            .retain(|place| ledger.vm(*place).is_some_and(|vm| !vm.has_ended(forget)));
        self.listing(as_of)
    }

    /// Lists the resources as they were at a time that is not forgotten.
    pub(crate) fn listing(&self, as_of: DomainTime) -> Listing {
        let ledger = &self.ledger;
        let mut listing = Listing::default();
        for vm in self.recent.iter().filter_map(|place| ledger.vm(*place)) {
            if vm.life.requested_at > as_of {
                continue;
            }
            if let Some(at) = vm.life.ended_at.filter(|ended_at| *ended_at <= as_of) {
                listing.ended.push(EndedVm {
                    vm: vm.spec.vm,
                    at,
                    start_failed: vm.life.serving_at.is_none(),
                });
            } else {
                listing.allocation.vms.push(observed(vm, as_of));
            }
        }
        listing.allocation.vms.sort_by_key(|vm| vm.vm);
        listing.ended.sort_by_key(|vm| vm.vm);
        listing.allocation.volumes = self
            .volumes
            .values()
            .filter_map(|history| value_at(history, as_of).cloned())
            .collect();
        listing.allocation.link = value_at(&self.link, as_of).copied();
        listing
    }

    /// Counts the VMs of a type that run or start.
    pub(crate) fn count_live(&self, vm_type: &VmTypeId, at: DomainTime) -> u32 {
        let recent = self
            .recent
            .iter()
            .filter_map(|place| self.ledger.vm(*place));
        let live = recent.filter(|vm| vm.spec.vm_type == *vm_type && !vm.has_ended(at));
        u32::try_from(live.count()).unwrap_or(u32::MAX)
    }

    pub(crate) fn volumes_cost(&self, until: DomainTime) -> PriceSeconds {
        self.volumes
            .values()
            .map(|history| {
                integrate(history, until, |volume| {
                    i128::from(volume.blocks) * i128::from(volume.price_block_hour.0)
                })
            })
            .fold(PriceSeconds::default(), PriceSeconds::plus)
    }

    pub(crate) fn link_cost(&self, until: DomainTime) -> PriceSeconds {
        integrate(&self.link, until, |link| i128::from(link.price_per_hour.0))
    }
}

fn observed(vm: &VmRecord, as_of: DomainTime) -> ObservedVm {
    ObservedVm {
        vm: vm.spec.vm,
        tier: vm.spec.tier.clone(),
        vm_type: vm.spec.vm_type.clone(),
        requested_at: vm.life.requested_at,
        serving_since: vm.life.serving_at.filter(|serving_at| *serving_at <= as_of),
    }
}

fn value_at<T>(history: &[(DomainTime, T)], time: DomainTime) -> Option<&T> {
    let past = history.iter().take_while(|(at, _)| *at <= time);
    past.last().map(|(_, value)| value)
}

fn integrate<T>(
    history: &[(DomainTime, T)],
    until: DomainTime,
    price_per_hour: impl Fn(&T) -> i128,
) -> PriceSeconds {
    let ends = history.iter().skip(1).map(|(at, _)| *at).chain([until]);
    let parts = history.iter().zip(ends).map(|((from, value), end)| {
        let seconds = end.min(until).seconds_since(*from).max(0);
        price_per_hour(value) * i128::from(seconds)
    });
    PriceSeconds(parts.sum())
}
