//! Topic to store for vendor bars. They never mix with ours: their feed's name says whose they are.

use market::bar::Bar;
use market::codec::{bar as codec, json};
use ports::batch::Partition;
use ports::cancel::CancelToken;
use ports::dead_letter::DeadLetter;
use ports::gap::Gap;
use ports::store::Store;
use ports::telemetry::Telemetry;
use ports::topic::{Message, Names, Producer, Topics};
use ports::{Error, Result};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Maximum number of bars fetched at once.
const AT_ONCE: usize = 5_000;
const WAIT: Duration = Duration::from_millis(50);
/// How long to wait for the acknowledgement of dead letters.
const FLUSH: Duration = Duration::from_secs(30);

/// Publishes a bar under its key.
///
/// # Errors
/// The topic rejected it.
pub fn send(bar: &Bar, topic: &str, stamp_ms: i64, producer: &mut dyn Producer) -> Result<()> {
    producer.send(&Message {
        topic,
        key: &codec::key(bar),
        headers: &[("kind", b"bar"), ("schema", json::SCHEMA.as_bytes())],
        payload: serde_json::Value::Object(codec::to_json(bar)).to_string().as_bytes(),
        stamp_ms,
    })
}

/// Runs until cancelled or, if `until_end` is set, until every bar is stored.
///
/// # Errors
/// A permanent error of topic or store.
pub fn store(
    topics: &dyn Topics,
    store: &dyn Store,
    names: &Names,
    group: &str,
    telemetry: &Telemetry,
    stop: &CancelToken,
    until_end: &AtomicBool,
) -> Result<()> {
    let list = [names.vendor_bars()];
    let mut consumer = topics.consumer(&format!("{group}-vendor-bars"), &list)?;
    let mut next = BTreeMap::<Partition, i64>::new();
    while !stop.is_cancelled() {
        let (mut bars, mut letters) = (Vec::new(), Vec::new());
        let fetched = consumer.fetch(AT_ONCE, WAIT, &mut |message| {
            next.insert(message.partition(), message.offset() + 1);
            match codec::from_json(message.payload()) {
                Ok(bar) => bars.push(bar),
                Err(reason) => {
                    let mut letter = DeadLetter::of_message(message, &list, reason);
                    "bar".clone_into(&mut letter.kind);
                    letters.push(letter);
                }
            }
        })?;
        for range in consumer.lost() {
            telemetry.lost(&range, &list);
            let mut producer = topics.producer()?;
            Gap::of_lost(&range, &list, group).send(names, &mut *producer)?;
            if producer.flush(FLUSH)? > 0 {
                return Err(Error::external("the topic did not acknowledge the gap ledger"));
            }
            next.insert(range.partition, range.resume);
        }
        if fetched == 0 {
            if until_end.load(Ordering::SeqCst) {
                match consumer.ahead(&|partition| next.get(&partition).copied()) {
                    Ok(Some(0)) => break,
                    Err(error) if !error.retryable() => return Err(error),
                    _ => {}
                }
            }
            continue;
        }
        if !letters.is_empty() {
            let mut producer = topics.producer()?;
            for letter in &letters {
                telemetry.dead_letter(letter);
                letter.send(&names.dead_letters(), &mut *producer)?;
            }
            if producer.flush(FLUSH)? > 0 {
                return Err(Error::external("the topic did not acknowledge dead letters"));
            }
        }
        if !bars.is_empty() {
            store.write_bars(&bars, stop)?;
            telemetry.add(&telemetry.vendor_bars_stored, bars.len() as u64);
        }
        let offsets: Vec<(Partition, i64)> =
            next.iter().map(|(partition, next)| (*partition, *next)).collect();
        match consumer.commit(&offsets, true) {
            Err(error) if error.retryable() => tracing::info!("{error}; the same bars will be stored again"),
            other => other?,
        }
    }
    Ok(())
}
