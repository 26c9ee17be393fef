//! A range of offsets being filled with messages, and the objects that it becomes.

use super::layout::{ArchiveObject, Manifest, RangeName, date, day, sha256};
use columnar::columns;
use columnar::read::ArchivedAt;
use columnar::write::{Codec, ParquetWriter};
use market::codec::json;
use market::digest::Digest;
use market::{Kind, Record};
use ports::batch::{Batch, Partition, PushError, Row};
use ports::topic::Fetched;
use ports::{Error, Result};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::time::Instant;

/// Memory of a row apart from its text, in bytes.
const ROW: usize = std::mem::size_of::<Row>();

/// Messages of one partition that are not archived yet.
#[derive(Debug)]
pub(super) struct OpenRange {
    /// First offset of the range: that after the previous range.
    pub(super) first: i64,
    /// Offset of the last message; before the first message that before [`Self::first`].
    pub(super) last: i64,
    /// Last offset, if the range is claimed.
    pub(super) claimed: Option<i64>,
    /// Why its messages cannot be read, if they are lost. Such a range has none.
    pub(super) lost: Option<String>,
    batch: Batch,
    /// Offsets of messages that are not records.
    unreadable: Vec<i64>,
    opened: Instant,
}

/// An object and its bytes.
pub(super) struct NewObject {
    pub(super) about: ArchiveObject,
    pub(super) bytes: Vec<u8>,
}

impl OpenRange {
    pub(super) fn new(first: i64, claimed: Option<i64>) -> Self {
        Self {
            first,
            last: first - 1,
            claimed,
            lost: None,
            batch: Batch::default(),
            unreadable: Vec::new(),
            opened: Instant::now(),
        }
    }

    /// A range whose messages can no longer be read.
    pub(super) fn lost(first: i64, last: i64, why: String) -> Self {
        Self { last, lost: Some(why), ..Self::new(first, None) }
    }

    /// Adds a message, whose offset is beyond those before.
    pub(super) fn push(&mut self, message: &dyn Fetched) {
        if self.is_empty() {
            self.opened = Instant::now();
        }
        self.last = message.offset();
        let (partition, offset) = (message.partition(), message.offset());
        let taken = crate::consume::kind(message)
            .map_err(PushError::from)
            .and_then(|kind| self.batch.push(kind, message.payload(), message.stamp_ms(), partition, offset));
        if taken.is_err() {
            // `consume` reports the reason and keeps the message.
            self.unreadable.push(offset);
        }
    }

    /// Adds a record that is archived already, of a range that becomes part of this one.
    ///
    /// # Errors
    /// A fault of ours: what was archived is a record.
    pub(super) fn push_archived(
        &mut self,
        record: &Record<&str>,
        at: ArchivedAt,
        text: &mut Vec<u8>,
    ) -> Result<()> {
        text.clear();
        json::encode(record, text);
        let partition = Partition { topic: 0, number: at.partition };
        self.batch.push(record.kind(), text, at.stamp_ms, partition, at.offset).map_err(|why| {
            Error::internal(format!("offset {} of partition {}: {why}", at.offset, at.partition))
        })
    }

    pub(super) fn messages(&self) -> usize {
        self.batch.len() + self.unreadable.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages() == 0 && self.lost.is_none()
    }

    /// Memory held, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.batch.bytes_held() + self.batch.len() * ROW
    }

    /// How long ago its first message was read.
    pub(super) fn age(&self) -> std::time::Duration {
        if self.is_empty() { std::time::Duration::ZERO } else { self.opened.elapsed() }
    }

    /// Whether all of a claimed range, or a lost one, has been read.
    pub(super) fn is_complete(&self) -> bool {
        self.lost.is_some() || self.claimed.is_some_and(|end| self.last >= end)
    }

    /// Cuts the messages after `end` off, into a range of their own.
    pub(super) fn split(&mut self, end: i64) -> OpenRange {
        let mut rest = Self::new(end + 1, None);
        let whole = std::mem::take(&mut self.batch);
        for row in whole.rows() {
            let to = if row.offset <= end { &mut self.batch } else { &mut rest.batch };
            // Accepted once, and accepted again.
            let _ = to.push(row.kind(), whole.raw(row).as_bytes(), row.stamp_ms, row.partition, row.offset);
        }
        rest.unreadable = self.unreadable.iter().copied().filter(|offset| *offset > end).collect();
        self.unreadable.retain(|offset| *offset <= end);
        rest.last = self.last.max(end);
        self.last = end;
        rest.opened = self.opened;
        rest
    }

    /// The objects of the range, one for each kind and date, each sorted by symbol, time and offset. The same messages
    /// give the same bytes.
    pub(super) fn objects(&self, range: &RangeName) -> Result<Vec<NewObject>> {
        let mut groups: BTreeMap<(Kind, i64), Vec<&Row>> = BTreeMap::new();
        for row in self.batch.rows() {
            groups.entry((row.kind(), day(row.ts()))).or_default().push(row);
        }
        groups.into_iter().map(|((kind, day), rows)| self.object(range, kind, day, rows)).collect()
    }

    /// These rows by symbol, time and offset. Those of one symbol are nearly in order as they come, and the symbols are few.
    fn sorted<'r>(&'r self, rows: Vec<&'r Row>) -> Vec<&'r Row> {
        let mut of_symbols: FxHashMap<&str, Vec<&Row>> = FxHashMap::default();
        for row in rows {
            of_symbols.entry(self.batch.symbol(row)).or_default().push(row);
        }
        let mut of_symbols: Vec<_> = of_symbols.into_iter().collect();
        of_symbols.sort_unstable_by_key(|(symbol, _)| *symbol);
        for (_, rows) in &mut of_symbols {
            rows.sort_by_key(|row| (row.ts(), row.offset));
        }
        of_symbols.into_iter().flat_map(|(_, rows)| rows).collect()
    }

    fn object(&self, range: &RangeName, kind: Kind, day: i64, rows: Vec<&Row>) -> Result<NewObject> {
        let rows = self.sorted(rows);
        let about = [
            ("tapeline.topic", range.topic.clone()),
            ("tapeline.partition", range.partition.to_string()),
            ("tapeline.offsets", format!("{}-{}", range.first, range.last)),
        ];
        let mut file = ParquetWriter::new(columns::of_archive(kind), Codec::Zstd, &about, Vec::new())?;
        let (mut digest, mut values, mut scratch) = (Digest::default(), Vec::new(), Vec::new());
        let (mut offsets, mut times) = ([i64::MAX, i64::MIN], [i64::MAX, i64::MIN]);
        for row in &rows {
            let record = self.batch.record(row);
            columns::archived(
                &record,
                [i64::from(row.partition.number), row.offset, row.stamp_ms],
                &mut values,
            );
            file.row(&values)?;
            digest.add(&record, &mut scratch);
            offsets = [offsets[0].min(row.offset), offsets[1].max(row.offset)];
            times = [times[0].min(row.ts().0), times[1].max(row.ts().0)];
        }
        let bytes = file.finish()?;
        let about = ArchiveObject {
            name: range.object(kind, day),
            kind: kind.plural().to_owned(),
            date: date(day),
            rows: rows.len() as u64,
            offsets,
            ts_ns: times,
            fingerprint: digest.to_string(),
            bytes: bytes.len() as u64,
            sha256: sha256(&bytes),
        };
        Ok(NewObject { about, bytes })
    }

    /// The manifest of the range with these objects.
    pub(super) fn manifest(&self, range: &RangeName, objects: Vec<ArchiveObject>) -> Manifest {
        Manifest {
            version: 1,
            topic: range.topic.clone(),
            partition: range.partition,
            first: range.first,
            last: range.last,
            messages: self.messages() as u64,
            unreadable: self.unreadable.len() as u64,
            lost: self.lost.clone(),
            objects,
            merged: 0,
        }
    }
}
