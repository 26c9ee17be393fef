//! The thread that reads the topics and publishes frames.

use super::collector::Collector;
use super::frame::Frame;
use crate::app::App;
use market::codec::json as codec;
use market::{Kind, UnixNanos};
use ports::batch::Partition;
use ports::dead_letter::log::is_marker;
use ports::topic::{Consumer, Fetched};
use ports::{CancelToken, Result};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Messages fetched at once; a topic engine may divide them among all partitions, few of which are busy.
const AT_ONCE: usize = 10_000;
/// Pause after an empty fetch.
const IDLE: Duration = Duration::from_millis(20);
/// Pause before the topics are opened again.
const AGAIN: Duration = Duration::from_secs(1);
/// Maximum number of unread messages with which the stream counts as live.
const NEARLY: u64 = 500;
/// Bytes of a dead letter's payload shown to people.
const EXCERPT: usize = 500;

const TRADES: u16 = 0;
const QUOTES: u16 = 1;
const BARS: u16 = 2;
const GAPS: u16 = 3;
const READINGS: u16 = 4;

/// Reads until cancelled. Retries while the topic engine is unreachable, or topics do not exist yet.
pub(crate) fn run(app: &App, stop: &CancelToken) -> Result<()> {
    let names = &app.engines.names;
    let topics = [
        names.records(Kind::TRADE),
        names.records(Kind::QUOTE),
        names.bars(),
        names.gaps(),
        names.records(Kind::READING),
        names.dead_letters(),
    ];
    let mut publisher = Publisher::new();
    while !stop.is_cancelled() {
        let failed = match app.engines.topics.consumer("", &topics) {
            Ok(mut consumer) => read(app, &mut *consumer, &mut publisher, stop),
            Err(error) => Err(error),
        };
        if let Err(error) = failed {
            tracing::warn!("dashboard cannot read the topics; retrying: {error}");
            app.hub.state().error = Some(error.to_string());
            publisher.step(app, None);
            stop.sleep(AGAIN);
        }
    }
    // Clients see their streams end in order, and not a lost connection.
    app.hub.publish(Frame { number: publisher.number + 1, last: true, ..Frame::default() });
    Ok(())
}

fn read(app: &App, consumer: &mut dyn Consumer, publisher: &mut Publisher, stop: &CancelToken) -> Result<()> {
    let mut next: HashMap<Partition, i64> = HashMap::new();
    let mut live = {
        let mut state = app.hub.state();
        state.error = None;
        state.live
    };
    while !stop.is_cancelled() {
        let got = consumer.fetch(AT_ONCE, Duration::ZERO, &mut |message| {
            next.insert(message.partition(), message.offset() + 1);
            take(app, message, live, &mut publisher.collector);
        })?;
        if publisher.status_due() {
            let ahead = consumer.ahead(&|partition| next.get(&partition).copied())?.unwrap_or(0);
            if got == 0 || ahead <= NEARLY {
                live = true;
                app.hub.state().live = true;
            }
            publisher.ahead = ahead;
        }
        publisher.step(app, Some(got));
        if got == 0 {
            stop.sleep(IDLE);
        }
    }
    Ok(())
}

fn take(app: &App, message: &dyn Fetched, live: bool, collector: &mut Collector) {
    let topic = message.partition().topic;
    match topic {
        TRADES | QUOTES | READINGS => {
            let kind = match topic {
                TRADES => Kind::TRADE,
                QUOTES => Kind::QUOTE,
                _ => Kind::READING,
            };
            let mut canonical = Vec::new();
            let mut record = codec::decode(kind, message.payload());
            if record.is_none() && codec::normalize(kind, message.payload(), &mut canonical).is_ok() {
                record = codec::decode(kind, &canonical);
            }
            let Some(record) = record else {
                app.hub.state().read.unreadable += 1;
                return;
            };
            let is_new = app.hub.state().record(&record);
            if is_new && live {
                collector.record(&app.hub, &record);
            }
        }
        BARS => {
            app.hub.state().bar(message.payload());
            collector.bar(&app.hub, message.payload(), live);
        }
        GAPS => app.hub.state().gap(message.payload()),
        _ if is_marker(message) => {}
        _ => app.hub.state().dead_letter(dead_letter(message)),
    }
}

fn dead_letter(message: &dyn Fetched) -> Map<String, Value> {
    let mut dead_letter = Map::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let time = UnixNanos(message.stamp_ms().saturating_mul(market::time::MILLI));
    dead_letter.insert("offset".to_owned(), message.offset().into());
    dead_letter.insert("time".to_owned(), time.to_string().into());
    dead_letter.insert("key".to_owned(), text(message.key()).into());
    message.headers(&mut |name, value| {
        if matches!(name, "reason" | "origin" | "stage" | "kind") {
            dead_letter.insert(name.to_owned(), text(value).into());
        }
    });
    let payload = message.payload();
    let excerpt = &payload[..payload.len().min(EXCERPT)];
    dead_letter.insert("bytes".to_owned(), payload.len().into());
    dead_letter.insert("payload".to_owned(), text(excerpt).into());
    dead_letter
}

/// Publishes frames and the state of the pipeline.
struct Publisher {
    number: u64,
    next_frame: Instant,
    next_status: Instant,
    ahead: u64,
    status: crate::api::pipeline::Rates,
    collector: Collector,
}

impl Publisher {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            number: 0,
            next_frame: now,
            next_status: now,
            ahead: 0,
            status: crate::api::pipeline::Rates::new(now),
            collector: Collector::default(),
        }
    }

    fn status_due(&self) -> bool {
        Instant::now() >= self.next_status
    }

    /// Publishes what is due.
    fn step(&mut self, app: &App, got: Option<usize>) {
        let now = Instant::now();
        if now < self.next_frame {
            return;
        }
        self.next_frame = now + app.settings.limits.frame_every;
        self.collector.flush(&app.hub);
        let mut status = String::new();
        if self.status_due() {
            self.next_status = now + Duration::from_secs(1);
            status = self.status.status(app, self.ahead, now).to_string();
        }
        let mut state = app.hub.state();
        if got.is_some() {
            state.error = None;
        }
        let mut frame = state.take(self.number + 1);
        if !status.is_empty() {
            state.status.clone_from(&status);
        }
        drop(state);
        frame.status = status;
        if frame.symbols.is_empty()
            && frame.gaps.is_empty()
            && frame.dead.is_empty()
            && frame.status.is_empty()
        {
            return;
        }
        self.number += 1;
        app.hub.publish(frame);
    }
}
