//! Injects one fault, and measures how long it takes until records pass again.

use super::cut::Cut;
use super::plan::{Fault, Server, Step, Verb};
use super::program::{Place, Program};
use crate::stack::Stack;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long records may take to pass again before that is a failure.
const PATIENCE: Duration = Duration::from_secs(600);
/// Poison messages of one fault.
const POISON: u64 = 200;

/// What a fault did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Effect {
    /// From its start until records passed again everywhere; `None` if the tape ended before.
    pub(crate) recovered: Option<Duration>,
    /// Messages that must be dead letters afterwards.
    pub(crate) poison: u64,
    /// Messages it removed before they were stored.
    pub(crate) unread: u64,
}

/// Where faults happen: servers and our processes.
pub(crate) struct Scene<'a> {
    pub(crate) place: Place,
    pub(crate) stack: &'a Stack,
    pub(crate) python: PathBuf,
    pub(crate) programs: [Program; 3],
    pub(crate) speed: &'static str,
    /// Processes that ended by themselves, and what they wrote last.
    pub(crate) ended: Vec<String>,
}

impl Scene<'_> {
    /// Calls `admin.py`.
    pub(crate) fn admin(&self, words: &[&str]) -> Result<Value> {
        admin(&self.python, &self.place, words)
    }

    fn program(&mut self, verb: Verb) -> &mut Program {
        &mut self.programs[verb as usize]
    }

    /// Whether the producer has published the whole tape.
    pub(crate) fn tape_is_over(&mut self) -> Result<bool> {
        Ok(self.program(Verb::Produce).ended()? == Some(0))
    }

    /// Records the programs that ended by themselves, and starts them again as a supervisor would.
    pub(crate) fn supervise(&mut self) -> Result<()> {
        for verb in Verb::ALL {
            let place = self.place.clone();
            let (program, speed) = (&mut self.programs[verb as usize], self.speed);
            match program.ended()? {
                None => {}
                Some(0) if verb == Verb::Produce => {}
                Some(code) => {
                    let words = program.last_words();
                    self.ended.push(format!("{} ended with exit {code}:\n    {words}", verb.name()));
                    program.start_again(&place, speed)?;
                }
            }
        }
        Ok(())
    }

    /// Injects a fault.
    pub(crate) fn inject(&mut self, step: &Step) -> Result<Effect> {
        let start = Instant::now();
        let node = step.target % self.stack.nodes() + 1;
        let mut effect = Effect::default();
        let affected: &[Verb] = match step.fault {
            Fault::Kill(verb) => {
                let (place, speed) = (self.place.clone(), self.speed);
                self.restart(verb, &place, speed)?;
                &Verb::ALL[verb as usize..=verb as usize]
            }
            Fault::Pause(verb) => {
                self.program(verb).signal("-STOP")?;
                std::thread::sleep(step.lasts);
                self.program(verb).signal("-CONT")?;
                &Verb::ALL[verb as usize..=verb as usize]
            }
            Fault::KillServer(server) => {
                self.kill_servers(&[(server, node)], step.lasts)?;
                &Verb::ALL
            }
            Fault::KillBoth => {
                self.kill_servers(&[(Server::Broker, node), (Server::Node, node)], step.lasts)?;
                &Verb::ALL
            }
            Fault::KillMajority => {
                self.kill_majority(node, step.lasts)?;
                &Verb::ALL
            }
            Fault::PauseServer(server) => {
                self.stack.signal(server.kind(), node, "-STOP")?;
                std::thread::sleep(step.lasts);
                self.stack.signal(server.kind(), node, "-CONT")?;
                &Verb::ALL
            }
            Fault::Cut(server) => {
                let _cut = Cut::new(node, self.stack.client_port(server.kind()))?;
                std::thread::sleep(step.lasts);
                &Verb::ALL
            }
            Fault::WrongClock(verb) => {
                let (mut place, speed) = (self.place.clone(), self.speed);
                place.clock = Some(if step.target.is_multiple_of(2) { 3_600 } else { -3_600 });
                self.restart(verb, &place, speed)?;
                std::thread::sleep(step.lasts);
                if !self.tape_is_over()? {
                    place.clock = None;
                    self.restart(verb, &place, speed)?;
                }
                &Verb::ALL[verb as usize..=verb as usize]
            }
            Fault::RollingRestart => {
                for server in [Server::Broker, Server::Node] {
                    for number in 1..=self.stack.nodes() {
                        self.stack.signal(server.kind(), number, "-TERM")?;
                        self.stack.wait_until_gone(server.kind(), number)?;
                        self.stack.start_again(server.kind(), number)?;
                    }
                }
                &Verb::ALL
            }
            Fault::Poison => {
                let seed = step.lasts.as_nanos().to_string();
                let sent = self.admin(&["poison", &POISON.to_string(), &seed])?;
                effect.poison = sent["sent"].as_u64().context("no count of poison messages")?;
                &[Verb::Consume, Verb::Aggregate]
            }
            Fault::Partitions => {
                self.admin(&["partitions", "1"])?;
                &[Verb::Consume, Verb::Aggregate]
            }
            Fault::ColumnDropped => {
                self.admin(&["cql", "ALTER TABLE trades DROP side"])?;
                std::thread::sleep(step.lasts + Duration::from_secs(3));
                self.admin(&["cql", "ALTER TABLE trades ADD side text"])?;
                &[Verb::Consume]
            }
            Fault::TableDropped => {
                self.admin(&["cql", "DROP TABLE trades"])?;
                std::thread::sleep(step.lasts + Duration::from_secs(3));
                self.place.must(&["init"])?;
                &[Verb::Consume]
            }
            Fault::Retention => {
                self.program(Verb::Consume).kill()?;
                std::thread::sleep(step.lasts + Duration::from_secs(5));
                effect.unread = self.admin(&["retention"])?["unread"].as_u64().context("no count")?;
                let (place, speed) = (self.place.clone(), self.speed);
                self.program(Verb::Consume).start_again(&place, speed)?;
                &[Verb::Consume]
            }
            Fault::TopicRecreated => {
                self.program(Verb::Consume).kill()?;
                std::thread::sleep(step.lasts + Duration::from_secs(3));
                for verb in [Verb::Produce, Verb::Aggregate] {
                    self.program(verb).stop()?;
                }
                effect.unread = self.admin(&["recreate"])?["unread"].as_u64().context("no count")?;
                let (place, speed) = (self.place.clone(), self.speed);
                for verb in Verb::ALL {
                    self.program(verb).start_again(&place, speed)?;
                }
                &[Verb::Produce, Verb::Consume]
            }
        };
        if self.pass_again(affected)? {
            effect.recovered = Some(start.elapsed());
        }
        Ok(effect)
    }

    /// Kills a process and starts it again, unless it is the producer and has published everything.
    fn restart(&mut self, verb: Verb, place: &Place, speed: &str) -> Result<()> {
        let program = self.program(verb);
        if let Some(code) = program.kill()? {
            if code == 0 && verb == Verb::Produce {
                return Ok(());
            }
            let words = program.last_words();
            self.ended.push(format!("{} ended with exit {code}:\n    {words}", verb.name()));
        }
        self.program(verb).start_again(place, speed)
    }

    /// Kills servers and starts them again after a time.
    fn kill_servers(&mut self, servers: &[(Server, u8)], lasts: Duration) -> Result<()> {
        for (server, node) in servers {
            self.stack.signal(server.kind(), *node, "-KILL")?;
        }
        for (server, node) in servers {
            self.stack.wait_until_gone(server.kind(), *node)?;
        }
        std::thread::sleep(lasts);
        for (server, node) in servers {
            self.stack.start_again(server.kind(), *node)?;
        }
        Ok(())
    }

    /// Kills so many brokers and nodes at once that no majority is left. No process may end, and one has to warn.
    fn kill_majority(&mut self, first: u8, lasts: Duration) -> Result<()> {
        let nodes = self.stack.nodes();
        let (mut servers, mut number) = (Vec::new(), first);
        for _ in 0..nodes / 2 + 1 {
            servers.extend([(Server::Broker, number), (Server::Node, number)]);
            number = number % nodes + 1;
        }
        let starts = |scene: &Self| scene.programs.each_ref().map(|program| program.starts);
        let warnings = |scene: &Self| scene.programs.iter().map(Program::warnings).sum::<usize>();
        let before = (starts(self), warnings(self));
        self.kill_servers(&servers, lasts)?;
        if warnings(self) == before.1 {
            bail!(
                "{} of {nodes} brokers and nodes were gone for {lasts:?}, and no process said so",
                nodes / 2 + 1
            );
        }
        self.supervise()?;
        if !self.tape_is_over()? && starts(self) != before.0 {
            bail!("a process ended while the majority was gone: {}", self.ended.join("; "));
        }
        Ok(())
    }

    /// Waits until every process has finished its first records: a fault before that would hit their start, not the load.
    pub(crate) fn wait_for_load(&mut self) -> Result<()> {
        self.pass_again(&Verb::ALL).map(drop)
    }

    /// Waits until each of these has finished records since now, or since it was started; false if the tape ended.
    fn pass_again(&mut self, verbs: &[Verb]) -> Result<bool> {
        let start = Instant::now();
        // A process that does not answer yet was just started: it counts from 0.
        let mut before: Vec<(Verb, u32, u64)> = Vec::new();
        for verb in verbs {
            let program = self.program(*verb);
            before.push((*verb, program.starts, program.done().unwrap_or(0)));
        }
        while !before.is_empty() {
            if self.tape_is_over()? {
                return Ok(false);
            }
            self.supervise()?;
            before.retain(|(verb, starts, done)| {
                let program = &self.programs[*verb as usize];
                let base = if program.starts == *starts { *done } else { 0 };
                program.done().is_none_or(|now| now <= base)
            });
            if start.elapsed() > PATIENCE {
                let names: Vec<&str> = before.iter().map(|(verb, ..)| verb.name()).collect();
                let words = self.programs[before[0].0 as usize].last_words();
                bail!(
                    "{} finished no record within {} s:\n    {words}",
                    names.join(", "),
                    PATIENCE.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(true)
    }
}

/// Calls `admin.py` for a round: the JSON it prints.
pub(crate) fn admin(python: &PathBuf, place: &Place, words: &[&str]) -> Result<Value> {
    let text = crate::shell::output(
        Command::new(python)
            .args(["-W", "ignore", "xtask/src/chaos/admin.py", &place.kafka, &place.cassandra, &place.name])
            .args(words),
    )?;
    serde_json::from_str(&text).with_context(|| format!("admin.py {}: {text}", words.join(" ")))
}
