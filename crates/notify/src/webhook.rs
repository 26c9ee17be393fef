//! Webhooks: Slack, Discord, Microsoft Teams, and signed JSON.
//!
//! The generic format posts the alert as JSON with these headers, with which the receiver can verify the
//! sender, detect replays, and deduplicate:
//!
//! ```text
//! Tapeline-Timestamp: 1381240800                     seconds since 1970, when it was sent
//! Tapeline-Signature: v1=5257a869e7...               HMAC-SHA256 of "TIMESTAMP.BODY", hexadecimal
//! Idempotency-Key: 0123456789abcdef0123456789abcdef  the alert's key: the same for every copy
//! ```

use crate::http::Client;
use crate::message::AlertMessage;
use crate::notifier::{Notifier, NotifyError};
use market::alert::Severity;
use ports::secret::Secret;
use ring::hmac;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Format of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The alert as JSON, signed.
    #[default]
    Json,
    /// A Slack incoming webhook.
    Slack,
    /// A Discord webhook.
    Discord,
    /// A Teams workflow: an Adaptive Card.
    Teams,
}

/// A webhook.
#[derive(Debug)]
pub struct Webhook {
    name: String,
    /// For Slack, Discord and Teams the URL itself is the secret.
    url: Secret,
    format: Format,
    secret: Secret,
    client: Client,
}

impl Webhook {
    /// Creates the channel for a URL. `secret` signs the generic format.
    #[must_use]
    pub fn new(name: &str, url: Secret, format: Format, secret: Secret) -> Self {
        Self { name: name.to_owned(), url, format, secret, client: Client::default() }
    }
}

/// The signature of a body sent at a time, for comparison by the receiver.
#[must_use]
pub fn signature(secret: &Secret, timestamp: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    let tag = hmac::sign(&key, format!("{timestamp}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={hex}")
}

/// Slack's control characters: `&`, `<` and `>` would start links and mentions.
fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn body(format: Format, message: &AlertMessage) -> String {
    let value: Value = match format {
        Format::Json => return message.json.clone(),
        Format::Slack => json!({
            "text": slack(&message.subject),
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": cut(&message.subject, 150)}},
                {"type": "section", "text": {"type": "plain_text", "text": cut(&message.text, 2_900)}},
            ],
        }),
        Format::Discord => json!({
            "content": cut(&message.subject, 1_900),
            "embeds": [{"description": cut(&message.text, 3_900), "color": color(message.severity)}],
            // Whatever a symbol or rule is called, nobody is mentioned.
            "allowed_mentions": {"parse": []},
        }),
        Format::Teams => json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [
                        {"type": "TextBlock", "weight": "bolder", "wrap": true, "text": message.subject},
                        {"type": "TextBlock", "fontType": "monospace", "wrap": true, "text": message.text},
                    ],
                },
            }],
        }),
    };
    value.to_string()
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

const fn color(severity: Severity) -> u32 {
    match severity {
        Severity::Info => 0x001f_6feb,
        Severity::Warning => 0x009a_6700,
        Severity::Critical => 0x00b4_2318,
    }
}

impl Notifier for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn send(&mut self, message: &AlertMessage) -> Result<(), NotifyError> {
        let body = body(self.format, message);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let timestamp = now.to_string();
        let mut headers =
            vec![("Content-Type", "application/json"), ("Idempotency-Key", message.key.as_str())];
        let signed = signature(&self.secret, now, &body);
        if self.format == Format::Json {
            headers.push(("Tapeline-Timestamp", timestamp.as_str()));
            headers.push(("Tapeline-Signature", signed.as_str()));
        }
        self.client.post(self.url.reveal(), &headers, &body, &[&self.url, &self.secret])
    }

    fn check(&mut self) -> Result<(), NotifyError> {
        // A webhook has no request that is not a message: only the configuration is checked.
        if self.format == Format::Json && self.secret.is_empty() {
            return Err(NotifyError::Permanent(format!("channel {}: `secret` is not set", self.name)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::alert;

    /// RFC 4231, test case 2: key "Jefe", data "what do ya want for nothing?".
    #[test]
    fn hmac_sha256_is_that_of_rfc_4231() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let tag = hmac::sign(&key, b"what do ya want for nothing?");
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let (one, other) = (Secret::from("a".to_owned()), Secret::from("b".to_owned()));
        assert_ne!(signature(&one, 1, "x"), signature(&other, 1, "x"));
        assert_ne!(signature(&one, 1, "x"), signature(&one, 2, "x"));
    }

    #[test]
    fn bodies_mention_nobody() {
        let mut alert = alert();
        alert.message = "<!channel> @everyone fell".to_owned();
        let message = AlertMessage::new(&alert, "UTC");
        let read = |format| serde_json::from_str::<Value>(&body(format, &message)).unwrap();
        let slack = read(Format::Slack);
        assert_eq!(slack["text"], "[critical] &lt;!channel&gt; @everyone fell");
        assert_eq!(slack["blocks"][0]["text"]["type"], "plain_text");
        assert_eq!(read(Format::Discord)["allowed_mentions"]["parse"], json!([]));
        assert_eq!(read(Format::Teams)["attachments"][0]["content"]["type"], "AdaptiveCard");
        assert_eq!(read(Format::Json)["key"], alert.key);
    }
}
