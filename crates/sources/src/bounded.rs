//! Ends a live source after a number of records, once nothing is missing and no more arrive. For streams that
//! are known to end, such as a simulator's.

use ports::Result;
use ports::cancel::CancelToken;
use ports::gap::Gap;
use ports::source::{Event, Positions, Source};
use ports::telemetry::Latency;

/// Consecutive calls without a record after which no more are expected.
const QUIET: u32 = 4;

/// A source of at least this many records.
pub struct BoundedSource {
    inner: Box<dyn Source>,
    expected: u64,
    handed: u64,
    /// Whether a known gap has not been fetched yet.
    missing: bool,
}

impl BoundedSource {
    /// Ends after `expected` or more records. Duplicates count too: it still ends only once the stream is
    /// quiet.
    #[must_use]
    pub fn new(inner: Box<dyn Source>, expected: u64) -> Self {
        Self { inner, expected, handed: 0, missing: false }
    }
}

impl Source for BoundedSource {
    fn resume(&mut self, positions: &Positions) -> Result<u64> {
        self.inner.resume(positions)
    }

    fn needs_gaps(&self) -> bool {
        self.inner.needs_gaps()
    }

    fn resume_gaps(&mut self, gaps: Vec<Gap>) {
        self.inner.resume_gaps(gaps);
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

    fn has_urgent_positions(&self) -> bool {
        self.inner.has_urgent_positions()
    }

    fn awaits_acknowledgement(&self) -> bool {
        self.inner.awaits_acknowledgement()
    }

    fn acknowledge(&mut self) -> Result<()> {
        self.inner.acknowledge()
    }

    fn incomplete(&self) -> &[String] {
        self.inner.incomplete()
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
