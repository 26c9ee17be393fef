//! Models and intervals as named tensors.

use super::container::{Container, Values, file};
use crate::baseline::{ets::Ets, garch::Garch, har::Har};
use crate::bundle::Bundle;
use crate::conformal::{Conformal, LEVELS};
use crate::feature;
use crate::linear::Linear;
use crate::lstm::forecaster::Lstm;
use crate::lstm::network::{Shape, Weights};
use crate::model::{Model, ModelKind, Smoother};
use crate::ridge::Ridge;
use crate::scale::Scaler;
use crate::scoreboard::Score;
use crate::{ForecastError, Task};
use ndarray::Array2;

/// Puts all numbers of `bundle` into `out`.
pub(crate) fn write(bundle: &Bundle, out: &mut Container) {
    for model in &bundle.models.models {
        write_model(model, out);
    }
    for (score, intervals) in bundle.meta.scores.iter().zip(&bundle.intervals) {
        let name = interval_name(score);
        put(out, format!("{name}.errors"), intervals.errors().collect());
        let tails = intervals.tails().into_iter().flatten().collect();
        out.put(format!("{name}.tails"), &[LEVELS.len(), 2], Values::F64(tails));
    }
}

fn write_model(model: &Model, out: &mut Container) {
    match model {
        Model::RandomWalk | Model::Seasonal | Model::Ewma | Model::EwmaTarget => {}
        Model::Drift(mean) => put(out, "drift.mean".to_owned(), vec![*mean]),
        Model::Garch(g) => {
            let values = vec![g.mean, g.omega, g.alpha, g.beta, g.initial, g.log_likelihood];
            put(out, "garch".to_owned(), values);
        }
        Model::Har(fits) => {
            for (task, har) in fits {
                let mut values = vec![har.floor, har.linear.intercept];
                values.extend(&har.linear.coefficients);
                put(out, key("har", *task), values);
            }
        }
        Model::Ets(fits) => {
            for (task, smoother) in fits {
                let Ets { alpha, initial, variance } = smoother.ets;
                put(out, key("ets", *task), vec![alpha, initial, variance, smoother.factor]);
            }
        }
        Model::Ridge(fits) => {
            for (task, ridge) in fits {
                let name = key("ridge", *task);
                write_scaler(out, &format!("{name}.features"), &ridge.scaler);
                let scalars = vec![ridge.linear.intercept, ridge.level, ridge.penalty];
                put(out, format!("{name}.scalars"), scalars);
                put(out, format!("{name}.coefficients"), ridge.linear.coefficients.clone());
            }
        }
        Model::Lstm(lstm) => {
            write_scaler(out, "lstm.features", &lstm.features);
            write_scaler(out, "lstm.targets", &lstm.targets);
            put(out, "lstm.levels".to_owned(), lstm.levels.clone());
            for (name, tensor) in lstm.weights.named() {
                let (rows, columns) = tensor.dim();
                let values = Values::F32(tensor.iter().copied().collect());
                out.put(format!("lstm.weights.{name}"), &[rows, columns], values);
            }
        }
    }
}

/// Reads the models of `kinds`.
pub(crate) fn read_models(
    from: &Container,
    tasks: &[Task],
    kinds: &[ModelKind],
    window: usize,
) -> Result<Vec<Model>, ForecastError> {
    let wanted = kinds.iter().filter(|kind| **kind != ModelKind::Combination);
    wanted.map(|kind| read_model(from, tasks, *kind, window)).collect()
}

fn read_model(
    from: &Container,
    tasks: &[Task],
    kind: ModelKind,
    window: usize,
) -> Result<Model, ForecastError> {
    let known = || tasks.iter().copied().filter(move |task| kind.forecasts(task.target));
    Ok(match kind {
        ModelKind::RandomWalk => Model::RandomWalk,
        ModelKind::Seasonal => Model::Seasonal,
        ModelKind::Ewma => Model::Ewma,
        ModelKind::EwmaTarget => Model::EwmaTarget,
        ModelKind::Drift => Model::Drift(from.doubles("drift.mean", Some(1))?[0]),
        ModelKind::Garch => {
            let v = from.doubles("garch", Some(6))?;
            let (mean, omega, alpha, beta, initial) = (v[0], v[1], v[2], v[3], v[4]);
            Model::Garch(Garch { mean, omega, alpha, beta, initial, log_likelihood: v[5] })
        }
        ModelKind::Har => {
            let read = |task| -> Result<_, ForecastError> {
                let v = from.doubles(&key("har", task), Some(5))?;
                let linear = Linear { intercept: v[1], coefficients: v[2..].to_vec() };
                Ok((task, Har { linear, floor: v[0] }))
            };
            Model::Har(known().map(read).collect::<Result<_, _>>()?)
        }
        ModelKind::Ets => {
            let read = |task| -> Result<_, ForecastError> {
                let v = from.doubles(&key("ets", task), Some(4))?;
                let ets = Ets { alpha: v[0], initial: v[1], variance: v[2] };
                Ok((task, Smoother { ets, factor: v[3] }))
            };
            Model::Ets(known().map(read).collect::<Result<_, _>>()?)
        }
        ModelKind::Ridge => {
            let read =
                |task| -> Result<_, ForecastError> { Ok((task, read_ridge(from, &key("ridge", task))?)) };
            Model::Ridge(known().map(read).collect::<Result<_, _>>()?)
        }
        ModelKind::Lstm => Model::Lstm(Box::new(read_lstm(from, tasks, window)?)),
        ModelKind::Combination => return Err(file("a combination has no parameters".to_owned())),
    })
}

fn read_ridge(from: &Container, name: &str) -> Result<Ridge, ForecastError> {
    let scalars = from.doubles(&format!("{name}.scalars"), Some(3))?;
    let coefficients = from.doubles(&format!("{name}.coefficients"), Some(feature::COUNT))?.to_vec();
    Ok(Ridge {
        scaler: read_scaler(from, &format!("{name}.features"), feature::COUNT)?,
        linear: Linear { intercept: scalars[0], coefficients },
        level: scalars[1],
        penalty: scalars[2],
    })
}

fn read_lstm(from: &Container, tasks: &[Task], window: usize) -> Result<Lstm, ForecastError> {
    let ((inputs, gates), _) = from.matrix("lstm.weights.input")?;
    let hidden = gates / 4;
    let shape = Shape { inputs, hidden, outputs: tasks.len() };
    let mut weights = Weights::<f32>::zeros(shape);
    let names = Weights::<f32>::zeros(shape).named().map(|(name, tensor)| (name, tensor.dim()));
    for ((name, expected), tensor) in names.into_iter().zip(weights.tensors_mut()) {
        let (found, values) = from.matrix(&format!("lstm.weights.{name}"))?;
        let fits = found == expected && inputs == feature::COUNT && window > 0;
        let read = Array2::from_shape_vec(found, values.to_vec()).ok().filter(|_| fits);
        *tensor = read.ok_or_else(|| {
            file(format!("tensor `lstm.weights.{name}`: expected shape {expected:?}, found {found:?}"))
        })?;
    }
    Ok(Lstm {
        tasks: tasks.to_vec(),
        window,
        features: read_scaler(from, "lstm.features", feature::COUNT)?,
        targets: read_scaler(from, "lstm.targets", tasks.len())?,
        levels: from.doubles("lstm.levels", Some(tasks.len()))?.to_vec(),
        weights,
    })
}

/// Reads the intervals of `scores`, in their order.
pub(crate) fn read_intervals(from: &Container, scores: &[Score]) -> Result<Vec<Conformal>, ForecastError> {
    let read = |score: &Score| -> Result<_, ForecastError> {
        let name = interval_name(score);
        let errors = from.doubles(&format!("{name}.errors"), None)?;
        let flat = from.doubles(&format!("{name}.tails"), Some(2 * LEVELS.len()))?;
        let tails = std::array::from_fn(|level| [flat[2 * level], flat[2 * level + 1]]);
        Ok(Conformal::restore(score.task, errors, tails))
    };
    scores.iter().map(read).collect()
}

fn write_scaler(out: &mut Container, name: &str, scaler: &Scaler) {
    put(out, format!("{name}.means"), scaler.means.clone());
    put(out, format!("{name}.deviations"), scaler.deviations.clone());
}

fn read_scaler(from: &Container, name: &str, count: usize) -> Result<Scaler, ForecastError> {
    Ok(Scaler {
        means: from.doubles(&format!("{name}.means"), Some(count))?.to_vec(),
        deviations: from.doubles(&format!("{name}.deviations"), Some(count))?.to_vec(),
    })
}

fn put(out: &mut Container, name: String, values: Vec<f64>) {
    out.put(name, &[values.len()], Values::F64(values));
}

fn key(model: &str, task: Task) -> String {
    format!("{model}.{}_{}", task.target.label(), task.horizon)
}

fn interval_name(score: &Score) -> String {
    key(&format!("intervals.{}", score.kind.label()), score.task)
}
