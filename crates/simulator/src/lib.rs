//! Simulated vendor APIs, played from a tape: stream, history and, on request, injected faults. For tests,
//! for the demo, and for users without an account.
//!
//! | module | contents, in the order data flows |
//! |---|---|
//! | `settings` | which API is simulated, and how |
//! | `shared` | the state that all threads and the API read |
//! | `simulation` | the API, that state, and the sessions |
//! | `player` | the tape's clock: sends due records to every subscribed session |
//! | `faults` | injected faults, reproducible by seed |
//! | `handle` | the player's handle to a session |
//! | `session` | one stream connection: limits, subscriptions, faults |
//! | `history` | requests for records played so far |
//! | `bars` | bars of the tape, for vendors that offer them |
//! | `vendor_api` | the interface of a simulated vendor |
//! | `vendors` | the API of each |
//! | `alpaca`, `massive`, `finnhub`, `coinbase`, `kraken`, `binance` | vendors with streams |
//! | `yahoo`, `alpha_vantage`, `twelve_data` | vendors with REST only |
//! | [`device`] | a sensor that appends to a file or publishes to an MQTT broker |
//!
//! The clock starts with the first subscription and waits for nobody: clients must backfill what they miss.
//!
//! ```
//! let halt: simulator::Halt = "IBM,2013-10-08T15:00:00Z,2013-10-08T15:30:00Z".parse().unwrap();
//! assert!(halt.from < halt.to);
//! ```

mod alpaca;
mod alpha_vantage;
mod bars;
mod binance;
mod coinbase;
pub mod device;
mod faults;
mod finnhub;
mod handle;
mod history;
mod kraken;
mod massive;
mod player;
mod session;
mod settings;
mod shared;
mod simulation;
mod twelve_data;
mod vendor_api;
mod vendors;
mod yahoo;

pub use faults::Fault;
use market::UnixNanos;
use market::codec::json;
use ports::cancel::CancelToken;
use ports::source::{Event, Source};
use ports::{Error, Result};
pub use settings::{Halt, SimulatedVendor, SimulatorSettings, VendorNames};
use shared::{Item, Shared};
use simulation::Simulation;
use std::collections::HashMap;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// Result of a run.
#[derive(Debug, Clone, Default)]
pub struct SimulatorReport {
    /// Records of the tape.
    pub records: usize,
    /// Faults injected, by name.
    pub faults: Vec<(String, usize)>,
}

/// A listening simulator.
#[derive(Debug)]
pub struct Simulator {
    simulation: Arc<Simulation>,
    listener: TcpListener,
}

/// The symbols and records of a tape.
fn read(tape: &mut dyn Source, stop: &CancelToken) -> Result<(Vec<String>, Vec<Item>)> {
    let (mut symbols, mut items) = (Vec::<String>::new(), Vec::new());
    let mut counts = HashMap::new();
    let mut take = |event: Event<'_>| {
        let Event::Record { kind, symbol, payload, .. } = event else { return Ok(()) };
        let place = symbols.iter().position(|known| known == symbol).unwrap_or_else(|| {
            symbols.push(symbol.to_owned());
            symbols.len() - 1
        });
        if let Some(record) = json::decode(kind, payload) {
            let count = counts.entry((place, kind)).or_insert(0_u64);
            *count += 1;
            items.push(Item {
                ts: record.ts().0,
                symbol: place as u32,
                kind,
                number: *count,
                payload: payload.into(),
            });
        }
        Ok(())
    };
    while tape.next(stop, &mut take)? {}
    Ok((symbols, items))
}

/// Encodes a tape as the frames a vendor sends, with this many messages in each.
///
/// # Errors
/// An error of the tape.
pub fn frames(
    vendor: SimulatedVendor,
    tape: &mut dyn Source,
    messages: usize,
    stop: &CancelToken,
) -> Result<Vec<String>> {
    let (api, (_, items)) = (vendors::api(vendor), read(tape, stop)?);
    let mut client = vendor_api::Client::default();
    let mut out = Vec::new();
    for items in items.chunks(messages.max(1)) {
        let texts = items.iter().filter_map(|item| {
            let mut text = String::new();
            item.read(|record| api.live(item, record, &mut text))?;
            (!text.is_empty()).then_some(text)
        });
        out.extend(api.frames(&mut client, texts.collect()));
    }
    Ok(out)
}

impl Simulator {
    /// Reads the tape into memory and starts to listen.
    ///
    /// # Errors
    /// An error of the tape, or the address is in use.
    pub fn new(
        tape: &mut dyn Source,
        settings: SimulatorSettings,
        bars: market::bar::AggregatorSettings,
        stop: &CancelToken,
    ) -> Result<Self> {
        let (symbols, mut items) = read(tape, stop)?;
        items.retain(|item| {
            let name = symbols.get(item.symbol as usize);
            !settings
                .halts
                .iter()
                .any(|halt| Some(&halt.symbol) == name && (halt.from.0..halt.to.0).contains(&item.ts))
        });
        let listener = TcpListener::bind(&settings.listen).map_err(|error| {
            Error::user(format!("listen on {}: {error}", settings.listen))
                .hint("choose another --listen HOST:PORT")
        })?;
        listener
            .set_nonblocking(true)
            .map_err(|error| Error::internal(format!("set up the listening socket: {error}")))?;
        let api = vendors::api(settings.vendor);
        let shared = Shared {
            settings,
            bars,
            made: OnceLock::new(),
            symbols,
            items,
            played: AtomicUsize::new(0),
            amended: Mutex::default(),
            refuse: Mutex::default(),
            stop: stop.clone(),
        };
        Ok(Self { simulation: Arc::new(Simulation::new(api, shared)), listener })
    }

    /// Its listening address.
    ///
    /// # Errors
    /// The system does not report it.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener
            .local_addr()
            .map_err(|error| Error::internal(format!("get the listening address: {error}")))
    }

    /// Symbols and number of records of the tape.
    #[must_use]
    pub fn tape(&self) -> (&[String], usize) {
        (&self.simulation.shared.symbols, self.simulation.shared.items.len())
    }

    /// Event time of its first and last record.
    #[must_use]
    pub fn span(&self) -> (UnixNanos, UnixNanos) {
        let ts = |item: Option<&Item>| UnixNanos(item.map_or(0, |item| item.ts));
        (ts(self.simulation.shared.items.first()), ts(self.simulation.shared.items.last()))
    }

    /// Serves until cancelled.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn run(self) -> Result<SimulatorReport> {
        let simulation = &self.simulation;
        let player = {
            let simulation = Arc::clone(simulation);
            std::thread::spawn(move || player::play(&simulation))
        };
        while !simulation.shared.stop.is_cancelled() {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let simulation = Arc::clone(simulation);
                    std::thread::spawn(move || serve(&simulation, stream));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => tracing::warn!("could not accept a connection: {error}"),
            }
        }
        let made = player.join().map_err(|_| Error::internal("the thread that plays the tape panicked"))?;
        let mut faults: Vec<(String, usize)> = Vec::new();
        for fault in made {
            match faults.iter_mut().find(|(name, _)| *name == fault.name()) {
                Some((_, count)) => *count += 1,
                None => faults.push((fault.name().to_owned(), 1)),
            }
        }
        Ok(SimulatorReport { records: simulation.shared.items.len(), faults })
    }
}

/// Dispatches a connection, by its first lines, to the stream or the history.
fn serve(simulation: &Simulation, mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut head = [0_u8; 16_384];
    let mut seen = 0;
    let upgrade = loop {
        match stream.peek(&mut head) {
            Ok(0) | Err(_) => return,
            Ok(length) => {
                let text = String::from_utf8_lossy(&head[..length]).to_ascii_lowercase();
                if text.contains("\r\n\r\n") {
                    break text.contains("upgrade: websocket");
                }
                if length == seen || length == head.len() {
                    std::thread::sleep(Duration::from_millis(2));
                }
                seen = length;
            }
        }
        if simulation.shared.stop.is_cancelled() {
            return;
        }
    };
    if upgrade {
        session::run(simulation, stream);
    } else {
        let mut request = vec![0_u8; 16_384];
        if let Ok(length) = stream.read(&mut request) {
            history::response(simulation, &request[..length], &mut stream);
        }
    }
}
