//! Conversion between records and CQL values.
//!
//! Every column is written. Absent values are written as their default (`0`, `''`, `false`) or, for the
//! numbers of an absent side of a quote, as an empty value, which clients show as null. A real null would be
//! a tombstone, three for each quote of a feed that sends one side at a time ([ADR
//! 15](../../../../docs/adr/0015-versions.md)).

use super::table::insert_order;
use market::codec::json;
use market::reading::each_tag;
use market::table::{Cell, Column, ColumnType, Role};
use market::time::DAY;
use market::{Record, Trade, UnixNanos, fixed, version};
use scylla::serialize::writers::RowWriter;

/// Offset of CQL dates, which count days from -5877641-06-23: 1970-01-01 is 2^31.
const EPOCH_DATE: i64 = 1 << 31;

/// Writes the values of one row, in the order of the prepared statement.
pub(super) struct Cells<'w, 'b>(pub(super) &'w mut RowWriter<'b>);

impl Cells<'_, '_> {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        // Only a value beyond 2 GiB is refused, and messages are far smaller.
        let _ = self.0.make_cell_writer().set_value(bytes);
    }

    #[inline]
    fn long(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    /// `decimal`: the scale, then the unscaled value in the fewest bytes that preserve its sign.
    #[inline]
    fn decimal(&mut self, raw: i128) {
        let (unscaled, scale) = fixed::to_unscaled(raw);
        // Counts the bits above the most significant one that differs from the sign.
        let spare = if unscaled < 0 { (!unscaled).leading_zeros() } else { unscaled.leading_zeros() } - 1;
        let length = 16 - (spare / 8) as usize;
        let mut cell = [0_u8; 20];
        cell[..4].copy_from_slice(&scale.to_be_bytes());
        cell[4..].copy_from_slice(&(unscaled << (128 - 8 * length)).to_be_bytes());
        self.bytes(&cell[..4 + length]);
    }

    /// `list<text>` from the canonical JSON array.
    #[inline]
    fn conditions(&mut self, array: &str) {
        let mut cell = self.0.make_cell_writer().into_value_builder();
        // Elements contain no quotes: each has one before and one after it.
        let count = array.bytes().filter(|byte| *byte == b'"').count() as i32 / 2;
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

    /// `map<text, text>` from the canonical JSON object.
    fn tags(&mut self, object: &str) {
        let mut cell = self.0.make_cell_writer().into_value_builder();
        cell.append_bytes(&(each_tag(object).count() as i32).to_be_bytes());
        for text in each_tag(object).flat_map(|(name, value)| [name, value]) {
            cell.append_bytes(&(text.len() as i32).to_be_bytes());
            cell.append_bytes(text.as_bytes());
        }
        let _ = cell.finish();
    }

    #[inline]
    fn key(&mut self, symbol: &str, ts: UnixNanos, feed: &str) {
        self.bytes(symbol.as_bytes());
        self.long(ts.hour().millis());
        self.long(ts.since_midnight());
        self.bytes(feed.as_bytes());
    }

    /// Values of a record in the order of [`insert_order`], then the write timestamp in microseconds. With
    /// `inlined_conditions`, the statement itself contains the conditions.
    #[inline]
    pub(super) fn record(&mut self, record: &Record<&str>, inlined_conditions: bool, stamp_ms: i64) {
        match record {
            Record::Trade(trade) => self.trade(trade, inlined_conditions),
            other => self.described(other, inlined_conditions),
        }
        self.long(version::write_timestamp(record, stamp_ms));
    }

    /// The values of any record, by the description of its kind.
    fn described(&mut self, record: &Record<&str>, inlined_conditions: bool) {
        let kind = record.kind();
        for column in insert_order(kind) {
            if inlined_conditions && column.name == "conditions" {
                continue;
            }
            self.cell(column, (column.get)(record));
            if column.role == Role::Partition {
                self.long(kind.bucket().start(record.ts()).millis());
            }
        }
    }

    fn cell(&mut self, column: &Column, cell: Cell<'_>) {
        match cell {
            Cell::Absent => self.bytes(&[]),
            Cell::Text(text) => match column.class {
                ColumnType::Codes => self.conditions(text),
                ColumnType::Tags => self.tags(text),
                _ => self.bytes(text.as_bytes()),
            },
            // A description promises that it fits.
            Cell::Integer(value) if column.class == ColumnType::Small => {
                self.bytes(&(value as i32).to_be_bytes())
            }
            Cell::Integer(value) => self.long(value),
            Cell::Decimal(raw) => self.decimal(raw),
            Cell::Boolean(value) => self.bytes(&[u8::from(value)]),
            Cell::Time(time) if column.role == Role::Clustering => self.long(time.since_midnight()),
            Cell::Time(time) => self.stamp(time),
        }
    }

    /// As [`Cells::described`], by hand: most records are trades.
    #[inline]
    fn trade(&mut self, trade: &Trade<&str>, inlined_conditions: bool) {
        self.key(trade.symbol, trade.ts, trade.feed);
        self.bytes(trade.venue.as_bytes());
        self.bytes(trade.id.as_bytes());
        self.bytes(&[u8::from(trade.canceled)]);
        if !inlined_conditions {
            self.conditions(trade.conditions);
        }
        self.decimal(trade.price.raw());
        self.stamp(trade.recv_ts);
        self.bytes(&trade.revision.to_be_bytes());
        self.long(trade.seq);
        self.bytes(trade.side.name().as_bytes());
        self.decimal(trade.size.raw());
        self.bytes(trade.tape.as_bytes());
    }
}

/// Nanoseconds since 1970 of a `date` and a `time` of day.
pub(super) fn from_stamp(date: u32, nanos: i64) -> UnixNanos {
    UnixNanos((i64::from(date) - EPOCH_DATE) * DAY + nanos)
}

#[cfg(test)]
mod tests {
    use super::super::table::insert_names;
    use super::*;
    use market::Kind;
    use ports::batch::{Batch, Partition};

    /// Value cells of a row: `None` is unset.
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

    fn batch(texts: &[String]) -> Batch {
        let mut batch = Batch::default();
        for text in texts {
            batch.push(Kind::TRADE, text.as_bytes(), 5, Partition { topic: 0, number: 0 }, 0).unwrap();
        }
        batch
    }

    #[test]
    fn decimals_are_as_java_writes_them() {
        // scale, then BigInteger.toByteArray() of the unscaled value
        let cases: &[(i128, &[u8])] = &[
            (167_410_000_000_000_000_000, &[0, 0, 0, 2, 0x41, 0x65]),
            (100 * fixed::ONE, &[0, 0, 0, 0, 100]),
            (200 * fixed::ONE, &[0, 0, 0, 0, 0, 200]),
            (0, &[0, 0, 0, 0, 0]),
            (-1, &[0, 0, 0, 18, 0xff]),
            (-128 * fixed::ONE, &[0, 0, 0, 0, 0x80]),
            (i64::MAX.into(), &[0, 0, 0, 18, 0x7f, 255, 255, 255, 255, 255, 255, 255]),
            (
                fixed::MAX,
                &[
                    0, 0, 0, 18, 0x4b, 0x3b, 0x4c, 0xa8, 0x5a, 0x86, 0xc4, 0x7a, 9, 0x8a, 0x22, 0x3f, 255,
                    255, 255, 255,
                ],
            ),
        ];
        for (value, bytes) in cases {
            assert_eq!(cells(|c| c.decimal(*value)), [Some(bytes.to_vec())], "{value}");
        }
    }

    #[test]
    fn a_trade_becomes_its_cells() {
        let text = r#"{"symbol":"SPY","feed":"lean.sip","venue":"P","id":"20131008-7","ts":1381219200464000001,"recv_ts":-1,"price":"167.41","size":"100","conditions":["@","I"]}"#;
        let batch = batch(&[text.to_owned()]);
        let (row, record) = (&batch.rows()[0], batch.record(&batch.rows()[0]));
        let written = version::write_timestamp(&record, row.stamp_ms);
        let row = cells(|c| c.record(&record, false, 5));
        let columns = insert_names(Kind::TRADE);
        let at = |name: &str| row[columns.iter().position(|c| *c == name).unwrap()].clone();
        assert_eq!(row.len(), columns.len() + 1);
        assert_eq!(at("hour"), Some(1_381_219_200_000_i64.to_be_bytes().to_vec()));
        assert_eq!(at("ts"), Some((8 * 3_600_000_000_000_i64 + 464_000_001).to_be_bytes().to_vec()));
        assert_eq!(at("conditions"), Some(vec![0, 0, 0, 2, 0, 0, 0, 1, b'@', 0, 0, 0, 1, b'I']));
        assert_eq!(row.last().unwrap(), &Some(written.to_be_bytes().to_vec()), "write timestamp");
        assert_eq!(written / 1_000, 5);
        let stamp = at("recv_ts").unwrap();
        let date = u32::from_be_bytes(stamp[4..8].try_into().unwrap());
        let nanos = i64::from_be_bytes(stamp[12..].try_into().unwrap());
        assert_eq!(from_stamp(date, nanos), UnixNanos(-1), "recv_ts before 1970");
    }

    #[test]
    fn what_a_record_lacks_is_written_all_the_same() {
        let text = r#"{"symbol":"A","feed":"f","venue":"P","id":"7","ts":1,"recv_ts":1,"price":"1","size":"1","conditions":[]}"#;
        let batch = batch(&[text.to_owned()]);
        let trade = cells(|c| c.record(&batch.record(&batch.rows()[0]), false, 5));
        let at =
            |name: &str| trade[insert_names(Kind::TRADE).iter().position(|c| *c == name).unwrap()].clone();
        for (name, value) in
            [("tape", &b""[..]), ("side", b""), ("seq", &[0; 8]), ("revision", &[0; 4]), ("canceled", &[0])]
        {
            assert_eq!(at(name).as_deref(), Some(value), "{name}");
        }
        let mut quotes = Batch::default();
        let text = r#"{"symbol":"A","feed":"f","seq":7,"ts":1,"recv_ts":1,"bid":"1","bid_size":"2","bid_venue":"","conditions":[]}"#;
        quotes.push(Kind::QUOTE, text.as_bytes(), 5, Partition { topic: 0, number: 0 }, 0).unwrap();
        let quote = cells(|c| c.record(&quotes.record(&quotes.rows()[0]), false, 5));
        let at =
            |name: &str| quote[insert_names(Kind::QUOTE).iter().position(|c| *c == name).unwrap()].clone();
        for name in ["ask", "ask_size", "ask_venue", "bid_venue"] {
            assert_eq!(at(name), Some(Vec::new()), "{name}");
        }
        assert_eq!(at("bid"), Some(vec![0, 0, 0, 0, 1]));
    }

    #[test]
    fn conditions_that_the_statement_holds_are_not_sent() {
        let text = r#"{"symbol":"A","feed":"f","venue":"P","id":"7","ts":1,"recv_ts":1,"price":"1","size":"1","conditions":["@"]}"#;
        let batch = batch(&[text.to_owned()]);
        let record = batch.record(&batch.rows()[0]);
        let mut bound = cells(|c| c.record(&record, false, 5));
        bound.remove(insert_names(Kind::TRADE).iter().position(|column| *column == "conditions").unwrap());
        assert_eq!(cells(|c| c.record(&record, true, 5)), bound);
    }

    #[test]
    fn trades_written_by_hand_are_as_described() {
        let all = batch(&[
            r#"{"symbol":"SPY","feed":"lean.sip","venue":"P","id":"7","ts":1381219200464000001,"recv_ts":-1,"price":"167.41","size":"100","side":"sell","conditions":["@","I"],"tape":"B","seq":-7,"revision":3,"canceled":true}"#.to_owned(),
            r#"{"symbol":"A","feed":"","venue":"","id":"","ts":-1,"recv_ts":1,"price":"-0.000000000000000001","size":"0","conditions":[]}"#.to_owned(),
        ]);
        for row in all.rows() {
            let record = all.record(row);
            let Record::Trade(trade) = &record else { panic!() };
            for inlined_conditions in [false, true] {
                assert_eq!(
                    cells(|c| c.trade(trade, inlined_conditions)),
                    cells(|c| c.described(&record, inlined_conditions))
                );
            }
        }
    }

    #[test]
    fn a_reading_becomes_its_cells() {
        let text = r#"{"series":"s","feed":"f","seq":7,"ts":86400000000001,"recv_ts":1,"type":"float","value":"0.5","tags":{"a":"x","b":""}}"#;
        let mut readings = Batch::default();
        readings.push(Kind::READING, text.as_bytes(), 5, Partition { topic: 0, number: 0 }, 0).unwrap();
        let row = cells(|c| c.record(&readings.record(&readings.rows()[0]), false, 5));
        let at = |name: &str| {
            row[insert_names(Kind::READING).iter().position(|c| *c == name).unwrap()].clone().unwrap()
        };
        assert_eq!(at("day"), 86_400_000_i64.to_be_bytes());
        assert_eq!(at("ts"), 1_i64.to_be_bytes());
        assert_eq!((at("value"), at("type"), at("unit")), (b"0.5".to_vec(), b"float".to_vec(), vec![]));
        let tags =
            [&[0, 0, 0, 2, 0, 0, 0, 1][..], b"a", &[0, 0, 0, 1], b"x", &[0, 0, 0, 1], b"b", &[0, 0, 0, 0]]
                .concat();
        assert_eq!(at("tags"), tags);
        assert_eq!(row.len(), insert_names(Kind::READING).len() + 1);
    }
}
