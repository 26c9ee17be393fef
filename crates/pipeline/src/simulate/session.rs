//! One stream connection.

use super::faults::Fault;
use super::{Shared, alpaca};
use crate::stop::Stop;
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::{Message, WebSocket};

/// Frames that wait for a client at the most; then it is too slow.
const QUEUE: usize = 2_048;
const CHANNELS: [&str; 2] = ["trades", "quotes"];

/// Items to send, and what goes wrong with them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Out {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) fault: Option<Fault>,
}

/// What the player knows of a session.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    queue: Sender<Out>,
    subscribed: Arc<AtomicBool>,
    slow: Arc<AtomicBool>,
}

impl Handle {
    pub(super) fn subscribed(&self) -> bool {
        self.subscribed.load(Ordering::Acquire)
    }

    /// False when the client is too slow.
    pub(super) fn offer(&self, out: Out) -> bool {
        !matches!(self.queue.try_send(out), Err(crossbeam_channel::TrySendError::Full(_)))
    }

    pub(super) fn give(&self, out: Out, stop: &Stop) -> bool {
        while !stop.asked() {
            match self.queue.send_timeout(out, Duration::from_millis(50)) {
                Err(SendTimeoutError::Timeout(_)) => {}
                _ => break,
            }
        }
        true
    }

    pub(super) fn too_slow(&self) {
        self.slow.store(true, Ordering::Release);
    }
}

/// Why a session ends; nothing is said of it to the client but what was sent.
struct Ended;
type Step = Result<(), Ended>;

struct Session<'a> {
    shared: &'a Shared,
    socket: WebSocket<TcpStream>,
    packed: bool,
    authenticated: bool,
    /// Symbols of each of [`CHANNELS`].
    symbols: [BTreeSet<String>; 2],
    handle: Handle,
    /// No record is sent any more.
    stalled: bool,
}

/// Serves a connection until it ends.
#[allow(clippy::result_large_err, reason = "the library's own type")]
pub(super) fn run(shared: &Shared, stream: TcpStream) {
    let refusal = {
        let mut refuse = shared.refuse.lock().unwrap_or_else(PoisonError::into_inner);
        (!refuse.is_empty()).then(|| refuse.remove(0))
    };
    let mut packed = false;
    let greeted = tungstenite::accept_hdr(stream, |request: &Request, response: Response| {
        packed = request.headers().get("content-type").is_some_and(|value| value == "application/msgpack");
        if refusal == Some(Fault::TooMany) {
            let mut refused = ErrorResponse::new(Some("too many requests".to_owned()));
            *refused.status_mut() = tungstenite::http::StatusCode::TOO_MANY_REQUESTS;
            return Err(refused);
        }
        Ok(response)
    });
    let Ok(socket) = greeted else { return };
    let (queue, outs) = crossbeam_channel::bounded(QUEUE);
    let handle = Handle { queue, subscribed: Arc::default(), slow: Arc::default() };
    let mut session = Session {
        shared,
        socket,
        packed,
        authenticated: false,
        symbols: Default::default(),
        handle: handle.clone(),
        stalled: false,
    };
    let full = {
        let mut sessions = shared.sessions();
        let full = sessions.len() >= shared.settings.connections || refusal == Some(Fault::Limit);
        if !full {
            sessions.push(handle.clone());
        }
        full
    };
    if full {
        let _ = session.error(406, "connection limit exceeded");
        let _ = session.socket.close(None);
        let _ = session.socket.flush();
        return;
    }
    let _ = session.talk(&outs);
    shared.sessions().retain(|other| !Arc::ptr_eq(&other.subscribed, &handle.subscribed));
}

impl Session<'_> {
    fn say(&mut self, frame: &str) -> Step {
        let message = if self.packed {
            Message::binary(alpaca::packed(frame))
        } else {
            Message::text(frame.to_owned())
        };
        self.socket.send(message).map_err(|_| Ended)
    }

    fn error(&mut self, code: u32, text: &str) -> Step {
        self.say(&json!([{"T": "error", "code": code, "msg": text}]).to_string())
    }

    fn talk(&mut self, outs: &Receiver<Out>) -> Step {
        self.say(r#"[{"T":"success","msg":"connected"}]"#)?;
        self.socket.get_ref().set_read_timeout(Some(Duration::from_millis(1))).map_err(|_| Ended)?;
        let mut wait = Duration::from_millis(2);
        while !self.shared.stop.asked() {
            if self.handle.slow.load(Ordering::Acquire) {
                self.error(407, "slow client")?;
                return Err(Ended);
            }
            // Many frames between two looks at what the client says.
            for _ in 0..64 {
                match outs.recv_timeout(wait) {
                    Ok(out) => self.send(out)?,
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return Err(Ended),
                }
                wait = Duration::ZERO;
            }
            wait = Duration::from_millis(2);
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let said = serde_json::from_str(&text).ok();
                    self.heard(said)?;
                }
                Ok(Message::Binary(bytes)) => self.heard(alpaca::unpacked(&bytes))?,
                Ok(Message::Close(_)) => return Err(Ended),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) => {}
                Err(_) => return Err(Ended),
            }
        }
        let _ = self.socket.close(None);
        Ok(())
    }

    fn heard(&mut self, said: Option<Value>) -> Step {
        let Some(said) = said else { return self.error(400, "invalid syntax") };
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        match text("action").as_str() {
            "auth" if self.authenticated => self.error(403, "already authenticated"),
            "auth" if self.shared.admits(&text("key"), &text("secret")) => {
                self.authenticated = true;
                self.say(r#"[{"T":"success","msg":"authenticated"}]"#)
            }
            "auth" => {
                self.error(402, "auth failed")?;
                Err(Ended)
            }
            _ if !self.authenticated => self.error(401, "not authenticated"),
            action @ ("subscribe" | "unsubscribe") => {
                for (channel, symbols) in CHANNELS.iter().zip(&mut self.symbols) {
                    let named = said[*channel].as_array().into_iter().flatten();
                    for symbol in named.filter_map(Value::as_str).map(str::to_owned) {
                        if action == "subscribe" {
                            symbols.insert(symbol);
                        } else {
                            symbols.remove(&symbol);
                        }
                    }
                }
                let mut state = json!({"T": "subscription"});
                for name in ["bars", "updatedBars", "dailyBars", "statuses", "lulds"] {
                    state[name] = json!([]);
                }
                for (channel, symbols) in CHANNELS.iter().zip(&self.symbols) {
                    state[*channel] = symbols.iter().cloned().collect();
                }
                state["corrections"] = state["trades"].clone();
                state["cancelErrors"] = state["trades"].clone();
                self.say(&Value::Array(vec![state]).to_string())?;
                let any = self.symbols.iter().any(|symbols| !symbols.is_empty());
                self.handle.subscribed.store(any, Ordering::Release);
                Ok(())
            }
            _ => self.error(400, "invalid syntax"),
        }
    }

    fn wants(&self, item: &super::Item) -> bool {
        let symbols = &self.symbols[item.kind as usize];
        symbols.contains("*") || symbols.contains(&self.shared.symbols[item.symbol as usize])
    }

    fn send(&mut self, out: Out) -> Step {
        let shared = self.shared;
        let mut items: Vec<&super::Item> =
            shared.items[out.from..out.to].iter().filter(|item| self.wants(item)).collect();
        if out.fault == Some(Fault::Reorder) {
            items.reverse();
        }
        let mut frame = String::with_capacity(items.len() * 160 + 2);
        for item in &items {
            frame.push(if frame.is_empty() { '[' } else { ',' });
            item.body.live(item.kind, &shared.symbols[item.symbol as usize], &mut frame);
        }
        frame.push(']');
        if matches!(out.fault, Some(Fault::Stall)) {
            self.stalled = true;
        }
        if self.stalled || items.is_empty() {
            return Ok(());
        }
        match out.fault {
            Some(Fault::Cut) if !self.packed => {
                frame.truncate(frame.len() * 2 / 3);
                self.say(&frame)
            }
            Some(Fault::Duplicate) => {
                self.say(&frame)?;
                self.say(&frame)
            }
            Some(Fault::Slow) => {
                self.error(407, "slow client")?;
                Err(Ended)
            }
            Some(Fault::Drop | Fault::Limit | Fault::TooMany) => Err(Ended),
            _ => self.say(&frame),
        }
    }
}
