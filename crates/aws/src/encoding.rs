//! Percent-encoding and hexadecimal, as signatures need them.

use ring::digest;

/// Percent-encodes all but unreserved characters (RFC 3986, section 2.3).
pub fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// Encodes a path, keeping its slashes.
#[must_use]
pub fn encode_path(path: &str) -> String {
    let mut out = String::new();
    for (index, part) in path.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        encode(part, &mut out);
    }
    out
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_their_slashes() {
        assert_eq!(encode_path("/a b/ü=1"), "/a%20b/%C3%BC%3D1");
        assert_eq!(hex(&sha256(b"abc"))[..8], *"ba7816bf");
    }
}
