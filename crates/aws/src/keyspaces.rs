//! The login of Amazon Keyspaces: a SASL exchange over CQL that is signed with AWS credentials.
//!
//! Source: AWS's authentication plugins for Cassandra drivers (aws-sigv4-auth-cassandra). The client begins with
//! [`INITIAL_RESPONSE`]; the server sends `nonce=…`; the client signs a request of `PUT /authenticate` whose body is the nonce.
//! It is not quite Signature Version 4: its dates have punctuation and milliseconds.

use crate::credentials::Credentials;
use crate::encoding::{encode, hex, sha256};
use crate::sigv4::Signer;
use market::UnixNanos;
use ports::secret::Secret;
use ports::{Error, Result};

/// What a client sends to begin.
pub const INITIAL_RESPONSE: &[u8] = b"SigV4\0\0";

/// The response to the server's challenge, for the endpoint of a region.
///
/// # Errors
/// The challenge has no nonce.
pub fn response(region: &str, credentials: &Credentials, challenge: &[u8], now: UnixNanos) -> Result<Secret> {
    let text = std::str::from_utf8(challenge).unwrap_or_default();
    let nonce = text.split_once("nonce=").map(|(_, rest)| rest.split(',').next().unwrap_or(rest));
    let nonce = nonce.filter(|nonce| !nonce.is_empty()).ok_or_else(|| {
        Error::user("the server's challenge has no nonce")
            .hint("is this Amazon Keyspaces? another Cassandra takes `store.cassandra.username` and password")
    })?;
    let signer = Signer {
        access_key: credentials.access_key.clone(),
        secret_key: credentials.secret_key.clone(),
        session_token: credentials.session_token.clone(),
        region: region.to_owned(),
        service: "cassandra".to_owned(),
    };
    let time = now.local("%Y-%m-%dT%H:%M:%S.", "UTC") + &format!("{:03}Z", now.millis().rem_euclid(1_000));
    let day = now.local("%Y%m%d", "UTC");
    let scope = signer.scope(&day);
    let mut query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=".to_owned();
    encode(&format!("{}/{scope}", signer.access_key), &mut query);
    query.push_str("&X-Amz-Date=");
    encode(&time, &mut query);
    query.push_str("&X-Amz-Expires=900");
    let payload = hex(&sha256(nonce.as_bytes()));
    let canonical = format!("PUT\n/authenticate\n{query}\nhost:cassandra\n\nhost\n{payload}");
    let hashed = hex(&sha256(canonical.as_bytes()));
    let signature = signer.signature(&day, &format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}"));
    let mut out = format!("signature={signature},access_key={},amzdate={time}", signer.access_key);
    if !signer.session_token.is_empty() {
        out.push_str(&format!(",session_token={}", signer.session_token.reveal()));
    }
    Ok(out.into())
}

/// The region in the address of an endpoint, such as `cassandra.us-east-1.amazonaws.com`.
#[must_use]
pub fn region_of(host: &str) -> Option<&str> {
    let labels: Vec<&str> = host.split('.').collect();
    let is_service = |label: &str| matches!(label, "cassandra" | "cassandra-fips");
    let is_aws = |labels: &[&str]| labels.iter().any(|label| matches!(*label, "amazonaws" | "api"));
    let at = labels.iter().position(|label| is_service(label))?;
    labels.get(at + 1).copied().filter(|_| is_aws(&labels[at + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(session_token: &str) -> Credentials {
        Credentials {
            access_key: "UserID-1".to_owned(),
            secret_key: "UserSecretKey-1".to_owned().into(),
            session_token: session_token.to_owned().into(),
            expires: None,
        }
    }

    /// The vector in the tests of AWS's plugins.
    #[test]
    fn the_published_vector_is_matched_byte_for_byte() {
        let now = UnixNanos::parse("2020-06-09T22:41:51Z").unwrap();
        let challenge = b"nonce=91703fdc2ef562e19fbdab0f58e42fe5";
        let expected = "signature=7f3691c18a81b8ce7457699effbfae5b09b4e0714ab38c1292dbdf082c9ddd87,access_key=UserID-1,\
                        amzdate=2020-06-09T22:41:51.000Z";
        let made = response("us-west-2", &credentials(""), challenge, now).unwrap();
        assert_eq!(made.reveal(), expected);
        let more = b"nonce=91703fdc2ef562e19fbdab0f58e42fe5,realm=x";
        assert_eq!(response("us-west-2", &credentials(""), more, now).unwrap().reveal(), expected);
        let made = response("us-west-2", &credentials("T=="), challenge, now).unwrap();
        assert_eq!(made.reveal(), format!("{expected},session_token=T=="));
    }

    #[test]
    fn dates_have_milliseconds() {
        let now = UnixNanos::parse("2020-06-09T22:41:51.0079Z").unwrap();
        let made = response("us-west-2", &credentials(""), b"nonce=1", now).unwrap();
        assert!(made.reveal().ends_with("amzdate=2020-06-09T22:41:51.007Z"), "{}", made.reveal());
    }

    #[test]
    fn a_challenge_of_another_server_is_refused() {
        for challenge in [&b""[..], b"nonce=", b"\xff", b"password?"] {
            let error = response("us-west-2", &credentials(""), challenge, UnixNanos(0)).unwrap_err();
            assert!(error.to_string().contains("no nonce"), "{error}");
        }
    }

    #[test]
    fn the_address_of_an_endpoint_tells_the_region() {
        for (host, region) in [
            ("cassandra.us-east-1.amazonaws.com", Some("us-east-1")),
            ("cassandra-fips.us-west-2.amazonaws.com", Some("us-west-2")),
            ("vpce-1a2b-3c4d.cassandra.eu-west-1.vpce.amazonaws.com", Some("eu-west-1")),
            ("cassandra.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("cassandra.example.org", None),
            ("cassandra", None),
        ] {
            assert_eq!(region_of(host), region, "{host}");
        }
    }
}
