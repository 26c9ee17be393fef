//! Opens sources, topics, stores, archives and the warehouse. The only module that knows every adapter.

use crate::config::Config;
use adapters::archive::folder::FolderArchive;
use adapters::archive::s3::S3Archive;
use adapters::store::cassandra::CassandraStore;
use adapters::store::sqlite::SqliteStore;
use adapters::topic::avro::AvroTopics;
use adapters::topic::kafka::KafkaTopics;
use adapters::topic::sqlite::SqliteTopics;
use adapters::warehouse::redshift::{RedshiftWarehouse, sql};
use aws::credentials::CredentialChain;
use ports::archive::Archive;
use ports::options;
use ports::source::Source;
use ports::store::Store;
use ports::topic::{Names, Topics};
use ports::warehouse::Warehouse;
use ports::{CancelToken, Error, Result};
use sources::{capture, iot, live, poll, tape};
use std::collections::BTreeMap;

/// The topic adapter of `topic.url`.
///
/// # Errors
/// The URL scheme is not a topic adapter's, or the registry of its schemas has no address.
pub fn topics(config: &Config, stop: &CancelToken) -> Result<Box<dyn Topics>> {
    let topics = engine(config, stop)?;
    if config.topic.format.eq_ignore_ascii_case("avro") {
        return Ok(Box::new(AvroTopics::new(topics, names(config), &config.topic.registry, stop.clone())?));
    }
    Ok(topics)
}

/// The same without the format of its records: for what needs no schemas.
///
/// # Errors
/// The URL scheme is not a topic adapter's.
pub fn engine(config: &Config, stop: &CancelToken) -> Result<Box<dyn Topics>> {
    let url = &config.topic.url;
    if let Some(path) = url.strip_prefix("sqlite:") {
        return Ok(Box::new(SqliteTopics::new(file("--topic", url, path)?)));
    }
    if let Some(brokers) = url.strip_prefix("kafka://").filter(|brokers| !brokers.is_empty()) {
        let brokers = brokers
            .trim_end_matches('/')
            .split(',')
            .map(|b| if b.contains(':') { b.to_owned() } else { format!("{b}:9092") })
            .collect::<Vec<_>>()
            .join(",");
        let kafka = config.topic.kafka.clone();
        return Ok(Box::new(KafkaTopics::new(&brokers, kafka, names(config).positions(), stop.clone())));
    }
    Err(Error::usage(format!("unknown topic URL `{url}`"))
        .hint("--topic sqlite:FILE or kafka://HOST:PORT[,HOST:PORT]"))
}

/// The store adapter of `store.url`.
///
/// # Errors
/// The URL scheme is not a store adapter's.
pub fn store(config: &Config) -> Result<Box<dyn Store>> {
    let url = &config.store.url;
    if let Some(path) = url.strip_prefix("sqlite:") {
        return Ok(Box::new(SqliteStore::new(file("--store", url, path)?)));
    }
    if let Some((nodes, keyspace)) = url.strip_prefix("cassandra://").and_then(|rest| rest.split_once('/')) {
        let settings = config.store.cassandra.clone();
        return Ok(Box::new(CassandraStore::new(nodes, keyspace.trim_end_matches('/'), settings)?));
    }
    Err(Error::usage(format!("unknown store URL `{url}`"))
        .hint("--store sqlite:FILE or cassandra://HOST[:PORT]/KEYSPACE"))
}

/// The archive adapter of a URL; empty: that of `archive.url`.
///
/// # Errors
/// The URL scheme is not an archive adapter's, or it lacks a region.
pub fn archive(config: &Config, url: &str) -> Result<Box<dyn Archive>> {
    let url = if url.is_empty() { &config.archive.url } else { url };
    let hint = "--archive folder:DIR or s3://BUCKET[/PREFIX]";
    if url.is_empty() {
        return Err(Error::usage("no archive given").hint(hint));
    }
    if let Some(rest) = url.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let credentials = CredentialChain::default();
        return Ok(Box::new(S3Archive::new(bucket, prefix, &config.archive.s3, credentials)?));
    }
    if let Some(path) = url.strip_prefix("folder:").filter(|path| !path.is_empty()) {
        return Ok(Box::new(FolderArchive::new(home(path).into_owned())));
    }
    Err(Error::usage(format!("unknown archive URL `{url}`")).hint(hint))
}

/// The warehouse of `[redshift]`.
///
/// # Errors
/// A setting is missing or invalid.
pub fn warehouse(config: &Config, stop: &CancelToken) -> Result<Box<dyn Warehouse>> {
    let credentials = CredentialChain::default();
    Ok(Box::new(RedshiftWarehouse::new(&config.redshift, credentials, stop.clone())?))
}

/// The statements that create the warehouse's tables.
///
/// # Errors
/// The name of the schema is invalid.
pub fn warehouse_tables(config: &Config) -> Result<Vec<String>> {
    sql::check_schema(&config.redshift.schema)?;
    Ok(sql::tables(&config.redshift.schema))
}

/// Aggregator settings from the configuration.
///
/// # Errors
/// An interval, policy or calendar is invalid.
pub fn bars(config: &Config) -> Result<market::bar::AggregatorSettings> {
    let aggregate = &config.aggregate;
    let mut intervals = aggregate
        .intervals
        .iter()
        .map(|interval| interval.parse())
        .collect::<Result<Vec<market::interval::Interval>, String>>()
        .map_err(|error| Error::user(format!("`aggregate.intervals`: {error}")))?;
    intervals.sort_unstable();
    intervals.dedup();
    let (policies, calendars) = (by_prefix(&aggregate.policies), by_prefix(&aggregate.calendars));
    let mut keys: Vec<&str> = policies.iter().chain(&calendars).map(|(key, _)| *key).collect();
    // A key with part of a symbol is more specific, then a longer prefix: `finnhub/:` before `finnhub`,
    // `alpaca.crypto` before `alpaca`, and the empty prefix last.
    let rank = |key: &str| (key.contains('/'), key.len());
    keys.sort_unstable_by(|a, b| rank(b).cmp(&rank(a)).then(a.cmp(b)));
    keys.dedup();
    let find = |list: &[(&str, &str)], wanted: &str| {
        let (feed, part) = wanted.split_once('/').unwrap_or((wanted, ""));
        let fits = |key: &str| {
            let (prefix, its_part) = key.split_once('/').unwrap_or((key, ""));
            feed.starts_with(prefix) && (its_part.is_empty() || its_part == part)
        };
        let found = list.iter().filter(|(key, _)| fits(key)).max_by_key(|(key, _)| rank(key));
        found.map(|(_, name)| (*name).to_owned()).unwrap_or_default()
    };
    let feeds = keys.into_iter().map(|key| {
        let policy = market::policy::Policy::named(&find(&policies, key))
            .map_err(|error| Error::user(format!("`aggregate.policies`: {error}")))?;
        let calendar = find(&calendars, key)
            .parse()
            .map_err(|error: String| Error::user(format!("`aggregate.calendars`: {error}")))?;
        let (prefix, symbols) = key.split_once('/').unwrap_or((key, ""));
        Ok(market::bar::Feed { prefix: prefix.to_owned(), symbols: symbols.to_owned(), policy, calendar })
    });
    Ok(market::bar::AggregatorSettings {
        intervals,
        emit_delay: nanos(aggregate.emit_delay),
        allowed_lateness: nanos(aggregate.allowed_lateness),
        feeds: feeds.collect::<Result<_>>()?,
    })
}

/// Feed-name prefixes, optionally with part of a symbol, and their values; `*` is the empty prefix.
fn by_prefix(table: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    table.iter().map(|(key, value)| (if key == "*" { "" } else { key.as_str() }, value.as_str())).collect()
}

fn nanos(duration: std::time::Duration) -> i64 {
    duration.as_nanos().try_into().unwrap_or(i64::MAX)
}

/// Topic names from the configuration.
#[must_use]
pub fn names(config: &Config) -> Names {
    Names::new(&config.topic.prefix)
}

fn file(flag: &str, url: &str, path: &str) -> Result<String> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err(Error::usage(format!("`{url}` has no file name")).hint(format!("{flag} sqlite:FILE")));
    }
    Ok(home(path).into_owned())
}

/// The source of `source.url`.
///
/// # Errors
/// The URL scheme is not a source's, an option is unknown or invalid, or the folder cannot be read.
pub fn source(config: &Config) -> Result<Box<dyn Source>> {
    let url = &config.source.url;
    if let Some(rest) = url.strip_prefix("frames:") {
        return Ok(Box::new(capture::open(&home(rest))?));
    }
    if let Some(rest) = url.strip_prefix("lines:") {
        return Ok(Box::new(iot::lines::open(rest)?));
    }
    if let Some(mqtt) = iot::mqtt::open(url, &config.source.mqtt) {
        return Ok(Box::new(mqtt?));
    }
    if let Some(settings) = live::open(&config.source) {
        return Ok(Box::new(live::Live::new(settings?)));
    }
    if let Some(settings) = poll::open(&config.source) {
        return Ok(Box::new(poll::PolledSource::new(settings?)));
    }
    Ok(Box::new(tape::Tape::open(tape_settings(config)?)?))
}

/// Opens a simulator of a vendor's API that plays the tape of `url`.
///
/// # Errors
/// An error of the tape, or the address is in use.
pub fn simulator(
    config: &Config,
    url: &str,
    settings: simulator::SimulatorSettings,
    stop: &CancelToken,
) -> Result<simulator::Simulator> {
    let mut config = config.clone();
    url.clone_into(&mut config.source.url);
    let bars = bars(&config)?;
    simulator::Simulator::new(&mut tape::Tape::open(tape_settings(&config)?)?, settings, bars, stop)
}

/// The vendors whose messages a capture seems to hold, if its URL names another.
#[must_use]
pub fn other_vendors(config: &Config) -> Vec<&'static str> {
    let rest = config.source.url.strip_prefix("frames:");
    rest.map(|rest| capture::other_vendors(&home(rest))).unwrap_or_default()
}

const TAPE: &str = "--source 'tape:DIR?speed=max&symbols=SPY,IBM&kinds=trades,quotes&dates=20131008'";

/// Common names of sources, and their URLs here.
const NAMES: [(&str, &str); 9] = [
    ("polygon", "massive:stocks?symbols=SPY (Polygon.io is now Massive)"),
    ("iex", "alpaca:iex?symbols=SPY"),
    ("sip", "alpaca:sip?symbols=SPY"),
    ("yahoo", "poll:yahoo?symbols=SPY"),
    ("alphavantage", "poll:alphavantage?symbols=SPY"),
    ("twelvedata", "poll:twelvedata?symbols=SPY"),
    ("lean", "tape:DIR"),
    ("file", "tape:DIR"),
    ("kafka", "--topic kafka://HOST:PORT (a topic is not a source)"),
];

/// An unknown or missing source, with the name it probably stands for.
fn unknown_source(url: &str) -> Error {
    let what =
        if url.is_empty() { "no source given".to_owned() } else { format!("unknown source URL `{url}`") };
    let scheme = url.split([':', '?']).next().unwrap_or(url).to_ascii_lowercase();
    let name = NAMES.iter().find(|(name, _)| scheme == *name).map(|(_, meant)| (*meant).to_owned());
    let known = live::examples().find(|example| example.split(':').next() == Some(scheme.as_str()));
    let folder = std::path::Path::new(url).is_dir().then(|| format!("tape:{url}"));
    let hint = match name.or_else(|| known.map(str::to_owned)).or(folder) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "--source 'tape:DIR?speed=max', 'alpaca:iex?symbols=SPY', 'poll:yahoo?symbols=SPY', \
                 'frames:FILE?feed=alpaca.sip', 'lines:FILE?format=influx' or 'mqtt://HOST/FILTER?format=ndjson'"
            .to_owned(),
    };
    Error::usage(what).hint(hint)
}

/// Expands a leading `~/` to the home folder: a shell does so only at the start of a word, which the path of a URL is not.
fn home(path: &str) -> std::borrow::Cow<'_, str> {
    match (path.strip_prefix("~/"), std::env::var("HOME")) {
        (Some(rest), Ok(home)) => format!("{}/{rest}", home.trim_end_matches('/')).into(),
        _ => path.into(),
    }
}

fn tape_settings(config: &Config) -> Result<tape::TapeSettings> {
    let url = &config.source.url;
    let Some(rest) = url.strip_prefix("tape:") else { return Err(unknown_source(url)) };
    let (dir, options) = options::split(rest);
    let mut settings = tape::TapeSettings {
        dir: home(dir).into_owned().into(),
        speed: None,
        symbols: Vec::new(),
        kinds: tape::KINDS.to_vec(),
        dates: Vec::new(),
        feed: config.source.feed.clone(),
        zone: config.source.zone.clone(),
    };
    options.each(|option| {
        let bad = |expected: &str| option.error(expected).hint(TAPE);
        match option.name.as_str() {
            "speed" => {
                settings.speed = speed(&option.value)
                    .ok_or_else(|| bad("expected max or a number above 0, such as 1 or 50"))?;
            }
            "symbols" => settings.symbols = option.list(),
            "kinds" => {
                let kinds = option.list().iter().map(|kind| kind.parse()).collect::<Result<_, String>>();
                settings.kinds = kinds.map_err(|why| bad(&why))?;
                if settings.kinds.iter().any(|kind| !tape::KINDS.contains(kind)) {
                    return Err(bad("tapes hold trades and quotes"));
                }
            }
            "dates" => {
                let dates: Result<_, std::num::ParseIntError> =
                    option.list().iter().map(|date| date.replace('-', "").parse()).collect();
                settings.dates = dates.map_err(|_| bad("expected dates such as 20131008"))?;
            }
            _ => return Err(bad("unknown option; expected speed, symbols, kinds or dates")),
        }
        Ok(())
    })?;
    Ok(settings)
}

/// `max` means no pacing.
fn speed(text: &str) -> Option<Option<f64>> {
    if text == "max" {
        return Some(None);
    }
    let number = text.strip_suffix('x').unwrap_or(text).parse().ok();
    number.filter(|n: &f64| n.is_finite() && *n > 0.0).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flag: &str, url: &str) -> Config {
        crate::config::load(None, std::iter::empty(), &[(flag, Some(url.to_owned()))]).unwrap()
    }

    #[test]
    fn urls_choose_engines() {
        let stop = CancelToken::default();
        for (url, shown) in [
            ("sqlite:a.db", "sqlite:a.db"),
            ("sqlite:///tmp/a.db", "sqlite:/tmp/a.db"),
            ("kafka://h:1,i", "kafka://h:1,i:9092"),
        ] {
            assert_eq!(topics(&config("topic.url", url), &stop).unwrap().describe(), shown);
        }
        for (url, shown) in [("sqlite:a.db", "sqlite:a.db"), ("cassandra://h/Ks", "cassandra://h:9042/ks")] {
            assert_eq!(store(&config("store.url", url)).unwrap().describe(), shown);
        }
        for url in ["", "kafka:h", "kafka://", "sqlite:", "redis://x"] {
            assert!(topics(&config("topic.url", url), &stop).is_err(), "{url}");
        }
        let config = config("archive.url", "folder:d");
        assert_eq!(archive(&config, "").unwrap().describe(), "folder:d");
        for url in ["d", "folder:", "s3:", "s3://", "s3://B"] {
            assert!(archive(&config, url).is_err(), "{url}");
        }
        for url in ["", "cassandra://h", "cassandra://h/", "cassandra://h/1a", "cassandra://h/a;b", "sqlite:"]
        {
            assert!(store(&self::config("store.url", url)).is_err(), "{url}");
        }
    }

    #[test]
    fn tape_options_are_read_or_named() {
        let read = |url: &str| tape_settings(&config("source.url", url));
        let settings =
            read("tape:/d?speed=50x&symbols=spy,IBM&kinds=trades&dates=2013-10-08,20131007").unwrap();
        assert_eq!(settings.speed, Some(50.0));
        assert_eq!(settings.symbols, ["spy", "IBM"]);
        assert_eq!(settings.kinds, [market::Kind::TRADE]);
        assert_eq!(settings.dates, [20131008, 20131007]);
        assert_eq!(read("tape:/d?speed=max").unwrap().speed, None);
        for url in [
            "",
            "alpaca:iex",
            "tape:/d?speed=0",
            "tape:/d?speed=-1",
            "tape:/d?kinds=bars",
            "tape:/d?x=1",
            "tape:/d?dates=x",
        ] {
            assert!(read(url).is_err(), "{url}");
        }
    }
}
