//! Forecasts as they are published and stored, and the record of how they did.
//!
//! A forecast is written once, when its bar closes, and once more with its score, when its truth arrives. Its identity
//! is symbol, interval, feed, time, target and horizon: writing it again replaces the same row.

use market::UnixNanos;
use market::interval::Interval;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Nominal coverages of the intervals, in percent.
pub const LEVELS: [u32; 3] = [50, 80, 90];

/// Number of scored forecasts below which a record is too short to judge.
pub const MIN_SCORED: u64 = 30;

/// A forecast. Values are fractions: a log return, a volatility (standard deviation of the return), a log range.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastRecord {
    /// The instrument.
    pub symbol: String,
    /// Interval of the bars.
    pub interval: Interval,
    /// Feed of the bars.
    pub feed: String,
    /// End of the bar from which it was made.
    pub made_at: UnixNanos,
    /// `return`, `volatility` or `range`.
    pub target: String,
    /// Number of bars ahead.
    pub horizon: u32,
    /// Name of the model.
    pub model: String,
    /// Version of the model: its number and the start of its digest.
    pub version: String,
    /// The model's walk-forward verdict, in words.
    pub verdict: String,
    /// Close of the bar.
    pub close: f64,
    /// The forecast.
    pub point: f64,
    /// Lower and upper end of the interval of each of [`LEVELS`]; `None` without a track record.
    pub bounds: Option<[[f64; 2]; LEVELS.len()]>,
    /// Forecast of the random walk.
    pub baseline: f64,
    /// The score, once the truth is known.
    pub score: Option<ForecastScore>,
}

/// What became of a forecast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForecastScore {
    /// Realised value.
    pub truth: f64,
    /// End of the bar that completed it.
    pub settled_at: UnixNanos,
    /// Loss of the forecast: squared error (return), QLIKE (volatility), squared log error (range).
    pub loss: f64,
    /// Loss of the random walk.
    pub baseline_loss: f64,
}

impl ForecastRecord {
    /// Members of [`Self::to_json`], in the order of the columns of lists and CSV.
    pub const COLUMNS: [&str; 22] = [
        "made_at",
        "symbol",
        "interval",
        "feed",
        "target",
        "horizon",
        "model",
        "version",
        "verdict",
        "close",
        "point",
        "baseline",
        "low_50",
        "high_50",
        "low_80",
        "high_80",
        "low_90",
        "high_90",
        "truth",
        "settled_at",
        "loss",
        "baseline_loss",
    ];

    /// Whether the truth lies in each interval; `None` without intervals or score.
    #[must_use]
    pub fn covered(&self) -> Option<[bool; LEVELS.len()]> {
        let truth = self.score?.truth;
        Some(self.bounds?.map(|[low, high]| low <= truth && truth <= high))
    }

    /// Encodes it as a JSON object. The same forecast gives the same text.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut map = Map::new();
        for (name, value) in [
            ("symbol", self.symbol.clone()),
            ("interval", self.interval.to_string()),
            ("feed", self.feed.clone()),
            ("made_at", self.made_at.to_string()),
            ("target", self.target.clone()),
            ("model", self.model.clone()),
            ("version", self.version.clone()),
            ("verdict", self.verdict.clone()),
        ] {
            map.insert(name.to_owned(), Value::String(value));
        }
        map.insert("horizon".to_owned(), self.horizon.into());
        for (name, value) in [("close", self.close), ("point", self.point), ("baseline", self.baseline)] {
            map.insert(name.to_owned(), value.into());
        }
        for ([low, high], level) in self.bounds.iter().flatten().zip(LEVELS) {
            map.insert(format!("low_{level}"), (*low).into());
            map.insert(format!("high_{level}"), (*high).into());
        }
        if let Some(score) = &self.score {
            map.insert("settled_at".to_owned(), score.settled_at.to_string().into());
            for (name, value) in
                [("truth", score.truth), ("loss", score.loss), ("baseline_loss", score.baseline_loss)]
            {
                map.insert(name.to_owned(), value.into());
            }
        }
        map
    }
}

/// How the forecasts of one target and horizon did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrackRecord {
    /// Forecasts made.
    pub made: u64,
    /// Those with a score.
    pub scored: u64,
    /// Scored forecasts with intervals, and for how many of them each interval contained the truth.
    pub with_bounds: u64,
    /// See `with_bounds`.
    pub covered: [u64; LEVELS.len()],
    /// Sum of the losses.
    pub loss: f64,
    /// Sum of the losses of the random walk on the same forecasts.
    pub baseline_loss: f64,
}

impl TrackRecord {
    /// Counts a forecast.
    pub fn add(&mut self, forecast: &ForecastRecord) {
        self.made += 1;
        let Some(score) = &forecast.score else { return };
        self.scored += 1;
        self.loss += score.loss;
        self.baseline_loss += score.baseline_loss;
        if let Some(covered) = forecast.covered() {
            self.with_bounds += 1;
            for (count, hit) in self.covered.iter_mut().zip(covered) {
                *count += u64::from(hit);
            }
        }
    }

    /// The records of forecasts by target and horizon.
    #[must_use]
    pub fn by_task(forecasts: &[ForecastRecord]) -> BTreeMap<(String, u32), Self> {
        let mut records: BTreeMap<(String, u32), Self> = BTreeMap::new();
        for forecast in forecasts {
            records.entry((forecast.target.clone(), forecast.horizon)).or_default().add(forecast);
        }
        records
    }

    /// Share of truths within the interval of each level; `None` without any.
    #[must_use]
    pub fn coverage(&self) -> Option<[f64; LEVELS.len()]> {
        (self.with_bounds > 0).then(|| self.covered.map(|count| count as f64 / self.with_bounds as f64))
    }

    /// How much lower the loss is than the random walk's, as a share; negative if it is higher. `None` without a score,
    /// or if the random walk made no error.
    #[must_use]
    pub fn gain(&self) -> Option<f64> {
        (self.baseline_loss > 0.0).then(|| 1.0 - self.loss / self.baseline_loss)
    }

    /// The record in plain words.
    #[must_use]
    pub fn describe(&self) -> String {
        if self.scored < MIN_SCORED {
            return format!("too few scored forecasts to judge ({} of {MIN_SCORED})", self.scored);
        }
        match self.gain() {
            None => "the random walk made no error".to_owned(),
            Some(gain) if gain > 0.0 => {
                format!("loss {:.1} % lower than the random walk's, {} scored", gain * 100.0, self.scored)
            }
            Some(0.0) => {
                format!("does not beat the random walk: same loss, {} scored", self.scored)
            }
            Some(gain) => format!(
                "does not beat the random walk: loss {:.1} % higher, {} scored",
                -gain * 100.0,
                self.scored
            ),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn forecast(score: Option<ForecastScore>) -> ForecastRecord {
        ForecastRecord {
            symbol: "SPY".to_owned(),
            interval: Interval::M1,
            feed: "f".to_owned(),
            made_at: UnixNanos(1_381_239_060_000_000_000),
            target: "return".to_owned(),
            horizon: 5,
            model: "ridge".to_owned(),
            version: "3-0123456789ab".to_owned(),
            verdict: "does not beat random_walk (loss 0.3 % higher)".to_owned(),
            close: 167.5,
            point: 0.0001,
            bounds: Some([[-0.001, 0.001], [-0.002, 0.002], [-0.003, 0.003]]),
            baseline: 0.0,
            score,
        }
    }

    pub(crate) fn scored(truth: f64, loss: f64, baseline_loss: f64) -> ForecastRecord {
        let settled_at = UnixNanos(1_381_239_360_000_000_000);
        forecast(Some(ForecastScore { truth, settled_at, loss, baseline_loss }))
    }

    /// Other programs read this format.
    #[test]
    fn forecasts_have_one_form() {
        let text = Value::Object(scored(0.0015, 2e-6, 2.25e-6).to_json()).to_string();
        let expected: Value = serde_json::from_str(
            r#"{"symbol":"SPY","interval":"1m","feed":"f","made_at":"2013-10-08T13:31:00Z","target":"return","horizon":5,
                "model":"ridge","version":"3-0123456789ab","verdict":"does not beat random_walk (loss 0.3 % higher)",
                "close":167.5,"point":0.0001,"baseline":0.0,"low_50":-0.001,"high_50":0.001,"low_80":-0.002,
                "high_80":0.002,"low_90":-0.003,"high_90":0.003,"truth":0.0015,"settled_at":"2013-10-08T13:36:00Z",
                "loss":0.000002,"baseline_loss":0.00000225}"#,
        )
        .unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        assert!(!forecast(None).to_json().contains_key("truth"));
    }

    #[test]
    fn a_record_says_in_words_whether_it_beats_the_random_walk() {
        let mut record = TrackRecord::default();
        record.add(&forecast(None));
        record.add(&scored(0.0015, 3.0, 2.0));
        assert_eq!((record.made, record.scored, record.covered), (2, 1, [0, 1, 1]));
        assert_eq!(record.coverage(), Some([0.0, 1.0, 1.0]));
        assert_eq!(record.describe(), "too few scored forecasts to judge (1 of 30)");
        for _ in 0..29 {
            record.add(&scored(0.0, 3.0, 2.0));
        }
        assert_eq!(record.describe(), "does not beat the random walk: loss 50.0 % higher, 30 scored");
        record.baseline_loss = record.loss * 2.0;
        assert_eq!(record.describe(), "loss 50.0 % lower than the random walk's, 30 scored");
        record.baseline_loss = 0.0;
        assert_eq!(record.describe(), "the random walk made no error");
    }
}
