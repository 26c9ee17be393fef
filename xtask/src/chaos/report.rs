//! The table of faults, and whether everything held.

use super::round::Outcome;
use std::collections::BTreeMap;
use std::time::Duration;

/// Totals of one kind of fault.
#[derive(Debug, Default)]
struct Row {
    times: u64,
    sent: u64,
    lost: u64,
    doubled: u64,
    hidden: u64,
    destroyed: u64,
    recovered: Vec<Duration>,
}

/// All rounds so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: BTreeMap<String, Row>,
    total: Row,
    bars: u64,
    rounds: u64,
    problems: Vec<String>,
}

impl Report {
    /// Adds a round. What it lost counts for each kind of fault in it, because the rows do not say which it was.
    pub(crate) fn add(&mut self, number: usize, outcome: Outcome) {
        self.rounds += 1;
        self.bars += outcome.bars;
        let mut kinds: Vec<String> = outcome.injected.iter().map(|one| one.fault.name()).collect();
        kinds.sort();
        kinds.dedup();
        for one in &outcome.injected {
            for row in [self.rows.entry(one.fault.name()).or_default(), &mut self.total] {
                row.times += 1;
                row.sent += one.sent;
                row.recovered.extend(one.recovered);
            }
        }
        for kind in &kinds {
            if let Some(row) = self.rows.get_mut(kind) {
                row.add(&outcome);
            }
        }
        self.total.add(&outcome);
        self.problems.extend(outcome.problems.into_iter().map(|text| format!("round {number}: {text}")));
    }

    /// Faults so far.
    pub(crate) fn faults(&self) -> usize {
        usize::try_from(self.total.times).unwrap_or(usize::MAX)
    }

    /// Whether nothing was lost, doubled or hidden, no bar differs and no process ended by itself.
    pub(crate) fn holds(&self) -> bool {
        let Row { lost, doubled, hidden, .. } = self.total;
        [lost, doubled, hidden, self.bars].iter().all(|count| *count == 0) && self.problems.is_empty()
    }

    /// The table.
    pub(crate) fn print(&self) {
        println!(
            "\n{:24} {:>5} {:>11} {:>6} {:>7} {:>6} {:>9} {:>12} {:>8}",
            "fault", "times", "records", "lost", "doubled", "hidden", "destroyed", "recovery p50", "max"
        );
        for (name, row) in &self.rows {
            row.print(name);
        }
        self.total.print("all");
        println!("{} rounds; bars that differ from those without faults: {}", self.rounds, self.bars);
        for problem in &self.problems {
            println!("PROBLEM: {problem}");
        }
    }
}

impl Row {
    fn add(&mut self, outcome: &Outcome) {
        self.lost += outcome.lost;
        self.doubled += outcome.doubled;
        self.hidden += outcome.hidden;
        self.destroyed += outcome.destroyed;
    }

    fn print(&self, name: &str) {
        let mut times = self.recovered.clone();
        times.sort();
        let seconds = |time: Option<&Duration>| {
            time.map_or("-".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
        };
        println!(
            "{name:24} {:>5} {:>11} {:>6} {:>7} {:>6} {:>9} {:>12} {:>8}",
            self.times,
            self.sent,
            self.lost,
            self.doubled,
            self.hidden,
            self.destroyed,
            seconds(times.get(times.len() / 2)),
            seconds(times.last())
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::plan::Fault;
    use crate::chaos::round::Injected;

    fn outcome(lost: u64, hidden: u64) -> Outcome {
        let injected = [Fault::Poison, Fault::Poison, Fault::Partitions].map(|fault| Injected {
            fault,
            recovered: Some(Duration::from_secs(3)),
            sent: 10,
        });
        Outcome { injected: injected.into(), lost, hidden, ..Outcome::default() }
    }

    #[test]
    fn a_loss_or_a_problem_fails_the_report() {
        let mut report = Report::default();
        report.add(0, outcome(0, 0));
        assert!(report.holds() && report.faults() == 3);
        report.add(1, outcome(2, 0));
        assert!(!report.holds());
        assert_eq!((report.rows["poison messages"].lost, report.total.lost, report.total.sent), (2, 2, 60));
        let mut report = Report::default();
        report.add(0, Outcome { problems: vec!["consume ended".to_owned()], ..outcome(0, 0) });
        assert!(!report.holds());
        let mut report = Report::default();
        report.add(0, outcome(0, 1));
        assert!(!report.holds());
    }
}
