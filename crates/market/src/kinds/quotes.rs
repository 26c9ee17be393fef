//! Quotes.

use crate::kind::{BarShape, Bucket, Subject};
use crate::record::{Quote, Record};
use crate::table::{Cell, Column, ColumnType, Presence, Role, Table, column};

/// A column of one side of a quote.
macro_rules! side {
    ($side:ident, $name:literal, $class:ident, |$present:ident| $cell:expr) => {
        column!(Quote, $name, $class, Value, Optional, |quote| match &quote.$side {
            Some($present) => $cell,
            None => Cell::Absent,
        })
    };
}

pub(super) const TABLE: Table = Table {
    singular: "quote",
    plural: "quotes",
    bucket: Bucket::Hour,
    subject: Subject::Instrument,
    bars: Some(BarShape::Quotes),
    columns: &[
        column!(Quote, "symbol", Text, Partition, Always, |quote| Cell::Text(quote.symbol)),
        column!(Quote, "ts", Time, Clustering, Always, |quote| Cell::Time(quote.ts)),
        column!(Quote, "feed", Text, Clustering, Always, |quote| Cell::Text(quote.feed)),
        column!(Quote, "seq", Integer, Clustering, Always, |quote| Cell::Integer(quote.seq)),
        side!(bid, "bid", Decimal, |side| Cell::Decimal(side.price.raw())),
        side!(bid, "bid_size", Decimal, |side| Cell::Decimal(side.size.raw())),
        side!(bid, "bid_venue", Text, |side| Cell::Text(side.venue)),
        side!(ask, "ask", Decimal, |side| Cell::Decimal(side.price.raw())),
        side!(ask, "ask_size", Decimal, |side| Cell::Decimal(side.size.raw())),
        side!(ask, "ask_venue", Text, |side| Cell::Text(side.venue)),
        column!(Quote, "conditions", Codes, Value, Always, |quote| Cell::Text(quote.conditions)),
        column!(Quote, "recv_ts", Time, Value, Always, |quote| Cell::Time(quote.recv_ts)),
    ],
    shown: &[
        "ts",
        "symbol",
        "feed",
        "bid",
        "bid_size",
        "bid_venue",
        "ask",
        "ask_size",
        "ask_venue",
        "conditions",
        "seq",
        "recv_ts",
    ],
    read: Some(|mut cells| {
        Ok(Record::Quote(Quote {
            symbol: cells.text()?,
            ts: cells.time()?,
            feed: cells.text()?,
            seq: cells.integer()?,
            bid: cells.quote_side()?,
            ask: cells.quote_side()?,
            conditions: cells.codes()?,
            recv_ts: cells.time()?,
        }))
    }),
};
