//! One connection to a broker, in MQTT 3.1.1 or MQTT 5.

use super::TlsConnector;
use ports::{Error, Result as PortResult};
use rumqttc::{AsyncClient, Outgoing, QoS, TlsConfiguration, Transport, v5};
use std::borrow::Cow;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// How often the connection is proven while nothing comes.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Largest packet of the protocol, bytes. The client would take a larger one than its limit for a broken connection, and the
/// broker sends it again after each; with a limit in MQTT 5 the broker would drop it without a word.
const LARGEST: u32 = 268_435_455 + 5;
/// Requests of ours that may wait: acknowledgements of all that a broker may have in flight.
const REQUESTS: usize = 65_536;

/// Version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Version {
    /// MQTT 3.1.1.
    #[default]
    V3,
    /// MQTT 5.
    V5,
}

/// How to connect.
pub(super) struct Login {
    pub(super) client_id: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// Name and password.
    pub(super) account: Option<(String, String)>,
    pub(super) tls: Option<TlsConnector>,
}

/// What a connection reports.
pub(super) enum Report {
    /// The broker has accepted the connection.
    Connected,
    /// The reply to a subscription: the filter that is refused, if any is, and why.
    Subscribed(Option<(usize, String)>),
    Message(Message),
    /// An acknowledgement of ours has left.
    Acknowledged,
    /// Nothing that matters here.
    Other,
    /// Nothing came in time.
    Timeout,
    Failed(Failure),
    /// The client has ended.
    Ended,
}

/// Why a connection broke, or did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The broker refuses the login or the version.
    Refused(String),
    /// TLS could not be set up.
    Tls(String),
    /// Anything that may pass.
    Lost(String),
}

/// A message, as it must be handed back for its acknowledgement.
pub(super) enum Message {
    V3(rumqttc::Publish),
    V5(Box<v5::mqttbytes::v5::Publish>),
}

impl Message {
    pub(super) fn topic(&self) -> Cow<'_, str> {
        match self {
            Self::V3(message) => Cow::Borrowed(&message.topic),
            Self::V5(message) => String::from_utf8_lossy(&message.topic),
        }
    }

    pub(super) fn payload(&self) -> &[u8] {
        match self {
            Self::V3(message) => &message.payload,
            Self::V5(message) => &message.payload,
        }
    }

    /// Whether the broker may have delivered it before.
    pub(super) fn is_repeated(&self) -> bool {
        match self {
            Self::V3(message) => message.dup,
            Self::V5(message) => message.dup,
        }
    }

    /// Whether the broker waits for its acknowledgement.
    pub(super) fn is_acknowledged(&self) -> bool {
        match self {
            Self::V3(message) => message.qos != QoS::AtMostOnce,
            Self::V5(message) => message.qos != v5::mqttbytes::QoS::AtMostOnce,
        }
    }
}

/// A persistent session whose messages are acknowledged on request.
pub(super) struct Session {
    runtime: Runtime,
    client: Client,
}

/// A client and its side of the connection, in one version of the protocol.
enum Client {
    V3(AsyncClient, Box<rumqttc::EventLoop>),
    V5(v5::AsyncClient, Box<v5::EventLoop>),
}

impl Session {
    /// # Errors
    /// The system gives no more resources.
    pub(super) fn new(version: Version, login: Login) -> PortResult<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::internal(format!("start a runtime: {error}")))?;
        let transport =
            login.tls.map_or(Transport::Tcp, |tls| Transport::Tls(TlsConfiguration::NativeConnector(tls)));
        let client = match version {
            Version::V3 => {
                let mut options = rumqttc::MqttOptions::new(login.client_id, login.host, login.port);
                options.set_clean_session(false);
                options.set_manual_acks(true);
                options.set_keep_alive(KEEP_ALIVE);
                options.set_max_packet_size(LARGEST as usize, LARGEST as usize);
                options.set_transport(transport);
                if let Some((name, password)) = login.account {
                    options.set_credentials(name, password);
                }
                let (client, events) = AsyncClient::new(options, REQUESTS);
                Client::V3(client, Box::new(events))
            }
            Version::V5 => {
                let mut options = v5::MqttOptions::new(login.client_id, login.host, login.port);
                options.set_clean_start(false);
                // The session never expires, as in 3.1.1.
                options.set_session_expiry_interval(Some(u32::MAX));
                options.set_max_packet_size(Some(LARGEST));
                options.set_manual_acks(true);
                options.set_keep_alive(KEEP_ALIVE);
                options.set_transport(transport);
                if let Some((name, password)) = login.account {
                    options.set_credentials(name, password);
                }
                let (client, events) = v5::AsyncClient::new(options, REQUESTS);
                Client::V5(client, Box::new(events))
            }
        };
        Ok(Self { runtime, client })
    }

    /// Subscribes with QoS 1.
    pub(super) fn subscribe(&self, filters: &[String]) -> Result<(), String> {
        let filters = filters.iter().cloned();
        match &self.client {
            Client::V3(client, _) => client
                .try_subscribe_many(
                    filters.map(|filter| rumqttc::SubscribeFilter::new(filter, QoS::AtLeastOnce)),
                )
                .map_err(|error| error.to_string()),
            Client::V5(client, _) => {
                client
                    .try_subscribe_many(filters.map(|filter| {
                        v5::mqttbytes::v5::Filter::new(filter, v5::mqttbytes::QoS::AtLeastOnce)
                    }))
                    .map_err(|error| error.to_string())
            }
        }
    }

    /// Queues a message of QoS 0.
    pub(super) fn publish(&self, topic: String, payload: Vec<u8>) -> Result<(), String> {
        match &self.client {
            Client::V3(client, _) => {
                client.try_publish(topic, QoS::AtMostOnce, false, payload).map_err(|error| error.to_string())
            }
            Client::V5(client, _) => client
                .try_publish(topic, v5::mqttbytes::QoS::AtMostOnce, false, payload)
                .map_err(|error| error.to_string()),
        }
    }

    /// Acknowledges messages of the connection that there is, within `wait`. Returns how many acknowledgements are still to
    /// leave: [`Session::receive`] reports each.
    ///
    /// # Errors
    /// The connection is broken, or takes nothing for so long; what it is, the next [`Session::receive`] reports.
    pub(super) fn acknowledge(&mut self, messages: &[Message], wait: Duration) -> Result<usize, String> {
        match &mut self.client {
            // All in one write: an acknowledgement is four bytes, and a system call for each costs more than all the rest.
            Client::V3(_, events) => {
                let network = events.network.as_mut().ok_or("not connected")?;
                let written = async {
                    for message in messages {
                        if let Message::V3(message) = message {
                            network
                                .write(rumqttc::Packet::PubAck(rumqttc::PubAck::new(message.pkid)))
                                .await?;
                        }
                    }
                    network.flush().await
                };
                match self.runtime.block_on(async { timeout(wait, written).await }) {
                    Ok(written) => written.map(|()| 0).map_err(|error| error.to_string()),
                    Err(_) => Err(format!("nothing was sent within {} s", wait.as_secs_f64())),
                }
            }
            // This version of the client has no access to its connection.
            Client::V5(client, _) => {
                for message in messages {
                    if let Message::V5(message) = message {
                        client.try_ack(message).map_err(|error| error.to_string())?;
                    }
                }
                Ok(messages.len())
            }
        }
    }

    /// Waits for something to happen.
    pub(super) fn receive(&mut self, wait: Duration) -> Report {
        match &mut self.client {
            Client::V3(_, events) => {
                // What came with an earlier message needs no timer.
                if let Some(event) = events.state.events.pop_front() {
                    return report_v3(event);
                }
                match self.runtime.block_on(async { timeout(wait, events.poll()).await }) {
                    Ok(Ok(event)) => report_v3(event),
                    Ok(Err(rumqttc::ConnectionError::RequestsDone)) => Report::Ended,
                    Ok(Err(error)) => Report::Failed(failure_v3(&error)),
                    Err(_) => Report::Timeout,
                }
            }
            Client::V5(_, events) => {
                if let Some(event) = events.state.events.pop_front() {
                    return report_v5(event);
                }
                match self.runtime.block_on(async { timeout(wait, events.poll()).await }) {
                    Ok(Ok(event)) => report_v5(event),
                    Ok(Err(v5::ConnectionError::RequestsDone)) => Report::Ended,
                    Ok(Err(error)) => Report::Failed(failure_v5(&error)),
                    Err(_) => Report::Timeout,
                }
            }
        }
    }
}

fn report_v3(event: rumqttc::Event) -> Report {
    use rumqttc::{Event, Packet, SubscribeReasonCode};
    match event {
        Event::Incoming(Packet::ConnAck(_)) => Report::Connected,
        Event::Incoming(Packet::SubAck(reply)) => {
            let refused = reply.return_codes.iter().position(|code| *code == SubscribeReasonCode::Failure);
            Report::Subscribed(refused.map(|index| (index, String::new())))
        }
        Event::Incoming(Packet::Publish(message)) => Report::Message(Message::V3(message)),
        Event::Outgoing(Outgoing::PubAck(_)) => Report::Acknowledged,
        Event::Incoming(_) | Event::Outgoing(_) => Report::Other,
    }
}

fn report_v5(event: v5::Event) -> Report {
    use v5::mqttbytes::v5::{Packet, SubscribeReasonCode};
    match event {
        v5::Event::Incoming(Packet::ConnAck(_)) => Report::Connected,
        v5::Event::Incoming(Packet::SubAck(reply)) => {
            let mut codes = reply.return_codes.iter().enumerate();
            let refused = codes.find(|(_, code)| !matches!(code, SubscribeReasonCode::Success(_)));
            Report::Subscribed(refused.map(|(index, code)| (index, format!(": {code:?}"))))
        }
        v5::Event::Incoming(Packet::Publish(message)) => Report::Message(Message::V5(Box::new(message))),
        v5::Event::Outgoing(Outgoing::PubAck(_)) => Report::Acknowledged,
        v5::Event::Incoming(_) | v5::Event::Outgoing(_) => Report::Other,
    }
}

fn failure_v3(error: &rumqttc::ConnectionError) -> Failure {
    use rumqttc::{ConnectReturnCode as Code, ConnectionError};
    match error {
        ConnectionError::ConnectionRefused(
            code @ (Code::BadClientId
            | Code::BadUserNamePassword
            | Code::NotAuthorized
            | Code::RefusedProtocolVersion),
        ) => Failure::Refused(format!("{code:?}")),
        ConnectionError::Tls(error) => Failure::Tls(error.to_string()),
        error => lost(error.to_string()),
    }
}

fn failure_v5(error: &v5::ConnectionError) -> Failure {
    use v5::ConnectionError;
    use v5::mqttbytes::v5::ConnectReturnCode as Code;
    match error {
        ConnectionError::ConnectionRefused(
            code @ (Code::BadClientId
            | Code::ClientIdentifierNotValid
            | Code::BadUserNamePassword
            | Code::BadAuthenticationMethod
            | Code::NotAuthorized
            | Code::Banned
            | Code::RefusedProtocolVersion
            | Code::UnsupportedProtocolVersion),
        ) => Failure::Refused(format!("{code:?}")),
        ConnectionError::Tls(error) => Failure::Tls(error.to_string()),
        error => lost(error.to_string()),
    }
}

/// In TLS 1.3 a broker refuses the client's certificate after the client's side of the handshake is done: as an alert in
/// place of the first reply.
fn lost(text: String) -> Failure {
    let mut parts = text.split(['"', ':', '(', ')', ',']).map(str::trim);
    match parts.find(|part| part.contains(" alert ")) {
        Some(alert) => Failure::Tls(format!("the broker ended the TLS handshake: {alert}")),
        None => Failure::Lost(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_in_place_of_a_reply_is_a_failure_of_tls() {
        let text = r#"Io error: Custom { kind: Other, error: Error { code: ErrorCode(1), cause: Some(Ssl(ErrorStack([Error { code: 167773212, library: "SSL routines", function: "ssl3_read_bytes", reason: "tlsv13 alert certificate required", data: "SSL alert number 116" }]))) } }"#;
        let why = "the broker ended the TLS handshake: tlsv13 alert certificate required";
        assert_eq!(lost(text.to_owned()), Failure::Tls(why.to_owned()));
        let other = "I/O: Connection refused (os error 111)";
        assert_eq!(lost(other.to_owned()), Failure::Lost(other.to_owned()));
    }
}
