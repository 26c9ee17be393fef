//! Bars in Cassandra: partitions of one symbol, interval and period, ordered by start.

use super::periods::{Cells, bound, computed_periods, listed_periods, prepare, send};
use super::session::{BarStatements, CassandraStore};
use super::{columns, schema};
use futures_util::StreamExt;
use market::bar::{Bar, QuoteValues, ReadingValues, TradeValues, Values};
use market::interval::Interval;
use market::kind::BarShape;
use market::{Kind, Price, Size, UnixNanos, fixed};
use ports::cancel::{CancelToken, retry};
use ports::metrics::Port;
use ports::store::{BarScan, BarSeries, Store};
use ports::{Error, Result};
use scylla::client::session::Session;
use scylla::value::{CqlDecimal, CqlTimestamp, CqlValue, Row};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

fn names(shape: BarShape) -> Vec<&'static str> {
    columns::bars(shape).iter().map(|(name, _)| *name).collect()
}

fn decimal(raw: i128) -> CqlValue {
    let (unscaled, scale) = fixed::to_unscaled(raw);
    // In the fewest bytes that preserve number and sign: Cassandra stores what it is sent.
    let bytes = unscaled.to_be_bytes();
    let spare = (unscaled.unsigned_abs().leading_zeros().max(1) - 1) as usize / 8;
    CqlValue::Decimal(CqlDecimal::from_signed_be_bytes_and_exponent(bytes[spare..].to_vec(), scale as i32))
}

fn key(bar: &Bar) -> Vec<CqlValue> {
    vec![
        CqlValue::Text(bar.symbol.clone()),
        CqlValue::Text(bar.interval.to_string()),
        CqlValue::Timestamp(CqlTimestamp(bar.interval.period(bar.start).millis())),
        CqlValue::Timestamp(CqlTimestamp(bar.start.millis())),
        CqlValue::Text(bar.feed.clone()),
    ]
}

/// All columns of a bar, or only its key to delete it. Absent values are written empty, as for records, so
/// that they replace those of an earlier revision.
fn cells(bar: &Bar) -> Cells {
    let mut out = key(bar);
    let price = |price: Price| decimal(price.raw());
    match &bar.values {
        Values::Trades(values) => {
            out.extend(values.ohlc.map(price));
            out.push(decimal(values.volume.raw()));
            out.push(values.vwap.map_or(CqlValue::Empty, price));
            out.push(CqlValue::BigInt(i64::try_from(values.trades).unwrap_or(i64::MAX)));
        }
        Values::Quotes(values) => {
            for side in [&values.bid, &values.ask] {
                match side {
                    Some((ohlc, size)) => {
                        out.extend(ohlc.map(price));
                        out.push(decimal(size.raw()));
                    }
                    None => out.extend((0..5).map(|_| CqlValue::Empty)),
                }
            }
        }
        Values::Readings(values) => {
            out.extend(values.first_max_min_last.map(price));
            out.push(values.sum.map_or(CqlValue::Empty, price));
            out.push(CqlValue::BigInt(i64::try_from(values.count).unwrap_or(i64::MAX)));
        }
        Values::Empty => return out,
    }
    let small = |n: u32| CqlValue::Int(i32::try_from(n).unwrap_or(i32::MAX));
    out.extend([small(bar.late), small(bar.revision)]);
    out.extend([bar.is_final, bar.complete].map(CqlValue::Boolean));
    out
}

/// Prepared INSERT and DELETE of each kind.
async fn statements<'s>(session: &Session, store: &'s CassandraStore) -> Result<&'s BarStatements> {
    if let Some(ready) = store.bar_statements.get() {
        return Ok(ready);
    }
    let mut made = BarStatements::default();
    for (kind, shape) in Kind::ALL.into_iter().filter_map(|kind| Some((kind, kind.bars()?))) {
        schema::may_write(session, &store.keyspace, &store.describe(), shape.table()).await?;
        let (columns, place) = (names(shape), format!("{}.{}", store.keyspace, shape.table()));
        let marks = vec!["?"; columns.len()].join(", ");
        let insert = format!("INSERT INTO {place} ({}) VALUES ({marks})", columns.join(", "));
        let only = columns[..5].iter().map(|name| format!("{name} = ?")).collect::<Vec<_>>().join(" AND ");
        let delete = format!("DELETE FROM {place} WHERE {only}");
        made.insert(kind, [prepare(session, store, insert).await?, prepare(session, store, delete).await?]);
    }
    Ok(store.bar_statements.get_or_init(|| made))
}

/// Writes bars in single-partition batches; retries until the cluster accepts them or `cancel` is set.
pub(super) fn write(store: &CassandraStore, bars: &[Bar], stop: &CancelToken) -> Result<()> {
    let (runtime, session, statements) = retry(stop, Port::Store, "write bars", || {
        let (runtime, session) = store.session()?;
        let statements = runtime.block_on(statements(&session, store))?;
        Ok((runtime, session, statements))
    })?;
    runtime.block_on(async {
        let mut groups: BTreeMap<(Kind, &str, Interval, UnixNanos), Vec<&Bar>> = BTreeMap::new();
        for bar in bars {
            groups
                .entry((bar.kind, &bar.symbol, bar.interval, bar.interval.period(bar.start)))
                .or_default()
                .push(bar);
        }
        let statement = |bar: &&Bar| {
            let remove = usize::from(bar.values == Values::Empty);
            statements[&bar.kind][remove].clone()
        };
        send(store, &session, groups.values(), statement, |bar| cells(bar), "bars", stop).await
    })
}

/// Reads bars ordered by start.
pub(super) fn scan(
    store: &CassandraStore,
    scan: &BarScan,
    sink: &mut dyn FnMut(Bar) -> ControlFlow<()>,
) -> Result<()> {
    let Some(shape) = scan.kind.bars() else { return Ok(()) };
    let (runtime, session) = store.session()?;
    let place = format!("read bars of {}", store.describe());
    runtime.block_on(async {
        let fail = |error: &dyn std::fmt::Display| Error::external(format!("{place}: {error}"));
        let name = format!("{}.{}", store.keyspace, shape.table());
        let periods = match computed_periods(scan) {
            Some(periods) => periods,
            None => listed_periods(&session, &name, scan, &fail).await?,
        };
        // A period that ends before the range contains none of its bars.
        let first = scan.interval.period(scan.from).millis();
        let columns = names(shape).join(", ");
        let text = format!(
            "SELECT {columns} FROM {name} WHERE symbol = ? AND interval = ? AND period = ? AND start >= ? AND start < ?"
        );
        let statement = prepare(&session, store, text).await?;
        let mut left = scan.limit.unwrap_or(u64::MAX);
        for period in periods.into_iter().filter(|period| scan.from.0 == i64::MIN || *period >= first) {
            let values =
                (&scan.symbol, scan.interval.to_string(), CqlTimestamp(period), bound(scan.from), bound(scan.to));
            let pager = session.execute_iter(statement.clone(), values).await.map_err(|error| fail(&error))?;
            let mut rows = pager.rows_stream::<Row>().map_err(|error| fail(&error))?;
            while let Some(row) = rows.next().await {
                let bar = bar(scan, shape, row.map_err(|error| fail(&error))?)
                    .ok_or_else(|| Error::user(format!("{place}: unreadable row in {name}")))?;
                if scan.feed.as_ref().is_some_and(|feed| *feed != bar.feed) {
                    continue;
                }
                if left == 0 || sink(bar).is_break() {
                    return Ok(());
                }
                left -= 1;
            }
        }
        Ok(())
    })
}

/// The series of all tables, in order.
pub(super) fn series(store: &CassandraStore) -> Result<Vec<BarSeries>> {
    let (runtime, session) = store.session()?;
    let place = format!("read bars of {}", store.describe());
    runtime.block_on(async {
        let fail = |error: &dyn std::fmt::Display| Error::external(format!("{place}: {error}"));
        let mut spans: BTreeMap<(Kind, String, String, Interval), [UnixNanos; 2]> = BTreeMap::new();
        for (kind, shape) in Kind::ALL.into_iter().filter_map(|kind| Some((kind, kind.bars()?))) {
            let text =
                format!("SELECT symbol, feed, interval, start FROM {}.{}", store.keyspace, shape.table());
            let pager = session.query_iter(text, ()).await.map_err(|error| fail(&error))?;
            let mut rows = pager
                .rows_stream::<(String, String, String, CqlTimestamp)>()
                .map_err(|error| fail(&error))?;
            while let Some(row) = rows.next().await {
                let (symbol, feed, interval, start) = row.map_err(|error| fail(&error))?;
                let interval = interval.parse().map_err(|error: String| fail(&error))?;
                let start = UnixNanos(start.0 * market::time::MILLI);
                let [first, last] = spans.entry((kind, symbol, feed, interval)).or_insert([start; 2]);
                *first = start.min(*first);
                *last = start.max(*last);
            }
        }
        let series = spans.into_iter().map(|((kind, symbol, feed, interval), [first, last])| BarSeries {
            kind,
            symbol,
            feed,
            interval,
            first,
            last,
        });
        Ok(series.collect())
    })
}

/// Cells of a row, consumed in order.
struct Reader(std::vec::IntoIter<Option<CqlValue>>);

impl Reader {
    fn next(&mut self) -> Option<CqlValue> {
        self.0.next().flatten()
    }

    fn decimal(&mut self) -> Option<i128> {
        let Some(CqlValue::Decimal(value)) = self.next() else { return None };
        let (bytes, scale) = value.as_signed_be_bytes_slice_and_exponent();
        if bytes.is_empty() || bytes.len() > 16 {
            return None;
        }
        let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
        let unscaled =
            bytes.iter().fold(if negative { -1_i128 } else { 0 }, |n, b| (n << 8) | i128::from(*b));
        fixed::from_unscaled(unscaled, scale).ok()
    }

    fn price(&mut self) -> Option<Price> {
        self.decimal().map(Price::from_raw)
    }

    fn ohlc(&mut self) -> Option<[Price; 4]> {
        let all = [self.price(), self.price(), self.price(), self.price()];
        Some([all[0]?, all[1]?, all[2]?, all[3]?])
    }

    fn side(&mut self) -> Option<([Price; 4], Size)> {
        let (ohlc, size) = (self.ohlc(), self.decimal());
        Some((ohlc?, Size::from_raw(size?)))
    }

    fn int(&mut self) -> Option<u32> {
        self.next().and_then(|value| value.as_int()).and_then(|n| u32::try_from(n).ok())
    }

    fn flag(&mut self) -> Option<bool> {
        self.next().and_then(|value| value.as_boolean())
    }
}

fn bar(scan: &BarScan, shape: BarShape, row: Row) -> Option<Bar> {
    let mut cells = Reader(row.columns.into_iter());
    let symbol = cells.next()?.into_string()?;
    let (_interval, _period) = (cells.next(), cells.next());
    let start = cells.next()?.as_cql_timestamp()?;
    let feed = cells.next()?.into_string()?;
    let values = match shape {
        BarShape::Trades => Values::Trades(TradeValues {
            ohlc: cells.ohlc()?,
            volume: Size::from_raw(cells.decimal()?),
            vwap: cells.price(),
            trades: cells.next()?.as_bigint()?.unsigned_abs(),
        }),
        BarShape::Quotes => Values::Quotes(QuoteValues { bid: cells.side(), ask: cells.side() }),
        BarShape::Readings => Values::Readings(ReadingValues {
            first_max_min_last: cells.ohlc()?,
            sum: cells.price(),
            count: cells.next()?.as_bigint()?.unsigned_abs(),
        }),
    };
    Some(Bar {
        kind: scan.kind,
        symbol,
        feed,
        interval: scan.interval,
        start: UnixNanos(start.0 * market::time::MILLI),
        values,
        late: cells.int()?,
        revision: cells.int()?,
        is_final: cells.flag()?,
        complete: cells.flag()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_as_short_as_they_can_be_and_keep_their_sign() {
        for (raw, bytes, scale) in [
            (0, vec![0], 0),
            (127 * fixed::ONE, vec![127], 0),
            (128 * fixed::ONE, vec![0, 128], 0),
            (-127 * fixed::ONE, vec![129], 0),
            (fixed::ONE / 100 * 16_743, vec![65, 103], 2),
            (-1, vec![255], 18),
            (fixed::MAX, fixed::MAX.to_be_bytes().to_vec(), 18),
            (-fixed::MAX, (-fixed::MAX).to_be_bytes().to_vec(), 18),
        ] {
            let want = CqlValue::Decimal(CqlDecimal::from_signed_be_bytes_and_exponent(bytes, scale));
            assert_eq!(decimal(raw), want, "{raw}");
        }
    }
}
