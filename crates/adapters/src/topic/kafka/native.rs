//! The few librdkafka calls that its safe binding lacks: topic ids, leader epochs and tokens.
#![allow(
    unsafe_code,
    reason = "librdkafka's topic ids, leader epochs and tokens are not in the safe binding"
)]

use rdkafka::bindings as rd;
use rdkafka::client::OAuthToken;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafka;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

/// Value of an unknown leader epoch.
pub(super) const NO_EPOCH: i32 = -1;

/// The partition of a key by the partitioner that the producer uses, which is the Java client's.
pub(super) fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let (none, nobody) = (std::ptr::null(), std::ptr::null_mut());
    // SAFETY: the key is as long as said; the partitioner reads nothing else.
    unsafe {
        rd::rd_kafka_msg_partitioner_murmur2(
            none,
            key.as_ptr().cast(),
            key.len(),
            partitions.max(1),
            nobody,
            nobody,
        )
    }
}

/// Sets the leader epoch of a partition in a list, so that librdkafka validates the offset against it.
pub(super) fn set_epoch(list: &TopicPartitionList, topic: &str, partition: i32, epoch: i32) {
    let Ok(topic) = CString::new(topic) else { return };
    // SAFETY: the list lives, the name ends with a zero, and the element found belongs to the list.
    unsafe {
        let element = rd::rd_kafka_topic_partition_list_find(list.ptr(), topic.as_ptr(), partition);
        if !element.is_null() {
            rd::rd_kafka_topic_partition_set_leader_epoch(element, epoch);
        }
    }
}

/// Leader epoch of a partition in a list, or [`NO_EPOCH`].
pub(super) fn epoch(list: &TopicPartitionList, topic: &str, partition: i32) -> i32 {
    let Ok(topic) = CString::new(topic) else { return NO_EPOCH };
    // SAFETY: as in `set_epoch`.
    unsafe {
        let element = rd::rd_kafka_topic_partition_list_find(list.ptr(), topic.as_ptr(), partition);
        if element.is_null() { NO_EPOCH } else { rd::rd_kafka_topic_partition_get_leader_epoch(element) }
    }
}

/// Seeks the partitions of a list that have an offset and a leader epoch to them, so that librdkafka validates the offset
/// against the log of the current leader: after an unclean election another log may lie there. Waits until the seeks have begun.
pub(super) fn seek_with_epochs(client: *mut RDKafka, list: &TopicPartitionList, wait: Duration) {
    let mut known = TopicPartitionList::new();
    let mut epochs = Vec::new();
    for element in list.elements() {
        let epoch = epoch(list, element.topic(), element.partition());
        if let (Offset::Offset(1..), 0..) = (element.offset(), epoch)
            && known.add_partition_offset(element.topic(), element.partition(), element.offset()).is_ok()
        {
            epochs.push((element.topic().to_owned(), element.partition(), epoch));
        }
    }
    if epochs.is_empty() {
        return;
    }
    for (topic, partition, epoch) in epochs {
        set_epoch(&known, &topic, partition, epoch);
    }
    // SAFETY: client and list live; a returned error is ours to destroy.
    unsafe {
        let error = rd::rd_kafka_seek_partitions(
            client,
            known.ptr(),
            i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
        );
        if !error.is_null() {
            let text = CStr::from_ptr(rd::rd_kafka_error_string(error)).to_string_lossy().into_owned();
            tracing::debug!(error = text, "leader epochs were not validated");
            rd::rd_kafka_error_destroy(error);
        }
    }
    for element in known.elements() {
        if let Err(error) = element.error() {
            tracing::debug!(topic = element.topic(), partition = element.partition(), %error, "not validated");
        }
    }
}

/// Takes the errors that a client reported so far: a request only times out, and these say why there is no connection.
/// Only for a client that has not joined a group: other events on the queue are dropped.
pub(super) fn connection_errors(client: *mut RDKafka) -> Vec<(RDKafkaErrorCode, String)> {
    let mut errors = Vec::new();
    // SAFETY: the client lives; the queue reference and each event are ours to destroy; the text belongs to its event.
    unsafe {
        let queue = rd::rd_kafka_queue_get_main(client);
        loop {
            let event = rd::rd_kafka_queue_poll(queue, 0);
            if event.is_null() {
                break;
            }
            if rd::rd_kafka_event_type(event) == rd::RD_KAFKA_EVENT_ERROR {
                let code = rd::rd_kafka_event_error(event).into();
                let text = CStr::from_ptr(rd::rd_kafka_event_error_string(event));
                errors.push((code, text.to_string_lossy().into_owned()));
            }
            rd::rd_kafka_event_destroy(event);
        }
        rd::rd_kafka_queue_destroy(queue);
    }
    errors
}

/// Gives a client the token with which it logs in.
///
/// # Errors
/// Why it is not accepted: it holds a zero byte, or its life is over.
pub(super) fn set_token(client: *mut RDKafka, token: &OAuthToken) -> Result<(), String> {
    let text = |text: &str| CString::new(text).map_err(|error| error.to_string());
    let (value, principal) = (text(&token.token)?, text(&token.principal_name)?);
    let mut reason: [c_char; 512] = [0; 512];
    // SAFETY: the client lives, both texts end with a zero and are copied, and the buffer has the length given.
    unsafe {
        let code = rd::rd_kafka_oauthbearer_set_token(
            client,
            value.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            std::ptr::null_mut(),
            0,
            reason.as_mut_ptr(),
            reason.len(),
        );
        if code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        Err(CStr::from_ptr(reason.as_ptr()).to_string_lossy().into_owned())
    }
}

/// Assigns or unassigns the partitions of a rebalance.
pub(super) fn rebalance(client: *mut RDKafka, list: &TopicPartitionList, assign: bool, cooperative: bool) {
    // SAFETY: client and list live; a returned error is ours to destroy.
    unsafe {
        let error = match (assign, cooperative) {
            (true, true) => rd::rd_kafka_incremental_assign(client, list.ptr()),
            (false, true) => rd::rd_kafka_incremental_unassign(client, list.ptr()),
            (true, false) => {
                rd::rd_kafka_assign(client, list.ptr());
                return;
            }
            (false, false) => {
                rd::rd_kafka_assign(client, std::ptr::null());
                return;
            }
        };
        if !error.is_null() {
            let text = CStr::from_ptr(rd::rd_kafka_error_string(error)).to_string_lossy().into_owned();
            tracing::warn!(error = text, "assignment refused");
            rd::rd_kafka_error_destroy(error);
        }
    }
}

/// Ids of topics, by name. A topic recreated under its name has another id. Brokers before 2.8 have no ids:
/// the topic is then omitted.
///
/// # Errors
/// No broker responded within `wait`.
pub(super) fn topic_ids(
    client: *mut RDKafka,
    topics: &[String],
    wait: Duration,
) -> Result<BTreeMap<String, String>, String> {
    let names: Vec<CString> = topics.iter().filter_map(|name| CString::new(name.as_str()).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    let mut ids = BTreeMap::new();
    // SAFETY: `names` outlives the call that copies them; what librdkafka returns belongs to `event`, which is destroyed
    // after the last use, as are the queue, the options and the collection.
    unsafe {
        let collection = rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let queue = rd::rd_kafka_queue_new(client);
        let options =
            rd::rd_kafka_AdminOptions_new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        rd::rd_kafka_AdminOptions_set_request_timeout(options, wait, std::ptr::null_mut(), 0);
        rd::rd_kafka_DescribeTopics(client, collection, options, queue);
        let event = rd::rd_kafka_queue_poll(queue, wait.saturating_add(500));
        let failed = if event.is_null() {
            Some("no broker responds".to_owned())
        } else if rd::rd_kafka_event_error(event) != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            Some(CStr::from_ptr(rd::rd_kafka_event_error_string(event)).to_string_lossy().into_owned())
        } else {
            let result = rd::rd_kafka_event_DescribeTopics_result(event);
            let mut count = 0;
            let found = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            for index in 0..count {
                let topic = *found.add(index);
                let name = CStr::from_ptr(rd::rd_kafka_TopicDescription_name(topic));
                let id = rd::rd_kafka_TopicDescription_topic_id(topic);
                let error = rd::rd_kafka_TopicDescription_error(topic);
                let broken = !error.is_null()
                    && rd::rd_kafka_error_code(error) != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
                let none = id.is_null()
                    || (rd::rd_kafka_Uuid_least_significant_bits(id) == 0
                        && rd::rd_kafka_Uuid_most_significant_bits(id) == 0);
                if !broken && !none {
                    let text = CStr::from_ptr(rd::rd_kafka_Uuid_base64str(id)).to_string_lossy().into_owned();
                    ids.insert(name.to_string_lossy().into_owned(), text);
                }
            }
            None
        };
        if !event.is_null() {
            rd::rd_kafka_event_destroy(event);
        }
        rd::rd_kafka_AdminOptions_destroy(options);
        rd::rd_kafka_queue_destroy(queue);
        rd::rd_kafka_TopicCollection_destroy(collection);
        match failed {
            Some(reason) => Err(reason),
            None => Ok(ids),
        }
    }
}
