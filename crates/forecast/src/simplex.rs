//! Minimisation without derivatives: the simplex method of Nelder and Mead (1965). Deterministic.

/// Lowest point found from `start` with initial steps `steps`, and its value. Stops after `limit` evaluations, or when
/// the simplex spans less than `tolerance` (relative) in value.
pub(crate) fn minimise(
    f: impl Fn(&[f64]) -> f64,
    start: &[f64],
    steps: &[f64],
    limit: usize,
    tolerance: f64,
) -> (Vec<f64>, f64) {
    let size = start.len();
    let mut points: Vec<(Vec<f64>, f64)> = (0..=size)
        .map(|corner| {
            let mut point = start.to_vec();
            if let Some(axis) = corner.checked_sub(1) {
                point[axis] += steps[axis];
            }
            let value = f(&point);
            (point, value)
        })
        .collect();
    let mut evaluations = size + 1;
    while evaluations < limit {
        points.sort_by(|a, b| a.1.total_cmp(&b.1));
        if (points[size].1 - points[0].1).abs() <= tolerance * (1.0 + points[0].1.abs()) {
            break;
        }
        let centre: Vec<f64> = (0..size)
            .map(|axis| points[..size].iter().map(|p| p.0[axis]).sum::<f64>() / size as f64)
            .collect();
        let worst = points[size].clone();
        let toward = |factor: f64| {
            let point: Vec<f64> = centre.iter().zip(&worst.0).map(|(c, w)| c + factor * (w - c)).collect();
            let value = f(&point);
            (point, value)
        };
        let reflected = toward(-1.0);
        evaluations += 1;
        if reflected.1 < points[0].1 {
            let expanded = toward(-2.0);
            evaluations += 1;
            points[size] = if expanded.1 < reflected.1 { expanded } else { reflected };
        } else if reflected.1 < points[size - 1].1 {
            points[size] = reflected;
        } else {
            let contracted = toward(if reflected.1 < worst.1 { -0.5 } else { 0.5 });
            evaluations += 1;
            if contracted.1 < worst.1.min(reflected.1) {
                points[size] = contracted;
            } else {
                let best = points[0].0.clone();
                for point in &mut points[1..] {
                    point.0 = point.0.iter().zip(&best).map(|(x, b)| b + 0.5 * (x - b)).collect();
                    point.1 = f(&point.0);
                }
                evaluations += size;
            }
        }
    }
    points.sort_by(|a, b| a.1.total_cmp(&b.1));
    points.swap_remove(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn finds_the_minimum_of_rosenbrock() {
        let f = |p: &[f64]| (1.0 - p[0]).powi(2) + 100.0 * (p[1] - p[0] * p[0]).powi(2);
        let (point, value) = super::minimise(f, &[-1.2, 1.0], &[0.1, 0.1], 2000, 1e-14);
        assert!(value < 1e-10 && (point[0] - 1.0).abs() < 1e-4, "{point:?} {value}");
    }
}
