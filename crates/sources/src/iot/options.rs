//! The options that all sources of readings have: the format and the declared mapping.

use market::codec::lines::mapping::Mapping;
use market::codec::lines::{LineDecoder, LineFormat};
use market::reading::ValueType;
use ports::options::{Options, UrlOption};
use ports::{Error, Result};

/// The names of the options, for an error.
pub(super) const NAMES: &str =
    "format, feed, series, time, precision, value, type, seq, unit, quality, tags, delimiter, columns";

/// What is read from the options of a URL.
pub(super) struct Declared {
    pub(super) format: LineFormat,
    mapping: Mapping,
    example: &'static str,
}

impl Declared {
    /// Reads format and mapping; `other` takes the options that are not about them, or returns false.
    pub(super) fn read(
        options: Options<'_>,
        feed: &str,
        example: &'static str,
        mut other: impl FnMut(&UrlOption) -> Result<bool>,
    ) -> Result<Self> {
        let mut format = None;
        options.each(|option| {
            if option.name == "format" {
                format = Some(option.value.parse().map_err(|why: String| option.error(&why).hint(example))?);
            }
            Ok(())
        })?;
        let format: LineFormat = format.ok_or_else(|| {
            Error::user("source option `format` is missing: expected influx, ndjson, csv or bare")
                .hint(example)
        })?;
        let mut mapping = Mapping::new(format, feed);
        options.each(|option| {
            if !set(&mut mapping, option).map_err(|error| error.hint(example))? && !other(option)? {
                return Err(option.error(&format!("unknown option; known are {NAMES}")).hint(example));
            }
            Ok(())
        })?;
        Ok(Self { format, mapping, example })
    }

    pub(super) fn feed(&self) -> &str {
        &self.mapping.feed
    }

    pub(super) fn decoder(&self) -> Result<LineDecoder> {
        LineDecoder::new(self.format, self.mapping.clone())
            .map_err(|why| Error::user(format!("source option {why}")).hint(self.example))
    }
}

fn set(mapping: &mut Mapping, option: &UrlOption) -> Result<bool> {
    let value = option.value.clone();
    match option.name.as_str() {
        "format" => {}
        "feed" => mapping.feed = value,
        "series" => mapping.series = value,
        "time" => mapping.time = value,
        "precision" => mapping.precision = value.parse().map_err(|why: String| option.error(&why))?,
        "value" => mapping.values = option.list(),
        "type" => {
            let class = ValueType::from_name(&value).ok_or_else(|| {
                option.error(&format!("expected one of {}", ValueType::ALL.map(ValueType::name).join(", ")))
            })?;
            mapping.class = Some(class);
        }
        "seq" => mapping.seq = value,
        "unit" => mapping.unit = value,
        "quality" => mapping.quality = value,
        "tags" => mapping.tags = option.list(),
        "columns" => mapping.columns = option.list(),
        "delimiter" => {
            let mut chars = value.chars();
            mapping.delimiter = match (value.as_str(), chars.next(), chars.next()) {
                ("tab", ..) => '\t',
                (_, Some(one), None) if one != '"' => one,
                _ => return Err(option.error("expected one character, or tab")),
            };
        }
        _ => return Ok(false),
    }
    Ok(true)
}
