//! Arguments of the verbs that read the store: query, explain and plot.

use crate::export::RowFormat;
use crate::time_input::Zone;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use market::Kind;
use market::kind::BarShape;
use market::policy::Policy;
use std::path::PathBuf;
use std::sync::LazyLock;

/// Kind of rows to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct What {
    pub(crate) kind: Kind,
    /// Bars of the kind instead of its records.
    pub(crate) of_bars: bool,
}

impl ValueEnum for What {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: LazyLock<Vec<What>> = LazyLock::new(|| {
            let records = Kind::ALL.into_iter().map(|kind| What { kind, of_bars: false });
            records.chain(Kind::aggregated().map(|kind| What { kind, of_bars: true })).collect()
        });
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        if !self.of_bars {
            return Some(PossibleValue::new(self.kind.plural()).alias(self.kind.name()));
        }
        let shape = self.kind.bars()?;
        let value = PossibleValue::new(shape.name());
        Some(match shape {
            BarShape::Trades => value.alias("bar"),
            BarShape::Quotes => value.help("Bars of bid and ask"),
            BarShape::Readings => {
                value.help("First, highest, lowest, last, sum, mean and count of the readings of an interval")
            }
        })
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct QueryOptions {
    /// Kind of rows
    #[arg(value_enum)]
    pub(crate) what: What,
    /// One or more symbols: SPY or SPY,IBM, a comma within a symbol written \,; of readings and their bars one series, for
    /// example boiler-7.temperature
    #[arg(required = true, value_name = "SYMBOL")]
    pub(crate) symbols: Vec<String>,
    #[command(flatten)]
    pub(crate) span: Span,
    /// Maximum number of rows of each symbol [default: 100 for a table, otherwise all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Output format [default: from the extension of --out, otherwise a table]
    #[arg(long, value_enum)]
    pub(crate) format: Option<RowFormat>,
    /// Output file, in the format of its extension (.csv, .json, .ndjson, .parquet, .arrow); - is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) bars: BarOptions,
}

/// A span of event time, and the zone it is written in.
#[derive(Debug, Clone, Args)]
pub(crate) struct Span {
    /// Start, inclusive: 2013-10-08, 2013-10-08T09:30, 09:30 (today), today, -1h, 2013-10-08T13:30:00Z or
    /// 2013-10-08T09:30[America/New_York]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// End, exclusive
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
    /// Time zone of times without one, and of printed times: UTC or an IANA name, as America/New_York [default: times
    /// are read in the zone of the symbol's exchange where the command is about a symbol, else in UTC; printed in UTC]
    #[arg(long, value_name = "ZONE", value_parser = Zone::parse)]
    pub(crate) tz: Option<Zone>,
}

impl Span {
    /// Checks that both are valid times in order, before the store is queried for the zone of a symbol.
    pub(crate) fn check(&self) -> ports::Result<()> {
        let zoned = [&self.from, &self.to].map(|time| time.as_deref().map(Zone::is_needed));
        match zoned {
            // A time with a zone and one without cannot be compared yet.
            [Some(from), Some(to)] if from != to => {
                let alone = |from, to| crate::time_input::range(from, to, &Zone::utc()).map(drop);
                alone(self.from.as_deref(), None)?;
                alone(None, self.to.as_deref())
            }
            _ => self.range_in(&Zone::utc()).map(drop),
        }
    }

    /// Start and end, in UTC unless the time or `--tz` names a zone.
    pub(crate) fn range(&self) -> ports::Result<(market::UnixNanos, market::UnixNanos)> {
        self.range_in(&self.tz.clone().unwrap_or_else(Zone::utc))
    }

    /// Start and end, in `zone` unless the time names its own.
    pub(crate) fn range_in(&self, zone: &Zone) -> ports::Result<(market::UnixNanos, market::UnixNanos)> {
        crate::time_input::range(self.from.as_deref(), self.to.as_deref(), zone)
    }
}

/// Selection of bars.
#[derive(Debug, Clone, Args)]
pub(crate) struct BarOptions {
    /// Only this feed, for example alpaca.sip
    #[arg(long, value_name = "NAME")]
    pub(crate) feed: Option<String>,
    /// Interval of the bars, for example 1s, 1m, 5m, 1h, 1d [default: 1m]
    #[arg(long, value_name = "INTERVAL")]
    interval: Option<market::interval::Interval>,
    /// Rebuild the bars from the stored trades under another condition policy: sip, lean, all or official
    #[arg(long, value_name = "POLICY", value_parser = policy)]
    pub(crate) policy: Option<Policy>,
    /// Adjust bars for splits, or for splits and dividends: none, split or all [default: none]
    #[arg(long, value_name = "WHAT")]
    adjust: Option<market::adjust::Adjust>,
    /// Folder of factor files, one SYMBOL.csv each, for --adjust
    #[arg(long, value_name = "DIR", env = "TAPELINE_FACTORS")]
    pub(crate) factors: Option<PathBuf>,
}

impl BarOptions {
    pub(crate) fn interval(&self) -> market::interval::Interval {
        self.interval.unwrap_or(market::interval::Interval::M1)
    }

    pub(crate) fn adjust(&self) -> market::adjust::Adjust {
        self.adjust.unwrap_or(market::adjust::Adjust::None)
    }

    /// The first given flag that applies only to bars.
    pub(crate) fn about_bars(&self) -> Option<&'static str> {
        match self {
            Self { interval: Some(_), .. } => Some("--interval"),
            Self { policy: Some(_), .. } => Some("--policy"),
            Self { adjust: Some(_), .. } => Some("--adjust"),
            _ => None,
        }
    }
}

fn policy(name: &str) -> Result<Policy, String> {
    Policy::named(name)
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainOptions {
    /// Symbol, for example SPY
    pub(crate) symbol: String,
    /// A time within the bar: 2013-10-08 (for --interval 1d), 2013-10-08T09:30, 09:30 (today) or 2013-10-08T13:30:00Z
    #[arg(allow_hyphen_values = true)]
    pub(crate) time: String,
    /// Interval of the bar
    #[arg(long, value_name = "INTERVAL", default_value = "1s")]
    pub(crate) interval: market::interval::Interval,
    /// Only this feed, for example alpaca.sip
    #[arg(long, value_name = "NAME")]
    pub(crate) feed: Option<String>,
    /// Condition policy: sip, lean, all or official [default: the feed's, from the settings]
    #[arg(long, value_name = "POLICY", value_parser = policy)]
    pub(crate) policy: Option<Policy>,
    /// Time zone of a time without one, and of printed times: UTC or an IANA name [default: the
    /// symbol's exchange for input, UTC for output]
    #[arg(long, value_name = "ZONE", value_parser = Zone::parse)]
    pub(crate) tz: Option<Zone>,
    /// Maximum number of prints to show [default: 200; with --format json all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

/// Kind of plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    /// Candles, volume and indicators
    Candles,
    /// Histogram of bar-to-bar returns
    Returns,
    /// Correlation of the returns, as a heat map
    Correlation,
    /// The newest forecast of `forecast run`, as a fan with its track record
    Forecast,
    /// Mean of a series of readings as a line, and its lowest to highest values as a band
    Readings,
}

/// Part of an exchange's day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Session {
    Regular,
    /// With pre-market and post-market, shaded
    Extended,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PlotOptions {
    /// One or more symbols: SPY or SPY,IBM, a comma within a symbol written \,; or one series of readings
    #[arg(required = true)]
    pub(crate) symbols: Vec<String>,
    /// Kind of plot [default: candles; readings for a series of readings]
    #[arg(long, value_enum)]
    pub(crate) kind: Option<Drawing>,
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(flatten)]
    pub(crate) bars: BarOptions,
    /// Indicators: sma:20, ema:50, bollinger:20:2, vwap over the prices; rsi:14, macd:12:26:9, atr:14 below
    /// them
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) indicator: Vec<market::indicator::Indicator>,
    /// Part of the day to draw for intraday bars: regular hours only, or including pre-market and post-market
    #[arg(long, value_enum, default_value_t = Session::Regular)]
    pub(crate) session: Session,
    /// Output file: FILE.svg, FILE.png, or FILE.html to zoom, scroll and point at
    #[arg(long, value_name = "FILE", value_parser = crate::plot::out)]
    pub(crate) out: PathBuf,
    /// Width and height in pixels, 200 to 8000 each
    #[arg(long, value_name = "WxH", default_value = "1280x720", value_parser = crate::plot::size)]
    pub(crate) size: (u32, u32),
}
