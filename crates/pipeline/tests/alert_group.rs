//! A member of the alert group that owns no partition ends with the group instead of waiting for a partition.
#![allow(clippy::unwrap_used, reason = "tests")]

use market::alert::{Alert, Engine, EngineSettings, Fold, FoldSettings};
use market::calendar::Calendar;
use market::policy::Policy;
use pipeline::alert::{self, AlertSettings, AlertSink};
use ports::batch::Partition;
use ports::check::Chain;
use ports::topic::{Consumer, Fetched, Names, OnRevoke, PartitionLag, Producer, TopicSpec, Topics};
use ports::{CancelToken, Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Topics of which another member owns every partition, and commits its last messages after some looks.
struct Owned {
    lag: Arc<AtomicU64>,
}

struct Idle {
    topics: Vec<String>,
    lag: Arc<AtomicU64>,
}

impl Consumer for Idle {
    fn topics(&self) -> &[String] {
        &self.topics
    }

    fn fetch(&mut self, _: usize, wait: Duration, _: &mut dyn FnMut(&dyn Fetched)) -> Result<usize> {
        std::thread::sleep(wait);
        Ok(0)
    }

    fn commit(&mut self, _: &[(Partition, i64)], _: bool) -> Result<()> {
        panic!("offsets of partitions that it does not own");
    }

    fn pause(&mut self, _: bool) -> Result<()> {
        Ok(())
    }

    fn on_revoke(&mut self, _: OnRevoke) {}

    fn assignments(&self) -> Arc<AtomicU64> {
        Arc::default()
    }

    fn partition_counts(&mut self) -> Result<Vec<i32>> {
        Ok(vec![1; self.topics.len()])
    }

    fn lag(&mut self) -> Result<u64> {
        let left = self.lag.load(Ordering::SeqCst);
        self.lag.store(left.saturating_sub(1), Ordering::SeqCst);
        Ok(left)
    }

    fn ahead(&mut self, _: &dyn Fn(Partition) -> Option<i64>) -> Result<Option<u64>> {
        Ok(None)
    }
}

fn unused<T>() -> Result<T> {
    Err(Error::internal("not part of the test"))
}

impl Topics for Owned {
    fn init(&self, _: &[TopicSpec]) -> Result<Vec<String>> {
        unused()
    }

    fn producer(&self) -> Result<Box<dyn Producer>> {
        unused()
    }

    fn consumer(&self, _: &str, topics: &[String]) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(Idle { topics: topics.to_vec(), lag: Arc::clone(&self.lag) }))
    }

    fn partition_of(&self, _: &str, _: i32) -> i32 {
        0
    }

    fn read_all(&self, _: &[String], _: &mut dyn FnMut(&dyn Fetched)) -> Result<u64> {
        unused()
    }

    fn partition_lag(&self, _: &str, topics: &[String]) -> Result<Vec<PartitionLag>> {
        let lag = |topic: &String| PartitionLag {
            topic: topic.clone(),
            partition: 0,
            start: 0,
            end: 7,
            committed: Some(7),
        };
        Ok(topics.iter().map(lag).collect())
    }

    fn check(&self, _: &Names, _: &str) -> Chain {
        Chain::new()
    }

    fn describe(&self) -> String {
        "owned".to_owned()
    }
}

struct NoAlerts;

impl AlertSink for NoAlerts {
    fn checkpoint(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn commit(&mut self, alerts: &[(Alert, bool)], _: Option<&[u8]>) -> Result<()> {
        assert!(alerts.is_empty());
        Ok(())
    }
}

#[test]
fn a_member_without_a_partition_ends_once_the_group_has_committed_everything() {
    let lag = Arc::new(AtomicU64::new(2));
    let engine = EngineSettings::new(Policy::named("all").unwrap(), Calendar::XNYS);
    let settings = AlertSettings {
        names: Names::new("t"),
        group: "alerts".to_owned(),
        cycle: 100,
        checkpoint_every: Duration::from_secs(3_600),
        stages: Vec::new(),
    };
    let report = alert::run(
        &Owned { lag: Arc::clone(&lag) },
        Engine::new(&[], engine).unwrap(),
        Fold::new(FoldSettings::default()),
        &mut NoAlerts,
        &settings,
        &CancelToken::default(),
        &AtomicBool::new(true),
    )
    .unwrap();
    assert_eq!(report.records, 0);
    assert_eq!(lag.load(Ordering::SeqCst), 0, "it waited until the others had committed");
}
