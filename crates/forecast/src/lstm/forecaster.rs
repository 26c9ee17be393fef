//! The LSTM as a forecaster: a window of features in, all tasks out.

use super::adam::Adam;
use super::network::{Shape, Weights};
use super::train::{self, Samples};
use crate::rng::Rng;
use crate::scale::{Scaler, decode, encode};
use crate::{Dataset, ForecastError, Task, calibration};
use ndarray::Array2;
use std::ops::Range;

/// Minimum number of windows for a training.
pub(crate) const MIN_WINDOWS: usize = 100;

/// Training options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LstmOptions {
    /// Rows per window.
    pub window: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Maximum number of epochs.
    pub epochs: usize,
    /// Epochs without a better validation loss after which training stops.
    pub patience: usize,
    /// Windows per update.
    pub batch: usize,
    /// Learning rate of Adam.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Seed of the initial weights and of the order of the batches.
    pub seed: u64,
}

impl Default for LstmOptions {
    fn default() -> Self {
        Self {
            window: 22,
            hidden: 16,
            epochs: 40,
            patience: 6,
            batch: 64,
            learning_rate: 3e-3,
            weight_decay: 1e-2,
            seed: 1,
        }
    }
}

impl LstmOptions {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ForecastError::Option`] naming the first that is out of range.
    pub fn check(&self) -> Result<(), ForecastError> {
        let counts = [
            ("window", self.window),
            ("hidden", self.hidden),
            ("epochs", self.epochs),
            ("patience", self.patience),
            ("batch", self.batch),
        ];
        for (option, value) in counts {
            if !(1..=100_000).contains(&value) {
                return Err(ForecastError::Option {
                    option,
                    expected: "1 to 100000",
                    found: value.to_string(),
                });
            }
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            let found = self.learning_rate.to_string();
            return Err(ForecastError::Option {
                option: "learning_rate",
                expected: "above 0, at most 1",
                found,
            });
        }
        Ok(())
    }
}

/// Progress of a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Number of the epoch, from 1.
    pub number: usize,
    /// Mean squared error on the training windows, in variances of the targets.
    pub training_loss: f64,
    /// The same on the validation windows.
    pub validation_loss: f64,
}

/// A trained network with its scales.
#[derive(Debug, Clone, PartialEq)]
pub struct Lstm {
    /// Tasks, one output each.
    pub tasks: Vec<Task>,
    /// Rows per window.
    pub window: usize,
    /// Scales of the features.
    pub features: Scaler,
    /// Scales of the targets.
    pub targets: Scaler,
    /// Correction of the level per task, see [`calibration::level`].
    pub levels: Vec<f64>,
    /// Weights with the best validation loss.
    pub weights: Weights<f32>,
}

/// Windows ending at the rows `first..`, over scaled features.
struct Windows {
    features: Array2<f32>,
    targets: Array2<f32>,
    /// Row of the features at which the window of sample 0 starts.
    offset: usize,
    window: usize,
}

impl Samples<f32> for Windows {
    fn steps(&self) -> usize {
        self.window
    }

    fn input(&self, sample: usize, step: usize) -> &[f32] {
        let width = self.features.ncols();
        let at = (self.offset + sample + step) * width;
        self.features.as_slice().map_or(&[], |all| &all[at..at + width])
    }

    fn target(&self, sample: usize) -> &[f32] {
        let width = self.targets.ncols();
        self.targets.as_slice().map_or(&[], |all| &all[sample * width..(sample + 1) * width])
    }
}

impl Lstm {
    /// Trains on `rows`, every one of which must have its truth for every task. The latest seventh is held out for early
    /// stopping, with as many rows between as the longest horizon. Calls `observe` after each epoch.
    ///
    /// # Errors
    /// [`ForecastError::Option`], [`ForecastError::TooShort`] or [`ForecastError::Diverged`].
    pub fn fit(
        data: &Dataset,
        tasks: &[Task],
        rows: Range<usize>,
        options: &LstmOptions,
        observe: &mut dyn FnMut(Epoch),
    ) -> Result<Self, ForecastError> {
        options.check()?;
        let rows = rows.start.max(data.first_row() + options.window - 1)..rows.end;
        let longest = tasks.iter().map(|task| task.horizon).max().unwrap_or(1);
        let needed = MIN_WINDOWS + longest;
        if rows.len() < needed {
            let purpose = format!("an LSTM with windows of {} bars", options.window);
            let needed = rows.start + needed + longest;
            return Err(ForecastError::TooShort { purpose, needed, found: rows.end + longest });
        }
        let truths = Array2::from_shape_fn((rows.len(), tasks.len()), |(row, column)| {
            let t = rows.start + row;
            data.truth(tasks[column], t).map_or(0.0, |truth| encode(data, tasks[column], t, truth))
        });
        let features = Scaler::fit(&data.features, rows.clone());
        let targets = Scaler::fit(&truths, 0..rows.len());
        let windows = Windows {
            targets: Array2::from_shape_fn(truths.dim(), |(row, column)| {
                targets.apply(column, truths[(row, column)]) as f32
            }),
            ..windows_of(data, &features, rows.clone(), options.window)
        };
        let held_out = rows.len() / 7;
        let validation: Vec<usize> = (rows.len() - held_out..rows.len()).collect();
        let mut training: Vec<usize> = (0..rows.len() - held_out - longest.min(rows.len() / 3)).collect();
        let weights = fit_weights(&windows, &mut training, &validation, options, observe)?;
        let levels = vec![1.0; tasks.len()];
        let mut lstm =
            Self { tasks: tasks.to_vec(), window: options.window, features, targets, levels, weights };
        let late = rows.end - held_out..rows.end;
        lstm.levels = lstm.measure_levels(data, late);
        Ok(lstm)
    }

    /// Forecasts of all tasks for `rows`: one vector per task.
    #[must_use]
    pub fn forecast(&self, data: &Dataset, rows: Range<usize>) -> Vec<Vec<f64>> {
        let windows = windows_of(data, &self.features, rows.clone(), self.window);
        let order: Vec<usize> = (0..rows.len()).collect();
        let outputs = train::infer(&self.weights, &windows, &order);
        let width = self.tasks.len();
        let value = |column: usize, row: usize| {
            let encoded = self.targets.invert(column, f64::from(outputs[row * width + column]));
            decode(data, self.tasks[column], rows.start + row, encoded) * self.levels[column]
        };
        (0..width).map(|column| order.iter().map(|row| value(column, *row)).collect()).collect()
    }

    /// Measured on the rows held out: on the training rows the network knows the answers too well.
    fn measure_levels(&self, data: &Dataset, rows: Range<usize>) -> Vec<f64> {
        let forecasts = self.forecast(data, rows.clone());
        let of = |(task, forecasts): (&Task, &Vec<f64>)| {
            let truths: Vec<f64> = rows.clone().filter_map(|t| data.truth(*task, t)).collect();
            calibration::level(*task, &truths, forecasts)
        };
        self.tasks.iter().zip(&forecasts).map(of).collect()
    }
}

fn fit_weights(
    windows: &Windows,
    training: &mut [usize],
    validation: &[usize],
    options: &LstmOptions,
    observe: &mut dyn FnMut(Epoch),
) -> Result<Weights<f32>, ForecastError> {
    let shape =
        Shape { inputs: windows.features.ncols(), hidden: options.hidden, outputs: windows.targets.ncols() };
    let mut rng = Rng::new(options.seed);
    let mut weights = Weights::random(shape, &mut rng);
    let mut adam = Adam::new(shape, options.learning_rate);
    adam.weight_decay = options.weight_decay;
    adam.clip = 1.0;
    let mut best = (f64::INFINITY, weights.clone());
    let mut since_best = 0;
    for number in 1..=options.epochs {
        let training_loss = train::epoch(&mut weights, &mut adam, windows, training, options.batch, &mut rng);
        let validation_loss = train::loss(&weights, windows, validation);
        if !training_loss.is_finite() || !validation_loss.is_finite() {
            let learning_rate = options.learning_rate;
            return Err(ForecastError::Diverged { model: "lstm", epoch: number, learning_rate });
        }
        observe(Epoch { number, training_loss, validation_loss });
        if validation_loss < best.0 {
            best = (validation_loss, weights.clone());
            since_best = 0;
        } else {
            since_best += 1;
        }
        if since_best >= options.patience {
            break;
        }
    }
    Ok(best.1)
}

/// Windows that end at `rows`, without targets.
fn windows_of(data: &Dataset, scaler: &Scaler, rows: Range<usize>, window: usize) -> Windows {
    let first = (rows.start + 1).saturating_sub(window);
    let features = Array2::from_shape_fn((rows.end - first, data.features.ncols()), |(row, column)| {
        scaler.apply(column, data.features[(first + row, column)]) as f32
    });
    Windows { features, targets: Array2::zeros((0, 0)), offset: 0, window }
}
