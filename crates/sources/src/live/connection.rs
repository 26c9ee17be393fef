//! The socket: connects, subscribes, enqueues each frame and does nothing else; reconnects by the vendor's
//! rules.

use super::deadline::Timed;
use super::vendor::{ConnectError, HandshakeStep, Vendor};
use crossbeam_channel::Sender;
use market::UnixNanos;
use ports::address::{of_url, resolve};
use ports::cancel::{Backoff, CancelToken};
use ports::metrics::{METRICS, Port};
use ports::proxy::ENVIRONMENT;
use ports::{Error, Result, clock};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

/// Event from the reading thread.
#[derive(Debug)]
pub(super) enum Wire {
    Connected,
    Frame(String, UnixNanos),
    Lost(String),
    Permanent(Error),
}

/// Request to close the connection and reconnect, with the reason.
#[derive(Debug, Clone, Default)]
pub(super) struct HangUp(Arc<Mutex<Option<String>>>);

impl HangUp {
    pub(super) fn ask(&self, cause: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause.to_owned());
    }

    fn taken(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Limit on connecting, and on the whole handshake up to the last acknowledgement.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection that lasted this long, or delivered this many frames, was stable.
const LIVED: Duration = Duration::from_secs(1);
const MANY: u64 = 50;
/// How often a quiet socket is interrupted for other work.
const LOOK: Duration = Duration::from_millis(100);
const PING: Duration = Duration::from_secs(10);
/// Larger frames are refused: a frame of 100 quotes has 20 kB. Limit also on all that arrives before the
/// subscription is acknowledged.
const LARGEST: usize = 16 << 20;

type Socket = WebSocket<MaybeTlsStream<Timed>>;

/// Starts the thread; it ends when cancelled or when the receiver is gone, and with an error if there is no first connection
/// within `first`.
pub(super) fn start(
    vendor: Arc<dyn Vendor>,
    hang_up: HangUp,
    stop: CancelToken,
    wires: Sender<Wire>,
    first: Option<Duration>,
) -> Result<()> {
    let run = move || {
        let mut backoff = Backoff::default();
        let (begun, mut stood) = (Instant::now(), false);
        while !stop.is_cancelled() {
            let wire = match connect(vendor.as_ref()) {
                Ok((mut socket, early)) => {
                    tracing::info!(at = vendor.describe(), "connected and subscribed");
                    hang_up.taken();
                    stood = true;
                    let events = std::iter::once(Wire::Connected).chain(early);
                    if events.into_iter().any(|wire| wires.send(wire).is_err()) {
                        return;
                    }
                    let (since, mut frames) = (Instant::now(), 0);
                    let ended = read(vendor.as_ref(), &mut socket, &hang_up, &stop, &wires, &mut frames);
                    drop(socket);
                    // One that is lost immediately does not reset the back-off.
                    if since.elapsed() > LIVED || frames > MANY {
                        backoff.reset();
                    }
                    ended
                }
                Err(refusal) => Some(refusal),
            };
            let error = match wire {
                Some(ConnectError::Permanent(error)) => {
                    let _ = wires.send(Wire::Permanent(error));
                    return;
                }
                Some(ConnectError::Retryable(error)) => error,
                None => return,
            };
            let cause = vendor.account().mask().displayed(error.what());
            if !stood && first.is_some_and(|limit| begun.elapsed() >= limit) {
                let _ = wires.send(Wire::Permanent(
                    Error::external(format!("connect to {}: {cause}", vendor.describe())).hint(
                        "is the address right and reachable? without --wait, tapeline retries indefinitely",
                    ),
                ));
                return;
            }
            // The receiver is gone: nothing is lost.
            if wires.send(Wire::Lost(cause.clone())).is_err() {
                return;
            }
            METRICS.retried(Port::Source);
            tracing::warn!(cause, tries = backoff.tries(), "stream disconnected; reconnecting");
            let left = first.filter(|_| !stood).map(|limit| limit.saturating_sub(begun.elapsed()));
            stop.sleep(backoff.wait().min(left.unwrap_or(Duration::MAX)));
        }
    };
    std::thread::Builder::new()
        .name("stream".to_owned())
        .spawn(run)
        .map(drop)
        .map_err(|error| Error::internal(format!("start the thread that reads the stream: {error}")))
}

/// A connection, and the frames received before it was subscribed.
type Opened = (Socket, Vec<Wire>);

fn connect(vendor: &dyn Vendor) -> std::result::Result<Opened, ConnectError> {
    let url = vendor.url();
    let (host, port) = of_url(&url);
    let stream = match ENVIRONMENT.of_url(&url).map_err(ConnectError::Permanent)? {
        Some(proxy) => proxy.connect(&host, port, PATIENCE).map_err(|error| {
            if error.retryable() { ConnectError::Retryable(error) } else { ConnectError::Permanent(error) }
        })?,
        None => direct(&host, port)?,
    };
    let timed = stream.set_nodelay(true).and_then(|()| Timed::new(stream, PATIENCE));
    subscribe(vendor, timed.map_err(|error| failed("set up the socket", error))?)
}

/// A failure of the network, after which a retry can help.
fn failed(doing: &str, error: impl std::error::Error + Send + Sync + 'static) -> ConnectError {
    ConnectError::Retryable(Error::external(format!("{doing}: {error}")).because(error))
}

fn direct(host: &str, port: u16) -> std::result::Result<TcpStream, ConnectError> {
    let addresses = resolve(host, port).map_err(ConnectError::retryable)?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    let none = || ConnectError::retryable("resolve the host: no address");
    Err(last.map_or_else(none, |error| failed("connect", error)))
}

fn subscribe(vendor: &dyn Vendor, stream: Timed) -> std::result::Result<Opened, ConnectError> {
    let config = tungstenite::protocol::WebSocketConfig::default()
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST));
    let no_response = || {
        ConnectError::retryable(format!("handshake: no complete response within {} s", PATIENCE.as_secs()))
    };
    let (mut socket, _) = tungstenite::client_tls_with_config(vendor.url(), stream, Some(config), None)
        .map_err(|error| match error {
            tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response)) => {
                vendor.status(response.status().as_u16())
            }
            tungstenite::HandshakeError::Failure(tungstenite::Error::Io(error)) if is_timeout(&error) => {
                no_response()
            }
            tungstenite::HandshakeError::Failure(error) => failed("handshake", error),
            tungstenite::HandshakeError::Interrupted(_) => no_response(),
        })?;
    let lost = |error: tungstenite::Error| match error {
        tungstenite::Error::Io(error) if is_timeout(&error) => ConnectError::retryable(format!(
            "the subscription was not acknowledged within {} s",
            PATIENCE.as_secs()
        )),
        error => failed("during the handshake", error),
    };
    let (mut early, mut early_bytes, mut acknowledged) = (Vec::new(), 0, 0);
    for step in vendor.handshake() {
        match step {
            HandshakeStep::Send(line) => socket.send(Message::text(line)).map_err(lost)?,
            HandshakeStep::Expect(wanted) => {
                while acknowledged < wanted {
                    let message = socket.read().map_err(lost)?;
                    early_bytes += message.len() + size_of::<Wire>();
                    if early_bytes > LARGEST {
                        return Err(ConnectError::retryable(format!(
                            "{early_bytes} bytes arrived, and no acknowledgement of the subscription"
                        )));
                    }
                    match message {
                        Message::Text(text) => {
                            acknowledged += vendor.acknowledgements(&text)?;
                            // The first symbol's data may arrive before the last acknowledgement; and
                            // acknowledgements may be numbered.
                            early.push(Wire::Frame(text.to_string(), clock::now()));
                        }
                        Message::Binary(bytes) => {
                            let text = text_of(&bytes).map_err(ConnectError::retryable)?;
                            acknowledged += vendor.acknowledgements(text)?;
                            early.push(Wire::Frame(text.to_owned(), clock::now()));
                        }
                        Message::Close(_) => {
                            return Err(ConnectError::retryable("closed during the handshake".to_owned()));
                        }
                        _ => {}
                    }
                }
                acknowledged -= wanted;
            }
        }
    }
    let stream = match socket.get_mut() {
        MaybeTlsStream::Plain(stream) => Some(stream),
        MaybeTlsStream::Rustls(stream) => Some(&mut stream.sock),
        _ => None,
    };
    if let Some(stream) = stream {
        stream.set_read_timeout(LOOK).map_err(|error| failed("set up the socket", error))?;
    }
    Ok((socket, early))
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// JSON is text, even if a vendor sends it in binary frames.
fn text_of(bytes: &[u8]) -> std::result::Result<&str, String> {
    std::str::from_utf8(bytes)
        .map_err(|error| format!("a binary frame of {} bytes is not JSON text: {error}", bytes.len()))
}

/// Enqueues frames until the connection is lost, and returns why; `None` when it is to end.
fn read(
    vendor: &dyn Vendor,
    socket: &mut Socket,
    hang_up: &HangUp,
    stop: &CancelToken,
    wires: &Sender<Wire>,
    frames: &mut u64,
) -> Option<ConnectError> {
    let retryable = |cause: String| Some(ConnectError::retryable(cause));
    let (mut pinged, mut last_seen) = (Instant::now(), Instant::now());
    loop {
        if stop.is_cancelled() {
            let _ = socket.close(None);
            return None;
        }
        if let Some(cause) = hang_up.taken() {
            return retryable(cause);
        }
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                last_seen = Instant::now();
                *frames += 1;
                let recv_ts = clock::now();
                let bytes = message.into_data();
                let text = match text_of(&bytes) {
                    Ok(text) => text,
                    Err(reason) => return retryable(reason),
                };
                if let Some(refusal) = vendor.stream_error(text) {
                    return Some(refusal);
                }
                if wires.send(Wire::Frame(text.to_owned(), recv_ts)).is_err() {
                    return None;
                }
            }
            Ok(Message::Close(frame)) => {
                let why = frame.map_or_else(|| "no reason".to_owned(), |frame| frame.to_string());
                return retryable(format!("the vendor closed the connection: {why}"));
            }
            Ok(_) => last_seen = Instant::now(),
            Err(tungstenite::Error::Io(error)) if is_timeout(&error) => {}
            Err(error) => return Some(failed("connection lost", error)),
        }
        if last_seen.elapsed() > 2 * PING {
            return retryable(format!("no pong for {} s", last_seen.elapsed().as_secs()));
        }
        if pinged.elapsed() > PING {
            pinged = Instant::now();
            let sent = socket
                .send(Message::Ping(Vec::new().into()))
                .and_then(|()| vendor.keepalive().map_or(Ok(()), |line| socket.send(Message::text(line))));
            if let Err(error) = sent {
                return Some(failed("connection lost", error));
            }
        }
    }
}
