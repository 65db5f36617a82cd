use super::{By, Closed, ClosedLoopError, DemandReaction, MetStep, close};
use crate::flow::class_rates;
use crate::model::{StackModel, read_model};
use crate::scenario::{Dependence, RankPaths};
use crate::simulation::{Load, Options, simulate};

const MODEL: &str = r#"
customer = "acme"
rate_per_s = 40.0
zones = ["a"]

[class.all]
entry = "app"
share = 1.0
sla = { p95_s = 0.6 }

[vm_type.small]
vcpu = 2
memory_gib = 4
price_per_hour_usd = 0.1

[tier.app]
vm = [{ type = "small", count = 3 }]
workers_per_vm = 8
waiting_max = 60
balancer = "least-connections"
demand.all = { mean_s = 0.1 }
"#;

/// Refused requests come again in the next step; a bad mean response drives customers off.
#[derive(Debug)]
struct Law {
    again: f64,
    leave: f64,
}

impl DemandReaction for Law {
    fn factors(&self, met: &[MetStep], _step_s: f64) -> Result<Vec<f64>, String> {
        let answer = |met: &MetStep| {
            (1.0 + self.again * met.throttled) * met.latency.max(1.0).powf(-self.leave)
        };
        let later = met.iter().take(met.len().saturating_sub(1)).map(answer);
        Ok(std::iter::once(1.0).chain(later).take(met.len()).collect())
    }
}

fn model() -> StackModel {
    read_model(MODEL, "here").expect("a model").model
}

fn load(path: &[f64]) -> Load {
    let rates = class_rates(&model()).expect("rates");
    let rates = rates.into_iter();
    Load {
        step_s: 60.0,
        rates: rates
            .map(|(class, rate)| (class, path.iter().map(|by| rate * by).collect()))
            .collect(),
    }
}

fn closed(path: &[f64], law: &Law) -> Closed {
    close(&model(), &load(path), law, By::Formulas).expect("closes")
}

#[test]
fn who_does_not_answer_meets_what_was_met_before() {
    let still = Law {
        again: 0.0,
        leave: 0.0,
    };
    let found = closed(&[1.0, 2.0, 0.5], &still);
    assert_eq!(found.with, found.without);
    assert_eq!(found.factors, vec![1.0; 3]);
    assert_eq!(found.passes, 1);
    // 40 requests of 0.1 s on six cores: two thirds used; twice that is a third too much.
    assert!(found.without[0].throttled.abs() < 1e-12);
    assert!(
        (found.without[1].throttled - 0.25).abs() < 1e-9,
        "{found:?}"
    );
}

#[test]
fn retries_make_an_overload_worse_and_abandonment_better() {
    let path = [1.0, 1.6, 1.6, 1.6, 1.0, 1.0];
    let storm = closed(
        &path,
        &Law {
            again: 0.9,
            leave: 0.0,
        },
    );
    assert!(
        storm.with[3].throttled > storm.without[3].throttled + 0.02,
        "{storm:?}"
    );
    // By hand: step 2 answers to what step 1 met, 1.6 * 2/3 used.
    let used = 1.6 * 2.0 / 3.0;
    assert!((storm.factors[2] - (1.0 + 0.9 * (1.0 - 1.0 / used))).abs() < 1e-9);
    let calm = closed(
        &path,
        &Law {
            again: 0.0,
            leave: 0.3,
        },
    );
    // Step 3 answers to a calm step 2 with all who stayed away: the law remembers one step.
    assert!(
        calm.with[2].throttled < calm.without[2].throttled,
        "{calm:?}"
    );
    // The step after the overload still answers to it, the first one to nothing.
    assert!(storm.factors[4] > 1.0 && (storm.factors[0] - 1.0).abs() < 1e-12);
    assert!((storm.factors[5] - 1.0).abs() < 0.2);
}

#[test]
fn discrete_events_agree_with_formulas_on_who_answers_and_how() {
    let path = [1.0, 1.7, 1.7, 1.0, 1.0];
    let options = Options {
        seed: 1,
        threads: 2,
        replications: 8,
        warm_up_s: 0.0,
        stop: None,
    };
    let law = Law {
        again: 0.8,
        leave: 0.0,
    };
    let by_events = close(&model(), &load(&path), &law, By::Events(&options, &[])).expect("closes");
    let again = close(&model(), &load(&path), &law, By::Events(&options, &[])).expect("closes");
    assert_eq!(by_events, again);
    let by_formulas = closed(&path, &law);
    for step in 0..path.len() {
        let (events, formulas) = (by_events.factors[step], by_formulas.factors[step]);
        assert!(
            (events - formulas).abs() < 0.2,
            "step {step}: {events} and {formulas}"
        );
    }
    // What is met without a reaction is what a plain simulation finds.
    let plain = simulate(&model(), &load(&path), &[], &options, &|_| true).expect("simulates");
    let failed = plain.classes[0].steps[2].failed;
    assert!((by_events.without[2].throttled - failed).abs() < 1e-12);
    assert!(by_events.with[2].throttled > failed, "{by_events:?}");
}

#[test]
fn sample_paths_of_a_forecast_can_be_closed() {
    let paths = RankPaths::draw(&Dependence::none(1).expect("one series"), 8, 24, 1);
    let paths = paths.expect("paths");
    let law = Law {
        again: 0.9,
        leave: 0.0,
    };
    let mut worse = 0;
    for path in 0..paths.paths() {
        let ranks = paths.ranks(path, 0).iter();
        let demand: Vec<f64> = ranks.map(|rank| 0.5 + 1.5 * rank).collect();
        let found = closed(&demand, &law);
        for (with, without) in found.with.iter().zip(&found.without) {
            // Who comes again takes nobody's place: no step is better.
            assert!(with.throttled >= without.throttled - 1e-9, "{found:?}");
            worse += u32::from(with.throttled > without.throttled + 1e-9);
        }
        assert!(found.passes <= 25);
    }
    assert!(worse > 0);
}

#[test]
fn answers_that_are_none_are_named() {
    #[derive(Debug)]
    struct Broken(Result<f64, String>);
    impl DemandReaction for Broken {
        fn factors(&self, met: &[MetStep], _step_s: f64) -> Result<Vec<f64>, String> {
            self.0.clone().map(|factor| vec![factor; met.len()])
        }
    }
    let told = |broken: Broken| {
        let found = close(&model(), &load(&[1.0, 1.0]), &broken, By::Formulas);
        found.expect_err("broken").to_string()
    };
    assert!(told(Broken(Err("no weights".to_owned()))).contains("no weights"));
    assert!(told(Broken(Ok(f64::NAN))).contains("NaN"));
    assert!(told(Broken(Ok(1e9))).contains("1000000000"));
    let long = load(&vec![1.0; 3_000]);
    let found = close(
        &model(),
        &long,
        &Law {
            again: 0.0,
            leave: 0.0,
        },
        By::Formulas,
    );
    assert_eq!(found, Err(ClosedLoopError::TooLong { steps: 3_000 }));
}

/// Says that all steps' demand depends on the last one.
#[test]
fn a_reaction_to_later_steps_is_refused() {
    #[derive(Debug)]
    struct Backwards;
    impl DemandReaction for Backwards {
        fn factors(&self, met: &[MetStep], _step_s: f64) -> Result<Vec<f64>, String> {
            let last = met.last().map_or(0.0, |met| met.throttled);
            Ok(vec![if last > 0.1 { 0.5 } else { 2.0 }; met.len()])
        }
    }
    let found = close(&model(), &load(&[1.0; 4]), &Backwards, By::Formulas);
    assert!(
        matches!(found, Err(ClosedLoopError::Reaction { .. })),
        "{found:?}"
    );
}
