//! Records as CQL values and back. What a record does not have is left unset: a null would be a tombstone.

use market::codec::json;
use market::record::Side;
use market::time::DAY;
use market::{Quote, Trade, UnixNanos, fixed};
use scylla::serialize::writers::RowWriter;

/// Days since -5877641-06-23: how CQL counts dates, so that 1970-01-01 is 2^31.
const EPOCH_DATE: i64 = 1 << 31;

/// `INSERT` of a trade; the write timestamp is the message's, so that a replay changes nothing.
pub(super) const TRADE_COLUMNS: &str =
    "symbol, hour, ts, feed, venue, id, price, size, conditions, tape, recv_ts, revision, canceled";
/// The same for a quote.
pub(super) const QUOTE_COLUMNS: &str =
    "symbol, hour, ts, feed, seq, bid, bid_size, bid_venue, ask, ask_size, ask_venue, conditions, recv_ts";

/// Writes the values of one row, in the order of the prepared statement.
pub(super) struct Cells<'w, 'b>(pub(super) &'w mut RowWriter<'b>);

impl Cells<'_, '_> {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        // Only a value beyond 2 GiB is refused, and messages are far smaller.
        let _ = self.0.make_cell_writer().set_value(bytes);
    }

    #[inline]
    fn unset(&mut self) {
        self.0.make_cell_writer().set_unset();
    }

    #[inline]
    fn long(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    /// `decimal`: the scale, then the unscaled value in as few bytes as hold its sign.
    #[inline]
    fn decimal(&mut self, billionths: i64) {
        let (unscaled, scale) = fixed::to_unscaled(billionths);
        let mut cell = [0_u8; 12];
        cell[..4].copy_from_slice(&scale.to_be_bytes());
        let digits = unscaled.to_be_bytes();
        let sign = if unscaled < 0 { 0xff } else { 0 };
        let mut first = 0;
        while first < 7 && digits[first] == sign && (digits[first + 1] ^ sign) & 0x80 == 0 {
            first += 1;
        }
        let length = 8 - first;
        cell[4..4 + length].copy_from_slice(&digits[first..]);
        self.bytes(&cell[..4 + length]);
    }

    /// `list<text>` from the canonical JSON array.
    #[inline]
    fn conditions(&mut self, array: &str) {
        let mut cell = self.0.make_cell_writer().into_value_builder();
        let count = json::conditions(array).count() as i32;
        cell.append_bytes(&count.to_be_bytes());
        for code in json::conditions(array) {
            cell.append_bytes(&(code.len() as i32).to_be_bytes());
            cell.append_bytes(code.as_bytes());
        }
        let _ = cell.finish();
    }

    /// `tuple<date, time>`.
    #[inline]
    fn stamp(&mut self, time: UnixNanos) {
        let mut cell = [0_u8; 20];
        cell[3] = 4;
        cell[4..8].copy_from_slice(&((time.epoch_day() + EPOCH_DATE) as u32).to_be_bytes());
        cell[11] = 8;
        cell[12..].copy_from_slice(&time.since_midnight().to_be_bytes());
        self.bytes(&cell);
    }

    #[inline]
    fn side(&mut self, side: Option<&Side<&str>>) {
        match side {
            Some(side) => {
                self.decimal(side.price.billionths());
                self.decimal(side.size.billionths());
                self.bytes(side.venue.as_bytes());
            }
            None => (0..3).for_each(|_| self.unset()),
        }
    }

    #[inline]
    fn key(&mut self, symbol: &str, ts: UnixNanos, feed: &str) {
        self.bytes(symbol.as_bytes());
        self.long(ts.hour().millis());
        self.long(ts.since_midnight());
        self.bytes(feed.as_bytes());
    }

    /// The values of a trade, then the write timestamp in microseconds.
    #[inline]
    pub(super) fn trade(&mut self, trade: &Trade<&str>, stamp_ms: i64) {
        self.key(trade.symbol, trade.ts, trade.feed);
        self.bytes(trade.venue.as_bytes());
        self.bytes(trade.id.as_bytes());
        self.decimal(trade.price.billionths());
        self.decimal(trade.size.billionths());
        self.conditions(trade.conditions);
        if trade.tape.is_empty() {
            self.unset()
        } else {
            self.bytes(trade.tape.as_bytes())
        }
        self.stamp(trade.recv_ts);
        if trade.revision == 0 {
            self.unset()
        } else {
            self.bytes(&trade.revision.to_be_bytes())
        }
        if trade.canceled {
            self.bytes(&[1])
        } else {
            self.unset()
        }
        self.long(stamp_ms * 1_000);
    }

    /// The values of a quote, then the write timestamp in microseconds.
    #[inline]
    pub(super) fn quote(&mut self, quote: &Quote<&str>, stamp_ms: i64) {
        self.key(quote.symbol, quote.ts, quote.feed);
        self.long(quote.seq);
        self.side(quote.bid.as_ref());
        self.side(quote.ask.as_ref());
        self.conditions(quote.conditions);
        self.stamp(quote.recv_ts);
        self.long(stamp_ms * 1_000);
    }
}

/// A `date` and `time` of the day as nanoseconds since 1970.
pub(super) fn from_stamp(date: u32, nanos: i64) -> UnixNanos {
    UnixNanos((i64::from(date) - EPOCH_DATE) * DAY + nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value cells of a row: `None` is unset.
    fn cells(write: impl FnOnce(&mut Cells<'_, '_>)) -> Vec<Option<Vec<u8>>> {
        let mut buffer = Vec::new();
        write(&mut Cells(&mut RowWriter::new(&mut buffer)));
        let (mut rest, mut out) = (&buffer[..], Vec::new());
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let length = i32::from_be_bytes(*length);
            let (cell, tail) = tail.split_at(length.max(0) as usize);
            out.push((length >= 0).then(|| cell.to_vec()));
            rest = tail;
        }
        out
    }

    #[test]
    fn decimals_are_as_java_writes_them() {
        // scale, then BigInteger.toByteArray() of the unscaled value
        let cases: &[(i64, &[u8])] = &[
            (167_410_000_000, &[0, 0, 0, 2, 0x41, 0x65]),
            (100_000_000_000, &[0, 0, 0, 0, 100]),
            (200_000_000_000, &[0, 0, 0, 0, 0, 200]),
            (0, &[0, 0, 0, 0, 0]),
            (-1, &[0, 0, 0, 9, 0xff]),
            (-128_000_000_000, &[0, 0, 0, 0, 0x80]),
            (i64::MAX, &[0, 0, 0, 9, 0x7f, 255, 255, 255, 255, 255, 255, 255]),
        ];
        for (value, bytes) in cases {
            assert_eq!(cells(|c| c.decimal(*value)), [Some(bytes.to_vec())], "{value}");
        }
    }

    #[test]
    fn a_trade_becomes_its_cells() {
        let text = r#"{"symbol":"SPY","feed":"lean.sip","venue":"P","id":"20131008-7","ts":1381219200464000001,"recv_ts":-1,"price":"167.41","size":"100","conditions":["@","I"]}"#;
        let Some(market::Record::Trade(trade)) = json::decode(market::Kind::Trade, text.as_bytes()) else {
            panic!()
        };
        let row = cells(|c| c.trade(&trade, 5));
        assert_eq!(row.len(), TRADE_COLUMNS.split(',').count() + 1);
        assert_eq!(row[1], Some(1_381_219_200_000_i64.to_be_bytes().to_vec()), "hour");
        assert_eq!(
            row[2],
            Some((8 * 3_600_000_000_000_i64 + 464_000_001).to_be_bytes().to_vec()),
            "time of day"
        );
        assert_eq!(row[8], Some(vec![0, 0, 0, 2, 0, 0, 0, 1, b'@', 0, 0, 0, 1, b'I']), "conditions");
        assert_eq!(row[9], None, "tape");
        assert_eq!((&row[11], &row[12]), (&None, &None), "revision, canceled");
        assert_eq!(row[13], Some(5_000_i64.to_be_bytes().to_vec()), "write timestamp");
        let stamp = row[10].as_ref().unwrap();
        let date = u32::from_be_bytes(stamp[4..8].try_into().unwrap());
        let nanos = i64::from_be_bytes(stamp[12..].try_into().unwrap());
        assert_eq!(from_stamp(date, nanos), UnixNanos(-1), "recv_ts before 1970");
    }
}
