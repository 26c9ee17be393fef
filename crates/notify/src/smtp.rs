//! E-mail over SMTP. TLS is required unless explicitly disabled; copies of a message share a Message-ID, so
//! that mail programs show one.

use crate::http::mask;
use crate::message::AlertMessage;
use crate::notifier::{Notifier, NotifyError};
use lettre::message::{Mailbox, MultiPart, SinglePart, header};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{SmtpTransport, Transport};
use market::alert::Severity;
use ports::secret::Secret;
use serde::Deserialize;
use std::time::Duration;

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// STARTTLS, required; port 587.
    #[default]
    Starttls,
    /// TLS from the first byte; port 465.
    Tls,
    /// No encryption: for a server on this machine. Rejected together with a password.
    None,
}

/// Settings of a mail channel.
#[derive(Debug, Clone, Default)]
pub struct SmtpSettings {
    /// Host name of the server, as in its certificate.
    pub host: String,
    /// Its port; 0: the default.
    pub port: u16,
    /// How the connection is encrypted.
    pub encryption: Encryption,
    /// Login; empty: none.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// Sender: `Tapeline <alerts@example.org>`.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
    /// A certificate authority to trust besides the public ones, PEM.
    pub ca: Option<String>,
}

/// A mail channel.
pub struct Smtp {
    name: String,
    transport: SmtpTransport,
    from: Mailbox,
    to: Vec<Mailbox>,
    password: Secret,
}

impl Smtp {
    /// Creates the channel; connects when it first sends.
    ///
    /// # Errors
    /// [`NotifyError::Permanent`]: the settings are invalid.
    pub fn new(name: &str, settings: &SmtpSettings) -> Result<Self, NotifyError> {
        let fail = |problem: String| NotifyError::Permanent(format!("channel {name}: {problem}"));
        let mailbox = |key: &str, text: &str| {
            if text.chars().any(char::is_control) {
                return Err(fail(format!("`{key}`: control characters are not allowed in an address")));
            }
            text.parse::<Mailbox>()
                .map_err(|error| fail(format!("`{key}`: `{text}` is not an address: {error}")))
        };
        let from = mailbox("from", &settings.from)?;
        let to = settings.to.iter().map(|text| mailbox("to", text)).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err(fail("`to` is empty".to_owned()));
        }
        if settings.encryption == Encryption::None && !settings.password.is_empty() {
            return Err(fail(
                "a password is not sent without TLS; set `encryption = \"starttls\"`".to_owned(),
            ));
        }
        let mut parameters = TlsParameters::builder(settings.host.clone());
        if let Some(pem) = &settings.ca {
            if !pem.contains("-----BEGIN CERTIFICATE-----") {
                return Err(fail("`ca_file` contains no PEM certificate".to_owned()));
            }
            let certificate = Certificate::from_pem(pem.as_bytes())
                .map_err(|error| fail(format!("`ca_file` is not a PEM certificate: {error}")))?;
            parameters = parameters.add_root_certificate(certificate);
        }
        let parameters = parameters.build_rustls().map_err(|error| fail(format!("TLS: {error}")))?;
        let (tls, usual) = match settings.encryption {
            Encryption::Starttls => (Tls::Required(parameters), 587),
            Encryption::Tls => (Tls::Wrapper(parameters), 465),
            Encryption::None => (Tls::None, 25),
        };
        let mut transport = SmtpTransport::builder_dangerous(settings.host.as_str())
            .port(if settings.port == 0 { usual } else { settings.port })
            .tls(tls)
            .timeout(Some(Duration::from_secs(20)));
        if !settings.user.is_empty() {
            let password = settings.password.reveal().to_owned();
            transport = transport.credentials(Credentials::new(settings.user.clone(), password));
        }
        let (name, password) = (name.to_owned(), settings.password.clone());
        Ok(Self { name, transport: transport.build(), from, to, password })
    }

    /// Builds the mail.
    fn mail(&self, message: &AlertMessage) -> Result<lettre::Message, lettre::error::Error> {
        let domain = self.from.email.domain();
        let mut mail = lettre::Message::builder()
            .from(self.from.clone())
            .subject(message.subject.clone())
            .message_id(Some(format!("<{}@{domain}>", message.key)))
            // RFC 3834: suppresses automatic replies.
            .header(AutoSubmitted);
        if message.severity == Severity::Critical {
            mail = mail.header(Priority);
        }
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        let html = SinglePart::builder().header(header::ContentType::TEXT_HTML).body(message.html.clone());
        mail.multipart(
            MultiPart::alternative().singlepart(SinglePart::plain(message.text.clone())).singlepart(html),
        )
    }

    fn failed(&self, error: &lettre::transport::smtp::Error) -> NotifyError {
        let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
        let reason = mask(&self.password, &format!("{error}{cause}"));
        // A rejected login is an error of the settings, not of the message: it waits until they are
        // corrected.
        let login = error.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535 | 538));
        if error.is_permanent() && !login {
            NotifyError::Permanent(reason)
        } else {
            NotifyError::retryable(reason)
        }
    }
}

macro_rules! fixed_header {
    ($type:ident, $name:literal, $value:literal) => {
        #[derive(Clone)]
        struct $type;

        impl header::Header for $type {
            fn name() -> header::HeaderName {
                header::HeaderName::new_from_ascii_str($name)
            }

            fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
                Ok(Self)
            }

            fn display(&self) -> header::HeaderValue {
                header::HeaderValue::new(Self::name(), $value.to_owned())
            }
        }
    };
}

fixed_header!(AutoSubmitted, "Auto-Submitted", "auto-generated");
fixed_header!(Priority, "X-Priority", "1");

impl Notifier for Smtp {
    fn name(&self) -> &str {
        &self.name
    }

    fn send(&mut self, message: &AlertMessage) -> Result<(), NotifyError> {
        let mail = self.mail(message).map_err(|error| NotifyError::Permanent(error.to_string()))?;
        self.transport.send(&mail).map(|_| ()).map_err(|error| self.failed(&error))
    }

    fn check(&mut self) -> Result<(), NotifyError> {
        match self.transport.test_connection() {
            Ok(true) => Ok(()),
            Ok(false) => Err(NotifyError::retryable("the server does not respond to NOOP")),
            Err(error) => Err(self.failed(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::alert;

    fn settings() -> SmtpSettings {
        SmtpSettings {
            host: "localhost".to_owned(),
            from: "Tapeline <alerts@example.org>".to_owned(),
            to: vec!["one@example.org".to_owned(), "Two <two@example.org>".to_owned()],
            ..SmtpSettings::default()
        }
    }

    #[test]
    fn a_mail_has_a_stable_id_and_no_header_can_be_injected() {
        let smtp = Smtp::new("mail", &settings()).unwrap();
        let mut alert = alert();
        alert.rule = "r\r\nBcc: evil@example.org".to_owned();
        alert.message = "S\r\nBcc: evil@example.org\r\n\r\nbody ü".to_owned();
        let mail =
            || String::from_utf8(smtp.mail(&AlertMessage::new(&alert, "UTC")).unwrap().formatted()).unwrap();
        let text = mail();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Message-ID: <0123456789abcdef0123456789abcdef@example.org>\r\n"), "{head}");
        assert!(
            head.contains("Auto-Submitted: auto-generated\r\n") && head.contains("X-Priority: 1\r\n"),
            "{head}"
        );
        assert!(head.contains("To: one@example.org, Two <two@example.org>\r\n"), "{head}");
        assert!(head.lines().all(|line| !line.to_ascii_lowercase().starts_with("bcc")), "{head}");
        assert!(text.contains("Content-Type: text/html") && text.contains("Content-Type: text/plain"));
    }

    #[test]
    fn faulty_settings_are_refused() {
        let faulty = |change: &dyn Fn(&mut SmtpSettings)| {
            let mut settings = settings();
            change(&mut settings);
            Smtp::new("mail", &settings).map(|_| ()).unwrap_err().to_string()
        };
        assert!(faulty(&|s| s.from = "nobody".to_owned()).contains("`from`: `nobody` is not an address"));
        assert!(faulty(&|s| s.to[0] = "a\r\nb@c.d".to_owned()).contains("`to`"));
        assert!(faulty(&|s| s.to.clear()).contains("`to` is empty"));
        assert!(faulty(&|s| s.ca = Some("x".to_owned())).contains("ca_file"));
        let open = faulty(&|s| {
            s.encryption = Encryption::None;
            s.password = Secret::from("hunter2".to_owned());
        });
        assert!(open.contains("not sent without TLS") && !open.contains("hunter2"), "{open}");
    }
}
