//! Counts and scans. Partitions are listed first (`SELECT DISTINCT`), then read one by one in time order.

use super::cql::from_stamp;
use super::{CassandraStore, explain};
use futures_util::StreamExt;
use market::time::HOUR;
use market::{Kind, Price, Quote, QuoteSide, Record, Side, Size, Trade, UnixNanos, fixed};
use ports::store::{Counts, Scan, Sink, Store};
use ports::{Error, Result};
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlDate, CqlDecimal, CqlTime, CqlTimestamp, MaybeEmpty};
use std::ops::ControlFlow;

/// Partitions counted concurrently.
const AT_ONCE: usize = 8;

/// (symbol, start of the hour in nanoseconds) of every partition of a table, sorted.
async fn partitions(session: &Session, store: &CassandraStore, kind: Kind) -> Result<Vec<(String, i64)>> {
    let place = format!("list partitions of {}", store.describe());
    let text = format!("SELECT DISTINCT symbol, hour FROM {}.{}", store.keyspace, kind.plural());
    let mut rows = session
        .query_iter(text, ())
        .await
        .map_err(|error| store.keyspace_fails("list partitions")(&error))?
        .rows_stream::<(String, CqlTimestamp)>()
        .map_err(|error| Error::internal(format!("{place}: {error}")))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next().await {
        let (symbol, hour) = row.map_err(|error| Error::external(format!("{place}: {error}")))?;
        out.push((symbol, hour.0 * market::time::MILLI));
    }
    out.sort_unstable();
    Ok(out)
}

async fn prepare(session: &Session, store: &CassandraStore, text: String) -> Result<PreparedStatement> {
    session
        .prepare(text)
        .await
        .map(|mut statement| {
            statement.set_is_idempotent(true);
            statement
        })
        .map_err(|error| explain(&format!("prepare at {}", store.describe()), &error.into()))
}

pub(super) fn count(store: &CassandraStore) -> Result<Counts> {
    let (runtime, session) = store.session()?;
    runtime.block_on(async {
        let mut counts = Counts::new();
        for kind in Kind::ALL {
            let text = format!(
                "SELECT count(*) FROM {}.{} WHERE symbol = ? AND hour = ?",
                store.keyspace,
                kind.plural()
            );
            let statement = prepare(&session, store, text).await?;
            let place = format!("count {}", store.describe());
            let by_symbol = counts.entry(kind).or_default();
            let all = partitions(&session, store, kind).await?;
            let mut answers = futures_util::stream::iter(all)
                .map(|(symbol, hour)| {
                    let (session, statement, place) = (&session, &statement, &place);
                    async move {
                        let hour = CqlTimestamp(hour / market::time::MILLI);
                        let rows = session
                            .execute_unpaged(statement, (&symbol, hour))
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
            while let Some(answer) = answers.next().await {
                let (symbol, count) = answer?;
                *by_symbol.entry(symbol).or_default() += count;
            }
        }
        Ok(counts)
    })
}

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
const TRADE_VALUES: &str =
    "ts, feed, venue, id, price, size, side, conditions, tape, seq, recv_ts, revision, canceled";

/// The numbers of an absent side are empty, or null where an earlier version of Tapeline left them unset.
type SideNumber = Option<MaybeEmpty<CqlDecimal>>;
type SideRow = (SideNumber, SideNumber, Option<String>);
type QuoteRow = (
    CqlTime,
    String,
    i64,
    SideNumber,
    SideNumber,
    Option<String>,
    SideNumber,
    SideNumber,
    Option<String>,
    Option<Vec<String>>,
    Option<(CqlDate, CqlTime)>,
);
const QUOTE_VALUES: &str =
    "ts, feed, seq, bid, bid_size, bid_venue, ask, ask_size, ask_venue, conditions, recv_ts";

fn decimal(value: Option<CqlDecimal>) -> Result<i128> {
    let Some(value) = value else { return Err(Error::user("a row has no price or size")) };
    let (bytes, scale) = value.as_signed_be_bytes_slice_and_exponent();
    if bytes.len() > 16 {
        return Err(Error::user("a decimal in the table is out of range: expected below 1e20"));
    }
    let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    let unscaled = bytes.iter().fold(if negative { -1_i128 } else { 0 }, |n, b| (n << 8) | i128::from(*b));
    fixed::from_unscaled(unscaled, scale)
        .map_err(|error| Error::user(format!("a decimal in the table: {error}")))
}

fn array(codes: Option<Vec<String>>) -> String {
    let codes = codes.unwrap_or_default();
    if codes.is_empty() { "[]".to_owned() } else { format!("[\"{}\"]", codes.join("\",\"")) }
}

fn received(stamp: Option<(CqlDate, CqlTime)>) -> UnixNanos {
    stamp.map_or(UnixNanos(0), |(date, time)| from_stamp(date.0, time.0))
}

fn midnight(hour: i64) -> i64 {
    UnixNanos(hour).epoch_day() * market::time::DAY
}

fn trade(symbol: &str, hour: i64, row: TradeRow) -> Result<Record<String>> {
    let (ts, feed, venue, id, price, size, side, conditions, tape, seq, recv, revision, canceled) = row;
    let side = side.unwrap_or_default();
    Ok(Record::Trade(Trade {
        symbol: symbol.to_owned(),
        feed,
        venue,
        id,
        ts: UnixNanos(midnight(hour) + ts.0),
        recv_ts: received(recv),
        price: Price::from_raw(decimal(price)?),
        size: Size::from_raw(decimal(size)?),
        side: Side::from_name(&side)
            .ok_or_else(|| Error::user(format!("a row of trades has an unknown side `{side}`")))?,
        conditions: array(conditions),
        tape: tape.unwrap_or_default(),
        seq: seq.unwrap_or(0),
        revision: revision.unwrap_or(0).unsigned_abs(),
        canceled: canceled.unwrap_or(false),
    }))
}

fn side((price, size, venue): SideRow) -> Result<Option<QuoteSide<String>>> {
    let number = |value: SideNumber| match value {
        Some(MaybeEmpty::Value(value)) => Some(value),
        Some(MaybeEmpty::Empty) | None => None,
    };
    let (price, size) = (number(price), number(size));
    if price.is_none() && size.is_none() {
        return Ok(None);
    }
    Ok(Some(QuoteSide {
        price: Price::from_raw(decimal(price)?),
        size: Size::from_raw(decimal(size)?),
        venue: venue.unwrap_or_default(),
    }))
}

fn quote(symbol: &str, hour: i64, row: QuoteRow) -> Result<Record<String>> {
    let (ts, feed, seq, bid, bid_size, bid_venue, ask, ask_size, ask_venue, conditions, recv) = row;
    Ok(Record::Quote(Quote {
        symbol: symbol.to_owned(),
        feed,
        seq,
        ts: UnixNanos(midnight(hour) + ts.0),
        recv_ts: received(recv),
        bid: side((bid, bid_size, bid_venue))?,
        ask: side((ask, ask_size, ask_venue))?,
        conditions: array(conditions),
    }))
}

pub(super) fn scan(store: &CassandraStore, scan: &Scan, sink: Sink<'_>) -> Result<()> {
    let (runtime, session) = store.session()?;
    runtime.block_on(async {
        let values = match scan.kind {
            Kind::Trade => TRADE_VALUES,
            Kind::Quote => QUOTE_VALUES,
        };
        let text = format!(
            "SELECT {values} FROM {}.{} WHERE symbol = ? AND hour = ? AND ts >= ? AND ts <= ?",
            store.keyspace,
            scan.kind.plural()
        );
        let statement = prepare(&session, store, text).await?;
        let mut left = scan.limit.unwrap_or(u64::MAX);
        for (symbol, hour) in partitions(&session, store, scan.kind).await? {
            let wanted = scan.symbol.as_ref().is_none_or(|only| *only == symbol);
            if !wanted || hour >= scan.to.0 || hour.saturating_add(HOUR) <= scan.from.0 {
                continue;
            }
            let start = hour - midnight(hour);
            let from = start + scan.from.0.saturating_sub(hour).clamp(0, HOUR);
            let to = start + scan.to.0.saturating_sub(hour).clamp(0, HOUR);
            if from >= to {
                continue;
            }
            // Inclusive, because `time` cannot hold 24:00.
            let to = to - 1;
            let values = (&symbol, CqlTimestamp(hour / market::time::MILLI), CqlTime(from), CqlTime(to));
            let answer = match scan.kind {
                Kind::Trade => {
                    let rows = page(&session, &statement, values, store).await?;
                    drain(
                        rows.rows_stream::<TradeRow>(),
                        |row| trade(&symbol, hour, row),
                        &mut left,
                        sink,
                        store,
                    )
                    .await?
                }
                Kind::Quote => {
                    let rows = page(&session, &statement, values, store).await?;
                    drain(
                        rows.rows_stream::<QuoteRow>(),
                        |row| quote(&symbol, hour, row),
                        &mut left,
                        sink,
                        store,
                    )
                    .await?
                }
            };
            if answer.is_break() {
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

async fn drain<R>(
    rows: std::result::Result<scylla::client::pager::TypedRowStream<R>, scylla::deserialize::TypeCheckError>,
    read: impl Fn(R) -> Result<Record<String>>,
    left: &mut u64,
    sink: &mut dyn FnMut(&Record<&str>) -> ControlFlow<()>,
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
        let record = read(row.map_err(|error| Error::external(format!("{place}: {error}")))?)?;
        if sink(&record.as_str()).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
