//! `tapeline aggregate`: builds bars from the topic.

use super::monitor::Watched;
use crate::cli::AggregateOptions;
use crate::context::Context;
use crate::output::{counted, is_quiet, thousands};
use crate::print;
use crate::progress::Progress;
use market::policy::ConditionCounts;
use pipeline::aggregate;
use ports::Result;
use ports::store::Store;
use ports::telemetry::Telemetry;
use ports::topic::Topics;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use tapeline::config::Config;
use tapeline::open;

pub(crate) fn run(context: &Context, options: &AggregateOptions) -> Result<ExitCode> {
    let config = &context.config;
    let topics = open::topics(config, &context.stop)?;
    let store = open::store(config)?;
    crate::command::prepare::prepare(context, config, &*topics)?;
    context.retry_long(|| store.writer(&context.stop).map(drop))?;
    let telemetry = Arc::new(Telemetry::default());
    if options.rebuild {
        let report = rebuild_sessions(context, config, &*topics, &*store, &telemetry)?;
        if report.sessions == 0 && report.left.is_empty() {
            println!("no session is to be rebuilt");
        }
        report_rebuilt(&report);
        print::json(|| rebuilt_json(&report));
        return Ok(if report.left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let _monitor = super::monitor::start(
        context,
        config,
        &telemetry,
        Watched::consumer(format!("{}-bars", config.topic.group)),
    )?;
    let progress = Progress::new("aggregated", &telemetry, |t| &t.aggregated, None);
    let start = Instant::now();
    let until_end = AtomicBool::new(options.until_end);
    aggregate::run(&*topics, &*store, &settings(config)?, &telemetry, &context.stop, &until_end)?;
    drop(progress);
    let rebuilt = match options.until_end && !context.stop.is_cancelled() {
        true => rebuild_sessions(context, config, &*topics, &*store, &telemetry)?,
        false => aggregate::RebuildReport::default(),
    };
    let busy = telemetry.busy_bars().as_secs_f64();
    let rate = if busy > 0.0 { telemetry.get(&telemetry.aggregated) as f64 / busy } else { 0.0 };
    if !is_quiet() {
        summary(&telemetry);
        println!(
            "  {busy:.2} s, {} records/s ({:.1} s including start-up and shutdown)",
            thousands(rate as u64),
            start.elapsed().as_secs_f64()
        );
    }
    report_rebuilt(&rebuilt);
    for line in telemetry.lost_lines() {
        println!("  LOST: {line}");
    }
    print::json(|| {
        let mut done = super::report::bars(&telemetry);
        done["rebuilt"] = rebuilt_json(&rebuilt);
        done["lost"] = telemetry.lost_lines().into();
        done["seconds"] = super::report::seconds(start.elapsed()).into();
        done
    });
    Ok(crate::cli::loss_code(&telemetry))
}

/// Rebuilds the bars of sessions that added partitions have split, or of which records came too late.
pub(crate) fn rebuild_sessions(
    context: &Context,
    config: &Config,
    topics: &dyn Topics,
    store: &dyn Store,
    telemetry: &Telemetry,
) -> Result<aggregate::RebuildReport> {
    aggregate::rebuild_sessions(
        topics,
        store,
        &settings(config)?,
        &config.topic.group,
        telemetry,
        &context.stop,
    )
}

fn rebuilt_json(report: &aggregate::RebuildReport) -> serde_json::Value {
    serde_json::json!({ "sessions": report.sessions, "bars": report.bars, "incomplete": report.left })
}

/// Says what was rebuilt and what was not.
pub(crate) fn report_rebuilt(report: &aggregate::RebuildReport) {
    if report.sessions > 0 {
        let moved = report.sessions - report.late;
        let whys = [
            (report.late, format!("{} came after their bars were final", counted(report.late, "session"))),
            (moved, format!("partitions were added within {}", counted(moved, "session"))),
        ];
        let whys: Vec<String> =
            whys.into_iter().filter(|(count, _)| *count > 0).map(|(_, why)| why).collect();
        println!("  {} rebuilt from the stored records: {}", counted(report.bars, "bar"), whys.join("; "));
    }
    for reason in report.left.iter().take(REASONS) {
        println!("  INCOMPLETE: {reason}");
    }
    if report.left.len() > REASONS {
        println!("  INCOMPLETE: and {} more; all: tapeline gaps --open", report.left.len() - REASONS);
    }
    if !report.left.is_empty() {
        println!("  rebuild them later: tapeline aggregate --rebuild");
    }
}

pub(crate) fn settings(config: &Config) -> Result<aggregate::AggregateSettings> {
    Ok(aggregate::AggregateSettings {
        names: open::names(config),
        group: format!("{}-bars", config.topic.group),
        bars: open::bars(config)?,
        cycle: config.consume.cycle,
        emit_every: config.aggregate.emit_interval,
        commit_every: config.consume.commit_interval,
    })
}

/// Summary of the aggregated records.
pub(crate) fn summary(telemetry: &Telemetry) {
    let get = |counter| thousands(telemetry.get(counter));
    println!(
        "  bars: {} emitted from {}",
        get(&telemetry.bars),
        counted(telemetry.get(&telemetry.aggregated), "record")
    );
    for (count, text) in [
        (&telemetry.late, "arrived after their bars were final; they are on the late topic with the reason"),
        (&telemetry.duplicates, "were duplicates"),
        (&telemetry.unreadable, "are not records; `consume` keeps them as dead letters"),
        (
            &telemetry.not_numeric,
            "are readings of text, or floats beyond 18 decimals or 1e20: they are in no bar",
        ),
    ] {
        if telemetry.get(count) > 0 {
            println!("    {} {text}", get(count));
        }
    }
    let conditions = telemetry.condition_counts();
    // Odd lots and the like set no price on any day: worth a line only if they explain why there are few
    // bars.
    let many = conditions.unpriced() * 2 >= telemetry.get(&telemetry.aggregated);
    for line in unpriced(&conditions, many) {
        println!("    {line}");
    }
}

/// Maximum number of reasons listed.
const REASONS: usize = 5;

/// Why trades set no price, by reason; without `all` only unknown conditions.
pub(crate) fn unpriced(conditions: &ConditionCounts, all: bool) -> Vec<String> {
    let rows =
        conditions.rows().into_iter().filter(|(.., count)| count.unknown || (all && count.unpriced > 0));
    let mut lines: Vec<String> = rows
        .map(|(policy, names, count)| {
            let what = if count.unpriced > 0 { "set no price" } else { "set prices like any other" };
            format!("{} {what}: {names} (policy {policy})", counted(count.trades, "trade"))
        })
        .collect();
    if lines.len() > REASONS {
        let more = lines.len() - REASONS;
        lines.truncate(REASONS);
        lines.push(format!(
            "and {more} more reasons; `tapeline explain SYMBOL TIME` shows them for each trade"
        ));
    }
    lines
}
