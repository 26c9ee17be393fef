//! Why a request to the cluster failed, and whose fault that is.

use ports::Error;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Classifies a Kafka error and adds a hint.
pub(super) fn explain(place: &str, error: &KafkaError) -> Error {
    use RDKafkaErrorCode as Code;
    let what = format!("{place}: {error}");
    // The binding gives no code for what an administrator's request was answered with.
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    };
    let explained = match code {
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
            "the cluster refuses these settings: `topic.kafka.replication` (at most the number of brokers), \
             `topic.partitions`, `topic.prefix`",
        ),
        Some(Code::UnsupportedSASLMechanism | Code::IllegalSASLState) => {
            Error::user(what).hint("check `topic.kafka.sasl.mechanism`: the broker does not offer this one")
        }
        _ => match error {
            // Without the value: it may be a password.
            KafkaError::ClientConfig(_, reason, name, value) => {
                let reason =
                    if value.is_empty() { reason.clone() } else { reason.replace(value.as_str(), "***") };
                Error::user(format!("{place}: librdkafka refuses the property `{name}`: {reason}"))
                    .hint("check [topic.kafka] and `topic.kafka.properties` in the configuration")
            }
            _ => Error::external(what),
        },
    };
    match error {
        // Its text may be a password.
        KafkaError::ClientConfig(..) => explained,
        _ => explained.because(error.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::error::Domain;

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
