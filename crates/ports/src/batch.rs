//! Records in transit from a topic to a store: one text arena and one row per record, decoded once, without
//! an allocation per record.
//!
//! A batch is filled by one fetch cycle of `consume`, submitted to the store under an id, and returned for
//! reuse. Rows keep their message's raw bytes and origin, so that a record that the store rejects can become
//! a dead letter with both.

use market::codec::json::{self, DecodeError};
use market::table::Role;
use market::{Kind, Record, UnixNanos};
use std::cmp::Ordering;
use std::fmt;
use std::str::Utf8Error;

/// A slice of a batch's arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextSpan {
    start: u32,
    end: u32,
}

/// Origin of a record: topic (by its index in the consumer's list), partition and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// Index into the consumer's list of topics.
    pub topic: u16,
    /// Partition number within the topic.
    pub number: i32,
}

/// A decoded record of a batch: its numbers by value, its texts as slices of the arena.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The record.
    pub record: Record<TextSpan>,
    /// The message's timestamp in milliseconds since 1970, from which the store's write timestamp is derived.
    pub stamp_ms: i64,
    /// Topic and partition of the message.
    pub partition: Partition,
    /// Offset of the message.
    pub offset: i64,
    raw: TextSpan,
}

impl TextSpan {
    /// Whether the slice is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl Row {
    /// Its kind.
    #[must_use]
    #[inline]
    pub const fn kind(&self) -> Kind {
        self.record.kind()
    }

    /// Event time.
    #[must_use]
    #[inline]
    pub const fn ts(&self) -> UnixNanos {
        self.record.ts()
    }

    /// Receive time.
    #[must_use]
    #[inline]
    pub const fn recv_ts(&self) -> UnixNanos {
        self.record.recv_ts()
    }
}

/// Why a message was not added to a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushError {
    /// Its bytes are not text.
    NotUtf8(Utf8Error),
    /// It is not a record of its kind.
    Invalid(DecodeError),
    /// A name is longer than any store can index.
    TooLong(String),
    /// The batch cannot address more text: not the message's fault.
    Full,
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8(error) => write!(f, "not UTF-8: {error}"),
            Self::Invalid(error) => error.fmt(f),
            Self::TooLong(reason) => f.write_str(reason),
            Self::Full => f.write_str("batch beyond 4 GiB"),
        }
    }
}

impl std::error::Error for PushError {}

impl From<DecodeError> for PushError {
    fn from(error: DecodeError) -> Self {
        Self::Invalid(error)
    }
}

/// Records, and the arena that holds their text.
#[derive(Debug, Default)]
pub struct Batch {
    arena: String,
    rows: Vec<Row>,
}

impl Batch {
    /// Decodes a message and adds it. A message not in canonical form is normalised first.
    ///
    /// # Errors
    /// Why it was not added.
    pub fn push(
        &mut self,
        kind: Kind,
        payload: &[u8],
        stamp_ms: i64,
        partition: Partition,
        offset: i64,
    ) -> Result<(), PushError> {
        let start = self.arena.len();
        let text = std::str::from_utf8(payload).map_err(PushError::NotUtf8)?;
        self.arena.push_str(text);
        let raw = self.span_from(start)?;
        let mut record = self.read(kind, raw);
        if record.is_none() {
            let canonical = self.push_loose(kind, payload).inspect_err(|_| self.arena.truncate(start))?;
            record = self.read(kind, canonical);
        }
        let Some(record) = record else {
            self.arena.truncate(start);
            return Err(PushError::Invalid(DecodeError("its canonical form does not decode".to_owned())));
        };
        // A short message cannot contain a long text.
        if payload.len() > MAX_NAME
            && let Err(reason) = check_lengths(&record.map(|span| self.text(span)))
        {
            self.arena.truncate(start);
            return Err(PushError::TooLong(reason));
        }
        self.rows.push(Row { record, stamp_ms, partition, offset, raw });
        Ok(())
    }

    /// The record that a canonical text in the arena encodes.
    #[inline]
    fn read(&self, kind: Kind, text: TextSpan) -> Option<Record<TextSpan>> {
        let record = json::decode_text(kind, self.text(text))?;
        let arena = self.arena.as_ptr() as usize;
        // Every non-empty text lies within this one, whose bounds are known to fit.
        Some(record.map(|text| match text.len() {
            0 => TextSpan::default(),
            length => {
                let start = (text.as_ptr() as usize - arena) as u32;
                TextSpan { start, end: start + length as u32 }
            }
        }))
    }

    #[cold]
    fn push_loose(&mut self, kind: Kind, payload: &[u8]) -> Result<TextSpan, PushError> {
        let mut canonical = Vec::new();
        json::normalize(kind, payload, &mut canonical).map_err(PushError::Invalid)?;
        let start = self.arena.len();
        self.arena.push_str(&String::from_utf8_lossy(&canonical));
        self.span_from(start)
    }

    fn span_from(&self, start: usize) -> Result<TextSpan, PushError> {
        match (u32::try_from(start), u32::try_from(self.arena.len())) {
            (Ok(start), Ok(end)) => Ok(TextSpan { start, end }),
            _ => Err(PushError::Full),
        }
    }

    #[inline]
    fn text(&self, span: TextSpan) -> &str {
        &self.arena[span.start as usize..span.end as usize]
    }

    /// The rows, in arrival order.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A row's record.
    #[must_use]
    #[inline]
    pub fn record(&self, row: &Row) -> Record<&str> {
        row.record.map(|span| self.text(span))
    }

    /// A row's symbol.
    #[must_use]
    #[inline]
    pub fn symbol(&self, row: &Row) -> &str {
        self.text(*row.record.symbol())
    }

    /// A row's feed.
    #[must_use]
    #[inline]
    pub fn feed(&self, row: &Row) -> &str {
        self.text(*row.record.feed())
    }

    /// A row's conditions, a canonical JSON array; empty for a kind that has none, or no type of its own.
    #[must_use]
    #[inline]
    pub fn conditions(&self, row: &Row) -> &str {
        self.text(match &row.record {
            Record::Trade(trade) => trade.conditions,
            Record::Quote(quote) => quote.conditions,
            Record::Reading(_) | Record::Described(_) => TextSpan::default(),
        })
    }

    /// Compares two rows of one symbol and time by the fields that distinguish their records.
    #[must_use]
    #[inline]
    pub fn by_identity(&self, a: &Row, b: &Row) -> Ordering {
        let texts = |a: TextSpan, b: TextSpan| compare(self.bytes(a), self.bytes(b));
        match (&a.record, &b.record) {
            (Record::Trade(a), Record::Trade(b)) => {
                texts(a.feed, b.feed).then_with(|| texts(a.venue, b.venue)).then_with(|| texts(a.id, b.id))
            }
            (Record::Quote(a), Record::Quote(b)) => texts(a.feed, b.feed).then(a.seq.cmp(&b.seq)),
            (Record::Reading(a), Record::Reading(b)) => texts(a.feed, b.feed).then(a.seq.cmp(&b.seq)),
            (Record::Described(one), Record::Described(other)) if one.kind == other.kind => {
                self.by_described_key(a, b)
            }
            (a, b) => a.kind().cmp(&b.kind()),
        }
    }

    fn by_described_key(&self, a: &Row, b: &Row) -> Ordering {
        let (one, other) = (self.record(a), self.record(b));
        let key = a.kind().table().of_role(Role::Clustering);
        key.map(|column| (column.get)(&one).cmp(&(column.get)(&other)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    #[inline]
    fn bytes(&self, span: TextSpan) -> &[u8] {
        &self.arena.as_bytes()[span.start as usize..span.end as usize]
    }

    /// The raw message.
    #[must_use]
    pub fn raw(&self, row: &Row) -> &str {
        self.text(row.raw)
    }

    /// Bytes of text in the arena.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.arena.len()
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the batch is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Clears the batch but keeps its memory for reuse.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.rows.clear();
    }
}

/// Maximum length of a symbol or feed, in bytes: they are part of topic keys, partition keys and bars. The
/// store checks the other texts.
pub const MAX_NAME: usize = 1_024;

/// Checks what no store can accept, whatever the record's numbers.
///
/// # Errors
/// Symbol or feed is too long.
pub fn check_lengths<S: AsRef<str>>(record: &Record<S>) -> Result<(), String> {
    for (name, text) in [("symbol", record.symbol()), ("feed", record.feed())] {
        let length = text.as_ref().len();
        if length > MAX_NAME {
            return Err(format!("{name} of {length} bytes, expected at most {MAX_NAME}"));
        }
    }
    Ok(())
}

/// Compares like slices, but without a call for short ones, as feeds, venues and ids are.
#[inline]
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (Some((x, a)), Some((y, b))) = (a.split_first_chunk::<8>(), b.split_first_chunk::<8>()) else {
        return a.iter().cmp(b);
    };
    match u64::from_be_bytes(*x).cmp(&u64::from_be_bytes(*y)) {
        Ordering::Equal if a.len() > 8 || b.len() > 8 => a.cmp(b),
        Ordering::Equal => a.iter().cmp(b),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRADE: &str = r#"{"symbol":"SPY","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":1,"price":"1.5","size":"1","conditions":["@","I"]}"#;

    #[test]
    fn rows_keep_their_text_and_their_raw_bytes() {
        let at = Partition { topic: 0, number: 3 };
        let mut batch = Batch::default();
        batch.push(Kind::TRADE, TRADE.as_bytes(), 7, at, 1).unwrap();
        let loose = TRADE.replace("\"1.5\"", "1.50");
        batch.push(Kind::TRADE, loose.as_bytes(), 8, at, 2).unwrap();
        let reason = batch.push(Kind::TRADE, b"{}", 9, at, 3).unwrap_err().to_string();
        assert!(reason.starts_with("not a trade: missing field"), "{reason}");
        let error = batch.push(Kind::TRADE, b"\xff", 9, at, 3).unwrap_err();
        assert!(
            matches!(error, PushError::NotUtf8(_)) && error.to_string().starts_with("not UTF-8: "),
            "{error}"
        );
        assert_eq!(batch.len(), 2);
        let records: Vec<_> = batch.rows().iter().map(|row| batch.record(row)).collect();
        assert_eq!(records[0], records[1]);
        assert_eq!(records[0], json::decode(Kind::TRADE, TRADE.as_bytes()).unwrap());
        assert_eq!(batch.raw(&batch.rows()[1]), loose);
        batch.clear();
        assert!(batch.is_empty());
    }

    #[test]
    fn texts_that_no_store_can_index_are_refused() {
        let at = Partition { topic: 0, number: 3 };
        let mut batch = Batch::default();
        for (from, to, part) in [
            (
                "\"SPY\"",
                format!("\"{}\"", "S".repeat(70_000)),
                "symbol of 70000 bytes, expected at most 1024",
            ),
            ("\"f\"", format!("\"{}\"", "f".repeat(1_025)), "feed of 1025 bytes"),
        ] {
            let text = TRADE.replace(from, &to);
            let error = batch.push(Kind::TRADE, text.as_bytes(), 7, at, 1).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(batch.is_empty() && batch.bytes_held() == 0);
    }

    #[test]
    fn short_texts_compare_as_slices_do() {
        let tails: Vec<String> = (0..64).map(|n: u32| format!("{n:b}").replace('0', "a")).collect();
        for length in 0..20 {
            let same = "x".repeat(length);
            for (a, b) in tails.iter().flat_map(|a| tails.iter().map(move |b| (a, b))) {
                let (a, b) = (format!("{same}{a}"), format!("{same}{b}"));
                assert_eq!(compare(a.as_bytes(), b.as_bytes()), a.cmp(&b), "{a} {b}");
            }
        }
    }
}
