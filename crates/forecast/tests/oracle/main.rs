//! Golden values computed by independent libraries (`generate.py`): scikit-learn, arch, statsforecast, statsmodels,
//! PyTorch.
#![allow(clippy::unwrap_used, reason = "tests")]

use forecast::baseline::{ets::Ets, garch::Garch, har};
use forecast::compare::diebold_mariano;
use forecast::conformal::Conformal;
use forecast::linear::Linear;
use forecast::lstm::adam::Adam;
use forecast::lstm::network::{Pass, Shape, Weights};
use forecast::{Target, Task};
use ndarray::Array2;
use serde_json::Value;

fn golden(part: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    all[part].clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// The same numbers as `uniforms` in `generate.py`.
fn uniforms(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    (0..count).map(|_| next()).collect()
}

/// The same returns as `returns` in `generate.py`.
fn returns(count: usize) -> Vec<f64> {
    let mut variance = 1e-4;
    let draws = uniforms(12 * count, 42);
    let mut next = |draws: &[f64]| {
        let value = 0.0003 + f64::sqrt(variance) * (draws.iter().sum::<f64>() - 6.0);
        variance = 2e-6 + 0.08 * (value - 0.0003).powi(2) + 0.9 * variance;
        value
    };
    draws.chunks(12).map(&mut next).collect()
}

fn assert_close(name: &str, found: f64, expected: f64, tolerance: f64) {
    let error = (found - expected).abs() / expected.abs().max(1e-300);
    assert!(error < tolerance, "{name}: expected {expected}, found {found} (relative error {error:.1e})");
}

#[test]
fn ridge_and_least_squares_agree_with_scikit_learn_to_1e_8() {
    let x = Array2::from_shape_vec((200, 6), uniforms(1200, 7)).unwrap() * 4.0 - 2.0;
    let true_coefficients = [0.5, -1.0, 0.0, 2.0, 0.25, 3.0];
    let noise = uniforms(200, 8);
    let value = |(row, noise): (ndarray::ArrayView1<'_, f64>, &f64)| {
        row.iter().zip(true_coefficients).map(|(x, b)| x * b).sum::<f64>() + noise + 0.7
    };
    let y: Vec<f64> = x.rows().into_iter().zip(&noise).map(value).collect();
    let golden = golden("ridge");
    for (penalty, expected) in golden.as_object().unwrap() {
        let fit = Linear::fit(&x.view(), &y, penalty.parse().unwrap()).unwrap();
        let found = std::iter::once(fit.intercept).chain(fit.coefficients);
        for (found, expected) in found.zip(numbers(expected)) {
            assert!((found - expected).abs() < 1e-8, "penalty {penalty}: {found} {expected}");
        }
    }
}

#[test]
fn garch_agrees_with_arch() {
    let golden = golden("garch");
    let values = returns(2000);
    let fit = Garch::fit(&values).unwrap();
    assert_close("log likelihood", fit.log_likelihood, number(&golden["log_likelihood"]), 1e-6);
    assert_close("mean", fit.mean, number(&golden["mean"]), 2e-3);
    assert_close("omega", fit.omega, number(&golden["omega"]), 5e-3);
    assert_close("alpha", fit.alpha, number(&golden["alpha"]), 2e-3);
    assert_close("beta", fit.beta, number(&golden["beta"]), 2e-3);
    let next = *fit.filter(&values).last().unwrap();
    assert_close("variance over 5", fit.horizon_variance(next, 5), number(&golden["variance_5"]), 2e-3);
}

#[test]
fn har_agrees_with_arch() {
    let values: Vec<f64> = returns(2000).iter().map(|r| r * r * 1e4).collect();
    let fit = har::fit_series(&values).unwrap();
    let found = std::iter::once(fit.intercept).chain(fit.coefficients);
    for (found, expected) in found.zip(numbers(&golden("har"))) {
        assert_close("HAR", found, expected, 1e-8);
    }
}

/// Of log variances of single bars (weight at its lower bound, or low) and of their means (high).
#[test]
fn exponential_smoothing_and_its_intervals_agree_with_statsforecast() {
    let values = |count: usize, width: usize| -> Vec<f64> {
        let squares: Vec<f64> = returns(count).iter().map(|r| r * r + 1e-8).collect();
        squares.windows(width).map(|part| (part.iter().sum::<f64>() / width as f64).ln()).collect()
    };
    let golden = golden("ets");
    let single = values(500, 1);
    let fixed = Ets { alpha: 0.2, initial: single[0], variance: 0.0 };
    assert_close("fixed weight", *fixed.levels(&single).last().unwrap(), number(&golden["fixed"]), 1e-9);
    for (count, width) in [(500, 1), (2000, 1), (2000, 2)] {
        let golden = &golden[format!("{count}_{width}")];
        let values = values(count, width);
        let ets = Ets::fit(&values).unwrap();
        // Its search stops earlier: a likelihood as high at least, and the same fit to that distance.
        let squares = ets.variance * (values.len() - 4) as f64;
        let log_likelihood = -0.5 * values.len() as f64 * squares.ln();
        let expected = number(&golden["log_likelihood"]);
        assert!(log_likelihood > expected - 1e-6, "{count} {width}: {log_likelihood} {expected}");
        assert_close("weight", ets.alpha, number(&golden["alpha"]), 5e-3);
        let level = *ets.levels(&values).last().unwrap();
        assert_close("level", level, number(&golden["mean"]), 1e-3);
        for (horizon, expected) in [1, 5, 22].into_iter().zip(golden["intervals"].as_array().unwrap()) {
            // Half the width of 90 % of the normal distribution.
            let half = 1.644_853_626_951_472_7 * ets.forecast_variance(horizon).sqrt();
            for (found, expected) in [level - half, level + half].into_iter().zip(numbers(expected)) {
                assert_close("interval", found, expected, 1e-3);
            }
        }
    }
}

/// statsforecast interpolates between two order statistics, Tapeline takes the outer one, as the finite-sample guarantee of
/// split conformal prediction asks.
#[test]
fn conformal_intervals_agree_with_statsforecast_to_one_order_statistic() {
    let errors = &returns(600)[350..];
    let mut state = Conformal::new(Task { target: Target::Return, horizon: 1 });
    // statsforecast takes each error in both directions.
    for error in errors {
        state.observe(*error, None);
        state.observe(-*error, None);
    }
    let sorted = state.sorted();
    assert_eq!(sorted.len(), 500);
    let golden = golden("conformal");
    for ([low, high], expected) in state.bounds().unwrap().into_iter().zip(golden.as_array().unwrap()) {
        let expected = numbers(expected);
        let at = sorted.partition_point(|error| *error < low);
        assert!((low..=sorted[at + 1]).contains(&expected[0]), "{low} {} {}", expected[0], sorted[at + 1]);
        let at = sorted.partition_point(|error| *error < high);
        assert!((sorted[at - 1]..=high).contains(&expected[1]), "{} {} {high}", sorted[at - 1], expected[1]);
        assert_close("width", high - low, expected[1] - expected[0], 0.03);
    }
}

#[test]
fn diebold_mariano_agrees_with_statsmodels() {
    let first: Vec<f64> = uniforms(300, 3).iter().map(|u| u * u).collect();
    let second: Vec<f64> = uniforms(300, 4).iter().map(|u| u * u * 1.1).collect();
    for (horizon, expected) in golden("diebold_mariano").as_object().unwrap() {
        let test = diebold_mariano(&first, &second, horizon.parse().unwrap()).unwrap();
        let expected = numbers(expected);
        assert_close("statistic", test.statistic, expected[0], 1e-9);
        assert_close("p value", test.p_value, expected[1], 1e-8);
    }
}

#[test]
fn lstm_agrees_with_pytorch_in_outputs_gradients_and_ten_steps_of_adam() {
    let golden = golden("lstm");
    let shape = Shape { inputs: 3, hidden: 4, outputs: 2 };
    let (batch, steps, gates) = (5, 6, 16);
    let draws: Vec<f64> =
        uniforms(gates * 3 + gates * 4 + gates + 8 + 2, 21).iter().map(|u| u - 0.5).collect();
    let mut parts = draws.as_slice();
    let mut take = |rows: usize, columns: usize| {
        let (part, rest) = parts.split_at(rows * columns);
        parts = rest;
        // PyTorch's matrices are the transposes of ours.
        Array2::from_shape_vec((rows, columns), part.to_vec()).unwrap().t().as_standard_layout().into_owned()
    };
    let mut weights = Weights {
        input: take(gates, 3),
        recurrent: take(gates, 4),
        bias: take(gates, 1),
        head: take(2, 4),
        head_bias: take(2, 1),
    };
    let mut pass = Pass::<f64>::new(shape, batch, steps);
    let x = uniforms(batch * steps * 3, 22);
    for (at, value) in x.iter().enumerate() {
        let (sample, step, column) = (at / (steps * 3), at / 3 % steps, at % 3);
        pass.inputs[(step * batch + sample, column)] = value * 2.0 - 1.0;
    }
    let y = Array2::from_shape_vec((batch, 2), uniforms(batch * 2, 23)).unwrap();
    let mut adam = Adam::new(shape, 0.01);
    let mut gradients = Weights::zeros(shape);
    for (step, expected) in numbers(&golden["losses"]).into_iter().enumerate() {
        pass.forward(&weights);
        let errors = &pass.outputs - &y;
        let loss = errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64;
        assert_close("loss", loss, expected, 1e-7);
        let by_outputs = errors * (2.0 / (batch * 2) as f64);
        if step == 0 {
            for (found, expected) in pass.outputs.iter().zip(numbers(&golden["outputs"])) {
                assert_close("output", *found, expected, 1e-12);
            }
        }
        pass.backward(&weights, &by_outputs.view(), &mut gradients);
        if step == 0 {
            for ((name, found), expected) in
                gradients.named().iter().zip(golden["gradients"].as_array().unwrap())
            {
                let found = found.t();
                for (found, expected) in found.iter().zip(numbers(expected)) {
                    assert!((found - expected).abs() < 1e-13, "{name}: {found} {expected}");
                }
            }
        }
        adam.update(&mut weights, &gradients);
    }
}
