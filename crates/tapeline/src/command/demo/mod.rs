//! `tapeline demo`: a bundled real session, served by a simulated stock API and recorded by the embedded
//! engines. No server, no account.

mod folder;
mod iot;

use super::{flow, verify};
use crate::cli::{DIFFERS, DemoOptions, ProduceOptions};
use crate::context::Context;
use crate::print;
use folder::{config, leave_settings, remove_old};
use market::UnixNanos;
use ports::error::io;
use ports::secret::Secret;
use ports::telemetry::Telemetry;
use ports::{CancelToken, Error, Result};
use serde_json::json;
use simulator::{SimulatedVendor, SimulatorReport, SimulatorSettings};
use sources::bounded::BoundedSource;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tapeline::open;

/// Trades per second: a day in seconds, and below what two cores can store, so that latency measures the
/// pipeline and not a queue.
const RATE: f64 = 150_000.0;
/// Trades per second with the dashboard: a day in a few minutes.
const RATE_TO_LOOK_AT: f64 = 5_000.0;
/// 2013-10-08, UTC: midnight to midnight, nanoseconds.
const DAY: (i64, i64) = (1_381_190_400_000_000_000, 1_381_276_800_000_000_000);

/// All trades of four symbols on 2013-10-08; origin and licence in data/README.md.
const SESSION: [(&str, &[u8]); 4] = [
    ("spy", include_bytes!("../../../../../data/us-equities/tick/spy/20131008_trade.zip")),
    ("bac", include_bytes!("../../../../../data/us-equities/tick/bac/20131008_trade.zip")),
    ("ibm", include_bytes!("../../../../../data/us-equities/tick/ibm/20131008_trade.zip")),
    ("aig", include_bytes!("../../../../../data/us-equities/tick/aig/20131008_trade.zip")),
];

/// What the demo is alerted of: a move of 0.25 % in a minute, and five times the usual volume.
const RULES: &str = "
[[rules]]
name = 'sudden-move'
kind = 'percent_move'
window = '60s'
threshold = 0.25
hysteresis = 0.05
cooldown = '10m'
session = 'regular'
[[rules]]
name = 'volume'
kind = 'volume_surge'
window = '60s'
baseline = '30m'
threshold = 5
hysteresis = 2
cooldown = '30m'
session = 'regular'
";

pub(crate) fn run(context: &Context, options: &DemoOptions) -> Result<ExitCode> {
    let default = if options.iot { "tapeline-demo-iot" } else { "tapeline-demo" };
    let dir = options.dir.as_deref().unwrap_or(Path::new(default));
    if options.iot {
        return iot::run(context, options, dir);
    }
    unpack(dir)?;
    let (topic, store) = (dir.join("topic.db"), dir.join("market.db"));
    let rate = options.rate.unwrap_or(if options.serve { RATE_TO_LOOK_AT } else { RATE });
    let simulator = Api::start(&dir.join("tape"), rate)?;
    let (symbols, address) = (simulator.symbols.join(","), simulator.address);
    // Labelled like the tape, whose condition codes the prints carry.
    let mut config = config(dir, RULES, &format!("alpaca:sip?symbols={symbols}&label=lean.sip"))?;
    config.source.alpaca.stream = format!("ws://{address}");
    config.source.alpaca.rest = format!("http://{address}");
    (config.source.alpaca.key, config.source.alpaca.secret) =
        (Secret::from("demo".to_owned()), Secret::from("demo".to_owned()));
    println!("demo: every trade of {symbols} on 2013-10-08, from a stock API to the store");
    println!(
        "  a simulated Alpaca API on {address} plays the tape, up to {} trades per second",
        crate::output::thousands(rate as u64)
    );
    println!("  a producer, a topic, a consumer, a store, and bars and alerts on the way");
    let telemetry = Arc::new(Telemetry::default());
    let serve = |telemetry| super::serve::start(context, &config, &options.listen, Some(telemetry));
    let server = options.serve.then(|| serve(Arc::clone(&telemetry))).transpose()?;
    let start = Instant::now();
    let source = BoundedSource::new(open::source(&config)?, simulator.records as u64);
    let outcome =
        flow::through(context, &config, Box::new(source), &ProduceOptions { replay: true }, &telemetry)?;
    let time = start.elapsed();
    if context.stop.is_cancelled() {
        return Err(Error::user("stopped before the end"));
    }
    println!("  {} trades on the tape", crate::output::thousands(simulator.records as u64));
    flow::summary(&telemetry, time, true);
    super::aggregate::summary(&telemetry);
    outcome.print();
    // Compares the API's history of the whole day with what was recorded.
    let proof = verify::Proof::read(context, &config, (UnixNanos(DAY.0), UnixNanos(DAY.1)), None)?;
    proof.print();
    print::json(|| json!({ "run": outcome.json(&telemetry, time), "proof": proof.json(), "folder": dir }));
    leave_settings(dir, RULES)?;
    println!("files: {} (store), {} (topic)", store.display(), topic.display());
    println!("next, in the demo's folder, whose tapeline.toml names topic and store:");
    println!("  cd {}", dir.display());
    println!("  tapeline count");
    println!("  tapeline query bars SPY --interval 1m --from 2013-10-08T09:30 --limit 10");
    println!("  tapeline query trades SPY --out spy.csv");
    println!("  tapeline plot SPY --interval 5m --indicator ema:20,vwap,rsi:14 --out spy.svg");
    println!("  tapeline explain SPY 2013-10-08T15:03:02");
    println!("  tapeline alert history");
    println!("on Kafka and Cassandra, if they run on this machine:");
    println!("  tapeline init --topic kafka://127.0.0.1:9092 --store cassandra://127.0.0.1:9042/tapeline");
    println!(
        "  tapeline run --source tape:tape --topic kafka://127.0.0.1:9092 --store cassandra://127.0.0.1:9042/tapeline"
    );
    super::serve::until_stopped(context, server)?;
    drop(simulator);
    Ok(if proof.holds() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

/// The simulated API; dropping it ends it.
struct Api {
    symbols: Vec<String>,
    records: usize,
    address: SocketAddr,
    stop: CancelToken,
    thread: Option<JoinHandle<Result<SimulatorReport>>>,
}

impl Api {
    fn start(tape: &Path, rate: f64) -> Result<Self> {
        let settings = SimulatorSettings {
            vendor: SimulatedVendor::Alpaca,
            listen: "127.0.0.1:0".to_owned(),
            speed: None,
            rate: Some(rate),
            faults: None,
            keys: None,
            connections: 1,
            symbols: usize::MAX,
            halts: Vec::new(),
            frame: 100,
        };
        let stop = CancelToken::default();
        let config = tapeline::config::load(None, std::iter::empty(), &[])?;
        let url = format!("tape:{}?kinds=trades", tape.display());
        let simulator = open::simulator(&config, &url, settings, &stop)?;
        let (symbols, records) = simulator.tape();
        let (symbols, address) = (symbols.to_vec(), simulator.address()?);
        let thread = Some(std::thread::spawn(|| simulator.run()));
        Ok(Self { symbols, records, address, stop, thread })
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Creates the session as a folder of tick files, and removes the databases of an earlier demo.
fn unpack(dir: &Path) -> Result<()> {
    remove_old(dir)?;
    for (symbol, zip) in SESSION {
        let folder = dir.join("tape/tick").join(symbol);
        std::fs::create_dir_all(&folder).map_err(io("create folder", &folder))?;
        let path = folder.join("20131008_trade.zip");
        std::fs::write(&path, zip).map_err(io("write", &path))?;
    }
    Ok(())
}
