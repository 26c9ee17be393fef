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

use crate::reading::{Reading, ReadingValue, ValueType};
use crate::record::{Quote, QuoteSide, Record, Side, Trade};
use crate::{Kind, Price, Size, UnixNanos};

/// Version of this format: the `schema` header of its messages.
pub const SCHEMA: &str = "2";
/// Versions that can be read: the first lacks `side` and `seq` of trades.
pub const READABLE: [&str; 2] = ["1", SCHEMA];

/// Why some bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

fn push_int(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

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

#[inline(always)]
fn eight(digits: &[u8; 8]) -> Option<i64> {
    crate::swar::eight(u64::from_le_bytes(*digits))
}

/// Walks the canonical form; the first mismatch ends it.
struct Cursor<'a>(&'a str);

// Forced inlining: only with a known length does comparing a literal compile to a few instructions instead of
// a call.
impl<'a> Cursor<'a> {
    #[inline(always)]
    fn skip(&mut self, literal: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    /// Reads up to the closing quote and consumes it.
    #[inline(always)]
    fn text(&mut self) -> Option<&'a str> {
        let mut end = 0;
        let bytes = self.0.as_bytes();
        loop {
            match *bytes.get(end)? {
                b'"' => break,
                b'\\' | 0..=0x1f => return None,
                _ => end += 1,
            }
        }
        let text = self.take(end)?;
        self.0 = &self.0[1..];
        Some(text)
    }

    #[inline(always)]
    fn int(&mut self) -> Option<i64> {
        let bytes = self.0.as_bytes();
        let negative = bytes.first() == Some(&b'-');
        let start = usize::from(negative);
        let mut end = start;
        let mut value: i64 = 0;
        // Times have nineteen digits.
        if let Some(([first, second], _)) = bytes
            .get(start..)
            .map(|rest| rest.as_chunks::<8>())
            .and_then(|(all, _)| all.split_first_chunk::<2>())
            && let (Some(first), Some(second)) = (eight(first), eight(second))
        {
            value = first * 100_000_000 + second;
            end += 16;
        }
        let digit = |at: usize| bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10);
        // Eighteen digits always fit.
        while let Some(digit) = digit(end).filter(|_| end < start + 18) {
            value = value * 10 + i64::from(digit);
            end += 1;
        }
        while let Some(digit) = digit(end) {
            value = value.checked_mul(10)?.checked_add(i64::from(digit))?;
            end += 1;
        }
        // Each number has one representation: not empty, no leading zero, no minus zero.
        if end == start || (bytes[start] == b'0' && (end > start + 1 || negative)) {
            return None;
        }
        self.0 = &self.0[end..];
        Some(if negative { -value } else { value })
    }

    #[inline(always)]
    fn number(&mut self) -> Option<i128> {
        crate::fixed::parse(self.text()?.as_bytes()).ok()
    }

    #[inline]
    fn conditions(&mut self) -> Option<&'a str> {
        let whole = self.0;
        self.skip("[")?;
        if self.skip("]").is_none() {
            loop {
                self.skip("\"")?;
                self.text()?;
                if self.skip(",").is_none() {
                    break;
                }
            }
            self.skip("]")?;
        }
        Some(&whole[..whole.len() - self.0.len()])
    }

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

    /// An object of strings with names in byte order, each once.
    fn tags(&mut self) -> Option<&'a str> {
        let whole = self.0;
        self.skip("{")?;
        let mut last = "";
        loop {
            self.skip("\"")?;
            let name = self.text().filter(|name| *name > last)?;
            last = name;
            self.skip(":\"")?;
            self.text()?;
            if self.skip(",").is_none() {
                break;
            }
        }
        self.skip("}")?;
        Some(&whole[..whole.len() - self.0.len()])
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

    fn present(&mut self) -> Option<&'a str> {
        self.text().filter(|text| !text.is_empty())
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

pub(crate) mod described;
mod loose;

pub use loose::value;

/// Appends the canonical form of a record in any other JSON form: other order, spaces, escapes, bare numbers.
///
/// # Errors
/// [`DecodeError`] with the field and the reason, for the record's dead letter.
pub fn normalize(kind: Kind, payload: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let text = std::str::from_utf8(payload).map_err(|error| DecodeError(format!("not UTF-8: {error}")))?;
    match kind.table().read {
        Some(_) => loose::normalize(kind, text, out),
        None => described::normalize(kind, text, out),
    }
}

#[cfg(test)]
mod tests;
