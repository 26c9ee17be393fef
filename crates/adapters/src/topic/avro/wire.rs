//! Confluent's wire format: a zero byte and the id of the schema in front of the record.

/// First byte of a message with a schema id. JSON never begins with it.
pub(super) const MAGIC: u8 = 0;
/// Length of the magic byte and the id.
pub(super) const HEADER: usize = 5;

/// Appends the header of a message.
pub(super) fn push_header(id: u32, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&id.to_be_bytes());
}

/// The id of a message's schema and its record; `None` if the message is shorter than a header.
pub(super) fn split(message: &[u8]) -> Option<(u32, &[u8])> {
    let (header, record) = message.split_at_checked(HEADER)?;
    Some((u32::from_be_bytes([header[1], header[2], header[3], header[4]]), record))
}
