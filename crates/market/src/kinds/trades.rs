//! Trades.

use crate::kind::{BarShape, Bucket, Subject};
use crate::record::{Record, Side, Trade};
use crate::table::{Cell, Column, ColumnType, Presence, Role, Table, column};
use crate::{Price, Size};

pub(super) const TABLE: Table = Table {
    singular: "trade",
    plural: "trades",
    bucket: Bucket::Hour,
    subject: Subject::Instrument,
    bars: Some(BarShape::Trades),
    columns: &[
        column!(Trade, "symbol", Text, Partition, Always, |trade| Cell::Text(trade.symbol)),
        column!(Trade, "ts", Time, Clustering, Always, |trade| Cell::Time(trade.ts)),
        column!(Trade, "feed", Text, Clustering, Always, |trade| Cell::Text(trade.feed)),
        column!(Trade, "venue", Text, Clustering, Always, |trade| Cell::Text(trade.venue)),
        column!(Trade, "id", Text, Clustering, Always, |trade| Cell::Text(trade.id)),
        column!(Trade, "price", Decimal, Value, Always, |trade| Cell::Decimal(trade.price.raw())),
        column!(Trade, "size", Decimal, Value, Always, |trade| Cell::Decimal(trade.size.raw())),
        column!(Trade, "side", Text, Value, OrDefault, |trade| Cell::Text(trade.side.name())),
        column!(Trade, "conditions", Codes, Value, Always, |trade| Cell::Text(trade.conditions)),
        column!(Trade, "tape", Text, Value, OrDefault, |trade| Cell::Text(trade.tape)),
        column!(Trade, "seq", Integer, Value, OrDefault, |trade| Cell::Integer(trade.seq)),
        column!(Trade, "recv_ts", Time, Value, Always, |trade| Cell::Time(trade.recv_ts)),
        column!(Trade, "revision", Small, Value, Always, |trade| Cell::Integer(trade.revision.into())),
        column!(Trade, "canceled", Boolean, Value, Always, |trade| Cell::Boolean(trade.canceled)),
    ],
    shown: &[
        "ts",
        "symbol",
        "feed",
        "venue",
        "price",
        "size",
        "side",
        "conditions",
        "tape",
        "id",
        "seq",
        "recv_ts",
        "revision",
        "canceled",
    ],
    read: Some(|mut cells| {
        Ok(Record::Trade(Trade {
            symbol: cells.text()?,
            ts: cells.time()?,
            feed: cells.text()?,
            venue: cells.text()?,
            id: cells.text()?,
            price: Price::from_raw(cells.decimal()?),
            size: Size::from_raw(cells.decimal()?),
            side: {
                let name = cells.text()?;
                Side::from_name(name).ok_or_else(|| cells.error(format!("unknown side `{name}`")))?
            },
            conditions: cells.codes()?,
            tape: cells.text()?,
            seq: cells.integer()?,
            recv_ts: cells.time()?,
            revision: {
                let revision = cells.integer()?;
                u32::try_from(revision).map_err(|_| cells.error(format!("{revision} is not a revision")))?
            },
            canceled: cells.boolean()?,
        }))
    }),
};
