//! What is done with histories that say little or nothing, and with suppositions.

use proptest::prelude::*;
use twinscale_protocol::EventKind;
use twinscale_reaction::drivers::{COMPONENTS, Component, INPUTS, Memory, NORMAL, Span};
use twinscale_reaction::effect::{EFFECT_MAX, LEVELS, LinearEffect, Scale, SharedEffect as _};
use twinscale_reaction::estimate::{Estimate, Prior, estimate};
use twinscale_reaction::history::{History, Observed};
use twinscale_reaction::response::{effects, moved};
use twinscale_reaction::supposed::{Supposed, What, paths};

fn shared() -> LinearEffect {
    let mut weights = [[-0.2; INPUTS]; COMPONENTS];
    weights[2] = [0.5, 0.2, 0.0];
    LinearEffect {
        weights,
        scales: [Scale([0.1, 0.6, 1.0, 1.4, 2.0]); COMPONENTS],
    }
}

fn hourly(demand: Vec<Option<f64>>) -> Observed {
    Observed {
        interval_s: 3_600,
        demand,
        ..Observed::default()
    }
}

fn estimated(observed: Observed) -> Estimate {
    let history = History::new(observed).expect("a history");
    estimate(&history, &shared(), Prior::Shared).expect("linear")
}

#[test]
fn little_or_constant_history_leaves_the_shared_model() {
    let shared = shared();
    let unknown = Estimate::unknown(&shared.scales, 3_600);
    let one_sample = estimated(hourly(vec![Some(5.0)]));
    assert_eq!(one_sample.rows, 0);
    assert_eq!(one_sample.components, unknown.components);
    // A constant price and a constant latency tell nothing, however much of them there is.
    let mut flat = hourly(
        (0..2_000)
            .map(|at| Some(50.0 + f64::from(at * 7 % 13)))
            .collect(),
    );
    flat.latency = vec![Some(3.0); 2_000];
    flat.price = vec![Some(1.3); 2_000];
    let found = estimated(flat);
    assert!(found.rows > 1_000);
    let price = found.components[Component::Price.place()];
    assert_eq!(price.episodes, 0);
    assert!(
        !price.is_learned() && (price.mean - 1.0).abs() < 0.1,
        "{price:?}"
    );
    // Demand itself may be constant, too.
    let constant = estimated(hourly(vec![Some(7.0); 500]));
    for (one, before) in constant.components.iter().zip(&unknown.components) {
        assert!((one.mean - before.mean).abs() < 1e-9 && (one.sd - before.sd).abs() < 1e-9);
    }
}

#[test]
fn without_evidence_the_quantiles_between_customers_are_the_range() {
    let shared = shared();
    let unknown = Estimate::unknown(&shared.scales, 3_600);
    let dear = Supposed {
        what: What::Price(1.1),
        start_s: 0,
        end_s: i64::MAX,
    };
    let (today, then) = paths(&Memory::new(3_600), 1.0, (0, 3_600, 24), &[], &[dear]);
    let found = effects(&shared, &unknown, &today, &then).expect("linear");
    let profile = shared.profiles(&then).expect("linear")[23][4];
    let last = found[23];
    assert!((last[2] - profile).abs() < 1e-12 && profile < 0.0);
    assert!((last[0] - 2.0 * profile).abs() < 1e-12, "{last:?}");
    assert!((last[4] - 0.1 * profile).abs() < 1e-12, "{last:?}");
    let which = moved(&shared, &today, &then).expect("linear");
    assert_eq!(which.len(), 1);
    assert_eq!(which[0].0, Component::Price);
    let same = effects(&shared, &unknown, &today, &today).expect("linear");
    assert_eq!(same, vec![[0.0; LEVELS.len()]; 24]);
    assert_eq!(today, vec![NORMAL; 24]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_observed_effects_are_finite_bounded_and_ascend(
        demand in prop::collection::vec(prop::option::weighted(0.8, 0.0..1e9_f64), 1..400),
        service in prop::collection::vec((0.0..50.0_f64, 0.0..=1.0_f64), 400),
        gaps in prop::collection::vec(any::<bool>(), 400),
        interval_s in prop::sample::select(vec![60_u32, 300, 3_600, 86_400]),
        (price, latency, throttled) in (0.01..20.0_f64, 0.0..100.0_f64, 0.0..=1.0_f64),
    ) {
        let steps = demand.len();
        let gap = |at: usize, value: f64| (!gaps[at]).then_some(value);
        let observed = Observed {
            interval_s,
            latency: (0..steps).map(|at| gap(at, service[at].0)).collect(),
            throttled: (0..steps).map(|at| gap(steps - 1 - at, service[at].1)).collect(),
            price: (0..steps).map(|at| gap(at, if at < steps / 2 { 1.0 } else { price })).collect(),
            events: vec![Span { kind: EventKind::Release, start_s: 7_200, end_s: 20_000 }],
            demand,
            ..Observed::default()
        };
        if let Ok(history) = History::new(observed) {
            let shared = shared();
            let found = estimate(&history, &shared, Prior::Shared).expect("linear");
            for one in &found.components {
                prop_assert!(one.mean.is_finite() && one.sd.is_finite() && one.sd > 0.0, "{one:?}");
            }
            let supposed = [What::Price(price), What::Latency(latency), What::Throttled(throttled)]
                .map(|what| Supposed { what, start_s: 0, end_s: i64::MAX });
            let ahead = (history.time_s(steps), interval_s, 48);
            let (today, then) = paths(&found.drivers, 1.0, ahead, &[], &supposed);
            for step in effects(&shared, &found, &today, &then).expect("linear") {
                prop_assert!(step.iter().all(|one| one.abs() <= EFFECT_MAX), "{step:?}");
                prop_assert!(step.is_sorted(), "{step:?}");
            }
        }
    }
}
