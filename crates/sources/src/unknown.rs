//! Messages of types that a feed is not known to send: counted by type and reported, never silently dropped.
//! They reveal a capture with the wrong label, or a change of the vendor's API.

use std::collections::BTreeMap;

/// Number of types counted individually; the rest share a count.
const TYPES: usize = 64;
const OTHERS: &str = "(other types)";

/// How many unknown messages of each type were received.
#[derive(Debug, Default)]
pub(super) struct UnknownMessages {
    feed: String,
    counts: BTreeMap<String, u64>,
}

impl UnknownMessages {
    /// Creates empty counts for a feed.
    pub(super) fn new(feed: &str) -> Self {
        Self { feed: feed.to_owned(), counts: BTreeMap::new() }
    }

    /// Counts a message of a type. The first of each type, and every tenfold, is reported at once.
    pub(super) fn count(&mut self, class: &str) {
        let class: String = class.chars().take(40).flat_map(char::escape_debug).collect();
        let class = if self.counts.len() < TYPES || self.counts.contains_key(&class) {
            class
        } else {
            OTHERS.to_owned()
        };
        let count = self.counts.entry(class.clone()).or_default();
        *count += 1;
        if *count == 10_u64.pow(count.ilog10()) {
            tracing::warn!(
                feed = self.feed,
                message_type = class,
                count = *count,
                "valid JSON, but not a message of this feed: skipped; check the feed's label and the vendor's API version"
            );
        }
    }

    /// `match 3, ticker 17`; `None` if there were none.
    pub(super) fn summary(&self) -> Option<String> {
        let parts: Vec<String> =
            self.counts.iter().map(|(class, count)| format!("{class} {count}")).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

impl Drop for UnknownMessages {
    fn drop(&mut self) {
        if let Some(types) = self.summary() {
            tracing::warn!(feed = self.feed, types, "messages of unknown types were skipped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_counted_and_their_number_is_bounded() {
        let mut unknown = UnknownMessages::new("coinbase");
        assert_eq!(unknown.summary(), None);
        for class in ["match", "match", "ticker", "\u{1b}[2J"] {
            unknown.count(class);
        }
        assert_eq!(unknown.summary().unwrap(), "\\u{1b}[2J 1, match 2, ticker 1");
        (0..1_000).for_each(|n| unknown.count(&n.to_string()));
        assert_eq!(unknown.counts.len(), TYPES + 1);
        assert_eq!(unknown.counts.values().sum::<u64>(), 1_004);
    }
}
