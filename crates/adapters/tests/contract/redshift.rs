//! Redshift's Data API: a stub that is its state machine, and moto, where a statement never ends.

use crate::archive::Server;
use adapters::warehouse::redshift::{RedshiftSettings, RedshiftWarehouse};
use aws::credentials::CredentialChain;
use market::Kind;
use ports::warehouse::{Load, LoadedRange, Warehouse};
use ports::{CancelToken, Error};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of a statement after it was SUBMITTED, PICKED and STARTED.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Finishes,
    Fails(&'static str),
    IsAborted,
    NeverEnds,
    /// It finishes when it is about to be cancelled.
    FinishesLate,
    /// The response to its submission is lost.
    FinishesUnheard,
}

struct Submitted {
    sql: Vec<String>,
    fate: Fate,
    /// Looks at it so far.
    looks: usize,
    cancelled: bool,
}

#[derive(Default)]
struct Api {
    fates: VecDeque<Fate>,
    statements: Vec<Submitted>,
    /// Ids by client token.
    tokens: BTreeMap<String, usize>,
    /// Refusals to come, whatever is requested: status and code.
    refusals: VecDeque<(u16, &'static str)>,
    rows: Vec<Value>,
    /// Actions in the order in which they came.
    actions: Vec<String>,
    unsigned: usize,
}

impl Api {
    /// The response to an action; `None`: none is sent.
    fn respond(&mut self, action: &str, body: &Value) -> Option<(u16, Value)> {
        self.actions.push(action.to_owned());
        if let Some((status, code)) = self.refusals.pop_front() {
            return Some((status, json!({ "__type": format!("aws#{code}"), "message": "later" })));
        }
        let known = |body: &Value| body["Id"].as_str()?.strip_prefix("id-")?.parse::<usize>().ok();
        match action {
            "ExecuteStatement" | "BatchExecuteStatement" => {
                let token = body["ClientToken"].as_str().unwrap().to_owned();
                assert!((1..=64).contains(&token.len()));
                assert_eq!((&body["Database"], &body["WorkgroupName"]), (&json!("dev"), &json!("group")));
                if let Some(id) = self.tokens.get(&token) {
                    return Some((200, json!({ "Id": format!("id-{id}") })));
                }
                let sql = match body["Sqls"].as_array() {
                    Some(all) => all.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
                    None => vec![body["Sql"].as_str().unwrap().to_owned()],
                };
                assert!(sql.len() <= 40 && (sql.len() == 1) == (action == "ExecuteStatement"));
                let (id, fate) = (self.statements.len(), self.fates.pop_front().unwrap_or(Fate::Finishes));
                self.tokens.insert(token, id);
                self.statements.push(Submitted { sql, fate, looks: 0, cancelled: false });
                (fate != Fate::FinishesUnheard).then(|| (200, json!({ "Id": format!("id-{id}") })))
            }
            "DescribeStatement" => {
                let statement = &mut self.statements[known(body).unwrap()];
                statement.looks += 1;
                let status = match (statement.looks, statement.fate) {
                    (_, Fate::FinishesLate) if statement.cancelled => "FINISHED",
                    _ if statement.cancelled => "ABORTED",
                    (1, _) => "SUBMITTED",
                    (2, _) => "PICKED",
                    (3, _) | (_, Fate::NeverEnds | Fate::FinishesLate) => "STARTED",
                    (_, Fate::Finishes | Fate::FinishesUnheard) => "FINISHED",
                    (_, Fate::IsAborted) => "ABORTED",
                    (_, Fate::Fails(_)) => "FAILED",
                };
                let mut reply = json!({ "Id": body["Id"], "Status": status });
                if let (Fate::Fails(why), "FAILED") = (statement.fate, status) {
                    reply["Error"] = why.into();
                }
                Some((200, reply))
            }
            "CancelStatement" => {
                self.statements[known(body).unwrap()].cancelled = true;
                Some((200, json!({ "Status": true })))
            }
            "GetStatementResult" => {
                // One row a page.
                let at: usize = body["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
                let mut reply = json!({ "Records": self.rows.get(at).into_iter().collect::<Vec<_>>() });
                if at + 1 < self.rows.len() {
                    reply["NextToken"] = (at + 1).to_string().into();
                }
                Some((200, reply))
            }
            other => panic!("unexpected action {other}"),
        }
    }
}

fn serve(stream: TcpStream, api: &Mutex<Api>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut headers, mut line) = (BTreeMap::new(), String::new());
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        assert!(line.starts_with("POST / HTTP/1.1"), "{line}");
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        reader.read_exact(&mut body)?;
        let mut api = api.lock().unwrap();
        let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-target,";
        let scope = "/us-east-1/redshift-data/aws4_request";
        if !["authorization"].iter().all(|name| {
            headers.get(*name).is_some_and(|value| value.contains(signed) && value.contains(scope))
        }) {
            api.unsigned += 1;
        }
        let action = headers["x-amz-target"].strip_prefix("RedshiftData.").unwrap();
        let Some((status, reply)) = api.respond(action, &serde_json::from_slice(&body).unwrap()) else {
            return Ok(());
        };
        drop(api);
        let text = reply.to_string();
        let head = format!("HTTP/1.1 {status} x\r\nContent-Type: application/x-amz-json-1.1\r\n");
        (&stream).write_all(format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes())?;
    }
}

struct Stub {
    api: Arc<Mutex<Api>>,
    endpoint: String,
    stop: CancelToken,
}

impl Stub {
    fn with(fates: &[Fate]) -> Self {
        let api = Arc::new(Mutex::new(Api { fates: fates.iter().copied().collect(), ..Api::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&api);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let api = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &api));
            }
        });
        Self { api, endpoint, stop: CancelToken::default() }
    }

    fn warehouse(&self, deadline: Duration) -> RedshiftWarehouse {
        warehouse(&self.endpoint, ["key", "secret"].map(str::to_owned), deadline, self.stop.clone())
    }

    fn submitted(&self) -> Vec<Vec<String>> {
        let api = self.api.lock().unwrap();
        assert_eq!(api.unsigned, 0);
        api.statements.iter().map(|statement| statement.sql.clone()).collect()
    }
}

fn warehouse(endpoint: &str, keys: [String; 2], deadline: Duration, stop: CancelToken) -> RedshiftWarehouse {
    let settings = RedshiftSettings {
        workgroup: "group".to_owned(),
        database: "dev".to_owned(),
        schema: "market".to_owned(),
        role: "default".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: endpoint.to_owned(),
        deadline,
        ..RedshiftSettings::default()
    };
    let credentials = CredentialChain::new(Box::new(move |name| match name {
        "AWS_ACCESS_KEY_ID" => Some(keys[0].clone()),
        "AWS_SECRET_ACCESS_KEY" => Some(keys[1].clone()),
        _ => None,
    }));
    RedshiftWarehouse::new(&settings, credentials, stop).unwrap()
}

fn range() -> LoadedRange {
    LoadedRange { topic: "t.trades".to_owned(), partition: 3, first: 100, last: 199 }
}

fn load(warehouse: &RedshiftWarehouse) -> Result<(), Error> {
    let ranges = [range()];
    let manifest = "s3://tapes/_loads/trades-1.json";
    warehouse.load(&Load { archive: "s3://tapes", kind: Kind::TRADE, manifest, ranges: &ranges })
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn statements_are_submitted_once_and_waited_for() {
    let stub = Stub::with(&[]);
    stub.api.lock().unwrap().rows = vec![
        json!([{ "stringValue": "t.trades" }, { "longValue": 3 }, { "longValue": 100 }, { "longValue": 199 }]),
        json!([{ "stringValue": "t.trades" }, { "longValue": 3 }, { "longValue": 200 }, { "longValue": 250 }]),
    ];
    let warehouse = stub.warehouse(MINUTE);
    warehouse.init().unwrap();
    let next = LoadedRange { first: 200, last: 250, ..range() };
    assert_eq!(warehouse.loaded("s3://tapes", Kind::TRADE).unwrap(), [range(), next]);
    load(&warehouse).unwrap();
    let submitted = stub.submitted();
    assert_eq!(submitted.len(), 3);
    assert!(submitted[0][0].starts_with("CREATE SCHEMA") && submitted[0].len() == 5);
    assert!(submitted[1][0].contains("WHERE archive = 's3://tapes' AND kind = 'trades'"));
    assert!(submitted[2][0].starts_with("LOCK market.loads") && submitted[2][2].starts_with("COPY stage"));
}

#[test]
fn a_lost_response_and_a_busy_service_submit_nothing_twice() {
    let stub = Stub::with(&[Fate::FinishesUnheard]);
    stub.api.lock().unwrap().refusals =
        VecDeque::from([(400, "ThrottlingException"), (503, ""), (400, "ActiveStatementsExceededException")]);
    load(&stub.warehouse(MINUTE)).unwrap();
    assert_eq!(stub.submitted().len(), 1);
    let actions = stub.api.lock().unwrap().actions.clone();
    assert_eq!(actions.iter().filter(|action| *action == "BatchExecuteStatement").count(), 5, "{actions:?}");
    // The same load once more is another submission.
    load(&stub.warehouse(MINUTE)).unwrap();
    assert_eq!(stub.submitted().len(), 2);
}

#[test]
fn what_failed_is_named_and_only_a_conflict_is_run_again() {
    let stub = Stub::with(&[
        Fate::Fails("ERROR: 1023 Detail: Serializable isolation violation on table"),
        Fate::Finishes,
        Fate::Fails("S3ServiceException:Access Denied,Status 403"),
        Fate::IsAborted,
    ]);
    let warehouse = stub.warehouse(MINUTE);
    load(&warehouse).unwrap();
    assert_eq!(stub.submitted().len(), 2);
    let error = load(&warehouse).unwrap_err();
    let text = error.to_string();
    assert!(!error.retryable() && text.contains("Access Denied") && text.contains("redshift.role"), "{text}");
    assert!(text.contains("load s3://tapes/_loads/trades-1.json into redshift:group/dev"), "{text}");
    let text = load(&warehouse).unwrap_err().to_string();
    assert!(text.contains("cancelled by another user"), "{text}");
    assert_eq!(stub.submitted().len(), 4);
    for (code, part) in [
        ("AccessDeniedException", "redshift-data:ExecuteStatement"),
        ("ResourceNotFoundException", "redshift.workgroup"),
        ("InvalidSignatureException", "AWS_SECRET_ACCESS_KEY"),
    ] {
        stub.api.lock().unwrap().refusals.push_back((400, code));
        let error = load(&warehouse).unwrap_err();
        assert!(!error.retryable() && error.to_string().contains(part), "{error}");
    }
}

#[test]
fn waiting_ends_at_the_deadline_and_cancels_the_statement() {
    let stub = Stub::with(&[Fate::NeverEnds, Fate::FinishesLate, Fate::NeverEnds]);
    let warehouse = stub.warehouse(Duration::from_secs(1));
    let text = load(&warehouse).unwrap_err().to_string();
    assert!(
        text.contains("was STARTED after 1 s, and was cancelled") && text.contains("redshift.deadline"),
        "{text}"
    );
    assert!(stub.api.lock().unwrap().statements[0].cancelled);
    // It ended before it could be cancelled.
    load(&warehouse).unwrap();
    // The user stops the program.
    let warehouse = stub.warehouse(MINUTE);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| load(&warehouse).unwrap_err());
        while stub.api.lock().unwrap().statements.get(2).is_none_or(|statement| statement.looks < 3) {
            std::thread::sleep(Duration::from_millis(10));
        }
        stub.stop.cancel();
        assert_eq!(waiting.join().unwrap().domain, ports::error::Domain::Stopped);
    });
    assert!(stub.api.lock().unwrap().statements[2].cancelled);
}

#[test]
#[ignore = "needs moto: cargo xtask test"]
fn moto_accepts_the_signature_and_its_endless_statement_meets_the_deadline() {
    let server = Server::start();
    let (endpoint, _) = server.url.rsplit_once('/').unwrap();
    let open = |secret: &str| {
        let keys = [server.access_key.clone(), secret.to_owned()];
        warehouse(endpoint, keys, Duration::from_secs(2), CancelToken::default())
    };
    let text = open(&server.secret_key).loaded("s3://tapes", Kind::TRADE).unwrap_err().to_string();
    assert!(text.contains("was STARTED after 2 s"), "{text}");
    let text = open("hush").loaded("s3://tapes", Kind::TRADE).unwrap_err().to_string();
    assert!(text.contains("Signature") && !text.contains("hush"), "{text}");
}
