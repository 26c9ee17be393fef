//! The one request that is made of brokers here: Fetch, version 4
//! (<https://kafka.apache.org/protocol.html#The_Messages_Fetch>), which every broker since Kafka 0.11 answers.

use std::ops::Range;

const FETCH: i16 = 1;
const VERSION: i16 = 4;
/// Only what is committed: records of open transactions are not sent, those of aborted ones are named.
const READ_COMMITTED: i8 = 1;

/// What is asked of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The topic, by its place among the names.
    pub topic: u16,
    /// The partition's number.
    pub number: i32,
    /// The first offset wanted.
    pub offset: i64,
}

/// How much a broker sends at once and how long it waits to have anything.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Milliseconds.
    pub wait_ms: i32,
    /// Bytes of one answer; the first batch is sent whole whatever its size.
    pub bytes: i32,
    /// Bytes of one partition in it.
    pub partition_bytes: i32,
}

/// Writes a request, its length before it. Wants of one topic stand together.
pub fn request(out: &mut Vec<u8>, number: i32, names: &[String], wants: &[Want], limits: Limits) {
    out.clear();
    out.extend([0; 4]);
    out.extend(FETCH.to_be_bytes());
    out.extend(VERSION.to_be_bytes());
    out.extend(number.to_be_bytes());
    text(out, "tapeline");
    out.extend((-1_i32).to_be_bytes());
    out.extend(limits.wait_ms.to_be_bytes());
    out.extend(1_i32.to_be_bytes());
    out.extend(limits.bytes.to_be_bytes());
    out.extend(READ_COMMITTED.to_be_bytes());
    let of_topics = || wants.chunk_by(|a, b| a.topic == b.topic);
    out.extend((of_topics().count() as i32).to_be_bytes());
    for wants in of_topics() {
        text(out, &names[wants[0].topic as usize]);
        out.extend((wants.len() as i32).to_be_bytes());
        for want in wants {
            out.extend(want.number.to_be_bytes());
            out.extend(want.offset.to_be_bytes());
            out.extend(limits.partition_bytes.to_be_bytes());
        }
    }
    let length = out.len() as i32 - 4;
    out[..4].copy_from_slice(&length.to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    // Topic names have 249 bytes at the most.
    out.extend((text.len() as i16).to_be_bytes());
    out.extend(text.as_bytes());
}

/// What came of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The topic, by its place among the names.
    pub topic: u16,
    /// The partition's number.
    pub number: i32,
    /// Kafka's error code, 0 for none.
    pub error: i16,
    /// Transactions aborted within what came: producer and first offset.
    pub aborted: Vec<(i64, i64)>,
    /// Where its record batches lie in the response.
    pub records: Range<usize>,
}

/// The number of the request that a response (without its length) answers, and what came of each partition.
///
/// # Errors
/// It is not what a broker answers.
pub fn response(bytes: &[u8], names: &[String]) -> Result<(i32, Vec<Answer>), String> {
    let mut reader = Reader { bytes, at: 0 };
    read(&mut reader, names).ok_or_else(|| format!("a response cut short at byte {}", reader.at))?
}

fn read(reader: &mut Reader<'_>, names: &[String]) -> Option<Result<(i32, Vec<Answer>), String>> {
    let number = reader.int()?;
    let _throttled_ms = reader.int()?;
    let mut answers = Vec::new();
    for _ in 0..reader.int()? {
        let length = i16::from_be_bytes(reader.array()?);
        let name = reader.take(usize::try_from(length).ok()?)?;
        let name = &reader.bytes[name];
        let Some(topic) = names.iter().position(|candidate| candidate.as_bytes() == name) else {
            return Some(Err(format!(
                "an answer of a topic not asked for, `{}`",
                String::from_utf8_lossy(name)
            )));
        };
        for _ in 0..reader.int()? {
            let (partition, error) = (reader.int()?, i16::from_be_bytes(reader.array()?));
            let _high_watermark = reader.long()?;
            let _last_stable = reader.long()?;
            let mut aborted = Vec::new();
            for _ in 0..reader.int()? {
                aborted.push((reader.long()?, reader.long()?));
            }
            let records = reader.int()?.max(0) as usize;
            let records = reader.take(records)?;
            answers.push(Answer { topic: topic as u16, number: partition, error, aborted, records });
        }
    }
    Some(Ok((number, answers)))
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let range = self.at..end;
        self.at = end;
        Some(range)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let range = self.take(N)?;
        self.bytes[range].try_into().ok()
    }

    fn int(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }
}
