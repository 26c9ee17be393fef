//! A vendor's API played from a tape: its stream, its history, and, when asked, its misbehaviour. For tests, for the
//! demo, for anyone without an account.
//!
//! | file | holds |
//! |---|---|
//! | `face` | what a vendor must say of how it speaks |
//! | `alpaca` and so on | how each does |
//! | `player` | the tape's clock: what is due goes to every session that subscribed to it |
//! | `session` | one stream connection: limits, subscriptions, faults |
//! | `history` | requests for what has been played |
//! | `faults` | what goes wrong and when, from a seed |
//!
//! The clock starts with the first subscription and waits for nobody: what a client misses it must fetch.

mod alpaca;
mod alpha_vantage;
mod bars;
mod binance;
mod coinbase;
mod face;
mod faults;
mod finnhub;
mod history;
mod kraken;
mod massive;
mod player;
mod session;
mod twelve_data;
mod yahoo;

use crate::source::{Event, Source};
use crate::stop::Stop;
use crate::{Error, Result};
use face::Face;
pub use faults::Fault;
use market::codec::json;
use market::{Kind, Record, UnixNanos};
use std::collections::HashMap;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Whose API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Vendor {
    Alpaca,
    AlpacaCrypto,
    Massive,
    Finnhub,
    Coinbase,
    Kraken,
    Binance,
    AlphaVantage,
    TwelveData,
    Yahoo,
}

impl Vendor {
    fn face(self) -> Box<dyn Face> {
        match self {
            Self::Alpaca => Box::new(alpaca::Alpaca { crypto: false }),
            Self::AlpacaCrypto => Box::new(alpaca::Alpaca { crypto: true }),
            Self::Massive => Box::new(massive::Massive),
            Self::Finnhub => Box::new(finnhub::Finnhub),
            Self::Coinbase => Box::new(coinbase::Coinbase),
            Self::Kraken => Box::new(kraken::Kraken),
            Self::Binance => Box::new(binance::Binance),
            Self::AlphaVantage => Box::new(alpha_vantage::AlphaVantage),
            Self::TwelveData => Box::new(twelve_data::TwelveData),
            Self::Yahoo => Box::new(yahoo::Yahoo),
        }
    }
}

/// A symbol is not traded for a while, and its vendor says so.
#[derive(Debug, Clone)]
pub struct Halt {
    /// Which.
    pub symbol: String,
    /// From when on.
    pub from: UnixNanos,
    /// Until then.
    pub to: UnixNanos,
}

impl std::str::FromStr for Halt {
    type Err = String;

    /// As `IBM,2013-10-08T15:00:00Z,2013-10-08T15:30:00Z`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts: Vec<&str> = text.split(',').collect();
        let [symbol, from, to] = parts[..] else { return Err("it is SYMBOL,FROM,TO".to_owned()) };
        let time = |text: &str| UnixNanos::parse(text).map_err(|error| format!("{text}: {error}"));
        Ok(Self { symbol: symbol.to_owned(), from: time(from)?, to: time(to)? })
    }
}

/// How to play.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose API.
    pub vendor: Vendor,
    /// Where to listen, as `127.0.0.1:8900`; port 0 takes a free one.
    pub listen: String,
    /// Times as fast as the tape; `None` as fast as clients read.
    pub speed: Option<f64>,
    /// Records a second at the most.
    pub rate: Option<f64>,
    /// Seed and number of faults.
    pub faults: Option<(u64, usize)>,
    /// Key and secret that are let in; any without.
    pub keys: Option<(String, String)>,
    /// Connections at a time.
    pub connections: usize,
    /// Symbols a connection may subscribe to, of each kind.
    pub symbols: usize,
    /// What is not traded for a while: those records are taken from the tape.
    pub halts: Vec<Halt>,
    /// Messages a frame at the most.
    pub frame: usize,
}

/// A record of the tape.
#[derive(Debug)]
struct Item {
    ts: i64,
    symbol: u32,
    kind: Kind,
    /// The how manieth of its symbol and kind it is, from 1 on.
    number: u64,
    /// In canonical form.
    payload: Box<[u8]>,
}

impl Item {
    fn read<T>(&self, f: impl FnOnce(&Record<&str>) -> T) -> Option<T> {
        json::decode(self.kind, &self.payload).as_ref().map(f)
    }
}

/// What all threads know.
#[derive(Debug)]
struct Shared {
    face: Box<dyn Face>,
    settings: Settings,
    /// How bars are made of the tape, and what was made.
    bars: market::bar::Settings,
    made: OnceLock<bars::Made>,
    symbols: Vec<String>,
    items: Vec<Item>,
    /// Items before this have been played.
    played: AtomicUsize,
    sessions: Mutex<Vec<session::Handle>>,
    /// Trades that were corrected or taken back, by their place.
    amended: Mutex<HashMap<usize, Fault>>,
    /// Handshakes still to be refused, and how.
    refuse: Mutex<Vec<Fault>>,
    stop: Stop,
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Records of the tape.
    pub records: usize,
    /// Faults made, by name.
    pub faults: Vec<(String, usize)>,
}

/// A simulator that listens.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    listener: TcpListener,
}

/// The symbols and records of a tape.
fn read(tape: &mut dyn Source, stop: &Stop) -> Result<(Vec<String>, Vec<Item>)> {
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

/// A tape as the frames a vendor sends, so many messages in each.
///
/// # Errors
/// The tape's.
pub fn frames(vendor: Vendor, tape: &mut dyn Source, messages: usize, stop: &Stop) -> Result<Vec<String>> {
    let (face, (_, items)) = (vendor.face(), read(tape, stop)?);
    let mut client = face::Client::default();
    let mut out = Vec::new();
    for items in items.chunks(messages.max(1)) {
        let texts = items.iter().filter_map(|item| {
            let mut text = String::new();
            item.read(|record| face.live(item, record, &mut text))?;
            (!text.is_empty()).then_some(text)
        });
        out.extend(face.frames(&mut client, texts.collect()));
    }
    Ok(out)
}

impl Simulator {
    /// Reads the tape into memory and listens.
    ///
    /// # Errors
    /// The tape's, or the address is taken.
    pub fn new(
        tape: &mut dyn Source,
        settings: Settings,
        bars: market::bar::Settings,
        stop: &Stop,
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
        let shared = Shared {
            face: settings.vendor.face(),
            settings,
            bars,
            made: OnceLock::new(),
            symbols,
            items,
            played: AtomicUsize::new(0),
            sessions: Mutex::default(),
            amended: Mutex::default(),
            refuse: Mutex::default(),
            stop: stop.clone(),
        };
        Ok(Self { shared: Arc::new(shared), listener })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().map_err(|error| Error::internal(format!("ask for the address: {error}")))
    }

    /// Symbols and number of records of the tape.
    #[must_use]
    pub fn tape(&self) -> (&[String], usize) {
        (&self.shared.symbols, self.shared.items.len())
    }

    /// Event time of its first and last record.
    #[must_use]
    pub fn span(&self) -> (UnixNanos, UnixNanos) {
        let ts = |item: Option<&Item>| UnixNanos(item.map_or(0, |item| item.ts));
        (ts(self.shared.items.first()), ts(self.shared.items.last()))
    }

    /// Serves until a stop is asked for.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn run(self) -> Result<Report> {
        let shared = &self.shared;
        let player = {
            let shared = Arc::clone(shared);
            std::thread::spawn(move || player::play(&shared))
        };
        while !shared.stop.asked() {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let shared = Arc::clone(shared);
                    std::thread::spawn(move || serve(&shared, stream));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => tracing::warn!("a connection could not be taken: {error}"),
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
        Ok(Report { records: shared.items.len(), faults })
    }
}

impl Shared {
    fn sessions(&self) -> std::sync::MutexGuard<'_, Vec<session::Handle>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn played(&self) -> &[Item] {
        &self.items[..self.played.load(Ordering::Acquire)]
    }

    fn symbol(&self, item: &Item) -> &str {
        self.symbols.get(item.symbol as usize).map_or("", String::as_str)
    }

    fn amended(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Fault>> {
        self.amended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has been played of a symbol between two instants, both included.
    fn of(&self, kind: Kind, symbol: &str, from: i64, to: i64) -> impl Iterator<Item = &Item> {
        self.placed(kind, symbol, from, to).map(|(_, item)| item)
    }

    /// The same, and the place of each.
    fn placed(&self, kind: Kind, symbol: &str, from: i64, to: i64) -> impl Iterator<Item = (usize, &Item)> {
        let played = self.played();
        let first = played.partition_point(|item| item.ts < from);
        let end = first + played[first..].partition_point(|item| item.ts <= to);
        let place = self.symbols.iter().position(|known| known == symbol);
        let items = played[first..end].iter().enumerate().map(move |(index, item)| (first + index, item));
        items.filter(move |(_, item)| item.kind == kind && Some(item.symbol as usize) == place)
    }

    /// Of vendors with a key and no secret.
    fn admits_key(&self, key: &str) -> bool {
        self.settings.keys.as_ref().map_or(!key.is_empty(), |(known, _)| known == key)
    }

    fn admits(&self, key: &str, secret: &str) -> bool {
        self.settings.keys.as_ref().is_none_or(|(k, s)| k == key && s == secret)
    }
}

/// A connection is a stream's or a request to history: its first lines tell.
fn serve(shared: &Shared, mut stream: TcpStream) {
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
        if shared.stop.asked() {
            return;
        }
    };
    if upgrade {
        session::run(shared, stream);
    } else {
        let mut request = vec![0_u8; 16_384];
        if let Ok(length) = stream.read(&mut request) {
            history::answer(shared, &request[..length], &mut stream);
        }
    }
}
