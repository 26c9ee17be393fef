//! Forecast targets: quantities over the next `horizon` bars.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A quantity of the bars after the forecast origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Log return from the close of the origin to the close of the last bar.
    Return,
    /// Sum of the bars' close-to-close variances (a variance: its square root is the volatility).
    Variance,
    /// Log of the highest high over the lowest low.
    Range,
}

impl Target {
    /// All targets.
    pub const ALL: [Self; 3] = [Self::Return, Self::Variance, Self::Range];

    /// Whether the quantity is positive and modelled by its logarithm.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        !matches!(self, Self::Return)
    }

    /// Display name. Variance is shown as its square root, volatility.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Return => "return",
            Self::Variance => "volatility",
            Self::Range => "range",
        }
    }

    /// Displayed value, as a fraction: a variance becomes a volatility.
    #[must_use]
    pub fn shown(self, value: f64) -> f64 {
        match self {
            Self::Variance => value.max(0.0).sqrt(),
            Self::Return | Self::Range => value,
        }
    }
}

/// A target at a horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Task {
    /// The quantity.
    pub target: Target,
    /// Number of bars ahead, at least 1.
    pub horizon: usize,
}

impl Task {
    /// Every target at every horizon.
    #[must_use]
    pub fn all(horizons: &[usize]) -> Vec<Self> {
        let of = |target| horizons.iter().map(move |&horizon| Self { target, horizon });
        Target::ALL.into_iter().flat_map(of).collect()
    }
}

impl fmt::Display for Task {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.horizon == 1 { "" } else { "s" };
        write!(out, "{} over {} bar{plural}", self.target.label(), self.horizon)
    }
}
