//! Why no flow can be computed.

use twinscale_protocol::{RequestClassName, TierName};

/// Why the flow through a stack cannot be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FlowError {
    /// Tiers call each other in a circle.
    #[error("the calls go in a circle: {}", circle(tiers))]
    Cycle {
        /// The tiers of one circle, each calling the next and the last the first.
        tiers: Vec<TierName>,
    },
    /// A tier is named that the stack does not have.
    #[error("{place} names tier {tier}, which the stack does not have")]
    UnknownTier {
        /// Where it is named.
        place: String,
        /// The name.
        tier: TierName,
    },
    /// A class has neither a rate nor a share of one.
    #[error(
        "class {class} has no rate: state its rate_per_s, or its share and the stack's rate_per_s"
    )]
    NoRate {
        /// The class.
        class: RequestClassName,
    },
    /// Requests multiply beyond what any stack does.
    #[error(
        "a request of class {class} comes to tier {tier} more than {} times: check per_request on the way",
        super::VISITS_MAX
    )]
    TooManyVisits {
        /// The class.
        class: RequestClassName,
        /// The tier.
        tier: TierName,
    },
}

fn circle(tiers: &[TierName]) -> String {
    let mut names: Vec<&str> = tiers.iter().map(TierName::as_str).collect();
    names.extend(tiers.first().map(TierName::as_str));
    names.join(" -> ")
}
