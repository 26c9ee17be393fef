//! Vendor text in displayable form: without secrets, and without control characters that a terminal would
//! interpret.

use ports::secret::Secret;

/// Replacement for a secret.
const MASK: &str = "***";
/// Length from which a secret is masked in data.
const LONG: usize = 8;

/// Secrets to mask in displayed text.
#[derive(Clone, Default)]
pub(crate) struct Mask(Vec<String>);

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask of {} secrets", self.0.len())
    }
}

impl Mask {
    /// Masks these secrets and those of the proxies; empty ones are ignored.
    pub(crate) fn new<'s>(secrets: impl IntoIterator<Item = &'s Secret>) -> Self {
        let mut texts: Vec<String> = secrets
            .into_iter()
            .chain(ports::proxy::ENVIRONMENT.secrets())
            .map(|secret| secret.reveal().trim().to_owned())
            .filter(|text| !text.is_empty())
            .collect();
        // A secret may contain another one.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Self(texts)
    }

    /// The text as a dead letter keeps it: unchanged, except for secrets. One of a few characters is part of any text by
    /// chance.
    pub(crate) fn kept(&self, text: &str) -> Vec<u8> {
        let long = self.0.iter().filter(|secret| secret.len() >= LONG);
        long.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK)).into_bytes()
    }

    /// The text with secrets masked and control characters escaped.
    pub(crate) fn displayed(&self, text: &str) -> String {
        let masked = self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK));
        if !masked.chars().any(char::is_control) {
            return masked;
        }
        let mut out = String::with_capacity(masked.len() + 16);
        for character in masked.chars() {
            if character.is_control() { out.extend(character.escape_default()) } else { out.push(character) }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    #[test]
    fn secrets_and_control_characters_are_not_shown() {
        let (key, longer) = (secret("PKTEST"), secret("PKTEST2"));
        let mask = Mask::new([&key, &longer, &secret("")]);
        assert_eq!(
            mask.displayed("your key PKTEST2 (PKTEST) \u{1b}[2Jhas\r\n"),
            "your key *** (***) \\u{1b}[2Jhas\\r\\n"
        );
        assert_eq!(mask.displayed("plain é"), "plain é");
        let mask = Mask::new([&secret("PKTESTPKTEST"), &secret("9")]);
        assert_eq!(mask.kept("{\"p\":9,\u{1b}\"k\":\"PKTESTPKTEST\"}"), b"{\"p\":9,\x1b\"k\":\"***\"}");
    }
}
