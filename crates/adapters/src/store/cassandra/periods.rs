//! What bars and forecasts share: partitions of one symbol, interval and period, and batches within them.

use super::cause::{explain, is_invalid};
use super::schema;
use super::session::CassandraStore;
use futures_util::StreamExt;
use market::UnixNanos;
use market::record::{EARLIEST, LATEST};
use ports::cancel::{Backoff, CancelToken};
use ports::metrics::{METRICS, Port};
use ports::store::{BarScan, Store};
use ports::{Error, Result};
use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlTimestamp, CqlValue};

/// The values of a row, or those of its key.
pub(super) type Cells = Vec<CqlValue>;

pub(super) async fn prepare(
    session: &Session,
    store: &CassandraStore,
    text: String,
) -> Result<PreparedStatement> {
    let mut statement = session
        .prepare(text)
        .await
        .map_err(|error| explain(&format!("prepare at {}", store.describe()), &error.into()))?;
    statement.set_is_idempotent(true);
    Ok(statement)
}

/// Writes rows in batches, each within one of the partitions that `groups` are; retries until the cluster accepts them or
/// `stop` is cancelled.
pub(super) async fn send<'g, R: 'g>(
    store: &CassandraStore,
    session: &Session,
    groups: impl Iterator<Item = &'g Vec<R>>,
    statement: impl Fn(&R) -> PreparedStatement,
    cells: impl Fn(&R) -> Cells,
    what: &str,
    stop: &CancelToken,
) -> Result<()> {
    let batches = groups.flat_map(|group| group.chunks(store.batch_rows())).map(|rows| {
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_is_idempotent(true);
        rows.iter().for_each(|row| batch.append_statement(statement(row)));
        let values: Vec<Cells> = rows.iter().map(&cells).collect();
        async move { send_batch(store, session, &batch, &values, what, stop).await }
    });
    let mut responses = futures_util::stream::iter(batches).buffer_unordered(store.settings.in_flight.max(1));
    while let Some(response) = responses.next().await {
        response?;
    }
    Ok(())
}

async fn send_batch(
    store: &CassandraStore,
    session: &Session,
    batch: &Batch,
    values: &[Cells],
    what: &str,
    stop: &CancelToken,
) -> Result<()> {
    let mut backoff = Backoff::default();
    loop {
        let Err(error) = session.batch(batch, values).await else { return Ok(()) };
        let error: ExecutionError = error;
        let mut reason = explain(&format!("write {what} to {}", store.describe()), &error);
        if is_invalid(&error) {
            // A missing or altered table is waited for, as for records; so are withdrawn permissions.
            match schema::problem(session, &store.keyspace, &store.describe(), None).await {
                Ok(Some(problem)) | Err(problem) => reason = problem,
                Ok(None) => match accepts_all(session, batch, &store.describe()).await {
                    Err(problem) => reason = problem,
                    // It may have been fixed in the meantime.
                    Ok(()) if backoff.tries() < 3 => {}
                    Ok(()) => return Err(reason),
                },
            }
        }
        if stop.is_cancelled() && backoff.tries() > 3 {
            return Err(reason);
        }
        if backoff.tries() == 0 {
            tracing::warn!("{reason}; {what} are waiting; writing resumes once this is fixed");
        }
        METRICS.retried(Port::Store);
        tokio::time::sleep(backoff.wait()).await;
    }
}

/// Checks that the cluster can prepare the statements of a batch.
async fn accepts_all(session: &Session, batch: &Batch, store: &str) -> Result<()> {
    let mut texts: Vec<&str> = batch.statements.iter().filter_map(text).collect();
    texts.dedup();
    for text in texts {
        schema::accepts(session, text, store).await?;
    }
    Ok(())
}

fn text(statement: &BatchStatement) -> Option<&str> {
    match statement {
        BatchStatement::PreparedStatement(prepared) => Some(prepared.get_statement()),
        BatchStatement::Query(query) => Some(&query.contents),
        _ => None,
    }
}

/// A bound of a range, for starts in whole milliseconds: rounded up, at both ends, as starts before it are not at or after it.
pub(super) const fn bound(time: UnixNanos) -> CqlTimestamp {
    let (whole, rest) = (time.0.div_euclid(market::time::MILLI), time.0.rem_euclid(market::time::MILLI));
    CqlTimestamp(whole + (rest > 0) as i64)
}

/// Partitions of a range up to which each is read without a look at which there are.
const DIRECT: usize = 400;

/// The partitions of a range, in milliseconds, if it is bounded.
pub(super) fn computed_periods(scan: &BarScan) -> Option<Vec<i64>> {
    if scan.from < EARLIEST || scan.to > LATEST {
        return None;
    }
    let mut periods = Vec::new();
    let mut period = scan.interval.period(scan.from);
    while period < scan.to {
        if periods.len() == DIRECT {
            return None;
        }
        periods.push(period.millis());
        period = scan.interval.next_period(period);
    }
    Some(periods)
}

/// All partitions of a symbol and interval that begin before the end of the scan, sorted.
pub(super) async fn listed_periods(
    session: &Session,
    name: &str,
    scan: &BarScan,
    fail: &dyn Fn(&dyn std::fmt::Display) -> Error,
) -> Result<Vec<i64>> {
    let mut rows = session
        .query_iter(format!("SELECT DISTINCT symbol, interval, period FROM {name}"), ())
        .await
        .map_err(|error| fail(&error))?
        .rows_stream::<(String, String, CqlTimestamp)>()
        .map_err(|error| fail(&error))?;
    let mut periods = Vec::new();
    while let Some(row) = rows.next().await {
        let (symbol, interval, period) = row.map_err(|error| fail(&error))?;
        let within = period.0 * market::time::MILLI < scan.to.0;
        if within && symbol == scan.symbol && interval == scan.interval.to_string() {
            periods.push(period.0);
        }
    }
    periods.sort_unstable();
    Ok(periods)
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::Kind;

    #[test]
    fn bounded_ranges_need_no_list_of_partitions() {
        let periods = |interval: &str, from: &str, to: &str| -> Option<Vec<String>> {
            let scan = BarScan {
                kind: Kind::TRADE,
                symbol: "A".to_owned(),
                interval: interval.parse().unwrap(),
                feed: None,
                from: UnixNanos::parse(from).unwrap(),
                to: UnixNanos::parse(to).unwrap(),
                limit: None,
            };
            let days = computed_periods(&scan)?.into_iter().map(|ms| UnixNanos(ms * market::time::MILLI));
            Some(days.map(|day| day.to_string()[..10].to_owned()).collect())
        };
        let days = periods("1s", "2024-02-28T23:00:00Z", "2024-03-01").unwrap();
        assert_eq!(days, ["2024-02-28", "2024-02-29"]);
        let months = periods("1m", "2024-01-31", "2024-03-01T00:00:00.000000001Z").unwrap();
        assert_eq!(months, ["2024-01-01", "2024-02-01", "2024-03-01"]);
        let years = periods("1d", "2023-12-31", "2025-01-01").unwrap();
        assert_eq!(years, ["2023-01-01", "2024-01-01"]);
        assert_eq!(periods("1s", "2020-01-01", "2024-01-01"), None);
    }

    #[test]
    fn bounds_between_milliseconds_are_rounded_up() {
        for (ns, ms) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2), (-1, 0), (-1_000_001, -1)] {
            assert_eq!(bound(UnixNanos(ns)), CqlTimestamp(ms), "{ns}");
        }
        assert!(bound(UnixNanos(i64::MIN)) < bound(UnixNanos(i64::MAX)));
    }
}
