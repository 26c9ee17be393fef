//! Tests without servers.

use crate::{embedded_urls, finish, run, session, signal, start, tape, tapeline, url, with};

const ROWS: &str = "34200000,1000000,100,P,1,0\n34200000,1000000,100,P,1,0\n34200001,1000100,5,Q,20,1\n";

#[test]
fn bad_rows_become_dead_letters_and_the_rest_continues() {
    let dir = tempfile::tempdir().unwrap();
    tape(
        dir.path(),
        &format!(
            "{ROWS}34200002,10001\n\n34200003,9999999999999999999999999,100,P,1,0\nx,1,1,P,1,0\n34200004,1000000,7,P,1,0"
        ),
    );
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    let (code, text) = run(&with("run", &urls));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("dead letters: 4"), "{text}");
    assert!(text.contains("row 4, byte 80 (source): expected 6 columns, found 2"), "{text}");
    assert!(text.contains("row 5, byte 95 (source): empty row"), "{text}");
    assert!(
        text.contains("row 6, byte 96 (source): price \"9999999999999999999999999\": does not fit"),
        "{text}"
    );
    assert!(text.contains("row 7, byte 141 (source): time \"x\": not a decimal number"), "{text}");
    // They are kept, including raw bytes.
    let topic = rusqlite::Connection::open(dir.path().join("t.db")).unwrap();
    let raw: Vec<u8> = topic
        .query_row("SELECT payload FROM messages WHERE headers LIKE '%does not fit%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(raw, b"34200003,9999999999999999999999999,100,P,1,0");
    let (code, text) = run(&with("verify", &urls));
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("verified: 4 records")
            && text.contains("4 unreadable rows of the source are dead letters"),
        "{text}"
    );
    let (code, text) = run(&["count", "--format", "json", &urls[4], &urls[5]]);
    assert_eq!((code, text.as_str()), (0, "{\"quotes\":{},\"readings\":{},\"trades\":{\"XYZ\":4}}\n"));
    let (_, csv) = run(&["query", "trades", "XYZ", "--format", "csv", "--limit", "1", &urls[4], &urls[5]]);
    assert!(
        csv.contains("\n2013-10-08T13:30:00.000000000Z,XYZ,lean.sip,P,100,100,,1,,2013100800000001,"),
        "{csv}"
    );
}

#[test]
fn a_second_run_resumes_and_a_replay_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = tape(dir.path(), ROWS);
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let (code, text) = run(&with("run", &urls));
    assert!(code == 0 && text.contains("3 rows were published before and are skipped"), "{text}");
    let mut replay = with("run", &urls);
    replay.push("--replay");
    assert_eq!(run(&replay).0, 0);
    let (code, text) = run(&with("verify", &urls));
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("3 messages on the topic repeat a record") && text.contains("verified: 3 records"),
        "{text}"
    );
    // A file that has grown since is read again: its checksum has changed.
    tape(dir.path(), &format!("{ROWS}34200009,1000000,1,P,1,0"));
    assert!(file.exists());
    assert_eq!(run(&with("run", &urls)).0, 0);
    let (code, text) = run(&with("verify", &urls));
    assert!(code == 0 && text.contains("verified: 4 records"), "{text}");
}

#[test]
fn verify_finds_a_lost_row_and_a_changed_one() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), ROWS);
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let store = rusqlite::Connection::open(dir.path().join("s.db")).unwrap();
    store.execute("UPDATE trades SET size = size + 1 WHERE id = '2013100800000002'", []).unwrap();
    let (code, text) = run(&with("verify", &urls));
    assert!(code == 3 && text.contains("DIFFERS") && text.contains("NOT verified"), "{text}");
    store.execute("UPDATE trades SET size = size - 1 WHERE id = '2013100800000002'", []).unwrap();
    assert_eq!(run(&with("verify", &urls)).0, 0);
    store.execute("DELETE FROM trades WHERE id = '2013100800000002'", []).unwrap();
    assert_eq!(run(&with("verify", &urls)).0, 3);
}

#[test]
fn a_file_cut_short_gives_what_is_left_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let source = session().join("tick/aig/20131008_trade.zip");
    let whole = std::fs::read(source).unwrap();
    let folder = dir.path().join("tape/tick/aig");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("20131008_trade.zip");
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let (code, text) = run(&with("run", &urls));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("the file is damaged from here on"), "{text}");
    let name = "20131008_trade.zip: expected a complete zip file, found damage after row";
    assert!(text.contains("error: incomplete source tape:") && text.contains(name), "{text}");
    // So do the later runs, and the proof.
    for (verb, expected) in [("run", 1), ("produce", 1), ("verify", 3)] {
        let mut urls = urls.clone();
        urls.truncate(if verb == "produce" { 4 } else { 6 });
        let (code, text) = run(&with(verb, &urls));
        assert!(code == expected && text.contains(name), "{verb}: {code} {text}");
        assert!(!text.contains("verified: 1"), "{verb}: {text}");
    }
    let (_, text) = run(&["count", "--format", "csv", &urls[4], &urls[5]]);
    let rows: u64 = text.lines().last().unwrap().rsplit(',').next().unwrap().parse().unwrap();
    assert!((10_000..43_342).contains(&rows), "{rows}");
    // The complete file later adds just what was missing.
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(run(&with("run", &urls)).0, 0);
    let (code, text) = run(&with("verify", &urls));
    assert!(code == 0 && text.contains("verified: 43,342 records"), "{text}");
    // The checksum detects a single flipped bit.
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    std::fs::write(&path, flipped).unwrap();
    let (_, text) = run(&with("run", &urls));
    assert!(text.contains("dead letters:"), "{text}");
    std::fs::write(&path, b"no zip at all").unwrap();
    let (code, text) = run(&with("run", &urls));
    assert!(code == 1 && text.contains("20131008_trade.zip (source): not a zip"), "{text}");
}

#[test]
fn sigterm_drains_and_commits_and_the_next_start_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let mut urls = embedded_urls(dir.path(), &session());
    urls[1].push_str("?symbols=AIG&kinds=trades&speed=2000");
    let child = start(&with("run", &urls));
    std::thread::sleep(std::time::Duration::from_secs(3));
    // As `timeout` does: to the process, and to its group.
    signal(&child, "-TERM");
    signal(&child, "-TERM");
    let (code, text) = finish(child.wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
    let total =
        text.lines().find(|line| line.contains("total")).unwrap_or_else(|| panic!("{text}")).to_owned();
    let cells: Vec<&str> = total.split_whitespace().collect();
    assert!(cells[1] != "0" && cells[1] == cells[2], "published and stored differ: {total}");
    urls[1] = urls[1].replace("speed=2000", "speed=max");
    let (code, text) = run(&with("run", &urls));
    assert!(code == 0 && text.contains(&format!("{} rows were published before", cells[1])), "{text}");
    let (code, text) = run(&with("verify", &urls));
    assert!(code == 0 && text.contains("verified: 43,342 records"), "{text}");
    assert!(!text.contains("repeat"), "a clean stop repeats nothing: {text}");
}

#[test]
fn a_tape_at_its_own_pace_is_visible_as_it_plays() {
    let dir = tempfile::tempdir().unwrap();
    // The second row is an hour after the first: the run is still waiting for it when we look.
    tape(dir.path(), "34200000,1000000,100,P,1,0\n37800000,1000000,100,P,1,0");
    let mut urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    urls[1].push_str("?speed=1");
    let child = start(&with("run", &urls));
    let begun = std::time::Instant::now();
    loop {
        let (_, text) = run(&["count", "--format", "json", &urls[4], &urls[5]]);
        if text.contains("{\"XYZ\":1}") {
            break;
        }
        assert!(begun.elapsed().as_secs() < 20, "{text}");
    }
    signal(&child, "-TERM");
    let (code, text) = finish(child.wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
}

#[test]
fn wrong_words_get_a_clear_answer() {
    let dir = tempfile::tempdir().unwrap();
    let missing = url("tape", &dir.path().join("no"));
    let empty = url("tape", dir.path());
    let cases: &[(&[&str], i32, &str)] = &[
        (&["run"], 2, "no source given\n  hint: --source"),
        (&["run", "--source", &missing], 1, "no folder"),
        (&["run", "--source", &empty], 1, "no tick files in"),
        (&["run", "--source", "tape:.?speed=fast"], 2, "expected max or a number"),
        (&["run", "--source", "ftp://x"], 2, "unknown source URL `ftp://x`"),
        (&["count", "--store", "mysql://x"], 2, "unknown store URL `mysql://x`"),
        (&["count", "--store", "sqlite:/no/such/file"], 1, "no store file /no/such/file"),
        (&["query", "ticks", "SPY"], 2, "possible values: trades, quotes, readings, bars, quote-bars"),
        (&["query", "trades", "SPY", "--from", "noon"], 2, "--from: `noon` is not a time"),
        (&["query", "trades", "SPY", "--from", "2014-01-01", "--to", "2013-01-01"], 2, "is not before --to"),
        (&["count", "--config", "/no/such.toml"], 1, "read configuration /no/such.toml"),
        (&["count", "--store", "cassandra://127.0.0.77:9/k", "--wait", "1"], 4, "no node responds"),
        (&["init", "--topic", "kafka://127.0.0.77:9", "--wait", "1"], 4, "no broker responds"),
        (&["fly"], 2, "unrecognized subcommand"),
    ];
    for (arguments, code, part) in cases {
        let (got, text) = finish(tapeline(arguments).current_dir(dir.path()).output().unwrap());
        assert_eq!(got, *code, "{arguments:?}: {text}");
        assert!(text.contains(part), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[test]
fn the_demo_runs_twice_and_proves_itself() {
    let dir = tempfile::tempdir().unwrap();
    let demo = dir.path().join("demo");
    for format in ["table", "json"] {
        let output =
            tapeline(&["demo", "--dir", demo.to_str().unwrap(), "--format", format]).output().unwrap();
        if format == "json" {
            let done: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!((&done["run"]["stored"], &done["proof"]["equal"]), (&654_140.into(), &true.into()));
        }
        let (code, text) = finish(output);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("SPY    trades   451,545 451,545"), "{text}");
        assert!(
            text.contains("verified: 654,140 records, equal field for field in source, topic, store"),
            "{text}"
        );
    }
    the_readmes_commands_run(&demo);
    the_tape_of_the_demo_has_the_records_of_its_api(&demo);
}

/// Recording the tape after the API adds nothing: the records are the same, with the same ids.
fn the_tape_of_the_demo_has_the_records_of_its_api(demo: &std::path::Path) {
    let source = format!("tape:{}?symbols=IBM&kinds=trades", demo.join("tape").display());
    let (topic, store) = (url("sqlite", &demo.join("topic.db")), url("sqlite", &demo.join("market.db")));
    let urls = ["--source", &source, "--topic", &topic, "--store", &store];
    let (code, text) = run(&[&["run"], &urls[..]].concat());
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(&[&["verify"], &urls[..]].concat());
    assert!(code == 0 && text.contains("verified: 33,381 records, equal field for field"), "{text}");
    let (_, text) = run(&["count", "--store", &store]);
    assert!(text.contains("654,140"), "{text}");
}

/// Runs what README shows for the demo's folder as it is written there, and looks at the results. python/tests/test_docs.py runs
/// it in the other shells.
fn the_readmes_commands_run(demo: &std::path::Path) {
    let readme = std::fs::read_to_string(session().join("../../README.md")).unwrap();
    let (_, block) = readme.split_once("cd tapeline-demo\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let commands: Vec<&str> = block.lines().filter(|line| *line != "tapeline serve").collect();
    assert!(commands.len() >= 5 && commands.iter().all(|line| line.starts_with("tapeline ")), "{commands:?}");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_tapeline"));
    let path = std::env::join_paths(
        std::iter::once(program.parent().unwrap().to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    for command in &commands {
        let mut running = std::process::Command::new("bash");
        let output = running.args(["-c", command]).current_dir(demo).env("PATH", &path).output().unwrap();
        let (code, text) = finish(output);
        assert_eq!(code, 0, "{command}: {text}");
        assert!(!text.contains("no trades of") && !text.contains("no 1m bars"), "{command}: {text}");
    }
    assert!(std::fs::read(demo.join("spy.parquet")).unwrap().starts_with(b"PAR1"));
    assert!(std::fs::read_to_string(demo.join("spy.svg")).unwrap().contains("2013-10-08, America/New_York"));
}

#[test]
fn a_recording_without_records_and_a_capture_cut_within_a_line_are_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let mut urls = embedded_urls(dir.path(), dir.path());
    let path = dir.path().join("a.csv");
    urls[1] = format!("lines:{}?format=csv&series=x&value=v", path.display());
    std::fs::write(&path, "").unwrap();
    let (code, text) = run(&with("run", &urls));
    assert!(code == 1 && text.contains("the source is empty"), "{text}");
    // A named pipe, whose opening would wait for a writer.
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut piped = urls.clone();
    piped[1] = format!("lines:{}?format=csv&series=x&value=v", pipe.display());
    let (code, text) = run(&with("run", &piped));
    assert!(code == 1 && text.contains("found a pipe") && text.contains("lines:-"), "{text}");
    // A message that is not of its feed.
    let capture = dir.path().join("capture");
    std::fs::write(&capture, "{\"e\":\"aggTrade\",\"s\":\"BTCUSDT\"}\n").unwrap();
    piped[1] = format!("frames:{}?feed=binance", capture.display());
    let (code, text) = run(&with("run", &piped));
    assert!(code == 1 && text.contains("of types that its feed does not send"), "{text}");
    assert!(text.contains("aggTrade") && !text.contains("source is empty"), "{text}");
    std::fs::write(&path, "time,v,w\n1700000000,1,1\n17000").unwrap();
    for (verb, expected) in [("run", 1), ("verify", 3)] {
        let (code, text) = run(&with(verb, &urls));
        assert!(
            code == expected && text.contains("a.csv:3: expected a complete line"),
            "{verb}: {code} {text}"
        );
    }
    std::fs::write(&path, "time,v,w\n1700000000,1,1\n1700000001,2,2\n").unwrap();
    assert_eq!(run(&with("run", &urls)).0, 0);
    let (code, text) = run(&with("verify", &urls));
    assert!(code == 0 && text.contains("verified: 2 records"), "{text}");
    // A requested symbol without a file.
    tape(dir.path(), ROWS);
    urls[1] = url("tape", &dir.path().join("tape"));
    let mut missing = with("run", &urls);
    missing.extend(["--symbols", "XYZ,NO"]);
    let (code, text) = run(&missing);
    assert!(code == 1 && text.contains("no tick file of NO in"), "{text}");
}
