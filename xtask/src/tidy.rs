//! Rules that no compiler checks.

use crate::shell::output;
use crate::words;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Maximum number of lines of a source file: a longer one has more than one purpose.
const LINES: usize = 600;

/// Files whose words are not ours: recorded results and bundled libraries.
const EXEMPT: &[&str] = &["bench/results/", "crates/server/assets/vendor/"];

pub(crate) fn check() -> Result<()> {
    let files = output(Command::new("git").args(["ls-files"]))?;
    let (mut wrong, mut types) = (Vec::new(), BTreeMap::new());
    for file in files.lines().filter(|file| Path::new(file).exists()) {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        if file.ends_with(".rs") && text.lines().count() > LINES {
            wrong.push(format!("{file}: expected at most {LINES} lines, found {}", text.lines().count()));
        }
        if file.ends_with(".md") {
            wrong.extend(dead_links(file, &text));
        }
        if !EXEMPT.iter().any(|path| file.starts_with(path)) {
            wrong.extend(words::banned(file, &text));
        }
        words::public_types(file, &text, &mut types);
    }
    let (index, adrs) = (std::fs::read_to_string("docs/adr/README.md")?, std::fs::read_dir("docs/adr")?);
    for adr in adrs.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        if adr != "README.md" && !index.contains(&adr) {
            wrong.push(format!("docs/adr/{adr} is not in docs/adr/README.md"));
        }
    }
    wrong.extend(words::shared_names(&types));
    ensure!(wrong.is_empty(), "tidy:\n  {}", wrong.join("\n  "));
    println!("tidy: ok");
    Ok(())
}

/// Links to files of the repository that do not exist.
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
