//! Hostile input: none of it has an effect.

use crate::harness::{Fixture, OPEN, eventually, trade};
use adapters::store::sqlite::SqliteStore;
use market::bar::Bar;
use market::interval::Interval;
use ports::forecast::ForecastRecord;
use ports::store::{BarScan, BarSink, Counts, ForecastScan, ForecastSink, Scan, Sink, Store, Writer};
use ports::{CancelToken, Result};
use server::{Server, ServerSettings};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_script_in_a_symbol_is_text() {
    let fixture = Fixture::new();
    fixture.live();
    let name = "<script>alert(1)</script>";
    fixture.publish(&[trade(name, "1", OPEN, "1")]);
    eventually("the symbol is known", || !fixture.get("/api/v1/symbols").rows().is_empty());
    let reply = fixture.get("/api/v1/symbols");
    assert_eq!(reply.rows()[0]["symbol"], name);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn no_path_reaches_the_file_system() {
    let fixture = Fixture::new();
    for path in [
        "/../../../../etc/passwd",
        "/js/../../Cargo.toml",
        "/js/%2e%2e/%2e%2e/Cargo.toml",
        "/vendor/..%2f..%2fCargo.toml",
        "//etc/passwd",
        "/js/",
        "/.git/config",
        "/api/v1/../../etc/passwd",
        "/%00",
    ] {
        let reply = fixture.get(path);
        assert_eq!(reply.status, 404, "{path}");
        assert!(!reply.text().contains("root:"), "{path}");
    }
    let factors = Fixture::with(|settings| settings.factors = Some("/etc".into()), None);
    let reply = factors.get("/api/v1/bars?symbol=../passwd&adjust=split");
    assert_eq!(reply.status, 404, "{}", reply.text());
}

#[test]
fn wrong_parameters_are_named() {
    let fixture = Fixture::new();
    for (query, part) in [
        ("trades", "symbol"),
        ("trades?symbol=", "symbol"),
        ("trades?symbol=%00", "symbol"),
        ("trades?symbol=SPY&from=yesterday", "from"),
        ("trades?symbol=SPY&from=2014-01-01&to=2013-01-01", "not before"),
        ("trades?symbol=SPY&from=0001-01-01&to=9999-01-01", "from"),
        ("trades?symbol=SPY&limit=0", "limit"),
        ("trades?symbol=SPY&limit=1000000000", "limit"),
        ("trades?symbol=SPY&limit=99999999999999999999", "limit"),
        ("trades?symbol=SPY&limit=-1", "limit"),
        ("trades?symbol=SPY&cursor=%27;DROP%20TABLE%20trades", "cursor"),
        ("trades?symbol=SPY&order=sideways", "order"),
        ("trades?symbol=SPY&tz=Mars/Olympus", "tz"),
        ("trades?symbol=SPY&format=exe", "format"),
        ("trades?symbol=SPY&nonsense=1", "nonsense"),
        ("bars?symbol=SPY&interval=7m", "interval"),
        ("bars?symbol=SPY&policy=best", "policy"),
        ("bars?symbol=SPY&adjust=split", "adjust"),
        ("explain?symbol=SPY&time=now", "time"),
        ("stream?interval=0s", "interval"),
    ] {
        let reply = fixture.get(&format!("/api/v1/{query}"));
        assert_eq!(reply.status, 400, "{query}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{query}");
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(part), "{query}: {detail}");
    }
    let long = fixture.get(&format!("/api/v1/trades?symbol={}", "A".repeat(10_000)));
    assert_eq!(long.status, 414);
    let statement = fixture.get("/api/v1/trades?symbol=%27%20OR%201=1%20--");
    assert_eq!((statement.status, statement.rows().len()), (200, 0));
}

/// Valid queries; `no_query_string_breaks_the_server` mutates them.
const QUERIES: [&str; 20] = [
    "trades?symbol=SPY&from=2013-10-08&to=2013-10-09&order=desc&limit=10&format=arrow",
    "trades?symbol=SPY&cursor=1381239000000000000~test%7CP%7C1&tz=America/New_York&feed=test",
    "quotes?symbol=SPY&from=2013-10-08T09:30[America/New_York]&format=parquet",
    "bars?symbol=SPY&interval=5m&of=quotes&session=regular&format=csv&limit=3",
    "bars?symbol=SPY&interval=1d&policy=sip&from=2013-10-08&to=2013-10-09",
    "explain?symbol=SPY&interval=1m&time=2013-10-08T13:30:00Z&policy=all",
    "alerts?symbol=SPY&rule=move&from=2013-10-08&limit=5&tz=UTC",
    "forecasts?symbol=SPY&interval=1m&target=return&horizon=5",
    "gaps?symbol=SPY&open=true",
    "dead-letters?limit=5",
    "symbols?search=S&stored=true",
    "series?search=S&limit=5&cursor=732e7400706c616e74",
    "readings?series=s.t&from=2013-10-08&to=2013-10-09&feed=plant&order=desc&tz=Europe/Berlin",
    "reading-bars?series=s.t&interval=1h&order=desc&limit=5",
    "../udf/history?symbol=SPY&from=1381239000&to=1381240000&resolution=1&countback=2",
    "../udf/symbols?symbol=SPY",
    "../udf/search?query=S&limit=30&type=stock&exchange=",
    "../v2/stocks/bars?symbols=SPY,IBM&timeframe=1Min&start=2013-10-08&end=2013-10-09T00:00:00Z&sort=desc&limit=5",
    "../v2/stocks/trades?symbols=SPY&page_token=SPY%201381239000000000000~test%7CP%7C1&feed=sip",
    "../v2/stocks/quotes?symbols=SPY&start=2013-10-08&limit=5&sort=asc&asof=2013-10-08",
];

#[test]
fn no_query_string_breaks_the_server() {
    const PIECES: [&str; 16] = [
        "%00",
        "%FF%FE",
        "%E2%80%AE",
        "=",
        "&",
        "~",
        "%7C",
        "-9223372036854775808",
        "99999999999999999999",
        "1e308",
        "NaN",
        "[",
        "T",
        "%",
        "+",
        "*",
    ];
    let fixture = Fixture::new();
    fixture.keep(&[trade("SPY", "1", OPEN, "1.5")]);
    // Xorshift with a fixed seed: the same requests in every run.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for query in QUERIES {
        let path = format!("/api/v1/{query}").replace("/api/v1/..", "");
        let status = fixture.get(&path).status;
        assert!(matches!(status, 200 | 404), "{path}: {status}");
        for _ in 0..200 {
            let mut text = path.clone();
            for _ in 0..=random(3) {
                // The path stays: only what follows it is mutated.
                let start = text.find('?').unwrap() + 1;
                let at = start + random(text.len() - start + 1);
                let end = at + random(text.len() - at + 1).min(8);
                text.replace_range(at..end, if random(3) == 0 { "" } else { PIECES[random(PIECES.len())] });
            }
            let status = fixture.get(&text).status;
            assert!(matches!(status, 200 | 400 | 404 | 422), "{text}: {status}");
        }
    }
    assert_eq!(fixture.get("/api/v1/trades?symbol=SPY").rows().len(), 1);
}

#[test]
fn every_reply_carries_the_security_headers() {
    let fixture = Fixture::new();
    for path in ["/", "/js/main.js", "/api/v1/symbols", "/nowhere", "/api/v1/trades"] {
        let reply = fixture.get(path);
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        for name in
            ["x-content-type-options", "x-frame-options", "referrer-policy", "cross-origin-resource-policy"]
        {
            assert!(reply.header(name).is_some(), "{path}: no {name}");
        }
    }
}

#[test]
fn other_sites_are_refused() {
    let fixture = Fixture::new();
    let rebound = fixture.send("GET /api/v1/symbols HTTP/1.0\r\nHost: evil.example\r\n\r\n");
    assert_eq!(rebound.status, 421);
    let none = fixture.send("GET /api/v1/symbols HTTP/1.0\r\n\r\n");
    assert_eq!(none.status, 421);
    let post = |headers: &str| {
        fixture.send(&format!(
            "POST /api/v1/verify HTTP/1.0\r\nHost: localhost\r\n{headers}Content-Length: 0\r\n\r\n"
        ))
    };
    assert_eq!(post("Origin: https://evil.example\r\n").status, 403);
    assert_eq!(post("Origin: http://localhost\r\n").status, 501, "allowed, but nothing can be compared here");
    let method = fixture.send("DELETE /api/v1/symbols HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert_eq!(method.status, 405);
}

#[test]
fn a_token_guards_everything() {
    let fixture = Fixture::with(|settings| settings.token = "secret".to_owned(), None);
    for path in ["/", "/api/v1/symbols", "/nowhere", "/udf/config"] {
        assert_eq!(fixture.get(path).status, 401, "{path}");
        assert_eq!(fixture.get_with(path, "Authorization: Bearer wrong\r\n").status, 401, "{path}");
    }
    assert!(fixture.get("/").header("www-authenticate").unwrap().starts_with("Basic"));
    for header in
        ["Authorization: Bearer secret", "Authorization: Basic bWU6c2VjcmV0", "APCA-API-SECRET-KEY: secret"]
    {
        assert_eq!(fixture.get_with("/api/v1/symbols", &format!("{header}\r\n")).status, 200, "{header}");
    }
    assert!(!fixture.get("/").text().contains("secret"));
}

#[test]
fn an_open_address_needs_a_token() {
    let fixture = Fixture::new();
    let settings = ServerSettings::new("0.0.0.0:0", crate::harness::bars());
    let engines = server::Engines {
        topics: fixture.topics.clone(),
        names: fixture.names.clone(),
        store: fixture.store.clone(),
        telemetry: None,
        verify: None,
        probe: None,
        alerts: None,
    };
    let error = Server::start(settings, engines, &CancelToken::default()).unwrap_err().to_string();
    assert!(error.contains("without a token"), "{error}");
}

#[test]
fn a_flood_is_answered_with_429_and_then_served_again() {
    let change = |settings: &mut ServerSettings| {
        settings.limits.requests_per_second = 50;
        settings.limits.burst = 20;
    };
    let fixture = Fixture::with(change, None);
    let statuses: Vec<u16> = (0..200).map(|_| fixture.get("/api/v1/gaps").status).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(statuses[0], 200);
    eventually("served again", || fixture.get("/api/v1/gaps").status == 200);
}

#[test]
fn connections_are_limited_and_idle_ones_end() {
    let change = |settings: &mut ServerSettings| {
        settings.limits.connections = 3;
        settings.limits.io_timeout = Duration::from_millis(500);
    };
    let fixture = Fixture::with(change, None);
    let mut idle: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(fixture.address).unwrap()).collect();
    // Half a request, and then nothing.
    for stream in &mut idle {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: loc").unwrap();
    }
    eventually("refused while all are taken, or served after they ended", || {
        let mut stream = TcpStream::connect(fixture.address).unwrap();
        let _ = stream.write_all(b"GET /api/v1/gaps HTTP/1.0\r\nHost: localhost\r\n\r\n");
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text.starts_with("HTTP/1.0 200")
    });
    for mut stream in idle {
        stream.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
        let mut rest = Vec::new();
        // Ended by the server: an end of file or a reset, never the read's own timeout.
        let ended = stream.read_to_end(&mut rest);
        assert!(!matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{ended:?}");
    }
}

/// A store that takes very long to scan.
struct Slow(SqliteStore);

impl Store for Slow {
    fn init(&self) -> Result<Vec<String>> {
        self.0.init()
    }
    fn writer(&self, stop: &CancelToken) -> Result<Box<dyn Writer>> {
        self.0.writer(stop)
    }
    fn count(&self) -> Result<Counts> {
        self.0.count()
    }
    fn directory(&self) -> Result<Vec<ports::store::DirectoryEntry>> {
        self.0.directory()
    }
    fn scan(&self, _: &Scan, _: Sink<'_>) -> Result<()> {
        std::thread::sleep(Duration::from_secs(2));
        Ok(())
    }
    fn write_bars(&self, bars: &[Bar], stop: &CancelToken) -> Result<()> {
        self.0.write_bars(bars, stop)
    }
    fn scan_bars(&self, scan: &BarScan, sink: BarSink<'_>) -> Result<()> {
        self.0.scan_bars(scan, sink)
    }
    fn bar_series(&self) -> Result<Vec<ports::store::BarSeries>> {
        self.0.bar_series()
    }
    fn write_forecasts(&self, forecasts: &[ForecastRecord], stop: &CancelToken) -> Result<()> {
        self.0.write_forecasts(forecasts, stop)
    }
    fn scan_forecasts(&self, scan: &ForecastScan, sink: ForecastSink<'_>) -> Result<()> {
        self.0.scan_forecasts(scan, sink)
    }
    fn forecast_series(&self) -> Result<Vec<(String, Interval)>> {
        self.0.forecast_series()
    }
    fn check(&self) -> ports::check::Chain {
        self.0.check()
    }
    fn describe(&self) -> String {
        self.0.describe()
    }
}

#[test]
fn a_slow_store_meets_the_deadline_and_blocks_nobody() {
    let change = |settings: &mut ServerSettings| {
        settings.limits.query_deadline = Duration::from_millis(200);
        settings.limits.queries = 1;
    };
    let fixture = Fixture::with(change, Some(|file| Arc::new(Slow(file)) as Arc<dyn Store>));
    let late = fixture.get("/api/v1/trades?symbol=SPY");
    assert_eq!(late.status, 504, "{}", late.text());
    // The only slot is still occupied by the abandoned query.
    assert_eq!(fixture.get("/api/v1/trades?symbol=SPY").status, 503);
    assert_eq!(fixture.get("/api/v1/gaps").status, 200);
    eventually("the slot is free again", || fixture.get("/api/v1/bars?symbol=SPY").status == 200);
}
