//! Access control, rate limits, and the headers of every reply.

use super::problem::Problem;
use crate::app::App;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ports::metrics::METRICS;
use std::net::IpAddr;
use std::time::Instant;

/// The address a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The address a request came from, or loopback in tests without a connection.
pub(crate) fn peer(request: &Request) -> IpAddr {
    request.extensions().get::<Peer>().map_or(IpAddr::from([127, 0, 0, 1]), |peer| peer.0)
}

/// Whether a request opens a stream whose client sends its token in a message: Alpaca's websocket.
fn authenticates_later(request: &Request) -> bool {
    let feed = request.uri().path().strip_prefix("/v2/");
    *request.method() == Method::GET
        && feed.is_some_and(|feed| !feed.contains('/'))
        && is_websocket(request.headers())
}

/// Whether a request is the handshake of a websocket.
pub(crate) fn is_websocket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}

/// Maximum length of path and query in bytes.
const TARGET: usize = 4_096;

const HEADERS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// Middleware of every route.
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let _counted = METRICS.http_request();
    let mut response = match refuse(&app, &request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    METRICS.http_answered(response.status().as_u16());
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refuse(app: &App, request: &Request) -> Option<Problem> {
    let (limits, headers) = (&app.settings.limits, request.headers());
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > TARGET) {
        return Some(Problem::new(
            StatusCode::URI_TOO_LONG,
            format!("path and query are longer than {TARGET} bytes"),
        ));
    }
    if !app.rates.take(peer(request), limits.requests_per_second, limits.burst, Instant::now()) {
        let detail = format!("more than {} requests per second", limits.requests_per_second);
        return Some(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(1));
    }
    if app.settings.token.is_empty() {
        // A page of another site that resolves its name to 127.0.0.1 must not read the store.
        if !headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(is_local) {
            let detail = "this server accepts only localhost: the Host header names another machine";
            return Some(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
        }
    } else if !has_token(app, headers) && !authenticates_later(request) {
        return Some(Problem::unauthorized());
    }
    // Browsers send requests that read to any site, and keep the reply from the page; not so with websockets.
    let reads = matches!(*request.method(), Method::GET | Method::HEAD) && !is_websocket(headers);
    if !reads && !same_origin(headers) {
        return Some(Problem::new(StatusCode::FORBIDDEN, "the request comes from a page of another site"));
    }
    None
}

/// Whether the headers have the server's token.
pub(crate) fn has_token(app: &App, headers: &HeaderMap) -> bool {
    credentials(headers).is_some_and(|given| same(given.as_bytes(), app.settings.token.as_bytes()))
}

pub(crate) fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, name)| name == host),
        (Some(_), None) => false,
    }
}

/// The client's credential: a bearer token (InfluxDB's clients call the scheme `Token`), the password of basic authentication, or Alpaca's secret.
pub(crate) fn credentials(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(secret) = text("apca-api-secret-key") {
        return Some(secret.to_owned());
    }
    let (scheme, value) = text("authorization")?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") {
        return Some(value.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        return basic(value).map(|(_, password)| password);
    }
    None
}

/// User name and password of basic authentication.
fn basic(value: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(base64(value.trim())?).ok()?;
    decoded.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// The user name that a person entered with the token; it identifies nobody, because all share the token.
pub(crate) fn user(headers: &HeaderMap) -> Option<String> {
    let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let user = scheme.eq_ignore_ascii_case("basic").then(|| basic(value)).flatten()?.0;
    (!user.is_empty()).then_some(user)
}

/// RFC 4648 section 4.
fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for byte in text.trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|dead_letter| *dead_letter == byte)?;
        bits = (bits << 6 | value as u32) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

/// Compares in constant time.
pub(crate) fn same(given: &[u8], wanted: &[u8]) -> bool {
    let mut different = given.len() ^ wanted.len();
    for (index, byte) in given.iter().enumerate() {
        different |= usize::from(byte ^ wanted[index % wanted.len().max(1)]);
    }
    different == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:8787", "127.9.9.9", "[::1]:8787"] {
            assert!(is_local(host), "{host}");
        }
        for host in
            ["", "evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]", "localhost.evil.example"]
        {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn credentials_are_read_from_three_headers() {
        let read = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            credentials(&headers)
        };
        assert_eq!(read("authorization", "Bearer abc").as_deref(), Some("abc"));
        assert_eq!(read("authorization", "Basic bWU6YWI6Yw==").as_deref(), Some("ab:c"));
        assert_eq!(read("apca-api-secret-key", "abc").as_deref(), Some("abc"));
        for bad in ["Basic !!!", "Basic", "Digest x", "Basic YWJj"] {
            assert_eq!(read("authorization", bad), None, "{bad}");
        }
        assert!(
            same(b"abc", b"abc") && !same(b"abd", b"abc") && !same(b"abcabc", b"abc") && !same(b"", b"abc")
        );
    }
}
