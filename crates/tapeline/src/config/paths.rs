//! Paths of settings, as `topic.kafka.tls.ca`.

use toml::{Table, Value};

/// The tables that may hold any keys.
pub(super) const OPEN: [&str; 3] = [PROPERTIES, "aggregate.policies", "aggregate.calendars"];

/// The properties of librdkafka.
pub(super) const PROPERTIES: &str = "topic.kafka.properties";

/// The open table that holds the setting at `path`, and its key there, which may have dots itself.
pub(super) fn in_open(path: &str) -> Option<(&'static str, &str)> {
    OPEN.iter().find_map(|table| Some((*table, path.strip_prefix(table)?.strip_prefix('.')?)))
}

/// The value of the setting at `path`.
pub(super) fn find<'t>(table: &'t Table, path: &str) -> Option<&'t Value> {
    if let Some((open, key)) = in_open(path) {
        return find(table, open)?.as_table()?.get(key);
    }
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    match rest {
        None => table.get(first),
        Some(rest) => find(table.get(first)?.as_table()?, rest),
    }
}

/// The same, to change it.
pub(super) fn find_mut<'t>(table: &'t mut Table, path: &str) -> Option<&'t mut Value> {
    match path.split_once('.') {
        None => table.get_mut(path),
        Some((first, rest)) => find_mut(table.get_mut(first)?.as_table_mut()?, rest),
    }
}

/// The table that holds the setting at `path`, and its key there.
pub(super) fn parent_of<'t, 'p>(table: &'t mut Table, path: &'p str) -> Option<(&'t mut Table, &'p str)> {
    if let Some((open, key)) = in_open(path) {
        return Some((find_mut(table, open)?.as_table_mut()?, key));
    }
    match path.rsplit_once('.') {
        None => Some((table, path)),
        Some((parent, key)) => Some((find_mut(table, parent)?.as_table_mut()?, key)),
    }
}
