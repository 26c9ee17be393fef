//! Tokens with which a Kafka client logs in at Amazon MSK: OAUTHBEARER tokens that are presigned requests.
//!
//! Source: the format of AWS's own signers for Kafka clients (aws-msk-iam-sasl-signer). A token is a presigned GET request
//! of the action `kafka-cluster:Connect`, as URL-safe Base64 without padding; the broker sends the request to IAM.

use crate::credentials::Credentials;
use crate::sigv4::Signer;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use market::UnixNanos;
use ports::secret::Secret;
use ports::{Error, Result};

/// Longest life of a token, seconds: MSK accepts no longer one.
const LIFE_S: i64 = 900;
const SECOND: i64 = 1_000_000_000;

/// A token and its end.
#[derive(Debug)]
pub struct Token {
    /// The token.
    pub token: Secret,
    /// When it ends, in whole seconds.
    pub expires: UnixNanos,
}

/// A token for the clusters of a region. It ends after 15 minutes, or with the credentials, if that is earlier: a broker
/// refuses a token whose credentials have expired, and the client would believe that it is still good.
///
/// # Errors
/// The credentials expire within a second.
pub fn token(region: &str, credentials: &Credentials, now: UnixNanos) -> Result<Token> {
    let now_s = now.0.div_euclid(SECOND);
    let left_s = credentials.expires.map_or(LIFE_S, |expires| expires.0.div_euclid(SECOND) - now_s);
    let life_s = left_s.min(LIFE_S);
    if life_s < 1 {
        return Err(Error::external("the AWS credentials have expired and no new ones are issued")
            .hint("check the role of the instance or container, and this machine's clock"));
    }
    let signer = Signer {
        access_key: credentials.access_key.clone(),
        secret_key: credentials.secret_key.clone(),
        session_token: credentials.session_token.clone(),
        region: region.to_owned(),
        service: "kafka-cluster".to_owned(),
    };
    let host = format!("kafka.{region}.amazonaws.com");
    let query = signer.presigned_query(&host, "Action=kafka-cluster%3AConnect", life_s, now);
    let agent = concat!("tapeline/", env!("CARGO_PKG_VERSION"));
    let url = format!("https://{host}/?{}&User-Agent={}", query.reveal(), agent.replace('/', "%2F"));
    let expires = UnixNanos((now_s + life_s) * SECOND);
    Ok(Token { token: URL_SAFE_NO_PAD.encode(url).into(), expires })
}

/// The region in the address of a broker of MSK, such as `b-1.tapes.a1b2c3.c2.kafka.us-east-1.amazonaws.com:9098`.
#[must_use]
pub fn region_of(broker: &str) -> Option<&str> {
    let labels: Vec<&str> = broker.split(':').next()?.split('.').collect();
    let is_service = |label: &str| matches!(label, "kafka" | "kafka-serverless");
    labels.windows(3).find(|w| is_service(w[0]) && w[2] == "amazonaws").map(|w| w[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const NOW: &str = "2026-11-27T18:00:00.75Z";

    fn credentials(session_token: &str, expires: Option<&str>) -> Credentials {
        Credentials {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned().into(),
            session_token: session_token.to_owned().into(),
            expires: expires.map(|time| UnixNanos::parse(time).unwrap()),
        }
    }

    /// Host and parameters of the request in a token.
    fn request(token: &str) -> (String, BTreeMap<String, String>) {
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
        let (host, query) = url.split_once('?').unwrap();
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        (host.to_owned(), query.split('&').map(pair).collect())
    }

    /// The tokens of `tests/msk.txt` are those of AWS's signer for Python; `tests/msk.py` made them.
    #[test]
    fn tokens_are_those_of_the_signer_of_aws() {
        let golden = include_str!("../tests/msk.txt");
        let mut compared = 0;
        for line in golden.lines() {
            let [region, session_token, expected]: [&str; 3] =
                line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let session_token = if session_token == "-" { "" } else { session_token };
            let now = UnixNanos::parse(NOW).unwrap();
            let ours = token(region, &credentials(session_token, None), now).unwrap();
            let (host, mut parameters) = request(ours.token.reveal());
            let (expected_host, mut expected) = request(expected);
            assert_eq!(host, expected_host);
            let agents = (parameters.remove("User-Agent"), expected.remove("User-Agent"));
            assert!(agents.0.unwrap().starts_with("tapeline%2F") && agents.1.is_some());
            assert_eq!(parameters, expected);
            assert_eq!(parameters.contains_key("X-Amz-Security-Token"), !session_token.is_empty());
            assert!(!format!("{ours:?}").contains(ours.token.reveal()));
            compared += 1;
        }
        assert_eq!(compared, 3);
    }

    #[test]
    fn a_token_ends_with_its_credentials() {
        let now = UnixNanos::parse(NOW).unwrap();
        for (expires, life) in [
            (None, Some(("900", "2026-11-27T18:15:00Z"))),
            (Some("2026-11-27T19:00:00Z"), Some(("900", "2026-11-27T18:15:00Z"))),
            (Some("2026-11-27T18:04:59.9Z"), Some(("299", "2026-11-27T18:04:59Z"))),
            (Some("2026-11-27T18:00:01Z"), Some(("1", "2026-11-27T18:00:01Z"))),
            (Some("2026-11-27T18:00:00.9Z"), None),
            (Some("2026-11-27T17:00:00Z"), None),
        ] {
            let made = token("eu-west-1", &credentials("", expires), now);
            let Some((seconds, end)) = life else {
                let error = made.unwrap_err();
                assert!(error.to_string().contains("expired") && error.retryable(), "{error}");
                continue;
            };
            let made = made.unwrap();
            assert_eq!(made.expires, UnixNanos::parse(end).unwrap());
            assert_eq!(request(made.token.reveal()).1["X-Amz-Expires"], seconds);
        }
    }

    #[test]
    fn the_address_of_a_broker_tells_the_region() {
        for (broker, region) in [
            ("b-1.tapes.a1b2c3.c2.kafka.us-east-1.amazonaws.com:9098", Some("us-east-1")),
            ("boot-x.c1.kafka-serverless.eu-west-2.amazonaws.com:9098", Some("eu-west-2")),
            ("b-1.tapes.a1b2c3.c2.kafka.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("kafka.example.org:9098", None),
            ("kafka", None),
        ] {
            assert_eq!(region_of(broker), region, "{broker}");
        }
    }
}
