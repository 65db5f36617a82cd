//! Business hours and weekends.

use crate::find::clock::{self, Fit};
use crate::find::{Found, Series};
use crate::grid::DAY_S;
use crate::numeric::{mean, median, moments, position, share, signed, student_tail};
use crate::report::{BusinessHours, Clock, ClockRule, Detail, EXAMPLES_MAX, Evidence, Pattern};
use crate::slots::Slots;

/// Sets of weekdays that people work on (Monday 0).
const WORK_WEEKS: [&[usize]; 4] = [
    &[0, 1, 2, 3, 4],
    &[0, 1, 2, 3, 4, 5],
    &[6, 0, 1, 2, 3],
    &[0, 1, 2, 3, 4, 5, 6],
];

/// Fewest hours of a block of every day: shorter ones are jobs, and the daily cycle tells them.
const EVERY_DAY_HOURS_MIN: usize = 8;

/// By how much days off must help to explain the week, or the block is one of every day.
const DAYS_OFF_GAIN: f64 = 0.02;

/// Shortest and longest working day, in hours.
const HOURS_MIN: usize = 4;
const HOURS_MAX: usize = 16;

/// Share of the weekly profile that two levels must explain.
const EXPLAINED_MIN: f64 = 0.5;

/// Least demand inside over demand outside.
const RATIO_MIN: f64 = 1.25;

/// Share of the weeks that must show it.
const WEEKS_SHARE: f64 = 0.7;

/// Fewest whole weeks.
const WEEKS_MIN: usize = 2;

/// Hours that the middle of the working day may lie from 13:00 on a clock that needs no offset.
const MIDDLE_AWAY: f64 = 2.5;

/// Fewest weekends for a t-test.
const WEEKENDS_MIN: usize = 3;
const P_MAX: f64 = 0.01;

/// Smallest difference of a weekend.
const DIP_MIN: f64 = 0.05;

pub(crate) fn find(series: &Series<'_>, found: &mut Found) {
    let slots = &series.slots;
    if slots.per_day < 24 {
        let reason = "the interval is too long to see hours".to_owned();
        found.not_told("business_hours", reason);
    } else if slots.days() < 7 * WEEKS_MIN {
        let reason = format!(
            "not enough history: {} days seen, {} needed",
            slots.days(),
            7 * WEEKS_MIN
        );
        found.not_told("business_hours", reason);
    } else {
        hours(series, found);
    }
    weekends(series, found);
}

/// A block of hours on some weekdays, on the clock of a fit.
#[derive(Clone, Copy)]
struct Block {
    weekdays: &'static [usize],
    from: usize,
    hours: usize,
    explained: f64,
}

impl Block {
    fn holds(&self, hour_of_week: usize) -> bool {
        // A block may pass midnight; its day is that on which it starts.
        let start_day = (hour_of_week + 168 - self.from) % 168 / 24;
        let inside = (hour_of_week + 168 - self.from) % 24 < self.hours;
        inside && self.weekdays.contains(&start_day)
    }
}

fn hours(series: &Series<'_>, found: &mut Found) {
    let slots = &series.slots;
    let fit = clock::fit(slots);
    let Some(block) = best_block(&fit.week) else {
        return;
    };
    let side = |inside: bool| -> Vec<f64> {
        (0..168)
            .filter(|hour| block.holds(*hour) == inside)
            .filter_map(|hour| fit.week[hour])
            .collect()
    };
    let (inside, outside) = (mean(&side(true)), mean(&side(false)));
    if block.explained < EXPLAINED_MIN || inside < RATIO_MIN * outside {
        return;
    }
    let (seen, weeks) = weeks_with(slots, &fit, &block);
    if weeks < WEEKS_MIN || (seen as f64) < WEEKS_SHARE * weeks as f64 {
        return;
    }
    let offset = offset_hours(&fit, &block);
    let from_local = signed(block.from) + i64::from(offset);
    let days_moved = from_local.div_euclid(24);
    let from_hour = position(from_local.rem_euclid(24));
    let mut weekdays: Vec<usize> = block
        .weekdays
        .iter()
        .map(|day| position((signed(*day) + days_moved).rem_euclid(7)))
        .collect();
    weekdays.sort_unstable();
    found.patterns.push(Pattern {
        detail: Detail::BusinessHours(BusinessHours {
            weekdays,
            from_hour,
            to_hour: (from_hour + block.hours) % 24,
            clock: Clock {
                rule: fit.rule,
                offset_hours: offset,
                is_rule_seen: fit.is_rule_seen,
            },
            ratio: (outside > 1e-9).then(|| inside / outside),
        }),
        strength: share(block.explained),
        evidence: Evidence {
            period_s: Some(7.0 * DAY_S as f64),
            size: Some((inside - outside) * series.level()),
            size_share: Some(inside - outside),
            seen_in: Some(seen),
            cycles: Some(weeks),
            p_value: None,
            variance_explained: Some(share(block.explained)),
            examples_s: Vec::new(),
        },
    });
}

/// The block whose two levels explain most of a week.
fn best_block(week: &[Option<f64>]) -> Option<Block> {
    let known: Vec<f64> = week.iter().flatten().copied().collect();
    let count = known.len() as f64;
    let overall = mean(&known);
    let total: f64 = known.iter().map(|value| (value - overall).powi(2)).sum();
    if known.len() < 120 || total <= 1e-12 {
        return None;
    }
    let mut best: Option<Block> = None;
    let mut every_day: Option<Block> = None;
    for weekdays in WORK_WEEKS {
        for from in 0..24 {
            for hours in HOURS_MIN..=HOURS_MAX {
                let (sum, inside) = sums(week, weekdays, from, hours);
                let outside = count - inside;
                if inside < 1.0 || outside < 1.0 {
                    continue;
                }
                // Demand must be higher inside.
                let gain = sum - inside * overall;
                let between = gain * gain * (1.0 / inside + 1.0 / outside);
                let explained = between / total;
                let rival = if weekdays.len() == 7 {
                    &mut every_day
                } else {
                    &mut best
                };
                if gain > 0.0 && rival.is_none_or(|rival| explained > rival.explained) {
                    *rival = Some(Block {
                        weekdays,
                        from,
                        hours,
                        explained,
                    });
                }
            }
        }
    }
    let every_day_explained = every_day.map_or(0.0, |block| block.explained);
    best.filter(|best| best.explained >= every_day_explained + DAYS_OFF_GAIN)
        .or(every_day.filter(|block| block.hours >= EVERY_DAY_HOURS_MIN))
}

fn sums(week: &[Option<f64>], weekdays: &[usize], from: usize, hours: usize) -> (f64, f64) {
    let mut sum = 0.0;
    let mut count = 0.0;
    for day in weekdays {
        for hour in 0..hours {
            if let Some(value) = week[(day * 24 + from + hour) % 168] {
                sum += value;
                count += 1.0;
            }
        }
    }
    (sum, count)
}

/// In how many of the whole weeks demand is clearly higher inside.
fn weeks_with(slots: &Slots, fit: &Fit, block: &Block) -> (usize, usize) {
    let summers = clock::summers(fit.rule, slots);
    let mut seen = 0;
    let mut weeks = 0;
    let mut start = 0;
    while start + 7 <= slots.days() {
        let mut sides = [(0.0, 0.0); 2];
        for (day, is_summer) in summers.iter().enumerate().skip(start).take(7) {
            for hour in 0..24 {
                let local = (slots.weekday(day) * 24 + hour + usize::from(*is_summer)) % 168;
                if let Some(value) = slots.values[day * 24 + hour] {
                    let side = &mut sides[usize::from(block.holds(local))];
                    side.0 += value;
                    side.1 += 1.0;
                }
            }
        }
        let [(out, outs), (inside, insides)] = sides;
        if outs > 60.0 && insides > 12.0 {
            weeks += 1;
            let ratio_min = f64::midpoint(1.0, RATIO_MIN);
            seen += usize::from(inside / insides > ratio_min * out / outs);
        }
        start += 7;
    }
    (seen, weeks)
}

/// Whole hours ahead of UTC that put the middle of the block next to 13:00.
fn offset_hours(fit: &Fit, block: &Block) -> i8 {
    let middle = block.from as f64 + block.hours as f64 / 2.0;
    let allowed: Vec<i8> = match fit.rule {
        ClockRule::Fixed => (-11..=12).collect(),
        ClockRule::Europe => vec![1, 0, 2],
        ClockRule::UnitedStates => vec![-5, -6, -7, -8],
    };
    let away = |offset: i8| {
        let local = (middle + f64::from(offset)).rem_euclid(24.0);
        (local - 13.0).abs()
    };
    // Series that are in local time already stay there.
    if fit.rule == ClockRule::Fixed && away(0) <= MIDDLE_AWAY {
        return 0;
    }
    let usual = allowed
        .into_iter()
        .min_by(|left, right| away(*left).total_cmp(&away(*right)));
    usual.unwrap_or(0)
}

/// Compares each weekend with the weekdays on both sides, which takes growth off.
fn weekends(series: &Series<'_>, found: &mut Found) {
    let slots = &series.slots;
    let mut contrasts = Vec::new();
    let mut starts = Vec::new();
    for saturday in 0..slots.days() {
        if slots.weekday(saturday) != 5 || saturday < 5 || saturday + 6 >= slots.days() {
            continue;
        }
        let means = |from: usize, to: usize| -> Option<f64> {
            let days: Option<Vec<f64>> = slots.day_means[from..to].iter().copied().collect();
            days.map(|days| mean(&days))
        };
        let before = means(saturday - 5, saturday);
        let after = means(saturday + 2, saturday + 7);
        if let (Some(before), Some(after), Some(weekend)) =
            (before, after, means(saturday, saturday + 2))
        {
            let week = f64::midpoint(before, after);
            if week + weekend > 0.0 {
                contrasts.push((weekend - week) / week.max(weekend));
                starts.push(slots.day_s(saturday));
            }
        }
    }
    if contrasts.len() < WEEKENDS_MIN {
        let reason = format!(
            "not enough history: {} weekends between whole weeks seen, {WEEKENDS_MIN} needed",
            contrasts.len()
        );
        found.not_told("weekend_dip", reason);
        return;
    }
    push_weekends(series, found, &contrasts, &starts);
}

fn push_weekends(series: &Series<'_>, found: &mut Found, contrasts: &[f64], starts: &[i64]) {
    let (mean, sd) = moments(contrasts);
    let error = (sd / (contrasts.len() as f64).sqrt()).max(1e-9);
    let p_value = student_tail(mean / error, contrasts.len());
    let usual = median(contrasts);
    let agrees = |contrast: &f64| contrast * mean > 0.0 && contrast.abs() >= DIP_MIN / 2.0;
    let seen = contrasts.iter().filter(|contrast| agrees(contrast)).count();
    let is_usual = seen as f64 >= WEEKS_SHARE * contrasts.len() as f64;
    if p_value > P_MAX || usual.abs() < DIP_MIN || usual * mean <= 0.0 || !is_usual {
        return;
    }
    let (detail, change) = if usual < 0.0 {
        let ratio = 1.0 + usual;
        (Detail::WeekendDip { ratio }, usual)
    } else {
        let ratio = 1.0 / (1.0 - usual).max(1e-6);
        (Detail::WeekendPeak { ratio }, ratio - 1.0)
    };
    let latest = contrasts.iter().zip(starts).rev();
    let latest = latest.filter(|(contrast, _)| agrees(contrast));
    found.patterns.push(Pattern {
        detail,
        strength: share(usual.abs()),
        evidence: Evidence {
            period_s: Some(7.0 * DAY_S as f64),
            size: Some(change * series.level()),
            size_share: Some(change),
            seen_in: Some(seen),
            cycles: Some(contrasts.len()),
            p_value: Some(p_value),
            variance_explained: None,
            examples_s: latest.take(EXAMPLES_MAX).map(|(_, start)| *start).collect(),
        },
    });
}
