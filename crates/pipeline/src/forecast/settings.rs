//! Settings of a run, and where its models are.

use forecast::Bundle;
use market::calendar::Calendar;
use market::interval::Interval;
use ports::Result;
use ports::topic::Names;

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct ForecastSettings {
    /// Topic names.
    pub names: Names,
    /// The consumer group.
    pub group: String,
    /// How bars are built: calendars, and how late they change.
    pub bars: market::bar::AggregatorSettings,
    /// Maximum number of bars fetched at once.
    pub cycle: usize,
    /// Time between trainings of a model, in event time, nanoseconds; `None`: never again.
    pub retrain_every: Option<i64>,
    /// Number of threads that forecast.
    pub threads: usize,
}

impl ForecastSettings {
    /// The calendar of a symbol on a feed.
    pub(super) fn calendar(&self, feed: &str, symbol: &str) -> Calendar {
        self.bars.rules(feed, symbol).map_or(Calendar::XNYS, |rules| rules.calendar)
    }
}

/// Trained models by symbol and interval, in numbered versions.
pub trait ModelStore: Send + Sync {
    /// Number of the newest version; `None` without one.
    ///
    /// # Errors
    /// The models cannot be read.
    fn newest(&self, symbol: &str, interval: Interval) -> Result<Option<u32>>;

    /// A version, and its digest.
    ///
    /// # Errors
    /// It is missing or damaged.
    fn load(&self, symbol: &str, interval: Interval, number: u32) -> Result<(Bundle, String)>;

    /// Saves a new version atomically; returns its number.
    ///
    /// # Errors
    /// It cannot be written.
    fn save(&self, symbol: &str, interval: Interval, bundle: &Bundle) -> Result<u32>;
}
