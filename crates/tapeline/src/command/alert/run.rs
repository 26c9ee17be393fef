//! `tapeline alert run`: evaluates the rules on the topic, and delivers alerts.

use super::setup;
use crate::cli::AlertRunOptions;
use crate::command::monitor::{self, Watched};
use crate::context::Context;
use crate::output::{choose, counted, thousands};
use crate::print;
use market::UnixNanos;
use market::alert::{Alert, Engine, Fold};
use market::bar::Bar;
use notify::alert_log::SqliteAlertLog;
use notify::outbox::{OutboxCounts, OutboxStore, RetryPolicy, SqliteOutbox, deliver};
use notify::{AlertMessage, ChannelConfig, Notifier};
use pipeline::alert::{self, AlertSink, FollowedGroup};
use ports::alert_log::SavedRule;
use ports::metrics::METRICS;
use ports::store::Store;
use ports::topic::Topics;
use ports::{CancelToken, Error, Result, clock};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tapeline::config::Config;
use tapeline::open;

/// How often the outbox is polled for messages.
const TICK: Duration = Duration::from_millis(20);
/// How long the end of a run waits for due messages.
const LINGER: Duration = Duration::from_secs(10);

pub(crate) fn run(context: &Context, options: &AlertRunOptions) -> Result<ExitCode> {
    let config = &context.config;
    let evaluation = Evaluation::open(config)?;
    let topics = open::topics(config, &context.stop)?;
    crate::command::prepare::prepare(context, config, &*topics)?;
    let _monitor = monitor::start(context, config, &Arc::default(), Watched::producer(config))?;
    let until_end = AtomicBool::new(options.until_end);
    let outcome = evaluation.run(&*topics, &context.stop, &until_end)?;
    outcome.print();
    print::json(|| outcome.json());
    Ok(ExitCode::SUCCESS)
}

/// The rules and channels of the configuration, ready to run.
pub(crate) struct Evaluation<'a> {
    config: &'a Config,
    saved: Vec<SavedRule>,
    engine: Engine,
    deliveries: Vec<(Box<dyn Notifier>, SqliteOutbox)>,
}

impl<'a> Evaluation<'a> {
    /// # Errors
    /// A faulty rule or channel; the outbox cannot be opened.
    pub(crate) fn open(config: &'a Config) -> Result<Self> {
        setup::check_channels(config)?;
        let saved = setup::saved_rules(config)?;
        let engine = setup::engine(config, &setup::rules_with(config, &saved))?;
        let channels = open_channels(&config.alert.channels)?.into_iter();
        let deliveries =
            channels.map(|channel| Ok((channel, setup::outbox(config)?))).collect::<Result<_>>()?;
        Ok(Self { config, saved, engine, deliveries })
    }

    /// Evaluates and delivers until stopped, or until the end of the topic once `until_end` is set.
    pub(crate) fn run(
        self,
        topics: &dyn Topics,
        stop: &CancelToken,
        until_end: &AtomicBool,
    ) -> Result<Outcome> {
        let config = self.config;
        let mut sink = Sink {
            outbox: setup::outbox(config)?,
            log: setup::alert_log(config)?,
            saved: self.saved,
            past: PastDays::Unopened,
            config,
        };
        let settings = alert::AlertSettings {
            names: open::names(config),
            group: format!("{}-alerts", config.topic.group),
            cycle: config.consume.cycle,
            checkpoint_every: config.alert.checkpoint_interval,
            stages: stages(config),
        };
        let done = AtomicBool::new(false);
        let report = std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for (channel, outbox) in self.deliveries {
                let done = &done;
                threads.push(scope.spawn(move || deliver_all(outbox, channel, done, stop)));
            }
            let fold = Fold::new(config.alert.fold);
            let report = alert::run(topics, self.engine, fold, &mut sink, &settings, stop, until_end);
            done.store(true, Ordering::SeqCst);
            for thread in threads {
                thread.join().map_err(|_| Error::internal("a delivery thread panicked"))??;
            }
            report
        })?;
        Ok(Outcome { report, counts: sink.outbox.counts().map_err(Error::user)? })
    }
}

/// What a run did.
pub(crate) struct Outcome {
    report: alert::AlertReport,
    counts: OutboxCounts,
}

impl Outcome {
    pub(crate) fn json(&self) -> serde_json::Value {
        let Self { report, counts } = self;
        serde_json::json!({
            "records": report.records,
            "fired": report.alerts,
            "unreadable": report.unreadable,
            "messages": { "sent": counts.sent, "pending": counts.pending, "abandoned": counts.dead },
        })
    }

    pub(crate) fn print(&self) {
        let Self { report, counts } = self;
        println!(
            "alerts: {} fired from {}; messages: {} sent, {} pending, {} abandoned",
            thousands(report.alerts),
            counted(report.records, "record"),
            thousands(counts.sent),
            thousands(counts.pending),
            thousands(counts.dead)
        );
        if report.unreadable > 0 {
            println!(
                "  {} {}; `consume` keeps them as dead letters",
                counted(report.unreadable, "message"),
                choose(report.unreadable, "is not a record", "are not records")
            );
        }
    }
}

/// The stages whose lag rules may watch. Bars and archive commit what they no longer need, not what they have read.
fn stages(config: &Config) -> Vec<FollowedGroup> {
    let names = open::names(config);
    let group = &config.topic.group;
    [("store", group.clone()), ("alerts", format!("{group}-alerts"))]
        .map(|(name, group)| FollowedGroup { name: name.to_owned(), group, topics: names.all_records() })
        .to_vec()
}

fn open_channels(channels: &[ChannelConfig]) -> Result<Vec<Box<dyn Notifier>>> {
    let open = |channel: &ChannelConfig| {
        channel.open(&|path| std::fs::read_to_string(path)).map_err(|error| Error::user(error.to_string()))
    };
    channels.iter().map(open).collect()
}

/// Delivers the messages of one channel until cancelled; once all records are evaluated, until none is due.
fn deliver_all(
    mut outbox: SqliteOutbox,
    mut channel: Box<dyn Notifier>,
    done: &AtomicBool,
    cancel: &CancelToken,
) -> Result<()> {
    let policy = RetryPolicy::default();
    METRICS.expect_notifier(channel.name());
    let mut lingered = Duration::ZERO;
    while !cancel.is_cancelled() {
        let last = done.load(Ordering::SeqCst);
        let sent = deliver(&mut outbox, &mut *channel, &policy, &|| clock::now().millis())
            .map_err(Error::external)?;
        if sent > 0 {
            METRICS.alerts_sent(channel.name(), sent as u64);
            continue;
        }
        if last {
            let waiting = outbox.waiting(channel.name()).map_err(Error::external)?;
            if waiting == 0 || lingered >= LINGER {
                return Ok(());
            }
            lingered += TICK;
        }
        cancel.sleep(TICK);
    }
    Ok(())
}

/// Turns alerts into messages for the channels that accept them.
struct Sink<'a> {
    outbox: SqliteOutbox,
    log: SqliteAlertLog,
    /// The rules of the dashboard.
    saved: Vec<SavedRule>,
    past: PastDays,
    config: &'a Config,
}

const CHECKPOINT: &str = "checkpoint";

/// The store that holds the days before.
enum PastDays {
    /// No series needed it yet.
    Unopened,
    Opened(Box<dyn Store>),
    /// Not asked again: evaluation would wait for it with every symbol.
    Failed,
}

impl Sink<'_> {
    fn stored_days(&mut self, feed: &str, symbol: &str, before: UnixNanos, days: usize) -> Result<Vec<Bar>> {
        if matches!(self.past, PastDays::Unopened) {
            self.past = PastDays::Opened(open::store(self.config)?);
        }
        match &self.past {
            PastDays::Opened(store) => setup::days_before(&**store, feed, symbol, before, days),
            PastDays::Unopened | PastDays::Failed => Ok(Vec::new()),
        }
    }
}

impl AlertSink for Sink<'_> {
    fn checkpoint(&mut self) -> Result<Option<Vec<u8>>> {
        self.outbox.state(CHECKPOINT).map_err(Error::user)
    }

    fn commit(&mut self, alerts: &[(Alert, bool)], checkpoint: Option<&[u8]>) -> Result<()> {
        let silences = if alerts.is_empty() {
            Vec::new()
        } else {
            self.log.silences(clock::now().millis()).map_err(Error::external)?
        };
        let mut batch = Vec::with_capacity(alerts.len());
        for (alert, send) in alerts {
            let silent = silences.iter().any(|(_, silence)| silence.covers(&alert.rule, &alert.symbol));
            let mut messages = Vec::new();
            if *send && !silent && !alert.quiet {
                let wants = |channel: &&ChannelConfig| {
                    alert.severity >= channel.min_severity
                        && (alert.channels.is_empty() || alert.channels.contains(&channel.name))
                };
                let channels = self.config.alert.channels.iter().filter(wants);
                let render = |channel: &ChannelConfig| {
                    (
                        channel.name.clone(),
                        AlertMessage::with(alert, &self.config.alert.zone, &channel.templates()),
                    )
                };
                messages.extend(channels.map(render));
            }
            batch.push((alert.clone(), messages));
        }
        let state: Vec<(&str, &[u8])> = checkpoint.map(|bytes| (CHECKPOINT, bytes)).into_iter().collect();
        self.outbox.commit(&batch, &state).map(drop).map_err(Error::external)
    }

    fn changed_rules(&mut self) -> Result<Option<Engine>> {
        if !self.config.alert.editable {
            return Ok(None);
        }
        let saved = self.log.rules().map_err(Error::external)?;
        if saved == self.saved {
            return Ok(None);
        }
        self.saved = saved;
        let rules = setup::rules_with(self.config, &self.saved);
        tracing::info!(rules = rules.len(), "alert rules changed");
        setup::engine(self.config, &rules).map(Some)
    }

    fn daily_bars(&mut self, feed: &str, symbol: &str, before: UnixNanos, days: usize) -> Vec<Bar> {
        let bars = self.stored_days(feed, symbol, before, days);
        bars.unwrap_or_else(|error| {
            tracing::warn!("rules over days start without the days before: {error}");
            self.past = PastDays::Failed;
            Vec::new()
        })
    }
}
