use super::*;

const ALL: Effort = Effort {
    nodes: u32::MAX,
    iterations: u32::MAX,
    time: None,
    heuristics: 0.05,
};

/// At least 7 units from packs of 3 at 2 $ and of 5 at 3 $.
fn packs() -> Linear {
    let mut linear = Linear::default();
    let small = linear.column(2.0, (0.0, 9.0), true);
    let large = linear.column(3.0, (0.0, 9.0), true);
    linear.row((7.0, f64::INFINITY), &[(small, 3.0), (large, 5.0)]);
    linear
}

#[test]
fn whole_numbers_cost_more_than_their_relaxation() {
    let linear = packs();
    let relaxed = linear.relax(&ALL).expect("feasible");
    assert!((linear.value(&relaxed.columns) - 4.2).abs() < 1e-9);
    assert!((linear.proof(&relaxed.duals) - 4.2).abs() < 1e-9);
    let branched = linear.branch(&ALL, None).expect("feasible");
    assert!(branched.finished);
    assert!((branched.bound - 5.0).abs() < 1e-4);
    let columns = branched.columns.expect("found");
    assert!(
        (linear.value(&columns) - 5.0).abs() < 1e-9,
        "one pack of each"
    );
}

#[test]
fn any_dual_values_prove_a_bound_below_the_optimum() {
    let linear = packs();
    for dual in [-3.0, 0.0, 0.1, 0.5, 0.6, 0.7, 40.0] {
        assert!(linear.proof(&[dual]) <= 4.2 + 1e-9, "{dual}");
    }
}

#[test]
fn a_program_without_an_answer_says_so() {
    let mut linear = packs();
    linear.row((f64::NEG_INFINITY, 1.0), &[(0, 1.0), (1, 1.0)]);
    assert_eq!(linear.relax(&ALL).err(), Some(LinearError::Infeasible));
    assert_eq!(
        linear.branch(&ALL, None).err(),
        Some(LinearError::Infeasible)
    );
}
