//! Reads Lean data files into series.

use forecast::{Ohlcv, Series};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Bars of one symbol and how to walk over them.
pub(crate) struct LeanFile {
    /// In capitals.
    pub(crate) symbol: String,
    /// `daily`, `hour` or `minute`.
    pub(crate) interval: String,
    /// First and last day.
    pub(crate) span: String,
    /// Whether splits and dividends are adjusted for.
    pub(crate) adjustment: &'static str,
    /// The bars.
    pub(crate) series: Series,
    /// Bars after which the calendar repeats.
    pub(crate) season: usize,
    /// Bars of the first fit.
    pub(crate) first_fit: usize,
    /// Bars between fits.
    pub(crate) refit_every: usize,
}

/// Reads a daily or hourly file (`YYYYMMDD HH:MM,open,high,low,close,volume`, prices times 10,000) or a folder of minute
/// files (`YYYYMMDD_trade.zip`, milliseconds since midnight in place of the date).
pub(crate) fn read(path: &Path) -> Result<LeanFile> {
    let symbol = path.file_stem().and_then(|stem| stem.to_str()).ok_or("no file name")?;
    let folder = path.parent().ok_or("no folder")?;
    let interval = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // minute/spy/ stands one level deeper than daily/spy.zip.
    let factors = folder.with_file_name("factor_files").join(format!("{symbol}.csv"));
    let factors =
        if factors.exists() { parse_factors(&std::fs::read_to_string(factors)?)? } else { Vec::new() };
    let adjustment = if factors.is_empty() { "as traded" } else { "adjusted for splits and dividends" };
    let mut rows = Vec::new();
    if path.is_dir() {
        for (day, file) in minute_files(path)? {
            for line in lines(&file)? {
                rows.push((format!("{day} {line}"), file.clone()));
            }
        }
    } else {
        rows.extend(lines(path)?.into_iter().map(|line| (line, path.to_owned())));
    }
    let mut bars = Vec::with_capacity(rows.len());
    for (line, file) in &rows {
        bars.push(parse(line, &factors).map_err(|error| format!("{}: {error}: {line}", file.display()))?);
    }
    let day = |row: Option<&(String, PathBuf)>| {
        row.and_then(|(line, _)| line.get(..8)).unwrap_or_default().to_owned()
    };
    let span = format!("{} to {}", day(rows.first()), day(rows.last()));
    let (season, first_fit, refit_every) = match interval {
        "hour" => (7, 6_000, 6_000),
        // One day of bars is the season; what is left of the few days there are trains and tests.
        "minute" => {
            let season = per_day(&bars);
            (season, season + 200, 100)
        }
        _ => (5, 1_000, 252),
    };
    let (symbol, interval) = (symbol.to_uppercase(), interval.to_owned());
    let series = Series::new(bars)?;
    Ok(LeanFile { symbol, interval, span, adjustment, series, season, first_fit, refit_every })
}

/// Days and files of trades in a folder, ascending.
fn minute_files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(day) = name.strip_suffix("_trade.zip") {
            found.push((day.to_owned(), path.clone()));
        }
    }
    found.sort();
    Ok(found)
}

/// Lines of the only file in an archive.
fn lines(path: &Path) -> Result<Vec<String>> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut text = String::new();
    zip::ZipArchive::new(file)?.by_index(0)?.read_to_string(&mut text)?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Median number of bars per day.
fn per_day(bars: &[Ohlcv]) -> usize {
    let mut days: BTreeMap<i64, usize> = BTreeMap::new();
    for bar in bars {
        *days.entry(bar.start_ns.div_euclid(86_400_000_000_000)).or_default() += 1;
    }
    let mut counts: Vec<usize> = days.into_values().collect();
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied().unwrap_or(1)
}

/// Last date, factor of prices (splits and dividends) and factor of volume (splits), ascending.
type Factors = Vec<(u32, f64, f64)>;

fn parse_factors(text: &str) -> Result<Factors> {
    let parse = |line: &str| -> Result<(u32, f64, f64)> {
        let mut fields = line.split(',');
        let date = fields.next().ok_or("no date")?.parse()?;
        let dividends: f64 = fields.next().ok_or("no price factor")?.parse()?;
        let splits: f64 = fields.next().ok_or("no split factor")?.parse()?;
        Ok((date, dividends * splits, splits))
    };
    text.lines().filter(|line| !line.is_empty()).map(parse).collect()
}

/// `YYYYMMDD TIME,open,high,low,close,volume`; TIME is `HH:MM` or milliseconds since midnight.
fn parse(line: &str, factors: &[(u32, f64, f64)]) -> Result<Ohlcv> {
    let (time, rest) = line.split_once(',').ok_or("no columns")?;
    let (day, time) = time.split_once(' ').ok_or("no time")?;
    let date: u32 = day.parse()?;
    let midnight = jiff::civil::Date::strptime("%Y%m%d", day)?.to_zoned(jiff::tz::TimeZone::UTC)?;
    let milliseconds: i64 = match time.split_once(':') {
        Some((hour, minute)) => (hour.parse::<i64>()? * 60 + minute.parse::<i64>()?) * 60_000,
        None => time.parse()?,
    };
    let start_ns = i64::try_from(midnight.timestamp().as_nanosecond())? + milliseconds * 1_000_000;
    let values: Vec<f64> = rest.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?;
    let [open, high, low, close, volume] = values[..] else { return Err("expected 6 columns".into()) };
    let factor = factors.iter().find(|(last, ..)| date <= *last).map_or((1.0, 1.0), |(_, p, s)| (*p, *s));
    let price = |value: f64| value / 1e4 * factor.0;
    Ok(Ohlcv {
        start_ns,
        open: price(open),
        high: price(high),
        low: price(low),
        close: price(close),
        volume: volume / factor.1,
    })
}
