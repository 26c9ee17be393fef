//! Alert channels as written in the configuration.

use crate::log::Log;
use crate::notifier::{Notifier, NotifyError};
use crate::smtp;
use crate::smtp::{Encryption, Smtp};
use crate::sns::{Sns, SnsTarget};
use crate::template::{MessageTemplate, Templates};
use crate::twilio::Twilio;
use crate::webhook::{Format, Webhook};
use aws::sigv4::Signer;
use market::alert::Severity;
use ports::secret::Secret;
use serde::Deserialize;

/// One `[[alert.channels]]`.
#[derive(Debug, Clone, Deserialize)]
pub struct ChannelConfig {
    /// Its name, unique.
    pub name: String,
    /// Alerts below this severity are not sent to it.
    #[serde(default = "lowest")]
    pub min_severity: Severity,
    /// Template of the subject, which is also the text of an SMS; the default if absent.
    #[serde(default)]
    pub subject: Option<MessageTemplate>,
    /// Template of the text; the default if absent.
    #[serde(default)]
    pub text: Option<MessageTemplate>,
    /// Its kind.
    #[serde(flatten)]
    pub kind: ChannelKind,
}

const fn lowest() -> Severity {
    Severity::Info
}

/// Parameters of each kind of channel, selected by `type`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum ChannelKind {
    /// The program's log.
    Log,
    /// E-mail.
    Smtp {
        /// Server.
        host: String,
        /// Its port; the default of the encryption if absent.
        #[serde(default)]
        port: u16,
        /// `starttls`, `tls` or `none`.
        #[serde(default)]
        encryption: Encryption,
        /// Login.
        #[serde(default)]
        user: String,
        /// Password.
        #[serde(default)]
        password: Secret,
        /// Sender.
        from: String,
        /// Recipients.
        to: Vec<String>,
        /// File with a certificate authority to trust besides the public ones.
        #[serde(default)]
        ca_file: String,
    },
    /// A webhook.
    Webhook {
        /// URL.
        url: Secret,
        /// `json`, `slack`, `discord` or `teams`.
        #[serde(default)]
        format: Format,
        /// Key to sign the JSON with.
        #[serde(default)]
        secret: Secret,
    },
    /// SMS by Twilio.
    Twilio {
        /// Account SID.
        account: String,
        /// Auth token.
        token: Secret,
        /// Sender's number.
        from: String,
        /// Numbers.
        to: Vec<String>,
        /// `https://api.twilio.com` if absent.
        #[serde(default = "twilio")]
        endpoint: String,
    },
    /// Amazon SNS.
    Sns {
        /// Region.
        region: String,
        /// Access key id.
        access_key: String,
        /// Secret access key.
        secret_key: Secret,
        /// Token of temporary credentials.
        #[serde(default)]
        session_token: Secret,
        /// Numbers, or ARNs of topics.
        to: Vec<String>,
        /// AWS's own if absent.
        #[serde(default)]
        endpoint: String,
    },
}

fn twilio() -> String {
    "https://api.twilio.com".to_owned()
}

impl ChannelConfig {
    /// Its templates.
    #[must_use]
    pub fn templates(&self) -> Templates {
        Templates { subject: self.subject.clone(), text: self.text.clone() }
    }

    /// Opens the channel. `read` reads a file that it names.
    ///
    /// # Errors
    /// [`NotifyError::Permanent`]: the settings are invalid.
    pub fn open(
        &self,
        read: &dyn Fn(&str) -> std::io::Result<String>,
    ) -> Result<Box<dyn Notifier>, NotifyError> {
        let name = self.name.as_str();
        Ok(match self.kind.clone() {
            ChannelKind::Log => Box::new(Log::new(name)),
            ChannelKind::Smtp { host, port, encryption, user, password, from, to, ca_file } => {
                let ca = if ca_file.is_empty() {
                    None
                } else {
                    let fail = |error| NotifyError::Permanent(format!("channel {name}: {ca_file}: {error}"));
                    Some(read(&ca_file).map_err(fail)?)
                };
                let settings = smtp::SmtpSettings { host, port, encryption, user, password, from, to, ca };
                Box::new(Smtp::new(name, &settings)?)
            }
            ChannelKind::Webhook { url, format, secret } => Box::new(Webhook::new(name, url, format, secret)),
            ChannelKind::Twilio { account, token, from, to, endpoint } => {
                Box::new(Twilio::new(name, &endpoint, &account, token, &from, &to))
            }
            ChannelKind::Sns { region, access_key, secret_key, session_token, to, endpoint } => {
                let service = String::new();
                let signer = Signer { access_key, secret_key, session_token, region, service };
                let target = |to: String| {
                    if to.starts_with("arn:") { SnsTarget::Topic(to) } else { SnsTarget::Phone(to) }
                };
                Box::new(Sns::new(name, &endpoint, signer, to.into_iter().map(target).collect()))
            }
        })
    }
}
