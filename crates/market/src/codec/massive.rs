//! Massive's (until 2025 Polygon.io's) stocks stream and history: trades and quotes.
//!
//! A frame is a JSON array of messages, told apart by `ev` (massive.com docs, stocks websocket; client-python
//! `massive/websocket/models`):
//!
//! ```text
//! {"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"q":3681328}
//! {"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,"c":0,"t":1536036818784,"q":50385480,"z":3}
//! ```
//! `t` is the consolidated feed's time in milliseconds; history (`/v3/trades`, `/v3/quotes`) has it in nanoseconds
//! (`sip_timestamp`) and is cut to milliseconds here, so that a trade is the same one by either way. Quote sizes are kept
//! as sent: documented as round lots.

use super::aside;
use super::feed::{Decode, Message, Outcome, Sink, quote_number};
use super::scan::{Scanner, Value, conditions};
use crate::record::{Quote, QuoteSide, Record, Side, Trade};
use crate::{Kind, Price, Size, UnixNanos};

#[derive(Debug, Clone, Copy, Default)]
struct Members<'a> {
    event: Value<'a>,
    symbol: Value<'a>,
    id: Value<'a>,
    venue: Value<'a>,
    price: Value<'a>,
    size: Value<'a>,
    codes: Value<'a>,
    tape: Value<'a>,
    time: Value<'a>,
    number: Value<'a>,
    bid: [Value<'a>; 3],
    ask: [Value<'a>; 3],
}

impl<'a> Members<'a> {
    /// Of the stream, or of history: no name means different things in the two.
    fn set(&mut self, name: &str, value: Value<'a>) {
        let place = match name {
            "ev" => &mut self.event,
            "sym" => &mut self.symbol,
            "i" | "id" => &mut self.id,
            "x" | "exchange" => &mut self.venue,
            "p" | "price" => &mut self.price,
            "s" | "size" => &mut self.size,
            "c" | "conditions" => &mut self.codes,
            "z" | "tape" => &mut self.tape,
            "t" | "sip_timestamp" => &mut self.time,
            "q" | "sequence_number" => &mut self.number,
            "bp" | "bid_price" => &mut self.bid[0],
            "bs" | "bid_size" => &mut self.bid[1],
            "bx" | "bid_exchange" => &mut self.bid[2],
            "ap" | "ask_price" => &mut self.ask[0],
            "as" | "ask_size" => &mut self.ask[1],
            "ax" | "ask_exchange" => &mut self.ask[2],
            _ => return,
        };
        *place = value;
    }

    fn ts(&self) -> Result<UnixNanos, String> {
        let ts = self.time.epoch("t")?;
        Ok(UnixNanos(ts.0 - ts.0.rem_euclid(1_000_000)))
    }
}

/// A side of a quote; one without a price is empty.
fn side<'a>([price, size, venue]: [Value<'a>; 3]) -> Result<Option<QuoteSide<&'a str>>, String> {
    if matches!(price, Value::Absent | Value::Null) {
        return Ok(None);
    }
    let price = price.price("price of a side")?;
    if price == Price::ZERO {
        return Ok(None);
    }
    let size = match size {
        Value::Absent | Value::Null => Size::ZERO,
        size => size.size("size of a side")?,
    };
    let venue = if venue == Value::Absent { "" } else { venue.id("venue of a side")? };
    Ok(Some(QuoteSide { price, size, venue }))
}

/// Reads frames and history.
#[derive(Debug, Default)]
pub struct Decoder {
    feed: String,
    scratch: String,
}

impl Decoder {
    /// Of a feed, as `massive.stocks`.
    #[must_use]
    pub fn new(feed: &str) -> Self {
        Self { feed: feed.to_owned(), ..Self::default() }
    }

    fn record(
        &mut self,
        kind: Kind,
        of: &Members<'_>,
        recv_ts: UnixNanos,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        let (symbol, feed, ts) = (of.symbol.needed("sym")?, self.feed.as_str(), of.ts()?);
        let conditions = conditions(of.codes, "c", &mut self.scratch)?;
        take(Ok(Message::Record(match kind {
            Kind::Trade => Record::Trade(Trade {
                symbol,
                feed,
                venue: of.venue.id("x")?,
                id: of.id.id("i")?,
                ts,
                recv_ts,
                price: of.price.price("p")?,
                size: of.size.size("s")?,
                side: Side::Unknown,
                conditions,
                tape: match of.tape {
                    Value::Number("1") => "A",
                    Value::Number("2") => "B",
                    Value::Number("3") => "C",
                    _ => "",
                },
                seq: match of.number {
                    Value::Absent | Value::Null => 0,
                    number => number.whole("q")?,
                },
                revision: 0,
                canceled: false,
            }),
            Kind::Quote => {
                let (bid, ask) = (side(of.bid)?, side(of.ask)?);
                let mut quote = Quote { symbol, feed, seq: 0, ts, recv_ts, bid, ask, conditions };
                quote.seq = quote_number(&quote, of.number.whole("q")?);
                Record::Quote(quote)
            }
        })));
        Ok(())
    }
}

impl Decode for Decoder {
    fn frame(&mut self, frame: &str, recv_ts: UnixNanos, sink: Sink<'_>) -> Result<(), String> {
        let mut scanner = Scanner::new(frame);
        scanner.array(|scanner| {
            let from = scanner.at();
            let mut members = Members::default();
            scanner.object(|name, value| members.set(name, value))?;
            let raw = scanner.since(from);
            let kind = match members.event {
                Value::Text("T") => Kind::Trade,
                Value::Text("Q") => Kind::Quote,
                Value::Text(event @ ("A" | "AM" | "LULD")) => {
                    aside::massive(event, raw, sink);
                    return Ok(());
                }
                // Answers, imbalances.
                Value::Text(_) => {
                    sink(Ok(Message::Silent), raw);
                    return Ok(());
                }
                _ => {
                    sink(Err("not a message: no `ev`".to_owned()), raw);
                    return Ok(());
                }
            };
            if let Err(reason) = self.record(kind, &members, recv_ts, &mut |outcome| sink(outcome, raw)) {
                sink(Err(reason), raw);
            }
            Ok::<(), String>(())
        })?;
        Ok(scanner.end()?)
    }

    fn past(&mut self, kind: Kind, symbol: &str, raw: &str, recv_ts: UnixNanos, sink: Sink<'_>) {
        let (mut members, mut scanner) = (Members::default(), Scanner::new(raw));
        let read = scanner.object(|name, value| members.set(name, value)).and_then(|()| scanner.end());
        members.symbol = Value::Text(symbol);
        let done = read
            .map_err(String::from)
            .and_then(|()| self.record(kind, &members, recv_ts, &mut |outcome| sink(outcome, raw)));
        if let Err(reason) = done {
            sink(Err(reason), raw);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::feed::tests::{frame, past};

    #[test]
    fn the_stream_and_history_give_the_same_trade_and_quote() {
        let live = frame(
            &mut Decoder::new("massive.stocks"),
            r#"[{"ev":"status","status":"connected","message":"Connected Successfully"},
                {"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"q":3681328},
                {"ev":"T","sym":"MSFT","x":4,"i":"12346","z":1,"p":114,"s":1,"t":1536036818784,"q":3681329},
                {"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,"c":0,"t":1536036818784,"q":50385480,"z":3}]"#,
        );
        assert_eq!(live.len(), 3);
        let Record::Trade(trade) = live[0].as_ref().unwrap() else { panic!() };
        assert_eq!(
            (trade.venue.as_str(), trade.id.as_str(), trade.tape.as_str(), trade.conditions.as_str()),
            ("4", "12345", "C", r#"["0","12"]"#)
        );
        assert_eq!(trade.ts.to_string(), "2018-09-04T04:53:38.784Z");
        let decoder = &mut Decoder::new("massive.stocks");
        let trade = past(
            decoder,
            Kind::Trade,
            "MSFT",
            r#"{"conditions":[0,12],"exchange":4,"id":"12345","participant_timestamp":1536036818784000111,"price":114.125,"sequence_number":3681328,"sip_timestamp":1536036818784999999,"size":100,"tape":3}"#,
        );
        assert_eq!(trade, live[0]);
        let quote = past(
            decoder,
            Kind::Quote,
            "MSFT",
            r#"{"ask_exchange":7,"ask_price":114.128,"ask_size":160,"bid_exchange":4,"bid_price":114.125,"bid_size":100,"conditions":[0],"sequence_number":50385480,"sip_timestamp":1536036818784000001,"tape":3}"#,
        );
        assert_eq!(quote, live[2]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let decoder = &mut Decoder::new("massive.stocks");
        for (message, part) in [
            (r#"{"sym":"A"}"#, "no `ev`"),
            (r#"{"ev":"T","sym":"A","x":4,"p":1,"s":1,"t":1}"#, "no `i`"),
            (r#"{"ev":"T","x":4,"i":"1","p":1,"s":1,"t":1}"#, "no `sym`"),
            (r#"{"ev":"T","sym":"A","x":4,"i":"1","p":"x","s":1,"t":1}"#, "`p`"),
            (r#"{"ev":"T","sym":"A","x":4,"i":"1","p":1,"s":1,"t":"now"}"#, "`t`"),
        ] {
            let outcome = frame(decoder, &format!("[{message}]")).remove(0);
            assert!(outcome.as_ref().is_err_and(|reason| reason.contains(part)), "{outcome:?}");
        }
    }
}
