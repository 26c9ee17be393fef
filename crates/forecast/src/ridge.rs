//! Ridge regression on all features. The penalty is the one with the smallest error on the latest fifth of the training
//! rows, fitted on the earlier ones (with as many rows between as the horizon is long).

use crate::linear::Linear;
use crate::scale::{Scaler, decode, encode};
use crate::{Dataset, ForecastError, Task, calibration};
use ndarray::Array2;
use std::ops::Range;

/// Penalties tried, as multiples of the number of rows.
const PENALTIES: [f64; 7] = [1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0];

/// Minimum number of training rows.
pub(crate) const MIN_ROWS: usize = 50;

/// Fitted regression for one task.
#[derive(Debug, Clone, PartialEq)]
pub struct Ridge {
    /// Scales of the features.
    pub scaler: Scaler,
    /// Regression on the scaled features.
    pub linear: Linear,
    /// Correction of the level, see [`calibration::level`].
    pub level: f64,
    /// Penalty chosen, as a multiple of the number of rows.
    pub penalty: f64,
}

impl Ridge {
    /// Fits `task` on `rows`.
    ///
    /// # Errors
    /// As [`Linear::fit`]; [`ForecastError::TooShort`] for fewer than 50 rows.
    pub fn fit(data: &Dataset, task: Task, rows: Range<usize>) -> Result<Self, ForecastError> {
        if rows.len() < MIN_ROWS {
            let purpose = format!("ridge regression of {task}");
            return Err(ForecastError::TooShort { purpose, needed: rows.start + MIN_ROWS, found: rows.end });
        }
        let scaler = Scaler::fit(&data.features, rows.clone());
        let inputs = scaled(data, &scaler, rows.clone());
        let truths: Vec<f64> = rows.clone().filter_map(|t| data.truth(task, t)).collect();
        let targets: Vec<f64> = rows.clone().zip(&truths).map(|(t, y)| encode(data, task, t, *y)).collect();
        let held_out = rows.len() / 5;
        let early = rows.len().saturating_sub(held_out + task.horizon).max(rows.len() / 2);
        let late = rows.len() - held_out;
        let mut best = (f64::INFINITY, PENALTIES[0]);
        for penalty in PENALTIES {
            let part = inputs.slice(ndarray::s![..early, ..]);
            let fit = Linear::fit(&part, &targets[..early], penalty * early as f64)?;
            let error = |row: usize| (fit.predict(inputs.row(row).iter().copied()) - targets[row]).powi(2);
            let loss: f64 = (late..rows.len()).map(error).sum();
            if loss < best.0 {
                best = (loss, penalty);
            }
        }
        let penalty = best.1;
        let linear = Linear::fit(&inputs.view(), &targets, penalty * rows.len() as f64)?;
        let mut ridge = Self { scaler, linear, level: 1.0, penalty };
        let forecasts = ridge.forecast(data, task, rows);
        ridge.level = calibration::level(task, &truths, &forecasts);
        Ok(ridge)
    }

    /// Forecasts for `rows`.
    #[must_use]
    pub fn forecast(&self, data: &Dataset, task: Task, rows: Range<usize>) -> Vec<f64> {
        let inputs = scaled(data, &self.scaler, rows.clone());
        let value = |(row, t): (usize, usize)| {
            let encoded = self.linear.predict(inputs.row(row).iter().copied());
            decode(data, task, t, encoded) * self.level
        };
        rows.enumerate().map(value).collect()
    }
}

fn scaled(data: &Dataset, scaler: &Scaler, rows: Range<usize>) -> Array2<f64> {
    let start = rows.start;
    Array2::from_shape_fn((rows.len(), data.features.ncols()), |(row, column)| {
        scaler.apply(column, data.features[(start + row, column)])
    })
}
