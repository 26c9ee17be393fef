//! Where a stream resumes after a restart.

use super::accumulator::{EventOrder, QuoteAccumulator};
use crate::{Price, Size};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Position of a record in its stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct StreamPosition {
    /// Its position: an offset.
    pub position: u64,
    /// When it was appended, milliseconds since 1970.
    pub stamp_ms: i64,
}

/// Where to resume reading so that all bars that may still change come out the same, and up to which event
/// time the bars of each series are final.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// The first position needed; `None` if none is.
    pub position: Option<u64>,
    /// Series (`trade|feed|symbol`) whose records before a time are in final bars.
    pub low_watermarks: LowWatermarks,
}

/// Low watermarks by series.
pub type LowWatermarks = BTreeMap<String, LowWatermark>;

/// Low watermark of a series: its records before this time are in final bars. In JSON the time alone, or an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct LowWatermark {
    /// Event time, nanoseconds.
    pub time: i64,
    /// Position from which on records before that time are late: they were not in the stream when their bars became final.
    /// `None`: unknown.
    pub position: Option<u64>,
    /// The last quote before it, in markets without sessions, whose quotes carry over.
    pub carried: CarriedQuote,
}

/// The last bid and ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CarriedQuote {
    bid: Option<CarriedSide>,
    ask: Option<CarriedSide>,
}

/// Event time, order within it, price and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CarriedSide(i64, u64, String, String);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Time(i64),
    Object {
        time: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bid: Option<CarriedSide>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ask: Option<CarriedSide>,
    },
}

impl From<Stored> for LowWatermark {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Time(time) => Self { time, position: None, carried: CarriedQuote::default() },
            Stored::Object { time, position, bid, ask } => {
                Self { time, position, carried: CarriedQuote { bid, ask } }
            }
        }
    }
}

impl From<LowWatermark> for Stored {
    fn from(LowWatermark { time, position, carried }: LowWatermark) -> Self {
        match (position, carried) {
            (None, CarriedQuote { bid: None, ask: None }) => Self::Time(time),
            (position, CarriedQuote { bid, ask }) => Self::Object { time, position, bid, ask },
        }
    }
}

impl CarriedQuote {
    /// The last quote of an accumulator.
    pub(super) fn of(acc: &QuoteAccumulator) -> Self {
        let [bid, ask] = [&acc.bid, &acc.ask].map(|side| {
            let (at, price, size) = side.last()?;
            Some(CarriedSide(at.ts, at.order, price.to_string(), size.to_string()))
        });
        Self { bid, ask }
    }

    /// An accumulator that closes with it; nothing if a number cannot be parsed.
    pub(super) fn accumulator(&self) -> QuoteAccumulator {
        let mut acc = QuoteAccumulator::default();
        for (side, acc) in [(&self.bid, &mut acc.bid), (&self.ask, &mut acc.ask)] {
            let Some(CarriedSide(ts, order, price, size)) = side else { continue };
            if let (Ok(price), Ok(size)) = (Price::parse(price.as_bytes()), Size::parse(size.as_bytes())) {
                acc.add(EventOrder { ts: *ts, order: *order }, price.raw(), size.raw());
            }
        }
        acc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_watermarks_are_kept_as_json() {
        let mut acc = QuoteAccumulator::default();
        acc.bid.add(
            EventOrder { ts: 5, order: 7 },
            Price::from_billionths(1_500_000_000).raw(),
            Size::from_whole(2).raw(),
        );
        for (position, carried, text) in [
            (None, CarriedQuote::default(), "9"),
            (Some(4), CarriedQuote::default(), r#"{"time":9,"position":4}"#),
            (Some(4), CarriedQuote::of(&acc), r#"{"time":9,"position":4,"bid":[5,7,"1.5","2"]}"#),
        ] {
            let low_watermark = LowWatermark { time: 9, position, carried };
            assert_eq!(serde_json::to_string(&low_watermark).unwrap(), text);
            let read: LowWatermark = serde_json::from_str(text).unwrap();
            assert_eq!(read, low_watermark);
            assert_eq!(CarriedQuote::of(&read.carried.accumulator()), low_watermark.carried);
        }
    }
}
