//! Requests to a vendor's history: honours rate limits and retries transient failures.

use crate::mask::Mask;
use ports::cancel::CancelToken;
use ports::metrics::{METRICS, Port};
use ports::proxy::ENVIRONMENT;
use std::time::Duration;

/// Maximum number of attempts.
const TRIES: u32 = 6;
/// Larger replies are refused.
const LARGEST: u64 = 256 << 20;

/// Maximum number of redirects, all within the requested host.
const REDIRECTS: u32 = 5;

/// A client that keeps its connections open. Credentials go only to the requested host: a redirect elsewhere
/// is refused. Secrets are masked in everything it returns or logs.
#[derive(Debug, Clone)]
pub struct Http {
    agent: ureq::Agent,
    mask: Mask,
}

impl Http {
    /// Masks these secrets.
    pub(crate) fn new(mask: Mask) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            // Chosen per request, by `ports::proxy`.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        Self { agent: config.into(), mask }
    }

    /// A vendor's text in displayable form.
    pub(crate) fn displayed(&self, text: &str) -> String {
        self.mask.displayed(text)
    }

    /// A vendor's text as a dead letter keeps it.
    pub(crate) fn kept(&self, text: &str) -> Vec<u8> {
        self.mask.kept(text)
    }

    /// Status, `Retry-After` and body of the reply to one request.
    ///
    /// # Errors
    /// No reply, or a redirect to another host.
    pub fn once(
        &self,
        url: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Result<(u16, Option<u64>, String), String> {
        let mut at = url.to_owned();
        for hop in 0..=REDIRECTS {
            let proxy = ENVIRONMENT.of_request(&at).map_err(|error| error.to_string())?;
            let mut request = self.agent.get(&at).config().proxy(proxy).build();
            // The address in a redirect is complete.
            for (name, value) in query.iter().filter(|_| hop == 0) {
                request = request.query(*name, *value);
            }
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let mut response = request.call().map_err(|error| self.displayed(&error.to_string()))?;
            let code = response.status().as_u16();
            let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            if let (300..=399, Some(location)) = (code, header("location")) {
                at = within_host(&at, location).ok_or_else(|| {
                    format!(
                        "HTTP {code} redirects to another host, which is not followed: {}",
                        self.displayed(location.split(['?', '#']).next().unwrap_or_default())
                    )
                })?;
                continue;
            }
            let wait = header("retry-after").and_then(|value| value.parse().ok());
            let body = response.body_mut().with_config().limit(LARGEST).read_to_string();
            return Ok((code, wait, body.map_err(|error| self.displayed(&error.to_string()))?));
        }
        Err(format!("more than {REDIRECTS} redirects"))
    }

    /// The body of a reply, or why there is none; keys belong in headers, which are never printed.
    pub fn get(
        &self,
        url: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        stop: &CancelToken,
    ) -> Result<String, String> {
        let mut tries = 0;
        loop {
            // History may have any number of pages.
            if stop.is_cancelled() {
                return Err("stopped".to_owned());
            }
            let (wait, reason) = match self.once(url, query, headers) {
                Ok((200, _, body)) => match throttled(&body) {
                    None => return Ok(body),
                    Some(reason) => (None, format!("{url}: {}", self.displayed(&reason))),
                },
                Ok((code @ (429 | 500..), wait, _)) => (wait, format!("{url}: HTTP {code}")),
                Ok((code, _, body)) => {
                    return Err(format!(
                        "{url}: HTTP {code}: {}",
                        self.displayed(&body.chars().take(200).collect::<String>())
                    ));
                }
                Err(error) => (None, format!("{url}: {error}")),
            };
            tries += 1;
            if tries < TRIES {
                METRICS.retried(Port::Source);
            }
            if tries >= TRIES || stop.sleep(Duration::from_secs(wait.unwrap_or(1 << tries).min(60))) {
                return Err(reason);
            }
        }
    }
}

/// Target of a redirect, if it stays within scheme, host and port.
fn within_host(at: &str, location: &str) -> Option<String> {
    let end = at.find("://")? + 3;
    let origin = &at[..at[end..].find(['/', '?', '#']).map_or(at.len(), |slash| end + slash)];
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(format!("{origin}{location}"));
    }
    let rest = location.strip_prefix(origin)?;
    (rest.is_empty() || rest.starts_with(['/', '?', '#'])).then(|| location.to_owned())
}

/// Why a reply with HTTP 200 must be requested again: it reports a rate limit, or is a proxy's page.
fn throttled(body: &str) -> Option<String> {
    let start = body.trim_start();
    if start.starts_with('<') {
        return Some(format!(
            "a page of HTML instead of JSON: {}",
            start.chars().take(100).collect::<String>()
        ));
    }
    // Errors come first in a reply; data is not searched.
    let head: String = start.chars().take(200).collect();
    let spaceless: String = head.chars().filter(|letter| !letter.is_whitespace()).collect();
    // Massive's, over HTTP 200.
    if spaceless.contains("\"status\":\"ERROR\"") && head.contains("exceeded") {
        return Some(head);
    }
    spaceless.strip_prefix("{\"error\":[\"")?;
    let errors = head.split_once('[')?.1;
    let known = ["Too many requests", "Rate limit", "Throttled", "Unavailable", "Busy", "Temporary lockout"];
    known
        .iter()
        .any(|word| errors.contains(word))
        .then(|| errors.split(']').next().unwrap_or_default().replace('"', ""))
}

/// A percent-encoded path segment: symbols contain spaces, slashes, `&` and letters of any script.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Parses a reply, or describes why it is invalid.
pub(super) fn read<'a, T: serde::Deserialize<'a>>(url: &str, body: &'a str) -> Result<T, String> {
    serde_json::from_str(body).map_err(|error| {
        let start: String = body.chars().take(200).collect();
        format!("{url}: unreadable reply: {error}: {start}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_within_scheme_host_and_port() {
        let at = "https://data.example.com/v2/bars?x=1";
        for (location, leads) in [
            ("/v3/bars", Some("https://data.example.com/v3/bars")),
            ("https://data.example.com/v3?y=2", Some("https://data.example.com/v3?y=2")),
            ("https://data.example.com", Some("https://data.example.com")),
            ("https://data.example.com.evil.net/", None),
            ("https://data.example.com@evil.net/", None),
            ("https://data.example.com:444/", None),
            ("http://data.example.com/v3", None),
            ("//evil.net/", None),
            ("https://evil.net/", None),
            ("v3", None),
        ] {
            assert_eq!(within_host(at, location).as_deref(), leads, "{location}");
        }
    }

    #[test]
    fn pages_are_requested_until_cancelled() {
        let server = crate::fake::FakeHttp::new(vec![crate::fake::ok("[]")]);
        let (http, stop) = (Http::new(Mask::default()), CancelToken::default());
        assert_eq!(http.get(&server.url, &[], &[], &stop).as_deref(), Ok("[]"));
        stop.cancel();
        assert_eq!(http.get(&server.url, &[], &[], &stop).unwrap_err(), "stopped");
        assert_eq!(server.lines().len(), 1);
    }

    #[test]
    fn throttles_and_pages_under_200_are_recognised() {
        for body in [
            r#"{"error":["EGeneral:Too many requests"]}"#,
            r#"{"error":["EAPI:Rate limit exceeded"],"result":{}}"#,
            r#"{"error":["EService:Unavailable"]}"#,
            r#"{"status":"ERROR","error":"You've exceeded the maximum requests per minute"}"#,
            r#"{"status": "ERROR", "error": "You've exceeded the maximum requests per minute"}"#,
            r#"{ "error": ["EGeneral:Too many requests"] }"#,
            "<!DOCTYPE html><html>",
            "\n <html>",
        ] {
            assert!(throttled(body).is_some(), "{body}");
        }
        for body in [r#"{"error":[],"result":{}}"#, r#"{"error":["EQuery:Unknown asset pair"]}"#, "[]", ""] {
            assert_eq!(throttled(body), None, "{body}");
        }
    }

    #[test]
    fn symbols_are_one_segment_of_a_path() {
        assert_eq!(segment("BRK.B"), "BRK.B");
        assert_eq!(segment("M&M.NS"), "M%26M.NS");
        assert_eq!(segment("BTC/USD"), "BTC%2FUSD");
        assert_eq!(segment("币 ?"), "%E5%B8%81%20%3F");
    }
}
