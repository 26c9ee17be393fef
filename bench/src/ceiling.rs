//! The ceiling of the store benchmark: the same rows, in the same batches, through the same driver, but
//! prepared in memory, without topic and decoding while the clock runs.

use anyhow::{Result, anyhow};
use ports::CancelToken;
use ports::batch::{Batch, Partition};
use ports::source::Event;
use std::time::{Duration, Instant};
use tapeline::config;
use tapeline::open;

pub(crate) fn run(source: &str, store: &str, passes: usize) -> Result<()> {
    let flags = [("source.url", Some(source.to_owned())), ("store.url", Some(store.to_owned()))];
    let config = config::load(None, std::env::vars(), &flags).map_err(|error| anyhow!("{error}"))?;
    let stop = CancelToken::default();
    let mut batches = load(&config, &stop)?;
    let rows: usize = batches.iter().map(Batch::len).sum();
    let store = open::store(&config).map_err(|error| anyhow!("{error}"))?;
    let mut writer = store.writer(&stop).map_err(|error| anyhow!("{error}"))?;
    for _ in 0..passes {
        let start = Instant::now();
        let (mut back, mut batch_id, mut out) = (Vec::with_capacity(batches.len()), 0, 0);
        for batch in batches.drain(..) {
            out += batch.len();
            writer.submit(batch_id, batch).map_err(|error| anyhow!("{error}"))?;
            batch_id += 1;
            while out + config.consume.cycle > config.consume.in_flight {
                let Some(done) = writer.completed(Duration::from_secs(60)).map_err(|e| anyhow!("{e}"))?
                else {
                    break;
                };
                out -= done.batch.len();
                back.push(done.batch);
            }
        }
        while out > 0 {
            let done = writer.completed(Duration::from_secs(60)).map_err(|e| anyhow!("{e}"))?;
            let done = done.ok_or_else(|| anyhow!("the store did not answer"))?;
            out -= done.batch.len();
            back.push(done.batch);
        }
        batches = back;
        println!("{}", (rows as f64 / start.elapsed().as_secs_f64()) as u64);
    }
    Ok(())
}

/// The whole source as batches of one cycle each.
fn load(config: &config::Config, stop: &CancelToken) -> Result<Vec<Batch>> {
    let mut source = open::source(config).map_err(|error| anyhow!("{error}"))?;
    let mut batches = vec![Batch::default()];
    let at = Partition { topic: 0, number: 0 };
    // Older than any topic's: like the rows of a replay, these do not replace what the table has. If they
    // were newer, only the ceiling would pay for that.
    let stamp = 1;
    while source
        .next(stop, &mut |event| {
            if let Event::Record { kind, payload, .. } = event {
                if batches.last().is_none_or(|batch| batch.len() == config.consume.cycle) {
                    batches.push(Batch::default());
                }
                if let Some(batch) = batches.last_mut() {
                    let pushed = batch.push(kind, payload, stamp, at, 0);
                    pushed.map_err(|error| ports::Error::internal(error.to_string()))?;
                }
            }
            Ok(())
        })
        .map_err(|error| anyhow!("{error}"))?
    {}
    Ok(batches)
}
