//! Replies of vendors' servers, and the results (`V` and `S` number inputs that once failed).

use super::*;
use crate::fake::{FakeHttp, Scripted, ok};
use market::codec::poll::PollVendor;
use market::interval::Interval;
use ports::secret::Secret;

fn settings(vendor: PollVendor, url: &str, symbols: &[&str]) -> PollSettings {
    let minute = |text: &str| UnixNanos::parse(text).unwrap();
    PollSettings {
        connect_within: None,
        vendor,
        name: "vendor",
        rest: url.to_owned(),
        key: Secret::from("KEY-OF-TEST".to_owned()),
        secret: Secret::from("SECRET-OF-TEST".to_owned()),
        feed: "vendor.bars".to_owned(),
        symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
        interval: Interval::M1,
        every: Duration::from_secs(60),
        from: Some(minute("2025-06-10T14:00:00Z")),
        to: Some(minute("2025-06-10T15:00:00Z")),
        once: true,
        per_minute: 1_000,
        per_day: 0,
    }
}

/// Bars emitted until the end, or the error.
fn polled(settings: PollSettings) -> std::result::Result<Vec<Bar>, String> {
    let (mut poll, mut bars, stop) = (PolledSource::new(settings), Vec::new(), CancelToken::default());
    loop {
        let more = poll.next(&stop, &mut |event| {
            if let Event::Bar(bar) = event {
                bars.push(bar.clone());
            }
            Ok(())
        });
        match more {
            Ok(true) => {}
            Ok(false) => return Ok(bars),
            Err(error) => return Err(format!("{error:?} {error}")),
        }
    }
}

fn alpaca(minute: u32, next: &str) -> Scripted {
    ok(&format!(
        r#"{{"bars":{{"SPY":[{{"t":"2025-06-10T14:{minute:02}:00Z","o":1,"h":1,"l":1,"c":1,"v":1}}]}},"next_page_token":{next}}}"#
    ))
}

#[test]
fn v2_pages_are_followed_to_the_end() {
    let server = FakeHttp::new(vec![alpaca(1, "\"two\""), alpaca(2, "\"three\""), alpaca(3, "null")]);
    assert_eq!(polled(settings(PollVendor::Alpaca, &server.url, &["SPY"])).unwrap().len(), 3);
    let lines = server.lines();
    assert_eq!(lines.len(), 3);
    assert!(!lines[0].contains("page_token") && lines[1].contains("page_token=two"), "{lines:?}");
    assert!(lines[2].contains("page_token=three"), "{lines:?}");

    let page = |ms: u64, next: &str| {
        ok(&format!(r#"{{"status":"OK","results":[{{"t":{ms},"o":1,"h":1,"l":1,"c":1,"v":1}}]{next}}}"#))
    };
    let next = r#","next_url":"https://api.massive.example/v2/aggs/more?cursor=abc""#;
    let server = FakeHttp::new(vec![page(1_749_564_060_000, next), page(1_749_564_120_000, "")]);
    assert_eq!(polled(settings(PollVendor::Massive, &server.url, &["M&M NS"])).unwrap().len(), 2);
    let lines = server.lines();
    assert!(lines[0].contains("/v2/aggs/ticker/M%26M%20NS/range/1/minute/"), "{lines:?}");
    // The key goes to the host in the settings.
    assert!(lines[1].starts_with("GET /v2/aggs/more?cursor=abc "), "{lines:?}");
}

#[test]
fn v5_no_data_is_no_error() {
    let none = r#"{"code":400,"message":"No data is available on the specified dates. Try setting different start/end dates.","status":"error"}"#;
    let server = FakeHttp::new(vec![ok(none)]);
    assert_eq!(polled(settings(PollVendor::TwelveData, &server.url, &["EUR/USD"])).unwrap().len(), 0);
    assert!(server.lines()[0].contains("timezone=UTC"));
}

#[test]
fn v6_a_page_of_html_is_tried_again() {
    let server =
        FakeHttp::new(vec![ok("<html>busy</html>"), (502, String::new(), String::new()), alpaca(1, "null")]);
    assert_eq!(polled(settings(PollVendor::Alpaca, &server.url, &["SPY"])).unwrap().len(), 1);
    assert_eq!(server.lines().len(), 3);
}

/// A bar is final 15 minutes after its end: until then the vendor may change it, also after the next one has begun.
#[test]
fn bars_are_requested_again_until_they_are_final() {
    let minute = 60 * SECOND;
    let now = clock::now().0;
    let start = |ago: i64| UnixNanos(now - now.rem_euclid(minute) - ago * minute).to_string();
    let reply = |volume: u32| {
        let bar = |ago, volume| format!(r#"{{"t":"{}","o":1,"h":1,"l":1,"c":1,"v":{volume}}}"#, start(ago));
        ok(&format!(r#"{{"bars":{{"SPY":[{},{}]}}}}"#, bar(3, volume), bar(2, 7)))
    };
    let server = FakeHttp::new(vec![reply(1), reply(5)]);
    let mut settings = settings(PollVendor::Alpaca, &server.url, &["SPY"]);
    (settings.from, settings.to, settings.once) = (None, None, false);
    settings.every = Duration::from_millis(1);
    let (mut poll, mut bars) = (PolledSource::new(settings), Vec::new());
    while bars.len() < 3 {
        poll.next(&CancelToken::default(), &mut |event| {
            if let Event::Bar(bar) = event {
                bars.push((bar.start.to_string(), bar.revision));
            }
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(bars, [(start(3), 0), (start(2), 0), (start(3), 1)]);
}

/// One cut reply, or a proxy's plain text, does not end a run of days; a server that never replies with JSON does.
#[test]
fn an_unreadable_reply_is_requested_again_a_few_times() {
    let script = vec![ok("upstream connect error"), ok(r#"{"bars":{"SPY":[{"#), alpaca(1, "null")];
    let server = FakeHttp::new(script);
    assert_eq!(polled(settings(PollVendor::Alpaca, &server.url, &["SPY"])).unwrap().len(), 1);
    assert_eq!(server.lines().len(), 3);
    let server = FakeHttp::new(vec![ok("no such service: KEY-OF-TEST")]);
    let error = polled(settings(PollVendor::Alpaca, &server.url, &["SPY"])).unwrap_err();
    assert!(error.contains("unreadable reply") && !error.contains("KEY-OF-TEST"), "{error}");
    assert_eq!(server.lines().len(), 4);
}

#[test]
fn a_page_that_leads_to_itself_is_an_error() {
    let server = FakeHttp::new(vec![alpaca(1, "\"two\"")]);
    let error = polled(settings(PollVendor::Alpaca, &server.url, &["SPY"])).unwrap_err();
    assert!(error.contains("this page again"), "{error}");
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn v7_one_unknown_symbol_does_not_end_the_others() {
    let gone = r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found, symbol may be delisted"}}}"#;
    let good = r#"{"chart":{"result":[{"meta":{},"timestamp":[1749564060],"indicators":{"quote":[{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[1]}]}}],"error":null}}"#;
    for script in [
        vec![(404, String::new(), gone.to_owned()), ok(good)],
        vec![(404, String::new(), "not here".to_owned()), ok(good)],
    ] {
        let server = FakeHttp::new(script);
        let bars = polled(settings(PollVendor::Yahoo, &server.url, &["GONE", "SPY"])).unwrap();
        assert_eq!((bars.len(), bars[0].symbol.as_str()), (1, "SPY"));
    }
    let server = FakeHttp::new(vec![(404, String::new(), gone.to_owned())]);
    let error = polled(settings(PollVendor::Yahoo, &server.url, &["GONE"])).unwrap_err();
    assert!(error.contains("symbol may be delisted"), "{error}");
}

#[test]
fn v8_a_422_ends_with_the_vendors_words() {
    let body = r#"{"chart":{"result":null,"error":{"code":"Unprocessable Entity","description":"1m data not available for startTime=1"}}}"#;
    let server = FakeHttp::new(vec![(422, String::new(), body.to_owned())]);
    let error = polled(settings(PollVendor::Yahoo, &server.url, &["SPY"])).unwrap_err();
    assert!(error.contains("1m data not available for startTime=1"), "{error}");
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn v1_v4_a_refusal_is_final_costs_one_request_and_never_shows_the_key() {
    let body =
        r#"{"Information":"Your API key KEY-OF-TEST: outputsize=full is a premium feature. \u001b[2J"}"#;
    let server = FakeHttp::new(vec![ok(body)]);
    let error = polled(settings(PollVendor::AlphaVantage, &server.url, &["SPY"])).unwrap_err();
    assert!(error.contains("is a premium feature") && error.contains("***"), "{error}");
    assert!(!error.contains("KEY-OF-TEST") && !error.contains('\u{1b}'), "{error}");
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn s2_a_redirect_to_another_host_gets_no_key() {
    let thief = FakeHttp::new(vec![alpaca(1, "null")]);
    let away = (302, format!("Location: {}/v2/stocks/bars\r\n", thief.url), String::new());
    let server = FakeHttp::new(vec![away, alpaca(1, "null")]);
    assert_eq!(polled(settings(PollVendor::Alpaca, &server.url, &["SPY"])).unwrap().len(), 1);
    assert_eq!(thief.lines(), Vec::<String>::new());
    // Within the host it is followed, with the key.
    let within = (302, "Location: /v3/bars?moved=1\r\n".to_owned(), String::new());
    let server = FakeHttp::new(vec![within, alpaca(1, "null")]);
    assert_eq!(polled(settings(PollVendor::Alpaca, &server.url, &["SPY"])).unwrap().len(), 1);
    let requests: Vec<String> = server.requests.try_iter().collect();
    assert!(requests[1].starts_with("GET /v3/bars?moved=1 "), "{requests:?}");
    assert!(requests[1].to_ascii_lowercase().contains("apca-api-key-id: key-of-test"), "{requests:?}");
}
