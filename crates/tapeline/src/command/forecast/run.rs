//! `tapeline forecast run`: forecasts from the bars topic.

use super::models;
use super::options::RunOptions;
use crate::command::monitor::{self, Watched};
use crate::context::Context;
use crate::output::{choose, counted, thousands};
use forecast::Bundle;
use market::alert::TimeSpan;
use market::interval::Interval;
use pipeline::forecast::{ForecastReport, ForecastSettings, ModelStore};
use ports::store::Store;
use ports::topic::Topics;
use ports::{CancelToken, Error, Result};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tapeline::config::Config;
use tapeline::open;

/// Where `train` puts models by default.
const DEFAULT_MODELS: &str = "tapeline-models";

pub(crate) fn run(context: &Context, options: &RunOptions) -> Result<ExitCode> {
    let mut config = context.config.clone();
    if let Some(dir) = &options.models {
        config.forecast.models = dir.display().to_string();
    } else if config.forecast.models.is_empty() {
        DEFAULT_MODELS.clone_into(&mut config.forecast.models);
    }
    let mut forecasting = Forecasting::open(&config)?.ok_or_else(|| Error::internal("no model folder"))?;
    if let Some(TimeSpan(nanos)) = options.retrain {
        forecasting.settings.retrain_every = Some(nanos);
    }
    let topics = open::topics(&config, &context.stop)?;
    let store = open::store(&config)?;
    crate::command::prepare::prepare(context, &config, &*topics)?;
    // Creates the tables of an embedded store.
    context.retry_long(|| store.writer(&context.stop).map(drop))?;
    let group = forecasting.settings.group.clone();
    let _monitor = monitor::start(context, &config, &Arc::default(), Watched::consumer(group))?;
    let until_end = AtomicBool::new(options.until_end);
    let report = forecasting.run(&*topics, &*store, &context.stop, &until_end)?;
    print(&report);
    crate::print::json(|| json(&report));
    Ok(ExitCode::SUCCESS)
}

/// Models and settings, ready to run.
pub(crate) struct Forecasting {
    models: FolderModels,
    settings: ForecastSettings,
}

impl Forecasting {
    /// `None` if the configuration names no folder of models.
    ///
    /// # Errors
    /// The folder has no models, or a setting is invalid.
    pub(crate) fn open(config: &Config) -> Result<Option<Self>> {
        let section = &config.forecast;
        if section.models.is_empty() {
            return Ok(None);
        }
        let dir = PathBuf::from(&section.models);
        if models::all(&dir)?.is_empty() {
            return Err(Error::user(format!("no trained models in {}", dir.display()))
                .hint("train one: tapeline forecast train SPY --interval 1m"));
        }
        let retrain_every = if section.retrain.is_empty() {
            None
        } else {
            let span: TimeSpan = section
                .retrain
                .parse()
                .map_err(|error| Error::user(format!("`forecast.retrain`: {error}")))?;
            Some(span.0)
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let settings = ForecastSettings {
            names: open::names(config),
            group: format!("{}-forecasts", config.topic.group),
            bars: open::bars(config)?,
            cycle: config.consume.cycle,
            retrain_every,
            threads,
        };
        Ok(Some(Self { models: FolderModels { dir }, settings }))
    }

    /// Makes forecasts until stopped, or until the end of the topic once `until_end` is set.
    pub(crate) fn run(
        &self,
        topics: &dyn Topics,
        store: &dyn Store,
        stop: &CancelToken,
        until_end: &AtomicBool,
    ) -> Result<ForecastReport> {
        pipeline::forecast::run(topics, store, &self.models, &self.settings, stop, until_end)
    }
}

/// Prints what a run did.
pub(crate) fn print(report: &ForecastReport) {
    println!(
        "forecasts: {} made, {} scored, from {}",
        thousands(report.made),
        thousands(report.scored),
        counted(report.bars, "bar")
    );
    if report.refused > 0 {
        println!(
            "  {} {} not forecast; the log names the causes",
            counted(report.refused, "bar"),
            choose(report.refused, "was", "were")
        );
    }
    if report.trained > 0 {
        println!(
            "  trained again {}; {} better and in use",
            counted(report.trained, "time"),
            counted(report.replaced, "result")
        );
    }
    if report.unreadable > 0 {
        println!("  {} messages of the bars topic are not bars", thousands(report.unreadable));
    }
}

/// The same as JSON.
pub(crate) fn json(report: &ForecastReport) -> serde_json::Value {
    serde_json::json!({
        "bars": report.bars,
        "made": report.made,
        "scored": report.scored,
        "refused": report.refused,
        "trained": report.trained,
        "replaced": report.replaced,
        "unreadable": report.unreadable,
    })
}

/// The folder of `forecast train`.
struct FolderModels {
    dir: PathBuf,
}

impl ModelStore for FolderModels {
    fn newest(&self, symbol: &str, interval: Interval) -> Result<Option<u32>> {
        let newest = models::newest(&self.dir, symbol, &interval.to_string())?;
        Ok(newest.map(|version| version.number))
    }

    fn load(&self, symbol: &str, interval: Interval, number: u32) -> Result<(Bundle, String)> {
        models::read(&models::find(&self.dir, symbol, &interval.to_string(), Some(number))?)
    }

    fn save(&self, symbol: &str, interval: Interval, bundle: &Bundle) -> Result<u32> {
        let bytes =
            forecast::file::encode(bundle).map_err(|error| super::input_error::failed(symbol, &error))?;
        Ok(models::save(&self.dir, symbol, &interval.to_string(), &bytes)?.number)
    }
}
