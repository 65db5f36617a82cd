//! The allocation problem, or a part of it, as a linear program with whole numbers.
//!
//! Columns are VMs that are on and starts, per type and step; stops follow. Minimum up-time is written
//! as the starts of a window against the count (the facet of Rajan and Takriti), so it needs no column
//! of its own. Levels are either given or one 0/1 column each, of which every step chooses one. Types
//! that another type beats in price, virtual CPUs and every capacity are never started: a plan that
//! starts one is no better than the plan that starts the other, so bounds hold for all plans.

mod cuts;
mod options;

pub(crate) use self::cuts::Cut;
use self::options::{OptionScope, option_scopes};
use crate::evaluate;
use crate::linear::Linear;
use crate::plan::Plan;
use crate::problem::{Problem, TOLERANCE, Tier};

/// How the covered level of a step comes about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Levels<'a> {
    /// Given. Shape: `[step]`.
    Given(&'a [usize]),
    /// Chosen in the window, up to a highest per step; given after it. Shape: `[step]`.
    UpTo(&'a [usize]),
}

/// What the shared limits leave to the part that is planned; infinite where a limit cannot bind.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Virtual CPUs. Shape: `[step]`.
    pub(crate) vcpu: Vec<f64>,
    /// Spend in $. Shape: `[step]`.
    pub(crate) spend: Vec<f64>,
    /// Spend of all steps in $.
    pub(crate) budget: f64,
    /// Violation probability.
    pub(crate) risk: f64,
}

/// Which part of a problem is planned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) problem: &'a Problem,
    pub(crate) tiers: &'a [usize],
    /// First step that is planned, and the step after the last.
    pub(crate) window: (usize, usize),
    pub(crate) levels: Levels<'a>,
    /// The plan that stays outside of the window; without one, a window after step 0 may begin with any
    /// VMs.
    pub(crate) around: Option<&'a Plan>,
    pub(crate) limits: Option<&'a Limits>,
}

/// A tier in a program.
#[derive(Clone, Debug)]
pub(crate) struct TierColumns {
    /// Index of the tier in the problem.
    pub(crate) tier: usize,
    /// VM types, by their index in the tier.
    pub(crate) options: Vec<usize>,
    first: usize,
    steps: usize,
    /// Rows of covered resources, then of serving VMs. Shape: `[step]`, each a first row and a count.
    pub(crate) cover: Vec<(usize, usize)>,
    /// (step, row) of the rounded rows that were added.
    pub(crate) cuts: Vec<(usize, usize)>,
    /// All rows, without the rounded ones, and columns of the tier alone.
    pub(crate) rows: (usize, usize),
    pub(crate) columns: (usize, usize),
}

/// The rows of limits that tiers share; `None` where a limit was left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedRows {
    /// Shape: `[step]`.
    pub(crate) vcpu: Vec<Option<usize>>,
    /// Shape: `[step]`.
    pub(crate) spend: Vec<Option<usize>>,
    pub(crate) budget: Option<usize>,
    pub(crate) risk: Option<usize>,
}

/// A part of a problem as a linear program.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) linear: Linear,
    pub(crate) tiers: Vec<TierColumns>,
    /// (level, column) of each step; empty where the level is given. Shape: `[step]`.
    pub(crate) choices: Vec<Vec<(usize, usize)>>,
    pub(crate) shared: SharedRows,
    from: usize,
    to: usize,
    /// Whether the first step may begin with any VMs: a window of a longer horizon, relaxed.
    free_entry: bool,
}

impl TierColumns {
    /// Column of the VMs that are on; `place` counts from the first step of the window.
    pub(crate) fn on(&self, option: usize, place: usize) -> usize {
        self.first + 2 * (option * self.steps + place)
    }

    /// Column of the starts.
    pub(crate) fn started(&self, option: usize, place: usize) -> usize {
        self.on(option, place) + 1
    }
}

impl Program {
    /// Writes a scope as a program.
    pub(crate) fn new(scope: &Scope<'_>) -> Self {
        let (from, to) = scope.window;
        let tail = |tier: &usize| {
            let tier = &scope.problem.tiers[*tier];
            tier.min_up_steps.max(tier.delay_steps).max(1)
        };
        let end = if scope.around.is_some() {
            let tail = scope.tiers.iter().map(tail).max().unwrap_or(1);
            (to + tail).min(scope.problem.steps)
        } else {
            to
        };
        let mut program = Self {
            linear: Linear::default(),
            tiers: Vec::new(),
            choices: vec![Vec::new(); end - from],
            shared: SharedRows::default(),
            from,
            to,
            free_entry: scope.around.is_none() && from > 0,
        };
        if let Levels::UpTo(caps) = scope.levels {
            program.choose_levels(scope, caps);
        }
        for tier in scope.tiers {
            program.tier(scope, *tier, end);
        }
        if let Some(limits) = scope.limits {
            program.share(scope, limits, end);
        }
        program
    }

    fn choose_levels(&mut self, scope: &Scope<'_>, caps: &[usize]) {
        let problem = scope.problem;
        for (step, cap) in caps.iter().enumerate().take(self.to).skip(self.from) {
            let levels = problem.level_min..=(*cap).max(problem.level_min);
            let choices = levels.map(|level| {
                let penalty = problem.penalty[step * problem.levels.len() + level];
                (level, self.linear.column(penalty, (0.0, 1.0), true))
            });
            let choices: Vec<(usize, usize)> = choices.collect();
            let terms: Vec<(usize, f64)> = choices.iter().map(|(_, at)| (*at, 1.0)).collect();
            self.linear.row((1.0, 1.0), &terms);
            self.choices[step - self.from] = choices;
        }
    }

    fn tier(&mut self, scope: &Scope<'_>, index: usize, end: usize) {
        let problem = scope.problem;
        let tier = &problem.tiers[index];
        let scopes = option_scopes(scope, index);
        let mut block = TierColumns {
            tier: index,
            options: scopes.iter().map(|scope| scope.option).collect(),
            first: self.linear.columns(),
            steps: end - self.from,
            cover: Vec::new(),
            cuts: Vec::new(),
            rows: (self.linear.rows(), 0),
            columns: (self.linear.columns(), 0),
        };
        for scoped in &scopes {
            let option = &tier.options[scoped.option];
            for step in self.from..end {
                let kept = scoped.around.get(step).filter(|_| step >= self.to);
                let range = kept.map_or((0.0, scoped.on_max), |count| {
                    (f64::from(*count), f64::from(*count))
                });
                let price = option.price_per_hour * problem.step_hours;
                self.linear.column(price, range, true);
                self.linear
                    .column(option.start_price, (0.0, scoped.starts_max), true);
            }
        }
        for (place, scoped) in scopes.iter().enumerate() {
            self.switching(&block, (place, scoped), tier);
        }
        for step in self.from..end {
            self.switch_limits(&block, &scopes, (tier, step));
            self.cover(scope, &mut block, &scopes, step);
        }
        block.rows.1 = self.linear.rows();
        block.columns.1 = self.linear.columns();
        self.tiers.push(block);
    }

    /// Starts follow the counts; what has just started stays on.
    fn switching(
        &mut self,
        block: &TierColumns,
        (place, scoped): (usize, &OptionScope),
        tier: &Tier,
    ) {
        for step in 0..block.steps {
            let (on, started) = (block.on(place, step), block.started(place, step));
            if step == 0 && !self.free_entry {
                let low = -scoped.before;
                self.linear
                    .row((low, f64::INFINITY), &[(started, 1.0), (on, -1.0)]);
            } else if let Some(before) = step.checked_sub(1) {
                let before = block.on(place, before);
                let terms = [(started, 1.0), (on, -1.0), (before, 1.0)];
                self.linear.row((0.0, f64::INFINITY), &terms);
            }
            if tier.min_up_steps > 1 {
                let (mut terms, earlier) = recent(block, (place, scoped), step, tier.min_up_steps);
                if terms.is_empty() && earlier <= 0.0 {
                    continue;
                }
                for term in &mut terms {
                    term.1 = -1.0;
                }
                terms.push((on, 1.0));
                self.linear.row((earlier, f64::INFINITY), &terms);
            }
        }
    }

    /// Limits of starts, stops and VMs of a step.
    fn switch_limits(
        &mut self,
        block: &TierColumns,
        scopes: &[OptionScope],
        (tier, step): (&Tier, usize),
    ) {
        let place = step - self.from;
        let options = 0..scopes.len();
        let most: f64 = scopes.iter().map(|scoped| scoped.starts_max).sum();
        if most > f64::from(tier.starts_max) {
            let terms = options
                .clone()
                .map(|option| (block.started(option, place), 1.0));
            let terms: Vec<(usize, f64)> = terms.collect();
            self.linear
                .row((f64::NEG_INFINITY, f64::from(tier.starts_max)), &terms);
        }
        let most: f64 = scopes.iter().map(|scoped| scoped.on_max).sum();
        if most > f64::from(tier.stops_max) && !(self.free_entry && place == 0) {
            let mut high = f64::from(tier.stops_max);
            let mut terms = Vec::new();
            for (option, scoped) in scopes.iter().enumerate() {
                terms.push((block.started(option, place), 1.0));
                terms.push((block.on(option, place), -1.0));
                match place.checked_sub(1) {
                    Some(before) => terms.push((block.on(option, before), 1.0)),
                    None => high -= scoped.before,
                }
            }
            self.linear.row((f64::NEG_INFINITY, high), &terms);
        }
        if most > f64::from(tier.vms_max) {
            let terms = options.map(|option| (block.on(option, place), 1.0));
            let terms: Vec<(usize, f64)> = terms.collect();
            self.linear
                .row((f64::NEG_INFINITY, f64::from(tier.vms_max)), &terms);
        }
    }

    /// What serves must cover the level.
    fn cover(
        &mut self,
        scope: &Scope<'_>,
        block: &mut TierColumns,
        scopes: &[OptionScope],
        step: usize,
    ) {
        let problem = scope.problem;
        let tier = &problem.tiers[block.tier];
        let place = step - self.from;
        let first = self.linear.rows();
        for resource in 0..=tier.resources {
            let mut low = 0.0;
            let mut terms = Vec::new();
            for (option, scoped) in scopes.iter().enumerate() {
                let capacity = &tier.options[scoped.option].capacity;
                let units = capacity.get(resource).copied().unwrap_or(1.0);
                if units <= 0.0 {
                    continue;
                }
                terms.push((block.on(option, place), units));
                let (warming, earlier) = recent(block, (option, scoped), place, tier.delay_steps);
                terms.extend(warming.into_iter().map(|(column, _)| (column, -units)));
                low += earlier * units;
            }
            let required = |level: usize| {
                let needed = tier.required(step, level, problem.levels.len());
                needed
                    .get(resource)
                    .map_or(f64::from(tier.vms_min), |units| {
                        units - TOLERANCE * units.max(1.0)
                    })
            };
            match scope.levels {
                _ if resource == tier.resources => low += required(0),
                Levels::Given(levels) => low += required(levels[step]),
                Levels::UpTo(caps) if step >= self.to => low += required(caps[step]),
                Levels::UpTo(_) => {
                    let choices = self.choices[place].iter();
                    terms.extend(choices.map(|(level, column)| (*column, -required(*level))));
                }
            }
            self.linear.row((low, f64::INFINITY), &terms);
        }
        block.cover.push((first, tier.resources + 1));
    }

    fn share(&mut self, scope: &Scope<'_>, limits: &Limits, end: usize) {
        let problem = scope.problem;
        let mut total = Vec::new();
        for step in self.from..end {
            let place = step - self.from;
            let (mut vcpu, mut spend) = (Vec::new(), Vec::new());
            for block in &self.tiers {
                let tier = &problem.tiers[block.tier];
                for (index, option) in block.options.iter().enumerate() {
                    let option = &tier.options[*option];
                    let (on, started) = (block.on(index, place), block.started(index, place));
                    vcpu.push((on, option.vcpu));
                    spend.push((on, self.linear.cost_of(on)));
                    spend.push((started, option.start_price));
                }
            }
            total.extend_from_slice(&spend);
            let limited = |linear: &mut Linear, high: f64, terms: &[(usize, f64)]| {
                high.is_finite()
                    .then(|| linear.row((f64::NEG_INFINITY, high), terms))
            };
            let row = limited(&mut self.linear, limits.vcpu[step], &vcpu);
            self.shared.vcpu.push(row);
            let row = limited(&mut self.linear, limits.spend[step], &spend);
            self.shared.spend.push(row);
        }
        if limits.budget.is_finite() {
            let row = self.linear.row((f64::NEG_INFINITY, limits.budget), &total);
            self.shared.budget = Some(row);
        }
        let choices = self.choices.iter().enumerate();
        let risk: Vec<(usize, f64)> = choices
            .flat_map(|(place, choices)| {
                let weight = problem.step_weight[self.from + place];
                let levels = choices.iter();
                levels.map(move |(level, column)| (*column, weight * problem.uncovered(*level)))
            })
            .collect();
        if limits.risk.is_finite() && !risk.is_empty() {
            self.shared.risk = Some(self.linear.row((f64::NEG_INFINITY, limits.risk), &risk));
        }
    }

    /// Writes the counts of the columns, rounded, into the window of a plan.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "columns are bounded by the most VMs of a type"
    )]
    pub(crate) fn write(&self, columns: &[f64], plan: &mut Plan) {
        for block in &self.tiers {
            for series in &mut plan.counts[block.tier] {
                series[self.from..self.to].fill(0);
            }
            for (place, option) in block.options.iter().enumerate() {
                let series = &mut plan.counts[block.tier][*option];
                for step in self.from..self.to {
                    let value = columns[block.on(place, step - self.from)];
                    series[step] = value.round().max(0.0) as u32;
                }
            }
        }
    }

    /// The levels that the columns choose, `given` where there is no choice. Shape: `[step of the window]`.
    pub(crate) fn chosen(&self, columns: &[f64], given: usize) -> Vec<usize> {
        let of_step = |choices: &Vec<(usize, usize)>| {
            let chosen = choices.iter().find(|(_, column)| columns[*column] > 0.5);
            chosen.map_or(given, |(level, _)| *level)
        };
        self.choices.iter().map(of_step).collect()
    }

    /// The columns of a plan, for the solver to start from.
    pub(crate) fn read(&self, problem: &Problem, plan: &Plan, levels: &[usize]) -> Vec<f64> {
        let mut columns = vec![0.0; self.linear.columns()];
        for block in &self.tiers {
            for (place, option) in block.options.iter().enumerate() {
                let series = &plan.counts[block.tier][*option];
                let initial = problem.tiers[block.tier].options[*option].initial;
                let starts = evaluate::starts(initial, series);
                for step in 0..block.steps {
                    let at = self.from + step;
                    columns[block.on(place, step)] = f64::from(series[at]);
                    columns[block.started(place, step)] = starts[at] as f64;
                }
            }
        }
        for (place, choices) in self.choices.iter().enumerate() {
            for (level, column) in choices {
                columns[*column] = f64::from(u8::from(*level == levels[self.from + place]));
            }
        }
        columns
    }
}

/// Terms of the starts of the last `steps` steps, and how many of them came before the window.
fn recent(
    block: &TierColumns,
    (option, scoped): (usize, &OptionScope),
    place: usize,
    steps: usize,
) -> (Vec<(usize, f64)>, f64) {
    let within = (place + 1).saturating_sub(steps)..=place;
    let terms = if steps == 0 || scoped.starts_max <= 0.0 {
        Vec::new()
    } else {
        within.map(|at| (block.started(option, at), 1.0)).collect()
    };
    let before = scoped.earlier.iter().take(steps.saturating_sub(place + 1));
    (terms, before.sum())
}

#[cfg(test)]
mod tests;
