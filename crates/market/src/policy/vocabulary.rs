//! How feeds encode sale conditions, and the vocabulary to which they are mapped.

use crate::codec::json::conditions;

const TABLE: &str = include_str!("../../policy/conditions.csv");

/// How a feed encodes sale conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    /// Letters of the consolidated tapes: Alpaca.
    Letters,
    /// Numbers of Massive/Polygon.
    Massive,
    /// Hexadecimal mask of QuantConnect's Lean.
    Lean,
    /// Numbers of Finnhub, which are neither Massive's nor letters.
    Finnhub,
    /// No sale conditions: crypto and currencies. The contents of the field restrict nothing.
    Absent,
}

/// A condition of a trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    /// Its code in the vocabulary; `None` if it has none.
    pub(super) code: Option<&'static str>,
    /// The feed's own text and the condition's name.
    pub(super) name: String,
}

struct Word {
    code: String,
    letter: String,
    tapes: String,
    massive: String,
    lean: u32,
    finnhub: String,
    name: String,
}

fn words() -> &'static [Word] {
    static WORDS: std::sync::OnceLock<Vec<Word>> = std::sync::OnceLock::new();
    WORDS.get_or_init(|| {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).skip(1);
        lines
            .map(|line| {
                let field: Vec<&str> = line.splitn(7, ',').collect();
                let text =
                    |index: usize| field.get(index).copied().unwrap_or_default().trim_matches('"').to_owned();
                Word {
                    code: text(0),
                    letter: text(1),
                    tapes: text(2),
                    massive: text(3),
                    lean: text(4).split(' ').filter_map(|bit| u32::from_str_radix(bit, 16).ok()).sum(),
                    finnhub: text(5),
                    name: text(6),
                }
            })
            .collect()
    })
}

fn word(is: impl Fn(&Word) -> bool) -> Option<&'static Word> {
    words().iter().find(|word| is(word))
}

impl Vocabulary {
    /// Chosen by the feed's vendor, the part before the dot, and by the symbol: Finnhub's symbols of other
    /// venues, `BINANCE:BTCUSDT` or `OANDA:EUR_USD`, carry no sale conditions.
    #[must_use]
    pub fn of(feed: &str, symbol: &str) -> Self {
        match feed.split('.').next() {
            Some("lean") => Self::Lean,
            Some("massive" | "polygon") => Self::Massive,
            Some("finnhub") if symbol.contains(':') => Self::Absent,
            Some("finnhub") => Self::Finnhub,
            Some("coinbase" | "kraken" | "binance") => Self::Absent,
            _ if feed.starts_with("alpaca.crypto") => Self::Absent,
            _ => Self::Letters,
        }
    }

    /// Whether the table contains all of the vendor's conditions. If not, an unknown one is reported and
    /// restricts nothing: Finnhub's list is not public, and the table has only the codes that its examples
    /// prove.
    pub(super) const fn is_complete(self) -> bool {
        !matches!(self, Self::Finnhub)
    }

    /// The conditions of a trade, from the JSON array `array`, on a tape.
    pub(super) fn codes(self, array: &str, tape: &str) -> Vec<Code> {
        let mut out = Vec::new();
        if self == Self::Absent {
            return out;
        }
        let mut push = |found: Option<&'static Word>, raw: &str| {
            let name = found.map_or_else(
                || format!("{raw} (unknown)"),
                |word| format!("{raw} {}", word.name).trim_start().to_owned(),
            );
            out.push(Code { code: found.map(|word| word.code.as_str()), name });
        };
        for raw in conditions(array) {
            let text = raw.trim();
            if text == "suspicious" {
                push(word(|word| word.code == text), "");
                continue;
            }
            match self {
                Self::Letters if text.is_empty() => push(word(|word| word.code == "@"), raw),
                Self::Letters => {
                    let on_tape =
                        |word: &Word| word.tapes.is_empty() || tape.is_empty() || word.tapes.contains(tape);
                    push(word(|word| word.letter == text && on_tape(word)), raw);
                }
                Self::Massive => push(word(|word| word.massive == text), raw),
                Self::Finnhub => push(word(|word| word.finnhub == text), raw),
                Self::Lean => match u32::from_str_radix(text, 16) {
                    Ok(mask) => (0..32).map(|bit| 1 << bit).filter(|bit| mask & bit != 0).for_each(|bit| {
                        push(word(|word| word.lean & bit != 0), &format!("{bit:x}"));
                    }),
                    Err(_) => push(None, raw),
                },
                Self::Absent => {}
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every bit of QuantConnect's TradeConditionFlags except the one that it calls undocumented.
    #[test]
    fn every_flag_of_lean_has_a_name() {
        let names: Vec<String> = (0..32)
            .map(|bit| Vocabulary::Lean.codes(&format!("[\"{:x}\"]", 1_u32 << bit), "").remove(0))
            .map(|code| code.name)
            .collect();
        let unknown: Vec<&String> = names.iter().filter(|name| name.contains("unknown")).collect();
        assert_eq!(unknown, ["40000000 (unknown)"]);
        for (mask, name) in [
            ("10", "10 yellow flag"),
            ("100", "100 re-opening prints"),
            ("1000", "1000 stopped stock"),
            ("8000", "8000 split trade"),
            ("10000", "10000 acquisition"),
            ("80000", "80000 distribution"),
            ("200000", "200000 cross trade"),
            ("400000", "400000 price variation"),
            ("800000", "800000 rule 155 or 127"),
            ("8000000", "8000000 CAP election"),
            ("10000000", "10000000 automatic execution"),
        ] {
            assert!(names.contains(&name.to_owned()), "{mask} is not {name}: {names:?}");
        }
    }

    #[test]
    fn finnhubs_numbers_are_no_letters() {
        let names = |array: &str, symbol: &str| -> Vec<String> {
            let codes = Vocabulary::of("finnhub", symbol).codes(array, "");
            codes.into_iter().map(|code| code.name).collect()
        };
        let known =
            ["1 regular sale", "8 intermarket sweep", "24 Form T: outside regular hours", "12 odd lot"];
        assert_eq!(names(r#"["1","8","24","12"]"#, "TSLA"), known);
        assert_eq!(names(r#"["4"]"#, "TSLA"), ["4 (unknown)"]);
        assert_eq!(names(r#"["1"]"#, "BINANCE:BTCUSDT"), [""; 0]);
    }

    #[test]
    fn feeds_without_conditions() {
        for feed in ["kraken", "coinbase", "binance", "alpaca.crypto", "binance.us"] {
            assert_eq!(Vocabulary::of(feed, "BTC/USD"), Vocabulary::Absent, "{feed}");
            assert_eq!(Vocabulary::of(feed, "BTC/USD").codes(r#"["buy","limit"]"#, ""), []);
        }
        assert_eq!(Vocabulary::of("alpaca.iex", "SPY"), Vocabulary::Letters);
    }
}
