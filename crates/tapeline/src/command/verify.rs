//! `tapeline verify`: the proof that source, topic and store hold the same.

use crate::cli::{DIFFERS, VerifyOptions};
use crate::context::Context;
use crate::output::{table, thousands};
use market::UnixNanos;
use pipeline::verify::{self, Content, Key, Line, Only};
use ports::source::Source;
use ports::{Error, Result};
use sources::live;
use std::process::ExitCode;
use tapeline::config::Config;
use tapeline::open;

pub(crate) fn run(context: &Context, options: &VerifyOptions) -> Result<ExitCode> {
    let proof = prove(context, &context.config, super::bars::range(&options.span)?)?;
    proof.print();
    Ok(if proof.holds() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

pub(crate) struct Proof {
    names: Vec<&'static str>,
    lines: Vec<Line>,
    notes: Vec<String>,
}

/// Reads source (where one is named), topic and store to their ends and compares them. Of a live source it reads the
/// vendor's history.
pub(crate) fn prove(context: &Context, config: &Config, (from, to): (UnixNanos, UnixNanos)) -> Result<Proof> {
    let (mut names, mut contents, mut notes) = (Vec::new(), Vec::<Content>::new(), Vec::new());
    let mut span = Only { from, to, ..Only::default() };
    let mut only: Option<Vec<Key>> = None;
    if !config.source.url.is_empty() {
        let mut source: Box<dyn Source> = match live::open(&config.source).transpose()? {
            Some(settings) => {
                if from.0 == i64::MIN || to.0 == i64::MAX {
                    return Err(Error::user("a live source is compared by its history: of which span?")
                        .hint("tapeline verify --source ... --from 2026-11-20T14:30:00Z --to 2026-11-20T15:00:00Z"));
                }
                let account = settings.vendor.account();
                let symbols = account.symbols.iter();
                only =
                    Some(symbols.flat_map(|name| account.kinds.iter().map(|k| (*k, name.clone()))).collect());
                span.feed = Some(settings.feed.clone());
                Box::new(live::History::new(settings, from, to))
            }
            None => open::source(config)?,
        };
        eprintln!("reading the source {}", source.describe());
        let (content, dead) = verify::source(&mut *source, &span, &context.stop)?;
        if dead > 0 {
            notes.push(format!(
                "{} rows of the source are dead letters: they cannot be read",
                thousands(dead)
            ));
        }
        // A source of chosen symbols, kinds or dates is compared with just those elsewhere.
        if only.is_none() && config.source.url.contains('?') {
            only = Some(content.keys().cloned().collect());
        }
        names.push("source");
        contents.push(content);
    }
    let topics = open::topics(config, &context.stop)?;
    eprintln!("reading the topic {}", topics.describe());
    let topic = context.retry_short(|| verify::topic(&*topics, &open::names(config), &span))?;
    if topic.repeats > 0 {
        notes.push(format!(
            "{} messages on the topic repeat a record (a replay, or a producer that died): stored once",
            thousands(topic.repeats)
        ));
    }
    if topic.unreadable > 0 {
        notes.push(format!(
            "{} messages on the topic are no records: dead letters",
            thousands(topic.unreadable)
        ));
    }
    names.push("topic");
    contents.push(topic.records);
    let store = open::store(config)?;
    eprintln!("reading the store {}", store.describe());
    names.push("store");
    contents.push(context.retry_short(|| verify::store(&*store, &span))?);
    if let Some(only) = only.filter(|only| !only.is_empty()) {
        for content in &mut contents {
            content.retain(|key, _| only.contains(key));
        }
    }
    let lines = verify::compare(&contents.iter().collect::<Vec<_>>());
    if lines.is_empty() {
        return Err(Error::user("there is nothing to compare: no records anywhere")
            .hint("fill topic and store first: tapeline run --source 'tape:DIR'"));
    }
    Ok(Proof { names, lines, notes })
}

impl From<Proof> for server::Proof {
    fn from(proof: Proof) -> Self {
        let line = |line: Line| server::ProofLine {
            kind: line.key.0.plural().to_owned(),
            counts: line.places.iter().map(|digest| digest.count).collect(),
            fingerprints: line.places.iter().map(ToString::to_string).collect(),
            equal: line.agrees(),
            symbol: line.key.1,
        };
        Self {
            places: proof.names.iter().map(|name| (*name).to_owned()).collect(),
            lines: proof.lines.into_iter().map(line).collect(),
            notes: proof.notes,
        }
    }
}

impl Proof {
    pub(crate) fn holds(&self) -> bool {
        self.lines.iter().all(Line::agrees)
    }

    pub(crate) fn print(&self) {
        let mut rows = vec![vec!["kind".to_owned(), "symbol".to_owned()]];
        rows[0].extend(self.names.iter().map(|name| (*name).to_owned()));
        rows[0].extend(["fingerprint".to_owned(), String::new()]);
        for line in &self.lines {
            let mut row = vec![line.key.0.plural().to_owned(), line.key.1.clone()];
            row.extend(line.places.iter().map(|digest| thousands(digest.count)));
            if line.agrees() {
                row.extend([line.places[0].to_string(), "equal".to_owned()]);
            } else {
                let prints: Vec<String> = line.places.iter().map(ToString::to_string).collect();
                row.extend([prints.join(" / "), "DIFFERS".to_owned()]);
            }
            rows.push(row);
        }
        print!("{}", table(&rows, 2));
        for note in &self.notes {
            println!("  {note}");
        }
        let total: u64 = self.lines.iter().map(|line| line.places[0].count).sum();
        let bad = self.lines.iter().filter(|line| !line.agrees()).count();
        let places = self.names.join(", ");
        if bad == 0 {
            println!("verified: {} records, equal field for field in {places}", thousands(total));
        } else {
            println!("NOT verified: {bad} of {} lines differ between {places}", self.lines.len());
        }
    }
}
