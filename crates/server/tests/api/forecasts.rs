//! Forecasts, their scores, and how they did.

use crate::harness::{Fixture, OPEN};
use market::UnixNanos;
use market::interval::{Interval, MINUTE};
use ports::forecast::{ForecastRecord, ForecastScore};
use ports::store::Store;

/// Forecasts of 40 minutes; all but the last are scored, with a loss twice that of the random walk.
fn keep(fixture: &Fixture) {
    let forecast = |minute: i64, target: &str| {
        let made_at = UnixNanos(OPEN + minute * MINUTE);
        let settled_at = UnixNanos(made_at.0 + MINUTE);
        let score = ForecastScore { truth: 0.0015, settled_at, loss: 2e-6, baseline_loss: 1e-6 };
        ForecastRecord {
            symbol: "SPY".to_owned(),
            interval: Interval::M1,
            feed: "test".to_owned(),
            made_at,
            target: target.to_owned(),
            horizon: 1,
            model: "ridge".to_owned(),
            version: "2-0123456789ab".to_owned(),
            verdict: "does not beat random_walk (loss 0.3 % higher)".to_owned(),
            close: 165.99,
            point: 0.001,
            bounds: Some([[0.0, 0.001], [0.0, 0.002], [0.0, 0.003]]),
            baseline: 0.0,
            score: (minute < 40).then_some(score),
        }
    };
    let all: Vec<ForecastRecord> =
        (1..=40).flat_map(|minute| ["return", "range"].map(|target| forecast(minute, target))).collect();
    fixture.store.write_forecasts(&all, &fixture.stop).unwrap();
}

#[test]
fn forecasts_are_listed_newest_first_and_filtered() {
    let fixture = Fixture::new();
    assert!(fixture.get("/api/v1/forecasts/series").rows().is_empty());
    keep(&fixture);
    assert_eq!(
        fixture.get("/api/v1/forecasts/series").rows(),
        [serde_json::json!({"symbol": "SPY", "interval": "1m"})]
    );
    let rows = fixture.get("/api/v1/forecasts?symbol=SPY").rows();
    assert_eq!(rows.len(), 80);
    assert_eq!(rows[0]["made_at"], "2013-10-08T14:10:00+00:00");
    assert!(rows[0].get("truth").is_none() && rows[0]["point"] == 0.001);
    assert_eq!((&rows[2]["truth"], &rows[2]["low_90"]), (&0.0015.into(), &0.0.into()));
    let count = |query: &str| fixture.get(&format!("/api/v1/forecasts?symbol=SPY{query}")).rows().len();
    assert_eq!(count("&limit=3"), 3);
    assert_eq!(count("&target=range"), 40);
    assert_eq!(count("&horizon=5"), 0);
    assert_eq!(count("&interval=1h"), 0);
    assert_eq!(count("&from=2013-10-08T14:09:00Z&to=2013-10-08T14:10:00Z"), 2);
    let local = &fixture.get("/api/v1/forecasts?symbol=SPY&limit=1&tz=America/New_York").rows()[0];
    assert_eq!(local["made_at"], "2013-10-08T10:10:00-04:00");
    let csv = fixture.get("/api/v1/forecasts?symbol=SPY&format=csv&limit=1").text();
    assert!(csv.starts_with("made_at,symbol,interval,feed,target,horizon,model,"), "{csv}");
    for wrong in ["?symbol=", "?symbol=SPY&interval=7m", "?symbol=SPY&from=yesterday", "?symbol=SPY&x=1"] {
        assert_eq!(fixture.get(&format!("/api/v1/forecasts{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn a_model_that_does_not_beat_the_random_walk_says_so() {
    let fixture = Fixture::new();
    keep(&fixture);
    let rows = fixture.get("/api/v1/forecasts/record?symbol=SPY").rows();
    assert_eq!(rows.len(), 2);
    let row = &rows[1];
    assert_eq!((&row["target"], &row["made"], &row["scored"]), (&"return".into(), &40.into(), &39.into()));
    assert_eq!(row["record"], "does not beat the random walk: loss 100.0 % higher, 39 scored");
    assert_eq!((&row["coverage_50"], &row["coverage_90"]), (&0.0.into(), &1.0.into()));
    assert_eq!(row["verdict"], "does not beat random_walk (loss 0.3 % higher)");
    let few = fixture.get("/api/v1/forecasts/record?symbol=SPY&target=range&limit=10").rows();
    assert_eq!(few[0]["record"], "too few scored forecasts to judge (9 of 30)");
    let page = fixture.get("/js/forecasts.js");
    assert!(page.status == 200 && page.text().contains("forecasts/record"));
}
