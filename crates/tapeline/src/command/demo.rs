//! `tapeline demo`: a bundled real session through the embedded engines. No server, no account.

use super::{flow, verify};
use crate::cli::{DIFFERS, DemoOptions, ProduceOptions};
use crate::context::Context;
use pipeline::error::io;
use pipeline::telemetry::Telemetry;
use pipeline::{Error, Result, config};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// All trades of four symbols on 2013-10-08; origin and licence in data/README.md.
const SESSION: [(&str, &[u8]); 4] = [
    ("spy", include_bytes!("../../../../data/us-equities/tick/spy/20131008_trade.zip")),
    ("bac", include_bytes!("../../../../data/us-equities/tick/bac/20131008_trade.zip")),
    ("ibm", include_bytes!("../../../../data/us-equities/tick/ibm/20131008_trade.zip")),
    ("aig", include_bytes!("../../../../data/us-equities/tick/aig/20131008_trade.zip")),
];

pub(crate) fn run(context: &Context, options: &DemoOptions) -> Result<ExitCode> {
    let dir = &options.dir;
    unpack(dir)?;
    let (topic, store) = (dir.join("topic.db"), dir.join("market.db"));
    let url = |path: &Path| format!("sqlite:{}", path.display());
    let flags = [
        ("source.url", Some(format!("tape:{}", dir.join("tape").display()))),
        ("topic.url", Some(url(&topic))),
        ("store.url", Some(url(&store))),
    ];
    let config = config::load(None, std::iter::empty(), &flags)?;
    println!(
        "demo: every trade of SPY, BAC, IBM and AIG on 2013-10-08, from the tape through topic to store"
    );
    let telemetry = Arc::new(Telemetry::default());
    let start = Instant::now();
    flow::through(context, &config, &ProduceOptions { replay: true }, &telemetry)?;
    let time = start.elapsed();
    if context.stop.asked() {
        return Err(Error::user("stopped before the end"));
    }
    println!("  read {} rows", crate::output::thousands(telemetry.get(&telemetry.read)));
    flow::summary(&telemetry, time, true);
    super::aggregate::summary(&telemetry);
    let proof = verify::prove(context, &config)?;
    proof.print();
    println!("left: {} (the store), {} (the topic)", store.display(), topic.display());
    println!("next:");
    println!("  tapeline count --store {}", url(&store));
    println!(
        "  tapeline query trades SPY --from '2013-10-08T09:30[America/New_York]' --limit 10 --store {}",
        url(&store)
    );
    println!(
        "  tapeline query bars SPY --interval 1m --from '2013-10-08T09:30[America/New_York]' --limit 10 --store {}",
        url(&store)
    );
    println!(
        "  tapeline plot SPY --interval 5m --indicator ema:20,vwap,rsi:14 --out spy.svg --store {}",
        url(&store)
    );
    println!("  tapeline explain SPY 2013-10-08T19:03:02Z --store {}", url(&store));
    println!("  cargo xtask stack up      # real Kafka and Cassandra on this machine, then:");
    println!("  tapeline init --topic kafka://127.0.0.1:9092 --store cassandra://127.0.0.1:9042/tapeline");
    println!(
        "  tapeline run --source tape:{} --topic kafka://127.0.0.1:9092 --store cassandra://127.0.0.1:9042/tapeline",
        dir.join("tape").display()
    );
    println!("(tapeline is target/release/tapeline; or write `cargo run --release --` in its place)");
    Ok(if proof.holds() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

/// Lays the session out as a folder of tick files, and clears what an earlier demo left.
fn unpack(dir: &Path) -> Result<()> {
    for name in ["topic.db", "market.db"] {
        for suffix in ["", "-wal", "-shm"] {
            let path = dir.join(format!("{name}{suffix}"));
            if path.exists() {
                std::fs::remove_file(&path).map_err(io("remove", &path))?;
            }
        }
    }
    for (symbol, zip) in SESSION {
        let folder = dir.join("tape/tick").join(symbol);
        std::fs::create_dir_all(&folder).map_err(io("create folder", &folder))?;
        let path = folder.join("20131008_trade.zip");
        std::fs::write(&path, zip).map_err(io("write", &path))?;
    }
    Ok(())
}
