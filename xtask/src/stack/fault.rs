//! Faults of single nodes, for `cargo xtask chaos`.

use super::{Stack, jars};
use anyhow::{Context, Result};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a node may take to be ready again: it replays its log, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(900);

impl Stack {
    /// Sends a signal, such as `-KILL`, to a node of a kind.
    pub(crate) fn signal(&self, kind: &'static str, number: u8, signal: &str) -> Result<()> {
        let node = self.node(kind, number);
        let pid = node.pid().with_context(|| format!("{} is not running", node.name()))?;
        crate::shell::output(Command::new("kill").args([signal, &pid.to_string()])).map(drop)
    }

    /// Waits until a node that was signalled has ended, and its port is free.
    pub(crate) fn wait_until_gone(&self, kind: &'static str, number: u8) -> Result<()> {
        let (node, start) = (self.node(kind, number), Instant::now());
        while node.pid().is_some() || self.ready(&node) {
            anyhow::ensure!(start.elapsed() < Duration::from_secs(60), "{} did not end", node.name());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Starts a node that ended, and waits until it is ready.
    pub(crate) fn start_again(&self, kind: &'static str, number: u8) -> Result<()> {
        let (java, libs, node) = (crate::jdk::java()?, jars::fetch(kind)?, self.node(kind, number));
        let command = || match kind {
            "kafka" => self.kafka(&java, &libs, &node),
            _ => self.cassandra(&java, &libs, &node),
        };
        self.start(&node, command)?;
        self.wait_for(&node, PATIENCE)
    }

    /// Number of brokers, and of Cassandra nodes.
    pub(crate) fn nodes(&self) -> u8 {
        self.nodes
    }
}
