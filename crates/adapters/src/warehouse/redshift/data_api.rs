//! The Redshift Data API: statements are submitted, run on their own, and are polled until they end.
//!
//! Several statements are one transaction. A request whose response is lost is repeated with its client token, so that the
//! statements run once. Whoever waits does so up to the deadline, then cancels the statement.

use super::settings::RedshiftSettings;
use aws::credentials::CredentialChain;
use aws::encoding::{hex, sha256};
use aws::sigv4::{Request, Signer};
use ports::cancel::Backoff;
use ports::proxy::ENVIRONMENT;
use ports::{CancelToken, Error, Result, clock};
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const JSON: &str = "application/x-amz-json-1.1";
/// How long a request may take. Statements run after it.
const REQUEST: Duration = Duration::from_secs(60);
/// Bytes of a response that are read: a page of a result is far smaller.
const REPLY: u64 = 256 << 20;
/// Longest time between two looks at a statement.
const LOOK: Duration = Duration::from_secs(5);
/// How long a statement that was cancelled may take to end.
const CANCEL: Duration = Duration::from_secs(30);

/// What is run, as one transaction.
pub(super) struct Statement<'a> {
    /// Name that the console shows.
    pub(super) name: &'a str,
    pub(super) sql: &'a [String],
}

/// How a statement ended.
enum Ending {
    Finished,
    /// Cancelled, by us or by somebody else.
    Aborted,
    Failed(String),
}

/// A database, reached by the Data API.
#[derive(Debug)]
pub(super) struct DataApi {
    /// Database and where it is, as each request has it.
    target: Map<String, Value>,
    region: String,
    endpoint: String,
    credentials: CredentialChain,
    agent: ureq::Agent,
    deadline: Duration,
    stop: CancelToken,
    /// Number of the next statement: with the time of the start, its client token.
    next: AtomicU64,
    started: i64,
}

/// A refused request.
struct Refusal {
    error: Error,
    /// Whether the same request may succeed later.
    retryable: bool,
}

impl DataApi {
    pub(super) fn new(
        settings: &RedshiftSettings,
        credentials: CredentialChain,
        stop: CancelToken,
    ) -> Result<Self> {
        let setting = |own: &str, names: [&str; 2]| {
            let found = (!own.is_empty()).then(|| own.to_owned());
            found.or_else(|| names.iter().find_map(|name| credentials.setting(name)))
        };
        let region = setting(&settings.region, ["AWS_REGION", "AWS_DEFAULT_REGION"]).ok_or_else(|| {
            Error::usage("redshift: no region").hint("set AWS_REGION, or `redshift.region`")
        })?;
        let endpoint = setting(&settings.endpoint, ["AWS_ENDPOINT_URL_REDSHIFT_DATA", "AWS_ENDPOINT_URL"])
            .unwrap_or_else(|| format!("https://redshift-data.{region}.amazonaws.com"));
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(['/', '@', '?'])) {
            return Err(Error::usage("`redshift.endpoint`: expected http(s)://HOST[:PORT]"));
        }
        let mut target = Map::new();
        for (name, value) in [
            ("Database", &settings.database),
            ("WorkgroupName", &settings.workgroup),
            ("ClusterIdentifier", &settings.cluster),
            ("DbUser", &settings.user),
            ("SecretArn", &settings.secret_arn),
        ] {
            if !value.is_empty() {
                target.insert(name.to_owned(), value.as_str().into());
            }
        }
        let config = ureq::Agent::config_builder()
            .proxy(ENVIRONMENT.of_request(&endpoint)?)
            .timeout_global(Some(REQUEST))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build();
        let (agent, deadline) = (config.into(), settings.deadline);
        let (next, started) = (AtomicU64::new(0), clock::now().0);
        Ok(Self { target, region, endpoint, credentials, agent, deadline, stop, next, started })
    }

    /// Runs statements as one transaction, and returns their id when they have finished.
    pub(super) fn run(&self, statement: &Statement<'_>) -> Result<String> {
        let end = Instant::now() + self.deadline;
        let mut backoff = Backoff::default();
        loop {
            let id = self.submit(statement, end)?;
            match self.wait(&id, end)? {
                Ending::Finished => return Ok(id),
                Ending::Aborted => {
                    return Err(Error::user(format!("statement {id} was cancelled by another user"))
                        .hint("run the command again"));
                }
                Ending::Failed(why) if is_transient(&why) => {
                    tracing::warn!("statement {id}: {why}; running it again");
                    self.pause(backoff.wait(), end, &id)?;
                }
                Ending::Failed(why) => return Err(failed(&id, &why)),
            }
        }
    }

    /// Submits statements and returns their id. The token belongs to this submission: repeated, it returns the same id.
    fn submit(&self, statement: &Statement<'_>, end: Instant) -> Result<String> {
        let mut body = self.target.clone();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let about = format!("{} {} {number} {}", std::process::id(), self.started, statement.sql.join(";"));
        body.insert("ClientToken".to_owned(), hex(&sha256(about.as_bytes())).into());
        body.insert("StatementName".to_owned(), statement.name.into());
        let action = match statement.sql {
            [one] => {
                body.insert("Sql".to_owned(), one.as_str().into());
                "ExecuteStatement"
            }
            all => {
                body.insert("Sqls".to_owned(), json!(all));
                "BatchExecuteStatement"
            }
        };
        let reply = self.request(action, &Value::Object(body), end)?;
        let id = reply["Id"].as_str().filter(|id| !id.is_empty());
        id.map(str::to_owned).ok_or_else(|| Error::external(format!("{action}: a response without an id")))
    }

    /// Waits until a statement has ended. At the deadline, or when the user stops the program, it is cancelled.
    fn wait(&self, id: &str, end: Instant) -> Result<Ending> {
        let mut pause = Duration::from_millis(100);
        let mut state = "SUBMITTED".to_owned();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let stopped = self.stop.is_cancelled();
            if left.is_zero() || stopped {
                return match self.cancel(id)? {
                    // It had ended before it could be cancelled.
                    Some(ending) => Ok(ending),
                    None if stopped => {
                        Err(Error::stopped().hint("run the command again: what was loaded is skipped"))
                    }
                    None => Err(Error::user(format!(
                        "statement {id} was {state} after {} s, and was cancelled",
                        self.deadline.as_secs()
                    ))
                    .hint(
                        "is the warehouse paused or busy? raise `redshift.deadline`, or run the command again",
                    )),
                };
            }
            let reply = self.request("DescribeStatement", &json!({ "Id": id }), end)?;
            if let Some(ending) = ending(&reply) {
                return Ok(ending);
            }
            reply["Status"].as_str().unwrap_or("in an unknown state").clone_into(&mut state);
            self.stop.sleep(pause.min(left));
            pause = (pause * 2).min(LOOK);
        }
    }

    /// Cancels a statement. Returns how it ended if it had ended before.
    fn cancel(&self, id: &str) -> Result<Option<Ending>> {
        let end = Instant::now() + CANCEL;
        if let Err(refusal) = self.attempt("CancelStatement", &json!({ "Id": id })) {
            // What has ended cannot be cancelled, and is described below.
            tracing::warn!("{}", refusal.error);
        }
        while Instant::now() < end {
            match self.attempt("DescribeStatement", &json!({ "Id": id })) {
                Ok(reply) => match ending(&reply) {
                    Some(Ending::Aborted) => return Ok(None),
                    Some(other) => return Ok(Some(other)),
                    None => {}
                },
                Err(refusal) if refusal.retryable => {}
                Err(refusal) => return Err(refusal.error),
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        Ok(None)
    }

    /// The rows of a statement that has finished.
    pub(super) fn rows(&self, id: &str) -> Result<Vec<Vec<Value>>> {
        let end = Instant::now() + self.deadline;
        let (mut rows, mut next) = (Vec::new(), None);
        loop {
            let mut body = json!({ "Id": id });
            if let Some(token) = next {
                body["NextToken"] = token;
            }
            let mut reply = self.request("GetStatementResult", &body, end)?;
            let records = reply["Records"].as_array().cloned().unwrap_or_default();
            for record in records {
                let fields = record.as_array().cloned().unwrap_or_default();
                // Each field is an object of one key, which names its type.
                let value = |field: Value| match field {
                    Value::Object(field) => match field.into_iter().next() {
                        Some((name, _)) if name == "isNull" => Value::Null,
                        Some((_, value)) => value,
                        None => Value::Null,
                    },
                    other => other,
                };
                rows.push(fields.into_iter().map(value).collect());
            }
            match reply["NextToken"].take() {
                Value::String(token) if !token.is_empty() => next = Some(Value::String(token)),
                _ => return Ok(rows),
            }
        }
    }

    /// Sends a request, and repeats it while a later attempt may succeed, up to `end`.
    fn request(&self, action: &str, body: &Value, end: Instant) -> Result<Value> {
        let mut backoff = Backoff::default();
        loop {
            match self.attempt(action, body) {
                Ok(reply) => return Ok(reply),
                Err(refusal) if !refusal.retryable => return Err(refusal.error),
                Err(refusal) => {
                    if backoff.tries() == 0 {
                        tracing::warn!("{}; retrying", refusal.error);
                    }
                    if Instant::now() >= end || self.stop.sleep(backoff.wait()) {
                        return Err(refusal.error);
                    }
                }
            }
        }
    }

    fn pause(&self, time: Duration, end: Instant, id: &str) -> Result<()> {
        if self.stop.sleep(time) {
            return Err(Error::stopped());
        }
        if Instant::now() >= end {
            return Err(Error::external(format!("statement {id} failed up to the deadline")));
        }
        Ok(())
    }

    fn attempt(&self, action: &str, body: &Value) -> std::result::Result<Value, Refusal> {
        let away = |error: Error| Refusal { error, retryable: true };
        let found = self.credentials.get().map_err(|error| {
            let retryable = error.retryable();
            Refusal { error, retryable }
        })?;
        let signer = Signer {
            access_key: found.access_key,
            secret_key: found.secret_key,
            session_token: found.session_token,
            region: self.region.clone(),
            service: "redshift-data".to_owned(),
        };
        let (body, target) = (body.to_string(), format!("RedshiftData.{action}"));
        let host = self.endpoint.split_once("://").map_or("", |(_, host)| host);
        let request =
            Request { method: "POST", host, path: "/", content_type: JSON, target: &target, body: &body };
        let signed = signer.headers(&request, clock::now());
        let mut post = self.agent.post(format!("{}/", self.endpoint));
        for (name, value) in [("Content-Type", JSON), ("X-Amz-Target", &target)]
            .into_iter()
            .chain(signed.iter().map(|(name, value)| (*name, value.as_str())))
        {
            post = post.header(name, value);
        }
        let lost =
            |error: ureq::Error| away(Error::external(format!("{action}: {}: {error}", self.endpoint)));
        let mut response = post.send(body.as_bytes()).map_err(lost)?;
        let status = response.status().as_u16();
        let reply = response.body_mut().with_config().limit(REPLY).read_to_vec().map_err(lost)?;
        let parsed: Option<Value> = serde_json::from_slice(&reply).ok();
        match (status, parsed) {
            (200, Some(reply)) => Ok(reply),
            (200, None) => Err(away(Error::external(format!("{action}: the response is not JSON")))),
            // What is between us and AWS may speak for itself, in text of any kind.
            (_, parsed) => {
                let text = || json!({ "message": String::from_utf8_lossy(&reply) });
                Err(refused(action, status, &parsed.unwrap_or_else(text)))
            }
        }
    }
}

/// How a statement ended; `None` while it has not.
fn ending(reply: &Value) -> Option<Ending> {
    match reply["Status"].as_str()? {
        "FINISHED" => Some(Ending::Finished),
        "ABORTED" => Some(Ending::Aborted),
        "FAILED" => {
            let of_statement = || {
                let parts = reply["SubStatements"].as_array()?;
                parts.iter().find_map(|part| part["Error"].as_str())
            };
            let why = reply["Error"].as_str().or_else(of_statement).unwrap_or("no reason given");
            Some(Ending::Failed(why.to_owned()))
        }
        _ => None,
    }
}

/// Whether a statement may succeed when it is run again: it met another transaction, or the cluster restarted.
fn is_transient(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    [
        "serializable isolation",
        "could not serialize",
        "deadlock detected",
        "connection",
        "restart",
        "is being resized",
    ]
    .iter()
    .any(|part| why.contains(part))
}

fn failed(id: &str, why: &str) -> Error {
    let error = Error::user(format!("statement {id} failed: {}", shown(why)));
    let lower = why.to_ascii_lowercase();
    if lower.contains("s3") || lower.contains("access denied") || lower.contains("not authorized") {
        return error.hint("`redshift.role` needs s3:GetObject and s3:ListBucket on the archive, in the region of the warehouse");
    }
    error.hint("for details: SELECT * FROM sys_load_error_detail ORDER BY start_time DESC")
}

/// The error of a response.
fn refused(action: &str, status: u16, reply: &Value) -> Refusal {
    let code = reply["__type"].as_str().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default();
    let message = reply["message"].as_str().or_else(|| reply["Message"].as_str()).unwrap_or_default();
    let what = format!("{action}: HTTP {status} {code}: {}", shown(message));
    let what = what.trim_end_matches([' ', ':']).to_owned();
    let busy = [
        "ThrottlingException",
        "ActiveStatementsExceededException",
        "InternalServerException",
        "ExpiredTokenException",
        "DatabaseConnectionException",
        "RequestTimeoutException",
    ];
    if status >= 500 || status == 429 || busy.contains(&code) {
        return Refusal { error: Error::external(what), retryable: true };
    }
    let error = Error::user(what);
    let error = match code {
        "UnrecognizedClientException" | "InvalidSignatureException" | "IncompleteSignatureException" => {
            error.hint("check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role, and this machine's clock")
        }
        "AccessDeniedException" => error.hint(
            "the credentials need redshift-data:ExecuteStatement, BatchExecuteStatement, DescribeStatement, GetStatementResult \
             and CancelStatement, and redshift-serverless:GetCredentials or redshift:GetClusterCredentials",
        ),
        "" if status == 403 => error.hint("check the credentials, and `redshift.endpoint`"),
        "ResourceNotFoundException" => error.hint("check `redshift.workgroup` or `redshift.cluster`, and the region"),
        _ => error.hint("check the settings of [redshift]"),
    };
    Refusal { error, retryable: false }
}

/// A server's text, for people.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}
