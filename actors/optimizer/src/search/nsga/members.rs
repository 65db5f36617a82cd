//! Who stays on a front.

use crate::plan::Plan;
use crate::response::{Response, Responses};
use crate::score::Scorer;

/// Plans that stay for spend and risk alone.
const FLAT_MAX: usize = 64;
/// Plans that stay in all.
const FRONT_MAX: usize = 128;
/// Smallest differences that count: of spend in $, of response as a share.
const SPEND_EPSILON: f64 = 1e-9;
const RESPONSE_EPSILON: f64 = 1e-9;

/// A plan with its objectives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) plan: Plan,
    pub(crate) spend: f64,
    pub(crate) risk: f64,
    /// `None` where the problem does not describe queues.
    pub(crate) response: Option<Response>,
    /// What a relative change of its response was worth against one of spend when it was made.
    pub(crate) worth: f64,
    pub(crate) levels: Vec<usize>,
}

impl Member {
    /// Scores a plan; `None` unless it is allowed.
    pub(crate) fn new(
        plan: Plan,
        scorer: &mut Scorer<'_>,
        responses: Option<&Responses<'_>>,
    ) -> Option<Self> {
        let score = scorer.score(&plan);
        (score.broken == 0).then(|| Self {
            spend: score.spend,
            risk: score.risk,
            response: responses.map(|responses| scorer.response(responses)),
            worth: 0.0,
            levels: scorer.levels().to_vec(),
            plan,
        })
    }

    fn response_s(&self) -> f64 {
        self.response.map_or(0.0, |response| response.mean_s)
    }

    /// Whether it is as good as `other` but for differences that do not count, the risk aside.
    fn covers(&self, other: &Self) -> bool {
        self.spend <= other.spend + SPEND_EPSILON
            && self.response_s() <= other.response_s() * (1.0 + RESPONSE_EPSILON)
    }
}

/// Keeps the plans that none dominates, by ascending risk, then spend; of equal ones the first, of too many
/// the least crowded.
pub(crate) fn select(mut members: Vec<Member>) -> Vec<Member> {
    members.sort_by(|left, right| {
        left.risk
            .total_cmp(&right.risk)
            .then(left.spend.total_cmp(&right.spend))
            .then(left.response_s().total_cmp(&right.response_s()))
    });
    let mut front: Vec<Member> = Vec::new();
    for member in members {
        // All before it have no more risk.
        if !front.iter().any(|kept| kept.covers(&member)) {
            front.push(member);
        }
    }
    let kept = thinned(&front);
    let most = if front.iter().any(|member| member.response.is_some()) {
        FRONT_MAX
    } else {
        FLAT_MAX
    };
    let others = most.saturating_sub(kept.iter().filter(|kept| **kept).count());
    crowd_out(front, kept, others)
}

/// The members between which spend and risk alone decide, by ascending risk.
pub(crate) fn flat(front: &[Member]) -> Vec<&Member> {
    let places = flat_places(front);
    places.into_iter().map(|place| &front[place]).collect()
}

fn flat_places(front: &[Member]) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::new();
    for (place, member) in front.iter().enumerate() {
        let last = places.last().map(|last| &front[*last]);
        if last.is_none_or(|last| member.spend < last.spend - SPEND_EPSILON) {
            places.push(place);
        }
    }
    places
}

/// Which members stay for spend and risk alone. Shape: `[member]`.
fn thinned(front: &[Member]) -> Vec<bool> {
    let mut flat = flat_places(front);
    while flat.len() > FLAT_MAX {
        let members: Vec<&Member> = flat.iter().map(|place| &front[*place]).collect();
        let crowding = crowding(&members, &[|member| member.spend, |member| member.risk]);
        flat.remove(least(&crowding));
    }
    let mut kept = vec![false; front.len()];
    for place in flat {
        kept[place] = true;
    }
    kept
}

/// Takes the most crowded of the members that are not kept away until `others` are left.
fn crowd_out(mut front: Vec<Member>, mut kept: Vec<bool>, others: usize) -> Vec<Member> {
    while kept.iter().filter(|kept| !**kept).count() > others {
        let members: Vec<&Member> = front.iter().collect();
        let mut crowding = crowding(
            &members,
            &[
                |member| member.spend,
                |member| member.risk,
                Member::response_s,
            ],
        );
        for (distance, kept) in crowding.iter_mut().zip(&kept) {
            if *kept {
                *distance = f64::INFINITY;
            }
        }
        let place = least(&crowding);
        if kept[place] {
            break;
        }
        front.remove(place);
        kept.remove(place);
    }
    front
}

/// Place of the least, the first of equal ones.
fn least(values: &[f64]) -> usize {
    let places = values.iter().enumerate();
    let least = places.min_by(|left, right| left.1.total_cmp(right.1));
    least.map_or(0, |(place, _)| place)
}

/// Sum over the objectives of the distance between a member's neighbours, as a share of the front's
/// extent; the ends have none. Source: Deb et al., NSGA-II, section III B.
fn crowding(members: &[&Member], objectives: &[fn(&Member) -> f64]) -> Vec<f64> {
    let mut distance = vec![0.0; members.len()];
    let mut order: Vec<usize> = (0..members.len()).collect();
    for objective in objectives {
        let value = |place: usize| objective(members[place]);
        order.sort_by(|left, right| value(*left).total_cmp(&value(*right)));
        let (Some(first), Some(last)) = (order.first(), order.last()) else {
            continue;
        };
        let extent = (value(*last) - value(*first)).max(1e-12);
        distance[*first] = f64::INFINITY;
        distance[*last] = f64::INFINITY;
        for three in order.windows(3) {
            distance[three[1]] += (value(three[2]) - value(three[0])) / extent;
        }
    }
    distance
}

#[cfg(test)]
mod tests;
