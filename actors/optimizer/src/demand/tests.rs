use super::*;
use proptest::prelude::*;
use twinscale_protocol::FixedValue;
use twinscale_protocol::QUANTILES;

fn curve(mut values: [f64; QUANTILES]) -> DemandCurve {
    values.sort_by(f64::total_cmp);
    DemandCurve::new(&values.map(FixedValue::from_model))
}

prop_compose! {
    fn curves()(values in prop::array::uniform8(0.0_f64..1000.0)) -> DemandCurve {
        curve(values)
    }
}

#[test]
fn an_exponential_distribution_is_met_exactly() {
    let exponential = |level: f64| -100.0 * (1.0 - level).ln();
    let demand = curve(QUANTILE_LEVELS.map(exponential));
    for level in [0.3, 0.8, 0.97, 0.999, 0.99999] {
        assert!((demand.quantile(level) - exponential(level)).abs() < 1e-4 * exponential(level));
    }
    // E[(D - s)+] = 100 exp(-s / 100).
    for supply in [0.0, 50.0, 460.0, 2000.0] {
        let exact = 100.0 * (-supply / 100.0_f64).exp();
        assert!(
            (demand.excess(supply) - exact).abs() < 1e-4 * exact.max(1e-3),
            "{supply}"
        );
    }
}

#[test]
fn a_certain_demand_has_no_excess_at_itself() {
    let demand = curve([7.0; QUANTILES]);
    assert!((demand.quantile(0.8) - 7.0).abs() < 1e-12);
    assert!(demand.excess(7.0).abs() < 1e-12);
    assert!((demand.excess(4.0) - 3.0).abs() < 1e-12);
    assert!((demand.probability_within(7.0) - 1.0).abs() < 1e-12);
    assert!(demand.probability_within(6.9).abs() < 1e-12);
}

proptest! {
    #[test]
    fn quantiles_rise_and_known_ones_are_kept(demand in curves(), levels in prop::array::uniform2(0.0_f64..0.9999)) {
        let (low, high) = (levels[0].min(levels[1]), levels[0].max(levels[1]));
        prop_assert!(demand.quantile(low) <= demand.quantile(high) + 1e-9);
        for (index, level) in QUANTILE_LEVELS.iter().enumerate() {
            prop_assert!((demand.quantile(*level) - demand.values[index + 1]).abs() < 1e-6);
        }
        let at = demand.quantile(high);
        prop_assert!(demand.probability_within(at) >= high - 1e-6);
    }

    #[test]
    fn the_tail_joins_without_a_jump(demand in curves()) {
        let (before, after) = (demand.quantile(0.99 - 1e-9), demand.quantile(0.99 + 1e-9));
        prop_assert!((after - before).abs() < 1e-3);
        prop_assert!(demand.quantile(0.9999) >= after - 1e-9);
    }

    #[test]
    fn the_excess_is_the_integral_of_what_lies_above(demand in curves(), supply in 0.0_f64..1200.0) {
        // Midpoints in the score, where the integrand is smooth between knots.
        let pieces = 400_000;
        let most = 40.0;
        let width = most / f64::from(pieces);
        let sum: f64 = (0..pieces)
            .map(|piece| (f64::from(piece) + 0.5) * width)
            .map(|score| (demand.quantile(1.0 - (-score).exp()) - supply).max(0.0) * (-score).exp())
            .sum();
        let numeric = sum * width;
        prop_assert!((demand.excess(supply) - numeric).abs() < 1e-3 * numeric.max(1.0));
        prop_assert!(demand.excess(supply) <= demand.excess(supply * 0.9) + 1e-9);
    }
}
