//! A full disk under the embedded files: what is written is kept, the rest waits or ends with the reason, and with more space
//! everything is there.

use crate::{finish, session};
use std::process::Command;

/// Runs a script in a mount namespace of its own, with a file system of six megabytes at `$1`.
const SCRIPT: &str = r#"
set -u
mount -t tmpfs -o size=6m none "$1"
run() {
    "$2" "$3" --topic "sqlite:$1/t.db" --store "sqlite:$1/s.db" --source "$4"
}
run "$1" "$2" run "$3"
echo "full: exit $?"
mount -o remount,size=200m "$1"
run "$1" "$2" run "$3"
echo "more space: exit $?"
run "$1" "$2" verify "$3"
echo "verify: exit $?"
"$2" query bars AIG --interval 1d --store "sqlite:$1/s.db"
"#;

#[test]
fn a_full_disk_is_named_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let source = format!("tape:{}?speed=max&kinds=trades&symbols=AIG", session().display());
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh"]);
    command.arg(dir.path()).arg(env!("CARGO_BIN_EXE_tapeline")).arg(source);
    let (code, text) = finish(command.output().unwrap());
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("database or disk is full") && text.contains("hint: free some disk space"),
        "{text}"
    );
    for line in ["full: exit 4", "more space: exit 0", "verify: exit 0", "verified: 43,342 records"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let day: Vec<&str> = text.lines().filter(|line| line.contains(" 1d ")).collect();
    assert!(day.len() == 1 && day[0].contains(" true  true"), "{day:?}");
}
