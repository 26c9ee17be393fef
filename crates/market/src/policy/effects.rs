//! Caches the effects of each set of conditions, and counts how many trades carried which.

use super::{Effect, Policy, Updates};
use crate::Trade;
use crate::policy::Vocabulary;
use rustc_hash::FxHasher;
use std::collections::BTreeMap;
use std::hash::Hasher;

/// The effects of a policy, cached: trades carry the same few sets of conditions again and again.
#[derive(Debug, Clone)]
pub struct Effects {
    policy: Policy,
    cache: Vec<Option<Cached>>,
    /// Trades smaller than the policy's minimum.
    small: u64,
    /// Counts of sets of conditions evicted from the cache.
    evicted: ConditionCounts,
    /// The conditions of the last quote, as text, and whether it is excluded.
    quote: (Box<str>, Vocabulary, bool),
}

#[derive(Debug, Clone)]
struct Cached {
    conditions: Box<str>,
    tape: Box<str>,
    vocabulary: Vocabulary,
    effect: Effect,
    trades: u64,
    unpriced: u64,
}

/// As `==`, without `memcmp` for the empty: at an empty box's address there is no memory, and the masked load of glibc
/// then costs AMD processors 150 ns.
#[inline]
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}

/// Slots of the cache; 46 masks were seen in five days of four symbols.
const SLOTS: usize = 1_024;

impl Effects {
    /// Creates the cache of a policy.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let (cache, evicted) = (vec![None; SLOTS], ConditionCounts::default());
        Self { policy, cache, small: 0, evicted, quote: (Box::default(), Vocabulary::Absent, false) }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What a trade may update in intraday and in daily bars; counts it.
    #[inline]
    pub fn of(&mut self, trade: &Trade<&str>, vocabulary: Vocabulary, regular: bool) -> (Updates, Updates) {
        if trade.size < self.policy.minimum_size {
            self.small += 1;
            return (Updates::default(), Updates::default());
        }
        let mut hasher = FxHasher::default();
        hasher.write(trade.conditions.as_bytes());
        let slot = (hasher.finish() >> 32) as usize % SLOTS;
        let hit = self.cache[slot].as_ref().is_some_and(|known| {
            same(&known.conditions, trade.conditions)
                && same(&known.tape, trade.tape)
                && known.vocabulary == vocabulary
        });
        if !hit {
            self.work_out(slot, trade, vocabulary);
        }
        let Some(known) = &mut self.cache[slot] else { return (Updates::default(), Updates::default()) };
        let (updates, day) = known.effect.at(regular);
        known.trades += 1;
        known.unpriced += u64::from(!updates.sets_price());
        (updates, day)
    }

    #[cold]
    fn work_out(&mut self, slot: usize, trade: &Trade<&str>, vocabulary: Vocabulary) {
        if let Some(known) = self.cache[slot].take() {
            count(&self.policy, &known, &mut self.evicted);
        }
        self.cache[slot] = Some(Cached {
            conditions: trade.conditions.into(),
            tape: trade.tape.into(),
            vocabulary,
            effect: self.policy.effect_of(trade.conditions, trade.tape, vocabulary),
            trades: 0,
            unpriced: 0,
        });
    }

    /// Whether a quote with these conditions counts.
    #[inline]
    pub fn counts_quote(&mut self, conditions: &str, vocabulary: Vocabulary) -> bool {
        if !self.policy.leaves_out_quotes() {
            return true;
        }
        if !same(&self.quote.0, conditions) || self.quote.1 != vocabulary {
            let left_out = self.policy.leaves_out_quote(conditions, vocabulary);
            self.quote = (conditions.into(), vocabulary, left_out);
        }
        !self.quote.2
    }

    /// Trades that set no price and unknown conditions so far.
    #[must_use]
    pub fn counts(&self) -> ConditionCounts {
        let mut counts = self.evicted.clone();
        for known in self.cache.iter().flatten() {
            count(&self.policy, known, &mut counts);
        }
        if self.small > 0 {
            let reason = format!("smaller than {}", self.policy.minimum_size);
            let small = ConditionCount { trades: self.small, unpriced: self.small, unknown: false };
            counts.add(self.policy.name(), reason, small);
        }
        counts
    }
}

fn count(policy: &Policy, known: &Cached, counts: &mut ConditionCounts) {
    let (mut names, mut unknown) = (Vec::new(), false);
    policy.explain_codes(&known.conditions, &known.tape, known.vocabulary, &mut |name, effect, is_known| {
        unknown |= !is_known;
        // Only what restricts the price is a reason.
        if !is_known || !effect.regular.sets_price() || !effect.extended.sets_price() {
            names.push(name.to_owned());
        }
    });
    if known.unpriced > 0 || unknown {
        let row = ConditionCount { trades: known.trades, unpriced: known.unpriced, unknown };
        counts.add(policy.name(), names.join("; "), row);
    }
}

/// Number of trades that carried certain conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConditionCount {
    /// All trades.
    pub trades: u64,
    /// Those that set no price: if all do, there is no bar.
    pub unpriced: u64,
    /// Whether one of the conditions is unknown.
    pub unknown: bool,
}

/// Why trades set no price, by policy and conditions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConditionCounts(BTreeMap<(String, String), ConditionCount>);

impl ConditionCounts {
    fn add(&mut self, policy: &str, conditions: String, count: ConditionCount) {
        let row = self.0.entry((policy.to_owned(), conditions)).or_default();
        row.trades += count.trades;
        row.unpriced += count.unpriced;
        row.unknown |= count.unknown;
    }

    /// Adds the counts of another aggregator.
    pub fn merge(&mut self, other: &Self) {
        for ((policy, conditions), count) in &other.0 {
            self.add(policy, conditions.clone(), *count);
        }
    }

    /// Policy, conditions and their count; most trades without a price first.
    #[must_use]
    pub fn rows(&self) -> Vec<(&str, &str, ConditionCount)> {
        let rows = self.0.iter().map(|((policy, conditions), count)| (&**policy, &**conditions, *count));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|(.., count)| std::cmp::Reverse((count.unpriced, count.trades)));
        rows
    }

    /// Number of trades that set no price.
    #[must_use]
    pub fn unpriced(&self) -> u64 {
        self.0.values().map(|count| count.unpriced).sum()
    }
}
