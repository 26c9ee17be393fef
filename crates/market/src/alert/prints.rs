//! Recent prints of a series: lowest and highest price of a window, volume of a window and its baseline,
//! duplicates.

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What a print counts towards, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Uses(pub(super) u8);

impl Uses {
    /// It is the current price.
    pub(super) const PRICE: u8 = 1;
    /// It may be a high or low of the day.
    pub(super) const EXTREME: u8 = 2;
    /// Its size counts.
    pub(super) const VOLUME: u8 = 4;
    /// It may be the open or close of the day.
    pub(super) const CLOSE: u8 = 8;
    /// It fell in the regular session.
    pub(super) const REGULAR: u8 = 16;

    #[inline]
    pub(super) const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

/// A trade or a reading, as used by rules. `ts` is never below the previous print's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "(i64, u64, f64, f64, u8)", into = "(i64, u64, f64, f64, u8)")]
pub(super) struct Print {
    pub(super) ts: i64,
    /// Hash of its identity.
    pub(super) key: u64,
    pub(super) price: f64,
    pub(super) size: f64,
    pub(super) uses: Uses,
}

impl From<(i64, u64, f64, f64, u8)> for Print {
    fn from((ts, key, price, size, uses): (i64, u64, f64, f64, u8)) -> Self {
        Self { ts, key, price, size, uses: Uses(uses) }
    }
}

impl From<Print> for (i64, u64, f64, f64, u8) {
    fn from(print: Print) -> Self {
        (print.ts, print.key, print.price, print.size, print.uses.0)
    }
}

impl Print {
    /// Its volume as a whole number of billionths, so that sums stay exact when it is subtracted again.
    fn volume(&self) -> i128 {
        if self.uses.has(Uses::VOLUME) { (self.size * 1e9).round() as i128 } else { 0 }
    }
}

/// A price in a window: its time, and the print it belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reference {
    pub(super) ts: i64,
    pub(super) price: f64,
    pub(super) key: u64,
}

/// Lowest and highest of the last `len` nanoseconds, by monotonic queues: amortised constant time per print.
#[derive(Debug, Clone)]
struct PriceWindow {
    len: i64,
    low: VecDeque<Reference>,
    high: VecDeque<Reference>,
}

impl PriceWindow {
    fn add(&mut self, print: &Print) {
        let entry = Reference { ts: print.ts, price: print.price, key: print.key };
        while self.low.back().is_some_and(|last| last.price >= entry.price) {
            self.low.pop_back();
        }
        while self.high.back().is_some_and(|last| last.price <= entry.price) {
            self.high.pop_back();
        }
        self.low.push_back(entry);
        self.high.push_back(entry);
        self.trim(print.ts);
    }

    fn trim(&mut self, ts: i64) {
        let end = ts.saturating_sub(self.len);
        for queue in [&mut self.low, &mut self.high] {
            while queue.front().is_some_and(|first| first.ts <= end) {
                queue.pop_front();
            }
        }
    }
}

/// Volume of the last `window` nanoseconds and of the `baseline` before them.
#[derive(Debug, Clone)]
struct VolumeWindow {
    window: i64,
    baseline: i64,
    recent: i128,
    before: i128,
    /// Sequence numbers of the oldest print in each.
    recent_from: u64,
    before_from: u64,
}

/// Recent prints, and the windows over them.
#[derive(Debug, Clone, Default)]
pub(super) struct Prints {
    horizon: i64,
    ring: VecDeque<Print>,
    /// Sequence number of the oldest print in the ring.
    first: u64,
    keys: FxHashSet<u64>,
    prices: Vec<PriceWindow>,
    volumes: Vec<VolumeWindow>,
}

impl Prints {
    /// Keeps at least `horizon` nanoseconds.
    pub(super) fn extend(&mut self, horizon: i64) {
        self.horizon = self.horizon.max(horizon);
    }

    /// Index of a price window.
    pub(super) fn price_window(&mut self, len: i64) -> usize {
        self.extend(len);
        self.prices.iter().position(|window| window.len == len).unwrap_or_else(|| {
            self.prices.push(PriceWindow { len, low: VecDeque::new(), high: VecDeque::new() });
            self.prices.len() - 1
        })
    }

    /// Index of a volume window.
    pub(super) fn volume_window(&mut self, window: i64, baseline: i64) -> usize {
        self.extend(window.saturating_add(baseline));
        let same = |known: &VolumeWindow| known.window == window && known.baseline == baseline;
        self.volumes.iter().position(same).unwrap_or_else(|| {
            let (recent, before) = (0, 0);
            let (recent_from, before_from) = (self.first, self.first);
            self.volumes.push(VolumeWindow { window, baseline, recent, before, recent_from, before_from });
            self.volumes.len() - 1
        })
    }

    /// Whether the ring contains a print of that identity.
    pub(super) fn contains(&self, key: u64) -> bool {
        self.keys.contains(&key)
    }

    /// Adds a print.
    pub(super) fn push(&mut self, print: Print) {
        self.ring.push_back(print);
        self.keys.insert(print.key);
        self.count(&print);
        let end = print.ts.saturating_sub(self.horizon);
        while let Some(old) = self.ring.front().filter(|old| old.ts <= end) {
            self.keys.remove(&old.key);
            self.ring.pop_front();
            self.first += 1;
        }
    }

    fn count(&mut self, print: &Print) {
        if print.uses.has(Uses::PRICE) {
            self.prices.iter_mut().for_each(|window| window.add(print));
        }
        let (ring, first) = (&self.ring, self.first);
        let at = |number: u64| ring.get((number - first) as usize);
        for window in &mut self.volumes {
            window.recent += print.volume();
            let end = print.ts.saturating_sub(window.window);
            while let Some(old) = at(window.recent_from).filter(|old| old.ts <= end) {
                window.recent -= old.volume();
                window.before += old.volume();
                window.recent_from += 1;
            }
            let end = end.saturating_sub(window.baseline);
            while let Some(old) = at(window.before_from).filter(|old| old.ts <= end) {
                window.before -= old.volume();
                window.before_from += 1;
            }
        }
    }

    /// Lowest (`up`) or highest price of a window that ends with the last print.
    #[inline]
    pub(super) fn reference(&self, slot: usize, up: bool) -> Option<Reference> {
        let window = self.prices.get(slot)?;
        (if up { &window.low } else { &window.high }).front().copied()
    }

    /// Volume of a window, and the mean volume per window length of its baseline; in billionths.
    #[inline]
    pub(super) fn volume(&self, slot: usize) -> Option<(f64, f64)> {
        let window = self.volumes.get(slot)?;
        let share = window.window as f64 / window.baseline as f64;
        (window.before > 0).then_some((window.recent as f64, window.before as f64 * share))
    }

    /// Removes a print or replaces its price and size, then recomputes the windows. Returns its previous
    /// state.
    pub(super) fn amend(&mut self, key: u64, to: Option<(f64, f64)>) -> Option<Print> {
        let at = self.ring.iter().rposition(|print| print.key == key)?;
        let was = self.ring[at];
        match to {
            Some((price, size)) => {
                self.ring[at].price = price;
                self.ring[at].size = size;
            }
            // Its identity is kept, so that a repeat of the print is not counted.
            None => self.ring[at].uses = Uses(0),
        }
        self.recount();
        Some(was)
    }

    /// Multiplies prices and divides sizes: a split.
    pub(super) fn scale(&mut self, factor: f64) {
        for print in &mut self.ring {
            print.price *= factor;
            print.size /= factor;
        }
        self.recount();
    }

    fn recount(&mut self) {
        let ring = std::mem::take(&mut self.ring);
        for window in &mut self.prices {
            window.low.clear();
            window.high.clear();
        }
        for window in &mut self.volumes {
            (window.recent, window.before) = (0, 0);
            (window.recent_from, window.before_from) = (self.first, self.first);
        }
        for print in ring {
            self.ring.push_back(print);
            self.count(&print);
        }
    }

    /// The prints of a window that ended at `to`, if the ring still reaches back to its start.
    pub(super) fn within(&self, from: i64, to: i64) -> Option<impl Iterator<Item = &Print>> {
        let reaches = self.ring.back()?.ts.saturating_sub(self.horizon) <= from;
        reaches.then(|| self.ring.iter().filter(move |print| from < print.ts && print.ts <= to))
    }

    /// The current price: that of the latest print that may set it.
    pub(super) fn last_price(&self) -> Option<f64> {
        self.ring.iter().rev().find(|print| print.uses.has(Uses::PRICE)).map(|print| print.price)
    }

    /// All prints, for a snapshot.
    pub(super) const fn ring(&self) -> &VecDeque<Print> {
        &self.ring
    }

    /// Restores the prints of a snapshot.
    pub(super) fn restore(&mut self, ring: VecDeque<Print>) {
        self.keys = ring.iter().map(|print| print.key).collect();
        self.ring = ring;
        self.recount();
    }
}
