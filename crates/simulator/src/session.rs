//! One stream connection.

use super::bars;
use super::faults::Fault;
use super::handle::{Handle, Out};
use super::simulation::Simulation;
use super::vendor_api::{Client, Disconnect, StreamResponse};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use market::UnixNanos;
use market::codec::msgpack;
use serde_json::Value;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::{Message, WebSocket};

/// Maximum number of frames queued for a client, beyond which it is too slow.
const QUEUE: usize = 2_048;
/// Bytes of a frame that every client rejects.
const GIANT: usize = 17 << 20;
/// Keep-alive interval.
const KEEPALIVE: Duration = Duration::from_secs(1);

/// Why a session ends; the client learns only what was sent.
struct Ended;
type Step = Result<(), Ended>;

struct Session<'a> {
    simulation: &'a Simulation,
    socket: WebSocket<TcpStream>,
    packed: bool,
    client: Client,
    handle: Handle,
    /// No more records are sent.
    stalled: bool,
}

/// Serves a connection until it ends.
#[allow(clippy::result_large_err, reason = "the library's own type")]
pub(super) fn run(simulation: &Simulation, stream: TcpStream) {
    let shared = &simulation.shared;
    let refusal = {
        let mut refuse = shared.refuse.lock().unwrap_or_else(PoisonError::into_inner);
        (!refuse.is_empty()).then(|| refuse.remove(0))
    };
    let mut packed = false;
    let handshaken = tungstenite::accept_hdr(stream, |request: &Request, response: Response| {
        packed = request.headers().get("content-type").is_some_and(|value| value == "application/msgpack");
        if refusal == Some(Fault::TooMany) {
            let mut refused = ErrorResponse::new(Some("too many requests".to_owned()));
            *refused.status_mut() = tungstenite::http::StatusCode::TOO_MANY_REQUESTS;
            return Err(refused);
        }
        if !simulation.api.admits(shared, &request.uri().to_string()) {
            let mut refused = ErrorResponse::new(Some("unauthorized".to_owned()));
            *refused.status_mut() = tungstenite::http::StatusCode::UNAUTHORIZED;
            return Err(refused);
        }
        Ok(response)
    });
    let Ok(socket) = handshaken else { return };
    let (queue, outs) = crossbeam_channel::bounded(QUEUE);
    let handle = Handle { queue, subscribed: Arc::default(), slow: Arc::default() };
    let mut session = Session {
        simulation,
        socket,
        packed,
        client: Client::default(),
        handle: handle.clone(),
        stalled: false,
    };
    let full = {
        let mut sessions = simulation.sessions();
        let full = sessions.len() >= shared.settings.connections || refusal == Some(Fault::Limit);
        if !full {
            sessions.push(handle.clone());
        }
        full
    };
    if full {
        let _ = session.disconnect(Disconnect::Limit);
        let _ = session.socket.close(None);
        let _ = session.socket.flush();
        return;
    }
    let _ = session.talk(&outs);
    simulation.sessions().retain(|other| !Arc::ptr_eq(&other.subscribed, &handle.subscribed));
}

impl Session<'_> {
    fn say(&mut self, frame: &str) -> Step {
        let message = if self.packed {
            Message::binary(msgpack::packed(frame))
        } else {
            Message::text(frame.to_owned())
        };
        self.socket.send(message).map_err(|_| Ended)
    }

    fn disconnect(&mut self, disconnect: Disconnect) -> Step {
        self.simulation.api.disconnect(disconnect).map_or(Ok(()), |frame| self.say(&frame))
    }

    fn talk(&mut self, outs: &Receiver<Out>) -> Step {
        if let Some(hello) = self.simulation.api.hello() {
            self.say(&hello)?;
        }
        let mut beaten = std::time::Instant::now();
        self.socket.get_ref().set_read_timeout(Some(Duration::from_millis(1))).map_err(|_| Ended)?;
        let mut wait = Duration::from_millis(2);
        while !self.simulation.shared.stop.is_cancelled() {
            if self.handle.slow.load(Ordering::Acquire) {
                self.disconnect(Disconnect::Slow)?;
                return Err(Ended);
            }
            if beaten.elapsed() > KEEPALIVE {
                beaten = std::time::Instant::now();
                if let Some(frame) = self.simulation.api.keepalive(&mut self.client) {
                    self.say(&frame)?;
                }
            }
            // Many frames between two checks for client messages.
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
                    let message: Option<Value> = serde_json::from_str(&text).ok();
                    self.handle_message(message.as_ref())?;
                }
                Ok(Message::Binary(bytes)) => self.handle_message(msgpack::unpacked(&bytes).as_ref())?,
                Ok(Message::Close(_)) => {
                    // The library has a response ready.
                    let _ = self.socket.flush();
                    return Err(Ended);
                }
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

    fn handle_message(&mut self, message: Option<&Value>) -> Step {
        let StreamResponse { frames, end } =
            self.simulation.api.receive(&self.simulation.shared, &mut self.client, message);
        for frame in frames {
            self.say(&frame)?;
        }
        self.handle.subscribed.store(self.client.subscribed(), Ordering::Release);
        if end { Err(Ended) } else { Ok(()) }
    }

    /// Halts that start or end with these items, in time order.
    fn statuses(&self, out: &Out) -> Vec<(UnixNanos, String)> {
        let ts = |place: usize| self.simulation.shared.items.get(place).map_or(i64::MIN, |item| item.ts);
        let now = ts(out.from.wrapping_sub(1)) + 1..=ts(out.to - 1);
        let halts = self
            .simulation
            .shared
            .settings
            .halts
            .iter()
            .filter(|halt| self.client.statuses.contains(&halt.symbol));
        let sent = halts.flat_map(|halt| [(halt, halt.from, true), (halt, halt.to, false)]);
        let mut sent: Vec<_> = sent
            .filter(|(_, at, _)| now.contains(&at.0))
            .filter_map(|(halt, at, halted)| {
                Some((at, self.simulation.api.status(&halt.symbol, halted, at)?))
            })
            .collect();
        sent.sort_by_key(|(at, _)| *at);
        sent
    }

    /// Bars that ended with these items.
    fn bars(&self, out: &Out) -> Vec<String> {
        let ts = |place: usize| self.simulation.shared.items.get(place).map_or(i64::MIN / 2, |item| item.ts);
        let (before, now) = (ts(out.from.wrapping_sub(1)), ts(out.to - 1));
        let mut sent = Vec::new();
        for (interval, symbol) in &self.client.bars {
            let length = interval.nanos().unwrap_or(0);
            for (start, values) in
                bars::between(&self.simulation.shared, symbol, *interval, before - length + 1, now - length)
            {
                sent.extend(self.simulation.api.bar(symbol, *interval, start, values));
            }
        }
        sent
    }

    fn send(&mut self, out: Out) -> Step {
        let (simulation, shared) = (self.simulation, &self.simulation.shared);
        let amended = out.fault.filter(|fault| fault.amends()).map(|_| shared.amended().clone());
        let mut statuses = self.statuses(&out).into_iter().peekable();
        let (mut messages, mut amends) = (Vec::new(), Vec::new());
        for (place, item) in shared.items[..out.to].iter().enumerate().skip(out.from) {
            while let Some((_, status)) = statuses.next_if(|(at, _)| at.0 <= item.ts) {
                messages.push(status);
            }
            if !self.client.wants(item.kind, shared.symbol(item)) {
                continue;
            }
            if let Some(fault) = amended.as_ref().and_then(|amended| amended.get(&place)) {
                let [first, then] =
                    item.read(|record| simulation.api.amended(*fault, item, record)).unwrap_or_default();
                messages.extend(first);
                amends.extend(then);
                continue;
            }
            let mut text = String::with_capacity(160);
            item.read(|record| simulation.api.live(item, record, &mut text));
            if !text.is_empty() {
                messages.push(text);
            }
        }
        messages.extend(amends);
        messages.extend(self.bars(&out));
        if out.fault == Some(Fault::Reorder) {
            messages.reverse();
        }
        if matches!(out.fault, Some(Fault::Stall)) {
            self.stalled = true;
        }
        match out.fault {
            Some(Fault::Slow) => {
                self.disconnect(Disconnect::Slow)?;
                return Err(Ended);
            }
            Some(Fault::Drop | Fault::Limit | Fault::TooMany) => return Err(Ended),
            _ if self.stalled || messages.is_empty() => return Ok(()),
            _ => {}
        }
        let mut frames: Vec<String> = simulation.api.frames(&mut self.client, messages);
        match out.fault {
            Some(Fault::Cut) if !self.packed => {
                if let Some(frame) = frames.last_mut() {
                    frame.truncate(frame.len() * 2 / 3);
                }
            }
            Some(Fault::Duplicate) => frames.extend(frames.clone()),
            Some(Fault::Hole) => frames.clear(),
            Some(Fault::Giant) => {
                // White space may precede any message; no client accepts this much.
                if let Some(frame) = frames.last_mut() {
                    frame.insert_str(0, &" ".repeat(GIANT));
                }
            }
            _ => {}
        }
        frames.iter().try_for_each(|frame| self.say(frame))
    }
}
