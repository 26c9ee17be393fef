//! Training, listing, scoring and showing forecasts from the command line.

use crate::{finish, run, signal, start, url};
use adapters::store::sqlite::SqliteStore;
use adapters::topic::sqlite::SqliteTopics;
use market::bar::{Bar, TradeValues, Values};
use market::interval::Interval;
use market::{Kind, Price, Size, UnixNanos};
use ports::CancelToken;
use ports::store::Store;
use ports::topic::{Names, Topics};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// A CSV file of daily bars whose volatility rises and falls.
pub(super) fn csv(dir: &Path, days: u32) -> String {
    let mut text = String::from("start,open,high,low,close,volume\n");
    let mut close = 100.0f64;
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    for day in 0..days {
        let spread = 0.01 * (1.5 + (f64::from(day) / 30.0).sin());
        let open = close;
        close = open * (1.0 + spread * (uniform() - 0.5));
        let high = open.max(close) * (1.0 + spread * 0.5 * uniform());
        let low = open.min(close) * (1.0 - spread * 0.5 * uniform());
        let (year, month, date) = (2000 + day / 336, day / 28 % 12 + 1, day % 28 + 1);
        writeln!(text, "{year}-{month:02}-{date:02},{open},{high},{low},{close},{}", 1000 + day % 7).unwrap();
    }
    let path = dir.join("bars.csv");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_trained_model_is_listed_scored_and_shown_and_the_same_seed_gives_the_same_digest() {
    let dir = tempfile::tempdir().unwrap();
    let file = csv(dir.path(), 700);
    let models = dir.path().join("models");
    let models = models.to_str().unwrap();
    let train = || {
        run(&[
            "forecast",
            "train",
            "xyz",
            "--file",
            &file,
            "--interval",
            "1d",
            "--models",
            models,
            "--horizons",
            "1,5",
        ])
    };
    let (code, text) = train();
    assert!(code == 0 && text.contains("XYZ 1d: 700 bars") && text.contains("version 1 in "), "{text}");
    let (code, text) = train();
    assert!(code == 0 && text.contains("version 2 in "), "{text}");

    let (code, text) = run(&["forecast", "list", "--models", models]);
    assert_eq!(code, 0, "{text}");
    let digests: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(4)).collect();
    assert!(digests.len() == 2 && digests[0] == digests[1] && digests[0].len() == 32, "{text}");

    let (code, text) = run(&["forecast", "score", "XYZ", "--interval", "1d", "--models", models]);
    assert!(code == 0 && text.contains("QLIKE") && text.contains("best baseline"), "{text}");
    let verdicts = text.matches("beat").count() + text.matches("worse than").count();
    assert!(verdicts >= 18, "every model and task has a verdict: {text}");

    let show = ["forecast", "show", "XYZ", "--file", &file, "--interval", "1d", "--models", models];
    let (code, text) = run(&show);
    assert!(code == 0 && text.contains("return over 1 bar") && text.contains("range over 5 bars"), "{text}");

    let path = Path::new(models).join("XYZ/1d/0002.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let (code, text) = run(&show);
    assert!(code == 1 && text.contains("truncated or damaged") && text.contains("forecast train"), "{text}");
    let (code, text) = run(&["forecast", "list", "--models", models]);
    assert!(code == 1 && text.contains("0002.safetensors: model file: "), "{text}");
    assert!(text.contains(digests[0]), "the whole version is listed: {text}");
}

#[test]
fn what_cannot_be_forecast_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().to_str().unwrap();
    let file = csv(dir.path(), 60);
    let train = ["forecast", "train", "XYZ", "--file", &file, "--interval", "1d", "--models", models];
    let (code, text) = run(&train);
    assert!(code == 1 && text.contains("expected at least 68 bars") && text.contains("found 60"), "{text}");
    let (code, text) =
        run(&["forecast", "show", "XYZ", "--file", &file, "--models", models, "--interval", "1d"]);
    assert!(code == 1 && text.contains("expected a trained model for XYZ 1d"), "{text}");
    let long = csv(dir.path(), 700);
    let train = ["forecast", "train", "XYZ", "--file", &long, "--models", models, "--without", "oracle"];
    let (code, text) = run(&train);
    assert!(
        code == 1 && text.contains("expected one of random_walk") && text.contains("found `oracle`"),
        "{text}"
    );
}

/// The rows of a CSV file, each with its number.
fn edited(file: &str, edit: impl Fn(usize, &str) -> String) {
    let text = std::fs::read_to_string(file).unwrap();
    let lines =
        text.lines().enumerate().map(|(at, line)| if at == 0 { line.to_owned() } else { edit(at, line) });
    std::fs::write(file, lines.collect::<Vec<_>>().join("\n")).unwrap();
}

fn start_of(line: &str) -> &str {
    line.split(',').next().unwrap()
}

/// The words of a short training.
fn train<'a>(file: &'a str, models: &'a str) -> Vec<&'a str> {
    let words = ["forecast", "train", "XYZ", "--file", file, "--interval", "1d", "--horizons", "1"];
    [&words[..], &["--without", "lstm,combination,garch", "--models", models]].concat()
}

#[test]
fn unusual_bars_have_a_clear_outcome_each() {
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().join("models");
    let models = models.to_str().unwrap();
    let train = |days: u32, edit: &dyn Fn(usize, &str) -> String| {
        let file = csv(dir.path(), days);
        edited(&file, edit);
        run(&train(&file, models))
    };
    let same = |_: usize, line: &str| line.to_owned();
    let (code, text) = train(1, &same);
    assert!(code == 1 && text.contains("expected at least 68 bars") && text.contains("found 1"), "{text}");
    let (code, text) = train(200, &|_, line| format!("{},5,5,5,5,100", start_of(line)));
    assert!(code == 1 && text.contains("all 200 bars have the same price 5"), "{text}");
    let (code, text) = train(600, &|at, line| {
        if at > 560 { format!("{},5,5,5,5,0", start_of(line)) } else { line.to_owned() }
    });
    assert!(code == 1 && text.contains("hint: end the span before the halt: --to TIME"), "{text}");
    let (code, text) = train(600, &|at, line| {
        if at == 300 { format!("{},5,NaN,5,5,0", start_of(line)) } else { line.to_owned() }
    });
    assert!(code == 1 && text.contains("expected a finite high, found NaN"), "{text}");
    assert!(text.contains("(start 200") && text.contains(" 00:00): "), "a date, not nanoseconds: {text}");
    assert!(text.contains("hint: correct the bar"), "{text}");
    assert!(!Path::new(models).exists(), "nothing is written for bars that cannot be forecast");

    let no_volume = |_: usize, line: &str| format!("{},0", line.rsplit_once(',').unwrap().0);
    let (code, text) = train(600, &no_volume);
    assert!(code == 0 && text.contains("version 1 in ") && !text.contains("warning"), "{text}");
}

/// A split of 4:1 from a day on, with its factor file.
#[test]
fn an_unadjusted_split_is_refused_until_it_is_adjusted_or_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().join("models");
    let models = models.to_str().unwrap();
    let file = csv(dir.path(), 600);
    edited(&file, |at, line| {
        let values: Vec<f64> = line.split(',').skip(1).map(|value| value.parse().unwrap()).collect();
        let split = if at < 400 { 1.0 } else { 4.0 };
        let prices: Vec<String> = values[..4].iter().map(|price| (price / split).to_string()).collect();
        format!("{},{},{}", start_of(line), prices.join(","), values[4] * split)
    });
    let day = |at: usize| {
        let text = std::fs::read_to_string(&file).unwrap();
        start_of(text.lines().nth(at).unwrap()).replace('-', "")
    };
    let factors = dir.path().to_str().unwrap();
    std::fs::write(dir.path().join("xyz.csv"), format!("{},1,0.25,100\n20501231,1,1,0\n", day(399))).unwrap();

    let words = train(&file, models);
    let (code, text) = run(&words);
    assert!(code == 1 && text.contains("XYZ: the price jumps as in a split of 4:1 on 20"), "{text}");
    assert!(text.contains("hint: adjust the bars: --adjust all --factors DIR"), "{text}");
    assert!(!Path::new(models).exists(), "nothing is trained");

    let adjusted = ["--adjust", "all", "--factors", factors];
    let (code, text) = run(&[&words[..], &adjusted].concat());
    assert!(code == 0 && text.contains("version 1 in ") && !text.contains("warning"), "{text}");
    let show = ["forecast", "show", "XYZ", "--file", &file, "--interval", "1d", "--models", models];
    let (code, text) = run(&show);
    assert!(code == 1 && text.contains("in a split of 4:1"), "{text}");
    let (code, text) = run(&[&show[..], &adjusted].concat());
    assert!(code == 0 && !text.contains("warning"), "{text}");

    let (code, text) = run(&[&words[..], &["--allow-jumps"]].concat());
    assert!(code == 0 && text.contains("version 2 in "), "{text}");
    assert!(
        text.contains("a split of 4:1 on 20") && text.contains("is taken for a move of the market"),
        "{text}"
    );
}

/// Files of a folder of models, hidden ones included.
fn model_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    found.sort();
    found
}

#[test]
fn kill_9_during_training_and_writing_leaves_whole_versions_only() {
    let dir = tempfile::tempdir().unwrap();
    let file = csv(dir.path(), 600);
    let models = dir.path().join("models");
    let words = train(&file, models.to_str().unwrap());
    let expected = dir.path().join("expected");
    let (code, text) = run(&train(&file, expected.to_str().unwrap()));
    assert_eq!(code, 0, "{text}");
    let expected = std::fs::read(expected.join("XYZ/1d/0001.safetensors")).unwrap();

    let folder = models.join("XYZ/1d");
    for round in 0..12u64 {
        let before = model_files(&folder).len();
        let mut child = start(&words);
        if round < 4 {
            // While it trains.
            std::thread::sleep(Duration::from_millis(5 + 20 * round));
        } else {
            // As soon as anything is written, and a little later each time.
            while model_files(&folder).len() == before && child.try_wait().unwrap().is_none() {}
            std::thread::sleep(Duration::from_micros(100 * (round - 4)));
        }
        if child.try_wait().unwrap().is_none() {
            signal(&child, "-KILL");
        }
        let _ = finish(child.wait_with_output().unwrap());
        let versions = model_files(&folder)
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "safetensors"));
        for path in versions {
            assert!(
                std::fs::read(&path).unwrap() == expected,
                "round {round}: {} is not whole",
                path.display()
            );
        }
    }
    let whole = || {
        model_files(&folder)
            .iter()
            .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
            .count()
    };
    let before = whole();
    let (code, text) = run(&words);
    assert!(code == 0 && text.contains(&format!("version {} in ", before + 1)), "{text}");
    assert_eq!(whole(), before + 1);
    let (code, text) = run(&["forecast", "list", "--models", models.to_str().unwrap()]);
    assert!(code == 0 && text.lines().count() == before + 2, "{text}");
    assert!(
        model_files(&folder).iter().all(|path| path.extension().is_some_and(|e| e == "safetensors")),
        "no part is left"
    );
}

/// Daily bars of a market that never closes.
fn days(count: usize) -> Vec<Bar> {
    let (mut close, mut state) = (100.0f64, 1u64);
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    let price = |value: f64| Price::parse(format!("{value:.6}").as_bytes()).unwrap();
    let mut day = |day: usize| {
        let spread = 0.01 * (1.5 + (day as f64 / 30.0).sin());
        let open = close;
        close = open * (1.0 + spread * (uniform() - 0.5));
        let high = open.max(close) * (1.0 + spread * 0.5 * uniform());
        let low = open.min(close) * (1.0 - spread * 0.5 * uniform());
        let values = TradeValues {
            ohlc: [open, high, low, close].map(price),
            volume: Size::parse(b"1000").unwrap(),
            vwap: None,
            trades: 9,
        };
        Bar {
            kind: Kind::TRADE,
            symbol: "XYZ".to_owned(),
            feed: "kraken".to_owned(),
            interval: Interval::D1,
            start: UnixNanos(1_577_836_800_000_000_000 + day as i64 * market::time::DAY),
            values: Values::Trades(values),
            late: 0,
            revision: 0,
            is_final: true,
            complete: true,
        }
    };
    (0..count).map(&mut day).collect()
}

/// An embedded topic and store.
struct Engines {
    topics: SqliteTopics,
    store: SqliteStore,
    urls: [String; 4],
}

impl Engines {
    fn new(dir: &Path, name: &str) -> Self {
        let (topic, store) = (dir.join(format!("{name}-t.db")), dir.join(format!("{name}-s.db")));
        let urls = ["--topic".to_owned(), url("sqlite", &topic), "--store".to_owned(), url("sqlite", &store)];
        let engines = Self { topics: SqliteTopics::new(topic), store: SqliteStore::new(store), urls };
        engines.topics.init(&Names::new("tapeline").specs(3)).unwrap();
        engines.store.init().unwrap();
        engines
    }

    /// Publishes bars and stores them, as `aggregate` does.
    fn emit(&self, bars: &[Bar]) {
        let mut producer = self.topics.producer().unwrap();
        for bar in bars {
            pipeline::vendor_bars::send(bar, "tapeline.bars", 1, &mut *producer).unwrap();
        }
        assert_eq!(producer.flush(Duration::from_secs(30)).unwrap(), 0);
        self.store.write_bars(bars, &CancelToken::default()).unwrap();
    }

    fn with<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        arguments.iter().copied().chain(self.urls.iter().map(String::as_str)).collect()
    }

    fn history(&self) -> String {
        let (code, text) =
            run(&self.with(&["forecast", "history", "XYZ", "--interval", "1d", "--format", "csv"]));
        assert_eq!(code, 0, "{text}");
        text
    }
}

/// Trains on the first 700 days; returns the folder of models.
fn trained(dir: &Path, engines: &Engines, bars: &[Bar]) -> String {
    engines.emit(&bars[..700]);
    let models = dir.join("models").to_str().unwrap().to_owned();
    let train = ["forecast", "train", "XYZ", "--interval", "1d", "--without", "lstm,combination", "--models"];
    let (code, text) = run(&engines.with(&[&train[..], &[&models]].concat()));
    assert!(code == 0 && text.contains("XYZ 1d: 700 bars"), "{text}");
    models
}

#[test]
fn kill_9_of_run_at_random_moments_changes_no_forecast() {
    let dir = tempfile::tempdir().unwrap();
    let bars = days(820);
    let whole = Engines::new(dir.path(), "whole");
    let models = trained(dir.path(), &whole, &bars);
    whole.emit(&bars[700..]);
    let forecast = ["forecast", "run", "--models", &models];
    let (code, text) = run(&whole.with(&[&forecast[..], &["--until-end"]].concat()));
    // Nine tasks: three targets, one, five and 22 bars ahead.
    assert!(code == 0 && text.contains("forecasts: 1,080 made, 996 scored, from 820 bars"), "{text}");
    let expected = whole.history();

    let killed = Engines::new(dir.path(), "killed");
    killed.emit(&bars[..700]);
    let mut moment = 7u64;
    for piece in bars[700..].chunks(10) {
        killed.emit(piece);
        let child = start(&killed.with(&forecast));
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(20 + (moment >> 33) % 400));
        signal(&child, "-KILL");
        let (_, text) = finish(child.wait_with_output().unwrap());
        assert!(!text.contains("error:") && !text.contains("panicked"), "{text}");
    }
    let (code, text) = run(&killed.with(&[&forecast[..], &["--until-end"]].concat()));
    assert_eq!(code, 0, "{text}");
    let found = killed.history();
    let differing: Vec<_> =
        found.lines().zip(expected.lines()).filter(|(found, expected)| found != expected).collect();
    assert!(differing.is_empty(), "{} lines differ: {:?}", differing.len(), differing.first());
    assert_eq!(found.lines().count(), expected.lines().count());
}

#[test]
fn forecasts_are_shown_with_their_record_and_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let engines = Engines::new(dir.path(), "e");
    let none = engines.with(&["forecast", "run", "--models", "nowhere", "--until-end"]);
    let (code, text) = run(&none);
    assert!(code == 1 && text.contains("no trained models in nowhere"), "{text}");
    let bars = days(800);
    let models = trained(dir.path(), &engines, &bars);
    let history = engines.with(&["forecast", "history", "XYZ", "--interval", "1d"]);
    let (code, text) = run(&history);
    assert!(code == 1 && text.contains("expected forecasts of XYZ 1d"), "{text}");
    engines.emit(&bars[700..]);
    let (code, text) = run(&engines.with(&["forecast", "run", "--models", &models, "--until-end"]));
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(&history);
    assert!(code == 0 && text.contains("volatility, 5 ahead") && text.contains("open"), "{text}");
    assert!(text.contains("record against the random walk") && text.contains("99 scored"), "{text}");
    let svg = dir.path().join("fan.svg");
    let out = svg.to_str().unwrap();
    let (code, text) =
        run(&engines.with(&["plot", "XYZ", "--kind", "forecast", "--interval", "1d", "--out", out]));
    assert_eq!(code, 0, "{text}");
    let drawn = std::fs::read_to_string(&svg).unwrap();
    assert!(drawn.matches("<polygon").count() >= 3 && drawn.contains("walk-forward"), "{drawn}");
}
