//! Counts and scans. Partitions come from the asked range or the directory, and are read one by one in time order.

use super::cause::explain;
use super::cql::from_stamp;
use super::session::{CassandraStore, prepare};
use super::{directory, table, values};
use futures_util::StreamExt;
use market::table::{Cell, MAX_COLUMNS};
use market::{Kind, Price, Record, Side, Size, Trade, UnixNanos};
use ports::store::{Counts, Scan, Sink, Store};
use ports::{Error, Result};
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlDate, CqlDecimal, CqlTime, CqlTimestamp, Row};
use std::ops::ControlFlow;

/// Partitions counted concurrently.
const AT_ONCE: usize = 8;

pub(super) fn count(store: &CassandraStore) -> Result<Counts> {
    let (runtime, session) = store.session()?;
    runtime.block_on(async {
        let mut counts = Counts::new();
        let mut partitions = directory::all_partitions(&session, store).await?;
        for kind in Kind::ALL {
            let text = format!(
                "SELECT count(*) FROM {}.{} WHERE {} = ? AND {} = ?",
                store.keyspace,
                kind.plural(),
                kind.table().partition(),
                kind.bucket().name()
            );
            let statement = prepare(&session, store, text).await?;
            let place = format!("count {}", store.describe());
            let by_symbol = counts.entry(kind).or_default();
            let all = std::mem::take(&mut partitions[kind.index()]);
            let mut responses = futures_util::stream::iter(all)
                .map(|(symbol, start)| {
                    let (session, statement, place) = (&session, &statement, &place);
                    async move {
                        let rows = session
                            .execute_unpaged(statement, (&symbol, CqlTimestamp(start.millis())))
                            .await
                            .map_err(|error| explain(place, &error))?
                            .into_rows_result()
                            .map_err(|error| Error::internal(format!("{place}: {error}")))?;
                        let (count,) = rows
                            .single_row::<(i64,)>()
                            .map_err(|error| Error::internal(format!("{place}: {error}")))?;
                        Ok::<_, Error>((symbol, count.unsigned_abs()))
                    }
                })
                .buffer_unordered(AT_ONCE);
            while let Some(response) = responses.next().await {
                let (symbol, count) = response?;
                *by_symbol.entry(symbol).or_default() += count;
            }
        }
        Ok(counts)
    })
}

/// A row of trades, in the order of [`table::selected`]: read without a value that says its type, as most rows are trades.
type TradeRow = (
    CqlTime,
    String,
    String,
    String,
    Option<CqlDecimal>,
    Option<CqlDecimal>,
    Option<String>,
    Option<Vec<String>>,
    Option<String>,
    Option<i64>,
    Option<(CqlDate, CqlTime)>,
    Option<i32>,
    Option<bool>,
);

/// The start of the day that a bucket lies in: what times of day are added to.
fn midnight(bucket: UnixNanos) -> i64 {
    bucket.epoch_day() * market::time::DAY
}

fn trade(symbol: &str, bucket: UnixNanos, row: TradeRow, sink: Sink<'_>) -> Result<ControlFlow<()>> {
    let (ts, feed, venue, id, price, size, side, conditions, tape, seq, recv, revision, canceled) = row;
    let side = side.unwrap_or_default();
    let lacks = || Error::user("a row of trades lacks its price or size");
    let conditions = values::array(&conditions.unwrap_or_default());
    Ok(sink(&Record::Trade(Trade {
        symbol,
        feed: &feed,
        venue: &venue,
        id: &id,
        ts: UnixNanos(midnight(bucket) + ts.0),
        recv_ts: recv.map_or(UnixNanos(0), |(date, time)| from_stamp(date.0, time.0)),
        price: Price::from_raw(values::decimal(&price.ok_or_else(lacks)?)?),
        size: Size::from_raw(values::decimal(&size.ok_or_else(lacks)?)?),
        side: Side::from_name(&side)
            .ok_or_else(|| Error::user(format!("a row of trades has an unknown side `{side}`")))?,
        conditions: &conditions,
        tape: tape.as_deref().unwrap_or_default(),
        seq: seq.unwrap_or(0),
        revision: revision.unwrap_or(0).unsigned_abs(),
        canceled: canceled.unwrap_or(false),
    })))
}

/// A row of any kind, by its description.
fn described(
    kind: Kind,
    symbol: &str,
    bucket: UnixNanos,
    row: Row,
    sink: Sink<'_>,
) -> Result<ControlFlow<()>> {
    let fail = |name: &str, reason: String| {
        Error::user(format!("a row of {}: column `{name}`: {reason}", kind.plural()))
    };
    let mut owned = Vec::with_capacity(MAX_COLUMNS);
    for (column, value) in table::selected(kind).zip(row.columns) {
        let value = values::OwnedCell::new(column, value, midnight(bucket));
        owned.push(value.map_err(|reason| fail(column.name, reason))?);
    }
    let mut cells = [Cell::Absent; MAX_COLUMNS];
    cells[0] = Cell::Text(symbol);
    for (cell, owned) in cells[1..].iter_mut().zip(&owned) {
        *cell = owned.cell();
    }
    let mut text = String::new();
    let record = kind.record(&cells[..kind.table().columns.len()], &mut text);
    Ok(sink(&record.map_err(|error| fail(error.column, error.reason))?))
}

pub(super) fn scan(store: &CassandraStore, scan: &Scan, sink: Sink<'_>) -> Result<()> {
    let (runtime, session) = store.session()?;
    let kind = scan.kind;
    runtime.block_on(async {
        let statement = prepare(&session, store, table::select(&store.keyspace, kind)).await?;
        let mut left = scan.limit.unwrap_or(u64::MAX);
        let length = kind.bucket().length();
        for (symbol, bucket) in directory::partitions(&session, store, scan).await? {
            let start = bucket.0 - midnight(bucket);
            let from = start + scan.from.0.saturating_sub(bucket.0).clamp(0, length);
            let to = start + scan.to.0.saturating_sub(bucket.0).clamp(0, length);
            if from >= to {
                continue;
            }
            // Inclusive, because `time` cannot hold 24:00.
            let to = to - 1;
            let values = (&symbol, CqlTimestamp(bucket.millis()), CqlTime(from), CqlTime(to));
            let rows = page(&session, &statement, values, store).await?;
            let response = match kind {
                Kind::TRADE => {
                    let rows = rows.rows_stream::<TradeRow>();
                    drain(rows, |row| trade(&symbol, bucket, row, &mut *sink), &mut left, store).await?
                }
                _ => {
                    let rows = rows.rows_stream::<Row>();
                    let take = |row| described(kind, &symbol, bucket, row, &mut *sink);
                    drain(rows, take, &mut left, store).await?
                }
            };
            if response.is_break() {
                break;
            }
        }
        Ok(())
    })
}

async fn page(
    session: &Session,
    statement: &PreparedStatement,
    values: (&String, CqlTimestamp, CqlTime, CqlTime),
    store: &CassandraStore,
) -> Result<scylla::client::pager::QueryPager> {
    session
        .execute_iter(statement.clone(), values)
        .await
        .map_err(|error| store.keyspace_fails("read records")(&error))
}

/// Passes rows on until there are no more or the receiver wants no more.
async fn drain<R>(
    rows: std::result::Result<scylla::client::pager::TypedRowStream<R>, scylla::deserialize::TypeCheckError>,
    mut take: impl FnMut(R) -> Result<ControlFlow<()>>,
    left: &mut u64,
    store: &CassandraStore,
) -> Result<ControlFlow<()>>
where
    R: for<'f, 'm> scylla::deserialize::row::DeserializeRow<'f, 'm>,
{
    let place = format!("read records of {}", store.describe());
    let mut rows = rows.map_err(|error| Error::internal(format!("{place}: {error}")))?;
    while let Some(row) = rows.next().await {
        if *left == 0 {
            return Ok(ControlFlow::Break(()));
        }
        *left -= 1;
        if take(row.map_err(|error| Error::external(format!("{place}: {error}")))?)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
