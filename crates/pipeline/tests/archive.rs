//! The archive's run loop on an SQLite topic and a folder: ranges, retries, damage, restore.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "archive/compact.rs"]
mod compact;

use adapters::archive::folder::FolderArchive;
use adapters::store::sqlite::SqliteStore;
use adapters::topic::sqlite::SqliteTopics;
use market::Kind;
use pipeline::archive::layout::{MANIFESTS, OBJECTS, RANGES, RangeName};
use pipeline::archive::{self, ArchiveReport, ArchiveSettings, read, restore};
use pipeline::verify::{self, Only};
use ports::archive::{Archive, Created, ObjectInfo};
use ports::check::Chain;
use ports::store::Store;
use ports::telemetry::Telemetry;
use ports::topic::{Message, Names, Topics};
use ports::{CancelToken, Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

struct Place {
    dir: tempfile::TempDir,
    topics: SqliteTopics,
    names: Names,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (topics, names) = (SqliteTopics::new(dir.path().join("t.db")), Names::new("t"));
        topics.init(&names.specs(2)).unwrap();
        Self { dir, topics, names }
    }

    /// Publishes trades with the ids of a range, of three symbols and two days in turn.
    fn publish(&self, ids: std::ops::Range<usize>) {
        let mut producer = self.topics.producer().unwrap();
        for id in ids {
            let symbol = ["A", "B", "C"][id % 3];
            let ts = 1_381_190_400_000_000_000_i64 + (id as i64 % 2) * 86_400_000_000_000 + id as i64;
            let text = format!(
                r#"{{"symbol":"{symbol}","feed":"f","venue":"P","id":"{id}","ts":{ts},"recv_ts":{ts},"price":"1.{id}","size":"1","conditions":["@"]}}"#
            );
            let (topic, headers) =
                (self.names.records(Kind::TRADE), [("kind", &b"trade"[..]), ("schema", b"1")]);
            let payload = text.as_bytes();
            let stamp_ms = 1_381_190_400_000 + id as i64;
            producer
                .send(&Message { topic: &topic, key: symbol, headers: &headers, payload, stamp_ms })
                .unwrap();
        }
        producer.flush(Duration::from_secs(10)).unwrap();
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("archive")
    }

    fn archive(&self) -> FolderArchive {
        FolderArchive::new(self.folder())
    }

    fn run(&self, archive: &dyn Archive, rows: usize) -> Result<ArchiveReport> {
        self.run_as("g", archive, rows)
    }

    fn run_as(&self, group: &str, archive: &dyn Archive, rows: usize) -> Result<ArchiveReport> {
        let settings = ArchiveSettings {
            names: self.names.clone(),
            group: group.to_owned(),
            cycle: 10,
            rows,
            age: Duration::from_secs(3_600),
            memory: 1 << 30,
        };
        let (telemetry, stop) = (Arc::new(Telemetry::default()), CancelToken::default());
        archive::run(&self.topics, archive, &settings, &telemetry, &stop, &AtomicBool::new(true))
    }

    /// Fails unless the archive is sound and holds the records of the topic.
    fn assert_equal(&self) {
        let stop = CancelToken::default();
        let found = read::content(&self.archive(), &self.names, &Only::default(), &stop).unwrap();
        assert_eq!((found.faults, found.notes), (Vec::<String>::new(), Vec::<String>::new()));
        assert_eq!(found.records.repeats, 0);
        let topic = verify::topic(&self.topics, &self.names, &Only::default()).unwrap();
        assert_eq!(found.records.content(), topic.records.content());
    }

    fn faults(&self) -> Vec<String> {
        let stop = CancelToken::default();
        read::content(&self.archive(), &self.names, &Only::default(), &stop).unwrap().faults
    }

    fn objects(&self) -> Vec<String> {
        let found = self.archive().list("").unwrap();
        found.into_iter().map(|object| object.name).filter(|name| name.starts_with(OBJECTS)).collect()
    }
}

/// A folder whose creations and removals fail from the `left`-th on, before or after the object appears or vanishes.
struct Failing {
    inner: FolderArchive,
    left: AtomicI64,
    after: bool,
}

impl Failing {
    fn step<T>(&self, f: impl Fn() -> Result<T>) -> Result<T> {
        if self.left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return f();
        }
        if self.after {
            f()?;
        }
        Err(Error::user("stopped here"))
    }
}

impl Archive for Failing {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created> {
        self.step(|| self.inner.create(name, bytes))
    }
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.inner.read(name)
    }
    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.inner.list(prefix)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.step(|| self.inner.remove(name))
    }
    fn check(&self) -> Chain {
        self.inner.check()
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[test]
fn every_record_is_archived_once_and_a_second_run_changes_nothing() {
    let place = Place::new();
    place.publish(0..1_000);
    let report = place.run(&place.archive(), 100).unwrap();
    assert_eq!((report.records, report.open, report.existed), (1_000, 0, 0));
    assert!(report.ranges >= 10, "{report:?}");
    place.assert_equal();
    let before = place.archive().list("").unwrap();
    assert_eq!(place.run(&place.archive(), 100).unwrap(), ArchiveReport::default());
    // Another group begins at the start of the topic and skips everything.
    assert_eq!(place.run_as("other", &place.archive(), 100).unwrap(), ArchiveReport::default());
    assert_eq!(place.archive().list("").unwrap(), before);
    place.publish(1_000..1_500);
    assert_eq!(place.run_as("other", &place.archive(), 100).unwrap().records, 500);
    place.assert_equal();
}

#[test]
fn stopped_at_every_step_it_leaves_no_double_and_no_gap() {
    for after in [false, true] {
        let place = Place::new();
        place.publish(0..300);
        let mut stops = 0;
        for step in 0.. {
            // Other limits every time: what was begun still ends where its claim says.
            let rows = [40, 25, 60][step % 3];
            let left = AtomicI64::new((step % 7) as i64);
            let failing = Failing { inner: place.archive(), left, after };
            match place.run(&failing, rows) {
                Ok(_) => break,
                Err(error) => assert!(error.to_string().contains("stopped here"), "{error}"),
            }
            stops += 1;
            assert!(stops < 500, "no progress");
        }
        assert!(stops > 10, "{stops}");
        place.assert_equal();
    }
}

#[test]
fn a_retry_with_the_same_limits_writes_the_same_bytes() {
    let (one, two) = (Place::new(), Place::new());
    for place in [&one, &two] {
        place.publish(0..200);
    }
    one.run(&one.archive(), 50).unwrap();
    let failing = Failing { inner: two.archive(), left: AtomicI64::new(3), after: true };
    two.run(&failing, 50).unwrap_err();
    two.run(&two.archive(), 50).unwrap();
    let bytes = |place: &Place| -> BTreeSet<(String, Vec<u8>)> {
        place
            .objects()
            .into_iter()
            .map(|name| (name.clone(), place.archive().read(&name).unwrap().unwrap()))
            .collect()
    };
    assert_eq!(bytes(&one), bytes(&two));
}

#[test]
fn members_of_one_group_share_the_partitions() {
    let place = Place::new();
    place.publish(0..2_000);
    std::thread::scope(|scope| {
        let members: Vec<_> =
            (0..2).map(|_| scope.spawn(|| place.run(&place.archive(), 30).unwrap())).collect();
        for member in members {
            member.join().unwrap();
        }
    });
    // Whoever ended first may have left the other's partitions to be read.
    place.run(&place.archive(), 30).unwrap();
    place.assert_equal();
}

#[test]
fn damage_is_found_and_named() {
    let place = Place::new();
    place.publish(0..400);
    place.run(&place.archive(), 50).unwrap();
    place.assert_equal();
    let objects = place.objects();
    let path = |name: &str| place.folder().join(name);
    // One flipped bit in the middle.
    let name = &objects[1];
    let whole = std::fs::read(path(name)).unwrap();
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path(name), &bytes).unwrap();
    let faults = place.faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains(name) && faults[0].contains("damaged"), "{faults:?}");
    std::fs::write(path(name), &whole).unwrap();
    place.assert_equal();
    // A missing object, a stray one, a missing manifest.
    std::fs::rename(path(name), place.dir.path().join("kept")).unwrap();
    let faults = place.faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains(name) && faults[0].contains("missing"), "{faults:?}");
    std::fs::rename(place.dir.path().join("kept"), path(name)).unwrap();
    let stray = name.replace("-0000000000000000", "-0000000000000001");
    std::fs::copy(path(name), path(&stray)).unwrap();
    let faults = place.faults();
    assert!(faults.iter().any(|fault| fault.contains("in no manifest")), "{faults:?}");
    std::fs::remove_file(path(&stray)).unwrap();
    let manifests = place.archive().list(MANIFESTS).unwrap();
    let manifest = path(&manifests[1].name);
    let whole = std::fs::read(&manifest).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    let faults = place.faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("begun and not complete"), "{faults:?}");
    // A manifest that was cut: the rest of the archive is read.
    std::fs::write(&manifest, &whole[..whole.len() / 2]).unwrap();
    let stop = CancelToken::default();
    let found = read::content(&place.archive(), &place.names, &Only::default(), &stop).unwrap();
    assert_eq!(found.faults.len(), 1, "{:?}", found.faults);
    assert!(found.faults[0].contains(&manifests[1].name) && found.faults[0].contains("damaged"));
    let read: u64 = found.records.content().values().map(|digest| digest.count).sum();
    assert!((300..400).contains(&read), "{read}");
    // A range of which nothing is left.
    std::fs::remove_file(&manifest).unwrap();
    let range = RangeName::of_manifest(&manifests[1].name).unwrap();
    std::fs::remove_file(path(&range.claim_name())).unwrap();
    let faults = place.faults();
    assert!(faults.iter().any(|fault| fault.contains("is not followed by")), "{faults:?}");
}

#[test]
fn stray_files_are_named() {
    let place = Place::new();
    place.publish(0..200);
    place.run(&place.archive(), 50).unwrap();
    let original = &place.objects()[0];
    let (folder, file) = original.rsplit_once('/').unwrap();
    let manifest = &place.archive().list(MANIFESTS).unwrap()[0].name;
    let claim = &place.archive().list(RANGES).unwrap()[0].name;
    for (from, stray) in [
        (original, format!("{folder}/stray.parquet")),
        (original, format!("{folder}/stray (copy).parquet")),
        (original, "x.parquet".to_owned()),
        (original, format!("{OBJECTS}trades/{file}")),
        (original, format!("{folder}/{}", file.replace("t.trades", "other.trades"))),
        (original, format!("{folder}/_SUCCESS")),
        (manifest, format!("{MANIFESTS}copy.json")),
        (manifest, manifest.replace(".json", "-copy.json")),
        (claim, claim.replace(".json", "-copy.json")),
    ] {
        let path = place.folder().join(&stray);
        std::fs::copy(place.folder().join(from), &path).unwrap();
        let faults = place.faults();
        assert_eq!(faults.len(), 1, "{stray}: {faults:?}");
        assert!(faults[0].contains(&stray) && faults[0].contains("stray"), "{stray}: {faults:?}");
        // Whoever archives is not disturbed.
        assert_eq!(place.run(&place.archive(), 50).unwrap(), ArchiveReport::default(), "{stray}");
        std::fs::remove_file(path).unwrap();
    }
    place.assert_equal();
}

#[test]
fn what_is_missing_is_written_again_from_the_topic() {
    let place = Place::new();
    place.publish(0..1_000);
    place.run(&place.archive(), 50).unwrap();
    let list = |prefix: &str| -> Vec<String> {
        place.archive().list(prefix).unwrap().into_iter().map(|object| object.name).collect()
    };
    let bytes = || -> Vec<(String, Vec<u8>)> {
        list("")
            .into_iter()
            .map(|name| (name.clone(), place.archive().read(&name).unwrap().unwrap()))
            .collect()
    };
    let before = bytes();
    let (manifests, claims, objects) = (list(MANIFESTS), list(RANGES), place.objects());
    for missing in [
        vec![&manifests[1]],
        // The last of each partition, which the group has read past too.
        manifests.iter().collect(),
        vec![&objects[0]],
        vec![&objects[2], &objects[3], &manifests[0]],
        vec![claims.last().unwrap()],
        vec![&claims[0], &claims[1], &objects[1]],
        objects.iter().chain(&manifests).collect(),
    ] {
        for name in &missing {
            std::fs::remove_file(place.folder().join(name)).unwrap();
        }
        assert!(!place.faults().is_empty(), "{missing:?}");
        let report = place.run(&place.archive(), 70).unwrap();
        assert_eq!(report.incomplete, Vec::<String>::new(), "{missing:?}");
        assert!(bytes() == before, "{missing:?}");
        place.assert_equal();
    }
    // Damage is named, nothing is overwritten, and the rest is written.
    std::fs::remove_file(place.folder().join(&manifests[0])).unwrap();
    std::fs::write(place.folder().join(&manifests[1]), b"{").unwrap();
    place.publish(1_000..1_100);
    let report = place.run(&place.archive(), 50).unwrap();
    assert_eq!(report.incomplete.len(), 1, "{report:?}");
    assert!(report.incomplete[0].contains(&manifests[1]), "{report:?}");
    assert_eq!(place.faults().len(), 1);
    std::fs::remove_file(place.folder().join(&manifests[1])).unwrap();
    assert_eq!(place.run(&place.archive(), 50).unwrap().incomplete.len(), 0);
    place.assert_equal();
}

#[test]
fn what_is_not_an_archive_is_refused() {
    let place = Place::new();
    place.publish(0..10);
    place.run(&place.archive(), 50).unwrap();
    let stop = CancelToken::default();
    let (file, empty) = (place.dir.path().join("file"), place.dir.path().join("empty"));
    std::fs::write(&file, b"x").unwrap();
    std::fs::create_dir(&empty).unwrap();
    let (none, other) = (place.dir.path().join("none"), Names::new("other"));
    for (folder, names, part) in [
        (&none, &place.names, "no such folder"),
        (&empty, &place.names, "is not an archive"),
        (&file, &place.names, "expected a folder, found a file"),
        (&place.folder(), &other, "it holds t.trades"),
    ] {
        let error = read::inventory(&FolderArchive::new(folder), names, &stop).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = place.run_as("new", &FolderArchive::new(&file), 50).unwrap_err();
    assert!(error.to_string().contains("expected a folder"), "{error}");
}

#[test]
fn restoring_gives_the_records_of_the_topic() {
    let place = Place::new();
    place.publish(0..900);
    // A second version of a record: the store keeps the later one, whichever is written first.
    place.publish(5..6);
    place.run(&place.archive(), 70).unwrap();
    let store = SqliteStore::new(place.dir.path().join("s.db"));
    store.init().unwrap();
    let (telemetry, stop) = (Telemetry::default(), CancelToken::default());
    let restore = |only: &Only| {
        let inventory = read::inventory(&place.archive(), &place.names, &stop).unwrap();
        restore::run(&place.archive(), inventory, &store, only, &telemetry, &stop).unwrap()
    };
    for round in 1..=2 {
        let report = restore(&Only::default());
        assert_eq!((report.records, report.faults.len(), report.refused.len()), (901 * round, 0, 0));
        let stored = verify::store(&store, &Only::default()).unwrap();
        let topic = verify::topic(&place.topics, &place.names, &Only::default()).unwrap();
        assert_eq!(stored, topic.records.content());
    }
}

#[test]
fn a_group_ahead_of_the_archive_and_another_topic_are_refused() {
    let place = Place::new();
    place.publish(0..100);
    place.run(&place.archive(), 50).unwrap();
    let empty = FolderArchive::new(place.dir.path().join("empty"));
    let error = place.run(&empty, 50).unwrap_err().to_string();
    assert!(error.contains("group g has read t.trades/") && error.contains("--group"), "{error}");
    assert_eq!(place.run_as("new", &empty, 50).unwrap().records, 100);
    let other = Place::new();
    other.publish(0..10);
    let error = other.run(&place.archive(), 50).unwrap_err().to_string();
    assert!(error.contains("the topic ends at"), "{error}");
}

#[test]
fn messages_that_are_not_records_are_counted() {
    let place = Place::new();
    place.publish(0..10);
    let topic = place.names.records(Kind::TRADE);
    let mut producer = place.topics.producer().unwrap();
    producer.send(&Message { topic: &topic, key: "A", headers: &[], payload: b"\xff", stamp_ms: 1 }).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    let report = place.run(&place.archive(), 100).unwrap();
    assert_eq!((report.records, report.unreadable), (10, 1));
    place.assert_equal();
    let claims = place.archive().list(RANGES).unwrap();
    assert!(!claims.is_empty() && Path::new(&place.folder()).is_dir());
}
