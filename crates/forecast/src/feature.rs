//! Features of a row: what is known at the close of bar `t`, in units that do not depend on the price.

use crate::measures::Measures;
use crate::{Ohlcv, volatility};
use ndarray::Array2;
use std::f64::consts::TAU;

const DAY_NS: i64 = 86_400_000_000_000;

/// Name and formula of one feature.
type Feature = (&'static str, fn(&Measures, usize) -> f64);

/// All features, in the order of the columns.
const FEATURES: [Feature; 27] = [
    ("return, 1 bar, in standard deviations", |d, t| scaled_return(d, t, 1)),
    ("return, 5 bars, in standard deviations", |d, t| scaled_return(d, t, 5)),
    ("return, 22 bars, in standard deviations", |d, t| scaled_return(d, t, 22)),
    ("absolute return, 1 bar", |d, t| scaled_return(d, t, 1).abs()),
    ("negative part of the return, 1 bar", |d, t| scaled_return(d, t, 1).min(0.0)),
    ("negative part of the return, 5 bars", |d, t| scaled_return(d, t, 5).min(0.0)),
    ("gap from the previous close", gap_return),
    ("log variance, 1 bar", |d, t| log_variance(d, t, 1)),
    ("log variance, 5 bars", |d, t| log_variance(d, t, 5)),
    ("log variance, 22 bars", |d, t| log_variance(d, t, 22)),
    ("log variance, 66 bars", |d, t| log_variance(d, t, 66)),
    ("log EWMA of squared returns", |d, t| d.ewma[t].ln()),
    ("log EWMA of variances", |d, t| d.ewma_variance[t].ln()),
    ("log Parkinson variance, 5 bars, over all", |d, t| log_ratio(d, t, volatility::parkinson)),
    ("log Garman-Klass variance, 5 bars, over all", |d, t| log_ratio(d, t, volatility::garman_klass)),
    ("log Rogers-Satchell variance, 5 bars, over all", |d, t| log_ratio(d, t, volatility::rogers_satchell)),
    ("log variance one season before the next bar", |d, t| d.variances[t + 1 - d.season].ln()),
    ("place of the close in the range", |d, t| close_place(&d.bars()[t])),
    ("log volume over its mean, 22 bars", |d, t| log_volume(d, t, 1)),
    ("log volume, 5 bars, over its mean, 22 bars", |d, t| log_volume(d, t, 5)),
    ("log time since the previous bar", |d, t| elapsed(d, t)),
    ("day of week, sine", |d, t| (TAU * day_of_week(d, t) / 7.0).sin()),
    ("day of week, cosine", |d, t| (TAU * day_of_week(d, t) / 7.0).cos()),
    ("time of day, sine", |d, t| (TAU * time_of_day(d, t)).sin()),
    ("time of day, cosine", |d, t| (TAU * time_of_day(d, t)).cos()),
    ("time of day, double sine", |d, t| (2.0 * TAU * time_of_day(d, t)).sin()),
    ("time of day, double cosine", |d, t| (2.0 * TAU * time_of_day(d, t)).cos()),
];

/// Number of features.
pub const COUNT: usize = FEATURES.len();

/// Names of the features, in the order of the columns.
#[must_use]
pub fn names() -> [&'static str; COUNT] {
    FEATURES.map(|(name, _)| name)
}

/// Features of the rows from `from`; rows before, and before the first complete one, are zero.
pub(crate) fn matrix(data: &Measures, from: usize) -> Array2<f64> {
    let mut out = Array2::zeros((data.len(), COUNT));
    for t in data.first_row().max(from)..data.len() {
        for (column, (_, of)) in FEATURES.iter().enumerate() {
            out[(t, column)] = of(data, t);
        }
    }
    out
}

fn scaled_return(data: &Measures, t: usize, bars: usize) -> f64 {
    let value = (data.bars()[t].close / data.bars()[t - bars].close).ln();
    clamp(value / data.return_scale(t - bars, bars))
}

fn gap_return(data: &Measures, t: usize) -> f64 {
    clamp((data.bars()[t].open / data.bars()[t - 1].close).ln() / data.return_scale(t - 1, 1))
}

/// Eight standard deviations are as informative as fifty.
fn clamp(value: f64) -> f64 {
    value.clamp(-8.0, 8.0)
}

fn log_variance(data: &Measures, t: usize, bars: usize) -> f64 {
    (data.variance_between(t + 1 - bars, t + 1) / bars as f64).ln()
}

fn log_ratio(data: &Measures, t: usize, of: fn(&Ohlcv) -> f64) -> f64 {
    let sum: f64 = data.bars()[t - 4..=t].iter().map(of).sum();
    let all = data.variance_between(t - 4, t + 1);
    (sum / all).max(0.001).ln()
}

fn close_place(bar: &Ohlcv) -> f64 {
    let range = bar.high - bar.low;
    if range > 0.0 { 2.0 * (bar.close - bar.low) / range - 1.0 } else { 0.0 }
}

/// Log of the mean volume of the last `bars` over that of the last 22; 0 without any volume.
fn log_volume(data: &Measures, t: usize, bars: usize) -> f64 {
    let mean =
        |count: usize| data.bars()[t + 1 - count..=t].iter().map(|b| b.volume).sum::<f64>() / count as f64;
    let reference = mean(22);
    if reference > 0.0 { (mean(bars) / reference).max(0.01).ln() } else { 0.0 }
}

fn elapsed(data: &Measures, t: usize) -> f64 {
    let gap = data.bars()[t].start_ns - data.bars()[t - 1].start_ns;
    (gap as f64 / 1e9).ln()
}

/// Days since a Monday, 0 to 6.
fn day_of_week(data: &Measures, t: usize) -> f64 {
    // 1970-01-01 was a Thursday.
    (data.bars()[t].start_ns.div_euclid(DAY_NS) + 3).rem_euclid(7) as f64
}

/// Fraction of the day, 0 to 1.
fn time_of_day(data: &Measures, t: usize) -> f64 {
    data.bars()[t].start_ns.rem_euclid(DAY_NS) as f64 / DAY_NS as f64
}
