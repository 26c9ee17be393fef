//! Canonical JSON of the Kafka messages: one record per message, one representation per record.
//!
//! ```text
//! trade  {"symbol":"SPY","feed":"lean.sip","venue":"P","id":"2013100800000007","ts":1381219200464000000,
//!         "recv_ts":1381219200465000000,"price":"167.41","size":"100"[,"side":"buy"]
//!         ,"conditions":["20002000"][,"tape":"B"][,"seq":7][,"revision":1][,"canceled":true]}
//! quote  {"symbol":"IBM","feed":"lean.sip","seq":20131008000000001,"ts":…,"recv_ts":…
//!         [,"bid":"180.01","bid_size":"200","bid_venue":"P"][,"ask":"182.62","ask_size":"100","ask_venue":"P"]
//!         ,"conditions":["1"]}
//! reading {"series":"boiler.temperature","feed":"plant","seq":7,"ts":…,"recv_ts":…,"type":"decimal","value":"21.5"
//!         [,"unit":"°C"][,"quality":"good"][,"tags":{"room":"a"}]}
//! ```
//! A record of any other kind has the columns of its table, in their order.
//!
//! One line, no spaces, the fields in this order. `ts` and `recv_ts` are nanoseconds since 1970 UTC; prices
//! and sizes are exact decimals in strings, so that no reader rounds them; fields in brackets are omitted if
//! they do not apply. Names and codes contain no quotes, backslashes or control characters.
//!
//! [`decode`] reads the canonical form without allocating. [`normalize`] converts what other producers write
//! (another order, spaces, bare numbers) to that form, or rejects it with the reason.

mod cursor;
pub(crate) mod described;
mod loose;

use crate::reading::{Reading, ReadingValue, ValueType};
use crate::record::{Quote, QuoteSide, Record, Side, Trade};
use crate::{Kind, Price, Size, UnixNanos};
pub use cursor::DecodeError;
use cursor::{Cursor, push_int};
pub use loose::value;

/// Version of this format: the `schema` header of its messages.
pub const SCHEMA: &str = "2";
/// Versions that can be read: the first lacks `side` and `seq` of trades.
pub const READABLE: [&str; 2] = ["1", SCHEMA];

fn push_text(name: &[u8], value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn push_number(name: &[u8], raw: i128, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    crate::fixed::write(raw, out);
    out.push(b'"');
}

fn push_times(ts: UnixNanos, recv_ts: UnixNanos, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"ts\":");
    push_int(ts.0, out);
    out.extend_from_slice(b",\"recv_ts\":");
    push_int(recv_ts.0, out);
}

/// Appends the canonical JSON of a record.
pub fn encode<S: AsRef<str>>(record: &Record<S>, out: &mut Vec<u8>) {
    match record {
        Record::Trade(trade) => encode_trade(trade, out),
        Record::Quote(quote) => encode_quote(quote, out),
        Record::Reading(reading) => encode_reading(reading, out),
        Record::Described(record) => described::encode(&record.as_str(), out),
    }
}

fn encode_trade<S: AsRef<str>>(trade: &Trade<S>, out: &mut Vec<u8>) {
    push_text(b"{\"symbol\":\"", trade.symbol.as_ref(), out);
    push_text(b",\"feed\":\"", trade.feed.as_ref(), out);
    push_text(b",\"venue\":\"", trade.venue.as_ref(), out);
    push_text(b",\"id\":\"", trade.id.as_ref(), out);
    push_times(trade.ts, trade.recv_ts, out);
    push_number(b",\"price\":\"", trade.price.raw(), out);
    push_number(b",\"size\":\"", trade.size.raw(), out);
    if trade.side != Side::Unknown {
        push_text(b",\"side\":\"", trade.side.name(), out);
    }
    out.extend_from_slice(b",\"conditions\":");
    out.extend_from_slice(trade.conditions.as_ref().as_bytes());
    if !trade.tape.as_ref().is_empty() {
        push_text(b",\"tape\":\"", trade.tape.as_ref(), out);
    }
    if trade.seq != 0 {
        out.extend_from_slice(b",\"seq\":");
        push_int(trade.seq, out);
    }
    if trade.revision != 0 {
        out.extend_from_slice(b",\"revision\":");
        push_int(i64::from(trade.revision), out);
    }
    if trade.canceled {
        out.extend_from_slice(b",\"canceled\":true");
    }
    out.push(b'}');
}

fn encode_quote<S: AsRef<str>>(quote: &Quote<S>, out: &mut Vec<u8>) {
    push_text(b"{\"symbol\":\"", quote.symbol.as_ref(), out);
    push_text(b",\"feed\":\"", quote.feed.as_ref(), out);
    out.extend_from_slice(b",\"seq\":");
    push_int(quote.seq, out);
    push_times(quote.ts, quote.recv_ts, out);
    if let Some(bid) = &quote.bid {
        push_number(b",\"bid\":\"", bid.price.raw(), out);
        push_number(b",\"bid_size\":\"", bid.size.raw(), out);
        push_text(b",\"bid_venue\":\"", bid.venue.as_ref(), out);
    }
    if let Some(ask) = &quote.ask {
        push_number(b",\"ask\":\"", ask.price.raw(), out);
        push_number(b",\"ask_size\":\"", ask.size.raw(), out);
        push_text(b",\"ask_venue\":\"", ask.venue.as_ref(), out);
    }
    out.extend_from_slice(b",\"conditions\":");
    out.extend_from_slice(quote.conditions.as_ref().as_bytes());
    out.push(b'}');
}

fn encode_reading<S: AsRef<str>>(reading: &Reading<S>, out: &mut Vec<u8>) {
    push_text(b"{\"series\":\"", reading.series.as_ref(), out);
    push_text(b",\"feed\":\"", reading.feed.as_ref(), out);
    out.extend_from_slice(b",\"seq\":");
    push_int(reading.seq, out);
    push_times(reading.ts, reading.recv_ts, out);
    push_text(b",\"type\":\"", reading.value.class.name(), out);
    push_text(b",\"value\":\"", reading.value.text.as_ref(), out);
    if !reading.unit.as_ref().is_empty() {
        push_text(b",\"unit\":\"", reading.unit.as_ref(), out);
    }
    if !reading.quality.as_ref().is_empty() {
        push_text(b",\"quality\":\"", reading.quality.as_ref(), out);
    }
    if !reading.tags.as_ref().is_empty() {
        out.extend_from_slice(b",\"tags\":");
        out.extend_from_slice(reading.tags.as_ref().as_bytes());
    }
    out.push(b'}');
}

impl<'a> Cursor<'a> {
    #[inline]
    fn side(&mut self, price: &str, size: &str, venue: &str) -> Option<Option<QuoteSide<&'a str>>> {
        if self.skip(price).is_none() {
            return Some(None);
        }
        let price = Price::from_raw(self.number()?);
        self.skip(size)?;
        let size = Size::from_raw(self.number()?);
        self.skip(venue)?;
        Some(Some(QuoteSide { price, size, venue: self.text()? }))
    }

    #[inline]
    fn aggressor(&mut self) -> Option<Side> {
        if self.skip(",\"side\":\"").is_none() {
            return Some(Side::Unknown);
        }
        Side::from_name(self.text()?).filter(|side| *side != Side::Unknown)
    }

    fn trade(mut self) -> Option<Trade<&'a str>> {
        self.skip("{\"symbol\":\"")?;
        let symbol = self.text().filter(|s| !s.is_empty())?;
        self.skip(",\"feed\":\"")?;
        let feed = self.text()?;
        self.skip(",\"venue\":\"")?;
        let venue = self.text()?;
        self.skip(",\"id\":\"")?;
        let id = self.text()?;
        self.skip(",\"ts\":")?;
        let ts = UnixNanos(self.int()?);
        self.skip(",\"recv_ts\":")?;
        let recv_ts = UnixNanos(self.int()?);
        self.skip(",\"price\":\"")?;
        let price = Price::from_raw(self.number()?);
        self.skip(",\"size\":\"")?;
        let size = Size::from_raw(self.number()?);
        let side = self.aggressor()?;
        self.skip(",\"conditions\":")?;
        let conditions = self.conditions()?;
        let tape = if self.skip(",\"tape\":\"").is_some() { self.text()? } else { "" };
        let seq = if self.skip(",\"seq\":").is_some() { self.int()? } else { 0 };
        let revision =
            if self.skip(",\"revision\":").is_some() { u32::try_from(self.int()?).ok()? } else { 0 };
        let canceled = self.skip(",\"canceled\":true").is_some();
        (self.0 == "}").then_some(Trade {
            symbol,
            feed,
            venue,
            id,
            ts,
            recv_ts,
            price,
            size,
            side,
            conditions,
            tape,
            seq,
            revision,
            canceled,
        })
    }

    fn quote(mut self) -> Option<Quote<&'a str>> {
        self.skip("{\"symbol\":\"")?;
        let symbol = self.text().filter(|s| !s.is_empty())?;
        self.skip(",\"feed\":\"")?;
        let feed = self.text()?;
        self.skip(",\"seq\":")?;
        let seq = self.int()?;
        self.skip(",\"ts\":")?;
        let ts = UnixNanos(self.int()?);
        self.skip(",\"recv_ts\":")?;
        let recv_ts = UnixNanos(self.int()?);
        let bid = self.side(",\"bid\":\"", ",\"bid_size\":\"", ",\"bid_venue\":\"")?;
        let ask = self.side(",\"ask\":\"", ",\"ask_size\":\"", ",\"ask_venue\":\"")?;
        self.skip(",\"conditions\":")?;
        let conditions = self.conditions()?;
        (self.0 == "}").then_some(Quote { symbol, feed, seq, ts, recv_ts, bid, ask, conditions })
    }

    fn reading(mut self) -> Option<Reading<&'a str>> {
        self.skip("{\"series\":\"")?;
        let series = self.text().filter(|series| !series.is_empty())?;
        self.skip(",\"feed\":\"")?;
        let feed = self.text()?;
        self.skip(",\"seq\":")?;
        let seq = self.int()?;
        self.skip(",\"ts\":")?;
        let ts = UnixNanos(self.int()?);
        self.skip(",\"recv_ts\":")?;
        let recv_ts = UnixNanos(self.int()?);
        self.skip(",\"type\":\"")?;
        let class = ValueType::from_name(self.text()?)?;
        self.skip(",\"value\":\"")?;
        let text = self.text().filter(|text| class.is_canonical(text))?;
        // Absent if empty: one way to write each reading.
        let unit = if self.skip(",\"unit\":\"").is_some() { self.present()? } else { "" };
        let quality = if self.skip(",\"quality\":\"").is_some() { self.present()? } else { "" };
        let tags = if self.skip(",\"tags\":").is_some() { self.tags()? } else { "" };
        let value = ReadingValue { class, text };
        (self.0 == "}").then_some(Reading { series, feed, seq, ts, recv_ts, value, unit, quality, tags })
    }
}

/// Decodes the canonical form; `None` for anything else, which [`normalize`] converts or explains.
#[must_use]
#[inline]
pub fn decode(kind: Kind, payload: &[u8]) -> Option<Record<&str>> {
    decode_text(kind, std::str::from_utf8(payload).ok()?)
}

/// [`decode`] for valid UTF-8 text.
#[must_use]
#[inline]
pub fn decode_text(kind: Kind, text: &str) -> Option<Record<&str>> {
    let cursor = Cursor(text);
    let record = match kind {
        Kind::TRADE => Record::Trade(cursor.trade()?),
        Kind::QUOTE => Record::Quote(cursor.quote()?),
        Kind::READING => Record::Reading(cursor.reading()?),
        _ => Record::Described(cursor.described(kind)?),
    };
    record.check().is_ok().then_some(record)
}

/// The elements of a conditions array in canonical form.
#[inline]
pub fn conditions(array: &str) -> impl Iterator<Item = &str> {
    // Elements contain no quotes, so every second piece between quotes is one. They are too short for a
    // vectorised search.
    let mut rest = array;
    std::iter::from_fn(move || {
        let (_, from) = rest.split_at(rest.bytes().position(|byte| byte == b'"')? + 1);
        let (element, behind) = from.split_at(from.bytes().position(|byte| byte == b'"')?);
        rest = &behind[1..];
        Some(element)
    })
}

/// Appends the canonical form of a record in any other JSON form: other order, spaces, escapes, bare numbers.
///
/// # Errors
/// [`DecodeError`] with the field and the reason, for the record's dead letter.
pub fn normalize(kind: Kind, payload: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    if let [0, a, b, c, d, _, ..] = payload {
        let id = u32::from_be_bytes([*a, *b, *c, *d]);
        return Err(DecodeError(format!(
            "not JSON: it begins as Avro with schema {id} of a registry does; to read it, set `topic.format = \"avro\"`"
        )));
    }
    let text = std::str::from_utf8(payload).map_err(|error| DecodeError(format!("not UTF-8: {error}")))?;
    match kind.table().read {
        Some(_) => {
            encode(&loose::record(kind, text)?, out);
            Ok(())
        }
        None => described::normalize(kind, text, out),
    }
}

#[cfg(test)]
mod tests;
