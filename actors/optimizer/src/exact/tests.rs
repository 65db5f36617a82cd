use super::*;
use proptest::prelude::*;

/// Least cost over all rows of counts, with the rules spelled out anew.
fn by_force(task: &ExactTask, most: u32) -> Option<f64> {
    let steps = task.unserved.len();
    let base = (most + 1) as usize;
    let rows = base.pow(u32::try_from(steps).expect("few"));
    let costs = (0..rows).filter_map(|code| {
        let mut code = code;
        let mut counts = Vec::new();
        for _ in 0..steps {
            counts.push(u32::try_from(code % base).expect("small"));
            code /= base;
        }
        price(task, &counts)
    });
    costs.min_by(f64::total_cmp)
}

fn price(task: &ExactTask, counts: &[u32]) -> Option<f64> {
    let mut starts = Vec::new();
    let (mut previous, mut cost) = (task.initial, 0.0);
    for (step, on) in counts.iter().copied().enumerate() {
        let started = on.saturating_sub(previous);
        let stopped = previous.saturating_sub(on);
        starts.push(started);
        let recent = |window: usize| -> u32 { starts.iter().rev().take(window).sum() };
        let allowed = started <= task.starts_max
            && stopped <= task.stops_max
            && on <= task.vms_max
            && on >= recent(task.min_up_steps);
        if !allowed {
            return None;
        }
        let serving = on - recent(task.delay_steps);
        let row = &task.unserved[step];
        let unserved = row
            .get(serving as usize)
            .or(row.last())
            .copied()
            .unwrap_or(0.0);
        cost += task.step_price * f64::from(on) + task.start_price * f64::from(started) + unserved;
        previous = on;
    }
    cost.is_finite().then_some(cost)
}

prop_compose! {
    fn tasks()(
        needs in prop::collection::vec((0_u32..4, 0.0_f64..6.0), 1..6),
        prices in (0.1_f64..2.0, 0.0_f64..2.0),
        initial in 0_u32..4,
        limits in (1_u32..4, 1_u32..4, 2_u32..5),
        lags in (0_usize..3, 1_usize..4),
        hard in any::<bool>(),
    ) -> ExactTask {
        let row = |(need, price): &(u32, f64)| -> Vec<f64> {
            (0..=*need)
                .map(|count| {
                    let missing = f64::from(need - count);
                    if hard && missing > 1.0 { f64::INFINITY } else { missing * price }
                })
                .collect()
        };
        ExactTask {
            step_price: prices.0,
            start_price: prices.1,
            unserved: needs.iter().map(row).collect(),
            initial,
            vms_max: limits.2,
            delay_steps: lags.0,
            min_up_steps: lags.1.max(lags.0),
            starts_max: limits.0,
            stops_max: limits.1,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn nothing_is_cheaper_than_the_exact_plan(task in tasks()) {
        let most = task.vms_max.max(task.initial);
        match (solve(&task), by_force(&task, most)) {
            (Ok(plan), Some(best)) => {
                prop_assert!((plan.cost - best).abs() < 1e-9, "{} against {best}", plan.cost);
                let priced = price(&task, &plan.counts).expect("the plan keeps the rules");
                prop_assert!((priced - plan.cost).abs() < 1e-9);
            }
            (Err(ExactError::Infeasible { .. }), None) => {}
            (found, best) => prop_assert!(false, "{found:?} against {best:?}"),
        }
    }
}

#[test]
fn a_long_start_up_with_many_counts_is_left_to_the_search() {
    let task = ExactTask {
        step_price: 1.0,
        start_price: 0.1,
        unserved: vec![(0..400).map(f64::from).rev().collect(); 40],
        initial: 0,
        vms_max: 400,
        delay_steps: 6,
        min_up_steps: 8,
        starts_max: 400,
        stops_max: 400,
    };
    assert_eq!(solve(&task), Err(ExactError::TooLarge));
}
