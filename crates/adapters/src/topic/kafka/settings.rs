//! Settings of the topics.

use ports::secret::Secret;
use ports::tls::Tls;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

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
    pub(super) fn for_tests() -> Self {
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

/// The `[topic.kafka.sasl]` section of the configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER` or `AWS_MSK_IAM`; empty: no authentication.
    pub mechanism: String,
    /// User name of PLAIN and SCRAM; client id of OAUTHBEARER.
    pub username: String,
    /// Password of PLAIN and SCRAM; client secret of OAUTHBEARER.
    pub password: Secret,
    /// OAUTHBEARER: endpoint that issues tokens (OpenID Connect client credentials), or `unsecured`: tokens without a
    /// signature, for tests.
    pub token_url: String,
    /// OAUTHBEARER: the scope to request; may be empty.
    pub scope: String,
    /// AWS_MSK_IAM: region of the cluster; empty: that of the brokers' address, or of the environment.
    pub region: String,
}

/// The mechanism of Amazon MSK: OAUTHBEARER with tokens that are signed with AWS credentials.
pub(super) const MSK_IAM: &str = "AWS_MSK_IAM";

/// Value of `token_url` for tokens without a signature.
pub(super) const UNSECURED: &str = "unsecured";
