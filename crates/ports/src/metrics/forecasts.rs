//! Counters of `forecast run`.

use super::builder::MetricBuilder;
use prometheus::{IntCounter, IntCounterVec};

/// What became of a scheduled training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingOutcome {
    /// The new version was better and is in use.
    Replaced,
    /// The old version stays: it was better, or the training failed.
    Kept,
}

impl TrainingOutcome {
    const ALL: [Self; 2] = [Self::Replaced, Self::Kept];

    /// The label.
    const fn name(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Kept => "kept",
        }
    }
}

/// Counters of `forecast run`.
pub struct ForecastMetrics {
    made: IntCounter,
    scored: IntCounter,
    refused: IntCounter,
    trainings: IntCounterVec,
}

impl ForecastMetrics {
    pub(super) fn new(make: &MetricBuilder) -> prometheus::Result<Self> {
        let metrics = Self {
            made: make.counter("tapeline_forecasts_made_total", "Forecasts made.")?,
            scored: make
                .counter("tapeline_forecasts_scored_total", "Forecasts compared with their final bars.")?,
            refused: make.counter(
                "tapeline_forecast_bars_refused_total",
                "Bars without a forecast: their series is too short, constant or halted.",
            )?,
            trainings: make.counters(
                "tapeline_forecast_trainings_total",
                "Finished trainings on schedule; outcome: replaced (the new version is in use), kept (the old one).",
                &["outcome"],
            )?,
        };
        for outcome in TrainingOutcome::ALL {
            metrics.trainings.with_label_values(&[outcome.name()]);
        }
        Ok(metrics)
    }

    /// Counts forecasts made and scored, and bars without a forecast.
    pub fn processed(&self, made: u64, scored: u64, refused: u64) {
        self.made.inc_by(made);
        self.scored.inc_by(scored);
        self.refused.inc_by(refused);
    }

    /// Counts a finished training.
    pub fn trained(&self, outcome: TrainingOutcome) {
        self.trainings.with_label_values(&[outcome.name()]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{METRICS, text};
    use crate::telemetry::Telemetry;

    #[test]
    fn counters_exist_from_the_start_and_grow() {
        let before = text(&Telemetry::default()).unwrap();
        for series in ["tapeline_forecasts_made_total", "tapeline_forecast_trainings_total{outcome=\"kept\"}"]
        {
            assert!(before.contains(&format!("{series} 0\n")), "{series}: {before}");
        }
        METRICS.forecasts.processed(9, 6, 1);
        METRICS.forecasts.processed(9, 0, 0);
        METRICS.forecasts.trained(TrainingOutcome::Replaced);
        let after = text(&Telemetry::default()).unwrap();
        for line in [
            "tapeline_forecasts_made_total 18",
            "tapeline_forecasts_scored_total 6",
            "tapeline_forecast_bars_refused_total 1",
            "tapeline_forecast_trainings_total{outcome=\"replaced\"} 1",
            "tapeline_forecast_trainings_total{outcome=\"kept\"} 0",
        ] {
            assert!(after.lines().any(|found| found == line), "{line}: {after}");
        }
    }
}
