//! Coinbase Advanced Trade: the `market_trades` channel, and history (`/api/v3/brokerage/market/products/ID/ticker`).
//!
//! ```text
//! {"channel":"market_trades","client_id":"","timestamp":"…","sequence_num":5,"events":[{"type":"update","trades":[
//!  {"trade_id":"995098700","product_id":"BTC-USD","price":"68900.50","size":"0.0015","side":"BUY","time":"2024-…Z"}]}]}
//! ```
//! (docs.cdp.coinbase.com, Advanced Trade websocket; coinbase-advanced-py.) `sequence_num` counts a
//! connection's messages across all channels, and `trade_id` a product's trades: a jump of either is a gap. `side` is the maker's: the aggressor has
//! the other side. A `snapshot` repeats trades from before the subscription and is skipped.

use super::feed::{Decode, FeedMessage, MessageSink, Outcome, TradeNumbers, emit_trade, not_an_object};
use super::placeholder::{IdMint, Origin};
use super::scan::{Scanner, Value, unescaped};
use crate::record::{Side, Trade};
use crate::{Kind, UnixNanos};
use std::ops::Range;

#[derive(Debug, Clone, Copy, Default)]
struct MessageFields<'a> {
    symbol: Value<'a>,
    side: Value<'a>,
    price: Value<'a>,
    size: Value<'a>,
    id: Value<'a>,
    time: Value<'a>,
}

impl<'a> MessageFields<'a> {
    fn set(&mut self, name: &str, value: Value<'a>) {
        match name {
            "product_id" => self.symbol = value,
            "side" => self.side = value,
            "price" => self.price = value,
            "size" => self.size = value,
            "trade_id" => self.id = value,
            "time" => self.time = value,
            _ => {}
        }
    }
}

/// Decodes frames and history.
#[derive(Debug, Default)]
pub struct CoinbaseDecoder {
    feed: String,
    last: Option<i64>,
    numbers: TradeNumbers,
    /// Numbers of a message's trades, with the places of their symbols in it: memory that is used again.
    order: Vec<(i64, Range<usize>)>,
    mint: IdMint,
}

impl CoinbaseDecoder {
    /// Creates a decoder for a feed, for example `coinbase`.
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
            symbol: of.symbol.needed("product_id")?,
            feed: self.feed.as_str(),
            venue: "coinbase",
            id: of.id.id("trade_id")?,
            ts: of.time.time("time")?,
            recv_ts,
            price: of.price.price("price")?,
            size: of.size.size("size")?,
            side: match of.side.text("side")? {
                "BUY" => Side::Sell,
                "SELL" => Side::Buy,
                other => return Err(format!("`side`: expected BUY or SELL, found {other}")),
            },
            conditions: "[]",
            tape: "",
            seq: 0,
            revision: 0,
            canceled: false,
        };
        emit_trade(trade, &mut self.mint, origin, take)
    }

    /// Reports the trades missing before those of a message, which lists them in either order.
    fn holes(&mut self, trades: &str, sink: MessageSink<'_>) -> Result<(), String> {
        let mut numbers = std::mem::take(&mut self.order);
        numbers.clear();
        Scanner::new(trades).array(|scanner| {
            let mut of = MessageFields::default();
            scanner.object_or_value(|name, value| of.set(name, value))?;
            if let (Value::Text(symbol), Value::Text(id)) = (of.symbol, of.id) {
                let start = symbol.as_ptr() as usize - trades.as_ptr() as usize;
                numbers.extend(id.parse::<i64>().ok().map(|number| (number, start..start + symbol.len())));
            }
            Ok::<(), String>(())
        })?;
        numbers.sort_unstable_by_key(|(number, _)| *number);
        for (number, symbol) in &numbers {
            let symbol = trades.get(symbol.clone()).unwrap_or_default();
            if let Some(hole) = self.numbers.hole(symbol, *number) {
                sink(Ok(FeedMessage::Missed { what: &hole, symbol: Some(symbol) }), trades);
            }
        }
        self.order = numbers;
        Ok(())
    }

    fn trades(&mut self, trades: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) -> Result<(), String> {
        self.holes(trades, sink)?;
        Scanner::new(trades).array(|scanner| {
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
}

impl Decode for CoinbaseDecoder {
    fn frame(&mut self, frame: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) -> Result<(), String> {
        let frame = &*unescaped(frame);
        let (mut channel, mut number, mut events, mut class) =
            (Value::Absent, Value::Absent, Value::Absent, Value::Absent);
        let mut scanner = Scanner::new(frame);
        let other = scanner.object_or_value(|name, value| match name {
            "channel" => channel = value,
            "sequence_num" => number = value,
            "events" => events = value,
            "type" => class = value,
            _ => {}
        })?;
        scanner.end()?;
        if other.is_some() {
            sink(Ok(FeedMessage::Unknown("array")), frame);
            return Ok(());
        }
        if let Ok(number) = number.whole("sequence_num")
            && let Some(last) = self.last.replace(number)
            && number > last.saturating_add(1)
        {
            let hole = format!("messages {} to {} were not sent", last + 1, number - 1);
            sink(Ok(FeedMessage::Missed { what: &hole, symbol: None }), frame);
        }
        let events = match (channel, events) {
            (Value::Text("market_trades"), Value::Array(events)) => events,
            (Value::Text("subscriptions" | "heartbeats"), _) => {
                sink(Ok(FeedMessage::Silent), frame);
                return Ok(());
            }
            _ => {
                // Coinbase Exchange, the older API, has types and no channels.
                let ((Value::Text(name), _) | (_, Value::Text(name))) = (channel, class) else {
                    sink(Ok(FeedMessage::Unknown("without channel")), frame);
                    return Ok(());
                };
                sink(
                    Ok(if name == "error" { FeedMessage::Silent } else { FeedMessage::Unknown(name) }),
                    frame,
                );
                return Ok(());
            }
        };
        Scanner::new(events).array(|scanner| {
            let (mut class, mut trades) = (Value::Absent, Value::Absent);
            let from = scanner.at();
            let other = scanner.object_or_value(|name, value| match name {
                "type" => class = value,
                "trades" => trades = value,
                _ => {}
            })?;
            match (other, class, trades) {
                (Some(element), ..) => {
                    not_an_object(element, scanner.since(from), sink);
                    Ok(())
                }
                (_, Value::Text("snapshot"), _) | (.., Value::Null) => Ok(()),
                (.., Value::Array(trades)) => self.trades(trades, recv_ts, sink),
                _ => Err("event without `trades`".to_owned()),
            }
        })
    }

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

    fn connected(&mut self) {
        self.last = None;
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
        let decoder = &mut CoinbaseDecoder::new("coinbase");
        let trade = r#"{"trade_id":"995098700","product_id":"BTC-USD","price":"68900.50","size":"0.0015","side":"BUY","time":"2024-06-12T15:02:29.662467Z"}"#;
        let event = |number: u32, class: &str| {
            format!(
                r#"{{"channel":"market_trades","client_id":"","timestamp":"2024-06-12T15:02:30Z","sequence_num":{number},"events":[{{"type":"{class}","trades":[{trade}]}}]}}"#
            )
        };
        assert_eq!(frame(decoder, &event(0, "snapshot")), []);
        let first = frame(decoder, &event(1, "update")).remove(0);
        assert_eq!(first.as_ref().unwrap().ts().to_string(), "2024-06-12T15:02:29.662467Z");
        assert_eq!(
            frame(
                decoder,
                r#"{"channel":"heartbeats","sequence_num":2,"events":[{"heartbeat_counter":"1"}]}"#
            ),
            []
        );
        assert!(all(decoder, &event(5, "update"))[0].contains("messages 3 to 4 were not sent"));
        decoder.connected();
        assert!(!all(decoder, &event(0, "update"))[0].contains("not sent"));
        assert_eq!(past(decoder, Kind::TRADE, "BTC-USD", trade), first);
    }

    #[test]
    fn a_jump_of_trade_numbers_is_a_gap_of_its_product() {
        let decoder = &mut CoinbaseDecoder::new("coinbase");
        let mut sequence = 0;
        let mut holes = |trades: &[(&str, u32)]| {
            sequence += 1;
            let trade = |(product, id): &(&str, u32)| {
                format!(
                    r#"{{"trade_id":"{id}","product_id":"{product}","price":"1","size":"1","side":"BUY","time":"2024-06-12T15:02:29Z"}}"#
                )
            };
            let trades: Vec<String> = trades.iter().map(trade).collect();
            let text = format!(
                r#"{{"channel":"market_trades","sequence_num":{sequence},"events":[{{"type":"update","trades":[{}]}}]}}"#,
                trades.join(",")
            );
            all(decoder, &text).into_iter().filter(|text| text.contains("not sent")).collect::<Vec<_>>()
        };
        assert_eq!(holes(&[("BTC-USD", 6), ("ETH-USD", 100)]), [""; 0]);
        assert!(holes(&[("BTC-USD", 9)])[0].contains("trades 7 to 8 of BTC-USD were not sent"));
        // The newest may come first.
        assert_eq!(holes(&[("BTC-USD", 11), ("BTC-USD", 10), ("ETH-USD", 101)]), [""; 0]);
        assert_eq!(holes(&[("BTC-USD", 14), ("BTC-USD", 12)]).len(), 1);
    }

    #[test]
    fn the_largest_number_has_none_behind_it() {
        let decoder = &mut CoinbaseDecoder::new("coinbase");
        for number in [i64::MAX, 5] {
            let heartbeat = format!(r#"{{"channel":"heartbeats","sequence_num":{number},"events":[]}}"#);
            assert!(!all(decoder, &heartbeat).iter().any(|text| text.contains("not sent")));
        }
    }
}
