//! Rendering of alerts for people.

use crate::template::{Templates, line};
use market::UnixNanos;
use market::alert::{Alert, Severity};
use serde::{Deserialize, Serialize};

/// Maximum length of an SMS in characters: one segment of UCS-2 or two of GSM-7.
const SMS: usize = 160;
/// Maximum length of a subject.
const SUBJECT: usize = 180;

/// A message to people. `subject` and `sms` are one line without control characters: rule names and symbols
/// come from outside, and a line break in a mail header would start another header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertMessage {
    /// Idempotency key: the same for every copy.
    pub key: String,
    /// Its severity.
    pub severity: Severity,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML, with everything from outside escaped.
    pub html: String,
    /// One line of at most 160 characters.
    pub sms: String,
    /// The alert as JSON, for machines.
    pub json: String,
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

const fn color(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "#1f6feb",
        Severity::Warning => "#9a6700",
        Severity::Critical => "#b42318",
    }
}

impl AlertMessage {
    /// Renders an alert. `zone` is the time zone of displayed times.
    #[must_use]
    pub fn new(alert: &Alert, zone: &str) -> Self {
        Self::with(alert, zone, &Templates::default())
    }

    /// Renders an alert with the templates of a channel.
    #[must_use]
    pub fn with(alert: &Alert, zone: &str, templates: &Templates) -> Self {
        let sentence = line(&alert.message, 1_000);
        let time = alert.ts().local("%Y-%m-%d %H:%M:%S%.3f %Z", zone);
        let unit = if alert.unit.is_empty() { String::new() } else { format!(" {}", alert.unit) };
        let mut rows = vec![
            ("Rule", line(&alert.rule, SUBJECT)),
            ("Symbol", line(&alert.symbol, SUBJECT)),
            ("Kind", alert.kind.replace('_', " ")),
            ("Severity", alert.severity.to_string()),
            ("Time", time.clone()),
            ("Value", format!("{:.4}{unit}", alert.value)),
            ("Limit", format!("{:.4}{unit}", alert.threshold)),
        ];
        if let Some(price) = alert.price {
            rows.push(("Price", price.to_string()));
        }
        if !alert.feed.is_empty() {
            rows.push(("Feed", line(&alert.feed, SUBJECT)));
        }
        let mut text = format!("{sentence}\n\n");
        let mut table = String::new();
        for (name, value) in &rows {
            text.push_str(&format!("{name:<10}{value}\n"));
            let value = escape(value);
            table.push_str(&format!(
                "<tr><th align=\"left\" style=\"padding:4px 16px 4px 0;color:#57606a;font-weight:normal\">{name}</th>\
                 <td style=\"padding:4px 0\">{value}</td></tr>"
            ));
        }
        text.push_str(&format!("\nKey       {}\n", alert.key));
        let mut content = format!("<table role=\"presentation\" style=\"font-size:14px\">{table}</table>");
        if let Some(own) = templates.text(alert, &time) {
            content = format!("<div style=\"font-size:14px;white-space:pre-wrap\">{}</div>", escape(&own));
            text = own;
        }
        let subject = templates.subject(alert, &time).map(|subject| line(&subject, SUBJECT));
        let title = subject.as_deref().unwrap_or(&sentence);
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\
             <body style=\"font-family:sans-serif;color:#1f2328;margin:16px\">\
             <p style=\"border-left:4px solid {color};padding:4px 12px;font-size:18px\">{title}</p>\
             {bar}{content}\
             <p style=\"font-size:12px;color:#57606a\">Tapeline · {key}</p></body></html>",
            title = escape(title),
            color = color(alert.severity),
            bar = bar(alert),
            key = escape(&alert.key),
        );
        Self {
            key: alert.key.clone(),
            severity: alert.severity,
            sms: subject.as_deref().map_or_else(
                || line(&format!("{sentence} {}", alert.ts().local("%H:%M:%S %Z", zone)), SMS),
                |subject| line(subject, SMS),
            ),
            subject: subject.unwrap_or_else(|| line(&format!("[{}] {sentence}", alert.severity), SUBJECT)),
            text,
            html,
            json: serde_json::to_string(alert).unwrap_or_default(),
        }
    }

    /// A test message for a channel.
    #[must_use]
    pub fn test(channel: &str, now: i64) -> Self {
        Self::test_with(channel, now, &Templates::default())
    }

    /// A test message for a channel, with its templates.
    #[must_use]
    pub fn test_with(channel: &str, now: i64, templates: &Templates) -> Self {
        let alert = Alert {
            key: format!("test-{:016x}", now),
            rule: "test".to_owned(),
            kind: "test".to_owned(),
            feed: String::new(),
            symbol: "TEST".to_owned(),
            severity: Severity::Info,
            event_time: UnixNanos(now).0,
            value: 0.0,
            threshold: 0.0,
            unit: String::new(),
            price: None,
            message: format!("Test message of Tapeline to channel {channel}"),
            quiet: false,
            channels: Vec::new(),
            retracts: None,
        };
        Self::with(&alert, "UTC", templates)
    }
}

/// Value and limit as two bars of table cells: mail programs render neither SVG nor scripts.
fn bar(alert: &Alert) -> String {
    let (value, limit) = (alert.value.abs(), alert.threshold.abs());
    let most = value.max(limit);
    if most <= 0.0 || !most.is_finite() {
        return String::new();
    }
    let row = |name: &str, share: f64, color: &str| {
        let width = (share / most * 240.0).round().clamp(1.0, 240.0);
        format!(
            "<tr><td style=\"font-size:12px;color:#57606a;padding-right:12px\">{name}</td>\
             <td><div style=\"width:{width}px;height:10px;background:{color}\"></div></td></tr>"
        )
    };
    format!(
        "<table role=\"presentation\" style=\"margin-bottom:12px\">{}{}</table>",
        row("value", value, color(alert.severity)),
        row("limit", limit, "#afb8c1")
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn alert() -> Alert {
        Alert {
            key: "0123456789abcdef0123456789abcdef".to_owned(),
            rule: "crash".to_owned(),
            kind: "drop".to_owned(),
            feed: "lean.sip".to_owned(),
            symbol: "SPY".to_owned(),
            severity: Severity::Critical,
            event_time: 1_381_240_800_123_000_000,
            value: -1.25,
            threshold: 1.0,
            unit: "%".to_owned(),
            price: Some(165.41),
            message: "SPY fell 1.25 % within 1m to 165.41 (limit 1 %)".to_owned(),
            quiet: false,
            channels: Vec::new(),
            retracts: None,
        }
    }

    #[test]
    fn what_people_read() {
        let message = AlertMessage::new(&alert(), "America/New_York");
        assert_eq!(message.subject, "[critical] SPY fell 1.25 % within 1m to 165.41 (limit 1 %)");
        assert_eq!(message.sms, "SPY fell 1.25 % within 1m to 165.41 (limit 1 %) 10:00:00 EDT");
        assert!(message.text.contains("Time      2013-10-08 10:00:00.123 EDT\n"), "{}", message.text);
        assert!(message.text.contains("Value     -1.2500 %\n"));
        assert!(message.html.contains("<td style=\"padding:4px 0\">165.41</td>"));
        assert!(serde_json::from_str::<Alert>(&message.json).is_ok_and(|read| read == alert()));
    }

    #[test]
    fn what_comes_from_outside_stays_text() {
        let evil = "X\r\nBcc: a@b.c\u{202e}<script>alert('1')</script>\"&";
        let mut alert = alert();
        alert.symbol = evil.to_owned();
        alert.rule = evil.to_owned();
        alert.message = format!("{evil} fell {}", "9".repeat(3_000));
        let message = AlertMessage::new(&alert, "UTC");
        for text in [&message.subject, &message.sms] {
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
        assert!(message.sms.chars().count() <= SMS && message.subject.chars().count() <= SUBJECT);
        assert!(!message.html.contains("<script") && !message.html.contains("alert('"), "{}", message.html);
        assert!(!message.text.contains("\r") && !message.text.contains("\nBcc"), "{}", message.text);
    }
}
