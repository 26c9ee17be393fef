//! What changed since the last frame, written as JSON once for all clients.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Maximum number of trades of one symbol in one frame; only the last are included, with the number omitted.
pub(crate) const TAPE: usize = 50;

/// Changes of one symbol.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Its watchlist row, a JSON object.
    pub(crate) row: String,
    /// Its last trades, JSON objects separated by commas.
    pub(crate) trades: String,
    /// Number of trades omitted from `trades`.
    pub(crate) skipped: u64,
    /// Bars by interval, JSON objects separated by commas.
    pub(crate) bars: BTreeMap<String, String>,
}

/// One update of all streams.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// Counts from 1.
    pub(crate) number: u64,
    /// By symbol.
    pub(crate) symbols: BTreeMap<String, Changes>,
    /// Gaps that changed, JSON objects separated by commas.
    pub(crate) gaps: String,
    /// New dead letters, JSON objects separated by commas.
    pub(crate) dead: String,
    /// State of the pipeline, a JSON object, once a second.
    pub(crate) status: String,
    /// The server stops: no frame follows.
    pub(crate) last: bool,
}

/// Subscription of a client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Symbol of its trades and bars.
    pub(crate) symbol: Option<String>,
    /// Interval of its bars.
    pub(crate) interval: Option<String>,
    /// Symbols of its watchlist; all if empty.
    pub(crate) watch: Vec<String>,
}

/// Appends a JSON object to others.
pub(crate) fn append(list: &mut String, object: &str) {
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(object);
}

impl Frame {
    /// Approximate memory use in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let changes = |changes: &Changes| {
            changes.row.len()
                + changes.trades.len()
                + changes.bars.values().map(|bars| bars.len() + 64).sum::<usize>()
        };
        let symbols: usize = self.symbols.iter().map(|(name, one)| name.len() + changes(one) + 160).sum();
        symbols + self.gaps.len() + self.dead.len() + self.status.len() + 128
    }

    /// The data of a client's event; `None` if there is nothing for this client.
    pub(crate) fn data(&self, filter: &Filter) -> Option<String> {
        let mut rows = String::new();
        let watched = |name: &String| filter.watch.is_empty() || filter.watch.contains(name);
        for (_, changes) in self.symbols.iter().filter(|(name, _)| watched(name)) {
            if !changes.row.is_empty() {
                append(&mut rows, &changes.row);
            }
        }
        let mut data = String::with_capacity(rows.len() + 64);
        let mut part = |name: &str, list: &str| {
            if !list.is_empty() {
                let lead = if data.is_empty() { '{' } else { ',' };
                let _ = write!(data, "{lead}\"{name}\":[{list}]");
            }
        };
        part("symbols", &rows);
        if let Some(changes) = filter.symbol.as_ref().and_then(|symbol| self.symbols.get(symbol)) {
            part("trades", &changes.trades);
            let skipped = if changes.skipped > 0 { changes.skipped.to_string() } else { String::new() };
            part("skipped", &skipped);
            if let Some(bars) = filter.interval.as_ref().and_then(|interval| changes.bars.get(interval)) {
                part("bars", bars);
            }
        }
        part("gaps", &self.gaps);
        part("dead_letters", &self.dead);
        part("status", &self.status);
        if data.is_empty() {
            return None;
        }
        data.push('}');
        Some(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_what_it_requested() {
        let mut frame = Frame::default();
        assert_eq!(frame.data(&Filter::default()), None);
        let spy = frame.symbols.entry("SPY".to_owned()).or_default();
        spy.row = "1".to_owned();
        append(&mut spy.trades, "2");
        append(&mut spy.trades, "3");
        spy.skipped = 7;
        spy.bars.insert("1m".to_owned(), "4".to_owned());
        frame.symbols.entry("IBM".to_owned()).or_default().row = "5".to_owned();
        let all = Filter::default();
        assert_eq!(frame.data(&all).unwrap(), r#"{"symbols":[5,1]}"#);
        let one = Filter {
            symbol: Some("SPY".to_owned()),
            interval: Some("1m".to_owned()),
            watch: vec!["IBM".to_owned()],
        };
        assert_eq!(frame.data(&one).unwrap(), r#"{"symbols":[5],"trades":[2,3],"skipped":[7],"bars":[4]}"#);
        let other = Filter { symbol: Some("X".to_owned()), watch: vec!["X".to_owned()], ..one };
        assert_eq!(frame.data(&other), None);
    }
}
