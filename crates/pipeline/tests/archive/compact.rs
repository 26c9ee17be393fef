//! Compaction: stopped at every step, concurrent, with damage; whoever reads by the manifests sees each record once.

use super::{Failing, Place};
use pipeline::archive::compact::{self, CompactReport, CompactSettings};
use pipeline::archive::layout::{MANIFESTS, MERGES, Manifest};
use pipeline::archive::{ArchiveReport, read};
use pipeline::verify::{self, Only};
use ports::archive::Archive;
use ports::{CancelToken, Result};
use std::sync::atomic::AtomicI64;

impl Place {
    fn compact(&self, archive: &dyn Archive, rows: usize) -> Result<CompactReport> {
        compact::run(archive, &CompactSettings { names: self.names.clone(), rows }, &CancelToken::default())
    }

    /// Fails unless whoever reads by the manifests reads each record of the topic once. Returns how many files are left over.
    fn assert_whole(&self) -> usize {
        let stop = CancelToken::default();
        let found = read::content(&self.archive(), &self.names, &Only::default(), &stop).unwrap();
        assert_eq!((found.faults, found.records.repeats), (Vec::<String>::new(), 0));
        let topic = verify::topic(&self.topics, &self.names, &Only::default()).unwrap();
        assert_eq!(found.records.content(), topic.records.content());
        found.notes.iter().filter(|note| note.contains("archive compact")).count()
    }

    fn manifests(&self) -> Vec<Manifest> {
        let found = self.archive().list(MANIFESTS).unwrap();
        let read = |name: &str| self.archive().read(name).unwrap().unwrap();
        found.iter().map(|object| serde_json::from_slice(&read(&object.name)).unwrap()).collect()
    }
}

#[test]
fn small_ranges_become_one_with_the_bytes_that_archive_would_have_written() {
    let place = Place::new();
    place.publish(0..1_000);
    place.run(&place.archive(), 20).unwrap();
    let before = place.objects().len();
    let report = place.compact(&place.archive(), 300).unwrap();
    assert!(
        report.merged >= 2 && report.replaced > 10 * report.merged && report.faults.is_empty(),
        "{report:?}"
    );
    assert_eq!(place.assert_whole(), 0);
    place.assert_equal();
    // Two days in each range, and the last range of each partition is left as it is.
    assert!(place.objects().len() * 5 < before, "{before} became {}", place.objects().len());
    assert!(place.manifests().iter().all(|manifest| manifest.messages <= 300));
    assert_eq!(place.manifests().iter().map(|manifest| manifest.messages).sum::<u64>(), 1_000);
    assert!(place.manifests().iter().filter(|manifest| manifest.merged == 0).count() >= 2);

    // Again: nothing is left to do, for `archive` neither.
    assert_eq!(place.compact(&place.archive(), 300).unwrap(), CompactReport::default());
    assert_eq!(place.run(&place.archive(), 20).unwrap(), ArchiveReport::default());
    assert_eq!(place.run_as("other", &place.archive(), 20).unwrap(), ArchiveReport::default());

    // A merged file that is missing is written again from the topic.
    let manifest = place.manifests().into_iter().find(|manifest| manifest.merged > 0).unwrap();
    let name = &manifest.objects[0].name;
    let bytes = place.archive().read(name).unwrap().unwrap();
    std::fs::remove_file(place.folder().join(name)).unwrap();
    assert_eq!(place.faults().len(), 1);
    assert_eq!(place.run(&place.archive(), 20).unwrap().completed, 1);
    assert!(place.archive().read(name).unwrap().unwrap() == bytes);

    // More is archived, and merged with what was merged.
    place.publish(1_000..1_500);
    place.run(&place.archive(), 20).unwrap();
    let report = place.compact(&place.archive(), 10_000).unwrap();
    assert!(report.merged == 2 && report.faults.is_empty(), "{report:?}");
    place.assert_equal();
    assert_eq!(place.manifests().len(), 4);
    assert!(place.archive().list(MERGES).unwrap().len() >= 4);
}

#[test]
fn stopped_at_every_step_it_neither_doubles_nor_loses() {
    for after in [false, true] {
        let place = Place::new();
        place.publish(0..200);
        place.run(&place.archive(), 20).unwrap();
        let (mut stops, mut left_over) = (0, 0);
        for step in 0.. {
            // Other limits every time: what was planned is carried out as planned.
            let rows = [100, 60, 200][step % 3];
            let left = AtomicI64::new((step % 7) as i64);
            match place.compact(&Failing { inner: place.archive(), left, after }, rows) {
                Ok(_) => break,
                Err(error) => assert!(error.to_string().contains("stopped here"), "{error}"),
            }
            left_over += place.assert_whole();
            // `archive` between two runs takes nothing for incomplete.
            if step % 4 == 0 {
                assert_eq!(place.run(&place.archive(), 20).unwrap(), ArchiveReport::default(), "{step}");
            }
            stops += 1;
            assert!(stops < 500, "no progress");
        }
        assert!(stops > 8 && left_over > 2, "{stops} {left_over}");
        place.assert_equal();
    }
}

#[test]
fn several_at_once_with_other_limits_and_an_archiver_agree() {
    let place = Place::new();
    place.publish(0..2_000);
    place.run(&place.archive(), 25).unwrap();
    place.publish(2_000..2_400);
    std::thread::scope(|scope| {
        for rows in [100, 150, 400] {
            let place = &place;
            scope.spawn(move || {
                let report = place.compact(&place.archive(), rows).unwrap();
                assert_eq!(report.faults, Vec::<String>::new());
            });
        }
        scope.spawn(|| place.run(&place.archive(), 25).unwrap());
    });
    place.assert_whole();
    place.compact(&place.archive(), 400).unwrap();
    place.assert_equal();
}

#[test]
fn what_is_damaged_is_not_merged() {
    let place = Place::new();
    place.publish(0..400);
    place.run(&place.archive(), 20).unwrap();
    let objects = place.objects();
    let path = place.folder().join(&objects[1]);
    let bytes = std::fs::read(&path).unwrap();
    let mut flipped = bytes.clone();
    let middle = bytes.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(&path, flipped).unwrap();
    let report = place.compact(&place.archive(), 10_000).unwrap();
    assert!(report.faults.len() == 1 && report.faults[0].contains(&objects[1]), "{report:?}");
    // The other partition is merged, and nothing of this one is removed.
    assert_eq!(report.merged, 1);
    assert_eq!(place.faults().len(), 1);
    std::fs::write(&path, bytes).unwrap();
    place.assert_equal();
    assert_eq!(place.compact(&place.archive(), 10_000).unwrap().merged, 1);
    place.assert_equal();
    assert!(place.objects().len() <= 8, "{:?}", place.objects());
}
