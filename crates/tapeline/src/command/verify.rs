//! `tapeline verify`: proves that source, topic, store and archive hold the same records.

use crate::cli::{DIFFERS, Format, VerifyOptions};
use crate::context::Context;
use crate::output::{Out, choose, counted, note, table, thousands};
use market::{Kind, UnixNanos};
use pipeline::verify::difference::{self, Difference, OpenSource, Places};
use pipeline::verify::{self, Content, Identities, Key, Line, Only, repair};
use ports::source::Source;
use ports::store::Store;
use ports::topic::Topics;
use ports::{Error, Result};
use sources::live;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use tapeline::config::Config;
use tapeline::open;

pub(crate) fn run(context: &Context, options: &VerifyOptions) -> Result<ExitCode> {
    let config = &context.config;
    let is_json = match options.format {
        Format::Table => false,
        Format::Json if options.repair || options.show.is_some() => {
            return Err(Error::usage("--format json cannot be used with --repair or --show")
                .hint("repair or show first, then verify again: tapeline verify --format json"));
        }
        Format::Json => true,
        Format::Csv | Format::Parquet => {
            return Err(Error::usage("verify can be printed only as table or json").hint("--format json"));
        }
    };
    let mut proof = Proof::read(context, config, options.span.range()?, options.archive.as_deref())?;
    if options.repair {
        proof.repair(context)?;
    }
    if is_json {
        let mut out = Out::new();
        out.put(&format!("{}\n", proof.json()))?;
        out.end()?;
    } else {
        proof.print();
    }
    // A comparison of some records proves nothing about all of them.
    if options.span.from.is_none() && options.span.to.is_none() {
        super::monitor::keep_verified(
            &*proof.topics,
            proof.lines.iter().filter(|line| !line.agrees()).count() + proof.incomplete.len(),
        );
    }
    if !is_json && !proof.holds() {
        if let Some(count) = options.show.filter(|count| *count > 0) {
            proof.show(context, count)?;
        }
        proof.advise(options);
    }
    Ok(if proof.holds() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

/// Contents of source (if given), topic and store, and their comparison.
pub(crate) struct Proof<'c> {
    config: &'c Config,
    names: Vec<&'static str>,
    topics: Box<dyn Topics>,
    store: Box<dyn Store>,
    span: Only,
    source: Option<Identities>,
    topic: Identities,
    /// Contents of source, topic, store and archive, restricted to what is compared.
    contents: Vec<Content>,
    lines: Vec<Line>,
    notes: Vec<String>,
    /// What is wrong with the archive itself.
    faults: Vec<String>,
    /// Inputs of the source that could not be read to their end: nothing is proven about the rest.
    incomplete: Vec<String>,
}

/// Selects the part of topic and store to compare a source with.
struct Scope {
    /// Only these feeds; all if empty.
    feeds: BTreeSet<String>,
    /// Only these kinds and symbols, if the source is restricted to some.
    symbols: Option<BTreeSet<(Kind, String)>>,
}

impl From<Proof<'_>> for server::Proof {
    fn from(proof: Proof<'_>) -> Self {
        let line = |line: Line| server::ProofLine {
            kind: line.key.kind.plural().to_owned(),
            counts: line.places.iter().map(|digest| digest.count).collect(),
            fingerprints: line.places.iter().map(ToString::to_string).collect(),
            equal: line.agrees(),
            symbol: line.key.symbol,
        };
        Self {
            places: proof.names.iter().map(|name| (*name).to_owned()).collect(),
            lines: proof.lines.into_iter().map(line).collect(),
            notes: proof.notes.into_iter().chain(proof.incomplete).collect(),
        }
    }
}

impl Scope {
    fn contains(&self, key: &Key) -> bool {
        (self.feeds.is_empty() || self.feeds.contains(&key.feed))
            && self.symbols.as_ref().is_none_or(|only| only.contains(&(key.kind, key.symbol.clone())))
    }
}

impl<'c> Proof<'c> {
    /// Reads source, topic and store to their ends and compares them, and the archive at a URL, if one is given. For a live
    /// source it reads the vendor's history.
    pub(crate) fn read(
        context: &Context,
        config: &'c Config,
        (from, to): (UnixNanos, UnixNanos),
        archive: Option<&str>,
    ) -> Result<Self> {
        let mut span = Only { from, to, ..Only::default() };
        let mut scope = Scope { feeds: BTreeSet::new(), symbols: None };
        let mut notes = Vec::new();
        let has_source = !config.source.url.is_empty();
        if has_source {
            // First checks that the source can be read at all.
            drop(open_source(config, &span)?);
            if let Some(settings) = live::open(&config.source).transpose()? {
                let account = settings.vendor.account();
                let symbols = account.symbols.iter();
                scope.symbols =
                    Some(symbols.flat_map(|name| account.kinds.iter().map(|k| (*k, name.clone()))).collect());
                scope.feeds.insert(settings.feed.clone());
                span.feed = Some(settings.feed.clone());
            } else if config.source.url.starts_with("tape:") {
                scope.feeds.insert(config.source.feed.clone());
            }
        }
        let topics = open::topics(config, &context.stop)?;
        let store = open::store(config)?;
        note(&format!("reading the topic {}", topics.describe()));
        let topic = context.retry_short(|| verify::topic(&*topics, &open::names(config), &span))?;
        let mut source = None;
        let mut incomplete = Vec::new();
        if has_source {
            let mut reader = open_source(config, &span)?;
            note(&format!("reading the source {}", reader.describe()));
            let found = verify::source(&mut *reader, &span, &topic.records, &context.stop)?;
            let content = found.records.content();
            if content.is_empty() && found.bars > 0 {
                return Err(Error::user(format!(
                    "{} delivered {} bars and no records; verify compares trades and quotes",
                    config.source.url,
                    thousands(found.bars)
                ))
                .hint(format!("show the bars: tapeline query bars SYMBOL --store {}", store.describe())));
            }
            if found.unreadable > 0 {
                notes.push(format!(
                    "{} of the source {}",
                    counted(found.unreadable, "unreadable row"),
                    choose(found.unreadable, "is a dead letter", "are dead letters")
                ));
            }
            if found.records.repeats > 0 {
                notes.push(format!(
                    "{} of the source {} another; only the last version is compared",
                    counted(found.records.repeats, "record"),
                    choose(found.records.repeats, "repeats or amends", "repeat or amend")
                ));
            }
            // A source restricted to some symbols or kinds is compared with just those elsewhere.
            if scope.symbols.is_none() && config.source.url.contains('?') && !content.is_empty() {
                scope.symbols = Some(content.keys().map(|key| (key.kind, key.symbol.clone())).collect());
            }
            scope.feeds.extend(found.records.feeds());
            incomplete = found.incomplete;
            source = Some(found.records);
        }
        if topic.records.repeats > 0 {
            notes.push(format!(
                "{} on the topic {} a record (a replay or a producer crash), which is stored once",
                counted(topic.records.repeats, "message"),
                choose(topic.records.repeats, "repeats", "repeat")
            ));
        }
        if topic.unreadable > 0 {
            notes.push(format!(
                "{} on the topic {}",
                counted(topic.unreadable, "message"),
                choose(topic.unreadable, "is a dead letter, not a record", "are dead letters, not records")
            ));
        }
        note(&format!("reading the store {}", store.describe()));
        let stored = context.retry_short(|| verify::store(&*store, &span))?;
        let mut contents: Vec<Content> = source.iter().map(Identities::content).collect();
        contents.extend([topic.records.content(), stored]);
        let mut names = if has_source { vec!["source", "topic", "store"] } else { vec!["topic", "store"] };
        let mut faults = Vec::new();
        if let Some(url) = archive {
            let archive = open::archive(config, url)?;
            note(&format!("reading the archive {}", archive.describe()));
            let found = context.retry_short(|| {
                pipeline::archive::read::content(&*archive, &open::names(config), &span, &context.stop)
            })?;
            notes.push(format!(
                "{} read, {}",
                counted(found.objects, "object of the archive"),
                counted(found.bytes, "byte")
            ));
            notes.extend(found.notes);
            faults = found.faults;
            contents.push(found.records.content());
            names.push("archive");
        }
        let others: BTreeSet<&Key> = contents
            .iter()
            .flat_map(|content| content.keys())
            .filter(|key| !scope.feeds.is_empty() && !scope.feeds.contains(&key.feed))
            .collect();
        if !others.is_empty() {
            let feeds: BTreeSet<&str> = others.iter().map(|key| key.feed.as_str()).collect();
            let feeds: Vec<&str> = feeds.into_iter().collect();
            notes.push(format!("not compared, because the source has another feed: {}", feeds.join(", ")));
        }
        for content in &mut contents {
            content.retain(|key, _| scope.contains(key));
        }
        let lines = verify::compare(&contents.iter().collect::<Vec<_>>());
        if lines.is_empty() && !incomplete.is_empty() {
            return Err(crate::command::prepare::incomplete(&config.source.url, &incomplete));
        }
        if lines.is_empty() {
            return Err(Error::user("nothing to compare: no records found")
                .hint("fill topic and store first: tapeline run --source 'tape:DIR'"));
        }
        let topic = topic.records;
        Ok(Self {
            config,
            names,
            topics,
            store,
            span,
            source,
            topic,
            contents,
            lines,
            notes,
            faults,
            incomplete,
        })
    }

    pub(crate) fn holds(&self) -> bool {
        self.faults.is_empty() && self.incomplete.is_empty() && self.lines.iter().all(Line::agrees)
    }

    fn differing(&self, places: &[&str]) -> BTreeSet<Key> {
        let indices: Vec<usize> =
            places.iter().filter_map(|place| self.names.iter().position(|name| name == place)).collect();
        let differs = |line: &&Line| indices.windows(2).any(|w| line.places[w[0]] != line.places[w[1]]);
        self.lines.iter().filter(differs).map(|line| line.key.clone()).collect()
    }

    /// Writes what the store lacks from the topic, and reads the store again.
    fn repair(&mut self, context: &Context) -> Result<()> {
        let keys = self.differing(&["topic", "store"]);
        if keys.is_empty() {
            println!("nothing to repair: the store matches the topic");
            return Ok(());
        }
        let names = open::names(self.config);
        let place = (&*self.topics, &names, &self.topic);
        let report = repair::run(place, &*self.store, &self.span, &keys, &context.stop)?;
        println!(
            "repaired from the topic: {} {} missing in the store, {} differed",
            counted(report.missing, "record"),
            choose(report.missing, "was", "were"),
            thousands(report.changed)
        );
        if report.hidden > 0 {
            println!(
                "  {} of them had been deleted or changed in the store after receipt; written with the current time",
                thousands(report.hidden)
            );
        }
        for reason in report.refused.iter().take(10) {
            println!("  rejected by the store: {reason}");
        }
        let stored = context.retry_short(|| verify::store(&*self.store, &self.span))?;
        let place = self.names.iter().position(|name| *name == "store");
        if let Some(store) = place.and_then(|place| self.contents.get_mut(place)) {
            let keys: BTreeSet<&Key> = self.lines.iter().map(|line| &line.key).collect();
            *store = stored.into_iter().filter(|(key, _)| keys.contains(key)).collect();
        }
        self.lines = verify::compare(&self.contents.iter().collect::<Vec<_>>());
        Ok(())
    }

    /// The result for other programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        let line = |line: &Line| {
            serde_json::json!({
                "kind": line.key.kind.plural(),
                "symbol": line.key.symbol,
                "feed": line.key.feed,
                "counts": line.places.iter().map(|digest| digest.count).collect::<Vec<_>>(),
                "fingerprints": line.places.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "equal": line.agrees(),
            })
        };
        serde_json::json!({
            "equal": self.holds(),
            "places": self.names,
            "lines": self.lines.iter().map(line).collect::<Vec<_>>(),
            "notes": self.notes,
            "faults": self.faults,
            "incomplete": self.incomplete,
        })
    }

    pub(crate) fn print(&self) {
        let mut rows = vec![["kind", "symbol", "feed"].map(str::to_owned).to_vec()];
        rows[0].extend(self.names.iter().map(|name| (*name).to_owned()));
        rows[0].extend(["fingerprint".to_owned(), String::new()]);
        for line in &self.lines {
            let mut row =
                vec![line.key.kind.plural().to_owned(), line.key.symbol.clone(), line.key.feed.clone()];
            row.extend(line.places.iter().map(|digest| thousands(digest.count)));
            if line.agrees() {
                row.extend([line.places[0].to_string(), "equal".to_owned()]);
            } else {
                let prints: Vec<String> = line.places.iter().map(ToString::to_string).collect();
                row.extend([prints.join(" / "), "DIFFERS".to_owned()]);
            }
            rows.push(row);
        }
        print!("{}", table(&rows, 3));
        for note in &self.notes {
            println!("  {note}");
        }
        let total: u64 = self.lines.iter().map(|line| line.places[0].count).sum();
        let bad = self.lines.iter().filter(|line| !line.agrees()).count();
        let places = self.names.join(", ");
        for fault in &self.faults {
            println!("  ARCHIVE: {fault}");
        }
        for input in &self.incomplete {
            println!("  INCOMPLETE: {input}");
        }
        if !self.incomplete.is_empty() {
            println!("NOT verified: the source is incomplete, {}", self.differ());
        } else if !self.faults.is_empty() {
            println!(
                "NOT verified: {}, {}",
                counted(self.faults.len() as u64, "fault of the archive"),
                self.differ()
            );
        } else if bad == 0 {
            println!("verified: {}, equal field for field in {places}", counted(total, "record"));
        } else {
            println!("NOT verified: {} between {places}", self.differ());
        }
    }

    /// `1 of 3 lines differs`.
    fn differ(&self) -> String {
        let bad = self.lines.iter().filter(|line| !line.agrees()).count() as u64;
        let lines = counted(self.lines.len() as u64, "line");
        format!("{bad} of {lines} {}", choose(bad, "differs", "differ"))
    }

    /// Prints the first differing records of each key.
    fn show(&self, context: &Context, count: usize) -> Result<()> {
        // The records of the archive are not shown: those of the topic are the same.
        let keys = self.differing(&["source", "topic", "store"]);
        let names = open::names(self.config);
        let open = || open_source(self.config, &self.span);
        let places = Places {
            source: self.source.as_ref().map(|records| (&open as OpenSource<'_>, records)),
            topic: (&*self.topics, &names, &self.topic),
            store: &*self.store,
            only: &self.span,
        };
        let found: BTreeMap<_, _> = difference::find(&places, &keys, count, &context.stop)?;
        for (key, differences) in &found {
            println!(
                "{} {} {}: {} {}{}",
                key.kind.plural(),
                key.symbol,
                key.feed,
                counted(differences.count, "record"),
                choose(differences.count, "differs", "differ"),
                if differences.count > differences.first.len() as u64 {
                    format!(", the first {}:", differences.first.len())
                } else {
                    ":".to_owned()
                }
            );
            for difference in &differences.first {
                self.print_difference(difference)?;
            }
        }
        Ok(())
    }

    fn print_difference(&self, difference: &Difference) -> Result<()> {
        let held = |is: bool| {
            let places = self.names.iter().zip(&difference.places);
            places
                .filter(|(_, text)| text.is_some() == is)
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let missing = held(false);
        if !missing.is_empty() {
            let text = difference.places.iter().flatten().next().map_or("", String::as_str);
            println!("  {}: missing in {missing}; in {}: {text}", difference.ts, held(true));
        }
        let fields = difference.fields()?;
        if let Some(text) = difference.places.iter().flatten().next().filter(|_| !fields.is_empty()) {
            println!("  {}: {text}", difference.ts);
        }
        for (field, values) in fields {
            let values: Vec<String> =
                self.names.iter().zip(values).map(|(name, value)| format!("{value} in {name}")).collect();
            println!("    {field}: {}", values.join(", "));
        }
        Ok(())
    }

    /// The command that fixes the differences.
    fn advise(&self, options: &VerifyOptions) {
        let mut urls = format!("--topic '{}' --store '{}'", self.topics.describe(), self.store.describe());
        if !self.config.source.url.is_empty() {
            urls = format!("--source '{}' {urls}", self.config.source.url);
        }
        // Only `verify` and `backfill` take a span.
        let mut flags = urls.clone();
        for (flag, value) in [("--from", &options.span.from), ("--to", &options.span.to)] {
            if let Some(value) = value {
                flags.push_str(&format!(" {flag} '{value}'"));
            }
        }
        if let Some(url) = options.archive.as_deref().filter(|_| !self.faults.is_empty()) {
            advise_archive(url);
        } else if let Some(url) = &options.archive
            && !self.differing(&["topic", "archive"]).is_empty()
        {
            let archive = if url.is_empty() { String::new() } else { format!(" --archive '{url}'") };
            println!("archive what the archive lacks: tapeline archive --until-end{archive} {urls}");
        }
        if !self.incomplete.is_empty() {
            println!("restore the incomplete input, then publish what it adds: tapeline run {urls}");
        }
        let of_records = self.differing(&["source", "topic", "store"]);
        if options.show.is_none() && !of_records.is_empty() {
            println!("show the records: tapeline verify --show 10 {flags}");
        }
        self.advise_source(&urls, &flags);
        self.advise_store(&flags, options.repair);
    }

    /// What to do about differences of source and topic: publish what the topic lacks, or compare with less.
    fn advise_source(&self, urls: &str, flags: &str) {
        let unpublished = self.differing(&["source", "topic"]);
        let Some(source) = self.source.as_ref().filter(|_| !unpublished.is_empty()) else { return };
        let found = source.differ_from(&self.topic, &unpublished);
        if found.only_here + found.changed > 0 {
            if live::open(&self.config.source).is_some() {
                println!("publish what the topic lacks: tapeline backfill SYMBOLS {flags}, then consume");
            } else {
                println!("publish what the topic lacks: tapeline run --replay {urls}");
            }
        }
        if found.only_there == 0 {
            return;
        }
        println!(
            "{} on the topic and not in this source: another source, or more days or symbols, published under its feed",
            are(found.only_there, "record")
        );
        // Symbols of which the source has nothing can be left out; days only by time.
        let content = source.content();
        let alien = unpublished.iter().any(|key| !content.contains_key(key));
        let symbols: BTreeSet<&str> = content.keys().map(|key| key.symbol.as_str()).collect();
        if alien && !symbols.is_empty() && !self.config.source.url.contains("symbols=") {
            let symbols: Vec<&str> = symbols.into_iter().collect();
            println!(
                "compare only the symbols of this source: tapeline verify --symbols '{}' {flags}",
                symbols.join(",")
            );
        } else {
            println!("compare only the time of this source: tapeline verify {urls} --from TIME --to TIME");
        }
        println!(
            "compare the topic with the store alone: tapeline verify --topic '{}' --store '{}'",
            self.topics.describe(),
            self.store.describe()
        );
    }

    /// What to do about differences of topic and store.
    fn advise_store(&self, flags: &str, repaired: bool) {
        let unstored = self.differing(&["topic", "store"]);
        if unstored.is_empty() {
            return;
        }
        let place = |name| self.names.iter().position(|other| *other == name);
        let (topic, store) = (place("topic"), place("store"));
        let count = |line: &Line, place: Option<usize>| {
            place.and_then(|place| line.places.get(place)).map_or(0, |digest| digest.count)
        };
        let lines = || self.lines.iter().filter(|line| unstored.contains(&line.key));
        let more: u64 = lines().map(|line| count(line, store).saturating_sub(count(line, topic))).sum();
        if repaired || more > 0 {
            println!(
                "what the store has and the topic has not: retention removed the messages, or another program wrote \
                 the rows"
            );
        }
        let only_more = lines().all(|line| count(line, topic) == 0);
        if !repaired && !only_more {
            println!("write what the store lacks from the topic: tapeline verify --repair {flags}");
        }
    }
}

/// `1 record is`, `2 records are`.
fn are(count: u64, noun: &str) -> String {
    format!("{} {}", counted(count, noun), choose(count, "is", "are"))
}

/// What to do about faults of the archive at a URL, empty for the one of the configuration.
pub(super) fn advise_archive(url: &str) {
    let archive = if url.is_empty() { String::new() } else { format!(" --archive '{url}'") };
    println!(
        "write again what is missing or not complete: tapeline archive --until-end{archive} --topic URL\n\
         damaged and stray files: move them away first; what the topic no longer has is in a backup only\n\
         a gap or an overlap between ranges: archive to a new folder or prefix with --group NAME"
    )
}

/// The source to compare with; for a live one, its history of the span.
fn open_source(config: &Config, span: &Only) -> Result<Box<dyn Source>> {
    let Some(settings) = live::open(&config.source).transpose()? else { return open::source(config) };
    if span.from.0 == i64::MIN || span.to.0 == i64::MAX {
        return Err(Error::user("a live source is compared with its history; --from and --to are missing")
            .hint("tapeline verify --source ... --from 2026-11-20T14:30:00Z --to 2026-11-20T15:00:00Z"));
    }
    Ok(Box::new(live::History::new(settings, span.from, span.to)))
}
