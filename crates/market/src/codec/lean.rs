//! Rows of recorded tick files in the format of QuantConnect's Lean data: one session and symbol per file, no
//! header, exchange-local time, prices in ten-thousandths.
//!
//! ```text
//! trade  milliseconds after local midnight, price * 10,000, size, venue, condition mask (hex), suspicious (0|1)
//! quote  milliseconds, bid * 10,000, bid size, ask * 10,000, ask size, venue, condition, suspicious
//! ```
//! Formats: QuantConnect/Lean, `Data/equity/readme.md`. The rows have no id. Their order in the file is the
//! tape's, so session date and row number from 1, of eight digits, identify a trade or quote here: a number, as vendors' ids are.

use crate::Kind;
use crate::record::{Quote, QuoteSide, Record, Side, Trade};
use crate::time::SessionDay;
use crate::{Price, Size, UnixNanos, fixed};

/// Decimal places between milliseconds and nanoseconds.
const MILLI_PLACES: u32 = 6;
/// Lean's prices are ten-thousandths: four decimals.
const PRICE_PLACES: u32 = fixed::SCALE - 4;
/// Maximum number of rows per session: the sequence number is date * this + row.
const ROWS: i64 = 1_000_000_000;

/// Decodes the rows of one file into records, reusing its buffers.
#[derive(Debug)]
pub struct RowReader {
    kind: Kind,
    symbol: String,
    feed: String,
    session: SessionDay,
    id: Vec<u8>,
    id_prefix: usize,
    conditions: String,
}

impl RowReader {
    /// Creates a decoder for the rows of `symbol` in `session`, of one kind, labelled with `feed`.
    #[must_use]
    pub fn new(kind: Kind, symbol: &str, feed: &str, session: SessionDay) -> Self {
        let id = format!("{:08}", session.yyyymmdd()).into_bytes();
        Self {
            kind,
            symbol: symbol.to_owned(),
            feed: feed.to_owned(),
            session,
            id_prefix: id.len(),
            id,
            conditions: String::new(),
        }
    }

    /// The session of the rows.
    #[must_use]
    pub const fn session(&self) -> &SessionDay {
        &self.session
    }

    /// Decodes only the event time: enough to merge files in time order.
    ///
    /// # Errors
    /// The reason, when the row has no readable time.
    pub fn time(&self, row: &[u8]) -> Result<UnixNanos, String> {
        if row.is_empty() {
            return Err("empty row".to_owned());
        }
        let end = memchr::memchr(b',', row).unwrap_or(row.len());
        self.at(&row[..end])
    }

    fn at(&self, field: &[u8]) -> Result<UnixNanos, String> {
        let nanos = fixed::parse_scaled(field, MILLI_PLACES).map_err(|e| refuse("time", field, &e))?;
        let nanos = i64::try_from(nanos).ok();
        nanos
            .and_then(|nanos| self.session.at(nanos))
            .ok_or_else(|| refuse("time", field, &"not within the session's day"))
    }

    /// Decodes one row, without its line end. `number` counts from 1.
    ///
    /// # Errors
    /// Names the invalid field, for the dead letter.
    pub fn read<'a>(
        &'a mut self,
        row: &'a [u8],
        number: u64,
        recv_ts: UnixNanos,
    ) -> Result<Record<&'a str>, String> {
        match self.kind {
            Kind::TRADE => self.trade(row, number, recv_ts).map(Record::Trade),
            Kind::QUOTE => self.quote(row, number, recv_ts).map(Record::Quote),
            kind => Err(format!("tick files hold no {}", kind.plural())),
        }
    }

    fn set_conditions(&mut self, mask: &[u8], suspicious: &[u8]) -> Result<(), String> {
        let mask = text("conditions", mask)?;
        self.conditions.clear();
        self.conditions.push_str("[\"");
        self.conditions.push_str(mask);
        self.conditions.push_str(match suspicious {
            b"0" => "\"]",
            b"1" => "\",\"suspicious\"]",
            other => return Err(refuse("suspicious", other, &"neither 0 nor 1")),
        });
        Ok(())
    }

    fn trade<'a>(
        &'a mut self,
        row: &'a [u8],
        number: u64,
        recv_ts: UnixNanos,
    ) -> Result<Trade<&'a str>, String> {
        let [time, price, size, venue, mask, suspicious] = columns(row)?;
        let ts = self.at(time)?;
        self.set_conditions(mask, suspicious)?;
        self.id.truncate(self.id_prefix);
        let (mut buffer, zeros) = (itoa::Buffer::new(), b"00000000");
        let digits = buffer.format(number).as_bytes();
        self.id.extend_from_slice(zeros.get(digits.len()..).unwrap_or_default());
        self.id.extend_from_slice(digits);
        Ok(Trade {
            symbol: &self.symbol,
            feed: &self.feed,
            venue: text("venue", venue)?,
            id: std::str::from_utf8(&self.id).unwrap_or_default(),
            ts,
            recv_ts,
            price: Price::from_raw(decimal("price", price, PRICE_PLACES)?),
            size: Size::from_raw(size_in("size", size, fixed::SCALE)?),
            side: Side::Unknown,
            conditions: &self.conditions,
            tape: "",
            seq: 0,
            revision: 0,
            canceled: false,
        })
    }

    fn quote<'a>(
        &'a mut self,
        row: &'a [u8],
        number: u64,
        recv_ts: UnixNanos,
    ) -> Result<Quote<&'a str>, String> {
        let [time, bid, bid_size, ask, ask_size, venue, mask, suspicious] = columns(row)?;
        let ts = self.at(time)?;
        self.set_conditions(mask, suspicious)?;
        let venue = text("venue", venue)?;
        let row_number = i64::try_from(number).ok().filter(|n| *n < ROWS).ok_or("row number beyond 1e9")?;
        Ok(Quote {
            symbol: &self.symbol,
            feed: &self.feed,
            seq: i64::from(self.session.yyyymmdd()) * ROWS + row_number,
            ts,
            recv_ts,
            bid: side(["bid", "bid size"], bid, bid_size, venue)?,
            ask: side(["ask", "ask size"], ask, ask_size, venue)?,
            conditions: &self.conditions,
        })
    }
}

/// Zero price and size mean that the row does not contain this side.
fn side<'a>(
    names: [&str; 2],
    price: &[u8],
    size: &[u8],
    venue: &'a str,
) -> Result<Option<QuoteSide<&'a str>>, String> {
    let price = decimal(names[0], price, PRICE_PLACES)?;
    let size = size_in(names[1], size, fixed::SCALE)?;
    Ok((price != 0 || size != 0).then_some(QuoteSide {
        price: Price::from_raw(price),
        size: Size::from_raw(size),
        venue,
    }))
}

fn columns<const N: usize>(row: &[u8]) -> Result<[&[u8]; N], String> {
    let mut out: [&[u8]; N] = [&[]; N];
    let mut rest = row;
    for (index, slot) in out.iter_mut().enumerate() {
        let end = memchr::memchr(b',', rest);
        match end {
            Some(end) if index + 1 < N => {
                *slot = &rest[..end];
                rest = &rest[end + 1..];
            }
            None if index + 1 == N => *slot = rest,
            _ => {
                let found = row.iter().filter(|b| **b == b',').count() + usize::from(!row.is_empty());
                return Err(format!("expected {N} columns, found {found}"));
            }
        }
    }
    Ok(out)
}

fn decimal(field: &str, bytes: &[u8], places: u32) -> Result<i128, String> {
    fixed::parse_scaled(bytes, places).map_err(|error| refuse(field, bytes, &error))
}

fn size_in(field: &str, bytes: &[u8], places: u32) -> Result<i128, String> {
    decimal(field, bytes, places)
        .and_then(|value| if value < 0 { Err(refuse(field, bytes, &"negative")) } else { Ok(value) })
}

fn text<'a>(field: &str, bytes: &'a [u8]) -> Result<&'a str, String> {
    let plain = bytes.iter().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\'));
    match std::str::from_utf8(bytes) {
        Ok(text) if plain && !text.is_empty() => Ok(text),
        _ => Err(refuse(field, bytes, &"not a printable code")),
    }
}

fn refuse(field: &str, bytes: &[u8], reason: &dyn std::fmt::Display) -> String {
    let shown: String = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
    format!("{field} {shown:?}: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::json;

    fn reader(kind: Kind, symbol: &str) -> RowReader {
        RowReader::new(kind, symbol, "lean.sip", SessionDay::new(20131008, "America/New_York").unwrap())
    }

    fn shown(kind: Kind, row: &[u8]) -> Result<String, String> {
        let mut reader = reader(kind, "SPY");
        let mut out = Vec::new();
        json::encode(&reader.read(row, 7, UnixNanos(1))?, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(json::decode(kind, text.as_bytes()).is_some(), "not canonical: {text}");
        Ok(text)
    }

    #[test]
    fn real_rows_become_records() {
        assert_eq!(
            shown(Kind::TRADE, b"14400464,1674100,100,P,20002000,0").unwrap(),
            r#"{"symbol":"SPY","feed":"lean.sip","venue":"P","id":"2013100800000007","ts":1381219200464000000,"recv_ts":1,"price":"167.41","size":"100","conditions":["20002000"]}"#
        );
        assert_eq!(
            shown(Kind::TRADE, b"14400464.123456,1674123,0.5,P,20002000,1").unwrap(),
            r#"{"symbol":"SPY","feed":"lean.sip","venue":"P","id":"2013100800000007","ts":1381219200464123456,"recv_ts":1,"price":"167.4123","size":"0.5","conditions":["20002000","suspicious"]}"#
        );
        assert_eq!(
            shown(Kind::QUOTE, b"14400640,0,0,1826200,100,P,1,0").unwrap(),
            r#"{"symbol":"SPY","feed":"lean.sip","seq":20131008000000007,"ts":1381219200640000000,"recv_ts":1,"ask":"182.62","ask_size":"100","ask_venue":"P","conditions":["1"]}"#
        );
    }

    #[test]
    fn bad_rows_are_refused_by_field() {
        let cases: &[(Kind, &[u8], &str)] = &[
            (Kind::TRADE, b"", "expected 6 columns, found 0"),
            (Kind::TRADE, b"14400464,1674100,100", "expected 6 columns, found 3"),
            (Kind::TRADE, b"14400464,1674100,100,P,1,0,9", "expected 6 columns, found 7"),
            (Kind::TRADE, b"x,1674100,100,P,1,0", "time \"x\": not a decimal number"),
            (Kind::TRADE, b"-5,1674100,100,P,1,0", "time \"-5\": not within the session's day"),
            (Kind::TRADE, b"999999999,1674100,100,P,1,0", "time \"999999999\": not within"),
            (
                Kind::TRADE,
                b"1,9999999999999999999999999,100,P,1,0",
                "price \"9999999999999999999999999\": does not fit",
            ),
            (
                Kind::TRADE,
                b"1,1674100.123456789012345,100,P,1,0",
                "price \"1674100.123456789012345\": more than 18 decimal",
            ),
            (Kind::TRADE, b"1,1,-100,P,1,0", "size \"-100\": negative"),
            (Kind::TRADE, b"1,1674100,,P,1,0", "size \"\": empty number"),
            (Kind::TRADE, b"1,1674100,1,,1,0", "venue \"\": not a printable code"),
            (Kind::TRADE, b"1,1674100,1,P,\"1,0", "conditions \"\\\"1\": not a printable code"),
            (Kind::TRADE, b"1,1674100,1,P,1,2", "suspicious \"2\": neither 0 nor 1"),
            (Kind::QUOTE, b"14400464,1674100,100,P,20002000,0", "expected 8 columns, found 6"),
        ];
        for (kind, row, reason) in cases {
            let error = shown(*kind, row).unwrap_err();
            assert!(error.starts_with(reason), "got {error}\nwant {reason}");
        }
    }

    #[test]
    fn time_alone_agrees_with_the_whole_row() {
        let row = b"34200000,1674100,100,P,1,0";
        let mut reader = reader(Kind::TRADE, "SPY");
        let time = reader.time(row).unwrap();
        assert_eq!(time.to_string(), "2013-10-08T13:30:00Z");
        assert_eq!(reader.read(row, 1, UnixNanos(0)).unwrap().ts(), time);
        assert!(reader.time(b"abc").is_err());
    }
}
