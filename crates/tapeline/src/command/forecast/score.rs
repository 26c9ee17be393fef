//! `tapeline forecast score`: the walk-forward scores of every model.

use super::models;
use super::options::VersionOptions;
use crate::output::{table, thousands};
use crate::print;
use forecast::scoreboard::Score;
use forecast::{Bundle, Target};
use ports::Result;
use std::process::ExitCode;

pub(crate) fn run(options: &VersionOptions) -> Result<ExitCode> {
    let symbol = options.symbol.trim().to_ascii_uppercase();
    let interval = options.interval.to_string();
    let version = models::find(&options.folder.models, &symbol, &interval, options.model_version)?;
    let (bundle, digest) = models::read(&version)?;
    print::json(|| {
        serde_json::json!({
            "symbol": symbol,
            "interval": interval,
            "version": version.number,
            "bars": bundle.meta.bars,
            "digest": digest,
            "scores": bundle.meta.scores,
        })
    });
    println!(
        "{symbol} {interval}, version {}, {} bars, digest {digest}\n",
        version.number,
        thousands(bundle.meta.bars as u64)
    );
    for target in Target::ALL {
        let mut scores: Vec<&Score> =
            bundle.meta.scores.iter().filter(|score| score.task.target == target).collect();
        scores.sort_by_key(|score| (score.task.horizon, score.kind));
        let mut rows = vec![header(target)];
        rows.extend(scores.into_iter().map(row));
        println!("{}", target.label());
        println!("{}", table(&rows, 1));
    }
    Ok(ExitCode::SUCCESS)
}

/// The model with the best score for each task, one line each.
pub(crate) fn best(bundle: &Bundle) -> String {
    let mut rows =
        vec![["forecast", "best model", "coverage of 90 %", "verdict"].map(str::to_owned).to_vec()];
    for task in &bundle.models.tasks {
        if let Some(score) = bundle.best(*task) {
            rows.push(vec![
                task.to_string(),
                score.kind.label().to_owned(),
                format!("{} %", percent(score.coverage[2])),
                score.verdict.to_string(),
            ]);
        }
    }
    table(&rows, 4)
}

fn header(target: Target) -> Vec<String> {
    let loss = match target {
        Target::Return => "sq. error 1e-4",
        Target::Variance => "QLIKE",
        Target::Range => "sq. log error",
    };
    let names = [
        "model",
        "bars ahead",
        "forecasts",
        "RMSE %",
        "MASE",
        loss,
        "direction % (95 %)",
        "90 % covers",
        "width %",
        "CRPS",
        "p best (Holm)",
        "verdict",
    ];
    names.map(str::to_owned).to_vec()
}

fn row(score: &Score) -> Vec<String> {
    let unit = if score.task.target == Target::Return { 1e4 } else { 1.0 };
    let direction = |share: forecast::score::Share| {
        format!("{} ({}-{})", percent(share.share), percent(share.low), percent(share.high))
    };
    vec![
        score.kind.label().to_owned(),
        score.task.horizon.to_string(),
        thousands(score.forecasts as u64),
        format!("{:.3}", score.rmse * 100.0),
        score.mase.map_or_else(String::new, |mase| format!("{mase:.3}")),
        format!("{:.4}", score.loss * unit),
        score.direction.map_or_else(String::new, direction),
        percent(score.coverage[2]),
        format!("{:.2}", score.width[2] * 100.0),
        format!("{:.4}", score.crps),
        score.adjusted_p.map_or_else(String::new, |p| format!("{p:.4}")),
        score.verdict.to_string(),
    ]
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}
