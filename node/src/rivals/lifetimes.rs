//! From wanted counts to the lifetimes of single VMs.

use super::case::TierCase;
use twinscale_protocol::{DomainTime, Seconds};

/// One VM's life.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VmLife {
    /// Index of its type among the case's options.
    pub option: usize,
    /// When it was asked for: billing starts.
    pub requested: DomainTime,
    /// Since when it serves; `None` = it never did.
    pub serving: Option<DomainTime>,
    /// When it was released: serving and billing end; `None` = it still runs.
    pub ended: Option<DomainTime>,
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
    let long_ago = case
        .start
        .minus(case.start_up)
        .minus(case.minimum_bill)
        .minus(case.interval);
    let mut alive: Vec<VmLife> = Vec::new();
    let mut ended: Vec<VmLife> = Vec::new();
    for _ in 0..initial {
        alive.push(life(case.start_up, option, long_ago));
    }
    for (step, count) in counts.iter().enumerate() {
        let now = case.step_at(step);
        let count = *count as usize;
        while alive.len() > count {
            if let Some(mut newest) = alive.pop() {
                newest.ended = Some(now);
                newest.serving = newest.serving.filter(|serving| *serving < now);
                ended.push(newest);
            }
        }
        while alive.len() < count {
            alive.push(life(case.start_up, option, now));
        }
    }
    ended.extend(alive);
    ended.sort();
    ended
}

/// A VM that is asked for at a moment and not released yet.
pub(super) fn life(start_up: Seconds, option: usize, requested: DomainTime) -> VmLife {
    VmLife {
        option,
        requested,
        serving: Some(requested.plus(start_up)),
        ended: None,
    }
}
