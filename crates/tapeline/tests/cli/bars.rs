//! Building, restating, reading and plotting bars from the command line.

use crate::real::Real;
use crate::{embedded_urls, finish, run, session, signal, start, tapeline, url, with};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A capture of Alpaca's stream: a trade per second for ten minutes, then a correction and a cancel.
fn capture(dir: &Path) -> std::path::PathBuf {
    let time = |second: u32| format!("2024-03-11T14:{:02}:{:02}.5Z", 30 + second / 60, second % 60);
    let trade = |second: u32, price: &str| {
        format!(
            r#"{{"T":"t","S":"AAPL","i":{},"x":"V","p":{price},"s":100,"c":["@"],"z":"C","t":"{}"}}"#,
            second + 1,
            time(second)
        )
    };
    let mut lines = vec![r#"[{"T":"success","msg":"connected"}]"#.to_owned()];
    for second in 0..600 {
        let price = match second {
            30 => "250.5", // a fat finger
            90 => "0.01",
            _ => "172.5",
        };
        lines.push(format!("[{}]", trade(second, price)));
    }
    lines.push(format!(
        r#"[{{"T":"c","S":"AAPL","x":"V","oi":31,"op":250.5,"os":100,"oc":["@"],"ci":9001,"cp":172.6,"cs":100,"cc":["@"],"z":"C","t":"{}"}}]"#,
        time(601)
    ));
    lines.push(format!(
        r#"[{{"T":"x","S":"AAPL","i":91,"x":"V","p":0.01,"s":100,"a":"C","z":"C","t":"{}"}},{}]"#,
        time(602),
        trade(602, "172.5")
    ));
    lines.push(
        r#"[{"T":"x","S":"AAPL","i":77777,"x":"V","p":1,"s":1,"a":"C","z":"C","t":"2024-03-11T14:45:00Z"}]"#
            .to_owned(),
    );
    let path = dir.join("capture.jsonl");
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// One bar as (high, low, revision, volume).
fn bar(urls: &[String], interval: &str, start: &str) -> Option<(String, String, u64, String)> {
    let arguments = [
        "query",
        "bars",
        "AAPL",
        "--interval",
        interval,
        "--from",
        start,
        "--limit",
        "1",
        "--format",
        "json",
    ];
    let mut command = tapeline(&arguments);
    let output = command.args(&urls[urls.len() - 2..]).output().unwrap();
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = list.get(0).filter(|bar| bar["start"] == start)?;
    let text = |name: &str| found[name].as_str().unwrap().to_owned();
    Some((text("high"), text("low"), found["revision"].as_u64().unwrap(), text("volume")))
}

#[test]
fn a_correction_and_a_cancel_restate_seconds_to_days_in_topic_table_and_plot() {
    let dir = tempfile::tempdir().unwrap();
    let source = format!("frames:{}?feed=alpaca.sip", capture(dir.path()).display());
    let mut urls = embedded_urls(dir.path(), Path::new("x"));
    urls[1] = source;
    let (code, text) = run(&with("run", &urls));
    assert!(code == 0 && text.contains("dead letters: 1") && text.contains("amends trade 77777"), "{text}");
    // A correction is two changes, removing the old and adding the new trade (ADR 9); a cancel is one.
    for (interval, start, high, low, revision, volume) in [
        ("1s", "2024-03-11T14:30:30Z", "172.6", "172.6", 2, "100"),
        ("1m", "2024-03-11T14:30:00Z", "172.6", "172.5", 2, "6000"),
        ("1m", "2024-03-11T14:31:00Z", "172.5", "172.5", 1, "5900"),
        ("5m", "2024-03-11T14:30:00Z", "172.6", "172.5", 3, "29900"),
        ("1d", "2024-03-11T04:00:00Z", "172.6", "172.5", 0, "60000"),
    ] {
        let expected = Some((high.to_owned(), low.to_owned(), revision, volume.to_owned()));
        assert_eq!(bar(&urls, interval, start), expected, "{interval} {start}");
    }
    // The canceled trade was the only one in its second: no bar is left, in the table and on the topic.
    assert_eq!(bar(&urls, "1s", "2024-03-11T14:31:30Z"), None);
    let topic = rusqlite::Connection::open(dir.path().join("t.db")).unwrap();
    let newest = |key: &str| -> Option<String> {
        let sql = "SELECT payload FROM messages WHERE key = ? ORDER BY offset DESC LIMIT 1";
        let bytes: Vec<u8> = topic.query_row(sql, [key], |row| row.get(0)).ok()?;
        Some(String::from_utf8(bytes).unwrap())
    };
    assert!(newest("AAPL|alpaca.sip|trade|1m|2024-03-11T14:30:00Z").unwrap().contains("\"revision\":2"));
    let gone = newest("AAPL|alpaca.sip|trade|1s|2024-03-11T14:31:30Z");
    // At full speed it may never have been emitted.
    assert!(
        gone.as_ref().is_none_or(|gone| gone.contains("\"revision\":1") && !gone.contains("open")),
        "{gone:?}"
    );
    let picture = dir.path().join("p.svg");
    let out = picture.display().to_string();
    let (code, text) = run(&[
        "plot",
        "AAPL",
        "--interval",
        "1m",
        "--indicator",
        "ema:3,rsi:3",
        "--out",
        &out,
        &urls[4],
        &urls[5],
    ]);
    assert_eq!(code, 0, "{text}");
    let svg = std::fs::read_to_string(&picture).unwrap();
    assert!(svg.contains("restated: 2") && svg.contains("ema:3") && svg.contains("rsi:3"), "{}", &svg[..400]);
    // A second run counts nothing twice, and a replay of the capture changes no bar.
    let before = bar(&urls, "5m", "2024-03-11T14:30:00Z");
    let mut replay = with("run", &urls);
    replay.push("--replay");
    assert_eq!(run(&replay).0, 0);
    assert_eq!(bar(&urls, "5m", "2024-03-11T14:30:00Z"), before);
}

#[test]
fn stored_bars_are_those_of_the_stored_trades_and_explain_shows_why() {
    let dir = tempfile::tempdir().unwrap();
    let mut urls = embedded_urls(dir.path(), &session());
    urls[1] = format!("{}?symbols=IBM,AIG", urls[1]);
    let (code, text) = run(&with("run", &urls));
    assert_eq!(code, 0, "{text}");
    let store = [urls[4].as_str(), urls[5].as_str()];
    for interval in ["1s", "1m", "1h", "1d"] {
        let query = ["query", "bars", "IBM", "--format", "csv", "--interval", interval];
        let stored = run(&[&query[..], &store].concat());
        let again = run(&[&query[..], &["--policy", "lean"], &store].concat());
        assert_eq!(stored, again, "{interval}");
        assert!(stored.0 == 0 && stored.1.lines().count() > 1, "{interval}: {}", stored.1);
        let sip = run(&[&query[..], &["--policy", "sip"], &store].concat());
        assert_ne!(stored, sip, "{interval}: the policies cannot agree on sweeps");
    }
    let (code, text) =
        run(&[&["explain", "IBM", "2013-10-08T13:30:00Z", "--interval", "1m"][..], &store].concat());
    assert!(
        code == 0 && text.contains("policy lean") && text.contains("20 intermarket sweep → volume only"),
        "{text}"
    );
    let (code, text) = run(&[&["query", "bars", "IBM", "--interval", "2m"][..], &store].concat());
    assert!(code == 0 && text.contains("no 2m bars of IBM") && text.contains("--policy"), "{text}");
    let parquet = dir.path().join("ibm.parquet").display().to_string();
    let query = ["query", "bars", "IBM", "--interval", "1m", "--format", "parquet", "--out", &parquet];
    let (code, text) = run(&[&query[..], &store].concat());
    assert!(code == 0 && std::fs::read(&parquet).unwrap().starts_with(b"PAR1"), "{text}");
    for kind in ["candles", "returns", "correlation"] {
        for (name, begins) in [("p.svg", &b"<svg"[..]), ("p.png", b"\x89PNG")] {
            let out = dir.path().join(name).display().to_string();
            let plot = ["plot", "IBM", "AIG", "--kind", kind, "--out", &out];
            let (code, text) = run(&[&plot[..], &store].concat());
            let drawn = std::fs::read(&out).unwrap_or_default();
            assert!(code == 0 && drawn.starts_with(begins), "{kind} {name}: {text}");
            std::fs::remove_file(&out).unwrap();
        }
    }
    for (arguments, part) in [
        (&["plot", "IBM", "--out", "x.gif"][..], "ending in .svg, .png or .html"),
        (&["plot", "IBM", "--out", "x.svg", "--size", "9"], "expected WIDTHxHEIGHT"),
        (&["plot", "IBM", "--kind", "correlation", "--out", "x.svg"], "at least two symbols"),
        (&["query", "bars", "IBM", "--policy", "cta"], "expected sip, lean, all"),
        (&["query", "bars", "IBM", "--adjust", "split"], "--factors DIR"),
    ] {
        let (code, text) = run(&[arguments, &store].concat());
        assert!(code == 2 && text.contains(part), "{arguments:?}: {text}");
    }
}

#[test]
fn imported_bars_are_listed_with_their_interval_and_span() {
    let dir = tempfile::tempdir().unwrap();
    let store = url("sqlite", &dir.path().join("s.db"));
    let data = session().display().to_string();
    assert_eq!(run(&["init", "--store", &store, "--topic", &url("sqlite", &dir.path().join("t.db"))]).0, 0);
    let listed = |arguments: &[&str]| run(&[&["symbols", "--store", &store][..], arguments].concat()).1;
    assert!(listed(&["--bars"]).contains("no bars in sqlite:"));
    let imported = run(&["import", &data, "--resolution", "minute", "--symbols", "AAPL", "--store", &store]);
    assert_eq!(imported.0, 0, "{}", imported.1);
    let (_, csv) = run(&["query", "bars", "AAPL", "--interval", "1m", "--format", "csv", "--store", &store]);
    let starts: Vec<&str> = csv.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    let (feed, span) =
        (csv.lines().nth(1).unwrap().split(',').nth(2).unwrap(), [starts[0], starts[starts.len() - 1]]);
    let expected =
        format!("kind,symbol,feed,interval,first,last\nbars,AAPL,{feed},1m,{},{}\n", span[0], span[1]);
    assert_eq!(listed(&["--bars", "--format", "csv"]), expected);
    // Where there are only bars, count and symbols say how to list them.
    for verb in ["count", "symbols"] {
        let (_, text) = run(&[verb, "--store", &store]);
        assert!(text.contains("tapeline symbols --bars --store sqlite:"), "{verb}: {text}");
    }
    assert_eq!(listed(&["--bars", "--search", "spy", "--format", "csv"]).lines().count(), 2);
    assert!(listed(&["--bars", "--kinds", "quotes", "--format", "json"]).starts_with("[]\n"));
}

#[test]
fn a_split_leaves_no_jump() {
    let dir = tempfile::tempdir().unwrap();
    let store = url("sqlite", &dir.path().join("s.db"));
    let data = session().display().to_string();
    let (code, text) =
        run(&["import", &data, "--resolution", "minute", "--symbols", "AAPL", "--store", &store]);
    assert!(code == 0 && text.contains("imported 2,303 1m bars of 3 files"), "{text}");
    let factors = session().join("factor_files").display().to_string();
    let closes = |adjust: &str| -> Vec<f64> {
        // Regular sessions: the vendor's first bar of 2014-06-09, 04:00, mixes prices from before and after
        // the split.
        ["2014-06-05", "2014-06-06", "2014-06-09"]
            .iter()
            .flat_map(|day| {
                let (from, to) =
                    (format!("{day}T09:30[America/New_York]"), format!("{day}T16:00[America/New_York]"));
                let (code, text) = run(&[
                    "query",
                    "bars",
                    "AAPL",
                    "--interval",
                    "1m",
                    "--from",
                    &from,
                    "--to",
                    &to,
                    "--adjust",
                    adjust,
                    "--factors",
                    &factors,
                    "--format",
                    "csv",
                    "--store",
                    &store,
                ]);
                assert_eq!(code, 0, "{text}");
                let cell = |line: &str| line.split(',').nth(7).unwrap().parse().unwrap();
                text.lines().skip(1).map(cell).collect::<Vec<f64>>()
            })
            .collect()
    };
    let largest =
        |closes: &[f64]| closes.windows(2).map(|pair| (pair[1] / pair[0]).ln().abs()).fold(0.0, f64::max);
    let (raw, split) = (closes("none"), closes("split"));
    assert_eq!((raw.len(), split.len()), (1_170, 1_170));
    assert!(largest(&raw) > 1.9, "{}", largest(&raw));
    assert!(largest(&split) < 0.01, "{}", largest(&split));
}

/// Every bar of a store as CSV.
fn all_bars(store: &[String], symbols: &[&str]) -> String {
    let mut out = String::new();
    for symbol in symbols {
        for interval in ["1s", "1m", "5m", "15m", "1h", "1d"] {
            let query = ["query", "bars", symbol, "--format", "csv", "--interval", interval];
            let output = tapeline(&query).args(store).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            out += &format!("{symbol} {interval}\n{}", String::from_utf8(output.stdout).unwrap());
        }
    }
    out
}

#[test]
#[ignore = "needs real Kafka and Cassandra: cargo xtask test"]
fn kills_and_another_speed_and_partitioning_change_no_bar() {
    // Embedded, without interruption: six partitions of SQLite.
    let dir = tempfile::tempdir().unwrap();
    let mut urls = embedded_urls(dir.path(), &session());
    urls[1] = format!("{}?symbols=IBM,AIG,BAC", urls[1]);
    let (code, text) = run(&with("run", &urls));
    assert_eq!(code, 0, "{text}");
    let symbols = ["IBM", "AIG", "BAC"];
    let expected = all_bars(&urls[4..6], &symbols);
    assert!(expected.lines().count() > 20_000);
    // Real servers: the tape at 4,000 times its speed while `aggregate` is killed again and again.
    let real = Real::new("bars");
    let urls = real.urls("?kinds=trades&symbols=IBM,AIG,BAC&speed=4000");
    let producer = start(&with("produce", &urls));
    for round in 0..10_u64 {
        let child = start(&with("aggregate", &urls));
        std::thread::sleep(Duration::from_millis(700 + round * 977 % 1_300));
        signal(&child, "-KILL");
        let (_, text) = finish(child.wait_with_output().unwrap());
        assert!(!text.contains("error:") && !text.contains("panicked"), "{text}");
    }
    let (code, text) = finish(producer.wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
    let (code, text) = finish(tapeline(&with("aggregate", &urls)).arg("--until-end").output().unwrap());
    assert_eq!(code, 0, "{text}");
    let found = all_bars(&urls[4..6], &symbols);
    let differ = expected.lines().zip(found.lines()).find(|(a, b)| a != b);
    assert!(
        expected == found,
        "{differ:?}, {} and {} lines\n{text}",
        expected.lines().count(),
        found.lines().count()
    );
    // Independent clients: the newest message of each key is the row of the table.
    let python = std::env::var("TAPELINE_TEST_PYTHON").expect("TAPELINE_TEST_PYTHON: run `cargo xtask test`");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_bars.py");
    let output =
        Command::new(python).arg(script).args([&real.kafka, &real.cassandra, &real.name]).output().unwrap();
    let (code, text) = finish(output);
    assert!(code == 0 && text.contains("bars equal on topic and table"), "{text}");
}

#[test]
fn imported_bars_have_the_symbol_of_their_folder_and_make_sense() {
    let dir = tempfile::tempdir().unwrap();
    let store = url("sqlite", &dir.path().join("s.db"));
    for (symbol, price) in [("brk.a", 1_800_000), ("brk.b", 1_150_000)] {
        let folder = dir.path().join("minute").join(symbol);
        std::fs::create_dir_all(&folder).unwrap();
        let file = std::fs::File::create(folder.join("20131008_trade.zip")).unwrap();
        let mut zip = zip::ZipWriter::new(file);
        zip.start_file("bars.csv", zip::write::SimpleFileOptions::default()).unwrap();
        // The second bar's high is below its low.
        let rows = format!("34200000,{price},{price},{price},{price},100\n34260000,2,1,2,2,100\n");
        zip.write_all(rows.as_bytes()).unwrap();
        zip.finish().unwrap();
    }
    let data = dir.path().display().to_string();
    let import = |symbols: &str| {
        run(&["import", &data, "--resolution", "minute", "--symbols", symbols, "--store", &store])
    };
    let (code, text) = import("BRK.B,NONE");
    assert!(code == 1 && text.contains("no bar file of NONE in "), "{text}");
    let (code, text) = import("BRK.A,BRK.B");
    assert!(code == 1 && text.contains("line 2: no bar: open 0.0002 high 0.0001"), "{text}");
    assert!(text.contains("imported 2 1m bars of 2 files"), "{text}");
    for (symbol, close) in [("BRK.A", ",180,"), ("BRK.B", ",115,")] {
        let (_, text) = run(&["query", "bars", symbol, "--format", "csv", "--store", &store]);
        assert!(text.lines().count() == 2 && text.contains(close), "{text}");
    }
}
