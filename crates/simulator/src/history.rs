//! Requests for records played so far.

use super::simulation::Simulation;
use super::vendor_api::{Request, query};
use std::io::Write;
use std::net::TcpStream;

/// Responds to a request and closes the connection.
pub(super) fn response(simulation: &Simulation, request: &[u8], stream: &mut TcpStream) {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let response = match head.parse(request) {
        Ok(httparse::Status::Complete(_)) if head.method == Some("GET") => {
            let headers = head
                .headers
                .iter()
                .map(|header| {
                    (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())
                })
                .collect::<std::collections::HashMap<_, _>>();
            let (path, text) =
                head.path.unwrap_or_default().split_once('?').unwrap_or((head.path.unwrap_or_default(), ""));
            let host = headers.get("host").cloned().unwrap_or_default();
            simulation.api.history(&simulation.shared, &Request { path, query: query(text), headers, host })
        }
        Ok(httparse::Status::Complete(_)) => Err((405, "method not allowed".to_owned())),
        _ => Err((400, "not a request".to_owned())),
    };
    let (status, body) = match response {
        Ok(body) => (200, body),
        Err(refused) => (refused.0, simulation.api.refused(&refused)),
    };
    let head = format!(
        "HTTP/1.1 {status} \r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}
