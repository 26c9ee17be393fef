//! Statements with inlined conditions. The server deserialises, validates and rebuilds a bound list for each
//! row; an inlined one only once. Of a tape's trades nine tenths have one of two condition lists.

use super::table::insert_names;
use market::Kind;
use market::codec::json;
use rustc_hash::FxHashMap;
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Rows with the same conditions before these get a statement: preparing one costs as much as some hundred
/// rows.
const AFTER: u32 = 4_096;
/// Maximum number of statements of a kind: the server keeps every prepared statement.
const AT_MOST: usize = 24;
/// Maximum number of condition lists counted; beyond it the counts are reset.
const COUNTED: usize = 1_024;
/// Longer condition lists are bound.
const LONGEST: usize = 64;
/// Marks a row whose conditions are bound.
pub(super) const BOUND: u8 = u8::MAX;

/// Conditions and their statement.
pub(super) type Known = Arc<Vec<(String, PreparedStatement)>>;

pub(super) struct InlinedConditions {
    session: Arc<Session>,
    keyspace: String,
    known: [RwLock<Known>; Kind::COUNT],
    counts: Mutex<FxHashMap<(Kind, String), u32>>,
}

/// The statements of a set of rows.
pub(super) struct Chosen {
    pub(super) known: Known,
    /// For each row its index in `known`, or [`BOUND`]; empty if all are bound.
    pub(super) which: Vec<u8>,
}

/// The `INSERT` of a kind, with bound conditions or with these inlined.
pub(super) fn insert(keyspace: &str, kind: Kind, conditions: Option<&str>) -> String {
    let columns = insert_names(kind);
    let inlined_conditions = conditions.map(inlined_conditions);
    let values: Vec<&str> = columns
        .iter()
        .map(|column| inlined_conditions.as_deref().filter(|_| *column == "conditions").unwrap_or("?"))
        .collect();
    let (table, columns) = (kind.plural(), columns.join(", "));
    format!("INSERT INTO {keyspace}.{table} ({columns}) VALUES ({}) USING TIMESTAMP ?", values.join(", "))
}

/// A canonical JSON array of conditions as a CQL list.
fn inlined_conditions(array: &str) -> String {
    let codes: Vec<String> =
        json::conditions(array).map(|code| format!("'{}'", code.replace('\'', "''"))).collect();
    format!("[{}]", codes.join(", "))
}

impl InlinedConditions {
    pub(super) fn new(session: &Arc<Session>, keyspace: &str) -> Self {
        Self {
            session: Arc::clone(session),
            keyspace: keyspace.to_owned(),
            known: std::array::from_fn(|_| RwLock::default()),
            counts: Mutex::default(),
        }
    }

    /// Chooses statements for rows by their conditions. Frequent condition lists get a statement of their own
    /// for subsequent rows.
    pub(super) fn choose<'t>(
        self: &Arc<Self>,
        kind: Kind,
        conditions: impl ExactSizeIterator<Item = &'t str>,
    ) -> Chosen {
        let known = Arc::clone(&self.known[kind.index()].read().unwrap_or_else(PoisonError::into_inner));
        let (which, unknown) = places(&known, conditions);
        if known.len() < AT_MOST {
            self.count(kind, &unknown);
        }
        Chosen { known, which }
    }

    fn count(self: &Arc<Self>, kind: Kind, unknown: &[(&str, u32)]) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (text, rows) in unknown {
            if text.len() > LONGEST || matches!(*text, "[]" | "") {
                continue;
            }
            if counts.len() >= COUNTED {
                counts.clear();
            }
            let count = counts.entry((kind, (*text).to_owned())).or_default();
            let before = std::mem::replace(count, count.saturating_add(*rows));
            if before < AFTER && *count >= AFTER {
                tokio::spawn(Arc::clone(self).learn(kind, (*text).to_owned()));
            }
        }
    }

    async fn learn(self: Arc<Self>, kind: Kind, text: String) {
        let insert = insert(&self.keyspace, kind, Some(&text));
        match self.session.prepare(insert).await {
            Ok(mut statement) => {
                statement.set_is_idempotent(true);
                let mut known = self.known[kind.index()].write().unwrap_or_else(PoisonError::into_inner);
                if known.len() < AT_MOST && known.iter().all(|(other, _)| *other != text) {
                    Arc::make_mut(&mut known).push((text, statement));
                }
            }
            // They remain bound.
            Err(error) => tracing::debug!("prepare a statement with inlined conditions {text}: {error}"),
        }
    }
}

/// For each row the index of its conditions, or nothing if all are bound; and the unknown condition lists,
/// with the length of each run of rows.
fn places<'t, S>(
    known: &[(String, S)],
    conditions: impl ExactSizeIterator<Item = &'t str>,
) -> (Vec<u8>, Vec<(&'t str, u32)>) {
    let mut which = Vec::with_capacity(conditions.len());
    let mut unknown: Vec<(&str, u32)> = Vec::new();
    let mut last = 0;
    for text in conditions {
        let is = |at: usize| known.get(at).is_some_and(|(other, _)| same(other, text));
        // Consecutive rows often have the same conditions.
        let found = if is(last) { Some(last) } else { (0..known.len()).find(|at| is(*at)) };
        last = found.unwrap_or(last);
        which.push(found.map_or(BOUND, |at| at as u8));
        if found.is_none() {
            match unknown.last_mut() {
                Some((other, rows)) if *other == text => *rows += 1,
                _ => unknown.push((text, 1)),
            }
        }
    }
    if which.iter().all(|at| *at == BOUND) {
        which.clear();
    }
    (which, unknown)
}

/// Compares texts without a call: they are short.
#[inline]
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().eq(b.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_whose_conditions_are_all_bound_share_a_batch() {
        let known = [(r#"["a"]"#.to_owned(), ()), (r#"["b"]"#.to_owned(), ())];
        let of = |texts: &[&'static str]| places(&known, texts.iter().copied());
        assert_eq!(of(&["[]", r#"["x"]"#, r#"["x"]"#]), (vec![], vec![("[]", 1), (r#"["x"]"#, 2)]));
        let (which, unknown) = of(&[r#"["b"]"#, r#"["b"]"#, "[]", r#"["a"]"#]);
        assert_eq!((which, unknown), (vec![1, 1, BOUND, 0], vec![("[]", 1)]));
    }

    #[test]
    fn conditions_stand_in_the_statement_as_cql_writes_lists() {
        assert_eq!(inlined_conditions(r#"["@","I"]"#), "['@', 'I']");
        assert_eq!(inlined_conditions(r#"["O'K",""]"#), "['O''K', '']");
        let bound = insert("k", Kind::QUOTE, None);
        assert_eq!(
            bound,
            "INSERT INTO k.quotes (symbol, hour, ts, feed, seq, ask, ask_size, ask_venue, bid, bid_size, bid_venue, \
             conditions, recv_ts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
        );
        let inlined_statements = insert("k", Kind::QUOTE, Some(r#"["R"]"#));
        assert_eq!(inlined_statements, bound.replacen("?, ?) ", "['R'], ?) ", 1));
    }
}
