//! Which print may set what: the condition policies, as data.
//!
//! A policy is a table (`crates/market/policy/*.toml`): for each sale condition, whether a print that carries it may
//! set high and low, open and last, and volume. A print updates what all of its conditions allow. Conditions are
//! stored as the feed sent them and brought into one vocabulary (`conditions.csv`) here.

use crate::codec::json::conditions;
use crate::{Size, Trade};
use rustc_hash::{FxHashMap, FxHasher};
use serde::Deserialize;
use std::fmt;
use std::hash::Hasher;

const VOCABULARY: &str = include_str!("../policy/conditions.csv");
const POLICIES: [(&str, &str); 3] = [
    ("sip", include_str!("../policy/sip.toml")),
    ("lean", include_str!("../policy/lean.toml")),
    ("all", include_str!("../policy/all.toml")),
];

/// What a print may update, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Updates(u8);

impl Updates {
    /// High and low.
    pub const HIGH_LOW: Self = Self(1);
    /// Open and last, which is the close.
    pub const LAST: Self = Self(2);
    /// Volume, VWAP and the count of trades.
    pub const VOLUME: Self = Self(4);
    /// All of them.
    pub const ALL: Self = Self(7);

    /// Whether it has all of the others' bits.
    #[must_use]
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
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
                        other => return Err(format!("`{other}` is not high_low, last or volume")),
                    },
            ))
        })
    }
}

impl fmt::Display for Updates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> =
            [(Self::LAST, "open/close"), (Self::HIGH_LOW, "high/low"), (Self::VOLUME, "volume")]
                .into_iter()
                .filter_map(|(bit, word)| self.has(bit).then_some(word))
                .collect();
        f.pad(&if words.is_empty() { "nothing".to_owned() } else { words.join(", ") })
    }
}

/// What a print may update, by when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// Bars below a day, in the regular session.
    pub regular: Updates,
    /// Bars below a day, outside it.
    pub extended: Updates,
    /// The day's bar, outside the regular session; within it, `regular` holds.
    pub day: Updates,
}

impl Effect {
    const NONE: Self = Self { regular: Updates(0), extended: Updates(0), day: Updates(0) };
    const ALL: Self = Self { regular: Updates::ALL, extended: Updates::ALL, day: Updates::ALL };

    const fn and(self, other: Self) -> Self {
        Self {
            regular: self.regular.and(other.regular),
            extended: self.extended.and(other.extended),
            day: self.day.and(other.day),
        }
    }

    /// For bars below a day and for the day.
    #[must_use]
    #[inline]
    pub const fn at(self, regular_session: bool) -> (Updates, Updates) {
        if regular_session { (self.regular, self.regular) } else { (self.extended, self.day) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    unknown: Vec<String>,
    #[serde(default)]
    minimum_size: u32,
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
    #[serde(default)]
    unless: Vec<String>,
}

#[derive(Debug, Clone)]
struct Rule {
    effect: Effect,
    unless: Vec<String>,
}

/// A condition policy.
#[derive(Debug, Clone)]
pub struct Policy {
    name: String,
    unknown: Effect,
    minimum_size: Size,
    /// Volume of a bar without a price goes to the latest earlier bar of the session.
    pub carries_volume: bool,
    day_regular_only: bool,
    rules: FxHashMap<String, Rule>,
}

impl Policy {
    /// `sip`, `lean` or `all`.
    ///
    /// # Errors
    /// There is no policy of that name.
    pub fn named(name: &str) -> Result<Self, String> {
        let (_, text) = POLICIES
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| format!("unknown condition policy `{name}`; known are sip, lean, all"))?;
        Self::parse(text)
    }

    /// Reads a policy's table.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File =
            toml::from_str(text).map_err(|error| format!("condition policy: {}", error.message()))?;
        let plain = |words: &[String]| {
            Updates::of(words).map(|updates| Effect { regular: updates, extended: updates, day: updates })
        };
        let mut rules = FxHashMap::default();
        for rule in &file.rule {
            let mut effect = plain(&rule.updates)?;
            if let Some(words) = &rule.extended {
                effect.extended = Updates::of(words)?;
            }
            for code in &rule.codes {
                rules.insert(code.clone(), Rule { effect, unless: rule.unless.clone() });
            }
        }
        let one_of = |what: &str, value: &str, word: &str| match value {
            "" => Ok(false),
            value if value == word => Ok(true),
            other => {
                Err(format!("condition policy {}: {what} is `{word}` or absent, not `{other}`", file.name))
            }
        };
        Ok(Self {
            carries_volume: one_of("volume_without_price", &file.volume_without_price, "previous")?,
            day_regular_only: one_of("day", &file.day, "regular")?,
            unknown: plain(&file.unknown)?,
            minimum_size: Size::from_whole(i64::from(file.minimum_size)),
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

    /// The same, telling `say` each condition's name and what it allows.
    pub fn explain(&self, trade: &Trade<&str>, say: &mut dyn FnMut(&str, Effect)) -> Effect {
        let small = trade.size < self.minimum_size;
        if small {
            say(&format!("smaller than {}", self.minimum_size), Effect::NONE);
        }
        let codes = Vocabulary::of(trade.feed).codes(trade.conditions, trade.tape);
        let mut effect = if small { Effect::NONE } else { self.by_codes(&codes, say) };
        if self.day_regular_only {
            effect.day = effect.day.and(Updates::VOLUME);
        }
        effect
    }

    fn by_codes(&self, codes: &[(String, String)], say: &mut dyn FnMut(&str, Effect)) -> Effect {
        codes.iter().fold(Effect::ALL, |sum, (code, name)| {
            let effect = match self.rules.get(code) {
                Some(rule) if codes.iter().any(|(other, _)| rule.unless.contains(other)) => Effect::ALL,
                Some(rule) => rule.effect,
                None => self.unknown,
            };
            say(name, effect);
            sum.and(effect)
        })
    }
}

/// How a feed writes conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    /// Letters of the consolidated tapes: Alpaca.
    Letters,
    /// Numbers of Massive/Polygon.
    Massive,
    /// Lean's hexadecimal mask.
    Lean,
}

struct Word {
    code: String,
    letter: String,
    tapes: String,
    massive: String,
    lean: u32,
    name: String,
}

fn words() -> &'static [Word] {
    static WORDS: std::sync::OnceLock<Vec<Word>> = std::sync::OnceLock::new();
    WORDS.get_or_init(|| {
        let lines = VOCABULARY.lines().filter(|line| !line.starts_with('#')).skip(1);
        lines
            .map(|line| {
                let field: Vec<&str> = line.splitn(6, ',').collect();
                let text =
                    |index: usize| field.get(index).copied().unwrap_or_default().trim_matches('"').to_owned();
                Word {
                    code: text(0),
                    letter: text(1),
                    tapes: text(2),
                    massive: text(3),
                    lean: text(4).split(' ').filter_map(|bit| u32::from_str_radix(bit, 16).ok()).sum(),
                    name: text(5),
                }
            })
            .collect()
    })
}

impl Vocabulary {
    /// By the feed's vendor: what stands before the dot.
    #[must_use]
    pub fn of(feed: &str) -> Self {
        match feed.split('.').next() {
            Some("lean") => Self::Lean,
            Some("massive" | "polygon") => Self::Massive,
            _ => Self::Letters,
        }
    }

    /// Code and name of each condition of a print. What is unknown keeps its own text as both.
    fn codes(self, array: &str, tape: &str) -> Vec<(String, String)> {
        let mut out = Vec::new();
        let mut push = |found: Option<&Word>, raw: &str| match found {
            Some(word) => {
                out.push((word.code.clone(), format!("{raw} {}", word.name).trim_start().to_owned()))
            }
            None => out.push((format!("?{raw}"), format!("{raw} (unknown)"))),
        };
        for raw in conditions(array) {
            let text = raw.trim();
            match self {
                _ if text == "suspicious" => push(words().iter().find(|word| word.code == text), ""),
                Self::Letters if text.is_empty() => push(words().iter().find(|word| word.code == "@"), raw),
                Self::Letters => push(
                    words().iter().find(|word| {
                        word.letter == text
                            && (word.tapes.is_empty() || tape.is_empty() || word.tapes.contains(tape))
                    }),
                    raw,
                ),
                Self::Massive => push(words().iter().find(|word| word.massive == text), raw),
                Self::Lean => match u32::from_str_radix(text, 16) {
                    Ok(mask) => (0..32).map(|bit| 1 << bit).filter(|bit| mask & bit != 0).for_each(|bit| {
                        push(words().iter().find(|word| word.lean & bit != 0), &format!("{bit:x}"));
                    }),
                    Err(_) => push(None, raw),
                },
            }
        }
        out
    }
}

/// Effects already worked out: prints carry the same few sets of conditions over and over.
#[derive(Debug, Clone)]
pub struct Effects {
    policy: Policy,
    known: Vec<Option<Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    conditions: Box<str>,
    tape: Box<str>,
    vendor: Vocabulary,
    effect: Effect,
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
    /// Of a policy.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, known: vec![None; SLOTS] }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// As [`Policy::effect`].
    #[inline]
    pub fn of(&mut self, trade: &Trade<&str>, vendor: Vocabulary) -> Effect {
        if trade.size < self.policy.minimum_size {
            return Effect::NONE;
        }
        let mut hasher = FxHasher::default();
        hasher.write(trade.conditions.as_bytes());
        let slot = (hasher.finish() >> 32) as usize % SLOTS;
        if let Some(known) = &self.known[slot]
            && same(&known.conditions, trade.conditions)
            && same(&known.tape, trade.tape)
            && known.vendor == vendor
        {
            return known.effect;
        }
        let effect = self.policy.effect(trade);
        self.known[slot] =
            Some(Known { conditions: trade.conditions.into(), tape: trade.tape.into(), vendor, effect });
        effect
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Price, Side, UnixNanos};

    fn effect(policy: &str, feed: &str, conditions: &str, tape: &str, size: i64) -> Effect {
        let trade = Trade {
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
        };
        let policy = Policy::named(policy).unwrap();
        let effect = policy.effect(&trade);
        // The cache must not change an answer, asked for the first time or the second.
        let mut effects = Effects::new(policy);
        for _ in 0..2 {
            assert_eq!(effects.of(&trade, Vocabulary::of(feed)), effect);
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
            ("lean", "lean.sip", r#"["1","suspicious"]"#, "", 100, 0, 0, 0),
            ("all", "lean.sip", r#"["1","suspicious"]"#, "", 1, 7, 7, 7),
        ] {
            let expected =
                Effect { regular: Updates(regular), extended: Updates(extended), day: Updates(day) };
            assert_eq!(
                effect(policy, feed, conditions, tape, size),
                expected,
                "{policy} {feed} {conditions} {tape}"
            );
        }
    }

    /// Massive's own table: `updates_high_low`, `updates_open_close`, `updates_volume` of each condition it lists.
    #[test]
    fn sip_agrees_with_the_vendor() {
        let table: serde_json::Value =
            serde_json::from_str(include_str!("../tests/golden/massive_conditions.json")).unwrap();
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
        assert!(Policy::named("cta").unwrap_err().contains("known are sip, lean, all"));
    }
}
