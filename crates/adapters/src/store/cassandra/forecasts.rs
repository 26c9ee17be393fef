//! Forecasts in Cassandra: partitions of one symbol, interval and period, ordered by time.
//!
//! A forecast without a score writes its own columns only, so that it never clears the score of an earlier write.

use super::columns::FORECASTS;
use super::periods::{Cells, bound, computed_periods, listed_periods, prepare, send};
use super::schema;
use super::session::CassandraStore;
use futures_util::StreamExt;
use market::interval::Interval;
use market::{Kind, UnixNanos};
use ports::cancel::{CancelToken, retry};
use ports::forecast::{ForecastRecord, ForecastScore};
use ports::metrics::Port;
use ports::store::{BarScan, ForecastScan, Store};
use ports::{Error, Result};
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlTimestamp, CqlValue, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Number of columns of a score.
const SCORE: usize = 4;

fn names(scored: bool) -> Vec<&'static str> {
    let count = FORECASTS.len() - if scored { 0 } else { SCORE };
    FORECASTS[..count].iter().map(|(name, _)| *name).collect()
}

fn stamp(time: UnixNanos) -> CqlValue {
    CqlValue::Timestamp(CqlTimestamp(time.millis()))
}

/// The values of a forecast, in the order of [`FORECASTS`]; those of the score only if it has one.
fn cells(forecast: &ForecastRecord) -> Cells {
    let text = |value: &str| CqlValue::Text(value.to_owned());
    let mut out = vec![
        text(&forecast.symbol),
        text(&forecast.interval.to_string()),
        stamp(forecast.interval.period(forecast.made_at)),
        stamp(forecast.made_at),
        text(&forecast.feed),
        text(&forecast.target),
        CqlValue::Int(i32::try_from(forecast.horizon).unwrap_or(i32::MAX)),
        text(&forecast.model),
        text(&forecast.version),
        text(&forecast.verdict),
    ];
    out.extend([forecast.close, forecast.point, forecast.baseline].map(CqlValue::Double));
    match forecast.bounds {
        Some(bounds) => out.extend(bounds.into_iter().flatten().map(CqlValue::Double)),
        None => out.extend((0..6).map(|_| CqlValue::Empty)),
    }
    if let Some(score) = forecast.score {
        out.push(CqlValue::Double(score.truth));
        out.push(stamp(score.settled_at));
        out.extend([score.loss, score.baseline_loss].map(CqlValue::Double));
    }
    out
}

/// The statements that write a forecast without and with its score.
async fn statements(session: &Session, store: &CassandraStore) -> Result<Vec<PreparedStatement>> {
    schema::may_write(session, &store.keyspace, &store.describe(), "forecasts").await?;
    let mut statements = Vec::new();
    for scored in [false, true] {
        let (columns, place) = (names(scored), format!("{}.forecasts", store.keyspace));
        let marks = vec!["?"; columns.len()].join(", ");
        let text = format!("INSERT INTO {place} ({}) VALUES ({marks})", columns.join(", "));
        statements.push(prepare(session, store, text).await?);
    }
    Ok(statements)
}

/// Writes forecasts in single-partition batches; retries until the cluster accepts them or `stop` is cancelled.
pub(super) fn write(store: &CassandraStore, forecasts: &[ForecastRecord], stop: &CancelToken) -> Result<()> {
    let (runtime, session, statements) = retry(stop, Port::Store, "write forecasts", || {
        let (runtime, session) = store.session()?;
        let statements = runtime.block_on(statements(&session, store))?;
        Ok((runtime, session, statements))
    })?;
    runtime.block_on(async {
        let mut groups: BTreeMap<(&str, Interval, UnixNanos), Vec<&ForecastRecord>> = BTreeMap::new();
        for forecast in forecasts {
            let period = forecast.interval.period(forecast.made_at);
            groups.entry((&forecast.symbol, forecast.interval, period)).or_default().push(forecast);
        }
        let statement =
            |forecast: &&ForecastRecord| statements[usize::from(forecast.score.is_some())].clone();
        send(store, &session, groups.values(), statement, |forecast| cells(forecast), "forecasts", stop).await
    })
}

/// Reads forecasts, newest first.
pub(super) fn scan(
    store: &CassandraStore,
    scan: &ForecastScan,
    sink: &mut dyn FnMut(ForecastRecord) -> ControlFlow<()>,
) -> Result<()> {
    let (runtime, session) = store.session()?;
    let place = format!("read forecasts of {}", store.describe());
    runtime.block_on(async {
        let fail = |error: &dyn std::fmt::Display| Error::external(format!("{place}: {error}"));
        let name = format!("{}.forecasts", store.keyspace);
        // Partitions are those of bars of the same symbol and interval.
        let range = BarScan {
            kind: Kind::TRADE,
            symbol: scan.symbol.clone(),
            interval: scan.interval,
            feed: None,
            from: scan.from,
            to: scan.to,
            limit: None,
        };
        let periods = match computed_periods(&range) {
            Some(periods) => periods,
            None => listed_periods(&session, &name, &range, &fail).await?,
        };
        let text = format!(
            "SELECT {} FROM {name} WHERE symbol = ? AND interval = ? AND period = ? AND made_at >= ? AND made_at < ? \
             ORDER BY made_at DESC, feed DESC, target DESC, horizon DESC",
            names(true).join(", ")
        );
        let statement = prepare(&session, store, text).await?;
        for period in periods.into_iter().rev() {
            let values =
                (&scan.symbol, scan.interval.to_string(), CqlTimestamp(period), bound(scan.from), bound(scan.to));
            let pager = session.execute_iter(statement.clone(), values).await.map_err(|error| fail(&error))?;
            let mut rows = pager.rows_stream::<Row>().map_err(|error| fail(&error))?;
            while let Some(row) = rows.next().await {
                let row = row.map_err(|error| fail(&error))?;
                let forecast = forecast(scan.interval, row)
                    .ok_or_else(|| Error::user(format!("{place}: unreadable row in {name}")))?;
                if scan.feed.as_ref().is_some_and(|feed| *feed != forecast.feed) {
                    continue;
                }
                if sink(forecast).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    })
}

fn forecast(interval: Interval, row: Row) -> Option<ForecastRecord> {
    let mut cells = row.columns.into_iter();
    let mut next = || cells.next().flatten();
    let symbol = next()?.into_string()?;
    let (_interval, _period) = (next(), next());
    let made_at = next()?.as_cql_timestamp()?;
    let feed = next()?.into_string()?;
    let target = next()?.into_string()?;
    let horizon = u32::try_from(next()?.as_int()?).ok()?;
    let model = next()?.into_string()?;
    let version = next()?.into_string()?;
    let verdict = next()?.into_string()?;
    let mut number = || next().and_then(|value| value.as_double());
    let (close, point, baseline) = (number()?, number()?, number()?);
    let bounds = [[number(), number()], [number(), number()], [number(), number()]];
    let bounds = match bounds {
        [[Some(a), Some(b)], [Some(c), Some(d)], [Some(e), Some(f)]] => Some([[a, b], [c, d], [e, f]]),
        _ => None,
    };
    let truth = number();
    let settled_at = next().and_then(|value| value.as_cql_timestamp());
    let mut number = || next().and_then(|value| value.as_double());
    let score = match (truth, settled_at, number(), number()) {
        (Some(truth), Some(settled_at), Some(loss), Some(baseline_loss)) => Some(ForecastScore {
            truth,
            settled_at: UnixNanos(settled_at.0 * market::time::MILLI),
            loss,
            baseline_loss,
        }),
        _ => None,
    };
    Some(ForecastRecord {
        symbol,
        interval,
        feed,
        made_at: UnixNanos(made_at.0 * market::time::MILLI),
        target,
        horizon,
        model,
        version,
        verdict,
        close,
        point,
        bounds,
        baseline,
        score,
    })
}

/// Symbols and intervals, in order.
pub(super) fn series(store: &CassandraStore) -> Result<Vec<(String, Interval)>> {
    let (runtime, session) = store.session()?;
    let place = format!("read forecasts of {}", store.describe());
    runtime.block_on(async {
        let fail = |error: &dyn std::fmt::Display| Error::external(format!("{place}: {error}"));
        let text = format!("SELECT DISTINCT symbol, interval, period FROM {}.forecasts", store.keyspace);
        let pager = session.query_iter(text, ()).await.map_err(|error| fail(&error))?;
        let mut rows = pager.rows_stream::<(String, String, CqlTimestamp)>().map_err(|error| fail(&error))?;
        let mut found = BTreeSet::new();
        while let Some(row) = rows.next().await {
            let (symbol, interval, _) = row.map_err(|error| fail(&error))?;
            found.insert((symbol, interval.parse().map_err(|error: String| fail(&error))?));
        }
        Ok(found.into_iter().collect())
    })
}
