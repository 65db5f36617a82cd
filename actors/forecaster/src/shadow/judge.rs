//! What paired sums mean: the rule by which weights are promoted, dropped and gone back from.

use super::tally::PairTally;
use std::collections::BTreeMap;

/// Bound on the log ratio of one series, so that one outlier decides nothing.
const LOG_RATIO_MAX: f64 = 2.0;

/// Loss per step, in units of the mean, below which a series is foreseen exactly by both.
const LOSS_MIN: f64 = 1e-9;

/// Quantile of the normal distribution of the 95 % interval.
const NORMAL_975: f64 = 1.959_963_985;

/// By how much the share of truths in an interval may be off: the 80 % and the 90 % interval.
const COVERAGE_OFF_MAX: [f64; 2] = [0.1, 0.07];

/// The nominal shares.
const COVERAGE: [f64; 2] = [0.8, 0.9];

/// When there is enough to decide, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Series with enough compared steps, at least.
    pub series_min: usize,
    /// Compared steps of a series below which it does not count.
    pub steps_min: u64,
    /// Compared forecasts of all series, at least.
    pub forecasts_min: u64,
    /// Time from the first compared step to the last, at least.
    pub span_min_s: u64,
    /// Time after which a comparison ends without a decision.
    pub trial_max_s: u64,
    /// Time for which the former weights are watched after a promotion.
    pub watch_s: u64,
    /// By how much the challenger must be better: 0.01 is one percent.
    pub margin: f64,
}

impl Default for Rule {
    /// Dozens of series over a day: a daily rhythm must have been seen once by both.
    fn default() -> Self {
        Self {
            series_min: 12,
            steps_min: 24,
            forecasts_min: 200,
            span_min_s: 86_400,
            trial_max_s: 14 * 86_400,
            watch_s: 3 * 86_400,
            margin: 0.01,
        }
    }
}

/// What a comparison is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Whether the challenger is to become active.
    Promotion,
    /// Whether the weights that were active before, now the challenger, are to become so again.
    Watch,
}

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    GoesOn,
    /// The challenger is to be active.
    Better,
    /// The challenger is worse.
    Worse,
    /// The time is over without a decision.
    TimeOver,
}

/// What was compared, over all series that count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Series that count.
    pub series: usize,
    /// Their compared forecasts.
    pub forecasts: u64,
    /// Their compared steps.
    pub steps: u64,
    /// From the first to the last of these, in seconds.
    pub span_s: u64,
    /// The challenger's loss over the champion's: the geometric mean over series.
    pub ratio: f64,
    /// Its 95 % interval; series are independent, forecasts of one series are not.
    pub interval: [f64; 2],
    /// The challenger's shares of truths within its 80 % and 90 % intervals.
    pub coverage: [f64; 2],
    /// The champion's.
    pub coverage_champion: [f64; 2],
}

/// Compares by series; `None` while fewer than two count.
pub fn compare(tallies: &BTreeMap<u64, PairTally>, rule: &Rule) -> Option<Comparison> {
    let counted: Vec<&PairTally> = tallies
        .values()
        .filter(|tally| tally.steps > 0 && tally.steps >= rule.steps_min)
        .collect();
    let count = counted.len();
    if count < 2 {
        return None;
    }
    let ratios: Vec<f64> = counted.iter().map(|tally| log_ratio(tally)).collect();
    let mean = ratios.iter().sum::<f64>() / count as f64;
    let squares: f64 = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum();
    let freedom = (count - 1) as f64;
    let error = (squares / freedom / count as f64).sqrt();
    let reach = student_975(freedom) * error;
    let steps: u64 = counted.iter().map(|tally| tally.steps).sum();
    let share = |side: usize| {
        let sum = |of: fn(&PairTally) -> &[u64; 2]| {
            let within: u64 = counted.iter().map(|tally| of(tally)[side]).sum();
            within as f64 / steps as f64
        };
        [sum(|tally| &tally.within_80), sum(|tally| &tally.within_90)]
    };
    let first = counted.iter().map(|tally| tally.first_at).min()?;
    let last = counted.iter().map(|tally| tally.last_at).max()?;
    Some(Comparison {
        series: count,
        forecasts: counted.iter().map(|tally| tally.forecasts).sum(),
        steps,
        span_s: u64::try_from(last.saturating_sub(first)).unwrap_or_default(),
        ratio: mean.exp(),
        interval: [(mean - reach).exp(), (mean + reach).exp()],
        coverage: share(1),
        coverage_champion: share(0),
    })
}

/// Says what a comparison that runs for `age_s` comes to.
pub fn judge(
    purpose: Purpose,
    age_s: u64,
    comparison: Option<&Comparison>,
    rule: &Rule,
) -> Verdict {
    if let Some(found) = comparison.filter(|found| is_enough(found, rule)) {
        let [low, high] = found.interval;
        if high < 1.0 - rule.margin && is_covered(found) {
            return Verdict::Better;
        }
        // A watch that finds the former weights worse has nothing to do but to wait for its end.
        if low > 1.0 && purpose == Purpose::Promotion {
            return Verdict::Worse;
        }
    }
    let longest = match purpose {
        Purpose::Promotion => rule.trial_max_s,
        Purpose::Watch => rule.watch_s,
    };
    if age_s >= longest {
        Verdict::TimeOver
    } else {
        Verdict::GoesOn
    }
}

fn is_enough(found: &Comparison, rule: &Rule) -> bool {
    found.series >= rule.series_min.max(2)
        && found.forecasts >= rule.forecasts_min
        && found.span_s >= rule.span_min_s
}

/// Whether the challenger's intervals hold about as much as they say, or no less well than the champion's.
fn is_covered(found: &Comparison) -> bool {
    (0..2).all(|which| {
        let off = |share: f64| (share - COVERAGE[which]).abs();
        let challenger = off(found.coverage[which]);
        challenger <= COVERAGE_OFF_MAX[which] || challenger <= off(found.coverage_champion[which])
    })
}

fn log_ratio(tally: &PairTally) -> f64 {
    let least = LOSS_MIN * tally.steps as f64;
    let [champion, challenger] = tally.losses.map(|loss| loss.max(least));
    (challenger / champion)
        .ln()
        .clamp(-LOG_RATIO_MAX, LOG_RATIO_MAX)
}

/// The 97.5 % quantile of Student's distribution: the first terms of its expansion in 1/freedom (Abramowitz and
/// Stegun 26.7.5); within 2 % from three degrees on, and too small below, which `series_min` keeps out.
fn student_975(freedom: f64) -> f64 {
    let z = NORMAL_975;
    z + (z.powi(3) + z) / (4.0 * freedom)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * freedom.powi(2))
        + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z)
            / (384.0 * freedom.powi(3))
}
