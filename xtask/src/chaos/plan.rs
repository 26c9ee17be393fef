//! The faults, and which of them happen when: a function of the seed alone.

use std::time::Duration;

/// One of our processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Produce,
    Consume,
    Aggregate,
}

impl Verb {
    pub(crate) const ALL: [Self; 3] = [Self::Produce, Self::Consume, Self::Aggregate];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::Aggregate => "aggregate",
        }
    }
}

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Server {
    Broker,
    Node,
}

impl Server {
    /// The kind of node in a stack.
    pub(crate) const fn kind(self) -> &'static str {
        if matches!(self, Self::Broker) { "kafka" } else { "cassandra" }
    }

    const fn name(self) -> &'static str {
        if matches!(self, Self::Broker) { "broker" } else { "node" }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// One of our processes dies without warning.
    Kill(Verb),
    /// One of our processes stands still.
    Pause(Verb),
    /// A server dies without warning and is started again.
    KillServer(Server),
    /// A server stands still: a long collection, a moved virtual machine.
    PauseServer(Server),
    /// Packets between clients and a server vanish, without a reset.
    Cut(Server),
    /// One of our processes is killed and started again with a clock that is wrong by an hour.
    WrongClock(Verb),
    /// Every server is stopped and started, one after the other.
    RollingRestart,
    /// A broker and a node die together.
    KillBoth,
    /// So many brokers and nodes die together that no majority is left: two of three.
    KillMajority,
    /// Messages of 20 kinds that can never be stored.
    Poison,
    /// The topic of trades gets more partitions.
    Partitions,
    /// A table loses a column, which is later added again.
    ColumnDropped,
    /// A table is dropped, and created again by `init`.
    TableDropped,
    /// Retention deletes messages that nobody has read.
    Retention,
    /// The topic is deleted and created again.
    TopicRecreated,
}

impl Fault {
    /// Those that happen in any order in one round.
    const MIXED: [Self; 20] = [
        Self::Kill(Verb::Produce),
        Self::Kill(Verb::Consume),
        Self::Kill(Verb::Aggregate),
        Self::Pause(Verb::Produce),
        Self::Pause(Verb::Consume),
        Self::Pause(Verb::Aggregate),
        Self::KillServer(Server::Broker),
        Self::KillServer(Server::Node),
        Self::PauseServer(Server::Broker),
        Self::PauseServer(Server::Node),
        Self::Cut(Server::Broker),
        Self::Cut(Server::Node),
        Self::WrongClock(Verb::Produce),
        Self::WrongClock(Verb::Consume),
        Self::WrongClock(Verb::Aggregate),
        Self::RollingRestart,
        Self::KillBoth,
        Self::KillMajority,
        Self::Poison,
        Self::Partitions,
    ];
    /// Those that destroy data or need a repair: each has a round of its own.
    const ALONE: [Self; 4] = [Self::ColumnDropped, Self::TableDropped, Self::Retention, Self::TopicRecreated];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Kill(verb) => format!("kill -9 {}", verb.name()),
            Self::Pause(verb) => format!("pause {}", verb.name()),
            Self::KillServer(server) => format!("kill -9 {}", server.name()),
            Self::PauseServer(server) => format!("pause {}", server.name()),
            Self::Cut(server) => format!("cut off {}", server.name()),
            Self::WrongClock(verb) => format!("wrong clock {}", verb.name()),
            Self::RollingRestart => "rolling restart".to_owned(),
            Self::KillBoth => "kill -9 broker and node".to_owned(),
            Self::KillMajority => "majority gone".to_owned(),
            Self::Poison => "poison messages".to_owned(),
            Self::Partitions => "partitions added".to_owned(),
            Self::ColumnDropped => "column dropped".to_owned(),
            Self::TableDropped => "table dropped".to_owned(),
            Self::Retention => "retention".to_owned(),
            Self::TopicRecreated => "topic recreated".to_owned(),
        }
    }

    /// Whether it removes messages that were not stored: the loss must be reported.
    pub(crate) const fn destroys(self) -> bool {
        matches!(self, Self::Retention | Self::TopicRecreated)
    }

    /// Whether it removes stored values, which `verify --repair` restores from the topic.
    pub(crate) const fn needs_repair(self) -> bool {
        matches!(self, Self::ColumnDropped | Self::TableDropped)
    }
}

/// A fault, how long before it, and how long it lasts where it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) fault: Fault,
    pub(crate) wait: Duration,
    pub(crate) lasts: Duration,
    /// Which node, counted from 0; taken modulo the number of nodes.
    pub(crate) target: u8,
}

/// Faults of a round of the mixed kind.
const PER_ROUND: usize = 25;

/// The steps of one round.
pub(crate) type Round = Vec<Step>;

/// The rounds: two mixed ones, then one of a fault that is alone, and so on.
pub(crate) struct Plan {
    random: Random,
    mixed: Vec<Fault>,
    alone: Vec<Fault>,
    /// Mixed faults that are still to come before any comes again.
    bag: Vec<Fault>,
    rounds: usize,
}

impl Plan {
    /// The plan of a seed; with words, only of faults with one of them in their name.
    pub(crate) fn new(seed: u64, only: &[String]) -> Self {
        let wanted =
            |fault: &Fault| only.is_empty() || only.iter().any(|word| fault.name().contains(word.as_str()));
        Self {
            random: Random(seed),
            mixed: Fault::MIXED.into_iter().filter(wanted).collect(),
            alone: Fault::ALONE.into_iter().filter(wanted).collect(),
            bag: Vec::new(),
            rounds: 0,
        }
    }

    /// Whether a fault with this in its name may come.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.mixed.iter().chain(&self.alone).any(|fault| fault.name().contains(name))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.mixed.is_empty() && self.alone.is_empty()
    }

    fn step(&mut self, fault: Fault) -> Step {
        let millis =
            |random: &mut Random, from: u64, to: u64| Duration::from_millis(from + random.below(to - from));
        let (from, to) = match fault {
            // Longer and shorter than every timeout between us and the server.
            Fault::PauseServer(_) | Fault::Cut(_) => (1_000, 25_000),
            Fault::Pause(_) => (500, 12_000),
            Fault::KillMajority => (20_000, 40_000),
            _ => (0, 4_000),
        };
        Step {
            fault,
            wait: millis(&mut self.random, 500, 4_000),
            lasts: millis(&mut self.random, from, to),
            target: self.random.below(3) as u8,
        }
    }

    /// The next round, of at most `most` faults.
    pub(crate) fn next(&mut self, most: usize) -> Round {
        let turn = self.rounds;
        self.rounds += 1;
        if !self.alone.is_empty() && (self.mixed.is_empty() || turn % 3 == 2) {
            let index = if self.mixed.is_empty() { turn } else { turn / 3 };
            let fault = self.alone[index % self.alone.len()];
            return vec![self.step(fault)];
        }
        (0..most.min(PER_ROUND))
            .map(|_| {
                if self.bag.is_empty() {
                    self.bag.clone_from(&self.mixed);
                }
                let at = self.random.below(self.bag.len() as u64) as usize;
                let fault = self.bag.swap_remove(at);
                self.step(fault)
            })
            .collect()
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_gives_one_plan_with_every_fault_in_it() {
        let rounds = |seed: u64| {
            let mut plan = Plan::new(seed, &[]);
            (0..12).map(|_| plan.next(usize::MAX)).collect::<Vec<_>>()
        };
        assert_eq!(rounds(7), rounds(7));
        assert_ne!(rounds(7), rounds(8));
        let seen: BTreeSet<String> = rounds(7).concat().iter().map(|step| step.fault.name()).collect();
        assert_eq!(seen.len(), Fault::MIXED.len() + Fault::ALONE.len(), "{seen:?}");
        // A fault that destroys data shares its round with no other.
        assert!(
            rounds(7).iter().all(|round| round.len() == 1 || round.iter().all(|step| !step.fault.destroys()))
        );
        let kills = Plan::new(1, &["kill".to_owned()]).next(40);
        assert!(kills.len() == PER_ROUND && kills.iter().all(|step| step.fault.name().contains("kill")));
        assert!(Plan::new(1, &["nothing".to_owned()]).is_empty());
    }
}
