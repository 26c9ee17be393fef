use super::*;
use proptest::prelude::*;

fn members(text: &str) -> Result<Vec<(String, String)>, String> {
    let (mut out, mut scanner) = (Vec::new(), Scanner::new(text));
    scanner.object(|name, value| out.push((name.to_owned(), value.written())))?;
    scanner.end()?;
    Ok(out)
}

#[test]
fn members_are_handed_over_as_they_are_written() {
    let text = r#" {"a":"x","b" : -1.50,"c":[1,["]"],{"d":"\""}],"e":{},"f":true,"g":null,"h":"\u0041"} "#;
    let found = members(text).unwrap();
    let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let array = r#"[1,["]"],{"d":"\""}]"#;
    assert_eq!(
        found,
        [
            ("a", "\"x\""),
            ("b", "-1.50"),
            ("c", array),
            ("e", "{}"),
            ("f", "true"),
            ("g", "null"),
            ("h", r#""\u0041""#)
        ]
    );
    for broken in [
        "",
        "{",
        "{}x",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":\"x}",
        "{a:1}",
        "[]",
        "{\"a\":tru}",
        "{\"a\":\"\\",
    ] {
        assert!(members(broken).is_err(), "{broken}");
    }
}

#[test]
fn numbers_keep_their_digits_and_exponents_are_exact() {
    let of = |digits| Value::Number(digits).decimal("p").map_err(|error| error.contains("`p`"));
    for (digits, raw) in [
        ("1e3", 1_000 * fixed::ONE),
        ("1.5E-3", 1_500_000_000_000_000),
        ("-2.5e+1", -25 * fixed::ONE),
        ("1e-18", 1),
        ("0.1", fixed::ONE / 10),
    ] {
        assert_eq!(of(digits), Ok(raw), "{digits}");
    }
    for digits in ["1e-19", "1e99", "1e", "e1", "--1", "1.2.3"] {
        assert_eq!(of(digits), Err(true), "{digits}");
    }
    assert_eq!(Value::Number("1536036818784").epoch("t"), Ok(UnixNanos(1_536_036_818_784_000_000)));
    assert_eq!(Value::Number("1601316752683746").epoch("t"), Ok(UnixNanos(1_601_316_752_683_746_000)));
    assert_eq!(Value::Number("1601318039223013600").epoch("t"), Ok(UnixNanos(1_601_318_039_223_013_600)));
}

#[test]
fn escapes_of_plain_characters_are_resolved() {
    for (text, plain) in [
        (r#"{"s":"M\u0026M.NS","\u0070":"\/"}"#, r#"{"s":"M&M.NS","p":"/"}"#),
        (r#"{"s":"\u5e01\u5b89USDT"}"#, r#"{"s":"币安USDT"}"#),
        (r#"{"s":"\ud83d\ude00"}"#, r#"{"s":"😀"}"#),
        ("\u{feff}{}", "{}"),
    ] {
        assert_eq!(unescaped(text), plain);
    }
    // Escapes that would change the text's meaning, or are invalid, are kept.
    for text in [
        r#"{"s":"a\"b\\"}"#,
        r#"{"s":"\u0022\u005c\u000a\n"}"#,
        r#"{"s":"\ud83d"}"#,
        r#"\u007b"#,
        r#"{"s":"\u00"}"#,
        r#"{"s":"\"#,
        r#"{"s":"\é"}"#,
    ] {
        assert_eq!(unescaped(text), text);
    }
}

#[test]
fn seconds_are_not_milliseconds() {
    let of = |digits| Value::Number(digits).epoch("t");
    assert!(of("1672348887").is_err_and(|error| error.contains("seconds")));
    assert_eq!(of("0"), Ok(UnixNanos(0)));
    assert!(of("9223372036854775808").is_err());
}

#[test]
fn codes_become_the_canonical_array() {
    let mut scratch = String::new();
    for (value, want) in [
        (Value::Array(r#"["@","I"]"#), r#"["@","I"]"#),
        (Value::Array(r#"[ "@", "I" ]"#), r#"["@","I"]"#),
        (Value::Array("[0,12]"), r#"["0","12"]"#),
        (Value::Text("R"), r#"["R"]"#),
        (Value::Number("7"), r#"["7"]"#),
        (Value::Null, "[]"),
        (Value::Absent, "[]"),
        (Value::Array("[ ]"), "[]"),
    ] {
        assert_eq!(conditions(value, "c", &mut scratch), Ok(want));
    }
    for value in [Value::Bool(true), Value::Array(r#"["\""]"#), Value::Array("[[1]]"), Value::Array("[\"a\"")]
    {
        assert!(conditions(value, "c", &mut scratch).is_err(), "{value:?}");
    }
}

proptest! {
    /// What serde_json accepts as an object is walked to its end here, with the same members.
    #[test]
    fn walks_what_serde_json_reads(text in "\\{(\"[a-c]{1,2}\":(1|-2\\.5|\"x\"|true|null|\\[1,\"\\]\"\\]|\\{\"a\":1\\}),?){0,4}\\}") {
        match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) {
            Ok(map) => {
                let names: std::collections::BTreeSet<String> = members(&text).unwrap().into_iter().map(|(name, _)| name).collect();
                prop_assert!(map.keys().all(|name| names.contains(name)) && names.len() == map.len());
            }
            Err(_) => prop_assert!(members(&text).is_err()),
        }
    }

    #[test]
    fn unescaping_changes_no_meaning(text in "\\{\"a\":\"([a-z\"é ]|\\\\u[0-9a-f]{4}|\\\\[\"/nu\\\\]){0,8}\"\\}") {
        let value = serde_json::from_str::<serde_json::Value>(&text);
        let plain = serde_json::from_str::<serde_json::Value>(&unescaped(&text));
        match (value, plain) {
            (Ok(value), Ok(plain)) => prop_assert_eq!(value, plain),
            (value, plain) => prop_assert!(value.is_err() && plain.is_err(), "{} {}", text, unescaped(&text)),
        }
    }

    #[test]
    fn any_text_is_walked_or_refused(text in "\\PC{0,80}") {
        let _ = members(&text);
        let _ = Scanner::new(&text).array(|scanner| scanner.value().map(drop));
    }
}
