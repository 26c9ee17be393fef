//! Deployment artefacts: templates, user data, units, monitoring.
//!
//! `render` puts `deploy/aws/user-data.sh` into the templates; the unit tests below need nothing but Rust; `test`
//! installs the official checkers and two emulators of AWS and runs `deploy/tests/check.py`.

use crate::shell::run;
use crate::test::{environment, with_stack};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TEMPLATES: [&str; 3] = ["single", "cluster", "managed"];
const SCRIPT: &str = "deploy/aws/user-data.sh";
const BEGIN: &str = "# --- user-data.sh: rendered by `cargo xtask deploy-render` ---";
const END: &str = "# --- end of user-data.sh ---";

fn template(name: &str) -> String {
    format!("deploy/aws/{name}.yaml")
}

/// Writes the script into each template.
pub(crate) fn render() -> Result<()> {
    let script = fs::read_to_string(SCRIPT).with_context(|| format!("read {SCRIPT}"))?;
    for name in TEMPLATES {
        let path = template(name);
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        fs::write(&path, rendered(&text, &script).with_context(|| path.clone())?)?;
    }
    Ok(())
}

/// A template with the lines between the markers replaced by the script, indented as the first marker is.
fn rendered(template: &str, script: &str) -> Result<String> {
    let at = template.find(BEGIN).with_context(|| format!("expected the line `{BEGIN}`, found none"))?;
    let end =
        template[at..].find(END).with_context(|| format!("expected the line `{END}`, found none"))? + at;
    let indent = &template[template[..at].rfind('\n').map_or(0, |line| line + 1)..at];
    let mut text = format!("{}{BEGIN}\n", &template[..at]);
    for line in script.lines() {
        text.push_str(if line.is_empty() { "" } else { indent });
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(indent);
    text.push_str(&template[end..]);
    Ok(text)
}

/// Every check of `deploy/`, with the tools they need: Debian's prometheus, prometheus-alertmanager, debootstrap and
/// systemd, and about 900 MB of Python. The words name checks.
pub(crate) fn test(words: &[&str]) -> Result<()> {
    crate::requirements::provide(&crate::requirements::DEPLOYMENT)?;
    let (tools, checkov) = (environment("python-deploy")?, environment("python-checkov")?);
    let dist = fs::canonicalize("target")?.join("dist");
    with_stack(|stack| {
        run(Command::new(&tools)
            .arg("deploy/tests/check.py")
            .args(words)
            .env("DEPLOY_CHECKOV", sibling(&checkov, "checkov"))
            .env("DEPLOY_DIST", &dist)
            .env("DEPLOY_KAFKA_JARS", crate::stack::jars("kafka")?)
            .env("DEPLOY_CASSANDRA", stack.cassandra_address()))
    })
}

fn sibling(program: &Path, name: &str) -> PathBuf {
    program.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn templates_hold_the_script_as_it_is() {
        for name in TEMPLATES {
            let text = read(&template(name));
            let fresh = rendered(&text, &read(SCRIPT)).unwrap();
            assert!(text == fresh, "{name}.yaml holds an older user-data.sh; cargo xtask deploy-render");
        }
    }

    #[test]
    fn a_template_without_markers_is_refused() {
        assert!(rendered("Resources:\n", "x").unwrap_err().to_string().contains("rendered by"));
        assert!(rendered(BEGIN, "x").unwrap_err().to_string().contains("end of"));
        let text = rendered(&format!("a:\n  {BEGIN}\n  old\n  {END}\nb"), "one\n\ntwo\n").unwrap();
        assert_eq!(text, format!("a:\n  {BEGIN}\n  one\n\n  two\n  {END}\nb"));
    }

    /// EC2 accepts 16 KiB, including variables; the largest preamble is below 2 KiB.
    #[test]
    fn user_data_fits() {
        let script = read(SCRIPT).len();
        assert!(script < 14 * 1024, "user-data.sh has {script} bytes, expected at most 14,336");
        for name in TEMPLATES {
            let text = read(&template(name));
            let preambles: Vec<&str> = text.split("Fn::Base64: !Join").skip(1).collect();
            assert!(!preambles.is_empty());
            for preamble in preambles {
                let length = preamble.find("- !FindInMap").unwrap();
                assert!(
                    preamble.contains("#!/bin/bash") && length < 2048,
                    "a preamble of {name}.yaml has {length} bytes, expected at most 2,048"
                );
            }
        }
    }

    #[test]
    fn nothing_is_open_to_the_world() {
        for name in TEMPLATES {
            let text = read(&template(name));
            let rules: Vec<&str> = text.split("SecurityGroupIngress:").skip(1).collect();
            assert!(!rules.is_empty(), "{name}.yaml lets nobody in");
            for rules in rules {
                for rule in rules.lines().skip(1).take_while(|line| line.trim_start().starts_with("- {")) {
                    let named =
                        rule.contains("CidrIp: !Ref ") || rule.contains("SourceSecurityGroupId: !Ref ");
                    assert!(named && !rule.contains("0.0.0.0/0"), "{name}.yaml: {rule}");
                }
            }
            assert_eq!(
                text.matches("HttpTokens: required").count(),
                text.matches("AWS::EC2::LaunchTemplate").count()
            );
            assert!(!text.contains("Encrypted: false"));
        }
    }

    /// `systemd-analyze` checks them in `deploy-test`; this test needs no systemd.
    #[test]
    fn units_are_complete() {
        for name in ["kafka", "cassandra", "tapeline-run", "tapeline-serve"] {
            let text = read(&format!("deploy/systemd/{name}.service"));
            for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
                let section = line.starts_with('[') && line.ends_with(']');
                assert!(section || line.contains('='), "{name}: {line}");
            }
            for key in
                ["Restart=", "User=", "EnvironmentFile=", "NoNewPrivileges=yes", "ProtectSystem=strict"]
            {
                assert!(text.contains(&format!("\n{key}")), "{name} has no {key}");
            }
        }
    }

    #[test]
    fn alerts_are_tested_and_documented() {
        let (rules, tests, readme) = (
            read("deploy/monitoring/alerts.yml"),
            read("deploy/monitoring/alerts_test.yml"),
            read("deploy/monitoring/README.md"),
        );
        let alerts: Vec<&str> =
            rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
        assert!(alerts.len() > 5);
        for alert in alerts {
            assert!(tests.contains(&format!("alertname: {alert}")), "{alert} has no unit test");
            assert!(readme.contains(&format!("| {alert} |")), "{alert} is not in the README");
        }
        for text in [&rules, &read("deploy/monitoring/dashboard.json")] {
            for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                let metric = word.strip_suffix("_bucket").unwrap_or(word);
                if metric.starts_with("tapeline_") {
                    assert!(readme.contains(&format!("`{metric}`")), "{metric} is not in the README");
                }
            }
        }
    }
}
