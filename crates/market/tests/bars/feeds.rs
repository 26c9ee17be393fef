//! How a feed's vocabulary, calendar and policy turn its trades into bars.

use super::*;

/// Bars of trades of one feed under the policy `sip`, by interval.
fn of_feed(trades: &[Trade<String>], calendar: Calendar) -> (Vec<Bar>, Aggregator) {
    let mut aggregator = Aggregator::new(in_calendar("sip", calendar));
    for trade in trades {
        aggregator.add(&record(trade), StreamPosition::default());
    }
    let mut out = Vec::new();
    aggregator.finish(&mut |bar| out.push(bar));
    (out, aggregator)
}

fn shown(bars: &[Bar], interval: &str) -> Vec<String> {
    let of = bars.iter().filter(|bar| bar.interval.to_string() == interval);
    of.filter_map(|bar| match &bar.values {
        Values::Trades(values) => Some(values.ohlc.map(|price| price.to_string()).join("/")),
        _ => None,
    })
    .collect()
}

#[test]
fn feeds_without_conditions_make_bars_of_every_trade() {
    for (feed, conditions) in
        [("kraken", r#"["buy","limit"]"#), ("coinbase", r#"["SELL"]"#), ("binance", r#"["m"]"#)]
    {
        let trade = |(id, price): (u32, i64)| Trade {
            feed: feed.into(),
            // As stored by earlier versions: the side among the conditions.
            conditions: if id % 2 == 0 { conditions.into() } else { "[]".into() },
            ..one("BTC/USD", i64::from(id), price, id)
        };
        let trades: Vec<_> = [100, 90, 110, 101]
            .into_iter()
            .enumerate()
            .map(|(id, price)| trade((id as u32, price)))
            .collect();
        let (bars, aggregator) = of_feed(&trades, Calendar::ALWAYS);
        assert_eq!(shown(&bars, "1m"), ["100/110/90/101"], "{feed}");
        assert_eq!((aggregator.counts().trades, aggregator.condition_counts().unpriced()), (4, 0));
    }
}

#[test]
fn a_run_without_bars_says_why() {
    let odd = |id: u32| Trade { conditions: r#"["@","I"]"#.into(), ..one("A", i64::from(id), 10, id) };
    let (bars, aggregator) = of_feed(&(0..200).map(odd).collect::<Vec<_>>(), Calendar::XNYS);
    assert_eq!(shown(&bars, "1m"), [""; 0]);
    let counts = aggregator.condition_counts();
    let rows: Vec<_> =
        counts.rows().into_iter().map(|(policy, names, c)| (policy, names, c.unpriced)).collect();
    assert_eq!((aggregator.counts().trades, rows), (200, vec![("sip", "I odd lot", 200)]));
}

#[test]
fn symbols_of_one_feed_have_their_own_days() {
    let mut settings = in_calendar("sip", Calendar::XNYS);
    let crypto = Feed {
        prefix: "finnhub".into(),
        symbols: ":".into(),
        calendar: Calendar::ALWAYS,
        ..settings.feeds[0].clone()
    };
    settings.feeds.insert(0, crypto);
    let mut aggregator = Aggregator::new(settings);
    let late = UnixNanos::parse("2013-10-09T01:30:00Z").unwrap();
    for (id, symbol) in ["TSLA", "BINANCE:BTCUSDT", "TSLA", "OANDA:EUR_USD"].into_iter().enumerate() {
        let conditions = r#"["12"]"#.to_owned();
        let trade = Trade { feed: "finnhub".into(), ts: late, conditions, ..one(symbol, 0, 10, id as u32) };
        aggregator.add(&record(&trade), StreamPosition::default());
    }
    let regular =
        Trade { feed: "finnhub".into(), ts: late, conditions: r#"["1"]"#.into(), ..one("TSLA", 0, 10, 9) };
    aggregator.add(&record(&regular), StreamPosition::default());
    let mut days = BTreeMap::new();
    aggregator.finish(&mut |bar| {
        if bar.interval.is_day() {
            days.insert(bar.symbol.clone(), bar.start.to_string());
        }
    });
    let expected = [
        ("BINANCE:BTCUSDT", "2013-10-09T00:00:00Z"),
        ("OANDA:EUR_USD", "2013-10-09T00:00:00Z"),
        ("TSLA", "2013-10-08T04:00:00Z"),
    ];
    assert_eq!(days, expected.map(|(symbol, day)| (symbol.to_owned(), day.to_owned())).into());
}

#[test]
fn the_official_close_is_that_of_the_largest_such_print() {
    let of = |second: i64, price: i64, id: u32, size: i64, venue: &str, condition: &str| Trade {
        venue: venue.into(),
        size: Size::from_whole(size),
        conditions: format!("[\"{condition}\"]"),
        ..one("A", 24_000 + second, price, id)
    };
    // 16:05: the primary market's auction, another market's few shares, and a trade after hours; then a correction.
    let auction = of(1, 50, 2, 2_000_000, "N", "6");
    let trades = [
        of(0, 40, 1, 100, "Q", "@"),
        auction.clone(),
        of(2, 60, 3, 300, "Q", "M"),
        of(3, 70, 4, 100, "Q", "T"),
        Trade { price: Price::from_whole(51), revision: 1, ..auction },
    ];
    for (policy, day) in [("official", "40/51/40/51"), ("sip", "40/51/40/51")] {
        let records: Vec<_> = trades.iter().map(record).collect();
        let bars = bars(policy, &records, |_| true);
        let bars: Vec<Bar> = bars.0.into_values().collect();
        assert_eq!(shown(&bars, "1d"), [day], "{policy}");
    }
    // An official close alone: `sip` ignores it.
    let trades = [of(0, 40, 1, 100, "Q", "@"), of(2, 60, 3, 300, "P", "M"), of(3, 30, 5, 500, "Q", "@")];
    for (policy, day) in [("official", "40/60/30/60"), ("sip", "40/40/30/30")] {
        let records: Vec<_> = trades.iter().map(record).collect();
        let bars: Vec<Bar> = bars(policy, &records, |_| false).0.into_values().collect();
        assert_eq!(shown(&bars, "1d"), [day], "{policy}");
        assert_eq!(shown(&bars, "1h"), ["40/40/30/30"], "{policy}");
    }
}

/// A range that cuts a session: its bars built from the reading span equal those built from everything.
#[test]
fn bars_of_a_range_are_complete() {
    let mut settings = in_calendar("lean", Calendar::XNYS);
    let round_the_clock =
        Feed { prefix: "kraken".into(), calendar: Calendar::ALWAYS, ..settings.feeds[0].clone() };
    settings.feeds.insert(0, round_the_clock);
    let mut all: Vec<Record<&str>> = Vec::new();
    let trades: Vec<Trade<String>> = (0..6_000)
        .map(|n| Trade {
            feed: if n % 2 == 0 { "lean.sip".into() } else { "kraken".into() },
            // Occasionally only volume, which goes to an earlier bar.
            conditions: if n % 7 < 3 { r#"["20000020"]"#.into() } else { r#"["1"]"#.into() },
            ..one("A", i64::from(n) * 60, 10 + i64::from(n % 11), n)
        })
        .collect();
    all.extend(trades.iter().map(record));
    all.extend(
        (0..300)
            .map(|n: u16| quote(i64::from(n) + 1, START + i64::from(n) * 1_200 * SECOND, n + 1, n as u8 % 3)),
    );
    let made = |from: i64, to: i64| {
        let (first, last) = settings.reading_span(UnixNanos(from), UnixNanos(to));
        let mut aggregator = Aggregator::new(settings.clone());
        for record in all.iter().filter(|record| (first..last).contains(&record.ts())) {
            aggregator.add(record, StreamPosition::default());
        }
        let mut bars = Vec::new();
        aggregator.finish(&mut |bar| bars.push((bar.interval, bar.start, bar.kind, bar.feed, bar.values)));
        bars.sort_by_key(|bar| (bar.0, bar.1, bar.2, bar.3.clone()));
        bars
    };
    let everything = made(i64::MIN, i64::MAX);
    for (from, to) in [(90_000, 90_060), (86_400 * 2 + 30, 86_400 * 3 + 7), (100_003, 100_004)] {
        let (from, to) = (START + from * SECOND, START + to * SECOND);
        let within = |bars: &[_]| -> Vec<_> {
            let bars: &[(market::interval::Interval, UnixNanos, Kind, String, Values)] = bars;
            bars.iter().filter(|bar| (from..to).contains(&bar.1.0)).cloned().collect()
        };
        assert_eq!(within(&made(from, to)), within(&everything), "{from} {to}");
    }
}
