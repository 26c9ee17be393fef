//! Charts: what they say and show, read from the SVG.

use crate::{embedded_urls, run, tape, with};
use std::collections::BTreeSet;
use std::path::Path;

/// A trade a minute from 09:00 to 12:00 New York: half an hour of it before the open. Each bar opens where it closes.
fn filled(dir: &Path) -> Vec<String> {
    let row =
        |minute: u32| format!("{},{},100,P,1,0\n", 32_400_000 + minute * 60_000, 1_000_000 + minute * 100);
    tape(dir, &(0..180).map(row).collect::<String>());
    let urls = embedded_urls(dir, &dir.join("tape"));
    let (code, text) = run(&with("run", &urls));
    assert_eq!(code, 0, "{text}");
    urls[4..].to_vec()
}

/// The picture, and what was printed.
fn plot(dir: &Path, store: &[String], more: &[&str]) -> (String, String) {
    let path = dir.join("p.svg");
    let arguments = ["plot", "XYZ", "--out", path.to_str().unwrap(), &store[0], &store[1]];
    let (code, text) = run(&[&arguments[..], more].concat());
    assert_eq!(code, 0, "{text}");
    (std::fs::read_to_string(&path).unwrap(), text)
}

/// Contents of the text elements.
fn texts(svg: &str) -> Vec<&str> {
    let elements = svg.split("<text").skip(1);
    elements.map(|text| text.split_once('>').unwrap().1.split("</text>").next().unwrap().trim()).collect()
}

/// Points of each line, and its colour.
fn lines(svg: &str) -> Vec<(Vec<(i32, i32)>, &str)> {
    let attribute = |text: &'static str, line: &str| -> String {
        line.split_once(text).map_or("", |(_, rest)| rest.split('"').next().unwrap_or_default()).to_owned()
    };
    let point = |text: &str| {
        let (x, y) = text.split_once(',').unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    };
    let mut out = Vec::new();
    for line in svg.split("<polyline").skip(1) {
        let points = attribute("points=\"", line);
        let color = line.split_once("stroke=\"").unwrap().1.split('"').next().unwrap();
        out.push((points.split_whitespace().map(point).collect(), color));
    }
    out
}

#[test]
fn a_chart_names_its_day_and_zone_and_has_ticks_on_round_times() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let (svg, text) = plot(dir.path(), &store, &[]);
    let texts_of = texts(&svg);
    assert!(texts_of.contains(&"XYZ 1m lean.sip, 2013-10-08, America/New_York"), "{texts_of:?}");
    let ticks: Vec<&str> = texts_of.iter().copied().filter(|text| text.contains(':')).collect();
    assert_eq!(
        ticks,
        ["09:30", "09:45", "10:00", "10:15", "10:30", "10:45", "11:00", "11:15", "11:30", "11:45"]
    );
    // Regular hours; the rest is counted, and drawn on request.
    assert!(text.contains("150 bars drawn") && text.contains("--session extended adds 30 bars"), "{text}");
    let (svg, text) = plot(dir.path(), &store, &["--session", "extended", "--tz", "UTC"]);
    assert!(text.contains("180 bars drawn") && !text.contains("adds"), "{text}");
    let texts_of = texts(&svg);
    assert!(texts_of.contains(&"pre-market and post-market") && texts_of.contains(&"13:00"), "{texts_of:?}");
    assert!(texts_of.contains(&"XYZ 1m lean.sip, 2013-10-08, UTC"), "{texts_of:?}");
    // Every character is in the font that pictures of points are drawn with.
    assert!(svg.is_ascii(), "{svg}");
}

#[test]
fn a_bar_that_opens_where_it_closes_is_a_dash() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let (svg, _) = plot(dir.path(), &store, &["--from", "2013-10-08T10:00", "--to", "2013-10-08T10:30"]);
    let dashes = lines(&svg)
        .into_iter()
        .filter(|(points, color)| {
            *color == "#1B9E77"
                && points.len() == 2
                && points[0].1 == points[1].1
                && points[1].0 - points[0].0 >= 5
        })
        .count();
    assert_eq!(dashes, 30);
}

#[test]
fn bars_narrower_than_a_pixel_have_volume() {
    let dir = tempfile::tempdir().unwrap();
    let row = |second: u32| format!("{},1000000,{},P,1,0\n", 34_200_000 + second * 1_000, 100 + second % 7);
    tape(dir.path(), &(0..3_000).map(row).collect::<String>());
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let (svg, text) = plot(dir.path(), &urls[4..], &["--interval", "1s", "--size", "800x400"]);
    assert!(text.contains("3,000 bars drawn"), "{text}");
    // Columns of the volume panel stand on its lower edge, at least one in each pixel's place.
    let all = lines(&svg);
    let vertical = all.iter().filter(|(points, color)| {
        *color == "#1B9E77"
            && points.len() == 2
            && points[0].0 == points[1].0
            && points[0].1 - points[1].1 > 20
    });
    let mut places: Vec<i32> = vertical.map(|(points, _)| points[0].0).collect();
    places.sort_unstable();
    places.dedup();
    assert!(places.len() > 500, "{} columns of volume", places.len());
}

#[test]
fn an_indicator_without_values_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let (_, text) = plot(dir.path(), &store, &["--indicator", "sma:5000,sma:20"]);
    assert!(text.contains("nothing drawn for sma:5000: it needs more than the 150 bars"), "{text}");
    assert!(!text.contains("nothing drawn for sma:20"), "{text}");
}

#[test]
fn a_series_of_readings_is_a_line_with_a_band() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.csv");
    // Ten minutes of four readings, two minutes of silence, three minutes more.
    let row = |n: u32| {
        let second = n * 15 + if n < 40 { 0 } else { 600 };
        format!("b7,2026-01-05T10:{:02}:{:02}Z,{}.{}\n", second / 60, second % 60, 20 + n / 8, n % 4)
    };
    std::fs::write(&file, "sensor,time,t\n".to_owned() + &(0..52).map(row).collect::<String>()).unwrap();
    let source =
        format!("lines:{}?format=csv&feed=plant&series={{sensor}}.{{field}}&value=t&unit=°C", file.display());
    let (topic, store) =
        (crate::url("sqlite", &dir.path().join("t.db")), crate::url("sqlite", &dir.path().join("s.db")));
    let (code, text) = run(&["run", "--source", &source, "--topic", &topic, "--store", &store]);
    assert_eq!(code, 0, "{text}");
    let out = dir.path().join("p.svg");
    // A series of readings is recognised: --kind is not needed.
    let plot = ["plot", "b7.t", "--interval", "1m", "--store", &store, "--out", out.to_str().unwrap()];
    let (code, text) = run(&plot);
    assert!(code == 0 && text.contains("13 bars drawn"), "{text}");
    let svg = std::fs::read_to_string(&out).unwrap();
    let texts_of = texts(&svg);
    for part in ["b7.t 1m plant, 2026-01-05, UTC", "mean", "lowest to highest", "°C", "10:04:00"] {
        assert!(texts_of.contains(&part), "{part}: {texts_of:?}");
    }
    // The line and the band end where readings are missing.
    let drawn: Vec<usize> = lines(&svg)
        .into_iter()
        .filter(|(_, color)| *color == "#1F78B4")
        .map(|(points, _)| points.len())
        .collect();
    assert_eq!(drawn.iter().filter(|points| **points > 2).count(), 2, "{drawn:?}");
    assert_eq!(svg.matches("<polygon").count(), 2);
    let berlin = [&plot[..], &["--tz", "Europe/Berlin", "--kind", "readings"]].concat();
    assert_eq!(run(&berlin).0, 0);
    let svg = std::fs::read_to_string(&out).unwrap();
    assert!(svg.contains("b7.t 1m plant, 2026-01-05, Europe/Berlin") && svg.contains("11:04:00"), "{svg}");
    for (more, part) in [
        (["--indicator", "sma:3", "--kind", "readings"], "applies only to candles"),
        (["--kind", "readings", "--from", "2026-02-01"], "no 1m reading bars of b7.t"),
        (["--kind", "candles", "--tz", "UTC"], "no 1m bars of b7.t"),
    ] {
        let (code, text) = run(&[&plot[..], &more].concat());
        assert!(code != 0 && text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_picture_has_a_title_for_those_who_do_not_see_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    for kind in ["candles", "returns"] {
        let (svg, _) = plot(dir.path(), &store, &["--kind", kind]);
        let title = "XYZ 1m lean.sip, 2013-10-08, America/New_York";
        let start = &svg[..600];
        assert!(start.contains("role=\"img\" aria-label=") && start.contains("<title>"), "{start}");
        // In the attribute and in the element; the drawn title may follow.
        let (head, _) = start.split_once("</title>").unwrap();
        assert_eq!(head.matches(title).count(), 2, "{kind}: {start}");
    }
}

#[test]
fn a_page_holds_everything_it_shows_and_loads_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let page = |more: &[&str]| {
        let out = dir.path().join("p.html");
        let arguments = ["plot", "XYZ", "--out", out.to_str().unwrap(), &store[0], &store[1]];
        let (code, text) = run(&[&arguments[..], more].concat());
        assert_eq!(code, 0, "{text}");
        std::fs::read_to_string(out).unwrap()
    };
    let candles = page(&["--indicator", "sma:20,rsi:14"]);
    let data = candles.split_once("id=\"data\">").unwrap().1.split("</script>").next().unwrap();
    let panels: serde_json::Value = serde_json::from_str(data).unwrap();
    let panel = &panels[0];
    assert_eq!(panel["title"], "XYZ 1m lean.sip, 2013-10-08, America/New_York");
    assert_eq!((&panel["zone"], &panel["daily"]), (&"America/New_York".into(), &false.into()));
    // 09:30 in New York, seconds since 1970; prices and volume as they are.
    assert_eq!(panel["bars"].as_array().unwrap().len(), 150);
    assert_eq!(panel["bars"][0], serde_json::json!([1_381_239_000, [100.3, 100.3, 100.3, 100.3], 100.0, ""]));
    let lines: Vec<_> =
        panel["lines"].as_array().unwrap().iter().map(|line| (&line["name"], &line["pane"])).collect();
    assert_eq!(lines, [(&"sma:20".into(), &0.into()), (&"rsi:14".into(), &1.into())]);
    let returns = page(&["--kind", "returns"]);
    assert!(returns.contains("<svg role="), "{returns}");
    let counts =
        returns.split(" returns</title>").filter_map(|part| part.rsplit(' ').next()?.parse::<u32>().ok());
    assert_eq!(counts.sum::<u32>(), 149, "{returns}");
    for page in [&candles, &returns] {
        assert!(page.contains("default-src 'none'") && page.contains("<title>"));
        for loading in ["src=\"", "@import", "<link", "import("] {
            assert!(!page.contains(loading), "{loading}");
        }
        let links = page.split("href=\"").skip(1);
        assert!(links.into_iter().all(|link| link.starts_with("https://www.tradingview.com/")));
    }
    // The charts' licence: notice, link and text.
    for part in [
        "TradingView Lightweight Charts",
        "https://www.tradingview.com/",
        "Apache License",
        "Version 2.0, January 2004",
    ] {
        assert!(candles.contains(part), "{part}");
    }
}

#[test]
fn one_bad_print_is_marked_and_leaves_the_others_their_room() {
    let dir = tempfile::tempdir().unwrap();
    let row = |minute: u32| {
        let price = if minute == 50 { 10_000 } else { 1_000_000 + minute % 7 * 100 };
        format!("{},{price},100,P,1,0\n", 34_200_000 + minute * 60_000)
    };
    tape(dir.path(), &(0..120).map(row).collect::<String>());
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let (svg, _) = plot(dir.path(), &urls[4..], &[]);
    let texts_of = texts(&svg);
    assert!(texts_of.contains(&"beyond the axis: 1") && texts_of.contains(&"1.00"), "{texts_of:?}");
    let axis: Vec<f64> = texts_of.iter().filter_map(|text| text.parse().ok()).filter(|y| *y > 90.0).collect();
    assert!(axis.len() > 4 && axis.iter().all(|label| *label > 99.0), "{texts_of:?}");
}

#[test]
fn small_prices_have_the_decimals_they_need() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture");
    let trade = |n: u32| {
        format!(
            r#"{{"channel":"trade","type":"update","data":[{{"symbol":"SHIB/USD","side":"buy","price":0.0000{:04},"qty":1,"ord_type":"market","trade_id":{n},"timestamp":"2025-05-28T13:{n:02}:00Z"}}]}}"#,
            2_000 + n
        )
    };
    std::fs::write(&file, (1..40).map(trade).collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let (topic, store) =
        (crate::url("sqlite", &dir.path().join("t.db")), crate::url("sqlite", &dir.path().join("s.db")));
    let source = format!("frames:{}?feed=kraken", file.display());
    let (code, text) = run(&["run", "--source", &source, "--topic", &topic, "--store", &store]);
    assert_eq!(code, 0, "{text}");
    let out = dir.path().join("p.svg");
    let (code, text) = run(&["plot", "SHIB/USD", "--store", &store, "--out", out.to_str().unwrap()]);
    assert_eq!(code, 0, "{text}");
    let svg = std::fs::read_to_string(&out).unwrap();
    let labels: BTreeSet<&str> = texts(&svg).into_iter().filter(|text| text.starts_with("0.0000")).collect();
    assert!(labels.len() > 4, "{labels:?}");
}

/// Two symbols side by side: what happened at one time is in one place.
#[test]
fn charts_side_by_side_have_one_time_axis() {
    let dir = tempfile::tempdir().unwrap();
    let row = |minute: u32| format!("{},1000000,100,P,1,0\n", 34_200_000 + minute * 60_000);
    tape(dir.path(), &(0..60).map(row).collect::<String>());
    let other = dir.path().join("tape/tick/abc");
    std::fs::create_dir_all(&other).unwrap();
    let mut zip = zip::ZipWriter::new(std::fs::File::create(other.join("20131008_trade.zip")).unwrap());
    zip.start_file("20131008_abc_Trade_Tick.csv", zip::write::SimpleFileOptions::default()).unwrap();
    std::io::Write::write_all(&mut zip, (30..60).map(row).collect::<String>().as_bytes()).unwrap();
    zip.finish().unwrap();
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let out = dir.path().join("p.svg");
    let arguments = ["plot", "XYZ,ABC", "--out", out.to_str().unwrap(), &urls[4], &urls[5]];
    assert_eq!(run(&arguments).0, 0);
    let svg = std::fs::read_to_string(&out).unwrap();
    let ticks: Vec<&str> = texts(&svg).into_iter().filter(|text| text.contains(':')).collect();
    let (left, right) = ticks.split_at(ticks.len() / 2);
    assert_eq!(left, right);
    assert!(left.contains(&"09:40") && left.contains(&"10:20"), "{ticks:?}");
}
