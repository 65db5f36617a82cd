use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn whole_vms_that_cover_a_requirement_keep_its_rounded_row(
        vms in prop::collection::vec((0.05_f64..9.0, 0_u32..12), 1..6),
        spare in 0.0_f64..4.0,
        unit in 0.05_f64..9.0,
        fraction in FRACTION_MIN..1.0,
    ) {
        let cut = Cut { step: 0, resource: 0, unit, fraction };
        let have: f64 = vms.iter().map(|(units, count)| units * f64::from(*count)).sum();
        let required = (have - spare).max(0.0);
        let left: f64 = vms
            .iter()
            .map(|(units, count)| cut.capacity(*units) * f64::from(*count))
            .sum();
        prop_assert!(left >= cut.required(required), "{left} for {required}");
    }
}

#[test]
fn three_halves_need_two_whole_ones() {
    let cut = Cut {
        step: 0,
        resource: 0,
        unit: 1.0,
        fraction: 0.5,
    };
    assert!((cut.required(1.5) - 2.0).abs() < 1e-6);
    assert!((cut.capacity(1.0) - 1.0).abs() < 1e-6);
    assert!((cut.capacity(0.25) - 0.5).abs() < 1e-6);
}
