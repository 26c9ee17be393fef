//! Errors of a forecast.

/// Why a series cannot be forecast, or a model cannot be fitted or read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ForecastError {
    /// A price or volume is NaN or infinite.
    #[error("bar {bar} (start {start_ns} ns): expected a finite {field}, found {value}")]
    NotFinite {
        /// Index of the bar.
        bar: usize,
        /// Start of the bar.
        start_ns: i64,
        /// Name of the field.
        field: &'static str,
        /// The value found.
        value: f64,
    },
    /// A price is zero or negative, or a volume is negative.
    #[error("bar {bar} (start {start_ns} ns): expected a {expected} {field}, found {value}")]
    OutOfDomain {
        /// Index of the bar.
        bar: usize,
        /// Start of the bar.
        start_ns: i64,
        /// Name of the field.
        field: &'static str,
        /// `positive` or `non-negative`.
        expected: &'static str,
        /// The value found.
        value: f64,
    },
    /// The open or the close lies outside the low and the high.
    #[error(
        "bar {bar} (start {start_ns} ns): expected low <= open, close <= high, found open {open}, high {high}, \
         low {low}, close {close}"
    )]
    Inconsistent {
        /// Index of the bar.
        bar: usize,
        /// Start of the bar.
        start_ns: i64,
        /// Open.
        open: f64,
        /// High.
        high: f64,
        /// Low.
        low: f64,
        /// Close.
        close: f64,
    },
    /// Two bars share a start, or one starts before its predecessor.
    #[error("bar {bar} starts at {start_ns} ns: expected a start after {previous_ns} ns (bars must ascend)")]
    NotAscending {
        /// Index of the bar.
        bar: usize,
        /// Start of the bar.
        start_ns: i64,
        /// Start of its predecessor.
        previous_ns: i64,
    },
    /// The history is too short for what was requested.
    #[error("expected at least {needed} bars for {purpose}, found {found}")]
    TooShort {
        /// What the bars are needed for.
        purpose: String,
        /// Bars needed.
        needed: usize,
        /// Bars found.
        found: usize,
    },
    /// All prices are equal.
    #[error("all {bars} bars have the same price {price}: there is no movement to forecast")]
    Constant {
        /// Number of bars.
        bars: usize,
        /// The price.
        price: f64,
    },
    /// The most recent bars do not move.
    #[error(
        "the last {bars} bars show no price movement (price {price}): the symbol looks halted or delisted, \
         and a forecast of its volatility would be meaningless"
    )]
    Halted {
        /// Number of bars without movement.
        bars: usize,
        /// The price.
        price: f64,
    },
    /// The price jumps as in a split that the series is not adjusted for.
    #[error(
        "the price jumps as in a split, by a factor of {}, at bar {} (start {} ns; {found} such jumps): expected adjusted bars",
        last.ratio, last.bar, last.start_ns
    )]
    Split {
        /// The last of them.
        last: SuspectedSplit,
        /// Number of such jumps.
        found: usize,
    },
    /// A model was requested for something it was not trained for.
    #[error("model {model} was not trained for {task}")]
    Untrained {
        /// The model.
        model: &'static str,
        /// The task.
        task: String,
    },
    /// A regression has more unknowns than its data determine.
    #[error("singular regression: column {column} of {columns} is a combination of the others")]
    Singular {
        /// First dependent column.
        column: usize,
        /// Number of columns.
        columns: usize,
    },
    /// An option is out of range.
    #[error("option {option}: expected {expected}, found {found}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// Training produced NaN or infinite weights.
    #[error("training of {model} diverged in epoch {epoch}: lower the learning rate (now {learning_rate})")]
    Diverged {
        /// The model.
        model: &'static str,
        /// Epoch, from 1.
        epoch: usize,
        /// Learning rate used.
        learning_rate: f64,
    },
    /// A model file cannot be read.
    #[error("model file: {0}")]
    File(String),
}

/// A jump that looks like a split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuspectedSplit {
    /// Index of the first bar after it.
    pub bar: usize,
    /// Start of that bar.
    pub start_ns: i64,
    /// New shares per old share: 7 for 7:1, 0.1 for a reverse split of 1:10.
    pub ratio: f64,
}
