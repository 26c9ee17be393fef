//! Query parameters, with errors that name the parameter.

use super::problem::Problem;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use market::UnixNanos;
use serde::de::DeserializeOwned;

/// The parameters of a request.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::<T>::try_from_uri(&parts.uri).map(|Query(params)| Self(params)).map_err(|error| {
            Problem::bad(error.body_text()).hint("the parameters are described in /api/v1/openapi.json")
        })
    }
}

/// Maximum length of a symbol in bytes.
const SYMBOL: usize = 64;

/// A symbol as written by a feed.
pub(crate) fn symbol(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.len() > SYMBOL || text.chars().any(char::is_control) {
        return Err(Problem::bad(format!(
            "symbol: expected 1 to {SYMBOL} printable bytes, found {}",
            text.len()
        )));
    }
    Ok(text.to_owned())
}

/// Maximum length of a series in bytes: those of line protocol hold all their tags.
const SERIES: usize = 1_024;

/// The name of a series of readings.
pub(crate) fn series(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.len() > SERIES || text.chars().any(char::is_control) {
        return Err(Problem::bad(format!(
            "series: expected 1 to {SERIES} printable bytes, found {}",
            text.len()
        )));
    }
    Ok(text.to_owned())
}

/// A time; `None` if the parameter is absent.
pub(crate) fn time(name: &str, text: Option<&str>) -> Result<Option<UnixNanos>, Problem> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => {
            UnixNanos::parse(text).map(Some).map_err(|error| Problem::bad(format!("{name}: {error}")))
        }
    }
}

/// Start and end of a range.
pub(crate) fn range(from: Option<&str>, to: Option<&str>) -> Result<(Option<i64>, Option<i64>), Problem> {
    let (from, to) = (time("from", from)?, time("to", to)?);
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(Problem::bad(format!("from {from} is not before to {to}")));
    }
    Ok((from.map(|time| time.0), to.map(|time| time.0)))
}

/// A number of rows, at most `most`.
pub(crate) fn limit(requested: Option<u64>, default: usize, most: usize) -> Result<usize, Problem> {
    match requested {
        None => Ok(default.min(most)),
        Some(0) => Err(Problem::bad("limit: expected a number from 1, found 0")),
        Some(n) => usize::try_from(n).ok().filter(|n| *n <= most).ok_or_else(|| {
            Problem::bad(format!("limit: expected at most {most}, found {n}"))
                .hint("use the cursor in `next` for more")
        }),
    }
}

/// A time zone by its IANA name.
pub(crate) fn zone(text: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(name) = text.filter(|name| !name.is_empty()) else { return Ok(None) };
    // A time in a zone parses only if the zone is known.
    match UnixNanos::parse(&format!("2024-01-02T03:04[{name}]")) {
        Ok(_) => Ok(Some(name.to_owned())),
        Err(_) => {
            Err(Problem::bad(format!("tz: expected a time zone such as America/New_York, found `{name}`")))
        }
    }
}
