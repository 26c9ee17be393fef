//! Bars and price bands in stock streams. They are rare, so they are parsed again from their text, slowly,
//! and cost nothing when absent.
//!
//! ```text
//! Alpaca:  {"T":"b","S":"SPY","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49378,"n":461,"vw":389.062639,"t":"2021-02-22T19:15:00Z"}
//!          `u` is an updated bar, `d` the daily bar so far
//!          {"T":"l","S":"IONM","u":3.24,"d":2.65,"i":"B","t":"2022-04-06T20:06:09.9Z","z":"A"}
//! Massive: {"ev":"AM","sym":"GTE","v":4110,"o":0.4488,"c":0.4486,"h":0.4489,"l":0.4486,"vw":0.4487,"s":1610144640000,"e":1610144700000}
//!          `A` is a second bar
//!          {"ev":"LULD","T":"MSFT","h":218.12,"l":215.04,"i":[21],"z":3,"t":1610144700000,"q":8}
//! ```

use super::feed::{FeedMessage, MessageSink};
use super::poll::{price, short};
use super::scan;
use super::vendor_bar::{Bands, VendorBar};
use crate::UnixNanos;
use crate::interval::Interval;
use serde_json::Value;

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str, String> {
    value[name].as_str().filter(|text| !text.is_empty()).ok_or_else(|| format!("missing `{name}`"))
}

fn bands<'v>(
    value: &'v Value,
    [symbol, upper, lower]: [&str; 3],
    ts: UnixNanos,
    indicator: &'v str,
) -> Result<FeedMessage<'v>, String> {
    Ok(FeedMessage::Bands(Bands {
        symbol: text(value, symbol)?,
        ts,
        upper: price(&value[upper], upper)?,
        lower: price(&value[lower], lower)?,
        indicator,
    }))
}

/// A message of class `b`, `u`, `d` or `l`.
pub(super) fn alpaca(class: &str, raw: &str, sink: MessageSink<'_>) {
    let value: Value = match serde_json::from_str(raw) {
        Ok(value) => value,
        Err(error) => return sink(Err(error.to_string()), raw),
    };
    let read = || {
        let ts = UnixNanos::parse(text(&value, "t")?).map_err(|error| format!("`t`: {error}"))?;
        if class == "l" {
            return bands(&value, ["S", "u", "d"], ts, value["i"].as_str().unwrap_or_default());
        }
        Ok(FeedMessage::Bar(VendorBar {
            symbol: text(&value, "S")?,
            interval: if class == "d" { Interval::D1 } else { Interval::M1 },
            row: short(&value, ts.0)?,
            revision: u32::from(class == "u"),
            is_final: false,
        }))
    };
    sink(read(), raw);
}

/// A message of event `A`, `AM` or `LULD`.
pub(super) fn massive(event: &str, raw: &str, sink: MessageSink<'_>) {
    let value: Value = match serde_json::from_str(raw) {
        Ok(value) => value,
        Err(error) => return sink(Err(error.to_string()), raw),
    };
    // Milliseconds as documented; price bands have microseconds.
    let instant = |name: &str| {
        let digits = value[name].as_i64().map(|number| number.to_string());
        let digits = digits.ok_or_else(|| format!("`{name}`: expected a time in milliseconds"))?;
        scan::Value::Number(&digits).epoch(name)
    };
    let indicator = value["i"].to_string();
    let read = || {
        if event == "LULD" {
            return bands(&value, ["T", "h", "l"], instant("t")?, &indicator);
        }
        Ok(FeedMessage::Bar(VendorBar {
            symbol: text(&value, "sym")?,
            interval: if event == "A" { Interval::S1 } else { Interval::M1 },
            row: short(&value, instant("s")?.0)?,
            revision: 0,
            // Reported once.
            is_final: true,
        }))
    };
    sink(read(), raw);
}

#[cfg(test)]
mod tests {
    use crate::UnixNanos;
    use crate::bar::Values;
    use crate::codec::feed::{Decode, FeedMessage};
    use crate::codec::{alpaca, massive};

    fn shown(decoder: &mut dyn Decode, frame: &str) -> Vec<String> {
        let mut out = Vec::new();
        decoder
            .frame(frame, UnixNanos(7), &mut |outcome, _| {
                out.push(match outcome {
                    Ok(FeedMessage::Bar(given)) => match given.bar("f") {
                        Ok(bar) => {
                            let Values::Trades(values) = &bar.values else { return };
                            let [o, h, l, c] = values.ohlc;
                            let volume = values.volume;
                            let (start, n, revision) = (bar.start, values.trades, bar.revision);
                            format!(
                                "{} {} {start} {o} {h} {l} {c} {volume} {n} {revision} {}",
                                bar.symbol, bar.interval, bar.is_final
                            )
                        }
                        Err(reason) => reason,
                    },
                    Ok(FeedMessage::Bands(b)) => {
                        format!("{} {} {} {} {}", b.symbol, b.ts, b.upper, b.lower, b.indicator)
                    }
                    other => format!("{other:?}"),
                });
            })
            .unwrap();
        out
    }

    #[test]
    fn bars_and_bands_are_read_and_what_is_none_is_named() {
        let frame = r#"[{"T":"b","S":"SPY","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49378,"n":461,"vw":389.062639,"t":"2021-02-22T19:15:00Z"},
            {"T":"u","S":"SPY","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49380,"n":462,"vw":389.062639,"t":"2021-02-22T19:15:00Z"},
            {"T":"d","S":"SPY","o":1,"h":1,"l":1,"c":1,"v":1,"n":1,"t":"2021-02-22T05:00:00Z"},
            {"T":"l","S":"IONM","u":3.24,"d":2.65,"i":"B","t":"2022-04-06T20:06:09.9Z","z":"A"},
            {"T":"b","S":"SPY","o":3,"h":2,"l":1,"c":1,"v":1,"t":"2021-02-22T05:00:00Z"},
            {"T":"b","S":"SPY","t":"2021-02-22T05:00:00Z"}]"#;
        assert_eq!(
            shown(&mut alpaca::AlpacaDecoder::new("f"), frame),
            [
                "SPY 1m 2021-02-22T19:15:00Z 388.985 389.13 388.975 389.12 49378 461 0 false",
                "SPY 1m 2021-02-22T19:15:00Z 388.985 389.13 388.975 389.12 49380 462 1 false",
                "SPY 1d 2021-02-22T05:00:00Z 1 1 1 1 1 1 0 false",
                "IONM 2022-04-06T20:06:09.9Z 3.24 2.65 B",
                "no bar: open 3 high 2 low 1 close 1",
                "Err(\"no `o`\")",
            ]
        );
        let frame = r#"[{"ev":"AM","sym":"GTE","v":4110,"av":9470157,"op":0.4372,"vw":0.4488,"o":0.4488,"c":0.4486,"h":0.4489,"l":0.4486,"a":0.4352,"z":685,"s":1610144640000,"e":1610144700000},
            {"ev":"A","sym":"SPCE","v":200,"o":25.39,"c":25.39,"h":25.39,"l":25.39,"s":1610144868000,"e":1610144869000},
            {"ev":"LULD","T":"MSFT","h":218.12,"l":215.04,"i":[21],"z":3,"t":1610144700000,"q":8},
            {"ev":"LULD","T":"MSFT","h":218.12,"l":215.04,"i":[21],"z":3,"t":1610144700000000,"q":8},
            {"ev":"AM","sym":"GTE","v":10,"dv":"10.5","av":20,"dav":"20.25","o":1,"c":1,"h":1,"l":1,"s":1610144640000,"e":1610144700000},
            {"ev":"LULD","T":"MSFT","h":218.12,"l":215.04,"i":[21],"z":3}]"#;
        assert_eq!(
            shown(&mut massive::MassiveDecoder::new("f"), frame),
            [
                "GTE 1m 2021-01-08T22:24:00Z 0.4488 0.4489 0.4486 0.4486 4110 0 0 true",
                "SPCE 1s 2021-01-08T22:27:48Z 25.39 25.39 25.39 25.39 200 0 0 true",
                "MSFT 2021-01-08T22:25:00Z 218.12 215.04 [21]",
                "MSFT 2021-01-08T22:25:00Z 218.12 215.04 [21]",
                "GTE 1m 2021-01-08T22:24:00Z 1 1 1 1 10.5 0 0 true",
                "Err(\"`t`: expected a time in milliseconds\")",
            ]
        );
    }
}
