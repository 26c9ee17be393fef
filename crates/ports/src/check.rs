//! What a port found when it was checked: one [`Link`] for each thing that must hold, in the order in which data needs
//! them. A chain ends at its first broken link, for what comes after cannot be judged.

use crate::address::{of_url, resolve};
use crate::error::Domain;
use crate::{Error, Result};
use serde::Serialize;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How a link was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, and something about it can do harm.
    Warning,
    /// Broken: nothing behind it can work.
    Failed,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// What was checked, as `DNS` or `topics`.
    pub name: &'static str,
    /// How it was found.
    pub status: Status,
    /// What was found; the cause where it is broken.
    pub detail: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether a server cannot be reached, so that waiting can help.
    pub away: bool,
}

/// The links of one port.
#[derive(Debug, Clone, Default)]
pub struct Chain(Vec<Link>);

impl Chain {
    /// No link yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a link that holds.
    pub fn ok(&mut self, name: &'static str, detail: impl Into<String>) {
        self.0.push(Link { name, status: Status::Ok, detail: detail.into(), next: None, away: false });
    }

    /// Adds a link that holds and can do harm.
    pub fn warn(&mut self, name: &'static str, detail: impl Into<String>, next: impl Into<String>) {
        let next = Some(next.into());
        self.0.push(Link { name, status: Status::Warning, detail: detail.into(), next, away: false });
    }

    /// Adds a broken link.
    pub fn fail(&mut self, name: &'static str, error: &Error) {
        let next = error.next().map(str::to_owned);
        let away = error.domain == Domain::External;
        self.0.push(Link { name, status: Status::Failed, detail: error.what().to_owned(), next, away });
    }

    /// Adds a link by its result. Whether it holds.
    pub fn step(&mut self, name: &'static str, result: Result<String>) -> bool {
        match result {
            Ok(detail) => self.ok(name, detail),
            Err(error) => self.fail(name, &error),
        }
        self.holds()
    }

    /// Whether no link is broken.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.0.iter().all(|link| link.status != Status::Failed)
    }

    /// All links.
    #[must_use]
    pub fn links(self) -> Vec<Link> {
        self.0
    }

    /// Adds DNS and TCP of some servers, of which one suffices. Whether one can be reached.
    pub fn reach(&mut self, servers: &[(String, u16)], setting: &str) -> bool {
        let (mut addresses, mut unknown) = (Vec::new(), Vec::new());
        for (host, port) in servers {
            match resolve(host, *port) {
                Ok(found) => addresses.push((format!("{host}:{port}"), found)),
                Err(cause) => unknown.push(format!("{host}: {cause}")),
            }
        }
        let next = format!("correct the host in {setting}, or ask the resolver: getent hosts HOST");
        if addresses.is_empty() {
            self.fail("DNS", &Error::user(unknown.join("; ")).hint(next));
            return false;
        }
        let known: Vec<String> = addresses.iter().map(|(name, found)| describe(name, found)).collect();
        match unknown.is_empty() {
            true => self.ok("DNS", known.join(", ")),
            false => self.warn("DNS", format!("{}; found {}", unknown.join("; "), known.join(", ")), next),
        }
        let (mut open, mut closed) = (Vec::new(), Vec::new());
        for (name, found) in &addresses {
            match connect(found) {
                Ok(took) => open.push(format!("{name} in {:.1} ms", took.as_secs_f64() * 1e3)),
                Err(cause) => closed.push(format!("{name}: {cause}")),
            }
        }
        let next = format!("start the server, or correct host and port in {setting}");
        if open.is_empty() {
            self.fail("TCP", &Error::external(closed.join("; ")).hint(next));
            return false;
        }
        match closed.is_empty() {
            true => self.ok("TCP", open.join(", ")),
            false => {
                self.warn("TCP", format!("{}; connected to {}", closed.join("; "), open.join(", ")), next)
            }
        }
        true
    }
}

/// How long a proxy may take to open a tunnel.
const TUNNEL: Duration = Duration::from_secs(10);

impl Chain {
    /// Adds what must hold before a URL's server can be reached: DNS and TCP of the server, or of its proxy and the tunnel.
    /// Whether it can.
    pub fn reach_url(&mut self, url: &str, setting: &str) -> bool {
        let (host, port) = of_url(url);
        match crate::proxy::ENVIRONMENT.of_url(url) {
            Err(error) => {
                self.fail("proxy", &error);
                false
            }
            Ok(None) => self.reach(&[(host, port)], setting),
            Ok(Some(proxy)) => {
                self.reach(&[(proxy.host.clone(), proxy.port)], proxy.variable())
                    && self.step(
                        "proxy",
                        proxy
                            .connect(&host, port, TUNNEL)
                            .map(|_| format!("opened a tunnel to {host}:{port}")),
                    )
            }
        }
    }
}

fn describe(name: &str, found: &[SocketAddr]) -> String {
    let addresses: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    if addresses.iter().any(|address| address == host) {
        host.to_owned()
    } else {
        format!("{host} is {}", addresses.join(", "))
    }
}

/// How long one address may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(3);

/// Connects to the first address that accepts; how long that took.
///
/// # Errors
/// Why none does.
pub fn connect(addresses: &[SocketAddr]) -> Result<Duration, String> {
    let mut cause = "no address".to_owned();
    for address in addresses {
        let start = Instant::now();
        match TcpStream::connect_timeout(address, PATIENCE) {
            Ok(_) => return Ok(start.elapsed()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                cause = "connection refused: nothing listens there".to_owned();
            }
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                cause = format!("no answer within {} s: a firewall, or the host is down", PATIENCE.as_secs());
            }
            Err(error) => cause = error.to_string(),
        }
    }
    Err(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_tells_a_wrong_name_from_a_closed_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let reach = |servers: &[(&str, u16)]| {
            let servers: Vec<(String, u16)> =
                servers.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
            let mut chain = Chain::new();
            let reached = chain.reach(&servers, "topic.url");
            let found: Vec<(&str, Status)> = chain.0.iter().map(|link| (link.name, link.status)).collect();
            (reached, found, chain.0.last().unwrap().clone())
        };
        let (reached, found, _) = reach(&[("127.0.0.1", port)]);
        assert!(reached && found == [("DNS", Status::Ok), ("TCP", Status::Ok)], "{found:?}");
        let (reached, found, last) = reach(&[("127.0.0.1", closed)]);
        assert!(!reached && found == [("DNS", Status::Ok), ("TCP", Status::Failed)], "{found:?}");
        assert!(last.away && last.detail.contains("refused") && last.next.unwrap().contains("topic.url"));
        let (reached, found, last) = reach(&[("no-such-host.invalid", 1)]);
        assert!(!reached && found == [("DNS", Status::Failed)] && !last.away, "{found:?}");
        // One server of several suffices, and the other is named.
        let (reached, found, last) = reach(&[("127.0.0.1", closed), ("127.0.0.1", port)]);
        assert!(reached && found == [("DNS", Status::Ok), ("TCP", Status::Warning)], "{found:?}");
        assert!(last.detail.contains(&closed.to_string()), "{}", last.detail);
    }
}
