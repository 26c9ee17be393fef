//! A simulated device: plays recorded readings, a line each, into a file or to an MQTT broker.

use ports::cancel::CancelToken;
use ports::error::io;
use ports::secret::Secret;
use ports::{Error, Result};
pub use rumqttc::tokio_native_tls::native_tls::TlsConnector;
use rumqttc::{
    Client, Connection, ConnectionError, Event, Incoming, MqttOptions, QoS, RecvTimeoutError,
    TlsConfiguration, Transport,
};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the broker may take to reply.
const REPLY: Duration = Duration::from_secs(10);
/// Messages that the broker has not acknowledged yet.
const IN_FLIGHT: usize = 50;
/// Requests that may wait for the connection; more than are ever in flight.
const REQUESTS: usize = 256;

/// One reading as the device sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceLine {
    /// Name of the sensor: the last levels of the message's topic.
    pub sensor: String,
    /// The message, without a line end.
    pub payload: String,
}

/// A broker, and where on it the device publishes.
#[derive(Clone)]
pub struct Broker {
    host: String,
    port: u16,
    is_tls: bool,
    /// Name and password.
    account: Option<(String, Secret)>,
    tls: Option<TlsConnector>,
    /// First levels of the topics.
    prefix: String,
    /// Client id of whoever receives the messages.
    receiver: String,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("address", &self.url())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Reads `mqtt://HOST[:PORT]`, or `mqtts://` for TLS. Topics begin with `prefix`; `receiver` is the client id that receives the
    /// messages.
    ///
    /// # Errors
    /// The URL has another form.
    pub fn parse(url: &str, prefix: &str, receiver: &str) -> Result<Self> {
        let bad = |what: &str| {
            Error::usage(format!("`{url}`: {what}"))
                .hint("--mqtt mqtt://HOST[:PORT], as mqtt://127.0.0.1:1883")
        };
        if url.contains('@') {
            return Err(Error::usage("credentials in an MQTT URL are not supported")
                .hint("set `source.mqtt.username` and `source.mqtt.password`"));
        }
        let (place, is_tls) = match (url.strip_prefix("mqtt://"), url.strip_prefix("mqtts://")) {
            (Some(place), _) => (place, false),
            (_, Some(place)) => (place, true),
            _ => return Err(bad("expected a URL that begins with mqtt:// or mqtts://")),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['/', '?']) {
            return Err(bad("expected host and port only"));
        }
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => {
                (host, port.parse().map_err(|_| bad("expected a port number behind the colon"))?)
            }
            None => (place, if is_tls { 8_883 } else { 1_883 }),
        };
        if host.is_empty() {
            return Err(bad("expected a host"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            is_tls,
            account: None,
            tls: None,
            prefix: prefix.to_owned(),
            receiver: receiver.to_owned(),
        })
    }

    /// Whether the URL demands TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Connects with a name and password, and with TLS.
    #[must_use]
    pub fn with_login(self, account: Option<(String, Secret)>, tls: Option<TlsConnector>) -> Self {
        Self { account, tls, ..self }
    }

    /// `mqtt://HOST:PORT` or `mqtts://HOST:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_tls { "mqtts" } else { "mqtt" }, self.address())
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Filter that all of the device's topics match.
    #[must_use]
    pub fn filter(&self) -> String {
        format!("{}/#", self.prefix)
    }

    /// Has the broker keep the messages for the receiver from now on, until it comes.
    ///
    /// # Errors
    /// The broker is unreachable, or refuses connection or subscription.
    pub fn keep_for_receiver(&self) -> Result<()> {
        let (client, mut connection) = self.connect(&self.receiver, false)?;
        let subscribed = client.try_subscribe(self.filter(), QoS::AtLeastOnce);
        subscribed.map_err(|error| self.failed(&error))?;
        let reply = self.until(&mut connection, |packet| match packet {
            Incoming::SubAck(reply) => Some(reply.return_codes.first().copied()),
            _ => None,
        })?;
        if matches!(reply, Some(rumqttc::SubscribeReasonCode::Failure)) {
            return Err(Error::user(format!(
                "{} refuses the subscription `{}`",
                self.address(),
                self.filter()
            )));
        }
        Self::leave(&client, &mut connection);
        Ok(())
    }

    /// Removes the receiver's session from the broker.
    ///
    /// # Errors
    /// The broker is unreachable.
    pub fn forget_receiver(&self) -> Result<()> {
        let (client, mut connection) = self.connect(&self.receiver, true)?;
        Self::leave(&client, &mut connection);
        Ok(())
    }

    fn connect(&self, id: &str, clean: bool) -> Result<(Client, Connection)> {
        let mut options = MqttOptions::new(id, &self.host, self.port);
        options.set_clean_session(clean);
        if let Some((name, password)) = &self.account {
            options.set_credentials(name, password.reveal());
        }
        if let Some(tls) = &self.tls {
            options.set_transport(Transport::Tls(TlsConfiguration::NativeConnector(tls.clone())));
        }
        let (client, mut connection) = Client::new(options, REQUESTS);
        self.until(&mut connection, |packet| matches!(packet, Incoming::ConnAck(_)).then_some(()))?;
        Ok((client, connection))
    }

    /// Waits for a packet.
    fn until<T>(
        &self,
        connection: &mut Connection,
        mut fits: impl FnMut(&Incoming) -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + REPLY;
        loop {
            match connection.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Ok(Event::Incoming(packet))) => {
                    if let Some(found) = fits(&packet) {
                        return Ok(found);
                    }
                }
                Ok(Ok(Event::Outgoing(_))) => {}
                Ok(Err(error)) => return Err(self.disconnected(&error)),
                Err(_) => return Err(self.failed(&"no reply in 10 s")),
            }
        }
    }

    fn leave(client: &Client, connection: &mut Connection) {
        if client.try_disconnect().is_ok() {
            while let Ok(Ok(event)) = connection.recv_timeout(REPLY) {
                if matches!(event, Event::Outgoing(rumqttc::Outgoing::Disconnect)) {
                    break;
                }
            }
        }
    }

    fn disconnected(&self, error: &ConnectionError) -> Error {
        let failed = || Error::user(format!("MQTT broker {}: {error}", self.address()));
        match error {
            ConnectionError::ConnectionRefused(_) => {
                failed().hint("set `source.mqtt.username` and TAPELINE__SOURCE__MQTT__PASSWORD")
            }
            ConnectionError::Tls(_) => {
                failed().hint("set `source.mqtt.tls` (docs/readings.md); is it the broker's TLS port?")
            }
            _ => self.failed(error),
        }
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> Error {
        Error::user(format!("MQTT broker {}: {error}", self.address()))
            .hint("is a broker listening there? `mosquitto -p 1883` starts one; a port that demands TLS needs mqtts://")
    }
}

/// Where a device's readings go.
#[derive(Debug, Clone)]
pub enum Outlet {
    /// Appended to a file.
    File(PathBuf),
    /// Published, at least once.
    Broker(Broker),
}

/// Plays all lines, at most `rate` per second, until the outlet has them or `stop` is cancelled. Returns their number.
///
/// # Errors
/// The file cannot be written, or the broker is lost.
pub fn play(lines: &[DeviceLine], outlet: &Outlet, rate: f64, stop: &CancelToken) -> Result<usize> {
    match outlet {
        Outlet::File(path) => append(lines, path, rate, stop),
        Outlet::Broker(broker) => publish(lines, broker, rate, stop),
    }
}

/// Schedule of the lines.
struct Pace {
    start: Instant,
    rate: f64,
}

impl Pace {
    fn new(rate: f64) -> Self {
        Self { start: Instant::now(), rate }
    }

    /// Time until line `index` is played.
    fn wait(&self, index: usize) -> Duration {
        let due = Duration::try_from_secs_f64(index as f64 / self.rate).unwrap_or(Duration::MAX);
        due.saturating_sub(self.start.elapsed())
    }
}

fn append(lines: &[DeviceLine], path: &Path, rate: f64, stop: &CancelToken) -> Result<usize> {
    let mut file = File::options().append(true).create(true).open(path).map_err(io("open", path))?;
    let pace = Pace::new(rate);
    for (index, line) in lines.iter().enumerate() {
        stop.sleep(pace.wait(index));
        if stop.is_cancelled() {
            return Ok(index);
        }
        // One write per line: who follows the file never sees half of it for long.
        file.write_all(format!("{}\n", line.payload).as_bytes()).map_err(io("write", path))?;
    }
    Ok(lines.len())
}

fn publish(lines: &[DeviceLine], broker: &Broker, rate: f64, stop: &CancelToken) -> Result<usize> {
    let (client, mut connection) = broker.connect(&format!("{}-device", broker.receiver), true)?;
    let pace = Pace::new(rate);
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < lines.len() && !stop.is_cancelled() {
        let mut wait = Duration::from_millis(100);
        while let Some(line) = lines.get(sent).filter(|_| sent - acknowledged < IN_FLIGHT) {
            let due = pace.wait(sent);
            if !due.is_zero() {
                wait = wait.min(due);
                break;
            }
            let topic = format!("{}/{}", broker.prefix, line.sensor);
            let queued = client.try_publish(topic, QoS::AtLeastOnce, false, line.payload.as_bytes());
            queued.map_err(|error| broker.failed(&error))?;
            sent += 1;
        }
        match connection.recv_timeout(wait) {
            Ok(Ok(Event::Incoming(Incoming::PubAck(_)))) => acknowledged += 1,
            Ok(Ok(_)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Err(error)) => return Err(broker.disconnected(&error)),
            Err(RecvTimeoutError::Disconnected) => return Err(Error::internal("the MQTT client ended")),
        }
    }
    Broker::leave(&client, &mut connection);
    Ok(acknowledged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<DeviceLine> {
        (0..count).map(|n| DeviceLine { sensor: "s".to_owned(), payload: format!("{{\"n\":{n}}}") }).collect()
    }

    #[test]
    fn a_file_has_every_line_and_a_stopped_device_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ndjson");
        let stop = CancelToken::default();
        let outlet = Outlet::File(path.clone());
        assert_eq!(play(&lines(3), &outlet, 1e6, &stop).unwrap(), 3);
        assert_eq!(play(&lines(1), &outlet, 1e6, &stop).unwrap(), 1);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n{\"n\":0}\n");
        stop.cancel();
        assert_eq!(play(&lines(3), &outlet, 1e-9, &stop).unwrap(), 0);
    }

    #[test]
    fn what_is_wrong_with_a_broker_is_named() {
        for (url, part) in [
            ("kafka://h:9092", "begins with mqtt://"),
            ("mqtt://", "expected a host"),
            ("mqtt://h:x", "expected a port number"),
            ("mqtt://h/a", "expected host and port only"),
            ("mqtts://me:hush@h", "credentials in an MQTT URL are not supported"),
        ] {
            let error = Broker::parse(url, "p", "r").unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let broker = Broker::parse(&format!("mqtt://127.0.0.1:{port}/"), "p", "r").unwrap();
        assert_eq!(broker.address(), format!("127.0.0.1:{port}"));
        assert_eq!(Broker::parse("mqtts://h", "p", "r").unwrap().url(), "mqtts://h:8883");
        let error = broker.keep_for_receiver().unwrap_err();
        assert!(error.to_string().contains(&format!("MQTT broker 127.0.0.1:{port}: ")), "{error}");
    }
}
