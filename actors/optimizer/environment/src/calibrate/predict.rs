//! What a load will do, as far as telemetry tells.

use crate::calibrate::calibrator::OBSERVATIONS_MIN;
use crate::calibrate::estimate::Confidence;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use twinscale_protocol::{RequestClassName, TierName};

use crate::calibrate::observation::ResponseTimes;

/// How far beyond the highest load seen an answer is given.
pub const EXTRAPOLATION_MAX: f64 = 1.3;

/// A load to ask about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Requests per second of each class; none of those that are not named.
    pub rates_per_s: BTreeMap<RequestClassName, f64>,
    /// VMs of each tier; those of the model where absent.
    pub vms: BTreeMap<TierName, f64>,
}

/// What a load does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Utilisation of each tier.
    pub utilisation: BTreeMap<TierName, f64>,
    /// Response times of each class that has a rate.
    pub responses: BTreeMap<RequestClassName, ResponseTimes>,
    /// The least sure of the demands that count for a hundredth or more of the busy cores.
    pub confidence: Confidence,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PredictError {
    /// The load is further beyond all that was seen than an answer would be worth.
    #[error("{asked_per_s:.1} requests/s{} are asked about, and at most {highest_seen_per_s:.1} were seen: an answer is given up to {limit_per_s:.1}", of_class(class.as_ref()))]
    BeyondSeen {
        /// The class whose rate it is; `None` = of all together.
        class: Option<RequestClassName>,
        /// The rate that was asked about.
        asked_per_s: f64,
        /// The highest rate that was seen.
        highest_seen_per_s: f64,
        /// The highest rate that is answered.
        limit_per_s: f64,
    },
    /// Nothing is known yet.
    #[error("{seen} intervals were seen, {OBSERVATIONS_MIN} are needed")]
    TooFew {
        /// How many intervals were seen.
        seen: u64,
    },
    /// No telemetry of a tier's utilisation came.
    #[error("no utilisation of tier {tier} was seen")]
    Unseen {
        /// The tier.
        tier: TierName,
    },
    /// A tier cannot serve it.
    #[error(
        "tier {tier} would have a utilisation of {utilisation:.2}: its queue grows for as long as the load lasts"
    )]
    Overloaded {
        /// The tier.
        tier: TierName,
        /// Its utilisation.
        utilisation: f64,
    },
    /// A class that the stack does not have, or a rate that is no number.
    #[error("{rate_per_s} requests/s of class {class}: not a rate of a class of this stack")]
    NoRate {
        /// The class.
        class: RequestClassName,
        /// The rate.
        rate_per_s: f64,
    },
}

fn of_class(class: Option<&RequestClassName>) -> impl fmt::Display {
    class.map_or_else(String::new, |class| format!(" of class {class}"))
}
