//! The interface of all vendor decoders: frames in, records out.

use super::placeholder::{IdMint, Origin};
use super::scan::Value;
use super::vendor_bar::{Bands, VendorBar};
use crate::record::{Quote, Record, Trade};
use crate::{Kind, UnixNanos};
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::Xxh3;

/// A decoded message of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FeedMessage<'a> {
    /// A trade or quote, borrowed from the frame.
    Record(Record<&'a str>),
    /// Nothing to keep: an acknowledgement or a keep-alive.
    Silent,
    /// Valid JSON, but not of a message type that this feed is known to send: counted and reported.
    Unknown(&'a str),
    /// The vendor's own bar.
    Bar(VendorBar<'a>),
    /// Limit up-limit down price bands.
    Bands(Bands<'a>),
    /// A symbol is halted or resumes trading.
    Halted {
        /// The symbol.
        symbol: &'a str,
        /// Time of the change.
        ts: UnixNanos,
        /// Whether it is halted; otherwise it resumes.
        halted: bool,
    },
    /// The vendor's sequence numbers show that something was not sent.
    Missed {
        /// What was not sent.
        what: &'a str,
        /// The symbol, if each symbol's trades are numbered: what is missing may be as old as its last one.
        symbol: Option<&'a str>,
    },
}

/// A message, or why it cannot be decoded.
pub type Outcome<'a> = Result<FeedMessage<'a>, String>;

/// Callback for each message of a frame, with its text.
pub type MessageSink<'s> = &'s mut dyn FnMut(Outcome<'_>, &str);

/// Emits a record whose numbers are plausible.
///
/// # Errors
/// The numbers are not plausible.
#[inline]
pub(super) fn emit(record: Record<&str>, take: &mut dyn FnMut(Outcome<'_>)) -> Result<(), String> {
    record.check().map_err(|error| error.to_string())?;
    take(Ok(FeedMessage::Record(record)));
    Ok(())
}

/// Emits a trade. A trade whose id identifies nothing gets one.
#[inline]
pub(super) fn emit_trade(
    trade: Trade<&str>,
    mint: &mut IdMint,
    origin: Origin,
    take: &mut dyn FnMut(Outcome<'_>),
) -> Result<(), String> {
    if !IdMint::is_placeholder(trade.id) {
        return emit(Record::Trade(trade), take);
    }
    // A rejected trade is not counted.
    trade.check().map_err(|error| error.to_string())?;
    let id = mint.mint(&trade, origin);
    take(Ok(FeedMessage::Record(Record::Trade(Trade { id, ..trade }))));
    Ok(())
}

/// An element of a frame that is not an object: `null` is skipped, anything else is an error.
pub(super) fn not_an_object(element: Value<'_>, raw: &str, sink: MessageSink<'_>) {
    match element {
        Value::Null => sink(Ok(FeedMessage::Silent), raw),
        other => sink(Err(format!("expected an object, found {}", other.written())), raw),
    }
}

/// Decodes a vendor's frames and history.
pub trait Decode: Send + std::fmt::Debug {
    /// Emits each message of a frame.
    ///
    /// # Errors
    /// The frame is malformed from some point on: messages before it have been emitted.
    fn frame(&mut self, frame: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) -> Result<(), String>;

    /// Emits a record from history, equal to the one the stream would have delivered.
    fn past(&mut self, kind: Kind, symbol: &str, raw: &str, recv_ts: UnixNanos, sink: MessageSink<'_>);

    /// A new connection: numbers that count its messages restart.
    fn connected(&mut self) {}

    /// History is read again from some time on.
    fn rewind(&mut self) {}
}

/// Decodes nothing: a placeholder while the decoder is in use elsewhere.
#[derive(Debug)]
pub struct Idle;

impl Decode for Idle {
    fn frame(&mut self, _: &str, _: UnixNanos, _: MessageSink<'_>) -> Result<(), String> {
        Ok(())
    }

    fn past(&mut self, _: Kind, _: &str, _: &str, _: UnixNanos, _: MessageSink<'_>) {}
}

/// Consecutive trade numbers of a vendor, by symbol: a jump is a gap.
#[derive(Debug, Default)]
pub(super) struct TradeNumbers(FxHashMap<Box<str>, i64>);

impl TradeNumbers {
    /// The trades missing before this number, if any.
    pub(super) fn hole(&mut self, symbol: &str, number: i64) -> Option<String> {
        let Some(last) = self.0.get_mut(symbol) else {
            self.0.insert(symbol.into(), number);
            return None;
        };
        let from = last.saturating_add(1);
        *last = number.max(*last);
        (number > from).then(|| format!("trades {from} to {} of {symbol} were not sent", number - 1))
    }
}

/// Sequence number for vendors whose quotes have none: a hash of all fields, so that the same quote has the
/// same number from the stream, from history, and in another program on the same feed. `salt` is the vendor's
/// own number if there is one.
pub(super) fn quote_number<S: AsRef<str>>(quote: &Quote<S>, salt: i64) -> i64 {
    let mut hasher = Xxh3::new();
    hasher.update(&quote.ts.0.to_le_bytes());
    for side in [&quote.bid, &quote.ask] {
        let numbers = side.as_ref().map_or([0, 0], |side| [side.price.raw(), side.size.raw()]);
        numbers.iter().for_each(|number| hasher.update(&number.to_le_bytes()));
        hasher.update(side.as_ref().map_or("", |side| side.venue.as_ref()).as_bytes());
        hasher.update(&[0]);
    }
    hasher.update(quote.conditions.as_ref().as_bytes());
    if salt != 0 {
        hasher.update(&salt.to_le_bytes());
    }
    (hasher.digest() >> 1) as i64
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    type Owned = Result<Record<String>, String>;

    fn owned(outcome: Outcome<'_>) -> Option<Owned> {
        match outcome {
            Ok(FeedMessage::Record(record)) => Some(Ok(record.map(str::to_owned))),
            Ok(_) => None,
            Err(reason) => Some(Err(reason)),
        }
    }

    /// Records of a frame.
    pub(crate) fn frame(decoder: &mut dyn Decode, text: &str) -> Vec<Owned> {
        let mut out = Vec::new();
        decoder.frame(text, UnixNanos(7), &mut |outcome, _| out.extend(owned(outcome))).unwrap();
        out
    }

    /// Everything that a frame yields, as text.
    pub(crate) fn all(decoder: &mut dyn Decode, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        decoder.frame(text, UnixNanos(7), &mut |outcome, _| out.push(format!("{outcome:?}"))).unwrap();
        out
    }

    /// A record of history.
    pub(crate) fn past(decoder: &mut dyn Decode, kind: Kind, symbol: &str, raw: &str) -> Owned {
        let mut out = Vec::new();
        decoder.past(kind, symbol, raw, UnixNanos(7), &mut |outcome, _| out.extend(owned(outcome)));
        out.remove(0)
    }

    fn decoders() -> Vec<Box<dyn Decode>> {
        use super::super::{alpaca, binance, coinbase, finnhub, kraken, massive};
        vec![
            Box::new(alpaca::AlpacaDecoder::new("f")),
            Box::new(massive::MassiveDecoder::new("f")),
            Box::new(finnhub::FinnhubDecoder::new("f")),
            Box::new(coinbase::CoinbaseDecoder::new("f")),
            Box::new(kraken::KrakenDecoder::new("f")),
            Box::new(binance::BinanceDecoder::new("f")),
        ]
    }

    /// Frames as the vendors send them, which the tests corrupt.
    const GOOD: [&str; 6] = [
        r#"[{"T":"t","S":"A","i":1,"x":"V","p":1.5,"s":9,"c":["@","I"],"z":"C","t":"2021-01-27T10:35:34.8Z"}]"#,
        r#"[{"ev":"T","sym":"A","x":4,"i":"1","z":3,"p":1.5,"s":9,"c":[0,12],"t":1536036818784,"q":3}]"#,
        r#"{"data":[{"c":["1"],"p":1.5,"s":"A","t":1672348887195,"v":1}],"type":"trade"}"#,
        r#"{"channel":"market_trades","sequence_num":5,"events":[{"type":"update","trades":[{"trade_id":"9","product_id":"A","price":"1.5","size":"9","side":"BUY","time":"2024-06-12T15:02:29Z"}]}]}"#,
        r#"{"channel":"trade","type":"update","data":[{"symbol":"A","side":"buy","price":1.5,"qty":9,"ord_type":"market","trade_id":1,"timestamp":"2025-05-28T13:39:36Z"}]}"#,
        r#"{"stream":"a@trade","data":{"e":"trade","E":1,"s":"A","t":1,"p":"1.5","q":"9","T":1672515782136,"m":true}}"#,
    ];

    proptest::proptest! {
        #[test]
        fn a_damaged_frame_is_read_or_refused(at in 0_usize..200, length in 0_usize..6, put in "[\"\\\\{}\\[\\],:0-9eE.a-zé -]{0,6}") {
            for (decoder, good) in decoders().iter_mut().zip(GOOD) {
                let at = at.min(good.len());
                let text = format!("{}{put}{}", &good[..at], &good[(at + length).min(good.len())..]);
                let mut records = 0;
                let _ = decoder.frame(&text, UnixNanos(0), &mut |outcome, _| {
                    if let Ok(FeedMessage::Record(record)) = outcome {
                        records += 1;
                        // Everything kept can be encoded and decoded again.
                        let mut json = Vec::new();
                        crate::codec::json::encode(&record, &mut json);
                        assert_eq!(crate::codec::json::decode(record.kind(), &json), Some(record), "{text}");
                    }
                });
                for kind in Kind::ALL {
                    decoder.past(kind, "A", &text, UnixNanos(0), &mut |_, _| {});
                }
                proptest::prop_assert!(records <= 1);
            }
        }
    }
}
