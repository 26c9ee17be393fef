//! Corrected messages of dead letters: the file that `export` wrote, with other payloads.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ports::dead_letter::log::{Entry, Number};
use ports::{Error, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// What is read of a line; `export` writes more, for people.
#[derive(Deserialize)]
struct Line {
    number: String,
    payload: Option<String>,
    payload_base64: Option<String>,
}

/// The messages of a file by the number of their dead letter, each of which must be known.
pub(super) fn read(path: &Path, known: &[Entry]) -> Result<BTreeMap<Number, Vec<u8>>> {
    let file = File::open(path).map_err(ports::error::io("read", path))?;
    let known: BTreeSet<Number> = known.iter().map(|entry| entry.number).collect();
    let mut payloads = BTreeMap::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(ports::error::io("read", path))?;
        if line.trim().is_empty() {
            continue;
        }
        let (number, payload) = parse(&line).map_err(|reason| {
            Error::user(format!("{} line {}: {reason}", path.display(), index + 1)).hint(
                "write the file with `tapeline dead-letters export --out FILE`, and change only `payload`",
            )
        })?;
        if !known.contains(&number) {
            return Err(Error::user(format!(
                "{} line {}: no dead letter {number}",
                path.display(),
                index + 1
            ))
            .hint("list all numbers: tapeline dead-letters list --all"));
        }
        payloads.insert(number, payload);
    }
    Ok(payloads)
}

fn parse(line: &str) -> Result<(Number, Vec<u8>), String> {
    let line: Line =
        serde_json::from_str(line).map_err(|error| format!("expected a dead letter as JSON: {error}"))?;
    let number = line.number.parse()?;
    match (line.payload, line.payload_base64) {
        (Some(text), None) => Ok((number, text.into_bytes())),
        (None, Some(text)) => match STANDARD.decode(&text) {
            Ok(bytes) => Ok((number, bytes)),
            Err(error) => Err(format!("payload_base64: {error}")),
        },
        (Some(_), Some(_)) => Err("expected payload or payload_base64, found both".to_owned()),
        (None, None) => Err("expected payload or payload_base64, found neither".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_number_and_one_payload() {
        let number = |offset| Number { partition: 0, offset };
        assert_eq!(parse(r#"{"number":"7","payload":"{}","reason":"x"}"#), Ok((number(7), b"{}".to_vec())));
        assert_eq!(parse(r#"{"number":"7","payload_base64":"AP8="}"#), Ok((number(7), vec![0, 255])));
        for (line, part) in [
            ("", "as JSON"),
            (r#"{"number":"x","payload":""}"#, "expected the number"),
            (r#"{"number":"7"}"#, "found neither"),
            (r#"{"number":"7","payload":"","payload_base64":""}"#, "found both"),
            (r#"{"number":"7","payload_base64":"?"}"#, "payload_base64"),
        ] {
            assert!(parse(line).unwrap_err().contains(part), "{line}");
        }
    }
}
