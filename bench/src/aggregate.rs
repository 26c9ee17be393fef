//! Bar aggregation: in memory on one core, by number of symbols, and from the topic, compared with only
//! reading it.

use anyhow::{Result, anyhow};
use market::bar::{Aggregator, StreamPosition};
use market::codec::json;
use market::{Kind, Record, Trade, UnixNanos};
use ports::CancelToken;
use ports::source::Event;
use rustc_hash::FxHashMap;
use std::collections::HashSet;
use std::hint::black_box;
use std::time::{Duration, Instant};
use tapeline::config;
use tapeline::open;

fn settings(source: &str) -> Result<config::Config> {
    let flags = [("source.url", Some(source.to_owned()))];
    config::load(None, std::env::vars(), &flags).map_err(|error| anyhow!("{error}"))
}

/// The source's trades in memory, each text once: this measures the aggregation, not a million scattered
/// strings fetched from memory. A topic's reader decodes each trade into a buffer in the cache.
fn load(config: &config::Config) -> Result<Vec<Trade<&'static str>>> {
    let mut source = open::source(config).map_err(|error| anyhow!("{error}"))?;
    let (mut trades, mut texts) = (Vec::new(), HashSet::<&'static str>::new());
    let mut text = |text: &str| match texts.get(text) {
        Some(known) => *known,
        None => {
            let known: &'static str = text.to_owned().leak();
            texts.insert(known);
            known
        }
    };
    let mut take = |event: Event<'_>| {
        if let Event::Record { kind: Kind::TRADE, payload, .. } = event
            && let Some(Record::Trade(trade)) = json::decode(Kind::TRADE, payload)
        {
            trades.push(trade.map(&mut text));
        }
        Ok(())
    };
    while source.next(&CancelToken::default(), &mut take).map_err(|error| anyhow!("{error}"))? {}
    Ok(trades)
}

/// Checks the clock now and then: whether to emit bars, as often as the run loop does.
struct Emitter {
    every: Duration,
    last: Instant,
}

impl Emitter {
    fn new(config: &config::Config) -> Self {
        Self { every: config.aggregate.emit_interval, last: Instant::now() }
    }

    fn due(&mut self, position: u64) -> bool {
        let due = position.is_multiple_of(1_024) && self.last.elapsed() >= self.every;
        if due {
            self.last = Instant::now();
        }
        due
    }
}

/// Adds all trades, emitting bars like the run loop; returns seconds, and bars emitted.
fn once(config: &config::Config, trades: &[Trade<&str>]) -> Result<(f64, u64)> {
    let settings = open::bars(config).map_err(|error| anyhow!("{error}"))?;
    let mut aggregator = Aggregator::new(settings);
    let (mut emitted, mut emitter) = (0, Emitter::new(config));
    let start = Instant::now();
    for (position, trade) in trades.iter().enumerate() {
        black_box(
            aggregator.add(&Record::Trade(*trade), StreamPosition { position: position as u64, stamp_ms: 0 }),
        );
        if emitter.due(position as u64) {
            aggregator.take(0, &mut |bar| {
                black_box(bar);
                emitted += 1;
            });
        }
    }
    aggregator.finish(&mut |bar| {
        black_box(bar);
        emitted += 1;
    });
    Ok((start.elapsed().as_secs_f64(), emitted))
}

/// `bench aggregate memory SOURCE PASSES`: trades per second on one core, all intervals.
pub(crate) fn memory(source: &str, passes: usize) -> Result<()> {
    let config = settings(source)?;
    let trades = load(&config)?;
    for _ in 0..passes {
        let (seconds, emitted) = once(&config, &trades)?;
        println!("{} {emitted}", (trades.len() as f64 / seconds) as u64);
    }
    Ok(())
}

/// `bench aggregate symbols SOURCE COUNT`: COUNT symbols trade in turn, each like the tape's one symbol in
/// the 400 trades from 11:00 in New York, repeatedly, four million trades in all. Each symbol thus has the
/// same trade rate, and only the number of symbols varies. Nanoseconds per trade.
pub(crate) fn symbols(source: &str, count: usize, passes: usize) -> Result<()> {
    const TRADES: usize = 4_000_000;
    const EACH: usize = 400;
    let config = settings(source)?;
    let one = load(&config)?;
    let names: Vec<String> = (0..count).map(|n| format!("S{n}")).collect();
    let eleven =
        UnixNanos::parse("2013-10-08T11:00[America/New_York]").map_err(|error| anyhow!("{error}"))?;
    let first = one.partition_point(|trade| trade.ts < eleven);
    let window = one.get(first..first + EACH).ok_or_else(|| anyhow!("needs a tape of 2013-10-08"))?;
    let lasts = (window[EACH - 1].ts.0 - window[0].ts.0) / 1_000_000_000 + 1;
    let rounds = TRADES / EACH / count;
    let ids: Vec<String> = (0..rounds * EACH).map(|id| format!("{id:07}")).collect();
    let settings = open::bars(&config).map_err(|error| anyhow!("{error}"))?;
    let mut aggregator = Aggregator::new(settings);
    let (mut position, mut emitted, mut emitter) = (0_u64, 0_u64, Emitter::new(&config));
    // One aggregator continues through all passes: the first ones only grow it to its full size.
    for pass in 0..passes {
        let start = Instant::now();
        for round in 0..rounds {
            let later = (pass * rounds + round) as i64 * lasts * 1_000_000_000;
            for (trade, id) in window.iter().zip(&ids[round * EACH..]) {
                let trade = Trade { ts: UnixNanos(trade.ts.0 + later), id: id.as_str(), ..*trade };
                for name in &names {
                    let place = StreamPosition { position, stamp_ms: 0 };
                    black_box(
                        aggregator.add(&Record::Trade(Trade { symbol: name.as_str(), ..trade }), place),
                    );
                    position += 1;
                    if emitter.due(position) {
                        aggregator.take(0, &mut |bar| {
                            black_box(bar);
                            emitted += 1;
                        });
                    }
                }
            }
        }
        println!("{:.1} {emitted}", start.elapsed().as_secs_f64() * 1e9 / (rounds * EACH * count) as f64);
    }
    Ok(())
}

/// `bench aggregate read TOPIC`: reads and decodes everything on the topic like `aggregate`, and nothing
/// else; `bench aggregate make TOPIC` also aggregates bars, and discards them.
pub(crate) fn read(topic: &str, make: bool) -> Result<()> {
    let flags = [("topic.url", Some(topic.to_owned()))];
    let config = config::load(None, std::env::vars(), &flags).map_err(|error| anyhow!("{error}"))?;
    let stop = CancelToken::default();
    let topics = open::topics(&config, &stop).map_err(|error| anyhow!("{error}"))?;
    let group = format!("read-{}", ports::clock::now().0);
    let names = open::names(&config).all_records();
    let mut consumer = topics.consumer(&group, &names).map_err(|error| anyhow!("{error}"))?;
    let (mut read, mut start, mut last) = (0_u64, None, Instant::now());
    let mut parts: FxHashMap<_, Aggregator> = FxHashMap::default();
    let bars = open::bars(&config).map_err(|error| anyhow!("{error}"))?;
    let mut emitted = Instant::now();
    loop {
        let fetched = consumer
            .fetch(config.consume.cycle, std::time::Duration::from_millis(20), &mut |message| {
                let Ok(kind) = pipeline::consume::kind(message) else { return };
                let Some(record) = black_box(json::decode(kind, message.payload())) else { return };
                read += 1;
                if make {
                    let place = StreamPosition {
                        position: message.offset().unsigned_abs(),
                        stamp_ms: message.stamp_ms(),
                    };
                    let part = parts.entry(message.partition());
                    part.or_insert_with(|| Aggregator::new(bars.clone())).add(&record, place);
                }
            })
            .map_err(|error| anyhow!("{error}"))?;
        if emitted.elapsed() >= config.aggregate.emit_interval {
            emitted = Instant::now();
            parts.values_mut().for_each(|part| part.take(0, &mut |bar| drop(black_box(bar))));
        }
        if fetched > 0 {
            start.get_or_insert_with(Instant::now);
            last = Instant::now();
        } else if read > 0 && last.elapsed().as_millis() > 1_500 {
            break;
        }
    }
    let seconds = start.map_or(0.0, |start| last.duration_since(start).as_secs_f64());
    println!("{read} {}", (read as f64 / seconds) as u64);
    Ok(())
}
