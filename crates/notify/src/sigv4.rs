//! AWS Signature Version 4 of one POST with a form as its body.
//!
//! Source: AWS General Reference, "Create a signed AWS API request". The tests use AWS's published test suite.

use crate::http::encode;
use market::UnixNanos;
use ports::secret::Secret;
use ring::{digest, hmac};

/// Credentials and scope of a signature.
#[derive(Debug, Clone)]
pub struct Signer {
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: Secret,
    /// Token of temporary credentials; empty: none.
    pub session_token: Secret,
    /// `us-east-1`.
    pub region: String,
    /// `sns`.
    pub service: String,
}

/// The request to sign.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `POST`.
    pub method: &'a str,
    /// Host, with its port unless it is the scheme's default.
    pub host: &'a str,
    /// Path, encoded.
    pub path: &'a str,
    /// Value of `Content-Type`; empty: none.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a str,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

impl Signer {
    /// The headers to send with the request: `X-Amz-Date`, `Authorization`, and the token if there is one.
    #[must_use]
    pub fn headers(&self, request: &Request<'_>, now: UnixNanos) -> Vec<(&'static str, String)> {
        let time = now.local("%Y%m%dT%H%M%SZ", "UTC");
        let day = time.get(..8).unwrap_or_default();
        let mut signed = vec![("host", request.host), ("x-amz-date", time.as_str())];
        if !request.content_type.is_empty() {
            signed.push(("content-type", request.content_type));
        }
        if !self.session_token.is_empty() {
            signed.push(("x-amz-security-token", self.session_token.reveal()));
        }
        signed.sort_unstable();
        let list: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let list = list.join(";");
        let headers: String =
            signed.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let payload = hex(digest::digest(&digest::SHA256, request.body.as_bytes()).as_ref());
        let canonical = format!("{}\n{}\n\n{headers}\n{list}\n{payload}", request.method, request.path);
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}");
        let mut key = mac(format!("AWS4{}", self.secret_key.reveal()).as_bytes(), day);
        for part in [self.region.as_str(), &self.service, "aws4_request"] {
            key = mac(key.as_ref(), part);
        }
        let signature = hex(mac(key.as_ref(), &text).as_ref());
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={list}, Signature={signature}",
            self.access_key
        );
        let mut out = vec![("X-Amz-Date", time.clone()), ("Authorization", authorization)];
        if !self.session_token.is_empty() {
            out.push(("X-Amz-Security-Token", self.session_token.reveal().to_owned()));
        }
        out
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases `get-vanilla`, `post-vanilla` and `post-x-www-form-urlencoded` of AWS's Signature Version 4 test suite.
    #[test]
    fn signatures_of_the_published_test_suite() {
        let signer = Signer {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: Secret::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            session_token: Secret::default(),
            region: "us-east-1".to_owned(),
            service: "service".to_owned(),
        };
        let now = UnixNanos::parse("2015-08-30T12:36:00Z").unwrap();
        let get =
            Request { method: "GET", host: "example.amazonaws.com", path: "/", content_type: "", body: "" };
        let form = "application/x-www-form-urlencoded";
        for (request, list, expected) in [
            (get, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (
                Request { method: "POST", ..get },
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                Request { method: "POST", content_type: form, body: "Param1=value1", ..get },
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let headers = signer.headers(&request, now);
            assert_eq!(headers[0], ("X-Amz-Date", "20150830T123600Z".to_owned()));
            let scope = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
            let expected =
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={list}, Signature={expected}");
            assert_eq!(headers[1].1, expected);
        }
        assert!(!format!("{signer:?}").contains("wJalr"));
    }

    #[test]
    fn paths() {
        assert_eq!(encode_path("/a b/ü"), "/a%20b/%C3%BC");
    }
}
