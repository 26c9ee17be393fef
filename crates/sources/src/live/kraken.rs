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
            .map_err(|error| ConnectError::retryable(format!("unreadable response: {error}: {response}")))?;
        match (control.method.as_deref(), control.success, control.error) {
            (Some("subscribe"), Some(true), _) => Ok(1),
            (_, _, Some(error)) if error.contains("rate") => {
                Err(ConnectError::retryable(format!("Kraken says {error}")))
            }
            (_, _, Some(error)) => {
                Err(self.permanent(&error, "expected symbols such as BTC/USD; see docs/sources.md"))
            }
            _ => Ok(0),
        }
    }

    fn stream_error(&self, frame: &str) -> Option<ConnectError> {
        frame.starts_with("{\"Error\"").then(|| ConnectError::retryable(format!("Kraken says {frame}")))
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
    use crate::live::{Live, LiveSettings};
    use crate::mask::Mask;
    use market::{Kind, UnixNanos};
    use ports::gap::{Gap, GapState};
    use ports::secret::Secret;
    use ports::source::Event;

    fn kraken(rest: &str, symbols: &[&str]) -> Kraken {
        Kraken(Account {
            stream: String::new(),
            rest: rest.to_owned(),
            key: Secret::from("KEY-OF-TEST".to_owned()),
            secret: Secret::default(),
            feed: "kraken".to_owned(),
            symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
            kinds: vec![Kind::TRADE],
            bars: false,
            bands: false,
        })
    }

    fn history(script: Vec<crate::fake::Scripted>) -> (HistoryResult, Vec<String>) {
        let server = FakeHttp::new(script);
        let kraken = kraken(&server.url, &["BTC/USD"]);
        let symbols = ["BTC/USD".to_owned()];
        let span = HistorySpan {
            kind: Kind::TRADE,
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

    /// A feed of two symbols, with history from this server, or none.
    fn live(rest: &str, backfill: bool) -> Live {
        Live::new(LiveSettings {
            vendor: std::sync::Arc::new(kraken(rest, &["BTC/USD", "ETH/USD"])),
            feed: "kraken".to_owned(),
            calendar: market::calendar::Calendar::ALWAYS,
            stall_s: 60.0,
            speed: 1.0,
            backfill,
            connect_within: None,
        })
    }

    fn trade(symbol: &str, number: u32, time: &str) -> String {
        format!(
            r#"{{"channel":"trade","type":"update","data":[{{"symbol":"{symbol}","side":"buy","price":100.0,"qty":1.0,"ord_type":"market","trade_id":{number},"timestamp":"{time}Z"}}]}}"#
        )
    }

    /// What a live feed emits for frames; `lost` is a lost connection.
    fn emitted(live: &mut Live, frames: &[&str]) -> Vec<String> {
        let (mut out, stop) = (Vec::new(), CancelToken::default());
        let received = UnixNanos::parse("2025-05-28T13:31:00Z").unwrap();
        let mut sink = |event: Event<'_>| {
            out.push(match event {
                Event::Record { symbol, payload, .. } => {
                    let record: serde_json::Value = serde_json::from_slice(payload).unwrap();
                    format!("{symbol} {}", record["id"].as_str().unwrap())
                }
                Event::Gap(gap) => {
                    let (symbols, to) = (gap.symbols.join(","), gap.to.as_deref().unwrap_or("-"));
                    format!("{:?} {symbols} {} {to}", gap.state, gap.from)
                }
                _ => "other".to_owned(),
            });
            Ok(())
        };
        for frame in frames {
            match *frame {
                "lost" => live.missed("connection lost", None, &mut sink).unwrap(),
                text => live.frame(text, received, &stop, &mut sink).unwrap(),
            }
        }
        out
    }

    #[test]
    fn a_frame_that_echoes_the_key_is_kept_without_it() {
        let (mut raw, mut reasons, stop) = (Vec::new(), Vec::new(), CancelToken::default());
        let mut sink = |event: Event<'_>| {
            if let Event::Dead(letter) = event {
                raw.push(String::from_utf8(letter.raw).unwrap());
                reasons.push(letter.reason);
            }
            Ok(())
        };
        let frame = r#"{"channel":"trade","data":[{"symbol":"KEY-OF-TEST \u001b","side":"KEY-OF-TEST"}]}"#;
        for frame in [frame, "no such key: KEY-OF-TEST"] {
            live("", false).frame(frame, UnixNanos(1), &stop, &mut sink).unwrap();
        }
        assert_eq!((raw.len(), raw[1].as_str()), (2, "no such key: ***"));
        assert!(raw.iter().chain(&reasons).all(|text| !text.contains("KEY-OF-TEST")), "{raw:?} {reasons:?}");
    }

    /// The missing trades may be much older than the other symbol's last one.
    #[test]
    fn a_hole_in_one_symbols_numbers_is_filled_from_its_own_last_trade() {
        let second = |at: u32| format!("{}.5", 1_748_439_000 + at);
        let rows: Vec<String> =
            [(2, 10), (3, 20), (4, 30), (5, 52)].map(|(number, at)| row(number, &second(at))).to_vec();
        let server = FakeHttp::new(vec![page(&rows, "1748439052500000000")]);
        let frames = [
            trade("BTC/USD", 2, "2025-05-28T13:30:10.5"),
            trade("ETH/USD", 100, "2025-05-28T13:30:11.5"),
            trade("ETH/USD", 101, "2025-05-28T13:30:50.5"),
            trade("BTC/USD", 5, "2025-05-28T13:30:52.5"),
        ];
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        let out = emitted(&mut live(&server.url, true), &frames);
        let span = "BTC/USD 2025-05-28T13:30:10.5Z";
        let mut expected = vec!["BTC/USD 2", "ETH/USD 100", "ETH/USD 101"];
        let (open, closed) = (format!("Open {span} -"), format!("Closed {span} 2025-05-28T13:30:52.5Z"));
        expected.extend([open.as_str(), "BTC/USD 2", "BTC/USD 3", "BTC/USD 4", "BTC/USD 5"]);
        expected.extend([closed.as_str(), "BTC/USD 5"]);
        assert_eq!(out, expected);
    }

    /// A record from before the gap, and one dated in the future, are kept; the gap ends with the next one.
    #[test]
    fn a_gap_begins_and_ends_with_records_of_the_present() {
        let frames = [
            trade("BTC/USD", 2, "2025-05-28T13:30:10"),
            trade("ETH/USD", 7, "2125-05-28T13:30:11"),
            "lost".to_owned(),
            trade("ETH/USD", 8, "2125-05-28T13:30:11"),
            trade("ETH/USD", 9, "2025-05-28T13:29:00"),
            trade("BTC/USD", 3, "2025-05-28T13:30:20"),
        ];
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        let span = "BTC/USD,ETH/USD 2025-05-28T13:30:10Z";
        let (open, ended) = (format!("Open {span} -"), format!("Open {span} 2025-05-28T13:30:20Z"));
        let expected = ["BTC/USD 2", "ETH/USD 7", &open, "ETH/USD 8", "ETH/USD 9", &ended, "BTC/USD 3"];
        assert_eq!(emitted(&mut live("", false), &frames), expected);
        // Three in a row: this machine's clock is slow.
        let slow = [7, 8, 9].map(|number| trade("ETH/USD", number, "2025-05-28T13:35:00"));
        let slow: Vec<&str> = slow.iter().map(String::as_str).chain(["lost"]).collect();
        let out = emitted(&mut live("", false), &slow);
        assert_eq!(out.last().map(String::as_str), Some("Open BTC/USD,ETH/USD 2025-05-28T13:35:00Z -"));
    }

    /// A second hole within an open gap may begin earlier and be another symbol's.
    #[test]
    fn an_open_gap_is_extended_to_all_that_may_be_missing() {
        let frames = [
            trade("ETH/USD", 7, "2025-05-28T13:30:05"),
            trade("BTC/USD", 2, "2025-05-28T13:30:10"),
            "lost".to_owned(),
            trade("ETH/USD", 9, "2025-05-28T13:30:20"),
        ];
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        let span = |from: &str, to: &str| format!("Open BTC/USD,ETH/USD 2025-05-28T13:30:{from}Z {to}");
        let out = emitted(&mut live("", false), &frames);
        let (first, wider) = (span("10", "-"), span("05", "-"));
        let ended = span("05", "2025-05-28T13:30:20Z");
        assert_eq!(out, ["ETH/USD 7", "BTC/USD 2", &first, &wider, &ended, "ETH/USD 9"]);
    }
}
