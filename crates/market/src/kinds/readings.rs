//! Readings.

use crate::kind::{BarShape, Bucket, Subject};
use crate::reading::{Reading, ReadingValue, ValueType};
use crate::record::Record;
use crate::table::{Cell, Column, ColumnType, Presence, Role, Table, column};

pub(super) const TABLE: Table = Table {
    singular: "reading",
    plural: "readings",
    bucket: Bucket::Day,
    subject: Subject::Series,
    bars: Some(BarShape::Readings),
    columns: &[
        column!(Reading, "series", Text, Partition, Always, |reading| Cell::Text(reading.series)),
        column!(Reading, "ts", Time, Clustering, Always, |reading| Cell::Time(reading.ts)),
        column!(Reading, "feed", Text, Clustering, Always, |reading| Cell::Text(reading.feed)),
        column!(Reading, "seq", Integer, Clustering, Always, |reading| Cell::Integer(reading.seq)),
        column!(Reading, "value", Text, Value, Always, |reading| Cell::Text(reading.value.text)),
        column!(Reading, "type", Text, Value, Always, |reading| Cell::Text(reading.value.class.name())),
        column!(Reading, "unit", Text, Value, OrDefault, |reading| Cell::Text(reading.unit)),
        column!(Reading, "quality", Text, Value, OrDefault, |reading| Cell::Text(reading.quality)),
        column!(Reading, "tags", Tags, Value, OrDefault, |reading| Cell::Text(reading.tags)),
        column!(Reading, "recv_ts", Time, Value, Always, |reading| Cell::Time(reading.recv_ts)),
    ],
    shown: &["ts", "series", "feed", "value", "type", "unit", "quality", "tags", "seq", "recv_ts"],
    read: Some(|mut cells| {
        Ok(Record::Reading(Reading {
            series: cells.text()?,
            ts: cells.time()?,
            feed: cells.text()?,
            seq: cells.integer()?,
            value: {
                let text = cells.text()?;
                let name = cells.text()?;
                let class = ValueType::from_name(name)
                    .ok_or_else(|| cells.error(format!("unknown value type `{name}`")))?;
                ReadingValue { class, text }
            },
            unit: cells.text()?,
            quality: cells.text()?,
            tags: cells.text()?,
            recv_ts: cells.time()?,
        }))
    }),
};
