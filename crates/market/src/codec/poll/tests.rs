//! Replies in the vendors' shapes (the reference names where each is documented).

use super::*;
use crate::UnixNanos;
use crate::bar::{Bar, Values};

fn request<'a>(symbol: &'a str, interval: &str) -> PendingRequest<'a> {
    let settled = UnixNanos::parse("2021-08-26T20:00:00Z").unwrap();
    PendingRequest { symbol, feed: "f", interval: interval.parse().unwrap(), settled }
}

/// Start, open, high, low, close, volume, final.
fn shown(reply: &Reply) -> Vec<String> {
    let one = |bar: &Bar| {
        let Values::Trades(values) = &bar.values else { return String::new() };
        let [o, h, l, c] = values.ohlc;
        format!("{} {o} {h} {l} {c} {} {}", bar.start, values.volume, bar.is_final)
    };
    reply.bars.iter().map(one).collect()
}

#[test]
fn replies_become_bars() {
    for (vendor, interval, body, want) in [
        (
            PollVendor::Alpaca,
            "1m",
            r#"{"bars":{"SPY":[{"t":"2021-08-26T19:58:00Z","o":148.3,"h":148.372,"l":148.3,"c":148.31,"v":600,"n":2,"vw":148.35}]},"next_page_token":null}"#,
            "2021-08-26T19:58:00Z 148.3 148.372 148.3 148.31 600 true",
        ),
        (
            PollVendor::Massive,
            "1d",
            r#"{"ticker":"SPY","results":[{"v":642646396.0,"vw":1.469,"o":1.5032,"c":1.4604,"h":1.5064,"l":1.4489,"t":1112331600000,"n":82132}],"status":"OK"}"#,
            "2005-04-01T05:00:00Z 1.5032 1.5064 1.4489 1.4604 642646396 true",
        ),
        (
            PollVendor::AlphaVantage,
            "1m",
            r#"{"Meta Data":{"1. Information":"x","6. Time Zone":"US/Eastern"},"Time Series (1min)":{"2017-12-18 14:56:00":{"1. open":"86.4900","2. high":"86.5200","3. low":"86.4800","4. close":"86.5150","5. volume":"10494"}}}"#,
            "2017-12-18T19:56:00Z 86.49 86.52 86.48 86.515 10494 true",
        ),
        (
            PollVendor::TwelveData,
            "1m",
            r#"{"meta":{"exchange_timezone":"America/New_York"},"values":[{"datetime":"2021-08-26 19:59:00","open":"148.372","high":"148.4","low":"148.3","close":"148.35","volume":"1234"}],"status":"ok"}"#,
            "2021-08-26T19:59:00Z 148.372 148.4 148.3 148.35 1234 true",
        ),
        (
            PollVendor::TwelveData,
            "1m",
            r#"{"meta":{"exchange_timezone":"America/New_York"},"values":[{"datetime":"2021-08-26 20:00:00","open":"1","high":"1","low":"1","close":"1"}],"status":"ok"}"#,
            "2021-08-26T20:00:00Z 1 1 1 1 0 false",
        ),
        (
            PollVendor::Yahoo,
            "1d",
            r#"{"chart":{"result":[{"meta":{"exchangeTimezoneName":"America/New_York"},"timestamp":[1629898200,1629984600],"indicators":{"quote":[{"open":[null,172.52000427246094],"high":[null,173.0],"low":[null,172.1199951171875],"close":[null,172.5],"volume":[null,5]}]}}],"error":null}}"#,
            "2021-08-26T04:00:00Z 172.52 173 172.12 172.5 5 false",
        ),
    ] {
        let reply = read(vendor, body, &request("SPY", interval)).unwrap();
        assert_eq!((shown(&reply), &reply.wrong), (vec![want.to_owned()], &Vec::new()), "{vendor:?}");
    }
}

#[test]
fn refusals_say_whether_waiting_helps() {
    let later = |text: &str| Refused::Later(text.to_owned());
    let never = |text: &str| Refused::Never(text.to_owned());
    let symbol = |text: &str| Refused::Symbol(text.to_owned());
    const FULL: &str = "The outputsize=full parameter value is a premium feature for this endpoint. You may subscribe to any of the premium plans";
    const LIMIT: &str = "We have detected your API key as KEY and our standard API rate limit is 25 requests per day. Please subscribe to any of the premium plans";
    let (full, limit) = (format!(r#"{{"Information":"{FULL}"}}"#), format!(r#"{{"Information":"{LIMIT}"}}"#));
    for (vendor, body, want) in [
        (PollVendor::AlphaVantage, full.as_str(), never(FULL)),
        (PollVendor::AlphaVantage, limit.as_str(), later(LIMIT)),
        (
            PollVendor::AlphaVantage,
            r#"{"Error Message":"the parameter apikey is invalid or missing."}"#,
            never("the parameter apikey is invalid or missing."),
        ),
        (PollVendor::Yahoo, "<html>busy</html>", later("a page of HTML instead of JSON: <html>busy</html>")),
        (PollVendor::TwelveData, r#"{"code":404,"message":"symbol","status":"error"}"#, symbol("404 symbol")),
        (PollVendor::TwelveData, r#"{"code":500,"message":"oops","status":"error"}"#, later("500 oops")),
        (
            PollVendor::Yahoo,
            r#"{"chart":{"result":null,"error":{"code":"Unprocessable Entity","description":"1m data not available for startTime=1"}}}"#,
            never("Unprocessable Entity: 1m data not available for startTime=1"),
        ),
        (PollVendor::AlphaVantage, r#"{"Note":"5 calls per minute"}"#, later("5 calls per minute")),
        (PollVendor::AlphaVantage, r#"{"Information":"25 requests per day"}"#, later("25 requests per day")),
        (
            PollVendor::AlphaVantage,
            r#"{"Information":"This is a premium endpoint."}"#,
            never("This is a premium endpoint."),
        ),
        (PollVendor::AlphaVantage, r#"{"Error Message":"Invalid API call"}"#, symbol("Invalid API call")),
        (
            PollVendor::TwelveData,
            r#"{"code":429,"message":"out of credits","status":"error"}"#,
            later("429 out of credits"),
        ),
        (PollVendor::TwelveData, r#"{"code":401,"message":"key","status":"error"}"#, never("401 key")),
        (
            PollVendor::Massive,
            r#"{"status":"ERROR","error":"exceeded the maximum requests per minute"}"#,
            later("exceeded the maximum requests per minute"),
        ),
        (PollVendor::Massive, r#"{"status":"NOT_AUTHORIZED","message":"plan"}"#, never("plan")),
        (PollVendor::Alpaca, r#"{"message":"forbidden."}"#, never("forbidden.")),
        (
            PollVendor::Yahoo,
            r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"delisted"}}}"#,
            symbol("Not Found: delisted"),
        ),
    ] {
        assert_eq!(read(vendor, body, &request("SPY", "1m")), Err(want));
    }
    for vendor in [
        PollVendor::Alpaca,
        PollVendor::Massive,
        PollVendor::AlphaVantage,
        PollVendor::TwelveData,
        PollVendor::Yahoo,
    ] {
        for body in ["", "[]", "{}", "7", "null", "\"x\""] {
            assert!(
                matches!(read(vendor, body, &request("SPY", "1m")), Err(Refused::Unreadable(_))),
                "{vendor:?} {body}"
            );
        }
    }
}

#[test]
fn a_row_that_is_no_bar_is_named_and_the_others_are_kept() {
    let body = r#"{"bars":{"SPY":[{"t":"x","o":1,"h":1,"l":1,"c":1,"v":1},{"t":"2021-08-26T19:58:00Z","o":3,"h":2,"l":1,"c":1,"v":1},{"t":"2021-08-26T19:59:00Z","o":1,"h":1e-7,"l":1,"c":1,"v":1},null,{"t":"2021-08-26T19:59:00Z","o":1e-7,"h":2,"l":0.0000001,"c":1,"v":0.5}]}}"#;
    let reply = read(PollVendor::Alpaca, body, &request("SPY", "1m")).unwrap();
    assert_eq!(shown(&reply), ["2021-08-26T19:59:00Z 0.0000001 2 0.0000001 1 0.5 true"]);
    assert_eq!(reply.wrong.len(), 3);
    assert!(
        reply.wrong[0].0.starts_with("`t`") && reply.wrong[0].1.contains("\"t\":\"x\""),
        "{:?}",
        reply.wrong
    );
    assert!(reply.wrong[1].0.contains("open 3 high 2"), "{:?}", reply.wrong);
}

#[test]
fn what_a_vendor_may_send_beside_bars_is_no_error() {
    // No data for a weekend; nulls; a price of a coin.
    let none = r#"{"code":400,"message":"No data is available on the specified dates. Try setting different start/end dates.","status":"error"}"#;
    assert_eq!(read(PollVendor::TwelveData, none, &request("SPY", "1m")), Ok(Reply::default()));
    for body in
        [r#"{"bars":{"SPY":null},"next_page_token":null}"#, r#"{"bars":{"SPY":[null]}}"#, r#"{"bars":null}"#]
    {
        assert_eq!(read(PollVendor::Alpaca, body, &request("SPY", "1m")), Ok(Reply::default()), "{body}");
    }
    let body = r#"{"bars":{"SPY":[{"t":"2021-08-26T19:58:00Z","o":1,"h":1,"l":1,"c":1,"v":1,"vw":null}]}}"#;
    assert_eq!(
        shown(&read(PollVendor::Alpaca, body, &request("SPY", "1m")).unwrap()),
        ["2021-08-26T19:58:00Z 1 1 1 1 1 true"]
    );
    let body = r#"{"chart":{"result":[{"meta":{},"timestamp":[1629993540,1629993600],"indicators":{"quote":[{"open":[8.2345675e-06,0.0045671],"high":[8.2345675e-06,0.0045671],"low":[8.2345675e-06,0.0045671],"close":[8.2345675e-06,0.0045671],"volume":[1,1]}]}}],"error":null}}"#;
    assert_eq!(
        shown(&read(PollVendor::Yahoo, body, &request("SHIB-USD", "1m")).unwrap()),
        [
            "2021-08-26T15:59:00Z 0.0000082345675 0.0000082345675 0.0000082345675 0.0000082345675 1 true",
            "2021-08-26T16:00:00Z 0.0045671 0.0045671 0.0045671 0.0045671 1 true"
        ]
    );
}

#[test]
fn a_live_row_updates_the_bar_it_belongs_to() {
    let body = r#"{"chart":{"result":[{"meta":{},"timestamp":[1629986400,1629986460,1629986497],"indicators":{"quote":[{"open":[1,2,2.5],"high":[1,2,2.5],"low":[1,2,2.5],"close":[1,2,2.5],"volume":[5,6,0]}]}}],"error":null}}"#;
    assert_eq!(
        shown(&read(PollVendor::Yahoo, body, &request("SPY", "1m")).unwrap()),
        ["2021-08-26T14:00:00Z 1 1 1 1 5 true", "2021-08-26T14:01:00Z 2 2.5 2 2.5 6 true"]
    );
}

fn yahoo(times: &str, closes: &[f64]) -> String {
    let list = format!("{closes:?}");
    let volume: Vec<u32> = (1..=closes.len() as u32).collect();
    format!(
        r#"{{"chart":{{"result":[{{"meta":{{"exchangeTimezoneName":"America/New_York"}},"timestamp":{times},"indicators":{{"quote":[{{"open":{list},"high":{list},"low":{list},"close":{list},"volume":{volume:?}}}]}}}}],"error":null}}}}"#
    )
}

#[test]
fn a_live_row_of_a_longer_bar_updates_it_or_begins_the_next() {
    // 14:00 and 14:05, and live rows at 14:07:37 and 14:12:10: of the second bar, and of one without a row yet.
    let body = yahoo("[1629986400,1629986700,1629986857]", &[1.0, 2.0, 2.5]);
    assert_eq!(
        shown(&read(PollVendor::Yahoo, &body, &request("SPY", "5m")).unwrap()),
        ["2021-08-26T14:00:00Z 1 1 1 1 1 true", "2021-08-26T14:05:00Z 2 2.5 2 2.5 3 true"]
    );
    let body = yahoo("[1629986400,1629986700,1629987130]", &[1.0, 2.0, 2.5]);
    assert_eq!(
        shown(&read(PollVendor::Yahoo, &body, &request("SPY", "5m")).unwrap()),
        [
            "2021-08-26T14:00:00Z 1 1 1 1 1 true",
            "2021-08-26T14:05:00Z 2 2 2 2 2 true",
            "2021-08-26T14:10:00Z 2.5 2.5 2.5 2.5 3 true"
        ]
    );
    // Today has a row already: the live one is the same day's.
    let body = yahoo("[1629898200,1629984600,1629993600]", &[1.0, 2.0, 2.5]);
    assert_eq!(
        shown(&read(PollVendor::Yahoo, &body, &request("SPY", "1d")).unwrap()),
        ["2021-08-25T04:00:00Z 1 1 1 1 1 true", "2021-08-26T04:00:00Z 2 2.5 2 2.5 3 false"]
    );
}

#[test]
fn hours_before_within_and_after_the_session_stay_apart() {
    // 08:00, 09:00, 09:30, 10:30, 15:30, 16:00 in New York: before the opening and at the close, half an hour apart.
    let body = yahoo(
        "[1629979200,1629982800,1629984600,1629988200,1630006200,1630008000]",
        &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    );
    let starts: Vec<String> = shown(&read(PollVendor::Yahoo, &body, &request("SPY", "1h")).unwrap())
        .iter()
        .map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        starts,
        [
            "2021-08-26T12:00:00Z 1 1",
            "2021-08-26T13:00:00Z 2 2",
            "2021-08-26T13:30:00Z 3 3",
            "2021-08-26T14:30:00Z 4 4",
            "2021-08-26T19:30:00Z 5 5",
            "2021-08-26T20:00:00Z 6 6"
        ]
    );
    // In Mumbai the session begins at 09:15.
    let body = yahoo("[1629949500,1629953100,1629956700]", &[1.0, 2.0, 3.0]);
    let reply = read(PollVendor::Yahoo, &body, &request("TCS.NS", "1h")).unwrap();
    assert_eq!(
        reply.bars.iter().map(|bar| bar.start.0 / 1_000_000_000).collect::<Vec<_>>(),
        [1_629_949_500, 1_629_953_100, 1_629_956_700]
    );
}

#[test]
fn indices_have_bars_without_volume() {
    // As the vendor documents `/v2/aggs/ticker/I:NDX`.
    let body = r#"{"count":1,"results":[{"c":11995.88235998666,"h":12340.44936267155,"l":11970.34221717375,"o":12230.83658266843,"t":1678341600000}],"status":"OK","ticker":"I:NDX"}"#;
    assert_eq!(
        shown(&read(PollVendor::Massive, body, &request("I:NDX", "1d")).unwrap()),
        [
            "2023-03-09T06:00:00Z 12230.83658266843 12340.44936267155 11970.34221717375 11995.88235998666 0 false"
        ]
    );
    // A stock must have one.
    let reply = read(PollVendor::Massive, body, &request("NDX", "1d")).unwrap();
    assert_eq!((reply.bars.len(), reply.wrong[0].0.as_str()), (0, "no `v`"));
}

/// Consecutive minutes of 2017-12-18 as Alpha Vantage replied to its own client's tests, newest first.
#[test]
fn alpha_vantages_minutes_are_kept_digit_by_digit() {
    let rows = [
        ("14:56", "86.4900 86.5000 86.4750 86.5000 10494"),
        ("14:55", "86.4900 86.5000 86.4801 86.5000 12682"),
    ];
    let list: Vec<String> = rows
        .iter()
        .map(|(time, row)| {
            let v: Vec<&str> = row.split(' ').collect();
            format!(
                r#""2017-12-18 {time}:00":{{"1. open":"{}","2. high":"{}","3. low":"{}","4. close":"{}","5. volume":"{}"}}"#,
                v[0], v[1], v[2], v[3], v[4]
            )
        })
        .collect();
    let body = format!(
        r#"{{"Meta Data":{{"1. Information":"Intraday (1min) prices and volumes","2. Symbol":"MSFT","6. Time Zone":"US/Eastern"}},"Time Series (1min)":{{{}}}}}"#,
        list.join(",")
    );
    let reply = read(PollVendor::AlphaVantage, &body, &request("MSFT", "1m")).unwrap();
    let mut found = shown(&reply);
    found.sort();
    assert_eq!(
        found,
        [
            "2017-12-18T19:55:00Z 86.49 86.5 86.4801 86.5 12682 true",
            "2017-12-18T19:56:00Z 86.49 86.5 86.475 86.5 10494 true"
        ]
    );
}

#[test]
fn a_reply_says_whether_there_is_more() {
    let more = |vendor, body: &str| read(vendor, body, &request("SPY", "1m")).unwrap().next;
    assert_eq!(
        more(PollVendor::Alpaca, r#"{"bars":{},"next_page_token":"abc"}"#),
        Some(NextPage::Token("abc".to_owned()))
    );
    assert_eq!(more(PollVendor::Alpaca, r#"{"bars":{},"next_page_token":null}"#), None);
    assert_eq!(
        more(PollVendor::Massive, r#"{"status":"OK","next_url":"https://api.massive.com/v2/aggs?cursor=x"}"#),
        Some(NextPage::Url("https://api.massive.com/v2/aggs?cursor=x".to_owned()))
    );
    assert_eq!(more(PollVendor::Massive, r#"{"status":"OK"}"#), None);
}
