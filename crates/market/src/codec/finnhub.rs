//! Finnhub's websocket: trades; and a day's ticks (`/stock/tick`).
//!
//! ```text
//! {"data":[{"c":["1","8","24","12"],"p":122.1,"s":"TSLA","t":1672348887195,"v":1}],"type":"trade"}
//! ```
//! (finnhub.io docs; finnhub-python.) Trades have neither id nor venue, and equal ones are common. The id is
//! a hash of price, size and conditions, and the number of equal trades of that symbol and millisecond before
//! it: the same as from history. A trade that the vendor sent twice cannot be distinguished from two equal
//! ones.

use super::feed::{Decode, FeedMessage, MessageSink, Outcome, emit_trade, not_an_object};
use super::placeholder::{IdMint, Origin};
use super::scan::{Scanner, Value, conditions, unescaped};
use crate::record::{Side, Trade};
use crate::{Kind, UnixNanos};

#[derive(Debug, Clone, Copy, Default)]
struct MessageFields<'a> {
    symbol: Value<'a>,
    price: Value<'a>,
    size: Value<'a>,
    codes: Value<'a>,
    time: Value<'a>,
}

impl<'a> MessageFields<'a> {
    fn set(&mut self, name: &str, value: Value<'a>) {
        match name {
            "s" => self.symbol = value,
            "p" => self.price = value,
            "v" => self.size = value,
            "c" => self.codes = value,
            "t" => self.time = value,
            _ => {}
        }
    }
}

/// Decodes frames and history.
#[derive(Debug, Default)]
pub struct FinnhubDecoder {
    feed: String,
    mint: IdMint,
    scratch: String,
}

impl FinnhubDecoder {
    /// Creates a decoder for a feed, for example `finnhub`.
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
            venue: "",
            id: "",
            ts: of.time.epoch("t")?,
            recv_ts,
            price: of.price.price("p")?,
            size: of.size.size("v")?,
            side: Side::Unknown,
            conditions: conditions(of.codes, "c", &mut self.scratch)?,
            tape: "",
            seq: 0,
            revision: 0,
            canceled: false,
        };
        emit_trade(trade, &mut self.mint, origin, take)
    }
}

impl Decode for FinnhubDecoder {
    fn frame(&mut self, frame: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) -> Result<(), String> {
        let frame = &*unescaped(frame);
        let (mut class, mut data) = (Value::Absent, Value::Absent);
        let mut scanner = Scanner::new(frame);
        let other = scanner.object_or_value(|name, value| match name {
            "type" => class = value,
            "data" => data = value,
            _ => {}
        })?;
        scanner.end()?;
        let data = match (other, class, data) {
            (Some(_), ..) => {
                sink(Ok(FeedMessage::Unknown("array")), frame);
                return Ok(());
            }
            (_, Value::Text("trade"), Value::Array(data)) => data,
            (_, Value::Text("trade"), Value::Null) | (_, Value::Text("ping" | "error" | "news"), _) => {
                sink(Ok(FeedMessage::Silent), frame);
                return Ok(());
            }
            (_, class, _) => {
                let class = if let Value::Text(class) = class { class } else { "without type" };
                sink(Ok(FeedMessage::Unknown(class)), frame);
                return Ok(());
            }
        };
        Scanner::new(data).array(|scanner| {
            let from = scanner.at();
            let mut of = MessageFields::default();
            let other = scanner.object_or_value(|name, value| of.set(name, value))?;
            let raw = scanner.since(from);
            if let Some(element) = other {
                not_an_object(element, raw, sink);
                return Ok(());
            }
            if let Err(reason) = self.trade(Origin::Stream, &of, recv_ts, &mut |outcome| sink(outcome, raw)) {
                sink(Err(reason), raw);
            }
            Ok(())
        })
    }

    /// A row of a day's ticks, as `{"p":…,"v":…,"t":…,"c":[…]}`: history is in columns.
    fn past(&mut self, _: Kind, symbol: &str, raw: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) {
        let raw = &*unescaped(raw);
        let (mut of, mut scanner) = (MessageFields::default(), Scanner::new(raw));
        let read = scanner.object(|name, value| of.set(name, value)).and_then(|()| scanner.end());
        of.symbol = Value::Text(symbol);
        let done = read
            .map_err(String::from)
            .and_then(|()| self.trade(Origin::History, &of, recv_ts, &mut |outcome| sink(outcome, raw)));
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
    use crate::codec::feed::tests::{frame, past};

    #[test]
    fn equal_trades_are_counted_and_history_has_the_same_ids() {
        let decoder = &mut FinnhubDecoder::new("finnhub");
        let one = r#"{"c":["1","8"],"p":122.1,"s":"TSLA","t":1672348887195,"v":1}"#;
        let other = r#"{"c":null,"p":122.1,"s":"TSLA","t":1672348887195,"v":1}"#;
        let text = format!(r#"{{"data":[{one},{one},{other},{one}],"type":"trade"}}"#);
        let live = frame(decoder, &text);
        let ids: Vec<&str> = live
            .iter()
            .map(|record| match record {
                Ok(Record::Trade(trade)) => trade.id.as_str(),
                _ => panic!("{record:?}"),
            })
            .collect();
        assert!(
            ids[0].ends_with("-0")
                && ids[1].ends_with("-1")
                && ids[2].ends_with("-0")
                && ids[3].ends_with("-2")
        );
        for (raw, want) in [one, one, other, one].iter().zip(&live) {
            assert_eq!(past(decoder, Kind::TRADE, "TSLA", raw), *want);
        }
        assert_eq!(frame(decoder, r#"{"type":"ping"}"#), []);
    }
}
