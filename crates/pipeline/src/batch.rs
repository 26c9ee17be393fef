//! Records on their way from a topic to a store: one arena of text, one row each, nothing allocated per record.
//!
//! A batch is filled by one fetch cycle of `consume`, travels to the store under a ticket, and comes back to be
//! filled again. Rows keep their message's raw bytes and origin, so that a record the store refuses can become a
//! dead letter with both.

use market::codec::json;
use market::{Kind, Record, UnixNanos};

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

/// One record of a batch: what grouping and accounting need at hand; the rest is read from the text again.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Trade or quote.
    pub kind: Kind,
    /// Event time.
    pub ts: UnixNanos,
    /// Receive time.
    pub recv_ts: UnixNanos,
    /// The message's timestamp, milliseconds since 1970: the store's write timestamp.
    pub stamp_ms: i64,
    /// Whence it came.
    pub partition: Partition,
    /// Its offset there.
    pub offset: i64,
    symbol: Span,
    canonical: Span,
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
        let raw = self.span_from(start)?;
        let mut canonical = raw;
        let mut head = self.head(kind, raw);
        if head.is_none() {
            canonical = self.push_loose(kind, payload).inspect_err(|_| self.arena.truncate(start))?;
            head = self.head(kind, canonical);
        }
        let Some((ts, recv_ts, symbol)) = head else {
            self.arena.truncate(start);
            return Err("its canonical form does not decode".to_owned());
        };
        self.rows.push(Row { kind, ts, recv_ts, stamp_ms, partition, offset, symbol, canonical, raw });
        Ok(())
    }

    /// Event time, receive time and symbol of a canonical text.
    #[inline]
    fn head(&self, kind: Kind, text: Span) -> Option<(UnixNanos, UnixNanos, Span)> {
        let record = json::decode(kind, self.text(text).as_bytes())?;
        let symbol: &str = record.symbol();
        // It lies within the text, whose ends are known to fit.
        let start = (symbol.as_ptr() as usize - self.arena.as_ptr() as usize) as u32;
        Some((record.ts(), record.recv_ts(), Span { start, end: start + symbol.len() as u32 }))
    }

    #[cold]
    fn push_loose(&mut self, kind: Kind, payload: &[u8]) -> Result<Span, String> {
        let mut canonical = Vec::new();
        json::normalize(kind, payload, &mut canonical).map_err(|error| error.to_string())?;
        let start = self.arena.len();
        self.arena.push_str(&String::from_utf8_lossy(&canonical));
        self.span_from(start)
    }

    fn span_from(&self, start: usize) -> Result<Span, String> {
        match (u32::try_from(start), u32::try_from(self.arena.len())) {
            (Ok(start), Ok(end)) => Ok(Span { start, end }),
            _ => Err("batch beyond 4 GiB".to_owned()),
        }
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

    /// A row's record.
    #[must_use]
    #[inline]
    #[allow(clippy::expect_used, reason = "`push` took the row in only because this text decodes")]
    pub fn record(&self, row: &Row) -> Record<&str> {
        json::decode(row.kind, self.text(row.canonical).as_bytes()).expect("rows hold canonical text")
    }

    /// A row's symbol.
    #[must_use]
    #[inline]
    pub fn symbol(&self, row: &Row) -> &str {
        self.text(row.symbol)
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
