//! What decisions cost at a price of a miss.
//!
//! The unit is what the VMs that the customer needs on average cost in a step. A missed step costs the
//! price, and each missing VM the price over the mean demand: a step that misses as many VMs as are needed
//! on average costs twice what one does that is barely missed. It is what the planner minimises.

use crate::simulation::{serving, surcharge_s};
use crate::trace::Demand;

/// Money of each step; 0 in steps that were not observed.
pub fn money(demand: &Demand, desired: &[u32], price: f64) -> Vec<f64> {
    let served = serving(desired, demand.initial, demand.start_up_steps);
    let extra = surcharge_s(
        desired,
        demand.initial,
        demand.step_s,
        demand.minimum_bill_s,
    );
    let step_s = f64::from(demand.step_s.max(1));
    desired
        .iter()
        .zip(served)
        .zip(extra)
        .zip(demand.vms.iter().zip(&demand.is_observed))
        .enumerate()
        .map(
            |(step, (((desired, served), extra_s), (needed, is_observed)))| {
                if !is_observed {
                    return 0.0;
                }
                let bill = (f64::from(*desired) + extra_s / step_s) / demand.mean_vms;
                if step < demand.start_up_steps {
                    return bill;
                }
                bill + price * miss(*needed, served, demand.mean_vms)
            },
        )
        .collect()
}

/// How badly a step is missed: 0, or 1 and the missing VMs over the mean demand.
pub fn miss(needed: u32, served: u32, mean_vms: f64) -> f64 {
    if served >= needed {
        return 0.0;
    }
    1.0 + f64::from(needed - served) / mean_vms
}

/// Means over the observed steps of what is paid: the money at a price is `bill + price * miss`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MoneyParts {
    /// VMs.
    pub bill: f64,
    /// Misses, each with its depth.
    pub miss: f64,
}

impl MoneyParts {
    /// What it comes to at a price.
    pub fn at(&self, price: f64) -> f64 {
        self.bill + price * self.miss
    }
}

/// Splits what decisions cost.
pub fn parts(demand: &Demand, desired: &[u32]) -> MoneyParts {
    let observed = demand.is_observed.iter().filter(|is| **is).count();
    let steps = observed.max(1) as f64;
    let total = |price: f64| money(demand, desired, price).iter().sum::<f64>() / steps;
    let bill = total(0.0);
    MoneyParts {
        bill,
        miss: total(1.0) - bill,
    }
}
