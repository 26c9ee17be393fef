//! Finnhub's websocket: trades; and a day's ticks (`/stock/tick`).
//!
//! ```text
//! {"data":[{"c":["1","8","24","12"],"p":122.1,"s":"TSLA","t":1672348887195,"v":1}],"type":"trade"}
//! ```
//! (finnhub.io docs; finnhub-python.) Trades have neither id nor venue, and equal ones are common. The id is a hash of
//! price, size and conditions and how many such trades of that symbol and millisecond came before: never another one than
//! history gives. A trade that the vendor sent twice cannot be told from two equal ones.

use super::feed::{Decode, Message, Outcome, Sink};
use super::scan::{Scanner, Value, conditions};
use crate::record::{Record, Side, Trade};
use crate::{Kind, UnixNanos};
use rustc_hash::FxHashMap;
use std::io::Write;
use xxhash_rust::xxh3::Xxh3;

#[derive(Debug, Clone, Copy, Default)]
struct Members<'a> {
    symbol: Value<'a>,
    price: Value<'a>,
    size: Value<'a>,
    codes: Value<'a>,
    time: Value<'a>,
}

impl<'a> Members<'a> {
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

/// Equal trades of a symbol and millisecond so far, over the last seconds: trades may come in any order.
#[derive(Debug, Default)]
struct Counts(FxHashMap<Box<str>, Recent>);

#[derive(Debug, Default)]
struct Recent {
    newest: i64,
    seen: FxHashMap<(i64, u64), u32>,
}

/// Different trades of a symbol that are remembered before those of ten seconds ago are forgotten.
const MANY: usize = 8_192;
const TEN_SECONDS: i64 = 10_000_000_000;

impl Counts {
    fn next(&mut self, symbol: &str, ts: i64, hash: u64) -> u32 {
        if !self.0.contains_key(symbol) {
            self.0.insert(symbol.into(), Recent::default());
        }
        let Some(recent) = self.0.get_mut(symbol) else { return 0 };
        recent.newest = recent.newest.max(ts);
        if recent.seen.len() > MANY {
            let from = recent.newest.saturating_sub(TEN_SECONDS);
            recent.seen.retain(|(ts, _), _| *ts >= from);
        }
        let count = recent.seen.entry((ts, hash)).or_insert(0);
        *count += 1;
        *count - 1
    }
}

/// Reads frames and history.
#[derive(Debug, Default)]
pub struct Decoder {
    feed: String,
    live: Counts,
    past: Counts,
    scratch: String,
    id: Vec<u8>,
}

impl Decoder {
    /// Of a feed, as `finnhub`.
    #[must_use]
    pub fn new(feed: &str) -> Self {
        Self { feed: feed.to_owned(), ..Self::default() }
    }

    fn trade(
        &mut self,
        live: bool,
        of: &Members<'_>,
        recv_ts: UnixNanos,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        let (symbol, ts) = (of.symbol.needed("s")?, of.time.epoch("t")?);
        let (price, size) = (of.price.price("p")?, of.size.size("v")?);
        let conditions = conditions(of.codes, "c", &mut self.scratch)?;
        let mut hasher = Xxh3::new();
        [price.raw(), size.raw()].iter().for_each(|number| hasher.update(&number.to_le_bytes()));
        hasher.update(conditions.as_bytes());
        let hash = hasher.digest();
        let counts = if live { &mut self.live } else { &mut self.past };
        let count = counts.next(symbol, ts.0, hash);
        self.id.clear();
        // Writing to memory does not fail.
        let _ = write!(self.id, "{hash:016x}-{count}");
        take(Ok(Message::Record(Record::Trade(Trade {
            symbol,
            feed: &self.feed,
            venue: "",
            id: std::str::from_utf8(&self.id).unwrap_or_default(),
            ts,
            recv_ts,
            price,
            size,
            side: Side::Unknown,
            conditions,
            tape: "",
            seq: 0,
            revision: 0,
            canceled: false,
        }))));
        Ok(())
    }
}

impl Decode for Decoder {
    fn frame(&mut self, frame: &str, recv_ts: UnixNanos, sink: Sink<'_>) -> Result<(), String> {
        let (mut class, mut data) = (Value::Absent, Value::Absent);
        let mut scanner = Scanner::new(frame);
        scanner.object(|name, value| match name {
            "type" => class = value,
            "data" => data = value,
            _ => {}
        })?;
        scanner.end()?;
        let (Value::Text("trade"), Value::Array(data)) = (class, data) else {
            sink(Ok(Message::Silent), frame);
            return Ok(());
        };
        Scanner::new(data).array(|scanner| {
            let from = scanner.at();
            let mut of = Members::default();
            scanner.object(|name, value| of.set(name, value))?;
            let raw = scanner.since(from);
            if let Err(reason) = self.trade(true, &of, recv_ts, &mut |outcome| sink(outcome, raw)) {
                sink(Err(reason), raw);
            }
            Ok(())
        })
    }

    /// A row of a day's ticks, as `{"p":…,"v":…,"t":…,"c":[…]}`: history has them column by column.
    fn past(&mut self, _: Kind, symbol: &str, raw: &str, recv_ts: UnixNanos, sink: Sink<'_>) {
        let (mut of, mut scanner) = (Members::default(), Scanner::new(raw));
        let read = scanner.object(|name, value| of.set(name, value)).and_then(|()| scanner.end());
        of.symbol = Value::Text(symbol);
        let done = read
            .map_err(String::from)
            .and_then(|()| self.trade(false, &of, recv_ts, &mut |outcome| sink(outcome, raw)));
        if let Err(reason) = done {
            sink(Err(reason), raw);
        }
    }

    fn rewind(&mut self) {
        self.past = Counts::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::feed::tests::{frame, past};

    #[test]
    fn equal_trades_are_counted_and_history_has_the_same_ids() {
        let decoder = &mut Decoder::new("finnhub");
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
            assert_eq!(past(decoder, Kind::Trade, "TSLA", raw), *want);
        }
        assert_eq!(frame(decoder, r#"{"type":"ping"}"#), []);
    }
}
