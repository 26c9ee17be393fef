use super::*;

/// As [`Message`], of its own text.
type Owned = Result<Option<Record<String>>, String>;

fn read(frames: &[&str]) -> Vec<Owned> {
    let mut decoder = Decoder::new("alpaca.sip");
    let mut out = Vec::new();
    for frame in frames {
        decoder.frame(frame, UnixNanos(7), &mut |outcome, _| out.push(owned(outcome))).unwrap();
    }
    out
}

fn owned(outcome: Outcome<'_>) -> Owned {
    outcome.map(|message| match message {
        Message::Record(record) => Some(record.map(str::to_owned)),
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
    let (corrected, canceled) = (trade(&all[3]), trade(&all[4]));
    assert_eq!((&corrected.id, corrected.ts, corrected.revision), (&first.id, first.ts, 1));
    assert_eq!((corrected.price.to_string(), corrected.conditions.as_str()), ("177.8".into(), r#"["@"]"#));
    assert_eq!((&canceled.id, canceled.revision >= 2, canceled.canceled), (&first.id, true, true));
}

#[test]
fn what_is_wrong_is_named() {
    for (message, part) in [
        (r#"{"T":"t","S":"A","x":"V","p":1,"s":1,"t":"2021-01-27T10:35:34Z"}"#, "no `i`"),
        (r#"{"T":"t","S":"A","i":1,"x":"V","p":1e,"s":1,"t":"2021-01-27T10:35:34Z"}"#, "`p`"),
        (r#"{"T":"t","S":"A","i":1,"x":"V","p":1,"s":1,"t":"now"}"#, "`t`"),
        (r#"{"T":"t","S":"A","i":1,"x":"V","p":1,"s":1,"c":[[1]],"t":"2021-01-27T10:35:34Z"}"#, "`c`"),
        (r#"{"T":"x","S":"A","i":1,"x":"V","p":1,"s":1,"t":"2021-01-27T10:35:34Z"}"#, "amends trade 1"),
        (r#"{"S":"A"}"#, "not a message"),
    ] {
        let outcome = read(&[&format!("[{message}]")]).remove(0);
        assert!(outcome.as_ref().unwrap_err().contains(part), "{outcome:?}");
    }
    assert!(Decoder::new("f").frame("{}", UnixNanos(0), &mut |_, _| {}).is_err());
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,120}") {
        let _ = Decoder::new("f").frame(&text, UnixNanos(0), &mut |_, _| {});
        let _ = Decoder::new("f").frame(&format!("[{{\"T\":\"t\",\"p\":{text}}}]"), UnixNanos(0), &mut |_, _| {});
    }
}
