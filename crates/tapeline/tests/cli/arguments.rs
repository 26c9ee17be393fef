//! Arguments: what is honoured, what is refused, with which exit code and which advice.

use crate::{embedded_urls, finish, run, start, tape, tape_of_day, tapeline, url, with};
use std::path::Path;

const ROWS: &str = "34200000,1000000,100,P,1,0\n34200500,1000500,200,Q,1,0\n";

/// Runs in a folder, so that default files are created there if at all.
fn run_in(dir: &Path, arguments: &[&str]) -> (i32, String) {
    finish(tapeline(arguments).current_dir(dir).output().unwrap())
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn flags_that_a_verb_would_ignore_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        &["demo", "--source", "tape:x"][..],
        &["demo", "--store", "sqlite:x.db"],
        &["demo", "--topic", "sqlite:x.db"],
        &["query", "trades", "SPY", "--symbols", "IBM"],
        &["query", "trades", "SPY", "--kinds", "quotes"],
        &["plot", "SPY", "--out", "x.svg", "--symbols", "IBM"],
        &["explain", "SPY", "2013-10-08", "--kinds", "trades"],
        &["consume", "--symbols", "IBM"],
        &["gaps", "--symbols", "SPY"],
        &["simulate", "alpaca", "--tape", "x", "--source", "tape:x"],
        &["simulate", "alpaca", "--tape", "x", "--store", "sqlite:x.db"],
        &["schema", "--store", "sqlite:x.db"],
        &["--config", "x.toml", "schema"],
        &["completions", "bash", "--log", "debug"],
        &["man", "-v"],
        &["man", "--quiet"],
        &["config", "show", "--wait", "1"],
        &["config", "check", "--symbols", "IBM"],
        &["config", "schema", "--topic", "sqlite:x.db"],
        &["status", "--kinds", "trades"],
        &["alert", "list", "--symbols", "IBM"],
    ] {
        let (code, text) = run_in(dir.path(), arguments);
        assert!(code == 2 && text.contains("cannot be used with"), "{arguments:?}: {code} {text}");
    }
    // A variable is meant for all verbs.
    let output = tapeline(&["schema"]).env("TAPELINE_CONFIG", "/no/such").current_dir(dir.path()).output();
    let (code, text) = finish(output.unwrap());
    assert!(code == 0 && text.contains("$schema"), "{code} {text}");
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn count_takes_symbols_and_kinds() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), ROWS);
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let count = |more: &[&str]| {
        let arguments = [&["count", "--format", "json", &urls[4], &urls[5]], more].concat();
        let output = tapeline(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", finish(output).1);
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(count(&["--kinds", "trades"]), "{\"trades\":{\"XYZ\":2}}\n");
    assert_eq!(count(&["--kinds", "quotes"]), "{\"quotes\":{}}\n");
    assert_eq!(
        count(&["--symbols", "ABC"]),
        "{\"quotes\":{\"ABC\":0},\"readings\":{\"ABC\":0},\"trades\":{\"ABC\":0}}\n"
    );
    assert_eq!(count(&["--symbols", "XYZ", "--kinds", "trades"]), "{\"trades\":{\"XYZ\":2}}\n");
    assert_eq!(run(&["count", &urls[4], &urls[5], "--kinds", "bars"]).0, 2);
}

#[test]
fn wrong_arguments_exit_with_2_and_near_misses_get_the_right_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["run", "--source", "polygon:?symbols=SPY"], 2, "did you mean massive:stocks"),
        (&["run", "--source", "yahoo:?symbols=SPY"], 2, "did you mean poll:yahoo"),
        (&["run", "--source", "folder"], 2, "did you mean tape:folder"),
        (&["run", "--source", "kafka://h:9092"], 2, "--topic kafka://"),
        (&["query", "bars", "SPY", "--policy", "foo"], 2, "expected sip, lean"),
        (&["count", "--store", "foo"], 2, "unknown store URL"),
        (&["plot", "SPY", "--out", "x.jpg"], 2, ".svg, .png or .html"),
        (&["simulate", "alpaca", "--tape", "folder", "--speed", "0"], 2, "--speed 0: expected max"),
        (&["query", "trades", "SPY", "--to", "soon"], 2, "--to: `soon` is not a time"),
        (&["explain", "SPY", "soon"], 2, "`soon` is not a time"),
        (&["count", "--log", "x=y=z"], 2, "log.level"),
        // The folder is the user's to name, and the flag is the verb's own.
        (&["simulate", "alpaca", "--tape", "/no/such"], 1, "--tape DIR"),
    ];
    for (arguments, code, part) in cases {
        let (got, text) = run_in(dir.path(), arguments);
        assert!(got == *code && text.contains(part), "{arguments:?}: {got} {text}");
    }
    // Who has only the program has no source tree to run xtask in.
    for arguments in [
        &["count", "--store", "cassandra://127.0.0.77:9/k", "--wait", "1"][..],
        &["init", "--topic", "kafka://127.0.0.77:9", "--wait", "1"],
    ] {
        let (code, text) = run_in(dir.path(), arguments);
        assert!(code == 4 && text.contains("sqlite:FILE") && !text.contains("xtask"), "{text}");
        // What is waited for, and the error; no warnings of a driver's attempts.
        assert!(text.lines().count() <= 5 && !text.contains("WARN"), "{text}");
    }
}

#[test]
fn wait_takes_seconds_or_a_duration() {
    for wait in ["1", "1s", "200ms"] {
        let (code, text) = run(&["count", "--store", "cassandra://127.0.0.77:9/k", "--wait", wait]);
        assert_eq!(code, 4, "{wait}: {text}");
    }
    for wait in ["soon", "-1", "1.5"] {
        let (code, text) =
            run(&["count", "--store", "cassandra://127.0.0.77:9/k", &format!("--wait={wait}")]);
        assert!(code == 2 && text.contains("expected seconds, as 5"), "{wait}: {text}");
    }
}

#[test]
fn wait_bounds_a_silent_server_and_a_live_source() {
    // Accepts connections and never answers, as another protocol's server does.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("cassandra://{}/k", listener.local_addr().unwrap());
    let (code, text) = run(&["count", "--store", &store, "--wait", "2"]);
    assert!(code == 4 && text.contains("no response within 2 s"), "{code} {text}");
    let dir = tempfile::tempdir().unwrap();
    let urls = embedded_urls(dir.path(), dir.path());
    for (source, name, address) in [
        ("kraken:?symbols=BTC/USD", "KRAKEN__STREAM", "ws://127.0.0.77:9"),
        ("poll:yahoo?symbols=SPY", "POLL__YAHOO__REST", "http://127.0.0.77:9"),
    ] {
        let mut command = tapeline(&["run", "--source", source, "--wait", "1"]);
        command.args(&urls[2..]).env(format!("TAPELINE__SOURCE__{name}"), address);
        let (code, text) = finish(command.output().unwrap());
        assert!(code == 4 && text.contains("--wait"), "{source}: {code} {text}");
    }
}

#[test]
fn verbs_that_read_create_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        &["gaps"][..],
        &["verify"],
        &["backfill", "--open", "--source", "kraken:?symbols=BTC/USD"],
        &["count"],
        &["query", "trades", "SPY"],
        &["plot", "SPY", "--out", "x.svg"],
    ] {
        let (code, text) = run_in(dir.path(), arguments);
        assert_eq!(code, 1, "{arguments:?}: {text}");
        assert_eq!(names(dir.path()), [""; 0], "{arguments:?}: {text}");
    }
    // A topic file is not a store and is left unchanged.
    tape(dir.path(), ROWS);
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("produce", &urls)).0, 0);
    let topic = dir.path().join("t.db");
    let tables = || {
        let connection = rusqlite::Connection::open(&topic).unwrap();
        let count = "SELECT count(*) FROM sqlite_master";
        connection.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let before = tables();
    assert_eq!(run(&["count", "--store", &url("sqlite", &topic)]).0, 1);
    assert_eq!(tables(), before);
}

#[test]
fn another_folder_of_the_same_day_is_not_what_was_published() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tape(one.path(), ROWS);
    let urls = embedded_urls(one.path(), &one.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    tape_of_day(other.path(), "20131008", &format!("{ROWS}34201000,1000000,7,P,1,0\n"));
    let mut urls = urls;
    urls[1] = url("tape", &other.path().join("tape"));
    let (code, text) = run(&with("run", &urls));
    assert!(code == 0 && !text.contains("published before"), "{text}");
    let (_, text) = run(&with("run", &urls));
    assert!(text.contains("3 rows were published before"), "{text}");
}

#[test]
fn a_capture_without_a_record_fails_and_says_what_to_check() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("README.md");
    std::fs::write(&file, "# Not a capture\nat all\n").unwrap();
    let mut urls = embedded_urls(dir.path(), dir.path());
    urls[1] = format!("frames:{}?feed=alpaca.sip", file.display());
    for verb in ["run", "produce"] {
        let (code, text) = run(&[&with(verb, &urls)[..], &["--replay"]].concat());
        assert_eq!(code, 1, "{text}");
        assert!(
            text.contains("all 2 rows are dead letters") && text.contains("one websocket frame per line"),
            "{text}"
        );
        assert!(text.contains("tapeline dead-letters list --topic"), "{text}");
    }
}

#[test]
fn a_tilde_is_the_home_folder() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), ROWS);
    let arguments =
        ["run", "--source", "tape:~/tape", "--topic", "sqlite:~/t.db", "--store", "sqlite:~/s.db"];
    let (code, text) =
        finish(tapeline(&arguments).current_dir(dir.path()).env("HOME", dir.path()).output().unwrap());
    assert_eq!(code, 0, "{text}");
    let found = names(dir.path());
    assert!(["s.db", "t.db"].iter().all(|name| found.iter().any(|found| found == name)), "{found:?}");
    assert!(!found.iter().any(|name| name.contains('~')), "{found:?}");
}

#[test]
fn an_interrupted_run_says_that_it_is_not_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), "34200000,1000000,100,P,1,0\n37800000,1000000,100,P,1,0");
    let mut urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    urls[1].push_str("?speed=1");
    let child = start(&with("run", &urls));
    while !run(&["count", "--format", "json", &urls[4], &urls[5]]).1.contains("{\"XYZ\":1}") {}
    crate::signal(&child, "-INT");
    let (code, text) = finish(child.wait_with_output().unwrap());
    // `run && verify` ends here.
    assert!(code == 130 && text.contains("stopped before the end of tape:"), "{code} {text}");
    assert!(text.contains("start again to resume") && !text.contains("check it:"), "{text}");
}

/// There are more members than partitions of the vendors' bars: one has nothing to wait for.
#[test]
fn a_consumer_ends_beside_another_that_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), "34200000,1000000,100,P,1,0\n37800000,1000000,100,P,1,0");
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("produce", &urls)).0, 0);
    let other = start(&with("consume", &urls));
    while !run(&["count", "--format", "json", &urls[4], &urls[5]]).1.contains("{\"XYZ\":2}") {}
    let (code, text) = run(&[&with("consume", &urls)[..], &["--until-end"]].concat());
    assert_eq!(code, 0, "{text}");
    crate::signal(&other, "-INT");
    let (code, text) = finish(other.wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
}

/// A reader that is gone stops nothing; a disk that is full is a failure.
#[test]
fn messages_that_nobody_reads_stop_nothing() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), "34200000,1000000,100,P,1,0\n37800000,1000000,100,P,1,0");
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let (code, text) = finish(crate::tapeline(&with("run", &urls)).stdout(writer).output().unwrap());
    assert!(code == 0 && !text.contains("panicked"), "{text}");
    assert!(run(&["count", "--format", "json", &urls[4], &urls[5]]).1.contains("{\"XYZ\":2}"));
    // Neither do warnings: each bad row is one.
    tape(dir.path(), "34200000,bad\n34200001,worse\n37800000,1000000,100,P,1,0");
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let arguments = [&with("run", &urls)[..], &["--log", "debug", "--replay"]].concat();
    let status = crate::tapeline(&arguments).stdout(closed()).stderr(closed()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    for verb in [&["completions", "zsh"][..], &["man"], &["schema"], &["config", "show"]] {
        let output = crate::tapeline(verb).stdout(closed()).output().unwrap();
        let (code, text) = finish(output);
        assert!(code == 0 && text.is_empty(), "{verb:?}: {code} {text}");
    }
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let (code, text) = finish(crate::tapeline(&with("init", &urls)).stdout(full).output().unwrap());
    assert!(code == 1 && text.contains("write to standard output: No space left"), "{text}");
}

#[test]
fn rows_are_written_once_and_at_least_one_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), "34200000,1000000,100,P,1,0\n37800000,1000000,100,P,1,0");
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let query = ["query", "trades", "XYZ, XYZ", "--format", "ndjson", &urls[4], &urls[5]];
    let (code, text) = run(&query);
    assert_eq!((code, text.lines().count()), (0, 2), "{text}");
    assert_eq!(run(&[&query[..], &["--limit", "0"]].concat()).0, 2);
}

#[test]
fn help_version_completions_and_manual_are_there() {
    let (code, text) = run(&["query", "--help"]);
    let own = text.find("\nOptions:").unwrap();
    let global = text.find("\nGlobal options:").unwrap();
    let at = |flag: &str| text.find(flag).unwrap();
    assert!(code == 0 && own < global, "{text}");
    assert!((own..global).contains(&at("--limit <N>")) && at("--config <FILE>") > global, "{text}");
    let (_, text) = run(&["--version"]);
    assert!(text.contains("librdkafka 2.") && text.contains("SQLite 3."), "{text}");
    assert_eq!(run(&["-V"]).1.lines().count(), 1);
    for shell in ["bash", "zsh", "fish"] {
        let (code, text) = run(&["completions", shell]);
        assert!(code == 0 && text.contains("explain") && text.contains("interval"), "{shell}: {text}");
        let Ok(output) = std::process::Command::new(shell).arg("--version").output() else { continue };
        assert!(output.status.success());
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        std::fs::write(&script, &text).unwrap();
        let checked = std::process::Command::new(shell).arg("-n").arg(&script).output().unwrap();
        assert!(checked.status.success(), "{shell}: {}", finish(checked).1);
    }
    assert!(run(&["man"]).1.contains(".TH tapeline 1"));
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", "--out", dir.path().to_str().unwrap()]).0, 0);
    let pages = names(dir.path());
    assert!(
        ["tapeline.1", "tapeline-query.1", "tapeline-alert-run.1"]
            .iter()
            .all(|page| pages.iter().any(|p| p == page))
    );
}

#[test]
fn quiet_prints_results_only_and_colour_is_a_choice() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), ROWS);
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&[&with("run", &urls)[..], &["--quiet"]].concat()), (0, String::new()));
    let (code, text) = run(&[&with("verify", &urls)[..], &["-q"]].concat());
    assert!(code == 0 && text.contains("verified: 2 records") && !text.contains("reading"), "{text}");
    assert_eq!(run(&["count", "-q", "-v", &urls[4], &urls[5]]).0, 2);
    // Without a terminal there is no colour, unless it is requested.
    for (color, expected) in [("always", true), ("never", false), ("auto", false)] {
        let arguments = [&with("run", &urls)[..], &["--replay", "-vv", "--color", color]].concat();
        let (code, text) = run(&arguments);
        assert!(code == 0 && text.contains("DEBUG"), "{text}");
        assert_eq!(text.contains('\u{1b}'), expected, "{color}: {text}");
    }
}

/// A server that nobody starts is waited for; Ctrl-C ends the wait as it ends everything else.
#[test]
fn an_interrupted_wait_for_a_server_is_a_stop() {
    use std::io::{BufRead, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let topic = url("sqlite", &dir.path().join("t.db"));
    let registry = [
        ("TAPELINE__TOPIC__FORMAT", "avro"),
        ("TAPELINE__TOPIC__REGISTRY__URL", "http://127.0.0.1:1"),
        ("TAPELINE__STORE__URL", "cassandra://127.0.0.1:1/k"),
    ];
    for arguments in
        [&["count"][..], &["init", "--topic", &topic], &["consume", "--until-end", "--topic", &topic]]
    {
        let mut command = tapeline(arguments);
        command.args(["--wait", "600"]).envs(registry).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.starts_with("waiting up to 600 s"), "{arguments:?}: {line}");
        crate::signal(&child, "-INT");
        assert_eq!(child.wait().unwrap().code(), Some(130), "{arguments:?}");
    }
}

#[test]
fn quiet_leaves_out_summaries_and_no_dead_letter() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("frames.txt"), "not a frame\n").unwrap();
    let source = url("frames", &dir.path().join("frames.txt")) + "?feed=alpaca.sip";
    let places = ["--topic", "sqlite:t.db", "--store", "sqlite:s.db", "--quiet"];
    let (code, text) = run_in(dir.path(), &[&["run", "--source", &source][..], &places].concat());
    assert!(code == 1 && text.contains("dead letters: 1"), "{code} {text}");
    let (code, text) = run_in(dir.path(), &[&["aggregate", "--until-end"][..], &places].concat());
    assert_eq!((code, text.as_str()), (0, ""));
}

#[test]
fn the_limit_of_explain_counts_in_json_too() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), ROWS);
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let explain =
        ["explain", "XYZ", "2013-10-08", "--interval", "1d", "--format", "json", &urls[4], &urls[5]];
    for (limit, expected) in [(&[][..], 2), (&["--limit", "1"], 1)] {
        let output = tapeline(&[&explain[..], limit].concat()).output().unwrap();
        let bars: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(bars[0]["prints"].as_array().unwrap().len(), expected, "{bars}");
    }
}
