//! Rows of trades, quotes and bars in the requested format: JSON and CSV as all lists, Arrow IPC and Parquet as the
//! exports of `tapeline query` (docs/exports.md).

use super::problem::Problem;
use super::reply::{Format, List, NEXT, list, tagged};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use columnar::arrow::{ArrowWriter, Layout};
use columnar::columns::{OutputColumn, OutputValue};
use columnar::write::{Codec, ParquetWriter};
use serde_json::{Map, Value};

/// Format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RowFormat {
    /// `{"rows":[…],"next":"…"}`
    Json,
    /// A header line and rows; the cursor is in the header `x-next-cursor`.
    Csv,
    /// Arrow IPC, streaming format, with the columns of exports; the cursor is in the header `x-next-cursor`.
    Arrow,
    /// Parquet, with the columns of exports; the cursor is in the header `x-next-cursor`.
    Parquet,
}

/// Media types by which `Accept` requests a format.
const MEDIA_TYPES: [(&str, RowFormat); 4] = [
    ("application/json", RowFormat::Json),
    ("text/csv", RowFormat::Csv),
    (ARROW, RowFormat::Arrow),
    (PARQUET, RowFormat::Parquet),
];

const ARROW: &str = "application/vnd.apache.arrow.stream";
/// The media type of Parquet, which is compressed already.
pub(crate) const PARQUET: &str = "application/vnd.apache.parquet";

impl RowFormat {
    /// The format of the parameter, or else the preferred one of `Accept`, or else JSON.
    pub(crate) fn requested(parameter: Option<Self>, headers: &HeaderMap) -> Self {
        parameter.or_else(|| accepted(headers)).unwrap_or(Self::Json)
    }

    /// The binary form of it, if it has one. Its times are instants, so that it has no time zone.
    pub(crate) fn binary(self, zone: Option<&str>) -> Result<Option<Binary>, Problem> {
        let binary = match self {
            Self::Json | Self::Csv => return Ok(None),
            Self::Arrow => Binary::Arrow,
            Self::Parquet => Binary::Parquet,
        };
        match zone {
            None => Ok(Some(binary)),
            Some(_) => {
                Err(Problem::bad("tz: expected none, because times in Arrow and Parquet are instants in UTC")
                    .hint("convert them to a zone where they are shown"))
            }
        }
    }
}

/// The known media type with the highest quality; of several, the first.
fn accepted(headers: &HeaderMap) -> Option<RowFormat> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut best: Option<(f32, RowFormat)> = None;
    for item in values.flat_map(|list| list.split(',')) {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let Some((_, format)) = MEDIA_TYPES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)) else {
            continue;
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
        let quality = quality.unwrap_or(0.0);
        if quality > 0.0 && best.is_none_or(|(highest, _)| quality > highest) {
            best = Some((quality, *format));
        }
    }
    best.map(|(_, format)| format)
}

/// A binary format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Arrow,
    Parquet,
}

impl Binary {
    /// A body with these columns. `row` appends the values of one row.
    pub(crate) fn encode<'a, T>(
        self,
        columns: &'static [OutputColumn],
        rows: &'a [T],
        mut row: impl FnMut(&'a T, &mut Vec<OutputValue<'a>>),
    ) -> Result<Vec<u8>, Problem> {
        let mut values = Vec::with_capacity(columns.len());
        Ok(match self {
            Self::Arrow => {
                let mut writer = ArrowWriter::new(columns, Layout::Stream, Vec::new())?;
                for one in rows {
                    row(one, &mut values);
                    writer.row(&values)?;
                }
                writer.finish()?
            }
            Self::Parquet => {
                let mut writer = ParquetWriter::new(columns, Codec::Snappy, &[], Vec::new())?;
                for one in rows {
                    row(one, &mut values);
                    writer.row(&values)?;
                }
                writer.finish()?
            }
        })
    }
}

/// What a query found.
pub(crate) enum Rows {
    /// Rows for JSON and CSV.
    Objects(Vec<Map<String, Value>>),
    /// A body in a binary format.
    Encoded(Vec<u8>),
}

/// A reply in the requested format.
pub(crate) fn reply(
    headers: &HeaderMap,
    format: RowFormat,
    columns: Vec<&'static str>,
    rows: Rows,
    next: Option<String>,
) -> Response {
    let mut response = match rows {
        Rows::Objects(rows) => {
            let format = if format == RowFormat::Csv { Format::Csv } else { Format::Json };
            list(headers, format, &List { columns, rows, next })
        }
        Rows::Encoded(body) => {
            let content_type = if format == RowFormat::Parquet { PARQUET } else { ARROW };
            let mut response = tagged(headers, content_type, body);
            if let Some(next) = next.and_then(|next| HeaderValue::from_str(&next).ok()) {
                response.headers_mut().insert(NEXT, next);
            }
            response
        }
    };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_beats_the_header_and_the_header_is_read_by_quality() {
        let of = |accept: &str, parameter| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
            RowFormat::requested(parameter, &headers)
        };
        for (accept, format) in [
            ("", RowFormat::Json),
            ("*/*", RowFormat::Json),
            ("text/html,application/xhtml+xml,*/*;q=0.8", RowFormat::Json),
            ("Text/CSV", RowFormat::Csv),
            (ARROW, RowFormat::Arrow),
            ("application/json;q=0.5, application/vnd.apache.parquet;q=0.9", RowFormat::Parquet),
            ("application/vnd.apache.parquet, text/csv", RowFormat::Parquet),
            ("text/csv;q=0, application/json", RowFormat::Json),
            ("text/csv;q=high", RowFormat::Json),
        ] {
            assert_eq!(of(accept, None), format, "{accept}");
            assert_eq!(of(accept, Some(RowFormat::Arrow)), RowFormat::Arrow);
        }
    }
}
