//! Corrections and cancels: a false trade is sent in the place of the true one or next to it, and later
//! corrected or canceled.

use super::super::{Fault, Item};
use market::{Price, Record, Trade, fixed};
use std::fmt::Write;

/// The record of a false trade: another price and id.
fn wrong(record: &Record<&str>, id: &str, take: &mut dyn FnMut(&Record<&str>)) {
    let Record::Trade(trade) = record else { return };
    let price = Price::from_raw(trade.price.raw() + fixed::ONE);
    take(&Record::Trade(Trade { id, price, ..*trade }));
}

/// Its id: no tape has this many rows.
fn wrong_id(record: &Record<&str>) -> String {
    let Record::Trade(trade) = record else { return String::new() };
    format!("9{}", trade.id)
}

/// What the stream sends in the trade's place, and what amends it later; `live` encodes a record for the
/// stream.
pub(super) fn streamed(
    amended: Fault,
    record: &Record<&str>,
    live: &dyn Fn(&Record<&str>, &mut String),
) -> [Vec<String>; 2] {
    let (Record::Trade(trade), new) = (record, wrong_id(record)) else { return Default::default() };
    let (mut never, mut true_one, mut amends) = (String::new(), String::new(), String::new());
    live(record, &mut true_one);
    wrong(record, &new, &mut |record| live(record, &mut never));
    let (symbol, venue, ci) = (trade.symbol, trade.venue, trade.id);
    let price = Price::from_raw(trade.price.raw() + fixed::ONE);
    let Trade { size, conditions, tape, ts, .. } = trade;
    if amended == Fault::Correction {
        let _ = write!(
            amends,
            "{{\"T\":\"c\",\"S\":\"{symbol}\",\"x\":\"{venue}\",\"oi\":{new},\"op\":{price},\"os\":{size},\
             \"oc\":{conditions},\"ci\":{ci},\"cp\":{},\"cs\":{size},\"cc\":{conditions},\"z\":\"{tape}\",\
             \"t\":\"{ts}\"}}",
            trade.price
        );
        return [vec![never], vec![amends]];
    }
    let _ = write!(
        amends,
        "{{\"T\":\"x\",\"S\":\"{symbol}\",\"i\":{new},\"x\":\"{venue}\",\"p\":{price},\"s\":{size},\"a\":\"C\",\
         \"z\":\"{tape}\",\"t\":\"{ts}\"}}"
    );
    [vec![never, true_one], vec![amends]]
}

/// A record of history; two if it was amended.
pub(super) fn past(item: &Item, amended: Option<Fault>, members: fn(&Record<&str>, &mut String)) -> String {
    let mut text = String::from("{");
    item.read(|record| {
        if let Some(fault) = amended {
            let id = wrong_id(record);
            wrong(record, &id, &mut |record| members(record, &mut text));
            let update = if fault == Fault::Correction { "incorrect" } else { "canceled" };
            let _ = write!(text, ",\"u\":\"{update}\"}},{{");
        }
        members(record, &mut text);
        if amended == Some(Fault::Correction) {
            text.push_str(",\"u\":\"corrected\"");
        }
    });
    text + "}"
}
