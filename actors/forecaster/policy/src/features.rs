//! What a policy sees at a step: numbers without a unit, known before the step.
//!
//! All of it follows from past demand and from what the planner asks for at each price, and none from what
//! the policy itself did. So an action changes what is paid over the next start-up time, and no later
//! state: that is what makes evaluation off policy exact with weights over one start-up time.

use crate::guard::{Guard, KEEP, Ladder, SHIFTS};
use crate::money::miss;
use crate::trace::{Demand, Trace};
use std::collections::VecDeque;

/// Numbers of a state.
pub const FEATURES: usize = NAMES.len();

/// Their names, in order.
pub const NAMES: [&str; 39] = [
    "price",
    "step length",
    "start-up steps",
    "spread -3",
    "spread -2",
    "spread -1",
    "spread +1",
    "spread +2",
    "spread +3",
    "promised misses, lowest",
    "promised misses, own",
    "promised misses, highest",
    "count over last demand",
    "calibration, fast",
    "calibration, slow",
    "near misses, fast",
    "near misses, slow",
    "time since a miss",
    "money at risk",
    "saved -3, fast",
    "saved -2, fast",
    "saved -1, fast",
    "saved +1, fast",
    "saved +2, fast",
    "saved +3, fast",
    "saved -3, slow",
    "saved -2, slow",
    "saved -1, slow",
    "saved +1, slow",
    "saved +2, slow",
    "saved +3, slow",
    "time of day, sine",
    "time of day, cosine",
    "time of week, sine",
    "time of week, cosine",
    "steps seen",
    "volatility",
    "trend",
    "calibration error of all settings",
];
/// Where the slow savings of the choices start in a state.
pub const SAVED_SLOW: usize = 25;

/// Steps that a fast and a slow average look back on.
const FAST_STEPS: f64 = 24.0;
const SLOW_STEPS: f64 = 1_000.0;
/// Share of what serves above which a step without a miss is a near miss.
const NEAR: f64 = 0.9;
/// A share of steps that stands for never.
const RARE: f64 = 1e-4;
/// Bound of ratios of money.
const SAVED_MAX: f64 = 3.0;
const DAY_S: i64 = 86_400;
/// 1970 began on a Thursday; it only matters that a week is a week.
const WEEK_S: i64 = 7 * DAY_S;

/// What a policy sees at a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// The numbers, in the order of [`NAMES`]; finite.
    pub features: [f32; FEATURES],
    /// Which choices the guard and the ladder allow.
    pub allowed: [bool; SHIFTS],
}

/// Watches a trace at one operator's price and says what can be seen.
#[derive(Clone, Debug)]
pub struct Watcher<'a> {
    demand: &'a Demand,
    ladder: &'a Ladder,
    operator: usize,
    settings: [Option<usize>; SHIFTS],
    /// Counts of the last start-up time, oldest first. Shape `[step][choice]`.
    recent: VecDeque<[u32; SHIFTS]>,
    averages: [Averages; 2],
    last_vms: f64,
    since_miss: u32,
    seen: u32,
    promise: [f64; SHIFTS],
}

/// Exponential averages, corrected for their start.
#[derive(Clone, Copy, Debug)]
struct Averages {
    keep: f64,
    weight: f64,
    misses: [f64; SHIFTS],
    promised: [f64; SHIFTS],
    money: [f64; SHIFTS],
    near: f64,
    vms: f64,
    change: f64,
}

impl Averages {
    fn over(steps: f64) -> Self {
        Self {
            keep: 1.0 - 1.0 / steps,
            weight: 0.0,
            misses: [0.0; SHIFTS],
            promised: [0.0; SHIFTS],
            money: [0.0; SHIFTS],
            near: 0.0,
            vms: 0.0,
            change: 0.0,
        }
    }

    fn of(&self, sum: f64) -> f64 {
        if self.weight > 0.0 {
            sum / self.weight
        } else {
            0.0
        }
    }

    /// What each choice would have saved, as a share of the operator's money.
    fn saved(&self, shift: usize) -> f64 {
        let own = self.money[KEEP];
        if own <= 0.0 {
            return 0.0;
        }
        ((own - self.money[shift]) / own).clamp(-SAVED_MAX, SAVED_MAX)
    }

    /// How much more often demand exceeded a choice than was promised: a difference of logarithms.
    fn calibration(&self, shift: usize) -> f64 {
        if self.weight <= 0.0 {
            return 0.0;
        }
        let (missed, promised) = (self.of(self.misses[shift]), self.of(self.promised[shift]));
        ((missed + RARE) / (promised + RARE)).ln()
    }
}

impl<'a> Watcher<'a> {
    /// Starts before the first step of a trace; `operator` is a setting of the ladder.
    pub fn new(demand: &'a Demand, ladder: &'a Ladder, guard: &Guard, operator: usize) -> Self {
        let operator = operator.min(ladder.len() - 1);
        let start = [demand.initial; SHIFTS];
        Self {
            demand,
            ladder,
            operator,
            settings: guard.settings(ladder, operator),
            recent: std::iter::repeat_n(start, demand.start_up_steps).collect(),
            averages: [Averages::over(FAST_STEPS), Averages::over(SLOW_STEPS)],
            last_vms: f64::from(demand.initial),
            since_miss: 0,
            seen: 0,
            promise: [0.0; SHIFTS],
        }
    }

    /// The settings that the choices stand for.
    pub fn settings(&self) -> &[Option<usize>; SHIFTS] {
        &self.settings
    }

    /// What can be seen at the beginning of a step, with the planner's counts for it at every price.
    pub fn state(&mut self, time_s: i64, counts: &[u32]) -> State {
        self.promise = self.promises(counts);
        let own = self.count(counts, KEEP);
        let price = self.ladder.price(self.operator);
        let [fast, slow] = &self.averages;
        let own_vms = f64::from(own).max(1.0);
        let mut features = Vec::with_capacity(FEATURES);
        features.extend([
            price.ln() / 4.0,
            (f64::from(self.demand.step_s) / 300.0).ln() / 2.0,
            (self.demand.start_up_steps as f64) / 5.0,
        ]);
        features.extend(
            others()
                .map(|shift| 2.0 * (f64::from(self.count(counts, shift)).max(1.0) / own_vms).ln()),
        );
        features.extend([0, KEEP, SHIFTS - 1].map(|shift| (self.promise[shift] + RARE).ln() / 3.0));
        features.extend([
            (own_vms / self.last_vms.max(1.0)).ln(),
            fast.calibration(KEEP) / 3.0,
            slow.calibration(KEEP) / 3.0,
            fast.of(fast.near) * 3.0,
            slow.of(slow.near) * 3.0,
            f64::from(self.since_miss).ln_1p() / 3.0,
            (price * self.promise[KEEP] * self.demand.mean_vms / own_vms).ln_1p(),
        ]);
        features.extend(others().map(|shift| fast.saved(shift)));
        features.extend(others().map(|shift| slow.saved(shift)));
        features.extend(clock(time_s));
        features.extend([
            f64::from(self.seen).ln_1p() / 4.0,
            3.0 * fast.change / fast.vms.max(RARE),
            ratio_ln(fast.of(fast.vms), slow.of(slow.vms)),
            (0..SHIFTS)
                .map(|shift| slow.calibration(shift))
                .sum::<f64>()
                / (SHIFTS as f64)
                / 3.0,
        ]);
        let mut state = State {
            features: [0.0; FEATURES],
            allowed: self.settings.map(|setting| setting.is_some()),
        };
        for (slot, value) in state.features.iter_mut().zip(features) {
            *slot = narrow(value);
        }
        state
    }

    /// Takes in what happened in the step that was last looked at; `None` = no sample came.
    pub fn observe(&mut self, counts: &[u32], vms: Option<u32>) {
        let mut asked = [0; SHIFTS];
        for (shift, asked) in asked.iter_mut().enumerate() {
            *asked = self.count(counts, shift);
        }
        let mut serving = asked;
        for before in &self.recent {
            for (serving, before) in serving.iter_mut().zip(before) {
                *serving = (*serving).min(*before);
            }
        }
        if self.demand.start_up_steps > 0 {
            self.recent.pop_front();
            self.recent.push_back(asked);
        }
        let Some(vms) = vms else { return };
        let has_started = self.seen as usize >= self.demand.start_up_steps;
        self.seen = self.seen.saturating_add(1);
        if has_started {
            self.learn(&asked, &serving, vms);
        }
        self.last_vms = f64::from(vms);
    }

    fn learn(&mut self, asked: &[u32; SHIFTS], serving: &[u32; SHIFTS], vms: u32) {
        let mean = self.demand.mean_vms;
        let price = self.ladder.price(self.operator);
        let is_near = f64::from(vms) > NEAR * f64::from(serving[KEEP]);
        for averages in &mut self.averages {
            let keep = averages.keep;
            let add = |sum: &mut f64, value: f64| *sum = *sum * keep + (1.0 - keep) * value;
            add(&mut averages.weight, 1.0);
            for shift in 0..SHIFTS {
                let missed = miss(vms, serving[shift], mean);
                add(
                    &mut averages.misses[shift],
                    f64::from(u8::from(missed > 0.0)),
                );
                add(&mut averages.promised[shift], self.promise[shift]);
                let paid = f64::from(asked[shift]) / mean + price * missed;
                add(&mut averages.money[shift], paid);
            }
            add(&mut averages.near, f64::from(u8::from(is_near)));
            add(&mut averages.vms, f64::from(vms));
            add(&mut averages.change, (f64::from(vms) - self.last_vms).abs());
        }
        self.since_miss = if vms > serving[KEEP] {
            0
        } else {
            self.since_miss.saturating_add(1)
        };
    }

    /// The count of a choice; the operator's where it is not allowed.
    fn count(&self, counts: &[u32], shift: usize) -> u32 {
        let setting = self.settings[shift].unwrap_or(self.operator);
        counts.get(setting).copied().unwrap_or(0)
    }

    /// How often demand is expected above each choice's count, as far as the counts tell.
    ///
    /// A planner that asks for more VMs only from a higher price on expects to miss so much less often as
    /// the VMs cost over the price: summed from the top of the ladder down. Not exact, since unserved
    /// demand has a price as well; 0 at the top.
    fn promises(&self, counts: &[u32]) -> [f64; SHIFTS] {
        let mut by_setting = vec![0.0; self.ladder.len()];
        let mut promised = 0.0;
        for lower in (0..self.ladder.len().saturating_sub(1)).rev() {
            let step = |setting: usize| counts.get(setting).copied().unwrap_or(0);
            let more = f64::from(step(lower + 1).saturating_sub(step(lower)));
            let price = (self.ladder.price(lower) * self.ladder.price(lower + 1)).sqrt();
            promised += more / (price * self.demand.mean_vms);
            by_setting[lower] = f64::min(promised, 1.0);
        }
        let mut promises = [0.0; SHIFTS];
        for (promise, setting) in promises.iter_mut().zip(&self.settings) {
            *promise = by_setting[setting.unwrap_or(self.operator)];
        }
        promises
    }
}

/// All choices but the one that keeps the operator's setting.
fn others() -> impl Iterator<Item = usize> {
    (0..SHIFTS).filter(|shift| *shift != KEEP)
}

fn clock(time_s: i64) -> [f64; 4] {
    let turn = |period_s: i64| {
        let share = time_s.rem_euclid(period_s) as f64 / period_s as f64;
        (share * std::f64::consts::TAU).sin_cos()
    };
    let ((day_sine, day_cosine), (week_sine, week_cosine)) = (turn(DAY_S), turn(WEEK_S));
    [day_sine, day_cosine, week_sine, week_cosine]
}

fn ratio_ln(one: f64, other: f64) -> f64 {
    if one > 0.0 && other > 0.0 {
        (one / other).ln()
    } else {
        0.0
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a state is exact enough in f32"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// All states of a trace at one operator's price.
pub fn states(trace: &Trace, ladder: &Ladder, guard: &Guard, operator: usize) -> Vec<State> {
    let demand = trace.demand();
    let mut watcher = Watcher::new(demand, ladder, guard, operator);
    (0..demand.steps())
        .map(|step| {
            let counts = trace.counts(step);
            let state = watcher.state(demand.time_s(step), counts);
            let is_observed = demand.is_observed.get(step).copied().unwrap_or(false);
            let vms = demand.vms.get(step).copied();
            watcher.observe(counts, vms.filter(|_| is_observed));
            state
        })
        .collect()
}
