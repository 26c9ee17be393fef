//! Release artefacts: `cargo xtask dist [--dev] [TARGET …]` into `target/dist`; `--dev` packs debug builds, for tests.
//!
//! For each target a tar.gz (program, units, settings, licences, SBOM), for the first one a .deb, and `SHA256SUMS`. The
//! same tree on the same machine gives the same bytes: sorted names, owner 0, the commit's time.

use crate::shell::{cargo, output, run};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const GNU: &str = "x86_64-unknown-linux-gnu";
const MUSL: &str = "x86_64-unknown-linux-musl";
const OUT: &str = "target/dist";

/// Builds for each target, or for glibc and musl.
pub(crate) fn dist(words: &[&str]) -> Result<()> {
    let (dev, targets) = match words {
        ["--dev", targets @ ..] => (true, targets),
        targets => (false, targets),
    };
    let targets = if targets.is_empty() { &[GNU, MUSL] } else { targets };
    let installed = output(Command::new("rustup").args(["target", "list", "--installed"]))?;
    for target in targets {
        if !installed.lines().any(|line| line == *target) {
            bail!("target {target} is not installed; rustup target add {target}");
        }
    }
    let metadata: Value = serde_json::from_str(&output(&mut cargo(&[
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        targets[0],
    ]))?)?;
    let packages = shipped(&metadata)?;
    let version =
        packages.iter().find(|package| package["name"] == "tapeline").context("no tapeline")?["version"]
            .as_str()
            .context("tapeline has no version")?
            .to_owned();
    let _ = fs::remove_dir_all(OUT);
    fs::create_dir_all(OUT)?;
    let epoch = output(Command::new("git").args(["log", "-1", "--format=%ct"]))?.trim().to_owned();
    let (sbom, licences) = (sbom(&packages, &version)?, licences(&packages)?);
    for target in targets {
        let program = build(target, dev)?;
        let name = format!("tapeline-{version}-{target}");
        let root = Path::new(OUT).join(&name);
        for (from, to) in contents()? {
            copy(&from, &root.join(to))?;
        }
        copy(&program, &root.join("bin/tapeline"))?;
        fs::write(root.join("sbom.cdx.json"), &sbom)?;
        fs::write(root.join("THIRD-PARTY-LICENSES.txt"), &licences)?;
        if *target == targets[0] {
            deb(&root, &version, &epoch, glibc(&program)?)?;
        }
        modes(&root)?;
        archive(&name, &epoch)?;
        fs::remove_dir_all(&root)?;
    }
    sums()
}

/// The stripped program.
fn build(target: &str, dev: bool) -> Result<PathBuf> {
    let mut command =
        cargo(&["build", "--locked", "-p", "tapeline", "--profile", if dev { "dev" } else { "release" }]);
    let mut folder =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    // For the machine itself, what other chores have built is used.
    if target != crate::fuzz::host()? {
        command.args(["--target", target]);
        folder.push(target);
    }
    if target == MUSL {
        if Command::new("musl-gcc").arg("--version").output().is_err() {
            bail!("musl-gcc is missing; on Debian or Ubuntu: apt-get install musl-tools");
        }
        command.env("CC_x86_64_unknown_linux_musl", "musl-gcc");
    }
    run(&mut command)?;
    let stripped = Path::new(OUT).join(format!(".{target}"));
    output(
        Command::new("strip")
            .arg("-o")
            .arg(&stripped)
            .arg(folder.join(if dev { "debug" } else { "release" }).join("tapeline")),
    )?;
    Ok(stripped)
}

/// What goes into each archive: from the tree, to the archive.
fn contents() -> Result<Vec<(PathBuf, String)>> {
    let mut all: Vec<(PathBuf, String)> = [
        "README.md",
        "CHANGELOG.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "config/default.toml",
        "config/cluster.toml",
    ]
    .map(|name| (PathBuf::from(name), name.to_owned()))
    .into();
    for folder in ["systemd", "monitoring"] {
        for entry in fs::read_dir(Path::new("deploy").join(folder))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            all.push((Path::new("deploy").join(folder).join(&name), format!("{folder}/{name}")));
        }
    }
    Ok(all)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a file has a folder")?)?;
    fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// The same modes whatever the umask: programs 755, files 644.
fn modes(root: &Path) -> Result<()> {
    output(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(root))?;
    Ok(())
}

fn archive(name: &str, epoch: &str) -> Result<()> {
    let tar = format!("{OUT}/{name}.tar");
    output(
        Command::new("tar")
            .args(["--sort=name", "--format=ustar", "--owner=0", "--group=0", "--numeric-owner"])
            .arg(format!("--mtime=@{epoch}"))
            .args(["-C", OUT, "-cf", &tar, name]),
    )?;
    output(Command::new("gzip").args(["-9nf", &tar]))?;
    Ok(())
}

/// A Debian package: program, the two units of Tapeline, its account.
fn deb(root: &Path, version: &str, epoch: &str, glibc: Option<String>) -> Result<()> {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        println!("no .deb: dpkg-deb is missing (Debian, Ubuntu)");
        return Ok(());
    }
    let package = Path::new(OUT).join("deb");
    let put = |from: &str, to: &str| copy(&root.join(from), &package.join(to));
    put("bin/tapeline", "usr/bin/tapeline")?;
    for unit in ["run", "serve"] {
        let name = format!("tapeline-{unit}.service");
        put(&format!("systemd/{name}"), &format!("usr/lib/systemd/system/{name}"))?;
    }
    put("systemd/tapeline.sysusers", "usr/lib/sysusers.d/tapeline.conf")?;
    put("systemd/tapeline.env.example", "usr/share/doc/tapeline/tapeline.env.example")?;
    for (from, to) in [
        ("README.md", "README.md"),
        ("config/default.toml", "default.toml"),
        ("LICENSE-MIT", "copyright"),
        ("LICENSE-APACHE", "LICENSE-APACHE"),
        ("THIRD-PARTY-LICENSES.txt", "THIRD-PARTY-LICENSES.txt"),
        ("sbom.cdx.json", "sbom.cdx.json"),
    ] {
        put(from, &format!("usr/share/doc/tapeline/{to}"))?;
    }
    let control = package.join("DEBIAN");
    fs::create_dir_all(&control)?;
    fs::create_dir_all(package.join("etc/tapeline"))?;
    fs::write(
        package.join("etc/tapeline/tapeline.toml"),
        "# Settings; the reference is /usr/share/doc/tapeline/default.toml. Secrets belong into tapeline.env (mode 0600).\n",
    )?;
    fs::write(control.join("conffiles"), "/etc/tapeline/tapeline.toml\n")?;
    let depends = glibc.map_or_else(String::new, |version| format!("Depends: libc6 (>= {version})\n"));
    fs::write(
        control.join("control"),
        format!(
            "Package: tapeline\nVersion: {version}\nArchitecture: amd64\nMaintainer: Tapeline <tapeline@localhost>\n\
             Section: net\nPriority: optional\n{depends}Suggests: prometheus\n\
             Description: records market data through Kafka into Cassandra\n \
             Trades, quotes and bars of stock and crypto APIs, each in the store exactly once.\n"
        ),
    )?;
    let script = "#!/bin/sh\nset -e\nif [ \"$1\" = configure ] && command -v systemd-sysusers >/dev/null; then\n  \
                  systemd-sysusers tapeline.conf\nfi\nif [ -d /run/systemd/system ]; then systemctl daemon-reload; fi\n";
    fs::write(control.join("postinst"), script)?;
    modes(&package)?;
    output(Command::new("chmod").arg("755").arg(control.join("postinst")))?;
    output(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Zgzip", "--build"])
            .arg(&package)
            .arg(format!("{OUT}/tapeline_{version}_amd64.deb"))
            .env("SOURCE_DATE_EPOCH", epoch),
    )?;
    fs::remove_dir_all(package)?;
    Ok(())
}

/// The newest glibc whose symbols the program needs; none if it is static.
fn glibc(program: &Path) -> Result<Option<String>> {
    let bytes = fs::read(program)?;
    let needle = b"GLIBC_2.";
    let newest = bytes
        .windows(needle.len())
        .enumerate()
        .filter(|(_, window)| window == needle)
        .filter_map(|(at, _)| {
            let digits: Vec<u8> =
                bytes[at + needle.len()..].iter().copied().take_while(u8::is_ascii_digit).collect();
            String::from_utf8(digits).ok()?.parse::<u32>().ok()
        })
        .max();
    Ok(newest.map(|minor| format!("2.{minor}")))
}

fn sums() -> Result<()> {
    let mut names: Vec<String> = fs::read_dir(OUT)?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let text = output(Command::new("sha256sum").args(&names).current_dir(OUT))?;
    fs::write(format!("{OUT}/SHA256SUMS"), &text)?;
    for entry in
        fs::read_dir(OUT)?.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with('.'))
    {
        if let Some(version) = glibc(&entry.path())? {
            println!("{} needs glibc {version}", entry.file_name().to_string_lossy().trim_start_matches('.'));
        }
        fs::remove_file(entry.path())?;
    }
    println!("{OUT}:\n{text}");
    Ok(())
}

/// The packages that end up in the program: what `tapeline` needs, build and test tools left out.
fn shipped(metadata: &Value) -> Result<Vec<Value>> {
    let nodes = metadata["resolve"]["nodes"].as_array().context("cargo metadata resolved nothing")?;
    let nodes: BTreeMap<&str, &Value> =
        nodes.iter().filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let root =
        packages.iter().find(|package| package["name"] == "tapeline").context("no package tapeline")?;
    let mut open = vec![root["id"].as_str().context("a package without an id")?];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        for edge in nodes.get(id).and_then(|node| node["deps"].as_array()).into_iter().flatten() {
            let normal = edge["dep_kinds"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()));
            if let (true, Some(id)) = (normal, edge["pkg"].as_str()) {
                open.push(id);
            }
        }
    }
    let mut found: Vec<Value> = packages
        .iter()
        .filter(|package| package["id"].as_str().is_some_and(|id| seen.contains(id)))
        .cloned()
        .collect();
    found.sort_by_key(|package| (text(package, "name"), text(package, "version")));
    Ok(found)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// CycloneDX 1.5, without time or serial number so that it is reproducible.
fn sbom(packages: &[Value], version: &str) -> Result<String> {
    let checksums = checksums()?;
    let components: Vec<Value> = packages
        .iter()
        .filter(|package| package["name"] != "tapeline")
        .map(|package| {
            let (name, version) = (text(package, "name"), text(package, "version"));
            let purl = format!("pkg:cargo/{name}@{version}");
            let mut component = json!({
                "type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl,
                "licenses": [{"expression": text(package, "license").replace('/', " OR ")}],
            });
            if let Some(checksum) = checksums.get(&(name, version)) {
                component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
            }
            component
        })
        .collect();
    let purl = format!("pkg:cargo/tapeline@{version}");
    let document = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {"type": "application", "name": "tapeline", "version": version, "purl": purl, "bom-ref": purl}},
        "components": components,
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// SHA-256 of each crate, from `Cargo.lock`.
fn checksums() -> Result<BTreeMap<(String, String), String>> {
    let lock = fs::read_to_string("Cargo.lock")?;
    let value = |block: &str, key: &str| {
        block.lines().find_map(|line| {
            Some(line.strip_prefix(key)?.strip_prefix(" = \"")?.trim_end_matches('"').to_owned())
        })
    };
    Ok(lock
        .split("[[package]]")
        .filter_map(|block| {
            Some(((value(block, "name")?, value(block, "version")?), value(block, "checksum")?))
        })
        .collect())
}

/// The licence texts of everything shipped; equal texts once, with the crates they belong to.
fn licences(packages: &[Value]) -> Result<String> {
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut summary = String::from("Crates in this program and their licences:\n\n");
    for package in packages.iter().filter(|package| !package["source"].is_null()) {
        let crate_name = format!("{} {}", text(package, "name"), text(package, "version"));
        summary.push_str(&format!("{crate_name}: {}\n", text(package, "license")));
        let folder = text(package, "manifest_path");
        let folder = Path::new(&folder).parent().context("a manifest has a folder")?;
        for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?.flatten() {
            let name = entry.file_name().to_string_lossy().to_uppercase();
            let wanted = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"]
                .iter()
                .any(|word| name.starts_with(word));
            if wanted && entry.path().is_file() {
                let text = fs::read_to_string(entry.path()).unwrap_or_default().replace("\r\n", "\n");
                texts.entry(text.trim().to_owned()).or_default().insert(crate_name.clone());
            }
        }
    }
    ensure!(texts.len() > 10, "expected licence texts next to the crates' sources, found {}", texts.len());
    for (text, crates) in texts {
        let crates: Vec<String> = crates.into_iter().collect();
        summary.push_str(&format!("\n{}\n{}\n\n{text}\n", "-".repeat(80), crates.join(", ")));
    }
    Ok(summary)
}
