//! Training, listing, scoring and showing forecasts from the command line.

use crate::run;
use std::fmt::Write;
use std::path::Path;

/// A CSV file of daily bars whose volatility rises and falls.
fn csv(dir: &Path, days: u32) -> String {
    let mut text = String::from("start,open,high,low,close,volume\n");
    let mut close = 100.0f64;
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    for day in 0..days {
        let spread = 0.01 * (1.5 + (f64::from(day) / 30.0).sin());
        let open = close;
        close = open * (1.0 + spread * (uniform() - 0.5));
        let high = open.max(close) * (1.0 + spread * 0.5 * uniform());
        let low = open.min(close) * (1.0 - spread * 0.5 * uniform());
        let (year, month, date) = (2000 + day / 336, day / 28 % 12 + 1, day % 28 + 1);
        writeln!(text, "{year}-{month:02}-{date:02},{open},{high},{low},{close},{}", 1000 + day % 7).unwrap();
    }
    let path = dir.join("bars.csv");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_trained_model_is_listed_scored_and_shown_and_the_same_seed_gives_the_same_digest() {
    let dir = tempfile::tempdir().unwrap();
    let file = csv(dir.path(), 700);
    let models = dir.path().join("models");
    let models = models.to_str().unwrap();
    let train = || {
        run(&[
            "forecast",
            "train",
            "xyz",
            "--file",
            &file,
            "--interval",
            "1d",
            "--models",
            models,
            "--horizons",
            "1,5",
        ])
    };
    let (code, text) = train();
    assert!(code == 0 && text.contains("XYZ 1d: 700 bars") && text.contains("version 1 in "), "{text}");
    let (code, text) = train();
    assert!(code == 0 && text.contains("version 2 in "), "{text}");

    let (code, text) = run(&["forecast", "list", "--models", models]);
    assert_eq!(code, 0, "{text}");
    let digests: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(4)).collect();
    assert!(digests.len() == 2 && digests[0] == digests[1] && digests[0].len() == 32, "{text}");

    let (code, text) = run(&["forecast", "score", "XYZ", "--interval", "1d", "--models", models]);
    assert!(code == 0 && text.contains("QLIKE") && text.contains("best baseline"), "{text}");
    let verdicts = text.matches("beat").count() + text.matches("worse than").count();
    assert!(verdicts >= 18, "every model and task has a verdict: {text}");

    let show = ["forecast", "show", "XYZ", "--file", &file, "--interval", "1d", "--models", models];
    let (code, text) = run(&show);
    assert!(code == 0 && text.contains("return over 1 bar") && text.contains("range over 5 bars"), "{text}");

    let path = Path::new(models).join("XYZ/1d/0002.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let (code, text) = run(&show);
    assert!(code == 1 && text.contains("truncated or damaged") && text.contains("forecast train"), "{text}");
}

#[test]
fn what_cannot_be_forecast_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().to_str().unwrap();
    let file = csv(dir.path(), 60);
    let train = ["forecast", "train", "XYZ", "--file", &file, "--interval", "1d", "--models", models];
    let (code, text) = run(&train);
    assert!(code == 1 && text.contains("expected at least 68 bars") && text.contains("found 60"), "{text}");
    let (code, text) =
        run(&["forecast", "show", "XYZ", "--file", &file, "--models", models, "--interval", "1d"]);
    assert!(code == 1 && text.contains("expected a trained model for XYZ 1d"), "{text}");
    let long = csv(dir.path(), 700);
    let train = ["forecast", "train", "XYZ", "--file", &long, "--models", models, "--without", "oracle"];
    let (code, text) = run(&train);
    assert!(
        code == 1 && text.contains("expected one of random_walk") && text.contains("found `oracle`"),
        "{text}"
    );
}
