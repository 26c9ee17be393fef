//! How many seconds the stages of the pipeline are behind, for rules of the kind `pipeline_lag`.
//!
//! A stage is as far behind as the oldest message that it has not processed: since when that message is known to be in
//! the topic. What was there before the first look counts from then on.

use ports::Result;
use ports::topic::{PartitionLag, Topics};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// A stage: a consumer group and what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedGroup {
    /// Its name, which rules match as a symbol.
    pub name: String,
    /// Its consumer group.
    pub group: String,
    /// The topics that it reads.
    pub topics: Vec<String>,
}

/// Maximum number of times that are kept of a partition; then the latest one stands for what is new.
const TIMES: usize = 10_000;

/// Ends of a partition, each with the time at which it was first seen.
#[derive(Debug, Default)]
struct Ends(VecDeque<(i64, i64)>);

impl Ends {
    fn observe(&mut self, now: i64, end: i64) {
        let is_full = self.0.len() >= TIMES;
        match self.0.back_mut() {
            Some((_, known)) if *known >= end => {}
            Some((_, known)) if is_full => *known = end,
            _ => self.0.push_back((now, end)),
        }
    }

    /// How long the message at an offset has been there; 0 if there is none.
    fn age(&self, offset: i64, now: i64) -> i64 {
        let seen = self.0.iter().find(|(_, end)| *end > offset);
        seen.map_or(0, |(time, _)| now.saturating_sub(*time).max(0))
    }

    /// Forgets what every stage has processed.
    fn forget(&mut self, offset: i64) {
        while self.0.len() > 1 && self.0.front().is_some_and(|(_, end)| *end <= offset) {
            self.0.pop_front();
        }
    }
}

/// Ends of the partitions that stages read.
#[derive(Debug, Default)]
pub(super) struct StageLag {
    ends: FxHashMap<(String, i32), Ends>,
}

impl StageLag {
    /// Passes the name of each stage and the seconds it is behind to `sink`. `next` is the position in a partition if it is
    /// known better than by what the group has committed.
    pub(super) fn measure(
        &mut self,
        stages: &[FollowedGroup],
        topics: &dyn Topics,
        now: i64,
        next: &dyn Fn(&FollowedGroup, &PartitionLag) -> Option<i64>,
        sink: &mut dyn FnMut(&str, f64),
    ) -> Result<()> {
        let mut least: FxHashMap<(String, i32), i64> = FxHashMap::default();
        for stage in stages {
            let mut behind = 0;
            for lag in topics.partition_lag(&stage.group, &stage.topics)? {
                let next = next(stage, &lag).or(lag.committed).unwrap_or(lag.start).max(lag.start);
                let partition = (lag.topic, lag.partition);
                let ends = self.ends.entry(partition.clone()).or_default();
                ends.observe(now, lag.end);
                behind = behind.max(ends.age(next, now));
                least.entry(partition).and_modify(|least| *least = next.min(*least)).or_insert(next);
            }
            sink(&stage.name, behind as f64 / 1e9);
        }
        for (partition, next) in least {
            self.ends.entry(partition).or_default().forget(next);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_as_far_behind_as_its_oldest_message_is_known() {
        let mut ends = Ends::default();
        // Empty, then three messages at 5, and two more at 7.
        for (now, end) in [(1, 0), (5, 3), (6, 3), (7, 5)] {
            ends.observe(now, end);
        }
        assert_eq!([0, 2, 3, 4, 5, 9].map(|offset| ends.age(offset, 10)), [5, 5, 3, 3, 0, 0]);
        ends.forget(3);
        assert_eq!([3, 5].map(|offset| ends.age(offset, 10)), [3, 0]);
        ends.forget(9);
        ends.observe(11, 6);
        assert_eq!([5, 6].map(|offset| ends.age(offset, 12)), [1, 0]);
    }

    #[test]
    fn times_are_bounded() {
        let mut ends = Ends::default();
        (0..2 * TIMES as i64).for_each(|second| ends.observe(second, second + 1));
        assert_eq!(ends.0.len(), TIMES);
        assert_eq!(ends.age(0, 2 * TIMES as i64), 2 * TIMES as i64);
    }
}
