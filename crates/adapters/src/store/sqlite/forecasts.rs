//! Forecasts in the SQLite store.

use market::UnixNanos;
use market::interval::Interval;
use ports::forecast::{ForecastRecord, ForecastScore};
use ports::store::ForecastScan;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use std::ops::ControlFlow;

/// The table.
pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS forecasts (
    symbol TEXT NOT NULL, interval TEXT NOT NULL, made_at INTEGER NOT NULL, feed TEXT NOT NULL,
    target TEXT NOT NULL, horizon INTEGER NOT NULL,
    model TEXT NOT NULL, version TEXT NOT NULL, verdict TEXT NOT NULL,
    close REAL NOT NULL, point REAL NOT NULL, baseline REAL NOT NULL,
    low_50 REAL, high_50 REAL, low_80 REAL, high_80 REAL, low_90 REAL, high_90 REAL,
    truth REAL, settled_at INTEGER, loss REAL, baseline_loss REAL,
    PRIMARY KEY (symbol, interval, made_at, feed, target, horizon)) WITHOUT ROWID;
";

const INSERT: &str = "
INSERT INTO forecasts VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22)
ON CONFLICT DO UPDATE SET
    model = excluded.model, version = excluded.version, verdict = excluded.verdict,
    close = excluded.close, point = excluded.point, baseline = excluded.baseline,
    low_50 = excluded.low_50, high_50 = excluded.high_50, low_80 = excluded.low_80, high_80 = excluded.high_80,
    low_90 = excluded.low_90, high_90 = excluded.high_90,
    truth = coalesce(excluded.truth, truth), settled_at = coalesce(excluded.settled_at, settled_at),
    loss = coalesce(excluded.loss, loss), baseline_loss = coalesce(excluded.baseline_loss, baseline_loss)";

/// Writes all forecasts in one transaction.
pub(super) fn write(connection: &Connection, forecasts: &[ForecastRecord]) -> rusqlite::Result<()> {
    let tx = rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
    {
        let mut insert = tx.prepare_cached(INSERT)?;
        for forecast in forecasts {
            let bound = |level: usize, side: usize| forecast.bounds.map(|bounds| bounds[level][side]);
            let score = forecast.score;
            insert.execute(params![
                forecast.symbol,
                forecast.interval.to_string(),
                forecast.made_at.0,
                forecast.feed,
                forecast.target,
                forecast.horizon,
                forecast.model,
                forecast.version,
                forecast.verdict,
                forecast.close,
                forecast.point,
                forecast.baseline,
                bound(0, 0),
                bound(0, 1),
                bound(1, 0),
                bound(1, 1),
                bound(2, 0),
                bound(2, 1),
                score.map(|score| score.truth),
                score.map(|score| score.settled_at.0),
                score.map(|score| score.loss),
                score.map(|score| score.baseline_loss),
            ])?;
        }
    }
    tx.commit()
}

pub(super) fn scan(
    connection: &Connection,
    scan: &ForecastScan,
    sink: &mut dyn FnMut(ForecastRecord) -> ControlFlow<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT * FROM forecasts WHERE symbol = ?1 AND interval = ?2 AND made_at >= ?3 AND made_at < ?4
         AND (?5 IS NULL OR feed = ?5) ORDER BY made_at DESC, feed DESC, target DESC, horizon DESC",
    )?;
    let values = params![scan.symbol, scan.interval.to_string(), scan.from.0, scan.to.0, scan.feed];
    let mut rows = statement.query(values)?;
    while let Some(row) = rows.next()? {
        if sink(forecast(scan.interval, row)?).is_break() {
            break;
        }
    }
    Ok(())
}

fn forecast(interval: Interval, row: &Row<'_>) -> rusqlite::Result<ForecastRecord> {
    let bounds = match row.get::<_, Option<f64>>(12)? {
        None => None,
        Some(low_50) => {
            Some([[low_50, row.get(13)?], [row.get(14)?, row.get(15)?], [row.get(16)?, row.get(17)?]])
        }
    };
    let score = match row.get::<_, Option<f64>>(18)? {
        None => None,
        Some(truth) => Some(ForecastScore {
            truth,
            settled_at: UnixNanos(row.get(19)?),
            loss: row.get(20)?,
            baseline_loss: row.get(21)?,
        }),
    };
    Ok(ForecastRecord {
        symbol: row.get(0)?,
        interval,
        made_at: UnixNanos(row.get(2)?),
        feed: row.get(3)?,
        target: row.get(4)?,
        horizon: row.get(5)?,
        model: row.get(6)?,
        version: row.get(7)?,
        verdict: row.get(8)?,
        close: row.get(9)?,
        point: row.get(10)?,
        baseline: row.get(11)?,
        bounds,
        score,
    })
}

/// Symbols and intervals, in order.
pub(super) fn series(connection: &Connection) -> rusqlite::Result<Vec<(String, Interval)>> {
    let mut statement = connection.prepare("SELECT DISTINCT symbol, interval FROM forecasts")?;
    let mut found = Vec::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let interval: Interval = row.get::<_, String>(1)?.parse().map_err(|error: String| {
            rusqlite::Error::FromSqlConversionFailure(1, Type::Text, error.into())
        })?;
        found.push((row.get(0)?, interval));
    }
    found.sort();
    Ok(found)
}
