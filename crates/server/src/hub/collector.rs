//! Collects what is new into batches.

use super::Hub;
use super::live::{LiveContent, LiveItem};
use market::Record;
use market::bar::{Bar, Values};
use market::interval::Interval;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Maximum number of items in a batch.
const BATCH: usize = 4_096;

/// Bars of a series whose final form is still to come: those within the allowed lateness.
const UNSETTLED: usize = 10_000;

/// Revision of the bars that were emitted and are not final, by start.
type Unsettled = BTreeMap<i64, u32>;

/// Collects the next batch.
#[derive(Default)]
pub(crate) struct Collector {
    items: Vec<LiveItem>,
    unsettled: FxHashMap<(String, String, Interval), Unsettled>,
}

impl Collector {
    /// Adds a record that is new, if there are clients.
    pub(crate) fn record(&mut self, hub: &Hub, record: &Record<&str>) {
        if matches!(record, Record::Trade(_) | Record::Quote(_)) && hub.has_live_clients() {
            self.push(hub, LiveContent::Record(record.map(str::to_owned)));
        }
    }

    /// Adds a message of the bars topic, unless it repeats an earlier one as final. Messages from before the server
    /// is up to date (`live`) are only remembered.
    pub(crate) fn bar(&mut self, hub: &Hub, payload: &[u8], live: bool) {
        // Most bars are of a second: what is not needed is not decoded.
        let has = |part: &str| payload.windows(part.len()).any(|window| window == part.as_bytes());
        if !(has(r#""interval":"1m""#) || has(r#""interval":"1d""#)) || !has(r#""kind":"trade""#) {
            return;
        }
        let Ok(bar) = market::codec::bar::from_json(payload) else { return };
        if self.is_news(&bar) && live && bar.values != Values::Empty && hub.has_live_clients() {
            self.push(hub, LiveContent::Bar(bar));
        }
    }

    /// Whether a bar differs from what was emitted before: one that only becomes final does not.
    fn is_news(&mut self, bar: &Bar) -> bool {
        let series = (bar.symbol.clone(), bar.feed.clone(), bar.interval);
        let known = self.unsettled.entry(series).or_default();
        let before = known.get(&bar.start.0).copied();
        if bar.is_final {
            known.remove(&bar.start.0);
        } else {
            known.insert(bar.start.0, bar.revision);
            if known.len() > UNSETTLED {
                known.pop_first();
            }
        }
        before.is_none_or(|revision| revision < bar.revision)
    }

    fn push(&mut self, hub: &Hub, content: LiveContent) {
        self.items.push(LiveItem::new(content));
        if self.items.len() >= BATCH {
            self.flush(hub);
        }
    }

    /// Sends the batch.
    pub(crate) fn flush(&mut self, hub: &Hub) {
        if !self.items.is_empty() {
            hub.publish_live(Arc::new(std::mem::take(&mut self.items)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::bar::TradeValues;
    use market::{Kind, UnixNanos};
    use market::{Price, Size};

    fn bar(start: i64, revision: u32, is_final: bool) -> Bar {
        let values =
            TradeValues { ohlc: [Price::from_raw(1); 4], volume: Size::from_raw(1), vwap: None, trades: 1 };
        Bar {
            kind: Kind::TRADE,
            symbol: "SPY".to_owned(),
            feed: "f".to_owned(),
            interval: Interval::M1,
            start: UnixNanos(start),
            values: Values::Trades(values),
            late: 0,
            revision,
            is_final,
            complete: true,
        }
    }

    #[test]
    fn a_bar_that_only_becomes_final_is_no_news() {
        let mut collector = Collector::default();
        for (start, revision, is_final, news) in [
            (0, 0, false, true),
            (60, 0, false, true),
            (0, 1, false, true),
            (0, 1, true, false),
            (60, 1, true, true),
            (120, 0, true, true),
        ] {
            assert_eq!(
                collector.is_news(&bar(start, revision, is_final)),
                news,
                "{start} {revision} {is_final}"
            );
        }
        assert!(collector.unsettled.values().all(BTreeMap::is_empty));
    }

    #[test]
    fn bars_that_never_become_final_do_not_accumulate() {
        let mut collector = Collector::default();
        (0..UNSETTLED as i64 + 50).for_each(|start| assert!(collector.is_news(&bar(start, 0, false))));
        assert_eq!(collector.unsettled.values().map(BTreeMap::len).sum::<usize>(), UNSETTLED);
    }
}
