//! Archive to store: writes every record with the timestamp of its message, so that restoring into a store that holds some
//! of them, or doing so twice, changes nothing.

use super::read::{self, Inventory};
use crate::verify::Only;
use market::codec::json;
use ports::archive::Archive;
use ports::batch::{Batch, Partition};
use ports::store::{Store, Writer};
use ports::telemetry::Telemetry;
use ports::{CancelToken, Error, Result};
use std::time::Duration;

/// Rows written at a time.
const ROWS: usize = 4_096;
/// Maximum number of batches in flight to the store.
const IN_FLIGHT: usize = 8;

/// Result of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Objects read.
    pub objects: u64,
    /// Records that the store has acknowledged, repeats included.
    pub records: u64,
    /// Why rows could not be stored.
    pub refused: Vec<String>,
    /// What is wrong with the archive, one line each. The rest of it is restored.
    pub faults: Vec<String>,
    /// What is not wrong and worth knowing, one line each.
    pub notes: Vec<String>,
}

/// Writes the records of an archive, whose ranges are `inventory`, to a store.
///
/// # Errors
/// A permanent error of archive or store, or cancellation.
pub fn run(
    archive: &dyn Archive,
    inventory: Inventory,
    store: &dyn Store,
    only: &Only,
    telemetry: &Telemetry,
    stop: &CancelToken,
) -> Result<RestoreReport> {
    let Inventory { manifests, faults, notes } = inventory;
    let mut report = RestoreReport { faults, notes, ..RestoreReport::default() };
    let mut sink = StoreSink {
        writer: store.writer(stop)?,
        telemetry,
        stop,
        next: 0,
        in_flight: 0,
        refused: Vec::new(),
    };
    let mut batch = Batch::default();
    for (range, manifest) in &manifests {
        for about in &manifest.objects {
            report.objects += 1;
            let (mut text, mut failed) = (Vec::new(), None);
            let fault = read::object(archive, about, range, stop, &mut |record, at, _| {
                if failed.is_some() || !only.contains(record) {
                    return;
                }
                text.clear();
                json::encode(record, &mut text);
                let partition = Partition { topic: 0, number: at.partition };
                if let Err(error) = batch.push(record.kind(), &text, at.stamp_ms, partition, at.offset) {
                    sink.refused.push(error.to_string());
                }
                if batch.len() >= ROWS {
                    failed = sink.submit(std::mem::take(&mut batch)).err();
                }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            report.faults.extend(fault);
        }
    }
    if !batch.is_empty() {
        sink.submit(batch)?;
    }
    sink.drain(0)?;
    report.records = telemetry.get(&telemetry.stored);
    report.refused = sink.refused;
    Ok(report)
}

/// Writes batches, a bounded number at once.
struct StoreSink<'a> {
    writer: Box<dyn Writer>,
    telemetry: &'a Telemetry,
    stop: &'a CancelToken,
    next: u64,
    in_flight: usize,
    refused: Vec<String>,
}

impl StoreSink<'_> {
    fn submit(&mut self, batch: Batch) -> Result<()> {
        self.drain(IN_FLIGHT - 1)?;
        self.writer.submit(self.next, batch)?;
        self.next += 1;
        self.in_flight += 1;
        Ok(())
    }

    /// Waits until at most `left` batches are in flight.
    fn drain(&mut self, left: usize) -> Result<()> {
        while self.in_flight > left {
            if let Some(done) = self.writer.completed(Duration::from_millis(200))? {
                self.in_flight -= 1;
                let stored = done.batch.len() - done.refused.len();
                self.telemetry.add(&self.telemetry.stored, stored as u64);
                self.refused.extend(done.refused.into_iter().map(|(_, reason)| reason));
            } else if self.stop.is_cancelled() {
                return Err(Error::stopped().hint("run the command again to restore the rest"));
            }
        }
        Ok(())
    }
}
