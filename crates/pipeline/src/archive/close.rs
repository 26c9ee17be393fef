//! Closes a range: claim, objects, manifest, offset.

use super::Archiver;
use super::commit::{OTHER_TOPIC, commit};
use super::layout::{ArchiveObject, Manifest, RangeClaim, RangeName, read_json, sha256, to_json};
use super::range::{NewObject, OpenRange};
use market::Kind;
use market::digest::Digest;
use ports::archive::{Archive, Created};
use ports::batch::Partition;
use ports::cancel::retry;
use ports::metrics::Port;
use ports::topic::Consumer;
use ports::{CancelToken, Error, Result};

impl Archiver<'_> {
    /// Archives a range. Returns what is left of it: the messages beyond its claim, or all of them if the claim reaches
    /// further than what was read.
    pub(super) fn close(
        &mut self,
        consumer: &mut dyn Consumer,
        partition: Partition,
        mut open: OpenRange,
    ) -> Result<Option<OpenRange>> {
        let topic = self.names[partition.topic as usize].clone();
        let mut rest = None;
        if open.claimed.is_none() {
            let claim = self.claim(&topic, partition.number, &open)?;
            open.claimed = Some(claim.last);
            if claim.lost != open.lost {
                return Err(Error::user(format!(
                    "{}: another process archived the range from offset {} with other messages",
                    self.place(partition),
                    open.first
                ))
                .hint("start `tapeline archive` again"));
            }
            if claim.last > open.last {
                return Ok(Some(open));
            }
            if claim.last < open.last {
                rest = Some(open.split(claim.last));
            }
        }
        let range = RangeName { topic, partition: partition.number, first: open.first, last: open.last };
        self.write(&range, &open)?;
        commit(consumer, &[(partition, range.last + 1)])?;
        Ok(rest)
    }

    /// Writes a claimed range: objects, then manifest.
    pub(super) fn write(&mut self, range: &RangeName, open: &OpenRange) -> Result<()> {
        let mut objects = Vec::new();
        for object in open.objects(range)? {
            objects.push(self.create(object)?);
        }
        let manifest = open.manifest(range, objects);
        let text = to_json(&manifest)?;
        let created = retry(self.stop, Port::Archive, "write the archive", || {
            self.archive.create(&range.manifest(), &text)
        })?;
        if created == Created::Existed {
            let found: Option<Manifest> = read_json(self.archive, &range.manifest(), self.stop)?;
            if found.as_ref() != Some(&manifest) {
                return Err(differs(&range.manifest(), self.archive));
            }
        }
        self.report.ranges += 1;
        self.report.unreadable += manifest.unreadable;
        let records: u64 = manifest.objects.iter().map(|object| object.rows).sum();
        self.report.records += records;
        self.telemetry.add(&self.telemetry.stored, records);
        tracing::info!(range = range.describe(), records, "range archived");
        Ok(())
    }

    /// Claims the range as far as it was read, or returns the claim that exists.
    fn claim(&self, topic: &str, partition: i32, open: &OpenRange) -> Result<RangeClaim> {
        let claim = RangeClaim { first: open.first, last: open.last, lost: open.lost.clone() };
        let (name, text) = (RangeName::claim(topic, partition, open.first), to_json(&claim)?);
        if retry(self.stop, Port::Archive, "write the archive", || self.archive.create(&name, &text))?
            == Created::New
        {
            return Ok(claim);
        }
        read_json(self.archive, &name, self.stop)?.ok_or_else(|| {
            Error::user(format!("{name} in {} was deleted while it was read", self.archive.describe()))
        })
    }

    fn create(&mut self, object: NewObject) -> Result<ArchiveObject> {
        let (about, created) = create_object(self.archive, object, self.stop)?;
        match created {
            Created::New => {
                self.report.objects += 1;
                self.report.bytes += about.bytes;
            }
            Created::Existed => self.report.existed += 1,
        }
        Ok(about)
    }
}

/// Creates an object. One that a previous attempt created must hold the same records; its bytes may differ if another
/// version of this program wrote them.
pub(super) fn create_object(
    archive: &dyn Archive,
    object: NewObject,
    stop: &CancelToken,
) -> Result<(ArchiveObject, Created)> {
    let NewObject { mut about, bytes } = object;
    let name = about.name.clone();
    let created = retry(stop, Port::Archive, "write the archive", || archive.create(&name, &bytes))?;
    if created == Created::New {
        return Ok((about, created));
    }
    let found = retry(stop, Port::Archive, "read the archive", || archive.read(&name))?;
    let found = found.ok_or_else(|| differs(&name, archive))?;
    if found != bytes {
        let kind: Kind = about.kind.parse().map_err(Error::internal)?;
        let (mut digest, mut scratch) = (Digest::default(), Vec::new());
        let (length, hash) = (found.len() as u64, sha256(&found));
        let rows = columnar::read::records(kind, found, &mut |record, _| digest.add(record, &mut scratch));
        if rows.ok() != Some(about.rows) || digest.to_string() != about.fingerprint {
            return Err(differs(&name, archive));
        }
        (about.bytes, about.sha256) = (length, hash);
    }
    Ok((about, created))
}

fn differs(name: &str, archive: &dyn Archive) -> Error {
    Error::user(format!("{name} exists in {} with other content", archive.describe())).hint(OTHER_TOPIC)
}
