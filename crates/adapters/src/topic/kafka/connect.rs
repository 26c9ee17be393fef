//! Explains why no connection could be established, from what librdkafka reported while a request timed out.

use crate::refusal::Refusal;
use ports::Error;
use rdkafka::error::RDKafkaErrorCode as Code;

/// What failed, and what to set. A rejected handshake or login is the user's to fix; an unreachable broker
/// may recover.
pub(super) fn explain(place: &str, reported: &[(Code, String)]) -> Error {
    let find =
        |wanted: Code| reported.iter().find(|(code, _)| *code == wanted).map(|(_, text)| text.as_str());
    if let Some(text) = find(Code::Authentication) {
        let reason = text.rsplit("Authentication failed").next().unwrap_or(text);
        let reason = trim(reason).trim_start_matches([':', ' ', '-']);
        return Error::user(format!("{place}: the broker refused the login: {reason}"))
            .hint("check [topic.kafka.sasl]: mechanism, username, password")
            .because(Refusal::Login);
    }
    let texts = || reported.iter().map(|(_, text)| text.as_str());
    // With TLS 1.3 a broker refuses a missing certificate only after the handshake: then it is a failed receive.
    if let Some(text) = find(Code::SSL).or_else(|| texts().find(|text| text.contains("SSL routines:"))) {
        let reason = reason(text);
        return Error::user(format!("{place}: the TLS handshake failed: {reason}"))
            .hint(ports::tls::handshake_hint("topic.kafka.tls", reason))
            .because(Refusal::Handshake);
    }
    if texts().any(|text| text.contains("security.protocol")) {
        return Error::external(format!("{place}: the broker closed the connection during the first request"))
            .hint("the port may demand TLS or a login: [topic.kafka.tls] enabled = true, [topic.kafka.sasl]; or use the \
                   plaintext port");
    }
    if let Some(text) = find(Code::Resolve) {
        return Error::external(format!("{place}: {}", trim(text)))
            .hint("is the host name right, and does the DNS know it?");
    }
    let refused = texts().any(|text| text.contains("Connection refused"));
    let why = if refused { " (connection refused)" } else { "" };
    Error::external(format!("{place}: no broker responds{why}"))
        .hint("is Kafka running, and are host and port right? without a server: --topic sqlite:FILE")
}

/// Without librdkafka's tail "(after 5ms in state …)".
fn trim(text: &str) -> &str {
    text.split(" (after ").next().unwrap_or(text).trim()
}

/// OpenSSL's reason from `… error:0A000086:SSL routines::certificate verify failed: …`, or the whole text.
fn reason(text: &str) -> &str {
    match text.split_once("SSL routines:").and_then(|(_, rest)| rest.split_once(':')) {
        Some((_, rest)) => rest.split(':').next().unwrap_or(rest).trim(),
        None => trim(text.rsplit("SSL handshake failed:").next().unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::error::Domain;

    #[test]
    fn the_cause_is_named() {
        let tls = "ssl://h:9/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: \
                   broker certificate could not be verified (after 7ms in state SSL_HANDSHAKE)";
        let login = "sasl_ssl://h:9/bootstrap: SASL SCRAM-SHA-512 mechanism handshake failed: Authentication failed \
                     during authentication due to invalid credentials (after 3ms in state AUTH_REQ)";
        let alert = "ssl://h:9/bootstrap: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: \
                     SSL alert number 42 (after 1ms in state APIVERSION_QUERY)";
        let refused = "h:9/bootstrap: Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state CONNECT)";
        for (code, text, domain, part) in [
            (
                Code::SSL,
                tls,
                Domain::User,
                "the TLS handshake failed: certificate verify failed\n  hint: set `topic.kafka.tls.ca`",
            ),
            (
                Code::BrokerTransportFailure,
                alert,
                Domain::User,
                "the TLS handshake failed: ssl/tls alert bad certificate",
            ),
            (
                Code::Authentication,
                login,
                Domain::User,
                "refused the login: during authentication due to invalid credentials",
            ),
            (
                Code::BrokerTransportFailure,
                refused,
                Domain::External,
                "no broker responds (connection refused)",
            ),
        ] {
            let error = explain("connect to kafka://h:9", &[(code, text.to_owned())]);
            assert_eq!(error.domain, domain);
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
