//! The `[source]` section of the configuration. Every field is described in `config/default.toml`.

use ports::secret::Secret;
use ports::tls::CertificateCheck;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct SourceSection {
    pub url: String,
    pub feed: String,
    pub zone: String,
    #[serde(with = "ports::duration")]
    pub stall: std::time::Duration,
    pub backfill: bool,
    pub alpaca: AccountSection,
    pub massive: AccountSection,
    pub finnhub: AccountSection,
    pub coinbase: AccountSection,
    pub kraken: AccountSection,
    pub binance: AccountSection,
    pub mqtt: MqttAccount,
    pub poll: PollSection,
    /// How long a live source may try to connect for the first time; indefinitely if not set (`--wait`).
    #[serde(skip)]
    pub connect_within: Option<std::time::Duration>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct MqttAccount {
    pub username: String,
    pub password: Secret,
    pub tls: MqttTls,
}

/// How `mqtts://` connects. Files are in PEM format.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct MqttTls {
    pub ca: String,
    pub certificate: String,
    pub key: String,
    pub key_password: Secret,
    pub verify: CertificateCheck,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct PollSection {
    pub alpaca: Polled,
    pub massive: Polled,
    pub alphavantage: Polled,
    pub twelvedata: Polled,
    pub yahoo: Polled,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Polled {
    #[serde(default)]
    pub rest: String,
    #[serde(default)]
    pub key: Secret,
    pub per_minute: u32,
    pub per_day: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct AccountSection {
    pub stream: String,
    pub rest: String,
    pub key: Secret,
    pub secret: Secret,
}

/// The defaults of `config/default.toml` with some values changed, by their path below `[source]`.
#[cfg(test)]
pub(crate) fn with(changes: &[(&str, &str)]) -> SourceSection {
    let text = include_str!("../../../config/default.toml");
    let mut table: toml::Table = text.parse().unwrap();
    for (path, value) in changes {
        let mut slot = table.get_mut("source").unwrap();
        for key in path.split('.') {
            slot = slot.get_mut(key).unwrap();
        }
        *slot = toml::Value::String((*value).to_owned());
    }
    table.remove("source").unwrap().try_into().unwrap()
}
