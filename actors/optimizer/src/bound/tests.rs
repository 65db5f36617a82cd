use super::*;
use crate::evaluate::evaluate;
use crate::search::{SearchSettings, search};

const TWO_TIERS: &str = include_str!("../../tests/data/two-tiers.json");

fn found(problem: &Problem) -> (Plan, f64) {
    let settings = SearchSettings {
        seed: 1,
        evaluations: 60_000,
        threads: 1,
    };
    let outcome = search(problem, &settings, None, &mut |_, _| true);
    assert!(outcome.evaluation.feasible());
    (outcome.plan, outcome.evaluation.cost)
}

fn levels(problem: &Problem, plan: &Plan) -> Vec<usize> {
    let levels = evaluate(problem, plan).levels;
    levels
        .into_iter()
        .map(|level| level.expect("allowed"))
        .collect()
}

#[test]
fn every_stage_stays_below_a_plan_and_above_the_stage_before() {
    for fixed in [false, true] {
        let mut problem = Problem::from_json(TWO_TIERS).expect("a problem");
        if fixed {
            problem.level_min = 3;
            problem.level_max = 3;
        }
        let (plan, cost) = found(&problem);
        let mut prover = Prover::new(&problem);
        let steps = prover.bound();
        prover.relax(&mut || Some(effort(0, 100_000)));
        let relaxed = prover.bound();
        for tier in 0..problem.tiers.len() {
            let levels = levels(&problem, &plan);
            prover.branch(tier, (&plan, &levels), &effort(1_000, 100_000));
        }
        let branched = prover.bound();
        assert!(steps.cost <= relaxed.cost + 1e-9, "{steps:?} {relaxed:?}");
        assert!(
            relaxed.cost <= branched.cost + 1e-9,
            "{relaxed:?} {branched:?}"
        );
        assert!(branched.cost <= cost, "{branched:?} against {cost}");
        assert!(branched.gap(cost) < 0.08, "{branched:?} against {cost}");
    }
}

#[test]
fn branching_on_everything_at_once_proves_the_optimum_of_a_small_problem() {
    let problem = Problem::from_json(TWO_TIERS).expect("a problem");
    let (plan, cost) = found(&problem);
    let mut prover = Prover::new(&problem);
    let from = levels(&problem, &plan);
    prover.branch_whole((&plan, &from), &effort(100_000, 1_000_000));
    let bound = prover.bound();
    assert!(bound.whole, "{bound:?}");
    assert!(bound.cost <= cost, "{bound:?} against {cost}");
    assert!(bound.gap(cost) < 0.02, "{bound:?} against {cost}");
}

#[test]
fn windows_prove_less_than_the_whole_horizon_and_more_than_steps() {
    let mut problem = Problem::from_json(TWO_TIERS).expect("a problem");
    (problem.level_min, problem.level_max) = (3, 3);
    let prover = Prover::new(&problem);
    for tier in 0..problem.tiers.len() {
        let proof = |window| {
            let tiers = [tier];
            let program = Program::new(&prover.scope(&tiers, window));
            let relaxed = program.linear.relax(&effort(0, 100_000)).expect("feasible");
            program.linear.proof(&relaxed.duals)
        };
        let middle = problem.steps / 2;
        let whole = proof((0, problem.steps));
        let halves = proof((0, middle)) + proof((middle, problem.steps));
        assert!(halves <= whole + 1e-9, "{halves} against {whole}");
        assert!(steps_share(&problem, &problem.tiers[tier]) <= halves + 1e-9);
    }
}

#[test]
fn rounded_rows_raise_the_bound_and_every_plan_keeps_them() {
    for fixed in [false, true] {
        let mut problem = Problem::from_json(TWO_TIERS).expect("a problem");
        if fixed {
            (problem.level_min, problem.level_max) = (3, 3);
        }
        let (plan, cost) = found(&problem);
        let levels = levels(&problem, &plan);
        let all: Vec<usize> = (0..problem.tiers.len()).collect();
        let prover = Prover::new(&problem);
        let scope = prover.scope(&all, (0, problem.steps));
        let mut program = Program::new(&scope);
        let rows = program.linear.rows();
        let go_on = &mut || Some(effort(0, 100_000));
        let tight = tightened(&mut program, &scope, (&effort(0, 100_000), 1), go_on);
        let tight = tight.expect("feasible");
        assert!(program.linear.rows() > rows + 4, "{tight:?}");
        let columns = program.read(&problem, &plan, &levels);
        for row in rows..program.linear.rows() {
            let terms = program.linear.row_terms(row).iter();
            let value: f64 = terms.map(|(column, by)| columns[*column] * by).sum();
            assert!(
                value >= program.linear.row_bounds(row).0 - 1e-9,
                "row {row}: {value}"
            );
        }
        let plain = Program::new(&scope).linear.proof(&tight.plain_duals);
        let proof = program.linear.proof(&tight.relaxed.duals);
        assert!(proof > plain + 1e-3, "{proof} against {plain}");
        assert!(proof <= cost, "{proof} against {cost}");
    }
}
