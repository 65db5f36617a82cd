//! Policies beside fixed settings: money, and cost at equal misses.

use crate::bootstrap::{Draws, Interval, interval};
use crate::frontier::cost_at;
use crate::guard::{Guard, Ladder};
use crate::money::{MoneyParts, parts};
use crate::simulation::{Score, score};
use crate::trace::{Trace, TraceError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Levels of time under-provisioned, percent.
pub const TIME_LEVELS: [f64; 4] = [0.1, 0.5, 1.0, 5.0];
/// Levels of demand unserved, percent.
pub const DEMAND_LEVELS: [f64; 4] = [0.05, 0.1, 0.5, 1.0];

/// What a policy asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// Shape `[trace][operator's setting][step]`.
    pub desired: Vec<Vec<Vec<u32>>>,
}

/// All comparisons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Per suite, in the order of the traces.
    pub suites: Vec<SuiteComparison>,
}

/// One suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuiteComparison {
    /// Its name.
    pub suite: String,
    /// Traces, and customers among them.
    pub traces: usize,
    /// Customers.
    pub customers: usize,
    /// One row per level of the two measures.
    pub levels: Vec<LevelRow>,
    /// One row per operator's price.
    pub money: Vec<MoneyRow>,
}

/// What is held equal in a row of [`LevelRow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Share of the steps with too few VMs.
    Time,
    /// Share of the demand that is not served.
    Demand,
}

/// Cost as a multiple of perfect foresight's where a level is met; `None` = no setting meets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelRow {
    /// What is held equal.
    pub measure: Measure,
    /// The level, percent.
    pub level: f64,
    /// Cost of the fixed settings.
    pub fixed: Option<f64>,
    /// Per candidate.
    pub candidates: Vec<LevelCell>,
}

/// A candidate at a level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelCell {
    /// Its name.
    pub name: String,
    /// Its cost.
    pub cost: Option<f64>,
    /// Its cost over that of the fixed settings.
    pub ratio: Option<Interval>,
}

/// Money per step, in units of what the mean demand's VMs cost, at one operator's price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoneyRow {
    /// The operator's price.
    pub price: f64,
    /// Money of the operator's own setting.
    pub own: f64,
    /// Price of the one setting for all traces that turns out best, in hindsight.
    pub best_fixed_price: f64,
    /// Its money.
    pub best_fixed: f64,
    /// Money of the best setting within the guard for each trace, in hindsight: a bound, no policy.
    pub hindsight: f64,
    /// Per candidate.
    pub candidates: Vec<MoneyCell>,
}

/// A candidate's money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoneyCell {
    /// Its name.
    pub name: String,
    /// Its money.
    pub money: f64,
    /// Share saved of the operator's setting's money.
    pub saved: Option<Interval>,
    /// Share saved of the best fixed setting's money.
    pub saved_of_best_fixed: Option<Interval>,
}

/// What one way to decide leads to on one trace. Shape `[setting]`.
struct Outcomes {
    scores: Vec<Score>,
    parts: Vec<MoneyParts>,
}

/// Compares candidates with the fixed settings of the traces.
///
/// Cost: a pass over each trace per setting and candidate, and `draws` over the traces per number.
///
/// # Errors
/// [`TraceError`] when a candidate has not one count per step.
pub fn compare(
    traces: &[Trace],
    ladder: &Ladder,
    guard: &Guard,
    candidates: &[Candidate],
    draws: &Draws,
) -> Result<Comparison, TraceError> {
    let mut suites: Vec<&str> = Vec::new();
    for trace in traces {
        let suite = trace.demand().suite.as_str();
        if !suites.contains(&suite) {
            suites.push(suite);
        }
    }
    let of_suite = |suite: &str| {
        let members: Vec<usize> = (0..traces.len())
            .filter(|at| traces[*at].demand().suite == suite)
            .collect();
        let fixed = members
            .iter()
            .map(|at| {
                let desired: Vec<Vec<u32>> = (0..ladder.len())
                    .map(|setting| traces[*at].desired(setting))
                    .collect();
                outcomes(&traces[*at], &desired)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let others = candidates
            .iter()
            .map(|candidate| {
                let each = members.iter().map(|at| {
                    let desired = candidate.desired.get(*at).map_or(&[][..], Vec::as_slice);
                    if desired.len() != ladder.len() {
                        let rule = "is not one plan per price".to_owned();
                        let demand = traces[*at].demand();
                        return Err(demand.refuse("desired", desired.len(), rule));
                    }
                    outcomes(&traces[*at], desired)
                });
                each.collect::<Result<Vec<_>, _>>()
            })
            .collect::<Result<Vec<_>, _>>()?;
        let customers: Vec<&str> = members
            .iter()
            .map(|at| traces[*at].demand().customer.as_str())
            .collect();
        let scene = Scene {
            ladder,
            guard,
            draws,
            names: candidates.iter().map(|one| one.name.as_str()).collect(),
            customers,
            fixed,
            others,
        };
        Ok(scene.compared(suite))
    };
    Ok(Comparison {
        suites: suites.into_iter().map(of_suite).collect::<Result<_, _>>()?,
    })
}

fn outcomes(trace: &Trace, desired: &[Vec<u32>]) -> Result<Outcomes, TraceError> {
    Ok(Outcomes {
        scores: desired
            .iter()
            .map(|desired| score(trace.demand(), desired))
            .collect::<Result<_, _>>()?,
        parts: desired
            .iter()
            .map(|desired| parts(trace.demand(), desired))
            .collect(),
    })
}

/// One suite's outcomes. Shape `[trace]`, and `[candidate][trace]`.
struct Scene<'a> {
    ladder: &'a Ladder,
    guard: &'a Guard,
    draws: &'a Draws,
    names: Vec<&'a str>,
    customers: Vec<&'a str>,
    fixed: Vec<Outcomes>,
    others: Vec<Vec<Outcomes>>,
}

impl Scene<'_> {
    fn compared(&self, suite: &str) -> SuiteComparison {
        let times = TIME_LEVELS.map(|level| (Measure::Time, level));
        let demands = DEMAND_LEVELS.map(|level| (Measure::Demand, level));
        SuiteComparison {
            suite: suite.to_owned(),
            traces: self.customers.len(),
            customers: self.customers.iter().collect::<BTreeSet<_>>().len(),
            levels: times
                .into_iter()
                .chain(demands)
                .map(|(measure, level)| self.level(measure, level))
                .collect(),
            money: (0..self.ladder.len())
                .map(|operator| self.money(operator))
                .collect(),
        }
    }

    fn level(&self, measure: Measure, level: f64) -> LevelRow {
        let all: Vec<usize> = (0..self.customers.len()).collect();
        let cell = |(name, outcomes): (&&str, &Vec<Outcomes>)| {
            let ratio = |rows: &[usize]| {
                let cost = level_cost(outcomes, rows, measure, level)?;
                Some(cost / level_cost(&self.fixed, rows, measure, level)?)
            };
            LevelCell {
                name: (*name).to_owned(),
                cost: level_cost(outcomes, &all, measure, level),
                ratio: interval(&self.customers, self.draws, &ratio),
            }
        };
        LevelRow {
            measure,
            level,
            fixed: level_cost(&self.fixed, &all, measure, level),
            candidates: self.names.iter().zip(&self.others).map(cell).collect(),
        }
    }

    fn money(&self, operator: usize) -> MoneyRow {
        let price = self.ladder.price(operator);
        let all: Vec<usize> = (0..self.customers.len()).collect();
        let fixed = |rows: &[usize], setting: usize| mean_money(&self.fixed, rows, setting, price);
        let best = (0..self.ladder.len())
            .min_by(|one, other| fixed(&all, *one).total_cmp(&fixed(&all, *other)))
            .unwrap_or(operator);
        let settings = self.guard.settings(self.ladder, operator);
        let bound = |outcomes: &Outcomes| {
            let allowed = settings.iter().flatten();
            let money = allowed.filter_map(|setting| Some(outcomes.parts.get(*setting)?.at(price)));
            money.fold(f64::INFINITY, f64::min)
        };
        let cell = |(name, outcomes): (&&str, &Vec<Outcomes>)| {
            let saved = |setting: usize| {
                let share = move |rows: &[usize]| {
                    let paid = mean_money(outcomes, rows, operator, price);
                    Some(1.0 - paid / fixed(rows, setting))
                };
                interval(&self.customers, self.draws, &share)
            };
            MoneyCell {
                name: (*name).to_owned(),
                money: mean_money(outcomes, &all, operator, price),
                saved: saved(operator),
                saved_of_best_fixed: saved(best),
            }
        };
        MoneyRow {
            price,
            own: fixed(&all, operator),
            best_fixed_price: self.ladder.price(best),
            best_fixed: fixed(&all, best),
            hindsight: self.fixed.iter().map(bound).sum::<f64>() / (all.len().max(1) as f64),
            candidates: self.names.iter().zip(&self.others).map(cell).collect(),
        }
    }
}

fn mean_money(outcomes: &[Outcomes], rows: &[usize], setting: usize, price: f64) -> f64 {
    mean(rows, |row| {
        outcomes[row]
            .parts
            .get(setting)
            .map_or(f64::NAN, |parts| parts.at(price))
    })
}

fn mean(rows: &[usize], value: impl Fn(usize) -> f64) -> f64 {
    rows.iter().map(|row| value(*row)).sum::<f64>() / (rows.len().max(1) as f64)
}

fn level_cost(outcomes: &[Outcomes], rows: &[usize], measure: Measure, level: f64) -> Option<f64> {
    let settings = outcomes.first()?.scores.len();
    let (mut shares, mut costs) = (Vec::new(), Vec::new());
    for setting in 0..settings {
        shares.push(mean(rows, |row| match measure {
            Measure::Time => outcomes[row].scores[setting].tau_under,
            Measure::Demand => outcomes[row].scores[setting].unserved,
        }));
        costs.push(mean(rows, |row| outcomes[row].scores[setting].cost));
    }
    cost_at(&shares, &costs, level)
}
