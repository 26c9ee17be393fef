//! `tapeline produce`, `consume` and `run`.

use super::alert::{Evaluation, Outcome};
use super::forecast::Forecasting;
use super::monitor::Watched;
use super::prepare::{incomplete, prepare};
use super::report;
use crate::cli::{ConsumeOptions, ProduceOptions, RunOptions};
use crate::context::Context;
use crate::output::{choose, counted, duration, is_quiet, note, table, thousands};
use crate::print;
use crate::progress::{Counter, Progress};
use pipeline::aggregate;
use pipeline::consume;
use pipeline::forecast::ForecastReport;
use pipeline::produce;
use pipeline::vendor_bars;
use ports::source::Source;
use ports::store::Store;
use ports::telemetry::Telemetry;
use ports::topic::Topics;
use ports::{CancelToken, Result};
use sources::live;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tapeline::config::Config;
use tapeline::open;

pub(crate) fn produce(context: &Context, options: &ProduceOptions) -> Result<ExitCode> {
    let mut source = open::source(&context.config)?;
    let topics = open::topics(&context.config, &context.stop)?;
    prepare(context, &context.config, &*topics)?;
    let telemetry = Arc::new(Telemetry::default());
    let _monitor =
        super::monitor::start(context, &context.config, &telemetry, Watched::producer(&context.config))?;
    let (start, progress) = begin("published", &telemetry, |t| &t.published, source.size());
    let report = produce::run(
        &mut *source,
        &*topics,
        &produce_settings(&context.config, options),
        &telemetry,
        &context.stop,
    )?;
    drop(progress);
    report_resumed(&report);
    summary(&telemetry, start.elapsed(), false);
    print::json(|| {
        let mut done = report::flow(&telemetry, start.elapsed());
        done["resumed"] = report.resumed.into();
        done["finished"] = report.finished.into();
        done
    });
    ended(context, &context.config, &report, &telemetry)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn consume(context: &Context, options: &ConsumeOptions) -> Result<ExitCode> {
    let mut config = context.config.clone();
    if let Some(instance) = &options.instance {
        config.topic.kafka.instance.clone_from(instance);
    }
    let topics = open::topics(&config, &context.stop)?;
    let store = open::store(&config)?;
    prepare(context, &config, &*topics)?;
    context.retry_long(|| store.writer(&context.stop).map(drop))?;
    let telemetry = Arc::new(Telemetry::default());
    let _monitor =
        super::monitor::start(context, &config, &telemetry, Watched::consumer(&config.topic.group))?;
    let (start, progress) = begin("stored", &telemetry, |t| &t.stored, None);
    let until_end = AtomicBool::new(options.until_end);
    let settings = consume_settings(&config);
    let (report, bars) = std::thread::scope(|scope| {
        let bars =
            scope.spawn(|| store_bars(&config, &*topics, &*store, &telemetry, &context.stop, &until_end));
        let report = consume::run(&*topics, &*store, &settings, &telemetry, &context.stop, &until_end);
        if report.is_err() {
            context.stop.cancel();
        }
        (report, bars.join())
    });
    drop(progress);
    let report = report?;
    bars.map_err(|_| ports::Error::internal("the vendor bars thread panicked"))??;
    summary(&telemetry, start.elapsed(), true);
    print::json(|| report::flow(&telemetry, start.elapsed()));
    report_undrained(&report);
    Ok(crate::cli::loss_code(&telemetry))
}

pub(crate) fn run(context: &Context, options: &RunOptions) -> Result<ExitCode> {
    let telemetry = Arc::new(Telemetry::default());
    let serve = |telemetry| super::serve::start(context, &context.config, &options.listen, Some(telemetry));
    let server = options.serve.then(|| serve(Arc::clone(&telemetry))).transpose()?;
    let start = Instant::now();
    let source = open::source(&context.config)?;
    let outcome = through(context, &context.config, source, &options.produce, &telemetry)?;
    summary(&telemetry, start.elapsed(), true);
    if context.config.aggregate.run && !is_quiet() {
        super::aggregate::summary(&telemetry);
    }
    outcome.print();
    print::json(|| outcome.json(&telemetry, start.elapsed()));
    let whole = ended(context, &context.config, &outcome.report, &telemetry)?;
    if is_quiet() || !whole {
        // Nothing to suggest.
    } else if telemetry.get(&telemetry.published) == 0 && telemetry.get(&telemetry.vendor_bars) > 0 {
        // Bars are not compared: there is nothing to verify.
        println!("show them: tapeline query bars SYMBOL --store '{}'", context.config.store.url);
    } else {
        println!(
            "check it: tapeline verify --source '{}' --topic '{}' --store '{}'",
            context.config.source.url, context.config.topic.url, context.config.store.url
        );
    }
    super::serve::until_stopped(context, server)?;
    Ok(crate::cli::loss_code(&telemetry))
}

/// What the loops of one process did.
pub(crate) struct FlowOutcome {
    pub(crate) report: produce::ProduceReport,
    alerts: Option<Outcome>,
    forecasts: Option<ForecastReport>,
    rebuilt: aggregate::RebuildReport,
}

impl FlowOutcome {
    /// The same as JSON, with what was published, stored and aggregated.
    pub(crate) fn json(&self, telemetry: &Telemetry, time: Duration) -> serde_json::Value {
        let mut done = report::flow(telemetry, time);
        done["resumed"] = self.report.resumed.into();
        done["finished"] = self.report.finished.into();
        done["bars"] = report::bars(telemetry);
        done["bars"]["rebuilt"] = self.rebuilt.bars.into();
        if let Some(alerts) = &self.alerts {
            done["alerts"] = alerts.json();
        }
        if let Some(forecasts) = &self.forecasts {
            done["forecasts"] = super::forecast::json(forecasts);
        }
        done
    }

    /// Prints what was rebuilt, and the summaries of alerts and forecasts.
    pub(crate) fn print(&self) {
        super::aggregate::report_rebuilt(&self.rebuilt);
        if let Some(alerts) = &self.alerts {
            alerts.print();
        }
        if let Some(forecasts) = &self.forecasts {
            super::forecast::print(forecasts);
        }
    }
}

/// Source to store in one process: `produce`, `aggregate` and, if there are rules or models, `alert` and `forecast` in
/// threads of their own, `consume` in this one.
pub(crate) fn through(
    context: &Context,
    config: &Config,
    mut source: Box<dyn Source>,
    options: &ProduceOptions,
    telemetry: &Arc<Telemetry>,
) -> Result<FlowOutcome> {
    let evaluates = config.alert.editable || !config.alert.rules.is_empty();
    let alerts = if evaluates { Some(Evaluation::open(config)?) } else { None };
    if alerts.is_some() && config.source.url.starts_with("poll:") {
        note("rules are evaluated on trades, quotes and readings: a source of bars fires none");
    }
    let forecasting = if config.aggregate.run { Forecasting::open(config)? } else { None };
    let topics = open::topics(config, &context.stop)?;
    let store = open::store(config)?;
    prepare(context, config, &*topics)?;
    context.retry_long(|| store.writer(&context.stop).map(drop))?;
    let _monitor = super::monitor::start(context, config, telemetry, Watched::consumer(&config.topic.group))?;
    let (_, progress) = begin("stored", telemetry, |t| &t.stored, source.size());
    // On cancellation the source ends first, and what it published is still stored.
    let (produced, finished) = (AtomicBool::new(false), AtomicBool::new(false));
    let bars_written = AtomicBool::new(false);
    let consuming = consume_settings(config);
    let last = context.stop.delayed(consuming.drain);
    let bars = config.aggregate.run.then(|| super::aggregate::settings(config)).transpose()?;
    let (published, stored, aggregated, alerts, forecasts) = std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let settings = produce_settings(config, options);
            let result = produce::run(&mut *source, &*topics, &settings, telemetry, &context.stop);
            match &result {
                Ok(report) => finished.store(report.finished, Ordering::SeqCst),
                Err(_) => context.stop.cancel(),
            }
            produced.store(true, Ordering::SeqCst);
            result
        });
        let aggregator = bars.as_ref().map(|settings| {
            scope.spawn(|| {
                // Bars are final when the source has ended, not when it was stopped.
                let result = aggregate::run(&*topics, &*store, settings, telemetry, &context.stop, &finished);
                if result.is_err() {
                    context.stop.cancel();
                }
                bars_written.store(true, Ordering::SeqCst);
                result
            })
        });
        let forecasts = forecasting.as_ref().map(|forecasting| {
            scope.spawn(|| {
                let result = forecasting.run(&*topics, &*store, &last, &bars_written);
                if result.is_err() {
                    context.stop.cancel();
                }
                result
            })
        });
        let (topics_of_alerts, last_of_alerts, produced_of_alerts) = (&*topics, &last, &produced);
        let alerts = alerts.map(|evaluation| {
            scope.spawn(move || {
                let result = evaluation.run(topics_of_alerts, last_of_alerts, produced_of_alerts);
                if result.is_err() {
                    context.stop.cancel();
                }
                result
            })
        });
        let bars = scope.spawn(|| store_bars(config, &*topics, &*store, telemetry, &last, &produced));
        let stored = consume::run(&*topics, &*store, &consuming, telemetry, &last, &produced);
        if stored.is_err() {
            context.stop.cancel();
        }
        let kept = bars.join().map_err(|_| ports::Error::internal("the vendor bars thread panicked"));
        let stored = stored.and_then(|report| kept?.map(|()| report));
        let alerts = alerts.map(std::thread::ScopedJoinHandle::join);
        let aggregated = aggregator.map(std::thread::ScopedJoinHandle::join);
        (producer.join(), stored, aggregated, alerts, forecasts.map(std::thread::ScopedJoinHandle::join))
    });
    drop(progress);
    let published = published.map_err(|_| ports::Error::internal("the producer panicked"))??;
    report_resumed(&published);
    let stored = stored?;
    report_undrained(&stored);
    if !stored.at_end {
        eprintln!(
            "part of the topic was not stored in time (`consume.drain_timeout`); the next start resumes there"
        );
    }
    if let Some(result) = aggregated {
        result.map_err(|_| ports::Error::internal("the aggregator panicked"))??;
    }
    let is_whole = bars.is_some() && stored.at_end && published.finished && !context.stop.is_cancelled();
    let rebuilt = match is_whole {
        true => super::aggregate::rebuild_sessions(context, config, &*topics, &*store, telemetry)?,
        false => aggregate::RebuildReport::default(),
    };
    let alerts = alerts
        .map(|result| result.map_err(|_| ports::Error::internal("the alert thread panicked"))?)
        .transpose()?;
    let forecasts = forecasts
        .map(|result| result.map_err(|_| ports::Error::internal("the forecast thread panicked"))?)
        .transpose()?;
    Ok(FlowOutcome { report: published, alerts, forecasts, rebuilt })
}

/// Whether the run reached the end of its source; notes it if not. Fails if the source had rows but no record.
fn ended(
    context: &Context,
    config: &Config,
    report: &produce::ProduceReport,
    telemetry: &Telemetry,
) -> Result<bool> {
    if context.stop.is_cancelled() && !report.finished {
        if live::open(&config.source).is_some() {
            note("stopped; start again to resume: records missed until then become a gap and are backfilled");
            return Ok(true);
        }
        eprintln!("stopped before the end of {}; start again to resume", config.source.url);
        return Ok(false);
    }
    let is_recording =
        ["tape:", "frames:", "lines:"].iter().any(|scheme| config.source.url.starts_with(scheme));
    if is_recording && report.resumed == 0 && telemetry.get(&telemetry.read) == 0 {
        let why = match config.source.url.starts_with("frames:") {
            true => {
                "it is empty, or its messages are of types that its feed does not send (warnings name them)"
            }
            false => "the source is empty",
        };
        return Err(ports::Error::user(format!("no record in {}: {why}", config.source.url)).hint(
            meant(config)
                .unwrap_or_else(|| "is the path right, and was the file written completely?".to_owned()),
        ));
    }
    let (published, dead) = (telemetry.get(&telemetry.published), telemetry.get(&telemetry.dead));
    if published + report.resumed > 0 && !report.incomplete.is_empty() {
        return Err(incomplete(&config.source.url, &report.incomplete));
    }
    let bars = telemetry.get(&telemetry.vendor_bars);
    if published + bars + report.resumed == 0 && dead > 0 {
        let hint = match (meant(config), config.source.url.starts_with("frames:")) {
            (Some(meant), _) => format!("{meant}; "),
            (None, true) => {
                "is the file a capture with one websocket frame per line, and does feed= name its vendor and feed? "
                    .to_owned()
            }
            (None, false) => String::new(),
        };
        return Err(ports::Error::user(format!(
            "no record in {}: {}",
            config.source.url,
            if dead == 1 {
                "its only row is a dead letter".to_owned()
            } else {
                format!("all {} rows are dead letters", thousands(dead))
            }
        ))
        .hint(format!(
            "{hint}the first reasons are above; all with rows: tapeline dead-letters list --topic {}",
            config.topic.url
        )));
    }
    Ok(true)
}

/// The vendors that a capture seems to be of, if its URL names another.
fn meant(config: &Config) -> Option<String> {
    let vendors = open::other_vendors(config);
    let feeds: Vec<String> = vendors.iter().map(|vendor| format!("feed={vendor}")).collect();
    (!feeds.is_empty()).then(|| {
        format!("its messages are those of {}; read it with {}", vendors.join(" or "), feeds.join(" or "))
    })
}

/// Vendor bars, besides the records.
fn store_bars(
    config: &Config,
    topics: &dyn Topics,
    store: &dyn Store,
    telemetry: &Telemetry,
    stop: &CancelToken,
    until_end: &AtomicBool,
) -> Result<()> {
    let (names, group) = (open::names(config), &config.topic.group);
    let result = vendor_bars::store(topics, store, &names, group, telemetry, stop, until_end);
    if result.is_err() {
        stop.cancel();
    }
    result
}

fn begin(
    what: &'static str,
    telemetry: &Arc<Telemetry>,
    counter: Counter,
    total: Option<u64>,
) -> (Instant, Progress) {
    (Instant::now(), Progress::new(what, telemetry, counter, total))
}

pub(super) fn produce_settings(config: &Config, options: &ProduceOptions) -> produce::ProduceSettings {
    produce::ProduceSettings {
        names: open::names(config),
        position_every: config.produce.position_interval,
        replay: options.replay,
        drain: config.consume.drain_timeout,
    }
}

fn consume_settings(config: &Config) -> consume::ConsumeSettings {
    consume::ConsumeSettings {
        names: open::names(config),
        group: config.topic.group.clone(),
        cycle: config.consume.cycle,
        in_flight: config.consume.in_flight,
        in_flight_bytes: config.consume.in_flight_mib << 20,
        commit_every: config.consume.commit_interval,
        drain: config.consume.drain_timeout,
    }
}

fn report_resumed(report: &produce::ProduceReport) {
    if report.resumed > 0 {
        note(&format!(
            "{} {} skipped; --replay publishes {} again",
            counted(report.resumed, "row"),
            choose(report.resumed, "was published before and is", "were published before and are"),
            choose(report.resumed, "it", "them")
        ));
    }
}

fn report_undrained(report: &consume::ConsumeReport) {
    if report.undrained > 0 {
        eprintln!(
            "{} {} not stored in time; nothing is lost, the next start stores {}",
            counted(report.undrained as u64, "record"),
            choose(report.undrained as u64, "was", "were"),
            choose(report.undrained as u64, "it", "them")
        );
    }
}

/// Summary of a run: per symbol, rates, and failures; with `--quiet` only these.
pub(crate) fn summary(telemetry: &Telemetry, time: Duration, stored: bool) {
    if !is_quiet() {
        figures(telemetry, time, stored);
    }
    failures(telemetry);
}

fn figures(telemetry: &Telemetry, time: Duration, stored: bool) {
    let by_symbol = telemetry.by_symbol();
    let published = telemetry.get(&telemetry.published);
    let mut rows = vec![vec!["symbol".into(), "kind".into(), "published".into(), "stored".into()]];
    for ((symbol, kind), (published, stored)) in &by_symbol {
        rows.push(vec![symbol.clone(), (*kind).to_owned(), thousands(*published), thousands(*stored)]);
    }
    let total = if stored { telemetry.get(&telemetry.stored) } else { published };
    rows.push(vec![
        "total".into(),
        String::new(),
        thousands(published),
        thousands(telemetry.get(&telemetry.stored)),
    ]);
    for row in &mut rows {
        if !stored {
            row.remove(3);
        } else if published == 0 {
            row.remove(2);
        }
    }
    print!("{}", table(&rows, 2));
    let bars = telemetry.get(&telemetry.vendor_bars);
    let bars_stored = telemetry.get(&telemetry.vendor_bars_stored);
    if bars + bars_stored > 0 {
        println!("  vendor bars: {} published, {} stored", thousands(bars), thousands(bars_stored));
    }
    let busy = telemetry.busy().as_secs_f64();
    let rate = if busy > 0.0 { total as f64 / busy } else { 0.0 };
    println!(
        "  {:.2} s, {} records/s ({:.1} s including start-up and shutdown)",
        busy,
        thousands(rate as u64),
        time.as_secs_f64()
    );
    for (what, times, note) in [
        ("lag from event to receipt", telemetry.lag(), " (by the vendor's clock and this one)"),
        ("latency from receipt to stored", telemetry.latency(), ""),
    ] {
        if times.count() > 0 {
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| duration(times.percentile(part)));
            println!("  {what}: p50 {p50}, p99 {p99}, p99.9 {p999}{note}");
        }
    }
}

fn failures(telemetry: &Telemetry) {
    let lost = telemetry.lost_lines();
    if !lost.is_empty() {
        println!(
            "  LOST: {}, at least {} (list them: tapeline gaps)",
            counted(lost.len() as u64, "range of offsets"),
            counted(telemetry.get(&telemetry.lost_messages), "message")
        );
        for line in lost {
            println!("    {line}");
        }
    }
    let dead = telemetry.get(&telemetry.dead);
    if dead > 0 {
        println!("  dead letters: {} (kept with reason, origin and raw bytes)", thousands(dead));
        for line in telemetry.dead_letters() {
            println!("    {line}");
        }
    }
}
