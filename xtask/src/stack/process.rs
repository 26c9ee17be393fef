//! One server process: detached from our terminal, identified by its process id and by a marker on its
//! command line, so that a reused id is never mistaken for it.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(super) struct Node {
    pub(super) kind: &'static str,
    pub(super) number: u8,
    pub(super) dir: PathBuf,
}

impl Node {
    pub(super) fn new(kind: &'static str, number: u8, dir: PathBuf) -> Self {
        Self { kind, number, dir }
    }

    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.kind, self.number)
    }

    /// The marker on its command line.
    pub(super) fn mark(&self) -> String {
        format!("-Dtapeline.node={}", self.dir.display())
    }

    /// Its process id, if it is running.
    pub(super) fn pid(&self) -> Option<u32> {
        let pid: u32 = fs::read_to_string(self.dir.join("pid")).ok()?.trim().parse().ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        String::from_utf8_lossy(&command).contains(&self.mark()).then_some(pid)
    }

    pub(super) fn memory_mib(&self) -> u64 {
        let status = self.pid().and_then(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
        let kib = status.as_deref().and_then(|s| s.lines().find(|l| l.starts_with("VmRSS")));
        kib.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
    }

    /// Fills in a template of `deploy/local`, next to the node's data.
    pub(super) fn fill(&self, template: &str, values: &[(&str, &str)]) -> Result<PathBuf> {
        let mut text = fs::read_to_string(template).with_context(|| format!("read {template}"))?;
        let data = self.dir.join("data");
        fs::create_dir_all(&data)?;
        for (name, value) in values.iter().chain(&[("data", &*data.to_string_lossy())]) {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        let name = template.rsplit('/').next().unwrap_or(template);
        let path = self.dir.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    pub(super) fn start(&self, command: &mut Command) -> Result<()> {
        let log = File::create(self.dir.join("log")).context("create the log")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", self.name()))?;
        fs::write(self.dir.join("pid"), child.id().to_string())?;
        Ok(())
    }

    /// The port accepts connections a little before the server is ready.
    pub(super) fn log_says_ready(&self) -> bool {
        let line = match self.kind {
            "kafka" => "Kafka Server started",
            _ => "Starting listening for CQL clients",
        };
        fs::read_to_string(self.dir.join("log")).is_ok_and(|log| log.contains(line))
    }

    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    pub(super) fn stop(&self) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        for (signal, patience) in [("-TERM", 30), ("-KILL", 10)] {
            crate::shell::output(Command::new("kill").args([signal, &pid.to_string()]))?;
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(patience) {
                if self.pid().is_none() {
                    println!("{} stopped", self.name());
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        bail!("{} (pid {pid}) did not stop", self.name())
    }
}
