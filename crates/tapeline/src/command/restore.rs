//! `tapeline restore`: archive to store.

use crate::cli::{DIFFERS, RestoreOptions};
use crate::context::Context;
use crate::output::{counted, note};
use crate::print;
use crate::progress::Progress;
use pipeline::archive::{read, restore};
use pipeline::verify::Only;
use ports::Result;
use ports::telemetry::Telemetry;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use tapeline::open;

/// Maximum number of reasons listed.
const REASONS: usize = 10;

pub(crate) fn run(context: &Context, options: &RestoreOptions) -> Result<ExitCode> {
    let config = &context.config;
    let (from, to) = options.span.range()?;
    let archive = open::archive(config, &options.archive)?;
    note(&format!("reading the archive {}", archive.describe()));
    // Before a store is created: the address may be mistyped.
    let names = open::names(config);
    let inventory = context.retry_short(|| read::inventory(&*archive, &names, &context.stop))?;
    let store = open::store(config)?;
    if store.describe().starts_with("sqlite:") {
        store.init()?;
    }
    context.retry_long(|| store.writer(&context.stop).map(drop))?;
    let telemetry = Arc::new(Telemetry::default());
    let progress = Progress::new("restored", &telemetry, |t| &t.stored, None);
    let (start, only) = (Instant::now(), Only { from, to, ..Only::default() });
    let report = restore::run(&*archive, inventory, &*store, &only, &telemetry, &context.stop)?;
    drop(progress);
    println!(
        "restored: {} from {} in {:.1} s",
        counted(report.records, "record"),
        counted(report.objects, "object"),
        start.elapsed().as_secs_f64()
    );
    for line in &report.notes {
        println!("  {line}");
    }
    for line in &report.faults {
        println!("  ARCHIVE: {line}");
    }
    for reason in report.refused.iter().take(REASONS) {
        println!("  rejected by the store: {reason}");
    }
    if report.records == 0 && report.faults.is_empty() {
        note("the archive has no records of this span");
    }
    if !report.faults.is_empty() {
        println!("NOT all restored: {}", counted(report.faults.len() as u64, "fault of the archive"));
        super::verify::advise_archive(&options.archive);
    }
    print::json(|| {
        serde_json::json!({
            "records": report.records,
            "objects": report.objects,
            "notes": report.notes,
            "faults": report.faults,
            "refused": report.refused,
            "seconds": super::report::seconds(start.elapsed()),
        })
    });
    let whole = report.faults.is_empty() && report.refused.is_empty();
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}
