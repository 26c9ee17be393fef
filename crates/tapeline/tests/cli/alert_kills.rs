//! kill -9 at random moments: every message reaches a mail server, SNS and a webhook, and is copied only if a kill hid the
//! outcome of its delivery.
#![allow(clippy::print_stdout, reason = "a report for people")]

use crate::alert::{GOLDEN, configuration, hook, receiver};
use crate::servers::{Server, certificate};
use crate::{embedded_urls, finish, run, session, start, tapeline, with};
use market::alert::Alert;
use notify::AlertMessage;
use notify::outbox::SqliteOutbox;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often each message arrived, by what identifies it.
type Receipts = BTreeMap<String, u32>;

/// The symbols, so that the servers and not the records are what a kill interrupts.
const SYMBOLS: &str = "BAC,IBM";
/// About how many alerts these have.
const ALERTS: u64 = 306;

/// Symbol, millisecond, rule and kind of each alert that the oracle expects. Rules over days have no day before here.
fn expected() -> Vec<String> {
    let fields = GOLDEN.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let wanted = fields.filter(|fields| {
        fields[0] == "one" && SYMBOLS.contains(fields[2]) && !matches!(fields[1], "extreme" | "gap")
    });
    let mut lines: Vec<String> =
        wanted.map(|fields| format!("{},{},{},{}", fields[2], fields[3], fields[1], fields[4])).collect();
    lines.sort();
    lines
}

/// The configuration of a channel to each server.
fn channels(dir: &Path, smtp: u16, certificate: &str, sns: u16, url: &str) -> String {
    let sns = |name: &str, to: &str| {
        format!(
            "[[alert.channels]]\nname = '{name}'\ntype = 'sns'\nregion = 'us-east-1'\naccess_key = 'test'\n\
             secret_key = 'test'\nendpoint = 'http://127.0.0.1:{sns}'\nto = ['{to}']\n"
        )
    };
    let ca = dir.join(certificate).display().to_string();
    format!(
        "[[alert.channels]]\nname = 'mail'\ntype = 'smtp'\nhost = 'localhost'\nport = {smtp}\nuser = 'alerts'\n\
         password = 'correct horse'\nfrom = 'Tapeline <alerts@example.org>'\nto = ['you@example.org']\n\
         ca_file = '{ca}'\n{}{}{}",
        hook(url),
        sns("sms", "+15550001111"),
        sns("topic", "arn:aws:sns:us-east-1:123456789012:alerts.fifo"),
    )
}

/// The line of a text that begins with a word, without it.
fn after<'a>(text: &'a str, word: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(word))
        .unwrap_or_else(|| panic!("no {word} in {text}"))
        .trim()
}

fn count(texts: impl Iterator<Item = String>) -> Receipts {
    let mut out = Receipts::new();
    texts.for_each(|text| *out.entry(text).or_insert(0) += 1);
    out
}

/// A run while records arrive, then `kills` more, each killed at a random moment.
fn kill_at_random(arguments: &[&str], kills: u64, producer: &[&str]) {
    let seed = RandomState::new().hash_one(std::process::id());
    println!("seed {seed}");
    let mut state = seed | 1;
    let producer = start(producer);
    for _ in 0..kills {
        let mut evaluation = start(arguments);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        std::thread::sleep(Duration::from_millis(200 + state % 1_600));
        let _ = evaluation.kill();
        evaluation.wait().unwrap();
    }
    let (code, text) = finish(producer.wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
}

/// `TAPELINE_TEST_KILLS` kills, 5 without it: `cargo xtask alert-kills`.
#[test]
#[ignore = "needs the Python of cargo xtask test"]
fn kills_lose_no_alert_message_and_repeat_only_those_they_hide() {
    let kills: u64 = std::env::var("TAPELINE_TEST_KILLS").map_or(5, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let (cert, key, _) = certificate(dir.path());
    // Slow servers: deliveries take as long as the kills, and are what most of them interrupt.
    let slow = 600 * kills / ALERTS;
    let delay = format!("delay={slow}");
    let mut smtp = Server::start(&["smtp", &cert, &key, &delay]);
    let mut sns = Server::start(&["sns", &delay]);
    let (url, hooks) = receiver(Duration::from_millis(slow));
    let config = configuration(dir.path(), &channels(dir.path(), smtp.port, "cert.pem", sns.port, &url));
    let urls = embedded_urls(dir.path(), &session());
    // The records arrive during half of the kills.
    let paced = format!("{}?symbols={SYMBOLS}&speed={}", urls[1], 2 * 57_600 / kills);
    let producer = ["produce", "--source", &paced, &urls[2], &urls[3]];
    let arguments = [vec!["alert", "run", "--config", &config], with("--log=error", &urls)].concat();
    let started = Instant::now();
    kill_at_random(&arguments, kills, &producer);
    println!("{kills} kills in {:.0} s", started.elapsed().as_secs_f64());
    let (code, text) = run(&[&arguments[..], &["--until-end"]].concat());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(" 0 pending, 0 abandoned"), "{text}");

    let output = tapeline(&["alert", "history", "--format", "json", "--config", &config]).output().unwrap();
    let alerts: Vec<Alert> = serde_json::from_slice(&output.stdout).unwrap();
    let mut fired: Vec<String> = alerts
        .iter()
        .map(|alert| {
            format!("{},{},{},{}", alert.symbol, alert.event_time / 1_000_000, alert.rule, alert.kind)
        })
        .collect();
    fired.sort();
    assert_eq!(fired, expected(), "the alerts without kills");

    let mails = smtp.stop();
    let published = sns.stop().remove(0);
    let texts = |list: &serde_json::Value, column: Option<usize>| -> Vec<String> {
        let text =
            |value: &serde_json::Value| column.map_or(value, |at| &value[at]).as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(text).collect()
    };
    let id = |data: &str| after(data, "Message-ID: <").split('@').next().unwrap().to_owned();
    let keys: Vec<String> = alerts.iter().map(|alert| alert.key.clone()).collect();
    // An SMS has no key: it is known by its text.
    let sms = |alert: &Alert| AlertMessage::new(alert, "America/New_York").sms;
    let outbox = SqliteOutbox::open(&dir.path().join("alerts.db"), 1).unwrap();
    println!("channel  expected  delivered  receipts  copies  repeated  lost");
    for (channel, receipts, names) in [
        ("mail", count(mails.iter().map(|mail| id(mail["data"].as_str().unwrap()))), keys.clone()),
        ("hook", hooks.lock().unwrap().clone(), keys.clone()),
        (
            "topic",
            count(texts(&published["topic"], None).iter().map(|text| after(text, "Key ").to_owned())),
            keys.clone(),
        ),
        ("sms", count(texts(&published["sms"], Some(1)).into_iter()), alerts.iter().map(sms).collect()),
    ] {
        let expected = count(names.iter().cloned());
        // How often a crash hid the outcome of an attempt: only then is it repeated.
        let mut repeated = Receipts::new();
        for (alert, name) in alerts.iter().zip(&names) {
            let deliveries = outbox.delivery(&alert.key).unwrap();
            let delivery = deliveries.iter().find(|delivery| delivery.channel == channel).unwrap();
            assert_eq!(delivery.state, "sent");
            *repeated.entry(name.clone()).or_insert(0) += delivery.repeated;
        }
        let unknown: Vec<_> = receipts.keys().filter(|name| !expected.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "{channel}: {unknown:?}");
        let of = |receipts: &Receipts, name: &str| receipts.get(name).copied().unwrap_or(0);
        let lost: Vec<_> = expected
            .iter()
            .filter(|(name, times)| of(&receipts, name) < **times)
            .map(|(name, _)| name)
            .collect();
        let copies: Receipts = expected
            .iter()
            .map(|(name, times)| (name.clone(), of(&receipts, name).saturating_sub(*times)))
            .filter(|(_, copies)| *copies > 0)
            .collect();
        println!(
            "{channel:<7}  {:>8}  {:>9}  {:>8}  {:>6}  {:>8}  {:>4}",
            alerts.len(),
            alerts.len() - lost.len(),
            receipts.values().sum::<u32>(),
            copies.values().sum::<u32>(),
            repeated.values().sum::<u32>(),
            lost.len()
        );
        assert!(lost.is_empty(), "{channel}: {lost:?}");
        // An attempt that was interrupted before it reached the server is repeated too, and arrives once.
        for (name, copies) in &copies {
            assert!(*copies <= of(&repeated, name), "{channel}: {copies} unexplained copies of {name}");
        }
        assert!(
            u64::from(repeated.values().sum::<u32>()) <= kills,
            "{channel}: one message is sent at a time"
        );
    }
}
