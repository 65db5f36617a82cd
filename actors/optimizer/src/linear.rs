//! Linear programs, solved by `HiGHS` on one thread.
//!
//! Every column has finite bounds, so that any row of dual values proves a lower bound ([`Linear::proof`])
//! whatever the solver's tolerances are. Under limits of iterations and nodes alone the answer is a
//! function of the program; a limit of time truncates.

use highs::{Col, HighsModelStatus, HighsSolutionStatus, Model, RowProblem, Sense, SolvedModel};
use std::num::NonZeroU32;
use std::time::Duration;

/// Share of a bound of the branch-and-bound that is given up for its tolerances (1e-6 on rows and whole numbers).
const MARGIN: f64 = 2e-6;

/// A minimisation over columns with finite bounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Linear {
    cost: Vec<f64>,
    bounds: Vec<(f64, f64)>,
    whole: Vec<bool>,
    rows: Vec<(f64, f64)>,
    /// Where each row's terms begin; one more than there are rows.
    begins: Vec<usize>,
    terms: Vec<(usize, f64)>,
}

/// How far a solver may go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Effort {
    /// Most nodes of the branch-and-bound.
    pub(crate) nodes: u32,
    /// Most iterations of the simplex method.
    pub(crate) iterations: u32,
    /// System time, where a deadline truncates.
    pub(crate) time: Option<Duration>,
    /// Share of the work that goes into finding plans rather than proofs, 0 to 1.
    pub(crate) heuristics: f64,
}

/// What the relaxation without whole numbers gave.
#[derive(Clone, Debug)]
pub(crate) struct Relaxed {
    /// Values of the columns.
    pub(crate) columns: Vec<f64>,
    /// Dual values of the rows.
    pub(crate) duals: Vec<f64>,
}

/// What the branch-and-bound gave.
#[derive(Clone, Debug)]
pub(crate) struct Branched {
    /// Values of the columns, when any allowed ones were found.
    pub(crate) columns: Option<Vec<f64>>,
    /// Proven lower bound, the tolerances taken off.
    pub(crate) bound: f64,
    /// Whether nothing was left to try.
    pub(crate) finished: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinearError {
    /// No values of the columns keep all rows.
    #[error("no values keep all rows")]
    Infeasible,
    /// The limits were reached first, or the solver gave up.
    #[error("the solver stopped without an answer")]
    Stopped,
}

/// A solved relaxation that takes more rows and goes on from its solution.
#[derive(Debug)]
pub(crate) struct Session {
    columns: Vec<Col>,
    solved: Option<SolvedModel>,
    /// Rows that it has.
    rows: usize,
}

impl Session {
    fn solve(&mut self, model: Model) -> Result<Relaxed, LinearError> {
        let solved = model.try_solve().map_err(|_status| LinearError::Stopped)?;
        match solved.status() {
            HighsModelStatus::Optimal => {
                let solution = solved.get_solution();
                self.solved = Some(solved);
                Ok(Relaxed {
                    columns: solution.columns().to_vec(),
                    duals: solution.dual_rows().to_vec(),
                })
            }
            HighsModelStatus::Infeasible => Err(LinearError::Infeasible),
            _ => Err(LinearError::Stopped),
        }
    }

    /// Solves again with the rows that `linear` has got since.
    ///
    /// # Errors
    /// [`LinearError`] when there is no optimum within the effort; the session has then ended.
    pub(crate) fn again(&mut self, linear: &Linear) -> Result<Relaxed, LinearError> {
        let mut model: Model = self.solved.take().ok_or(LinearError::Stopped)?.into();
        for row in self.rows..linear.rows() {
            let (low, high) = linear.rows[row];
            let terms = linear.row_terms(row).iter();
            let terms = terms.map(|(column, by)| (self.columns[*column], *by));
            model
                .try_add_row(low..=high, terms)
                .map_err(|_status| LinearError::Stopped)?;
        }
        self.rows = linear.rows();
        self.solve(model)
    }
}

impl Linear {
    /// Adds a column; its bounds must be finite.
    pub(crate) fn column(&mut self, cost: f64, bounds: (f64, f64), whole: bool) -> usize {
        debug_assert!(bounds.0.is_finite() && bounds.1.is_finite() && bounds.0 <= bounds.1);
        self.cost.push(cost);
        self.bounds.push(bounds);
        self.whole.push(whole);
        self.cost.len() - 1
    }

    /// Adds a row; either bound may be infinite.
    pub(crate) fn row(&mut self, bounds: (f64, f64), terms: &[(usize, f64)]) -> usize {
        if self.begins.is_empty() {
            self.begins.push(0);
        }
        self.terms.extend_from_slice(terms);
        self.begins.push(self.terms.len());
        self.rows.push(bounds);
        self.rows.len() - 1
    }

    /// Adds to the cost of a column.
    pub(crate) fn charge(&mut self, column: usize, cost: f64) {
        self.cost[column] += cost;
    }

    pub(crate) fn columns(&self) -> usize {
        self.cost.len()
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn cost_of(&self, column: usize) -> f64 {
        self.cost[column]
    }

    #[cfg(test)]
    pub(crate) fn row_bounds(&self, row: usize) -> (f64, f64) {
        self.rows[row]
    }

    pub(crate) fn row_terms(&self, row: usize) -> &[(usize, f64)] {
        &self.terms[self.begins[row]..self.begins[row + 1]]
    }

    /// The cost of values of the columns.
    #[cfg(test)]
    pub(crate) fn value(&self, columns: &[f64]) -> f64 {
        self.cost.iter().zip(columns).map(|(c, x)| c * x).sum()
    }

    fn model(&self, whole: bool, effort: &Effort) -> Option<(Model, Vec<Col>)> {
        let mut program = RowProblem::default();
        let columns: Vec<Col> = self
            .cost
            .iter()
            .zip(&self.bounds)
            .zip(&self.whole)
            .map(|((cost, (low, high)), integral)| {
                program.add_column_with_integrality(*cost, *low..=*high, whole && *integral)
            })
            .collect();
        for (row, (low, high)) in self.rows.iter().enumerate() {
            let terms = self.row_terms(row).iter();
            program.add_row(
                *low..=*high,
                terms.map(|(column, by)| (columns[*column], *by)),
            );
        }
        let mut model = program.try_optimise(Sense::Minimise).ok()?;
        model.make_quiet();
        model.set_threads(NonZeroU32::MIN);
        model.set_option("random_seed", 0);
        let most = |limit: u32| i32::try_from(limit).unwrap_or(i32::MAX);
        model.set_option("simplex_iteration_limit", most(effort.iterations));
        model.set_option("mip_max_nodes", most(effort.nodes));
        model.set_option("mip_heuristic_effort", effort.heuristics);
        model.set_option("mip_rel_gap", 1e-6);
        if let Some(time) = effort.time {
            model.set_option("time_limit", time.as_secs_f64());
        }
        Some((model, columns))
    }

    /// Solves without regard to whole numbers.
    ///
    /// # Errors
    /// [`LinearError`] when there is no optimum within the effort.
    pub(crate) fn relax(&self, effort: &Effort) -> Result<Relaxed, LinearError> {
        Ok(self.relaxing(effort)?.0)
    }

    /// Solves without regard to whole numbers, ready for more rows.
    ///
    /// # Errors
    /// [`LinearError`] when there is no optimum within the effort.
    pub(crate) fn relaxing(&self, effort: &Effort) -> Result<(Relaxed, Session), LinearError> {
        let (mut model, columns) = self.model(false, effort).ok_or(LinearError::Stopped)?;
        // Measured: these programs are solved twice as fast as they are.
        model.set_option("presolve", "off");
        let mut session = Session {
            columns,
            solved: None,
            rows: self.rows(),
        };
        let relaxed = session.solve(model)?;
        Ok((relaxed, session))
    }

    /// Solves by branch-and-bound, from `start` where values are known that keep all rows.
    ///
    /// # Errors
    /// [`LinearError`] when nothing is known at the end, not even a bound.
    pub(crate) fn branch(
        &self,
        effort: &Effort,
        start: Option<&[f64]>,
    ) -> Result<Branched, LinearError> {
        let (mut model, _) = self.model(true, effort).ok_or(LinearError::Stopped)?;
        if let Some(start) = start {
            // A start that is refused only costs the solver its head start.
            let _refused = model.try_set_solution(Some(start), None, None, None);
        }
        let solved = model.try_solve().map_err(|_status| LinearError::Stopped)?;
        let status = solved.status();
        if status == HighsModelStatus::Infeasible {
            return Err(LinearError::Infeasible);
        }
        let bound = solved
            .double_info_value(c"mip_dual_bound")
            .unwrap_or(f64::NEG_INFINITY);
        let found = solved.primal_solution_status() == HighsSolutionStatus::Feasible;
        let columns = found.then(|| solved.get_solution().columns().to_vec());
        if columns.is_none() && !bound.is_finite() {
            return Err(LinearError::Stopped);
        }
        let margin = MARGIN * bound.abs().max(1.0);
        Ok(Branched {
            columns,
            bound: if bound.is_finite() {
                bound - margin
            } else {
                f64::NEG_INFINITY
            },
            finished: status == HighsModelStatus::Optimal,
        })
    }

    /// The lower bound that dual values prove: weak duality, valid for any values.
    pub(crate) fn proof(&self, duals: &[f64]) -> f64 {
        let rows = (0..self.rows.len()).map(|row| self.row_share(row, self.sound(row, duals[row])));
        let reduced = self.reduced_costs(duals);
        let columns = (0..self.cost.len()).map(|column| self.column_share(column, reduced[column]));
        let (sum, size) = rows
            .chain(columns)
            .fold((0.0, 0.0), |(sum, size), part: f64| {
                (sum + part, size + part.abs())
            });
        // Rounding of a sum of so many parts stays below this.
        sum - 1e-11 * size
    }

    /// A dual value of the sign that its row allows.
    pub(crate) fn sound(&self, row: usize, dual: f64) -> f64 {
        let (low, high) = self.rows[row];
        let dual = if low.is_finite() { dual } else { dual.min(0.0) };
        if high.is_finite() {
            dual
        } else {
            dual.max(0.0)
        }
    }

    /// What a row adds to the bound.
    pub(crate) fn row_share(&self, row: usize, dual: f64) -> f64 {
        let (low, high) = self.rows[row];
        match dual {
            dual if dual > 0.0 => dual * low,
            dual if dual < 0.0 => dual * high,
            _ => 0.0,
        }
    }

    /// What a column adds to the bound at a reduced cost.
    pub(crate) fn column_share(&self, column: usize, reduced: f64) -> f64 {
        let (low, high) = self.bounds[column];
        (reduced * low).min(reduced * high)
    }

    /// Costs less what the rows' dual values pay.
    pub(crate) fn reduced_costs(&self, duals: &[f64]) -> Vec<f64> {
        let mut reduced = self.cost.clone();
        for (row, dual) in duals.iter().enumerate() {
            let dual = self.sound(row, *dual);
            for (column, by) in self.row_terms(row) {
                reduced[*column] -= dual * by;
            }
        }
        reduced
    }
}

#[cfg(test)]
mod tests;
