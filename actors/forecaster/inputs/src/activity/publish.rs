//! What closed windows may tell.

use super::counter::{Activity, Cell, Interval};
use super::noise::noised;
use super::options::DAY_S;
use super::sketch::Sketch;
use super::suppression::{Decision, decide};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use twinscale_protocol::units::MICROS;
use twinscale_protocol::{DomainTime, FixedValue, MetricName, Sample, Seconds, SeriesKey};

/// Days and weeks whose parts are remembered at most: more than can be open.
const COVERS_MAX: usize = 256;

/// What was told of the parts of a day or week.
///
/// Distinct users of a day are at most the sum of those of its intervals. If a part was not told, the day's count less
/// what was told is what the missing parts have at least: the day is told only if that is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Covers {
    days: BTreeMap<DomainTime, Cover>,
    weeks: BTreeMap<DomainTime, Cover>,
}

/// The sum of what was told, and whether anything was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Cover {
    told: u64,
    has_gap: bool,
}

impl Cover {
    fn add(&mut self, told: u64, has_gap: bool) {
        self.told = self.told.saturating_add(told);
        self.has_gap |= has_gap;
    }

    /// Whether a count over these parts tells nothing of the untold ones.
    const fn allows(self, count: u64) -> bool {
        !self.has_gap || count <= self.told
    }
}

impl Covers {
    pub(super) fn is_sound(&self) -> bool {
        self.days.len() <= COVERS_MAX && self.weeks.len() <= COVERS_MAX
    }
}

fn cover_of(covers: &mut BTreeMap<DomainTime, Cover>, at: DomainTime) -> &mut Cover {
    if covers.len() >= COVERS_MAX && !covers.contains_key(&at) {
        covers.pop_first();
    }
    covers.entry(at).or_default()
}

fn day_of(at: DomainTime) -> DomainTime {
    at.floor_to(Seconds(DAY_S))
}

fn week_of(at: DomainTime) -> DomainTime {
    let monday = Seconds(4 * DAY_S);
    at.minus(monday).floor_to(Seconds(7 * DAY_S)).plus(monday)
}

impl Activity {
    pub(super) fn publish(
        &mut self,
        intervals: Vec<(DomainTime, Interval)>,
        days: Vec<(DomainTime, Sketch)>,
        weeks: Vec<(DomainTime, Sketch)>,
    ) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (at, interval) in intervals {
            self.publish_interval(at, &interval, &mut samples);
        }
        for (at, users) in days {
            let count = users.count();
            let cover = self.covers.days.remove(&at).unwrap_or_default();
            let told = self.tell(
                "active_users_day",
                at,
                count,
                cover.allows(count),
                &mut samples,
            );
            let week = cover_of(&mut self.covers.weeks, week_of(at));
            // A day that is not told is covered by its intervals that were.
            week.add(if told { count } else { cover.told }, !told);
        }
        for (at, users) in weeks {
            let count = users.count();
            let cover = self.covers.weeks.remove(&at).unwrap_or_default();
            self.tell(
                "active_users_week",
                at,
                count,
                cover.allows(count),
                &mut samples,
            );
        }
        samples
    }

    fn publish_interval(&mut self, at: DomainTime, interval: &Interval, samples: &mut Vec<Sample>) {
        let total = interval.users.count();
        let cohorts = self.decide(total, &interval.cohorts, self.options.cohorts.len());
        let actions = self.decide(total, &interval.actions, self.options.actions.len());
        let tells_total = cohorts.tells_total && actions.tells_total;
        let is_told = self.tell("active_users", at, total, tells_total, samples);
        let day = cover_of(&mut self.covers.days, day_of(at));
        day.add(if is_told { total } else { 0 }, !is_told);
        // A table that hides even its total must not be told by the other one, which has the same.
        if !tells_total {
            let cells = self.options.cohorts.len().min(interval.cohorts.len())
                + self.options.actions.len().min(interval.actions.len());
            self.counts.withheld_rates = self.counts.withheld_rates.saturating_add(cells as u64);
            return;
        }
        let tables = [
            (
                "cohort",
                &interval.cohorts,
                cohorts,
                self.options.cohorts.clone(),
            ),
            (
                "action",
                &interval.actions,
                actions,
                self.options.actions.clone(),
            ),
        ];
        for (what, cells, decision, names) in tables {
            for (place, (name, tells)) in names.iter().zip(decision.tells_cell).enumerate() {
                let Some(cell) = cells.get(&place) else {
                    continue;
                };
                // One person can change a rate by any amount, so noise of one unit would not hide it.
                if tells && self.options.noise.is_none() {
                    let value = rate(cell.events, self.options.interval);
                    samples.push(self.sample(&format!("{what}_{name}_rate"), at, value));
                } else {
                    self.counts.withheld_rates = self.counts.withheld_rates.saturating_add(1);
                }
            }
        }
    }

    fn decide(&self, total: u64, cells: &BTreeMap<usize, Cell>, names: usize) -> Decision {
        let users = |place: usize| cells.get(&place).map_or(0, |cell| cell.users.count());
        let of_names: Vec<u64> = (0..names).map(users).collect();
        decide(total, &of_names, users(names), self.options.threshold)
    }

    /// Gives a count of users, if it may be told; says whether it was.
    fn tell(
        &mut self,
        name: &'static str,
        at: DomainTime,
        count: u64,
        is_allowed: bool,
        samples: &mut Vec<Sample>,
    ) -> bool {
        let threshold = self.options.threshold;
        let told = match self.options.noise {
            // The noise hides single persons from what rules between tables hide them from.
            Some(noise) => self.budget.charge(at, &noise).then(|| {
                let key = self.secret.derive(name, at.0);
                noised(count, &key, &noise)
            }),
            None => is_allowed.then_some(count),
        };
        let Some(told) = told.filter(|told| *told >= threshold) else {
            self.counts.withheld_counts = self.counts.withheld_counts.saturating_add(1);
            return false;
        };
        let value = i64::try_from(told)
            .unwrap_or(i64::MAX)
            .saturating_mul(MICROS);
        samples.push(self.sample(name, at, FixedValue(value)));
        true
    }

    fn sample(&self, name: &str, at: DomainTime, value: FixedValue) -> Sample {
        Sample {
            series: SeriesKey {
                vm_type: self.options.vm_type.clone(),
                metric: MetricName::new(name).expect("names were checked with the settings"),
            },
            at,
            value,
        }
    }
}

/// Events a second, in millionths.
fn rate(events: u64, interval: Seconds) -> FixedValue {
    let micros =
        u128::from(events) * u128::from(MICROS.unsigned_abs()) / u128::from(interval.0.max(1));
    FixedValue(i64::try_from(micros).unwrap_or(i64::MAX))
}
