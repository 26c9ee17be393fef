//! Training and inference of the LSTM on windows of real bars, one thread: seconds per epoch, losses, milliseconds per 1,000
//! inferences. `bench/forecast.py` runs it alternately with PyTorch on the files that `--out` writes.
//!
//! ```text
//! cargo run --release -p forecast --example lstm_speed -- DATA/hour/spy.zip [--seed N] [--windows N] [--steps N]
//!     [--hidden N] [--epochs N] [--out FOLDER]
//! ```
//! A window holds the log open, high, low and close of each bar relative to the close before it, and the change of its log
//! volume. The target is the log range of the bar after the window. All are standardised on the training windows; a fifth
//! as many windows after them validate.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

#[allow(dead_code, reason = "the scoreboard reads the other fields of a file")]
mod support;

use forecast::lstm::adam::Adam;
use forecast::lstm::network::{Pass, Shape, Weights};
use forecast::lstm::train::{Samples, epoch, infer, loss};
use forecast::rng::Rng;
use forecast::{Ohlcv, Series};
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

const INPUTS: usize = 5;
/// Windows of an update.
const BATCH: usize = 64;
/// Windows whose outputs are compared and timed.
const INFERRED: usize = 1_000;
const LEARNING_RATE: f64 = 1e-3;

struct Arguments {
    bars: PathBuf,
    seed: u64,
    windows: usize,
    steps: usize,
    hidden: usize,
    epochs: usize,
    out: Option<PathBuf>,
}

impl Arguments {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let mut all = std::env::args().skip(1);
        let bars = all.next().ok_or("usage: lstm_speed DATA/hour/SYMBOL.zip [--seed N] [--out FOLDER]")?;
        let mut parsed =
            Self { bars: bars.into(), seed: 1, windows: 12_800, steps: 60, hidden: 32, epochs: 5, out: None };
        while let Some(name) = all.next() {
            let value = all.next().ok_or_else(|| format!("{name}: expected a value"))?;
            let number = || value.parse().map_err(|_| format!("{name}: expected a number, found `{value}`"));
            match name.as_str() {
                "--seed" => parsed.seed = number()? as u64,
                "--windows" => parsed.windows = number()?,
                "--steps" => parsed.steps = number()?,
                "--hidden" => parsed.hidden = number()?,
                "--epochs" => parsed.epochs = number()?,
                "--out" => parsed.out = Some(value.into()),
                _ => return Err(format!("unknown option {name}").into()),
            }
        }
        Ok(parsed)
    }
}

/// Windows over the rows of a series.
struct Windows {
    /// One row of inputs per bar.
    rows: Vec<f32>,
    /// Target of the window that begins with each row.
    targets: Vec<f32>,
    steps: usize,
}

impl Windows {
    /// Standardised on the first `training` windows.
    fn new(series: &Series, steps: usize, training: usize) -> Self {
        let pairs = || series.bars().windows(2);
        let range = |bar: &Ohlcv| (bar.high / bar.low).ln().max(1e-5).ln();
        let mut columns: Vec<Vec<f64>> =
            (0..INPUTS).map(|column| pairs().map(|pair| input(pair, column)).collect()).collect();
        columns.push(pairs().map(|pair| range(&pair[1])).collect());
        for column in &mut columns {
            standardise(column, training + steps);
        }
        let rows = columns[0].len();
        Self {
            rows: (0..rows)
                .flat_map(|row| columns[..INPUTS].iter().map(move |column| column[row] as f32))
                .collect(),
            targets: columns[INPUTS][steps..].iter().map(|value| *value as f32).collect(),
            steps,
        }
    }

    fn len(&self) -> usize {
        self.targets.len()
    }
}

impl Samples<f32> for Windows {
    fn steps(&self) -> usize {
        self.steps
    }

    fn input(&self, sample: usize, step: usize) -> &[f32] {
        let at = (sample + step) * INPUTS;
        &self.rows[at..at + INPUTS]
    }

    fn target(&self, sample: usize) -> &[f32] {
        &self.targets[sample..=sample]
    }
}

fn input(pair: &[Ohlcv], column: usize) -> f64 {
    let (before, bar) = (&pair[0], &pair[1]);
    let prices = [bar.open, bar.high, bar.low, bar.close];
    match prices.get(column) {
        Some(price) => (price / before.close).ln(),
        None => ((bar.volume + 1.0) / (before.volume + 1.0)).ln(),
    }
}

/// Mean 0 and variance 1 of the first `count` values.
fn standardise(values: &mut [f64], count: usize) {
    let known = &values[..count];
    let mean = known.iter().sum::<f64>() / count as f64;
    let variance = known.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count as f64;
    let scale = variance.sqrt().max(1e-12);
    for value in values {
        *value = (*value - mean) / scale;
    }
}

/// Gradients of the mean squared error over `batch`.
fn gradients(weights: &Weights<f32>, windows: &Windows, batch: &[usize]) -> Weights<f32> {
    let mut pass = Pass::new(weights.shape(), batch.len(), windows.steps);
    for step in 0..windows.steps {
        for (at, sample) in batch.iter().enumerate() {
            let row = pass.inputs.row_mut(step * batch.len() + at);
            row.into_iter().zip(windows.input(*sample, step)).for_each(|(slot, value)| *slot = *value);
        }
    }
    pass.forward(weights);
    let mut errors = pass.outputs.clone();
    for (error, sample) in errors.iter_mut().zip(batch) {
        *error = 2.0 * (*error - windows.targets[*sample]) / batch.len() as f32;
    }
    let mut found = Weights::zeros(weights.shape());
    pass.backward(weights, &errors.view(), &mut found);
    found
}

/// Writes numbers as little-endian bytes.
fn write(
    folder: Option<&PathBuf>,
    name: &str,
    numbers: impl IntoIterator<Item = [u8; 4]>,
) -> Result<(), Box<dyn Error>> {
    let Some(folder) = folder else { return Ok(()) };
    let bytes: Vec<u8> = numbers.into_iter().flatten().collect();
    Ok(std::fs::write(folder.join(name), bytes)?)
}

/// Processor time of this process so far, seconds; on a shared machine it says more than the clock. 0 where `/proc` does not
/// tell.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn flat(weights: &Weights<f32>) -> Vec<[u8; 4]> {
    weights.named().iter().flat_map(|(_, tensor)| tensor.iter().map(|value| value.to_le_bytes())).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse()?;
    let out = arguments.out.as_ref();
    if let Some(folder) = out {
        std::fs::create_dir_all(folder)?;
    }
    let series = support::read(&arguments.bars)?.series;
    let most = series.len().saturating_sub(1 + 2 * arguments.steps) * 5 / 6;
    let count = arguments.windows.min(most / BATCH * BATCH);
    if count < INFERRED {
        return Err(format!("expected bars for {INFERRED} windows, found {} bars", series.len()).into());
    }
    let windows = Windows::new(&series, arguments.steps, count);
    let first_validation = count + arguments.steps;
    let validation: Vec<usize> =
        (first_validation..(first_validation + count / 5).min(windows.len())).collect();
    let shape = Shape { inputs: INPUTS, hidden: arguments.hidden, outputs: 1 };
    let mut rng = Rng::new(arguments.seed);
    let mut weights = Weights::random(shape, &mut rng);
    let mut adam = Adam::new(shape, LEARNING_RATE);
    let mut order: Vec<usize> = (0..count).collect();
    let number = |value: usize| (value as u32).to_le_bytes();
    write(out, "rows.f32", windows.rows.iter().map(|value| value.to_le_bytes()))?;
    write(out, "targets.f32", windows.targets.iter().map(|value| value.to_le_bytes()))?;
    write(out, "validation.u32", validation.iter().map(|sample| number(*sample)))?;
    write(out, "weights.f32", flat(&weights))?;
    write(out, "gradients.f32", flat(&gradients(&weights, &windows, &order[..BATCH])))?;
    let (mut orders, mut lines) = (Vec::new(), Vec::new());
    for number_of_epoch in 1..=arguments.epochs {
        let (started, before) = (Instant::now(), processor_seconds());
        let training = epoch(&mut weights, &mut adam, &windows, &mut order, BATCH, &mut rng);
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), processor_seconds() - before);
        let validated = loss(&weights, &windows, &validation);
        println!(
            "epoch {number_of_epoch}: {seconds:.3} s ({cpu:.3} s of processor time), loss {training:.5}, validation {validated:.5}"
        );
        lines.push(format!("{seconds} {training} {validated} {cpu}"));
        orders.extend(order.iter().map(|sample| number(*sample)));
    }
    let first: Vec<usize> = (0..INFERRED).collect();
    let mut milliseconds = f64::INFINITY;
    let mut outputs = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        outputs = infer(&weights, &windows, &first);
        milliseconds = milliseconds.min(started.elapsed().as_secs_f64() * 1e3);
    }
    println!("inference of {INFERRED} windows: {milliseconds:.1} ms, fastest of 5");
    write(out, "order.u32", orders)?;
    write(out, "trained.f32", flat(&weights))?;
    write(out, "outputs.f32", outputs.iter().map(|value| value.to_le_bytes()))?;
    if let Some(folder) = out {
        let header = format!(
            "{count} {} {} {INPUTS} {BATCH} {LEARNING_RATE} {milliseconds}",
            arguments.steps, arguments.hidden
        );
        std::fs::write(folder.join("run.txt"), format!("{header}\n{}\n", lines.join("\n")))?;
    }
    Ok(())
}
