//! Rules that no compiler checks.

use crate::shell::output;
use crate::{circles, words};
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
        if file.starts_with("crates/") && file.ends_with("/src/lib.rs") {
            wrong.extend(front_page(file, &text));
        }
    }
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    for root in files.lines().filter(|file| is_root(file)) {
        wrong.extend(circles::circles(root, &read));
    }
    wrong.extend(live_path(&std::fs::read_to_string("ARCHITECTURE.md")?, &|path| Path::new(path).exists()));
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

/// Whether a file is the root of a crate with modules.
fn is_root(file: &str) -> bool {
    file.ends_with("/src/lib.rs") || file.ends_with("/src/main.rs")
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

/// Maximum number of files that a live trade passes through from the socket to Cassandra.
const LIVE_FILES: usize = 22;

/// Mistakes in ARCHITECTURE.md's list of the files that a live trade passes through: each exists and is listed once.
fn live_path(text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let section = text.split("## Follow one live trade").nth(1).and_then(|rest| rest.split("\n## ").next());
    let Some(section) = section else {
        return vec!["ARCHITECTURE.md: expected a section `Follow one live trade`".to_owned()];
    };
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let files: Vec<&str> = rows.collect();
    let mut wrong = Vec::new();
    if files.is_empty() || files.len() > LIVE_FILES {
        wrong.push(format!("ARCHITECTURE.md: expected 1 to {LIVE_FILES} files, found {}", files.len()));
    }
    for (index, file) in files.iter().enumerate() {
        if !exists(&format!("crates/{file}")) {
            wrong.push(format!("ARCHITECTURE.md: no file crates/{file}"));
        }
        if files[..index].contains(file) {
            wrong.push(format!("ARCHITECTURE.md: {file} is listed twice"));
        }
    }
    wrong
}

/// Modules of a crate that its front page does not name, and a missing example.
fn front_page(file: &str, text: &str) -> Vec<String> {
    let page: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let page = page.join("\n");
    let mut wrong = Vec::new();
    let mut is_test = false;
    for line in text.lines() {
        let declared = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ");
        let name = declared.and_then(|rest| rest.strip_suffix(';'));
        if let Some(name) = name.filter(|_| !is_test) {
            let named = page.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
            if !named {
                wrong.push(format!("{file}: the front page does not name the module `{name}`"));
            }
        }
        is_test = line == "#[cfg(test)]";
    }
    if !page.contains("```\n") && !page.contains("```no_run\n") {
        wrong.push(format!("{file}: the front page has no compiled example"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_live_trade_is_checked() {
        let page = |rows: &str| format!("# A\n## Follow one live trade\n{rows}\n## Next\n| `x/y.rs` | |\n");
        let exists = |path: &str| path == "crates/a.rs" || path == "crates/b.rs";
        assert_eq!(live_path(&page("| `a.rs` | |\n| `b.rs` | |"), &exists), [""; 0]);
        assert_eq!(
            live_path(&page("| `a.rs` | |\n| `c.rs` | |"), &exists),
            ["ARCHITECTURE.md: no file crates/c.rs"]
        );
        assert_eq!(live_path(&page("| `a.rs` | |\n| `a.rs` | |"), &exists).len(), 1);
        assert_eq!(live_path(&page(""), &exists).len(), 1);
        assert_eq!(live_path("", &exists).len(), 1);
        assert!(live_path(&page(&"| `a.rs` | |\n".repeat(23)), &exists)[0].contains("found 23"));
    }

    #[test]
    fn a_front_page_names_all_modules() {
        let page = "//! A crate.\n//!\n//! | [`one`] | |\n//!\n//! ```\n//! ```\n";
        let with = |more: &str| front_page("x", &format!("{page}{more}"));
        assert_eq!(with("pub mod one;\n#[cfg(test)]\nmod fake;\n"), [""; 0]);
        assert_eq!(with("mod two;\n"), ["x: the front page does not name the module `two`"]);
        assert_eq!(front_page("x", "//! A crate.\n").len(), 1);
    }
}
