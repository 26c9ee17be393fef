//! Rust source as words and signs, without comments, literals and tests.

/// The words and signs of a source file; `::` is one sign.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(length) = skipped(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            end
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    without_tests(&tokens)
}

/// Length of the comment, literal or lifetime with which a text begins.
fn skipped(text: &str) -> Option<usize> {
    let until =
        |start: usize, end: &str| text[start..].find(end).map_or(text.len(), |at| start + at + end.len());
    if text.starts_with("//") {
        return Some(until(2, "\n"));
    }
    if text.starts_with("/*") {
        return Some(comment(text));
    }
    let unprefixed = text.trim_start_matches('b');
    if let Some(raw) = unprefixed.strip_prefix('r').filter(|_| text.len() - unprefixed.len() < 2) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let start = text.len() - raw.len() + hashes + 1;
            return Some(until(start, &format!("\"{}", "#".repeat(hashes))));
        }
    }
    match text.strip_prefix('b').filter(|rest| rest.starts_with(['"', '\''])).unwrap_or(text) {
        rest if rest.starts_with('"') => Some(text.len() - rest.len() + quoted(rest, '"')),
        rest if rest.starts_with('\'') => {
            let mut inner = rest.chars().skip(1);
            let is_character = inner.next() == Some('\\') || inner.next() == Some('\'');
            Some(text.len() - rest.len() + if is_character { quoted(rest, '\'') } else { 1 })
        }
        _ => None,
    }
}

/// Length of a nested comment.
fn comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Length of a literal between quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Removes the items with the attribute `#[cfg(test)]`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].iter().take(TEST.len()).eq(TEST.iter()) {
            at = end_of_item(tokens, at + TEST.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Position after an item: its semicolon or its closing brace.
fn end_of_item(tokens: &[String], start: usize) -> usize {
    let is_use = tokens.get(start).is_some_and(|token| token == "use");
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                // The last field of a struct, or statement of a block, ends with what surrounds it.
                let Some(outer) = depth.checked_sub(1) else { return at };
                depth = outer;
                if depth == 0 && token == "}" && !is_use {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}
