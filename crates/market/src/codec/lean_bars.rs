//! Rows of a data vendor's own bars, in the format of Lean's data.
//!
//! ```text
//! second, minute  milliseconds after local midnight, then the columns; a file for each session
//! hour, daily     yyyymmdd hh:mm, then the columns; one file for all sessions
//! trade columns   open, high, low, close (each price * 10,000), volume
//! quote columns   bid open, high, low, close, size, ask open, high, low, close, size; empty where a side is unknown
//! ```
//! Formats: QuantConnect/Lean, `Data/equity/readme.md`.

use crate::bar::{Bar, QuoteValues, TradeValues, Values};
use crate::interval::{Interval, MINUTE};
use crate::kind::BarShape;
use crate::time::SessionDay;
use crate::{Kind, Price, Size, UnixNanos, fixed};

/// Decodes rows into bars: final, complete, and without VWAP or trade count, which the vendor does not
/// provide.
#[derive(Debug)]
pub struct BarReader {
    /// Kind of the bars: trades or quotes.
    pub kind: Kind,
    /// Symbol of all rows.
    pub symbol: String,
    /// Feed label of all rows.
    pub feed: String,
    /// Interval of the bars.
    pub interval: Interval,
    /// The exchange's time zone.
    pub zone: String,
    /// The session, if a file holds only one.
    pub session: Option<SessionDay>,
}

impl BarReader {
    /// Decodes one row.
    ///
    /// # Errors
    /// Names the invalid field.
    pub fn read(&self, row: &str) -> Result<Bar, String> {
        let mut fields = row.trim_end().split(',');
        let time = fields.next().unwrap_or_default();
        let start = self.start(time)?;
        let cells: Vec<&str> = fields.collect();
        let number = |index: usize, scale: u32| {
            let cell = cells.get(index).copied().unwrap_or_default();
            fixed::parse_scaled(cell.as_bytes(), scale)
                .map_err(|error| format!("column {}: {error}: `{cell}`", index + 2))
        };
        let ohlc = |first: usize| -> Result<[Price; 4], String> {
            let mut out = [Price::ZERO; 4];
            for (offset, slot) in out.iter_mut().enumerate() {
                *slot = Price::from_raw(number(first + offset, fixed::SCALE - 4)?);
            }
            Ok(out)
        };
        let side = |first: usize| -> Result<Option<([Price; 4], Size)>, String> {
            if cells.get(first).is_none_or(|cell| cell.is_empty()) {
                return Ok(None);
            }
            Ok(Some((ohlc(first)?, Size::from_raw(number(first + 4, fixed::SCALE)?))))
        };
        let values = match self.kind.bars() {
            Some(BarShape::Trades) => Values::Trades(TradeValues {
                ohlc: ohlc(0)?,
                volume: Size::from_raw(number(4, fixed::SCALE)?),
                vwap: None,
                trades: 0,
            }),
            Some(BarShape::Quotes) => match (side(0)?, side(5)?) {
                (None, None) => Values::Empty,
                (bid, ask) => Values::Quotes(QuoteValues { bid, ask }),
            },
            _ => return Err(format!("there are no bars of {}", self.kind.plural())),
        };
        check(&values)?;
        Ok(Bar {
            kind: self.kind,
            symbol: self.symbol.clone(),
            feed: self.feed.clone(),
            interval: self.interval,
            start,
            values,
            late: 0,
            revision: 0,
            is_final: true,
            complete: true,
        })
    }

    fn start(&self, time: &str) -> Result<UnixNanos, String> {
        let fail = || format!("column 1: invalid time of a {} bar: `{time}`", self.interval);
        if let Some(session) = &self.session {
            let nanos =
                fixed::parse_scaled(time.as_bytes(), 6).ok().and_then(|nanos| i64::try_from(nanos).ok());
            return nanos.and_then(|nanos| session.at(nanos)).ok_or_else(fail);
        }
        let (date, clock) = time.split_once(' ').ok_or_else(fail)?;
        let (hour, minute) = clock.split_once(':').ok_or_else(fail)?;
        let small = |text: &str| text.parse::<u8>().ok().map(i64::from);
        let minutes = small(hour).zip(small(minute)).map(|(hour, minute)| hour * 60 + minute);
        let session = SessionDay::new(date.parse().map_err(|_| fail())?, &self.zone)?;
        session.at(minutes.ok_or_else(fail)? * MINUTE).ok_or_else(fail)
    }
}

/// Fails if the numbers contradict each other.
fn check(values: &Values) -> Result<(), String> {
    let one = |[open, high, low, close]: [Price; 4], size: Size| {
        if low > open.min(close) || high < open.max(close) || size < Size::ZERO {
            return Err(format!("no bar: open {open} high {high} low {low} close {close} size {size}"));
        }
        Ok(())
    };
    match values {
        Values::Trades(values) => one(values.ohlc, values.volume),
        Values::Quotes(values) => {
            [values.bid, values.ask].into_iter().flatten().try_for_each(|(ohlc, size)| one(ohlc, size))
        }
        Values::Readings(_) | Values::Empty => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_each_shape() {
        let reader = |kind, interval: &str, session: Option<u32>| BarReader {
            kind,
            symbol: "SPY".into(),
            feed: "lean.vendor".into(),
            interval: interval.parse().unwrap(),
            zone: "America/New_York".into(),
            session: session.map(|day| SessionDay::new(day, "America/New_York").unwrap()),
        };
        let daily = reader(Kind::TRADE, "1d", None)
            .read("19980102 00:00,973100,975300,965300,973600,2150000")
            .unwrap();
        assert_eq!(daily.start.to_string(), "1998-01-02T05:00:00Z");
        let second = reader(Kind::QUOTE, "1s", Some(20131008))
            .read("14400000,,,,,,1675500,1675500,1675500,1675500,100")
            .unwrap();
        assert_eq!(second.start.to_string(), "2013-10-08T08:00:00Z");
        let Values::Quotes(values) = second.values else { panic!() };
        assert!(values.bid.is_none() && values.ask.unwrap().0[0].to_string() == "167.55");
        // Found by fuzzing: a row without either side is an empty bar, and hours out of range are rejected.
        let second = reader(Kind::QUOTE, "1s", Some(20131008)).read("14400000,,,,,,,,,,").unwrap();
        assert_eq!(second.values, Values::Empty);
        for (row, part) in [
            ("", "column 1"),
            ("19980102 9223372036854775807:00,1,1,1,1,1", "column 1"),
            ("x,1,1,1,1,1", "column 1"),
            ("19980102 00:00,1,1,1", "column 5"),
            ("19980102 00:00,1,1,1,1,z", "column 6"),
            // The high is below the open, the low above the close, the volume negative.
            ("19980102 00:00,10000,9000,9000,9000,1", "no bar: open 1 high 0.9"),
            ("19980102 00:00,10000,10000,9500,9000,1", "no bar: open 1"),
            ("19980102 00:00,10000,10000,10000,10000,-1", "size -1"),
        ] {
            let error = reader(Kind::TRADE, "1d", None).read(row).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
