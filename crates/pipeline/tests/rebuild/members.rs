//! Several members of the group, none of which reads both partitions of a symbol.

use crate::place::{HALF, NEXT_DAY, Place, SYMBOLS};
use pipeline::aggregate;
use ports::batch::Partition;
use ports::check::Chain;
use ports::gap::{Gap, GapState, LATE, MOVED};
use ports::telemetry::Telemetry;
use ports::topic::{
    Consumer, Fetched, LostRange, Names, OnRevoke, PartitionLag, Producer, TopicSpec, Topics,
};
use ports::{CancelToken, Result};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn members_that_each_read_one_partition_of_a_symbol_mark_its_bars() {
    let place = Place::new();
    let (stop, end) = (CancelToken::default(), AtomicBool::new(false));
    let counts = [Telemetry::default(), Telemetry::default()];
    let aggregated = || counts.iter().map(|count| count.get(&count.aggregated)).sum::<u64>();
    std::thread::scope(|scope| {
        for telemetry in &counts {
            let (place, stop, end) = (&place, &stop, &end);
            scope.spawn(move || {
                aggregate::run(&place.topics, &place.store, &place.settings(), telemetry, stop, end).unwrap();
            });
        }
        // Each member reads one of the two partitions.
        let mut sent = 0;
        wait_until("both members read", || {
            place.send(sent..sent + 1);
            sent += 1;
            assert!(sent < HALF, "one member has read everything");
            std::thread::sleep(Duration::from_millis(50));
            counts.iter().all(|count| count.get(&count.aggregated) > 0)
        });
        place.send(sent..HALF);
        wait_until("the first half", || aggregated() >= HALF * SYMBOLS.len() as u64);
        place.grow();
        place.send(HALF..2 * HALF);
        wait_until("the second half", || aggregated() >= 2 * HALF * SYMBOLS.len() as u64);
        end.store(true, Ordering::SeqCst);
    });
    place.check();
}

#[test]
fn a_symbol_that_moves_after_its_bars_were_final_is_marked() {
    let place = Place::new();
    place.send(0..HALF);
    place.send(NEXT_DAY..NEXT_DAY + 3);
    place.aggregate(&Telemetry::default(), &CancelToken::default(), true);
    place.grow();
    // Late records of the first day, sent long after. In another partition they begin a session.
    place.stamp_ms.store(i64::MAX / 2, Ordering::SeqCst);
    place.send(HALF..HALF + 1);
    place.aggregate(&Telemetry::default(), &CancelToken::default(), true);
    let ledger = ports::gap::ledger(&place.topics, &place.names).unwrap();
    let named = |prefix: &str| -> BTreeSet<String> {
        let of_first_day = |gap: &&Gap| {
            gap.state == GapState::Open && gap.from.starts_with("2024-03-11") && gap.id.starts_with(prefix)
        };
        ledger.iter().filter(of_first_day).flat_map(|gap| gap.symbols.clone()).collect()
    };
    assert_eq!(named(MOVED), place.moved());
    // Those of the others are in the partition whose bars are final.
    let late: BTreeSet<String> = SYMBOLS.map(str::to_owned).into_iter().collect();
    assert_eq!(named(LATE), &late - &place.moved());
    for symbol in SYMBOLS {
        let first = place.bars_of(symbol, "1d").remove(0);
        assert!(!first.complete, "{symbol}: {first:?}");
    }
}

/// Topics on which another member reads everything once this one has started, and ends before this one reads.
struct Before<'a>(&'a Place);

struct BeforeConsumer {
    inner: Box<dyn Consumer>,
    other: Option<Box<dyn FnOnce() + Send>>,
}

impl Topics for Before<'_> {
    fn init(&self, specs: &[TopicSpec]) -> Result<Vec<String>> {
        self.0.topics.init(specs)
    }

    fn producer(&self) -> Result<Box<dyn Producer>> {
        self.0.topics.producer()
    }

    fn consumer(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>> {
        let inner = self.0.topics.consumer(group, topics)?;
        let place = self.0.another();
        let other = move || place.aggregate(&Telemetry::default(), &CancelToken::default(), true);
        let other: Option<Box<dyn FnOnce() + Send>> = (!group.is_empty()).then(|| Box::new(other) as _);
        Ok(Box::new(BeforeConsumer { inner, other }))
    }

    fn partition_of(&self, key: &str, partitions: i32) -> i32 {
        self.0.topics.partition_of(key, partitions)
    }

    fn read_all(&self, topics: &[String], sink: &mut dyn FnMut(&dyn Fetched)) -> Result<u64> {
        self.0.topics.read_all(topics, sink)
    }

    fn partition_lag(&self, group: &str, topics: &[String]) -> Result<Vec<PartitionLag>> {
        self.0.topics.partition_lag(group, topics)
    }

    fn check(&self, names: &Names, group: &str) -> Chain {
        self.0.topics.check(names, group)
    }

    fn describe(&self) -> String {
        self.0.topics.describe()
    }
}

impl Consumer for BeforeConsumer {
    fn topics(&self) -> &[String] {
        self.inner.topics()
    }

    fn fetch(&mut self, max: usize, wait: Duration, sink: &mut dyn FnMut(&dyn Fetched)) -> Result<usize> {
        if let Some(other) = self.other.take() {
            other();
        }
        self.inner.fetch(max, wait, sink)
    }

    fn commit(&mut self, offsets: &[(Partition, i64)], wait: bool) -> Result<()> {
        self.inner.commit(offsets, wait)
    }

    fn pause(&mut self, paused: bool) -> Result<()> {
        self.inner.pause(paused)
    }

    fn on_revoke(&mut self, hook: OnRevoke) {
        self.inner.on_revoke(hook);
    }

    fn assignments(&self) -> Arc<AtomicU64> {
        self.inner.assignments()
    }

    fn partition_counts(&mut self) -> Result<Vec<i32>> {
        self.inner.partition_counts()
    }

    fn lag(&mut self) -> Result<u64> {
        self.inner.lag()
    }

    fn lost(&mut self) -> Vec<LostRange> {
        self.inner.lost()
    }

    fn ahead(&mut self, next: &dyn Fn(Partition) -> Option<i64>) -> Result<Option<u64>> {
        self.inner.ahead(next)
    }
}

#[test]
fn a_member_knows_which_sessions_the_former_owner_of_its_partitions_finished() {
    let place = Place::new();
    let (first, others) = SYMBOLS.split_at(1);
    // Its session is finished, and another that is not began in the middle of it: a restart reads half of it.
    place.send_of(first, 0..1);
    place.send_of(others, 0..HALF);
    place.send_of(first, 1..HALF);
    place.send_of(first, NEXT_DAY..NEXT_DAY + 3);
    let (telemetry, stop, end) = (Telemetry::default(), CancelToken::default(), AtomicBool::new(true));
    aggregate::run(&Before(&place), &place.store, &place.settings(), &telemetry, &stop, &end).unwrap();
    let all_but_one = HALF * SYMBOLS.len() as u64 + 3 - 1;
    assert_eq!(telemetry.get(&telemetry.aggregated), all_but_one, "all but the first record of the session");
    let bars = place.bars_of(first[0], "1d");
    let trades: Vec<String> = bars.iter().map(|bar| format!("{:?}", bar.values)).collect();
    assert!(bars.len() == 2 && trades[0].contains(&format!("trades: {HALF}")), "{trades:?}");
}
