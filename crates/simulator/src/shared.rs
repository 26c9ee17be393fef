//! State of a simulator that all threads and the API read.

use super::faults::Fault;
use super::settings::SimulatorSettings;
use market::bar::TradeValues;
use market::codec::json;
use market::interval::Interval;
use market::{Kind, Record};
use ports::cancel::CancelToken;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A record of the tape.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) ts: i64,
    pub(super) symbol: u32,
    pub(super) kind: Kind,
    /// Its number within its symbol and kind, from 1.
    pub(super) number: u64,
    /// Canonical form.
    pub(super) payload: Box<[u8]>,
}

impl Item {
    pub(super) fn read<T>(&self, f: impl FnOnce(&Record<&str>) -> T) -> Option<T> {
        json::decode(self.kind, &self.payload).as_ref().map(f)
    }
}

/// All bars, by symbol, length and start.
pub(super) type Made = BTreeMap<(String, Interval, i64), TradeValues>;

/// The state that all threads and the API read.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: SimulatorSettings,
    /// How to build bars of the tape, and the bars built.
    pub(super) bars: market::bar::AggregatorSettings,
    pub(super) made: OnceLock<Made>,
    pub(super) symbols: Vec<String>,
    pub(super) items: Vec<Item>,
    /// Number of items played.
    pub(super) played: AtomicUsize,
    /// Trades that were corrected or canceled, by index.
    pub(super) amended: Mutex<HashMap<usize, Fault>>,
    /// Handshakes still to be refused, and how.
    pub(super) refuse: Mutex<Vec<Fault>>,
    pub(super) stop: CancelToken,
}

impl Shared {
    pub(super) fn played(&self) -> &[Item] {
        &self.items[..self.played.load(Ordering::Acquire)]
    }

    pub(super) fn symbol(&self, item: &Item) -> &str {
        self.symbols.get(item.symbol as usize).map_or("", String::as_str)
    }

    pub(super) fn amended(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Fault>> {
        self.amended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records of a symbol played between two times, both included.
    pub(super) fn of(&self, kind: Kind, symbol: &str, from: i64, to: i64) -> impl Iterator<Item = &Item> {
        self.placed(kind, symbol, from, to).map(|(_, item)| item)
    }

    /// The same, with the index of each.
    pub(super) fn placed(
        &self,
        kind: Kind,
        symbol: &str,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = (usize, &Item)> {
        let played = self.played();
        let first = played.partition_point(|item| item.ts < from);
        let end = first + played[first..].partition_point(|item| item.ts <= to);
        let place = self.symbols.iter().position(|known| known == symbol);
        let items = played[first..end].iter().enumerate().map(move |(index, item)| (first + index, item));
        items.filter(move |(_, item)| item.kind == kind && Some(item.symbol as usize) == place)
    }

    /// For vendors with a key and no secret.
    pub(super) fn admits_key(&self, key: &str) -> bool {
        self.settings.keys.as_ref().map_or(!key.is_empty(), |(known, _)| known == key)
    }

    pub(super) fn admits(&self, key: &str, secret: &str) -> bool {
        self.settings.keys.as_ref().is_none_or(|(k, s)| k == key && s == secret)
    }
}
