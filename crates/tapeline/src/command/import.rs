//! `tapeline import`: stores a data vendor's own bars directly.

use crate::cli::ImportOptions;
use crate::context::Context;
use crate::output::counted;
use crate::print;
use market::Kind;
use market::codec::lean_bars::BarReader;
use market::interval::Interval;
use market::time::SessionDay;
use ports::error::io;
use ports::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tapeline::open;

/// Bars written per call.
const CHUNK: usize = 10_000;

pub(crate) fn run(context: &Context, options: &ImportOptions) -> Result<ExitCode> {
    let interval: Interval = match options.resolution.as_str() {
        "second" => Interval::S1,
        "minute" => Interval::M1,
        "hour" => "1h".parse().map_err(Error::internal)?,
        "daily" => Interval::D1,
        other => {
            return Err(Error::usage(format!("--resolution: unknown value {other}"))
                .hint("use second, minute, hour or daily"));
        }
    };
    let files = files(&options.dir.join(&options.resolution), &context.symbols)?;
    let store = open::store(&context.config)?;
    context.retry_long(|| store.writer(&context.stop).map(drop))?;
    let (mut bars, mut wrong) = (0, 0);
    for (symbol, path) in &files {
        let reader = reader(context, symbol, path, interval, &options.label)?;
        let text = unzip(path)?;
        let mut chunk = Vec::with_capacity(CHUNK);
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            match reader.read(line) {
                Ok(bar) => chunk.push(bar),
                Err(error) => {
                    wrong += 1;
                    eprintln!("{}: line {}: {error}; skipped", path.display(), number + 1);
                }
            }
            if chunk.len() == CHUNK {
                store.write_bars(&chunk, &context.stop)?;
                bars += chunk.len();
                chunk.clear();
            }
        }
        store.write_bars(&chunk, &context.stop)?;
        bars += chunk.len();
        if context.stop.is_cancelled() {
            return Err(Error::user("stopped before the end; run the command again to import all bars"));
        }
    }
    println!(
        "imported {} of {} as feed {} into {}",
        counted(bars as u64, &format!("{interval} bar")),
        counted(files.len() as u64, "file"),
        options.label,
        store.describe()
    );
    print::json(|| {
        serde_json::json!({
            "bars": bars,
            "interval": interval.to_string(),
            "files": files.len(),
            "feed": options.label,
            "store": store.describe(),
            "skipped": wrong,
        })
    });
    if wrong > 0 {
        return Err(Error::user(format!("{} skipped: not valid bars; listed above", counted(wrong, "line"))));
    }
    Ok(ExitCode::SUCCESS)
}

/// Files of a folder: `spy.zip`, or `spy/20131008_trade.zip`.
fn files(dir: &Path, symbols: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let list = |dir: &Path| -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(dir).map_err(io("read folder", dir))?;
        let mut paths: Vec<PathBuf> =
            entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        paths.sort();
        Ok(paths)
    };
    let mut out = Vec::new();
    for path in list(dir)? {
        // A folder's name is the symbol, also with a dot in it: `brk.b`.
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
        let symbol = name.unwrap_or_default().to_string_lossy().to_ascii_uppercase();
        if !symbols.is_empty() && !symbols.iter().any(|only| only.eq_ignore_ascii_case(&symbol)) {
            continue;
        }
        let within = if path.is_dir() { list(&path)? } else { vec![path] };
        out.extend(
            within
                .into_iter()
                .filter(|p| p.extension().is_some_and(|e| e == "zip"))
                .map(|p| (symbol.clone(), p)),
        );
    }
    if out.is_empty() {
        return Err(Error::user(format!("no bar files in {}", dir.display()))
            .hint("expected SYMBOL.zip, or SYMBOL/YYYYMMDD_trade.zip"));
    }
    let found = |only: &&String| out.iter().any(|(symbol, _)| symbol.eq_ignore_ascii_case(only));
    let missing: Vec<&str> = symbols.iter().filter(|only| !found(only)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Err(Error::user(format!("no bar file of {} in {}", missing.join(", "), dir.display()))
            .hint("request only the symbols that are there, or add the files"));
    }
    Ok(out)
}

fn reader(
    context: &Context,
    symbol: &str,
    path: &Path,
    interval: Interval,
    label: &str,
) -> Result<BarReader> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (date, kind) = name.split_once('_').unwrap_or(("", "trade"));
    let kind: Kind = kind.parse().map_err(|error| Error::user(format!("{}: {error}", path.display())))?;
    let zone = context.config.source.zone.clone();
    let session = match date {
        "" => None,
        date => {
            let fail = |error: String| Error::user(format!("{}: {error}", path.display()));
            let date =
                date.parse().map_err(|_| fail("the file name does not start with a date".to_owned()))?;
            Some(SessionDay::new(date, &zone).map_err(fail)?)
        }
    };
    Ok(BarReader { kind, symbol: symbol.to_owned(), feed: label.to_owned(), interval, zone, session })
}

fn unzip(path: &Path) -> Result<String> {
    sources::tape::unzip(path)
}
