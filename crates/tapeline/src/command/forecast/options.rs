//! Arguments of `tapeline forecast`.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are help texts, where brackets mean optional"
)]

use crate::cli::{BarOptions, Format, Reported, Span};
use clap::{Args, Subcommand};
use market::adjust::Adjust;
use std::path::PathBuf;

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Forecast {
    /// Evaluate all models walk-forward on stored bars (or a file), fit them, and save a new version
    Train(Reported<TrainOptions>),
    /// Forecast from every new bar on the topic, and score the forecasts when their truth arrives
    Run(Reported<RunOptions>),
    /// Show forecasts made by `run`, newest first, and how they did
    History(HistoryOptions),
    /// Show forecasts from the newest bar, with intervals and track records
    Show(Reported<ShowOptions>),
    /// Show the walk-forward scores of all models and whether they beat the baselines
    Score(Reported<VersionOptions>),
    /// List trained versions
    List(Reported<ListOptions>),
    /// Forecast the next readings of a series by simple rules that need no training, and show how they did before
    Baseline(BaselineOptions),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BaselineOptions {
    /// Series, for example boiler-7.temperature
    pub(crate) series: String,
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(flatten)]
    pub(crate) bars: BarOptions,
    /// Number of bars ahead to forecast [default: 1, and a season]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(crate) horizons: Vec<usize>,
    /// Number of bars after which values repeat [default: those of a day; 7 for bars of a day]
    #[arg(long, value_name = "N")]
    pub(crate) season: Option<usize>,
    /// Output format: table or json
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ListOptions {
    /// Folder of trained models
    #[arg(long, value_name = "DIR", default_value = "tapeline-models")]
    pub(crate) models: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct VersionOptions {
    /// Symbol, for example SPY
    pub(crate) symbol: String,
    /// Interval of the bars, for example 1m, 1h, 1d
    #[arg(long, value_name = "INTERVAL", default_value = "1m")]
    pub(crate) interval: market::interval::Interval,
    /// Version [default: the newest]
    #[arg(long, value_name = "N")]
    pub(crate) model_version: Option<u32>,
    #[command(flatten)]
    pub(crate) folder: ListOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BarInput {
    /// Read bars from this CSV file with a header (start,open,high,low,close,volume; other columns are
    /// ignored) instead of the store
    #[arg(long, value_name = "CSV")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(flatten)]
    pub(crate) bars: BarOptions,
    /// Accept jumps of the price that look like unadjusted splits as moves of the market
    #[arg(long)]
    pub(crate) allow_jumps: bool,
}

impl BarInput {
    /// Whether splits are adjusted for.
    pub(crate) fn is_adjusted(&self) -> bool {
        self.bars.adjust() != Adjust::None
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TrainOptions {
    /// Symbols, for example SPY or SPY,IBM; a comma within a symbol is written \,
    #[arg(required = true)]
    pub(crate) symbols: String,
    #[command(flatten)]
    pub(crate) input: BarInput,
    #[command(flatten)]
    pub(crate) folder: ListOptions,
    /// Number of bars ahead to forecast
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,5,22")]
    pub(crate) horizons: Vec<usize>,
    /// Exclude these models, for example lstm
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    pub(crate) without: Vec<String>,
    /// Number of bars in the first fit of the evaluation [default: a third of the bars, at most 1000, and at least
    /// one season and what the models need]
    #[arg(long, value_name = "N")]
    pub(crate) first_fit: Option<usize>,
    /// Number of bars between fits of the evaluation [default: a twentieth of the rest, at least 100]
    #[arg(long, value_name = "N")]
    pub(crate) refit_every: Option<usize>,
    /// Number of bars between the last training truth and the last known bar
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) embargo: usize,
    /// Seed of the network; the same seed and bars give the same model
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunOptions {
    /// Folder of trained models [default: forecast.models, otherwise tapeline-models]
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Option<PathBuf>,
    /// Train again whenever this much event time has passed since the last training, for example 7d, and keep the
    /// result if it is better [default: forecast.retrain, otherwise never]
    #[arg(long, value_name = "DURATION")]
    pub(crate) retrain: Option<market::alert::TimeSpan>,
    /// Exit once every bar on the topic is forecast
    #[arg(long)]
    pub(crate) until_end: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct HistoryOptions {
    /// Symbol, for example SPY
    pub(crate) symbol: String,
    /// Interval of the bars, for example 1m, 1h, 1d
    #[arg(long, value_name = "INTERVAL", default_value = "1m")]
    pub(crate) interval: market::interval::Interval,
    /// Only this feed, for example alpaca.sip
    #[arg(long, value_name = "NAME")]
    pub(crate) feed: Option<String>,
    #[command(flatten)]
    pub(crate) span: Span,
    /// Maximum number of forecasts to print [default: 30 in a table, otherwise all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Output format: table, json or csv
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ShowOptions {
    /// Symbol, for example SPY
    pub(crate) symbol: String,
    #[command(flatten)]
    pub(crate) input: BarInput,
    /// Version [default: the newest]
    #[arg(long, value_name = "N")]
    pub(crate) model_version: Option<u32>,
    #[command(flatten)]
    pub(crate) folder: ListOptions,
    /// Show every model, not only the one with the best track record
    #[arg(long)]
    pub(crate) all: bool,
}
