//! House rules that no compiler keeps.

use crate::shell::output;
use anyhow::{Result, ensure};
use std::path::Path;
use std::process::Command;

/// Lines a source file may have. Beyond it, it holds more than one thing.
const LINES: usize = 600;

pub(crate) fn check() -> Result<()> {
    let files = output(Command::new("git").args(["ls-files"]))?;
    let mut wrong = Vec::new();
    for file in files.lines().filter(|file| Path::new(file).exists()) {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        if file.ends_with(".rs") && text.lines().count() > LINES {
            wrong.push(format!("{file}: {} lines, {LINES} are the limit", text.lines().count()));
        }
        if file.ends_with(".md") {
            wrong.extend(dead_links(file, &text));
        }
    }
    let (index, adrs) = (std::fs::read_to_string("docs/adr/README.md")?, std::fs::read_dir("docs/adr")?);
    for adr in adrs.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        if adr != "README.md" && !index.contains(&adr) {
            wrong.push(format!("docs/adr/{adr} is not in docs/adr/README.md"));
        }
    }
    ensure!(wrong.is_empty(), "tidy:\n  {}", wrong.join("\n  "));
    println!("tidy: ok");
    Ok(())
}

/// Links to files of ours that do not exist.
fn dead_links(file: &str, text: &str) -> Vec<String> {
    let folder = Path::new(file).parent().unwrap_or(Path::new("."));
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(|link| link.split('#').next().unwrap_or(link))
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.contains(' '))
        .filter(|link| !folder.join(link).exists())
        .map(|link| format!("{file}: dead link to {link}"))
        .collect()
}
