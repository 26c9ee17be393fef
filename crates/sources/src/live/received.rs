//! How far a feed was received, by its symbols and kinds: from there on a later run looks for what it missed.
//!
//! Programs may share a topic and a feed and record different symbols, or one may be started with different symbols each
//! time. So each set of symbols and kinds has a position of its own, and a run looks up each of its symbols in all of
//! them.

use super::vendor::Account;
use ports::source::Positions;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The saved form of a position.
#[derive(Debug, Serialize, Deserialize)]
struct Received {
    /// Event time of the newest record of any symbol, nanoseconds.
    until: i64,
    symbols: Vec<String>,
    kinds: Vec<String>,
    /// Event time of the newest record of each symbol that had one.
    #[serde(default)]
    last: BTreeMap<String, i64>,
}

/// Where the gap of a new run begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// Event time, nanoseconds: up to it every symbol was received that was received before. If possible that of a record,
    /// which proves that the history read later begins early enough. `None` if no symbol was received before.
    pub(super) from: Option<i64>,
    /// Event time of the newest record of each symbol.
    pub(super) last: BTreeMap<String, i64>,
}

/// What all positions of a feed begin with.
fn prefix(feed: &str) -> String {
    format!("live:{feed}")
}

fn kinds(account: &Account) -> Vec<String> {
    let mut kinds: Vec<String> = account.kinds.iter().map(|kind| kind.plural().to_owned()).collect();
    kinds.sort_unstable();
    kinds
}

/// The position of a feed, and its name.
pub(super) fn position(
    feed: &str,
    account: &Account,
    until: i64,
    last: &BTreeMap<String, i64>,
) -> (String, Vec<u8>) {
    let (mut symbols, kinds) = (account.symbols.clone(), kinds(account));
    symbols.sort_unstable();
    let name = format!("{}?kinds={}&symbols={}", prefix(feed), kinds.join(","), symbols.join(","));
    // Texts and numbers: this does not fail.
    (name, serde_json::to_vec(&Received { until, symbols, kinds, last: last.clone() }).unwrap_or_default())
}

/// Where earlier runs ended, for the symbols and kinds of an account.
pub(super) fn start(feed: &str, account: &Account, positions: &Positions) -> Start {
    let prefix = prefix(feed);
    let of_feed =
        |name: &str| name.strip_prefix(&prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('?'));
    let all: Vec<Received> = positions
        .iter()
        .filter(|(name, _)| of_feed(name))
        .filter_map(|(_, bytes)| {
            // Until November 2026 there was one position for all symbols, a number.
            let number = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
            let old = |until| Received {
                until,
                symbols: account.symbols.clone(),
                kinds: kinds(account),
                last: BTreeMap::new(),
            };
            number.map(old).or_else(|| serde_json::from_slice(bytes).ok())
        })
        .collect();
    let (mut from, mut last) = (None, BTreeMap::new());
    for symbol in &account.symbols {
        let of_symbol = || all.iter().filter(|of| of.symbols.contains(symbol));
        for kind in &account.kinds {
            let has = |of: &&Received| of.kinds.iter().any(|name| name.as_str() == kind.plural());
            let until = of_symbol().filter(has).map(|of| of.until).max();
            from = [from, until].into_iter().flatten().min();
        }
        if let Some(newest) = of_symbol().filter_map(|of| of.last.get(symbol)).max() {
            last.insert(symbol.clone(), *newest);
        }
    }
    let record = last.values().copied().filter(|ts| Some(*ts) <= from).max();
    Start { from: from.map(|from| record.unwrap_or(from)), last }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::Kind;
    use ports::secret::Secret;

    fn account(symbols: &[&str], kinds: &[Kind]) -> Account {
        Account {
            stream: String::new(),
            rest: String::new(),
            key: Secret::default(),
            secret: Secret::default(),
            feed: String::new(),
            symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
            kinds: kinds.to_vec(),
            bars: false,
            bands: false,
        }
    }

    #[test]
    fn each_symbol_and_kind_is_received_until_its_own_last_run() {
        let trades = &[Kind::TRADE][..];
        let mut positions = Positions::new();
        let mut ran = |symbols: &[&str], kinds: &[Kind], until| {
            let (name, value) = position("kraken", &account(symbols, kinds), until, &BTreeMap::new());
            positions.insert(name, value);
        };
        ran(&["BTC/USD", "ETH/USD"], trades, 10);
        ran(&["ETH/USD"], trades, 20);
        ran(&["SOL/USD"], &[Kind::QUOTE], 30);
        positions.insert("live:kraken.eu".to_owned(), b"99".to_vec());
        let until =
            |symbols: &[&str], kinds: &[Kind]| start("kraken", &account(symbols, kinds), &positions).from;
        assert_eq!(until(&["BTC/USD"], trades), Some(10));
        assert_eq!(until(&["ETH/USD"], trades), Some(20));
        assert_eq!(until(&["ETH/USD", "BTC/USD"], trades), Some(10));
        // New symbols and kinds have no past.
        assert_eq!(until(&["ETH/USD", "XRP/USD"], trades), Some(20));
        assert_eq!(until(&["ETH/USD"], &[Kind::TRADE, Kind::QUOTE]), Some(20));
        assert_eq!(until(&["SOL/USD"], trades), None);
        assert_eq!(until(&["XRP/USD"], trades), None);
    }

    #[test]
    fn the_position_of_an_older_version_holds_for_all_symbols() {
        let positions = Positions::from([("live:kraken".to_owned(), b"7".to_vec())]);
        let account = account(&["BTC/USD"], &[Kind::TRADE]);
        assert_eq!(start("kraken", &account, &positions).from, Some(7));
        assert_eq!(start("binance", &account, &positions), Start::default());
    }

    /// History proves that it covers the gap by a record at its beginning.
    #[test]
    fn a_run_with_fewer_symbols_begins_at_a_record_of_its_own() {
        let last = BTreeMap::from([("BTC/USD".to_owned(), 8), ("ETH/USD".to_owned(), 10)]);
        let (name, value) = position("kraken", &account(&["BTC/USD", "ETH/USD"], &[Kind::TRADE]), 10, &last);
        let positions = Positions::from([(name, value)]);
        let from = |symbols: &[&str]| start("kraken", &account(symbols, &[Kind::TRADE]), &positions).from;
        assert_eq!(from(&["BTC/USD"]), Some(8));
        assert_eq!(from(&["BTC/USD", "ETH/USD"]), Some(10));
    }
}
