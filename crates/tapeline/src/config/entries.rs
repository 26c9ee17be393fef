//! What is wrong with the entries of `[[alert.rules]]` and `[[alert.channels]]`: which entry, which key, what was
//! expected and what was found.

use super::mask;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// A fault of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EntryFault {
    /// Path of the key, or of the entry, to find its line by: `alert.rules[0].threshold`.
    pub(super) path: String,
    pub(super) text: String,
}

/// Faults of the lists in the settings.
pub(super) fn check(table: &Table) -> Vec<EntryFault> {
    let list = |name: &str| table.get("alert")?.as_table()?.get(name)?.as_array().map(Vec::as_slice);
    let mut faults = of_list::<market::alert::RuleConfig>("alert.rules", list("rules").unwrap_or_default());
    let channels = list("channels").unwrap_or_default();
    faults.extend(of_list::<notify::ChannelConfig>("alert.channels", channels));
    faults
}

fn of_list<T: DeserializeOwned>(list: &str, entries: &[Value]) -> Vec<EntryFault> {
    let mut faults = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let path = format!("{list}[{index}]");
        let Some(table) = entry.as_table() else {
            let text = format!("`{list}`, entry {}: expected a table, found {}", index + 1, entry.type_str());
            faults.push(EntryFault { path, text });
            continue;
        };
        let name = table.get("name").and_then(Value::as_str).map(|name| format!(" (`{name}`)"));
        let entry = format!("`{list}`, entry {}{}", index + 1, name.unwrap_or_default());
        faults.extend(of_entry::<T>(table).into_iter().map(|(key, text)| match key {
            Some(key) => EntryFault { path: format!("{path}.{key}"), text: format!("{entry}: {text}") },
            None => EntryFault { path: path.clone(), text: format!("{entry}: {text}") },
        }));
    }
    faults
}

/// The faults of an entry with their keys. Deserialising reports the first fault and not its key: that is the key without
/// which the report is another one.
fn of_entry<T: DeserializeOwned>(table: &Table) -> Vec<(Option<String>, String)> {
    let report = |table: &Table| {
        let error = Value::Table(table.clone()).try_into::<T>().err()?;
        Some(error.message().trim().to_owned())
    };
    let (mut rest, mut faults) = (table.clone(), Vec::new());
    while let Some(found) = report(&rest) {
        if let Some(key) = found.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
            // A key that was removed as wrong is not missing.
            if !table.contains_key(key) {
                faults.push((None, format!("missing key `{key}`")));
            }
            break;
        }
        // Without any required key the report is another one too: that this key is missing.
        let changes: Vec<(&String, bool)> = rest
            .keys()
            .filter_map(|key| {
                let mut table = rest.clone();
                table.remove(key);
                let now = report(&table);
                (now.as_ref() != Some(&found)).then(|| (key, now == Some(missing(key))))
            })
            .collect();
        let named = |key: &String| found.contains(rest[key].to_string().trim_matches('"'));
        let key = changes.iter().find(|(_, is_missing)| !is_missing);
        let key = key.or_else(|| changes.iter().find(|(key, _)| named(key))).or(changes.first());
        let Some(key) = key.map(|(key, _)| (*key).clone()) else {
            faults.push((None, found));
            break;
        };
        let value = rest.remove(&key).unwrap_or(Value::Boolean(false));
        faults.push((Some(key.clone()), describe(&key, &value, &found)));
    }
    faults
}

fn missing(key: &str) -> String {
    format!("missing field `{key}`")
}

fn describe(key: &str, value: &Value, error: &str) -> String {
    if let Some((_, known)) = error.strip_prefix("unknown field").and_then(|rest| rest.split_once(", ")) {
        return format!("unknown key `{key}`; {known}");
    }
    let found = if mask::is_secret_word(key) {
        format!("a {} that is not shown", value.type_str())
    } else {
        format!("{} `{}`", value.type_str(), value.to_string().trim_matches('"'))
    };
    if let Some((_, expected)) = error.rsplit_once(", expected ") {
        let expected = match expected {
            "f64" => "a number",
            "u16" | "u32" | "u64" | "i64" | "usize" => "a whole number",
            "a sequence" => "an array",
            other => other,
        };
        return format!("`{key}`: expected {expected}, found {found}");
    }
    if mask::is_secret_word(key) {
        return format!("`{key}`: found {found}, which is not valid");
    }
    format!("`{key}`: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let faults = check(&text.parse().unwrap());
        faults.into_iter().map(|fault| format!("{} {}", fault.path, fault.text)).collect()
    }

    const GOOD: &str = "[[alert.rules]]\nname = 'halt'\nkind = 'halt'\n";

    #[test]
    fn a_good_rule_has_no_fault() {
        assert!(faults(GOOD).is_empty());
    }

    #[test]
    fn every_wrong_key_of_a_rule_is_named_with_its_rule() {
        let text = format!(
            "{GOOD}[[alert.rules]]\nname = 'spike'\nkind = 'percent_move'\nthreshold = 'x'\nwindow = '5m'\ntreshold = 1\n\
             symbols = 'SPY'\n[[alert.rules]]\nkind = 'jump'\n"
        );
        let found = faults(&text);
        assert_eq!(found.len(), 5, "{found:#?}");
        for part in [
            "alert.rules[1].threshold `alert.rules`, entry 2 (`spike`): `threshold`: expected a number, found string `x`",
            "alert.rules[1].treshold `alert.rules`, entry 2 (`spike`): unknown key `treshold`; expected one of `name`",
            "`symbols`: expected an array, found string `SPY`",
            "alert.rules[2].kind `alert.rules`, entry 3: `kind`: expected one of `percent_move`",
            "alert.rules[2] `alert.rules`, entry 3: missing key `name`",
        ] {
            assert!(found.iter().any(|fault| fault.contains(part)), "{part}: {found:#?}");
        }
    }

    #[test]
    fn a_channel_is_named_without_its_secrets() {
        let found = faults(
            "[[alert.channels]]\nname = 'mail'\ntype = 'smtp'\nhost = 'h'\nfrom = 'a'\nto = 'b'\nport = 'x'\npassword = 424242\n",
        );
        let text = found.join("\n");
        for part in ["entry 1 (`mail`): `to`: expected an array, found string `b`", "`port`", "`password`"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("424242"), "{text}");
    }
}
