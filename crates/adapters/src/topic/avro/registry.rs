//! The HTTP API of schema registries: Confluent's, which Apicurio and Karapace offer as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ports::proxy::ENVIRONMENT;
use ports::secret::Secret;
use ports::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// Longer replies are refused.
const LARGEST: u64 = 4 << 20;
const CONTENT: &str = "application/vnd.schemaregistry.v1+json";
/// What to do where it cannot be reached.
const START: &str = "start the registry, or correct `topic.registry.url`";
/// Maximum number of characters of a registry's own words.
const WORDS: usize = 300;

/// The `[topic.registry]` section of the configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrySettings {
    /// Base of its API: `http://localhost:8081`, or with Apicurio `http://localhost:8080/apis/ccompat/v7`.
    pub url: String,
    /// User of HTTP basic authentication; empty: none.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

/// A schema registry.
#[derive(Debug)]
pub(super) struct Registry {
    url: String,
    login: Option<Secret>,
    agent: ureq::Agent,
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Deserialize)]
struct Found {
    schema: String,
}

impl Registry {
    pub(super) fn new(settings: &RegistrySettings) -> Result<Self> {
        let url = settings.url.trim_end_matches('/').to_owned();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let found = if url.is_empty() { "nothing".to_owned() } else { format!("`{url}`") };
            return Err(Error::usage(format!(
                "`topic.registry.url`: expected http://HOST:PORT or https://HOST:PORT, found {found}"
            ))
            .hint("`topic.format = \"avro\"` needs a schema registry; without one, \"json\""));
        }
        if url.split("://").nth(1).is_some_and(|rest| rest.split('/').next().unwrap_or(rest).contains('@')) {
            return Err(Error::usage("`topic.registry.url`: expected no user and no password in it")
                .hint("set `topic.registry.username` and `topic.registry.password`"));
        }
        if settings.username.is_empty() && !settings.password.is_empty() {
            return Err(Error::usage(
                "`topic.registry.password` is set, and `topic.registry.username` is not",
            ));
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(REQUEST))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(ENVIRONMENT.of_request(&url)?)
            .build();
        let login = (!settings.username.is_empty()).then(|| {
            let text = format!("{}:{}", settings.username, settings.password.reveal());
            Secret::from(format!("Basic {}", STANDARD.encode(text)))
        });
        Ok(Self { url, login, agent: config.into() })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Registers a schema and returns its id; it is the same each time.
    ///
    /// # Errors
    /// The registry cannot be reached, or refuses the schema.
    pub(super) fn register(&self, subject: &str, schema: &str) -> Result<u32> {
        let reply = self.post(&format!("/subjects/{subject}/versions"), schema)?;
        let id = self.read::<Registered>(reply, &format!("register {subject}"))?;
        id.map(|registered| registered.id).ok_or_else(|| self.no_api())
    }

    /// Whether it answers, and is a registry. What the user may do is not asked.
    ///
    /// # Errors
    /// It cannot be reached, is no registry, or refuses the login.
    pub(super) fn reach(&self) -> Result<()> {
        let reply = self.get("/subjects")?;
        match reply.status().as_u16() {
            403 => Ok(()),
            _ => self.read::<Vec<String>>(reply, "list the subjects")?.map(drop).ok_or_else(|| self.no_api()),
        }
    }

    /// The id that a schema has under a subject; `None` if it was not registered.
    ///
    /// # Errors
    /// The registry cannot be reached, or refuses the request.
    pub(super) fn find(&self, subject: &str, schema: &str) -> Result<Option<u32>> {
        let reply = self.post(&format!("/subjects/{subject}"), schema)?;
        Ok(self.read::<Registered>(reply, &format!("look up {subject}"))?.map(|registered| registered.id))
    }

    /// The schema of an id; `None` if the registry has none.
    ///
    /// # Errors
    /// As of [`Self::find`].
    pub(super) fn schema(&self, id: u32) -> Result<Option<Value>> {
        let reply = self.get(&format!("/schemas/ids/{id}"))?;
        let Some(found) = self.read::<Found>(reply, &format!("schema {id}"))? else { return Ok(None) };
        // A schema that is a single name is written without quotation marks by some.
        Ok(Some(serde_json::from_str(&found.schema).unwrap_or(Value::String(found.schema))))
    }

    fn get(&self, path: &str) -> Result<ureq::http::Response<ureq::Body>> {
        self.with_headers(self.agent.get(format!("{}{path}", self.url)))
            .call()
            .map_err(|error| self.away(&error))
    }

    fn post(&self, path: &str, schema: &str) -> Result<ureq::http::Response<ureq::Body>> {
        let request = self.with_headers(self.agent.post(format!("{}{path}", self.url)));
        let body = json!({ "schema": schema }).to_string();
        request.content_type(CONTENT).send(body).map_err(|error| self.away(&error))
    }

    fn with_headers<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        let request = request.header("Accept", CONTENT);
        match &self.login {
            Some(login) => request.header("Authorization", login.reveal()),
            None => request,
        }
    }

    fn away(&self, error: &ureq::Error) -> Error {
        let text = error.to_string();
        let failed = |what: &str| Error::external(format!("schema registry {}: {what}", self.url));
        match error {
            ureq::Error::Timeout(_) => {
                failed(&format!("no answer within {} s", REQUEST.as_secs())).hint(START)
            }
            _ if text.contains("InvalidContentType") => {
                failed("it does not speak TLS").hint("`topic.registry.url` with http:// instead of https://")
            }
            _ => failed(&text).hint(START),
        }
    }

    fn no_api(&self) -> Error {
        refused(&self.url, "there is no such API")
            .hint("check the path of `topic.registry.url`; Apicurio's is /apis/ccompat/v7")
    }

    /// The body of a reply; `None` if what was looked for does not exist.
    fn read<T: serde::de::DeserializeOwned>(
        &self,
        mut reply: ureq::http::Response<ureq::Body>,
        doing: &str,
    ) -> Result<Option<T>> {
        let code = reply.status().as_u16();
        let body = reply.body_mut().with_config().limit(LARGEST).read_to_string();
        let body = body.map_err(|error| self.away(&error))?;
        let problem: Value = serde_json::from_str(&body).unwrap_or_default();
        let words = problem["message"].as_str().or(problem["title"].as_str()).unwrap_or_default();
        let words: String = words.chars().filter(|c| !c.is_control()).take(WORDS).collect();
        let colon = if words.is_empty() { "" } else { ": " };
        let says = format!("{doing}: HTTP {code}{colon}{words}");
        match code {
            200..=299 => {
                let value = serde_json::from_str(&body);
                value.map(Some).map_err(|_| {
                    refused(&self.url, &format!("{doing}: the reply is not that of a schema registry"))
                        .hint("check the path of `topic.registry.url`; Apicurio's is /apis/ccompat/v7")
                })
            }
            // A registry says what it lacks, by a code of five digits; the server of another path does not.
            404 if problem["error_code"].as_u64().is_some_and(|code| code >= 40_000) => Ok(None),
            404 => Err(self.no_api()),
            401 | 403 => Err(refused(&self.url, &says)
                .hint("check `topic.registry.username` and `topic.registry.password`, and what the user may do")),
            409 | 422 => Err(refused(&self.url, &says).hint(
                "the subject has another schema that this one is not compatible with: another `topic.prefix`, or relax \
                 the subject's compatibility",
            )),
            429 | 500..=599 => {
                Err(Error::external(format!("schema registry {}: {says}", self.url)).hint(START))
            }
            _ => Err(refused(&self.url, &says).hint("check `topic.registry.url`")),
        }
    }
}

/// What a registry refuses, or lacks.
pub(super) fn refused(registry: &str, what: &str) -> Error {
    Error::user(format!("schema registry {registry}: {what}"))
}
