//! Counts in messages for people.

/// With thousands separators: `1,042,549`.
#[must_use]
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun in the singular: `1 record`, `2,000 records`.
#[must_use]
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {}", thousands(n), plural(n, noun))
}

/// The noun for a count: `record` for 1, otherwise `records`. Of `fault of the archive` the part before `of` changes.
#[must_use]
pub fn plural(n: u64, noun: &str) -> String {
    if n == 1 {
        return noun.to_owned();
    }
    let (counted, rest) = noun.find(" of ").map_or((noun, ""), |at| noun.split_at(at));
    match counted.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies{rest}"),
        _ => format!("{counted}s{rest}"),
    }
}

/// The form of a verb for a count: `choose(1, "is", "are")`.
#[must_use]
pub const fn choose<'a>(n: u64, one: &'a str, many: &'a str) -> &'a str {
    if n == 1 { one } else { many }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_agree_with_their_nouns() {
        assert_eq!([0, 999, 1_000, 1_042_549].map(thousands), ["0", "999", "1,000", "1,042,549"]);
        assert_eq!([0, 1, 2_000].map(|n| counted(n, "record")), ["0 records", "1 record", "2,000 records"]);
        assert_eq!([1, 2].map(|n| counted(n, "dead letter")), ["1 dead letter", "2 dead letters"]);
        assert_eq!([1, 2].map(|n| counted(n, "query")), ["1 query", "2 queries"]);
        assert_eq!([1, 2].map(|n| counted(n, "day")), ["1 day", "2 days"]);
        assert_eq!(counted(2, "fault of the archive"), "2 faults of the archive");
        assert_eq!([choose(1, "is", "are"), choose(0, "is", "are")], ["is", "are"]);
    }
}
