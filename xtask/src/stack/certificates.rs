//! Certificates of a secured stack: an authority, a server and a client, generated with `openssl` and
//! `keytool`.

use crate::shell::output;
use anyhow::{Context, Result};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Password of the key stores, which only this machine's user can read.
pub(super) const STORE_PASSWORD: &str = "changeit";

/// `ca.crt`, `server.p12`, `truststore.p12`, `client.crt`, `client.key` and `password` in a folder; `other.crt` is an authority that
/// signed nothing, for the tests.
pub(super) fn make(dir: &Path, java: &Path) -> Result<PathBuf> {
    let dir = dir.join("certificates");
    let done = dir.join(".complete");
    if done.exists() {
        return Ok(dir);
    }
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    for (name, subject) in [("ca", "/CN=tapeline-local-ca"), ("other", "/CN=another-ca")] {
        openssl(&dir, &["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", "-subj", subject])
            .args(&["-addext", "basicConstraints=critical,CA:TRUE"])
            .args(&["-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")])
            .run()?;
    }
    fs::write(
        dir.join("extensions"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:127.0.0.2,IP:127.0.0.3\nextendedKeyUsage=serverAuth,clientAuth\n",
    )?;
    for name in ["server", "client"] {
        let (key, request, signed) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        openssl(&dir, &["req", "-newkey", "rsa:2048", "-nodes", "-subj", &format!("/CN={name}")])
            .args(&["-keyout", &key, "-out", &request])
            .run()?;
        openssl(
            &dir,
            &["x509", "-req", "-days", "365", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"],
        )
        .args(&["-extfile", "extensions", "-in", &request, "-out", &signed])
        .run()?;
    }
    openssl(&dir, &["pkcs12", "-export", "-in", "server.crt", "-inkey", "server.key", "-certfile", "ca.crt"])
        .args(&["-name", "server", "-out", "server.p12", "-passout", &format!("pass:{STORE_PASSWORD}")])
        .run()?;
    // openssl cannot write a trust store that Java reads.
    let keytool = java.with_file_name("keytool");
    output(
        Command::new(if keytool.is_absolute() { keytool } else { "keytool".into() })
            .current_dir(&dir)
            .args(["-importcert", "-noprompt", "-alias", "ca", "-file", "ca.crt", "-storetype", "PKCS12"])
            .args(["-keystore", "truststore.p12", "-storepass", STORE_PASSWORD]),
    )?;
    let mut random = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .context("read /dev/urandom")?;
    let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(dir.join("password"), password)?;
    fs::write(done, "")?;
    Ok(dir)
}

struct OpenSsl(Command);

fn openssl(dir: &Path, arguments: &[&str]) -> OpenSsl {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(arguments);
    OpenSsl(command)
}

impl OpenSsl {
    fn args(mut self, arguments: &[&str]) -> Self {
        self.0.args(arguments);
        self
    }

    fn run(mut self) -> Result<()> {
        output(&mut self.0).map(drop)
    }
}
