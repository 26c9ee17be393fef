//! Publishes the messages of dead letters again, after what they failed on was corrected.
//!
//! A message goes to its own topic with its own key, headers and timestamp, so that it becomes the row it would have
//! become: a later version of the same record still wins. Only when the topic has acknowledged it is its dead letter marked as
//! redriven. Killed in between, the next redrive publishes the message once more, which changes nothing in the store. A
//! message that fails again becomes a new dead letter.

use market::Kind;
use market::codec::json::SCHEMA;
use ports::dead_letter::Stage;
use ports::dead_letter::log::{self, Entry, Number, REDRIVEN_FROM, State};
use ports::topic::{Fetched, Message, Names, Producer, Topics};
use ports::{CancelToken, Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Messages published before their dead letters are marked.
const AT_ONCE: usize = 500;
/// Bytes published before their dead letters are marked.
const BYTES_AT_ONCE: usize = 8 << 20;
/// How long the topic may take to acknowledge.
const FLUSH: Duration = Duration::from_secs(30);

/// How to publish.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Publish these bytes instead of the messages' own.
    pub payloads: BTreeMap<Number, Vec<u8>>,
    /// Publish with this `kind` (`trade`, `quote` or `bar`) and the current schema, instead of the message's own headers.
    pub kind: Option<String>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Dead letters whose message was published again.
    pub redriven: Vec<Number>,
    /// Dead letters that stay open, and why.
    pub refused: Vec<(Number, String)>,
}

/// A message that is ready to be published.
struct Ready<'a> {
    entry: &'a Entry,
    topic: String,
    payload: Vec<u8>,
}

/// What [`redrive`] would publish and what it would refuse, without reading any message.
#[must_use]
pub fn plan(names: &Names, dead_letters: &[&Entry]) -> Report {
    let mut report = Report::default();
    for entry in dead_letters {
        match target(entry, names) {
            Ok(_) => report.redriven.push(entry.number),
            Err(reason) => report.refused.push((entry.number, reason)),
        }
    }
    report
}

/// Publishes the messages of `dead_letters`. A stop ends it between two batches.
///
/// # Errors
/// The topic's. What was marked before is done; the rest stays open.
pub fn redrive(
    topics: &dyn Topics,
    names: &Names,
    dead_letters: &[&Entry],
    settings: &Settings,
    stop: &CancelToken,
) -> Result<Report> {
    let mut report = plan(names, dead_letters);
    let planned: BTreeSet<Number> = std::mem::take(&mut report.redriven).into_iter().collect();
    let able: Vec<&Entry> =
        dead_letters.iter().copied().filter(|entry| planned.contains(&entry.number)).collect();
    let cut: Vec<&Entry> =
        able.iter().copied().filter(|entry| !settings.payloads.contains_key(&entry.number)).collect();
    let whole = cut_messages(topics, &cut)?;
    let mut producer = topics.producer()?;
    let mut batch: Vec<Ready<'_>> = Vec::new();
    let by_number: BTreeMap<Number, &Entry> = able.iter().map(|entry| (entry.number, *entry)).collect();
    log::payloads(topics, names, &able, &mut |found, kept| {
        let Some(entry) = by_number.get(&found.number).copied() else { return Ok(()) };
        let payload = match (settings.payloads.get(&entry.number), &entry.cut) {
            (Some(payload), _) => payload.clone(),
            (None, None) => kept.to_vec(),
            (None, Some(_)) => match whole.get(&entry.number) {
                Some(payload) => payload.clone(),
                None => {
                    let reason = format!(
                        "only its first {} bytes are kept, and {} no longer holds it",
                        entry.bytes, entry.origin
                    );
                    report.refused.push((entry.number, reason));
                    return Ok(());
                }
            },
        };
        let topic = target(entry, names).map_err(Error::internal)?;
        batch.push(Ready { entry, topic, payload });
        let bytes: usize = batch.iter().map(|ready| ready.payload.len()).sum();
        if batch.len() >= AT_ONCE || bytes >= BYTES_AT_ONCE {
            publish(&mut *producer, names, &mut batch, settings, &mut report)?;
        }
        if stop.is_cancelled() { Err(stopped()) } else { Ok(()) }
    })?;
    publish(&mut *producer, names, &mut batch, settings, &mut report)?;
    Ok(report)
}

/// Marks dead letters as discarded.
///
/// # Errors
/// The topic's.
pub fn discard(topics: &dyn Topics, names: &Names, dead_letters: &[&Entry]) -> Result<()> {
    let mut producer = topics.producer()?;
    for entry in dead_letters {
        entry.settle(State::Discarded, names, &mut *producer)?;
    }
    acknowledged(&mut *producer, "markers of dead letters")
}

/// The topic that a dead letter's message belongs to.
fn target(entry: &Entry, names: &Names) -> Result<String, String> {
    if entry.of_source() {
        return Err(format!(
            "it holds a row of the source, not a message: correct {}, publish it with `tapeline produce` and close the letter with `tapeline dead-letters discard {}`",
            entry.origin, entry.number
        ));
    }
    let (topic, ..) = entry.place().ok_or_else(|| {
        format!("expected an origin as TOPIC/PARTITION@OFFSET, found `{}`", entry.origin.escape_debug())
    })?;
    let known = names.all_records().into_iter().chain([names.vendor_bars()]);
    known.into_iter().find(|name| name == topic).ok_or_else(|| {
        format!("its topic `{}` is not under the prefix of `topic.prefix`", topic.escape_debug())
    })
}

/// The whole messages of dead letters that keep only the beginning, as far as their topics still hold them.
fn cut_messages(topics: &dyn Topics, dead_letters: &[&Entry]) -> Result<BTreeMap<Number, Vec<u8>>> {
    let mut wanted: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in dead_letters.iter().filter(|entry| entry.cut.is_some()) {
        if let Some((topic, ..)) = entry.place() {
            wanted.entry(topic).or_default().push(entry);
        }
    }
    let mut whole = BTreeMap::new();
    for (topic, entries) in wanted {
        topics.read_all(&[topic.to_owned()], &mut |message: &dyn Fetched| {
            let place = (topic, message.partition().number, message.offset());
            for entry in entries.iter().filter(|entry| entry.place() == Some(place)) {
                // A topic that was recreated has another message there.
                if entry.cut.as_ref().is_some_and(|cut| cut.is_of(message.payload())) {
                    whole.insert(entry.number, message.payload().to_vec());
                }
            }
        })?;
    }
    Ok(whole)
}

fn publish(
    producer: &mut dyn Producer,
    names: &Names,
    batch: &mut Vec<Ready<'_>>,
    settings: &Settings,
    report: &mut Report,
) -> Result<()> {
    for Ready { entry, topic, payload } in batch.iter() {
        let number = entry.number.to_string();
        let own: Vec<&(String, Vec<u8>)> =
            entry.headers.iter().filter(|(name, _)| name != REDRIVEN_FROM).collect();
        let mut headers: Vec<(&str, &[u8])> = vec![(REDRIVEN_FROM, number.as_bytes())];
        match &settings.kind {
            Some(kind) => headers.extend([("kind", kind.as_bytes()), ("schema", SCHEMA.as_bytes())]),
            // The store refused a record that was decoded, of whichever schema; dead letters of old versions have no headers.
            None if own.is_empty() && (entry.stage == Stage::Store.name() || entry.stamp_ms.is_none()) => {
                headers.extend([
                    ("kind", kind_of(entry, topic, names).as_bytes()),
                    ("schema", SCHEMA.as_bytes()),
                ]);
            }
            None => {
                if !entry.kind.is_empty() {
                    headers.push(("kind", entry.kind.as_bytes()));
                }
                headers.extend(own.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
            }
        }
        let stamp_ms = entry.stamp_ms.unwrap_or(entry.time_ms);
        producer.send(&Message { topic, key: &entry.key, headers: &headers, payload, stamp_ms })?;
    }
    acknowledged(producer, "messages of dead letters")?;
    for Ready { entry, .. } in batch.iter() {
        entry.settle(State::Redriven, names, producer)?;
    }
    acknowledged(producer, "markers of dead letters")?;
    report.redriven.extend(batch.drain(..).map(|ready| ready.entry.number));
    Ok(())
}

/// The kind that a dead letter's message claimed, or that of its topic.
fn kind_of<'a>(entry: &'a Entry, topic: &str, names: &Names) -> &'a str {
    if !entry.kind.is_empty() {
        return &entry.kind;
    }
    let kind = Kind::ALL.into_iter().find(|kind| names.records(*kind) == topic);
    kind.map_or("bar", Kind::name)
}

fn acknowledged(producer: &mut dyn Producer, what: &str) -> Result<()> {
    match producer.flush(FLUSH)? {
        0 => Ok(()),
        waiting => Err(Error::external(format!("{waiting} {what} are not acknowledged by the topic"))
            .hint("letters without a marker stay open; run the same command again")),
    }
}

fn stopped() -> Error {
    Error::user("stopped before all letters were redriven").hint("run the same command again for the rest")
}
