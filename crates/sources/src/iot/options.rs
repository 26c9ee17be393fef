//! The options that all sources of readings have: the format and the declared mapping.

use market::codec::lines::mapping::Mapping;
use market::codec::lines::{LineDecoder, LineFormat};
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
            Error::user("source option `format` is missing: expected influx, ndjson, csv or bare, or sparkplug with MQTT")
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
    if option.name == "format" {
        return Ok(true);
    }
    mapping.set(&option.name, &option.value).map_err(|why| option.error(&why))
}
