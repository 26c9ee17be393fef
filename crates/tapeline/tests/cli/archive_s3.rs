//! The archive on S3 and its compaction, killed in the middle; DuckDB reads what is left by the manifests.

use crate::{embedded_urls, finish, run, session, signal, tapeline, with};
use adapters::archive::folder::FolderArchive;
use adapters::archive::s3::{S3Archive, S3Settings};
use aws::credentials::CredentialChain;
use ports::archive::Archive;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

/// Number of kills: a few, or as many as the variable says.
fn kills() -> usize {
    std::env::var("TAPELINE_TEST_KILLS").map_or(3, |kills| kills.parse().unwrap())
}

fn python(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask test`"))
}

/// Moto, which checks signatures and ends with its standard input; or the server of `TAPELINE_TEST_S3`
/// (`http://HOST:PORT`, with a bucket `tapes` and the keys `test` and `test`).
struct Server {
    address: String,
    keys: [String; 2],
    moto: Option<Child>,
}

impl Server {
    fn start() -> Self {
        if let Ok(url) = std::env::var("TAPELINE_TEST_S3") {
            let address = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
            return Self { address, keys: ["test", "test"].map(str::to_owned), moto: None };
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/tests/s3.py");
        let mut command = Command::new(python("TAPELINE_TEST_PYTHON"));
        let mut moto = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(moto.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let [port, key, secret] =
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
        Self { address: format!("127.0.0.1:{port}"), keys: [key, secret], moto: Some(moto) }
    }

    /// The program with small ranges, and this server behind `address`.
    fn program(&self, address: &str, arguments: &[&str]) -> Command {
        let mut command = tapeline(arguments);
        command
            .env("TAPELINE__ARCHIVE__ROWS", "2000")
            .env("TAPELINE__TOPIC__PARTITIONS", "3")
            .env("AWS_ENDPOINT_URL_S3", format!("http://{address}"))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", &self.keys[0])
            .env("AWS_SECRET_ACCESS_KEY", &self.keys[1])
            .env("NO_PROXY", "127.0.0.1");
        command
    }

    /// Copies everything under a prefix of the bucket into a folder.
    fn download(&self, prefix: &str, to: &Path) {
        let [key, secret] = self.keys.clone();
        let credentials = CredentialChain::new(Box::new(move |name| match name {
            "AWS_ACCESS_KEY_ID" => Some(key.clone()),
            "AWS_SECRET_ACCESS_KEY" => Some(secret.clone()),
            _ => None,
        }));
        let endpoint = format!("http://{}", self.address);
        let settings = S3Settings { region: "us-east-1".to_owned(), endpoint };
        let from = S3Archive::new("tapes", prefix, &settings, credentials).unwrap();
        let folder = FolderArchive::new(to);
        for object in from.list("").unwrap() {
            folder.create(&object.name, &from.read(&object.name).unwrap().unwrap()).unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut moto) = self.moto.take() {
            drop(moto.stdin.take());
            let _ = moto.wait();
        }
    }
}

/// Stands between the program and S3, and kills the program in the middle of an upload.
#[derive(Default)]
struct Relay {
    /// Bytes of uploads until the kill.
    left: AtomicI64,
    /// Whether the upload in which it happens still reaches the server, and only its response is lost.
    at_response: AtomicBool,
    victim: AtomicU32,
    responding: AtomicBool,
}

impl Relay {
    fn start(server: &str) -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, server) = (listener.local_addr().unwrap().to_string(), server.to_owned());
        let relay = Arc::new(Self::default());
        let shared = Arc::clone(&relay);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let upstream = TcpStream::connect(&server).unwrap();
                let (relay, a, b) =
                    (Arc::clone(&shared), client.try_clone().unwrap(), upstream.try_clone().unwrap());
                std::thread::spawn(move || relay.requests(a, b));
                let relay = Arc::clone(&shared);
                std::thread::spawn(move || relay.responses(upstream, client));
            }
        });
        (relay, address)
    }

    fn arm(&self, victim: &Child, left: i64, at_response: bool) {
        self.responding.store(false, Ordering::SeqCst);
        self.at_response.store(at_response, Ordering::SeqCst);
        self.left.store(left, Ordering::SeqCst);
        self.victim.store(victim.id(), Ordering::SeqCst);
    }

    fn kill(&self) {
        let victim = self.victim.swap(0, Ordering::SeqCst);
        if victim > 0 {
            // It may just have ended by itself, which its exit status shows.
            let _ = Command::new("kill").args(["-KILL", &victim.to_string()]).status();
        }
    }

    fn requests(&self, mut client: TcpStream, mut server: TcpStream) {
        let (mut buffer, mut is_upload) = ([0; 4_096], false);
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            // Requests of a connection follow each other: each begins a chunk.
            if buffer.starts_with(b"PUT /") {
                is_upload = true;
            } else if buffer.starts_with(b"GET /") || buffer.starts_with(b"DELETE /") {
                is_upload = false;
            }
            let mut forwarded = length;
            if is_upload && self.victim.load(Ordering::SeqCst) > 0 {
                let before = self.left.fetch_sub(length as i64, Ordering::SeqCst);
                if before > 0 && before <= length as i64 {
                    if self.at_response.load(Ordering::SeqCst) {
                        self.responding.store(true, Ordering::SeqCst);
                    } else {
                        self.kill();
                        forwarded = before as usize;
                    }
                }
            }
            if server.write_all(&buffer[..forwarded]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(std::net::Shutdown::Both);
    }

    fn responses(&self, mut server: TcpStream, mut client: TcpStream) {
        let mut buffer = [0; 65_536];
        while let Ok(length @ 1..) = server.read(&mut buffer) {
            if self.responding.swap(false, Ordering::SeqCst) {
                self.kill();
                break;
            }
            if client.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(std::net::Shutdown::Both);
    }
}

/// DuckDB's view of an archive in a folder, by its manifests: number of records and sum of sizes. Fails on a double or a gap.
fn duckdb(folder: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive_rows.py");
    let output =
        Command::new(python("TAPELINE_TEST_PYTHON_CLIENT")).arg(script).arg(folder).output().unwrap();
    let (code, text) = finish(output);
    assert_eq!(code, 0, "{text}");
    text
}

/// Records in the store.
fn stored(urls: &[String]) -> u64 {
    let arguments: Vec<&str> = with("count", urls).into_iter().chain(["--format", "json"]).collect();
    let (code, text) = run(&arguments);
    assert_eq!(code, 0, "{text}");
    let counts: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of_kind = counts["trades"].as_object().unwrap();
    of_kind.values().map(|count| count.as_u64().unwrap()).sum()
}

/// Two symbols of the recorded session, published and stored.
fn published(dir: &Path) -> Vec<String> {
    let mut urls = embedded_urls(dir, &session());
    urls[1].push_str("?kinds=trades&symbols=AIG,IBM&speed=max");
    for verb in ["produce", "consume"] {
        let arguments: Vec<&str> =
            with(verb, &urls).into_iter().chain((verb == "consume").then_some("--until-end")).collect();
        let (code, text) =
            finish(tapeline(&arguments).env("TAPELINE__TOPIC__PARTITIONS", "3").output().unwrap());
        assert_eq!(code, 0, "{text}");
    }
    urls
}

#[test]
#[ignore = "needs moto, and Python with DuckDB: cargo xtask test"]
fn kills_during_uploads_to_s3_leave_no_double_and_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let urls = published(dir.path());
    let (server, kills) = (Server::start(), kills());
    let prefix = format!("kills-{}-{}", std::process::id(), ports::clock::now().0);
    let archive = format!("s3://tapes/{prefix}");
    let (relay, address) = Relay::start(&server.address);
    let arguments: Vec<&str> =
        with("archive", &urls).into_iter().chain(["--archive", &archive, "--until-end"]).collect();
    let spawn = || {
        let mut command = server.program(&address, &arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..kills {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let child = spawn();
        relay.arm(&child, 1 + (random % 40_000) as i64, round % 3 == 2);
        let output = child.wait_with_output().unwrap();
        let killed = output.status.signal() == Some(9);
        let (_, text) = finish(output);
        assert!(killed, "round {round}: it ended before the kill: {text}");
        assert!(!text.contains("error") && !text.contains("panicked"), "{text}");
    }
    let (code, text) = finish(spawn().wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
    let (code, text) = finish(spawn().wait_with_output().unwrap());
    assert!(code == 0 && text.contains("archived: 0 records in 0 ranges"), "{text}");

    let verifying: Vec<&str> = with("verify", &urls).into_iter().chain(["--archive", &archive]).collect();
    let (code, text) = finish(server.program(&server.address, &verifying).output().unwrap());
    assert!(code == 0 && text.contains("equal field for field in source, topic, store, archive"), "{text}");
    let copy = dir.path().join("copy");
    server.download(&prefix, &copy);
    let seen = duckdb(&copy);
    assert!(seen.starts_with(&format!("{} ", stored(&urls))), "{seen}");

    // Compaction on S3, which removes objects.
    let compacting = ["archive", "compact", "--archive", &archive];
    let (code, text) = finish(
        server
            .program(&server.address, &compacting)
            .env("TAPELINE__ARCHIVE__ROWS", "100000")
            .output()
            .unwrap(),
    );
    assert!(code == 0 && text.contains("compacted: "), "{text}");
    let (code, text) = finish(server.program(&server.address, &verifying).output().unwrap());
    assert!(code == 0 && !text.contains("archive compact"), "{text}");
    let compacted = dir.path().join("compacted");
    server.download(&prefix, &compacted);
    assert_eq!(duckdb(&compacted), seen);
    let files = |folder: &Path| FolderArchive::new(folder).list("kind=trades/").unwrap().len();
    assert!(files(&compacted) * 4 < files(&copy), "{} {}", files(&compacted), files(&copy));
}

#[test]
#[ignore = "needs Python with DuckDB: cargo xtask test"]
fn kills_during_compaction_neither_double_nor_lose() {
    let dir = tempfile::tempdir().unwrap();
    let (urls, folder) = (published(dir.path()), dir.path().join("archive"));
    let archive = format!("folder:{}", folder.display());
    let program = |rows: &str, arguments: &[&str]| {
        let mut command = tapeline(arguments);
        command.env("TAPELINE__TOPIC__PARTITIONS", "3").env("TAPELINE__ARCHIVE__ROWS", rows);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let archiving: Vec<&str> =
        with("archive", &urls).into_iter().chain(["--archive", &archive, "--until-end"]).collect();
    let (code, text) = finish(program("500", &archiving).output().unwrap());
    assert_eq!(code, 0, "{text}");
    let expected = duckdb(&folder);
    assert!(expected.starts_with(&format!("{} ", stored(&urls))), "{expected}");
    let verifying: Vec<&str> = with("verify", &urls).into_iter().chain(["--archive", &archive]).collect();
    let list = || FolderArchive::new(&folder).list("").unwrap().len();
    // Claims of ranges stay, and there are as many as before.
    let data = || FolderArchive::new(&folder).list("kind=trades/").unwrap().len();
    let before = data();
    let (mut killed, mut left_over) = (0, 0);
    for round in 0..kills() {
        let mut child = program("5000", &["archive", "compact", "--archive", &archive]).spawn().unwrap();
        let at_start = list();
        // As soon as anything changed, or after some of what was merged is removed.
        loop {
            let now = list();
            let reached = if round % 2 == 0 { now != at_start } else { now + 3 < at_start };
            if reached {
                signal(&child, "-KILL");
                killed += 1;
                break;
            }
            // An earlier round was killed so late that little was left for this one.
            if child.try_wait().unwrap().is_some() {
                break;
            }
        }
        let (_, text) = finish(child.wait_with_output().unwrap());
        assert!(!text.contains("error") && !text.contains("panicked"), "{text}");
        let (code, text) = run(&verifying);
        assert_eq!(code, 0, "{text}");
        left_over += usize::from(text.contains("tapeline archive compact"));
        assert_eq!(duckdb(&folder), expected);
    }
    println!("{killed} kills, {left_over} of them between a merged file and the end of what it replaces");
    assert!(killed > 0);
    let (code, text) =
        finish(program("5000", &["archive", "compact", "--archive", &archive]).output().unwrap());
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(&verifying);
    assert!(code == 0 && !text.contains("archive compact"), "{text}");
    assert_eq!(duckdb(&folder), expected);
    assert!(data() * 2 < before, "{before} files became {}", data());
    let restored = format!("sqlite:{}", dir.path().join("restored.db").display());
    let (code, text) = run(&["restore", "--archive", &archive, "--store", &restored]);
    assert_eq!(code, 0, "{text}");
    let mut urls = urls;
    urls[5] = restored;
    let (code, text) = run(&with("verify", &urls));
    assert!(code == 0 && text.contains("equal field for field in source, topic, store"), "{text}");
}
