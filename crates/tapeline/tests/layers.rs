//! Dependencies between the crates run one way, as drawn in ARCHITECTURE.md.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Permitted dependencies of each crate.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("market", &[]),
    ("forecast", &[]),
    ("ports", &["market"]),
    ("aws", &["market", "ports"]),
    ("columnar", &["market", "ports"]),
    ("adapters", &["market", "ports", "aws", "columnar"]),
    ("sources", &["market", "ports"]),
    ("simulator", &["market", "ports"]),
    ("notify", &["market", "ports", "aws"]),
    ("pipeline", &["market", "forecast", "ports", "columnar"]),
    ("server", &["market", "ports", "columnar"]),
    (
        "tapeline",
        &[
            "market",
            "forecast",
            "ports",
            "aws",
            "columnar",
            "adapters",
            "sources",
            "simulator",
            "notify",
            "pipeline",
            "server",
        ],
    ),
];

#[test]
fn dependencies_run_one_way() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ALLOWED.iter().map(|(name, list)| (*name, list.iter().copied().collect())).collect();
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if ["bench", "xtask"].contains(&name) {
            continue;
        }
        let allowed = allowed.get(name).unwrap_or_else(|| panic!("crate {name} is not in the drawing"));
        for dependency in package["dependencies"].as_array().unwrap() {
            // Tests may use an adapter to drive what they test.
            if dependency["kind"].is_null() && !dependency["path"].is_null() {
                let on = dependency["name"].as_str().unwrap();
                assert!(allowed.contains(on), "{name} must not depend on {on}");
            }
        }
        seen += 1;
    }
    assert_eq!(seen, ALLOWED.len());
}
