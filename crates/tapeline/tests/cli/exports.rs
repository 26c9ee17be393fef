//! Exports and times: every format, to files and standard output, in the documented order; flags honoured or refused.

use crate::{embedded_urls, finish, run, tape, tapeline, with};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use std::path::Path;

/// Trades before the open, in the first minute and in the next, in New York.
const ROWS: &str = "34199500,1000000,100,P,1,0\n34200000,1000000,100,P,1,0\n34200500,1000500,200,Q,1,0\n34260000,1001000,300,P,1,0\n";

const TRADES: &str = "ts,symbol,feed,venue,price,size,side,conditions,tape,id,seq,recv_ts,revision,canceled";
const BARS: &str =
    "start,symbol,feed,interval,open,high,low,close,volume,vwap,trades,revision,final,complete";

/// `--store …` of a store with [`ROWS`] and their bars.
fn filled(dir: &Path) -> Vec<String> {
    tape(dir, ROWS);
    let urls = embedded_urls(dir, &dir.join("tape"));
    let (code, text) = run(&with("run", &urls));
    assert_eq!(code, 0, "{text}");
    urls[4..].to_vec()
}

/// Standard output alone.
fn stdout(arguments: &[&str], store: &[String]) -> String {
    let store: Vec<&str> = store.iter().map(String::as_str).collect();
    let output = tapeline(&[arguments, &store[..]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", finish(output).1);
    String::from_utf8(output.stdout).unwrap()
}

fn refused(arguments: &[&str], part: &str) {
    let (code, text) = run(arguments);
    assert!(code == 2 && text.contains(part), "{arguments:?}: {code} {text}");
}

#[test]
fn every_format_is_written_to_a_file_and_to_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    for what in ["trades", "bars"] {
        for ending in ["csv", "json", "ndjson", "txt"] {
            let path = dir.path().join(format!("{what}.{ending}"));
            let output = stdout(&["query", what, "XYZ", "--out", path.to_str().unwrap()], &store);
            assert!(output.contains(&format!("rows in {}", path.display())), "{output}");
            let written = std::fs::read_to_string(&path).unwrap();
            let format = if ending == "txt" { "table" } else { ending };
            for out in [&["--out", "-"][..], &[]] {
                let arguments = [&["query", what, "XYZ", "--format", format][..], out].concat();
                assert_eq!(stdout(&arguments, &store), written, "{what} {ending} {out:?}");
            }
        }
    }
    // A format that is named beats the ending of the file.
    let path = dir.path().join("x.json");
    stdout(&["query", "trades", "XYZ", "--format", "csv", "--out", path.to_str().unwrap()], &store);
    assert!(std::fs::read_to_string(&path).unwrap().starts_with(TRADES));
    refused(&["query", "trades", "XYZ", "--out", "x.xlsx", &store[0], &store[1]], ".parquet");
    assert!(!Path::new("x.xlsx").exists());
    let leftovers = std::fs::read_dir(dir.path()).unwrap();
    assert!(leftovers.flatten().all(|entry| !entry.file_name().to_string_lossy().ends_with(".part")));
}

/// `query … | head -c 10`, as other tools do it: no error, exit code 0.
#[test]
fn a_reader_that_is_gone_ends_every_format_quietly() {
    let dir = tempfile::tempdir().unwrap();
    let row = |n: u32| format!("{},1000000,{},P,1,0\n", 34_200_000 + n, 1 + n % 900);
    tape(dir.path(), &(0..200_000).map(row).collect::<String>());
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&[&with("run", &urls)[..], &["--quiet"]].concat()).0, 0);
    for format in ["csv", "ndjson", "json", "parquet", "arrow", "table"] {
        let mut child = tapeline(&["query", "trades", "XYZ", "--format", format, &urls[4], &urls[5]])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut bytes = [0; 10];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut bytes).unwrap();
        drop(child.stdout.take());
        let (code, text) = finish(child.wait_with_output().unwrap());
        assert!(
            code == 0 && (text.is_empty() || text.starts_with("showing the first")),
            "{format}: {code} {text}"
        );
    }
}

#[test]
fn columns_have_one_order_and_times_one_width() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let csv = stdout(&["query", "trades", "XYZ", "--format", "csv"], &store);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], TRADES);
    assert!(lines[1].starts_with("2013-10-08T13:29:59.500000000Z,XYZ,lean.sip,P,100,100,,1,"), "{csv}");
    assert!(lines[2].starts_with("2013-10-08T13:30:00.000000000Z,XYZ,lean.sip,P,100,100,,1,"), "{csv}");
    let csv = stdout(&["query", "bars", "XYZ", "--format", "csv"], &store);
    assert!(csv.starts_with(BARS), "{csv}");
    assert!(csv.contains("\n2013-10-08T13:30:00Z,XYZ,lean.sip,1m,100,100.05,100,100.05,300,"), "{csv}");
    // JSON has the same keys in the same order; absent values are omitted.
    for (what, columns) in [("trades", TRADES), ("bars", BARS)] {
        let text = stdout(&["query", what, "XYZ", "--format", "ndjson"], &store);
        for line in text.lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            let mut keys: Vec<&str> = columns.split(',').filter(|name| !object[*name].is_null()).collect();
            assert_eq!(keys.len(), object.as_object().unwrap().len(), "{line}");
            keys.sort_by_key(|name| line.find(&format!("\"{name}\":")).unwrap());
            let written: Vec<&str> = columns.split(',').filter(|name| keys.contains(name)).collect();
            assert_eq!(keys, written, "{line}");
        }
        let array: Vec<serde_json::Value> =
            serde_json::from_str(&stdout(&["query", what, "XYZ", "--format", "json"], &store)).unwrap();
        assert_eq!(array.len(), text.lines().count());
    }
}

#[test]
fn a_table_lines_up_its_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let text = stdout(&["query", "trades", "XYZ"], &store);
    let ends: Vec<usize> =
        text.lines().skip(1).map(|line| line.find("100.").map_or(0, |at| at + "100.00".len())).collect();
    assert!(text.contains("  100.05 ") && text.contains("  100.00 "), "{text}");
    assert!(ends.iter().all(|end| *end == ends[0]), "{text}");
    assert!(text.contains("2013-10-08T13:29:59.500Z") && text.contains("2013-10-08T13:30:00.000Z"), "{text}");
    let text = stdout(&["query", "bars", "XYZ", "--tz", "America/New_York"], &store);
    assert!(text.contains("2013-10-08T09:30:00-04:00"), "{text}");
}

#[test]
fn parquet_holds_what_csv_holds() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    for (what, columns) in [("trades", TRADES), ("bars", BARS)] {
        let path = dir.path().join(format!("{what}.parquet"));
        stdout(&["query", what, "XYZ", "--out", path.to_str().unwrap()], &store);
        let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        let csv = stdout(&["query", what, "XYZ", "--format", "csv"], &store);
        let lines: Vec<&str> = csv.lines().skip(1).collect();
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), lines.len());
        for (row, line) in rows.iter().zip(lines) {
            let names: Vec<&str> = row.get_column_iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names.join(","), columns);
            for ((name, field), cell) in row.get_column_iter().zip(line.split(',')) {
                let text = match field {
                    Field::Null => String::new(),
                    Field::Str(text) => text.clone(),
                    Field::Long(number) => number.to_string(),
                    Field::Bool(flag) => flag.to_string(),
                    Field::Decimal(decimal) => {
                        let bytes: [u8; 16] = decimal.data().try_into().unwrap();
                        market::Price::from_raw(i128::from_be_bytes(bytes)).to_string()
                    }
                    Field::ListInternal(list) => {
                        let codes = list.elements().iter().map(|code| match code {
                            Field::Str(code) => code.as_str(),
                            other => panic!("{other}"),
                        });
                        codes.collect::<Vec<_>>().join("|")
                    }
                    // The reader's record interface knows no nanoseconds; it gives the number.
                    other => panic!("{name}: {other}"),
                };
                let is_time = ["ts", "start", "recv_ts"].contains(&name.as_str());
                let expected =
                    if is_time { market::UnixNanos::parse(cell).unwrap().0.to_string() } else { cell.into() };
                assert_eq!(text, expected, "{what} {name}");
            }
        }
    }
}

#[test]
fn feeds_and_flags_are_honoured_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let (flag, url) = (store[0].as_str(), store[1].as_str());
    assert_eq!(
        stdout(&["query", "trades", "XYZ", "--feed", "lean.sip", "--format", "csv"], &store).lines().count(),
        5
    );
    for what in ["trades", "bars"] {
        let (code, text) = run(&["query", what, "XYZ", "--feed", "kraken", flag, url]);
        assert!(code == 0 && text.contains("of XYZ of feed kraken in that time"), "{text}");
    }
    let limited = ["query", "trades", "XYZ", "--feed", "lean.sip", "--limit", "2", "--format", "ndjson"];
    assert_eq!(stdout(&limited, &store).lines().count(), 2);
    refused(&["query", "trades", "XYZ", "--interval", "5m", flag, url], "--interval applies only to bars");
    refused(&["query", "quotes", "XYZ", "--policy", "sip", flag, url], "--policy applies only to bars");
    refused(&["query", "bars", "XYZ", "--policy", "foo", flag, url], "foo");
    refused(&["explain", "XYZ", "2013-10-08", "--policy", "foo", flag, url], "foo");
    // Symbols by commas, as plot takes them; each that has nothing is named.
    let (code, text) = run(&["query", "trades", "XYZ,ABC", "--format", "csv", flag, url]);
    assert!(code == 0 && text.contains("no trades of ABC in that time"), "{text}");
    let (_, text) = run(&["query", "quote-bars", "XYZ", flag, url]);
    assert!(text.contains("no 1m quote bars of XYZ") && !text.contains("--policy"), "{text}");
}

#[test]
fn a_symbols_day_is_its_exchanges() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let (code, text) = run(&["explain", "XYZ", "2013-10-08", "--interval", "1d", &store[0], &store[1]]);
    assert!(code == 0 && text.contains("1d from 2013-10-08T04:00:00Z"), "{text}");
    assert!(text.contains("2013-10-08T13:30:00.500000000Z"), "{text}");
    let (_, text) = run(&[
        "explain",
        "XYZ",
        "2013-10-08T09:30",
        "--interval",
        "1m",
        "--tz",
        "America/New_York",
        &store[0],
        &store[1],
    ]);
    assert!(text.contains("1m from 2013-10-08T09:30:00-04:00"), "{text}");
    let count = |arguments: &[&str]| {
        let all = [&["query", "trades", "XYZ", "--format", "ndjson"][..], arguments].concat();
        stdout(&all, &store).lines().count()
    };
    assert_eq!(count(&["--from", "2013-10-08T09:30", "--to", "2013-10-08 09:31"]), 2);
    assert_eq!(count(&["--from", "2013-10-08T13:30", "--tz", "UTC"]), 3);
    assert_eq!(count(&["--from", "2013-10-08", "--to", "2013-10-09"]), 4);
    assert_eq!(count(&["--from", "-1h"]), 0);
    assert_eq!(count(&["--to", "today"]), 4);
    refused(&["query", "trades", "XYZ", "--tz", "Mars", &store[0], &store[1]], "unknown time zone `Mars`");
}

#[test]
#[ignore = "needs Python with pandas: cargo xtask test"]
fn pandas_reads_every_export() {
    let python = std::env::var("TAPELINE_TEST_PYTHON").expect("TAPELINE_TEST_PYTHON: run `cargo xtask test`");
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    for ending in ["csv", "ndjson", "parquet"] {
        let path = dir.path().join(format!("trades.{ending}"));
        stdout(&["query", "trades", "XYZ", "--out", path.to_str().unwrap()], &store);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_exports.py");
    let output = std::process::Command::new(python).arg(script).arg(dir.path()).output().unwrap();
    let (code, text) = finish(output);
    assert!(code == 0 && text.contains("equal: 4 trades in csv, ndjson"), "{text}");
}
