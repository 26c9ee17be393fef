//! `tapeline status`: the state of a running process, from its metrics listener.

use crate::cli::Shape;
use crate::context::Context;
use crate::output::{Out, counted, duration, table, thousands};
use clap::Args;
use ports::address::of_url;
use ports::{Error, Result};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

/// How long a listener may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Time between two looks that rates are computed from.
const BETWEEN: Duration = Duration::from_secs(1);
/// Bytes of a reply: what is longer is none of ours.
const LARGEST: u64 = 16 << 20;
/// Where a verb listens by the examples in deploy/.
const USUAL: &str = "127.0.0.1:9464";

#[derive(Debug, Clone, Args)]
pub(crate) struct StatusOptions {
    /// Address of the process's listener [default: metrics.listen, else 127.0.0.1:9464]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    format: Shape,
}

/// Samples of a scrape: name, labels as they are written, value.
struct Samples(Vec<(String, String, f64)>);

impl Samples {
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some((name.to_owned(), labels.trim_end_matches('}').to_owned(), value.parse().ok()?))
        };
        Self(text.lines().filter(|text| !text.starts_with('#')).filter_map(line).collect())
    }

    fn of<'s>(&'s self, name: &'s str) -> impl Iterator<Item = (&'s str, f64)> {
        self.0.iter().filter(move |(of, ..)| of == name).map(|(_, labels, value)| (labels.as_str(), *value))
    }

    fn sum(&self, name: &str) -> f64 {
        self.of(name).map(|(_, value)| value).sum()
    }

    /// The share's value in microseconds, by linear interpolation within its bucket; `None` without values.
    fn quantile(&self, name: &str, share: f64) -> Option<u64> {
        let bucket = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = self
            .of(&bucket)
            .filter_map(|(labels, count)| {
                Some((label(labels, "le")?.replace("+Inf", "inf").parse().ok()?, count))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted = share * buckets.last().filter(|(_, count)| *count > 0.0)?.1;
        let mut below = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= wanted {
                // Beyond the last bound nothing is known but that bound.
                let within = (wanted - below.1) / (count - below.1).max(1.0);
                let seconds =
                    if f64::is_finite(bound) { below.0 + (bound - below.0) * within } else { below.0 };
                return Some((seconds * 1e6) as u64);
            }
            below = (bound, count);
        }
        None
    }
}

/// A label's value.
fn label<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
    labels.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

pub(crate) fn run(context: &Context, options: &StatusOptions) -> Result<ExitCode> {
    let configured = context.config.metrics.listen.trim();
    let usual = if configured.is_empty() { USUAL } else { configured };
    let url = options.url.clone().unwrap_or_else(|| format!("http://{usual}"));
    let token = context.config.metrics.token.reveal();
    let before = Samples::parse(&get(&url, "/metrics", token)?.1);
    context.stop.sleep(BETWEEN);
    let now = Samples::parse(&get(&url, "/metrics", token)?.1);
    let (code, ready) = get(&url, "/ready", token)?;
    let ready: serde_json::Value = serde_json::from_str(&ready)
        .map_err(|error| Error::user(format!("{url}/ready: expected JSON, found something else: {error}")))?;
    let rate = |name: &str| ((now.sum(name) - before.sum(name)) / BETWEEN.as_secs_f64()).max(0.0);
    let mut out = Out::new();
    match options.format {
        Shape::Json => {
            let mut samples: BTreeMap<String, f64> = BTreeMap::new();
            for (name, labels, value) in &now.0 {
                let series = if labels.is_empty() { name.clone() } else { format!("{name}{{{labels}}}") };
                samples.insert(series, *value);
            }
            let rates = json!({
                "read_per_second": rate("tapeline_records_read_total"),
                "produced_per_second": rate("tapeline_records_produced_total"),
                "stored_per_second": rate("tapeline_records_stored_total"),
            });
            let report = json!({ "url": url, "ready": code == 200, "ports": ready["ports"], "rates": rates, "metrics": samples });
            out.put(&format!("{report}\n"))?;
        }
        Shape::Table => {
            out.put(&table(&rows(&now, &ready, code == 200, &rate), 2))?;
        }
    }
    out.end()?;
    Ok(if code == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rows(
    now: &Samples,
    ready: &serde_json::Value,
    is_ready: bool,
    rate: &dyn Fn(&str) -> f64,
) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("ready", if is_ready { "yes".to_owned() } else { "NO".to_owned() });
    for (port, state) in ready["ports"].as_object().into_iter().flatten() {
        let up = if state["up"] == true { "up" } else { "DOWN" };
        let detail = crate::output::printable(state["detail"].as_str().unwrap_or_default(), 300);
        row(port, format!("{up}  {detail}"));
    }
    let whole = |value: f64| thousands(value.max(0.0) as u64);
    for (what, name) in [
        ("read", "tapeline_records_read_total"),
        ("produced", "tapeline_records_produced_total"),
        ("stored", "tapeline_records_stored_total"),
    ] {
        row(what, format!("{}, {}/s", counted(now.sum(name).round() as u64, "record"), whole(rate(name))));
    }
    let lag = now.sum("tapeline_consumer_lag");
    let worst =
        now.of("tapeline_consumer_lag").max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, most)| *most > 0.0);
    let worst = worst.and_then(|(labels, most)| {
        let place = format!("{}/{}", label(labels, "topic")?, label(labels, "partition")?);
        Some(format!(", most in {place} ({})", whole(most)))
    });
    row("lag", format!("{}{}", counted(lag.round() as u64, "message"), worst.unwrap_or_default()));
    let name = "tapeline_end_to_end_latency_seconds";
    if let (Some(p50), Some(p99)) = (now.quantile(name, 0.5), now.quantile(name, 0.99)) {
        row("receipt to stored", format!("p50 {}, p99 {} (by buckets)", duration(p50), duration(p99)));
    }
    for (what, name) in [
        ("retries", "tapeline_retries_total"),
        ("dead letters", "tapeline_dead_letters_total"),
        ("open gaps", "tapeline_open_gaps"),
        ("lost ranges", "tapeline_lost_ranges_total"),
    ] {
        row(what, whole(now.sum(name)));
    }
    for (labels, connected) in now.of("tapeline_feed_connected") {
        let feed = label(labels, "feed").unwrap_or("?");
        row("feed", format!("{feed} {}", if connected > 0.0 { "connected" } else { "DISCONNECTED" }));
    }
    let verified = now.sum("tapeline_last_verify_timestamp_seconds") as i64;
    let verified = match verified {
        0 => "never".to_owned(),
        at => format!("{} UTC", market::UnixNanos(at.saturating_mul(1_000_000_000))),
    };
    row("last verified", verified);
    rows
}

/// A GET over plain HTTP; status and body.
fn get(url: &str, path: &str, token: &str) -> Result<(u16, String)> {
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    if !url.starts_with("http://") {
        return Err(
            Error::user(format!("`{url}`: expected an http:// address")).hint("--url http://127.0.0.1:9464")
        );
    }
    let (host, port) = of_url(&url);
    let hint = "start a verb with metrics: TAPELINE__METRICS__LISTEN=127.0.0.1:9464 tapeline run …";
    let away = |error: std::io::Error| Error::external(format!("{url}{path}: {error}")).hint(hint);
    let mut addresses = (host.as_str(), port).to_socket_addrs().map_err(away)?;
    let address = addresses.next().ok_or_else(|| Error::user(format!("{host} has no address")))?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER).map_err(away)?;
    stream.set_read_timeout(Some(ANSWER)).map_err(away)?;
    let login = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n{login}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(away)?;
    let mut reply = Vec::new();
    stream.take(LARGEST).read_to_end(&mut reply).map_err(away)?;
    let reply = String::from_utf8_lossy(&reply);
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    match code {
        Some(401) => Err(Error::user(format!("{url} demands a token")).hint("set TAPELINE__METRICS__TOKEN")),
        Some(code) if code == 200 || path == "/ready" => Ok((code, body.to_owned())),
        _ => Err(Error::user(format!("{url}{path}: the reply is not from tapeline")).hint(hint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_and_quantiles_are_read() {
        let text = "# HELP x y\nx_total{a=\"1\",b=\"t.trades\"} 3\nx_total{a=\"2\"} 4\nh_bucket{le=\"0.1\"} 50\nh_bucket{le=\"1\"} 100\nh_bucket{le=\"+Inf\"} 100\nplain 7\n";
        let samples = Samples::parse(text);
        assert_eq!((samples.sum("x_total"), samples.sum("plain"), samples.sum("none")), (7.0, 7.0, 0.0));
        assert_eq!(label(samples.of("x_total").next().unwrap().0, "b"), Some("t.trades"));
        assert_eq!((samples.quantile("h", 0.5), samples.quantile("h", 0.75)), (Some(100_000), Some(550_000)));
        assert_eq!(samples.quantile("none", 0.5), None);
    }
}
