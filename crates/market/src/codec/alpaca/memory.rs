//! What corrections and cancels need to know of their trades: compact, by hash.

use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use xxhash_rust::xxh3::Xxh3;

/// Number of trades remembered: about ten minutes of the whole tape at its busiest.
pub(super) const REMEMBERED: usize = 200_000;

/// Hash of a trade's symbol, venue and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(u64);

/// A text stored once, however many trades have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Text(u32);

#[derive(Debug, Clone, Copy)]
pub(super) struct KnownTrade {
    pub(super) ts: i64,
    pub(super) conditions: Text,
    pub(super) tape: Text,
    /// Canceled since.
    pub(super) canceled: bool,
    /// History lists it as replaced by a correction.
    pub(super) incorrect: bool,
    /// Revision of its data: 0, and 2 more with each correction that keeps the id.
    pub(super) revision: u32,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    known: FxHashMap<Key, KnownTrade>,
    order: VecDeque<Key>,
    texts: Vec<Box<str>>,
    numbers: FxHashMap<Box<str>, u32>,
}

impl Memory {
    pub(super) fn key(symbol: &str, venue: &str, id: &str) -> Key {
        let mut bytes = [0_u8; 64];
        let length = symbol.len() + venue.len() + id.len() + 2;
        if length > bytes.len() {
            let mut hasher = Xxh3::new();
            [symbol, "\0", venue, "\0", id].iter().for_each(|part| hasher.update(part.as_bytes()));
            return Key(hasher.digest());
        }
        let mut at = 0;
        for part in [symbol, "\0", venue, "\0", id] {
            bytes[at..at + part.len()].copy_from_slice(part.as_bytes());
            at += part.len();
        }
        Key(xxhash_rust::xxh3::xxh3_64(&bytes[..length]))
    }

    pub(super) fn remember(&mut self, key: Key, known: KnownTrade) {
        if self.known.insert(key, known).is_none() {
            self.order.push_back(key);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }

    pub(super) fn find(&self, key: Key) -> Option<&KnownTrade> {
        self.known.get(&key)
    }

    /// Marks a known trade as canceled.
    pub(super) fn cancel(&mut self, key: Key) -> Option<KnownTrade> {
        let known = self.known.get_mut(&key)?;
        known.canceled = true;
        Some(*known)
    }

    pub(super) fn keep(&mut self, text: &str) -> Text {
        if let Some(number) = self.numbers.get(text) {
            return Text(*number);
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        Text(number)
    }

    pub(super) fn text(&self, text: Text) -> &str {
        self.texts.get(text.0 as usize).map_or("", |text| text)
    }
}
