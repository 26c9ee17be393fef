//! Condition policies, as data: which print may update what.
//!
//! A policy is a table (`crates/market/policy/*.toml`): for each sale condition, whether a print with it may
//! set high and low, open and last, and volume. A print updates what all of its conditions allow. Conditions
//! are stored as the feed sent them and mapped to one vocabulary (`conditions.csv`) here.

mod effects;
mod vocabulary;

pub use effects::{ConditionCount, ConditionCounts, Effects};
pub use vocabulary::Vocabulary;

use crate::codec::json::conditions;
use crate::{Size, Trade};
use rustc_hash::FxHashMap;
use serde::Deserialize;
use std::fmt;

const POLICIES: [(&str, &str); 4] = [
    ("sip", include_str!("../../policy/sip.toml")),
    ("lean", include_str!("../../policy/lean.toml")),
    ("all", include_str!("../../policy/all.toml")),
    ("official", include_str!("../../policy/official.toml")),
];

/// Fields that a print may update, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Updates(u8);

impl Updates {
    /// High and low.
    pub const HIGH_LOW: Self = Self(1);
    /// Open and last, which is the close.
    pub const LAST: Self = Self(2);
    /// Volume, VWAP and trade count.
    pub const VOLUME: Self = Self(4);
    /// All of them.
    pub const ALL: Self = Self(7);

    /// Whether all of the other's bits are set.
    #[must_use]
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The day's close, from the largest print that reports an official close.
    pub const OFFICIAL_CLOSE: Self = Self(8);

    /// Whether no bit is set.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether it may set any price of an intraday bar.
    #[must_use]
    #[inline]
    pub const fn sets_price(self) -> bool {
        self.0 & 3 != 0
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn of(words: &[String]) -> Result<Self, String> {
        words.iter().try_fold(Self(0), |sum, word| {
            Ok(Self(
                sum.0
                    | match word.as_str() {
                        "high_low" => 1,
                        "last" => 2,
                        "volume" => 4,
                        other => return Err(format!("expected high_low, last or volume, found `{other}`")),
                    },
            ))
        })
    }
}

impl fmt::Display for Updates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = [
            (Self::LAST, "open/close"),
            (Self::HIGH_LOW, "high/low"),
            (Self::VOLUME, "volume"),
            (Self::OFFICIAL_CLOSE, "official close"),
        ]
        .into_iter()
        .filter_map(|(bit, word)| self.has(bit).then_some(word))
        .collect();
        f.pad(&if words.is_empty() { "nothing".to_owned() } else { words.join(", ") })
    }
}

/// Fields that a print may update, by time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// Intraday bars, in the regular session.
    pub regular: Updates,
    /// Intraday bars, outside it.
    pub extended: Updates,
    /// The daily bar, outside the regular session; within it, `regular` applies.
    pub day: Updates,
    /// The daily close, at any time: [`Updates::OFFICIAL_CLOSE`] or nothing.
    pub official: Updates,
}

impl Effect {
    const NONE: Self = Self::same(Updates(0));
    const ALL: Self = Self::same(Updates::ALL);

    const fn same(updates: Updates) -> Self {
        Self { regular: updates, extended: updates, day: updates, official: Updates(0) }
    }

    const fn and(self, other: Self) -> Self {
        Self {
            regular: self.regular.and(other.regular),
            extended: self.extended.and(other.extended),
            day: self.day.and(other.day),
            official: self.official.or(other.official),
        }
    }

    /// Resolved for intraday and daily bars.
    #[must_use]
    #[inline]
    pub const fn at(self, regular_session: bool) -> (Updates, Updates) {
        let (below, day) =
            if regular_session { (self.regular, self.regular) } else { (self.extended, self.day) };
        (below, day.or(self.official))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    /// The policy whose rules apply if this one has none.
    #[serde(default)]
    extends: String,
    unknown: Vec<String>,
    #[serde(default)]
    minimum_size: u32,
    #[serde(default)]
    official_close: Vec<String>,
    #[serde(default)]
    leave_out_quotes: Vec<String>,
    #[serde(default)]
    leave_out_lean_quotes: u32,
    #[serde(default)]
    volume_without_price: String,
    #[serde(default)]
    day: String,
    #[serde(default)]
    rule: Vec<RuleFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    codes: Vec<String>,
    updates: Vec<String>,
    extended: Option<Vec<String>>,
    /// The rule applies only together with all of these.
    #[serde(default)]
    with: Vec<String>,
    /// The rule does not apply together with any of these.
    #[serde(default)]
    unless: Vec<String>,
}

#[derive(Debug, Clone)]
struct Rule {
    effect: Effect,
    with: Vec<String>,
    unless: Vec<String>,
}

/// A condition policy.
#[derive(Debug, Clone)]
pub struct Policy {
    name: String,
    unknown: Effect,
    minimum_size: Size,
    /// Whether volume without a price goes to the latest earlier bar of the session.
    pub carries_volume: bool,
    day_regular_only: bool,
    /// Conditions of prints that may set the day's official close.
    official_close: Vec<String>,
    /// Conditions of quotes that are excluded, and flags of Lean's mask.
    leave_out_quotes: Vec<String>,
    leave_out_lean_quotes: u32,
    rules: FxHashMap<String, Rule>,
}

impl Policy {
    /// `sip`, `lean`, `all` or `official`.
    ///
    /// # Errors
    /// Unknown policy name.
    pub fn named(name: &str) -> Result<Self, String> {
        let (_, text) = POLICIES.iter().find(|(known, _)| *known == name).ok_or_else(|| {
            format!("unknown condition policy `{name}`; expected sip, lean, all or official")
        })?;
        Self::parse(text)
    }

    /// Parses a policy's table.
    ///
    /// # Errors
    /// The table is invalid.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File =
            toml::from_str(text).map_err(|error| format!("condition policy: {}", error.message()))?;
        let plain = |words: &[String]| Updates::of(words).map(Effect::same);
        let mut rules = match file.extends.as_str() {
            "" => FxHashMap::default(),
            base if base == file.name => {
                return Err(format!("condition policy {base} extends itself"));
            }
            base => Self::named(base)?.rules,
        };
        for rule in &file.rule {
            let mut effect = plain(&rule.updates)?;
            if let Some(words) = &rule.extended {
                effect.extended = Updates::of(words)?;
            }
            for code in &rule.codes {
                let (with, unless) = (rule.with.clone(), rule.unless.clone());
                rules.insert(code.clone(), Rule { effect, with, unless });
            }
        }
        let one_of = |what: &str, value: &str, word: &str| match value {
            "" => Ok(false),
            value if value == word => Ok(true),
            other => Err(format!(
                "condition policy {}: {what}: expected `{word}` or nothing, found `{other}`",
                file.name
            )),
        };
        Ok(Self {
            carries_volume: one_of("volume_without_price", &file.volume_without_price, "previous")?,
            day_regular_only: one_of("day", &file.day, "regular")?,
            unknown: plain(&file.unknown)?,
            minimum_size: Size::from_whole(i64::from(file.minimum_size)),
            official_close: file.official_close,
            leave_out_quotes: file.leave_out_quotes,
            leave_out_lean_quotes: file.leave_out_lean_quotes,
            name: file.name,
            rules,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a print may update.
    #[must_use]
    pub fn effect(&self, trade: &Trade<&str>) -> Effect {
        self.explain(trade, &mut |_, _| {})
    }

    /// The same, calling `each` with the name of each condition and what it allows.
    pub fn explain(&self, trade: &Trade<&str>, each: &mut dyn FnMut(&str, Effect)) -> Effect {
        if trade.size < self.minimum_size {
            each(&format!("smaller than {}", self.minimum_size), Effect::NONE);
            return Effect::NONE;
        }
        let vocabulary = Vocabulary::of(trade.feed, trade.symbol);
        self.explain_codes(trade.conditions, trade.tape, vocabulary, &mut |name, effect, _| {
            each(name, effect)
        })
    }

    /// What a print of sufficient size may update.
    fn effect_of(&self, conditions: &str, tape: &str, vocabulary: Vocabulary) -> Effect {
        self.explain_codes(conditions, tape, vocabulary, &mut |_, _, _| {})
    }

    /// The same, calling `each` with each condition's name, what it allows, and whether the vocabulary
    /// contains it.
    fn explain_codes(
        &self,
        conditions: &str,
        tape: &str,
        vocabulary: Vocabulary,
        each: &mut dyn FnMut(&str, Effect, bool),
    ) -> Effect {
        let found = vocabulary.codes(conditions, tape);
        let has = |wanted: &String| found.iter().any(|code| code.code == Some(wanted));
        let mut effect = Effect::ALL;
        for code in &found {
            let allowed = match code.code.map(|code| self.rules.get(code)) {
                Some(Some(rule)) if rule.unless.iter().any(has) || !rule.with.iter().all(has) => Effect::ALL,
                Some(Some(rule)) => rule.effect,
                // An unknown condition restricts nothing if the vendor's list is incomplete.
                None if !vocabulary.is_complete() => Effect::ALL,
                Some(None) | None => self.unknown,
            };
            each(&code.name, allowed, code.code.is_some());
            effect = effect.and(allowed);
        }
        if self.day_regular_only {
            effect.day = effect.day.and(Updates::VOLUME);
        }
        if self.official_close.iter().any(has) {
            effect.official = Updates::OFFICIAL_CLOSE;
        }
        effect
    }

    /// Whether the policy excludes any quotes.
    const fn leaves_out_quotes(&self) -> bool {
        !self.leave_out_quotes.is_empty() || self.leave_out_lean_quotes != 0
    }

    fn leaves_out_quote(&self, array: &str, vocabulary: Vocabulary) -> bool {
        let flags = |text: &str| {
            let lean = vocabulary == Vocabulary::Lean;
            if lean { u32::from_str_radix(text, 16).unwrap_or_default() } else { 0 }
        };
        conditions(array).map(str::trim).any(|condition| {
            self.leave_out_quotes.iter().any(|code| code == condition)
                || flags(condition) & self.leave_out_lean_quotes != 0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Price, Side, UnixNanos};

    fn trade<'a>(feed: &'a str, conditions: &'a str, tape: &'a str, size: i64) -> Trade<&'a str> {
        Trade {
            symbol: "X",
            feed,
            venue: "P",
            id: "1",
            ts: UnixNanos(0),
            recv_ts: UnixNanos(0),
            price: Price::from_billionths(1),
            size: Size::from_whole(size),
            side: Side::Unknown,
            conditions,
            tape,
            seq: 0,
            revision: 0,
            canceled: false,
        }
    }

    fn effect(policy: &str, feed: &str, conditions: &str, tape: &str, size: i64) -> Effect {
        let trade = trade(feed, conditions, tape, size);
        let policy = Policy::named(policy).unwrap();
        let effect = policy.effect(&trade);
        // The cache must not change an effect, whether computed for the first time or the second.
        let mut effects = Effects::new(policy);
        for regular in [true, false, true] {
            let vocabulary = Vocabulary::of(feed, trade.symbol);
            assert_eq!(effects.of(&trade, vocabulary, regular), effect.at(regular));
        }
        effect
    }

    #[test]
    fn what_a_print_may_update() {
        for (policy, feed, conditions, tape, size, regular, extended, day) in [
            ("sip", "alpaca.sip", r#"["@"]"#, "C", 100, 7, 7, 7),
            ("sip", "alpaca.sip", r#"[]"#, "C", 100, 7, 7, 7),
            ("sip", "alpaca.sip", r#"[" ","I"]"#, "A", 5, 4, 4, 4),
            ("sip", "alpaca.sip", r#"["@","T"]"#, "C", 100, 4, 7, 4),
            ("sip", "alpaca.sip", r#"["@","T","I"]"#, "C", 10, 4, 4, 4),
            ("sip", "alpaca.sip", r#"["B"]"#, "A", 100, 4, 4, 4),
            ("sip", "alpaca.sip", r#"["B"]"#, "C", 100, 7, 7, 7),
            ("sip", "alpaca.sip", r#"["M"]"#, "C", 100, 0, 0, 0),
            ("sip", "alpaca.sip", r#"["9"]"#, "C", 100, 3, 3, 3),
            ("sip", "alpaca.sip", r#"["@","4"]"#, "C", 100, 5, 5, 5),
            ("sip", "alpaca.sip", r#"["?!"]"#, "C", 100, 4, 4, 4),
            ("sip", "massive.sip", r#"["14","41"]"#, "", 100, 7, 7, 7),
            ("sip", "massive.sip", r#"["4"]"#, "", 100, 7, 7, 7),
            ("sip", "massive.sip", r#"["10"]"#, "", 100, 5, 5, 5),
            ("sip", "lean.sip", r#"["20000020"]"#, "", 100, 7, 7, 7),
            ("sip", "lean.sip", r#"["20002000"]"#, "", 100, 4, 7, 4),
            ("sip", "lean.sip", r#"["80000001"]"#, "", 100, 4, 4, 4),
            ("lean", "lean.sip", r#"["1"]"#, "", 100, 7, 7, 4),
            ("lean", "lean.sip", r#"["1"]"#, "", 99, 0, 0, 0),
            ("lean", "lean.sip", r#"["20000020"]"#, "", 100, 4, 4, 4),
            ("lean", "lean.sip", r#"["20002020"]"#, "", 100, 7, 7, 4),
            ("lean", "lean.sip", r#"["20000040"]"#, "", 100, 0, 0, 0),
            // A suspicious print counts towards volume.
            ("lean", "lean.sip", r#"["1","suspicious"]"#, "", 100, 4, 4, 4),
            // An average price print sets prices, unless it is exempt from the trade-through rule.
            ("lean", "lean.sip", r#"["100000"]"#, "", 100, 7, 7, 4),
            ("lean", "lean.sip", r#"["20100000"]"#, "", 100, 4, 4, 4),
            ("lean", "lean.sip", r#"["20100200"]"#, "", 100, 4, 4, 4),
            // Crosses of the open and the close.
            ("lean", "lean.sip", r#"["20200040"]"#, "", 100, 0, 0, 0),
            ("sip", "lean.sip", r#"["20200040"]"#, "", 100, 7, 7, 7),
            ("sip", "lean.sip", r#"["20200080"]"#, "", 100, 7, 7, 7),
            // Flags that are all eligible under the tapes' rules.
            ("sip", "lean.sip", r#"["80010"]"#, "", 100, 7, 7, 7),
            ("sip", "lean.sip", r#"["1019100"]"#, "", 100, 0, 0, 0),
            ("sip", "lean.sip", r#"["19100"]"#, "", 100, 7, 7, 7),
            ("sip", "lean.sip", r#"["18000000"]"#, "", 100, 7, 7, 7),
            ("sip", "lean.sip", r#"["800000"]"#, "", 100, 7, 7, 7),
            ("sip", "lean.sip", r#"["400000"]"#, "", 100, 4, 4, 4),
            // Finnhub's numbers; an unknown one restricts nothing.
            ("sip", "finnhub", r#"["1"]"#, "", 100, 7, 7, 7),
            ("sip", "finnhub", r#"["8"]"#, "", 100, 7, 7, 7),
            ("sip", "finnhub", r#"["24"]"#, "", 100, 4, 7, 4),
            ("sip", "finnhub", r#"["12"]"#, "", 100, 4, 4, 4),
            ("sip", "finnhub", r#"["4"]"#, "", 100, 7, 7, 7),
            // Feeds without conditions.
            ("sip", "kraken", r#"["buy","limit"]"#, "", 1, 7, 7, 7),
            ("sip", "coinbase", r#"["SELL"]"#, "", 1, 7, 7, 7),
            ("sip", "binance", r#"["m"]"#, "", 1, 7, 7, 7),
            ("all", "lean.sip", r#"["1","suspicious"]"#, "", 1, 7, 7, 7),
        ] {
            let expected = Effect {
                regular: Updates(regular),
                extended: Updates(extended),
                day: Updates(day),
                official: Updates(0),
            };
            assert_eq!(
                effect(policy, feed, conditions, tape, size),
                expected,
                "{policy} {feed} {conditions} {tape}"
            );
        }
    }

    #[test]
    fn quotes_that_count_for_nothing() {
        let mut effects = Effects::new(Policy::named("lean").unwrap());
        for (array, feed, counts) in [
            (r#"["1"]"#, "lean.sip", true),
            (r#"["1","suspicious"]"#, "lean.sip", false),
            (r#"["8"]"#, "lean.sip", false),
            (r#"["9"]"#, "lean.sip", false),
            (r#"["800"]"#, "lean.sip", true),
            (r#"["8"]"#, "alpaca.sip", true),
            (r#"["suspicious"]"#, "alpaca.sip", false),
        ] {
            let vocabulary = Vocabulary::of(feed, "X");
            assert_eq!(effects.counts_quote(array, vocabulary), counts, "{feed} {array}");
        }
        let mut effects = Effects::new(Policy::named("sip").unwrap());
        assert!(effects.counts_quote(r#"["8","suspicious"]"#, Vocabulary::Lean));
    }

    #[test]
    fn trades_that_set_no_price_are_counted_by_reason() {
        let mut effects = Effects::new(Policy::named("sip").unwrap());
        let mut count = |feed: &str, conditions: &str, times: u64| {
            for _ in 0..times {
                let mut trade = trade(feed, conditions, "", 100);
                trade.symbol = "X";
                effects.of(&trade, Vocabulary::of(feed, "X"), true);
            }
        };
        count("alpaca.sip", r#"["@"]"#, 5);
        count("alpaca.sip", r#"["@","I"]"#, 4);
        count("alpaca.sip", r#"["buy"]"#, 3);
        count("finnhub", r#"["77"]"#, 2);
        let counts = effects.counts();
        let rows: Vec<_> =
            counts.rows().into_iter().map(|(_, names, c)| (names, c.trades, c.unpriced, c.unknown)).collect();
        assert_eq!(
            rows,
            [("I odd lot", 4, 4, false), ("buy (unknown)", 3, 3, true), ("77 (unknown)", 2, 0, true)]
        );
        let mut twice = counts.clone();
        twice.merge(&counts);
        assert_eq!((counts.unpriced(), twice.unpriced()), (7, 14));
    }

    /// Massive's own table: `updates_high_low`, `updates_open_close`, `updates_volume` of each condition it lists.
    #[test]
    fn sip_agrees_with_the_vendor() {
        let table: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/golden/massive_conditions.json")).unwrap();
        let list = table["results"].as_array().unwrap();
        assert_eq!(list.len(), 10);
        for condition in list {
            let rules = &condition["update_rules"]["consolidated"];
            let bit = |name: &str, bit: u8| if rules[name].as_bool().unwrap() { bit } else { 0 };
            let expected =
                bit("updates_high_low", 1) | bit("updates_open_close", 2) | bit("updates_volume", 4);
            let ours = effect("sip", "massive.sip", &format!("[\"{}\"]", condition["id"]), "", 100);
            assert_eq!(ours.regular.0, expected, "{condition}");
        }
    }

    #[test]
    fn a_faulty_table_is_refused() {
        for bad in [
            "",
            "name='x'\nunknown=['price']",
            "name='x'\nunknown=[]\nday='night'",
            "name='x'\nunknown=[]\nrules=1",
        ] {
            assert!(Policy::parse(bad).is_err(), "{bad}");
        }
        assert!(Policy::named("cta").unwrap_err().contains("expected sip, lean, all or official"));
    }
}
