//! `tapeline archive`: topic to Parquet in a folder or on S3.

use super::monitor::Watched;
use crate::cli::{ArchiveOptions, ArchiveVerb, CompactOptions};
use crate::context::Context;
use crate::output::{counted, note, thousands};
use crate::print;
use crate::progress::Progress;
use pipeline::archive::compact::{self, CompactSettings};
use pipeline::archive::{self, ArchiveSettings};
use ports::Result;
use ports::telemetry::Telemetry;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use tapeline::config::Config;
use tapeline::open;

pub(crate) fn run(context: &Context, options: &ArchiveOptions) -> Result<ExitCode> {
    if let Some(ArchiveVerb::Compact(options)) = &options.verb {
        return compact(context, options);
    }
    let config = &context.config;
    let archive = open::archive(config, &options.archive)?;
    let topics = open::topics(config, &context.stop)?;
    crate::command::prepare::prepare(context, config, &*topics)?;
    context.retry_long(|| archive.list("_ranges/none/").map(drop))?;
    let telemetry = Arc::new(Telemetry::default());
    let settings = settings(config);
    let _monitor = super::monitor::start(context, config, &telemetry, Watched::reader(&settings.group))?;
    let progress = Progress::new("archived", &telemetry, |t| &t.stored, None);
    let start = Instant::now();
    let until_end = AtomicBool::new(options.until_end);
    let report = archive::run(&*topics, &*archive, &settings, &telemetry, &context.stop, &until_end)?;
    drop(progress);
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "archived: {} in {}, {} of {} in {seconds:.1} s",
        counted(report.records, "record"),
        counted(report.ranges, "range"),
        counted(report.objects + report.existed, "object"),
        counted(report.bytes, "byte")
    );
    for (count, text) in [
        (report.existed, "objects had been created by an earlier attempt"),
        (report.unreadable, "messages are not records; `consume` keeps them as dead letters"),
        (report.completed, "ranges of earlier runs lacked files, which were written again"),
        (report.open, "messages were read and not archived; the next start reads them again"),
    ] {
        if count > 0 {
            println!("  {} {text}", thousands(count));
        }
    }
    for line in &report.incomplete {
        println!("  NOT complete: {line}");
    }
    for line in telemetry.lost_lines() {
        println!("  LOST: {line}");
    }
    note(&format!("check it: tapeline verify --archive '{}'", archive.describe()));
    print::json(|| {
        serde_json::json!({
            "records": report.records,
            "ranges": report.ranges,
            "objects": report.objects,
            "bytes": report.bytes,
            "existed": report.existed,
            "unreadable": report.unreadable,
            "completed": report.completed,
            "open": report.open,
            "incomplete": report.incomplete,
            "lost": telemetry.lost_lines(),
            "seconds": super::report::seconds(start.elapsed()),
        })
    });
    let whole = report.incomplete.is_empty();
    Ok(if whole { crate::cli::loss_code(&telemetry) } else { ExitCode::from(crate::cli::DIFFERS) })
}

/// `tapeline archive compact`.
fn compact(context: &Context, options: &CompactOptions) -> Result<ExitCode> {
    let config = &context.config;
    let archive = open::archive(config, &options.archive)?;
    let settings = CompactSettings { names: open::names(config), rows: config.archive.rows };
    context.retry_long(|| archive.list("_ranges/none/").map(drop))?;
    let start = Instant::now();
    let report = compact::run(&*archive, &settings, &context.stop)?;
    println!(
        "compacted: {} into {}, {} of {} in {:.1} s; {} removed",
        counted(report.replaced, "range"),
        thousands(report.merged),
        counted(report.objects, "object"),
        counted(report.bytes, "byte"),
        start.elapsed().as_secs_f64(),
        counted(report.removed, "file")
    );
    for line in &report.faults {
        println!("  NOT merged: {line}");
    }
    print::json(|| {
        serde_json::json!({
            "replaced": report.replaced,
            "merged": report.merged,
            "objects": report.objects,
            "bytes": report.bytes,
            "removed": report.removed,
            "faults": report.faults,
            "seconds": super::report::seconds(start.elapsed()),
        })
    });
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(crate::cli::DIFFERS) })
}

fn settings(config: &Config) -> ArchiveSettings {
    ArchiveSettings {
        names: open::names(config),
        group: format!("{}-archive", config.topic.group),
        cycle: config.consume.cycle,
        rows: config.archive.rows,
        age: config.archive.age,
        memory: config.archive.memory_mib << 20,
    }
}
