//! Prints the scoreboard of every model, target and horizon for the bars of Lean data files, as Markdown.
//!
//! ```text
//! cargo run --release -p forecast --example scoreboard -- DATA/daily/spy.zip [MORE.zip ...]
//! ```
//! `--without MODEL` leaves a model out, for example `lstm`, which takes most of the time.
//! A factor file next to the data (`../factor_files/spy.csv`) is applied to splits and dividends. Hourly files work too.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod support;

use forecast::scoreboard::{self, Score, Scoreboard};
use forecast::walk_forward::{Step, WalkOptions, walk_forward};
use forecast::{Dataset, ModelKind, Target};
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut kinds = ModelKind::ALL.to_vec();
    let mut paths = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--without" {
            let label = arguments.next().ok_or("--without: expected a model")?;
            let kind =
                ModelKind::from_label(&label).ok_or_else(|| format!("--without: unknown model `{label}`"))?;
            kinds.retain(|kept| *kept != kind);
        } else {
            paths.push(PathBuf::from(argument));
        }
    }
    if paths.is_empty() {
        return Err("usage: scoreboard [--without MODEL] DATA/daily/SYMBOL.zip [MORE.zip ...]".into());
    }
    let mut boards = Vec::new();
    for path in paths {
        let file = support::read(&path)?;
        let bars = file.series.len();
        let data =
            Dataset::new(&file.series, file.season).map_err(|error| format!("{}: {error}", file.name))?;
        let options = WalkOptions {
            first_fit: file.first_fit,
            refit_every: file.refit_every,
            kinds: kinds.clone(),
            ..WalkOptions::default()
        };
        let started = Instant::now();
        let mut last = None;
        let mut observe = |step: Step| {
            if last != Some(step.fit) {
                last = Some(step.fit);
                eprint!("\r{}: fit {}/{}", file.name, step.fit + 1, step.fits);
            }
        };
        let tracks = walk_forward(&data, &options, &mut observe)?;
        eprintln!(" in {:.1} s", started.elapsed().as_secs_f64());
        let board = scoreboard::score(&data, &tracks);
        println!("## {}\n", file.name);
        println!(
            "{bars} bars, {}, {}, bad prints cut from {}; first fit on {} bars, refitted every {}.\n",
            file.span,
            file.adjustment,
            data.cut_bars().len(),
            options.first_fit,
            options.refit_every
        );
        print_board(&board);
        boards.push((file.name, board));
    }
    print_summary(&boards);
    Ok(())
}

fn print_board(board: &Scoreboard) {
    for target in Target::ALL {
        println!("### {}\n", target.label());
        println!(
            "| bars ahead | model | forecasts | RMSE % | MASE | {} | direction % (95 % interval) | 50 % | 80 % | 90 % | width 90 % | CRPS | p, reference | p, best (Holm) | verdict |",
            loss_name(target)
        );
        println!("|--:|---|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|---|");
        let mut scores: Vec<&Score> =
            board.scores.iter().filter(|score| score.task.target == target).collect();
        scores.sort_by_key(|score| (score.task.horizon, score.kind));
        for score in scores {
            print_row(score);
        }
        println!();
    }
}

fn print_row(score: &Score) {
    let loss = if score.task.target == Target::Return { score.loss * 1e4 } else { score.loss };
    let percent = |share: f64| format!("{:.1}", share * 100.0);
    let direction = score.direction.map_or_else(String::new, |d| {
        format!("{} ({}-{})", percent(d.share), percent(d.low), percent(d.high))
    });
    let p = |p: Option<f64>| p.map_or_else(String::new, p_value);
    let crps = if score.task.target == Target::Return { score.crps * 100.0 } else { score.crps };
    println!(
        "| {} | {} | {} | {:.3} | {} | {:.4} | {direction} | {} | {} | {} | {:.2} | {crps:.4} | {} | {} | {} |",
        score.task.horizon,
        score.kind.label(),
        score.forecasts,
        score.rmse * 100.0,
        score.mase.map_or_else(String::new, |mase| format!("{mase:.3}")),
        loss,
        percent(score.coverage[0]),
        percent(score.coverage[1]),
        percent(score.coverage[2]),
        score.width[2] * 100.0,
        p(score.against_reference.map(|test| test.p_value)),
        p(score.adjusted_p),
        score.verdict,
    );
}

fn p_value(p: f64) -> String {
    if p < 0.0001 { String::from("<0.0001") } else { format!("{p:.4}") }
}

const fn loss_name(target: Target) -> &'static str {
    match target {
        Target::Return => "squared error, 1e-4",
        Target::Variance => "QLIKE",
        Target::Range => "squared log error",
    }
}

fn print_summary(boards: &[(String, Scoreboard)]) {
    println!("## Summary\n");
    println!(
        "| target | bars ahead | model | beats the reference, p < 0.05 | beats the best baseline after Holm | worse |"
    );
    println!("|---|--:|---|--:|--:|--:|");
    let all: Vec<&Score> = boards.iter().flat_map(|(_, board)| &board.scores).collect();
    let mut keys: Vec<_> = all
        .iter()
        .filter(|s| !s.kind.is_baseline() || s.kind == ModelKind::Har)
        .map(|s| (s.task, s.kind))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    for (task, kind) in keys {
        let of: Vec<&&Score> = all.iter().filter(|score| score.task == task && score.kind == kind).collect();
        let reference = of
            .iter()
            .filter(|s| s.against_reference.is_some_and(|t| t.mean_difference < 0.0 && t.p_value < 0.05))
            .count();
        let beats = of.iter().filter(|s| matches!(s.verdict, scoreboard::ModelVerdict::Beats { .. })).count();
        let worse = of.iter().filter(|s| matches!(s.verdict, scoreboard::ModelVerdict::Worse { .. })).count();
        println!(
            "| {} | {} | {} | {reference} of {} | {beats} | {worse} |",
            task.target.label(),
            task.horizon,
            kind.label(),
            of.len()
        );
    }
    let inside = all.iter().filter(|score| (0.885..=0.915).contains(&score.coverage[2])).count();
    let (low, high) =
        all.iter().fold((1.0f64, 0.0f64), |(low, high), s| (low.min(s.coverage[2]), high.max(s.coverage[2])));
    println!(
        "\n90 % intervals cover 88.5-91.5 % in {inside} of {} rows (lowest {:.1} %, highest {:.1} %).",
        all.len(),
        low * 100.0,
        high * 100.0
    );
}
