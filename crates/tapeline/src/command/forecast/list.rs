//! `tapeline forecast list`.

use super::models;
use super::options::ListOptions;
use crate::output::{table, thousands};
use crate::print;
use market::UnixNanos;
use ports::Result;
use std::process::ExitCode;

pub(crate) fn run(options: &ListOptions) -> Result<ExitCode> {
    let names = ["symbol", "interval", "from", "to", "digest", "version", "bars", "models"];
    let mut rows = vec![names.map(str::to_owned).to_vec()];
    let day = |ns: i64| UnixNanos(ns).local("%Y-%m-%d", "UTC");
    let all = models::all(&options.models)?;
    let (mut result, mut versions) = (ExitCode::SUCCESS, Vec::new());
    for version in &all {
        let (bundle, digest) = match models::read(version) {
            Ok(read) => read,
            // The others are listed all the same.
            Err(error) => {
                eprintln!("error: {error}");
                result = ExitCode::FAILURE;
                continue;
            }
        };
        versions.push(serde_json::json!({
            "symbol": bundle.meta.symbol,
            "interval": bundle.meta.interval,
            "from": day(bundle.meta.first_ns),
            "to": day(bundle.meta.last_ns),
            "digest": digest,
            "version": version.number,
            "bars": bundle.meta.bars,
            "models": bundle.models.kinds,
            "file": version.path,
        }));
        rows.push(vec![
            bundle.meta.symbol,
            bundle.meta.interval,
            day(bundle.meta.first_ns),
            day(bundle.meta.last_ns),
            digest,
            version.number.to_string(),
            thousands(bundle.meta.bars as u64),
            bundle.models.kinds.len().to_string(),
        ]);
    }
    print::json(|| versions.into());
    if all.is_empty() {
        println!(
            "no trained models in {}; train one: tapeline forecast train SPY --interval 1d",
            options.models.display()
        );
        return Ok(ExitCode::SUCCESS);
    }
    print!("{}", table(&rows, 5));
    Ok(result)
}
