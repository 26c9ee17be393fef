//! `GET /api/v1/explain`: what each print contributed to a bar, and why.

use crate::app::App;
use crate::http::params::{self, Params};
use crate::http::problem::Problem;
use crate::http::reply::{Answer, json_body};
use crate::query;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use market::bar::{Aggregator, Bar, Feed, StreamPosition, Values};
use market::explain::explain as explain_prints;
use market::interval::Interval;
use market::policy::Policy;
use market::{Kind, Record, Trade, UnixNanos};
use ports::store::{BarScan, Scan, Store};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;
use utoipa::IntoParams;

/// Maximum number of prints read for one bar.
const PRINTS: usize = 2_000_000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainParams {
    /// The instrument, for example `SPY`.
    symbol: String,
    /// A time within the bar.
    time: String,
    /// Interval of the bar; `1m` if absent.
    interval: Option<String>,
    /// Condition policy, `sip`, `lean`, `all` or `official`; the feed's own if absent.
    policy: Option<String>,
    /// Prints in the reply: those that set a price first, then in time order. 500 if absent.
    limit: Option<u64>,
}

/// A request for an explanation.
struct Question {
    symbol: String,
    interval: Interval,
    from: i64,
    to: i64,
    policy: Option<Policy>,
    limit: usize,
}

/// The prints of one bar and what each was allowed to update.
#[utoipa::path(get, path = "/api/v1/explain", params(ExplainParams), tag = "market",
    responses((status = 200, description = "By feed: the bar, the policy, and each print with what it updates and why"),
        (status = 404, body = Problem, description = "No trades in that bar")))]
pub(crate) async fn explain(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<ExplainParams>,
) -> Answer {
    let symbol = params::symbol(&params.symbol)?;
    let interval = super::bars::interval(params.interval.as_deref())?;
    let time =
        params::time("time", Some(&params.time))?.ok_or_else(|| Problem::bad("time: expected a time"))?;
    let policy = params.policy.as_deref().map(Policy::named).transpose();
    let policy = policy.map_err(|error| Problem::bad(format!("policy: {error}")))?;
    let limit = params::limit(params.limit, 500, 10_000)?;
    // All feeds of a symbol trade on one exchange's calendar.
    let feed = app.hub.state().feed(&symbol).unwrap_or_default();
    let calendar = app.settings.calendar(&feed, &symbol);
    let (from, to) = interval.bounds(time.0, &calendar.day(time));
    let question = Question { symbol, interval, from, to, policy, limit };
    let settings = std::sync::Arc::clone(&app.settings);
    let value = query::run(&app, move |store, end| {
        let deadline = settings.limits.query_deadline;
        let (from, to) = (UnixNanos(question.from), UnixNanos(question.to));
        // A bar of another policy is rebuilt, and volume may carry over into it from elsewhere in the
        // session.
        let span = if question.policy.is_some() { settings.bars.reading_span(from, to) } else { (from, to) };
        let trades = question.trades(store, span, end, deadline)?;
        let mut by_feed: BTreeMap<&str, Vec<Trade<&str>>> = BTreeMap::new();
        for trade in &trades {
            by_feed.entry(&trade.feed).or_default().push(trade.as_str());
        }
        let mut feeds = Vec::new();
        for (feed, trades) in by_feed {
            let Some(rules) = settings.rules(feed, &question.symbol) else { continue };
            let rules = Feed {
                policy: question.policy.clone().unwrap_or_else(|| rules.policy.clone()),
                ..rules.clone()
            };
            let within: Vec<Trade<&str>> = trades
                .iter()
                .filter(|trade| (question.from..question.to).contains(&trade.ts.0))
                .copied()
                .collect();
            if !within.is_empty() {
                feeds.push(question.answer(store, &settings.bars, feed, &rules, &within, &trades)?);
            }
        }
        if feeds.is_empty() {
            return Err(Problem::missing(format!("no trades of {} from {from} to {to}", question.symbol))
                .hint("the bar may be of quotes, or its trades have expired from the store"));
        }
        Ok(json!({
            "symbol": question.symbol, "interval": question.interval.to_string(),
            "start": UnixNanos(question.from).to_string(), "end": UnixNanos(question.to).to_string(),
            "feeds": feeds,
        }))
    })
    .await?;
    Ok(json_body(&headers, &value))
}

impl Question {
    fn trades(
        &self,
        store: &dyn Store,
        (from, to): (UnixNanos, UnixNanos),
        end: Instant,
        deadline: std::time::Duration,
    ) -> Result<Vec<Trade<String>>, Problem> {
        let mut trades = Vec::new();
        let scan = Scan { kind: Kind::TRADE, symbol: Some(self.symbol.clone()), from, to, limit: None };
        let mut late = false;
        store.scan(&scan, &mut |record| {
            if let Record::Trade(trade) = record {
                trades.push(trade.map(str::to_owned));
            }
            late = trades.len() % 1_024 == 0 && Instant::now() >= end;
            if late || trades.len() > PRINTS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if late {
            return Err(query::late(deadline));
        }
        if trades.len() > PRINTS {
            let detail = format!("the bar has more than {PRINTS} trades");
            return Err(
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).hint("choose a shorter interval")
            );
        }
        Ok(trades)
    }

    fn answer(
        &self,
        store: &dyn Store,
        bars: &market::bar::AggregatorSettings,
        feed: &str,
        rules: &Feed,
        trades: &[Trade<&str>],
        of_session: &[Trade<&str>],
    ) -> Result<Value, Problem> {
        let stored = if self.policy.is_none() { self.stored_bar(store, feed)? } else { None };
        let rebuilt = stored.is_none();
        let bar = stored.or_else(|| self.rebuild(bars, rules, of_session));
        let prints = explain_prints(rules, self.interval, bar.as_ref(), trades);
        let total = prints.len();
        let mut shown: Vec<usize> = (0..total).filter(|index| !prints[*index].sets.is_empty()).collect();
        let others = (0..total).filter(|index| prints[*index].sets.is_empty());
        let room = self.limit.saturating_sub(shown.len());
        shown.extend(others.take(room));
        shown.sort_unstable();
        let rows: Vec<Value> = shown
            .iter()
            .map(|index| {
                let (trade, print) = (&trades[*index], &prints[*index]);
                let conditions: Vec<&str> = market::codec::json::conditions(trade.conditions).collect();
                json!({
                    "ts": trade.ts.to_string(), "venue": trade.venue, "id": trade.id,
                    "price": trade.price.to_string(), "size": trade.size.to_string(),
                    "conditions": conditions, "updates": print.updates.to_string(),
                    "counts": !print.updates.is_none(), "sets": print.sets, "because": print.reasons,
                })
            })
            .collect();
        let ignored = prints.iter().filter(|print| print.updates.is_none()).count();
        let bar = bar.filter(|bar| bar.values != Values::Empty).map(|bar| market::codec::bar::to_json(&bar));
        Ok(json!({
            "feed": feed, "policy": rules.policy.name(), "calendar": rules.calendar.name(),
            "zone": rules.calendar.zone(), "bar": bar, "rebuilt": rebuilt, "total": total, "ignored": ignored,
            "carries_volume": rules.policy.carries_volume, "prints": rows,
        }))
    }

    fn stored_bar(&self, store: &dyn Store, feed: &str) -> Result<Option<Bar>, Problem> {
        let mut found = None;
        let scan = BarScan {
            kind: Kind::TRADE,
            symbol: self.symbol.clone(),
            interval: self.interval,
            feed: Some(feed.to_owned()),
            from: UnixNanos(self.from),
            to: UnixNanos(self.from.saturating_add(1)),
            limit: Some(1),
        };
        store.scan_bars(&scan, &mut |bar| {
            found = Some(bar);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// The bar built from these prints.
    fn rebuild(
        &self,
        bars: &market::bar::AggregatorSettings,
        rules: &Feed,
        trades: &[Trade<&str>],
    ) -> Option<Bar> {
        let mut settings = bars.clone();
        settings.intervals = vec![self.interval];
        settings.feeds = vec![rules.clone()];
        let mut aggregator = Aggregator::new(settings);
        for (position, trade) in trades.iter().enumerate() {
            let place = StreamPosition { position: position as u64, stamp_ms: 0 };
            aggregator.add(&Record::Trade(*trade), place);
        }
        let mut found = None;
        aggregator.finish(&mut |bar| {
            if bar.start.0 == self.from {
                found = Some(bar);
            }
        });
        found
    }
}
