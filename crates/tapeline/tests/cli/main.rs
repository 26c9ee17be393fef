//! Command-line tests. `cargo xtask test` starts the real servers and names them in the environment.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, clippy::type_complexity, reason = "tests")]

mod alert;
mod alert_kills;
mod archive;
mod archive_s3;
mod arguments;
mod bars;
mod dead_letters;
mod disk_full;
mod doctor;
mod embedded;
mod exports;
mod forecast;
mod formats;
mod hostile;
mod hot;
mod inputs;
mod kill;
mod large;
mod live;
mod monitor;
mod mqtt;
mod plots;
mod poison;
mod poll;
mod prometheus;
mod proxy;
mod python;
mod readings;
mod real;
mod rights;
mod schemas;
mod serve;
mod vendors;
mod verify;

#[path = "../../../notify/tests/support/mod.rs"]
mod servers;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The program, isolated from the settings of the test machine.
fn tapeline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapeline"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TAPELINE_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs it; returns its output and its exit code.
fn run(arguments: &[&str]) -> (i32, String) {
    finish(tapeline(arguments).output().unwrap())
}

fn finish(output: Output) -> (i32, String) {
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text)
}

fn start(arguments: &[&str]) -> Child {
    tapeline(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends a signal to a process we started.
fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// The session in the repository: 654,140 real trades of four symbols.
fn session() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/us-equities")
}

/// A folder with one tick file with these rows.
fn tape(dir: &Path, rows: &str) -> PathBuf {
    tape_of_day(dir, "20131008", rows)
}

fn tape_of_day(dir: &Path, date: &str, rows: &str) -> PathBuf {
    let folder = dir.join("tape/tick/xyz");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{date}_trade.zip"));
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    zip.start_file(format!("{date}_xyz_Trade_Tick.csv"), zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(rows.as_bytes()).unwrap();
    zip.finish().unwrap();
    path
}

fn url(scheme: &str, path: &Path) -> String {
    format!("{scheme}:{}", path.display())
}

/// `--source … --topic … --store …` on files in a folder.
fn embedded_urls(dir: &Path, source: &Path) -> Vec<String> {
    [
        "--source",
        &url("tape", source),
        "--topic",
        &url("sqlite", &dir.join("t.db")),
        "--store",
        &url("sqlite", &dir.join("s.db")),
    ]
    .map(str::to_owned)
    .to_vec()
}

fn with<'a>(verb: &'a str, urls: &'a [String]) -> Vec<&'a str> {
    std::iter::once(verb).chain(urls.iter().map(String::as_str)).collect()
}
