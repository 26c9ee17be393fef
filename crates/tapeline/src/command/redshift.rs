//! `tapeline redshift`: archive on S3 to Amazon Redshift.

use crate::cli::{DIFFERS, LoadOptions, RedshiftVerb};
use crate::context::Context;
use crate::output::{counted, note, thousands};
use crate::print;
use pipeline::archive::{load, read};
use ports::Result;
use std::process::ExitCode;
use std::time::Instant;
use tapeline::open;

pub(crate) fn run(context: &Context, verb: &RedshiftVerb) -> Result<ExitCode> {
    match verb {
        RedshiftVerb::Ddl => {
            for statement in open::warehouse_tables(&context.config)? {
                println!("{statement};\n");
            }
            Ok(ExitCode::SUCCESS)
        }
        RedshiftVerb::Load(options) => load(context, options),
    }
}

fn load(context: &Context, options: &LoadOptions) -> Result<ExitCode> {
    let config = &context.config;
    let archive = open::archive(config, &options.archive)?;
    let warehouse = open::warehouse(config, &context.stop)?;
    let names = open::names(config);
    let start = Instant::now();
    note(&format!("reading the archive {}", archive.describe()));
    let inventory = context.retry_short(|| read::inventory(&*archive, &names, &context.stop))?;
    note(&format!("loading into {}", warehouse.describe()));
    let report = load::run(&*archive, &inventory, &*warehouse, &context.stop)?;
    println!(
        "loaded: {} from {} in {}, {:.1} s; {} loaded before",
        counted(report.records, "record"),
        counted(report.objects, "object"),
        counted(report.loads, "transaction"),
        start.elapsed().as_secs_f64(),
        thousands(report.skipped)
    );
    for line in &report.faults {
        println!("  ARCHIVE: {line}");
    }
    print::json(|| {
        serde_json::json!({
            "records": report.records,
            "objects": report.objects,
            "loads": report.loads,
            "skipped": report.skipped,
            "faults": report.faults,
            "seconds": super::report::seconds(start.elapsed()),
        })
    });
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}
