//! Readings from lines of text through topic and store, and the list of what a store holds.

use crate::{finish, run, tapeline, url};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

fn urls(dir: &Path, source: &str) -> Vec<String> {
    let (topic, store) = (url("sqlite", &dir.join("t.db")), url("sqlite", &dir.join("s.db")));
    ["--source", source, "--topic", &topic, "--store", &store].map(str::to_owned).to_vec()
}

fn call(words: &[&str], urls: &[String]) -> (i32, String) {
    run(&words.iter().copied().chain(urls.iter().map(String::as_str)).collect::<Vec<_>>())
}

const CSV: &str = "\
sensor,time,temperature,state,n
a,2026-01-05T10:00:00Z,21.50,on,1
a,2026-01-05T10:00:00Z,21.75,off,2
b,2026-01-06T00:00:00.000000001Z,-3,,7
b,yesterday,1,on,8
";

#[test]
fn lines_go_through_topic_and_store_and_are_verified() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.csv");
    std::fs::write(&file, CSV).unwrap();
    let source = format!(
        "lines:{}?format=csv&feed=plant&series={{sensor}}.{{field}}&value=temperature,state&seq=n&unit=x",
        file.display()
    );
    let urls = urls(dir.path(), &source);
    let (code, text) = call(&["run"], &urls);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("dead letters: 1") && text.contains("a.csv:5 (source): `yesterday` is not a time"),
        "{text}"
    );
    let (code, text) = call(&["verify"], &urls);
    assert!(code == 0 && text.contains("verified: 5 records"), "{text}");
    let store = &urls[4..];
    let (_, text) = call(&["query", "readings", "a.temperature", "--format", "csv"], store);
    assert_eq!(
        text.lines().map(|line| line.rsplit_once(',').unwrap().0).collect::<Vec<_>>(),
        [
            "ts,series,feed,value,type,unit,quality,tags,seq",
            "2026-01-05T10:00:00.000000000Z,a.temperature,plant,21.5,decimal,x,,,1",
            "2026-01-05T10:00:00.000000000Z,a.temperature,plant,21.75,decimal,x,,,2",
        ],
        "{text}"
    );
    let (_, text) = call(&["query", "readings", "b.temperature", "--format", "json"], store);
    assert!(
        text.contains(r#""value":"-3""#) && text.contains(r#""type":"integer""#) && !text.contains("192"),
        "{text}"
    );
    let of_day = ["query", "reading-bars", "a.temperature", "--interval", "1d", "--format", "csv"];
    let (_, text) = call(&of_day, store);
    assert_eq!(
        text,
        "start,series,feed,interval,first,max,min,last,sum,mean,count,revision,final,complete\n\
         2026-01-05T00:00:00Z,a.temperature,plant,1d,21.5,21.75,21.5,21.75,43.25,21.625,2,0,true,true\n"
    );
    let (_, text) = call(&["count", "--format", "csv"], store);
    assert_eq!(
        text,
        "kind,symbol,count\nreadings,a.state,2\nreadings,a.temperature,2\nreadings,b.temperature,1\n"
    );
    let (_, text) = call(&["symbols", "--format", "csv", "--search", "TEMP"], store);
    assert_eq!(
        text,
        "kind,symbol,feed,from,to\n\
         readings,a.temperature,plant,2026-01-05T00:00:00Z,2026-01-06T00:00:00Z\n\
         readings,b.temperature,plant,2026-01-06T00:00:00Z,2026-01-07T00:00:00Z\n"
    );
    // A corrected value of the same device number replaces the row; a replay changes nothing.
    std::fs::write(&file, CSV.replace("21.50", "on").replace("yesterday", "2026-01-07")).unwrap();
    for _ in 0..2 {
        let (code, text) = call(&["run", "--replay"], &urls);
        assert_eq!(code, 0, "{text}");
    }
    let (_, text) = call(&["query", "readings", "a.temperature", "--format", "csv"], store);
    assert!(text.contains("a.temperature,plant,on,text,") && text.lines().count() == 3, "{text}");
    let (code, text) = call(&["verify"], &urls);
    assert!(code == 0 && text.contains("verified: 7 records"), "{text}");
}

#[test]
fn standard_input_is_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let urls = urls(dir.path(), "lines:-?format=influx&feed=telegraf");
    let mut child =
        tapeline(&std::iter::once("run").chain(urls.iter().map(String::as_str)).collect::<Vec<_>>())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let line = "cpu,host=h1 load=0.25,busy=t 1767607200000000000\n";
    // The same line twice is one reading of each field; another value of the same time is another one.
    let lines = [line, line, &line.replace("0.25", "0.5"), "cpu load\n"].concat();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let (code, text) = finish(child.wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("-:4 (source): expected `=` behind the field `load` at byte 8"), "{text}");
    let (_, text) = call(&["count", "--format", "json"], &urls[4..]);
    assert_eq!(
        text,
        "{\"quotes\":{},\"readings\":{\"cpu,host=h1.busy\":1,\"cpu,host=h1.load\":2},\"trades\":{}}\n"
    );
    let (code, text) = call(&["verify"], &urls[2..]);
    assert!(code == 0 && text.contains("verified: 3 records"), "{text}");
    let (_, text) = call(&["query", "readings", "cpu,host=h1.busy", "--format", "json"], &urls[4..]);
    assert!(text.contains(r#""tags":"{\"host\":\"h1\"}""#) && text.contains(r#""value":"true""#), "{text}");
}

#[test]
fn an_empty_store_has_no_symbols() {
    let dir = tempfile::tempdir().unwrap();
    let store = url("sqlite", &dir.path().join("s.db"));
    let topic = url("sqlite", &dir.path().join("t.db"));
    assert_eq!(run(&["init", "--store", &store, "--topic", &topic]).0, 0);
    let (code, text) = run(&["symbols", "--store", &store]);
    assert!(code == 0 && text.contains("no symbols in sqlite:"), "{text}");
    let (_, text) = run(&["symbols", "--format", "json", "--store", &store]);
    assert!(text.starts_with("[]\n"), "{text}");
    let (code, text) = run(&["symbols", "--format", "parquet", "--store", &store]);
    assert!(code == 2 && text.contains("--format parquet is not for symbols"), "{text}");
}

/// What the demo's folder prints, with the exit code.
type Inside<'i> = &'i dyn Fn(&[&str]) -> (i32, String);

fn archived_and_restored(inside: Inside<'_>) {
    let (code, text) = inside(&["archive", "--archive", "folder:archive", "--until-end"]);
    assert!(code == 0 && text.contains("archived: 3,143 records"), "{text}");
    let (code, text) = inside(&["restore", "--archive", "folder:archive", "--store", "sqlite:restored.db"]);
    assert!(code == 0 && text.contains("restored: 3,143 records"), "{text}");
    let (code, text) = inside(&["verify", "--archive", "folder:archive", "--store", "sqlite:restored.db"]);
    assert!(
        code == 0 && text.contains("verified: 3,143 records, equal field for field in topic, store, archive"),
        "{text}"
    );
}

/// Compares the baselines with the same computed from the printed bars.
fn forecast_by_simple_rules(inside: Inside<'_>) {
    let series = "machine.temperature";
    let (_, text) = inside(&["query", "reading-bars", series, "--interval", "1h", "--format", "csv"]);
    let means: Vec<f64> =
        text.lines().skip(1).map(|line| line.split(',').nth(9).unwrap().parse().unwrap()).collect();
    assert_eq!(means.len(), 168, "{text}");
    let (code, text) = inside(&["forecast", "baseline", series, "--interval", "1h", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    let found: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let close = |value: &serde_json::Value, expected: f64| {
        let value = value.as_f64().unwrap();
        assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
    };
    let mut lines = found.iter();
    for horizon in [1, 24] {
        // All rules are scored where the day before is known.
        let origins = 24 - horizon..168 - horizon;
        for rule in ["last", "season", "seasonal-mean"] {
            let forecast = |origin: usize| match rule {
                "last" => means[origin],
                "season" => means[origin + horizon - 24],
                _ => {
                    let days = (1..=7).filter_map(|day| means.get((origin + horizon).checked_sub(24 * day)?));
                    let (count, sum) = days.fold((0.0, 0.0), |(count, sum), mean| (count + 1.0, sum + mean));
                    sum / count
                }
            };
            let errors: f64 =
                origins.clone().map(|origin| (means[origin + horizon] - forecast(origin)).abs()).sum();
            let line = lines.next().unwrap();
            assert_eq!(
                (&line["rule"], &line["horizon"], &line["forecasts"], &line["season"]),
                (&rule.into(), &horizon.into(), &origins.len().into(), &24.into())
            );
            close(&line["mae"], errors / origins.len() as f64);
            close(&line["next"], forecast(167));
        }
    }
    assert!(lines.next().is_none(), "{text}");
    let (code, text) = inside(&["forecast", "baseline", series, "--interval", "1h", "--horizons", "6"]);
    let last = means[167];
    assert!(
        code == 0 && text.contains("means of 168 bars of 1h") && text.contains(&format!("{last:.4}")),
        "{text}"
    );
    for (more, code, part) in [
        (&["--horizons", "0"][..], 2, "expected numbers of bars of at least 1"),
        (&["--season", "1000", "--horizons", "168"], 1, "expected more than 168 bars, found 168"),
        (&["--interval", "7s"], 2, "7s"),
        (&["--feed", "other"], 1, "no 1h reading bars of machine.temperature of feed other"),
        (&["--format", "csv"], 2, "table or json"),
    ] {
        let interval: &[&str] = if more[0] == "--interval" { &[] } else { &["--interval", "1h"] };
        let (found, text) = inside(&[&["forecast", "baseline", series], interval, more].concat());
        assert!(found == code && text.contains(part), "{more:?}: {found} {text}");
    }
}

#[test]
fn the_demo_of_sensors_proves_itself_and_leaves_its_settings() {
    let dir = tempfile::tempdir().unwrap();
    let demo = dir.path().join("demo");
    for _ in 0..2 {
        let (code, text) = run(&["demo", "--iot", "--rate", "100000", "--dir", demo.to_str().unwrap()]);
        assert_eq!(code, 0, "{text}");
        assert!(
            text.contains("verified: 3,143 records, equal field for field in source, topic, store"),
            "{text}"
        );
        // The machine is cold twice, however often it is read then.
        assert!(text.contains("alerts: 2 fired from 3,143 records"), "{text}");
    }
    let inside = |words: &[&str]| finish(tapeline(words).current_dir(&demo).output().unwrap());
    let (code, text) = inside(&["alert", "history"]);
    assert!(code == 0 && text.contains("2 alerts; ") && text.contains("2014-02-07"), "{text}");
    // Stored readings fire the same.
    let (code, text) = inside(&["alert", "replay", "machine-cold"]);
    assert!(code == 0 && text.contains("2 alerts of rule machine-cold from 3,143 records"), "{text}");
    let (code, text) =
        inside(&["query", "reading-bars", "machine.temperature", "--interval", "1d", "--format", "csv"]);
    assert!(code == 0 && text.contains("2014-02-08T00:00:00Z,machine.temperature,demo,1d,"), "{text}");
    let (code, text) = inside(&["plot", "machine.temperature", "--interval", "1h", "--out", "machine.svg"]);
    assert!(code == 0 && text.contains("168 bars drawn"), "{text}");
    archived_and_restored(&inside);
    forecast_by_simple_rules(&inside);
    for (words, part) in [
        (&["demo", "--mqtt", "mqtt://127.0.0.1:1"][..], "--iot"),
        (&["demo", "--iot", "--mqtt", "127.0.0.1"], "expected a URL that begins with mqtt://"),
        (&["demo", "--iot", "--mqtt", "mqtt://127.0.0.1:1"], "MQTT broker 127.0.0.1:1: "),
    ] {
        let (code, text) = finish(tapeline(words).current_dir(dir.path()).output().unwrap());
        assert!(code != 0 && text.contains(part), "{words:?}: {text}");
    }
}
