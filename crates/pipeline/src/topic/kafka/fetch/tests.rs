use super::records::{Aborted, Head, batches};
use super::wire::{self, Answer, Limits, Want};
use super::{Fetcher, Part, Ready, Trouble};
use crate::batch::Partition;

/// The log segments that a Kafka 4.3.1 kept of two records its own console producer sent, by compression.
const GOLDEN: [(&str, &[u8]); 5] = [
    ("none", include_bytes!("../../../../tests/golden/kafka/none.bin")),
    ("gzip", include_bytes!("../../../../tests/golden/kafka/gzip.bin")),
    ("snappy", include_bytes!("../../../../tests/golden/kafka/snappy.bin")),
    ("lz4", include_bytes!("../../../../tests/golden/kafka/lz4.bin")),
    ("zstd", include_bytes!("../../../../tests/golden/kafka/zstd.bin")),
];

type Read = (i64, String, String, Vec<(String, String)>);

/// All records of some bytes: offset, key, value, headers.
fn read(bytes: &[u8]) -> Result<Vec<Read>, String> {
    let (mut out, mut found, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    batches(bytes, |head, at| found.push((head, at))).map_err(|(_, reason)| reason)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for (head, at) in found {
        let bytes = &bytes[at];
        let mut batch = head.open(bytes, &mut plain)?;
        while let Some(record) = batch.next(bytes, &plain)? {
            let mut headers = Vec::new();
            record.headers.each(|name, value| headers.push((text(name), text(value))));
            out.push((record.offset, text(record.key), text(record.value), headers));
        }
    }
    Ok(out)
}

#[test]
fn records_of_another_client_are_read_however_they_are_compressed() {
    let value = |n: u8| format!(r#"{{"n":{n},"text":"{}"}}"#, "a".repeat(60));
    let headers = |kind: &str, schema: &str| {
        vec![("kind".to_owned(), kind.to_owned()), ("schema".to_owned(), schema.to_owned())]
    };
    let expected = [
        (0, "SPY".to_owned(), value(1), headers("trade", "1")),
        (1, "BAC".to_owned(), value(2), headers("quote", "")),
    ];
    for (compression, bytes) in GOLDEN {
        let found = read(bytes);
        if compression == "zstd" {
            assert!(found.unwrap_err().contains("zstd"));
            continue;
        }
        assert_eq!(found.unwrap(), expected, "{compression}");
        let head = Head::read(bytes).unwrap().unwrap();
        assert_eq!((head.base, head.next, head.length), (0, 2, bytes.len()));
        assert!(head.producer >= 0 && !head.control() && !head.transactional());
    }
}

#[test]
fn a_timestamp_is_the_batchs_and_the_records() {
    let bytes = GOLDEN[0].1;
    let mut batch = Head::read(bytes).unwrap().unwrap().open(bytes, &mut Vec::new()).unwrap();
    let mut stamps = Vec::new();
    while let Some(record) = batch.next(bytes, &[]).unwrap() {
        stamps.push(record.stamp_ms);
    }
    assert_eq!(stamps, [0x01a2_1308_2684, 0x01a2_1308_2691]);
}

#[test]
fn a_batch_cut_short_is_none_and_a_changed_byte_is_found() {
    for (compression, bytes) in GOLDEN {
        for length in 0..bytes.len() {
            assert_eq!(Head::read(&bytes[..length]), Ok(None), "{compression} {length}");
        }
        // Version and all that the checksum covers.
        for at in (16..bytes.len()).filter(|_| compression != "zstd") {
            let mut changed = bytes.to_vec();
            changed[at] ^= 0x10;
            assert!(read(&changed).is_err(), "{compression} {at}");
        }
        for at in 0..16 {
            let mut changed = bytes.to_vec();
            changed[at] ^= 0x80;
            let _ = read(&changed);
        }
    }
}

#[test]
fn a_wrong_record_is_an_error_though_the_checksum_fits() {
    for (compression, bytes) in &GOLDEN[..4] {
        for at in 61..bytes.len() {
            for bits in [0xff, 0x80, 0x01] {
                let mut changed = bytes.to_vec();
                changed[at] ^= bits;
                let checksum = crc32c::crc32c(&changed[21..]).to_be_bytes();
                changed[17..21].copy_from_slice(&checksum);
                if let Ok(found) = read(&changed) {
                    assert!(found.len() <= 2, "{compression} {at}");
                }
            }
        }
    }
    // More records told of than there are.
    let mut changed = GOLDEN[0].1.to_vec();
    changed[60] = 3;
    let checksum = crc32c::crc32c(&changed[21..]).to_be_bytes();
    changed[17..21].copy_from_slice(&checksum);
    assert_eq!(read(&changed).unwrap_err(), "record 1 from its end is cut short");
}

/// A batch of one record at an offset, by a producer.
fn batch(base: i64, producer: i64, attributes: u8, key: &[u8]) -> Vec<u8> {
    let mut bytes = GOLDEN[0].1[..61].to_vec();
    let mut record = vec![0, 0, 0, key.len() as u8 * 2];
    record.extend(key);
    record.extend([0, 0]);
    bytes.push(record.len() as u8 * 2);
    bytes.extend(record);
    let length = bytes.len() as i32 - 12;
    bytes[..8].copy_from_slice(&base.to_be_bytes());
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[22] = attributes;
    bytes[23..27].fill(0);
    bytes[43..51].copy_from_slice(&producer.to_be_bytes());
    bytes[57..61].copy_from_slice(&1_i32.to_be_bytes());
    let checksum = crc32c::crc32c(&bytes[21..]).to_be_bytes();
    bytes[17..21].copy_from_slice(&checksum);
    bytes
}

#[test]
fn records_of_aborted_transactions_and_markers_are_left_out() {
    const IN_TRANSACTION: u8 = 0x10;
    const MARKER: u8 = 0x30;
    let (abort, commit): ([u8; 4], [u8; 4]) = ([0, 0, 0, 0], [0, 0, 0, 1]);
    let log = [
        (batch(0, 7, IN_TRANSACTION, b"lost"), true),
        (batch(1, 8, IN_TRANSACTION, b"kept"), false),
        (batch(2, 7, 0, b"not of a transaction"), false),
        (batch(3, 7, MARKER, &abort), true),
        (batch(4, 7, IN_TRANSACTION, b"kept, as its next one was committed"), false),
        (batch(5, 7, MARKER, &commit), true),
        (batch(6, 7, IN_TRANSACTION, b"lost again"), true),
        (batch(7, 8, MARKER, &commit), true),
    ];
    let mut aborted = Aborted::new(vec![(7, 6), (7, 0)]);
    for (bytes, left_out) in log {
        let head = Head::read(&bytes).unwrap().unwrap();
        assert_eq!(aborted.leaves_out(&head, &bytes), left_out, "offset {}", head.base);
    }
}

#[test]
fn a_request_is_as_the_protocol_says() {
    let names = ["trades".to_owned(), "quotes".to_owned()];
    let wants =
        [(0, 3, 5), (0, 4, 6), (1, 0, -1)].map(|(topic, number, offset)| Want { topic, number, offset });
    let mut out = vec![9; 3];
    wire::request(&mut out, 77, &names, &wants, Limits { wait_ms: 100, bytes: 1_000, partition_bytes: 500 });
    let mut expected: Vec<u8> = Vec::new();
    expected.extend([0, 1, 0, 4, 0, 0, 0, 77, 0, 8]); // Fetch, version 4, number, client
    expected.extend(b"tapeline");
    expected.extend([255, 255, 255, 255, 0, 0, 0, 100, 0, 0, 0, 1, 0, 0, 3, 232, 1]); // a consumer, wait, least, most, committed
    expected.extend([0, 0, 0, 2, 0, 6]);
    expected.extend(b"trades");
    expected.extend([0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 1, 244]);
    expected.extend([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 1, 244, 0, 6]);
    expected.extend(b"quotes");
    expected.extend([0, 0, 0, 1, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 1, 244]);
    assert_eq!(out[..4], (expected.len() as i32).to_be_bytes());
    assert_eq!(out[4..], expected);
}

#[test]
fn a_response_is_read_and_one_cut_short_is_an_error() {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.extend([0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2]);
    bytes.extend([0, 0, 0, 3, 0, 0]);
    bytes.extend([0; 16]);
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 4]); // one aborted: producer 9 from 4 on
    bytes.extend([0, 0, 0, 2]);
    let start = bytes.len();
    bytes.extend(b"xy");
    bytes.extend([0, 0, 0, 4, 0, 1]);
    bytes.extend([255; 16]);
    bytes.extend([255; 8]); // no list, no records
    let names = ["t".to_owned()];
    let end = bytes.len();
    let expected = [
        Answer { topic: 0, number: 3, error: 0, aborted: vec![(9, 4)], records: start..start + 2 },
        Answer { topic: 0, number: 4, error: 1, aborted: vec![], records: end..end },
    ];
    assert_eq!(wire::response(&bytes, &names), Ok((77, expected.to_vec())));
    for length in 0..end {
        assert!(wire::response(&bytes[..length], &names).unwrap_err().contains("cut short"), "{length}");
    }
    assert!(wire::response(&bytes, &[]).unwrap_err().contains("not asked for, `t`"));
}

/// A fetcher that holds one partition, and an answer to it that has come.
fn fetcher(bytes: Vec<u8>, next: i64) -> Fetcher {
    let at = Partition { topic: 0, number: 3 };
    let mut fetcher = Fetcher::new(&["t".to_owned()]);
    fetcher.hold(&[(at, 1)]);
    fetcher.place(at, Some(next));
    answered(&mut fetcher, bytes);
    fetcher
}

fn answered(fetcher: &mut Fetcher, bytes: Vec<u8>) {
    let part = Part { holding: 1, from: 0, to: bytes.len(), aborted: Aborted::default() };
    fetcher.ready.push_back(Ready { bytes, parts: vec![part], at: 0, open: None });
}

fn hand_over(fetcher: &mut Fetcher, max: usize) -> (Vec<i64>, Option<String>) {
    let (mut offsets, mut trouble) = (Vec::new(), None);
    let got = fetcher.hand_over(
        max,
        &mut |message| {
            assert_eq!(message.partition(), Partition { topic: 0, number: 3 });
            offsets.push(message.offset());
        },
        &mut trouble,
    );
    assert_eq!(got, offsets.len());
    let told = trouble.map(|trouble| match trouble {
        Trouble::Told(error) => error.to_string(),
        Trouble::Kafka(topic, error) => format!("{topic}: {error}"),
    });
    (offsets, told)
}

/// The golden batch of two records, and `more` behind it as if they followed.
fn log(more: &[&[u8]]) -> Vec<u8> {
    let mut bytes = GOLDEN[3].1.to_vec();
    more.iter().for_each(|batch| bytes.extend(*batch));
    bytes
}

#[test]
fn an_answer_is_handed_over_in_as_many_calls_as_asked() {
    let third = batch(2, 1, 0, b"K");
    let mut whole = fetcher(log(&[&third, &third[..60]]), 0);
    assert_eq!(hand_over(&mut whole, 1), (vec![0], None));
    assert_eq!(hand_over(&mut whole, 1), (vec![1], None));
    assert_eq!(hand_over(&mut whole, 9), (vec![2], None));
    assert_eq!(hand_over(&mut whole, 9), (vec![], None), "the last one was cut short");
    // A batch is sent whole though only its second record was asked for.
    let mut part = fetcher(log(&[&third]), 1);
    assert_eq!(hand_over(&mut part, 9), (vec![1, 2], None));
    // Sent twice, handed over once.
    answered(&mut part, log(&[&third, &batch(3, 1, 0, b"K")]));
    assert_eq!(hand_over(&mut part, 9), (vec![3], None));
}

#[test]
fn a_broken_batch_is_told_of_and_asked_for_again() {
    let mut broken = batch(2, 1, 0, b"K");
    *broken.last_mut().unwrap() ^= 1;
    let mut fetcher = fetcher(log(&[&broken, &batch(3, 1, 0, b"K")]), 0);
    answered(&mut fetcher, batch(4, 1, 0, b"K"));
    let (offsets, told) = hand_over(&mut fetcher, 9);
    assert_eq!(offsets, [0, 1], "what comes behind it waits for it");
    assert!(told.unwrap().starts_with("t[3] from offset 2 on: checksum "));
    assert_eq!((fetcher.held[0].next, fetcher.held[0].holding), (Some(2), 2));
}

#[test]
fn what_comes_of_a_partition_given_away_is_dropped() {
    let at = Partition { topic: 0, number: 3 };
    let mut fetcher = fetcher(log(&[]), 0);
    assert_eq!(hand_over(&mut fetcher, 1).0, [0]);
    fetcher.hold(&[]);
    assert_eq!(hand_over(&mut fetcher, 9), (vec![], None));
    // Given back, it begins where the group says, and old answers are none of it.
    answered(&mut fetcher, log(&[]));
    fetcher.hold(&[(at, 2)]);
    assert_eq!(fetcher.unplaced(), [(at, false)]);
    fetcher.place(at, Some(7));
    assert_eq!(hand_over(&mut fetcher, 9), (vec![], None));
}
