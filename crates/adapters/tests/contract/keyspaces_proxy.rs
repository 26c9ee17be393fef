//! A CQL proxy with the rules of Amazon Keyspaces.
//!
//! It demands a login signed with AWS credentials; takes batches of at most 30 statements, writes with LOCAL_QUORUM only, no
//! compaction, and write timestamps only for tables that were created with them; and creates tables some time after it has
//! acknowledged their definition. Cassandra itself holds the rows, and, in `system_schema_mcs`, the state of the tables.

use crate::server;
use aws::credentials::Credentials;
use market::UnixNanos;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const ACCESS_KEY: &str = "AKIDEXAMPLE";
pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG";
pub(crate) const REGION: &str = "us-east-1";
/// Maximum number of statements in a batch.
pub(crate) const BATCH_ROWS: usize = 30;

/// Opcodes and codes of errors of CQL's binary protocol, version 4.
mod code {
    pub(super) const ERROR: u8 = 0x00;
    pub(super) const STARTUP: u8 = 0x01;
    pub(super) const READY: u8 = 0x02;
    pub(super) const AUTHENTICATE: u8 = 0x03;
    pub(super) const OPTIONS: u8 = 0x05;
    pub(super) const QUERY: u8 = 0x07;
    pub(super) const RESULT: u8 = 0x08;
    pub(super) const PREPARE: u8 = 0x09;
    pub(super) const EXECUTE: u8 = 0x0a;
    pub(super) const BATCH: u8 = 0x0d;
    pub(super) const AUTH_CHALLENGE: u8 = 0x0e;
    pub(super) const AUTH_RESPONSE: u8 = 0x0f;
    pub(super) const AUTH_SUCCESS: u8 = 0x10;
    pub(super) const BAD_CREDENTIALS: u32 = 0x0100;
    pub(super) const OVERLOADED: u32 = 0x1001;
    pub(super) const WRITE_TIMEOUT: u32 = 0x1100;
    pub(super) const INVALID: u32 = 0x2200;
    pub(super) const LOCAL_QUORUM: u16 = 6;
    /// ONE, LOCAL_ONE and LOCAL_QUORUM.
    pub(super) const READS: [u16; 3] = [1, 10, LOCAL_QUORUM];
}

#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) logins: AtomicUsize,
    pub(crate) largest_batch: AtomicUsize,
    /// Each batch of so many is refused as if it came too fast; 0: none.
    pub(crate) throttle_every: AtomicUsize,
    pub(crate) throttled: AtomicUsize,
    batches: AtomicUsize,
    /// What broke a rule.
    pub(crate) refused: Mutex<Vec<String>>,
    open_door: AtomicBool,
    /// Tables that take write timestamps.
    stamped: Mutex<BTreeSet<String>>,
}

pub(crate) struct Proxy {
    pub(crate) address: String,
    rules: Arc<Rules>,
}

impl std::ops::Deref for Proxy {
    type Target = Rules;
    fn deref(&self) -> &Rules {
        &self.rules
    }
}

/// While it lives, the proxy demands no login.
pub(crate) struct OpenDoor(Arc<Rules>);

impl Drop for OpenDoor {
    fn drop(&mut self) {
        self.0.open_door.store(false, Ordering::SeqCst);
    }
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let rules = Arc::new(Rules::default());
        let (created, definitions) = sync_channel(64);
        let (ready, is_ready) = sync_channel(1);
        std::thread::spawn(move || define(&definitions, &ready));
        is_ready.recv().unwrap();
        let shared = Arc::clone(&rules);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (rules, created) = (Arc::clone(&shared), created.clone());
                std::thread::spawn(move || Connection::serve(client, rules, created));
            }
        });
        Self { address, rules }
    }

    pub(crate) fn without_login(&self) -> OpenDoor {
        self.rules.open_door.store(true, Ordering::SeqCst);
        OpenDoor(Arc::clone(&self.rules))
    }
}

/// Executes definitions one after the other, each some time after it was acknowledged.
fn define(definitions: &Receiver<(String, String, String)>, ready: &SyncSender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let builder = scylla::client::session_builder::SessionBuilder::new();
        let session = builder.known_node(server("TAPELINE_TEST_CASSANDRA")).build().await.unwrap();
        let run = async |text: String| session.query_unpaged(text, ()).await.unwrap();
        let mcs = "system_schema_mcs";
        run(format!(
            "CREATE KEYSPACE IF NOT EXISTS {mcs} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
        ))
        .await;
        run(format!("CREATE TABLE IF NOT EXISTS {mcs}.keyspaces (keyspace_name text PRIMARY KEY)")).await;
        run(format!(
            "CREATE TABLE IF NOT EXISTS {mcs}.tables (keyspace_name text, table_name text, status text, \
             PRIMARY KEY (keyspace_name, table_name))"
        ))
        .await;
        ready.send(()).unwrap();
        while let Ok((keyspace, table, statement)) = definitions.recv() {
            if table.is_empty() {
                tokio::time::sleep(Duration::from_millis(100)).await;
                run(statement).await;
                run(format!("INSERT INTO {mcs}.keyspaces (keyspace_name) VALUES ('{keyspace}')")).await;
                continue;
            }
            let key = format!("INSERT INTO {mcs}.tables (keyspace_name, table_name, status) VALUES ('{keyspace}', '{table}'");
            run(format!("{key}, 'CREATING') IF NOT EXISTS")).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            run(statement).await;
            run(format!("UPDATE {mcs}.tables SET status = 'ACTIVE' WHERE keyspace_name = '{keyspace}' AND table_name = '{table}' IF EXISTS")).await;
        }
    });
}

#[derive(Clone)]
struct Frame {
    version: u8,
    flags: u8,
    stream: [u8; 2],
    opcode: u8,
    body: Vec<u8>,
}

impl Frame {
    fn read(from: &mut impl Read) -> Option<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head).ok()?;
        let mut body = vec![0; u32::from_be_bytes(head[5..9].try_into().unwrap()) as usize];
        from.read_exact(&mut body).ok()?;
        Some(Self { version: head[0], flags: head[1], stream: [head[2], head[3]], opcode: head[4], body })
    }

    fn write(&self, to: &mut impl Write) {
        let mut bytes = vec![self.version, self.flags, self.stream[0], self.stream[1], self.opcode];
        bytes.extend((self.body.len() as u32).to_be_bytes());
        bytes.extend(&self.body);
        // The other side may have hung up.
        let _ = to.write_all(&bytes);
    }

    fn reply(&self, opcode: u8, body: Vec<u8>) -> Self {
        Self { version: self.version | 0x80, flags: 0, stream: self.stream, opcode, body }
    }

    fn error(&self, code: u32, message: &str, more: &[u8]) -> Self {
        let mut body = code.to_be_bytes().to_vec();
        body.extend(string(message));
        body.extend(more);
        self.reply(code::ERROR, body)
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

fn bytes(value: &[u8]) -> Vec<u8> {
    [&(value.len() as u32).to_be_bytes(), value].concat()
}

/// Reads the body of a request.
struct Body<'b>(&'b [u8]);

impl<'b> Body<'b> {
    fn take(&mut self, length: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn short(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    /// A value; null and unset are empty.
    fn long(&mut self) -> &'b [u8] {
        let length = i32::from_be_bytes(self.take(4).try_into().unwrap());
        self.take(usize::try_from(length).unwrap_or(0))
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.long().to_vec()).unwrap()
    }

    /// Number of statements and consistency of a batch.
    fn batch(mut self) -> (usize, u16) {
        self.byte();
        let count = self.short();
        for _ in 0..count {
            if self.byte() == 0 {
                self.long();
            } else {
                let length = self.short();
                self.take(length.into());
            }
            for _ in 0..self.short() {
                self.long();
            }
        }
        (count.into(), self.short())
    }
}

/// A client's connection, and the one to Cassandra that belongs to it.
struct Connection {
    rules: Arc<Rules>,
    created: SyncSender<(String, String, String)>,
    client: Arc<Mutex<TcpStream>>,
    node: TcpStream,
    startup: Option<Frame>,
    nonce: String,
    logged_in: bool,
}

impl Connection {
    fn serve(client: TcpStream, rules: Arc<Rules>, created: SyncSender<(String, String, String)>) {
        let node = TcpStream::connect(server("TAPELINE_TEST_CASSANDRA")).unwrap();
        let (mut from_client, mut from_node) = (client.try_clone().unwrap(), node.try_clone().unwrap());
        let client = Arc::new(Mutex::new(client));
        let (to_client, is_open) = (Arc::clone(&client), Arc::clone(&rules));
        std::thread::spawn(move || {
            // The first READY is that of STARTUP.
            let mut started = false;
            while let Some(mut frame) = Frame::read(&mut from_node) {
                let is_first = frame.opcode == code::READY && !std::mem::replace(&mut started, true);
                if is_first && !is_open.open_door.load(Ordering::SeqCst) {
                    frame = frame.reply(code::AUTH_SUCCESS, (-1_i32).to_be_bytes().to_vec());
                }
                frame.write(&mut *to_client.lock().unwrap());
            }
            let _ = to_client.lock().unwrap().shutdown(std::net::Shutdown::Both);
        });
        let nonce = format!("{:032x}", ports::clock::now().0);
        let mut connection = Self { rules, created, client, node, startup: None, nonce, logged_in: false };
        while let Some(frame) = Frame::read(&mut from_client) {
            match (connection.take(&frame), frame.opcode) {
                (Some(reply), _) => reply.write(&mut *connection.client.lock().unwrap()),
                // The login is the proxy's own.
                (None, code::AUTH_RESPONSE) => {}
                (None, _) => frame.write(&mut connection.node),
            }
        }
        let _ = connection.node.shutdown(std::net::Shutdown::Both);
    }

    fn refuse(&self, frame: &Frame, message: String) -> Option<Frame> {
        let reply = frame.error(code::INVALID, &message, &[]);
        self.rules.refused.lock().unwrap().push(message);
        Some(reply)
    }

    /// The reply to a request; `None`: it is passed on.
    fn take(&mut self, frame: &Frame) -> Option<Frame> {
        let is_open = self.rules.open_door.load(Ordering::SeqCst);
        match frame.opcode {
            code::OPTIONS => None,
            code::STARTUP if is_open => {
                self.logged_in = true;
                None
            }
            code::STARTUP => {
                self.startup = Some(frame.clone());
                let class = "org.apache.cassandra.auth.PasswordAuthenticator";
                Some(frame.reply(code::AUTHENTICATE, string(class)))
            }
            code::AUTH_RESPONSE => self.login(frame),
            _ if !self.logged_in => Some(frame.error(code::BAD_CREDENTIALS, "not logged in", &[])),
            code::BATCH => self.batch(frame),
            code::QUERY => self.query(frame),
            code::EXECUTE => {
                let mut body = Body(&frame.body);
                let length = body.short();
                body.take(length.into());
                self.consistency(frame, body.short())
            }
            code::PREPARE => {
                let text = Body(&frame.body).text();
                let table = text.strip_prefix("INSERT INTO ").and_then(|rest| rest.split(' ').next());
                let is_stamped = text.contains("USING TIMESTAMP");
                let table = table.filter(|_| is_stamped).unwrap_or_default();
                if is_stamped && !self.rules.stamped.lock().unwrap().contains(table) {
                    return self.refuse(frame, format!("client-side timestamps are not enabled for {table}"));
                }
                None
            }
            _ => None,
        }
    }

    fn login(&mut self, frame: &Frame) -> Option<Frame> {
        let response = Body(&frame.body).long();
        if response == b"SigV4\0\0" {
            return Some(
                frame.reply(code::AUTH_CHALLENGE, bytes(format!("nonce={}", self.nonce).as_bytes())),
            );
        }
        let text = String::from_utf8_lossy(response).into_owned();
        let time = text.split(',').find_map(|part| part.strip_prefix("amzdate=")).unwrap_or_default();
        let credentials = Credentials {
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned().into(),
            session_token: ports::secret::Secret::default(),
            expires: None,
        };
        let is_signed = UnixNanos::parse(time).is_ok_and(|time| {
            let nonce = format!("nonce={}", self.nonce);
            let expected = aws::keyspaces::response(REGION, &credentials, nonce.as_bytes(), time).unwrap();
            let age = ports::clock::now().0 - time.0;
            (0..300_000_000_000).contains(&age) && expected.reveal() == text
        });
        if !is_signed {
            return Some(frame.error(code::BAD_CREDENTIALS, "Authentication failure: wrong signature", &[]));
        }
        self.logged_in = true;
        self.rules.logins.fetch_add(1, Ordering::SeqCst);
        // Cassandra's READY becomes the success of this request.
        let startup = self.startup.take().unwrap();
        Frame { stream: frame.stream, ..startup }.write(&mut self.node);
        None
    }

    fn batch(&self, frame: &Frame) -> Option<Frame> {
        let (count, consistency) = Body(&frame.body).batch();
        self.rules.largest_batch.fetch_max(count, Ordering::SeqCst);
        if count > BATCH_ROWS {
            return self.refuse(frame, format!("a batch of {count} statements; the maximum is {BATCH_ROWS}"));
        }
        if consistency != code::LOCAL_QUORUM {
            return self.refuse(frame, format!("consistency {consistency} of a batch"));
        }
        let every = self.rules.throttle_every.load(Ordering::SeqCst);
        let number = self.rules.batches.fetch_add(1, Ordering::SeqCst);
        if every > 0 && number.is_multiple_of(every) {
            let before = self.rules.throttled.fetch_add(1, Ordering::SeqCst);
            if before % 2 == 1 {
                return Some(frame.error(code::OVERLOADED, "throughput exceeded", &[]));
            }
            let mut more = code::LOCAL_QUORUM.to_be_bytes().to_vec();
            more.extend(0_u32.to_be_bytes());
            more.extend(2_u32.to_be_bytes());
            more.extend(string("SIMPLE"));
            return Some(frame.error(code::WRITE_TIMEOUT, "Operation timed out", &more));
        }
        None
    }

    fn consistency(&self, frame: &Frame, consistency: u16) -> Option<Frame> {
        if code::READS.contains(&consistency) {
            return None;
        }
        self.refuse(frame, format!("consistency {consistency} is not supported"))
    }

    fn query(&self, frame: &Frame) -> Option<Frame> {
        let mut body = Body(&frame.body);
        let text = body.text();
        if let Some(refused) = self.consistency(frame, body.short()) {
            return Some(refused);
        }
        if text.starts_with("CREATE") && text.contains("compaction") {
            return self.refuse(frame, "compaction is not supported".to_owned());
        }
        let name = |start: &str| {
            text.strip_prefix(start).map(|rest| rest.split(' ').next().unwrap_or_default().to_owned())
        };
        let definition = if let Some(keyspace) = name("CREATE KEYSPACE IF NOT EXISTS ") {
            let replication = "'SimpleStrategy', 'replication_factor': 1";
            (keyspace, String::new(), text.replace("'SingleRegionStrategy'", replication))
        } else {
            let place = name("CREATE TABLE IF NOT EXISTS ")?;
            let (keyspace, table) = place.split_once('.').unwrap();
            let (columns, options) = text.split_once(" WITH ").unwrap_or((&text, ""));
            if options.contains("'client_side_timestamps': {'status': 'enabled'}") {
                self.rules.stamped.lock().unwrap().insert(place.clone());
            }
            let life = options.split(" AND ").find(|option| option.starts_with("default_time_to_live"));
            let life = life.map_or_else(String::new, |option| format!(" WITH {option}"));
            (keyspace.to_owned(), table.to_owned(), format!("{columns}{life}"))
        };
        self.created.send(definition).unwrap();
        Some(frame.reply(code::RESULT, vec![0, 0, 0, 1]))
    }
}
