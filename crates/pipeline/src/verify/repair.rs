//! Repairs the store from the topic: writes exactly the records that it lacks or that differ.

use super::difference::stored;
use super::{Identities, Key, Only, each_of_topic};
use market::digest;
use market::version::Version;
use ports::batch::{Batch, Partition};
use ports::store::{Store, Writer};
use ports::topic::{Names, Topics};
use ports::{CancelToken, Error, Result, clock};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::time::Duration;

/// Rows written at a time.
const ROWS: usize = 1_000;

/// Result of a repair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Records of the topic that the store lacked.
    pub missing: u64,
    /// Records that differed from the topic's.
    pub changed: u64,
    /// Of both, those that a later deletion or change in the store had hidden: written with the current time.
    pub hidden: u64,
    /// Why rows could not be stored.
    pub refused: Vec<String>,
}

/// Writes the records of `keys` that the store lacks, or that differ from `topic`, which was read before.
///
/// # Errors
/// An error of topic or store.
pub fn run(
    (topics, names, topic): (&dyn Topics, &Names, &Identities),
    store: &dyn Store,
    only: &Only,
    keys: &BTreeSet<Key>,
    stop: &CancelToken,
) -> Result<RepairReport> {
    let mut report = RepairReport::default();
    let mut wanted = FxHashMap::default();
    let held = stored(store, only, keys)?;
    for (identity, content) in topic.of_keys(keys) {
        match held.get(&identity) {
            Some(other) if *other == content => continue,
            Some(_) => report.changed += 1,
            None => report.missing += 1,
        }
        wanted.insert(identity, content);
    }
    let mut writer = store.writer(stop)?;
    let place = (topics, names, topic);
    report.refused = write(place, &mut *writer, &wanted, None, stop)?;
    if wanted.is_empty() || !report.refused.is_empty() {
        return Ok(report);
    }
    // A row deleted or changed later than its message's timestamp would hide a write with that timestamp.
    let held = stored(store, only, keys)?;
    wanted.retain(|identity, content| held.get(identity) != Some(content));
    report.hidden = wanted.len() as u64;
    report.refused = write(place, &mut *writer, &wanted, Some(clock::now().millis()), stop)?;
    Ok(report)
}

/// Writes the winning messages of these identities. Returns why rows were rejected.
fn write(
    (topics, names, topic): (&dyn Topics, &Names, &Identities),
    writer: &mut dyn Writer,
    wanted: &FxHashMap<u64, u128>,
    stamp_ms: Option<i64>,
    stop: &CancelToken,
) -> Result<Vec<String>> {
    let (mut batch, mut refused, mut failed) = (Batch::default(), Vec::new(), None);
    if wanted.is_empty() {
        return Ok(refused);
    }
    each_of_topic(topics, names, &mut |record, message, scratch| {
        let Some(record) = record.filter(|_| failed.is_none()) else { return };
        let identity = digest::identity(record, scratch);
        let Some(entry) = topic.get(identity).filter(|_| wanted.contains_key(&identity)) else { return };
        let version = Version::of(record, message.stamp_ms(), scratch);
        if (version.write_us, version.content) != (entry.order, entry.content) {
            return;
        }
        let at = Partition { topic: 0, number: 0 };
        let stamp = stamp_ms.unwrap_or_else(|| message.stamp_ms());
        if let Err(error) = batch.push(record.kind(), message.payload(), stamp, at, message.offset()) {
            refused.push(error.to_string());
        }
        if batch.len() >= ROWS {
            failed = submit(writer, std::mem::take(&mut batch), &mut refused, stop).err();
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    if !batch.is_empty() {
        submit(writer, batch, &mut refused, stop)?;
    }
    Ok(refused)
}

fn submit(
    writer: &mut dyn Writer,
    batch: Batch,
    refused: &mut Vec<String>,
    stop: &CancelToken,
) -> Result<()> {
    writer.submit(0, batch)?;
    loop {
        if let Some(done) = writer.completed(Duration::from_millis(200))? {
            refused.extend(done.refused.into_iter().map(|(_, reason)| reason));
            return Ok(());
        }
        if stop.is_cancelled() {
            return Err(Error::stopped().hint("run the command again to repair the rest"));
        }
    }
}
