//! From an event to the hand-over of its alert: trades at a fixed rate into a topic, `tapeline alert run` with ten rules a
//! symbol, and a webhook on loopback that receives the alerts. An event's time is when it was *meant* to be sent, so that a
//! stall counts against every alert that it delays.

use anyhow::{Context, Result, anyhow, ensure};
use market::Kind;
use market::codec::json;
use ports::topic::Message;
use ports::{CancelToken, clock};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tapeline::{config, open};

/// Rules of each symbol. The first one is crossed by every `EVERY`th record; the others see a quiet market.
const KINDS: [&str; 10] = [
    "kind = 'cross'\nlevel = 100.0",
    "kind = 'percent_move'\nwindow = '60s'\nthreshold = 0.5\ncooldown = '5m'",
    "kind = 'percent_move'\nwindow = '5m'\nthreshold = 1\ncooldown = '5m'",
    "kind = 'cross'\nlevel = 150.0",
    "kind = 'cross'\nindicator = 'sma:20'\ninterval = '1h'",
    "kind = 'volume_surge'\nwindow = '60s'\nbaseline = '10m'\nthreshold = 5",
    "kind = 'vwap_deviation'\nthreshold = 1\nhysteresis = 0.5",
    "kind = 'new_extreme'\ndays = 20",
    "kind = 'open_gap'\nthreshold = 2",
    "kind = 'stall'\nwindow = '1h'",
];
const EVERY: u64 = 200;
/// Seconds that warm up and are not counted.
const WARM: u64 = 5;

/// What arrived: event time and delay, nanoseconds.
type Receipts = Arc<Mutex<Vec<(i64, i64)>>>;

fn receive(stream: TcpStream, receipts: &Receipts) -> Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse()?;
            }
        }
        let now = clock::now().0;
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let alert: serde_json::Value = serde_json::from_slice(&body)?;
        let event = alert["event_time"].as_i64().context("no event time")?;
        receipts.lock().map_err(|_| anyhow!("poisoned"))?.push((event, now - event));
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
}

fn receiver() -> Result<(String, Receipts)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    let receipts = Receipts::default();
    let seen = Arc::clone(&receipts);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || receive(stream, &seen));
        }
    });
    Ok((url, receipts))
}

/// The evaluating process; it ends with the benchmark.
struct Evaluation(Child);

impl Drop for Evaluation {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Evaluation {
    /// A line of its `/proc/PID/status`.
    fn status(&self, name: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_start_matches(':').trim().to_owned()
    }
}

fn settings(folder: &Path, topic: &str, url: &str, symbols: usize) -> String {
    let mut text = format!(
        "[topic]\nurl = '{topic}'\n[store]\nurl = 'sqlite:{0}/store.db'\n[alert]\nfile = '{0}/alerts.db'\n\
         [alert.fold]\nlimit = 0\n[[alert.channels]]\nname = 'hook'\ntype = 'webhook'\nurl = '{url}'\nsecret = 's'\n",
        folder.display()
    );
    for symbol in 0..symbols {
        for (number, kind) in KINDS.iter().enumerate() {
            let _ = writeln!(
                text,
                "[[alert.rules]]\nname = 'r{symbol}-{number}'\nsymbols = ['S{symbol}']\n{kind}"
            );
        }
    }
    text
}

/// Sends trades of random symbols; returns how many crossed the level after the warm-up, and when that ended.
fn send(topic: &str, rate: f64, seconds: u64, symbols: usize) -> Result<(usize, i64)> {
    let flags = [("topic.url", Some(topic.to_owned()))];
    let config = config::load(None, std::iter::empty(), &flags).map_err(|error| anyhow!("{error}"))?;
    let topics = open::topics(&config, &CancelToken::default()).map_err(|error| anyhow!("{error}"))?;
    let name = open::names(&config).records(Kind::TRADE);
    let mut producer = topics.producer().map_err(|error| anyhow!("{error}"))?;
    let start = clock::now().0;
    let warm = start + WARM as i64 * 1_000_000_000;
    let mut is_above = vec![false; symbols];
    let (mut seed, mut crossed) = (42_u64, 0);
    let (mut text, mut canonical) = (String::new(), Vec::new());
    for number in 0..(rate * (seconds + WARM) as f64) as u64 {
        let due = start + (number as f64 * 1e9 / rate) as i64;
        while due > clock::now().0 {
            producer.rest().map_err(|error| anyhow!("{error}"))?;
            let early = (due - clock::now().0).clamp(0, 1_000_000);
            std::thread::sleep(Duration::from_nanos(early.unsigned_abs()));
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let symbol = (seed >> 33) as usize % symbols;
        // The first records of the symbols are below the level.
        if number % EVERY == 0 && number > 20 * symbols as u64 {
            is_above[symbol] = !is_above[symbol];
            crossed += usize::from(due >= warm);
        }
        let price = if is_above[symbol] { "100.05" } else { "99.95" };
        text.clear();
        write!(
            text,
            r#"{{"symbol":"S{symbol}","feed":"alpaca.sip","venue":"P","id":"{number}","ts":{due},"recv_ts":{due},"price":"{price}","size":"100","conditions":["@"],"tape":"A"}}"#
        )?;
        canonical.clear();
        json::normalize(Kind::TRADE, text.as_bytes(), &mut canonical).map_err(|error| anyhow!("{error}"))?;
        let key = format!("S{symbol}");
        let message =
            Message { topic: &name, key: &key, headers: &[], payload: &canonical, stamp_ms: due / 1_000_000 };
        producer.send(&message).map_err(|error| anyhow!("{error}"))?;
    }
    producer.flush(Duration::from_secs(10)).map_err(|error| anyhow!("{error}"))?;
    Ok((crossed, warm))
}

/// `tapeline`: the program; `topic`: a URL, or `sqlite` for a file of its own.
pub(crate) fn run(tapeline: &str, topic: &str, rate: f64, seconds: u64, symbols: usize) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("tapeline-alerts-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let own = format!("sqlite:{}/topic.db", folder.display());
    let topic = if topic == "sqlite" { own.as_str() } else { topic };
    let (url, receipts) = receiver()?;
    let path = folder.join("tapeline.toml");
    std::fs::write(&path, settings(&folder, topic, &url, symbols))?;
    let program = |arguments: &[&str]| {
        let mut command = Command::new(tapeline);
        command.args(arguments).arg("--config").arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
        command
    };
    ensure!(program(&["init"]).status()?.success(), "tapeline init failed");
    let evaluation = Evaluation(program(&["alert", "run"]).spawn()?);
    std::thread::sleep(Duration::from_secs(3));
    let (crossed, warm) = send(topic, rate, seconds, symbols)?;
    std::thread::sleep(Duration::from_secs(3));
    let mut delays: Vec<i64> = {
        let receipts = receipts.lock().map_err(|_| anyhow!("poisoned"))?;
        receipts.iter().filter(|(event, _)| *event >= warm).map(|(_, delay)| *delay).collect()
    };
    delays.sort_unstable();
    ensure!(delays.len() == crossed, "expected {crossed} alerts, received {}", delays.len());
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize] as f64 / 1e6;
    println!(
        "{} rules, {symbols} symbols, {rate:.0} records/s for {seconds} s: {crossed} alerts, event to hand-over p50 {:.1} ms, \
         p99 {:.1} ms, p99.9 {:.1} ms, max {:.1} ms; resident {}",
        symbols * KINDS.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        evaluation.status("VmRSS")
    );
    drop(evaluation);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
