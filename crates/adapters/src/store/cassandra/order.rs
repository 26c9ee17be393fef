//! Groups rows into batches and sorts them, so that the server need not.

use market::Kind;
use ports::batch::Batch;
use rustc_hash::FxHashMap;

/// Maximum message bytes in one batch.
const BATCH_BYTES: usize = 512 * 1024;
/// Maximum number of partitions in one batch. Cassandra logs a warning beyond it
/// (`unlogged_batch_across_partitions_warn_threshold`).
const PARTITIONS: u32 = 10;
/// Maximum size of a batch of several partitions. Cassandra logs a warning beyond 5 KiB (`batch_size_warn_threshold`), and
/// refuses 50 KiB; batches of one partition have no such limit.
const SHARED_BYTES: usize = 4 * 1024;
/// What a row takes on the server beyond the texts of its message: timestamps of its cells.
const ROW_BYTES: usize = 128;

/// Rows in the order in which they are written.
pub(super) struct Sorted {
    /// Indices of rows.
    pub(super) order: Vec<u32>,
    /// Ranges of `order`, each of one partition.
    groups: Vec<Group>,
}

/// The rows of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    /// End of its range, which begins at the end of the one before.
    end: u32,
    /// Groups of the same table and the same replicas have the same number; `None` shares no batch.
    sharing: Option<u32>,
}

/// Sorts rows by partition (kind, symbol, bucket) and, within each, by clustering key, stably. `sharing` numbers the replicas
/// of a partition: those with the same number, of one table, come one after the other.
pub(super) fn by_partition(batch: &Batch, mut sharing: impl FnMut(Kind, &str, i64) -> Option<u32>) -> Sorted {
    let mut numbers: FxHashMap<(Kind, &str, i64), u32> = FxHashMap::default();
    let mut of_row = Vec::with_capacity(batch.len());
    // Rows, and what they share a batch with.
    let mut partitions: Vec<(u32, Option<u32>)> = Vec::new();
    // Consecutive rows often share a partition.
    let mut last = None;
    for row in batch.rows() {
        let kind = row.kind();
        let key = (kind, batch.symbol(row), kind.bucket().start(row.ts()).0);
        let number = match last {
            Some((same, number)) if same == key => number,
            _ => {
                let next = partitions.len() as u32;
                let number = *numbers.entry(key).or_insert(next);
                if number == next {
                    let shared = sharing(kind, key.1, key.2);
                    let of_table = |replicas| replicas * Kind::COUNT as u32 + kind.index() as u32;
                    partitions.push((0, shared.map(of_table)));
                }
                last = Some((key, number));
                number
            }
        };
        partitions[number as usize].0 += 1;
        of_row.push(number);
    }
    let mut sequence: Vec<u32> = (0..partitions.len() as u32).collect();
    if !partitions.is_sorted_by_key(|(_, sharing)| *sharing) {
        sequence.sort_by_key(|number| partitions[*number as usize].1);
    }
    let mut place = vec![0; partitions.len()];
    let mut groups = Vec::with_capacity(partitions.len());
    let mut end = 0;
    for number in sequence {
        let (rows, sharing) = partitions[number as usize];
        place[number as usize] = end;
        end += rows;
        groups.push(Group { end, sharing });
    }
    let mut order = vec![0; batch.len()];
    for (index, number) in of_row.iter().enumerate() {
        let slot = &mut place[*number as usize];
        order[*slot as usize] = index as u32;
        *slot += 1;
    }
    let mut start = 0;
    for group in &groups {
        by_clustering(batch, &mut order[start as usize..group.end as usize]);
        start = group.end;
    }
    Sorted { order, groups }
}

/// Sorts rows of one partition as the tables do: by time, then by the fields that distinguish records of one
/// time. They arrive almost in time order.
fn by_clustering(batch: &Batch, rows: &mut [u32]) {
    let row = |at: &u32| &batch.rows()[*at as usize];
    if !rows.is_sorted_by_key(|at| row(at).ts()) {
        rows.sort_by_key(|at| row(at).ts());
    }
    for same in rows.chunk_by_mut(|a, b| row(a).ts() == row(b).ts()) {
        same.sort_by(|a, b| batch.by_identity(row(a), row(b)));
    }
}

/// Small groups that are written as one batch.
struct Shared {
    from: u32,
    to: u32,
    sharing: u32,
    partitions: u32,
    bytes: usize,
}

impl Sorted {
    /// Cuts the rows into pieces of at most `rows` rows: a request each. A group is split into pieces of about equal length and
    /// at most [`BATCH_BYTES`]; small groups with the same replicas share one. The first pieces of all groups come first, then
    /// the second ones: the server serialises writes to one partition, but not to different ones.
    pub(super) fn pieces(&self, batch: &Batch, rows: usize) -> Vec<(u32, u32)> {
        let mut out: Vec<(u32, (u32, u32))> = Vec::with_capacity(self.groups.len());
        let size = |at: u32| batch.raw(&batch.rows()[self.order[at as usize] as usize]).len();
        let mut open: Option<Shared> = None;
        let mut start = 0;
        for &Group { end, sharing } in &self.groups {
            let count = (end - start) as usize;
            let small = sharing.filter(|_| count <= rows.min(SHARED_BYTES / ROW_BYTES));
            let bytes: usize = small.map_or(0, |_| (start..end).map(|at| size(at) + ROW_BYTES).sum());
            if let Some(sharing) = small.filter(|_| bytes <= SHARED_BYTES) {
                match &mut open {
                    Some(shared)
                        if shared.sharing == sharing
                            && shared.partitions < PARTITIONS
                            && shared.bytes + bytes <= SHARED_BYTES
                            && (end - shared.from) as usize <= rows =>
                    {
                        shared.to = end;
                        shared.partitions += 1;
                        shared.bytes += bytes;
                    }
                    _ => {
                        out.extend(open.take().map(|shared| (0, (shared.from, shared.to))));
                        open = Some(Shared { from: start, to: end, sharing, partitions: 1, bytes });
                    }
                }
            } else {
                out.extend(open.take().map(|shared| (0, (shared.from, shared.to))));
                let even = count.div_ceil(count.div_ceil(rows).max(1));
                let (mut from, mut bytes, mut turn) = (start, 0, 0);
                for at in start..end {
                    bytes += size(at);
                    if at > from && (bytes > BATCH_BYTES || (at - from) as usize == even) {
                        out.push((turn, (from, at)));
                        turn += 1;
                        from = at;
                        bytes = 0;
                    }
                }
                out.push((turn, (from, end)));
            }
            start = end;
        }
        out.extend(open.map(|shared| (0, (shared.from, shared.to))));
        out.sort_by_key(|(turn, _)| *turn);
        out.into_iter().map(|(_, piece)| piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::batch::Partition;

    fn batch(rows: &[(&str, i64)]) -> Batch {
        let mut batch = Batch::default();
        for (offset, (symbol, hour)) in rows.iter().enumerate() {
            let text = format!(
                r#"{{"symbol":"{symbol}","feed":"f","venue":"P","id":"{offset}","ts":{},"recv_ts":1,"price":"1","size":"1","conditions":[]}}"#,
                hour * market::time::HOUR + 5
            );
            batch
                .push(Kind::TRADE, text.as_bytes(), 0, Partition { topic: 0, number: 0 }, offset as i64)
                .unwrap();
        }
        batch
    }

    #[test]
    fn rows_are_grouped_by_partition_in_order() {
        let batch = batch(&[("A", 1), ("B", 1), ("A", 1), ("A", 2), ("B", 1)]);
        let sorted = by_partition(&batch, |_, _, _| None);
        assert_eq!(sorted.order, [0, 2, 1, 4, 3]);
        assert_eq!(sorted.pieces(&batch, 100), [(0, 2), (2, 4), (4, 5)]);
    }

    #[test]
    fn pieces_are_even_and_cover_every_row_once() {
        let batch = batch(&vec![("A", 1); 250]);
        for sharing in [None, Some(0)] {
            let sorted = by_partition(&batch, |_, _, _| sharing);
            assert_eq!(sorted.pieces(&batch, 100), [(0, 84), (84, 168), (168, 250)]);
            assert_eq!(sorted.pieces(&batch, 250), [(0, 250)]);
            assert_eq!(sorted.pieces(&batch, 1).len(), 250);
        }
    }

    /// One row of each of these symbols.
    fn one_of_each(symbols: &[String]) -> Batch {
        batch(&symbols.iter().map(|symbol| (symbol.as_str(), 1)).collect::<Vec<_>>())
    }

    #[test]
    fn small_partitions_with_the_same_replicas_share_a_batch_within_the_servers_limits() {
        let symbols: Vec<String> = (0..25).map(|n| format!("S{n:02}")).collect();
        let batch = one_of_each(&symbols);
        // Even and odd symbols have different replicas.
        let replicas = |_: Kind, symbol: &str, _: i64| Some(u32::from(symbol.as_bytes()[2] % 2));
        let sorted = by_partition(&batch, replicas);
        let even_first: Vec<u32> = (0..25).step_by(2).chain((1..25).step_by(2)).collect();
        assert_eq!(sorted.order, even_first);
        assert_eq!(sorted.pieces(&batch, 100), [(0, 10), (10, 13), (13, 23), (23, 25)]);
        assert_eq!(
            sorted.pieces(&batch, 4),
            [(0, 4), (4, 8), (8, 12), (12, 13), (13, 17), (17, 21), (21, 25)]
        );
        assert_eq!(sorted.pieces(&batch, 1).len(), 25);
        let alone = by_partition(&batch, |_, _, _| None);
        assert_eq!(alone.pieces(&batch, 100).len(), 25);
    }

    #[test]
    fn a_batch_of_several_partitions_is_small() {
        // Five rows of each partition are more than a third of the limit.
        let symbols: Vec<String> = (0..20).map(|n| format!("{}", n % 4)).collect();
        let batch = one_of_each(&symbols);
        let size: usize = batch.rows().iter().map(|row| batch.raw(row).len() + ROW_BYTES).sum();
        assert!(size / 4 * 3 < SHARED_BYTES && size > SHARED_BYTES, "{size}");
        assert_eq!(by_partition(&batch, |_, _, _| Some(0)).pieces(&batch, 100), [(0, 15), (15, 20)]);
        // A partition that is large by itself stays alone.
        let symbols: Vec<String> =
            (0..42).map(|n| if n < 40 { "A".to_owned() } else { n.to_string() }).collect();
        let batch = one_of_each(&symbols);
        assert_eq!(by_partition(&batch, |_, _, _| Some(0)).pieces(&batch, 100), [(0, 40), (40, 42)]);
    }

    #[test]
    fn rows_of_a_partition_are_in_the_order_of_the_table() {
        let mut batch = Batch::default();
        for (offset, (ts, venue, id)) in
            [(9, "P", "1"), (5, "Q", "2"), (5, "P", "10"), (5, "P", "9"), (5, "P", "10")].iter().enumerate()
        {
            let text = format!(
                r#"{{"symbol":"A","feed":"f","venue":"{venue}","id":"{id}","ts":{ts},"recv_ts":1,"price":"1","size":"1","conditions":[]}}"#
            );
            batch
                .push(Kind::TRADE, text.as_bytes(), 0, Partition { topic: 0, number: 0 }, offset as i64)
                .unwrap();
        }
        assert_eq!(by_partition(&batch, |_, _, _| Some(0)).order, [2, 4, 3, 1, 0]);
    }
}
