//! Tokens of SASL OAUTHBEARER: requested from an OpenID Connect endpoint with the client's credentials, presigned with AWS
//! credentials for Amazon MSK, or unsecured ones for tests.
//!
//! librdkafka's own request needs libcurl, which is not compiled in. A client gets its first token when it is opened;
//! librdkafka asks for another one when four fifths of its life are over, and is answered when the client is next polled.

use super::native;
use super::settings::{MSK_IAM, Sasl, UNSECURED};
use aws::credentials::CredentialChain;
use aws::msk;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ports::proxy::ENVIRONMENT;
use ports::{Error, Result, clock};
use rdkafka::client::OAuthToken;
use rdkafka::types::RDKafka;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// How long the endpoint may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest reply that is read, bytes.
const LARGEST: u64 = 64 << 10;
/// Life of an unsecured token, and of one whose reply does not say.
const LIFE_S: i64 = 3_600;

/// Where a client's tokens come from; nowhere unless the mechanism is OAUTHBEARER or AWS_MSK_IAM.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens(Option<Arc<Issuer>>);

#[derive(Debug)]
enum Issuer {
    /// An OpenID Connect endpoint, or none for unsecured tokens.
    Endpoint(Sasl),
    /// AWS credentials.
    Aws(AwsIssuer),
}

/// Presigns tokens for Amazon MSK.
#[derive(Debug)]
struct AwsIssuer {
    credentials: Arc<CredentialChain>,
    /// The setting; empty: of the brokers' address, or of the environment.
    region: String,
    brokers: String,
}

impl Tokens {
    /// `brokers` are those that the tokens are for.
    pub(super) fn new(sasl: &Sasl, brokers: &str, credentials: Arc<CredentialChain>) -> Self {
        let is = |mechanism: &str| sasl.mechanism.eq_ignore_ascii_case(mechanism);
        Self(if is("OAUTHBEARER") {
            Some(Arc::new(Issuer::Endpoint(sasl.clone())))
        } else if is(MSK_IAM) {
            let (region, brokers) = (sasl.region.clone(), brokers.to_owned());
            Some(Arc::new(Issuer::Aws(AwsIssuer { credentials, region, brokers })))
        } else {
            None
        })
    }

    /// Whether they are those of Amazon MSK.
    pub(super) fn is_msk(&self) -> bool {
        matches!(self.0.as_deref(), Some(Issuer::Aws(_)))
    }

    /// Gives a client that was just opened its first token.
    ///
    /// # Errors
    /// The endpoint cannot be reached, or refuses the credentials.
    pub(super) fn authorize(&self, client: *mut RDKafka) -> Result<()> {
        if self.0.is_none() {
            return Ok(());
        }
        let token = self.issue()?;
        native::set_token(client, &token)
            .map_err(|reason| Error::user(format!("`topic.kafka.sasl`: the token is not accepted: {reason}")))
    }

    /// A new token.
    ///
    /// # Errors
    /// As of [`Self::authorize`].
    pub(super) fn issue(&self) -> Result<OAuthToken> {
        match self.0.as_deref() {
            None => Err(Error::internal("no token is needed")),
            Some(Issuer::Endpoint(sasl)) if sasl.token_url == UNSECURED => {
                Ok(unsecured(&sasl.username, clock::now().millis() / 1_000))
            }
            Some(Issuer::Endpoint(sasl)) => request(sasl),
            Some(Issuer::Aws(issuer)) => issuer.issue(),
        }
    }
}

impl AwsIssuer {
    fn region(&self) -> Result<String> {
        let of_environment = || {
            ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| self.credentials.setting(name))
        };
        let region = Some(self.region.clone()).filter(|region| !region.is_empty());
        let of_address = || msk::region_of(&self.brokers).map(str::to_owned);
        region.or_else(of_address).or_else(of_environment).ok_or_else(|| {
            Error::user("`topic.kafka.sasl`: AWS_MSK_IAM needs the region of the cluster")
                .hint("set `topic.kafka.sasl.region`, or AWS_REGION")
        })
    }

    fn issue(&self) -> Result<OAuthToken> {
        let region = self.region()?;
        let credentials = self.credentials.get()?;
        let made = msk::token(&region, &credentials, clock::now())?;
        tracing::debug!(region, access_key = credentials.access_key, expires = %made.expires, "MSK token made");
        Ok(OAuthToken {
            token: made.token.reveal().to_owned(),
            principal_name: credentials.access_key,
            lifetime_ms: made.expires.millis(),
        })
    }
}

/// A token that only a broker without a validator of its own accepts (RFC 7519, section 6).
fn unsecured(user: &str, now_s: i64) -> OAuthToken {
    let part = |text: &serde_json::Value| URL_SAFE_NO_PAD.encode(text.to_string());
    let header = part(&serde_json::json!({ "alg": "none" }));
    let claims = part(&serde_json::json!({ "sub": user, "iat": now_s, "exp": now_s + LIFE_S }));
    OAuthToken {
        token: format!("{header}.{claims}."),
        principal_name: user.to_owned(),
        lifetime_ms: (now_s + LIFE_S) * 1_000,
    }
}

#[derive(Deserialize)]
struct Reply {
    access_token: String,
    expires_in: Option<i64>,
}

/// The grant of client credentials (RFC 6749, section 4.4).
fn request(sasl: &Sasl) -> Result<OAuthToken> {
    let url = &sasl.token_url;
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(ENVIRONMENT.of_request(url)?)
        .build();
    let login = STANDARD.encode(format!("{}:{}", sasl.username, sasl.password.reveal()));
    let mut form = vec![("grant_type", "client_credentials")];
    if !sasl.scope.is_empty() {
        form.push(("scope", sasl.scope.as_str()));
    }
    let hint = "check `topic.kafka.sasl`: token_url, username (client id), password (client secret), scope";
    let away =
        |error: ureq::Error| Error::external(format!("request a token from {url}: {error}")).hint(hint);
    let mut response = ureq::Agent::from(config)
        .post(url)
        .header("Authorization", &format!("Basic {login}"))
        .send_form(form)
        .map_err(away)?;
    let code = response.status().as_u16();
    let body = response.body_mut().with_config().limit(LARGEST).read_to_string().map_err(away)?;
    match code {
        200 => {}
        429 | 500..=599 => {
            return Err(Error::external(format!("request a token from {url}: HTTP {code}")).hint(hint));
        }
        // The body may repeat what was sent.
        _ => return Err(Error::user(format!("request a token from {url}: HTTP {code}")).hint(hint)),
    }
    let reply: Reply = serde_json::from_str(&body)
        .map_err(|_| Error::user(format!("{url} does not reply with a token as JSON")).hint(hint))?;
    let life = reply.expires_in.unwrap_or(LIFE_S).max(1);
    Ok(OAuthToken {
        token: reply.access_token,
        principal_name: sasl.username.clone(),
        lifetime_ms: clock::now().millis() + life * 1_000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Replies once; what it was sent.
    fn endpoint(status: &'static str, body: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let serve = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = String::new();
            while !text.contains("grant_type=client_credentials&scope=write") {
                let mut bytes = [0; 4_096];
                let length = stream.read(&mut bytes).unwrap();
                assert!(length > 0, "{text}");
                text.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
            }
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .unwrap();
            text
        });
        (url, serve)
    }

    fn sasl(token_url: &str) -> Sasl {
        Sasl {
            mechanism: "OAUTHBEARER".to_owned(),
            username: "id".to_owned(),
            password: "hunter2".to_owned().into(),
            token_url: token_url.to_owned(),
            scope: "write".to_owned(),
            ..Sasl::default()
        }
    }

    #[test]
    fn a_token_is_requested_with_the_clients_credentials() {
        let (url, serve) =
            endpoint("200 OK", r#"{"access_token":"a.b.c","token_type":"Bearer","expires_in":60}"#);
        let token = Tokens::new(&sasl(&url), "", Arc::default()).issue().unwrap();
        let sent = serve.join().unwrap().to_ascii_lowercase();
        assert!(sent.contains("authorization: basic awq6ahvudgvymg=="), "{sent}");
        assert_eq!((token.token.as_str(), token.principal_name.as_str()), ("a.b.c", "id"));
        let left = token.lifetime_ms - clock::now().millis();
        assert!(left > 0 && left <= 60_000, "{left}");
    }

    #[test]
    fn refusals_are_told_apart_and_show_no_secret() {
        for (status, body, retryable) in [
            ("401 Unauthorized", "wrong: hunter2", false),
            ("503 Busy", "hunter2", true),
            ("200 OK", "<html>hunter2", false),
        ] {
            let (url, serve) = endpoint(status, body);
            let error = Tokens::new(&sasl(&url), "", Arc::default()).issue().err().unwrap();
            serve.join().unwrap();
            assert!(
                error.retryable() == retryable && !error.to_string().contains("hunter2"),
                "{status}: {error}"
            );
        }
    }

    #[test]
    fn unsecured_tokens_name_the_user() {
        let token = Tokens::new(&sasl(UNSECURED), "", Arc::default()).issue().unwrap();
        let claims = URL_SAFE_NO_PAD.decode(token.token.split('.').nth(1).unwrap()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert!(claims["sub"] == "id" && token.token.ends_with('.'), "{claims}");
        assert!(Tokens::new(&Sasl::default(), "", Arc::default()).authorize(std::ptr::null_mut()).is_ok());
    }

    fn issuer(
        region: &str,
        brokers: &str,
        environment: &'static [(&'static str, &'static str)],
    ) -> AwsIssuer {
        let find = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let credentials = Arc::new(CredentialChain::new(Box::new(find)));
        AwsIssuer { credentials, region: region.to_owned(), brokers: brokers.to_owned() }
    }

    #[test]
    fn tokens_for_msk_are_for_the_region_of_the_cluster() {
        const KEYS: &[(&str, &str)] =
            &[("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_REGION", "us-west-1")];
        const MSK: &str = "b-1.t.a1.c2.kafka.us-east-1.amazonaws.com:9098";
        for (setting, brokers, region) in
            [("eu-west-1", MSK, "eu-west-1"), ("", MSK, "us-east-1"), ("", "10.0.0.1:9098", "us-west-1")]
        {
            let token = issuer(setting, brokers, KEYS).issue().unwrap();
            let url = String::from_utf8(URL_SAFE_NO_PAD.decode(&token.token).unwrap()).unwrap();
            assert!(url.starts_with(&format!("https://kafka.{region}.amazonaws.com/?Action=")), "{url}");
            assert!(url.contains(&format!("%2F{region}%2Fkafka-cluster%2Faws4_request")), "{url}");
            assert_eq!(token.principal_name, "A");
            let left = token.lifetime_ms - clock::now().millis();
            assert!(left > 880_000 && left <= 900_000, "{left}");
        }
        let error = issuer("", "10.0.0.1:9098", &KEYS[..2]).issue().err().unwrap().to_string();
        assert!(error.contains("needs the region"), "{error}");
        let disabled = &[("AWS_EC2_METADATA_DISABLED", "true")];
        let error = issuer("eu-west-1", MSK, disabled).issue().err().unwrap().to_string();
        assert!(error.contains("no AWS credentials"), "{error}");
        let sasl = Sasl { mechanism: "aws_msk_iam".to_owned(), ..Sasl::default() };
        assert!(Tokens::new(&sasl, MSK, Arc::default()).is_msk() && !Tokens::default().is_msk());
    }
}
