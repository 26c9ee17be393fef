//! The last reading of each series, from the readings topic.

use market::UnixNanos;
use market::reading::Reading;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Columns of a row, in the order of CSV.
pub(crate) const COLUMNS: [&str; 9] =
    ["series", "feed", "ts", "recv_ts", "value", "type", "unit", "quality", "zone"];

/// The newest reading of a series on a feed, by event time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LastReading {
    ts: i64,
    recv_ts: i64,
    value: String,
    class: &'static str,
    unit: String,
    quality: String,
}

/// Where a page of rows starts: behind this series and feed.
pub(crate) type After = (String, String);

/// Series by name, then feed.
#[derive(Debug, Default)]
pub(crate) struct SeriesTable {
    series: BTreeMap<String, BTreeMap<String, LastReading>>,
}

impl SeriesTable {
    /// Adds a reading. Of two with one time the later delivered one is shown: it may be a correction.
    pub(crate) fn add(&mut self, reading: &Reading<&str>) {
        if !self.series.contains_key(reading.series) {
            self.series.insert(reading.series.to_owned(), BTreeMap::new());
        }
        let Some(feeds) = self.series.get_mut(reading.series) else { return };
        if let Some(last) = feeds.get_mut(reading.feed) {
            if reading.ts.0 >= last.ts {
                last.replace(reading);
            }
            return;
        }
        let mut last = LastReading {
            ts: 0,
            recv_ts: 0,
            value: String::new(),
            class: "",
            unit: String::new(),
            quality: String::new(),
        };
        last.replace(reading);
        feeds.insert(reading.feed.to_owned(), last);
    }

    /// Event time of the newest reading of a series, whatever its feed.
    pub(crate) fn newest(&self, series: &str) -> Option<i64> {
        self.series.get(series)?.values().map(|last| last.ts).max()
    }

    /// At most `limit` rows behind `after` whose series contains `search` (upper case), and where the next page starts.
    pub(crate) fn rows(
        &self,
        search: &str,
        zone: &str,
        after: Option<&After>,
        limit: usize,
    ) -> (Vec<Map<String, Value>>, Option<After>) {
        let start = after.map_or(Bound::Unbounded, |(series, _)| Bound::Included(series.as_str()));
        let mut rows = Vec::new();
        let mut last: Option<After> = None;
        for (series, feeds) in self.series.range::<str, _>((start, Bound::Unbounded)) {
            if !series.to_uppercase().contains(search) {
                continue;
            }
            for (feed, reading) in feeds {
                if after.is_some_and(|(first, behind)| first == series && feed <= behind) {
                    continue;
                }
                if rows.len() == limit {
                    return (rows, last);
                }
                rows.push(reading.row(series, feed, zone));
                last = Some((series.clone(), feed.clone()));
            }
        }
        (rows, None)
    }
}

impl LastReading {
    fn replace(&mut self, reading: &Reading<&str>) {
        (self.ts, self.recv_ts) = (reading.ts.0, reading.recv_ts.0);
        reading.value.text.clone_into(&mut self.value);
        self.class = reading.value.class.name();
        reading.unit.clone_into(&mut self.unit);
        reading.quality.clone_into(&mut self.quality);
    }

    fn row(&self, series: &str, feed: &str, zone: &str) -> Map<String, Value> {
        let mut row = Map::new();
        let mut put = |key: &str, value: &str| row.insert(key.to_owned(), value.into());
        put("series", series);
        put("feed", feed);
        put("ts", &UnixNanos(self.ts).to_string());
        put("recv_ts", &UnixNanos(self.recv_ts).to_string());
        put("value", &self.value);
        put("type", self.class);
        put("unit", &self.unit);
        put("quality", &self.quality);
        put("zone", zone);
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::reading::{ReadingValue, ValueType};

    fn add(table: &mut SeriesTable, series: &str, feed: &str, ts: i64, text: &str) {
        let value = ReadingValue { class: ValueType::Decimal, text };
        let (ts, recv_ts) = (UnixNanos(ts), UnixNanos(ts + 1));
        table.add(&Reading { series, feed, seq: 1, ts, recv_ts, value, unit: "C", quality: "", tags: "" });
    }

    fn names(rows: &[Map<String, Value>]) -> Vec<String> {
        let text = |row: &Map<String, Value>, name: &str| row[name].as_str().unwrap().to_owned();
        rows.iter().map(|row| format!("{} {}", text(row, "series"), text(row, "feed"))).collect()
    }

    #[test]
    fn the_newest_by_event_time_is_kept_for_each_feed() {
        let mut table = SeriesTable::default();
        add(&mut table, "a", "f", 20, "1.5");
        add(&mut table, "a", "f", 10, "9");
        add(&mut table, "a", "g", 30, "7");
        let (rows, _) = table.rows("", "UTC", None, 9);
        assert_eq!(names(&rows), ["a f", "a g"]);
        assert_eq!((&rows[0]["value"], &rows[0]["type"]), (&"1.5".into(), &"decimal".into()));
        add(&mut table, "a", "f", 20, "2");
        assert_eq!(table.rows("", "UTC", None, 1).0[0]["value"], "2");
        assert_eq!((table.newest("a"), table.newest("b")), (Some(30), None));
    }

    #[test]
    fn pages_hold_every_row_once_and_a_search_ignores_case() {
        let mut table = SeriesTable::default();
        for series in ["b.t", "a.t", "c.Rpm", "d"] {
            for feed in ["y", "x"] {
                add(&mut table, series, feed, 1, "1");
            }
        }
        for limit in 1..10 {
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let (rows, next) = table.rows("", "UTC", after.as_ref(), limit);
                assert!(rows.len() <= limit);
                all.extend(names(&rows));
                after = next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(all, ["a.t x", "a.t y", "b.t x", "b.t y", "c.Rpm x", "c.Rpm y", "d x", "d y"]);
        }
        assert_eq!(names(&table.rows("RPM", "UTC", None, 9).0), ["c.Rpm x", "c.Rpm y"]);
    }
}
