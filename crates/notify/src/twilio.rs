//! SMS through Twilio: a form posted to its Messages resource, with account and token as basic
//! authentication.

use crate::http::{Client, form};
use crate::message::AlertMessage;
use crate::notifier::{Notifier, NotifyError};
use aws::encoding::encode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ports::secret::Secret;

/// Sends SMS to one or more numbers.
#[derive(Debug)]
pub struct Twilio {
    name: String,
    url: String,
    account: String,
    token: Secret,
    from: String,
    to: Vec<String>,
    client: Client,
    /// Key of the current message, and how many numbers have received it: a retry continues with the others.
    done: (String, usize),
}

impl Twilio {
    /// From one number to others (E.164). `base` is `https://api.twilio.com`, or a test server.
    #[must_use]
    pub fn new(name: &str, base: &str, account: &str, token: Secret, from: &str, to: &[String]) -> Self {
        let mut url = format!("{}/2010-04-01/Accounts/", base.trim_end_matches('/'));
        encode(account, &mut url);
        url.push_str("/Messages.json");
        Self {
            name: name.to_owned(),
            url,
            account: account.to_owned(),
            token,
            from: from.to_owned(),
            to: to.to_vec(),
            client: Client::default(),
            done: (String::new(), 0),
        }
    }
}

impl Notifier for Twilio {
    fn name(&self) -> &str {
        &self.name
    }

    fn send(&mut self, message: &AlertMessage) -> Result<(), NotifyError> {
        if self.done.0 != message.key {
            self.done = (message.key.clone(), 0);
        }
        let login = Secret::from(STANDARD.encode(format!("{}:{}", self.account, self.token.reveal())));
        let authorization = format!("Basic {}", login.reveal());
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Authorization", authorization.as_str()),
        ];
        while let Some(to) = self.to.get(self.done.1) {
            let body =
                form(&[("To", to.as_str()), ("From", self.from.as_str()), ("Body", message.sms.as_str())]);
            self.client.post(&self.url, &headers, &body, &[&self.token, &login])?;
            self.done.1 += 1;
        }
        self.done = (String::new(), 0);
        Ok(())
    }

    fn check(&mut self) -> Result<(), NotifyError> {
        let missing = [
            ("account", self.account.is_empty()),
            ("token", self.token.is_empty()),
            ("from", self.from.is_empty()),
            ("to", self.to.is_empty()),
        ];
        match missing.iter().find(|(_, empty)| *empty) {
            Some((key, _)) => {
                Err(NotifyError::Permanent(format!("channel {}: `{key}` is not set", self.name)))
            }
            None => Ok(()),
        }
    }
}
