//! Least squares and ridge regression by Householder QR, which keeps the digits that normal equations lose.

use crate::ForecastError;
use ndarray::{Array2, ArrayView2};

/// Coefficients of a linear model with an intercept.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Value where all inputs are zero.
    pub intercept: f64,
    /// One coefficient per column.
    pub coefficients: Vec<f64>,
}

impl Linear {
    /// Minimises `sum (y - b0 - X b)^2 + penalty * |b|^2`; the intercept is not penalised, and `penalty` 0 gives
    /// ordinary least squares.
    ///
    /// # Errors
    /// [`ForecastError::TooShort`] for fewer rows than unknowns without a penalty, [`ForecastError::Singular`] for
    /// dependent columns.
    #[allow(clippy::needless_range_loop, reason = "indices of several arrays, as in the formulas")]
    pub fn fit(inputs: &ArrayView2<'_, f64>, targets: &[f64], penalty: f64) -> Result<Self, ForecastError> {
        let (rows, columns) = inputs.dim();
        if rows != targets.len() || rows < 2 || (penalty == 0.0 && rows <= columns) {
            let purpose = format!("a regression on {columns} columns");
            return Err(ForecastError::TooShort {
                purpose,
                needed: columns + 1,
                found: rows.min(targets.len()),
            });
        }
        let means: Vec<f64> = (0..columns).map(|j| inputs.column(j).sum() / rows as f64).collect();
        let target_mean = targets.iter().sum::<f64>() / rows as f64;
        let extra = if penalty > 0.0 { columns } else { 0 };
        let mut matrix = Array2::zeros((columns, rows + extra));
        for j in 0..columns {
            for i in 0..rows {
                matrix[(j, i)] = inputs[(i, j)] - means[j];
            }
            if penalty > 0.0 {
                matrix[(j, rows + j)] = penalty.sqrt();
            }
        }
        let mut right: Vec<f64> = targets.iter().map(|y| y - target_mean).collect();
        right.resize(rows + extra, 0.0);
        let coefficients = least_squares(matrix, &mut right)?;
        let shift: f64 = coefficients.iter().zip(&means).map(|(b, mean)| b * mean).sum();
        Ok(Self { intercept: target_mean - shift, coefficients })
    }

    /// Value for one row of inputs.
    #[must_use]
    pub fn predict(&self, inputs: impl IntoIterator<Item = f64>) -> f64 {
        self.intercept + self.coefficients.iter().zip(inputs).map(|(b, x)| b * x).sum::<f64>()
    }
}

/// Solves `min |A x - y|` where `columns` holds A transposed (each column of A contiguous). Overwrites both.
#[allow(clippy::needless_range_loop, reason = "indices of several arrays, as in the formulas")]
fn least_squares(mut columns: Array2<f64>, right: &mut [f64]) -> Result<Vec<f64>, ForecastError> {
    let (count, rows) = columns.dim();
    let mut diagonal = vec![0.0; count];
    for j in 0..count {
        let norm_before = columns.row(j).iter().map(|x| x * x).sum::<f64>().sqrt();
        let (done, mut rest) = columns.view_mut().split_at(ndarray::Axis(0), j + 1);
        let mut reflector = done.row(j).to_vec();
        let norm = reflector[j..].iter().map(|x| x * x).sum::<f64>().sqrt();
        if norm <= norm_before * 1e-12 || norm == 0.0 {
            return Err(ForecastError::Singular { column: j, columns: count });
        }
        let alpha = if reflector[j] > 0.0 { -norm } else { norm };
        diagonal[j] = alpha;
        reflector[j] -= alpha;
        let square: f64 = reflector[j..].iter().map(|x| x * x).sum();
        let reflect = |values: &mut [f64]| {
            let dot: f64 = values[j..].iter().zip(&reflector[j..]).map(|(a, v)| a * v).sum();
            let factor = 2.0 * dot / square;
            for (value, v) in values[j..rows].iter_mut().zip(&reflector[j..]) {
                *value -= factor * v;
            }
        };
        for mut column in rest.rows_mut() {
            if let Some(values) = column.as_slice_mut() {
                reflect(values);
            }
        }
        reflect(right);
    }
    let mut solution = vec![0.0; count];
    for j in (0..count).rev() {
        let known: f64 = (j + 1..count).map(|k| columns[(k, j)] * solution[k]).sum();
        solution[j] = (right[j] - known) / diagonal[j];
    }
    Ok(solution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn recovers_an_exact_plane_and_refuses_a_dependent_column() {
        let x = array![[1.0, 2.0], [3.0, 1.0], [0.0, 5.0], [2.0, 2.0]];
        let y: Vec<f64> = x.rows().into_iter().map(|row| 3.0 + 2.0 * row[0] - row[1]).collect();
        let fit = Linear::fit(&x.view(), &y, 0.0).unwrap();
        assert!((fit.intercept - 3.0).abs() < 1e-12 && (fit.coefficients[0] - 2.0).abs() < 1e-12);
        assert!((fit.predict([10.0, 1.0]) - 22.0).abs() < 1e-11);
        let dependent = array![[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [5.0, 10.0]];
        let error = Linear::fit(&dependent.view(), &y, 0.0).unwrap_err();
        assert_eq!(error, ForecastError::Singular { column: 1, columns: 2 });
        assert!(Linear::fit(&dependent.view(), &y, 0.1).is_ok());
    }
}
