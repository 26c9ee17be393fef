//! Line numbers of the keys of a configuration file.

use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// Line of each key, by its path: `topic.url`, `alert.rules[0]`, `alert.rules[0].threshold`.
#[derive(Debug, Default)]
pub(super) struct KeyLines(BTreeMap<String, usize>);

impl KeyLines {
    /// Finds the lines in a TOML text; none if it is not TOML.
    pub(super) fn read(text: &str) -> Self {
        let mut found = Self::default();
        if let Ok(table) = DeTable::parse(text) {
            found.table(&LineStarts::of(text), "", table.get_ref());
        }
        found
    }

    /// ` (line 7)`, or nothing for a key that is not in the file.
    pub(super) fn suffix(&self, path: &str) -> String {
        self.0.get(path).map_or_else(String::new, |line| format!(" (line {line})"))
    }

    fn table(&mut self, starts: &LineStarts, parent: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref();
            let path = if parent.is_empty() { name.to_string() } else { format!("{parent}.{name}") };
            self.0.insert(path.clone(), starts.line(key.span().start));
            match value.get_ref() {
                DeValue::Table(table) => self.table(starts, &path, table),
                DeValue::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        let path = format!("{path}[{index}]");
                        self.0.insert(path.clone(), starts.line(item.span().start));
                        if let DeValue::Table(table) = item.get_ref() {
                            self.table(starts, &path, table);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// Offsets of the bytes after line ends, ascending: a file of ten thousand rules has fifty thousand keys, too many to count the
/// lines before each.
struct LineStarts(Vec<usize>);

impl LineStarts {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at + 1).collect())
    }

    fn line(&self, byte: usize) -> usize {
        self.0.partition_point(|start| *start <= byte) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_tables_and_of_entries_have_their_lines() {
        let text = "# a comment\n[topic]\nurl = 'x'\n\n[[alert.rules]]\nname = 'a'\n[[alert.rules]]\nname = 'b'\nthreshold = 'x'\n";
        let lines = KeyLines::read(text);
        let of = |path| lines.suffix(path);
        assert_eq!(of("topic.url"), " (line 3)");
        assert_eq!(of("alert.rules[1]"), " (line 7)");
        assert_eq!(of("alert.rules[1].threshold"), " (line 9)");
        assert_eq!(of("store.url"), "");
    }
}
