//! Strings that are never printed.

use serde::Deserialize;
use serde::de::Error as _;
use std::process::Command;

/// A password, key or token. `Debug` masks it; [`Secret::reveal`] is the only way to read it.
///
/// In the configuration it is a string, `{ file = "PATH" }`, `{ env = "VARIABLE" }` or `{ command = "SHELL COMMAND" }`,
/// whose content or output without the final line break is the secret.
#[derive(Clone, Default)]
pub struct Secret(String);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string, { file = … }, { env = … } or { command = … }")]
enum Origin {
    Text(String),
    File(InFile),
    Env(InEnv),
    Command(ByCommand),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InFile {
    file: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InEnv {
    env: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByCommand {
    command: String,
}

impl Origin {
    /// Resolves the secret; the error never contains it.
    fn resolve(self) -> Result<String, String> {
        let text = match self {
            Self::Text(text) => return Ok(text),
            Self::File(InFile { file }) => {
                std::fs::read_to_string(&file).map_err(|error| format!("secret file {file}: {error}"))?
            }
            Self::Env(InEnv { env }) => std::env::var(&env)
                .map_err(|_| format!("environment variable {env} is not set or not UTF-8"))?,
            Self::Command(ByCommand { command }) => {
                let output = Command::new("sh")
                    .args(["-c", &command])
                    .output()
                    .map_err(|error| format!("secret command: {error}"))?;
                if !output.status.success() {
                    return Err(format!("secret command ended with {}", output.status));
                }
                String::from_utf8(output.stdout)
                    .map_err(|_| "secret command: output is not UTF-8".to_owned())?
            }
        };
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Origin::deserialize(deserializer)?.resolve().map(Self).map_err(D::Error::custom)
    }
}

impl Secret {
    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether no secret is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "\"***\"" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_masks_the_secret() {
        assert_eq!(format!("{:?}", Secret::from("hunter2".to_owned())), "\"***\"");
        assert_eq!(format!("{:?}", Secret::default()), "\"\"");
    }

    fn parse(json: &str) -> Result<String, String> {
        let secret: Result<Secret, _> = serde_json::from_str(json);
        secret.map(|secret| secret.reveal().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_comes_from_text_file_environment_or_command() {
        assert_eq!(parse("\"s3cret\"").unwrap(), "s3cret");
        let path = std::env::temp_dir().join(format!("tapeline-secret-{}", std::process::id()));
        std::fs::write(&path, "from file\n").unwrap();
        assert_eq!(parse(&format!("{{\"file\":\"{}\"}}", path.display())).unwrap(), "from file");
        std::fs::remove_file(path).unwrap();
        assert_eq!(parse("{\"command\":\"printf hush\"}").unwrap(), "hush");
        assert!(parse("{\"file\":\"/no/such\"}").unwrap_err().contains("/no/such"));
        let error = parse("{\"command\":\"echo leaked; exit 3\"}").unwrap_err();
        assert!(error.contains("exit status: 3") && !error.contains("leaked"), "{error}");
        assert!(parse("{\"env\":\"TAPELINE_NO_SUCH_VARIABLE\"}").unwrap_err().contains("TAPELINE_NO_SUCH"));
        assert!(parse("3").unwrap_err().contains("expected a string"));
    }
}
