//! Which ranges of a partition become one.

use crate::archive::layout::Manifest;
use std::collections::BTreeSet;

/// Ranges that become one: they follow each other, have a kind and date in common with those before, and have at most
/// `rows` messages. Others would give as many objects as before.
pub(super) fn groups(ranges: &[Manifest], rows: u64) -> Vec<&[Manifest]> {
    let (mut found, mut start) = (Vec::new(), 0);
    let mut messages = 0;
    let mut dates: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (at, range) in ranges.iter().enumerate() {
        let own: BTreeSet<_> =
            range.objects.iter().map(|object| (object.kind.as_str(), object.date.as_str())).collect();
        let follows = at > start
            && range.lost.is_none()
            && ranges[start].lost.is_none()
            && ranges[at - 1].last + 1 == range.first
            && messages + range.messages <= rows
            && (own.is_empty() || dates.is_empty() || !own.is_disjoint(&dates));
        if !follows {
            found.push(&ranges[start..at]);
            (start, messages) = (at, 0);
            dates.clear();
        }
        messages += range.messages;
        dates.extend(own);
    }
    found.push(&ranges[start..]);
    found.retain(|group| group.len() > 1);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::layout::ArchiveObject;

    fn range(first: i64, last: i64, dates: &[&str]) -> Manifest {
        let object = |date: &&str| ArchiveObject {
            name: String::new(),
            kind: "trades".to_owned(),
            date: (*date).to_owned(),
            rows: 1,
            offsets: [first, last],
            ts_ns: [0, 0],
            fingerprint: String::new(),
            bytes: 1,
            sha256: String::new(),
        };
        Manifest {
            version: 1,
            topic: "t".to_owned(),
            partition: 0,
            first,
            last,
            messages: (last - first + 1).unsigned_abs(),
            unreadable: 0,
            lost: None,
            objects: dates.iter().map(object).collect(),
            merged: 0,
        }
    }

    fn merged(ranges: &[Manifest], rows: u64) -> Vec<[i64; 2]> {
        let ends = |group: &[Manifest]| [group[0].first, group[group.len() - 1].last];
        groups(ranges, rows).into_iter().map(ends).collect()
    }

    #[test]
    fn ranges_that_follow_each_other_and_share_a_date_become_one() {
        let days = [
            range(0, 9, &["1"]),
            range(10, 19, &["1"]),
            // Midnight, and a late record.
            range(20, 29, &["1", "2"]),
            range(30, 39, &["2"]),
            // Another day: merging would save no file.
            range(40, 49, &["3"]),
            range(50, 59, &["3"]),
        ];
        assert_eq!(merged(&days, 1_000), [[0, 39], [40, 59]]);
        assert_eq!(merged(&days, 20), [[0, 19], [20, 39], [40, 59]]);
        assert_eq!(merged(&days, 19), Vec::<[i64; 2]>::new());
        assert_eq!(merged(&[], 19), Vec::<[i64; 2]>::new());
    }

    #[test]
    fn gaps_and_lost_ranges_stay() {
        let mut ranges = [
            range(0, 9, &["1"]),
            range(10, 19, &["1"]),
            range(21, 29, &["1"]),
            range(30, 39, &[]),
            range(40, 49, &["1"]),
            range(50, 59, &["1"]),
        ];
        assert_eq!(merged(&ranges, 1_000), [[0, 19], [21, 59]]);
        ranges[3].lost = Some("retention".to_owned());
        assert_eq!(merged(&ranges, 1_000), [[0, 19], [40, 59]]);
    }
}
