//! AWS Signature Version 4.
//!
//! Source: AWS General Reference, "Create a signed AWS API request"; for S3 "Authenticating Requests: Using the
//! Authorization Header". The tests use AWS's published test suite and S3's published examples.

use crate::encoding::{encode, hex, sha256};
use market::UnixNanos;
use ports::secret::Secret;
use ring::hmac;

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
    /// Value of `X-Amz-Target`, which names the action of a service that takes JSON; empty: none.
    pub target: &'a str,
    /// The body.
    pub body: &'a str,
}

/// A request of S3, whose parts are all signed.
#[derive(Debug, Clone, Copy)]
pub struct S3Request<'a> {
    /// `PUT`.
    pub method: &'a str,
    /// Host, with its port unless it is the scheme's default.
    pub host: &'a str,
    /// Path, encoded once.
    pub path: &'a str,
    /// Query, its names and values encoded, sorted by name.
    pub query: &'a str,
    /// Further headers, their names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// SHA-256 of the body.
    pub payload: [u8; 32],
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

impl Signer {
    /// The headers to send with the request: `X-Amz-Date`, `Authorization`, and the token if there is one.
    #[must_use]
    pub fn headers(&self, request: &Request<'_>, now: UnixNanos) -> Vec<(&'static str, String)> {
        let time = now.local("%Y%m%dT%H%M%SZ", "UTC");
        let mut signed = vec![("host", request.host), ("x-amz-date", time.as_str())];
        if !request.content_type.is_empty() {
            signed.push(("content-type", request.content_type));
        }
        if !request.target.is_empty() {
            signed.push(("x-amz-target", request.target));
        }
        if !self.session_token.is_empty() {
            signed.push(("x-amz-security-token", self.session_token.reveal()));
        }
        let payload = hex(&sha256(request.body.as_bytes()));
        let target = [request.method, request.path, ""];
        let authorization = self.authorization(target, &mut signed, &payload, &time);
        let mut out = vec![("X-Amz-Date", time.clone()), ("Authorization", authorization)];
        if !self.session_token.is_empty() {
            out.push(("X-Amz-Security-Token", self.session_token.reveal().to_owned()));
        }
        out
    }

    /// The same for S3, with `X-Amz-Content-Sha256`, which S3 compares with the body.
    #[must_use]
    pub fn s3_headers(&self, request: &S3Request<'_>, now: UnixNanos) -> Vec<(&'static str, String)> {
        let time = now.local("%Y%m%dT%H%M%SZ", "UTC");
        let payload = hex(&request.payload);
        let mut signed =
            vec![("host", request.host), ("x-amz-date", time.as_str()), ("x-amz-content-sha256", &payload)];
        signed.extend(request.headers);
        if !self.session_token.is_empty() {
            signed.push(("x-amz-security-token", self.session_token.reveal()));
        }
        let target = [request.method, request.path, request.query];
        let authorization = self.authorization(target, &mut signed, &payload, &time);
        let mut out = vec![
            ("X-Amz-Date", time.clone()),
            ("X-Amz-Content-Sha256", payload.clone()),
            ("Authorization", authorization),
        ];
        if !self.session_token.is_empty() {
            out.push(("X-Amz-Security-Token", self.session_token.reveal().to_owned()));
        }
        out
    }

    /// The header `Authorization` of a request of method, path and query.
    fn authorization(
        &self,
        [method, path, query]: [&str; 3],
        signed: &mut [(&str, &str)],
        payload: &str,
        time: &str,
    ) -> String {
        let day = time.get(..8).unwrap_or_default();
        signed.sort_unstable();
        let list: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let list = list.join(";");
        let headers: String =
            signed.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let canonical = format!("{method}\n{path}\n{query}\n{headers}\n{list}\n{payload}");
        let scope = self.scope(day);
        let hashed = hex(&sha256(canonical.as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}");
        let signature = self.signature(day, &text);
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={list}, Signature={signature}",
            self.access_key
        )
    }

    /// The query of a GET request of `https://HOST/` that is signed in its query, and so authorises whoever has it for
    /// `expires_s` seconds. `action` is a parameter that sorts before `X-Amz-`, encoded.
    #[must_use]
    pub fn presigned_query(&self, host: &str, action: &str, expires_s: i64, now: UnixNanos) -> Secret {
        let time = now.local("%Y%m%dT%H%M%SZ", "UTC");
        let day = time.get(..8).unwrap_or_default();
        let scope = self.scope(day);
        let mut query = format!("{action}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=");
        encode(&format!("{}/{scope}", self.access_key), &mut query);
        query.push_str(&format!("&X-Amz-Date={time}&X-Amz-Expires={expires_s}"));
        if !self.session_token.is_empty() {
            query.push_str("&X-Amz-Security-Token=");
            encode(self.session_token.reveal(), &mut query);
        }
        query.push_str("&X-Amz-SignedHeaders=host");
        let payload = hex(&sha256(b""));
        let hashed = hex(&sha256(format!("GET\n/\n{query}\nhost:{host}\n\nhost\n{payload}").as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}");
        let signature = self.signature(day, &text);
        query.push_str(&format!("&X-Amz-Signature={signature}"));
        query.into()
    }

    /// The scope of signatures of a day, `YYYYMMDD`.
    pub(crate) fn scope(&self, day: &str) -> String {
        format!("{day}/{}/{}/aws4_request", self.region, self.service)
    }

    /// The signature of a string to sign, with the key of a day, `YYYYMMDD`.
    pub(crate) fn signature(&self, day: &str, text: &str) -> String {
        let mut key = mac(format!("AWS4{}", self.secret_key.reveal()).as_bytes(), day);
        for part in [self.region.as_str(), &self.service, "aws4_request"] {
            key = mac(key.as_ref(), part);
        }
        hex(mac(key.as_ref(), text).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(access_key: &str, secret_key: &str, service: &str) -> Signer {
        Signer {
            access_key: access_key.to_owned(),
            secret_key: Secret::from(secret_key.to_owned()),
            session_token: Secret::default(),
            region: "us-east-1".to_owned(),
            service: service.to_owned(),
        }
    }

    /// Cases `get-vanilla`, `post-vanilla` and `post-x-www-form-urlencoded` of AWS's Signature Version 4 test suite.
    #[test]
    fn signatures_of_the_published_test_suite() {
        let signer = signer("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "service");
        let now = UnixNanos::parse("2015-08-30T12:36:00Z").unwrap();
        let get = Request {
            method: "GET",
            host: "example.amazonaws.com",
            path: "/",
            content_type: "",
            target: "",
            body: "",
        };
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

    /// The examples "PUT Object" and "List Objects" of S3's "Signature Calculations for the Authorization Header".
    #[test]
    fn signatures_of_the_published_examples_of_s3() {
        let signer = signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "s3");
        let now = UnixNanos::parse("2013-05-24T00:00:00Z").unwrap();
        let host = "examplebucket.s3.amazonaws.com";
        let put = S3Request {
            method: "PUT",
            host,
            path: "/test%24file.text",
            query: "",
            headers: &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            payload: sha256(b"Welcome to Amazon S3."),
        };
        let list = S3Request {
            method: "GET",
            path: "/",
            query: "max-keys=2&prefix=J",
            headers: &[],
            payload: sha256(b""),
            ..put
        };
        for (request, expected) in [
            (put, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
            (list, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ] {
            let headers = signer.s3_headers(&request, now);
            assert!(headers[2].1.ends_with(&format!("Signature={expected}")), "{headers:?}");
        }
    }
}
