//! A bound as it is reported.

use serde_json::{Value, json};

/// How a share of a bound was proven, from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BoundMethod {
    /// Each step by itself, the best price of one resource.
    Steps,
    /// Linear programs over windows of steps.
    Windows,
    /// A linear program over the whole horizon.
    Relaxation,
    /// Branch-and-bound, stopped by its limits.
    Branches,
    /// Branch-and-bound to its end.
    Optimum,
}

/// The share of a tier.
#[derive(Clone, Debug, PartialEq)]
pub struct TierBound {
    /// Name of the tier.
    pub tier: String,
    /// Least cost of the tier in $, at the prices of the shared limits.
    pub cost: f64,
    /// How it was proven.
    pub method: BoundMethod,
}

/// A proven lower bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// No plan costs less, in $.
    pub cost: f64,
    /// The weakest method that it rests on; `None` for a dynamic program.
    pub method: Option<BoundMethod>,
    /// Whether everything was bounded at once, and not tier by tier.
    pub whole: bool,
    /// The part outside of the tiers: volumes, link, unserved demand, and what the prices of shared
    /// limits and levels give back.
    pub rest: f64,
    /// The tiers.
    pub tiers: Vec<TierBound>,
    /// Whether tiers and levels were priced together by the joint relaxation.
    pub joint: bool,
}

impl BoundMethod {
    /// Names the method.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Windows => "windows of a linear program",
            Self::Relaxation => "linear program",
            Self::Branches => "branch and bound, cut short",
            Self::Optimum => "branch and bound",
        }
    }
}

impl Bound {
    /// The bound of a plan that dynamic programming proved optimal.
    pub(crate) fn exact(cost: f64) -> Self {
        Self {
            cost,
            method: None,
            whole: true,
            rest: cost,
            tiers: Vec::new(),
            joint: false,
        }
    }

    /// The gap of a plan's cost, as a share of it.
    pub fn gap(&self, cost: f64) -> f64 {
        if cost > 0.0 {
            ((cost - self.cost) / cost).max(0.0)
        } else {
            0.0
        }
    }

    /// Writes the bound with the gap of a plan's cost.
    pub fn to_json(&self, cost: f64) -> Value {
        json!({
            "cost": self.cost,
            "gap": self.gap(cost),
            "method": self.method.map_or("dynamic program", BoundMethod::name),
            "whole": self.whole,
            "joint": self.joint,
            "rest": self.rest,
            "tiers": self.tiers.iter().map(|tier| json!({
                "tier": tier.tier,
                "cost": tier.cost,
                "method": tier.method.name(),
            })).collect::<Vec<_>>(),
        })
    }
}
