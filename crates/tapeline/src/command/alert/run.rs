//! `tapeline alert run`: evaluates the rules on the topic, and delivers alerts.

use crate::cli::AlertRunOptions;
use crate::command::flow;
use crate::command::monitor::{self, Watched};
use crate::context::Context;
use crate::output::{choose, counted, thousands};
use crate::print;
use market::alert::{Alert, Engine, Fold};
use notify::alert_log::SqliteAlertLog;
use notify::outbox::{OutboxCounts, OutboxStore, RetryPolicy, SqliteOutbox, deliver};
use notify::{AlertMessage, ChannelConfig, Notifier};
use pipeline::alert::{self, AlertSink};
use ports::metrics::METRICS;
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
    flow::prepare(context, config, &*topics)?;
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
    engine: Engine,
    deliveries: Vec<(Box<dyn Notifier>, SqliteOutbox)>,
}

impl<'a> Evaluation<'a> {
    /// # Errors
    /// A faulty rule or channel; the outbox cannot be opened.
    pub(crate) fn open(config: &'a Config) -> Result<Self> {
        super::check_channels(config)?;
        let engine = super::engine(config, &config.alert.rules)?;
        let channels = open_channels(&config.alert.channels)?.into_iter();
        let deliveries =
            channels.map(|channel| Ok((channel, super::outbox(config)?))).collect::<Result<_>>()?;
        Ok(Self { config, engine, deliveries })
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
            outbox: super::outbox(config)?,
            log: super::alert_log(config)?,
            channels: &config.alert.channels,
            zone: &config.alert.zone,
        };
        let settings = alert::AlertSettings {
            names: open::names(config),
            group: format!("{}-alerts", config.topic.group),
            cycle: config.consume.cycle,
            checkpoint_every: config.alert.checkpoint_interval,
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
    channels: &'a [ChannelConfig],
    zone: &'a str,
}

const CHECKPOINT: &str = "checkpoint";

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
                let message = AlertMessage::new(alert, self.zone);
                let wants = |channel: &&ChannelConfig| {
                    alert.severity >= channel.min_severity
                        && (alert.channels.is_empty() || alert.channels.contains(&channel.name))
                };
                let channels = self.channels.iter().filter(wants);
                messages.extend(channels.map(|channel| (channel.name.clone(), message.clone())));
            }
            batch.push((alert.clone(), messages));
        }
        let state: Vec<(&str, &[u8])> = checkpoint.map(|bytes| (CHECKPOINT, bytes)).into_iter().collect();
        self.outbox.commit(&batch, &state).map(drop).map_err(Error::external)
    }
}
