//! Topics on Apache Kafka, through librdkafka.
//!
//! The producer is idempotent with acks=all and partitions keys like the Java client (murmur2). The consumer
//! tracks itself what may be committed; librdkafka's automatic commit and offset store are off.

mod check;
mod closing;
mod connect;
mod consume;
mod member;
mod membership;
mod native;
mod positions;
mod produce;
mod queue;
mod read_all;
mod security;
mod token;

use aws::credentials::CredentialChain;
use ports::cancel::CancelToken;
use ports::check::Chain;
use ports::tls::Tls;
use ports::topic::{Consumer, Fetched, Names, PartitionLag, Producer, TopicSpec, Topics};
use ports::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
pub use security::Sasl;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use token::Tokens;

/// The `[topic.kafka]` section of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Replicas of each partition that `init` creates.
    pub replication: i32,
    /// `none`, `lz4`, `gzip` or `snappy`.
    pub compression: String,
    /// How long the producer waits to fill a request.
    #[serde(with = "ports::duration")]
    pub linger: Duration,
    /// Static group membership: a name with which a restarted consumer gets its partitions back at once; may
    /// be empty.
    pub instance: String,
    /// Silence after which a member is considered dead.
    #[serde(with = "ports::duration")]
    pub session_timeout: Duration,
    /// Encryption.
    pub tls: Tls,
    /// Authentication.
    pub sasl: Sasl,
    /// Any librdkafka property, set last: TLS, SASL, tuning.
    pub properties: BTreeMap<String, String>,
}

#[cfg(test)]
impl KafkaSettings {
    fn for_tests() -> Self {
        Self {
            replication: 1,
            compression: "lz4".to_owned(),
            linger: Duration::from_millis(1),
            instance: String::new(),
            session_timeout: Duration::from_secs(6),
            tls: Tls::default(),
            sasl: Sasl::default(),
            properties: BTreeMap::new(),
        }
    }
}

/// Topics of one cluster.
#[derive(Debug, Clone)]
pub struct KafkaTopics {
    brokers: String,
    settings: KafkaSettings,
    positions: String,
    stop: CancelToken,
    tokens: Tokens,
}

/// Timeout of one broker response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

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

    fn base(&self) -> ClientConfig {
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
    fn finish(&self, config: &mut ClientConfig) -> Result<()> {
        security::apply(&self.settings, config)?;
        for (name, value) in &self.settings.properties {
            config.set(name, value);
        }
        Ok(())
    }

    /// The context of a client for queries.
    fn quiet(&self) -> Quiet {
        Quiet(self.tokens.clone())
    }

    fn refused(&self, doing: &str) -> impl Fn(KafkaError) -> Error {
        let place = format!("{doing} at {}", self.describe());
        move |error| explain(&place, &error)
    }

    /// The cluster's metadata, or why there is no connection to it. Only for a client that has not joined a group.
    fn connect(&self, client: &rdkafka::client::Client<impl ClientContext>) -> Result<Metadata> {
        client.fetch_metadata(None, RESPONSE_TIMEOUT).map_err(|error| {
            let place = format!("connect to {}", self.describe());
            let error = explain(&place, &error);
            let reported = native::connection_errors(client.native_ptr());
            if !error.retryable() {
                return error;
            }
            let error = connect::explain(&place, &reported);
            if self.tokens.is_msk() && error.what().contains("refused the login") {
                return error.hint(
                    "the role or user needs kafka-cluster:Connect on this cluster; check topic.kafka.sasl.region and the clock",
                );
            }
            error
        })
    }

    /// Partition counts of the named topics.
    fn partitions(
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
                    None => Err(Error::user(format!("no topic `{name}` at {}", self.describe()))
                        .hint(format!("create it: tapeline init --topic {}", self.describe()))),
                }
            })
            .collect()
    }
}

/// Version of librdkafka, for example `2.11.0`.
#[must_use]
pub fn library_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}

/// Classifies a Kafka error and adds a hint.
pub(super) fn explain(place: &str, error: &KafkaError) -> Error {
    use RDKafkaErrorCode as Code;
    let what = format!("{place}: {error}");
    // The binding gives no code for what an administrator's request was answered with.
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    };
    match code {
        Some(
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::Resolve
            | Code::TimedOutQueue,
        ) => Error::external(format!("{place}: no broker responds"))
            .hint("is Kafka running, and are host and port right? without a server: --topic sqlite:FILE"),
        Some(
            Code::RequestTimedOut | Code::NotEnoughReplicas | Code::LeaderNotAvailable | Code::NotCoordinator,
        ) => Error::external(what).hint("the cluster is not ready; retrying"),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
            Error::user(what).hint("create the topics: tapeline init --topic kafka://HOST:PORT")
        }
        Some(
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed,
        ) => Error::user(what)
            .hint("the account lacks permission: grant it access to topic and group (kafka-acls)"),
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => Error::user(what)
            .hint("check [topic.kafka.sasl] and [topic.kafka.tls]: mechanism, username, password"),
        Some(
            Code::InvalidReplicationFactor
            | Code::InvalidPartitions
            | Code::InvalidConfig
            | Code::InvalidTopic
            | Code::PolicyViolation,
        ) => Error::user(what).hint(
            "the cluster refuses these settings: topic.kafka.replication (at most the number of brokers), \
             topic.partitions, topic.prefix",
        ),
        Some(Code::UnsupportedSASLMechanism | Code::IllegalSASLState) => {
            Error::user(what).hint("check topic.kafka.sasl.mechanism: the broker does not offer this one")
        }
        _ => match error {
            // Without the value: it may be a password.
            KafkaError::ClientConfig(_, reason, name, value) => {
                let reason =
                    if value.is_empty() { reason.clone() } else { reason.replace(value.as_str(), "***") };
                Error::user(format!("{place}: librdkafka refuses the property `{name}`: {reason}"))
                    .hint("check [topic.kafka] and topic.kafka.properties in the configuration")
            }
            _ => Error::external(what),
        },
    }
}

impl Topics for KafkaTopics {
    fn init(&self, specs: &[TopicSpec]) -> Result<Vec<String>> {
        let mut config = self.base();
        self.finish(&mut config)?;
        let admin: AdminClient<Quiet> =
            config.create_with_context(self.quiet()).map_err(self.refused("open an admin client"))?;
        self.tokens.authorize(admin.inner().native_ptr())?;
        let metadata = self.connect(admin.inner())?;
        let mut report = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::internal(format!("start a runtime: {error}")))?;
        for spec in specs {
            if let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == spec.name) {
                let have = topic.partitions().len();
                let note = if have as i32 == spec.partitions {
                    String::new()
                } else {
                    format!(
                        " (the configuration says {}; unchanged, because keys would move)",
                        spec.partitions
                    )
                };
                report.push(format!("topic {}: exists, {have} partitions{note}", spec.name));
                continue;
            }
            let mut topic = NewTopic::new(
                &spec.name,
                spec.partitions,
                TopicReplication::Fixed(self.settings.replication),
            );
            if spec.compact {
                topic = topic.set("cleanup.policy", "compact");
            }
            let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
            let responses = runtime
                .block_on(admin.create_topics([&topic], &options))
                .map_err(self.refused("create topics"))?;
            for response in responses {
                match response {
                    Ok(name) => report.push(format!("topic {name}: created, {} partitions", spec.partitions)),
                    Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => {
                        report.push(format!("topic {name}: exists"));
                    }
                    Err((name, code)) => {
                        let place = format!("create topic {name} at {}", self.describe());
                        return Err(explain(&place, &KafkaError::AdminOp(code)));
                    }
                }
            }
        }
        // A new topic is not immediately in every broker's metadata, but the next process must find it.
        let since = std::time::Instant::now();
        loop {
            let metadata = admin
                .inner()
                .fetch_metadata(None, RESPONSE_TIMEOUT)
                .map_err(self.refused("list the topics"))?;
            let leads = |topic: &rdkafka::metadata::MetadataTopic| {
                !topic.partitions().is_empty() && topic.partitions().iter().all(|p| p.leader() >= 0)
            };
            let visible = |spec: &TopicSpec| {
                metadata.topics().iter().any(|topic| topic.name() == spec.name && leads(topic))
            };
            match specs.iter().find(|spec| !visible(spec)) {
                None => break,
                Some(spec) if since.elapsed() > Duration::from_secs(30) => {
                    return Err(Error::external(format!(
                        "topic {} at {} has no leader 30 s after its creation",
                        spec.name,
                        self.describe()
                    ))
                    .hint("check the brokers' logs"));
                }
                Some(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
        Ok(report)
    }

    fn producer(&self) -> Result<Box<dyn Producer>> {
        Ok(Box::new(produce::KafkaProducer::new(self)?))
    }

    fn consumer(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(consume::KafkaConsumer::new(self, group, topics)?))
    }

    fn partition_of(&self, key: &str, partitions: i32) -> i32 {
        native::partition_of(key.as_bytes(), partitions)
    }

    fn read_all(&self, topics: &[String], sink: &mut dyn FnMut(&dyn Fetched)) -> Result<u64> {
        read_all::read_all(self, topics, sink)
    }

    fn partition_lag(&self, group: &str, topics: &[String]) -> Result<Vec<PartitionLag>> {
        check::lag(self, group, topics)
    }

    fn check(&self, names: &Names, group: &str) -> Chain {
        check::check(self, names, group)
    }

    fn describe(&self) -> String {
        format!("kafka://{}", self.brokers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::error::Domain;

    #[test]
    fn keys_are_partitioned_like_the_java_client() {
        // Kafka's UtilsTest: murmur2 of the key.
        for (key, hash) in [("21", -973_932_308_i32), ("foobar", -790_332_482), ("abc", 479_470_107)] {
            for partitions in [1, 6, 12] {
                assert_eq!(native::partition_of(key.as_bytes(), partitions), (hash & i32::MAX) % partitions);
            }
        }
    }

    #[test]
    fn settings_that_a_cluster_refuses_are_not_waited_for() {
        use RDKafkaErrorCode as Code;
        for code in [Code::InvalidReplicationFactor, Code::PolicyViolation, Code::UnsupportedSASLMechanism] {
            let error = explain("create topic t", &KafkaError::AdminOp(code));
            assert_eq!(error.domain, Domain::User, "{error}");
        }
        let error = explain("create topic t", &KafkaError::AdminOp(Code::BrokerTransportFailure));
        assert_eq!(error.domain, Domain::External, "{error}");
        assert!(!error.to_string().contains("xtask"), "{error}");
    }
}
