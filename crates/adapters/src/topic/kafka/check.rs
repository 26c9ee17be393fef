//! Checks a cluster link by link: addresses, TLS, login, brokers, topics, the group.

use super::cause::explain;
use super::client::{KafkaTopics, Quiet, RESPONSE_TIMEOUT};
use crate::refusal::Refusal;
use ports::address::{host_and_port, resolve};
use ports::check::{Chain, connect};
use ports::topic::{Names, PartitionLag, Topics};
use ports::{Error, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Which link is broken when no broker answers although its port accepts connections.
fn broken(error: &Error, tls: bool, login: bool) -> (&'static str, Error) {
    match error.cause() {
        Some(Refusal::Login) => return ("login", error.clone()),
        Some(Refusal::Handshake) => return ("TLS", error.clone()),
        None => {}
    }
    let what = error.what();
    if !error.retryable() {
        return ("settings", error.clone());
    }
    let settings = match (tls, login) {
        (false, false) => "a listener with TLS or login needs [topic.kafka.tls] or [topic.kafka.sasl]",
        (true, false) => "a listener with login needs [topic.kafka.sasl]",
        (false, true) => "a listener with TLS needs [topic.kafka.tls]",
        (true, true) => "a plaintext listener needs neither [topic.kafka.tls] nor [topic.kafka.sasl]",
    };
    let what = format!("the port accepts connections but does not respond as Kafka: {what}");
    (
        "protocol",
        Error::user(what).hint(format!("check that `topic.url` names Kafka's client port; {settings}")),
    )
}

pub(super) fn check(topics: &KafkaTopics, names: &Names, group: &str) -> Chain {
    let mut chain = Chain::new();
    let servers: Vec<(String, u16)> =
        topics.brokers.split(',').map(|broker| host_and_port(broker, 9092)).collect();
    if !chain.reach(&servers, "`topic.url`") {
        return chain;
    }
    let client = match client(topics, group) {
        Ok(client) => client,
        Err(error) => {
            chain.fail("settings", &error);
            return chain;
        }
    };
    let has_login = !topics.settings.sasl.mechanism.is_empty();
    let metadata = match topics.connect(client.client()) {
        Ok(metadata) => metadata,
        Err(error) => {
            let (link, error) = broken(&error, topics.settings.tls.enabled, has_login);
            chain.fail(link, &error);
            return chain;
        }
    };
    if topics.settings.tls.enabled {
        chain.ok("TLS", "handshake done");
    }
    if has_login {
        let sasl = &topics.settings.sasl;
        let user = if topics.tokens.is_msk() { "AWS identity" } else { &sasl.username };
        chain.ok("login", format!("{} as {user}", sasl.mechanism));
    }
    brokers(&mut chain, &metadata);
    let mut wanted: Vec<String> = names.specs(1).into_iter().map(|spec| spec.name).collect();
    wanted.sort_unstable();
    if chain.holds() && topics_exist(&mut chain, topics, &metadata, &wanted) {
        replicas(&mut chain, &metadata, &wanted);
    }
    if chain.holds() {
        let lag = partition_lag(&client, topics, &names.all_records());
        chain.step("group", lag.map(|lag| PartitionLag::describe(group, &lag)));
    }
    chain
}

fn client(topics: &KafkaTopics, group: &str) -> Result<BaseConsumer<Quiet>> {
    let mut config = topics.base();
    // Never subscribed, so it does not join the group.
    config.set("group.id", group).set("enable.auto.commit", "false");
    topics.finish(&mut config)?;
    let client: BaseConsumer<Quiet> =
        config.create_with_context(topics.quiet()).map_err(topics.refused("open a client"))?;
    topics.tokens.authorize(client.client().native_ptr())?;
    Ok(client)
}

/// Every broker's own address must be reachable, whichever answered first.
fn brokers(chain: &mut Chain, metadata: &Metadata) {
    let mut away = Vec::new();
    for broker in metadata.brokers() {
        let port = u16::try_from(broker.port()).unwrap_or(0);
        let connected = resolve(broker.host(), port).and_then(|addresses| connect(&addresses));
        if let Err(cause) = connected {
            away.push(format!("broker {} at {}:{port}: {cause}", broker.id(), broker.host()));
        }
    }
    let count = metadata.brokers().len();
    let next = "the address is the broker's own (advertised.listeners in its server.properties): it must resolve and be reachable from here";
    match away.len() {
        0 => chain.ok("brokers", format!("{count}, all reachable at their advertised addresses")),
        n if n == count => chain.fail("brokers", &Error::external(away.join("; ")).hint(next)),
        _ => chain.warn("brokers", away.join("; "), next),
    }
}

fn topics_exist(chain: &mut Chain, topics: &KafkaTopics, metadata: &Metadata, wanted: &[String]) -> bool {
    let found = |name: &str| metadata.topics().iter().find(|topic| topic.name() == name);
    for topic in wanted.iter().filter_map(|name| found(name)) {
        if let Some(code) = topic.error() {
            let error = KafkaError::MetadataFetch(code.into());
            chain.fail("topics", &explain(&format!("look at topic {}", topic.name()), &error));
            return false;
        }
    }
    let missing: Vec<&str> = wanted.iter().map(String::as_str).filter(|name| found(name).is_none()).collect();
    if !missing.is_empty() {
        let what = format!("no topic {}", missing.join(", "));
        let next = format!("create them: tapeline init --topic {}", topics.describe());
        chain.fail("topics", &Error::user(what).hint(next));
        return false;
    }
    let partitions: usize =
        wanted.iter().filter_map(|name| found(name)).map(|topic| topic.partitions().len()).sum();
    chain.ok("topics", format!("{}, {partitions} partitions", wanted.len()));
    true
}

fn replicas(chain: &mut Chain, metadata: &Metadata, wanted: &[String]) {
    let (mut leaderless, mut behind, mut single, mut most) = (Vec::new(), Vec::new(), 0, 0);
    for topic in metadata.topics().iter().filter(|topic| wanted.iter().any(|name| name == topic.name())) {
        for partition in topic.partitions() {
            let place = format!("{}/{}", topic.name(), partition.id());
            most = most.max(partition.replicas().len());
            single += usize::from(partition.replicas().len() < 2);
            if partition.leader() < 0 {
                leaderless.push(place);
            } else if partition.isr().len() < partition.replicas().len() {
                behind.push(format!("{place} ({} of {})", partition.isr().len(), partition.replicas().len()));
            }
        }
    }
    if !leaderless.is_empty() {
        let error = Error::external(format!("no leader: {}", leaderless.join(", ")));
        chain.fail("replicas", &error.hint("start the brokers that hold these partitions"));
    } else if !behind.is_empty() {
        chain.warn(
            "replicas",
            format!("not all in sync: {}", behind.join(", ")),
            "start the missing brokers, or wait until they have caught up",
        );
    } else if single > 0 && metadata.brokers().len() > 1 {
        chain.warn(
            "replicas",
            format!("{single} partitions have one copy on {} brokers", metadata.brokers().len()),
            "`topic.kafka.replication = 3` before `tapeline init`; existing topics: kafka-reassign-partitions",
        );
    } else {
        chain.ok("replicas", format!("{most} of each partition, all in sync"));
    }
}

/// Lag of each partition of `names`, for the group that the client was opened for.
fn partition_lag(
    client: &BaseConsumer<Quiet>,
    topics: &KafkaTopics,
    names: &[String],
) -> Result<Vec<PartitionLag>> {
    let counts = topics.partitions(client.client(), names)?;
    let mut list = TopicPartitionList::new();
    for (name, count) in names.iter().zip(&counts) {
        list.add_partition_range(name, 0, count - 1);
    }
    let failed = topics.refused("ask for committed offsets");
    let committed = client.committed_offsets(list, RESPONSE_TIMEOUT).map_err(&failed)?;
    let mut lag = Vec::new();
    for element in committed.elements() {
        element.error().map_err(&failed)?;
        let (topic, partition) = (element.topic().to_owned(), element.partition());
        let (low, end) = client
            .fetch_watermarks(&topic, partition, RESPONSE_TIMEOUT)
            .map_err(topics.refused("ask for the end of a partition"))?;
        let committed = if let Offset::Offset(next) = element.offset() { Some(next) } else { None };
        lag.push(PartitionLag { topic, partition, committed, start: low, end });
    }
    Ok(lag)
}

/// As [`Topics::partition_lag`].
pub(super) fn lag(topics: &KafkaTopics, group: &str, names: &[String]) -> Result<Vec<PartitionLag>> {
    partition_lag(&client(topics, group)?, topics, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broken_link_is_named_by_the_error() {
        for (error, link) in [
            (
                Error::user("connect to k: the TLS handshake failed: certificate verify failed")
                    .because(Refusal::Handshake),
                "TLS",
            ),
            (
                Error::user("connect to k: the broker refused the login: invalid credentials")
                    .because(Refusal::Login),
                "login",
            ),
            (Error::external("connect to k: no broker responds"), "protocol"),
            (Error::user("`topic.kafka.tls`: open ca.pem: no such file"), "settings"),
        ] {
            assert_eq!(broken(&error, true, true).0, link, "{error}");
        }
        let (_, error) = broken(&Error::external("no broker responds"), false, false);
        assert!(!error.retryable() && error.next().unwrap().contains("[topic.kafka.tls]"), "{error}");
    }
}
