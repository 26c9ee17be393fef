//! Watches the ports of a long-running verb, and serves their state: `/metrics`, `/health`, `/ready`.

use crate::context::Context;
use ports::check::{Chain, Link, Status};
use ports::gap::{self, GapState};
use ports::metrics::{self, METRICS, Port};
use ports::store::Store;
use ports::telemetry::Telemetry;
use ports::topic::{Names, Topics};
use ports::{CancelToken, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use server::monitor::{Monitor, Probe};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tapeline::config::Config;
use tapeline::open;

/// How often ports are checked and the lag is read.
const EVERY: Duration = Duration::from_secs(10);
/// How often the gap ledger and the last verification are read: whole topics, if small ones.
const RARELY: Duration = Duration::from_secs(60);
/// Name of the saved position that holds the result of `verify`.
const VERIFIED: &str = "verify:last";

/// Result of the last `verify`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verified {
    /// Unix time of the last one without a difference; 0 if none, seconds.
    last_success: i64,
    /// Number of differences in the last one.
    differences: i64,
}

/// Keeps the result of a verification where every process finds it. Succeeds even if the
/// topic cannot be written to: the verification itself is done.
pub(crate) fn keep_verified(topics: &dyn Topics, differences: usize) {
    let kept = topics.producer().and_then(|mut producer| {
        let before = verified(&producer.positions()?);
        let now = ports::clock::now().0 / 1_000_000_000;
        let verified = Verified {
            last_success: if differences == 0 { now } else { before.last_success },
            differences: i64::try_from(differences).unwrap_or(i64::MAX),
        };
        let bytes = serde_json::to_vec(&verified).map_err(|error| Error::internal(error.to_string()))?;
        producer.save_positions(&[(VERIFIED.to_owned(), bytes)].into())
    });
    if let Err(error) = kept {
        tracing::info!("the result of verify is not kept for monitoring: {error}");
    }
}

fn verified(positions: &BTreeMap<String, Vec<u8>>) -> Verified {
    positions.get(VERIFIED).and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default()
}

/// State of a port, by its last check.
#[derive(Debug, Clone)]
struct PortState {
    up: bool,
    detail: String,
}

/// What to watch of a verb.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    /// Ports that the verb cannot work without.
    pub(crate) ports: &'static [Port],
    /// The consumer group whose lag counts.
    pub(crate) group: String,
}

impl Watched {
    /// A verb that only publishes.
    pub(crate) fn producer(config: &Config) -> Self {
        Self { ports: &[Port::Topic], group: config.topic.group.clone() }
    }

    /// A verb that reads as `group` and needs no store.
    pub(crate) fn reader(group: impl Into<String>) -> Self {
        Self { ports: &[Port::Topic], group: group.into() }
    }

    /// A verb that stores what `group` reads.
    pub(crate) fn consumer(group: impl Into<String>) -> Self {
        Self { ports: &[Port::Topic, Port::Store], group: group.into() }
    }
}

/// The watch over the ports of this process.
pub(crate) struct Watch {
    telemetry: Arc<Telemetry>,
    ports: Mutex<BTreeMap<&'static str, PortState>>,
}

impl Probe for Watch {
    fn metrics(&self) -> Result<String> {
        metrics::text(&self.telemetry)
    }

    fn ready(&self) -> (bool, Value) {
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let states: BTreeMap<&str, Value> = ports
            .iter()
            .map(|(name, state)| (*name, json!({ "up": state.up, "detail": state.detail })))
            .collect();
        // Before the first check every port counts as down.
        (!ports.is_empty() && ports.values().all(|state| state.up), json!(states))
    }
}

/// Starts to watch the ports and, where `metrics.listen` is set, to serve what is found. `None` if it is not set.
pub(crate) fn start(
    context: &Context,
    config: &Config,
    telemetry: &Arc<Telemetry>,
    watched: Watched,
) -> Result<Option<Monitor>> {
    let listen = config.metrics.listen.trim();
    if listen.is_empty() {
        return Ok(None);
    }
    let watch = watch(config, telemetry, &context.stop, watched)?;
    let mut settings = server::ServerSettings::new(listen, open::bars(config)?);
    config.metrics.token.reveal().clone_into(&mut settings.token);
    settings.limits.connections = 64;
    let monitor = Monitor::start(settings, watch, &context.stop)?;
    eprintln!("metrics: http://{}/metrics", monitor.address());
    Ok(Some(monitor))
}

/// Starts to watch the ports.
pub(crate) fn watch(
    config: &Config,
    telemetry: &Arc<Telemetry>,
    stop: &CancelToken,
    watched: Watched,
) -> Result<Arc<Watch>> {
    let watch = Arc::new(Watch { telemetry: Arc::clone(telemetry), ports: Mutex::default() });
    let (topics, store) = (open::topics(config, stop)?, open::store(config)?);
    let names = open::names(config);
    METRICS.expect_topics(&names.all_records());
    let (mine, stop) = (Arc::clone(&watch), stop.clone());
    let run = move || {
        let mut rarely: Option<Instant> = None;
        loop {
            mine.look(&*topics, &*store, &names, &watched);
            if rarely.is_none_or(|at| at.elapsed() >= RARELY) {
                rarely = Some(Instant::now());
                look_rarely(&*topics, &names);
            }
            if stop.sleep(EVERY) {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn(run)
        .map_err(|error| Error::internal(format!("start the thread that watches the ports: {error}")))?;
    Ok(watch)
}

impl Watch {
    fn look(&self, topics: &dyn Topics, store: &dyn Store, names: &Names, watched: &Watched) {
        match topics.partition_lag(&watched.group, &names.all_records()) {
            Ok(lag) => METRICS.set_lag(&lag),
            Err(error) => tracing::debug!("lag for monitoring: {error}"),
        }
        let mut chains = vec![(Port::Topic, topics.check(names, &watched.group))];
        if watched.ports.contains(&Port::Store) {
            chains.push((Port::Store, store.check()));
        }
        // All at once: a process is not ready before each of its ports was checked.
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        for (port, chain) in chains {
            let state = PortState::of(chain);
            METRICS.set_port(port, state.up);
            ports.insert(port.name(), state);
        }
    }
}

impl PortState {
    fn of(chain: Chain) -> Self {
        let links = chain.links();
        let broken = links.iter().find(|link| link.status == Status::Failed);
        let describe = |link: &Link| format!("{}: {}", link.name, link.detail);
        Self { up: broken.is_none(), detail: broken.or(links.last()).map(describe).unwrap_or_default() }
    }
}

fn look_rarely(topics: &dyn Topics, names: &Names) {
    match gap::ledger(topics, names) {
        Ok(gaps) => {
            let mut open: BTreeMap<String, i64> = BTreeMap::new();
            for gap in &gaps {
                *open.entry(gap.feed.clone()).or_default() += i64::from(gap.state == GapState::Open);
            }
            METRICS.set_open_gaps(&open);
        }
        Err(error) => tracing::debug!("gaps for monitoring: {error}"),
    }
    match topics.producer().and_then(|mut producer| producer.positions()) {
        Ok(positions) => {
            let verified = verified(&positions);
            METRICS.set_verify(verified.last_success, verified.differences);
        }
        Err(error) => tracing::debug!("the last verification for monitoring: {error}"),
    }
}
