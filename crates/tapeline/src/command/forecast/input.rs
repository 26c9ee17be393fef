//! Bars for the models: from the store or a CSV file.

use super::options::BarInput;
use crate::command::bars;
use crate::context::Context;
use forecast::Ohlcv;
use market::adjust::{Adjust, Factors};
use market::calendar::Calendar;
use market::{Kind, Price, UnixNanos};
use ports::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tapeline::open;

const DAY_NS: i64 = 86_400_000_000_000;

/// Bars of one symbol, their start in local time of the exchange.
pub(crate) struct Input {
    pub(crate) bars: Vec<Ohlcv>,
    /// Number of bars after which the calendar repeats.
    pub(crate) season: usize,
}

pub(crate) fn load(context: &Context, symbol: &str, options: &BarInput) -> Result<Input> {
    let daily = options.bars.interval().is_day();
    if let Some(path) = &options.file {
        let (from, to) = options.span.range()?;
        let mut found = read_csv(path)?;
        found.retain(|bar| (from.0..to.0).contains(&bar.start_ns));
        if options.is_adjusted() {
            let factors = bars::factors(symbol, &options.bars)?;
            found.iter_mut().for_each(|bar| adjust(bar, &factors, options.bars.adjust()));
        }
        let season = if daily { 5 } else { per_day(&found) };
        return Ok(Input { bars: found, season });
    }
    let store = open::store(&context.config)?;
    let found = bars::load(context, &*store, Kind::TRADE, symbol, options.span.range()?, &options.bars)?;
    if found.is_empty() {
        return Err(Error::user(bars::none(&*store, Kind::TRADE, symbol, &options.bars)));
    }
    let feeds: BTreeSet<&str> = found.iter().map(|bar| bar.feed.as_str()).collect();
    if feeds.len() > 1 {
        let names: Vec<&str> = feeds.into_iter().collect();
        return Err(Error::user(format!("{symbol}: expected bars of one feed, found {}", names.join(", ")))
            .hint("choose one: --feed NAME"));
    }
    let rules = open::bars(&context.config)?.feeds;
    let rule = rules.iter().find(|rules| found[0].feed.starts_with(&rules.prefix)).or(rules.last());
    let calendar = rule.map_or(Calendar::XNYS, |rules| rules.calendar);
    let finished = found.iter().filter(|bar| bar.is_final);
    let bars: Vec<Ohlcv> = finished.filter_map(|bar| pipeline::forecast::ohlcv(calendar, bar)).collect();
    if bars.is_empty() {
        return Err(Error::user(format!(
            "{symbol}: expected finished bars of trades, found {} others",
            found.len()
        ))
        .hint("finish them: tapeline aggregate --until-end"));
    }
    let week = if calendar.name() == Calendar::ALWAYS.name() { 7 } else { 5 };
    let season = if daily { week } else { per_day(&bars) };
    Ok(Input { bars, season })
}

/// As [`Factors::apply`], for the bars of a file: their dates are those of their text.
fn adjust(bar: &mut Ohlcv, factors: &Factors, adjust: Adjust) {
    let date = UnixNanos(bar.start_ns).local("%Y%m%d", "UTC").parse().unwrap_or(u32::MAX);
    let (price, split) = factors.on(date);
    let [price, split] = [price, split].map(|factor| Price::from_raw(factor).to_f64());
    let factor = if adjust == Adjust::All { price * split } else { split };
    for value in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close] {
        *value *= factor;
    }
    bar.volume /= split;
}

/// Median number of bars per day: the season of intraday bars.
fn per_day(bars: &[Ohlcv]) -> usize {
    let mut days: BTreeMap<i64, usize> = BTreeMap::new();
    for bar in bars {
        *days.entry(bar.start_ns.div_euclid(DAY_NS)).or_default() += 1;
    }
    let mut counts: Vec<usize> = days.into_values().collect();
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied().unwrap_or(1).max(1)
}

fn read_csv(path: &Path) -> Result<Vec<Ohlcv>> {
    let text = std::fs::read_to_string(path).map_err(ports::error::io("read bars", path))?;
    // Without the byte order mark of spreadsheets.
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header: Vec<&str> =
        lines.next().map(|(_, line)| line.split(',').map(str::trim).collect()).unwrap_or_default();
    let column = |name: &str| {
        header.iter().position(|found| found.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let found = header.join(",");
            Error::user(format!("expected a column `{name}`, found `{found}` ({}, line 1)", path.display()))
        })
    };
    let start = column("start")?;
    let mut columns = [0; 5];
    for (slot, name) in columns.iter_mut().zip(["open", "high", "low", "close", "volume"]) {
        *slot = column(name)?;
    }
    lines.map(|(index, line)| parse_row(line, start, columns).map_err(|e| at_line(path, index, &e))).collect()
}

fn at_line(path: &Path, index: usize, error: &str) -> Error {
    Error::user(format!("{error} ({}, line {})", path.display(), index + 1))
}

fn parse_row(line: &str, start: usize, columns: [usize; 5]) -> std::result::Result<Ohlcv, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let field = |at: usize| {
        fields.get(at).copied().ok_or_else(|| format!("expected {} columns, found {}", at + 1, fields.len()))
    };
    let start_ns = UnixNanos::parse(field(start)?).map_err(|error| error.to_string())?.0;
    let mut values = [0.0; 5];
    for (value, at) in values.iter_mut().zip(columns) {
        let text = field(at)?;
        *value = text.parse().map_err(|_| format!("expected a number, found `{text}`"))?;
    }
    let [open, high, low, close, volume] = values;
    Ok(Ohlcv { start_ns, open, high, low, close, volume })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_errors_name_the_line_and_what_was_expected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bars.csv");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_csv(&path)
        };
        let good = read("start,feed,open,high,low,close,volume\n2024-01-02,x,1,2,0.5,1.5,100\n").unwrap();
        assert_eq!((good.len(), good[0].high, good[0].volume), (1, 2.0, 100.0));
        let marked = read("\u{feff}start,open,high,low,close,volume\n2024-01-02,1,2,0.5,1.5,100\n").unwrap();
        assert_eq!(marked.len(), 1);
        let missing = read("start,open,high,low,volume\n").unwrap_err().to_string();
        assert!(missing.contains("expected a column `close`"), "{missing}");
        let short = read("start,open,high,low,close,volume\n2024-01-02,1,2\n").unwrap_err().to_string();
        assert!(short.contains("expected 4 columns, found 3") && short.contains("line 2"), "{short}");
        let word = read("start,open,high,low,close,volume\n2024-01-02,1,2,1,x,5\n").unwrap_err().to_string();
        assert!(word.contains("expected a number, found `x`"), "{word}");
    }
}
