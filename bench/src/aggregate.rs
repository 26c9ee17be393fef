//! Making bars: in memory on one core, by number of symbols, and from the topic beside merely reading it.

use anyhow::{Result, anyhow};
use market::bar::{Aggregator, Place};
use market::codec::json;
use market::{Kind, Record, Trade, UnixNanos};
use pipeline::source::Event;
use pipeline::{Stop, config, engine};
use std::hint::black_box;
use std::time::Instant;

fn settings(source: &str) -> Result<config::Config> {
    let flags = [("source.url", Some(source.to_owned()))];
    config::load(None, std::env::vars(), &flags).map_err(|error| anyhow!("{error}"))
}

/// The source's trades in memory.
fn load(config: &config::Config) -> Result<Vec<Trade<String>>> {
    let mut source = engine::source(config).map_err(|error| anyhow!("{error}"))?;
    let mut trades = Vec::new();
    let mut take = |event: Event<'_>| {
        if let Event::Record { kind: Kind::Trade, payload, .. } = event
            && let Some(Record::Trade(trade)) = json::decode(Kind::Trade, payload)
        {
            trades.push(trade.map(str::to_owned));
        }
        Ok(())
    };
    while source.next(&Stop::default(), &mut take).map_err(|error| anyhow!("{error}"))? {}
    Ok(trades)
}

/// Adds all trades, telling bars every so many as the run loop does; seconds, and bars told.
fn once(config: &config::Config, trades: &[Trade<&str>]) -> Result<(f64, u64)> {
    let settings = engine::bars(config).map_err(|error| anyhow!("{error}"))?;
    let mut aggregator = Aggregator::new(settings);
    let mut told = 0;
    let start = Instant::now();
    for (position, trade) in trades.iter().enumerate() {
        black_box(aggregator.add(&Record::Trade(*trade), Place { position: position as u64, stamp_ms: 0 }));
        if position % 65_536 == 65_535 {
            aggregator.take(0, &mut |bar| {
                black_box(bar);
                told += 1;
            });
        }
    }
    aggregator.finish(&mut |bar| {
        black_box(bar);
        told += 1;
    });
    Ok((start.elapsed().as_secs_f64(), told))
}

/// `bench aggregate memory SOURCE PASSES`: trades a second on one core, all intervals.
pub(crate) fn memory(source: &str, passes: usize) -> Result<()> {
    let config = settings(source)?;
    let trades = load(&config)?;
    let trades: Vec<Trade<&str>> = trades.iter().map(Trade::as_str).collect();
    for _ in 0..passes {
        let (seconds, told) = once(&config, &trades)?;
        println!("{} {told}", (trades.len() as f64 / seconds) as u64);
    }
    Ok(())
}

/// `bench aggregate symbols SOURCE COUNT`: the tape's busiest symbol, played by so many symbols at once: each in turn
/// trades as it did, so that every symbol has as many trades a bar whatever their number. Nanoseconds a trade.
pub(crate) fn symbols(source: &str, count: usize, passes: usize) -> Result<()> {
    const TRADES: usize = 4_000_000;
    let config = settings(source)?;
    let one: Vec<Trade<String>> = load(&config)?;
    let each = (TRADES / count).clamp(1, one.len());
    let names: Vec<String> = (0..count).map(|n| format!("S{n}")).collect();
    // From the opening on, where seconds have many trades.
    let first =
        one.iter().position(|trade| trade.ts.hour() == UnixNanos(1_381_238_400_000_000_000)).unwrap_or(0);
    let mut all: Vec<Trade<&str>> = Vec::with_capacity(each * count);
    for trade in one.iter().cycle().skip(first).take(each) {
        all.extend(names.iter().map(|name| Trade { symbol: name.as_str(), ..trade.as_str() }));
    }
    for _ in 0..passes {
        let (seconds, told) = once(&config, &all)?;
        println!("{:.1} {told}", seconds * 1e9 / all.len() as f64);
    }
    Ok(())
}

/// `bench aggregate read TOPIC`: reads and decodes all that is on the topic as `aggregate` does, and nothing else.
pub(crate) fn read(topic: &str) -> Result<()> {
    let flags = [("topic.url", Some(topic.to_owned()))];
    let config = config::load(None, std::env::vars(), &flags).map_err(|error| anyhow!("{error}"))?;
    let stop = Stop::default();
    let topics = engine::topics(&config, &stop).map_err(|error| anyhow!("{error}"))?;
    let group = format!("read-{}", pipeline::clock::now().0);
    let names = engine::names(&config).all_records();
    let mut consumer = topics.consumer(&group, &names).map_err(|error| anyhow!("{error}"))?;
    let (mut read, mut start, mut last) = (0_u64, None, Instant::now());
    loop {
        let fetched = consumer
            .fetch(config.consume.cycle, std::time::Duration::from_millis(20), &mut |message| {
                if let Ok(kind) = pipeline::consume::kind(message) {
                    read += u64::from(black_box(json::decode(kind, message.payload())).is_some());
                }
            })
            .map_err(|error| anyhow!("{error}"))?;
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
