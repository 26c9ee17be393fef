use super::*;
use crate::fixed::MAX;
use crate::record::LATEST;
use proptest::prelude::*;

const TRADE: &str = r#"{"symbol":"SPY","feed":"lean.sip","venue":"P","id":"20131008-7","ts":1381219200464000000,"recv_ts":1381219200465000001,"price":"167.41","size":"100","conditions":["20002000"]}"#;
const QUOTE: &str = r#"{"symbol":"IBM","feed":"lean.sip","seq":20131008000000001,"ts":1381219200640000000,"recv_ts":5,"bid":"180.01","bid_size":"200","bid_venue":"P","conditions":["1"]}"#;

#[test]
fn the_golden_messages_decode_and_encode_to_themselves() {
    let full = TRADE.replace('}', r#","tape":"B","seq":-7,"revision":2,"canceled":true}"#);
    let sided = TRADE.replace(",\"conditions\"", r#","side":"sell","conditions""#);
    let both =
        QUOTE.replace(",\"conditions\"", r#","ask":"182.62","ask_size":"0.5","ask_venue":"Q","conditions""#);
    for (kind, text) in [
        (Kind::TRADE, TRADE),
        (Kind::QUOTE, QUOTE),
        (Kind::TRADE, &full),
        (Kind::TRADE, &sided),
        (Kind::QUOTE, &both),
    ] {
        let record = decode(kind, text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
        let mut out = Vec::new();
        encode(&record, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
    let Some(Record::Trade(trade)) = decode(Kind::TRADE, TRADE.as_bytes()) else { panic!() };
    assert_eq!(trade.price, Price::parse(b"167.41").unwrap());
    assert_eq!((trade.symbol, trade.venue, trade.id), ("SPY", "P", "20131008-7"));
    assert_eq!(trade.ts.to_string(), "2013-10-08T08:00:00.464Z");
}

#[test]
fn what_another_producer_wrote_is_brought_into_form() {
    let loose = r#" {"id":"20131008-7", "symbol":"S\u0050Y","feed":"lean.sip","venue":"P","price":167.410,
        "size":100, "recv_ts":1381219200465000001,"ts":1381219200464000000,"conditions":[ "20002000" ]} "#;
    assert!(decode(Kind::TRADE, loose.as_bytes()).is_none());
    let mut out = Vec::new();
    normalize(Kind::TRADE, loose.as_bytes(), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), TRADE);
}

#[test]
fn a_negative_price_is_a_price() {
    let oil = TRADE.replace("167.41", "-37.63");
    let Some(Record::Trade(trade)) = decode(Kind::TRADE, oil.as_bytes()) else { panic!() };
    assert_eq!(trade.price.to_string(), "-37.63");
}

#[test]
fn numbers_with_exponents_are_read_exactly() {
    for (written, digits) in [
        ("1.234e-05", "0.00001234"),
        ("1e-05", "0.00001"),
        ("2e+16", "20000000000000000"),
        ("\"1E-7\"", "0.0000001"),
    ] {
        for field in ["\"167.41\"", "\"100\""] {
            let mut out = Vec::new();
            normalize(Kind::TRADE, TRADE.replace(field, written).as_bytes(), &mut out).unwrap();
            let expected = TRADE.replace(field, &format!("\"{digits}\""));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}

#[test]
fn what_is_no_record_is_refused_with_the_reason() {
    let cases = [
        (Kind::TRADE, TRADE.replace("167.41", "167.4x"), "price `167.4x`: not a decimal number"),
        (Kind::TRADE, TRADE.replace("167.41", "1e20"), "price `1e20`: does not fit"),
        (Kind::TRADE, TRADE.replace("\"100\"", "null"), "size `null`: not a decimal number"),
        (
            Kind::TRADE,
            TRADE.replace(",\"conditions\"", ",\"side\":\"both\",\"conditions\""),
            "side \"both\": expected \"buy\" or \"sell\"",
        ),
        (Kind::TRADE, TRADE.replace("\"100\"", "-5"), "size -5 is negative"),
        (Kind::TRADE, TRADE.replace("1381219200464000000", "0"), "time 0 is not between 1900 and 2200"),
        (
            Kind::TRADE,
            TRADE.replace("1381219200464000000", &i64::MAX.to_string()),
            "time 9223372036854775807 is not between",
        ),
        (
            Kind::TRADE,
            TRADE.replace("1381219200464000000", &i64::MIN.to_string()),
            "time -9223372036854775808 is not between",
        ),
        (
            Kind::TRADE,
            TRADE.replace("167.41", "9223372036854775807"),
            "price 9223372036854775807 is a placeholder",
        ),
        (
            Kind::QUOTE,
            QUOTE.replace("180.01", "9223372036.854775807"),
            "price 9223372036.854775807 is a placeholder",
        ),
        (Kind::TRADE, TRADE.replace("SPY", ""), "symbol is empty"),
        (Kind::TRADE, TRADE.replace("SPY", "S\\\"Y"), "symbol \"S\\\"Y\" contains '\"'"),
        (Kind::TRADE, TRADE[..60].to_owned(), "not a trade: EOF"),
        (Kind::TRADE, TRADE.replace("\"venue\":\"P\",", ""), "not a trade: missing field `venue`"),
        (Kind::TRADE, TRADE.replace('}', ",\"colour\":1}"), "not a trade: unknown field `colour`"),
        (Kind::TRADE, QUOTE.to_owned(), "not a trade: unknown field"),
        (
            Kind::QUOTE,
            QUOTE.replace(",\"bid_size\":\"200\"", ""),
            "bid needs all of bid, bid_size and bid_venue",
        ),
        (Kind::QUOTE, String::new(), "not a quote: EOF"),
    ];
    for (kind, text, reason) in cases {
        assert!(decode(kind, text.as_bytes()).is_none(), "{text}");
        let error = normalize(kind, text.as_bytes(), &mut Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with(reason), "{text}\n got {error}\nwant {reason}");
    }
    let error = normalize(Kind::TRADE, b"\xff", &mut Vec::new()).unwrap_err().to_string();
    assert!(error.starts_with("not UTF-8"), "{error}");
}

fn word() -> impl Strategy<Value = String> {
    "[ -!#-\\[\\]-~é]{1,12}"
}

prop_compose! {
    fn trades()(
        symbol in word(), feed in word(), venue in word(), id in word(),
        (ts, recv, price, size) in (1..LATEST.0).prop_flat_map(|ts| (
            Just(ts), proptest::num::i64::ANY, -MAX..=MAX, 0..=MAX)),
        side in proptest::sample::select(vec![Side::Unknown, Side::Buy, Side::Sell]), seq in proptest::num::i64::ANY,
        conditions in proptest::collection::vec(word(), 0..4),
        tape in "[A-C]?", revision in 0_u32..9, canceled in proptest::bool::ANY,
    ) -> Trade<String> {
        Trade { symbol, feed, venue, id, ts: UnixNanos(ts), recv_ts: UnixNanos(recv),
            price: Price::from_raw(price), size: Size::from_raw(size), side,
            conditions: loose::array(&conditions).unwrap(), tape, seq, revision, canceled }
    }
}

proptest! {
    #[test]
    fn any_trade_reads_back(trade in trades()) {
        prop_assume!(trade.check().is_ok() && trade.seq != i64::MIN && trade.recv_ts.0 != i64::MIN);
        let mut text = Vec::new();
        encode(&Record::Trade(trade.clone()), &mut text);
        let read = decode(Kind::TRADE, &text).unwrap().map(str::to_owned);
        prop_assert_eq!(&read, &Record::Trade(trade));
        let mut again = Vec::new();
        normalize(Kind::TRADE, &text, &mut again).unwrap();
        prop_assert_eq!(again, text);
    }

    #[test]
    fn any_bytes_decode_only_if_they_are_the_one_way_to_write_it(
        at in 0..TRADE.len(), byte in proptest::num::u8::ANY, cut in 0..TRADE.len(),
    ) {
        let mut bytes = TRADE.as_bytes().to_vec();
        bytes[at] = byte;
        for bytes in [&bytes[..], &TRADE.as_bytes()[..cut]] {
            for kind in Kind::ALL {
                if let Some(record) = decode(kind, bytes) {
                    let mut out = Vec::new();
                    encode(&record, &mut out);
                    let mut normal = Vec::new();
                    normalize(kind, bytes, &mut normal).unwrap();
                    prop_assert_eq!(&out, &normal);
                }
            }
        }
    }
}
