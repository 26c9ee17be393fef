//! Readings from Sparkplug B: MQTT messages of edge nodes and their devices, whose payloads are protobuf.
//!
//! | module | contents |
//! |---|---|
//! | `protobuf` | the wire format |
//! | [`payload`] | a message's metrics, as sent |
//! | `value` | values of all data types as values of readings |
//!
//! A birth names the metrics of a node or device; the messages after it may refer to them by alias. Keeping what births have
//! defined is up to the caller; a metric with its name and data type becomes readings here.
//!
//! ```
//! use market::codec::sparkplug::{MessageType, MetricTopic};
//!
//! let topic = MetricTopic::parse("spBv1.0/plant/DDATA/line-1/press")?;
//! assert_eq!((topic.message, topic.node, topic.device), (MessageType::DeviceData, "line-1", "press"));
//! # Ok::<(), String>(())
//! ```

pub mod payload;
mod protobuf;
mod value;

pub use protobuf::WireError;

use super::lines::ReadingSink;
use super::lines::mapping::{fill, placeholders};
use crate::reading::{self, Reading, ReadingValue, ValueType, is_plain};
use crate::record::Record;
use crate::time::UnixNanos;
use payload::{Metric, RawValue};

/// First level of every topic.
pub const NAMESPACE: &str = "spBv1.0";
/// Series of a metric where no other is declared. A node's own metrics have an empty device, so that they cannot have the
/// series of a device's.
pub const SERIES: &str = "{group}/{node}/{device}/{metric}";
/// What a template of the series can name.
const PARTS: [&str; 4] = ["group", "node", "device", "metric"];
/// Data type of a boolean.
const BOOLEAN: u64 = 11;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// `NBIRTH`: an edge node's metrics.
    NodeBirth,
    /// `NDEATH`: an edge node is offline, and all its devices.
    NodeDeath,
    /// `NDATA`: values of an edge node.
    NodeData,
    /// `DBIRTH`: a device's metrics.
    DeviceBirth,
    /// `DDEATH`: a device is offline.
    DeviceDeath,
    /// `DDATA`: values of a device.
    DeviceData,
    /// `NCMD`, `DCMD`, `STATE`: from a host, no readings.
    FromHost,
}

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricTopic<'a> {
    /// What it is.
    pub message: MessageType,
    /// Group of edge nodes.
    pub group: &'a str,
    /// The edge node.
    pub node: &'a str,
    /// The device; empty for the node itself.
    pub device: &'a str,
}

impl<'a> MetricTopic<'a> {
    /// Reads `spBv1.0/GROUP/TYPE/NODE[/DEVICE]`, or `spBv1.0/STATE/HOST`.
    ///
    /// # Errors
    /// The topic has another form.
    pub fn parse(topic: &'a str) -> Result<Self, String> {
        let levels: Vec<&str> = topic.split('/').collect();
        let (group, message, node, device) = match levels[..] {
            [NAMESPACE, "STATE", host] => ("", "STATE", host, None),
            [NAMESPACE, group, message, node] => (group, message, node, None),
            [NAMESPACE, group, message, node, device] => (group, message, node, Some(device)),
            _ => return Err(format!("topic `{topic}`: expected {NAMESPACE}/GROUP/TYPE/NODE[/DEVICE]")),
        };
        let is_device = device.is_some();
        let message = match (message, is_device) {
            ("NBIRTH", false) => MessageType::NodeBirth,
            ("NDEATH", false) => MessageType::NodeDeath,
            ("NDATA", false) => MessageType::NodeData,
            ("DBIRTH", true) => MessageType::DeviceBirth,
            ("DDEATH", true) => MessageType::DeviceDeath,
            ("DDATA", true) => MessageType::DeviceData,
            ("NCMD" | "STATE", false) | ("DCMD", true) => MessageType::FromHost,
            _ => {
                return Err(format!(
                    "topic `{topic}`: expected NBIRTH, NDEATH, NDATA or NCMD of a node, or DBIRTH, DDEATH, DDATA or DCMD of \
                     a device"
                ));
            }
        };
        if message != MessageType::FromHost && (group.is_empty() || node.is_empty() || device == Some("")) {
            return Err(format!("topic `{topic}`: a level is empty"));
        }
        Ok(Self { message, group, node, device: device.unwrap_or_default() })
    }
}

/// Turns metrics into readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricReader {
    feed: String,
    series: String,
}

/// What is known of a metric besides its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricContext<'a> {
    /// Where it comes from.
    pub topic: MetricTopic<'a>,
    /// Its name.
    pub name: &'a str,
    /// Code of its data type, if any message has named it.
    pub datatype: Option<u32>,
    /// The unit that its birth named; empty if none.
    pub unit: &'a str,
    /// When the message was sent, milliseconds since 1970: the time of values that have none.
    pub sent: Option<u64>,
    /// When it was received.
    pub recv_ts: UnixNanos,
}

impl MetricReader {
    /// Readings of a feed; `series` is a template ([`SERIES`]).
    ///
    /// # Errors
    /// The template does not name the metric, or something unknown.
    pub fn new(feed: &str, series: &str) -> Result<Self, String> {
        if !is_plain(feed) || feed.is_empty() {
            return Err("feed: expected a name without quotation marks and backslashes".to_owned());
        }
        let names = placeholders(series).map_err(|reason| format!("series: {reason}"))?;
        if let Some(unknown) = names.iter().find(|name| !PARTS.contains(name)) {
            return Err(format!("series: unknown {{{unknown}}}; known are {}", PARTS.join(", ")));
        }
        if !names.contains(&"metric") {
            return Err(format!("series: expected {{metric}} in the template, as series={SERIES}"));
        }
        Ok(Self { feed: feed.to_owned(), series: series.to_owned() })
    }

    /// The series of a metric.
    ///
    /// # Errors
    /// It is empty, or has a character that no series can have.
    pub fn series(&self, topic: &MetricTopic<'_>, name: &str) -> Result<String, String> {
        let series = fill(&self.series, &|part| {
            Ok(match part {
                "group" => topic.group,
                "node" => topic.node,
                "device" => topic.device,
                _ => name,
            })
        })?;
        if series.is_empty() || !is_plain(&series) {
            return Err(format!(
                "series {series:?}: expected text without quotation marks, backslashes and control characters"
            ));
        }
        Ok(series)
    }

    /// Emits the reading of a metric, or those of a template's members, or why there is none.
    pub fn readings(&self, metric: &Metric<'_>, context: &MetricContext<'_>, sink: ReadingSink<'_>) {
        if let Some(RawValue::Template(template)) = &metric.value {
            if template.is_definition {
                return;
            }
            for member in &template.metrics {
                let Some(name) = member.name else {
                    sink(Err(format!("{}: a member of a template has no name", context.name)));
                    continue;
                };
                let name = format!("{}/{name}", context.name);
                let sent = metric.timestamp.or(context.sent);
                let inner =
                    MetricContext { name: &name, datatype: member.datatype, unit: "", sent, ..*context };
                self.readings(member, &inner, sink);
            }
            return;
        }
        match self.reading(metric, context) {
            Ok(reading) => sink(Ok(reading.as_str())),
            Err(reason) => sink(Err(format!("{}: {reason}", context.name))),
        }
    }

    fn reading(&self, metric: &Metric<'_>, context: &MetricContext<'_>) -> Result<Reading<String>, String> {
        let MetricContext { topic, name, datatype, unit, sent, recv_ts } = *context;
        let (class, text) = match &metric.value {
            _ if metric.is_null => (ValueType::Text, String::new()),
            Some(raw) => value::reading_value(raw, metric.datatype.or(datatype))?,
            None => return Err("no value, and is_null is not set".to_owned()),
        };
        let millis = metric.timestamp.or(sent).ok_or("no timestamp, and the message has none")?;
        let nanos = i64::try_from(millis).ok().and_then(|millis| millis.checked_mul(1_000_000));
        let ts = nanos.ok_or_else(|| format!("timestamp {millis}: expected milliseconds since 1970"))?;
        let pairs =
            [("group", topic.group), ("node", topic.node), ("device", topic.device), ("metric", name)];
        let mut reading = Reading {
            series: self.series(&topic, name)?,
            feed: self.feed.clone(),
            seq: 0,
            ts: UnixNanos(ts),
            recv_ts,
            value: ReadingValue { class, text },
            unit: metric.unit.unwrap_or(unit).to_owned(),
            quality: metric.quality.map(|quality| quality.to_string()).unwrap_or_default(),
            tags: reading::tags(pairs.into_iter().filter(|(_, text)| !text.is_empty()))?,
        };
        if !is_plain(&reading.unit) {
            return Err(format!(
                "unit {:?}: quotation marks, backslashes and control characters are not supported",
                reading.unit
            ));
        }
        reading.check_length()?;
        Record::Reading(reading.as_str()).check().map_err(|error| error.to_string())?;
        add_flag(&mut reading.quality, "null", metric.is_null);
        // Before the other flags: they say how the value was delivered. Sent live and again as history it is one reading.
        reading.seq = reading::minted_seq(&reading);
        add_flag(&mut reading.quality, "historical", metric.is_historical);
        add_flag(&mut reading.quality, "transient", metric.is_transient);
        Ok(reading)
    }
}

fn add_flag(quality: &mut String, flag: &str, is_set: bool) {
    if is_set {
        if !quality.is_empty() {
            quality.push(' ');
        }
        quality.push_str(flag);
    }
}

/// Topic and payload of the request that a node sends its births again.
#[must_use]
pub fn rebirth_request(group: &str, node: &str, now: UnixNanos) -> (String, Vec<u8>) {
    let millis = now.millis().unsigned_abs();
    let mut metric = Vec::new();
    protobuf::write_bytes(1, b"Node Control/Rebirth", &mut metric);
    protobuf::write_number(3, millis, &mut metric);
    protobuf::write_number(4, BOOLEAN, &mut metric);
    protobuf::write_number(14, 1, &mut metric);
    let mut payload = Vec::new();
    protobuf::write_number(1, millis, &mut payload);
    protobuf::write_bytes(2, &metric, &mut payload);
    (format!("{NAMESPACE}/{group}/NCMD/{node}"), payload)
}

#[cfg(test)]
mod tests;
