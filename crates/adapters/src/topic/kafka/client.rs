//! What all clients of a cluster have in common: properties, login, connection.

use super::cause::explain;
use super::settings::KafkaSettings;
use super::token::Tokens;
use super::{connect, native, security};
use crate::refusal::Refusal;
use aws::credentials::CredentialChain;
use ports::cancel::CancelToken;
use ports::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use std::sync::Arc;
use std::time::Duration;

/// Topics of one cluster.
#[derive(Debug, Clone)]
pub struct KafkaTopics {
    pub(super) brokers: String,
    pub(super) settings: KafkaSettings,
    pub(super) positions: String,
    pub(super) stop: CancelToken,
    pub(super) tokens: Tokens,
}

/// Timeout of one broker response.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Forwards librdkafka's own log at debug level: relevant failures reach people as errors.
#[derive(Debug, Clone)]
pub(super) struct Quiet(Tokens);

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        log(level, fac, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
    }
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Ok(self.0.issue()?)
    }
}

pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(?level, facility, message, "librdkafka");
}

impl KafkaTopics {
    /// `brokers` is `host:port[,host:port]`; `positions` names the compacted topic of source positions.
    #[must_use]
    pub fn new(brokers: &str, settings: KafkaSettings, positions: String, stop: CancelToken) -> Self {
        let tokens = Tokens::new(&settings.sasl, brokers, Arc::default());
        Self { brokers: brokers.to_owned(), settings, positions, stop, tokens }
    }

    /// With other AWS credentials than those of the process, for Amazon MSK.
    #[must_use]
    pub fn with_credentials(self, credentials: Arc<CredentialChain>) -> Self {
        let tokens = Tokens::new(&self.settings.sasl, &self.brokers, credentials);
        Self { tokens, ..self }
    }

    pub(super) fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "tapeline")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "5000")
            .set("broker.address.family", "any");
        config
    }

    /// Applies security settings, then the user's own properties.
    pub(super) fn finish(&self, config: &mut ClientConfig) -> Result<()> {
        security::apply(&self.settings, config)?;
        for (name, value) in &self.settings.properties {
            config.set(name, value);
        }
        Ok(())
    }

    /// The context of a client for queries.
    pub(super) fn quiet(&self) -> Quiet {
        Quiet(self.tokens.clone())
    }

    pub(super) fn refused(&self, doing: &str) -> impl Fn(KafkaError) -> Error {
        let place = format!("{doing} at {}", self.address());
        move |error| explain(&place, &error)
    }

    /// The cluster's metadata, or why there is no connection to it. Only for a client that has not joined a group.
    pub(super) fn connect(&self, client: &rdkafka::client::Client<impl ClientContext>) -> Result<Metadata> {
        client.fetch_metadata(None, RESPONSE_TIMEOUT).map_err(|error| {
            let place = format!("connect to {}", self.address());
            let error = explain(&place, &error);
            let reported = native::connection_errors(client.native_ptr());
            if !error.retryable() {
                return error;
            }
            let error = connect::explain(&place, &reported);
            if self.tokens.is_msk() && error.cause() == Some(&Refusal::Login) {
                return error.hint(
                    "the role or user needs kafka-cluster:Connect on this cluster; check `topic.kafka.sasl.region` and the clock",
                );
            }
            error
        })
    }

    /// Partition counts of the named topics.
    pub(super) fn partitions(
        &self,
        client: &rdkafka::client::Client<impl ClientContext>,
        topics: &[String],
    ) -> Result<Vec<i32>> {
        let metadata =
            client.fetch_metadata(None, RESPONSE_TIMEOUT).map_err(self.refused("list the topics"))?;
        topics
            .iter()
            .map(|name| {
                let found = metadata.topics().iter().find(|topic| topic.name() == name);
                match found {
                    Some(topic) => Ok(topic.partitions().len() as i32),
                    None => Err(Error::user(format!("no topic `{name}` at {}", self.address()))
                        .hint(format!("create it: tapeline init --topic {}", self.address()))),
                }
            })
            .collect()
    }

    /// The URL of the cluster.
    pub(super) fn address(&self) -> String {
        format!("kafka://{}", self.brokers)
    }
}
