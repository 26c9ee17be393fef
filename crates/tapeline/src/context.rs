//! What every verb needs: settings, log and cancellation.

use crate::cli::Common;
use clap::ColorChoice;
use market::Kind;
use ports::cancel::Backoff;
use ports::{CancelToken, Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::cell::Cell;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tapeline::config::{Config, Layers};
use tracing_subscriber::EnvFilter;

#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) stop: CancelToken,
    /// Symbols of `--symbols`.
    pub(crate) symbols: Vec<String>,
    /// Kinds of `--kinds`; all by default.
    pub(crate) kinds: Vec<Kind>,
    wait: Option<Duration>,
    /// Set by Ctrl-C, not by SIGTERM.
    interrupted: Arc<AtomicBool>,
}

/// A source's URL with one more option. Characters that would end the value are encoded.
pub(crate) fn with(url: &str, name: &str, value: &str) -> String {
    let value = value.replace('%', "%25").replace('&', "%26");
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}{name}={value}")
}

/// The layers of settings that the arguments name: default values, the file, the environment, the flags.
pub(crate) fn layers(common: &Common) -> Layers {
    let in_folder = PathBuf::from("tapeline.toml");
    let file: Option<&Path> = match &common.config {
        Some(path) => Some(path),
        None => in_folder.is_file().then_some(&in_folder),
    };
    let flags = [
        ("source.url", common.source.clone()),
        ("topic.url", common.topic.clone()),
        ("topic.group", common.group.clone()),
        ("store.url", common.store.clone()),
        ("log.level", level(common)),
    ];
    Layers::read(file, std::env::vars(), &flags)
}

impl Context {
    pub(crate) fn new(common: &Common) -> Result<Self> {
        let mut config = layers(common).config()?;
        let wait = common.wait;
        config.store.cassandra.connect_within = wait;
        config.source.connect_within = wait;
        for (name, value) in [("symbols", &common.symbols), ("kinds", &common.kinds)] {
            if let Some(value) = value {
                config.source.url = with(&config.source.url, name, value);
            }
        }
        log(&config, common.color)?;
        let (stop, interrupted) = (CancelToken::default(), Arc::default());
        listen(&stop, &interrupted)?;
        let symbols = common.symbols.iter().flat_map(|all| ports::options::list(all)).collect();
        let kinds = common.kinds.iter().flat_map(|all| all.split(','));
        // Sources have kinds of their own, such as bars, which they check themselves.
        let mut kinds: Vec<Kind> = kinds.filter_map(|kind| kind.parse().ok()).collect();
        if common.kinds.is_none() {
            kinds = Kind::ALL.to_vec();
        }
        Ok(Self { config, stop, symbols, kinds, wait, interrupted })
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// Retries while a server is unreachable: for a minute by default, in long-running verbs.
    pub(crate) fn retry_long<T>(&self, f: impl FnMut() -> Result<T>) -> Result<T> {
        self.retry(self.wait.unwrap_or(Duration::from_secs(60)), f)
    }

    /// The same for interactive verbs.
    pub(crate) fn retry_short<T>(&self, f: impl FnMut() -> Result<T>) -> Result<T> {
        self.retry(self.wait.unwrap_or(Duration::from_secs(5)), f)
    }

    /// The same until rows have been printed, which cannot be undone.
    pub(crate) fn retry_before<T>(&self, begun: &Cell<bool>, mut f: impl FnMut() -> Result<T>) -> Result<T> {
        // An error after that is final, whatever its kind.
        self.retry_short(|| match f() {
            Err(error) if begun.get() => Ok(Err(error)),
            other => other.map(Ok),
        })?
    }

    fn retry<T>(&self, patience: Duration, mut f: impl FnMut() -> Result<T>) -> Result<T> {
        let end = Instant::now() + patience;
        let mut backoff = Backoff::default();
        loop {
            match f() {
                Err(error) if error.retryable() && self.stop.is_cancelled() => return Err(Error::stopped()),
                Err(error) if error.retryable() => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(error);
                    }
                    if backoff.tries() == 0 {
                        eprintln!("waiting up to {:.0} s: {error}", left.as_secs_f64().ceil());
                    }
                    if self.stop.sleep(backoff.wait().min(left)) {
                        return Err(Error::stopped());
                    }
                }
                other => return other,
            }
        }
    }
}

/// The first Ctrl-C or SIGTERM requests a drain; another, half a second later or more, exits immediately.
fn listen(stop: &CancelToken, interrupted: &Arc<AtomicBool>) -> Result<()> {
    let twice = Arc::new(AtomicBool::new(false));
    let fail = |error: std::io::Error| Error::internal(format!("listen for signals: {error}"));
    signal_hook::flag::register(SIGINT, Arc::clone(interrupted)).map_err(fail)?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&twice)).map_err(fail)?;
        signal_hook::flag::register(signal, stop.flag()).map_err(fail)?;
    }
    // `timeout` and some shells signal both the process and its group: the second signal belongs to the
    // first.
    let stop = stop.clone();
    std::thread::spawn(move || {
        while !stop.is_cancelled() {
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(Duration::from_millis(500));
        twice.store(true, Ordering::SeqCst);
    });
    Ok(())
}

/// The log level of `--log`, `--quiet` or `-v`.
fn level(common: &Common) -> Option<String> {
    let level = match (common.quiet, common.verbose) {
        (true, _) => Some("error"),
        (false, 0) => None,
        (false, 1) => Some("info"),
        (false, 2) => Some("debug"),
        _ => Some("trace"),
    };
    common.log.clone().or(level.map(str::to_owned))
}

/// What is logged.
pub(crate) fn filter(config: &Config) -> Result<EnvFilter> {
    // The driver reports each attempt to connect; what comes of them is reported by us, once.
    let detailed = ["debug", "trace", "scylla"].iter().any(|word| config.log.level.contains(word));
    let level = if detailed { config.log.level.clone() } else { format!("{},scylla=off", config.log.level) };
    EnvFilter::try_new(level)
        .map_err(|error| Error::usage(format!("`log.level` `{}`: {error}", config.log.level)))
}

fn log(config: &Config, color: ColorChoice) -> Result<()> {
    let ansi = match color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            std::io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    };
    let filter = filter(config)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would report on standard error that standard error is closed, and panic.
        .log_internal_errors(false)
        .with_target(false)
        .with_ansi(ansi);
    let set = match config.log.format.as_str() {
        "text" => log.try_init(),
        "json" => log.json().try_init(),
        other => return Err(Error::user(format!("`log.format`: expected text or json, found `{other}`"))),
    };
    set.map_err(|error| Error::internal(format!("start the log: {error}")))
}
