//! End-to-end latency at a fixed rate: from the time a record was *meant* to be sent to the store's
//! acknowledgement, so that a stall counts against every record it delays. The loops are the program's own.

use anyhow::{Result, anyhow};
use market::codec::json;
use market::{Kind, Record, UnixNanos};
use pipeline::consume;
use pipeline::produce;
use ports::source::{Event, Positions, Source};
use ports::telemetry::Telemetry;
use ports::{CancelToken, clock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tapeline::config;
use tapeline::open;

/// Real trades at a fixed rate, each received when it was due.
struct Paced {
    trades: Vec<(String, Vec<u8>)>,
    next: usize,
    gap: f64,
    first: UnixNanos,
}

impl Source for Paced {
    fn resume(&mut self, _: &Positions) -> ports::Result<u64> {
        Ok(0)
    }

    fn next(
        &mut self,
        stop: &CancelToken,
        sink: &mut dyn FnMut(Event<'_>) -> ports::Result<()>,
    ) -> ports::Result<bool> {
        if self.first.0 == 0 {
            self.first = clock::now();
        }
        let mut payload = Vec::new();
        while self.next < self.trades.len() {
            let due = UnixNanos(self.first.0 + (self.next as f64 * self.gap) as i64);
            let early = due.0 - clock::now().0;
            if early > 0 {
                stop.sleep(Duration::from_nanos(early.unsigned_abs().min(1_000_000)));
                return Ok(true);
            }
            let (symbol, text) = &self.trades[self.next];
            let Some(Record::Trade(mut trade)) = json::decode(Kind::TRADE, text) else { continue };
            trade.recv_ts = due;
            payload.clear();
            json::encode(&Record::Trade(trade), &mut payload);
            sink(Event::Record { kind: Kind::TRADE, symbol, recv_ts: due, payload: &payload })?;
            self.next += 1;
        }
        Ok(false)
    }

    fn positions(&mut self) -> Positions {
        Positions::new()
    }

    fn size(&self) -> Option<u64> {
        Some(self.trades.len() as u64)
    }

    fn describe(&self) -> String {
        "paced".to_owned()
    }
}

pub(crate) fn run(source: &str, topic: &str, store: &str, rate: f64, seconds: usize) -> Result<()> {
    let flags = [
        ("source.url", Some(source.to_owned())),
        ("topic.url", Some(topic.to_owned())),
        ("store.url", Some(store.to_owned())),
    ];
    let config = config::load(None, std::env::vars(), &flags).map_err(|error| anyhow!("{error}"))?;
    let stop = CancelToken::default();
    let trades = load(&config, &stop, rate as usize * seconds)?;
    let topics = open::topics(&config, &stop).map_err(|error| anyhow!("{error}"))?;
    let store = open::store(&config).map_err(|error| anyhow!("{error}"))?;
    // The first seconds warm the servers up and are not counted.
    let warm = (rate as usize * 5).min(trades.len() / 2);
    for part in [&trades[..warm], &trades[warm..]] {
        let mut paced = Paced { trades: part.to_vec(), next: 0, gap: 1e9 / rate, first: UnixNanos(0) };
        let telemetry = Arc::new(Telemetry::default());
        let ended = AtomicBool::new(false);
        let names = open::names(&config);
        let producing = produce::ProduceSettings {
            names: names.clone(),
            position_every: Duration::from_secs(3_600),
            replay: true,
            drain: Duration::from_secs(10),
        };
        let consuming = consume::ConsumeSettings {
            names,
            group: config.topic.group.clone(),
            cycle: config.consume.cycle,
            in_flight: config.consume.in_flight,
            in_flight_bytes: 64 << 20,
            commit_every: config.consume.commit_interval,
            drain: Duration::from_secs(10),
        };
        std::thread::scope(|scope| -> Result<()> {
            let consumer =
                scope.spawn(|| consume::run(&*topics, &*store, &consuming, &telemetry, &stop, &ended));
            std::thread::sleep(Duration::from_secs(2));
            produce::run(&mut paced, &*topics, &producing, &telemetry, &stop).map_err(|e| anyhow!("{e}"))?;
            ended.store(true, Ordering::SeqCst);
            consumer.join().map_err(|_| anyhow!("the consumer panicked"))?.map_err(|e| anyhow!("{e}"))?;
            Ok(())
        })?;
        let latency = telemetry.latency();
        if part.len() != warm || warm == 0 {
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| latency.percentile(share) as f64 / 1e3);
            println!("{} {p50:.1} {p99:.1} {p999:.1}", latency.count());
        }
    }
    Ok(())
}

fn load(config: &config::Config, stop: &CancelToken, count: usize) -> Result<Vec<(String, Vec<u8>)>> {
    let mut source = open::source(config).map_err(|error| anyhow!("{error}"))?;
    let mut trades = Vec::with_capacity(count);
    while trades.len() < count
        && source
            .next(stop, &mut |event| {
                if let Event::Record { kind: Kind::TRADE, symbol, payload, .. } = event {
                    trades.push((symbol.to_owned(), payload.to_vec()));
                }
                Ok(())
            })
            .map_err(|error| anyhow!("{error}"))?
    {}
    trades.truncate(count);
    Ok(trades)
}
