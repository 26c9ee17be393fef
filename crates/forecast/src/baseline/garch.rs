//! GARCH(1,1) with a constant mean (Bollerslev, 1986), fitted by maximum likelihood under normal innovations.

use crate::{ForecastError, simplex};

/// Minimum number of returns for a fit.
const MIN_RETURNS: usize = 100;

/// `variance[t+1] = omega + alpha * (return[t] - mean)^2 + beta * variance[t]`, in units of the returns given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Garch {
    /// Mean return.
    pub mean: f64,
    /// Constant term.
    pub omega: f64,
    /// Weight of the last squared residual.
    pub alpha: f64,
    /// Weight of the last variance.
    pub beta: f64,
    /// Variance before the first return.
    pub initial: f64,
    /// Log likelihood of the training returns.
    pub log_likelihood: f64,
}

impl Garch {
    /// Fits `returns`.
    ///
    /// # Errors
    /// [`ForecastError::TooShort`] for fewer than 100 returns, [`ForecastError::Constant`] if all are equal.
    pub fn fit(returns: &[f64]) -> Result<Self, ForecastError> {
        let found = returns.len();
        if found < MIN_RETURNS {
            let purpose = String::from("GARCH(1,1)");
            return Err(ForecastError::TooShort { purpose, needed: MIN_RETURNS, found });
        }
        let mean = returns.iter().sum::<f64>() / found as f64;
        let variance = returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / found as f64;
        let deviation = variance.sqrt();
        if deviation <= 1e-12 {
            return Err(ForecastError::Constant { bars: found, price: mean });
        }
        // Fitted in standard deviations, so that steps and tolerances fit every symbol and interval.
        let scaled: Vec<f64> = returns.iter().map(|r| r / deviation).collect();
        // Fixed at the sample mean, as in the Python package arch: it must not move with the parameters.
        let initial = backcast(&scaled, mean / deviation);
        let cost =
            |point: &[f64]| decode(point, &scaled, initial).map_or(f64::INFINITY, |g| -g.log_likelihood);
        let mut best: Option<(Vec<f64>, f64)> = None;
        for (alpha, beta) in [(0.05, 0.9), (0.1, 0.8), (0.2, 0.5)] {
            let start = [mean / deviation, f64::ln(1.0 - alpha - beta), alpha, beta];
            let found = simplex::minimise(cost, &start, &[0.02, 0.3, 0.03, -0.05], 1500, 1e-12);
            // A fresh simplex at the optimum leaves a collapsed one behind.
            let found = simplex::minimise(cost, &found.0, &[0.01, 0.1, 0.01, -0.01], 1500, 1e-13);
            if best.as_ref().is_none_or(|best| found.1 < best.1) {
                best = Some(found);
            }
        }
        let fitted = best.and_then(|(point, _)| decode(&point, &scaled, initial));
        let Some(fit) = fitted else {
            return Err(ForecastError::Constant { bars: found, price: mean });
        };
        Ok(Self {
            mean: fit.mean * deviation,
            omega: fit.omega * variance,
            initial: fit.initial * variance,
            log_likelihood: fit.log_likelihood - found as f64 * deviation.ln(),
            ..fit
        })
    }

    /// Variance of the return after each of `returns`, one step ahead.
    #[must_use]
    pub fn filter(&self, returns: &[f64]) -> Vec<f64> {
        let mut variance = self.omega + (self.alpha + self.beta) * self.initial;
        let mut next = |r: &f64| {
            variance = self.omega + self.alpha * (r - self.mean).powi(2) + self.beta * variance;
            variance
        };
        returns.iter().map(&mut next).collect()
    }

    /// Sum of the expected variances of the next `horizon` returns, given the one-step forecast `next`.
    #[must_use]
    pub fn horizon_variance(&self, next: f64, horizon: usize) -> f64 {
        let mut variance = next;
        let mut sum = 0.0;
        for _ in 0..horizon {
            sum += variance;
            variance = self.omega + (self.alpha + self.beta) * variance;
        }
        sum
    }
}

/// Parameters from an unbounded point (mean, ln omega, alpha, beta), and their likelihood; `None` out of bounds.
fn decode(point: &[f64], returns: &[f64], initial: f64) -> Option<Garch> {
    let [mean, log_omega, alpha, beta] = *point else { return None };
    if alpha < 0.0 || beta < 0.0 || alpha + beta >= 1.0 {
        return None;
    }
    let omega = log_omega.exp();
    let mut variance = omega + (alpha + beta) * initial;
    let mut twice = 0.0;
    for r in returns {
        let square = (r - mean).powi(2);
        twice += std::f64::consts::TAU.ln() + variance.ln() + square / variance;
        variance = omega + alpha * square + beta * variance;
    }
    let log_likelihood = -0.5 * twice;
    log_likelihood.is_finite().then_some(Garch { mean, omega, alpha, beta, initial, log_likelihood })
}

/// Variance before the first return: the exponentially weighted mean of the first 75 squared residuals.
fn backcast(returns: &[f64], mean: f64) -> f64 {
    let mut weight = 1.0;
    let mut total = 0.0;
    let mut sum = 0.0;
    for r in returns.iter().take(75) {
        sum += weight * (r - mean).powi(2);
        total += weight;
        weight *= 0.94;
    }
    sum / total
}
