//! Explains a bar: what each print was allowed to update and why, and which print set which price.

use crate::Trade;
use crate::bar::{Bar, Feed, Values};
use crate::interval::Interval;
use crate::policy::Updates;

/// Effect of one print on its bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedPrint {
    /// What it was allowed to update.
    pub updates: Updates,
    /// Why: its conditions, and what each allows.
    pub reasons: Vec<String>,
    /// The prices of the bar that it set: `open`, `high`, `low`, `close`.
    pub sets: Vec<&'static str>,
}

/// Explains the prints of one bar, all of one symbol and feed, in time order.
///
/// A price is attributed to the first print (for the close, the last) that has it and was allowed to set it.
#[must_use]
pub fn explain(
    rules: &Feed,
    interval: Interval,
    bar: Option<&Bar>,
    trades: &[Trade<&str>],
) -> Vec<ExplainedPrint> {
    let mut prints: Vec<ExplainedPrint> = trades.iter().map(|trade| print(rules, interval, trade)).collect();
    let Some(Values::Trades(values)) = bar.map(|bar| &bar.values) else { return prints };
    let [open, high, low, close] = values.ohlc;
    for (name, price, needs) in [
        ("open", open, Updates::LAST),
        ("high", high, Updates::HIGH_LOW),
        ("low", low, Updates::HIGH_LOW),
        ("close", close, Updates::LAST),
    ] {
        let set = |needs: Updates| {
            let fits = |index: &usize| trades[*index].price == price && prints[*index].updates.has(needs);
            let mut all = 0..trades.len();
            match (name, needs) {
                ("close", Updates::OFFICIAL_CLOSE) => {
                    all.filter(fits).max_by_key(|index| trades[*index].size)
                }
                ("close", _) => all.rfind(fits),
                _ => all.find(fits),
            }
        };
        let official = if name == "close" { set(Updates::OFFICIAL_CLOSE) } else { None };
        // The open is in the range even if its print may not set high and low.
        if let Some(index) = official.or_else(|| set(needs)).or_else(|| set(Updates::LAST)) {
            prints[index].sets.push(name);
        }
    }
    prints
}

/// What a print was allowed to update, and why.
#[must_use]
pub fn print(rules: &Feed, interval: Interval, trade: &Trade<&str>) -> ExplainedPrint {
    let session = rules.calendar.day(trade.ts);
    let regular = session.is_regular(trade.ts.0);
    let pick = |(below, of_day): (Updates, Updates)| if interval.is_day() { of_day } else { below };
    let mut reasons = Vec::new();
    let effect = rules.policy.explain(trade, &mut |name, effect| {
        let allowed = pick(effect.at(regular));
        let limit = if allowed == Updates::ALL { String::new() } else { format!(" → {allowed} only") };
        reasons.push(format!("{name}{}", limit.replace("nothing only", "nothing")));
    });
    let mut updates = pick(effect.at(regular));
    if trade.canceled {
        reasons.push("canceled → nothing".to_owned());
        updates = Updates::default();
    }
    if interval.is_day() && !regular && updates != pick(effect.at(true)) {
        reasons.push("outside the regular session".to_owned());
    }
    if trade.revision > 0 {
        reasons.push(format!("corrected, revision {}", trade.revision));
    }
    if reasons.is_empty() {
        reasons.push("no conditions".to_owned());
    }
    ExplainedPrint { updates, reasons, sets: Vec::new() }
}
