//! `GET /v2/stocks/{trades|quotes}`: what has been played, in pages, sorted by symbol and then by time.

use super::{Item, Shared};
use market::{Kind, UnixNanos};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;

type Refused = (u16, String);

/// Answers a request and lets the connection end.
pub(super) fn answer(shared: &Shared, request: &[u8], stream: &mut TcpStream) {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let (status, body) = match head.parse(request) {
        Ok(httparse::Status::Complete(_)) => {
            let header = |name: &str| {
                let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                found.and_then(|header| std::str::from_utf8(header.value).ok()).unwrap_or_default()
            };
            let known = shared.admits(header("apca-api-key-id"), header("apca-api-secret-key"));
            match (head.method, known) {
                (Some("GET"), true) => match page(shared, head.path.unwrap_or_default()) {
                    Ok(body) => (200, body),
                    Err((status, message)) => {
                        (status, json!({"code": status, "message": message}).to_string())
                    }
                },
                (Some("GET"), false) => (403, json!({"code": 40310000, "message": "forbidden."}).to_string()),
                _ => (405, json!({"code": 405, "message": "method not allowed"}).to_string()),
            }
        }
        _ => (400, json!({"code": 400, "message": "not a request"}).to_string()),
    };
    let head = format!(
        "HTTP/1.1 {status} \r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

fn page(shared: &Shared, path: &str) -> Result<String, Refused> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let kind = match path {
        "/v2/stocks/trades" => Kind::Trade,
        "/v2/stocks/quotes" => Kind::Quote,
        _ => return Err((404, "endpoint not found".to_owned())),
    };
    let query: HashMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let text = |name: &str| query.get(name).map(String::as_str);
    let time = |name: &str, or: i64| match text(name) {
        Some(text) => UnixNanos::parse(text).map(|ts| ts.0).map_err(|_| (400, format!("invalid {name}"))),
        None => Ok(or),
    };
    let (start, end) = (time("start", i64::MIN)?, time("end", i64::MAX)?);
    let limit: usize =
        text("limit").unwrap_or("1000").parse().map_err(|_| (400, "invalid limit".to_owned()))?;
    let mut symbols: Vec<&str> =
        text("symbols").unwrap_or_default().split(',').filter(|s| !s.is_empty()).collect();
    if symbols.is_empty() {
        return Err((400, "symbols is required".to_owned()));
    }
    symbols.sort_unstable();
    symbols.dedup();
    // A page goes on after so many records of a symbol.
    let (after, skip) = match text("page_token").and_then(|token| token.rsplit_once('|')) {
        Some((symbol, count)) => (symbol, count.parse().map_err(|_| (400, "invalid page_token".to_owned()))?),
        None => ("", 0_usize),
    };
    let played = shared.played();
    let from = played.partition_point(|item| item.ts < start);
    let to = from + played[from..].partition_point(|item| item.ts <= end);
    let (mut out, mut room, mut next) = (String::from("{"), limit.clamp(1, 10_000), Value::Null);
    out.push_str(&format!("\"{}\":{{", kind.plural()));
    let mut first = true;
    for symbol in symbols.into_iter().filter(|symbol| *symbol >= after) {
        let Some(place) = shared.symbols.iter().position(|known| known == symbol) else { continue };
        let skip = if symbol == after { skip } else { 0 };
        let wanted = |item: &&Item| item.kind == kind && item.symbol as usize == place;
        let mut list = played[from..to].iter().filter(wanted).skip(skip).peekable();
        if list.peek().is_none() {
            continue;
        }
        if room == 0 {
            next = format!("{symbol}|{skip}").into();
            break;
        }
        out.push_str(&format!("{}{}:[", if first { "" } else { "," }, Value::from(symbol)));
        first = false;
        let mut count = 0;
        for item in list.by_ref().take(room) {
            if count > 0 {
                out.push(',');
            }
            item.body.past(&mut out);
            count += 1;
        }
        out.push(']');
        room -= count;
        if list.peek().is_some() {
            next = format!("{symbol}|{}", skip + count).into();
            break;
        }
    }
    out.push_str(&format!("}},\"next_page_token\":{next}}}"));
    Ok(out)
}
