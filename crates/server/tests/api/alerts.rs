//! Alerts: listed, acknowledged, silenced.

use crate::harness::{Fixture, Reply};
use notify::alert_log::SqliteAlertLog;

#[test]
fn alerts_are_listed_newest_first_and_filtered() {
    let fixture = Fixture::new();
    let symbols = |path: &str| -> Vec<String> {
        let rows = fixture.get(path).rows();
        rows.iter().map(|row| row["symbol"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(symbols("/api/v1/alerts"), ["IBM", "SPY"]);
    assert_eq!(symbols("/api/v1/alerts?limit=1"), ["IBM"]);
    assert_eq!(symbols("/api/v1/alerts?symbol=SPY"), ["SPY"]);
    assert_eq!(symbols("/api/v1/alerts?to=2013-10-08T13:30:01Z"), ["SPY"]);
    assert!(symbols("/api/v1/alerts?rule=other").is_empty());
    let row = &fixture.get("/api/v1/alerts?symbol=SPY&tz=America/New_York").rows()[0];
    assert!(row["time"].as_str().unwrap().starts_with("2013-10-08T09:30:00"), "{row}");
    assert_eq!((&row["severity"], &row["value"]), (&"warning".into(), &0.31.into()));
    assert_eq!(fixture.get("/api/v1/alerts?from=yesterday").status, 400);
}

fn request(fixture: &Fixture, method: &str, path: &str, headers: &str) -> Reply {
    fixture
        .send(&format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n{headers}\r\n"))
}

#[test]
fn an_acknowledgement_is_shown_with_name_and_time_and_outlives_the_server() {
    let mut fixture = Fixture::new();
    let path = "/api/v1/alerts/acknowledge?key=key-SPY&by=ann&note=on%20it";
    let reply = request(&fixture, "POST", path, "");
    assert_eq!((reply.status, &reply.json()["acknowledged"]), (200, &1.into()), "{}", reply.text());
    // The first acknowledgement stays.
    assert_eq!(
        request(&fixture, "POST", "/api/v1/alerts/acknowledge?key=key-SPY,key-IBM&by=bob", "").status,
        200
    );
    let shown = |fixture: &Fixture, symbol: &str| {
        let row = fixture.get(&format!("/api/v1/alerts?symbol={symbol}")).rows().remove(0);
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("acknowledged_by"), text("acknowledged_note"), text("acknowledged_at"))
    };
    let (by, note, at) = shown(&fixture, "SPY");
    assert_eq!((by.as_str(), note.as_str()), ("ann", "on it"));
    assert!(market::UnixNanos::parse(&at).unwrap().0 > crate::harness::OPEN, "{at}");
    assert_eq!(shown(&fixture, "IBM").0, "bob");
    fixture.restart();
    assert_eq!(shown(&fixture, "SPY"), (by, note, at));
    let csv = fixture.get("/api/v1/alerts?format=csv").text();
    assert!(csv.contains("acknowledged_by,acknowledged_at,acknowledged_note,key\n"), "{csv}");
}

#[test]
fn a_silence_is_that_of_the_command_line_and_ends_on_request() {
    let fixture = Fixture::new();
    let list = || fixture.get("/api/v1/alerts/silences").rows();
    assert!(list().is_empty());
    let path = "/api/v1/alerts/silences?rule=move&for=2h&reason=maintenance&by=ann";
    let reply = request(&fixture, "POST", path, "");
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["id"].as_i64().unwrap();
    let row = &list()[0];
    let texts = ["rule", "symbol", "reason", "by"].map(|name| row[name].as_str().unwrap().to_owned());
    assert_eq!(texts, ["move", "*", "maintenance", "ann"]);
    assert_eq!(row["until"], reply.json()["until"]);
    // The log that evaluation and `tapeline alert silence` open.
    let mut log = SqliteAlertLog::open(&fixture.alerts()).unwrap();
    let known = log.silences(ports::clock::now().millis()).unwrap();
    assert!(known.len() == 1 && known[0].0 == id && known[0].1.covers("move", "SPY"), "{known:?}");
    let other =
        log.silence(&ports::alert_log::Silence::new("*", "IBM", i64::MAX, "", "cli").unwrap()).unwrap();
    assert_eq!(list().len(), 2);
    for id in [id, other] {
        let path = format!("/api/v1/alerts/silences/{id}");
        assert_eq!(request(&fixture, "DELETE", &path, "").status, 204);
        assert_eq!(request(&fixture, "DELETE", &path, "").status, 404);
    }
    assert!(list().is_empty() && log.silences(0).unwrap().is_empty());
}

#[test]
fn what_changes_alerts_is_guarded_and_checked() {
    const BEARER: &str = "Authorization: Bearer token-of-test\r\n";
    // User `ann` and the token.
    const BASIC: &str = "Authorization: Basic YW5uOnRva2VuLW9mLXRlc3Q=\r\n";
    let fixture = Fixture::with(|settings| "token-of-test".clone_into(&mut settings.token), None);
    let elsewhere = format!("{BEARER}Origin: http://elsewhere.test\r\n");
    let (acknowledge, silences) = ("/api/v1/alerts/acknowledge", "/api/v1/alerts/silences");
    let long = format!("{acknowledge}?key=key-SPY&by={}", "x".repeat(65));
    let many = format!("{acknowledge}?key={}", vec!["k"; 51].join(","));
    for (method, path, headers, status, part) in [
        ("POST", &*format!("{acknowledge}?key=key-SPY"), "", 401, "token is required"),
        ("POST", &format!("{acknowledge}?key=key-SPY"), &*elsewhere, 403, "another site"),
        ("GET", &format!("{acknowledge}?key=key-SPY"), BEARER, 405, "does not support"),
        ("POST", &format!("{acknowledge}?key=key-XYZ"), BEARER, 404, "no alert has the key key-XYZ"),
        ("POST", &format!("{acknowledge}?key=key-SPY,key-XYZ"), BEARER, 404, "none was acknowledged"),
        ("POST", &format!("{acknowledge}?key="), BEARER, 400, "key: expected 1 to 50 keys"),
        ("POST", &many, BEARER, 400, "found 51"),
        ("POST", acknowledge, BEARER, 400, "key"),
        ("POST", &long, BEARER, 400, "by: expected 1 to 64 characters, found 65"),
        ("POST", &format!("{acknowledge}?key=key-SPY&by=a%0Ab"), BEARER, 400, "control character"),
        ("POST", &format!("{silences}?rule=move&for=1h"), "", 401, "token is required"),
        ("POST", &format!("{silences}?rule=move&for=1h"), &elsewhere, 403, "another site"),
        ("POST", &format!("{silences}?for=1h"), BEARER, 400, "found neither"),
        ("POST", &format!("{silences}?rule=move&for=soon"), BEARER, 400, "for: "),
        ("POST", &format!("{silences}?rule=move&for=900d"), BEARER, 400, "up to 366 days"),
        ("POST", &format!("{silences}?rule=&for=1h"), BEARER, 400, "rule: expected 1"),
        ("DELETE", &format!("{silences}/1"), "", 401, "token is required"),
        ("DELETE", &format!("{silences}/1"), &elsewhere, 403, "another site"),
        ("DELETE", &format!("{silences}/x"), BEARER, 404, "no silence x"),
    ] {
        let reply = request(&fixture, method, path, headers);
        let text = reply.text();
        assert!(reply.status == status && text.contains(part), "{method} {path}: {} {text}", reply.status);
    }
    let rows = fixture.get_with("/api/v1/alerts", BEARER).rows();
    assert!(rows.iter().all(|row| row.get("acknowledged_by").is_none()), "{rows:?}");
    // The name of the password prompt, if the request states none.
    assert_eq!(request(&fixture, "POST", &format!("{acknowledge}?key=key-SPY"), BASIC).status, 200);
    let row = fixture.get_with("/api/v1/alerts?symbol=SPY", BEARER).rows().remove(0);
    assert_eq!(row["acknowledged_by"], "ann");
}

fn with_body(fixture: &Fixture, path: &str, headers: &str, body: &str) -> Reply {
    fixture.send(&format!(
        "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    ))
}

const RULE: &str = r#"{"name":"crash/SPY","kind":"percent_move","symbols":["SPY"],"window":"60s","threshold":1.5,"direction":"down","channels":["mail"]}"#;

#[test]
fn rules_are_added_replaced_and_removed_and_outlive_the_server() {
    let mut fixture = Fixture::new();
    let list = |fixture: &Fixture| fixture.get("/api/v1/alerts/rules").rows();
    let names = |fixture: &Fixture| -> Vec<String> {
        list(fixture).iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&fixture), ["move"]);
    assert_eq!(list(&fixture)[0]["editable"], false);
    let reply = with_body(&fixture, "/api/v1/alerts/rules?by=ann", "", RULE);
    assert_eq!((reply.status, &reply.json()["name"]), (201, &"crash/SPY".into()), "{}", reply.text());
    let other = RULE.replace("1.5", "2");
    assert_eq!(with_body(&fixture, "/api/v1/alerts/rules?by=bob", "", &other).status, 201);
    fixture.restart();
    assert_eq!(names(&fixture), ["move", "crash/SPY"]);
    let row = &list(&fixture)[1];
    let texts = ["kind", "symbols", "severity", "parameters", "channels", "by"]
        .map(|name| row[name].as_str().unwrap().to_owned());
    let parameters = "down, threshold 2, window 1m";
    assert_eq!(texts[..5], ["percent_move", "SPY", "warning", parameters, "mail"].map(str::to_owned));
    assert_eq!(
        (texts[5].as_str(), &row["rule"]["threshold"], &row["editable"]),
        ("bob", &2.0.into(), &true.into())
    );
    // What evaluation and the command line read.
    let saved = SqliteAlertLog::open(&fixture.alerts()).unwrap().rules().unwrap();
    assert!(saved.len() == 1 && saved[0].rule.name == "crash/SPY" && saved[0].by == "bob", "{saved:?}");
    let path = "/api/v1/alerts/rules/crash%2FSPY";
    assert_eq!(request(&fixture, "DELETE", path, "").status, 204);
    assert_eq!(request(&fixture, "DELETE", path, "").status, 404);
    assert_eq!(names(&fixture), ["move"]);
}

#[test]
fn what_changes_rules_is_guarded_and_checked() {
    const BEARER: &str = "Authorization: Bearer token-of-test\r\n";
    let fixture = Fixture::with(|settings| "token-of-test".clone_into(&mut settings.token), None);
    let elsewhere = format!("{BEARER}Origin: http://elsewhere.test\r\n");
    let path = "/api/v1/alerts/rules";
    let long = RULE.replace("SPY\"]", &format!("{}\"]", "S".repeat(5_000)));
    for (headers, body, status, part) in [
        ("", RULE, 401, "token is required"),
        (&*elsewhere, RULE, 403, "another site"),
        (BEARER, "", 400, "the body is not an alert rule"),
        (BEARER, r#"{"name":"x","kind":"pager"}"#, 400, "unknown variant `pager`"),
        (BEARER, &RULE.replace("window", "windov"), 400, "unknown field `windov`"),
        (BEARER, r#"{"name":"x","kind":"percent_move"}"#, 400, "percent_move needs `window`"),
        (BEARER, &RULE.replace("crash/SPY", "move"), 409, "is part of the configuration"),
        (BEARER, &RULE.replace("crash/SPY", &"x".repeat(65)), 400, "name: expected 1 to 64 characters"),
        (BEARER, &RULE.replace("crash/SPY", "a\\r\\nBcc: b"), 400, "control characters"),
        (BEARER, &RULE.replace("mail", "pager"), 400, "unknown channel `pager`; known: mail"),
        (BEARER, &long, 413, ""),
    ] {
        let reply = with_body(&fixture, path, headers, body);
        let text = reply.text();
        assert!(reply.status == status && text.contains(part), "{part}: {} {text}", reply.status);
    }
    for (name, headers, status) in
        [("x", "", 401), ("x", &*elsewhere, 403), ("move", BEARER, 409), ("x", BEARER, 404)]
    {
        assert_eq!(request(&fixture, "DELETE", &format!("{path}/{name}"), headers).status, status, "{name}");
    }
    let locked = Fixture::with(|settings| settings.alerts.is_editable = false, None);
    let reply = with_body(&locked, path, "", RULE);
    assert!(reply.status == 403 && reply.text().contains("set `alert.editable"), "{}", reply.text());
}
