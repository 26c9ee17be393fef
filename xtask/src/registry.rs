//! Records as Avro, with a real schema registry and Confluent's own client.

use crate::requirements::{JDK, MAVEN, provide};
use crate::shell::{output, program, run};
use crate::test::{environment, with_stack};
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Apicurio Registry, which offers Confluent's API; releases after 3.0 need a JDK 21. It keeps its schemas in memory.
const REGISTRY: &str = "io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all";
const API: &str = "/apis/ccompat/v7";
/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `crates/tapeline/tests/registry/avro.py` on real Kafka and a real registry (142 MB, fetched once).
pub(crate) fn test() -> Result<()> {
    provide(&[JDK, MAVEN])?;
    let python = environment("python-registry")?;
    let folder = fetch()?;
    let program = program()?;
    with_stack(|stack| {
        let mut registry = Server::start(&folder)?;
        let result = registry.wait().and_then(|()| {
            run(Command::new(&python)
                .arg("crates/tapeline/tests/registry/avro.py")
                .arg(&program)
                .args([&stack.kafka_address(), &format!("http://127.0.0.1:{}{API}", registry.port)])
                .arg(registry.process.id().to_string()))
        });
        registry.process.kill()?;
        registry.process.wait()?;
        result
    })
}

/// The unpacked registry.
fn fetch() -> Result<PathBuf> {
    let folder = fs::canonicalize("target")?.join("registry");
    let done = folder.join(".complete");
    if fs::read_to_string(&done).is_ok_and(|have| have == REGISTRY) {
        return Ok(folder);
    }
    println!("fetching {REGISTRY}");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    output(
        Command::new("mvn")
            .args(["-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"])
            .arg(format!("-Dartifact={REGISTRY}"))
            .arg(format!("-DoutputDirectory={}", folder.display())),
    )?;
    let archive = fs::read_dir(&folder)?.flatten().next().context("Maven copied no archive")?.path();
    output(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&folder))?;
    fs::remove_file(archive)?;
    fs::write(done, REGISTRY)?;
    Ok(folder)
}

/// A running registry.
struct Server {
    process: Child,
    port: u16,
    log: PathBuf,
}

impl Server {
    fn start(folder: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = folder.join("registry.log");
        let out = fs::File::create(&log)?;
        let process = Command::new(crate::jdk::java()?)
            .args([
                "-Xmx384m",
                "-Dquarkus.http.host=127.0.0.1",
                &format!("-Dquarkus.http.port={port}"),
                "-jar",
            ])
            .arg(folder.join("apicurio-registry-app-2.6.13.Final-runner.jar"))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("start the registry")?;
        Ok(Self { process, port, log })
    }

    /// Waits until it answers.
    fn wait(&mut self) -> Result<()> {
        let url = format!("http://127.0.0.1:{}{API}/subjects", self.port);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.process.try_wait()? {
                bail!("the registry ended with {status}; see {}", self.log.display());
            }
            let asked = Command::new("curl").args(["-sf", "-m", "5", "-o", "/dev/null", &url]).status()?;
            if asked.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        self.process.kill()?;
        bail!("the registry does not answer after {} s; see {}", PATIENCE.as_secs(), self.log.display())
    }
}
