//! From wanted counts to the lifetimes of VMs.

use super::case::TierCase;
use twinscale_protocol::{DomainTime, Seconds};

/// The life of VMs that were asked for and released together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VmLife {
    /// Index of their type among the case's options.
    pub option: usize,
    /// When they were asked for: billing starts.
    pub requested: DomainTime,
    /// Since when they serve; `None` = they never did.
    pub serving: Option<DomainTime>,
    /// When they were released: serving and billing end; `None` = they still run.
    pub ended: Option<DomainTime>,
    /// How many.
    pub count: u32,
}

/// Makes lifetimes of wanted counts, each in force from its interval's start until the next.
///
/// Before the window `initial` VMs serve and are old. A request serves after the start-up time; a release
/// acts at once and takes the newest VM first.
pub fn lifetimes_of_counts(
    case: &TierCase,
    option: usize,
    initial: u32,
    counts: &[u32],
) -> Vec<VmLife> {
    let changes = counts.iter().enumerate();
    let changes = changes.map(|(step, count)| (case.step_at(step), *count));
    lifetimes_of_changes(case, option, initial, changes)
}

/// Makes lifetimes of counts that change at any moment, ascending in time; the rules are those of
/// [`lifetimes_of_counts`].
pub(super) fn lifetimes_of_changes(
    case: &TierCase,
    option: usize,
    initial: u32,
    changes: impl Iterator<Item = (DomainTime, u32)>,
) -> Vec<VmLife> {
    let mut alive: Vec<VmLife> = Vec::new();
    let mut ended: Vec<VmLife> = Vec::new();
    let mut current = initial;
    if initial > 0 {
        alive.push(VmLife {
            count: initial,
            ..life(case.start_up, option, long_before(case))
        });
    }
    for (now, count) in changes {
        while current > count {
            let Some(newest) = alive.last_mut() else {
                break;
            };
            let released = newest.count.min(current - count);
            let serving = newest.serving.filter(|serving| *serving < now);
            ended.push(VmLife {
                ended: Some(now),
                serving,
                count: released,
                ..newest.clone()
            });
            newest.count -= released;
            current -= released;
            if newest.count == 0 {
                alive.pop();
            }
        }
        if current < count {
            alive.push(VmLife {
                count: count - current,
                ..life(case.start_up, option, now)
            });
            current = count;
        }
    }
    ended.extend(alive);
    ended.sort();
    ended
}

/// A time at which what is asked for is old when the window begins.
pub(super) fn long_before(case: &TierCase) -> DomainTime {
    case.start
        .minus(case.start_up)
        .minus(case.minimum_bill)
        .minus(case.interval)
}

/// A VM that is asked for at a moment and not released yet.
pub(super) fn life(start_up: Seconds, option: usize, requested: DomainTime) -> VmLife {
    VmLife {
        option,
        requested,
        serving: Some(requested.plus(start_up)),
        ended: None,
        count: 1,
    }
}
