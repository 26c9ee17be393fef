//! Levels of order books: a kind without a codec of its own, with which tests show that a kind is one file.
//!
//! Its columns are of every type, and may be absent in every way, that a table permits.

use crate::kind::{Bucket, Subject};
use crate::record::Record;
use crate::table::{Cell, Column, ColumnType, Presence, Role, Table, column};

pub(super) const TABLE: Table = Table {
    singular: "level",
    plural: "levels",
    bucket: Bucket::Hour,
    subject: Subject::Instrument,
    bars: None,
    columns: &[
        column!("symbol", Text, Partition, Always),
        column!("ts", Time, Clustering, Always),
        column!("feed", Text, Clustering, Always),
        column!("side", Text, Clustering, Always),
        column!("depth", Integer, Clustering, Always),
        column!("price", Decimal, Value, Always),
        column!("size", Decimal, Value, Optional),
        column!("orders", Small, Value, OrDefault),
        column!("seq", Integer, Value, Optional),
        column!("venue", Text, Value, Optional),
        column!("conditions", Codes, Value, Always),
        column!("tags", Tags, Value, OrDefault),
        column!("implied", Boolean, Value, Always),
        column!("placed", Time, Value, Always),
        column!("recv_ts", Time, Value, Always),
    ],
    shown: &[
        "ts",
        "symbol",
        "feed",
        "side",
        "depth",
        "price",
        "size",
        "orders",
        "venue",
        "conditions",
        "tags",
        "implied",
        "placed",
        "seq",
        "recv_ts",
    ],
    read: None,
};
