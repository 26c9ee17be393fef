//! Groups rows into batches and sorts them, so that the server need not.

use market::Kind;
use ports::batch::Batch;
use rustc_hash::FxHashMap;

/// Maximum message bytes in one batch.
const BATCH_BYTES: usize = 512 * 1024;

/// Sorts rows by partition (kind, symbol, bucket) and, within each, by clustering key, stably; returns the
/// sorted indices and the ends of the groups.
pub(super) fn by_partition(batch: &Batch) -> (Vec<u32>, Vec<u32>) {
    let mut groups: FxHashMap<(Kind, &str, i64), u32> = FxHashMap::default();
    let mut of_row = Vec::with_capacity(batch.len());
    let mut ends: Vec<u32> = Vec::new();
    // Consecutive rows often share a partition.
    let mut last = None;
    for row in batch.rows() {
        let kind = row.kind();
        let key = (kind, batch.symbol(row), kind.bucket().start(row.ts()).0);
        let group = match last {
            Some((same, group)) if same == key => group,
            _ => {
                let next = groups.len() as u32;
                let group = *groups.entry(key).or_insert(next);
                if group == next {
                    ends.push(0);
                }
                last = Some((key, group));
                group
            }
        };
        ends[group as usize] += 1;
        of_row.push(group);
    }
    let mut place = Vec::with_capacity(ends.len());
    let mut total = 0;
    for end in &mut ends {
        place.push(total);
        total += *end;
        *end = total;
    }
    let mut order = vec![0; batch.len()];
    for (index, group) in of_row.iter().enumerate() {
        let slot = &mut place[*group as usize];
        order[*slot as usize] = index as u32;
        *slot += 1;
    }
    let mut start = 0;
    for &end in &ends {
        by_clustering(batch, &mut order[start as usize..end as usize]);
        start = end;
    }
    (order, ends)
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

/// Splits groups into pieces of at most `rows` rows and [`BATCH_BYTES`] bytes, of about equal length. The
/// first pieces of all groups come first, then the second ones: the server serialises writes to one
/// partition, but not to different ones.
pub(super) fn pieces(batch: &Batch, order: &[u32], ends: &[u32], rows: usize) -> Vec<(u32, u32)> {
    let mut out: Vec<(u32, (u32, u32))> = Vec::with_capacity(ends.len() + order.len() / rows + 1);
    let mut start = 0;
    for &end in ends {
        let count = (end - start) as usize;
        let even = count.div_ceil(count.div_ceil(rows).max(1));
        let (mut from, mut bytes, mut turn) = (start, 0, 0);
        for at in start..end {
            bytes += batch.raw(&batch.rows()[order[at as usize] as usize]).len();
            if at > from && (bytes > BATCH_BYTES || (at - from) as usize == even) {
                out.push((turn, (from, at)));
                turn += 1;
                from = at;
                bytes = 0;
            }
        }
        out.push((turn, (from, end)));
        start = end;
    }
    out.sort_by_key(|(turn, _)| *turn);
    out.into_iter().map(|(_, piece)| piece).collect()
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
        let (order, ends) = by_partition(&batch);
        assert_eq!(order, [0, 2, 1, 4, 3]);
        assert_eq!(ends, [2, 4, 5]);
    }

    #[test]
    fn pieces_are_even_and_cover_every_row_once() {
        let batch = batch(&vec![("A", 1); 250]);
        let (order, ends) = by_partition(&batch);
        assert_eq!(pieces(&batch, &order, &ends, 100), [(0, 84), (84, 168), (168, 250)]);
        assert_eq!(pieces(&batch, &order, &ends, 250), [(0, 250)]);
        assert_eq!(pieces(&batch, &order, &ends, 1).len(), 250);
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
        assert_eq!(by_partition(&batch).0, [2, 4, 3, 1, 0]);
    }
}
