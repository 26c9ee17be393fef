//! The contract of every topic.

use crate::{kafka, kafka_with, unique};
use adapters::topic::sqlite::SqliteTopics;
use ports::batch::Partition;
use ports::topic::{Consumer, Message, Names, PartitionLag, Topics};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 4;

pub(crate) fn suite(topics: &dyn Topics, names: &Names) {
    init_is_safe_to_repeat(topics, names);
    keys_keep_their_order(topics, names);
    a_group_resumes_where_it_committed(topics, names);
    lag_is_known_without_joining_the_group(topics, names);
    the_last_position_of_a_source_is_kept(topics);
    a_group_shares_and_takes_over(topics, names);
    readers_without_a_group_each_see_everything(topics, names);
    a_member_may_leave_at_any_moment(topics, names);
    a_missing_topic_is_named(topics);
}

fn init_is_safe_to_repeat(topics: &dyn Topics, names: &Names) {
    let report = topics.init(&names.specs(PARTITIONS)).unwrap();
    assert!(report.iter().all(|line| line.contains("created")), "{report:?}");
    let report = topics.init(&names.specs(PARTITIONS + 1)).unwrap();
    assert!(report.iter().all(|line| line.contains("exists")), "{report:?}");
}

/// Timestamp of the n-th message. Recent: the broker's retention deletes old ones 30 s after it started.
fn stamp_ms(n: usize) -> i64 {
    static BASE: LazyLock<i64> = LazyLock::new(|| ports::clock::now().millis() - 60_000);
    *BASE + n as i64
}

pub(crate) fn send(topics: &dyn Topics, names: &Names, from: usize, to: usize) {
    let mut producer = topics.producer().unwrap();
    for n in from..to {
        let (topic, key, payload) = (&names.all_records()[n % 2], format!("K{}", n % 7), n.to_string());
        let message = Message {
            topic,
            key: &key,
            headers: &[("kind", b"trade"), ("odd", b"a=1:b")],
            payload: payload.as_bytes(),
            stamp_ms: stamp_ms(n),
        };
        producer.send(&message).unwrap();
    }
    assert_eq!(producer.flush(Duration::from_secs(30)).unwrap(), 0);
}

fn keys_keep_their_order(topics: &dyn Topics, names: &Names) {
    send(topics, names, 0, 700);
    let mut seen: BTreeMap<(u16, Vec<u8>), Vec<usize>> = BTreeMap::new();
    let mut places: BTreeMap<(u16, Vec<u8>), i32> = BTreeMap::new();
    let read = topics
        .read_all(&names.all_records(), &mut |message| {
            let n: usize = std::str::from_utf8(message.payload()).unwrap().parse().unwrap();
            assert_eq!(message.stamp_ms(), stamp_ms(n));
            let mut headers = Vec::new();
            message.headers(&mut |name, value| headers.push((name.to_owned(), value.to_vec())));
            assert_eq!(
                headers,
                [("kind".to_owned(), b"trade".to_vec()), ("odd".to_owned(), b"a=1:b".to_vec())]
            );
            let key = (message.partition().topic, message.key().to_vec());
            assert_eq!(
                *places.entry(key.clone()).or_insert(message.partition().number),
                message.partition().number
            );
            seen.entry(key).or_default().push(n);
        })
        .unwrap();
    assert_eq!((read, seen.len()), (700, 14));
    assert!(seen.values().all(|list| list.is_sorted() && list.len() == 50));
}

/// Fetches until this many have arrived; returns the next offset of each partition, and the payloads.
pub(crate) fn fetch(consumer: &mut dyn Consumer, count: usize) -> (BTreeMap<Partition, i64>, Vec<usize>) {
    let (mut ends, mut got) = (BTreeMap::new(), Vec::new());
    let start = Instant::now();
    while got.len() < count {
        assert!(start.elapsed() < Duration::from_secs(60), "{} of {count} after a minute", got.len());
        consumer
            .fetch(count - got.len(), Duration::from_millis(100), &mut |message| {
                ends.insert(message.partition(), message.offset() + 1);
                got.push(std::str::from_utf8(message.payload()).unwrap().parse().unwrap());
            })
            .unwrap();
    }
    (ends, got)
}

fn a_group_resumes_where_it_committed(topics: &dyn Topics, names: &Names) {
    let group = unique("group");
    let mut first = topics.consumer(&group, &names.all_records()).unwrap();
    let (ends, mut all) = fetch(&mut *first, 300);
    first.commit(&ends.into_iter().collect::<Vec<_>>(), true).unwrap();
    assert_eq!(first.lag().unwrap(), 400);
    drop(first);
    let mut second = topics.consumer(&group, &names.all_records()).unwrap();
    let (ends, rest) = fetch(&mut *second, 400);
    second.commit(&ends.into_iter().collect::<Vec<_>>(), true).unwrap();
    assert_eq!(second.lag().unwrap(), 0);
    all.extend(rest);
    all.sort_unstable();
    assert_eq!(all, (0..700).collect::<Vec<_>>());
    // Paused: nothing arrives; resumed: it does.
    second.pause(true).unwrap();
    send(topics, names, 700, 707);
    let mut paused = 0;
    paused += second.fetch(10, Duration::from_millis(700), &mut |_| {}).unwrap();
    second.pause(false).unwrap();
    assert_eq!(paused, 0);
    assert_eq!(fetch(&mut *second, 7).1.len(), 7);
}

fn lag_is_known_without_joining_the_group(topics: &dyn Topics, names: &Names) {
    let (group, records) = (unique("lag"), names.all_records());
    let all = topics.read_all(&records, &mut |_| {}).unwrap();
    let lag = || topics.partition_lag(&group, &records).unwrap();
    let sum = |lag: &[PartitionLag]| lag.iter().map(PartitionLag::lag).sum::<u64>();
    let before = lag();
    assert!(before.iter().all(|partition| partition.committed.is_none()), "{before:?}");
    assert_eq!((before.len(), sum(&before)), (market::Kind::COUNT * PARTITIONS as usize, all));
    let mut consumer = topics.consumer(&group, &records).unwrap();
    let (ends, _) = fetch(&mut *consumer, 100);
    consumer.commit(&ends.into_iter().collect::<Vec<_>>(), true).unwrap();
    // Asked while a member owns every partition, it takes none away.
    assert_eq!(sum(&lag()), all - 100);
    let chain = topics.check(names, &group);
    assert!(chain.holds(), "{:?}", chain.links());
    assert_eq!(fetch(&mut *consumer, 100).1.len(), 100);
    let chain = topics.check(&Names::new(&unique("absent")), &group);
    assert!(!chain.holds(), "{:?}", chain.links());
}

fn the_last_position_of_a_source_is_kept(topics: &dyn Topics) {
    let mut producer = topics.producer().unwrap();
    let of = |position: &str| position.as_bytes().to_vec();
    let several = BTreeMap::from([("a".to_owned(), of("1")), ("b".to_owned(), of("1"))]);
    producer.save_positions(&several).unwrap();
    producer.save_positions(&BTreeMap::new()).unwrap();
    producer.save_positions(&BTreeMap::from([("a".to_owned(), of("2"))])).unwrap();
    drop(producer);
    let positions = topics.producer().unwrap().positions().unwrap();
    assert_eq!(positions, BTreeMap::from([("a".to_owned(), b"2".to_vec()), ("b".to_owned(), b"1".to_vec())]));
}

fn a_group_shares_and_takes_over(topics: &dyn Topics, names: &Names) {
    let group = unique("shared");
    let lost = Arc::new(Mutex::new(Vec::new()));
    let mut first = topics.consumer(&group, &names.all_records()).unwrap();
    let hook = Arc::clone(&lost);
    first.on_revoke(Box::new(move |partitions| {
        hook.lock().unwrap().extend_from_slice(partitions);
        // The offsets that the hook returns are committed: the next owner starts there.
        partitions.iter().map(|partition| (*partition, 1)).collect()
    }));
    fetch(&mut *first, 1);
    let mut second = topics.consumer(&group, &names.all_records()).unwrap();
    let start = Instant::now();
    let mut firsts: BTreeMap<Partition, i64> = BTreeMap::new();
    while firsts.is_empty() || lost.lock().unwrap().is_empty() {
        let revoked = lost.lock().unwrap().clone();
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{revoked:?} were revoked from the first member, the second was delivered {firsts:?}"
        );
        first.fetch(1_000, Duration::from_millis(50), &mut |_| {}).unwrap();
        second
            .fetch(1_000, Duration::from_millis(50), &mut |message| {
                firsts.entry(message.partition()).or_insert(message.offset());
            })
            .unwrap();
    }
    assert!(firsts.values().all(|offset| *offset == 1), "{firsts:?}");
    let half = lost.lock().unwrap().len();
    let all = market::Kind::COUNT * PARTITIONS as usize;
    assert!((1..all).contains(&half), "{half} of {all} partitions went over");
    drop(first);
    let start = Instant::now();
    // Keys leave some partitions empty, which cannot be observed.
    while firsts.len() < occupied(topics, names) {
        assert!(start.elapsed() < Duration::from_secs(60), "only {} partitions taken over", firsts.len());
        second
            .fetch(1_000, Duration::from_millis(50), &mut |message| {
                firsts.entry(message.partition()).or_insert(message.offset());
            })
            .unwrap();
    }
}

fn occupied(topics: &dyn Topics, names: &Names) -> usize {
    let mut seen = std::collections::BTreeSet::new();
    topics
        .read_all(&names.all_records(), &mut |message| {
            if message.offset() >= 1 {
                seen.insert(message.partition());
            }
        })
        .unwrap();
    seen.len()
}

fn readers_without_a_group_each_see_everything(topics: &dyn Topics, names: &Names) {
    let (mut expected, records) = (Vec::new(), names.all_records());
    topics.read_all(&records, &mut |message| expected.push((message.partition(), message.offset()))).unwrap();
    expected.sort();
    let mut readers = [(); 2].map(|()| topics.consumer("", &records).unwrap());
    for reader in &mut readers {
        let (mut seen, start) = (Vec::new(), Instant::now());
        while seen.len() < expected.len() && start.elapsed() < Duration::from_secs(30) {
            reader
                .fetch(1_000, Duration::from_millis(50), &mut |message| {
                    seen.push((message.partition(), message.offset()));
                })
                .unwrap();
        }
        seen.sort();
        assert!(seen == expected && !seen.is_empty(), "{} of {}", seen.len(), expected.len());
    }
}

/// A member that ends while partitions are being assigned to it no longer gets them.
fn a_member_may_leave_at_any_moment(topics: &dyn Topics, names: &Names) {
    for delay in 0..16 {
        let mut member = topics.consumer(&format!("left-{delay}"), &names.all_records()).unwrap();
        member.fetch(1, Duration::from_millis(delay * 25), &mut |_| {}).unwrap();
    }
}

fn a_missing_topic_is_named(topics: &dyn Topics) {
    let error = topics.consumer("g", &["no.such.topic".to_owned()]).err().unwrap();
    assert!(!error.retryable());
    assert!(error.to_string().contains("no topic `no.such.topic`"), "{error}");
    assert!(error.to_string().contains("tapeline init"), "{error}");
}

#[test]
fn local() {
    let dir = tempfile::tempdir().unwrap();
    suite(&SqliteTopics::new(dir.path().join("topic.db")), &Names::new("t"));
}

/// What a killed member holds is not at its end for the others before they have read it. (In Kafka:
/// `real::the_end_is_not_reached_while_a_killed_member_has_partitions` of the program.)
#[test]
fn what_a_killed_member_holds_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let (topics, names) = (SqliteTopics::new(dir.path().join("topic.db")), Names::new("t"));
    topics.init(&names.specs(PARTITIONS)).unwrap();
    send(&topics, &names, 0, 700);
    let mut killed = topics.consumer("g", &names.all_records()).unwrap();
    fetch(&mut *killed, 1);
    // As after kill -9: neither renewed nor released.
    std::mem::forget(killed);
    let mut next = topics.consumer("g", &names.all_records()).unwrap();
    let mut read = BTreeMap::new();
    let start = Instant::now();
    while !next.is_at_end(&|partition| read.get(&partition).copied()).unwrap() {
        assert!(start.elapsed() < Duration::from_secs(60), "{read:?}");
        next.fetch(1_000, Duration::from_millis(20), &mut |message| {
            read.insert(message.partition(), message.offset() + 1);
        })
        .unwrap();
    }
    assert_eq!(read.values().sum::<i64>(), 700, "{read:?}");
}

#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn kafka_real() {
    let prefix = unique("contract");
    suite(&kafka(&prefix), &Names::new(&prefix));
}

/// A member with a fixed name does not leave its group: it ends, whatever the group is about to tell it.
#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn a_named_member_may_end_at_any_moment() {
    let prefix = unique("named");
    let (topics, names) = (kafka_with(&prefix, "lz4", &[("group.instance.id", "desk")]), Names::new(&prefix));
    topics.init(&names.specs(PARTITIONS)).unwrap();
    let live = &|group: u64, delay: u64| {
        let mut member = topics.consumer(&format!("{prefix}-{group}"), &names.all_records()).unwrap();
        member.fetch(1, Duration::from_millis(delay), &mut |_| {}).unwrap();
    };
    // At once, as a member may take five seconds to end.
    std::thread::scope(|scope| {
        for group in 0..8 {
            scope.spawn(move || (0..5).for_each(|round| live(group, (8 * round + group) * 10)));
        }
    });
}

/// Numbers that a member reads until it has this many.
fn read_on(member: &mut dyn Consumer, wanted: usize) -> Vec<u64> {
    let (start, mut got) = (Instant::now(), Vec::new());
    while got.len() < wanted {
        assert!(start.elapsed() < Duration::from_secs(60), "{} of {wanted}", got.len());
        member
            .fetch(1_000, Duration::from_millis(50), &mut |message| {
                got.push(std::str::from_utf8(message.payload()).unwrap().parse().unwrap());
            })
            .unwrap();
    }
    got.sort_unstable();
    got
}

/// The group takes two requests to join for two members, as after a broker's restart: the one that it removes joins again,
/// and reads what was not committed.
#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn a_named_member_that_the_group_removed_joins_again() {
    let prefix = unique("fenced");
    let (topics, names) = (kafka_with(&prefix, "lz4", &[("group.instance.id", "desk")]), Names::new(&prefix));
    topics.init(&names.specs(PARTITIONS)).unwrap();
    send(&topics, &names, 0, 50);
    let revoked = Arc::new(AtomicUsize::new(0));
    let mut first = topics.consumer(&prefix, &names.all_records()).unwrap();
    let count = Arc::clone(&revoked);
    first.on_revoke(Box::new(move |partitions| {
        count.fetch_add(partitions.len(), Ordering::SeqCst);
        Vec::new()
    }));
    let assignments = first.assignments();
    assert!(read_on(&mut *first, 50).into_iter().eq(0..50));
    // The same name again: the group removes the first one.
    let mut second = topics.consumer(&prefix, &names.all_records()).unwrap();
    read_on(&mut *second, 50);
    drop(second);
    let before = assignments.load(Ordering::SeqCst);
    // Nothing was committed: all is read again, once.
    assert!(read_on(&mut *first, 50).into_iter().eq(0..50));
    assert!(assignments.load(Ordering::SeqCst) > before);
    assert!(revoked.load(Ordering::SeqCst) > 0);
    send(&topics, &names, 50, 80);
    assert!(read_on(&mut *first, 30).into_iter().eq(50..80));
}

/// Two that live take each other's place until one of them ends, with the name in the error.
#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn two_members_of_one_name_end_with_an_error_that_names_it() {
    let prefix = unique("twice");
    let (topics, names) = (kafka_with(&prefix, "lz4", &[("group.instance.id", "desk")]), Names::new(&prefix));
    topics.init(&names.specs(PARTITIONS)).unwrap();
    let mut members = [(); 2].map(|()| topics.consumer(&prefix, &names.all_records()).unwrap());
    let start = Instant::now();
    let error = loop {
        assert!(start.elapsed() < Duration::from_secs(180));
        let ended = members
            .iter_mut()
            .find_map(|member| member.fetch(1, Duration::from_millis(20), &mut |_| {}).err());
        if let Some(error) = ended {
            break error;
        }
    };
    assert!(!error.retryable());
    let wanted = format!("another consumer of group {prefix} uses the instance `desk` too");
    assert!(error.to_string().contains(&wanted), "{error}");
}

#[test]
fn kafka_that_is_away_is_worth_waiting_for() {
    // Nothing listens on the discard port of this address.
    let settings = adapters::topic::kafka::KafkaSettings {
        replication: 1,
        compression: "lz4".into(),
        linger: Duration::from_millis(1),
        instance: String::new(),
        session_timeout: Duration::from_secs(6),
        tls: ports::tls::Tls::default(),
        sasl: adapters::topic::kafka::Sasl::default(),
        properties: BTreeMap::new(),
    };
    let topics = adapters::topic::kafka::KafkaTopics::new(
        "127.0.0.77:9",
        settings,
        "p".into(),
        ports::CancelToken::default(),
    );
    let error = topics.init(&Names::new("t").specs(1)).unwrap_err();
    assert!(error.retryable());
    assert!(error.to_string().contains("kafka://127.0.0.77:9: no broker responds"), "{error}");
}

/// Partitions added to an embedded topic are read by members that run, and by readers without a group.
#[test]
fn partitions_added_to_a_local_topic_are_read_to_their_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("topic.db");
    let (topics, names) = (SqliteTopics::new(&path), Names::new("t"));
    topics.init(&names.specs(2)).unwrap();
    let records = names.all_records();
    send(&topics, &names, 0, 100);
    for group in ["grown", ""] {
        let mut consumer = topics.consumer(group, &records).unwrap();
        let (mut ends, mut got) = fetch(&mut *consumer, 100);
        let partitions = if group.is_empty() { 8 } else { 5 };
        let file = rusqlite::Connection::open(&path).unwrap();
        file.execute("UPDATE topics SET partitions = ?", [partitions]).unwrap();
        // By the end of the partitions that it knows, the member would be done.
        let sent = if group.is_empty() { 300..500 } else { 100..300 };
        send(&topics, &names, sent.start, sent.end);
        let start = Instant::now();
        while consumer.ahead(&|at| ends.get(&at).copied()).unwrap() != Some(0) {
            assert!(start.elapsed() < Duration::from_secs(60), "{group}: {} of {}", got.len(), sent.end);
            consumer
                .fetch(1_000, Duration::from_millis(100), &mut |message| {
                    ends.insert(message.partition(), message.offset() + 1);
                    got.push(std::str::from_utf8(message.payload()).unwrap().parse().unwrap());
                })
                .unwrap();
        }
        got.sort_unstable();
        assert!(got.iter().copied().eq(0..sent.end), "{group}: {} of {}", got.len(), sent.end);
        if !group.is_empty() {
            consumer.commit(&ends.into_iter().collect::<Vec<_>>(), true).unwrap();
            assert_eq!(consumer.lag().unwrap(), 0);
        }
    }
}

/// Large messages arrive a few at a time, whatever number is requested, and all of them arrive.
#[test]
fn a_fetch_from_a_local_topic_is_bounded_in_bytes() {
    const SIZE: usize = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let (topics, names) = (SqliteTopics::new(dir.path().join("topic.db")), Names::new("t"));
    topics.init(&names.specs(PARTITIONS)).unwrap();
    let (topic, payload) = (names.records(market::Kind::TRADE), vec![b'x'; SIZE]);
    let mut producer = topics.producer().unwrap();
    for n in 0..60 {
        let key = format!("K{}", n % 7);
        let message = Message { topic: &topic, key: &key, headers: &[], payload: &payload, stamp_ms: 5 };
        producer.send(&message).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    for group in ["", "g"] {
        let mut consumer = topics.consumer(group, std::slice::from_ref(&topic)).unwrap();
        let (mut fetches, mut all) = (0, 0);
        while all < 60 {
            let mut bytes = 0;
            let wait = Duration::from_secs(5);
            let got = consumer.fetch(10_000, wait, &mut |message| bytes += message.payload().len()).unwrap();
            assert!(got > 0 && bytes <= (16 << 20) + SIZE, "{group}: {got} messages, {bytes} bytes at once");
            all += got;
            fetches += 1;
        }
        assert!(all == 60 && fetches > 3, "{group}: {all} in {fetches}");
    }
}
