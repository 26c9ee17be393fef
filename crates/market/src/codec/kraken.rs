//! Kraken's websocket API, version 2: the `trade` channel; and its history (`/0/public/Trades`).
//!
//! ```text
//! {"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":105944.20,"qty":0.00027625,
//!  "ord_type":"market","trade_id":10218208,"timestamp":"2025-05-28T13:39:36.123456Z"}]}
//! {"error":[],"result":{"XXBTZUSD":[["105944.20000","0.00027625",1748439576.123456,"b","m","",10218208]],"last":"…"}}
//! ```
//! (docs.kraken.com, API v2; python-kraken-sdk.) A pair's trade numbers are consecutive, so a jump is a gap.
//! History has times in seconds: both are truncated to microseconds.

use super::feed::{Decode, FeedMessage, MessageSink, Outcome, TradeNumbers, emit_trade, not_an_object};
use super::placeholder::{IdMint, Origin};
use super::scan::{Scanner, Value, unescaped};
use crate::record::{Side, Trade};
use crate::{Kind, UnixNanos, fixed};

#[derive(Debug, Clone, Copy, Default)]
struct MessageFields<'a> {
    symbol: Value<'a>,
    side: Value<'a>,
    price: Value<'a>,
    size: Value<'a>,
    id: Value<'a>,
    time: Value<'a>,
}

/// Decodes frames and history.
#[derive(Debug, Default)]
pub struct KrakenDecoder {
    feed: String,
    numbers: TradeNumbers,
    mint: IdMint,
}

/// The taker's side, as written by the stream or by history.
fn side(text: &str) -> Result<Side, String> {
    match text {
        "buy" | "b" => Ok(Side::Buy),
        "sell" | "s" => Ok(Side::Sell),
        other => Err(format!("`side`: expected buy or sell, found {other}")),
    }
}

/// Time of a history row: seconds since 1970 that passed through a double, truncated to microseconds like the
/// stream's.
///
/// # Errors
/// The digits are not a number.
pub fn seconds(digits: &str) -> Result<UnixNanos, String> {
    /// Half the distance between two adjacent doubles of the present day, nanoseconds: the largest possible
    /// rounding error.
    const LOST: i128 = 120;
    let short = digits.get(..20).unwrap_or(digits);
    fixed::parse_scaled(short.as_bytes(), 9)
        .map_err(|error| error.to_string())
        .map(|nanos| nanos + LOST - (nanos + LOST).rem_euclid(1_000))
        .and_then(|nanos| i64::try_from(nanos).map_err(|error| error.to_string()))
        .map(UnixNanos)
        .map_err(|error| format!("`time`: {error}: {digits}"))
}

impl KrakenDecoder {
    /// Creates a decoder for a feed, for example `kraken`.
    #[must_use]
    pub fn new(feed: &str) -> Self {
        Self { feed: feed.to_owned(), ..Self::default() }
    }

    fn trade(
        &mut self,
        origin: Origin,
        of: &MessageFields<'_>,
        ts: UnixNanos,
        recv_ts: UnixNanos,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        let trade = Trade {
            symbol: of.symbol.needed("symbol")?,
            feed: self.feed.as_str(),
            venue: "kraken",
            id: of.id.id("trade_id")?,
            ts: UnixNanos(ts.0 - ts.0.rem_euclid(1_000)),
            recv_ts,
            price: of.price.price("price")?,
            size: of.size.size("qty")?,
            side: side(of.side.text("side")?)?,
            conditions: "[]",
            tape: "",
            seq: 0,
            revision: 0,
            canceled: false,
        };
        emit_trade(trade, &mut self.mint, origin, take)
    }

    fn data(&mut self, data: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) -> Result<(), String> {
        let mut scanner = Scanner::new(data);
        scanner.array(|scanner| {
            let from = scanner.at();
            let mut of = MessageFields::default();
            let other = scanner.object_or_value(|name, value| match name {
                "symbol" => of.symbol = value,
                "side" => of.side = value,
                "price" => of.price = value,
                "qty" => of.size = value,
                "trade_id" => of.id = value,
                "timestamp" => of.time = value,
                _ => {}
            })?;
            let raw = scanner.since(from);
            if let Some(element) = other {
                not_an_object(element, raw, sink);
                return Ok(());
            }
            if let (Value::Text(symbol), Ok(number)) = (of.symbol, of.id.whole("trade_id"))
                && let Some(hole) = self.numbers.hole(symbol, number)
            {
                sink(Ok(FeedMessage::Missed { what: &hole, symbol: Some(symbol) }), raw);
            }
            let done = of.time.time("timestamp").and_then(|ts| {
                self.trade(Origin::Stream, &of, ts, recv_ts, &mut |outcome| sink(outcome, raw))
            });
            if let Err(reason) = done {
                sink(Err(reason), raw);
            }
            Ok(())
        })
    }
}

impl Decode for KrakenDecoder {
    fn frame(&mut self, frame: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) -> Result<(), String> {
        let frame = &*unescaped(frame);
        let (mut channel, mut data, mut method, mut error) =
            (Value::Absent, Value::Absent, Value::Absent, Value::Absent);
        let mut scanner = Scanner::new(frame);
        let other = scanner.object_or_value(|name, value| match name {
            "channel" => channel = value,
            "data" => data = value,
            "method" => method = value,
            "error" | "Error" => error = value,
            _ => {}
        })?;
        scanner.end()?;
        if other.is_some() {
            // Version 1 sends arrays.
            sink(Ok(FeedMessage::Unknown("array")), frame);
            return Ok(());
        }
        match (channel, data) {
            (Value::Text("trade"), Value::Array(data)) => return self.data(data, recv_ts, sink),
            (Value::Text("heartbeat" | "status"), _) => sink(Ok(FeedMessage::Silent), frame),
            (Value::Text(channel), _) => sink(Ok(FeedMessage::Unknown(channel)), frame),
            // Acknowledgements.
            _ if method != Value::Absent || error != Value::Absent => sink(Ok(FeedMessage::Silent), frame),
            _ => sink(Ok(FeedMessage::Unknown("without channel")), frame),
        }
        Ok(())
    }

    fn past(&mut self, _: Kind, symbol: &str, raw: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) {
        let raw = &*unescaped(raw);
        let (mut scanner, mut at, mut values) = (Scanner::new(raw), 0, [Value::Absent; 7]);
        let read = scanner.array(|scanner| {
            let value = scanner.value()?;
            if let Some(place) = values.get_mut(at) {
                *place = value;
            }
            at += 1;
            Ok::<(), String>(())
        });
        let [price, size, time, side, _, _, id] = values;
        let of = MessageFields { symbol: Value::Text(symbol), side, price, size, id, time: Value::Absent };
        let done = read
            .and_then(|()| match time {
                Value::Number(digits) => seconds(digits),
                _ => Err("missing time".to_owned()),
            })
            .and_then(|ts| self.trade(Origin::History, &of, ts, recv_ts, &mut |outcome| sink(outcome, raw)));
        if let Err(reason) = done {
            sink(Err(reason), raw);
        }
    }

    fn rewind(&mut self) {
        self.mint.rewind();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;
    use crate::codec::feed::tests::{all, frame, past};

    #[test]
    fn trades_holes_and_history() {
        let decoder = &mut KrakenDecoder::new("kraken");
        let update = |id: u32| {
            format!(
                r#"{{"channel":"trade","type":"update","data":[{{"symbol":"BTC/USD","side":"sell","price":105944.20,"qty":0.00027625,"ord_type":"limit","trade_id":{id},"timestamp":"2025-05-28T13:39:36.123456Z"}}]}}"#
            )
        };
        let first = frame(decoder, &update(10_218_208)).remove(0);
        let Ok(Record::Trade(trade)) = &first else { panic!("{first:?}") };
        assert_eq!(
            (trade.price.to_string(), trade.size.to_string()),
            ("105944.2".into(), "0.00027625".into())
        );
        assert_eq!(frame(decoder, r#"{"channel":"heartbeat"}"#), []);
        assert!(all(decoder, &update(10_218_208)).iter().all(|text| !text.contains("not sent")));
        assert!(all(decoder, &update(10_218_211))[0].contains("trades 10218209 to 10218210 of BTC/USD"));
        let raw = r#"["105944.20000","0.00027625",1748439576.1234567,"s","l","",10218208]"#;
        assert_eq!(past(decoder, Kind::TRADE, "BTC/USD", raw), first);
        let wrong = frame(
            decoder,
            r#"{"channel":"trade","data":[{"symbol":"A","side":"x","price":1,"qty":1,"trade_id":1,"timestamp":"2025-05-28T13:39:36Z"}]}"#,
        );
        assert!(wrong[0].as_ref().is_err_and(|reason| reason.contains("expected buy or sell")), "{wrong:?}");
    }
}
