//! Cost of a query: ten minutes of one symbol, from a store of one symbol and day, and from one of many.
//!
//! Both stores are filled with made-up trades first: the symbol that is read has one each second, the others one each
//! minute. The stores are read alternately, because the machine's speed drifts.

use anyhow::{Result, anyhow, ensure};
use market::time::{DAY, MINUTE, SECOND};
use market::{Kind, Record, UnixNanos};
use ports::CancelToken;
use ports::batch::{Batch, Partition};
use ports::store::{Scan, Store, Writer};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use tapeline::config;
use tapeline::open;

/// 2013-10-08T13:30:00Z.
const OPEN: i64 = 1_381_239_000_000_000_000;
const SYMBOL: &str = "Q0000";
const MINUTES: i64 = 390;
/// Rows of a batch.
const ROWS: usize = 5_000;
/// Batches submitted and not acknowledged.
const AHEAD: usize = 8;
/// Reads before the first that counts.
const WARM_UP: usize = 20;

pub(crate) fn run(small: &str, large: &str, symbols: usize, days: i64, reads: usize) -> Result<()> {
    let stores = [(small, 1, 1), (large, symbols, days)];
    let mut opened = Vec::new();
    for (url, symbols, days) in stores {
        let flags = [("store.url", Some(url.to_owned()))];
        let config = config::load(None, std::env::vars(), &flags).map_err(|error| anyhow!("{error}"))?;
        let store = open::store(&config).map_err(|error| anyhow!("{error}"))?;
        let start = Instant::now();
        let rows = fill(&*store, symbols, days)?;
        println!(
            "{url}: {symbols} symbols, {days} days, {rows} trades in {:.0} s",
            start.elapsed().as_secs_f64()
        );
        opened.push(store);
    }
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..WARM_UP + reads {
        for (store, times) in opened.iter().zip(&mut times) {
            let took = read(&**store)?;
            if round >= WARM_UP {
                times.push(took);
            }
        }
    }
    let medians = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e3
    });
    println!(
        "ten minutes of one symbol, 600 trades, median of {reads}: {:.2} ms and {:.2} ms; ratio {:.2}",
        medians[0],
        medians[1],
        medians[1] / medians[0]
    );
    Ok(())
}

/// Writes the trades; returns how many.
fn fill(store: &dyn Store, symbols: usize, days: i64) -> Result<usize> {
    let fail = |error: ports::Error| anyhow!("{error}");
    let stop = CancelToken::default();
    store.init().map_err(fail)?;
    let mut writer = store.writer(&stop).map_err(fail)?;
    let (mut batch, mut rows, mut id, mut out) = (Batch::default(), 0, 0, 0);
    let names: Vec<String> = (0..symbols).map(|n| format!("Q{n:04}")).collect();
    for day in 0..days {
        for name in &names {
            let step = if name == SYMBOL { SECOND } else { MINUTE };
            for n in 0..MINUTES * MINUTE / step {
                let ts = OPEN + day * DAY + n * step;
                let text = format!(
                    r#"{{"symbol":"{name}","feed":"f","venue":"P","id":"{n}","ts":{ts},"recv_ts":{ts},"price":"165.99","size":"100","conditions":["@"]}}"#
                );
                let at = Partition { topic: 0, number: 0 };
                batch.push(Kind::TRADE, text.as_bytes(), 1, at, 0).map_err(|error| anyhow!("{error}"))?;
                rows += 1;
                if batch.len() == ROWS {
                    writer.submit(id, std::mem::take(&mut batch)).map_err(fail)?;
                    (id, out) = (id + 1, out + 1);
                    if out >= AHEAD {
                        completed(&mut *writer)?;
                        out -= 1;
                    }
                }
            }
        }
    }
    if !batch.is_empty() {
        writer.submit(id, batch).map_err(fail)?;
        out += 1;
    }
    (0..out).try_for_each(|_| completed(&mut *writer))?;
    Ok(rows)
}

fn completed(writer: &mut dyn Writer) -> Result<()> {
    let done = writer.completed(Duration::from_secs(120)).map_err(|error| anyhow!("{error}"))?;
    let done = done.ok_or_else(|| anyhow!("the store did not answer"))?;
    ensure!(done.refused.is_empty(), "the store refused rows: {:?}", done.refused.first());
    Ok(())
}

/// Reads ten minutes of the first day.
fn read(store: &dyn Store) -> Result<Duration> {
    let scan = Scan {
        kind: Kind::TRADE,
        symbol: Some(SYMBOL.to_owned()),
        from: UnixNanos(OPEN + 60 * MINUTE),
        to: UnixNanos(OPEN + 70 * MINUTE),
        limit: None,
    };
    let (start, mut rows) = (Instant::now(), 0);
    store
        .scan(&scan, &mut |_: &Record<&str>| {
            rows += 1;
            ControlFlow::Continue(())
        })
        .map_err(|error| anyhow!("{error}"))?;
    let took = start.elapsed();
    ensure!(rows == 600, "expected 600 trades, found {rows}");
    Ok(took)
}
