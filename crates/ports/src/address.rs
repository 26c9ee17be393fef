//! Hosts and ports of addresses and URLs, and what a host's name resolves to.

use std::net::{SocketAddr, ToSocketAddrs};

/// The addresses of a host.
///
/// # Errors
/// Why there are none.
pub fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match (host, port).to_socket_addrs() {
        Ok(found) => {
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() { Err("the host name has no address".to_owned()) } else { Ok(found) }
        }
        Err(error) => Err(format!("the host name cannot be resolved: {error}")),
    }
}

/// Host and port of `host:port`; of the port's name nothing is guessed.
#[must_use]
pub fn host_and_port(text: &str, port: u16) -> (String, u16) {
    match text.rsplit_once(':') {
        Some((host, number)) if !host.is_empty() && !host.ends_with(':') => {
            (host.to_owned(), number.parse().unwrap_or(port))
        }
        _ => (text.to_owned(), port),
    }
}

/// Host and port of a URL, by its scheme where it names no port.
#[must_use]
pub fn of_url(url: &str) -> (String, u16) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    host_and_port(host, if matches!(scheme, "ws" | "http") { 80 } else { 443 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_read() {
        for (url, host, port) in [
            ("wss://stream.example/v2?x=1", "stream.example", 443),
            ("ws://127.0.0.1:8900/iex", "127.0.0.1", 8900),
            ("http://h", "h", 80),
        ] {
            assert_eq!(of_url(url), (host.to_owned(), port));
        }
        assert_eq!(host_and_port("[::1]:9092", 1), ("[::1]".to_owned(), 9092));
        assert_eq!(resolve("[::1]", 9092).unwrap()[0].port(), 9092);
    }
}
