//! Our processes: started, killed, paused, and watched through their metrics.

use super::plan::Verb;
use anyhow::{Context, Result};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Built in the folder of the logs.
const CLOCK: &str = "clock.so";

/// The servers, topics and keyspace of one round, and the program under test.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) tapeline: PathBuf,
    pub(crate) kafka: String,
    pub(crate) cassandra: String,
    /// Prefix of topics, group and keyspace.
    pub(crate) name: String,
    /// Symbols of the tape, or `all`.
    pub(crate) symbols: String,
    /// Folder of the tape.
    pub(crate) tape: PathBuf,
    /// Where logs go.
    pub(crate) logs: PathBuf,
    pub(crate) replication: u8,
    /// By how many seconds the clock of processes is wrong.
    pub(crate) clock: Option<i32>,
}

impl Place {
    /// The source, paced unless `speed` is `max`.
    pub(crate) fn source(&self, speed: &str) -> String {
        let symbols =
            if self.symbols == "all" { String::new() } else { format!("&symbols={}", self.symbols) };
        format!("tape:{}?kinds=trades&speed={speed}{symbols}", self.tape.display())
    }

    /// A verb of the program on this round's servers.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.tapeline);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TAPELINE")) {
            command.env_remove(name);
        }
        command
            .args(words)
            .args(["--topic", &format!("kafka://{}", self.kafka)])
            .args(["--store", &format!("cassandra://{}/{}", self.cassandra, self.name)])
            .env("TAPELINE__TOPIC__PREFIX", &self.name)
            .env("TAPELINE__TOPIC__GROUP", &self.name)
            .env("TAPELINE__TOPIC__KAFKA__REPLICATION", self.replication.to_string())
            .env("TAPELINE__TOPIC__KAFKA__SESSION_TIMEOUT", "6s")
            .env("TAPELINE__STORE__CASSANDRA__REPLICATION", self.replication.to_string())
            .env("TAPELINE__PRODUCE__POSITION_INTERVAL", "300ms")
            .stdin(Stdio::null());
        if let Some(offset) = self.clock {
            command.env("LD_PRELOAD", self.logs.join(CLOCK)).env("TAPELINE_CLOCK_OFFSET", offset.to_string());
        }
        command
    }

    /// Runs a verb to its end: exit code and output.
    pub(crate) fn run(&self, words: &[&str]) -> Result<(i32, String)> {
        let output = self.command(words).output().context("start tapeline")?;
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        self.note(&format!("$ {} -> {:?}\n{text}", words.join(" "), output.status.code()))?;
        Ok((output.status.code().unwrap_or(-1), text))
    }

    /// Runs a verb that must succeed.
    pub(crate) fn must(&self, words: &[&str]) -> Result<String> {
        let (code, text) = self.run(words)?;
        anyhow::ensure!(code == 0, "tapeline {}: exit {code}\n{text}", words.join(" "));
        Ok(text)
    }

    /// Adds to the round's log.
    pub(crate) fn note(&self, text: &str) -> Result<()> {
        let path = self.logs.join(format!("{}.log", self.name));
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        writeln!(file, "{text}").with_context(|| format!("write {}", path.display()))
    }
}

/// Builds the library that makes a process's clock wrong. (libfaketime ends a program that has an allocator of its own.)
pub(crate) fn build_clock(logs: &Path) -> Result<()> {
    crate::shell::run(
        Command::new("cc")
            .args(["-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "xtask/src/chaos/clock.c", "-ldl", "-o"])
            .arg(logs.join(CLOCK)),
    )
}

/// A running verb, started again whenever a fault killed it.
pub(crate) struct Program {
    pub(crate) verb: Verb,
    child: Child,
    port: u16,
    log: PathBuf,
    /// How often it has been started.
    pub(crate) starts: u32,
}

impl Program {
    pub(crate) fn start(place: &Place, verb: Verb, speed: &str, port: u16) -> Result<Self> {
        let log = place.logs.join(format!("{}-{}.log", place.name, verb.name()));
        let child = spawn(place, verb, speed, port, &log)?;
        Ok(Self { verb, child, port, log, starts: 1 })
    }

    /// Starts it after it ended.
    pub(crate) fn start_again(&mut self, place: &Place, speed: &str) -> Result<()> {
        self.child = spawn(place, self.verb, speed, self.port, &self.log)?;
        self.starts += 1;
        Ok(())
    }

    /// Whether it ended by itself: its exit code.
    pub(crate) fn ended(&mut self) -> Result<Option<i32>> {
        Ok(self.child.try_wait()?.map(|status| status.code().unwrap_or(-1)))
    }

    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        crate::shell::output(Command::new("kill").args([name, &self.child.id().to_string()])).map(drop)
    }

    /// Kills it; its exit code if it had ended before.
    pub(crate) fn kill(&mut self) -> Result<Option<i32>> {
        let before = self.ended()?;
        if before.is_none() {
            self.signal("-KILL")?;
            self.child.wait()?;
        }
        Ok(before)
    }

    /// Asks it to stop and waits; its exit code.
    pub(crate) fn stop(&mut self) -> Result<i32> {
        if self.ended()?.is_none() {
            self.signal("-TERM")?;
        }
        Ok(self.child.wait()?.code().unwrap_or(-1))
    }

    /// Records it has finished since it was started; `None` if it does not answer.
    pub(crate) fn done(&self) -> Option<u64> {
        let name = match self.verb {
            Verb::Produce => "tapeline_records_produced_total{kind=\"trade\"} ",
            Verb::Consume => "tapeline_records_stored_total{kind=\"trade\"} ",
            Verb::Aggregate => "tapeline_records_aggregated_total ",
        };
        let text = scrape(self.port)?;
        text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
    }

    /// Number of warnings it wrote.
    pub(crate) fn warnings(&self) -> usize {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().filter(|line| line.contains(" WARN ") || line.contains("\"WARN\"")).count()
    }

    /// The last lines it wrote.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(6)..].join("\n    ")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(place: &Place, verb: Verb, speed: &str, port: u16, log: &Path) -> Result<Child> {
    let out = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = place.command(&[verb.name()]);
    command.env("TAPELINE__METRICS__LISTEN", format!("127.0.0.1:{port}"));
    match verb {
        Verb::Produce => command.args(["--source", &place.source(speed)]),
        Verb::Consume => command.args(["--instance", "chaos"]),
        Verb::Aggregate => &mut command,
    };
    command.stdout(out.try_clone()?).stderr(out).spawn().with_context(|| format!("start {}", verb.name()))
}

/// The metrics of a process; `None` if it does not answer within a second.
fn scrape(port: u16) -> Option<String> {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let limit = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.starts_with("HTTP/1.0 200").then_some(text).or(None)
}
