//! Requests to a vendor's history: waits when it says so, tries again what may pass.

use crate::live::vendor::Told;
use ports::cancel::CancelToken;
use std::time::Duration;

/// Times a request is tried.
const TRIES: u32 = 6;
/// Larger replies are refused.
const LARGEST: u64 = 256 << 20;

/// A client that keeps its connections.
#[derive(Debug, Clone)]
pub struct Http(ureq::Agent);

impl Default for Http {
    fn default() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            .build();
        Self(config.into())
    }
}

impl Http {
    /// Status, `Retry-After` and body of one request's reply.
    pub fn once(
        &self,
        url: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Result<(u16, Option<u64>, String), String> {
        let mut request = self.0.get(url);
        for (name, value) in query {
            request = request.query(*name, *value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.call().map_err(|error| error.to_string())?;
        let code = response.status().as_u16();
        let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.body_mut().with_config().limit(LARGEST).read_to_string();
        Ok((code, wait, body.map_err(|error| error.to_string())?))
    }

    /// The body of a reply, or why there is none; keys belong into headers, which are never printed.
    pub fn get(
        &self,
        url: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        stop: &CancelToken,
    ) -> Result<String, String> {
        let mut tries = 0;
        loop {
            let (wait, reason) = match self.once(url, query, headers) {
                Ok((200, _, body)) => return Ok(body),
                Ok((code @ (429 | 500..), wait, _)) => (wait, format!("{url}: HTTP {code}")),
                Ok((code, _, body)) => {
                    return Err(format!(
                        "{url}: HTTP {code}: {}",
                        body.chars().take(200).collect::<String>()
                    ));
                }
                Err(error) => (None, format!("{url}: {error}")),
            };
            tries += 1;
            if tries >= TRIES || stop.sleep(Duration::from_secs(wait.unwrap_or(1 << tries).min(60))) {
                return Err(reason);
            }
        }
    }
}

/// A reply as it should be, or that it is not.
pub(super) fn read<'a, T: serde::Deserialize<'a>>(url: &str, body: &'a str) -> Result<T, String> {
    serde_json::from_str(body).map_err(|error| {
        let start: String = body.chars().take(200).collect();
        format!("{url}: a reply that cannot be read: {error}: {start}")
    })
}

/// The vendor does not tell, and why.
pub(super) const fn untold(reason: String) -> Told {
    Ok(Err(reason))
}
