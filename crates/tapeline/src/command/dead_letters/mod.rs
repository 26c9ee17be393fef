//! `tapeline dead-letters`: what can never be stored as it is, and its outcome.

mod corrections;
pub(crate) mod options;
mod print;

use crate::cli::Shape;
use crate::context::Context;
use crate::output::{Out, choose, counted, table, thousands};
use options::{
    DeadLetters, DiscardOptions, ExportOptions, Filter, ListOptions, RedriveOptions, Selection, ShowOptions,
};
use pipeline::dead_letters::{self, Settings};
use ports::dead_letter::log::{self, Entry, Number, State};
use ports::topic::{Names, Topics};
use ports::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use tapeline::open;

/// Dead letters that a table shows without `--limit`.
const ROWS: usize = 100;
/// Refused dead letters that are printed.
const NAMED: usize = 10;

/// The dead-letter topic, and every dead letter on it.
struct Letters {
    topics: Box<dyn Topics>,
    names: Names,
    entries: Vec<Entry>,
}

pub(crate) fn run(context: &Context, verb: &DeadLetters) -> Result<ExitCode> {
    let topics = open::topics(&context.config, &context.stop)?;
    let names = open::names(&context.config);
    let entries = context.retry_short(|| log::read(&*topics, &names))?;
    let dead_letters = Letters { topics, names, entries };
    match verb {
        DeadLetters::List(options) => list(&dead_letters, options),
        DeadLetters::Show(options) => show(&dead_letters, options),
        DeadLetters::Redrive(options) => redrive(context, &dead_letters, options),
        DeadLetters::Discard(options) => discard(&dead_letters, options),
        DeadLetters::Export(options) => export(&dead_letters, options),
    }
}

fn fits(entry: &Entry, all: bool, filter: &Filter) -> bool {
    (all || entry.state == State::Open)
        && filter.stage.is_none_or(|stage| format!("{stage:?}").eq_ignore_ascii_case(&entry.stage))
        && filter.reason.as_ref().is_none_or(|text| entry.reason.contains(text.as_str()))
}

impl Letters {
    fn one(&self, number: Number) -> Result<&Entry> {
        self.entries.iter().find(|entry| entry.number == number).ok_or_else(|| {
            Error::user(format!("no dead letter {number} on {}", self.names.dead_letters()))
                .hint("list all numbers: tapeline dead-letters list --all")
        })
    }

    /// Prints that no open dead letter was selected, which is not an error.
    fn nothing(&self, verb: &str) -> ExitCode {
        let (topic, all) = (self.names.dead_letters(), self.entries.len() as u64);
        let open = self.entries.iter().filter(|entry| entry.state == State::Open).count() as u64;
        if open == 0 {
            println!("nothing to {verb}: {topic} has {}, none of them open", counted(all, "dead letter"));
        } else {
            println!(
                "nothing to {verb}: none of {} on {topic} fits the filter; list them: tapeline dead-letters list",
                counted(open, "open dead letter")
            );
        }
        crate::print::json(|| serde_json::json!({ "selected": 0, "open": open }));
        ExitCode::SUCCESS
    }

    /// The dead letters that were selected. One that is named must be open; it is an error where it is not.
    fn select(&self, selection: &Selection) -> Result<Vec<&Entry>> {
        if selection.all {
            return Ok(self.entries.iter().filter(|entry| fits(entry, false, &selection.filter)).collect());
        }
        let numbers: BTreeSet<Number> = selection.numbers.iter().copied().collect();
        let named = numbers.into_iter().map(|number| match self.one(number)? {
            entry if entry.state == State::Open => Ok(entry),
            entry => Err(Error::user(format!("dead letter {number} is {} already", entry.state.name()))
                .hint("list the open dead letters: tapeline dead-letters list")),
        });
        let named: Vec<&Entry> = named.collect::<Result<_>>()?;
        Ok(named.into_iter().filter(|entry| fits(entry, false, &selection.filter)).collect())
    }
}

fn list(dead_letters: &Letters, options: &ListOptions) -> Result<ExitCode> {
    let mut found: Vec<&Entry> =
        dead_letters.entries.iter().filter(|entry| fits(entry, options.all, &options.filter)).collect();
    let total = found.len();
    let limit = options.limit.unwrap_or(if options.format == Shape::Table { ROWS } else { usize::MAX });
    found.drain(..total.saturating_sub(limit));
    let mut out = Out::new();
    match options.format {
        Shape::Json => {
            let rows: Vec<_> = found.iter().map(|entry| print::json(entry)).collect();
            out.put(&format!("{}\n", serde_json::Value::from(rows)))?;
        }
        Shape::Table => {
            let mut rows = vec![print::HEADER.map(str::to_owned).to_vec()];
            rows.extend(found.iter().map(|entry| print::cells(entry)));
            out.put(&table(&rows, print::HEADER.len()))?;
            let open = dead_letters.entries.iter().filter(|entry| entry.state == State::Open).count();
            let all = dead_letters.entries.len();
            out.put(&format!("{}, {} open", counted(all as u64, "dead letter"), thousands(open as u64)))?;
            if found.len() < total {
                let left = thousands((total - found.len()) as u64);
                out.put(&format!("; {left} older ones are not shown (--limit)"))?;
            }
            out.put("\n")?;
        }
    }
    out.end()?;
    Ok(ExitCode::SUCCESS)
}

fn show(dead_letters: &Letters, options: &ShowOptions) -> Result<ExitCode> {
    let entry = dead_letters.one(options.number)?;
    let mut out = Out::new();
    log::payloads(&*dead_letters.topics, &dead_letters.names, &[entry], &mut |entry, payload| {
        if options.raw {
            return out.bytes(payload).map(drop);
        }
        let text = match options.format {
            Shape::Json => format!("{}\n", print::json_with_payload(entry, payload)),
            Shape::Table => print::detail(entry, payload),
        };
        out.put(&text).map(drop)
    })?;
    out.end()?;
    Ok(ExitCode::SUCCESS)
}

fn redrive(context: &Context, dead_letters: &Letters, options: &RedriveOptions) -> Result<ExitCode> {
    let mut selected = dead_letters.select(&options.selection)?;
    let mut payloads = BTreeMap::new();
    if let Some(path) = &options.corrections {
        payloads = corrections::read(path, &dead_letters.entries)?;
        selected.retain(|entry| payloads.contains_key(&entry.number));
    }
    let payload = options.payload.as_ref().map(|path| {
        if selected.len() != 1 {
            return Err(Error::user(format!(
                "--payload replaces the message of one dead letter, but {} are selected",
                selected.len()
            ))
            .hint("tapeline dead-letters redrive NUMBER --payload FILE"));
        }
        std::fs::read(path).map_err(ports::error::io("read", path))
    });
    if let (Some(payload), Some(entry)) = (payload.transpose()?, selected.first()) {
        payloads.insert(entry.number, payload);
    }
    if selected.is_empty() {
        return Ok(dead_letters.nothing("redrive"));
    }
    let settings = Settings { payloads, kind: options.kind.clone() };
    if options.dry_run {
        let report = dead_letters::plan(&dead_letters.names, &selected);
        refused(&report.refused);
        println!("would publish {}", counted(report.redriven.len() as u64, "message"));
        crate::print::json(|| redriven(report.redriven.len(), &report.refused, true));
        return Ok(ExitCode::SUCCESS);
    }
    let report = dead_letters::redrive(
        &*dead_letters.topics,
        &dead_letters.names,
        &selected,
        &settings,
        &context.stop,
    )?;
    refused(&report.refused);
    let count = report.redriven.len() as u64;
    crate::print::json(|| redriven(report.redriven.len(), &report.refused, false));
    println!(
        "{} published again, {} marked as redriven",
        counted(count, "message"),
        choose(count, "its dead letter is", "their dead letters are")
    );
    if !report.redriven.is_empty() {
        println!("store them: tapeline consume --until-end; what fails again becomes a new dead letter");
    }
    let failed = !options.selection.all && !report.refused.is_empty();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn redriven(published: usize, refused: &[(Number, String)], is_dry: bool) -> serde_json::Value {
    let refused: Vec<_> = refused
        .iter()
        .map(|(number, reason)| serde_json::json!({ "number": number.to_string(), "reason": reason }))
        .collect();
    serde_json::json!({ "published": published, "refused": refused, "dry_run": is_dry })
}

fn refused(refused: &[(Number, String)]) {
    for (number, reason) in refused.iter().take(NAMED) {
        eprintln!("dead letter {number} stays open: {reason}");
    }
    if refused.len() > NAMED {
        let more = (refused.len() - NAMED) as u64;
        eprintln!("{} more {} open", thousands(more), choose(more, "dead letter stays", "dead letters stay"));
    }
}

fn discard(dead_letters: &Letters, options: &DiscardOptions) -> Result<ExitCode> {
    let selected = dead_letters.select(&options.selection)?;
    if selected.is_empty() {
        return Ok(dead_letters.nothing("discard"));
    }
    dead_letters::discard(&*dead_letters.topics, &dead_letters.names, &selected)?;
    crate::print::json(|| {
        let numbers: Vec<String> = selected.iter().map(|entry| entry.number.to_string()).collect();
        serde_json::json!({ "discarded": numbers })
    });
    println!("{} marked as discarded", counted(selected.len() as u64, "dead letter"));
    Ok(ExitCode::SUCCESS)
}

fn export(dead_letters: &Letters, options: &ExportOptions) -> Result<ExitCode> {
    let found: Vec<&Entry> =
        dead_letters.entries.iter().filter(|entry| fits(entry, options.all, &options.filter)).collect();
    let write = |out: &mut dyn FnMut(&str) -> Result<()>| {
        log::payloads(&*dead_letters.topics, &dead_letters.names, &found, &mut |entry, payload| {
            out(&format!("{}\n", print::json_with_payload(entry, payload)))
        })
    };
    match &options.out {
        None => {
            let mut out = Out::new();
            write(&mut |line| out.put(line).map(drop))?;
            out.end()?;
        }
        Some(path) => {
            let fail = ports::error::io("write", path);
            let mut file = BufWriter::new(File::create(path).map_err(&fail)?);
            write(&mut |line| file.write_all(line.as_bytes()).map_err(&fail))?;
            file.flush().map_err(&fail)?;
            crate::print::json(|| serde_json::json!({ "dead_letters": found.len(), "file": path }));
            println!("{} written to {}", counted(found.len() as u64, "dead letter"), path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}
