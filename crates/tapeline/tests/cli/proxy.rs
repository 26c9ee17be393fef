//! `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`: streams, requests and alerts go through a proxy on loopback. The hosts in
//! the tests do not exist, so that nothing reaches the simulator but through the proxy.

use super::live::{Simulator, places, tape_of};
use super::{finish, run, signal, tapeline, with};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PASSWORD: &str = "hun%40ter2-of-proxy";
/// `me:hun@ter2-of-proxy` in Base64.
const TOKEN: &str = "bWU6aHVuQHRlcjItb2YtcHJveHk=";

/// A proxy that demands a login and connects every tunnel to one server.
struct Proxy {
    address: String,
    /// The first line of each request, and the first bytes a client sent through its tunnel.
    seen: Arc<Mutex<Vec<(String, Vec<u8>)>>>,
}

impl Proxy {
    fn new(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (server, all) = (server.to_owned(), Arc::clone(&seen));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server, all) = (client.unwrap(), server.clone(), Arc::clone(&all));
                std::thread::spawn(move || tunnel(client, &server, &all));
            }
        });
        Self { address, seen }
    }

    fn url(&self, login: &str) -> String {
        format!("http://{login}@{}", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
    }
}

fn tunnel(mut client: TcpStream, server: &str, seen: &Mutex<Vec<(String, Vec<u8>)>>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    if !head.contains(&format!("Proxy-Authorization: Basic {TOKEN}\r\n")) {
        // A proxy that repeats what it was sent.
        let body = format!("{head}{PASSWORD}");
        let reply = format!("HTTP/1.1 407 Who are you\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        client.write_all(reply.as_bytes()).unwrap();
        seen.lock().unwrap().push((line, Vec::new()));
        return;
    }
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
    let mut start = [0; 4_096];
    let length = client.read(&mut start).unwrap_or(0);
    seen.lock().unwrap().push((line, start[..length].to_vec()));
    let mut server = TcpStream::connect(server).unwrap();
    let _ = server.write_all(&start[..length]);
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
}

fn shows_no_secret(text: &str) {
    for secret in [PASSWORD, "hun@ter2", TOKEN] {
        assert!(!text.contains(secret), "`{secret}` was printed: {text}");
    }
}

#[test]
fn a_stream_goes_through_the_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(dir.path());
    let simulator = Simulator::new("alpaca", &tape_of(&["IBM"]), &["--speed", "3000"]);
    let proxy = Proxy::new(&simulator.address);
    let source = "alpaca:sip?symbols=IBM&speed=3000";
    let mut client = simulator.client(source, &places, true);
    client
        .arg("--log=trace")
        .env("TAPELINE__SOURCE__ALPACA__STREAM", "ws://stream.vendor.invalid:8443")
        .env("TAPELINE__SOURCE__ALPACA__REST", "http://data.vendor.invalid")
        .env("HTTP_PROXY", proxy.url(&format!("me:{PASSWORD}")))
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .env("NO_PROXY", "other.invalid");
    let child = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !run(&[&with("count", &places)[..], &["--format", "json"]].concat()).1.contains("IBM") {
        assert!(start.elapsed() < Duration::from_secs(60), "no trade was stored");
        std::thread::sleep(Duration::from_millis(200));
    }
    signal(&child, "-TERM");
    let (code, text) = finish(child.wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
    shows_no_secret(&text);
    let requests = proxy.requests();
    assert!(
        requests.iter().any(|line| line == "CONNECT stream.vendor.invalid:8443 HTTP/1.1"),
        "{requests:?}"
    );
}

#[test]
fn requests_go_through_the_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(dir.path());
    let simulator = Simulator::new("yahoo", &tape_of(&["IBM"]), &[]);
    let proxy = Proxy::new(&simulator.address);
    let source = "poll:yahoo?symbols=IBM&interval=1d&from=2013-09-25&to=2013-10-09&once=true";
    let poll = |login: &str, except: &str| {
        let mut client =
            tapeline(&[&with("run", &places)[..], &["--source", source, "--log=trace"]].concat());
        client
            .env("TAPELINE__SOURCE__POLL__YAHOO__REST", "http://query.vendor.invalid")
            .env("HTTP_PROXY", proxy.url(login))
            .env("NO_PROXY", except);
        finish(client.output().unwrap())
    };
    let (code, text) = poll(&format!("me:{PASSWORD}"), "");
    assert!(code == 0 && text.contains("vendor bars: "), "{text}");
    shows_no_secret(&text);
    let requests = proxy.requests();
    assert!(!requests.is_empty(), "nothing went through the proxy");
    assert!(requests.iter().all(|line| line == "CONNECT query.vendor.invalid:80 HTTP/1.1"), "{requests:?}");
    // An excepted host is reached directly, which this one cannot be.
    let mut doctor = tapeline(&[&with("doctor", &places)[..], &["--source", source]].concat());
    doctor
        .env("TAPELINE__SOURCE__POLL__YAHOO__REST", "http://query.vendor.invalid")
        .env("HTTP_PROXY", proxy.url(&format!("me:{PASSWORD}")));
    let (_, found) = finish(doctor.env("NO_PROXY", ".vendor.invalid").output().unwrap());
    assert!(found.contains("query.vendor.invalid: the host name cannot be resolved"), "{found}");
    let (_, found) = finish(doctor.env("NO_PROXY", "").output().unwrap());
    assert!(found.contains("opened a tunnel to query.vendor.invalid:80"), "{found}");
    shows_no_secret(&found);
}

#[test]
fn tls_is_between_client_and_vendor_and_a_refused_login_is_permanent() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(dir.path());
    // Any server: what matters is what the client sends it.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::new(&server.local_addr().unwrap().to_string());
    std::thread::spawn(move || server.incoming().for_each(drop));
    let start = |login: &str, wait: &str| {
        let more = ["--wait", wait, "--source", "kraken:?symbols=BTC/USD"];
        let mut client = tapeline(&[&with("run", &places)[..], &more].concat());
        client
            .env("TAPELINE__SOURCE__KRAKEN__STREAM", "wss://stream.vendor.invalid/v2")
            .env("HTTPS_PROXY", proxy.url(login));
        finish(client.output().unwrap())
    };
    let (code, text) = start(&format!("me:{PASSWORD}"), "1");
    assert!(code == 4 && text.contains("handshake"), "{code}: {text}");
    shows_no_secret(&text);
    {
        let seen = proxy.seen.lock().unwrap();
        let (line, sent) = &seen[0];
        assert_eq!(line, "CONNECT stream.vendor.invalid:443 HTTP/1.1");
        // A TLS record with a ClientHello that names the vendor.
        assert!(sent.starts_with(&[0x16, 3]), "{sent:?}");
        assert!(sent.windows(21).any(|bytes| bytes == b"stream.vendor.invalid"));
    }
    let (code, text) = start("me:wrong-of-proxy", "30");
    assert!(
        code == 1 && text.contains("refuses the login (HTTP 407)") && text.contains("HTTPS_PROXY"),
        "{text}"
    );
    assert!(!text.contains("wrong-of-proxy"), "{text}");
    shows_no_secret(&text);
}

#[test]
fn alerts_go_through_the_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::new(&server.local_addr().unwrap().to_string());
    std::thread::spawn(move || {
        for client in server.incoming() {
            let mut client = client.unwrap();
            let mut bytes = [0; 16_384];
            let _ = client.read(&mut bytes);
            client.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    let path = dir.path().join("tapeline.toml");
    let channel = "[[alert.channels]]\nname = 'hook'\ntype = 'webhook'\nurl = 'http://hooks.vendor.invalid/x'\nsecret = 's'\n";
    std::fs::write(&path, channel).unwrap();
    let send = |login: &str| {
        let mut command = tapeline(&["alert", "test", "hook", "--log=trace", "--config"]);
        finish(command.arg(&path).env("HTTP_PROXY", proxy.url(login)).output().unwrap())
    };
    let (code, text) = send(&format!("me:{PASSWORD}"));
    assert!(code == 0 && text.contains("accepted a test message"), "{text}");
    shows_no_secret(&text);
    assert_eq!(proxy.requests(), ["CONNECT hooks.vendor.invalid:80 HTTP/1.1"]);
    let (code, text) = send("me:wrong-of-proxy");
    assert!(code == 4 && text.contains("407") && !text.contains("wrong-of-proxy"), "{code}: {text}");
    shows_no_secret(&text);
}
