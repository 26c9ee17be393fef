//! Hostile peers: handshakes without an end, and replies that repeat what they were sent.

use super::{finish, run, signal, tapeline};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Serves each connection on its own thread, until the test's process ends; returns `127.0.0.1:PORT`.
fn server(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Never answers.
fn silent(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Sends a header a byte at a time, faster than any read timeout.
fn trickle(mut stream: TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nX-Filler: ");
    while stream.write_all(b"x").is_ok() {
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Completes the websocket handshake and then greets indefinitely, and acknowledges nothing.
fn flood(stream: TcpStream) {
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    let greeting = tungstenite::Message::text(r#"[{"T":"greeting","msg":"hello"}]"#);
    while socket.send(greeting.clone()).is_ok() {}
}

/// Completes the websocket handshake and says nothing more.
fn mute(stream: TcpStream) {
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    while socket.read().is_ok() {}
}

/// A handshake that hangs, trickles or floods is given up at a deadline, with the reason; memory is bounded.
#[test]
fn a_handshake_without_an_end_is_given_up() {
    type Peer = fn(TcpStream);
    let cases: [(&str, Peer, &str); 4] = [
        ("silent", silent, "handshake: no complete response within 10 s"),
        ("trickle", trickle, "handshake: no complete response within 10 s"),
        ("mute", mute, "the subscription was not acknowledged within 10 s"),
        ("flood", flood, "no acknowledgement of the subscription"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let children: Vec<_> = cases
        .iter()
        .map(|(name, peer, reason)| {
            let (topic, store) = (format!("{name}-t.db"), format!("{name}-s.db"));
            let file = |name: &str| format!("sqlite:{}", dir.path().join(name).display());
            let child = tapeline(&["run", "--source", "alpaca:sip?symbols=SPY", "--wait", "1"])
                .args(["--topic", &file(&topic), "--store", &file(&store)])
                .current_dir(dir.path())
                .env("APCA_API_KEY_ID", "key-of-test")
                .env("APCA_API_SECRET_KEY", "secret-of-test")
                .env("TAPELINE__SOURCE__ALPACA__STREAM", format!("ws://{}", server(*peer)))
                .env("TAPELINE__SOURCE__ALPACA__REST", "http://127.0.0.1:1")
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            (child, name, reason)
        })
        .collect();
    for (child, name, reason) in children {
        let id = child.id();
        let start = Instant::now();
        // Watched while it runs: the peak of an ended process cannot be read.
        let watch = std::thread::spawn(move || {
            let mut peak = 0;
            while let Some(kib) = resident_kib(id) {
                peak = peak.max(kib);
                std::thread::sleep(Duration::from_millis(50));
                assert!(start.elapsed() < Duration::from_secs(120), "still running");
            }
            peak
        });
        let (code, text) = finish(child.wait_with_output().unwrap());
        assert!(code == 4 && text.contains(reason), "{name}: exit {code}: {text}");
        let peak = watch.join().unwrap();
        assert!(peak < 300 << 10, "{name}: {peak} KiB resident");
    }
}

fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Acknowledges Kraken's subscription and sends a trade, all of it in binary frames.
fn binary(stream: TcpStream) {
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    let Ok(request) = socket.read() else { return };
    assert!(request.to_text().unwrap().contains("subscribe"), "{request}");
    for text in [
        r#"{"method":"subscribe","result":{"channel":"trade","symbol":"BTC/USD"},"success":true,"req_id":1}"#,
        r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":100000.5,"qty":0.25,"ord_type":"market","trade_id":7,"timestamp":"2025-05-28T13:30:00.123456Z"}]}"#,
    ] {
        let _ = socket.send(tungstenite::Message::binary(text.as_bytes().to_vec()));
    }
    while socket.read().is_ok() {}
}

/// Some vendors, and proxies before them, send JSON in binary frames.
#[test]
fn json_in_binary_frames_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("sqlite:{}", dir.path().join(name).display());
    let (topic, store) = (file("t.db"), file("s.db"));
    let child =
        tapeline(&["run", "--source", "kraken:?symbols=BTC/USD", "--topic", &topic, "--store", &store])
            .current_dir(dir.path())
            .env("TAPELINE__SOURCE__KRAKEN__STREAM", format!("ws://{}", server(binary)))
            .env("TAPELINE__SOURCE__KRAKEN__REST", "http://127.0.0.1:1")
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
    let start = Instant::now();
    let query = ["query", "trades", "BTC/USD", "--format", "csv", "--store", &store];
    let text = loop {
        let (_, text) = run(&query);
        if text.contains("100000.5") {
            break text;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{text}");
        std::thread::sleep(Duration::from_millis(100));
    };
    signal(&child, "-INT");
    let (code, output) = finish(child.wait_with_output().unwrap());
    assert!(code == 0 && text.contains("0.25"), "exit {code}: {text}{output}");
}

/// Start of every secret of the test.
const MARKER: &str = "hunter2-c0ffee";

/// Every setting that holds a secret.
fn settings(echo: &str) -> String {
    let mut text = String::new();
    let mut number = 0;
    let mut secret = || {
        number += 1;
        format!("{MARKER}-{number}")
    };
    for vendor in ["alpaca", "massive", "finnhub", "coinbase", "kraken", "binance"] {
        writeln!(text, "[source.{vendor}]\nstream = \"ws://{echo}\"\nrest = \"http://{echo}\"").unwrap();
        writeln!(text, "key = \"{}\"\nsecret = \"{}\"", secret(), secret()).unwrap();
    }
    for vendor in ["alphavantage", "twelvedata", "yahoo"] {
        writeln!(text, "[source.poll.{vendor}]\nrest = \"http://{echo}\"\nkey = \"{}\"", secret()).unwrap();
        writeln!(text, "per_minute = 0").unwrap();
    }
    writeln!(text, "[source.mqtt]\nusername = \"me\"\npassword = \"{}\"", secret()).unwrap();
    writeln!(text, "[topic.kafka.sasl]\nmechanism = \"PLAIN\"\nusername = \"me\"").unwrap();
    writeln!(text, "password = \"{}\"", secret()).unwrap();
    writeln!(text, "[topic.kafka.properties]\n\"ssl.key.password\" = \"{}\"", secret()).unwrap();
    writeln!(text, "[store.cassandra]\nusername = \"me\"\npassword = \"{}\"", secret()).unwrap();
    writeln!(text, "[serve]\ntoken = \"{}\"\n[metrics]\ntoken = \"{}\"", secret(), secret()).unwrap();
    for (name, kind) in [
        (
            "mail",
            format!(
                "type = \"smtp\"\nhost = \"127.0.0.1\"\nport = 1\nencryption = \"none\"\nuser = \"me\"\npassword = \"{}\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]",
                secret()
            ),
        ),
        (
            "hook",
            format!("type = \"webhook\"\nurl = \"http://{echo}/{}\"\nsecret = \"{}\"", secret(), secret()),
        ),
        (
            "sms",
            format!(
                "type = \"twilio\"\naccount = \"AC1\"\ntoken = \"{}\"\nendpoint = \"http://{echo}\"\nfrom = \"+15550000000\"\nto = [\"+15550000001\"]",
                secret()
            ),
        ),
        (
            "aws",
            format!(
                "type = \"sns\"\nregion = \"us-east-1\"\naccess_key = \"AKID\"\nsecret_key = \"{}\"\nsession_token = \"{}\"\nendpoint = \"http://{echo}\"\nto = [\"+15550000001\"]",
                secret(),
                secret()
            ),
        ),
    ] {
        writeln!(text, "[[alert.channels]]\nname = \"{name}\"\n{kind}").unwrap();
    }
    writeln!(text, "[log]\nlevel = \"trace\"").unwrap();
    text
}

/// Answers every request with what it contained, as vendors do that quote the key in their refusal.
fn echo(status: &'static str) -> impl Fn(TcpStream) + Send + Sync + Clone {
    move |mut stream: TcpStream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut request, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            request.push_str(&line);
        }
        let mut body = vec![0; length];
        let _ = reader.read_exact(&mut body);
        request.push_str(&String::from_utf8_lossy(&body));
        // Terminal control characters as well: they are escaped.
        let reply =
            format!("{{\"Information\":{:?},\"esc\":\"\u{1b}[31m\"}}", format!("\u{1b}[2J {request}"));
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{reply}",
            reply.len()
        );
    }
}

/// What else gives a secret away: the login of Twilio, base64 of `AC1:` and the token.
fn disguised() -> String {
    let plain = format!("AC1:{MARKER}");
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // Whole groups of three bytes: what follows them does not change the text.
    plain
        .as_bytes()
        .chunks_exact(3)
        .flat_map(|group| {
            let bits = group.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte));
            [18, 12, 6, 0].map(|shift| char::from(alphabet[(bits >> shift) as usize & 63]))
        })
        .collect()
}

/// The text of a run, checked: no secret and no control character in it, nor in the command line of the process.
fn checked(command: &mut Command) -> (i32, String) {
    let name = format!("{:?}", command.get_args().collect::<Vec<_>>());
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let shown = std::fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
    let (code, text) = finish(child.wait_with_output().unwrap());
    for (place, text) in [("output", &text), ("command line", &shown)] {
        let found = text.lines().find(|line| line.contains(MARKER) || line.contains(&disguised()));
        assert!(found.is_none(), "{name}: a secret in its {place}: {}", found.unwrap_or_default());
    }
    assert!(!text.contains('\u{1b}'), "{name}: control characters in its output");
    (code, text)
}

/// No secret is in any output at log level trace, in any file that is written, or in a command line.
#[test]
fn no_secret_is_printed_or_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let begin = |arguments: &[&str]| {
        let mut command = tapeline(arguments);
        command.current_dir(path).env("NO_COLOR", "1");
        command
    };
    let config = |echo: &str| std::fs::write(path.join("tapeline.toml"), settings(echo)).unwrap();
    for status in ["401 Unauthorized", "200 OK", "400 Bad Request"] {
        config(&server(echo(status)));
        for arguments in [
            &["config", "show"][..],
            &["config", "show", "--format", "json"],
            &["config", "check"],
            &["run", "--source", "alpaca:sip?symbols=SPY", "--wait", "1"],
            &["run", "--source", "massive:stocks?symbols=SPY", "--wait", "1"],
            &["run", "--source", "finnhub?symbols=SPY", "--wait", "1"],
            &["run", "--source", "poll:alpaca?symbols=SPY&interval=1m&once=true", "--wait", "1"],
            &["run", "--source", "poll:massive?symbols=SPY&interval=1m&once=true", "--wait", "1"],
            &["run", "--source", "poll:alphavantage?symbols=SPY&interval=1d&once=true", "--wait", "1"],
            &["run", "--source", "poll:twelvedata?symbols=SPY&interval=1m&once=true", "--wait", "1"],
            &["alert", "test", "hook"],
            &["alert", "test", "sms"],
            &["alert", "test", "aws"],
            &["alert", "test", "mail"],
        ] {
            let mut command = begin(arguments);
            let limit = ["timeout", "-s", "INT", "8"];
            // `run` of a source that is retried indefinitely is interrupted.
            if arguments[0] == "run" {
                let mut limited = Command::new(limit[0]);
                limited.args(&limit[1..]).arg(command.get_program()).args(command.get_args());
                limited.current_dir(path).env("NO_COLOR", "1").stdin(std::process::Stdio::null());
                command = limited;
            }
            checked(&mut command);
        }
    }
    let dead = ["--topic", "kafka://127.0.0.1:1", "--store", "cassandra://127.0.0.1:1/k", "--wait", "1"];
    for verb in ["init", "consume", "doctor", "verify", "count"] {
        let (code, text) = checked(begin(&[verb]).args(dead));
        assert!(code != 0, "{verb}: {text}");
    }
    checked(&mut begin(&["run", "--source", "mqtt://127.0.0.1:1/a?format=ndjson", "--wait", "1"]));
    // A password in a URL is supported or refused; it is repeated in neither case. It is on this command line,
    // which the user wrote.
    for url in ["cassandra://me:PASSWORD@127.0.0.1:1/k", "kafka://me:PASSWORD@127.0.0.1:1"] {
        let option = if url.starts_with("kafka") { "--topic" } else { "--store" };
        let output =
            begin(&["count", option, &url.replace("PASSWORD", MARKER), "--wait", "1"]).output().unwrap();
        let (code, text) = finish(output);
        assert!(code != 0 && !text.contains(MARKER), "{url}: exit {code}: {text}");
    }
    for broken in [
        format!("[store.cassandra]\npassword = \"{MARKER}\n"),
        format!("[store.cassandra]\npassword = {MARKER}\n"),
        format!("[store.cassandra]\npasword = \"{MARKER}\"\n"),
        format!("[topic.kafka.properties]\n\"sasl.pasword\" = \"{MARKER}\"\n"),
        format!("[topic.kafka.properties]\n\"sasl.oauthbearer.client.secret\" = \"{MARKER}\"\n"),
        format!("[topic.kafka.properties]\n\"socket.timeout.ms\" = \"{MARKER}\"\n"),
        format!("[source.alpaca]\nkey = [\"{MARKER}\"]\n"),
    ] {
        std::fs::write(path.join("tapeline.toml"), &broken).unwrap();
        let (code, text) = checked(begin(&["doctor"]).args(dead));
        assert!(code != 0, "{broken}: {text}");
    }
    std::fs::remove_file(path.join("tapeline.toml")).unwrap();
    assert_no_marker(path);
}

/// Searches every file below a folder.
fn assert_no_marker(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_no_marker(&path);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes());
            assert!(!found, "a secret in {}", path.display());
        }
    }
}
