//! Seconds per training epoch and per 1,000 inferences of the LSTM, on the task of `tests/oracle/speed.py`: 12,800 windows
//! of 60 steps of 5 values, 32 hidden units, batches of 64, Adam, one thread.
//!
//! ```text
//! cargo run --release -p forecast --example lstm_speed
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use forecast::lstm::adam::Adam;
use forecast::lstm::network::{Shape, Weights};
use forecast::lstm::train::{Samples, epoch, infer};
use forecast::rng::Rng;
use std::time::Instant;

const COUNT: usize = 12_800;
const STEPS: usize = 60;
const INPUTS: usize = 5;

struct Windows {
    inputs: Vec<f32>,
    targets: Vec<f32>,
}

impl Samples<f32> for Windows {
    fn steps(&self) -> usize {
        STEPS
    }

    fn input(&self, sample: usize, step: usize) -> &[f32] {
        let at = (sample * STEPS + step) * INPUTS;
        &self.inputs[at..at + INPUTS]
    }

    fn target(&self, sample: usize) -> &[f32] {
        &self.targets[sample..=sample]
    }
}

fn main() {
    let mut rng = Rng::new(7);
    let inputs: Vec<f32> = (0..COUNT * STEPS * INPUTS).map(|_| rng.normal() as f32).collect();
    // The target depends on the last ten steps: something to learn.
    let recent = |sample: usize| {
        let step =
            |back: usize| inputs[((sample + 1) * STEPS - 1 - back) * INPUTS] * 0.8f32.powi(back as i32);
        (0..10).map(step).sum::<f32>() * 0.3
    };
    let targets = (0..COUNT).map(recent).collect();
    let windows = Windows { inputs, targets };
    let shape = Shape { inputs: INPUTS, hidden: 32, outputs: 1 };
    let mut weights = Weights::random(shape, &mut rng);
    let mut adam = Adam::new(shape, 1e-3);
    let mut order: Vec<usize> = (0..COUNT).collect();
    for number in 1..=5 {
        let started = Instant::now();
        let loss = epoch(&mut weights, &mut adam, &windows, &mut order, 64, &mut rng);
        println!("epoch {number}: {:.3} s, loss {loss:.5}", started.elapsed().as_secs_f64());
    }
    let first: Vec<usize> = (0..1000).collect();
    let started = Instant::now();
    let outputs = infer(&weights, &windows, &first);
    println!("inference of {} windows: {:.1} ms", outputs.len(), started.elapsed().as_secs_f64() * 1e3);
}
