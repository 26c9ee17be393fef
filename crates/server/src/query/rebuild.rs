//! Bars rebuilt from the stored trades under another condition policy.

use super::range::BarQuery;
use crate::http::problem::Problem;
use crate::settings::ServerSettings;
use market::bar::{Aggregator, Bar, StreamPosition, Values};
use market::calendar::Calendar;
use market::policy::Policy;
use market::{Record, UnixNanos};
use ports::store::{Scan, Store};
use std::ops::ControlFlow;
use std::time::Instant;

/// Maximum range rebuilt in one request: all of its trades are read.
const LONGEST: i64 = 7 * market::time::DAY;

/// How bars are rebuilt.
pub(crate) struct Rebuild {
    settings: market::bar::AggregatorSettings,
    deadline: std::time::Duration,
}

impl Rebuild {
    /// `None` without a policy.
    pub(crate) fn new(
        settings: &ServerSettings,
        policy: Option<&str>,
        from: Option<i64>,
        to: Option<i64>,
    ) -> Result<Option<Self>, Problem> {
        let Some(policy) = policy else { return Ok(None) };
        let policy = Policy::named(policy).map_err(|error| Problem::bad(format!("policy: {error}")))?;
        if from.zip(to).is_none_or(|(from, to)| to.saturating_sub(from) > LONGEST) {
            return Err(Problem::bad("policy: expected a range of at most 7 days").hint("give from and to"));
        }
        let deadline = settings.limits.query_deadline;
        let mut settings = settings.bars.clone();
        settings.feeds.iter_mut().for_each(|feed| feed.policy = policy.clone());
        Ok(Some(Self { settings, deadline }))
    }

    /// Scans like a store.
    pub(crate) fn scanner<'a>(
        &'a self,
        store: &'a dyn Store,
        query: &'a BarQuery,
        end: Instant,
    ) -> impl FnMut(i64, i64, &mut dyn FnMut(Bar) -> ControlFlow<()>) -> Result<(), Problem> + 'a {
        move |from, to, sink| {
            let mut settings = self.settings.clone();
            settings.intervals = vec![query.interval];
            // A bar needs all of its records, and what carries over into it, whatever part of it was
            // requested.
            let (first, last) = settings.reading_span(UnixNanos(from), UnixNanos(to));
            let start_of_first = |feed: &str| {
                let calendar =
                    settings.rules(feed, &query.symbol).map_or(Calendar::XNYS, |rules| rules.calendar);
                query.interval.bounds(from, &calendar.day(UnixNanos(from))).0
            };
            let mut aggregator = Aggregator::new(settings.clone());
            let mut place = StreamPosition::default();
            let scan = Scan {
                kind: query.kind,
                symbol: Some(query.symbol.clone()),
                from: first,
                to: last,
                limit: None,
            };
            let mut late = false;
            store.scan(&scan, &mut |record: &Record<&str>| {
                if query.feed.as_deref().is_none_or(|only| only == *record.feed()) {
                    aggregator.add(record, place);
                    place.position += 1;
                }
                late = place.position % 1_024 == 0 && Instant::now() >= end;
                if late { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if late {
                return Err(super::late(self.deadline));
            }
            let mut bars = Vec::new();
            aggregator.finish(&mut |bar| {
                if (start_of_first(&bar.feed)..to).contains(&bar.start.0) && bar.values != Values::Empty {
                    bars.push(bar);
                }
            });
            bars.sort_by(|a, b| (a.start, &a.feed).cmp(&(b.start, &b.feed)));
            for bar in bars {
                if sink(bar).is_break() {
                    break;
                }
            }
            Ok(())
        }
    }
}
