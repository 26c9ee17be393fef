//! A minimal HTTP server on loopback that plays a script: for tests.

use crossbeam_channel::{Receiver, bounded};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

/// A reply: status, additional header lines, body.
pub(crate) type Scripted = (u16, String, String);

/// A reply with status 200.
pub(crate) fn ok(body: &str) -> Scripted {
    (200, String::new(), body.to_owned())
}

/// A server that replies to requests in script order; the last reply is repeated.
pub(crate) struct FakeHttp {
    /// For example `http://127.0.0.1:1234`.
    pub(crate) url: String,
    /// Request lines and headers, as received.
    pub(crate) requests: Receiver<String>,
}

impl FakeHttp {
    pub(crate) fn new(script: Vec<Scripted>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (send, requests) = bounded(1_024);
        std::thread::spawn(move || {
            let mut script = script.into_iter().peekable();
            let mut last = None;
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let mut reader = BufReader::new(stream);
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut request).unwrap_or(0) == 0 {
                        break;
                    }
                }
                if request.is_empty() {
                    continue;
                }
                if send.send(request).is_err() {
                    return;
                }
                last = script.next().or(last);
                let Some((status, headers, body)) = &last else { return };
                let reply = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
                    body.len()
                );
                let _ = reader.get_mut().write_all(reply.as_bytes());
            }
        });
        Self { url, requests }
    }

    /// Request lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests.try_iter().map(|text| text.lines().next().unwrap_or_default().to_owned()).collect()
    }
}
