//! The declared mapping: which names of a row are the series, the time, the value.

use super::row::{Field, LineFormat, ReadingSink};
use crate::fixed;
use crate::reading::{self, Reading, ReadingValue, ValueType, is_plain};
use crate::record::Record;
use crate::time::UnixNanos;
use std::str::FromStr;

/// The name of a time column that stands for the time of receipt.
pub const RECEIPT: &str = "receipt";
/// The name of a value column that stands for all columns that are not used otherwise.
pub const ALL: &str = "*";

/// Which names of a row are what. Series, unit and quality are templates: text in which `{name}` is what the row holds
/// under that name, and `{field}` the name of the value's column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The feed of all readings.
    pub feed: String,
    /// Template of the series; empty for line protocol's own: `measurement,tag=value.field`.
    pub series: String,
    /// Name of the event time, or [`RECEIPT`]. Line protocol has its own, and none is needed.
    pub time: String,
    /// Unit of times that are numbers.
    pub precision: Precision,
    /// Names of the values: a reading each; or [`ALL`].
    pub values: Vec<String>,
    /// The type of all values; as the format gives it, or as they look, if `None`.
    pub class: Option<ValueType>,
    /// Name of the device's sequence number; empty where there is none.
    pub seq: String,
    /// Template of the unit.
    pub unit: String,
    /// Template of the quality.
    pub quality: String,
    /// Names of the tags. Those of line protocol are tags already.
    pub tags: Vec<String>,
    /// What stands between delimited values.
    pub delimiter: char,
    /// Names of delimited columns, for lines without a header.
    pub columns: Vec<String>,
}

/// A row as a format hands it over.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row<'r> {
    /// What templates and names refer to.
    pub(super) fields: &'r [Field<'r>],
    /// The values.
    pub(super) values: &'r [Field<'r>],
    /// What the format itself calls tags.
    pub(super) tags: &'r [Field<'r>],
    /// The time that the format itself has.
    pub(super) time: Option<&'r str>,
    /// The beginning of the series that the format itself has.
    pub(super) series: Option<&'r str>,
}

/// Unit of a time that is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// By its size: of the units from seconds to nanoseconds only one gives a time between 1973 and 2200.
    Auto,
    /// Nanoseconds in the unit.
    Unit(i64),
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "auto" => Self::Auto,
            "ns" => Self::Unit(1),
            "us" => Self::Unit(1_000),
            "ms" => Self::Unit(1_000_000),
            "s" => Self::Unit(1_000_000_000),
            _ => return Err("expected auto, ns, us, ms or s".to_owned()),
        })
    }
}

impl Mapping {
    /// The mapping of a format where nothing is declared.
    #[must_use]
    pub fn new(format: LineFormat, feed: &str) -> Self {
        let is_row = matches!(format, LineFormat::Ndjson | LineFormat::Csv);
        Self {
            feed: feed.to_owned(),
            series: String::new(),
            time: if is_row { "time".to_owned() } else { String::new() },
            precision: Precision::Auto,
            values: if is_row { vec!["value".to_owned()] } else { Vec::new() },
            class: None,
            seq: String::new(),
            unit: String::new(),
            quality: String::new(),
            tags: Vec::new(),
            delimiter: ',',
            columns: Vec::new(),
        }
    }

    /// Sets what a user declares by name: `series`, `time`, `precision`, `value`, `type`, `seq`, `unit`, `quality`, `tags`,
    /// `columns`, `delimiter`, `feed`. Lists are separated by commas. False if there is no such name.
    ///
    /// # Errors
    /// What is expected of the value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, String> {
        let text = || value.to_owned();
        let list =
            || value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect();
        match name {
            "feed" => self.feed = text(),
            "series" => self.series = text(),
            "time" => self.time = text(),
            "precision" => self.precision = value.parse()?,
            "value" => self.values = list(),
            "type" => {
                let names = || ValueType::ALL.map(ValueType::name).join(", ");
                let class =
                    ValueType::from_name(value).ok_or_else(|| format!("expected one of {}", names()))?;
                self.class = Some(class);
            }
            "seq" => self.seq = text(),
            "unit" => self.unit = text(),
            "quality" => self.quality = text(),
            "tags" => self.tags = list(),
            "columns" => self.columns = list(),
            "delimiter" => {
                let mut chars = value.chars();
                self.delimiter = match (value, chars.next(), chars.next()) {
                    ("tab", ..) => '\t',
                    (_, Some(one), None) if one != '"' => one,
                    _ => return Err("expected one character, or tab".to_owned()),
                };
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether it can be used with a format.
    pub(super) fn check(&self, format: LineFormat) -> Result<(), String> {
        if !is_plain(&self.feed) || self.feed.is_empty() {
            return Err("feed: expected a name without quotation marks and backslashes".to_owned());
        }
        for (name, template) in [("series", &self.series), ("unit", &self.unit), ("quality", &self.quality)] {
            placeholders(template).map_err(|reason| format!("{name}: {reason}"))?;
        }
        if self.series.is_empty() && format != LineFormat::Influx {
            return Err("series: expected a template, as series={device}.{field}".to_owned());
        }
        let several = format == LineFormat::Influx || self.values.len() > 1 || self.values == [ALL];
        let names_field = placeholders(&self.series)?.contains(&"field");
        if several && !self.series.is_empty() && !names_field {
            return Err(
                "series: a row may have several values; expected {field} in the template, as series={device}.{field}"
                    .to_owned(),
            );
        }
        if format == LineFormat::Bare && self.time != RECEIPT {
            return Err("time: a bare value has no time of its own; expected time=receipt".to_owned());
        }
        Ok(())
    }

    /// The names that every row must have.
    pub(super) fn names(&self) -> Vec<&str> {
        let templates = [&self.series, &self.unit, &self.quality];
        let placeholders = templates.into_iter().flat_map(|text| placeholders(text).unwrap_or_default());
        let mut names: Vec<&str> = placeholders.filter(|name| *name != "field").collect();
        names.extend(
            [self.time.as_str(), self.seq.as_str()]
                .iter()
                .filter(|name| !name.is_empty() && **name != RECEIPT),
        );
        names.extend(self.values.iter().map(String::as_str).filter(|name| *name != ALL));
        names.extend(self.tags.iter().map(String::as_str));
        names
    }

    /// The readings of a row: its values are among its fields, behind the first `known` ones.
    pub(super) fn row(
        &self,
        fields: &[Field<'_>],
        known: usize,
        recv_ts: UnixNanos,
        sink: ReadingSink<'_>,
    ) -> Result<(), String> {
        let values: Vec<Field<'_>> = if self.values == [ALL] {
            let used = Self { values: Vec::new(), ..self.clone() };
            let used = used.names();
            let rest = fields[known..].iter().filter(|field| !used.contains(&&*field.name));
            rest.cloned().collect()
        } else {
            self.values.iter().filter_map(|name| find(fields, name)).cloned().collect()
        };
        if values.is_empty() {
            return Err(format!("no value: expected {}", self.values.join(" or ")));
        }
        self.readings(&Row { fields, values: &values, ..Row::default() }, recv_ts, sink)
    }

    /// A reading for each value.
    pub(super) fn readings(
        &self,
        row: &Row<'_>,
        recv_ts: UnixNanos,
        sink: ReadingSink<'_>,
    ) -> Result<(), String> {
        let Row { fields, values, tags: own, time, series } = *row;
        let get = |name: &str| {
            find(fields, name)
                .or_else(|| find(values, name))
                .map(|field| &*field.text)
                .ok_or_else(|| format!("no `{name}` in the row"))
        };
        let ts = match (time, self.time.as_str()) {
            (_, RECEIPT) => recv_ts,
            (Some(digits), "") => self.time_of(digits)?,
            (None, "") => {
                return Err("no timestamp; time=receipt takes the time of receipt instead".to_owned());
            }
            (_, name) => self.time_of(get(name)?)?,
        };
        let seq = match self.seq.as_str() {
            "" => None,
            name => {
                let text = get(name)?;
                let number =
                    text.parse::<i64>().map_err(|_| format!("{name} `{text}`: expected a whole number"))?;
                Some(number)
            }
        };
        let declared = self.tags.iter().filter_map(|name| Some((name.as_str(), &*find(fields, name)?.text)));
        let own = own.iter().map(|tag| (&*tag.name, &*tag.text));
        let tags = reading::tags(own.chain(declared))?;
        for value in values {
            let reading = self.reading(value, ts, seq, &tags, series, &get, recv_ts);
            match reading {
                Ok(reading) => sink(Ok(reading.as_str())),
                Err(reason) => sink(Err(format!("{}: {reason}", value.name))),
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one reading")]
    fn reading<'f>(
        &self,
        value: &'f Field<'_>,
        ts: UnixNanos,
        seq: Option<i64>,
        tags: &str,
        series: Option<&str>,
        get: &dyn Fn(&str) -> Result<&'f str, String>,
        recv_ts: UnixNanos,
    ) -> Result<Reading<String>, String> {
        let fill = |template: &str| {
            fill(template, &|name| if name == "field" { Ok(&*value.name) } else { get(name) })
        };
        let class = self.class.or(value.class).unwrap_or_else(|| ValueType::guess(&value.text));
        let text = class.canonical(&value.text).map_err(|error| error.to_string())?;
        let series = match series {
            Some(series) => format!("{series}.{}", value.name),
            None => fill(&self.series)?,
        };
        let mut reading = Reading {
            series,
            feed: self.feed.clone(),
            seq: seq.unwrap_or(0),
            ts,
            recv_ts,
            value: ReadingValue { class, text },
            unit: fill(&self.unit)?,
            quality: fill(&self.quality)?,
            tags: tags.to_owned(),
        };
        for (name, text) in
            [("series", &reading.series), ("unit", &reading.unit), ("quality", &reading.quality)]
        {
            if !is_plain(text) {
                return Err(format!(
                    "{name} {text:?}: quotation marks, backslashes and control characters are not supported"
                ));
            }
        }
        if reading.series.is_empty() {
            return Err("series: empty".to_owned());
        }
        reading.check_length()?;
        Record::Reading(reading.as_str()).check().map_err(|error| error.to_string())?;
        if seq.is_none() {
            reading.seq = reading::minted_seq(&reading);
        }
        Ok(reading)
    }

    /// A number of the declared unit, or a text as `2026-01-05T10:00:00Z`.
    fn time_of(&self, text: &str) -> Result<UnixNanos, String> {
        // Nanoseconds, of a text that would be seconds.
        let Ok(seconds) = fixed::parse_number(text.as_bytes()) else {
            return UnixNanos::parse(text).map_err(|error| error.to_string());
        };
        let unit = match self.precision {
            Precision::Unit(unit) => unit,
            Precision::Auto => match seconds.unsigned_abs() / fixed::ONE.unsigned_abs() {
                100_000_000..7_258_118_400 => 1_000_000_000,
                100_000_000_000..7_258_118_400_000 => 1_000_000,
                100_000_000_000_000..7_258_118_400_000_000 => 1_000,
                100_000_000_000_000_000..7_258_118_400_000_000_000 => 1,
                _ => {
                    return Err(format!(
                        "time `{text}`: seconds, milliseconds, microseconds or nanoseconds? set precision"
                    ));
                }
            },
        };
        let too_large = || format!("time `{text}`: beyond the year 2200");
        let nanos = seconds.checked_mul(unit.into()).ok_or_else(too_large)? / fixed::ONE;
        i64::try_from(nanos).map(UnixNanos).map_err(|_| too_large())
    }
}

fn find<'f, 'a>(fields: &'f [Field<'a>], name: &str) -> Option<&'f Field<'a>> {
    fields.iter().rev().find(|field| field.name == name)
}

/// The names between braces.
pub(in crate::codec) fn placeholders(template: &str) -> Result<Vec<&str>, String> {
    let mut names = Vec::new();
    let mut rest = template;
    while let Some((_, tail)) = rest.split_once('{') {
        let (name, tail) = tail.split_once('}').ok_or("a brace is not closed")?;
        if name.is_empty() {
            return Err("expected a name between the braces".to_owned());
        }
        names.push(name);
        rest = tail;
    }
    Ok(names)
}

/// The template with what `get` holds for each name.
pub(in crate::codec) fn fill<'v>(
    template: &str,
    get: &dyn Fn(&str) -> Result<&'v str, String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, tail)) = rest.split_once('{') {
        let (name, tail) = tail.split_once('}').ok_or("a brace is not closed")?;
        out.push_str(before);
        out.push_str(get(name)?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}
