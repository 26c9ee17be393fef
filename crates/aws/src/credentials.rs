//! Where credentials come from, in the order of AWS's own tools: the environment, the shared credentials file, a
//! container's endpoint, the instance's role (IMDSv2). Temporary ones are renewed before they expire.

use market::UnixNanos;
use ports::secret::Secret;
use ports::{Error, Result, clock};
use serde::Deserialize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Credentials are renewed when they are valid for less than this, in nanoseconds.
const MARGIN: i64 = 300 * 1_000_000_000;
/// How long a metadata endpoint may take. It is on the same host.
const METADATA: Duration = Duration::from_secs(2);
/// Bytes of a metadata response that are read.
const REPLY: u64 = 65_536;

/// Credentials.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: Secret,
    /// Token of temporary credentials; empty: none.
    pub session_token: Secret,
    /// When they expire; `None`: never.
    pub expires: Option<UnixNanos>,
}

/// Looks up an environment variable.
pub type Environment = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Finds credentials, and keeps them until they must be renewed.
pub struct CredentialChain {
    environment: Environment,
    agent: ureq::Agent,
    cached: Mutex<Option<Credentials>>,
}

/// The response of a container's or instance's endpoint.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    access_key_id: String,
    secret_access_key: Secret,
    token: Secret,
    expiration: String,
}

impl std::fmt::Debug for CredentialChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CredentialChain")
    }
}

impl Default for CredentialChain {
    fn default() -> Self {
        Self::new(Box::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty())))
    }
}

impl CredentialChain {
    /// With another environment than that of the process.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(METADATA))
            // The endpoints are on this host.
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .build();
        Self { environment, agent: config.into(), cached: Mutex::new(None) }
    }

    /// A setting of AWS's tools, such as `AWS_REGION`.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// The current credentials.
    ///
    /// # Errors
    /// There are none.
    pub fn get(&self) -> Result<Credentials> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        let valid_for = |credentials: &Credentials, margin: i64| {
            credentials.expires.is_none_or(|expires| expires.0.saturating_sub(now.0) > margin)
        };
        if let Some(credentials) = cached.as_ref().filter(|credentials| valid_for(credentials, MARGIN)) {
            return Ok(credentials.clone());
        }
        match self.find() {
            Ok(found) => Ok(cached.insert(found).clone()),
            // Those that are still valid serve until the endpoint responds again.
            Err(error) => match cached.as_ref().filter(|credentials| valid_for(credentials, 0)) {
                Some(credentials) => {
                    tracing::warn!("renew AWS credentials: {error}");
                    Ok(credentials.clone())
                }
                None => Err(error),
            },
        }
    }

    fn find(&self) -> Result<Credentials> {
        if let (Some(access_key), Some(secret)) =
            (self.setting("AWS_ACCESS_KEY_ID"), self.setting("AWS_SECRET_ACCESS_KEY"))
        {
            let session_token = Secret::from(self.setting("AWS_SESSION_TOKEN").unwrap_or_default());
            return Ok(Credentials { access_key, secret_key: secret.into(), session_token, expires: None });
        }
        if let Some(credentials) = self.file()? {
            return Ok(credentials);
        }
        if let Some(credentials) = self.container()? {
            return Ok(credentials);
        }
        self.instance()
    }

    /// A profile of the shared credentials file.
    fn file(&self) -> Result<Option<Credentials>> {
        let path = self
            .setting("AWS_SHARED_CREDENTIALS_FILE")
            .or_else(|| self.setting("HOME").map(|home| format!("{home}/.aws/credentials")));
        let Some(text) = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok()) else {
            return Ok(None);
        };
        let named = self.setting("AWS_PROFILE");
        let profile = named.as_deref().unwrap_or("default");
        let found = profile_of(&text, profile);
        match (&found, &named) {
            (None, Some(_)) => Err(Error::user(format!(
                "no profile `{profile}` with aws_access_key_id and aws_secret_access_key in {}",
                path.unwrap_or_default()
            ))
            .hint("set AWS_PROFILE to a profile of that file, or unset it")),
            _ => Ok(found),
        }
    }

    fn container(&self) -> Result<Option<Credentials>> {
        let url = match (
            self.setting("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            self.setting("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ) {
            (Some(path), _) => format!("http://169.254.170.2{path}"),
            (None, Some(url)) => url,
            (None, None) => return Ok(None),
        };
        // The token must not cross a network in the clear.
        let local = ["http://127.0.0.1", "http://localhost", "http://169.254.170.2", "http://169.254.170.23"];
        let is_of = |start: &str| {
            url.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
        };
        if !url.starts_with("https://") && !local.iter().any(|start| is_of(start)) {
            return Err(Error::user(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI: expected https, or a loopback address",
            ));
        }
        let token = match self.setting("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(path) => Some(std::fs::read_to_string(&path).map_err(|error| {
                Error::user(format!("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE {path}: {error}"))
            })?),
            None => self.setting("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        };
        let token = Secret::from(token.unwrap_or_default().trim().to_owned());
        let headers = if token.is_empty() { vec![] } else { vec![("Authorization", token.reveal())] };
        let text = self.request("GET", &url, &headers)?;
        parse(&text).map(Some)
    }

    /// The role of the instance, by its metadata service, version 2.
    fn instance(&self) -> Result<Credentials> {
        let none = || {
            Error::user("no AWS credentials found").hint(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, write ~/.aws/credentials, or give the instance a role",
            )
        };
        if self.setting("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(none());
        }
        let endpoint = self
            .setting("AWS_EC2_METADATA_SERVICE_ENDPOINT")
            .unwrap_or_else(|| "http://169.254.169.254".to_owned());
        let endpoint = endpoint.trim_end_matches('/');
        let lifetime = [("X-aws-ec2-metadata-token-ttl-seconds", "21600")];
        let token =
            self.request("PUT", &format!("{endpoint}/latest/api/token"), &lifetime).map_err(|error| {
                tracing::debug!("instance metadata: {error}");
                none()
            })?;
        let header = [("X-aws-ec2-metadata-token", token.trim())];
        let roles = format!("{endpoint}/latest/meta-data/iam/security-credentials/");
        let role = self.request("GET", &roles, &header)?;
        let role = role.lines().next().unwrap_or_default().trim().to_owned();
        if role.is_empty() {
            return Err(none());
        }
        parse(&self.request("GET", &format!("{roles}{role}"), &header)?)
    }

    fn request(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> Result<String> {
        // Neither the response nor the headers are part of an error: both are secret.
        let failed = |error: ureq::Error| Error::external(format!("AWS credentials from {url}: {error}"));
        let mut response = if method == "PUT" {
            let request =
                headers.iter().fold(self.agent.put(url), |r, (name, value)| r.header(*name, *value));
            request.send_empty().map_err(failed)?
        } else {
            let request =
                headers.iter().fold(self.agent.get(url), |r, (name, value)| r.header(*name, *value));
            request.call().map_err(failed)?
        };
        let code = response.status().as_u16();
        if code != 200 {
            let error = format!("AWS credentials from {url}: HTTP {code}");
            return Err(if code >= 500 { Error::external(error) } else { Error::user(error) });
        }
        response.body_mut().with_config().limit(REPLY).read_to_string().map_err(failed)
    }
}

fn parse(text: &str) -> Result<Credentials> {
    // The text is secret.
    let response: Response = serde_json::from_str(text).map_err(|error| {
        Error::external(format!(
            "AWS credentials endpoint: expected AccessKeyId, SecretAccessKey, Token and Expiration (line {}, column {})",
            error.line(),
            error.column()
        ))
    })?;
    let expires = UnixNanos::parse(&response.expiration)
        .map_err(|error| Error::external(format!("AWS credentials endpoint: Expiration: {error}")))?;
    Ok(Credentials {
        access_key: response.access_key_id,
        secret_key: response.secret_access_key,
        session_token: response.token,
        expires: Some(expires),
    })
}

/// The keys of a profile in the text of a shared credentials file.
fn profile_of(text: &str, profile: &str) -> Option<Credentials> {
    let mut within = false;
    let (mut access_key, mut secret_key, mut token) = (None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            within = name.trim() == profile;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| within) {
            let value = Some(value.trim().to_owned());
            match name.trim() {
                "aws_access_key_id" => access_key = value,
                "aws_secret_access_key" => secret_key = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(Credentials {
        access_key: access_key?,
        secret_key: secret_key?.into(),
        session_token: token.unwrap_or_default().into(),
        expires: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, mpsc};

    fn chain(pairs: &[(&str, &str)]) -> CredentialChain {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        CredentialChain::new(Box::new(move |wanted| {
            pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
        }))
    }

    /// Answers each request with the response to its first line; the requests are sent to the receiver.
    fn serve(responses: &'static [(&'static str, &'static str)]) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::sync_channel(16);
        let sender = Arc::new(sender);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut bytes = Vec::new();
                let mut part = [0; 4096];
                while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
                    let read = stream.read(&mut part).unwrap();
                    bytes.extend_from_slice(&part[..read]);
                }
                let request = String::from_utf8(bytes).unwrap();
                let body =
                    responses.iter().find(|(start, _)| request.starts_with(start)).map(|(_, body)| *body);
                let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
                let body = body.unwrap_or_default();
                let text = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(text.as_bytes()).unwrap();
                sender.send(request).unwrap();
            }
        });
        (address, requests)
    }

    #[test]
    fn the_environment_comes_first_and_then_the_file() {
        let dir = std::env::temp_dir().join(format!("tapeline-aws-{}", std::process::id()));
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key = s\n[other]\n# none\n\
                    aws_access_key_id=B\naws_secret_access_key=t\naws_session_token=u\n";
        std::fs::write(&dir, text).unwrap();
        let file = ("AWS_SHARED_CREDENTIALS_FILE", dir.to_str().unwrap());
        let of = |pairs: &[(&str, &str)]| chain(pairs).get();
        let keys = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "e"), file];
        assert_eq!(of(&keys).unwrap().access_key, "E");
        assert_eq!(of(&[file]).unwrap().access_key, "A");
        let other = of(&[file, ("AWS_PROFILE", "other")]).unwrap();
        assert_eq!(
            (other.access_key.as_str(), other.secret_key.reveal(), other.session_token.reveal()),
            ("B", "t", "u")
        );
        assert!(!format!("{other:?}").contains("\"t\""));
        let error = of(&[file, ("AWS_PROFILE", "no")]).unwrap_err().to_string();
        assert!(error.contains("no profile `no`"), "{error}");
        std::fs::remove_file(dir).unwrap();
        let error = of(&[("AWS_EC2_METADATA_DISABLED", "true")]).unwrap_err().to_string();
        assert!(error.contains("no AWS credentials") && error.contains("AWS_ACCESS_KEY_ID"), "{error}");
    }

    const ROLE: &str = r#"{"Code":"Success","AccessKeyId":"I","SecretAccessKey":"i","Token":"t","Expiration":"2199-01-01T00:00:00Z"}"#;
    const EXPIRED: &str =
        r#"{"AccessKeyId":"C","SecretAccessKey":"c","Token":"t","Expiration":"1999-01-01T00:00:00Z"}"#;

    #[test]
    fn an_instance_needs_a_session_token_and_is_read_once() {
        let (address, requests) = serve(&[
            ("PUT /latest/api/token ", "SESSION"),
            ("GET /latest/meta-data/iam/security-credentials/ ", "archiver\n"),
            ("GET /latest/meta-data/iam/security-credentials/archiver ", ROLE),
        ]);
        let chain = chain(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &address)]);
        for _ in 0..2 {
            assert_eq!(chain.get().unwrap().access_key, "I");
        }
        let requests: Vec<String> = requests.try_iter().collect();
        assert_eq!(requests.len(), 3);
        assert!(requests[0].to_lowercase().contains("x-aws-ec2-metadata-token-ttl-seconds: 21600"));
        assert!(requests[2].to_lowercase().contains("x-aws-ec2-metadata-token: session"));
    }

    #[test]
    fn a_container_proves_itself_and_expired_credentials_are_renewed() {
        let (address, requests) = serve(&[("GET /role ", EXPIRED)]);
        let url = format!("{address}/role");
        let container = chain(&[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hush"),
        ]);
        for _ in 0..2 {
            assert_eq!(container.get().unwrap().access_key, "C");
        }
        let requests: Vec<String> = requests.try_iter().collect();
        assert_eq!(requests.len(), 2);
        assert!(requests[0].to_lowercase().contains("authorization: hush"));
        for url in ["http://example.org/role", "http://127.0.0.1.example.org/role"] {
            let error = chain(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)]).get().unwrap_err();
            assert!(error.to_string().contains("expected https"), "{error}");
        }
    }
}
