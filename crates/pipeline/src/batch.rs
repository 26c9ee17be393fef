//! Records on their way from a topic to a store: one arena of text, one row each, nothing allocated per record.
//!
//! A batch is filled by one fetch cycle of `consume`, travels to the store under a ticket, and comes back to be
//! filled again. Rows keep their message's raw bytes and origin, so that a record the store refuses can become a
//! dead letter with both.

use market::codec::json;
use market::{Kind, Record};

/// A piece of a batch's arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

/// Where a record came from: topic (by its place in the consumer's list), partition and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// Index into the consumer's list of topics.
    pub topic: u16,
    /// Number within the topic.
    pub number: i32,
}

/// One record of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The record, its text in the arena.
    pub record: Record<Span>,
    /// The message's timestamp, milliseconds since 1970: the store's write timestamp.
    pub stamp_ms: i64,
    /// Whence it came.
    pub partition: Partition,
    /// Its offset there.
    pub offset: i64,
    raw: Span,
}

/// Records and the arena that holds their text.
#[derive(Debug, Default)]
pub struct Batch {
    arena: String,
    rows: Vec<Row>,
}

impl Batch {
    /// Takes a message in. What is not in canonical form is brought into it first.
    ///
    /// # Errors
    /// Why it is no record: for its dead letter.
    pub fn push(
        &mut self,
        kind: Kind,
        payload: &[u8],
        stamp_ms: i64,
        partition: Partition,
        offset: i64,
    ) -> Result<(), String> {
        let start = self.arena.len();
        let text = std::str::from_utf8(payload).map_err(|error| format!("not UTF-8: {error}"))?;
        self.arena.push_str(text);
        let raw = self.span(&self.arena[start..])?;
        let record = match json::decode(kind, self.arena[start..].as_bytes()) {
            Some(record) => record.map(|text| self.known_span(text)),
            None => match self.push_loose(kind, payload) {
                Ok(record) => record,
                Err(reason) => {
                    self.arena.truncate(start);
                    return Err(reason);
                }
            },
        };
        self.rows.push(Row { record, stamp_ms, partition, offset, raw });
        Ok(())
    }

    #[cold]
    fn push_loose(&mut self, kind: Kind, payload: &[u8]) -> Result<Record<Span>, String> {
        let mut canonical = Vec::new();
        json::normalize(kind, payload, &mut canonical).map_err(|error| error.to_string())?;
        let start = self.arena.len();
        self.arena.push_str(&String::from_utf8_lossy(&canonical));
        self.span(&self.arena[start..])?;
        json::decode(kind, self.arena[start..].as_bytes())
            .map(|record| record.map(|text| self.known_span(text)))
            .ok_or_else(|| "its canonical form does not decode".to_owned())
    }

    fn span(&self, text: &str) -> Result<Span, String> {
        let start = text.as_ptr() as usize - self.arena.as_ptr() as usize;
        match (u32::try_from(start), u32::try_from(start + text.len())) {
            (Ok(start), Ok(end)) => Ok(Span { start, end }),
            _ => Err("batch beyond 4 GiB".to_owned()),
        }
    }

    /// The place of a piece of the arena whose whole is known to fit. A constant empty text has no place of its own.
    #[inline]
    fn known_span(&self, text: &str) -> Span {
        if text.is_empty() {
            return Span { start: 0, end: 0 };
        }
        let start = (text.as_ptr() as usize - self.arena.as_ptr() as usize) as u32;
        Span { start, end: start + text.len() as u32 }
    }

    #[inline]
    fn text(&self, span: Span) -> &str {
        &self.arena[span.start as usize..span.end as usize]
    }

    /// The rows, in the order they came.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A row's record with its text.
    #[must_use]
    #[inline]
    pub fn record(&self, row: &Row) -> Record<&str> {
        row.record.map(|span| self.text(span))
    }

    /// The message as it came.
    #[must_use]
    pub fn raw(&self, row: &Row) -> &str {
        self.text(row.raw)
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Empties it, keeping its memory for the next.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.rows.clear();
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
        batch.push(Kind::Trade, TRADE.as_bytes(), 7, at, 1).unwrap();
        let loose = TRADE.replace("\"1.5\"", "1.50");
        batch.push(Kind::Trade, loose.as_bytes(), 8, at, 2).unwrap();
        let reason = batch.push(Kind::Trade, b"{}", 9, at, 3).unwrap_err();
        assert!(reason.starts_with("not a trade: missing field"), "{reason}");
        assert!(batch.push(Kind::Trade, b"\xff", 9, at, 3).unwrap_err().starts_with("not UTF-8"));
        assert_eq!(batch.len(), 2);
        let records: Vec<_> = batch.rows().iter().map(|row| batch.record(row)).collect();
        assert_eq!(records[0], records[1]);
        assert_eq!(records[0], json::decode(Kind::Trade, TRADE.as_bytes()).unwrap());
        assert_eq!(batch.raw(&batch.rows()[1]), loose);
        batch.clear();
        assert!(batch.is_empty());
    }
}
