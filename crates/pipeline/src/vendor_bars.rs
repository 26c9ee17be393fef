//! Topic to store for vendor bars. They never mix with ours: their feed's name says whose they are.

use market::bar::Bar;
use market::codec::{bar as codec, json};
use ports::batch::Partition;
use ports::cancel::{CancelToken, retry};
use ports::dead_letter::DeadLetter;
use ports::gap::Gap;
use ports::metrics::{METRICS, Port};
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
    let own_group = format!("{group}-vendor-bars");
    let mut consumer = retry(stop, Port::Topic, "open a consumer", || topics.consumer(&own_group, &list))?;
    let mut next = BTreeMap::<Partition, i64>::new();
    while !stop.is_cancelled() {
        let (mut bars, mut dead_letters) = (Vec::new(), Vec::new());
        let fetched = consumer.fetch(AT_ONCE, WAIT, &mut |message| {
            next.insert(message.partition(), message.offset() + 1);
            match codec::from_json(message.payload()) {
                Ok(bar) => bars.push(bar),
                Err(reason) => {
                    let mut dead_letter = DeadLetter::of_message(message, &list, reason);
                    "bar".clone_into(&mut dead_letter.kind);
                    dead_letters.push(dead_letter);
                }
            }
        })?;
        for range in consumer.lost() {
            telemetry.lost(&range, &list);
            let mut producer = retry(stop, Port::Topic, "open a producer", || topics.producer())?;
            Gap::of_lost(&range, &list, group).send(names, &mut *producer)?;
            acknowledged(&mut *producer, stop, "the gap ledger")?;
            next.insert(range.partition, range.resume);
        }
        if fetched == 0 {
            if until_end.load(Ordering::SeqCst)
                && consumer.is_at_end(&|partition| next.get(&partition).copied())?
            {
                break;
            }
            continue;
        }
        if !dead_letters.is_empty() {
            let mut producer = retry(stop, Port::Topic, "open a producer", || topics.producer())?;
            for dead_letter in &dead_letters {
                telemetry.dead_letter(dead_letter);
                dead_letter.send(&names.dead_letters(), &mut *producer)?;
            }
            acknowledged(&mut *producer, stop, "dead letters")?;
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

/// Waits until the topic has acknowledged what was sent, or until cancelled.
fn acknowledged(producer: &mut dyn Producer, stop: &CancelToken, what: &str) -> Result<()> {
    while producer.flush(FLUSH)? > 0 {
        METRICS.retried(Port::Topic);
        if stop.is_cancelled() {
            return Err(Error::external(format!("the topic did not acknowledge {what}"))
                .hint("the next start sends them again"));
        }
    }
    Ok(())
}
