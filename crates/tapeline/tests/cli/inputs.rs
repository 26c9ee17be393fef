//! Input as others write it: byte order marks, commas in symbols, feeds that are not there.

use crate::{embedded_urls, run, tape, with};

const ROWS: &str = "34200000,1000000,100,P,1,0\n34200500,1000500,200,Q,1,0\n";

/// Spreadsheets and some editors begin a file with it.
#[test]
fn a_byte_order_mark_costs_no_row() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), &format!("\u{feff}{ROWS}"));
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    let (code, text) = run(&with("run", &urls));
    assert!(code == 0 && !text.contains("dead letters"), "{text}");
    assert!(run(&["count", "--format", "json", &urls[4], &urls[5]]).1.contains("{\"XYZ\":2}"));
    assert_eq!(run(&with("verify", &urls)).0, 0);
    // A second mark is data, and no time.
    tape(dir.path(), &format!("{ROWS}\u{feff}{ROWS}"));
    let (_, text) = run(&with("run", &urls));
    assert!(text.contains("dead letters: 1"), "{text}");
}

#[test]
fn a_symbol_may_have_a_comma() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture");
    let trade = |symbol: &str, number: u32| {
        format!(
            r#"{{"channel":"trade","type":"update","data":[{{"symbol":"{symbol}","side":"buy","price":100.5,"qty":1,"ord_type":"market","trade_id":{number},"timestamp":"2025-05-28T13:30:0{number}Z"}}]}}"#
        )
    };
    std::fs::write(&file, format!("{}\n{}\n", trade("A,B", 1), trade("C", 2))).unwrap();
    let mut urls = embedded_urls(dir.path(), dir.path());
    urls[1] = format!("frames:{}?feed=kraken", file.display());
    let (code, text) = run(&with("run", &urls));
    assert_eq!(code, 0, "{text}");
    let rows = |symbols: &str| {
        let (code, text) = run(&["query", "trades", symbols, "--format", "ndjson", &urls[4], &urls[5]]);
        assert_eq!(code, 0, "{text}");
        text.matches("\"symbol\":").count()
    };
    assert_eq!((rows("A\\,B"), rows("A\\,B,C"), rows("C"), rows("A,B")), (1, 2, 1, 0));
    let (_, text) =
        run(&["count", "--symbols", "A\\,B", "--format", "json", "--kinds", "trades", &urls[4], &urls[5]]);
    assert_eq!(text, "{\"trades\":{\"A,B\":1}}\n");
    let (code, text) = run(&["query", "trades", ",", &urls[4], &urls[5]]);
    assert!(code == 2 && text.contains("expected a symbol"), "{text}");
}

#[test]
fn a_feed_that_is_not_there_is_answered_with_those_that_are() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), ROWS);
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let out = dir.path().join("p.svg");
    for verb in [
        &["query", "trades", "XYZ"][..],
        &["query", "bars", "XYZ"],
        &["explain", "XYZ", "2013-10-08T09:30"],
        &["plot", "XYZ", "--out", out.to_str().unwrap()],
    ] {
        let (_, text) = run(&[verb, &["--feed", "kraken", &urls[4], &urls[5]]].concat());
        assert!(
            text.contains("of feed kraken") && text.contains("its feeds there: lean.sip"),
            "{verb:?}: {text}"
        );
        let (_, text) = run(&[verb, &["--feed", "lean.sip", &urls[4], &urls[5]]].concat());
        assert!(!text.contains("its feeds there"), "{verb:?}: {text}");
    }
}

#[test]
fn a_capture_of_another_vendor_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture");
    let trade = r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":100.5,"qty":1,"ord_type":"market","trade_id":1,"timestamp":"2025-05-28T13:30:01Z"}]}"#;
    std::fs::write(&file, format!("{trade}\n")).unwrap();
    let mut urls = embedded_urls(dir.path(), dir.path());
    for feed in ["binance", "alpaca.sip", "coinbase", "finnhub", "massive.stocks"] {
        urls[1] = format!("frames:{}?feed={feed}", file.display());
        let (code, text) = run(&with("run", &urls));
        assert!(
            code == 1 && text.contains("its messages are those of kraken; read it with feed=kraken"),
            "{feed}: {text}"
        );
    }
}

#[test]
fn backfill_takes_its_symbols_where_they_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let urls = embedded_urls(dir.path(), dir.path());
    assert_eq!(run(&["init", &urls[2], &urls[3], &urls[4], &urls[5]]).0, 0);
    let backfill = |arguments: &[&str]| {
        let all = [&["backfill", "--wait", "1", &urls[2], &urls[3]], arguments].concat();
        let mut command = crate::tapeline(&all);
        command.env("TAPELINE__SOURCE__KRAKEN__REST", "http://127.0.0.77:9");
        crate::finish(command.output().unwrap())
    };
    let (code, text) = backfill(&["--source", "kraken:"]);
    assert!(code == 2 && text.contains("no symbols to backfill"), "{text}");
    let (code, text) = backfill(&["BTC/USD", "--symbols", "ETH/USD", "--source", "kraken:"]);
    assert!(code == 2 && text.contains("named twice"), "{text}");
    for symbols in [
        &["BTC/USD", "--source", "kraken:"][..],
        &["--symbols", "BTC/USD", "--source", "kraken:"],
        &["--source", "kraken:?symbols=BTC/USD"],
    ] {
        // Everything is there but the start of the span.
        let (code, text) = backfill(symbols);
        assert!(code == 2 && text.contains("--from is missing"), "{symbols:?}: {text}");
    }
}
