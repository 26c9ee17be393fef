//! Bodies with entity tags, and lists as JSON or CSV.

use super::problem::Problem;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_128;

/// Header with the cursor of the next page.
pub(crate) const NEXT: HeaderName = HeaderName::from_static("x-next-cursor");

/// Format of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// `{"rows":[…],"next":"…"}`
    #[default]
    Json,
    /// A header line and rows; the cursor is in the header `x-next-cursor`.
    Csv,
}

/// A list of objects, and the cursor of the next page.
pub(crate) struct List {
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Map<String, Value>>,
    pub(crate) next: Option<String>,
}

/// A body with its entity tag, or 304 if the client has it.
pub(crate) fn tagged(request: &HeaderMap, content_type: &'static str, body: Vec<u8>) -> Response {
    // Weak, because the body may be sent compressed.
    let tag = format!("W/\"{:032x}\"", xxh3_128(&body));
    let known = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|known| known.trim() == tag || known.trim() == "*");
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = body.into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// A JSON body.
pub(crate) fn json_body(request: &HeaderMap, value: &Value) -> Response {
    tagged(request, "application/json", value.to_string().into_bytes())
}

/// A list in the requested format.
pub(crate) fn list(request: &HeaderMap, format: Format, list: &List) -> Response {
    let next = list.next.as_deref().and_then(|next| HeaderValue::from_str(next).ok());
    let mut response = match format {
        Format::Json => json_body(request, &json!({ "rows": list.rows, "next": list.next })),
        Format::Csv => tagged(request, "text/csv; charset=utf-8", csv(list).into_bytes()),
    };
    if let Some(next) = next {
        response.headers_mut().insert(NEXT, next);
    }
    response
}

fn csv(list: &List) -> String {
    let mut out = list.columns.join(",") + "\n";
    for row in &list.rows {
        for (index, column) in list.columns.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            match row.get(*column) {
                Some(Value::String(text)) => quote(text, &mut out),
                Some(Value::Array(items)) => {
                    let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                    quote(&items.join(" "), &mut out);
                }
                Some(other) => quote(&other.to_string(), &mut out),
                None => {}
            }
        }
        out.push('\n');
    }
    out
}

/// RFC 4180.
fn quote(text: &str, out: &mut String) {
    if text.contains([',', '"', '\n', '\r']) {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

/// A reply or a problem.
pub(crate) type Answer = Result<Response, Problem>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_needs_it() {
        let row = json!({"a": "x,\"y\"", "b": ["@", "I"], "c": 1});
        let Value::Object(row) = row else { panic!("an object") };
        let list = List { columns: vec!["a", "missing", "b", "c"], rows: vec![row], next: None };
        assert_eq!(csv(&list), "a,missing,b,c\n\"x,\"\"y\"\"\",,@ I,1\n");
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let first = tagged(&HeaderMap::new(), "text/plain", b"x".to_vec());
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(tagged(&headers, "text/plain", b"x".to_vec()).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(tagged(&headers, "text/plain", b"y".to_vec()).status(), StatusCode::OK);
    }
}
