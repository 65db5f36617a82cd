//! What comes to a stack, and what its allocation does meanwhile.

use super::draws::{Purpose, child, stream};
use crate::events::sample::Sampler;
use crate::events::streams::Generator;
use twinscale_protocol::{RequestClassName, TierName, VmTypeId};

/// Requests per second of each class, over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Length of a step, in seconds.
    pub step_s: f64,
    /// Requests per second. Shape: `[class][step]`; classes that are left out send nothing.
    pub rates: Vec<(RequestClassName, Vec<f64>)>,
}

impl Load {
    /// The same rates for some time.
    pub fn steady(rates: Vec<(RequestClassName, f64)>, seconds: f64) -> Self {
        let rates = rates.into_iter().map(|(class, rate)| (class, vec![rate]));
        Self {
            step_s: seconds,
            rates: rates.collect(),
        }
    }

    /// How many steps there are.
    pub fn steps(&self) -> usize {
        let steps = self.rates.iter().map(|(_, rates)| rates.len());
        steps.max().unwrap_or(0)
    }

    /// How long it lasts, in seconds.
    pub fn seconds(&self) -> f64 {
        self.step_s * self.steps() as f64
    }
}

/// At some time a tier has another number of VMs of a type.
#[derive(Clone, Debug, PartialEq)]
pub struct AllocationChange {
    /// When it is asked for, in seconds from the start. New VMs serve a start-up time later; those that
    /// go take no new requests from then on.
    pub at_s: f64,
    /// The tier.
    pub tier: TierName,
    /// The VM type, which the tier must name in the model, if only with a count of 0.
    pub vm_type: VmTypeId,
    /// How many VMs of the type the tier has from then on.
    pub count: u32,
}

/// Arrivals of one class: a renewal process in operational time, bent to the rates.
///
/// Two loads with the same seed meet the same draws: the later load is the earlier one, faster or slower.
#[derive(Clone, Debug)]
pub struct Arrivals {
    gaps: Sampler,
    rng: Generator,
    step_s: f64,
    rates: Vec<f64>,
    step: usize,
    /// Time of the newest arrival.
    at: f64,
}

impl Arrivals {
    /// Makes the arrivals of one class: `gaps` has mean 1, `rates` holds requests per second by step, `class` is the
    /// place of the class in the model.
    pub fn new(gaps: Sampler, rates: Vec<f64>, step_s: f64, seed: u64, class: usize) -> Self {
        Self {
            gaps,
            rng: stream(child(seed, class as u64), Purpose::Arrival),
            step_s,
            rates,
            step: 0,
            at: 0.0,
        }
    }
}

impl Iterator for Arrivals {
    type Item = f64;

    /// Time of the next arrival; `None` when none comes before the end of the load.
    fn next(&mut self) -> Option<f64> {
        let mut gap = self.gaps.draw(&mut self.rng);
        while let Some(rate) = self.rates.get(self.step) {
            let end = (self.step + 1) as f64 * self.step_s;
            let holds = rate * (end - self.at);
            if gap < holds {
                self.at += gap / rate;
                return Some(self.at);
            }
            gap -= holds;
            self.at = end;
            self.step += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Arrivals;
    use crate::events::sample::Sampler;

    fn times(rates: Vec<f64>) -> Vec<f64> {
        Arrivals::new(Sampler::Exponential(1.0), rates, 100.0, 9, 0).collect()
    }

    #[test]
    fn each_step_has_its_rate_and_the_last_one_ends() {
        let times = times(vec![5.0, 0.0, 50.0]);
        let within = |from: f64| {
            times
                .iter()
                .filter(|t| **t >= from && **t < from + 100.0)
                .count()
        };
        assert!((400..600).contains(&within(0.0)), "{}", within(0.0));
        assert_eq!(within(100.0), 0);
        assert!((4_700..5_300).contains(&within(200.0)), "{}", within(200.0));
        assert!(times.iter().all(|time| *time < 300.0));
    }

    #[test]
    fn another_rate_bends_the_same_arrivals() {
        let (slow, fast) = (times(vec![2.0]), times(vec![4.0]));
        assert!(fast.len() > slow.len());
        for (slow, fast) in slow.iter().zip(&fast) {
            assert!((slow - 2.0 * fast).abs() < 1e-9);
        }
    }
}
