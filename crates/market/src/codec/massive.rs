//! Massive's (until 2025 Polygon.io's) stocks stream and history: trades and quotes.
//!
//! A frame is a JSON array of messages, distinguished by `ev` (massive.com docs, stocks websocket;
//! client-python `massive/websocket/models`):
//!
//! ```text
//! {"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"q":3681328}
//! {"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,"c":0,"t":1536036818784,"q":50385480,"z":3}
//! ```
//! `t` is the consolidated feed's time in milliseconds; history (`/v3/trades`, `/v3/quotes`) has it in
//! nanoseconds (`sip_timestamp`), truncated to milliseconds here so that a trade is the same from both.
//! Trades of one millisecond are ordered by `q` (`sequence_number`). Ids are unique per ticker, exchange and
//! trade reporting facility, so the facility (`trfi`, `trf_id`) is part of our id. Fractional sizes are given
//! next to the whole ones, as text: `ds`, `decimal_size`. Quote sizes are kept as sent: documented as round
//! lots.
//!
//! `correction` in history is the tapes' indicator, as in the NYSE TAQ client specification: 0 is a regular
//! trade; 1 a corrected one, with the corrected data; 7 one later marked as an error; 8 one later canceled;
//! 10, 11 and 12 the records of a cancel, an error and a correction (which contains the wrong data). So 0 and
//! 1 count, and the others do not.

use super::extras;
use super::feed::{Decode, FeedMessage, MessageSink, Outcome, emit, emit_trade, not_an_object, quote_number};
use super::placeholder::{IdMint, Origin};
use super::scan::{Scanner, Value, conditions, unescaped};
use crate::record::{Quote, QuoteSide, Record, Side, Trade};
use crate::{Kind, Price, Size, UnixNanos};
use std::fmt::Write;

#[derive(Debug, Clone, Copy, Default)]
struct MessageFields<'a> {
    event: Value<'a>,
    symbol: Value<'a>,
    id: Value<'a>,
    venue: Value<'a>,
    price: Value<'a>,
    size: Value<'a>,
    /// The size with its fraction.
    exact_size: Value<'a>,
    facility: Value<'a>,
    correction: Value<'a>,
    codes: Value<'a>,
    tape: Value<'a>,
    time: Value<'a>,
    number: Value<'a>,
    bid: [Value<'a>; 3],
    ask: [Value<'a>; 3],
}

impl<'a> MessageFields<'a> {
    /// Members of the stream or of history: no name has different meanings in the two.
    fn set(&mut self, name: &str, value: Value<'a>) {
        let place = match name {
            "ev" => &mut self.event,
            "sym" => &mut self.symbol,
            "i" | "id" => &mut self.id,
            "x" | "exchange" => &mut self.venue,
            "p" | "price" => &mut self.price,
            "s" | "size" => &mut self.size,
            "ds" | "decimal_size" => &mut self.exact_size,
            "trfi" | "trf_id" => &mut self.facility,
            "correction" => &mut self.correction,
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

    fn size(&self) -> Result<Size, String> {
        match self.exact_size {
            Value::Absent | Value::Null => self.size.size("s"),
            size => size.size("ds"),
        }
    }

    /// Revision, and whether the trade is canceled.
    fn state(&self) -> Result<(u32, bool), String> {
        Ok(match self.correction {
            Value::Absent | Value::Null => (0, false),
            code => match code.whole("correction")? {
                0 => (0, false),
                // It replaces the record of its correction, which may have the same id.
                1 => (2, false),
                7 | 8 | 10 | 11 | 12 => (1, true),
                other => return Err(format!("unknown `correction` {other}")),
            },
        })
    }
}

/// One side of a quote; without a price it is absent.
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

/// Decodes frames and history.
#[derive(Debug, Default)]
pub struct MassiveDecoder {
    feed: String,
    scratch: String,
    id: String,
    mint: IdMint,
}

impl MassiveDecoder {
    /// Creates a decoder for a feed, for example `massive.stocks`.
    #[must_use]
    pub fn new(feed: &str) -> Self {
        Self { feed: feed.to_owned(), ..Self::default() }
    }

    fn trade(
        &mut self,
        origin: Origin,
        of: &MessageFields<'_>,
        recv_ts: UnixNanos,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        let id = match (of.id.id("i")?, of.facility) {
            (id, Value::Absent | Value::Null | Value::Number("0")) => id,
            (id, _) if IdMint::is_placeholder(id) => id,
            (id, facility) => {
                self.id.clear();
                // Writing to a string does not fail.
                let _ = write!(self.id, "{id}/{}", facility.id("trfi")?);
                &self.id
            }
        };
        let (revision, canceled) = of.state()?;
        let trade = Trade {
            symbol: of.symbol.needed("sym")?,
            feed: self.feed.as_str(),
            venue: of.venue.id("x")?,
            id,
            ts: of.ts()?,
            recv_ts,
            price: of.price.price("p")?,
            size: of.size()?,
            side: Side::Unknown,
            conditions: conditions(of.codes, "c", &mut self.scratch)?,
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
            revision,
            canceled,
        };
        emit_trade(trade, &mut self.mint, origin, take)
    }

    fn quote(
        &mut self,
        of: &MessageFields<'_>,
        recv_ts: UnixNanos,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        let mut quote = Quote {
            symbol: of.symbol.needed("sym")?,
            feed: self.feed.as_str(),
            seq: 0,
            ts: of.ts()?,
            recv_ts,
            bid: side(of.bid)?,
            ask: side(of.ask)?,
            conditions: conditions(of.codes, "c", &mut self.scratch)?,
        };
        quote.seq = quote_number(&quote, of.number.whole("q")?);
        emit(Record::Quote(quote), take)
    }

    fn record(
        &mut self,
        kind: Kind,
        origin: Origin,
        of: &MessageFields<'_>,
        recv_ts: UnixNanos,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        match kind {
            Kind::TRADE => self.trade(origin, of, recv_ts, take),
            Kind::QUOTE => self.quote(of, recv_ts, take),
            _ => Err(format!("the vendor has no {}", kind.plural())),
        }
    }
}

impl Decode for MassiveDecoder {
    fn frame(&mut self, frame: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) -> Result<(), String> {
        let frame = &*unescaped(frame);
        let mut scanner = Scanner::new(frame);
        scanner.array(|scanner| {
            let from = scanner.at();
            let mut members = MessageFields::default();
            let other = scanner.object_or_value(|name, value| members.set(name, value))?;
            let raw = scanner.since(from);
            if let Some(element) = other {
                not_an_object(element, raw, sink);
                return Ok(());
            }
            let kind = match members.event {
                Value::Text("T") => Kind::TRADE,
                Value::Text("Q") => Kind::QUOTE,
                Value::Text(event @ ("A" | "AM" | "LULD")) => {
                    extras::massive(event, raw, sink);
                    return Ok(());
                }
                Value::Text("status") => {
                    sink(Ok(FeedMessage::Silent), raw);
                    return Ok(());
                }
                Value::Text(other) => {
                    sink(Ok(FeedMessage::Unknown(other)), raw);
                    return Ok(());
                }
                _ => {
                    sink(Err("not a message: missing `ev`".to_owned()), raw);
                    return Ok(());
                }
            };
            if let Err(reason) =
                self.record(kind, Origin::Stream, &members, recv_ts, &mut |outcome| sink(outcome, raw))
            {
                sink(Err(reason), raw);
            }
            Ok::<(), String>(())
        })?;
        Ok(scanner.end()?)
    }

    fn past(&mut self, kind: Kind, symbol: &str, raw: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) {
        let raw = &*unescaped(raw);
        let (mut members, mut scanner) = (MessageFields::default(), Scanner::new(raw));
        let read = scanner.object(|name, value| members.set(name, value)).and_then(|()| scanner.end());
        members.symbol = Value::Text(symbol);
        let done = read.map_err(String::from).and_then(|()| {
            self.record(kind, Origin::History, &members, recv_ts, &mut |outcome| sink(outcome, raw))
        });
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
    use crate::codec::feed::tests::{frame, past};

    #[test]
    fn the_stream_and_history_give_the_same_trade_and_quote() {
        let live = frame(
            &mut MassiveDecoder::new("massive.stocks"),
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
        let decoder = &mut MassiveDecoder::new("massive.stocks");
        let trade = past(
            decoder,
            Kind::TRADE,
            "MSFT",
            r#"{"conditions":[0,12],"exchange":4,"id":"12345","participant_timestamp":1536036818784000111,"price":114.125,"sequence_number":3681328,"sip_timestamp":1536036818784999999,"size":100,"tape":3}"#,
        );
        assert_eq!(trade, live[0]);
        let quote = past(
            decoder,
            Kind::QUOTE,
            "MSFT",
            r#"{"ask_exchange":7,"ask_price":114.128,"ask_size":160,"bid_exchange":4,"bid_price":114.125,"bid_size":100,"conditions":[0],"sequence_number":50385480,"sip_timestamp":1536036818784000001,"tape":3}"#,
        );
        assert_eq!(quote, live[2]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let decoder = &mut MassiveDecoder::new("massive.stocks");
        for (message, part) in [
            (r#"{"sym":"A"}"#, "missing `ev`"),
            (r#"{"ev":"T","sym":"A","x":4,"p":1,"s":1,"t":1610144700000}"#, "missing `i`"),
            (r#"{"ev":"T","x":4,"i":"1","p":1,"s":1,"t":1610144700000}"#, "missing `sym`"),
            (r#"{"ev":"T","sym":"A","x":4,"i":"1","p":"x","s":1,"t":1610144700000}"#, "`p`"),
            (r#"{"ev":"T","sym":"A","x":4,"i":"1","p":1,"s":1,"t":"now"}"#, "`t`"),
        ] {
            let outcome = frame(decoder, &format!("[{message}]")).remove(0);
            assert!(outcome.as_ref().is_err_and(|reason| reason.contains(part)), "{outcome:?}");
        }
    }
}
