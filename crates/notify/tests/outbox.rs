//! The outbox: nothing is lost, and nothing is sent twice unless a crash hides the outcome of an attempt.
#![allow(clippy::unwrap_used, reason = "tests")]

use market::UnixNanos;
use market::alert::{Alert, Severity};
use notify::alert_log::{AlertLogFile, SqliteAlertLog};
use notify::outbox::{OutboxCounts, OutboxStore, RetryPolicy, SqliteOutbox, deliver};
use notify::{AlertMessage, Notifier, NotifyError};
use ports::alert_log::{Acknowledgement, AlertLog, AlertQuery, Silence};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

fn alert(number: u32) -> Alert {
    Alert {
        key: format!("{number:032x}"),
        rule: "r".to_owned(),
        kind: "drop".to_owned(),
        feed: "f".to_owned(),
        symbol: "S".to_owned(),
        severity: Severity::Warning,
        event_time: i64::from(number),
        value: -1.0,
        threshold: 1.0,
        unit: "%".to_owned(),
        price: None,
        message: format!("number {number}"),
        quiet: false,
        channels: Vec::new(),
        retracts: None,
    }
}

fn messages(alert: &Alert, channels: &[&str]) -> Vec<(String, AlertMessage)> {
    channels.iter().map(|name| ((*name).to_owned(), AlertMessage::new(alert, "UTC"))).collect()
}

/// A channel with scripted replies, which then accepts; it remembers what it accepted.
struct Scripted {
    answers: Vec<NotifyError>,
    accepted: Vec<String>,
}

impl Notifier for Scripted {
    fn name(&self) -> &str {
        "c"
    }

    fn send(&mut self, message: &AlertMessage) -> Result<(), NotifyError> {
        match self.answers.pop() {
            Some(error) => Err(error),
            None => {
                self.accepted.push(message.key.clone());
                Ok(())
            }
        }
    }

    fn check(&mut self) -> Result<(), NotifyError> {
        Ok(())
    }
}

fn later(after: Option<u64>) -> NotifyError {
    NotifyError::Retryable { reason: "busy".to_owned(), after: after.map(Duration::from_secs) }
}

#[test]
fn failures_that_may_pass_wait_and_keep_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = SqliteOutbox::open(&folder.path().join("alerts.db"), 100).unwrap();
    for number in 0..3 {
        let alert = alert(number);
        assert!(outbox.append(&alert, &messages(&alert, &["c"])).unwrap());
        // The same records evaluated again.
        assert!(!outbox.append(&alert, &messages(&alert, &["c"])).unwrap());
    }
    let policy = RetryPolicy::default();
    let mut channel = Scripted { answers: vec![later(Some(60)), later(None)], accepted: Vec::new() };
    let mut turn =
        |now_ms: i64, channel: &mut Scripted| deliver(&mut outbox, channel, &policy, &|| now_ms).unwrap();
    assert_eq!(turn(0, &mut channel), 0);
    assert_eq!(turn(500, &mut channel), 0);
    assert_eq!(channel.answers.len(), 1, "the wait was not kept");
    assert_eq!(turn(2_000, &mut channel), 0);
    assert_eq!(turn(61_999, &mut channel), 0, "the server requested 60 s");
    assert_eq!(turn(62_000, &mut channel), 3);
    assert_eq!(channel.accepted, [alert(0).key, alert(1).key, alert(2).key]);
    assert_eq!(outbox.counts().unwrap(), OutboxCounts { sent: 3, ..OutboxCounts::default() });
    let delivery = &outbox.delivery(&alert(0).key).unwrap()[0];
    assert_eq!((delivery.channel.as_str(), delivery.state.as_str(), delivery.attempts), ("c", "sent", 3));
}

#[test]
fn what_will_never_be_taken_is_a_dead_letter_and_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = SqliteOutbox::open(&folder.path().join("alerts.db"), 100).unwrap();
    for number in 0..2 {
        let alert = alert(number);
        outbox.append(&alert, &messages(&alert, &["c"])).unwrap();
    }
    let mut channel = Scripted {
        answers: vec![NotifyError::Permanent("550 no such user".to_owned())],
        accepted: Vec::new(),
    };
    let policy = RetryPolicy { attempts: 3, ..RetryPolicy::default() };
    assert_eq!(deliver(&mut outbox, &mut channel, &policy, &|| 0).unwrap(), 1);
    assert_eq!(channel.accepted, [alert(1).key]);
    let state = &outbox.delivery(&alert(0).key).unwrap()[0];
    assert_eq!((state.state.as_str(), state.reason.as_deref()), ("dead", Some("550 no such user")));
    // Abandoned after the third attempt.
    outbox.append(&alert(9), &messages(&alert(9), &["c"])).unwrap();
    channel.answers = vec![later(None), later(None), later(None), later(None)];
    for now in [0, 10_000, 20_000, 30_000] {
        deliver(&mut outbox, &mut channel, &policy, &|| now).unwrap();
    }
    assert_eq!(channel.answers.len(), 1);
    assert_eq!(outbox.counts().unwrap(), OutboxCounts { sent: 1, dead: 2, ..OutboxCounts::default() });
}

#[test]
fn a_crash_repeats_the_attempt_whose_outcome_it_hid_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.db");
    let mut outbox = SqliteOutbox::open(&path, 100).unwrap();
    for number in 0..3 {
        let alert = alert(number);
        outbox.append(&alert, &messages(&alert, &["c"])).unwrap();
    }
    let due = outbox.due("c", 0, 10).unwrap();
    // The first was marked as sent; the second had started when the program crashed.
    outbox.begin(due[0].id).unwrap();
    outbox.sent(due[0].id, 0).unwrap();
    outbox.begin(due[1].id).unwrap();
    drop(outbox);
    let mut outbox = SqliteOutbox::open(&path, 100).unwrap();
    let due = outbox.due("c", 0, 10).unwrap();
    let uncertain: Vec<_> =
        due.iter().map(|pending| (pending.message.key.clone(), pending.uncertain)).collect();
    assert_eq!(uncertain, [(alert(1).key, true), (alert(2).key, false)]);
    let mut channel = Scripted { answers: Vec::new(), accepted: Vec::new() };
    assert_eq!(deliver(&mut outbox, &mut channel, &RetryPolicy::default(), &|| 0).unwrap(), 2);
    assert_eq!(outbox.counts().unwrap(), OutboxCounts { sent: 3, repeated: 1, ..OutboxCounts::default() });
}

#[test]
fn alerts_state_and_history_are_committed_together_and_the_bound_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.db");
    let mut outbox = SqliteOutbox::open(&path, 2).unwrap();
    let batch: Vec<_> = (0..2).map(|n| (alert(n), messages(&alert(n), &["c", "d"]))).collect();
    assert_eq!(outbox.commit(&batch, &[("offsets", b"1".as_slice())]), Ok(2));
    let more = [(alert(7), messages(&alert(7), &["c"]))];
    let error = outbox.commit(&more, &[("offsets", b"2".as_slice())]).unwrap_err();
    assert!(error.contains("outbox is full: 4 messages wait, at most 2 may"), "{error}");
    drop(outbox);
    let outbox = SqliteOutbox::open(&path, 2).unwrap();
    assert_eq!(outbox.state("offsets").unwrap().as_deref(), Some(&b"1"[..]));
    let log = SqliteAlertLog::open(&path).unwrap();
    let of = |from, to| log.alerts(&AlertQuery::of(UnixNanos(from)..UnixNanos(to))).unwrap();
    assert_eq!(of(0, 1).iter().map(|logged| logged.alert.clone()).collect::<Vec<_>>(), [alert(0)]);
    assert_eq!(of(0, 10).len(), 2);
    let one = AlertQuery { limit: 1, ..AlertQuery::of(UnixNanos(0)..UnixNanos(10)) };
    assert_eq!(log.alerts(&one).unwrap()[0].alert, alert(1), "the newest first");
    let other = AlertQuery { symbol: Some("other".to_owned()), ..one };
    assert!(log.alerts(&other).unwrap().is_empty());
}

#[test]
fn acknowledgements_and_silences_outlive_the_process_and_the_first_acknowledgement_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.db");
    // A file of a version without acknowledgements and authors of silences.
    rusqlite::Connection::open(&path)
        .and_then(|old| {
            old.execute_batch(
                "CREATE TABLE silences (id INTEGER PRIMARY KEY, rule TEXT NOT NULL, symbol TEXT NOT NULL,
                     until_ms INTEGER NOT NULL, reason TEXT NOT NULL);
                 INSERT INTO silences (rule, symbol, until_ms, reason) VALUES ('r', '*', 100, 'maintenance');",
            )
        })
        .unwrap();
    let mut outbox = SqliteOutbox::open(&path, 10).unwrap();
    for number in 0..2 {
        assert!(outbox.append(&alert(number), &[]).unwrap());
    }
    let file = AlertLogFile(path);
    let all = AlertQuery::of(UnixNanos(i64::MIN)..UnixNanos(i64::MAX));
    let ann = Acknowledgement::new("ann", 5, "seen").unwrap();
    let unknown = "f".repeat(32);
    let both = [alert(0).key, unknown.clone()];
    assert_eq!(file.acknowledge(&both, &ann).unwrap(), [unknown]);
    assert!(file.alerts(&all).unwrap().iter().all(|logged| logged.acknowledged.is_none()), "all or none");
    assert!(file.acknowledge(&[alert(0).key], &ann).unwrap().is_empty());
    let bob = Acknowledgement::new("bob", 6, "").unwrap();
    assert!(file.acknowledge(&[alert(0).key], &bob).unwrap().is_empty());
    let read: Vec<_> = file.alerts(&all).unwrap().into_iter().map(|logged| logged.acknowledged).collect();
    assert_eq!(read, [None, Some(ann)]);
    // Evaluated again after a crash, it is still acknowledged.
    assert!(!outbox.append(&alert(0), &[]).unwrap());
    assert!(file.alerts(&all).unwrap()[1].acknowledged.is_some());

    let added = Silence::new("*", "S", 200, "", "ann").unwrap();
    let id = file.silence(&added).unwrap();
    let old = Silence::new("r", "*", 100, "maintenance", "").unwrap();
    assert_eq!(file.silences(99).unwrap(), [(1, old), (id, added.clone())]);
    assert_eq!(file.silences(100).unwrap(), [(id, added)]);
    assert!(file.end_silence(id).unwrap() && !file.end_silence(id).unwrap());
}

#[test]
fn reading_a_log_that_does_not_exist_creates_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = AlertLogFile(folder.path().join("alerts.db"));
    assert!(file.alerts(&AlertQuery::of(UnixNanos(0)..UnixNanos(9))).unwrap().is_empty());
    assert!(file.silences(0).unwrap().is_empty() && !file.end_silence(1).unwrap());
    let ann = Acknowledgement::new("ann", 5, "").unwrap();
    assert_eq!(file.acknowledge(&["k".to_owned()], &ann).unwrap(), ["k"]);
    assert!(!file.0.exists());
}

/// A server that does not accept anything until a time.
struct Down {
    now: Arc<AtomicI64>,
    until: i64,
    attempts: Vec<i64>,
    accepted: Vec<String>,
}

impl Notifier for Down {
    fn name(&self) -> &str {
        "c"
    }

    fn send(&mut self, message: &AlertMessage) -> Result<(), NotifyError> {
        let now = self.now.load(Ordering::SeqCst);
        if now < self.until {
            self.attempts.push(now / 1_000);
            return Err(later(None));
        }
        self.accepted.push(message.key.clone());
        Ok(())
    }

    fn check(&mut self) -> Result<(), NotifyError> {
        Ok(())
    }
}

#[test]
fn an_hour_without_the_server_costs_few_attempts_and_no_message() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = SqliteOutbox::open(&folder.path().join("alerts.db"), 1_000).unwrap();
    let now = Arc::new(AtomicI64::new(0));
    let hour = 3_600_000;
    let mut channel = Down { now: Arc::clone(&now), until: hour, attempts: Vec::new(), accepted: Vec::new() };
    let mut expected = Vec::new();
    // An alert every half a minute.
    for second in 0..4_200 {
        now.store(second * 1_000, Ordering::SeqCst);
        if second % 30 == 0 {
            let alert = alert(u32::try_from(second).unwrap());
            outbox.append(&alert, &messages(&alert, &["c"])).unwrap();
            expected.push(alert.key);
        }
        deliver(&mut outbox, &mut channel, &RetryPolicy::default(), &|| now.load(Ordering::SeqCst)).unwrap();
    }
    // 1, 2, 4, ... 256 s, then every five minutes, ±25 %.
    let count = channel.attempts.len();
    assert!((15..=25).contains(&count), "{:?}", channel.attempts);
    assert_eq!(channel.attempts[0], 0);
    assert!(channel.attempts.windows(2).all(|pair| pair[1] - pair[0] <= 376), "{:?}", channel.attempts);
    assert_eq!(channel.accepted, expected, "all, in order, once");
    let counts = outbox.counts().unwrap();
    assert_eq!((counts.pending, counts.dead, counts.repeated), (0, 0, 0));
}

#[test]
fn waits_double_up_to_a_limit_and_are_spread() {
    let policy = RetryPolicy::default();
    for (attempts, seconds) in [(1, 1.0), (2, 2.0), (5, 16.0), (9, 256.0), (10, 300.0), (60, 300.0)] {
        for seed in 0..100 {
            let wait = policy.wait(attempts, seed).as_secs_f64() / seconds;
            assert!((0.75..=1.25).contains(&wait), "{attempts} {seed} {wait}");
        }
    }
    assert_ne!(policy.wait(5, 1), policy.wait(5, 2));
}
