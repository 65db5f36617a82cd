use super::*;
use proptest::prelude::*;

const TWO_TIERS: &str = include_str!("../../tests/data/two-tiers.json");

fn short(required: &[f64], hold: usize, first_change: usize) -> Problem {
    let mut problem = Problem::from_json(TWO_TIERS).expect("a valid problem");
    problem.tiers.clear();
    problem.volumes.clear();
    problem.steps = required.len();
    problem.levels = vec![0.5];
    (problem.level_min, problem.level_max) = (0, 0);
    let link = problem.link.as_mut().expect("has a link");
    link.options = vec![(10.0, 1.0), (20.0, 1.6), (30.0, 2.9)];
    link.required_mbps = required.to_vec();
    (link.hold_steps, link.first_change, link.initial_option) = (hold, first_change, 1);
    problem
}

/// Least cost over all rows of options that keep the rules.
fn by_force(problem: &Problem) -> Option<f64> {
    let link = problem.link.as_ref().expect("has a link");
    let steps = problem.steps;
    let rows = 3_usize.pow(u32::try_from(steps).expect("few"));
    let costs = (0..rows).filter_map(|code| {
        let mut code = code;
        let (mut previous, mut last_change, mut cost) = (link.initial_option as usize, None, 0.0);
        for step in 0..steps {
            let option = code % 3;
            code /= 3;
            if option != previous {
                let soon = last_change.is_some_and(|last| step - last < link.hold_steps);
                if soon || step < link.first_change {
                    return None;
                }
                last_change = Some(step);
            }
            if link.options[option].0 < link.required_mbps[step] {
                return None;
            }
            cost += link.options[option].1;
            previous = option;
        }
        Some(cost)
    });
    costs.min_by(f64::total_cmp)
}

proptest! {
    #[test]
    fn the_link_is_as_cheap_as_the_best_of_all_rows(
        required in prop::collection::vec(0.0_f64..32.0, 1..8),
        hold in 0_usize..4,
        first_change in 0_usize..3,
    ) {
        let problem = short(&required, hold, first_change);
        let mut plan = Plan::unchanged(&problem);
        let levels = vec![0; problem.steps];
        let settled = settle(&problem, &levels, &mut plan);
        match by_force(&problem) {
            None => prop_assert_eq!(settled, Err(Unsettled::Link)),
            Some(best) => {
                prop_assert_eq!(settled, Ok(()));
                let link = problem.link.as_ref().expect("has a link");
                let chosen = plan.link_option.iter().map(|option| link.options[*option as usize].1);
                prop_assert!((chosen.sum::<f64>() - best).abs() < 1e-9);
                prop_assert!(crate::evaluate::evaluate(&problem, &plan).violations.iter().all(
                    |violation| violation.rule != crate::evaluate::Rule::LinkHold
                ));
            }
        }
    }
}

#[test]
fn a_volume_grows_once_for_all_that_is_coming() {
    let mut problem = Problem::from_json(TWO_TIERS).expect("a valid problem");
    let levels = vec![4; problem.steps];
    let mut plan = Plan::unchanged(&problem);
    settle(&problem, &levels, &mut plan).expect("can be settled");
    let changes = |blocks: &[u32]| blocks.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes(&plan.blocks[0]) <= problem.steps / 3);
    assert!(plan.blocks[0].windows(2).all(|pair| pair[0] <= pair[1]));
    problem.volumes[0].blocks_max = 2;
    assert_eq!(
        settle(&problem, &levels, &mut plan),
        Err(Unsettled::Volume(0))
    );
}
