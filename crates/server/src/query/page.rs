//! Pages of rows ordered by time, then identity.
//!
//! A cursor names the last row of a page by both, `TIME~IDENTITY`, so that rows of equal time are neither
//! skipped nor repeated, whatever was written in the meantime.

use crate::http::problem::Problem;
use axum::http::StatusCode;

/// Maximum number of rows with one time.
const SAME_INSTANT: usize = 100_000;

/// A row and its sort key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row<T> {
    /// Time, nanoseconds.
    pub(crate) ts: i64,
    /// Distinguishes rows of one time.
    pub(crate) identity: String,
    /// What is shown of it.
    pub(crate) value: T,
}

/// End of a page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor {
    pub(crate) ts: i64,
    pub(crate) identity: String,
}

impl Cursor {
    pub(crate) fn parse(text: Option<&str>) -> Result<Option<Self>, Problem> {
        let Some(text) = text else { return Ok(None) };
        let cursor = text
            .split_once('~')
            .and_then(|(ts, identity)| Some(Self { ts: ts.parse().ok()?, identity: identity.to_owned() }));
        let fail = || Problem::bad("cursor: expected the `next` of an earlier reply, unchanged");
        cursor.map(Some).ok_or_else(fail)
    }

    fn of<T>(row: &Row<T>) -> String {
        format!("{}~{}", row.ts, row.identity)
    }
}

fn key<T>(row: &Row<T>) -> (i64, &str) {
    (row.ts, &row.identity)
}

/// The first rows of a scan in ascending time order.
pub(crate) struct Ascending<T> {
    limit: usize,
    after: Option<Cursor>,
    rows: Vec<Row<T>>,
}

impl<T> Ascending<T> {
    pub(crate) fn new(limit: usize, after: Option<Cursor>) -> Self {
        Self { limit, after, rows: Vec::new() }
    }

    /// Adds a row; returns false once no later row can be on the page.
    pub(crate) fn push(&mut self, row: Row<T>) -> Result<bool, Problem> {
        if self.after.as_ref().is_some_and(|after| key(&row) <= (after.ts, after.identity.as_str())) {
            return Ok(true);
        }
        // All rows of the last time are needed: the scan may return them in any order.
        if self.rows.get(self.limit).is_some_and(|beyond| row.ts > beyond.ts) {
            return Ok(false);
        }
        if self.rows.len() > self.limit + SAME_INSTANT {
            let detail = format!("more than {SAME_INSTANT} rows at {}", row.ts);
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        }
        self.rows.push(row);
        Ok(true)
    }

    pub(crate) fn finish(mut self) -> (Vec<Row<T>>, Option<String>) {
        self.rows.sort_by(|a, b| key(a).cmp(&key(b)));
        let more = self.rows.len() > self.limit;
        self.rows.truncate(self.limit);
        let next = if more { self.rows.last().map(Cursor::of) } else { None };
        (self.rows, next)
    }
}

/// The last rows of several scans, each over an earlier range; newest first.
pub(crate) struct Descending<T> {
    limit: usize,
    before: Option<Cursor>,
    rows: Vec<Row<T>>,
}

impl<T> Descending<T> {
    pub(crate) fn new(limit: usize, before: Option<Cursor>) -> Self {
        Self { limit, before, rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Row<T>) {
        if self.before.as_ref().is_some_and(|before| key(&row) >= (before.ts, before.identity.as_str())) {
            return;
        }
        self.rows.push(row);
        if self.rows.len() > 2 * self.limit + 1_000 {
            self.trim();
        }
    }

    /// A row with as many newer ones as the page holds is never on it, in any order of arrival.
    fn trim(&mut self) {
        self.rows.sort_by(|a, b| key(b).cmp(&key(a)));
        self.rows.truncate(self.limit + 1);
    }

    /// Whether an earlier range can add nothing to the page.
    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() > self.limit
    }

    /// The page; `more` if earlier ranges were not read.
    pub(crate) fn finish(mut self, more: bool) -> (Vec<Row<T>>, Option<String>) {
        self.trim();
        let more = more || self.rows.len() > self.limit;
        self.rows.truncate(self.limit);
        let next = if more { self.rows.last().map(Cursor::of) } else { None };
        (self.rows, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ts: i64, identity: &str) -> Row<()> {
        Row { ts, identity: identity.to_owned(), value: () }
    }

    /// Rows of a few times, many equal, not in order of identity.
    fn rows() -> Vec<Row<()>> {
        let names = ["c", "a", "e", "b", "d"];
        (0..7).flat_map(|ts| names.iter().map(move |name| row(ts, name))).collect()
    }

    fn sorted() -> Vec<(i64, String)> {
        let mut all: Vec<_> = rows().into_iter().map(|row| (row.ts, row.identity)).collect();
        all.sort();
        all
    }

    #[test]
    fn pages_forward_hold_every_row_once() {
        for limit in [1, 2, 3, 5, 7, 34, 35, 100] {
            let (mut got, mut next) = (Vec::new(), None);
            loop {
                let mut page = Ascending::new(limit, Cursor::parse(next.as_deref()).unwrap());
                for row in rows() {
                    if !page.push(row).unwrap() {
                        break;
                    }
                }
                let (rows, cursor) = page.finish();
                assert!(rows.len() <= limit);
                got.extend(rows.into_iter().map(|row| (row.ts, row.identity)));
                next = cursor;
                if next.is_none() {
                    break;
                }
            }
            assert_eq!(got, sorted(), "limit {limit}");
        }
    }

    #[test]
    fn pages_backward_hold_every_row_once() {
        for limit in [1, 2, 3, 5, 7, 34, 35, 100] {
            let (mut got, mut next) = (Vec::new(), None);
            loop {
                let mut page = Descending::new(limit, Cursor::parse(next.as_deref()).unwrap());
                rows().into_iter().for_each(|row| page.push(row));
                let (rows, cursor) = page.finish(false);
                got.extend(rows.into_iter().map(|row| (row.ts, row.identity)));
                next = cursor;
                if next.is_none() {
                    break;
                }
            }
            got.reverse();
            assert_eq!(got, sorted(), "limit {limit}");
        }
    }

    #[test]
    fn a_cursor_is_checked() {
        for bad in ["", "1", "x~y", "~"] {
            assert!(Cursor::parse(Some(bad)).is_err(), "{bad}");
        }
        assert_eq!(
            Cursor::parse(Some("-5~a~b")).unwrap().unwrap(),
            Cursor { ts: -5, identity: "a~b".to_owned() }
        );
    }
}
