//! HTTP proxies of outgoing connections, from the environment.
//!
//! | variable | meaning |
//! |---|---|
//! | `HTTPS_PROXY` | proxy of `https://` and `wss://` addresses |
//! | `HTTP_PROXY` | proxy of `http://` and `ws://` addresses |
//! | `ALL_PROXY` | proxy of either, where the variable above is not set |
//! | `NO_PROXY` | hosts that are reached directly: names (with their subdomains), addresses, networks, `*` |
//!
//! Each is also read in lower case. A proxy is `http://[USER:PASSWORD@]HOST[:PORT]`; every connection through it is a
//! tunnel (`CONNECT`), so that it sees host and port and nothing of what is sent over TLS. Loopback is always reached
//! directly. Credentials are never part of an error.

use crate::address::{of_url, resolve};
use crate::secret::Secret;
use crate::{Error, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Longest reply to `CONNECT` that is read, bytes.
const LARGEST: usize = 16 << 10;
const HINT: &str = "set it to http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with % as %25 and @ as %40";

/// A proxy and its login.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Host name or address.
    pub host: String,
    /// Port; 80 if the variable names none.
    pub port: u16,
    /// User name, decoded; empty if there is no login.
    pub user: Secret,
    /// Password, decoded.
    pub password: Secret,
    /// What `Proxy-Authorization` carries: user and password in Base64; empty if there is no login.
    token: Secret,
    /// The variable it comes from.
    variable: &'static str,
}

/// The proxies of the environment and the hosts that are reached without one.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    secure: Option<Result<Proxy>>,
    plain: Option<Result<Proxy>>,
    direct: Vec<String>,
}

/// The proxies of this process's environment.
pub static ENVIRONMENT: LazyLock<Proxies> = LazyLock::new(|| Proxies::read(|name| std::env::var(name).ok()));

impl Proxies {
    /// Reads the variables.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| {
            let either = variable(name).filter(|text| !text.trim().is_empty());
            either.or_else(|| variable(&name.to_ascii_lowercase())).filter(|text| !text.trim().is_empty())
        };
        let proxy = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| set(name).map(|text| Proxy::parse(name, text.trim())))
        };
        Self {
            secure: proxy(["HTTPS_PROXY", "ALL_PROXY"]),
            plain: proxy(["HTTP_PROXY", "ALL_PROXY"]),
            direct: set("NO_PROXY").map(|list| crate::options::list(&list)).unwrap_or_default(),
        }
    }

    /// The proxy through which a URL is reached; `None` if it is reached directly.
    ///
    /// # Errors
    /// The variable that applies to it is not a proxy's URL.
    pub fn of_url(&self, url: &str) -> Result<Option<&Proxy>> {
        let (host, port) = of_url(url);
        let chosen =
            if url.starts_with("ws:") || url.starts_with("http:") { &self.plain } else { &self.secure };
        match chosen {
            None => Ok(None),
            Some(_) if self.is_direct(&host, port) => Ok(None),
            Some(Ok(proxy)) => Ok(Some(proxy)),
            Some(Err(error)) => Err(error.clone()),
        }
    }

    /// The same, for a request.
    ///
    /// # Errors
    /// As [`Self::of_url`].
    pub fn of_request(&self, url: &str) -> Result<Option<ureq::Proxy>> {
        let Some(proxy) = self.of_url(url)? else { return Ok(None) };
        let mut builder = ureq::Proxy::builder(ureq::ProxyProtocol::Http).host(&proxy.host).port(proxy.port);
        if !proxy.user.is_empty() {
            builder = builder.username(proxy.user.reveal()).password(proxy.password.reveal());
        }
        builder.build().map(Some).map_err(|error| Error::user(format!("{}: {error}", proxy.describe())))
    }

    /// What must not be printed: passwords and tokens of all proxies.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let proxies = [&self.secure, &self.plain].into_iter().flatten().flatten();
        proxies.flat_map(|proxy| [&proxy.password, &proxy.token])
    }

    /// Whether a host is excepted: loopback, or named by `NO_PROXY`.
    fn is_direct(&self, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        self.direct.iter().any(|entry| {
            let entry = entry.to_ascii_lowercase();
            if entry == "*" {
                return true;
            }
            if let Some(address) = address {
                return within(address, &entry) || entry == format!("{host}:{port}");
            }
            let (name, its_port) = match entry.rsplit_once(':') {
                Some((name, number)) => (name, number.parse().ok()),
                None => (entry.as_str(), None),
            };
            let name = name.trim_start_matches('*').trim_start_matches('.');
            let fits = host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
            !name.is_empty() && fits && its_port.is_none_or(|its_port: u16| its_port == port)
        })
    }
}

/// Whether an address is the entry's, or in the entry's network, such as `10.0.0.0/8`.
fn within(address: IpAddr, entry: &str) -> bool {
    let (network, bits) = entry.split_once('/').unwrap_or((entry, "128"));
    let (Ok(network), Ok(bits)) = (network.trim_matches(['[', ']']).parse(), bits.parse::<u32>()) else {
        return false;
    };
    // The top bits of both, in one width.
    let (ours, theirs, width) = match (address, network) {
        (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
            (u128::from(u32::from(ours)), u128::from(u32::from(theirs)), 32)
        }
        (IpAddr::V6(ours), IpAddr::V6(theirs)) => (u128::from(ours), u128::from(theirs), 128),
        _ => return false,
    };
    let rest = width - bits.min(width);
    ours.checked_shr(rest).unwrap_or(0) == theirs.checked_shr(rest).unwrap_or(0)
}

impl Proxy {
    fn parse(variable: &'static str, text: &str) -> Result<Self> {
        let wrong = |found: &str| {
            Error::user(format!("{variable}: expected a proxy's URL, found {found}")).hint(HINT)
        };
        let rest = match text.split_once("://") {
            None => text,
            Some(("http", rest)) => rest,
            Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                return Err(wrong(&format!("one of scheme `{scheme}`, which is not supported")));
            }
            Some(_) => return Err(wrong("something else")),
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (host, port) = match place.rsplit_once(':') {
            Some((host, number)) if !host.is_empty() && !place.ends_with(']') => {
                (host, number.parse().map_err(|_| wrong("a port that is not a number from 1 to 65535"))?)
            }
            _ => (place, 80),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        if host.is_empty() || !host.chars().all(is_host) || port == 0 {
            return Err(wrong("no valid host and port"));
        }
        let decoded = |text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(wrong("a login that is not percent-encoded UTF-8")),
        };
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (user, password) = (decoded(user)?, decoded(password)?);
        let token = if login.is_empty() {
            String::new()
        } else {
            BASE64_STANDARD.encode(format!("{user}:{password}"))
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            user: user.into(),
            password: password.into(),
            token: token.into(),
            variable,
        })
    }

    /// Opens a tunnel to a host and port within a time limit. The stream has the limit as its read and write timeout.
    ///
    /// # Errors
    /// The proxy cannot be reached, refuses the login, or cannot reach the host.
    pub fn connect(&self, host: &str, port: u16, limit: Duration) -> Result<TcpStream> {
        let start = Instant::now();
        let left = || limit.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
        let place = self.describe();
        let away = |cause: &dyn std::fmt::Display| {
            Error::external(format!("{place}: {cause}"))
                .hint(format!("is {} right, and the proxy up?", self.variable))
        };
        let mut stream = None;
        let mut cause = "no address".to_owned();
        for address in resolve(&self.host, self.port).map_err(|cause| away(&cause))? {
            match TcpStream::connect_timeout(&address, left()) {
                Ok(open) => {
                    stream = Some(open);
                    break;
                }
                Err(error) => cause = error.to_string(),
            }
        }
        let mut stream = stream.ok_or_else(|| away(&cause))?;
        stream.set_write_timeout(Some(limit)).map_err(|error| away(&error))?;
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if !self.token.is_empty() {
            request.push_str(&format!("Proxy-Authorization: Basic {}\r\n", self.token.reveal()));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).map_err(|error| away(&error))?;
        // Byte by byte: what follows the reply belongs to the tunnel.
        let (mut reply, mut byte) = (Vec::new(), [0]);
        while !reply.ends_with(b"\r\n\r\n") {
            if reply.len() == LARGEST || start.elapsed() >= limit {
                return Err(away(&"no complete reply to CONNECT"));
            }
            stream.set_read_timeout(Some(left())).map_err(|error| away(&error))?;
            match stream.read(&mut byte) {
                Ok(0) => return Err(away(&"closed the connection during CONNECT")),
                Ok(_) => reply.push(byte[0]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(away(&"no reply to CONNECT"));
                }
                Err(error) => return Err(away(&error)),
            }
        }
        stream.set_read_timeout(Some(limit)).map_err(|error| away(&error))?;
        let status = std::str::from_utf8(&reply).ok().and_then(|text| {
            let mut words = text.split(' ');
            words.next().filter(|version| version.starts_with("HTTP/1."))?;
            words.next()?.get(..3)?.parse::<u16>().ok()
        });
        match status {
            Some(200..=299) => Ok(stream),
            Some(407) => Err(Error::user(format!("{place} refuses the login (HTTP 407)"))
                .hint(format!("correct user and password in {}", self.variable))),
            Some(code) => Err(Error::external(format!("{place}: HTTP {code} to CONNECT {host}:{port}"))
                .hint("may the proxy reach this host? exceptions go into NO_PROXY")),
            None => Err(away(&"the reply to CONNECT is not HTTP")),
        }
    }

    /// `proxy HOST:PORT`, without the login.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("proxy {}:{}", self.host, self.port)
    }

    /// The variable it comes from, as `HTTPS_PROXY`.
    #[must_use]
    pub const fn variable(&self) -> &'static str {
        self.variable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &'static [(&'static str, &'static str)]) -> Proxies {
        Proxies::read(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn chosen(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of_url(url).unwrap().map(|proxy| format!("{}:{}", proxy.host, proxy.port))
    }

    #[test]
    fn the_scheme_chooses_the_variable() {
        let both = read(&[("HTTPS_PROXY", "http://s:1"), ("http_proxy", "p:2/")]);
        for (url, proxy) in [
            ("https://a.test/x", "s:1"),
            ("wss://a.test", "s:1"),
            ("http://a.test", "p:2"),
            ("ws://a.test:9", "p:2"),
        ] {
            assert_eq!(chosen(&both, url).as_deref(), Some(proxy), "{url}");
        }
        let one = read(&[("ALL_PROXY", "http://all"), ("HTTPS_PROXY", " ")]);
        assert_eq!(chosen(&one, "wss://a.test").as_deref(), Some("all:80"));
        assert_eq!(chosen(&read(&[("HTTPS_PROXY", "http://s:1")]), "http://a.test"), None);
        assert_eq!(chosen(&read(&[]), "https://a.test"), None);
    }

    #[test]
    fn excepted_hosts_are_reached_directly() {
        let proxies = read(&[
            ("HTTPS_PROXY", "http://s:1"),
            ("NO_PROXY", "a.test, .b.test,c.test:8443,10.0.0.0/8,fd00::/8,192.0.2.7"),
        ]);
        for (host, direct) in [
            ("a.test", true),
            ("x.A.test", true),
            ("xa.test", false),
            ("b.test", true),
            ("y.b.test", true),
            ("c.test:8443", true),
            ("c.test", false),
            ("10.9.8.7", true),
            ("11.9.8.7", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("[fd12::1]", true),
            ("[fe80::1]", false),
            ("localhost", true),
            ("127.8.0.1", true),
            ("[::1]:9", true),
        ] {
            assert_eq!(chosen(&proxies, &format!("https://{host}/")).is_none(), direct, "{host}");
        }
        let all = read(&[("HTTPS_PROXY", "http://s:1"), ("NO_PROXY", "*")]);
        assert_eq!(chosen(&all, "https://a.test"), None);
    }

    #[test]
    fn logins_are_decoded_and_never_printed() {
        let proxies = read(&[("HTTPS_PROXY", "http://me:hun%40ter2@p.test:3128")]);
        let proxy = proxies.of_url("https://a.test").unwrap().unwrap();
        assert_eq!((proxy.user.reveal(), proxy.password.reveal()), ("me", "hun@ter2"));
        assert!(!format!("{proxies:?}").contains("ter2") && proxy.describe() == "proxy p.test:3128");
        assert!(proxies.secrets().any(|secret| secret.reveal() == BASE64_STANDARD.encode("me:hun@ter2")));
        for text in [
            "socks5://me:hunter2@h:1",
            "https://me:hunter2@h:1",
            "http://me:hunter2@h:port",
            "http://me:hunter2@",
            "http://me:hunter2@h:0",
            "http://me:hunter2%ff@h:1",
            "me:hunter2@a b",
        ] {
            let error = Proxy::parse("HTTPS_PROXY", text).unwrap_err().to_string();
            assert!(
                error.starts_with("HTTPS_PROXY: expected") && !error.contains("hunter2"),
                "{text}: {error}"
            );
        }
    }
}
