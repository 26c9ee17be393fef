//! Numbers of replies.

use serde_json::value::RawValue;

/// A decimal as a JSON number with all of its digits; `null` if it is not one.
pub(super) fn number(text: &str) -> Box<RawValue> {
    // Only digits as the API writes decimals: anything else must not get into the reply unquoted.
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let plain = unsigned.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let text = if plain { text } else { "null" };
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits() {
        for (text, shown) in [
            ("0.000000000000000001", "0.000000000000000001"),
            ("-1.5", "-1.5"),
            ("", "null"),
            ("1,2", "null"),
            ("1}{", "null"),
            ("1.", "null"),
        ] {
            assert_eq!(number(text).get(), shown, "{text}");
        }
    }
}
