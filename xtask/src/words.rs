//! Words that STYLE.md bans, in comments, string literals and documentation; and public types that share a name.

use std::collections::BTreeMap;

/// Banned words and phrases, in lower case, with the words to use instead. Matched at word boundaries.
const BANNED: &[(&str, &str)] = &[
    ("told", "emitted, reported, returned"),
    ("tell_ms", "emit_interval"),
    ("grace_ms", "emit_delay"),
    ("horizon_s", "allowed_lateness"),
    ("telling", "reporting, emitting"),
    ("anew", "again"),
    ("whence", "from which"),
    ("merely", "only"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("mended", "fixed"),
    ("for ever", "indefinitely, never"),
    ("without end", "indefinitely"),
    ("at the most", "at most, maximum"),
    ("from when on", "start, inclusive"),
    ("until when", "end"),
    ("goes on", "continues, resumes"),
    ("in one go", "at once"),
    ("is due", "expected"),
    ("are due", "expected"),
    ("a hole", "a gap"),
    ("holes", "gaps"),
    ("beside", "next to, besides, in addition to"),
    ("misbehave", "inject faults"),
    ("misbehaves", "injects faults"),
    ("handed over", "passed, emitted"),
    ("hands over", "passes, emits, returns"),
    ("taken back", "canceled"),
    ("is away", "is unreachable, is disconnected"),
    ("are away", "are unreachable"),
    ("was away", "was unreachable"),
    ("somebody else's", "independent"),
    ("other people's", "other, independent"),
    ("surely", "certainly"),
    ("patiently", "with retries"),
    ("keeper", "writer"),
    ("greeting", "handshake"),
    ("as told", "as reported"),
    ("asked for", "requested"),
];

/// Honest uses: file, and a part of the line.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("xtask/src/words.rs", "", "the list itself"),
    ("crates/tapeline/src/config", "aggregate.", "settings, and old names in the table of renamed ones"),
    ("crates/market/tests/golden/alerts.py", "told", "a variable of the oracle"),
    ("crates/sources/src", "due", "a row or request is due at its scheduled time"),
    ("crates/server/src/hub/reader.rs", "due", "frames are due at a fixed interval"),
    ("crates/notify/src/outbox", "due", "messages are due at their scheduled time"),
    ("crates/pipeline/src/alert.rs", "due", "a checkpoint is due at a fixed interval"),
    ("crates/tapeline/src/command/alert/run.rs", "due", "messages are due at their scheduled time"),
];

/// Names that public types still share. To be emptied, never extended.
const NOT_YET: &[&str] = &[];

/// Every banned word in a file of the repository, as `file:line: …`.
pub(crate) fn banned(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (line, words) in prose(file, text) {
        let lower = words.to_lowercase();
        for (word, instead) in BANNED.iter().filter(|(word, _)| stands_alone(&lower, word)) {
            let allowed =
                |(path, part, _): &&(&str, &str, &str)| file.starts_with(path) && lower.contains(part);
            if !ALLOWED.iter().any(|entry| allowed(&entry)) {
                found.push(format!("{file}:{line}: `{word}`, write: {instead}"));
            }
        }
    }
    found
}

/// Whether a phrase occurs between word boundaries.
fn stands_alone(text: &str, phrase: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(phrase)
        .any(|(at, _)| !text[..at].ends_with(is_word) && !text[at + phrase.len()..].starts_with(is_word))
}

/// Lines of words for people, numbered from 1: comments and string literals of code, everything else of documentation.
fn prose(file: &str, text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    match file.rsplit('.').next() {
        Some("rs") => lines.map(|(number, line)| (number, words_of_rust(line))).collect(),
        Some("toml") if !file.ends_with("Cargo.toml") => {
            lines.filter_map(|(number, line)| Some((number, line.split_once('#')?.1.to_owned()))).collect()
        }
        Some("md") => lines.map(|(number, line)| (number, line.to_owned())).collect(),
        Some("py" | "js" | "html" | "sh") => lines.map(|(number, line)| (number, line.to_owned())).collect(),
        _ => Vec::new(),
    }
}

/// The comment of a line, and the contents of its string literals without `{placeholders}`.
fn words_of_rust(line: &str) -> String {
    let (mut words, mut rest) = (String::new(), line);
    while let Some(at) = rest.find(['"', '/']) {
        let tail = &rest[at..];
        if tail.starts_with("//") {
            words.push_str(tail);
            return words;
        }
        if !tail.starts_with('"') || rest[..at].ends_with('\'') {
            rest = &tail[1..];
            continue;
        }
        let mut end = 1;
        while let Some(next) = tail[end..].find(['"', '\\']) {
            end += next + 1;
            if tail.as_bytes()[end - 1] == b'"' {
                break;
            }
            end =
                tail.char_indices().map(|(index, _)| index).find(|index| *index > end).unwrap_or(tail.len());
        }
        words.push_str(&without_placeholders(&tail[..end]));
        words.push(' ');
        rest = &tail[end..];
    }
    words
}

fn without_placeholders(text: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

/// Adds the public types of a source file: name and file.
pub(crate) fn public_types(file: &str, text: &str, types: &mut BTreeMap<String, Vec<String>>) {
    if !file.starts_with("crates/") || !file.contains("/src/") || !file.ends_with(".rs") {
        return;
    }
    for line in text.lines() {
        let Some(rest) = line.trim_start().strip_prefix("pub ") else { continue };
        let mut words = rest.split_whitespace();
        if matches!(words.next(), Some("struct" | "enum" | "trait" | "type" | "union")) {
            let name: String = words
                .next()
                .unwrap_or_default()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            types.entry(name).or_default().push(file.to_owned());
        }
    }
}

/// Names that several public types share.
pub(crate) fn shared_names(types: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let shared = types.iter().filter(|(name, files)| files.len() > 1 && !NOT_YET.contains(&name.as_str()));
    shared
        .map(|(name, files)| format!("public type `{name}` is in {}: rename all but one", files.join(", ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_words_are_found_in_comments_strings_and_documentation_only() {
        let found = |file: &str, text: &str| banned(file, text).len();
        assert_eq!(found("a.rs", "let told = 1; // told\nprint(\"told {told}\");\nprint(\"{told}\")"), 2);
        assert_eq!(found("a.rs", "/// untold, toldness\nlet c = '\"'; let told = \"\\\"\"; told()"), 0);
        assert_eq!(found("a.md", "It is told Anew.\n\nAt the most 3."), 3);
        assert_eq!(found("a.toml", "told = 1 # goes on"), 1);
        assert_eq!(found("a.rs", "a / b; \"x\\\\\"; told(\"whence\")"), 1);
    }

    #[test]
    fn shared_names_of_public_types_are_found() {
        let mut types = BTreeMap::new();
        public_types(
            "crates/a/src/b.rs",
            "pub struct Pane<T>(T);\npub(crate) enum Kind {}\npub enum Kind {}",
            &mut types,
        );
        public_types("crates/c/src/d.rs", "    pub type Pane = u8;\nstruct Kind;", &mut types);
        assert_eq!(
            shared_names(&types),
            ["public type `Pane` is in crates/a/src/b.rs, crates/c/src/d.rs: rename all but one"]
        );
    }
}
