//! Progress of long jobs: a bar on a terminal, otherwise an occasional line.

use crate::output::{duration, thousands};
use indicatif::{ProgressBar, ProgressStyle};
use ports::telemetry::Telemetry;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Shows a counter until dropped.
pub(crate) struct Progress {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Which counter to show.
pub(crate) type Counter = fn(&Telemetry) -> &AtomicU64;

/// Interval between lines without a terminal.
const LINE: Duration = Duration::from_secs(10);

impl Progress {
    pub(crate) fn new(
        what: &'static str,
        telemetry: &Arc<Telemetry>,
        counter: Counter,
        total: Option<u64>,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (telemetry, flag) = (Arc::clone(telemetry), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let bar = std::io::stderr().is_terminal().then(|| bar(what, total));
            let (start, mut line) = (Instant::now(), Instant::now());
            while !flag.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(100));
                let count = telemetry.get(counter(&telemetry));
                match &bar {
                    Some(bar) => {
                        bar.set_length(total.unwrap_or(0).max(count));
                        bar.set_position(count);
                    }
                    None if line.elapsed() >= LINE => {
                        line = Instant::now();
                        let rate = count as f64 / start.elapsed().as_secs_f64();
                        let lag = match telemetry.get(&telemetry.lag_us) {
                            0 => String::new(),
                            lag => format!(", {} behind the market", duration(lag)),
                        };
                        eprintln!("{what}: {} ({}/s{lag})", thousands(count), thousands(rate as u64));
                    }
                    None => {}
                }
            }
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
        });
        Self { over, thread: Some(thread) }
    }
}

fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{prefix} [{bar:32}] {human_pos} of about {human_len}  {per_sec}  {elapsed}",
        None => "{prefix} {spinner} {human_pos}  {per_sec}  {elapsed}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total.unwrap_or(0)).with_style(style).with_prefix(what)
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic there has already been reported.
            let _ = thread.join();
        }
    }
}
