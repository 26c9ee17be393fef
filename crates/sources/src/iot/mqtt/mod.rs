//! Readings from an MQTT 3.1.1 broker, at least once.
//!
//! Subscriptions are of QoS 1 in a persistent session, and a message is acknowledged to the broker only after the topic
//! has acknowledged its readings: whoever dies in between, the broker delivers it again, and its readings have the
//! same identity. Many brokers have few messages in flight to one client (Mosquitto: 20, `max_inflight_messages`); that,
//! and how fast the topic acknowledges, bounds the rate.

use super::options::Declared;
use crate::settings::MqttAccount;
use market::codec::json;
use market::codec::lines::{Field, LineDecoder};
use market::reading::ValueType;
use market::{Kind, Record, UnixNanos};
use ports::cancel::{Backoff, CancelToken};
use ports::dead_letter::{DeadLetter, Stage};
use ports::metrics::{METRICS, Port};
use ports::options::split;
use ports::source::{Event, Positions, Source};
use ports::{Error, Result, clock};
use rumqttc::{
    Client, ConnectReturnCode, Connection, ConnectionError, Incoming, MqttOptions, Outgoing, Publish, QoS,
    RecvTimeoutError, SubscribeFilter, SubscribeReasonCode,
};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const EXAMPLE: &str = "--source 'mqtt://HOST:1883/site/+/boiler?format=ndjson&series={topic.2}.{field}&value=temperature,pressure'";
/// Port of plain MQTT.
const PORT: u16 = 1_883;
/// Messages taken at once.
const AT_ONCE: usize = 1_024;
/// How long to wait for a message before other duties are looked after.
const WAIT: Duration = Duration::from_millis(50);
/// How long connecting may take: longer than the client's own limit.
const CONNECT: Duration = Duration::from_secs(10);
/// How often the connection is proven while nothing comes.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long acknowledgements may take to leave.
const ACKNOWLEDGE: Duration = Duration::from_secs(1);
/// Largest message, bytes.
const LARGEST: usize = 1 << 20;
/// Requests of ours that may wait: acknowledgements of all that a broker may have in flight.
const REQUESTS: usize = 65_536;

/// Opens `HOST[:PORT]/FILTER[,FILTER]?format=…&…`: what follows `mqtt://`.
///
/// # Errors
/// The URL names no host or filter, or an option is unknown or wrong.
pub fn open(rest: &str, settings: &MqttAccount) -> Result<Mqtt> {
    let (place, options) = split(rest);
    let mut client_id = String::new();
    let declared = Declared::read(options, "mqtt", EXAMPLE, |option| {
        if option.name == "client" {
            option.value.clone_into(&mut client_id);
        }
        Ok(option.name == "client")
    })?;
    let bad = |what: &str| Error::user(format!("`mqtt://{place}`: {what}")).hint(EXAMPLE);
    let (host, filters) = place.split_once('/').unwrap_or((place, ""));
    if host.contains('@') {
        return Err(Error::user("credentials in an MQTT URL are not supported")
            .hint("set source.mqtt.username and source.mqtt.password"));
    }
    let filters: Vec<String> = ports::options::list(filters);
    if filters.is_empty() {
        return Err(bad("expected a topic filter behind the host"));
    }
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) => {
            (host, port.parse().map_err(|_| bad("expected a port number behind the colon"))?)
        }
        None => (host, PORT),
    };
    if host.is_empty() {
        return Err(bad("expected a host"));
    }
    if client_id.is_empty() {
        client_id = format!("tapeline-{}", declared.feed());
    }
    let mut options = MqttOptions::new(client_id, host, port);
    options.set_clean_session(false);
    options.set_manual_acks(true);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_max_packet_size(LARGEST, LARGEST);
    if !settings.username.is_empty() {
        options.set_credentials(&settings.username, settings.password.reveal());
    }
    let decoder = declared.decoder()?;
    if decoder.expects_header() {
        return Err(bad("a message has no header line; name the columns with columns=a,b,c"));
    }
    let (client, connection) = Client::new(options, REQUESTS);
    Ok(Mqtt {
        place: format!("mqtt://{host}:{port}"),
        feed: declared.feed().to_owned(),
        decoder,
        filters,
        client,
        connection,
        connected: false,
        backoff: Backoff::default(),
        unacknowledged: Vec::new(),
        early: VecDeque::new(),
        payload: Vec::new(),
    })
}

/// A session with a broker.
pub struct Mqtt {
    place: String,
    feed: String,
    decoder: LineDecoder,
    filters: Vec<String>,
    client: Client,
    connection: Connection,
    connected: bool,
    backoff: Backoff,
    /// Emitted, but not yet acknowledged by the topic.
    unacknowledged: Vec<Publish>,
    /// What came while acknowledgements were being sent.
    early: VecDeque<Incoming>,
    payload: Vec<u8>,
}

impl Mqtt {
    fn subscribe(&self) -> Result<()> {
        let filters =
            self.filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
        self.client
            .subscribe_many(filters)
            .map_err(|error| Error::internal(format!("{}: {error}", self.place)))
    }

    /// What the broker sent; errors are those that waiting cannot help.
    fn incoming(&mut self, packet: Incoming, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        match packet {
            Incoming::ConnAck(_) => {
                if !self.connected {
                    tracing::info!("connected to {}", self.place);
                }
                self.connected = true;
                self.backoff.reset();
                // Also where the broker kept the session: its filters may have been others.
                self.subscribe()
            }
            Incoming::SubAck(answer) => {
                let refused =
                    answer.return_codes.iter().position(|code| *code == SubscribeReasonCode::Failure);
                match refused {
                    Some(index) => {
                        let filter = self.filters.get(index).map_or("", String::as_str);
                        Err(Error::user(format!("{} refuses the subscription `{filter}`", self.place))
                            .hint("is the filter valid, and may the account read it?"))
                    }
                    None => Ok(()),
                }
            }
            Incoming::Publish(message) => {
                let handed = self.hand_over(&message, sink);
                self.unacknowledged.push(message);
                handed
            }
            _ => Ok(()),
        }
    }

    fn hand_over(&mut self, message: &Publish, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let recv_ts = clock::now();
        let dead_letter = |reason: String, place: &str| DeadLetter {
            stage: Stage::Source,
            origin: format!("{place}/{}", message.topic),
            reason,
            key: String::new(),
            kind: Kind::Reading.name().to_owned(),
            raw: message.payload.to_vec(),
            ..DeadLetter::default()
        };
        let Ok(text) = std::str::from_utf8(&message.payload) else {
            return sink(Event::Dead(dead_letter("not UTF-8".to_owned(), &self.place)));
        };
        if text.trim().is_empty() {
            return sink(Event::Dead(dead_letter("an empty message".to_owned(), &self.place)));
        }
        let names: Vec<String> =
            (1..=message.topic.split('/').count()).map(|n| format!("topic.{n}")).collect();
        let mut known = vec![field("topic", &message.topic)];
        known.extend(names.iter().zip(message.topic.split('/')).map(|(name, level)| field(name, level)));
        let (mut payload, mut failed, mut reasons) = (std::mem::take(&mut self.payload), None, Vec::new());
        for line in text.lines() {
            self.decoder.line_with(&known, line, recv_ts, &mut |reading| match reading {
                Ok(_) if failed.is_some() => {}
                Ok(reading) => {
                    payload.clear();
                    json::encode(&Record::Reading(reading), &mut payload);
                    failed = sink(event(reading.series, recv_ts, &payload)).err();
                }
                Err(reason) => reasons.push(reason),
            });
        }
        self.payload = payload;
        if let Some(error) = failed {
            return Err(error);
        }
        reasons.into_iter().try_for_each(|reason| sink(Event::Dead(dead_letter(reason, &self.place))))
    }

    /// Errors are those that waiting cannot help; after others it reconnects.
    fn disconnected(&mut self, error: &ConnectionError, stop: &CancelToken) -> Result<()> {
        use ConnectReturnCode::{BadClientId, BadUserNamePassword, NotAuthorized, RefusedProtocolVersion};
        if let ConnectionError::ConnectionRefused(
            code @ (BadClientId | BadUserNamePassword | NotAuthorized | RefusedProtocolVersion),
        ) = error
        {
            return Err(Error::user(format!("{} refuses the connection: {code:?}", self.place))
                .hint("set source.mqtt.username and TAPELINE__SOURCE__MQTT__PASSWORD"));
        }
        self.connected = false;
        let wait = self.backoff.wait();
        METRICS.retried(Port::Source);
        tracing::warn!("{}: {error}; reconnecting in {:.1} s", self.place, wait.as_secs_f64());
        stop.sleep(wait);
        Ok(())
    }
}

fn field<'a>(name: &'a str, text: &'a str) -> Field<'a> {
    Field { name: name.into(), text: text.into(), class: Some(ValueType::Text) }
}

fn event<'e>(symbol: &'e str, recv_ts: UnixNanos, payload: &'e [u8]) -> Event<'e> {
    Event::Record { kind: Kind::Reading, symbol, recv_ts, payload }
}

impl Source for Mqtt {
    fn resume(&mut self, _: &Positions) -> Result<u64> {
        // The broker knows what is not acknowledged.
        Ok(0)
    }

    fn next(&mut self, stop: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        // A connection in the making must not be given up every few milliseconds.
        let mut wait = if self.connected { WAIT } else { CONNECT };
        while let Some(packet) = self.early.pop_front() {
            self.incoming(packet, sink)?;
        }
        for _ in 0..AT_ONCE {
            if stop.is_cancelled() {
                break;
            }
            match self.connection.recv_timeout(wait) {
                Ok(Ok(rumqttc::Event::Incoming(packet))) => {
                    let is_message = matches!(packet, Incoming::Publish(_));
                    self.incoming(packet, sink)?;
                    if is_message {
                        // What else has come already, and then they are acknowledged.
                        wait = Duration::from_millis(1);
                    }
                }
                Ok(Ok(rumqttc::Event::Outgoing(_))) => {}
                Ok(Err(error)) => {
                    self.disconnected(&error, stop)?;
                    break;
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::internal(format!("{}: the client ended", self.place)));
                }
            }
        }
        Ok(true)
    }

    fn awaits_acknowledgement(&self) -> bool {
        !self.unacknowledged.is_empty()
    }

    fn acknowledge(&mut self) -> Result<()> {
        let mut left = 0;
        for message in self.unacknowledged.drain(..).filter(|message| message.qos != QoS::AtMostOnce) {
            let queued = self.client.try_ack(&message);
            queued.map_err(|error| Error::internal(format!("{}: acknowledge: {error}", self.place)))?;
            left += 1;
        }
        // Out of here before anything else: an acknowledgement that is not sent has the message delivered again.
        let end = Instant::now() + ACKNOWLEDGE;
        while left > 0 && Instant::now() < end {
            match self.connection.recv_timeout(WAIT) {
                Ok(Ok(rumqttc::Event::Outgoing(Outgoing::PubAck(_)))) => left -= 1,
                Ok(Ok(rumqttc::Event::Outgoing(_))) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Ok(rumqttc::Event::Incoming(packet))) => self.early.push_back(packet),
                // The next call connects again.
                Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => {
                    self.connected = false;
                    break;
                }
            }
        }
        Ok(())
    }

    fn positions(&mut self) -> Positions {
        Positions::new()
    }

    fn size(&self) -> Option<u64> {
        None
    }

    fn describe(&self) -> String {
        format!("{}/{} ({})", self.place, self.filters.join(","), self.feed)
    }
}
