//! Client for Massive (Polygon.io): stocks, delayed or not; history over `/v3/trades` and `/v3/quotes`.
//!
//! According to massive.com/docs and massive-com/client-python. One connection per key: a newer one closes
//! the older.

use super::vendor::{Account, Refusal, Span, Step, Take, Told, Vendor};
use crate::http::{Http, read, segment, untold};
use market::Kind;
use market::codec::feed::Decode;
use market::codec::massive::Decoder;
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
    fn meant(&self, told: &Control) -> Option<Refusal> {
        let text = format!("{} {}", told.status, told.message);
        Some(match told.status.as_str() {
            "connected" | "auth_success" | "success" => return None,
            "auth_failed" => self.fatal(&text, "check MASSIVE_API_KEY"),
            "error" => self
                .fatal(&text, "the plan does not include this, or a symbol is unknown: see docs/sources.md"),
            // `max_connections`, `auth_timeout` and future statuses.
            _ => Refusal::Again(format!("Massive says {text}")),
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

    fn greeting(&self) -> Vec<Step> {
        let topics: Vec<String> = self
            .0
            .kinds
            .iter()
            .map(|kind| match kind {
                Kind::Trade => "T",
                Kind::Quote => "Q",
            })
            .chain(["AM", "A"].into_iter().filter(|_| self.0.bars))
            .chain(self.0.bands.then_some("LULD"))
            .flat_map(|class| self.0.symbols.iter().map(move |symbol| format!("{class}.{symbol}")))
            .collect();
        let said = |action: &str, params: &str| {
            Step::Say(serde_json::json!({"action": action, "params": params}).to_string())
        };
        vec![
            Step::Hear(1),
            said("auth", self.0.key.reveal()),
            Step::Hear(1),
            said("subscribe", &topics.join(",")),
            Step::Hear(topics.len()),
        ]
    }

    fn answered(&self, answer: &str) -> Result<usize, Refusal> {
        let told: Vec<Control> = serde_json::from_str(answer)
            .map_err(|error| Refusal::Again(format!("unreadable response: {error}: {answer}")))?;
        let states: Vec<&Control> = told.iter().filter(|told| told.ev == "status").collect();
        match states.iter().find_map(|told| self.meant(told)) {
            Some(refusal) => Err(refusal),
            None => Ok(states.len()),
        }
    }

    fn told(&self, frame: &str) -> Option<Refusal> {
        if !frame.starts_with("[{\"ev\":\"status\"") {
            return None;
        }
        let told: Vec<Control> = serde_json::from_str(frame).ok()?;
        told.iter().find_map(|told| self.meant(told))
    }

    fn decoder(&self, label: &str) -> Box<dyn Decode> {
        Box::new(Decoder::new(label))
    }

    fn history(&self, http: &Http, span: &Span<'_>, stop: &CancelToken, take: Take<'_>) -> Told {
        #[derive(Deserialize)]
        struct Reply<'a> {
            #[serde(borrow, default)]
            results: Option<Vec<&'a RawValue>>,
            #[serde(default)]
            next_url: Option<String>,
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
                let body = match http.get(&url, query, &[("Authorization", &bearer)], stop) {
                    Ok(body) => body,
                    Err(reason) => return untold(reason),
                };
                let reply: Reply<'_> = match read(&url, &body) {
                    Ok(reply) => reply,
                    Err(reason) => return untold(reason),
                };
                for raw in reply.results.into_iter().flatten().filter(|raw| raw.get() != "null") {
                    take(symbol, raw.get())?;
                }
                let Some(next) = reply.next_url else { break };
                // The key goes to the host in our settings and to no other.
                let Some(path) = next.split_once("://").and_then(|(_, rest)| rest.split_once('/')) else {
                    return untold(format!("{url}: invalid next_url {next}"));
                };
                (url, query) = (format!("{rest}/{}", path.1), &[]);
            }
        }
        Ok(Ok(()))
    }
}
