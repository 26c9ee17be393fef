//! Decoding of vendors' stream frames, on one core.

use anyhow::{Result, anyhow, bail};
use market::UnixNanos;
use market::codec::feed::FeedMessage;
use market::codec::json;
use ports::CancelToken;
use simulator::SimulatedVendor;
use sources::live;
use std::hint::black_box;
use std::time::Instant;
use tapeline::config;
use tapeline::open;

fn frames(vendor: &str, source: &str, messages: usize) -> Result<Vec<String>> {
    let vendor = match vendor {
        "alpaca" => SimulatedVendor::Alpaca,
        "massive" => SimulatedVendor::Massive,
        "finnhub" => SimulatedVendor::Finnhub,
        "coinbase" => SimulatedVendor::Coinbase,
        "kraken" => SimulatedVendor::Kraken,
        "binance" => SimulatedVendor::Binance,
        _ => bail!("unknown vendor `{vendor}`"),
    };
    let flags = [("source.url", Some(source.to_owned()))];
    let config = config::load(None, std::env::vars(), &flags).map_err(|error| anyhow!("{error}"))?;
    let mut tape = open::source(&config).map_err(|error| anyhow!("{error}"))?;
    simulator::frames(vendor, &mut *tape, messages, &CancelToken::default())
        .map_err(|error| anyhow!("{error}"))
}

/// `bench decode VENDOR SOURCE MESSAGES PASSES`: trades per second, one line per pass: decoded; decoded and
/// encoded in canonical form; parsed into serde_json's generic value with its members looked up.
pub(crate) fn run(vendor: &str, source: &str, messages: usize, passes: usize) -> Result<()> {
    let frames = frames(vendor, source, messages)?;
    for _ in 0..passes {
        let mut rates = Vec::new();
        for write in [false, true] {
            let mut decoder = live::decoder(vendor).ok_or_else(|| anyhow!("no decoder for {vendor}"))?;
            let (mut count, mut payload, start) = (0_u64, Vec::new(), Instant::now());
            for frame in &frames {
                let read = decoder.frame(frame, UnixNanos(1), &mut |outcome, _| {
                    if let Ok(FeedMessage::Record(record)) = outcome {
                        count += 1;
                        if write {
                            payload.clear();
                            json::encode(&record, &mut payload);
                            black_box(&payload);
                        }
                        black_box(record);
                    }
                });
                read.map_err(|reason| anyhow!("{reason}"))?;
            }
            rates.push((count as f64 / start.elapsed().as_secs_f64()) as u64);
        }
        if vendor == "alpaca" {
            rates.push(generic(&frames)?);
        }
        println!("{}", rates.iter().map(u64::to_string).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

fn generic(frames: &[String]) -> Result<u64> {
    let (mut count, start) = (0_u64, Instant::now());
    for frame in frames {
        let value: serde_json::Value = serde_json::from_str(frame)?;
        for message in value.as_array().into_iter().flatten().filter(|message| message["T"] == "t") {
            let time = message["t"].as_str().unwrap_or_default().parse::<jiff::Timestamp>()?;
            black_box((
                message["S"].as_str(),
                message["p"].as_f64(),
                message["s"].as_f64(),
                message["i"].as_u64(),
                message["x"].as_str(),
                message["c"].as_array(),
                time,
            ));
            count += 1;
        }
    }
    Ok((count as f64 / start.elapsed().as_secs_f64()) as u64)
}

/// `bench decode frames VENDOR SOURCE MESSAGES`: prints the frames, one per line, for other programs to read.
pub(crate) fn print(vendor: &str, source: &str, messages: usize) -> Result<()> {
    for frame in frames(vendor, source, messages)? {
        println!("{frame}");
    }
    Ok(())
}
