use super::*;
use crate::evaluate::evaluate;
use crate::search::{SearchSettings, search};
use proptest::prelude::*;

const TWO_TIERS: &str = include_str!("../../tests/data/two-tiers.json");

fn keeps_rows(linear: &Linear, columns: &[f64]) -> Result<(), String> {
    for row in 0..linear.rows() {
        let terms = linear.row_terms(row).iter();
        let value: f64 = terms.map(|(column, by)| by * columns[*column]).sum();
        let (low, high) = linear.row_bounds(row);
        if value < low - 1e-6 || value > high + 1e-6 {
            return Err(format!("row {row}: {value} outside {low}..{high}"));
        }
    }
    Ok(())
}

proptest! {
    /// An allowed plan keeps all rows of any window around itself, and costs the same in both.
    #[test]
    fn a_plan_fits_the_program_of_its_own_windows(
        seed in 0_u64..40,
        evaluations in 0_u64..4_000,
        from in 0_usize..23,
        length in 1_usize..24,
        tiers in 1_usize..=3,
    ) {
        let problem = Problem::from_json(TWO_TIERS).expect("a problem");
        let settings = SearchSettings { seed, evaluations, threads: 1 };
        let plan = search(&problem, &settings, None, &mut |_, _| true).plan;
        let judged = evaluate(&problem, &plan);
        prop_assume!(judged.feasible());
        let levels: Vec<usize> = judged.levels.iter().map(|level| level.unwrap_or(0)).collect();
        let tiers: Vec<usize> = match tiers { 3 => vec![0, 1], one => vec![one - 1] };
        let from = from % problem.steps;
        let window = (from, (from + length).min(problem.steps));
        let scope = Scope {
            problem: &problem,
            tiers: &tiers,
            window,
            levels: Levels::UpTo(&levels),
            around: Some(&plan),
            limits: None,
        };
        let program = Program::new(&scope);
        let columns = program.read(&problem, &plan, &levels);
        prop_assert_eq!(keeps_rows(&program.linear, &columns), Ok(()));
        let mut written = plan.clone();
        program.write(&columns, &mut written);
        prop_assert_eq!(written, plan);
    }
}
