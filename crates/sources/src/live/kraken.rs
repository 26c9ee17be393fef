//! Client for Kraken: spot trades of its websocket API, version 2; no key. History over `/0/public/Trades`.
//!
//! According to docs.kraken.com and python-kraken-sdk.

use super::vendor::{
    Account, ConnectError, HandshakeStep, HistoryError, HistoryResult, HistorySink, HistorySpan, Vendor,
};
use crate::http::{Http, read};
use market::codec::feed::Decode;
use market::codec::kraken::{KrakenDecoder, seconds};
use market::codec::scan::{Scanner, Value};
use ports::cancel::CancelToken;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Trades per page.
const LIMIT: usize = 1_000;

/// Kraken spot.
#[derive(Debug)]
pub(super) struct Kraken(pub(super) Account);

#[derive(Deserialize)]
struct Control {
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    success: Option<bool>,
    #[serde(default, alias = "Error")]
    error: Option<String>,
}

impl Vendor for Kraken {
    fn name(&self) -> &'static str {
        "Kraken"
    }

    fn account(&self) -> &Account {
        &self.0
    }

    fn handshake(&self) -> Vec<HandshakeStep> {
        // A snapshot would repeat trades from before the subscription.
        let params = serde_json::json!({"channel": "trade", "symbol": self.0.symbols, "snapshot": false});
        let subscribe = serde_json::json!({"method": "subscribe", "params": params, "req_id": 1});
        // One acknowledgement per symbol.
        vec![HandshakeStep::Send(subscribe.to_string()), HandshakeStep::Expect(self.0.symbols.len())]
    }

    fn acknowledgements(&self, response: &str) -> Result<usize, ConnectError> {
        let control: Control = serde_json::from_str(response)
            .map_err(|error| ConnectError::Retryable(format!("unreadable response: {error}: {response}")))?;
        match (control.method.as_deref(), control.success, control.error) {
            (Some("subscribe"), Some(true), _) => Ok(1),
            (_, _, Some(error)) if error.contains("rate") => {
                Err(ConnectError::Retryable(format!("Kraken says {error}")))
            }
            (_, _, Some(error)) => {
                Err(self.permanent(&error, "expected symbols such as BTC/USD; see docs/sources.md"))
            }
            _ => Ok(0),
        }
    }

    fn stream_error(&self, frame: &str) -> Option<ConnectError> {
        frame.starts_with("{\"Error\"").then(|| ConnectError::Retryable(format!("Kraken says {frame}")))
    }

    fn keepalive(&self) -> Option<String> {
        Some("{\"method\":\"ping\"}".to_owned())
    }

    fn decoder(&self, label: &str) -> Box<dyn Decode> {
        Box::new(KrakenDecoder::new(label))
    }

    fn history(
        &self,
        http: &Http,
        span: &HistorySpan<'_>,
        stop: &CancelToken,
        take: HistorySink<'_>,
    ) -> HistoryResult {
        #[derive(Deserialize)]
        struct Reply<'a> {
            #[serde(default)]
            error: Vec<String>,
            #[serde(borrow, default)]
            result: Option<BTreeMap<String, &'a RawValue>>,
        }
        let url = format!("{}/0/public/Trades", self.0.rest.trim_end_matches('/'));
        for symbol in span.symbols {
            // `since` excludes its own time.
            let mut since = span.from.0.saturating_sub(1);
            // A pair's trade numbers are consecutive: the next one is known from the second trade on.
            let mut next: Option<i64> = None;
            loop {
                let from = since.to_string();
                let query = [("pair", symbol.as_str()), ("since", &from), ("count", "1000")];
                let body = http.get(&url, &query, &[], stop)?;
                let reply: Reply<'_> = read(&url, &body)?;
                let result = match reply.result {
                    Some(result) if reply.error.is_empty() => result,
                    _ => return Err(HistoryError::Unavailable(format!("{url}: {}", reply.error.join(", ")))),
                };
                let last =
                    result.get("last").and_then(|last| last.get().trim_matches('"').parse::<i64>().ok());
                let (mut fresh, mut known, mut beyond) = (0, 0, false);
                for (_, rows) in result.iter().filter(|(name, _)| *name != "last") {
                    let rows: Vec<&RawValue> = read(&url, rows.get())?;
                    for raw in rows {
                        let (ts, number) = key(raw.get());
                        match (next, number) {
                            // From the previous page: it has the time of that page's end.
                            (Some(next), Some(number)) if number < next => {
                                known += 1;
                                continue;
                            }
                            (Some(next), Some(number)) if number > next => {
                                return Err(HistoryError::Unavailable(format!(
                                    "{url}: trades {next} to {} of {symbol} are missing",
                                    number - 1
                                )));
                            }
                            _ => {}
                        }
                        next = number.map(|number| number + 1).or(next);
                        fresh += 1;
                        match ts {
                            Some(ts) if ts > span.to.0 => beyond = true,
                            _ => take(symbol, raw.get())?,
                        }
                    }
                }
                // Trades with the last time may be beyond the page's end: that time is requested again.
                match last {
                    Some(last) if fresh > 0 && !beyond => since = last.saturating_sub(1).max(since),
                    // The whole page is known: the next one starts after its time. A trade that this skips is
                    // detected by its number.
                    Some(last) if known >= LIMIT && last > since => since = last,
                    _ => break,
                }
            }
        }
        Ok(())
    }
}

/// Time of a row, nanoseconds, and its trade number.
fn key(row: &str) -> (Option<i64>, Option<i64>) {
    let (mut at, mut ts, mut number) = (0, None, None);
    let read = Scanner::new(row).array(|scanner| {
        match (at, scanner.value()?) {
            (2, Value::Number(digits)) => ts = seconds(digits).ok().map(|ts| ts.0),
            (6, Value::Number(digits)) => number = digits.parse().ok(),
            _ => {}
        }
        at += 1;
        Ok::<(), String>(())
    });
    if read.is_ok() { (ts, number) } else { (None, None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeHttp, ok};
    use crate::live::backfill::{self, Past};
    use crate::mask::Mask;
    use market::{Kind, UnixNanos};
    use ports::gap::{Gap, GapState};
    use ports::secret::Secret;

    fn kraken(rest: &str, symbols: &[&str]) -> Kraken {
        Kraken(Account {
            stream: String::new(),
            rest: rest.to_owned(),
            key: Secret::default(),
            secret: Secret::default(),
            feed: "kraken".to_owned(),
            symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
            kinds: vec![Kind::Trade],
            bars: false,
            bands: false,
        })
    }

    fn history(script: Vec<crate::fake::Scripted>) -> (HistoryResult, Vec<String>) {
        let server = FakeHttp::new(script);
        let kraken = kraken(&server.url, &["BTC/USD"]);
        let symbols = ["BTC/USD".to_owned()];
        let span = HistorySpan {
            kind: Kind::Trade,
            symbols: &symbols,
            from: UnixNanos(1_748_439_000_000_000_000),
            to: UnixNanos(1_748_439_600_000_000_000),
        };
        let mut rows = Vec::new();
        let result =
            kraken.history(&Http::new(Mask::default()), &span, &CancelToken::default(), &mut |_, raw| {
                rows.push(raw.to_owned());
                Ok(())
            });
        (result, rows)
    }

    fn row(number: u32, at: &str) -> String {
        format!(r#"["100.0","1.0",{at},"b","m","",{number}]"#)
    }

    fn page(rows: &[String], last: &str) -> crate::fake::Scripted {
        ok(&format!(r#"{{"error":[],"result":{{"XXBTZUSD":[{}],"last":"{last}"}}}}"#, rows.join(",")))
    }

    #[test]
    fn v15_trades_of_one_instant_across_a_page_edge_are_all_read_and_a_hole_is_named() {
        let early = |n: u32| row(n, &format!("1748439000.{n:06}"));
        let edge = |n: u32| row(n, "1748439001.5");
        // Ten trades of one time, five on each page; the second page starts with that time again.
        let first: Vec<String> = (1..=995).map(early).chain((996..=1_000).map(edge)).collect();
        let second: Vec<String> =
            (996..=1_005).map(edge).chain((1_006..=1_500).map(|n| row(n, "1748439002.5"))).collect();
        let last = "1748439002500000000";
        let script = |second: &[String]| {
            vec![
                page(&first, "1748439001500000000"),
                page(second, last),
                page(&[row(1_500, "1748439002.5")], last),
            ]
        };
        let (result, rows) = history(script(&second));
        result.unwrap();
        assert_eq!(rows.len(), 1_500);
        let mut hole = second.clone();
        hole.remove(7);
        let (result, _) = history(script(&hole));
        let Err(HistoryError::Unavailable(reason)) = result else { panic!("{result:?}") };
        assert!(reason.contains("trades 1003 to 1003 of BTC/USD are missing"), "{reason}");
    }

    #[test]
    fn v9_a_throttle_under_200_is_tried_again() {
        let throttle = || ok(r#"{"error":["EGeneral:Too many requests"]}"#);
        let rows = [row(1, "1748439000.5")];
        let good = page(&rows, "1748439000500000000");
        let (result, rows) = history(vec![throttle(), good.clone(), good]);
        result.unwrap();
        assert_eq!(rows.len(), 1);
    }

    /// A number that no store holds becomes a dead letter, which accounts for it: the gap of both symbols closes, after
    /// the requests that one reading and its confirmation take.
    #[test]
    fn n1_a_number_that_cannot_be_stored_keeps_no_gap_open() {
        let btc = page(&[row(1, "1748439000.5"), row(2, "1748439003.5")], "1748439003500000000");
        let bad = r#"["0.0000000000000000001","19500000000.0",1748439001.5,"b","m","",7]"#.to_owned();
        let good = r#"["0.00000000123456","19500000000.0",1748439002.5,"b","m","",8]"#.to_owned();
        let btt = page(&[bad, good], "1748439002500000000");
        let reading = [btc.clone(), btc, btt.clone(), btt];
        let server = FakeHttp::new([reading.clone(), reading].concat());
        let symbols = ["BTC/USD", "BTT/USD"];
        let kraken = kraken(&server.url, &symbols);
        let mut gap = Gap {
            id: "g".to_owned(),
            feed: "kraken".to_owned(),
            symbols: symbols.map(str::to_owned).to_vec(),
            from: "2025-05-28T13:30:00.5Z".to_owned(),
            to: Some("2025-05-28T13:30:03.5Z".to_owned()),
            cause: "test".to_owned(),
            state: GapState::Open,
            proof: None,
            note: None,
            offsets: None,
        };
        let (mut stored, mut refused) = (Vec::new(), Vec::new());
        let mut take = |past: Past<'_>| {
            match past {
                Past::Record(record) => stored.push(format!("{record:?}")),
                Past::Refused(reason, _) => refused.push(reason.to_owned()),
            }
            Ok(())
        };
        let http = Http::new(Mask::default());
        let (mut decoder, stop) = (kraken.decoder("kraken"), CancelToken::default());
        let filled = backfill::fill(&kraken, &http, &mut gap, &mut *decoder, &mut take, &stop).unwrap();
        assert_eq!((filled, gap.state, stored.len()), (3, GapState::Closed, 3), "{gap:?}");
        assert_eq!(refused, ["`price`: more than 18 decimal places: 0.0000000000000000001"]);
        assert_eq!(server.lines().len(), 8);
    }
}
