//! `tapeline simulate`: a vendor's API, played from a tape.

use crate::cli::SimulateOptions;
use crate::context::{Context, with};
use crate::output::counted;
use crate::print;
use ports::{Error, Result};
use simulator::SimulatorSettings;
use std::process::ExitCode;
use tapeline::open;

pub(crate) fn run(context: &Context, options: &SimulateOptions) -> Result<ExitCode> {
    let known = options.vendor.known();
    let speed = match options.speed.trim_end_matches('x') {
        "ma" | "max" => None,
        text => Some(text.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0).ok_or_else(|| {
            Error::usage(format!("--speed {}: expected max or a number above 0", options.speed))
        })?),
    };
    let keys = match &options.keys {
        Some(keys) => Some(
            keys.split_once(':')
                .map(|(k, s)| (k.to_owned(), s.to_owned()))
                .ok_or_else(|| Error::usage("--keys: expected KEY:SECRET"))?,
        ),
        None => None,
    };
    let settings = SimulatorSettings {
        vendor: options.vendor,
        listen: options.listen.clone(),
        speed,
        rate: options.rate,
        faults: options.faults.map(|seed| (seed, options.fault_count)),
        keys,
        symbols: options.symbol_limit,
        halts: options.halt.clone(),
        connections: options.connections.max(1),
        frame: options.frame.clamp(1, 10_000),
    };
    let mut url = match options.tape.strip_prefix("tape:") {
        Some(_) => options.tape.clone(),
        None if context.kinds.len() == 1 => format!("tape:{}", options.tape),
        None => format!("tape:{}?kinds=trades", options.tape),
    };
    if !context.symbols.is_empty() {
        url = with(&url, "symbols", &ports::options::joined(&context.symbols));
    }
    if let [kind] = context.kinds[..] {
        url = with(&url, "kinds", kind.plural());
    }
    let simulator = open::simulator(&context.config, &url, settings, &context.stop)
        .map_err(|error| error.hint("--tape DIR is a folder with tick/<symbol>/<yyyymmdd>_trade.zip"))?;
    let address = simulator.address()?;
    let (symbols, records) = simulator.tape();
    let symbols = symbols.join(",");
    println!(
        "{}'s API at {address}: {} of {symbols}; playback starts with the first subscription",
        known.name,
        counted(records as u64, "record")
    );
    print::json(|| {
        serde_json::json!({
            "vendor": known.word,
            "address": address.to_string(),
            "symbols": simulator.tape().0,
            "records": records,
        })
    });
    println!("in another terminal:");
    if !known.keys.is_empty() {
        println!("  export {}", known.keys);
    }
    let (scheme, section) = (known.source, known.name.to_ascii_uppercase());
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
    print::json(
        || serde_json::json!({ "faults": report.faults.iter().map(|(name, count)| (name.to_string(), count)).collect::<std::collections::BTreeMap<_, _>>() }),
    );
    Ok(ExitCode::SUCCESS)
}
