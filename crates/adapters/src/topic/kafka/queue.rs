//! Fetches messages in batches.
//!
//! The binding returns one message per call, each through an event of its own: half of the cost of reading.
//! librdkafka itself can return an array. So the partitions' messages are forwarded to a queue of our own and
//! read from there, and the binding's queue is left with the group's events.
#![allow(unsafe_code, reason = "librdkafka's batch interface is not in the safe binding")]

use ports::batch::Partition;
use ports::topic::Fetched;
use rdkafka::bindings as rd;
use rdkafka::types::RDKafka;
use rustc_hash::FxHashMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;

/// Maximum number of messages per call; fewer if they are large.
const CHUNK: usize = 128;
/// Payload bytes after which a fetch returns, even with fewer messages.
const MAX_BYTES: usize = 8 << 20;

/// The queue that all assigned partitions are forwarded to.
pub(super) struct Queue {
    queue: *mut rd::rd_kafka_queue_t,
    messages: Vec<*mut rd::rd_kafka_message_t>,
    /// Size of the largest message of the last call: the next one requests about as many as fit.
    largest: usize,
}

// SAFETY: librdkafka's queues may be used from any thread; the pointers in `messages` live only within one call.
unsafe impl Send for Queue {}
// SAFETY: the methods that touch `messages` take `&mut self`; forwarding is locked by librdkafka.
unsafe impl Sync for Queue {}

impl Queue {
    /// Creates a queue of a client, which must outlive it.
    pub(super) fn new(client: *mut RDKafka) -> Self {
        // SAFETY: `client` is a live client.
        let queue = unsafe { rd::rd_kafka_queue_new(client) };
        Self { queue, messages: vec![ptr::null_mut(); CHUNK], largest: MAX_BYTES / CHUNK }
    }

    /// Another handle to the queue, to forward partitions from a callback.
    pub(super) fn address(&self) -> Address {
        Address(self.queue)
    }

    /// Passes at most `max` messages to the sink, waiting up to `wait_ms` for the first. Returns the first
    /// error among them as its code and topic.
    pub(super) fn take(
        &mut self,
        max: usize,
        wait_ms: i32,
        names: &[String],
        handed: &mut FxHashMap<Partition, (i64, i32)>,
        sink: &mut dyn FnMut(&dyn Fetched),
    ) -> (usize, Vec<Failure>) {
        let mut place = Place { topic: ptr::null_mut(), number: 0 };
        let (mut got, mut bytes, mut failed) = (0, 0, Vec::new());
        let mut last: Option<(Partition, (i64, i32))> = None;
        while got < max && bytes < MAX_BYTES {
            let room = ((MAX_BYTES - bytes) / self.largest.max(1)).clamp(1, CHUNK);
            let mut count = self.fill((max - got).min(room), 0);
            if count == 0 && got == 0 && wait_ms > 0 {
                // Given room for more, librdkafka would wait for more; one is enough to proceed.
                count = self.fill(1, wait_ms);
            }
            if count == 0 {
                break;
            }
            self.largest = 0;
            for index in 0..count {
                let message = Raw { message: self.messages[index], place: 0 };
                // SAFETY: librdkafka filled in `count` messages, ours until destroyed below.
                let head = unsafe { &*message.message };
                if head.err == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    let message = Raw { place: place.of(head.rkt, names), ..message };
                    let partition = message.partition();
                    if let Some((other, end)) = last.filter(|(other, _)| *other != partition) {
                        handed.insert(other, end);
                    }
                    // SAFETY: the message is alive.
                    let epoch = unsafe { rd::rd_kafka_message_leader_epoch(message.message) };
                    last = Some((partition, (head.offset + 1, epoch)));
                    sink(&message);
                    got += 1;
                    bytes += head.len;
                    self.largest = self.largest.max(head.len);
                } else {
                    failed.push(Failure { code: head.err, topic: name(head.rkt), number: head.partition });
                }
                // SAFETY: it is ours, and nothing refers to it any longer: the sink could only borrow it.
                unsafe { rd::rd_kafka_message_destroy(message.message) };
            }
            if !failed.is_empty() {
                break;
            }
        }
        if let Some((partition, end)) = last {
            handed.insert(partition, end);
        }
        (got, failed)
    }

    fn fill(&mut self, max: usize, wait_ms: i32) -> usize {
        let room = max.min(self.messages.len());
        // SAFETY: the array has room for that many pointers.
        let count = unsafe {
            rd::rd_kafka_consume_batch_queue(self.queue, wait_ms, self.messages.as_mut_ptr(), room)
        };
        usize::try_from(count).unwrap_or(0)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_queue_new`; partitions still forwarded to it hold references of their own.
        unsafe { rd::rd_kafka_queue_destroy(self.queue) };
    }
}

/// Target to which partitions are forwarded.
#[derive(Clone, Copy)]
pub(super) struct Address(*mut rd::rd_kafka_queue_t);

// SAFETY: forwarding is locked by librdkafka.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

impl Address {
    /// Forwards a partition's messages to this queue. Must be called before the partition is assigned, so
    /// that no message bypasses the queue, and only while the queue lives.
    pub(super) fn forward(self, client: *mut RDKafka, topic: &str, number: i32) {
        let Ok(topic) = CString::new(topic) else { return };
        // SAFETY: the client is alive, the name is NUL-terminated, and the partition's handle is released
        // again.
        unsafe {
            let partition = rd::rd_kafka_queue_get_partition(client, topic.as_ptr(), number);
            if !partition.is_null() {
                rd::rd_kafka_queue_forward(partition, self.0);
                rd::rd_kafka_queue_destroy(partition);
            }
        }
    }
}

/// An error that arrived instead of a message.
pub(super) struct Failure {
    pub(super) code: rd::rd_kafka_resp_err_t,
    pub(super) topic: String,
    pub(super) number: i32,
}

/// Topic name of a message that has not been destroyed; an error may have none.
fn name(topic: *mut rd::rd_kafka_topic_t) -> String {
    if topic.is_null() {
        return String::new();
    }
    // SAFETY: a message's topic handle lives as long as the message, and its name is NUL-terminated.
    let name = unsafe { CStr::from_ptr(rd::rd_kafka_topic_name(topic)) };
    name.to_string_lossy().into_owned()
}

/// The last topic seen and its index among the names: names repeat in long runs.
struct Place {
    topic: *mut rd::rd_kafka_topic_t,
    number: u16,
}

impl Place {
    fn of(&mut self, topic: *mut rd::rd_kafka_topic_t, names: &[String]) -> u16 {
        if topic != self.topic {
            let name = name(topic);
            let found = names.iter().position(|candidate| *candidate == name);
            (self.topic, self.number) = (topic, found.unwrap_or(0) as u16);
        }
        self.number
    }
}

struct Raw {
    message: *mut rd::rd_kafka_message_t,
    place: u16,
}

impl Raw {
    fn head(&self) -> &rd::rd_kafka_message_t {
        // SAFETY: a `Raw` exists only while its message is not destroyed.
        unsafe { &*self.message }
    }
}

/// Bytes owned by C.
///
/// # Safety
/// `start` is null or points to `length` bytes that live as long as `'a`.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> &'a [u8] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: guaranteed by the caller.
    unsafe { std::slice::from_raw_parts(start.cast(), length) }
}

impl Fetched for Raw {
    fn partition(&self) -> Partition {
        Partition { topic: self.place, number: self.head().partition }
    }
    fn offset(&self) -> i64 {
        self.head().offset
    }
    fn stamp_ms(&self) -> i64 {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        unsafe { rd::rd_kafka_message_timestamp(self.message, &mut kind) }.max(0)
    }
    fn key(&self) -> &[u8] {
        // SAFETY: key and length are librdkafka's, and live as long as the message.
        unsafe { bytes(self.head().key, self.head().key_len) }
    }
    fn payload(&self) -> &[u8] {
        // SAFETY: payload and length are librdkafka's, and live as long as the message.
        unsafe { bytes(self.head().payload, self.head().len) }
    }
    fn headers(&self, f: &mut dyn FnMut(&str, &[u8])) {
        let ok = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive; it keeps ownership of the headers.
        if unsafe { rd::rd_kafka_message_headers(self.message, &mut headers) } != ok {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null::<c_char>(), ptr::null::<c_void>(), 0);
            // SAFETY: the headers are alive; past the last one the call returns an error and sets nothing.
            let (name, value) = unsafe {
                if rd::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size) != ok {
                    return;
                }
                (CStr::from_ptr(name), bytes(value, size))
            };
            f(name.to_str().unwrap_or_default(), value);
        }
    }
}
