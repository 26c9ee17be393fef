//! Stores: [`cassandra`] for a cluster, [`sqlite`] for one machine.

pub mod cassandra;
mod seen;
pub mod sqlite;

/// The first column of a table that is missing, of another type, or an additional part of the key.
fn first_difference(table: &str, want: &[(String, String)], have: &[(String, String)]) -> Option<String> {
    for (name, kind) in want {
        match have.iter().find(|(other, _)| other == name) {
            None => return Some(format!("table {table} has no column `{name}` ({kind})")),
            Some((_, other)) if other != kind => {
                return Some(format!("table {table}: column `{name}`: expected {kind}, found {other}"));
            }
            Some(_) => {}
        }
    }
    have.iter()
        .find(|(name, kind)| kind.contains("key") && !want.iter().any(|(other, _)| other == name))
        .map(|(name, kind)| format!("table {table}: unexpected key column `{name}` ({kind})"))
}
