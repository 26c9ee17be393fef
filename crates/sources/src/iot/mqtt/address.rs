//! The URL of an MQTT source: broker, filters, and how messages are read.

use super::session::Version;
use super::sparkplug::Sparkplug;
use crate::iot::options::Declared;
use market::codec::lines::LineDecoder;
use market::codec::sparkplug::{MetricReader, NAMESPACE, SERIES};
use ports::options::{Options, UrlOption, split};
use ports::{Error, Result};

const EXAMPLE: &str = "--source 'mqtt://HOST:1883/site/+/boiler?format=ndjson&series={topic.2}.{field}&value=temperature,pressure'";
const SPARKPLUG: &str = "--source 'mqtt://HOST:1883/spBv1.0/GROUP/#?format=sparkplug'";
/// The format whose payloads are binary.
const SPARKPLUG_FORMAT: &str = "sparkplug";
/// Ports of plain MQTT and of MQTT over TLS.
const PORTS: [u16; 2] = [1_883, 8_883];

/// How messages become readings.
pub(super) enum Decoder {
    /// Lines of text.
    Lines(LineDecoder),
    Sparkplug(Box<Sparkplug>),
}

/// What the URL of a source names.
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    /// `mqtt://HOST:PORT`.
    pub(super) place: String,
    pub(super) filters: Vec<String>,
    pub(super) feed: String,
    pub(super) client_id: String,
    pub(super) version: Version,
    pub(super) decoder: Decoder,
}

/// Options that concern the session, whatever the format.
#[derive(Default)]
struct SessionOptions {
    client_id: String,
    version: Version,
}

impl SessionOptions {
    /// False if the option is not one of these.
    fn set(&mut self, option: &UrlOption) -> Result<bool> {
        match option.name.as_str() {
            "client" => option.value.clone_into(&mut self.client_id),
            "version" => {
                self.version = match option.value.as_str() {
                    "3" | "3.1.1" => Version::V3,
                    "5" => Version::V5,
                    _ => return Err(option.error("expected 3.1.1 or 5").hint(EXAMPLE)),
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Address {
    /// Reads `HOST[:PORT]/FILTER[,FILTER]?format=…&…`.
    pub(super) fn parse(scheme: &str, rest: &str) -> Result<Self> {
        let (place, options) = split(rest);
        let (host, filters) = place.split_once('/').unwrap_or((place, ""));
        if host.contains('@') {
            return Err(Error::user("credentials in an MQTT URL are not supported")
                .hint("set `source.mqtt.username` and `source.mqtt.password`"));
        }
        let mut is_sparkplug = false;
        options.each(|option| {
            is_sparkplug |= option.name == "format" && option.value == SPARKPLUG_FORMAT;
            Ok(())
        })?;
        let example = if is_sparkplug { SPARKPLUG } else { EXAMPLE };
        let bad = |what: &str| Error::user(format!("`{scheme}://{place}`: {what}")).hint(example);
        let filters: Vec<String> = ports::options::list(filters);
        if filters.is_empty() {
            return Err(bad("expected a topic filter behind the host"));
        }
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) => {
                (host, port.parse().map_err(|_| bad("expected a port number behind the colon"))?)
            }
            None => (host, PORTS[usize::from(scheme == "mqtts")]),
        };
        if host.is_empty() {
            return Err(bad("expected a host"));
        }
        let place = format!("{scheme}://{host}:{port}");
        let mut session = SessionOptions::default();
        let (feed, decoder) = if is_sparkplug {
            filters.iter().try_for_each(|filter| check_filter(filter).map_err(|what| bad(&what)))?;
            sparkplug(options, &place, &mut session)?
        } else {
            let declared = Declared::read(options, "mqtt", EXAMPLE, |option| session.set(option))?;
            let decoder = declared.decoder()?;
            if decoder.expects_header() {
                return Err(bad("a message has no header line; name the columns with columns=a,b,c"));
            }
            (declared.feed().to_owned(), Decoder::Lines(decoder))
        };
        let SessionOptions { mut client_id, version } = session;
        if client_id.is_empty() {
            client_id = format!("tapeline-{feed}");
        }
        Ok(Self { host: host.to_owned(), port, place, filters, feed, client_id, version, decoder })
    }
}

/// Whether a filter receives every message of each node that it receives any of: their numbers have gaps otherwise.
fn check_filter(filter: &str) -> std::result::Result<(), String> {
    let levels: Vec<&str> = filter.split('/').collect();
    if matches!(
        levels[..],
        [NAMESPACE, "#"] | [NAMESPACE, _, "#"] | [NAMESPACE, _, "+", "#"] | [NAMESPACE, _, "+", _, "#"]
    ) {
        Ok(())
    } else {
        Err(format!(
            "filter `{filter}`: expected all messages of a node, {NAMESPACE}/GROUP/# or {NAMESPACE}/GROUP/+/NODE/#"
        ))
    }
}

/// Feed and decoder of Sparkplug B.
fn sparkplug(options: Options<'_>, place: &str, session: &mut SessionOptions) -> Result<(String, Decoder)> {
    let (mut feed, mut series, mut may_request) = ("sparkplug".to_owned(), SERIES.to_owned(), true);
    options.each(|option| {
        match option.name.as_str() {
            "format" => {}
            "feed" => option.value.clone_into(&mut feed),
            "series" => option.value.clone_into(&mut series),
            "rebirth" => {
                may_request = match option.value.as_str() {
                    "true" => true,
                    "false" => false,
                    _ => return Err(option.error("expected true or false").hint(SPARKPLUG)),
                }
            }
            _ if session.set(option)? => {}
            _ => {
                let known =
                    "unknown option of format=sparkplug; known are feed, series, rebirth, client, version";
                return Err(option.error(known).hint(SPARKPLUG));
            }
        }
        Ok(())
    })?;
    let reader = MetricReader::new(&feed, &series)
        .map_err(|why| Error::user(format!("source option {why}")).hint(SPARKPLUG))?;
    let nodes = Sparkplug::new(&feed, reader, place, may_request);
    Ok((feed, Decoder::Sparkplug(Box::new(nodes))))
}
