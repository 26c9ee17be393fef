//! Real Kafka and Cassandra on this machine, from their published jars, without containers.

mod access;
mod certificates;
mod fault;
mod jars;
mod process;
mod security;

use crate::requirements::{SERVERS, provide};
use access::Access;
use anyhow::{Context, Result, bail};
use process::Node;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A Kafka and a Cassandra cluster, and their folder.
pub(crate) struct Stack {
    dir: PathBuf,
    nodes: u8,
    kafka_port: u16,
    cassandra_port: u16,
    access: Access,
    /// Whether its Cassandra uses the packaged heap and collector settings instead of the small ones for
    /// tests.
    measured: bool,
}

/// A write is acknowledged once the commit log with it is synced: at most one sync per window. A node that is
/// killed or loses power then still has every acknowledged row.
const DURABLE_SYNC: &str = "commitlog_sync: group\ncommitlog_sync_group_window: 10ms";
/// The packaged setting: a killed machine loses the acknowledged rows of up to ten seconds.
const SHIPPED_SYNC: &str = "commitlog_sync: periodic\ncommitlog_sync_period: 10000ms";

/// A cluster id is 16 bytes in url-safe base64; this is `tapeline-local-0`.
const CLUSTER_ID: &str = "dGFwZWxpbmUtbG9jYWwtMA";

/// The stack people use, on the servers' usual ports.
pub(crate) fn local(nodes: u8) -> Result<Stack> {
    Stack::new("target/stack/local", nodes, 9092, 9042)
}

/// The same with TLS, passwords and access lists.
pub(crate) fn secure(nodes: u8) -> Result<Stack> {
    Ok(Stack { access: Access::Secured, ..Stack::new("target/stack/secure", nodes, 9192, 9142)? })
}

/// The stack that the tests start.
pub(crate) fn for_tests(nodes: u8) -> Result<Stack> {
    Stack::new("target/stack/test", nodes, 19092, 19042)
}

/// One more for the tests, whose Cassandra demands a password and whose Kafka enforces access lists; both accept TLS.
pub(crate) fn guarded() -> Result<Stack> {
    Ok(Stack { access: Access::Guarded, ..Stack::new("target/stack/guarded", 1, 29092, 29042)? })
}

/// The stack of `cargo xtask chaos`. Its ports are below those of outgoing connections: while a server is down, a client that
/// connects to it again and again could be given the very port as its own.
pub(crate) fn for_chaos(nodes: u8) -> Result<Stack> {
    Stack::new("target/stack/chaos", nodes, 17092, 17042)
}

/// The benchmark stack: Cassandra with its packaged settings.
pub(crate) fn for_bench() -> Result<Stack> {
    Ok(Stack { measured: true, ..Stack::new("target/stack/bench", 1, 19092, 19042)? })
}

/// The same with three nodes of each server.
pub(crate) fn for_bench_of_three() -> Result<Stack> {
    Ok(Stack { measured: true, ..Stack::new("target/stack/bench-3", 3, 19092, 19042)? })
}

/// The same with one node of each, which accept TLS and passwords.
pub(crate) fn for_bench_of_tls() -> Result<Stack> {
    Ok(Stack {
        measured: true,
        access: Access::Guarded,
        ..Stack::new("target/stack/bench-tls", 1, 29092, 29042)?
    })
}

/// The stack of `cargo xtask budget`, whose Cassandra is elsewhere than what is measured.
pub(crate) fn for_budget() -> Result<Stack> {
    Stack::new("target/stack/budget", 1, 16092, 16042)
}

/// The folder of a server's or peer's jars, downloaded if necessary.
pub(crate) fn jars(of: &str) -> Result<PathBuf> {
    jars::fetch(of)
}

/// The local stack, or the secured one, with as many nodes as it was started with.
pub(crate) fn existing(is_secure: bool) -> Result<Stack> {
    let (name, make): (_, fn(u8) -> Result<Stack>) =
        if is_secure { ("secure", secure) } else { ("local", local) };
    let nodes = (1..=3).rev().find(|n| Path::new(&format!("target/stack/{name}/kafka-{n}")).exists());
    make(nodes.unwrap_or(1))
}

impl Stack {
    fn new(dir: &str, nodes: u8, kafka_port: u16, cassandra_port: u16) -> Result<Self> {
        if !matches!(nodes, 1 | 3) {
            bail!("expected 1 or 3 nodes, found {nodes}");
        }
        fs::create_dir_all(dir).with_context(|| format!("create {dir}"))?;
        let dir = fs::canonicalize(dir)?;
        Ok(Self { dir, nodes, kafka_port, cassandra_port, access: Access::Open, measured: false })
    }

    /// `kafka://…`
    fn topic_url(&self) -> String {
        format!("kafka://127.0.0.1:{}", self.kafka_port)
    }

    /// `cassandra://…/keyspace`
    fn store_url(&self, keyspace: &str) -> String {
        format!("cassandra://127.0.0.1:{}/{keyspace}", self.cassandra_port)
    }

    /// `host:port` of the first broker.
    pub(crate) fn kafka_address(&self) -> String {
        format!("127.0.0.1:{}", self.kafka_port)
    }

    /// `host:port` of the first node.
    pub(crate) fn cassandra_address(&self) -> String {
        format!("127.0.0.1:{}", self.cassandra_port)
    }

    /// The port at which nodes of a kind serve clients.
    pub(crate) fn client_port(&self, kind: &str) -> u16 {
        if kind == "kafka" { self.kafka_port } else { self.cassandra_port }
    }

    /// The process id of the first node of a kind.
    pub(crate) fn pid(&self, kind: &'static str) -> Result<String> {
        let node = self.node(kind, 1);
        node.pid().map(|pid| pid.to_string()).with_context(|| format!("{} is not running", node.name()))
    }

    fn node(&self, kind: &'static str, number: u8) -> Node {
        Node::new(kind, number, self.dir.join(format!("{kind}-{number}")))
    }

    fn all(&self) -> Vec<Node> {
        (1..=self.nodes).flat_map(|n| [self.node("kafka", n), self.node("cassandra", n)]).collect()
    }

    fn ready(&self, node: &Node) -> bool {
        let port = self.client_port(node.kind);
        let address = SocketAddr::from(([127, 0, 0, node.number], port));
        TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_ok()
    }

    pub(crate) fn up(&self) -> Result<()> {
        provide(&SERVERS)?;
        let java = crate::jdk::java()?;
        let libs = [jars::fetch("kafka")?, jars::fetch("cassandra")?];
        let other = Path::new(&self.dir).join(if self.nodes == 1 { "kafka-3" } else { "single" });
        if other.exists() {
            bail!("the stack here has another number of nodes; `cargo xtask stack wipe` first");
        }
        if self.nodes == 1 {
            fs::write(self.dir.join("single"), "")?;
        }
        for number in 1..=self.nodes {
            let kafka = self.node("kafka", number);
            self.start(&kafka, || self.kafka(&java, &libs[0], &kafka))?;
        }
        // One after the other: nodes that join at the same time fail to.
        for number in 1..=self.nodes {
            let cassandra = self.node("cassandra", number);
            self.start(&cassandra, || self.cassandra(&java, &libs[1], &cassandra))?;
            self.wait_for(&cassandra, Duration::from_secs(180))?;
        }
        for number in 1..=self.nodes {
            self.wait_for(&self.node("kafka", number), Duration::from_secs(60))?;
        }
        match self.access {
            Access::Secured => println!("up: --config {}", self.write_client_configuration()?.display()),
            _ => println!("up: --topic {} --store {}", self.topic_url(), self.store_url("tapeline")),
        }
        Ok(())
    }

    fn start(&self, node: &Node, command: impl FnOnce() -> Result<Command>) -> Result<()> {
        if node.pid().is_some() {
            println!("{} runs already", node.name());
            return Ok(());
        }
        if self.ready(node) {
            bail!("something else listens where {} would; stop it first", node.name());
        }
        node.start(&mut command()?)
    }

    fn wait_for(&self, node: &Node, patience: Duration) -> Result<()> {
        let start = Instant::now();
        while !self.ready(node) || !node.log_says_ready() {
            // A process that is just being started has no command line yet.
            let dead = start.elapsed() > Duration::from_secs(2) && node.pid().is_none();
            if dead || start.elapsed() > patience {
                bail!("{} did not come up:\n{}", node.name(), node.last_words());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        println!("{} is ready ({:.0} s)", node.name(), start.elapsed().as_secs_f64());
        Ok(())
    }

    pub(crate) fn down(&self) -> Result<()> {
        for node in self.all() {
            node.stop()?;
        }
        Ok(())
    }

    pub(crate) fn status(&self) -> Result<()> {
        for node in self.all() {
            match node.pid() {
                Some(pid) => {
                    let state = if self.ready(&node) { "ready" } else { "not ready" };
                    println!("{:12} pid {pid}, {state}, {} MiB", node.name(), node.memory_mib());
                }
                None => println!("{:12} down", node.name()),
            }
        }
        Ok(())
    }

    pub(crate) fn wipe(&self) -> Result<()> {
        self.down()?;
        fs::remove_dir_all(&self.dir).with_context(|| format!("delete {}", self.dir.display()))
    }

    fn addresses(&self) -> Vec<String> {
        (1..=self.nodes).map(|n| format!("127.0.0.{n}")).collect()
    }

    fn heap(&self, variable: &str, one: &str, three: &str) -> String {
        let default = if self.nodes == 1 { one } else { three };
        format!("-Xmx{}", std::env::var(variable).unwrap_or_else(|_| default.to_owned()))
    }

    fn kafka(&self, java: &Path, libs: &Path, node: &Node) -> Result<Command> {
        let voters: Vec<String> =
            (1..=self.nodes).map(|n| format!("{n}@127.0.0.{n}:{}", self.kafka_port + 1)).collect();
        let certificates = self.certificates(java)?;
        let properties = node.fill(
            "deploy/local/kafka/server.properties",
            &[
                ("node", &node.number.to_string()),
                ("voters", &voters.join(",")),
                ("address", &format!("127.0.0.{}", node.number)),
                ("port", &self.kafka_port.to_string()),
                ("controller_port", &(self.kafka_port + 1).to_string()),
                ("replicas", &self.nodes.to_string()),
                ("listeners", &self.listeners(node)),
                ("broker_listener", self.access.broker_listener()),
                ("rights", &self.access.kafka(certificates.as_deref())?),
            ],
        )?;
        let classpath = format!("{}/*", libs.display());
        if !node.dir.join("data/meta.properties").exists() {
            crate::shell::output(
                Command::new(java)
                    .args(["-cp", &classpath, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
                    .arg(&properties)
                    .args(access::accounts(certificates.as_deref())?),
            )?;
        }
        let mut command = Command::new(java);
        command
            .arg(self.heap("TAPELINE_KAFKA_HEAP", "384m", "256m"))
            .args(["-XX:+UseG1GC", &node.mark(), "-cp", &classpath, "kafka.Kafka"])
            .arg(properties);
        Ok(command)
    }

    fn cassandra(&self, java: &Path, libs: &Path, node: &Node) -> Result<Command> {
        let certificates = self.certificates(java)?;
        let yaml = node.fill(
            "deploy/local/cassandra/cassandra.yaml",
            &[
                ("address", &format!("127.0.0.{}", node.number)),
                ("port", &self.cassandra_port.to_string()),
                ("storage_port", &(self.cassandra_port - 2042).to_string()),
                ("seeds", &self.addresses().join(",")),
                ("sync", if self.measured { SHIPPED_SYNC } else { DURABLE_SYNC }),
                ("rights", &self.access.cassandra(certificates.as_deref())),
            ],
        )?;
        let logback = node.fill("deploy/local/cassandra/logback.xml", &[])?;
        let agent = jars::find(libs, "jamm-")?;
        let mut command = Command::new(java);
        let shipped = format!("{}m", shipped_heap_mib()? / u64::from(self.nodes));
        if self.measured {
            command.arg(format!("-Xms{shipped}")).args(jars::CASSANDRA_SHIPPED);
        }
        let (one, three) = if self.measured { (&*shipped, &*shipped) } else { ("1g", "512m") };
        command
            .arg(self.heap("TAPELINE_CASSANDRA_HEAP", one, three))
            .arg(format!("-javaagent:{}", agent.display()))
            .args(jars::CASSANDRA_FLAGS)
            // The account `cassandra` is there from the start.
            .arg("-Dcassandra.superuser_setup_delay_ms=0")
            .arg(node.mark())
            .arg(format!("-Dcassandra.config=file://{}", yaml.display()))
            .arg(format!("-Dcassandra.storagedir={}", node.dir.join("data").display()))
            .arg(format!("-Dlogback.configurationFile={}", logback.display()))
            .args(["-cp", &format!("{}/*", libs.display())])
            .arg("org.apache.cassandra.service.CassandraDaemon");
        Ok(command)
    }
}

/// The heap that Cassandra's own start script chooses: a quarter of the memory and at most 8 GiB, but not below half of
/// it up to 1 GiB.
fn shipped_heap_mib() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("read the memory's size")?;
    let kib =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
    let memory: u64 = kib.context("no MemTotal in /proc/meminfo")?;
    let mib = memory / 1024;
    Ok((mib / 4).min(8192).max((mib / 2).min(1024)))
}
