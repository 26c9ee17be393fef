//! Client for Massive (Polygon.io): stocks, delayed or not; history over `/v3/trades` and `/v3/quotes`.
//!
//! According to massive.com/docs and massive-com/client-python. One connection per key: a newer one closes
//! the older.

use super::vendor::{
    Account, ConnectError, HandshakeStep, HistoryError, HistoryResult, HistorySink, HistorySpan, Vendor,
};
use crate::http::{Http, read, segment};
use market::Kind;
use market::codec::feed::Decode;
use market::codec::massive::MassiveDecoder;
use ports::cancel::CancelToken;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Massive stocks.
#[derive(Debug)]
pub(super) struct Massive(pub(super) Account);

#[derive(Deserialize)]
struct Control {
    #[serde(default)]
    ev: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
}

impl Massive {
    fn meant(&self, control: &Control) -> Option<ConnectError> {
        let text = format!("{} {}", control.status, control.message);
        Some(match control.status.as_str() {
            "connected" | "auth_success" | "success" => return None,
            "auth_failed" => self.permanent(&text, "check MASSIVE_API_KEY"),
            "error" => self.permanent(
                &text,
                "the plan does not include this, or a symbol is unknown: see docs/sources.md",
            ),
            // `max_connections`, `auth_timeout` and future statuses.
            _ => ConnectError::retryable(format!("Massive says {text}")),
        })
    }
}

impl Vendor for Massive {
    fn name(&self) -> &'static str {
        "Massive"
    }

    fn account(&self) -> &Account {
        &self.0
    }

    fn url(&self) -> String {
        format!("{}/{}", self.0.stream.trim_end_matches('/'), self.0.feed)
    }

    fn handshake(&self) -> Vec<HandshakeStep> {
        let topics: Vec<String> = self
            .0
            .kinds
            .iter()
            .filter_map(|kind| match *kind {
                Kind::TRADE => Some("T"),
                Kind::QUOTE => Some("Q"),
                _ => None,
            })
            .chain(["AM", "A"].into_iter().filter(|_| self.0.bars))
            .chain(self.0.bands.then_some("LULD"))
            .flat_map(|class| self.0.symbols.iter().map(move |symbol| format!("{class}.{symbol}")))
            .collect();
        let message = |action: &str, params: &str| {
            HandshakeStep::Send(serde_json::json!({"action": action, "params": params}).to_string())
        };
        vec![
            HandshakeStep::Expect(1),
            message("auth", self.0.key.reveal()),
            HandshakeStep::Expect(1),
            message("subscribe", &topics.join(",")),
            HandshakeStep::Expect(topics.len()),
        ]
    }

    fn acknowledgements(&self, response: &str) -> Result<usize, ConnectError> {
        let control: Vec<Control> = serde_json::from_str(response)
            .map_err(|error| ConnectError::retryable(format!("unreadable response: {error}: {response}")))?;
        let states: Vec<&Control> = control.iter().filter(|control| control.ev == "status").collect();
        match states.iter().find_map(|control| self.meant(control)) {
            Some(refusal) => Err(refusal),
            None => Ok(states.len()),
        }
    }

    fn stream_error(&self, frame: &str) -> Option<ConnectError> {
        if !frame.starts_with("[{\"ev\":\"status\"") {
            return None;
        }
        let control: Vec<Control> = serde_json::from_str(frame).ok()?;
        control.iter().find_map(|control| self.meant(control))
    }

    fn decoder(&self, label: &str) -> Box<dyn Decode> {
        Box::new(MassiveDecoder::new(label))
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
            #[serde(borrow, default)]
            results: Option<Vec<&'a RawValue>>,
            #[serde(default)]
            next_url: Option<String>,
            #[serde(default)]
            status: String,
            #[serde(default, alias = "message")]
            error: Option<String>,
        }
        let rest = self.0.rest.trim_end_matches('/');
        let bearer = format!("Bearer {}", self.0.key.reveal());
        // The stream's times are truncated to milliseconds: the last one is included fully.
        let (from, to) = (span.from.0.to_string(), span.to.0.saturating_add(999_999).to_string());
        for symbol in span.symbols {
            let mut url = format!("{rest}/v3/{}/{}", span.kind.plural(), segment(symbol));
            let first = [
                ("timestamp.gte", from.as_str()),
                ("timestamp.lte", to.as_str()),
                ("order", "asc"),
                ("sort", "timestamp"),
                ("limit", "50000"),
            ];
            let mut query = &first[..];
            loop {
                let body = http.get(&url, query, &[("Authorization", &bearer)], stop)?;
                let reply: Reply<'_> = read(&url, &body)?;
                // An error with HTTP 200 is not an empty span.
                if !matches!(reply.status.as_str(), "OK" | "DELAYED") {
                    let reason = reply.error.unwrap_or_default();
                    return Err(HistoryError::Unavailable(format!(
                        "{url}: expected status OK, found `{}` {reason}",
                        reply.status
                    )));
                }
                for raw in reply.results.into_iter().flatten().filter(|raw| raw.get() != "null") {
                    take(symbol, raw.get())?;
                }
                let Some(next) = reply.next_url.filter(|next| !next.is_empty()) else { break };
                // The key goes to the host in our settings and to no other.
                let Some(path) = next.split_once("://").and_then(|(_, rest)| rest.split_once('/')) else {
                    return Err(HistoryError::Unavailable(format!("{url}: invalid next_url {next}")));
                };
                let next = format!("{rest}/{}", path.1);
                if next == url {
                    return Err(HistoryError::Unavailable(format!(
                        "{url}: the next page is this page again"
                    )));
                }
                (url, query) = (next, &[]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeHttp, ok};
    use crate::live::vendor::tests::history_of;

    fn read(bodies: &[&str]) -> (HistoryResult, Vec<String>, usize) {
        let server = FakeHttp::new(bodies.iter().map(|body| ok(body)).collect());
        let (result, rows) = history_of(&server, Kind::TRADE, |account| Box::new(Massive(account)));
        (result, rows, server.lines().len())
    }

    #[test]
    fn an_error_under_200_is_no_empty_span() {
        for body in [r#"{"status":"NOT_AUTHORIZED","message":"KEY-OF-TEST has no trades"}"#, "{}"] {
            let (result, ..) = read(&[body]);
            let Err(HistoryError::Unavailable(reason)) = result else { panic!("{body}: {result:?}") };
            assert!(reason.contains("expected status OK") && !reason.contains("KEY-OF-TEST"), "{reason}");
        }
        // A throttle is tried again.
        let throttle = r#"{"status":"ERROR","error":"You've exceeded the maximum requests per minute"}"#;
        let good = r#"{"status":"OK","results":[{"id":"1"}],"next_url":""}"#;
        let (result, rows, requests) = read(&[throttle, good]);
        assert_eq!((result.is_ok(), rows.len(), requests), (true, 1, 2));
        assert_eq!(read(&[r#"{"status":"DELAYED"}"#]).0.ok(), Some(()));
    }

    #[test]
    fn a_page_that_repeats_ends_the_reading() {
        let again = r#"{"status":"OK","results":[],"next_url":"https://api.example/v3/trades?cursor=a"}"#;
        let (result, _, requests) = read(&[again]);
        assert!(result.unwrap_err().to_string().contains("this page again"));
        assert_eq!(requests, 2);
    }
}
