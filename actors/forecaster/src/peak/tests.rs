use super::*;
use crate::stored::{decode, encode, v2};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const START_S: i64 = 1_600_041_600;
const STEPS: usize = 2;

/// Demand with a day's rhythm, noise that grows with it, and rare bursts; every 97th sample is missing.
fn demand(days: usize, seed: u64) -> Vec<Option<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..days * 24)
        .map(|hour| {
            let wave = 12.0 + 8.0 * (hour as f64 * std::f64::consts::TAU / 24.0).sin();
            let noise: f64 = (0..6).map(|_| rng.random_range(-0.5..0.5)).sum();
            let burst = if rng.random_bool(0.01) { 30.0 } else { 0.0 };
            (hour % 97 != 0).then(|| (wave * (1.0 + 0.1 * noise) + burst).max(0.0))
        })
        .collect()
}

fn series(values: &[Option<f64>]) -> Series {
    Series::new(START_S, 3_600, values).expect("a series")
}

fn learnt(values: &[Option<f64>]) -> PeakModel {
    let series = series(values);
    let mut model = PeakModel::new(&series, STEPS);
    model.learn(&series);
    model
}

#[test]
fn quantiles_are_passed_as_often_as_they_say() {
    let values = demand(400, 1);
    let mut model = learnt(&values[..2_400]);
    let mut passed = [0_u32; PEAK_QUANTILES];
    let mut peaks = 0;
    for end in 2_400..values.len() - STEPS {
        let known = series(&values[..end]);
        model.learn(&known);
        let quantiles = model.forecast(&known).expect("enough was learnt");
        assert!(quantiles.is_sorted() && quantiles[0] >= 0.0);
        let ahead: Option<Vec<f64>> = values[end..end + STEPS].iter().copied().collect();
        let Some(ahead) = ahead else { continue };
        let peak = ahead.into_iter().fold(0.0, f64::max);
        peaks += 1;
        for (count, quantile) in passed.iter_mut().zip(quantiles) {
            *count += u32::from(peak > quantile);
        }
    }
    for (level, count) in PEAK_LEVELS.iter().zip(passed) {
        let share = f64::from(count) / f64::from(peaks);
        let wanted = 1.0 - level;
        // Four standard deviations of a share, and a little for what is still being learnt.
        let slack = 4.0 * (wanted * level / f64::from(peaks)).sqrt() + 0.1 * wanted + 5e-4;
        assert!((share - wanted).abs() < slack, "{level}: {share}");
    }
}

#[test]
fn what_comes_later_changes_nothing() {
    let values = demand(60, 2);
    let known = series(&values[..1_000]);
    let forecast = learnt(&values[..1_000]).forecast(&known);
    let mut other = values.clone();
    for value in &mut other[1_000..] {
        *value = Some(9_999.0);
    }
    // Learnt from the longer series up to the same moment, then asked as of that moment.
    let mut model = PeakModel::new(&known, STEPS);
    model.learn(&series(&other[..1_000]));
    assert_eq!(model.forecast(&known), forecast);
    assert!(forecast.is_some());
}

#[test]
fn step_by_step_through_bytes_or_at_once_is_the_same() {
    let values = demand(40, 3);
    let mut kept = encode(v2::Stored {
        network: None,
        peak: Some(learnt(&values[..600]).store()),
    });
    let mut stepwise = None;
    for end in 601..=values.len() {
        // A window that moves along; the lag of a week is always in it.
        let first = end.saturating_sub(500);
        let start_s = START_S + 3_600 * i64::try_from(first).expect("small");
        let window = Series::new(start_s, 3_600, &values[first..end]).expect("a series");
        let stored = decode(&kept).peak.expect("it was kept");
        let mut model = PeakModel::restore(stored).expect("it is sound");
        assert!(model.fits(&window, STEPS));
        model.learn(&window);
        kept = encode(v2::Stored {
            network: None,
            peak: Some(model.store()),
        });
        stepwise = model.forecast(&window);
    }
    // The first unit is that of the first window.
    let mut at_once = learnt(&values[..600]);
    at_once.learn(&series(&values));
    let at_once = at_once.forecast(&series(&values)).expect("learnt");
    for (one, other) in stepwise.expect("learnt").iter().zip(at_once) {
        // Running sums begin elsewhere, which rounds differently.
        assert!((one - other).abs() < 1e-6 * other.max(1.0), "{one} {other}");
    }
    assert!(kept.len() < 8_192, "{} bytes", kept.len());
}

#[test]
fn demand_that_begins_after_weeks_of_nothing_is_soon_forecast_without_excess() {
    // Nine VMs, now and then ten for some hours.
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let mut more = 0.0;
    let mut busy = |_| {
        if rng.random_bool(if more > 0.0 { 0.2 } else { 0.02 }) {
            more = 1.0 - more;
        }
        Some(9.0 + more)
    };
    let quiet = (0..24 * 60).map(|hour| Some(if hour < 2 { 3.0 } else { 0.0 }));
    let values: Vec<_> = quiet.chain((0..24 * 60).map(&mut busy)).collect();
    let begun = 24 * 60;
    let mut model = learnt(&values[..begun]);
    for day in 5..60 {
        let known = series(&values[..begun + 24 * day]);
        model.learn(&known);
        let quantiles = model.forecast(&known).expect("learnt");
        // Ten and a few of these; beyond that level the beginning itself is what was missed most.
        let most = PEAK_LEVELS.iter().rposition(|level| *level <= 0.995);
        let most = quantiles[most.expect("a level")];
        assert!((9.0..12.5).contains(&most), "day {day}: {quantiles:?}");
    }
}

#[test]
fn little_history_constants_and_other_steps_do_no_harm() {
    let short = demand(3, 4);
    assert_eq!(learnt(&short).forecast(&series(&short)), None);
    for constant in [0.0, 3.0, 1e12] {
        let flat = vec![Some(constant); 600];
        let quantiles = learnt(&flat).forecast(&series(&flat)).expect("learnt");
        for quantile in quantiles {
            assert!(
                (quantile - constant).abs() <= 0.02 * constant + 0.02,
                "{quantiles:?}"
            );
        }
    }
    let values = demand(20, 5);
    let model = learnt(&values);
    assert!(!model.fits(&series(&values), STEPS + 1));
    assert!(!model.fits(&series(&values[..200]), STEPS));
    let later = Series::new(START_S + 3_600 * 5_000, 3_600, &values).expect("a series");
    assert!(!model.fits(&later, STEPS));
}

#[test]
fn what_is_kept_in_another_shape_is_not_taken() {
    let good = learnt(&demand(20, 6)).store();
    assert!(PeakModel::restore(good.clone()).is_some());
    let mut histograms = good.clone();
    histograms.histograms.pop();
    let mut products = good.clone();
    products.centre.products.pop();
    let mut unit = good.clone();
    unit.unit = f64::NAN;
    let mut steps = good;
    steps.steps = 0;
    for broken in [histograms, products, unit, steps] {
        assert_eq!(PeakModel::restore(broken), None);
    }
}

#[test]
fn an_outlook_that_knows_better_is_trusted_and_a_bad_one_is_not() {
    let values = demand(300, 7);
    let seen = 24 * 100;
    let loss = |outlook: &dyn Fn(usize) -> Option<f64>| {
        let mut model = learnt(&values[..seen]);
        let mut loss = 0.0;
        for end in seen + 1..values.len() - STEPS {
            let known = series(&values[..end]);
            model.learn(&known);
            if let Some(centre) = outlook(end) {
                let step = [0.9, 0.93, 0.96, 1.0, 1.04, 1.07, 1.1, 1.2].map(|times| times * centre);
                model.expect(&known, &vec![step; STEPS]);
            }
            let quantiles = model.forecast(&known).expect("enough was learnt");
            let ahead: Option<Vec<f64>> = values[end..end + STEPS].iter().copied().collect();
            let Some(ahead) = ahead else { continue };
            let peak = ahead.into_iter().fold(0.0, f64::max);
            if end > seen + 24 * 60 {
                loss += pinball(peak, quantiles[3], PEAK_LEVELS[3]);
            }
        }
        loss
    };
    let truth = |end: usize| {
        let ahead = &values[end..end + STEPS];
        Some(ahead.iter().flatten().copied().fold(0.0, f64::max))
    };
    let without = loss(&|_end| None);
    assert!(loss(&truth) < 0.3 * without);
    let misled = loss(&|end| Some(if end % 2 == 0 { 1.0 } else { 60.0 }));
    assert!(misled < 1.1 * without, "{misled} {without}");
}
