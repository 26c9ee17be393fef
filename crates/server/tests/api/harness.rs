//! A server over engines in a temporary folder, and a client that speaks raw HTTP.

use adapters::store::sqlite::SqliteStore;
use adapters::topic::sqlite::SqliteTopics;
use market::bar::{AggregatorSettings as Bars, Feed};
use market::calendar::Calendar;
use market::policy::Policy;
use notify::alert_log::AlertLogFile;
use notify::outbox::{OutboxStore, SqliteOutbox};
use ports::CancelToken;
use ports::batch::{Batch, Partition};
use ports::store::Store;
use ports::topic::{Message, Names, Topics};
use serde_json::Value;
use server::{Engines, Server, ServerSettings};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Maximum wait for an expected event.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// 2013-10-08T13:30:00Z.
pub(crate) const OPEN: i64 = 1_381_239_000_000_000_000;

pub(crate) struct Fixture {
    dir: TempDir,
    pub(crate) topics: Arc<SqliteTopics>,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) names: Names,
    pub(crate) stop: CancelToken,
    pub(crate) address: SocketAddr,
    server: Option<Server>,
}

/// How bars are built here.
pub(crate) fn bars() -> Bars {
    let feed = Feed {
        prefix: String::new(),
        symbols: String::new(),
        policy: Policy::named("all").unwrap(),
        calendar: Calendar::XNYS,
    };
    Bars {
        intervals: vec!["1s".parse().unwrap(), "1m".parse().unwrap()],
        emit_delay: 0,
        allowed_lateness: 0,
        feeds: vec![feed],
    }
}

/// A trade in the topic's form.
pub(crate) fn trade(symbol: &str, id: &str, ts: i64, price: &str) -> String {
    format!(
        r#"{{"symbol":"{symbol}","feed":"test","venue":"P","id":"{id}","ts":{ts},"recv_ts":{ts},"price":"{price}","size":"100","conditions":["@"]}}"#
    )
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        self.json()["rows"].as_array().unwrap().clone()
    }
}

/// Logs a drop of SPY, and a second later a spike of IBM.
fn log_alerts(file: &Path) {
    let alert = |symbol: &str, kind: &str, event_time: i64| {
        serde_json::json!({
            "key": format!("key-{symbol}"), "rule": "move", "kind": kind, "feed": "f", "symbol": symbol,
            "severity": "warning", "event_time": event_time, "value": 0.31, "threshold": 0.25, "unit": "%",
            "message": format!("{symbol} moved"),
        })
    };
    let mut outbox = SqliteOutbox::open(file, 10).unwrap();
    for alert in [alert("SPY", "drop", OPEN), alert("IBM", "spike", OPEN + 1_000_000_000)] {
        outbox.append(&serde_json::from_value(alert).unwrap(), &[]).unwrap();
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, None)
    }

    /// With other settings, and another store in place of the file.
    pub(crate) fn with(
        change: impl FnOnce(&mut ServerSettings),
        store: Option<fn(SqliteStore) -> Arc<dyn Store>>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let topics = Arc::new(SqliteTopics::new(dir.path().join("topic.db")));
        let file = SqliteStore::new(dir.path().join("store.db"));
        let names = Names::new("t");
        topics.init(&names.specs(2)).unwrap();
        file.init().unwrap();
        log_alerts(&dir.path().join("alerts.db"));
        let mut fixture = Self {
            dir,
            topics,
            store: Arc::new(file.clone()),
            names,
            stop: CancelToken::default(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            server: None,
        };
        let served =
            store.map_or_else(|| Arc::new(file.clone()) as Arc<dyn Store>, |wrap| wrap(file.clone()));
        fixture.start(change, served);
        fixture
    }

    /// The file of the alerts.
    pub(crate) fn alerts(&self) -> PathBuf {
        self.dir.path().join("alerts.db")
    }

    /// Stops the server and starts another over the same files.
    pub(crate) fn restart(&mut self) {
        self.stop.cancel();
        self.server.take().unwrap().join().unwrap();
        self.stop = CancelToken::default();
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        self.start(|_| {}, store);
    }

    fn start(&mut self, change: impl FnOnce(&mut ServerSettings), store: Arc<dyn Store>) {
        let mut settings = ServerSettings::new("127.0.0.1:0", bars());
        settings.alerts.is_editable = true;
        settings.alerts.channels = vec!["mail".to_owned()];
        let configured =
            serde_json::json!({"name": "move", "kind": "percent_move", "window": "60s", "threshold": 0.25});
        settings.alerts.configured = vec![serde_json::from_value(configured).unwrap()];
        settings.limits.burst = 100_000;
        settings.limits.requests_per_second = 100_000;
        settings.limits.frame_every = Duration::from_millis(10);
        change(&mut settings);
        let engines = Engines {
            topics: Arc::clone(&self.topics) as Arc<dyn Topics>,
            names: self.names.clone(),
            store,
            telemetry: None,
            verify: None,
            probe: None,
            alerts: Some(Arc::new(AlertLogFile(self.alerts()))),
        };
        let server = Server::start(settings, engines, &self.stop).unwrap();
        self.address = server.address();
        self.server = Some(server);
    }

    /// Publishes trades.
    pub(crate) fn publish(&self, trades: &[String]) {
        let mut producer = self.topics.producer().unwrap();
        for text in trades {
            let symbol = serde_json::from_str::<Value>(text).unwrap()["symbol"].as_str().unwrap().to_owned();
            producer
                .send(&Message {
                    topic: &self.names.records(market::Kind::TRADE),
                    key: &symbol,
                    headers: &[("kind", b"trade".as_slice())],
                    payload: text.as_bytes(),
                    stamp_ms: 1,
                })
                .unwrap();
        }
        assert_eq!(producer.flush(PATIENCE).unwrap(), 0);
    }

    /// Stores trades.
    pub(crate) fn keep(&self, trades: &[String]) {
        let mut batch = Batch::default();
        for (offset, text) in trades.iter().enumerate() {
            let at = Partition { topic: 0, number: 0 };
            batch.push(market::Kind::TRADE, text.as_bytes(), 1, at, offset as i64).unwrap();
        }
        let mut writer = self.store.writer(&self.stop).unwrap();
        writer.submit(1, batch).unwrap();
        let done = writer.completed(PATIENCE).unwrap().expect("the store answers");
        assert!(done.refused.is_empty(), "{:?}", done.refused);
    }

    /// A GET with extra header lines.
    pub(crate) fn get_with(&self, path: &str, headers: &str) -> Reply {
        self.send(&format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n"))
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.get_with(path, "")
    }

    /// Sends a request unchanged and reads to the end.
    pub(crate) fn send(&self, request: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Reply { status, headers, body: bytes[end + 4..].to_vec() }
    }

    /// Waits until the topics are read.
    pub(crate) fn live(&self) {
        eventually("the server is live", || self.get("/api/v1/health").status == 200);
    }

    /// Opens a stream.
    pub(crate) fn stream(&self, query: &str) -> EventStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /api/v1/stream?{query} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{line}");
        while !line.trim().is_empty() {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        EventStream(reader)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            let ended = server.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: String,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }

    /// Ids of the trades in it.
    pub(crate) fn trades(&self) -> Vec<String> {
        let trades = self.json()["trades"].as_array().cloned().unwrap_or_default();
        trades.iter().map(|trade| trade["id"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) struct EventStream(BufReader<TcpStream>);

impl EventStream {
    /// The next event; `None` when the server has closed the stream.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => event.name = name.to_owned(),
                Some(("id", id)) => event.id = id.to_owned(),
                Some(("data", data)) => event.data = data.to_owned(),
                _ if line.trim().is_empty() && !event.name.is_empty() => return Some(event),
                _ => {}
            }
        }
    }

    /// Reads events until one fits.
    pub(crate) fn until(&mut self, what: &str, fits: impl Fn(&Event) -> bool) -> Event {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let event = self.next().unwrap_or_else(|| panic!("the stream ended before {what}"));
            if fits(&event) {
                return event;
            }
        }
        panic!("{what} did not come");
    }
}

/// Waits for a condition.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not so after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A metric of this process, in which other tests count as well.
pub(crate) fn metric(series: &str) -> u64 {
    let text = ports::metrics::text(&ports::telemetry::Telemetry::default()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series}: {text}")).parse().unwrap()
}
