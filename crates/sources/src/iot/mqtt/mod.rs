//! Readings from an MQTT broker (3.1.1 or 5, with TLS or without), at least once.
//!
//! Subscriptions are of QoS 1 in a persistent session, and a message is acknowledged to the broker only after the topic
//! has acknowledged its readings: whoever dies in between, the broker delivers it again, and its readings have the
//! same identity. Many brokers have few messages in flight to one client (Mosquitto: 20, `max_inflight_messages`); that,
//! and how fast the topic acknowledges, bounds the rate.

mod address;
mod session;
mod sparkplug;
mod tls;

use crate::settings::MqttAccount;
use address::{Address, Decoder};
use market::codec::json;
use market::codec::lines::Field;
use market::reading::ValueType;
use market::{Kind, Record, UnixNanos};
use ports::cancel::{Backoff, CancelToken};
use ports::dead_letter::{DeadLetter, Stage};
use ports::gap::Gap;
use ports::metrics::{METRICS, Port};
use ports::source::{Event, Positions, Source};
use ports::{Error, Result, clock};
pub use rumqttc::tokio_native_tls::native_tls::TlsConnector;
use session::{Failure, Login, Message, Report, Session};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Messages taken before they are acknowledged, and how long they are collected.
const AT_ONCE: usize = 4_096;
const COLLECT: Duration = Duration::from_millis(50);
/// How long to wait for a message before other duties are looked after.
const WAIT: Duration = Duration::from_millis(50);
/// How long connecting may take: longer than the client's own limit.
const CONNECT: Duration = Duration::from_secs(10);
/// Largest message that is read as text, as of a line in a file.
const LONGEST: usize = 1 << 20;
/// How long acknowledgements may take to leave.
const ACKNOWLEDGE: Duration = Duration::from_secs(1);

/// The TLS of `mqtts://`, for other clients of the same broker.
///
/// # Errors
/// A file cannot be read or has the wrong content.
pub fn tls_connector(settings: &MqttAccount) -> Result<TlsConnector> {
    tls::connector(&settings.tls)
}

/// Opens `mqtt://HOST[:PORT]/FILTER[,FILTER]?format=…&…`, or the same with `mqtts://`; `None` for other URLs.
///
/// # Errors
/// The URL names no host or filter, or an option or a file of the TLS settings is unknown or wrong.
pub fn open(url: &str, settings: &MqttAccount) -> Option<Result<Mqtt>> {
    let (scheme, rest) = url.split_once("://")?;
    match scheme {
        "mqtt" => Some(open_with("mqtt", rest, settings, None)),
        "mqtts" => {
            Some(tls_connector(settings).and_then(|tls| open_with("mqtts", rest, settings, Some(tls))))
        }
        _ => None,
    }
}

fn open_with(
    scheme: &'static str,
    rest: &str,
    settings: &MqttAccount,
    tls: Option<TlsConnector>,
) -> Result<Mqtt> {
    let Address { host, port, place, filters, feed, client_id, version, decoder } =
        Address::parse(scheme, rest)?;
    let account = (!settings.username.is_empty())
        .then(|| (settings.username.clone(), settings.password.reveal().to_owned()));
    let is_tls = tls.is_some();
    let login = Login { client_id, host, port, account, tls };
    Ok(Mqtt {
        place,
        is_tls,
        feed,
        decoder,
        filters,
        session: Session::new(version, login)?,
        connected: false,
        is_subscribed: false,
        was_connected: false,
        backoff: Backoff::default(),
        unacknowledged: Vec::new(),
        early: VecDeque::new(),
        payload: Vec::new(),
    })
}

/// A session with a broker.
pub struct Mqtt {
    place: String,
    is_tls: bool,
    feed: String,
    decoder: Decoder,
    filters: Vec<String>,
    session: Session,
    connected: bool,
    /// Whether the broker has accepted the subscription of this connection.
    is_subscribed: bool,
    /// Whether the broker has ever accepted the connection.
    was_connected: bool,
    backoff: Backoff,
    /// Emitted, but not yet acknowledged by the topic.
    unacknowledged: Vec<Message>,
    /// What came while acknowledgements were being sent.
    early: VecDeque<Report>,
    payload: Vec<u8>,
}

impl Mqtt {
    /// Processes what the session reports; errors are those that waiting cannot help.
    fn process(&mut self, report: Report, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        match report {
            Report::Connected => {
                // The broker delivers them again; in a new session their numbers may be those of other messages.
                self.unacknowledged.clear();
                if !self.connected {
                    tracing::info!("connected to {}", self.place);
                }
                (self.connected, self.was_connected, self.is_subscribed) = (true, true, false);
                self.backoff.reset();
                if let Decoder::Sparkplug(nodes) = &mut self.decoder {
                    nodes.connected(sink)?;
                }
                // Also where the broker kept the session: its filters may have been others.
                let subscribed = self.session.subscribe(&self.filters);
                subscribed.map_err(|error| Error::internal(format!("{}: {error}", self.place)))
            }
            Report::Subscribed(None) => {
                self.is_subscribed = true;
                Ok(())
            }
            Report::Subscribed(Some((index, why))) => {
                let filter = self.filters.get(index).map_or("", String::as_str);
                Err(Error::user(format!("{} refuses the subscription `{filter}`{why}", self.place))
                    .hint("is the filter valid, and may the account read it?"))
            }
            Report::Message(message) => {
                let handed = self.hand_over(&message, sink);
                self.unacknowledged.push(message);
                handed
            }
            _ => Ok(()),
        }
    }

    fn hand_over(&mut self, message: &Message, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let recv_ts = clock::now();
        let topic = message.topic();
        let dead_letter = |reason: String, place: &str| DeadLetter {
            stage: Stage::Source,
            origin: format!("{place}/{topic}"),
            reason,
            key: String::new(),
            kind: Kind::READING.name().to_owned(),
            raw: message.payload().to_vec(),
            ..DeadLetter::default()
        };
        let decoder = match &mut self.decoder {
            Decoder::Lines(decoder) => decoder,
            Decoder::Sparkplug(nodes) => {
                return nodes.message(&topic, message.payload(), message.is_repeated(), sink);
            }
        };
        let length = message.payload().len();
        if length > LONGEST {
            let reason = format!("a message of {length} bytes, expected at most {LONGEST}");
            return sink(Event::Dead(dead_letter(reason, &self.place)));
        }
        let Ok(text) = std::str::from_utf8(message.payload()) else {
            return sink(Event::Dead(dead_letter("not UTF-8".to_owned(), &self.place)));
        };
        if text.trim().is_empty() {
            return sink(Event::Dead(dead_letter("an empty message".to_owned(), &self.place)));
        }
        let mut known = vec![field("topic".into(), &topic)];
        known.extend((1..).map(level_name).zip(topic.split('/')).map(|(name, level)| field(name, level)));
        let (mut payload, mut failed, mut reasons) = (std::mem::take(&mut self.payload), None, Vec::new());
        for line in text.lines() {
            decoder.line_with(&known, line, recv_ts, &mut |reading| match reading {
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

    /// Sends the rebirth requests that are due. One that the session does not take is sent again later.
    fn request_rebirths(&mut self) {
        let Decoder::Sparkplug(nodes) = &mut self.decoder else { return };
        if !self.connected || !self.is_subscribed {
            return;
        }
        for (topic, payload) in nodes.requests(Instant::now()) {
            if let Err(error) = self.session.publish(topic, payload) {
                tracing::warn!("{}: request a rebirth: {error}", self.place);
            }
        }
    }

    /// Errors are those that waiting cannot help; after others it reconnects.
    fn disconnected(&mut self, failure: Failure, stop: &CancelToken) -> Result<()> {
        let why = match failure {
            Failure::Refused(code) => {
                return Err(Error::user(format!("{} refuses the connection: {code}", self.place))
                    .hint("set `source.mqtt.username` and TAPELINE__SOURCE__MQTT__PASSWORD"));
            }
            // A certificate that was accepted before may be in renewal at the broker.
            Failure::Tls(why) if !self.was_connected => {
                let hint = handshake_hint(&why);
                return Err(Error::user(format!("{}: {why}", self.place)).hint(hint));
            }
            Failure::Tls(why) => why,
            Failure::Lost(why) if !self.was_connected && !self.is_tls => {
                format!("{why} (a port that demands TLS needs mqtts://)")
            }
            Failure::Lost(why) => why,
        };
        self.connected = false;
        let wait = self.backoff.wait();
        METRICS.retried(Port::Source);
        tracing::warn!("{}: {why}; reconnecting in {:.1} s", self.place, wait.as_secs_f64());
        stop.sleep(wait);
        Ok(())
    }
}

/// What to set after a failed handshake.
fn handshake_hint(why: &str) -> String {
    let has = |part: &str| why.to_ascii_lowercase().contains(part);
    if has("alert unknown ca") || has("alert bad certificate") || has("alert certificate unknown") {
        "the broker does not trust the client certificate: set `source.mqtt.tls.certificate` and `source.mqtt.tls.key` to those of \
         an authority that it trusts"
            .to_owned()
    } else if has("wrong version number") || has("unexpected eof") || has("connection reset") {
        "the port does not speak TLS: use mqtt://, or the broker's TLS port".to_owned()
    } else {
        ports::tls::handshake_hint("source.mqtt.tls", why)
    }
}

fn field<'a>(name: Cow<'a, str>, text: &'a str) -> Field<'a> {
    Field { name, text: text.into(), class: Some(ValueType::Text) }
}

/// The name of a level of a topic, from 1 on, in templates.
fn level_name(level: usize) -> Cow<'static, str> {
    const NAMES: [&str; 8] =
        ["topic.1", "topic.2", "topic.3", "topic.4", "topic.5", "topic.6", "topic.7", "topic.8"];
    NAMES.get(level - 1).map_or_else(|| format!("topic.{level}").into(), |name| (*name).into())
}

fn event<'e>(symbol: &'e str, recv_ts: UnixNanos, payload: &'e [u8]) -> Event<'e> {
    Event::Record { kind: Kind::READING, symbol, recv_ts, payload }
}

impl Source for Mqtt {
    fn resume(&mut self, positions: &Positions) -> Result<u64> {
        // The broker knows what is not acknowledged.
        if let Decoder::Sparkplug(nodes) = &mut self.decoder {
            let known = nodes.resume(positions);
            tracing::debug!("{known} edge nodes are known from earlier runs");
        }
        Ok(0)
    }

    fn needs_gaps(&self) -> bool {
        matches!(self.decoder, Decoder::Sparkplug(_))
    }

    fn resume_gaps(&mut self, gaps: Vec<Gap>) {
        if let Decoder::Sparkplug(nodes) = &mut self.decoder {
            nodes.resume_gaps(gaps);
        }
    }

    fn next(&mut self, stop: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        // A connection in the making must not be given up every few milliseconds.
        let mut wait = if self.connected { WAIT } else { CONNECT };
        while let Some(report) = self.early.pop_front() {
            self.process(report, sink)?;
        }
        let start = Instant::now();
        for _ in 0..AT_ONCE {
            if stop.is_cancelled() || (wait < WAIT && start.elapsed() > COLLECT) {
                break;
            }
            match self.session.receive(wait) {
                Report::Timeout => break,
                Report::Failed(failure) => {
                    self.disconnected(failure, stop)?;
                    break;
                }
                Report::Ended => {
                    return Err(Error::internal(format!("{}: the MQTT client stopped", self.place)));
                }
                report => {
                    let is_message = matches!(report, Report::Message(_));
                    self.process(report, sink)?;
                    if is_message {
                        // What else has come already, and then they are acknowledged.
                        wait = Duration::from_millis(1);
                    }
                }
            }
        }
        self.request_rebirths();
        Ok(true)
    }

    fn awaits_acknowledgement(&self) -> bool {
        !self.unacknowledged.is_empty()
    }

    fn acknowledge(&mut self) -> Result<()> {
        let mut messages = std::mem::take(&mut self.unacknowledged);
        messages.retain(Message::is_acknowledged);
        let mut left = match self.session.acknowledge(&messages, ACKNOWLEDGE) {
            Ok(left) => left,
            Err(why) => {
                // The broker delivers them again.
                tracing::debug!("{}: acknowledge: {why}", self.place);
                0
            }
        };
        messages.clear();
        self.unacknowledged = messages;
        // Out of here before anything else: an acknowledgement that is not sent has the message delivered again.
        let end = Instant::now() + ACKNOWLEDGE;
        while left > 0 && Instant::now() < end {
            match self.session.receive(WAIT) {
                Report::Acknowledged => left -= 1,
                Report::Other | Report::Timeout => {}
                // The next call connects again.
                Report::Failed(_) | Report::Ended => {
                    self.connected = false;
                    break;
                }
                report => self.early.push_back(report),
            }
        }
        Ok(())
    }

    fn positions(&mut self) -> Positions {
        match &mut self.decoder {
            Decoder::Lines(_) => Positions::new(),
            Decoder::Sparkplug(nodes) => nodes.positions(),
        }
    }

    fn has_urgent_positions(&self) -> bool {
        matches!(&self.decoder, Decoder::Sparkplug(nodes) if nodes.has_urgent_positions())
    }

    fn size(&self) -> Option<u64> {
        None
    }

    fn describe(&self) -> String {
        format!("{}/{} ({})", self.place, self.filters.join(","), self.feed)
    }
}
