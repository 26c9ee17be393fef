//! Gradients of the network against finite differences, in double precision.
#![allow(clippy::unwrap_used, reason = "tests")]

use forecast::lstm::network::{Pass, Shape, Weights};
use forecast::rng::Rng;

#[test]
fn gradients_agree_with_finite_differences() {
    let shape = Shape { inputs: 3, hidden: 5, outputs: 2 };
    let (batch, steps) = (4, 7);
    let mut rng = Rng::new(5);
    let mut weights = Weights::<f64>::random(shape, &mut rng);
    let mut pass = Pass::new(shape, batch, steps);
    pass.inputs.map_inplace(|value| *value = rng.normal());
    let targets: Vec<f64> = (0..batch * shape.outputs).map(|_| rng.normal()).collect();
    let mut loss = |weights: &Weights<f64>| {
        pass.forward(weights);
        pass.outputs.iter().zip(&targets).map(|(a, b)| 0.5 * (a - b) * (a - b)).sum::<f64>()
    };
    let mut numeric: Vec<f64> = Vec::new();
    let step = 1e-5;
    for tensor in 0..5 {
        for index in 0..weights.named()[tensor].1.len() {
            let mut moved = |by: f64| {
                let slice =
                    weights.tensors_mut()[tensor].as_slice_mut().unwrap().get_mut(index).map(|w| *w += by);
                slice.unwrap();
                loss(&weights)
            };
            let (above, below) = (moved(step), moved(-2.0 * step));
            moved(step);
            numeric.push((above - below) / (2.0 * step));
        }
    }
    pass.forward(&weights);
    let mut by_outputs = pass.outputs.clone();
    for (value, target) in by_outputs.iter_mut().zip(&targets) {
        *value -= target;
    }
    let mut gradients = Weights::zeros(shape);
    pass.backward(&weights, &by_outputs.view(), &mut gradients);
    let exact: Vec<f64> = gradients.named().iter().flat_map(|(_, tensor)| tensor.iter().copied()).collect();
    assert_eq!(exact.len(), numeric.len());
    assert!(exact.iter().any(|g| g.abs() > 0.1));
    for (at, (exact, numeric)) in exact.iter().zip(&numeric).enumerate() {
        let error = (exact - numeric).abs() / (1e-3 + exact.abs());
        assert!(error < 1e-6, "weight {at}: exact {exact}, finite difference {numeric}");
    }
}
