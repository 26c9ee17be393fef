//! Amazon SNS: SMS to numbers, or a message to a topic, to which mail, queues and functions may subscribe.

use crate::http::{Client, form};
use crate::message::AlertMessage;
use crate::notifier::{Notifier, NotifyError};
use aws::sigv4::{Request, Signer};
use market::UnixNanos;
use std::time::{SystemTime, UNIX_EPOCH};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Destination of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnsTarget {
    /// SMS to a number (E.164).
    Phone(String),
    /// A topic, by its ARN. A FIFO topic (`.fifo`) deduplicates by the alert's key.
    Topic(String),
}

/// Publishes to SNS.
#[derive(Debug)]
pub struct Sns {
    name: String,
    endpoint: String,
    signer: Signer,
    targets: Vec<SnsTarget>,
    client: Client,
    /// Key of the current message, and how many targets have received it.
    done: (String, usize),
}

impl Sns {
    /// Creates the channel with credentials. An empty `endpoint` is the AWS default of the region.
    #[must_use]
    pub fn new(name: &str, endpoint: &str, mut signer: Signer, targets: Vec<SnsTarget>) -> Self {
        "sns".clone_into(&mut signer.service);
        let endpoint = match endpoint.trim_end_matches('/') {
            "" => format!("https://sns.{}.amazonaws.com", signer.region),
            endpoint => endpoint.to_owned(),
        };
        let (name, client) = (name.to_owned(), Client::default());
        Self { name, endpoint, signer, targets, client, done: (String::new(), 0) }
    }

    fn publish(&self, target: &SnsTarget, message: &AlertMessage) -> Result<(), NotifyError> {
        let mut fields = vec![("Action", "Publish"), ("Version", "2010-03-31")];
        match target {
            SnsTarget::Phone(number) => {
                fields.extend([("PhoneNumber", number.as_str()), ("Message", message.sms.as_str())])
            }
            SnsTarget::Topic(arn) => {
                fields.extend([("TopicArn", arn.as_str()), ("Message", message.text.as_str())]);
                if arn.ends_with(".fifo") {
                    fields.extend([
                        ("MessageGroupId", "alerts"),
                        ("MessageDeduplicationId", message.key.as_str()),
                    ]);
                }
            }
        }
        let subject: String =
            message.subject.chars().filter(|c| c.is_ascii() && !c.is_control()).take(99).collect();
        if matches!(target, SnsTarget::Topic(_)) {
            fields.push(("Subject", subject.as_str()));
        }
        let body = form(&fields);
        let host = self.endpoint.split_once("://").map_or(self.endpoint.as_str(), |(_, host)| host);
        let request =
            Request { method: "POST", host, path: "/", content_type: FORM, target: "", body: &body };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let signed = self.signer.headers(&request, UnixNanos(i64::try_from(now).unwrap_or(i64::MAX)));
        let mut headers = vec![("Content-Type", FORM)];
        headers.extend(signed.iter().map(|(name, value)| (*name, value.as_str())));
        let url = format!("{}/", self.endpoint);
        let secrets = [&self.signer.secret_key, &self.signer.session_token];
        self.client.post(&url, &headers, &body, &secrets).map_err(throttled)
    }
}

/// AWS responds with 400 to a client that exceeds the rate limit.
fn throttled(error: NotifyError) -> NotifyError {
    match error {
        NotifyError::Permanent(reason) if reason.contains("<Code>Throttl") => NotifyError::retryable(reason),
        other => other,
    }
}

impl Notifier for Sns {
    fn name(&self) -> &str {
        &self.name
    }

    fn send(&mut self, message: &AlertMessage) -> Result<(), NotifyError> {
        if self.done.0 != message.key {
            self.done = (message.key.clone(), 0);
        }
        while let Some(target) = self.targets.get(self.done.1) {
            self.publish(target, message)?;
            self.done.1 += 1;
        }
        self.done = (String::new(), 0);
        Ok(())
    }

    fn check(&mut self) -> Result<(), NotifyError> {
        let missing = [
            ("access_key", self.signer.access_key.is_empty()),
            ("secret_key", self.signer.secret_key.is_empty()),
            ("region", self.signer.region.is_empty()),
            ("to", self.targets.is_empty()),
        ];
        match missing.iter().find(|(_, empty)| *empty) {
            Some((key, _)) => {
                Err(NotifyError::Permanent(format!("channel {}: `{key}` is not set", self.name)))
            }
            None => Ok(()),
        }
    }
}
