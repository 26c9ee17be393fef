//! Embeds the commit into release builds, for `tapeline --version`. Other builds omit it: they would be recompiled after
//! every commit.

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned())
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = release.then(|| {
        for name in ["HEAD", "logs/HEAD"] {
            if let Some(path) = git(&["rev-parse", "--git-path", name]) {
                println!("cargo::rerun-if-changed={path}");
            }
        }
        git(&["log", "-1", "--format=%h of %cs"])
    });
    let commit = match commit {
        Some(Some(commit)) => format!("commit {commit}"),
        // For example `cargo install` from an archive.
        Some(None) => "commit unknown".to_owned(),
        None => "development build".to_owned(),
    };
    println!("cargo::rustc-env=TAPELINE_COMMIT={commit}");
}
