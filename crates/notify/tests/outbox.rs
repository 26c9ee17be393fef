//! The outbox: nothing is lost, and nothing is sent twice unless a crash hides the outcome of an attempt.
#![allow(clippy::unwrap_used, reason = "tests")]

use market::alert::{Alert, Severity};
use notify::outbox::{OutboxCounts, OutboxStore, RetryPolicy, SqliteOutbox, deliver};
use notify::{AlertMessage, Notifier, NotifyError};
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
    let mut outbox = SqliteOutbox::open(&path, 2).unwrap();
    assert_eq!(outbox.state("offsets").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(outbox.history(0, 1).unwrap(), [alert(0)]);
    assert_eq!(outbox.history(0, 10).unwrap().len(), 2);
    let id = outbox.silence("r", "*", 100, "maintenance").unwrap();
    assert_eq!((outbox.silences(99).unwrap().len(), outbox.silences(100).unwrap().len()), (1, 0));
    let silence = &outbox.silences(0).unwrap()[0];
    assert!(silence.covers("r", "any") && !silence.covers("other", "any"));
    assert!(outbox.unsilence(id).unwrap() && !outbox.unsilence(id).unwrap());
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
