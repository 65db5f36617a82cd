//! Regular bursts (batch jobs) and irregular ones (spikes).
//!
//! Candidate periods are the usual ones and the distances between bursts that occur most often. A period
//! is believed when bursts fall into one narrow phase of it in most of its cycles, and chance would not put
//! them there: a binomial tail, times the number of phases and periods tried (Bonferroni).

use crate::find::bursts::{Burst, Bursts, usual_height, usual_length};
use crate::find::{Found, Series};
use crate::grid::DAY_S;
use crate::numeric::{binomial_tail, mean, median_in, position, share, signed};
use crate::report::{Detail, EXAMPLES_MAX, Evidence, Pattern};
use std::collections::BTreeMap;

/// Most jobs of one series.
const JOBS_MAX: usize = 4;

/// Bursts looked at for distances: the latest.
const BURSTS_MAX: usize = 4_000;

/// Distances from a burst to this many that follow.
const NEXT_MAX: usize = 12;

/// Candidate periods from distances.
const DISTANCES_MAX: usize = 16;

/// Periods that schedulers like, in minutes.
const USUAL_MIN: [i64; 16] = [
    5, 10, 15, 20, 30, 60, 90, 120, 180, 240, 360, 480, 720, 1_440, 2_880, 10_080,
];

/// Fewest cycles with a burst.
const HITS_MIN: usize = 4;

/// Share of the cycles that must have one.
const HITS_SHARE: f64 = 0.6;

const P_MAX: f64 = 1e-4;

/// Fewest irregular bursts that are told.
const SPIKES_MIN: usize = 3;

/// Least share of the variance that they make.
const SPIKES_SHARE_MIN: f64 = 0.01;

/// How high a daily or weekly job must be, as a share of the range of the usual day.
const STANDS_OUT: f64 = 0.5;

const WEEK_S: i64 = 7 * DAY_S;

/// A job: where it starts, and its bursts.
struct Job {
    period: usize,
    phase: usize,
    hits: usize,
    cycles: usize,
    p_value: f64,
    bursts: Vec<usize>,
}

/// Finds jobs, then spikes among the rest; answers the periods of the jobs.
pub(crate) fn find(series: &Series<'_>, found: &mut Found) -> Vec<i64> {
    let mut bursts = Bursts::of(series);
    let mut periods_s = Vec::new();
    for _ in 0..JOBS_MAX {
        let Some(job) = best_job(&bursts) else { break };
        let own: Vec<Burst> = job.bursts.iter().map(|at| bursts.list[*at]).collect();
        let period_s = signed(job.period) * bursts.step_s;
        // What is only the top of a day's shape is told by that.
        if period_s % DAY_S != 0 || stands_out(series, &own) {
            if !periods_s.contains(&period_s) {
                periods_s.push(period_s);
            }
            found
                .patterns
                .push(job_pattern(series, &bursts, &job, &own));
        }
        let mut at = 0;
        bursts.list.retain(|_| {
            at += 1;
            // Positions of a job's bursts ascend.
            job.bursts.binary_search(&(at - 1)).is_err()
        });
    }
    let spread: f64 = bursts.list.iter().map(|burst| burst.variance_share).sum();
    if bursts.list.len() >= SPIKES_MIN && spread >= SPIKES_SHARE_MIN {
        found.patterns.push(spikes_pattern(series, &bursts, spread));
    }
    periods_s
}

/// Whether bursts are at least half as high as the whole usual day.
fn stands_out(series: &Series<'_>, own: &[Burst]) -> bool {
    let slots = &series.slots;
    let means: Vec<f64> = (0..slots.per_day)
        .map(|slot| {
            let values: Vec<f64> = (0..slots.days())
                .filter_map(|day| slots.values[day * slots.per_day + slot])
                .collect();
            mean(&values)
        })
        .collect();
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    usual_height(own) >= STANDS_OUT * (high - low)
}

/// Height over the level of its day, of the median burst.
fn height_share(series: &Series<'_>, bursts: &Bursts, own: &[Burst]) -> Option<f64> {
    let slots = &series.slots;
    let mut shares: Vec<f64> = own
        .iter()
        .filter_map(|burst| {
            let day = bursts.time_s(burst.start).div_euclid(DAY_S) - slots.first_day;
            Some(burst.height / slots.level(position(day))?)
        })
        .collect();
    (!shares.is_empty()).then(|| median_in(&mut shares))
}

fn best_job(bursts: &Bursts) -> Option<Job> {
    let from = bursts.list.len().saturating_sub(BURSTS_MAX);
    let starts: Vec<usize> = bursts.list[from..]
        .iter()
        .map(|burst| burst.start)
        .collect();
    if starts.len() < HITS_MIN {
        return None;
    }
    let periods = candidates(&starts, bursts.step_s);
    let tried = periods.len() as f64;
    let mut best: Option<Job> = None;
    for period in periods {
        let Some(mut job) = job_of(&starts, period, bursts.steps, tried) else {
            continue;
        };
        let score = |job: &Job| job.bursts.len() as f64 * job.hits as f64 / job.cycles as f64;
        if best
            .as_ref()
            .is_none_or(|best| score(&job) > score(best) * 1.02)
        {
            for at in &mut job.bursts {
                *at += from;
            }
            best = Some(job);
        }
    }
    best
}

fn candidates(starts: &[usize], step_s: i64) -> Vec<usize> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, start) in starts.iter().enumerate() {
        for next in starts[at + 1..].iter().take(NEXT_MAX) {
            *counts.entry(next - start).or_default() += 1;
        }
    }
    let mut often: Vec<(usize, usize)> = counts.into_iter().collect();
    often.sort_by_key(|(distance, count)| (std::cmp::Reverse(*count), *distance));
    let often = often
        .into_iter()
        .take(DISTANCES_MAX)
        .map(|(distance, _)| distance);
    let usual = USUAL_MIN
        .iter()
        .filter(|minutes| (**minutes * 60) % step_s == 0)
        .map(|minutes| position(minutes * 60 / step_s));
    let mut periods: Vec<usize> = usual.chain(often).filter(|period| *period >= 3).collect();
    periods.sort_unstable();
    periods.dedup();
    periods
}

/// The best phase of a period, when it is believed.
fn job_of(starts: &[usize], period: usize, steps: usize, tried: f64) -> Option<Job> {
    let cycles_seen = steps / period;
    if cycles_seen < HITS_MIN {
        return None;
    }
    // Bursts start a step early or late where the period has room for it.
    let slack = usize::from(period >= 12);
    let mut counts = vec![0_usize; period];
    for start in starts {
        counts[start % period] += 1;
    }
    let around = |phase: usize| -> usize {
        (0..=2 * slack)
            .map(|shift| counts[(phase + period + shift - slack) % period])
            .sum()
    };
    let phase = (0..period).max_by_key(|phase| (around(*phase), counts[*phase]))?;
    let shifted = |start: usize| start + period + slack - phase;
    let own: Vec<usize> = (0..starts.len())
        .filter(|at| shifted(starts[*at]) % period <= 2 * slack)
        .collect();
    let (first, last) = (own.first()?, own.last()?);
    let cycle = |at: usize| shifted(starts[at]) / period;
    let mut hit: Vec<usize> = own.iter().map(|at| cycle(*at)).collect();
    hit.dedup();
    let cycles = cycle(*last) - cycle(*first) + 1;
    let chance = 1.0 - (1.0 - starts.len() as f64 / steps as f64).powf(2.0 * slack as f64 + 1.0);
    let p_value = binomial_tail(hit.len(), cycles, chance) * period as f64 * tried;
    let is_job = hit.len() >= HITS_MIN
        && hit.len() as f64 >= HITS_SHARE * cycles as f64
        && cycles * 3 >= cycles_seen
        && p_value <= P_MAX;
    is_job.then(|| Job {
        period,
        phase,
        hits: hit.len(),
        cycles,
        p_value: p_value.min(1.0),
        bursts: own,
    })
}

fn job_pattern(series: &Series<'_>, bursts: &Bursts, job: &Job, own: &[Burst]) -> Pattern {
    let period_s = signed(job.period) * bursts.step_s;
    let start_s = bursts.time_s(job.phase);
    // Days of longer periods are counted from the epoch's, a Thursday.
    let offset_s = start_s.rem_euclid(period_s.max(1));
    let height = usual_height(own) * series.grid.scale();
    let examples = own.iter().rev().take(EXAMPLES_MAX);
    Pattern {
        detail: Detail::BatchJob {
            period_s,
            offset_s: if period_s < DAY_S && DAY_S % period_s != 0 {
                // An odd period has no place in the day: where it was last.
                own.last()
                    .map_or(offset_s, |last| bursts.time_s(last.start).rem_euclid(DAY_S))
            } else {
                offset_s
            },
            duration_s: signed(usual_length(own)) * bursts.step_s,
        },
        strength: share(job.hits as f64 / job.cycles as f64),
        evidence: Evidence {
            period_s: Some(period_s as f64),
            size: Some(height),
            size_share: height_share(series, bursts, own),
            seen_in: Some(job.hits),
            cycles: Some(job.cycles),
            p_value: Some(job.p_value),
            variance_explained: None,
            examples_s: examples.map(|burst| bursts.time_s(burst.start)).collect(),
        },
    }
}

fn spikes_pattern(series: &Series<'_>, bursts: &Bursts, spread: f64) -> Pattern {
    let list = &bursts.list;
    let weeks = (bursts.step_s * signed(bursts.steps)) as f64 / WEEK_S as f64;
    let height = usual_height(list) * series.grid.scale();
    let mut highest: Vec<&Burst> = list.iter().collect();
    highest.sort_by(|left, right| right.height.total_cmp(&left.height));
    let strength = share(spread);
    Pattern {
        detail: Detail::Spikes {
            per_week: list.len() as f64 / weeks,
            duration_s: signed(usual_length(list)) * bursts.step_s,
        },
        strength,
        evidence: Evidence {
            size: Some(height),
            size_share: height_share(series, bursts, list),
            seen_in: Some(list.len()),
            variance_explained: Some(strength),
            examples_s: highest
                .iter()
                .take(EXAMPLES_MAX)
                .map(|burst| bursts.time_s(burst.start))
                .collect(),
            ..Evidence::default()
        },
    }
}
