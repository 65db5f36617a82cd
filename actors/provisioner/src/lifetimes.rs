//! VM lifetimes: what they cost and when they served.
//!
//! One arithmetic for the simulated cloud's bills and for rival policies, so that a comparison compares
//! policies and not bookkeeping.
//!
//! Rules: a VM is billed by the second from its request until its end, and for at least its minimum; the
//! minimum is due from the start, so that a bill never shrinks when it is drawn up later. A start that fails
//! costs nothing. It serves from the end of its start-up until its end.

use crate::start_up::StartUpModel;
use crate::steps::CountSteps;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use twinscale_protocol::{CustomerId, DomainTime, MicroDollars, Seconds, VmCount, VmId, VmTypeId};

/// Seconds in the hour that prices are for.
const HOUR: i128 = 3_600;

/// An amount as price per hour times seconds: exact, so that sums round once, when they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PriceSeconds(pub i128);

/// What VMs cost, by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmCost {
    /// While they served.
    pub serving: PriceSeconds,
    /// While they started.
    pub starting: PriceSeconds,
    /// Topped up to the minimum bill.
    pub minimum: PriceSeconds,
}

/// One VM's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Its identity.
    pub vm: VmId,
    /// When it was asked for; billed from here.
    pub requested_at: DomainTime,
    /// When it serves or would have served; `None` = its start failed.
    pub serving_at: Option<DomainTime>,
    /// When it ended; `None` = it still runs.
    pub ended_at: Option<DomainTime>,
    /// What one hour of it costs.
    pub price_per_hour: MicroDollars,
    /// Shortest time that is billed.
    pub minimum_bill: Seconds,
}

/// The lives of VMs of one customer, tier and type, ascending by identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifetimes(pub Vec<Lifetime>);

/// How many VMs of one type a policy wants, over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// VMs that serve already at `start_at`.
    pub initial: VmCount,
    /// When the schedule starts; what serves then is billed from then.
    pub start_at: DomainTime,
    /// Times and wanted counts, ascending; each count holds until the next.
    pub wanted: Vec<(DomainTime, VmCount)>,
    /// What one hour of one VM costs.
    pub price_per_hour: MicroDollars,
    /// Shortest time that is billed.
    pub minimum_bill: Seconds,
    /// Identity of the first VM; the others count on from it.
    pub first_vm: VmId,
}

/// How long the VMs of a schedule take until they serve.
#[derive(Clone, Copy, Debug)]
pub enum ScheduleStarts<'a> {
    /// They serve at once, as for a policy that knew the future.
    AtOnce,
    /// As the simulated cloud draws it; a start that fails is not made good before the next change.
    Drawn {
        /// The model to draw from.
        model: &'a StartUpModel,
        /// Whose VMs.
        customer: &'a CustomerId,
        /// Their type.
        vm_type: &'a VmTypeId,
    },
}

impl PriceSeconds {
    /// Prices some seconds; negative lengths cost nothing.
    #[must_use]
    pub const fn of(price_per_hour: MicroDollars, seconds: i64) -> Self {
        let seconds = if seconds > 0 { seconds } else { 0 };
        Self(price_per_hour.0 as i128 * seconds as i128)
    }

    /// Adds the amounts.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Rounds to the nearest micro-dollar, halves up; saturates at the ends of the range.
    #[must_use]
    pub fn micro_dollars(self) -> MicroDollars {
        let rounded = self.0.saturating_add(HOUR / 2).div_euclid(HOUR);
        let bounded = rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        MicroDollars(i64::try_from(bounded).unwrap_or(i64::MAX))
    }
}

impl VmCost {
    /// Adds the costs, part by part.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            serving: self.serving.plus(other.serving),
            starting: self.starting.plus(other.starting),
            minimum: self.minimum.plus(other.minimum),
        }
    }

    /// Adds the parts.
    #[must_use]
    pub const fn total(self) -> PriceSeconds {
        self.serving.plus(self.starting).plus(self.minimum)
    }
}

impl Lifetime {
    /// Reckons what the VM cost up to a time.
    #[must_use]
    pub fn cost(&self, until: DomainTime) -> VmCost {
        let Some(serving_at) = self.serving_at else {
            return VmCost::default();
        };
        if self.requested_at >= until {
            return VmCost::default();
        }
        let end = self.end(until);
        let serving_at = serving_at.clamp(self.requested_at, end);
        let short = i64::from(self.minimum_bill.0) - end.seconds_since(self.requested_at);
        let price = |seconds| PriceSeconds::of(self.price_per_hour, seconds);
        VmCost {
            serving: price(end.seconds_since(serving_at)),
            starting: price(serving_at.seconds_since(self.requested_at)),
            minimum: price(short),
        }
    }

    /// Finds from when until when it served; `None` = never before `until`.
    #[must_use]
    pub fn served(&self, until: DomainTime) -> Option<(DomainTime, DomainTime)> {
        let end = self.end(until);
        self.serving_at
            .filter(|serving_at| *serving_at < end)
            .map(|serving_at| (serving_at, end))
    }

    fn end(&self, until: DomainTime) -> DomainTime {
        let ended_at = self.ended_at.unwrap_or(until);
        // An end before the request is no life; the cloud does not make one, a hand-made list might.
        ended_at.min(until).max(self.requested_at)
    }
}

impl Lifetimes {
    /// Lives a schedule out: starts what is missing, ends what is too much.
    ///
    /// Who ends first is the reconcile's order: VMs that do not serve yet, newest first, then serving ones,
    /// newest first.
    ///
    /// Cost: O(n log n) in VMs started.
    pub fn from_schedule(schedule: &Schedule, starts: ScheduleStarts<'_>) -> Self {
        let mut run = ScheduleRun {
            schedule,
            starts,
            lives: Vec::new(),
            live: Vec::new(),
        };
        for _ in 0..schedule.initial.0 {
            run.start(schedule.start_at, ScheduleStarts::AtOnce);
        }
        for (at, wanted) in &schedule.wanted {
            run.change(*at, wanted.0);
        }
        Self(run.lives)
    }

    /// Reckons what the VMs cost up to a time.
    #[must_use]
    pub fn cost(&self, until: DomainTime) -> VmCost {
        self.0
            .iter()
            .map(|life| life.cost(until))
            .fold(VmCost::default(), VmCost::plus)
    }

    /// Counts the serving VMs over time, up to a time.
    #[must_use]
    pub fn serving(&self, until: DomainTime) -> CountSteps {
        CountSteps::from_spans(self.0.iter().filter_map(|life| life.served(until)))
    }

    /// Counts the billed VMs over time, starting ones included, up to a time.
    #[must_use]
    pub fn billed(&self, until: DomainTime) -> CountSteps {
        let good = self.0.iter().filter(|life| life.serving_at.is_some());
        CountSteps::from_spans(good.map(|life| (life.requested_at, life.end(until))))
    }
}

struct ScheduleRun<'a> {
    schedule: &'a Schedule,
    starts: ScheduleStarts<'a>,
    lives: Vec<Lifetime>,
    /// Places in `lives` of those that were not ended.
    live: Vec<usize>,
}

impl ScheduleRun<'_> {
    fn change(&mut self, at: DomainTime, wanted: u32) {
        let lives = &self.lives;
        self.live.retain(|place| {
            let life = lives.get(*place);
            life.is_some_and(|life| life.ended_at.is_none_or(|ended_at| ended_at > at))
        });
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        for _ in self.live.len()..wanted {
            self.start(at, self.starts);
        }
        let surplus = self.live.len().saturating_sub(wanted);
        if surplus > 0 {
            self.end_first(at, surplus);
        }
    }

    fn end_first(&mut self, at: DomainTime, surplus: usize) {
        // The heap's largest goes first: not serving above serving, then the newest.
        let mut order: BinaryHeap<_> = self
            .live
            .iter()
            .filter_map(|place| {
                let life = self.lives.get(*place)?;
                let serving = life.serving_at.is_some_and(|serving_at| serving_at <= at);
                Some((Reverse(serving), life.vm, *place))
            })
            .collect();
        for _ in 0..surplus {
            let place = order.pop().map(|(_, _, place)| place);
            if let Some(life) = place.and_then(|place| self.lives.get_mut(place)) {
                life.ended_at = Some(at);
            }
        }
        self.live = order.into_iter().map(|(_, _, place)| place).collect();
    }

    fn start(&mut self, at: DomainTime, starts: ScheduleStarts<'_>) {
        let number = u64::try_from(self.lives.len()).unwrap_or(u64::MAX);
        let vm = VmId(self.schedule.first_vm.0.saturating_add(number));
        let (serving_at, ended_at) = match starts {
            ScheduleStarts::AtOnce => (Some(at), None),
            ScheduleStarts::Drawn {
                model,
                customer,
                vm_type,
            } => {
                let draw = model.draw(customer, vm, vm_type);
                let done_at = at.plus(draw.after);
                if draw.failed {
                    (None, Some(done_at))
                } else {
                    (Some(done_at), None)
                }
            }
        };
        self.live.push(self.lives.len());
        self.lives.push(Lifetime {
            vm,
            requested_at: at,
            serving_at,
            ended_at,
            price_per_hour: self.schedule.price_per_hour,
            minimum_bill: self.schedule.minimum_bill,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PRICE: MicroDollars = MicroDollars(3_600);

    fn time(seconds: i64) -> DomainTime {
        DomainTime(seconds)
    }

    fn life(serving_at: Option<i64>, ended_at: Option<i64>) -> Lifetime {
        Lifetime {
            vm: VmId(1),
            requested_at: time(100),
            serving_at: serving_at.map(time),
            ended_at: ended_at.map(time),
            price_per_hour: PRICE,
            minimum_bill: Seconds(60),
        }
    }

    fn cost(life: &Lifetime, until: i64) -> [i64; 3] {
        let cost = life.cost(time(until));
        // The price is one micro-dollar a second.
        [cost.starting, cost.serving, cost.minimum].map(|part| part.micro_dollars().0)
    }

    #[test]
    fn bills_are_by_the_second_with_a_minimum() {
        let check = |serving_at, ended_at, until, expect| {
            assert_eq!(
                cost(&life(serving_at, ended_at), until),
                expect,
                "{serving_at:?} {ended_at:?} {until}"
            );
        };
        check(Some(300), Some(1_000), 2_000, [200, 700, 0]);
        check(Some(300), None, 400, [200, 100, 0]);
        // Ended before it served, within the minimum.
        check(Some(300), Some(110), 2_000, [10, 0, 50]);
        // Drawn up early, the minimum is due already.
        check(Some(300), None, 101, [1, 0, 59]);
        check(Some(300), None, 100, [0, 0, 0]);
        // A failed start costs nothing.
        check(None, Some(250), 2_000, [0, 0, 0]);
    }

    #[test]
    fn amounts_round_once_and_to_nearest() {
        let half = PriceSeconds(1_800);
        assert_eq!(half.micro_dollars(), MicroDollars(1));
        assert_eq!(half.plus(half).micro_dollars(), MicroDollars(1));
        assert_eq!(PriceSeconds(1_799).micro_dollars(), MicroDollars(0));
        assert_eq!(PriceSeconds(-1_801).micro_dollars(), MicroDollars(-1));
        assert_eq!(
            PriceSeconds(i128::MAX).micro_dollars(),
            MicroDollars(i64::MAX)
        );
    }

    fn schedule(initial: u32, wanted: &[(i64, u32)]) -> Schedule {
        Schedule {
            initial: VmCount(initial),
            start_at: time(0),
            wanted: wanted
                .iter()
                .map(|(at, count)| (time(*at), VmCount(*count)))
                .collect(),
            price_per_hour: PRICE,
            minimum_bill: Seconds(60),
            first_vm: VmId(1),
        }
    }

    #[test]
    fn a_schedule_that_knew_the_future_serves_what_it_wants() {
        let schedule = schedule(2, &[(10, 5), (20, 1), (30, 0), (40, 3)]);
        let lives = Lifetimes::from_schedule(&schedule, ScheduleStarts::AtOnce);
        let serving = lives.serving(time(50));
        assert_eq!(
            [0, 10, 20, 30, 40, 49].map(|at| serving.at(time(at))),
            [2, 5, 1, 0, 3, 3]
        );
        // The first VM stays longest: the newest went first.
        assert_eq!(lives.0[0].ended_at, Some(time(30)));
        assert_eq!(lives.0[1].ended_at, Some(time(20)));
    }

    #[test]
    fn what_does_not_serve_yet_ends_before_what_serves() {
        let customer = CustomerId::new("acme").expect("an id");
        let vm_type = VmTypeId::new("typeA").expect("a type");
        let model = StartUpModel::with_seed(3);
        let starts = ScheduleStarts::Drawn {
            model: &model,
            customer: &customer,
            vm_type: &vm_type,
        };
        let lives = Lifetimes::from_schedule(&schedule(1, &[(1_000, 3), (1_001, 1)]), starts);
        let ended: Vec<_> = lives.0.iter().map(|life| life.ended_at).collect();
        assert_eq!(ended, [None, Some(time(1_001)), Some(time(1_001))]);
        assert_eq!(
            lives.serving(time(5_000)).changes().first(),
            Some(&(time(0), 1))
        );
        assert_eq!(lives.billed(time(5_000)).at(time(1_000)), 3);
    }

    proptest! {
        #[test]
        fn a_later_bill_is_never_smaller(
            serving in prop::option::of(100_i64..400),
            ended in prop::option::of(100_i64..900),
            early in 0_i64..1_000,
            more in 0_i64..500,
        ) {
            let life = life(serving, ended);
            let (early, late) = (life.cost(time(early)), life.cost(time(early + more)));
            prop_assert!(early.total() <= late.total());
        }

        #[test]
        fn billed_vms_follow_the_schedule(
            wanted in prop::collection::vec(0_u32..20, 1..20),
            seed in 0_u64..1_000,
        ) {
            let customer = CustomerId::new("acme").expect("an id");
            let vm_type = VmTypeId::new("typeA").expect("a type");
            let model = StartUpModel::with_seed(seed);
            let starts = ScheduleStarts::Drawn { model: &model, customer: &customer, vm_type: &vm_type };
            let wanted: Vec<_> = (0_i64..).zip(wanted).map(|(step, count)| (step * 60, count)).collect();
            let lives = Lifetimes::from_schedule(&schedule(0, &wanted), starts);
            let until = time(100_000);
            let (billed, serving) = (lives.billed(until), lives.serving(until));
            for (at, count) in wanted {
                prop_assert_eq!(billed.at(time(at)), count);
                prop_assert!(serving.at(time(at)) <= count);
            }
        }
    }
}
