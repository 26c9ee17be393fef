//! Programs of the operating system that the tasks need. What is missing is named first, then installed with apt-get.

use crate::shell::run;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// A program, the Debian packages that hold it, and what it is needed for.
pub(crate) struct Requirement {
    name: &'static str,
    packages: &'static [&'static str],
    purpose: &'static str,
    is_present: fn() -> bool,
}

pub(crate) const JDK: Requirement = Requirement {
    name: "JDK 17",
    packages: &["openjdk-17-jdk-headless"],
    purpose: "runs Kafka and Cassandra",
    is_present: || crate::jdk::java().is_ok(),
};
pub(crate) const MAVEN: Requirement = Requirement {
    name: "Maven",
    packages: &["maven"],
    purpose: "downloads Kafka and Cassandra",
    is_present: || runs("mvn", &["-v"]),
};
const MAKE: Requirement = Requirement {
    name: "make",
    packages: &["make"],
    purpose: "builds OpenSSL and librdkafka",
    is_present: || runs("make", &["--version"]),
};
/// librdkafka's `configure` refuses to work without one, though only C is compiled.
const CXX: Requirement = Requirement {
    name: "C++ compiler",
    packages: &["g++"],
    purpose: "configures librdkafka",
    is_present: || runs("c++", &["--version"]),
};
/// All of it: Debian's `perl-base` lacks these modules.
const PERL: Requirement = Requirement {
    name: "perl",
    packages: &["perl"],
    purpose: "builds OpenSSL",
    is_present: || runs("perl", &["-MFindBin", "-MIPC::Cmd", "-MFile::Compare", "-e", "1"]),
};
pub(crate) const VENV: Requirement = Requirement {
    name: "Python with venv",
    packages: &["python3-venv"],
    purpose: "runs independent clients and the Python package",
    is_present: || runs("python3", &["-c", "import ensurepip, venv"]),
};
const OPENSSL: Requirement = Requirement {
    name: "openssl",
    packages: &["openssl"],
    purpose: "issues certificates for servers with TLS",
    is_present: || runs("openssl", &["version"]),
};
const KILL: Requirement = Requirement {
    name: "kill",
    packages: &["procps"],
    purpose: "sends signals to the program under test",
    is_present: || runs("kill", &["-l"]),
};
const CURL: Requirement = Requirement {
    name: "curl",
    packages: &["curl"],
    purpose: "sends readings over HTTP",
    is_present: || runs("curl", &["--version"]),
};
/// Where Debian puts it: outside the `PATH` of users.
pub(crate) const MOSQUITTO: Requirement = Requirement {
    name: "Mosquitto",
    packages: &["mosquitto", "mosquitto-clients"],
    purpose: "MQTT broker and clients",
    is_present: || Path::new("/usr/sbin/mosquitto").exists() && on_path("mosquitto_pub"),
};
const PROMETHEUS: Requirement = Requirement {
    name: "Prometheus",
    packages: &["prometheus"],
    purpose: "checks and reads the metrics",
    is_present: || runs("promtool", &["--version"]) && runs("prometheus", &["--version"]),
};
const ZSH: Requirement = Requirement {
    name: "zsh",
    packages: &["zsh"],
    purpose: "runs the commands of the documentation",
    is_present: || runs("zsh", &["--version"]),
};
const FISH: Requirement = Requirement {
    name: "fish",
    packages: &["fish"],
    purpose: "reads the commands of the documentation",
    is_present: || runs("fish", &["--version"]),
};
/// `CHROMIUM` in the environment names another one.
const CHROMIUM: Requirement = Requirement {
    name: "Chromium",
    packages: &["chromium", "fonts-dejavu-core"],
    purpose: "opens the dashboard; 124 MB to download, 414 MB on disk",
    is_present: || std::env::var_os("CHROMIUM").is_some() || Path::new("/usr/bin/chromium").exists(),
};

const ALERTMANAGER: Requirement = Requirement {
    name: "amtool",
    packages: &["prometheus-alertmanager"],
    purpose: "checks the routes of alerts",
    is_present: || on_path("amtool"),
};
const SYSTEMD: Requirement = Requirement {
    name: "systemd-analyze",
    packages: &["systemd"],
    purpose: "checks the units",
    is_present: || on_path("systemd-analyze"),
};
const DEBOOTSTRAP: Requirement = Requirement {
    name: "debootstrap",
    packages: &["debootstrap"],
    purpose: "makes the system that the user data runs on",
    is_present: || Path::new("/usr/sbin/debootstrap").exists(),
};
const POSTGRESQL: Requirement = Requirement {
    name: "PostgreSQL",
    packages: &["postgresql"],
    purpose: "runs the SQL of the archive",
    is_present: || on_path("pg_ctlcluster"),
};

/// What building the program needs in addition to a C compiler.
pub(crate) const BUILD: [Requirement; 3] = [MAKE, CXX, PERL];
/// What the servers need.
pub(crate) const SERVERS: [Requirement; 3] = [JDK, MAVEN, OPENSSL];
/// What `cargo xtask test` needs.
pub(crate) const TESTS: [Requirement; 13] =
    [MAKE, CXX, PERL, JDK, MAVEN, OPENSSL, VENV, KILL, CURL, MOSQUITTO, PROMETHEUS, ZSH, FISH];
/// What `cargo xtask test dashboard` needs.
pub(crate) const DASHBOARD: [Requirement; 5] = [MAKE, CXX, PERL, VENV, CHROMIUM];
/// What `cargo xtask deploy-test` needs.
pub(crate) const DEPLOYMENT: [Requirement; 9] =
    [JDK, MAVEN, OPENSSL, VENV, PROMETHEUS, ALERTMANAGER, SYSTEMD, DEBOOTSTRAP, POSTGRESQL];

/// Set by `--no-install`.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// From now on a missing program is an error.
pub(crate) fn refuse_to_install() {
    REFUSED.store(true, Ordering::Relaxed);
}

/// Installs what is missing, or fails and names it.
pub(crate) fn provide(all: &[Requirement]) -> Result<()> {
    let missing: Vec<&Requirement> = all.iter().filter(|need| !(need.is_present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("missing on this machine:\n{}", listed(&missing));
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    let install = apt(is_root, &install_arguments(&missing));
    if REFUSED.load(Ordering::Relaxed) {
        bail!("nothing was installed because of --no-install\n  hint: {}", install.join(" "));
    }
    if !runs("apt-get", &["--version"]) {
        bail!(
            "no apt-get to install the missing programs with\n  hint: install them; the packages are Debian's"
        );
    }
    println!("installing them with apt-get (`--no-install` refuses to)");
    let update = apt(is_root, &["update", "-qq"]);
    run(Command::new(update[0]).args(&update[1..]))?;
    run(Command::new(install[0]).args(&install[1..])).context(
        "a release may lack a package, as Debian 13 does the JDK 17: install that one from elsewhere (JAVA_HOME names a JDK)",
    )?;
    missing_after(&missing)
}

fn missing_after(installed: &[&Requirement]) -> Result<()> {
    let still: Vec<&Requirement> = installed.iter().copied().filter(|need| !(need.is_present)()).collect();
    ensure!(still.is_empty(), "still not found after the installation:\n{}", listed(&still));
    Ok(())
}

/// One line for each.
fn listed(needs: &[&Requirement]) -> String {
    let line =
        |need: &&Requirement| format!("  {:16} {:29} {}", need.name, need.packages.join(" "), need.purpose);
    needs.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn install_arguments(needs: &[&Requirement]) -> Vec<&'static str> {
    let packages = needs.iter().flat_map(|need| need.packages.iter().copied());
    ["install", "-y", "-qq", "--no-install-recommends"].into_iter().chain(packages).collect()
}

/// An apt-get command that asks nothing.
fn apt<'a>(is_root: bool, arguments: &[&'a str]) -> Vec<&'a str> {
    let before: &[&str] = if is_root { &[] } else { &["sudo"] };
    [before, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"], arguments].concat()
}

/// Whether a program is there and succeeds with these arguments.
fn runs(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether a program is in a folder of `PATH`.
fn on_path(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: Requirement = Requirement {
        name: "Absent",
        packages: &["absent", "absent-data"],
        purpose: "is never there",
        is_present: || runs("no-such-program-of-tapeline", &[]),
    };
    const PRESENT: Requirement = Requirement {
        name: "Present",
        packages: &["present"],
        is_present: || on_path("sh") && runs("sh", &["-c", "true"]),
        ..ABSENT
    };

    #[test]
    fn what_is_there_is_not_installed() {
        provide(&[PRESENT]).unwrap();
    }

    #[test]
    fn what_is_missing_is_named_with_its_packages_and_not_installed_if_refused() {
        refuse_to_install();
        let text = provide(&[PRESENT, ABSENT]).unwrap_err().to_string();
        assert!(text.contains("--no-install") && text.ends_with("absent absent-data"), "{text}");
        assert!(!text.contains("present"), "{text}");
        assert!(listed(&[&ABSENT]).contains("is never there"));
        assert!(missing_after(&[&ABSENT]).unwrap_err().to_string().contains("Absent"));
    }

    #[test]
    fn users_install_with_sudo() {
        let arguments = install_arguments(&[&ABSENT]);
        assert_eq!(apt(true, &arguments)[..3], ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        assert_eq!(apt(false, &arguments)[0], "sudo");
        assert_eq!(arguments, ["install", "-y", "-qq", "--no-install-recommends", "absent", "absent-data"]);
    }
}
