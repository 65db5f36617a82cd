//! What was expected of steps that are over: kept here, since a twin keeps its newest forecast only.

use crate::service::api::{RangeView, StepsReply, TierStepsView};
use std::collections::BTreeMap;

/// Steps that are kept of a tier: more than the widest terminal shows.
const STEPS_MAX: usize = 512;

/// Forecast and supply of steps, by customer, tier and time.
#[derive(Clone, Debug)]
pub struct Memory {
    twins_max: usize,
    twins: BTreeMap<String, BTreeMap<String, BTreeMap<i64, StepMemory>>>,
}

/// What was known when a step ran.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepMemory {
    /// Demand that was expected.
    pub forecast: Option<RangeView>,
    /// Demand that could be served.
    pub supply: Option<f64>,
}

impl Memory {
    /// Makes a memory of so many twins at the most.
    #[must_use]
    pub fn of_twins(twins_max: usize) -> Self {
        Self {
            twins_max: twins_max.max(1),
            twins: BTreeMap::new(),
        }
    }

    /// Keeps what is known of a step that runs.
    pub fn note(&mut self, customer: &str, tier: &str, at: i64, known: StepMemory) {
        if !self.twins.contains_key(customer) && self.twins.len() >= self.twins_max {
            // Which one goes matters little: it fills again when it is chosen again.
            self.twins.pop_first();
        }
        let tiers = self.twins.entry(customer.to_owned()).or_default();
        let steps = tiers.entry(tier.to_owned()).or_default();
        steps.insert(at, known);
        while steps.len() > STEPS_MAX {
            steps.pop_first();
        }
    }

    /// Adds what is kept to the steps of a twin that are over.
    pub fn complete(&self, reply: &mut StepsReply) {
        let Some(tiers) = self.twins.get(&reply.customer) else {
            return;
        };
        for tier in &mut reply.tiers {
            if let Some(steps) = tiers.get(&tier.tier) {
                complete_tier(steps, tier);
            }
        }
    }
}

fn complete_tier(steps: &BTreeMap<i64, StepMemory>, tier: &mut TierStepsView) {
    for step in &mut tier.past {
        if let Some(known) = steps.get(&step.at) {
            step.forecast = step.forecast.or(known.forecast);
            step.supply = step.supply.or(known.supply);
        }
    }
}
