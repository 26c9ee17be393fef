//! One POST request, and what its response means for the message.

use crate::notifier::NotifyError;
use aws::encoding::encode;
use ports::proxy::ENVIRONMENT;
use ports::secret::Secret;
use std::time::Duration;

/// Bytes of a response that are read, for the error text.
const REPLY: u64 = 4_096;

/// A client that keeps its connections open and follows no redirects: a redirect would send the message to a
/// host that nobody configured.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
}

impl Default for Client {
    fn default() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(15)))
            // Chosen per request, by `ports::proxy`.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build();
        Self { agent: config.into() }
    }
}

impl Client {
    /// Sends a body. `secrets` are masked in errors.
    pub(crate) fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
        secrets: &[&Secret],
    ) -> Result<(), NotifyError> {
        let secrets = || secrets.iter().copied().chain(ENVIRONMENT.secrets());
        let mask = |text: &str| secrets().fold(text.to_owned(), |text, secret| mask(secret, &text));
        // The variable may be corrected: the message waits.
        let proxy = ENVIRONMENT.of_request(url).map_err(|error| NotifyError::retryable(error.to_string()))?;
        let mut request = self.agent.post(url).config().proxy(proxy).build();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send(body).map_err(|error| failed(&error, &mask))?;
        let code = response.status().as_u16();
        let after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        // A truncated response after a success status still means acceptance.
        let reply = response.body_mut().with_config().limit(REPLY).read_to_string().unwrap_or_default();
        // Masked before it is cut: half a secret would not be recognized.
        let reply: String =
            mask(&reply).chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
        let reason = format!("HTTP {code}: {}", reply.trim());
        match code {
            200..=299 => Ok(()),
            300..=399 => Err(NotifyError::Permanent(format!("HTTP {code}: redirects are not followed"))),
            // Forbidden or not found: an error of the settings, not of the message, which may be corrected.
            401 | 403 | 404 | 407 | 408 | 410 | 425 | 429 | 500..=599 => {
                Err(NotifyError::Retryable { reason, after })
            }
            _ => Err(NotifyError::Permanent(reason)),
        }
    }
}

fn failed(error: &ureq::Error, mask: &dyn Fn(&str) -> String) -> NotifyError {
    let reason = mask(&error.to_string());
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => NotifyError::Permanent(reason),
        // An invalid certificate stays invalid until somebody acts, but the server may be fixed: keep
        // retrying.
        _ => NotifyError::retryable(reason),
    }
}

/// `application/x-www-form-urlencoded`.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if !out.is_empty() {
            out.push('&');
        }
        encode(name, &mut out);
        out.push('=');
        encode(value, &mut out);
    }
    out
}

/// Parts of a URL that are this long are treated as secret by themselves.
const SECRET_PART: usize = 8;

/// The text with every occurrence of a secret masked. If the secret is a URL, also its path, and every long part
/// of it: a server may repeat the request without the host.
pub(crate) fn mask(secret: &Secret, text: &str) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    let masked = text.replace(secret.reveal(), "***");
    let Some((_, rest)) = secret.reveal().split_once("://") else { return masked };
    let Some((_, path)) = rest.split_once('/') else { return masked };
    let parts = path.split(['/', '?', '&', '=', '#']).filter(|part| part.len() >= SECRET_PART);
    std::iter::once(path)
        .filter(|path| path.len() >= SECRET_PART)
        .chain(parts)
        .fold(masked, |text, part| text.replace(part, "***"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_forms_encoded() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(mask(&secret, "535 bad password hunter2"), "535 bad password ***");
        assert_eq!(mask(&Secret::default(), "text"), "text");
        let hook = Secret::from(
            "https://hooks.example.org/services/T0/B0000001/xyzzy-plugh?key=12345678".to_owned(),
        );
        for (text, masked) in [
            ("to https://hooks.example.org/services/T0/B0000001/xyzzy-plugh?key=12345678: no", "to ***: no"),
            ("POST /services/T0/B0000001/xyzzy-plugh?key=12345678", "POST /***"),
            ("no hook xyzzy-plugh of B0000001", "no hook *** of ***"),
            ("hooks.example.org is disconnected", "hooks.example.org is disconnected"),
        ] {
            assert_eq!(mask(&hook, text), masked);
        }
        assert_eq!(form(&[("To", "+1 2"), ("Body", "a&b=ü")]), "To=%2B1%202&Body=a%26b%3D%C3%BC");
    }
}
