//! A live source that ends: once so many records have come, nothing is missing and nothing more comes. For a stream
//! that is known to have an end, as a simulator's.

use ports::Result;
use ports::cancel::CancelToken;
use ports::source::{Event, Positions, Source};
use ports::telemetry::Latency;

/// Calls without a record, one after the other, after which nothing more is expected.
const QUIET: u32 = 4;

/// A source of at least so many records.
pub struct Whole {
    inner: Box<dyn Source>,
    expected: u64,
    handed: u64,
    /// A gap is known that is not yet fetched.
    missing: bool,
}

impl Whole {
    /// Ends when `expected` records or more have come. What is sent twice counts twice: it ends no earlier than it is quiet.
    #[must_use]
    pub fn new(inner: Box<dyn Source>, expected: u64) -> Self {
        Self { inner, expected, handed: 0, missing: false }
    }
}

impl Source for Whole {
    fn resume(&mut self, positions: &Positions) -> Result<u64> {
        self.inner.resume(positions)
    }

    fn next(&mut self, stop: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        for _ in 0..QUIET {
            let (before, mut handed, mut missing) = (self.handed, self.handed, self.missing);
            let more = self.inner.next(stop, &mut |event| {
                match &event {
                    Event::Record { .. } => handed += 1,
                    Event::Gap(gap) => missing = gap.to.is_none(),
                    Event::Bar(_) | Event::Notice(_) | Event::Dead(_) => {}
                }
                sink(event)
            })?;
            (self.handed, self.missing) = (handed, missing);
            if !more || stop.is_cancelled() {
                return Ok(more);
            }
            if handed > before || missing || handed < self.expected {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn positions(&mut self) -> Positions {
        self.inner.positions()
    }

    fn size(&self) -> Option<u64> {
        Some(self.expected)
    }

    fn lag(&mut self, into: &mut Latency) {
        self.inner.lag(into);
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
