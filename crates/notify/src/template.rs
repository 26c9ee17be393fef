//! Templates of a channel's messages: text with fields of the alert in braces, as `{symbol}: {message}`.

use market::alert::Alert;
use serde::Deserialize;

/// A field of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Message,
    Rule,
    Kind,
    Symbol,
    Feed,
    Severity,
    Time,
    Value,
    Threshold,
    Unit,
    Price,
    Key,
}

const FIELDS: [(&str, Field); 12] = [
    ("message", Field::Message),
    ("rule", Field::Rule),
    ("kind", Field::Kind),
    ("symbol", Field::Symbol),
    ("feed", Field::Feed),
    ("severity", Field::Severity),
    ("time", Field::Time),
    ("value", Field::Value),
    ("threshold", Field::Threshold),
    ("unit", Field::Unit),
    ("price", Field::Price),
    ("key", Field::Key),
];

/// Maximum length of a field's value: rule names and symbols come from outside.
const MOST: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MessageTemplate(Vec<Part>);

impl TryFrom<String> for MessageTemplate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let name = rest.split_once('}').filter(|_| brace == "{");
            let (name, after) =
                name.ok_or_else(|| format!("`{text}`: a brace is written as {brace}{brace}"))?;
            let field = FIELDS.iter().find(|(known, _)| *known == name.trim());
            let (_, field) = field.ok_or_else(|| {
                let known: Vec<&str> = FIELDS.iter().map(|(known, _)| *known).collect();
                format!("unknown placeholder `{{{name}}}`; expected one of {}", known.join(", "))
            })?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Field(*field));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        if parts.is_empty() {
            return Err("a template is empty".to_owned());
        }
        Ok(Self(parts))
    }
}

impl MessageTemplate {
    /// The text for an alert; `time` is its time for people.
    fn render(&self, alert: &Alert, time: &str) -> String {
        let mut out = String::new();
        // Otherwise a retraction would read like another alert.
        if alert.retracts.is_some() && !self.0.contains(&Part::Field(Field::Message)) {
            out.push_str("retracted: ");
        }
        for part in &self.0 {
            let value = match part {
                Part::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Part::Field(Field::Message) => alert.message.clone(),
                Part::Field(Field::Rule) => alert.rule.clone(),
                Part::Field(Field::Kind) => alert.kind.replace('_', " "),
                Part::Field(Field::Symbol) => alert.symbol.clone(),
                Part::Field(Field::Feed) => alert.feed.clone(),
                Part::Field(Field::Severity) => alert.severity.to_string(),
                Part::Field(Field::Time) => time.to_owned(),
                Part::Field(Field::Value) => number(alert.value),
                Part::Field(Field::Threshold) => number(alert.threshold),
                Part::Field(Field::Unit) => alert.unit.clone(),
                Part::Field(Field::Price) => alert.price.map_or_else(String::new, |price| price.to_string()),
                Part::Field(Field::Key) => alert.key.clone(),
            };
            out.push_str(&line(&value, MOST));
        }
        out
    }
}

/// At most four decimals.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The templates of a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Templates {
    /// Of the subject, which is also the text of an SMS and the title in a chat.
    pub subject: Option<MessageTemplate>,
    /// Of the text.
    pub text: Option<MessageTemplate>,
}

impl Templates {
    pub(crate) fn subject(&self, alert: &Alert, time: &str) -> Option<String> {
        self.subject.as_ref().map(|template| template.render(alert, time))
    }

    pub(crate) fn text(&self, alert: &Alert, time: &str) -> Option<String> {
        self.text.as_ref().map(|template| template.render(alert, time))
    }
}

/// Sanitises a line: control characters, including Unicode's bidirectional ones, become spaces; truncated to
/// `most` characters.
pub(crate) fn line(text: &str, most: usize) -> String {
    let turns =
        |c: char| matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let clean: Vec<char> = text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect();
    if clean.len() <= most {
        return clean.into_iter().collect();
    }
    clean.into_iter().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::AlertMessage;
    use crate::message::tests::alert;

    fn template(text: &str) -> MessageTemplate {
        MessageTemplate::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn fields_are_replaced_and_braces_escaped() {
        let alert = alert();
        let text = "{{{symbol}}} {kind} {value} {unit} of {threshold} at {price}, {time}: {rule} ({severity}, {feed}, {key})";
        assert_eq!(
            template(text).render(&alert, "10:00"),
            "{SPY} drop -1.25 % of 1 at 165.41, 10:00: crash (critical, lean.sip, 0123456789abcdef0123456789abcdef)"
        );
        assert_eq!(template("{message}").render(&alert, ""), alert.message);
        let retraction = Alert { retracts: Some("k".to_owned()), ..alert };
        assert_eq!(template("{symbol}!").render(&retraction, ""), "retracted: SPY!");
    }

    #[test]
    fn faulty_templates_are_refused_with_what_to_write() {
        for (text, part) in [
            ("{symbl} fell", "unknown placeholder `{symbl}`; expected one of message, rule, kind, symbol"),
            ("100 % }", "a brace is written as }}"),
            ("{symbol", "a brace is written as {{"),
            ("", "a template is empty"),
        ] {
            let error = MessageTemplate::try_from(text.to_owned()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn what_comes_from_outside_stays_one_line_of_text() {
        let mut alert = alert();
        alert.symbol = "S\r\nBcc: evil@example.org <b>".to_owned();
        let templates = Templates {
            subject: Some(template("{symbol}\n!")),
            text: Some(template("{symbol}\nsecond line")),
        };
        let message = AlertMessage::with(&alert, "UTC", &templates);
        assert_eq!(message.subject, "S  Bcc: evil@example.org <b> !");
        assert_eq!(message.sms, message.subject);
        assert_eq!(message.text, "S  Bcc: evil@example.org <b>\nsecond line");
        assert!(
            message.html.contains("S  Bcc: evil@example.org &lt;b&gt;\nsecond line</div>"),
            "{}",
            message.html
        );
        assert!(!message.html.contains("<b>"), "{}", message.html);
        assert!(message.html.contains("<title>S  Bcc: evil@example.org &lt;b&gt; !</title>"));
    }
}
