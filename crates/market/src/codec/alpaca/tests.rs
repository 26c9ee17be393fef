use super::*;

/// Like [`FeedMessage`], with owned text.
type Owned = Result<Option<Record<String>>, String>;

fn read(frames: &[&str]) -> Vec<Owned> {
    let mut decoder = AlpacaDecoder::new("alpaca.sip");
    let mut out = Vec::new();
    for frame in frames {
        decoder.frame(frame, UnixNanos(7), &mut |outcome, _| out.push(owned(outcome))).unwrap();
    }
    out
}

fn owned(outcome: Outcome<'_>) -> Owned {
    outcome.map(|message| match message {
        FeedMessage::Record(record) => Some(record.map(str::to_owned)),
        _ => None,
    })
}

fn trade(outcome: &Owned) -> &Trade<String> {
    let Ok(Some(Record::Trade(trade))) = outcome else { panic!("{outcome:?}") };
    trade
}

#[test]
fn trades_quotes_corrections_and_cancels() {
    let all = read(&[
        r#"[{"T":"success","msg":"authenticated"}]"#,
        r#"[{"T":"t","S":"AAPL","i":6142,"x":"V","p":177.79,"s":90,"c":["@","I"],"z":"C","t":"2021-01-27T10:35:34.82840127Z"},
            {"T":"q","S":"SPIP","bx":"V","bp":25.41,"bs":35,"ax":"V","ap":0,"as":0,"c":"R","z":"B","t":"2021-01-27T10:35:34Z"}]"#,
        r#"[{"T":"c","S":"AAPL","x":"V","oi":6142,"op":177.79,"os":90,"oc":["@","I"],"ci":7000,"cp":177.8,"cs":100,"cc":["@"],"z":"C","t":"2021-01-27T10:40:00Z"}]"#,
        r#"[{"T":"x","S":"AAPL","i":7000,"x":"V","p":177.8,"s":100,"a":"C","z":"C","t":"2021-01-27T10:41:00Z"}]"#,
    ]);
    assert_eq!(all[0], Ok(None));
    let first = trade(&all[1]);
    assert_eq!(
        (first.price.to_string(), first.ts.to_string()),
        ("177.79".into(), "2021-01-27T10:35:34.82840127Z".into())
    );
    let Ok(Some(Record::Quote(quote))) = &all[2] else { panic!() };
    assert_eq!((quote.ask.is_none(), quote.conditions.as_str()), (true, r#"["R"]"#));
    let (incorrect, corrected, canceled) = (trade(&all[3]), trade(&all[4]), trade(&all[5]));
    assert_eq!((&incorrect.id, incorrect.ts, incorrect.revision), (&first.id, first.ts, 1));
    assert!(incorrect.canceled && incorrect.price == first.price && incorrect.conditions == first.conditions);
    assert_eq!((corrected.id.as_str(), corrected.ts, corrected.revision), ("7000", first.ts, 0));
    assert_eq!((corrected.price.to_string(), corrected.conditions.as_str()), ("177.8".into(), r#"["@"]"#));
    assert_eq!((&canceled.id, canceled.ts, canceled.revision), (&corrected.id, first.ts, 1));
    assert!(canceled.canceled && !corrected.canceled);
}

#[test]
fn history_has_the_same_amendments_as_the_stream() {
    const SPAN: [&str; 3] = [
        r#"{"i":1,"x":"V","p":1.5,"s":9,"c":["@"],"z":"C","t":"2021-01-27T10:35:34Z","u":"incorrect"}"#,
        r#"{"i":2,"x":"V","p":1.6,"s":9,"c":["@"],"z":"C","t":"2021-01-27T10:35:34Z","u":"corrected"}"#,
        r#"{"i":3,"x":"V","p":1.7,"s":9,"c":["@"],"z":"C","t":"2021-01-27T10:35:35Z","u":"canceled"}"#,
    ];
    let span = |decoder: &mut AlpacaDecoder| -> Vec<Owned> {
        let mut out = Vec::new();
        for raw in SPAN {
            let mut take = |outcome: Outcome<'_>, _: &str| out.push(owned(outcome));
            decoder.past(Kind::TRADE, "A", raw, UnixNanos(7), &mut take);
        }
        out
    };
    let alone = span(&mut AlpacaDecoder::new("f"));
    let mut decoder = AlpacaDecoder::new("f");
    let mut streamed = Vec::new();
    for frame in [
        r#"[{"T":"t","S":"A","i":1,"x":"V","p":1.5,"s":9,"c":["@"],"z":"C","t":"2021-01-27T10:35:34Z"},
            {"T":"t","S":"A","i":3,"x":"V","p":1.7,"s":9,"c":["@"],"z":"C","t":"2021-01-27T10:35:35Z"}]"#,
        r#"[{"T":"c","S":"A","x":"V","oi":1,"op":1.5,"os":9,"oc":["@"],"ci":2,"cp":1.6,"cs":9,"cc":["@"],"z":"C","t":"2021-01-27T10:40:00Z"}]"#,
        r#"[{"T":"x","S":"A","i":3,"x":"V","p":1.7,"s":9,"a":"C","z":"C","t":"2021-01-27T10:41:00Z"}]"#,
    ] {
        decoder.frame(frame, UnixNanos(7), &mut |outcome, _| streamed.push(owned(outcome))).unwrap();
    }
    // After the two trades: one canceled, its correction, the other canceled.
    assert_eq!(streamed[2..], alone);
    // Repeated by history, or sent twice, they stay as amended.
    assert_eq!(span(&mut decoder), alone);
    let again =
        r#"[{"T":"t","S":"A","i":3,"x":"V","p":1.7,"s":9,"c":["@"],"z":"C","t":"2021-01-27T10:35:35Z"}]"#;
    let mut twice = Vec::new();
    decoder.frame(again, UnixNanos(7), &mut |outcome, _| twice.push(owned(outcome))).unwrap();
    assert_eq!(twice[0], alone[2]);
}

/// The corrected trade has a higher revision than the cancel of the wrong one, and so has its own cancel.
#[test]
fn a_correction_that_keeps_the_id_replaces_the_trade() {
    const FRAMES: [&str; 3] = [
        r#"[{"T":"t","S":"A","i":2,"x":"V","p":1.5,"s":9,"c":["@"],"z":"C","t":"2021-01-27T10:35:34Z"}]"#,
        r#"[{"T":"c","S":"A","x":"V","oi":2,"op":1.5,"os":9,"oc":["@"],"ci":2,"cp":1.6,"cs":5,"cc":["@"],"z":"C","t":"2021-01-27T10:40:00Z"}]"#,
        r#"[{"T":"x","S":"A","i":2,"x":"V","p":1.6,"s":5,"a":"C","z":"C","t":"2021-01-27T10:41:00Z"}]"#,
    ];
    const SPAN: [&str; 2] = [
        r#"{"i":2,"x":"V","p":1.5,"s":9,"c":["@"],"z":"C","t":"2021-01-27T10:35:34Z","u":"incorrect"}"#,
        r#"{"i":2,"x":"V","p":1.6,"s":5,"c":["@"],"z":"C","t":"2021-01-27T10:35:34Z","u":"corrected"}"#,
    ];
    let history = |decoder: &mut AlpacaDecoder| -> Vec<Owned> {
        let mut out = Vec::new();
        for raw in SPAN {
            let mut take = |outcome: Outcome<'_>, _: &str| out.push(owned(outcome));
            decoder.past(Kind::TRADE, "A", raw, UnixNanos(7), &mut take);
        }
        out
    };
    let mut decoder = AlpacaDecoder::new("f");
    let stream = |text: &str, decoder: &mut AlpacaDecoder| {
        let mut out = Vec::new();
        decoder.frame(text, UnixNanos(7), &mut |outcome, _| out.push(owned(outcome))).unwrap();
        out
    };
    stream(FRAMES[0], &mut decoder);
    let corrected = stream(FRAMES[1], &mut decoder);
    let of = |outcome: &Owned| {
        let trade = trade(outcome);
        (trade.price.to_string(), trade.revision, trade.canceled)
    };
    let expected = [("1.5".to_owned(), 1, true), ("1.6".to_owned(), 2, false)];
    assert_eq!(corrected.iter().map(of).collect::<Vec<_>>(), expected);
    // History yields the same, alone, after the stream, and when it is read again.
    assert_eq!(history(&mut AlpacaDecoder::new("f")), corrected);
    assert_eq!(history(&mut decoder), corrected);
    assert_eq!(history(&mut decoder), corrected);
    // A repeat of the wrong trade would replace the corrected one in the store.
    assert_eq!(stream(FRAMES[0], &mut decoder), []);
    let canceled = stream(FRAMES[2], &mut decoder);
    assert_eq!(canceled.iter().map(of).collect::<Vec<_>>(), [("1.6".to_owned(), 3, true)]);
}

#[test]
fn halts_are_reported() {
    let mut out = Vec::new();
    let frame = ["H", "T", "Q"].map(|code| format!(r#"{{"T":"s","S":"A","sc":"{code}","sm":"","rc":"T1","rm":"","z":"C","t":"2021-01-27T10:35:34Z"}}"#));
    let mut take = |outcome: Outcome<'_>, _: &str| match outcome {
        Ok(FeedMessage::Halted { symbol, ts, halted }) => out.push(format!("{symbol} {ts} {halted}")),
        other => out.push(format!("{other:?}")),
    };
    AlpacaDecoder::new("f").frame(&format!("[{}]", frame.join(",")), UnixNanos(7), &mut take).unwrap();
    assert_eq!(out, ["A 2021-01-27T10:35:34Z true", "A 2021-01-27T10:35:34Z false", "Ok(Silent)"]);
}

#[test]
fn what_is_wrong_is_named() {
    for (message, part) in [
        (r#"{"T":"t","S":"A","x":"V","p":1,"s":1,"t":"2021-01-27T10:35:34Z"}"#, "missing `i`"),
        (r#"{"T":"t","S":"A","i":1,"x":"V","p":1e,"s":1,"t":"2021-01-27T10:35:34Z"}"#, "`p`"),
        (r#"{"T":"t","S":"A","i":1,"x":"V","p":1,"s":1,"t":"now"}"#, "`t`"),
        (r#"{"T":"t","S":"A","i":1,"x":"V","p":1,"s":1,"c":[[1]],"t":"2021-01-27T10:35:34Z"}"#, "`c`"),
        (r#"{"T":"x","S":"A","i":1,"x":"V","p":1,"s":1,"t":"2021-01-27T10:35:34Z"}"#, "amends trade 1"),
        (r#"{"S":"A"}"#, "not a message"),
    ] {
        let outcome = read(&[&format!("[{message}]")]).remove(0);
        assert!(outcome.as_ref().unwrap_err().contains(part), "{outcome:?}");
    }
    assert!(AlpacaDecoder::new("f").frame("{}", UnixNanos(0), &mut |_, _| {}).is_err());
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,120}") {
        let _ = AlpacaDecoder::new("f").frame(&text, UnixNanos(0), &mut |_, _| {});
        let _ = AlpacaDecoder::new("f").frame(&format!("[{{\"T\":\"t\",\"p\":{text}}}]"), UnixNanos(0), &mut |_, _| {});
    }
}
