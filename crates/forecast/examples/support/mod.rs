//! Reads Lean data files into series.

use forecast::{Ohlcv, Series};
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bars of one file and how to walk over them.
pub(crate) struct LeanFile {
    /// Symbol and interval.
    pub(crate) name: String,
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

/// Reads a daily or hourly file (`YYYYMMDD HH:MM,open,high,low,close,volume`, prices times 10,000).
pub(crate) fn read(path: &Path) -> Result<LeanFile, Box<dyn Error>> {
    let symbol = path.file_stem().and_then(|stem| stem.to_str()).ok_or("no file name")?;
    let interval = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let mut text = String::new();
    let mut archive =
        zip::ZipArchive::new(File::open(path).map_err(|error| format!("{}: {error}", path.display()))?)?;
    archive.by_index(0)?.read_to_string(&mut text)?;
    let factors = path.with_file_name("..").join("factor_files").join(format!("{symbol}.csv"));
    let factors =
        if factors.exists() { parse_factors(&std::fs::read_to_string(factors)?)? } else { Vec::new() };
    let adjustment = if factors.is_empty() { "as traded" } else { "adjusted for splits and dividends" };
    let mut bars = Vec::new();
    for (number, line) in text.lines().enumerate() {
        bars.push(
            parse(line, &factors)
                .map_err(|error| format!("{}, line {}: {error}", path.display(), number + 1))?,
        );
    }
    let day = |line: Option<&str>| line.and_then(|line| line.get(..8)).unwrap_or_default().to_owned();
    let span = format!("{} to {}", day(text.lines().next()), day(text.lines().last()));
    let (season, first_fit, refit_every) = if interval == "hour" { (7, 6000, 6000) } else { (5, 1000, 252) };
    let name = format!("{} {interval}", symbol.to_uppercase());
    Ok(LeanFile { name, span, adjustment, series: Series::new(bars)?, season, first_fit, refit_every })
}

/// Last date, factor of prices (splits and dividends) and factor of volume (splits), ascending.
type Factors = Vec<(u32, f64, f64)>;

fn parse_factors(text: &str) -> Result<Factors, Box<dyn Error>> {
    let parse = |line: &str| -> Result<(u32, f64, f64), Box<dyn Error>> {
        let mut fields = line.split(',');
        let date = fields.next().ok_or("no date")?.parse()?;
        let dividends: f64 = fields.next().ok_or("no price factor")?.parse()?;
        let splits: f64 = fields.next().ok_or("no split factor")?.parse()?;
        Ok((date, dividends * splits, splits))
    };
    text.lines().filter(|line| !line.is_empty()).map(parse).collect()
}

fn parse(line: &str, factors: &[(u32, f64, f64)]) -> Result<Ohlcv, Box<dyn Error>> {
    let (time, rest) = line.split_once(',').ok_or("no columns")?;
    let date: u32 = time.get(..8).ok_or("no date")?.parse()?;
    let start = jiff::civil::DateTime::strptime("%Y%m%d %H:%M", time)?;
    let start_ns = i64::try_from(start.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_nanosecond())?;
    let values: Vec<f64> = rest.split(',').map(str::parse).collect::<Result<_, _>>()?;
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
