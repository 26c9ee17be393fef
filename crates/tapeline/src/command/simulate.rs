//! `tapeline simulate`: a vendor's API played from a tape.

use crate::cli::{SimulateOptions, Vendor};
use crate::context::Context;
use crate::output::thousands;
use pipeline::simulate::{self, Settings};
use pipeline::{Error, Result, engine};
use std::process::ExitCode;

pub(crate) fn run(context: &Context, options: &SimulateOptions) -> Result<ExitCode> {
    let (vendor, name, scheme, key) = match options.vendor {
        Vendor::Alpaca => {
            (simulate::Vendor::Alpaca, "Alpaca", "alpaca:sip", "APCA_API_KEY_ID=any APCA_API_SECRET_KEY=any")
        }
        Vendor::AlpacaCrypto => (
            simulate::Vendor::AlpacaCrypto,
            "Alpaca",
            "alpaca:crypto",
            "APCA_API_KEY_ID=any APCA_API_SECRET_KEY=any",
        ),
        Vendor::Massive => (simulate::Vendor::Massive, "Massive", "massive:stocks", "MASSIVE_API_KEY=any"),
        Vendor::Finnhub => (simulate::Vendor::Finnhub, "Finnhub", "finnhub:", "FINNHUB_API_KEY=any"),
        Vendor::Coinbase => (simulate::Vendor::Coinbase, "Coinbase", "coinbase:", ""),
        Vendor::Kraken => (simulate::Vendor::Kraken, "Kraken", "kraken:", ""),
        Vendor::Binance => (simulate::Vendor::Binance, "Binance", "binance:", ""),
        Vendor::Alphavantage => {
            (simulate::Vendor::AlphaVantage, "AlphaVantage", "poll:alphavantage", "ALPHAVANTAGE_API_KEY=any")
        }
        Vendor::Twelvedata => {
            (simulate::Vendor::TwelveData, "TwelveData", "poll:twelvedata", "TWELVEDATA_API_KEY=any")
        }
        Vendor::Yahoo => (simulate::Vendor::Yahoo, "Yahoo", "poll:yahoo", ""),
    };
    let speed = match options.speed.trim_end_matches('x') {
        "ma" | "max" => None,
        text => Some(text.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0).ok_or_else(|| {
            Error::user(format!("--speed {} is neither max nor a number above 0", options.speed))
        })?),
    };
    let keys = match &options.keys {
        Some(keys) => Some(
            keys.split_once(':')
                .map(|(k, s)| (k.to_owned(), s.to_owned()))
                .ok_or_else(|| Error::user("--keys is KEY:SECRET"))?,
        ),
        None => None,
    };
    let settings = Settings {
        vendor,
        listen: options.listen.clone(),
        speed,
        rate: options.rate.filter(|rate| rate.is_finite() && *rate > 0.0),
        faults: options.faults.map(|seed| (seed, options.fault_count)),
        keys,
        symbols: options.symbol_limit,
        halts: options.halt.clone(),
        connections: options.connections.max(1),
        frame: options.frame.clamp(1, 10_000),
    };
    let url = match options.tape.strip_prefix("tape:") {
        Some(_) => options.tape.clone(),
        None => format!("tape:{}?kinds=trades", options.tape),
    };
    let simulator = engine::simulator(&context.config, &url, settings, &context.stop)?;
    let address = simulator.address()?;
    let (symbols, records) = simulator.tape();
    let symbols = symbols.join(",");
    println!(
        "{name}'s API at {address}: {} records of {symbols}; plays from the first subscription on",
        thousands(records as u64)
    );
    println!("in another terminal:");
    if !key.is_empty() {
        println!("  export {key}");
    }
    let section = name.to_ascii_uppercase();
    if scheme.starts_with("poll:") {
        println!("  export TAPELINE__SOURCE__POLL__{section}__REST=http://{address}");
        let (from, to) = simulator.span();
        println!(
            "  tapeline run --source '{scheme}?symbols={symbols}&interval=1m&from={from}&to={to}&once=true' --topic ... --store ..."
        );
    } else {
        println!(
            "  export TAPELINE__SOURCE__{section}__STREAM=ws://{address} TAPELINE__SOURCE__{section}__REST=http://{address}"
        );
        println!(
            "  tapeline run --source '{scheme}?symbols={symbols}&speed={}' --topic ... --store ...",
            speed.unwrap_or(1.0)
        );
    }
    let report = simulator.run()?;
    for (name, count) in &report.faults {
        println!("  {count} x {name}");
    }
    Ok(ExitCode::SUCCESS)
}
