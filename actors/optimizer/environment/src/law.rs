//! Laws of times: of service, of gaps between arrivals, of thinking.

use crate::analytic::AnalyticError;

/// Law of a positive time.
#[derive(Clone, Debug, PartialEq)]
pub enum Law {
    /// Exponential.
    Exponential {
        /// Mean in seconds.
        mean: f64,
    },
    /// Always the same time.
    Deterministic {
        /// The time in seconds.
        mean: f64,
    },
    /// Lognormal.
    Lognormal {
        /// Mean in seconds.
        mean: f64,
        /// Squared coefficient of variation.
        scv: f64,
    },
    /// Mixture of exponentials.
    Hyperexponential {
        /// Probability and mean in seconds of each branch; probabilities sum to one.
        branches: Vec<(f64, f64)>,
    },
    /// Sum of equal exponential phases.
    Erlang {
        /// Phases.
        phases: u32,
        /// Mean of the sum in seconds.
        mean: f64,
    },
    /// Gamma.
    Gamma {
        /// Mean in seconds.
        mean: f64,
        /// Squared coefficient of variation: one over the shape.
        scv: f64,
    },
}

impl Law {
    /// Makes a hyperexponential law of two branches with balanced means: each branch contributes half of
    /// the mean.
    ///
    /// # Errors
    /// When the mean is not positive or `scv` is less than one.
    pub fn balanced(mean: f64, scv: f64) -> Result<Self, AnalyticError> {
        if !(scv >= 1.0 && scv.is_finite()) {
            return Err(AnalyticError::parameter(
                "scv",
                scv,
                "at least 1 for a hyperexponential law",
            ));
        }
        let share = f64::midpoint(1.0, ((scv - 1.0) / (scv + 1.0)).sqrt());
        let branches = vec![
            (share, mean / (2.0 * share)),
            (1.0 - share, mean / (2.0 * (1.0 - share))),
        ];
        Self::Hyperexponential { branches }.checked("mean")
    }

    /// The balanced hyperexponential law of mean 1; below a variation of 1 there is none, and at 1 it is exponential.
    pub(crate) fn balanced_or_exponential(scv: f64) -> Self {
        Self::balanced(1.0, scv.max(1.0)).unwrap_or(Self::Exponential { mean: 1.0 })
    }

    /// Returns the law when its parameters make sense; `name` is what the error calls it.
    ///
    /// # Errors
    /// When a time is not positive and finite, or a probability or variation is out of range.
    pub fn checked(self, name: &str) -> Result<Self, AnalyticError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let bad = |value: f64, rule| Err(AnalyticError::parameter(name, value, rule));
        match &self {
            Self::Exponential { mean } | Self::Deterministic { mean } if !positive(*mean) => {
                bad(*mean, "a positive finite mean")
            }
            Self::Erlang { mean, .. } | Self::Lognormal { mean, .. } | Self::Gamma { mean, .. }
                if !positive(*mean) =>
            {
                bad(*mean, "a positive finite mean")
            }
            Self::Erlang { phases: 0, .. } => bad(0.0, "at least one phase"),
            Self::Lognormal { scv, .. } | Self::Gamma { scv, .. } if !positive(*scv) => {
                bad(*scv, "a positive finite squared coefficient of variation")
            }
            Self::Hyperexponential { branches } => {
                let total: f64 = branches.iter().map(|(share, _)| share).sum();
                if let Some((_, mean)) = branches.iter().find(|(_, mean)| !positive(*mean)) {
                    return bad(*mean, "positive finite means of the branches");
                }
                if let Some((share, _)) = branches
                    .iter()
                    .find(|(share, _)| !(0.0..=1.0).contains(share))
                {
                    return bad(*share, "probabilities between 0 and 1");
                }
                if (total - 1.0).abs() > 1e-9 {
                    return bad(total, "probabilities that sum to 1");
                }
                Ok(self)
            }
            _ => Ok(self),
        }
    }

    /// Mean in seconds.
    pub fn mean(&self) -> f64 {
        match self {
            Self::Exponential { mean }
            | Self::Deterministic { mean }
            | Self::Lognormal { mean, .. }
            | Self::Erlang { mean, .. }
            | Self::Gamma { mean, .. } => *mean,
            Self::Hyperexponential { branches } => {
                branches.iter().map(|(share, mean)| share * mean).sum()
            }
        }
    }

    /// Squared coefficient of variation: variance over squared mean.
    pub fn scv(&self) -> f64 {
        match self {
            Self::Exponential { .. } => 1.0,
            Self::Deterministic { .. } => 0.0,
            Self::Lognormal { scv, .. } | Self::Gamma { scv, .. } => *scv,
            Self::Erlang { phases, .. } => 1.0 / f64::from(*phases),
            Self::Hyperexponential { branches } => {
                let second: f64 = branches
                    .iter()
                    .map(|(share, mean)| 2.0 * share * mean * mean)
                    .sum();
                second / self.mean().powi(2) - 1.0
            }
        }
    }

    /// Mean square in seconds squared.
    pub fn second_moment(&self) -> f64 {
        (1.0 + self.scv()) * self.mean().powi(2)
    }

    /// Returns the law whose times are `factor` times as long.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let mut law = self.clone();
        match &mut law {
            Self::Exponential { mean }
            | Self::Deterministic { mean }
            | Self::Lognormal { mean, .. }
            | Self::Erlang { mean, .. }
            | Self::Gamma { mean, .. } => *mean *= factor,
            Self::Hyperexponential { branches } => {
                for (_, mean) in branches {
                    *mean *= factor;
                }
            }
        }
        law
    }
}
