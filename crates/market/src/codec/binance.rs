//! Binance spot: the `SYMBOL@trade` streams, and history (`/api/v3/historicalTrades`).
//!
//! ```text
//! {"stream":"bnbbtc@trade","data":{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100",
//!  "T":1672515782136,"m":true,"M":true}}
//! {"id":12345,"price":"0.001","qty":"100","quoteQty":"0.1","time":1672515782136,"isBuyerMaker":true,"isBestMatch":true}
//! ```
//! (binance-spot-api-docs.) A symbol's trade numbers are consecutive, so a jump is a gap. If the buyer is the
//! maker, the aggressor is the seller.

use super::feed::{Decode, FeedMessage, MessageSink, Outcome, TradeNumbers, emit_trade};
use super::placeholder::{IdMint, Origin};
use super::scan::{Scanner, Value, unescaped};
use crate::record::{Side, Trade};
use crate::{Kind, UnixNanos};

#[derive(Debug, Clone, Copy, Default)]
struct MessageFields<'a> {
    event: Value<'a>,
    /// Member of acknowledgements, which have no event.
    result: Value<'a>,
    error: Value<'a>,
    data: Value<'a>,
    symbol: Value<'a>,
    id: Value<'a>,
    price: Value<'a>,
    size: Value<'a>,
    time: Value<'a>,
    maker: Value<'a>,
}

impl<'a> MessageFields<'a> {
    fn set(&mut self, name: &str, value: Value<'a>) {
        let place = match name {
            "e" => &mut self.event,
            "result" => &mut self.result,
            "error" => &mut self.error,
            "data" => &mut self.data,
            "s" => &mut self.symbol,
            "t" | "id" => &mut self.id,
            "p" | "price" => &mut self.price,
            "q" | "qty" => &mut self.size,
            "T" | "time" => &mut self.time,
            "m" | "isBuyerMaker" => &mut self.maker,
            _ => return,
        };
        *place = value;
    }

    fn of(text: &'a str) -> Result<Self, String> {
        let (mut members, mut scanner) = (Self::default(), Scanner::new(text));
        let other = scanner.object_or_value(|name, value| members.set(name, value))?;
        scanner.end()?;
        match other {
            Some(Value::Array(_)) => members.event = Value::Text("array"),
            Some(other) => return Err(format!("expected an object, found {}", other.written())),
            None => {}
        }
        Ok(members)
    }
}

/// Decodes frames and history.
#[derive(Debug, Default)]
pub struct BinanceDecoder {
    feed: String,
    numbers: TradeNumbers,
    mint: IdMint,
}

impl BinanceDecoder {
    /// Creates a decoder for a feed, for example `binance`.
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
        let trade = Trade {
            symbol: of.symbol.needed("s")?,
            feed: self.feed.as_str(),
            venue: "binance",
            id: of.id.id("t")?,
            ts: of.time.epoch("T")?,
            recv_ts,
            price: of.price.price("p")?,
            size: of.size.size("q")?,
            side: match of.maker {
                Value::Bool(true) => Side::Sell,
                Value::Bool(false) => Side::Buy,
                _ => return Err("`m`: expected true or false".to_owned()),
            },
            conditions: "[]",
            tape: "",
            seq: 0,
            revision: 0,
            canceled: false,
        };
        emit_trade(trade, &mut self.mint, origin, take)
    }
}

impl Decode for BinanceDecoder {
    fn frame(&mut self, frame: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) -> Result<(), String> {
        let frame = &*unescaped(frame);
        let mut of = MessageFields::of(frame)?;
        if let Value::Object(data) = of.data {
            of = MessageFields::of(data)?;
        }
        let other = match of.event {
            Value::Text("trade") => None,
            Value::Text("serverShutdown") => Some(FeedMessage::Silent),
            Value::Text(event) => Some(FeedMessage::Unknown(event)),
            _ if of.result != Value::Absent || of.error != Value::Absent => Some(FeedMessage::Silent),
            _ => Some(FeedMessage::Unknown("without event")),
        };
        if let Some(message) = other {
            sink(Ok(message), frame);
            return Ok(());
        }
        if let (Value::Text(symbol), Ok(number)) = (of.symbol, of.id.whole("t"))
            && let Some(hole) = self.numbers.hole(symbol, number)
        {
            sink(Ok(FeedMessage::Missed { what: &hole, symbol: Some(symbol) }), frame);
        }
        if let Err(reason) = self.trade(Origin::Stream, &of, recv_ts, &mut |outcome| sink(outcome, frame)) {
            sink(Err(reason), frame);
        }
        Ok(())
    }

    fn past(&mut self, _: Kind, symbol: &str, raw: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) {
        let raw = &*unescaped(raw);
        let done = MessageFields::of(raw).and_then(|mut of| {
            of.symbol = Value::Text(symbol);
            self.trade(Origin::History, &of, recv_ts, &mut |outcome| sink(outcome, raw))
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
    use crate::codec::feed::tests::{all, frame, past};

    #[test]
    fn trades_holes_and_history() {
        let decoder = &mut BinanceDecoder::new("binance");
        let trade = |id: u32| {
            format!(
                r#"{{"e":"trade","E":1672515782136,"s":"BNBBTC","t":{id},"p":"0.001","q":"100","T":1672515782136,"m":true,"M":true}}"#
            )
        };
        let first =
            frame(decoder, &format!(r#"{{"stream":"bnbbtc@trade","data":{}}}"#, trade(12_345))).remove(0);
        assert_eq!(first.as_ref().unwrap().ts().to_string(), "2022-12-31T19:43:02.136Z");
        assert_eq!(frame(decoder, r#"{"result":null,"id":1}"#), []);
        assert!(all(decoder, &trade(12_348))[0].contains("trades 12346 to 12347 of BNBBTC"));
        let raw = r#"{"id":12345,"price":"0.00100000","qty":"100.00000000","quoteQty":"0.1","time":1672515782136,"isBuyerMaker":true,"isBestMatch":true}"#;
        assert_eq!(past(decoder, Kind::TRADE, "BNBBTC", raw), first);
    }
}
