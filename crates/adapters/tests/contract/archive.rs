//! The contract of archives, run against a folder and S3.

use adapters::archive::folder::FolderArchive;
use adapters::archive::s3::{S3Archive, S3Settings};
use aws::credentials::CredentialChain;
use ports::archive::{Archive, Created};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// `open` opens the same archive again.
fn is_an_archive(open: &(dyn Fn() -> Box<dyn Archive> + Sync)) {
    let archive = open();
    assert!(archive.check().holds(), "{:?}", archive.check().links());
    assert_eq!(archive.list("_ranges/").unwrap(), []);
    assert_eq!(archive.read("kind=trades/none").unwrap(), None);

    // Whole, once, and never changed.
    let name = "kind=trades/date=2013-10-08/bucket=3/t.trades-00003-0-9.parquet";
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n ^ (n >> 8)) as u8).collect();
    assert_eq!(archive.create(name, &bytes).unwrap(), Created::New);
    assert_eq!(archive.create(name, b"other").unwrap(), Created::Existed);
    assert_eq!(open().read(name).unwrap().unwrap(), bytes);
    assert_eq!(archive.create("_ranges/empty.json", b"").unwrap(), Created::New);
    assert_eq!(archive.read("_ranges/empty.json").unwrap().unwrap(), b"");

    // Listings are in the order of names, and a prefix is a folder.
    for index in 0..25 {
        archive.create(&format!("_ranges/t/{:03}.json", index * 7 % 25), b"{}").unwrap();
    }
    archive.create("_ranges/t2/000.json", b"{}").unwrap();
    let found = archive.list("_ranges/t/").unwrap();
    let names: Vec<&str> = found.iter().map(|object| object.name.as_str()).collect();
    let expected: Vec<String> = (0..25).map(|index| format!("_ranges/t/{index:03}.json")).collect();
    assert_eq!(names, expected);
    assert!(found.iter().all(|object| object.bytes == 2));
    assert_eq!(archive.list("").unwrap().len(), 28);
    assert_eq!(archive.list("_none/").unwrap(), []);

    // Of many that create one object, one succeeds.
    let created = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for writer in 0..8_u8 {
            let created = &created;
            scope.spawn(move || {
                let archive = open();
                loop {
                    match archive.create("_ranges/race.json", &[writer; 100_000]) {
                        Ok(Created::New) => created.fetch_add(1, Ordering::SeqCst),
                        Ok(Created::Existed) => break,
                        Err(error) if error.retryable() => continue,
                        Err(error) => panic!("{error}"),
                    };
                    break;
                }
            });
        }
    });
    assert_eq!(created.load(Ordering::SeqCst), 1);
    let winner = archive.read("_ranges/race.json").unwrap().unwrap();
    assert!(winner.len() == 100_000 && winner.iter().all(|byte| *byte == winner[0]));

    // What is removed is gone, and removing it again changes nothing.
    for _ in 0..2 {
        archive.remove("_ranges/t2/000.json").unwrap();
        assert_eq!(archive.read("_ranges/t2/000.json").unwrap(), None);
    }
    assert_eq!(archive.list("_ranges/t/").unwrap().len(), 25);
    assert_eq!(archive.create("_ranges/t2/000.json", b"new").unwrap(), Created::New);

    for name in ["../outside", "/etc/x", "a b", ""] {
        assert!(archive.create(name, b"").is_err() && archive.remove(name).is_err(), "{name}");
    }
}

#[test]
fn folder() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("new/archive");
    is_an_archive(&|| Box::new(FolderArchive::new(&root)));
    // Nothing unfinished is left, and what is unfinished is not an object.
    assert_eq!(std::fs::read_dir(root.join(".unfinished")).unwrap().count(), 0);
    std::fs::write(root.join(".unfinished/1-2-3"), "part").unwrap();
    assert!(FolderArchive::new(&root).list("").unwrap().iter().all(|object| !object.name.contains("part")));
}

/// An S3 server that checks signatures: that of `TAPELINE_TEST_S3` (`http://HOST:PORT/BUCKET`, with the keys `test` and
/// `test`), or moto, which ends with its standard input.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    moto: Option<Child>,
}

impl Server {
    pub(crate) fn start() -> Self {
        if let Ok(url) = std::env::var("TAPELINE_TEST_S3") {
            return Self { url, access_key: "test".to_owned(), secret_key: "test".to_owned(), moto: None };
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3.py");
        let mut command = Command::new(crate::server("TAPELINE_TEST_PYTHON"));
        let mut moto = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(moto.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let [port, access_key, secret_key] =
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
        Self { url: format!("http://127.0.0.1:{port}/tapes"), access_key, secret_key, moto: Some(moto) }
    }

    fn open(&self, prefix: &str, secret_key: &str) -> S3Archive {
        let (endpoint, bucket) = self.url.rsplit_once('/').unwrap();
        let (access_key, secret_key) = (self.access_key.clone(), secret_key.to_owned());
        let credentials = CredentialChain::new(Box::new(move |name| match name {
            "AWS_ACCESS_KEY_ID" => Some(access_key.clone()),
            "AWS_SECRET_ACCESS_KEY" => Some(secret_key.clone()),
            _ => None,
        }));
        let settings = S3Settings { region: "us-east-1".to_owned(), endpoint: endpoint.to_owned() };
        S3Archive::new(bucket, prefix, &settings, credentials).unwrap()
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

#[test]
#[ignore = "needs an S3 server: cargo xtask test"]
fn s3_server() {
    let (server, prefix) = (Server::start(), crate::unique("contract"));
    is_an_archive(&|| Box::new(server.open(&prefix, &server.secret_key)));
    // Listings have pages of 1,000.
    let archive = server.open(&crate::unique("pages"), &server.secret_key);
    for index in 0..1_050 {
        archive.create(&format!("_ranges/{index:05}.json"), b"{}").unwrap();
    }
    let found = archive.list("_ranges/").unwrap();
    assert_eq!(found.len(), 1_050);
    assert!(found.windows(2).all(|pair| pair[0].name < pair[1].name));

    let error = server.open(&prefix, "hush").create("a", b"b").unwrap_err();
    let text = error.to_string();
    assert!(!error.retryable() && text.contains("SignatureDoesNotMatch") && !text.contains("hush"), "{text}");
}
