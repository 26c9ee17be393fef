//! Scores every model, target and horizon walk-forward on the bars of Lean data files, and prints them as Markdown:
//! docs/forecast-scores.md is its output.
//!
//! ```text
//! cargo run --release -p forecast --example scoreboard -- [--without MODEL] FILE [FILE ...]
//! ```
//! A file is `DATA/daily/spy.zip`, `DATA/hour/spy.zip` or the folder `DATA/minute/spy`. Factors next to the data
//! (`DATA/factor_files/spy.csv`) are applied to splits and dividends. `--without lstm` leaves out what takes most of the time.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod support;

use forecast::scoreboard::{self, ModelVerdict, Score, Scoreboard};
use forecast::split;
use forecast::walk_forward::{Step, WalkOptions, walk_forward};
use forecast::{Dataset, ModelKind, Target, Task};
use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;
use support::LeanFile;

/// Coverage that 90 % intervals are expected to have.
const COVERED: std::ops::RangeInclusive<f64> = 0.885..=0.915;

/// Maximum number of rows outside of it that a summary names.
const NAMED: usize = 12;

/// The scores of one file.
struct Scored {
    file: LeanFile,
    /// Number of bars with a bad print.
    cut: usize,
    board: Scoreboard,
}

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
        return Err("usage: scoreboard [--without MODEL] DATA/daily/SYMBOL.zip [MORE ...]".into());
    }
    let all: Vec<Scored> = paths.iter().map(|path| score(path, &kinds)).collect::<Result<_, _>>()?;
    let mut intervals: Vec<&str> = all.iter().map(|scored| scored.file.interval.as_str()).collect();
    intervals.dedup();
    for interval in &intervals {
        let of: Vec<&Scored> = all.iter().filter(|scored| scored.file.interval == *interval).collect();
        print_summary(interval, &of);
    }
    for scored in &all {
        print_board(scored);
    }
    Ok(())
}

fn score(path: &Path, kinds: &[ModelKind]) -> Result<Scored, Box<dyn Error>> {
    let file = support::read(path)?;
    let name = format!("{} {}", file.symbol, file.interval);
    for split in split::suspected(&file.series) {
        eprintln!("{name}: bar {} looks like a split of {}", split.bar, split.ratio);
    }
    let data = Dataset::new(&file.series, file.season).map_err(|error| format!("{name}: {error}"))?;
    let options = WalkOptions {
        first_fit: file.first_fit,
        refit_every: file.refit_every,
        kinds: kinds.to_vec(),
        ..WalkOptions::default()
    };
    let started = Instant::now();
    let mut last = None;
    let mut observe = |step: Step| {
        if last != Some(step.fit) {
            last = Some(step.fit);
            eprint!("\r{name}: fit {}/{}", step.fit + 1, step.fits);
        }
    };
    let tracks = walk_forward(&data, &options, &mut observe).map_err(|error| format!("{name}: {error}"))?;
    eprintln!(" in {:.1} s", started.elapsed().as_secs_f64());
    Ok(Scored { cut: data.cut_bars().len(), board: scoreboard::score(&data, &tracks), file })
}

fn print_board(scored: &Scored) {
    let Scored { file, cut, board } = scored;
    println!("## {} {}\n", file.symbol, file.interval);
    println!(
        "{} bars, {}, {}, bad prints cut from {cut}; first fit on {} bars, refitted every {}.\n",
        file.series.len(),
        file.span,
        file.adjustment,
        file.first_fit,
        file.refit_every
    );
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

/// `2 of 4 (SPY, AAPL)`.
fn counted(symbols: &[&str], of: usize) -> String {
    let names = if symbols.is_empty() { String::new() } else { format!(" ({})", symbols.join(", ")) };
    format!("{} of {of}{names}", symbols.len())
}

/// By how much coverage differs from 90 % by chance.
fn print_chance(score: &Score) {
    let horizon = score.task.horizon;
    let apart = score.forecasts as f64 / horizon as f64;
    println!(
        "At {horizon} bars ahead {} forecasts hold {apart:.0} that do not overlap, so that one standard deviation of the coverage \
         of 90 % is {:.1} points.",
        score.forecasts,
        (0.9 * 0.1 / apart).sqrt() * 100.0
    );
}

fn print_summary(interval: &str, all: &[&Scored]) {
    println!("## Summary: {interval} bars\n");
    println!(
        "| target | bars ahead | model | beats the reference, p < 0.05 | beats the best baseline after Holm | worse |"
    );
    println!("|---|--:|---|--:|--:|--:|");
    let rows: Vec<(&str, &Score)> = all
        .iter()
        .flat_map(|scored| scored.board.scores.iter().map(|score| (scored.file.symbol.as_str(), score)))
        .collect();
    let keys: BTreeSet<(Task, ModelKind)> = rows
        .iter()
        .filter(|(_, score)| !score.kind.is_baseline() || score.kind == ModelKind::Har)
        .map(|(_, score)| (score.task, score.kind))
        .collect();
    for (task, kind) in keys {
        let symbols = |holds: fn(&Score) -> bool| -> Vec<&str> {
            let of =
                rows.iter().filter(|(_, score)| score.task == task && score.kind == kind && holds(score));
            of.map(|(symbol, _)| *symbol).collect()
        };
        let beats_reference = |score: &Score| {
            score.against_reference.is_some_and(|t| t.mean_difference < 0.0 && t.p_value < 0.05)
        };
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            task.target.label(),
            task.horizon,
            kind.label(),
            counted(&symbols(beats_reference), all.len()),
            counted(&symbols(|score| matches!(score.verdict, ModelVerdict::Beats { .. })), all.len()),
            counted(&symbols(|score| matches!(score.verdict, ModelVerdict::Worse { .. })), all.len()),
        );
    }
    let coverage = |score: &Score| score.coverage[2];
    let (low, high) = rows
        .iter()
        .fold((1.0f64, 0.0f64), |(low, high), (_, s)| (low.min(coverage(s)), high.max(coverage(s))));
    let is_outside = |row: &&(&str, &Score)| !COVERED.contains(&coverage(row.1));
    let outside: Vec<String> = rows
        .iter()
        .filter(is_outside)
        .map(|(symbol, score)| {
            let target = score.task.target.label();
            let percent = coverage(score) * 100.0;
            format!("{symbol} {target} {} {} {percent:.1}", score.task.horizon, score.kind.label())
        })
        .collect();
    print!(
        "\n90 % intervals cover 88.5-91.5 % in {} of {} rows (lowest {:.1} %, highest {:.1} %).",
        rows.len() - outside.len(),
        rows.len(),
        low * 100.0,
        high * 100.0
    );
    let named = &outside[..outside.len().min(NAMED)];
    let more = outside.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let listed =
        if outside.is_empty() { String::new() } else { format!(" Outside: {}{more}.", named.join(", ")) };
    println!("{listed}");
    if let Some((_, score)) = rows.iter().filter(is_outside).max_by_key(|(_, score)| score.task.horizon) {
        print_chance(score);
    }
    println!();
}
