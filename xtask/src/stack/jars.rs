//! Jars and the JDK.

use crate::requirements::{JDK, MAVEN, provide};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Resolves a server's jars with Maven, once.
pub(super) fn fetch(server: &str) -> Result<PathBuf> {
    let target = fs::canonicalize("target")?.join("stack/jars").join(server);
    let (done, pom) = (target.join(".complete"), format!("deploy/local/{server}/pom.xml"));
    let wanted = fs::read_to_string(&pom).with_context(|| format!("read {pom}"))?;
    if fs::read_to_string(&done).is_ok_and(|have| have == wanted) {
        return Ok(target);
    }
    provide(&[JDK, MAVEN])?;
    println!("fetching the jars of {server}");
    let _ = fs::remove_dir_all(&target);
    crate::shell::output(
        Command::new("mvn")
            .args(["-q", "-B", "-f", &pom, "dependency:copy-dependencies"])
            .arg(format!("-DoutputDirectory={}", target.display())),
    )?;
    fs::write(done, wanted)?;
    Ok(target)
}

/// The jar whose name begins so.
pub(super) fn find(libs: &Path, prefix: &str) -> Result<PathBuf> {
    fs::read_dir(libs)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
        .with_context(|| format!("no {prefix}*.jar in {}", libs.display()))
}

/// What Cassandra 5.0 needs of a JDK 17, and what makes one quick node quick to start.
pub(super) const CASSANDRA_FLAGS: &[&str] = &[
    "-XX:+UseG1GC",
    "-Djdk.attach.allowAttachSelf=true",
    "-Dcassandra-foreground=yes",
    "-Dcassandra.ring_delay_ms=1000",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-exports=java.management.rmi/com.sun.jmx.remote.internal.rmi=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.server=ALL-UNNAMED",
    "--add-exports=java.sql/java.sql=ALL-UNNAMED",
    "--add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED",
    "--add-exports=jdk.attach/sun.tools.attach=ALL-UNNAMED",
    "--add-opens=java.base/java.lang.module=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.loader=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.reflect=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.math=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.module=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.util.jar=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.lang.reflect=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.fs=ALL-UNNAMED",
    "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
];

/// What Cassandra's package (`conf/jvm17-server.options`) adds for the collector and for Netty.
pub(super) const CASSANDRA_SHIPPED: &[&str] = &[
    "-XX:+ParallelRefProcEnabled",
    "-XX:MaxTenuringThreshold=1",
    "-XX:G1HeapRegionSize=16m",
    "-XX:G1RSetUpdatingPauseTimePercent=5",
    "-XX:MaxGCPauseMillis=300",
    "-XX:InitiatingHeapOccupancyPercent=70",
    "-XX:+PerfDisableSharedMem",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dio.netty.allocator.useCacheForAllThreads=true",
    "-Dio.netty.allocator.maxOrder=11",
];
