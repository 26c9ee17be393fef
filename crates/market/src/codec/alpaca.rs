//! Alpaca's market data stream, v2: trades, quotes, corrections and cancels of its frames.
//!
//! A frame is a JSON array of messages, told apart by `T` (docs.alpaca.markets, real-time stock data; alpacahq/alpaca-py
//! `alpaca/data/live`). Numbers are taken from their digits, never through a float:
//!
//! ```text
//! {"T":"t","S":"AAPL","i":6142,"x":"V","p":177.79,"s":90,"c":["@","I"],"z":"C","t":"2021-01-27T10:35:34.82840127Z"}
//! {"T":"q","S":"AAPL","bx":"V","bp":25.41,"bs":35,"ax":"V","ap":25.43,"as":35,"c":["R"],"z":"B","t":…}
//! {"T":"c","S":"DIA","x":"D","oi":1,"op":349.15,"os":25000,"oc":["7"],"ci":2,"cp":349.2,"cs":25000,"cc":["7"],"z":"B","t":…}
//! {"T":"x","S":"DJT","i":4868,"x":"D","p":36.18,"s":31800,"a":"C","z":"C","t":…}
//! ```
//! History (`/v2/stocks/trades`, `/quotes`) has the same members, without `T` and `S`.
//!
//! A correction or cancel becomes the next revision of the trade it is about, at that trade's own time, so it replaces
//! the row and restates the bars. That time is not in the message: it is remembered from the trade.

use crate::record::{Quote, Record, Side, Trade};
use crate::{Kind, Price, Size, UnixNanos, fixed};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use xxhash_rust::xxh3::Xxh3;

/// Trades remembered: about ten minutes of the whole tape at its busiest.
const REMEMBERED: usize = 200_000;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "T", borrow, default)]
    class: Cow<'a, str>,
    #[serde(rename = "S", default, borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow, default)]
    i: Option<&'a RawValue>,
    #[serde(borrow, default)]
    x: Cow<'a, str>,
    #[serde(borrow, default)]
    p: Option<&'a RawValue>,
    #[serde(borrow, default)]
    s: Option<&'a RawValue>,
    #[serde(borrow, default)]
    c: Option<&'a RawValue>,
    #[serde(borrow, default)]
    z: Cow<'a, str>,
    #[serde(borrow, default)]
    t: Cow<'a, str>,
    /// Of history: `canceled`, `corrected`, `incorrect`.
    #[serde(borrow, default)]
    u: Cow<'a, str>,
    #[serde(borrow, default)]
    oi: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ci: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    bx: Cow<'a, str>,
    #[serde(borrow, default)]
    bp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    bs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ax: Cow<'a, str>,
    #[serde(borrow, default)]
    ap: Option<&'a RawValue>,
    #[serde(rename = "as", borrow, default)]
    ask_size: Option<&'a RawValue>,
}

/// What a correction or cancel needs to know of its trade.
#[derive(Debug, Clone)]
struct Known {
    id: String,
    ts: UnixNanos,
    revision: u32,
    conditions: String,
    tape: String,
}

/// Reads frames; remembers trades for their corrections.
#[derive(Debug, Default)]
pub struct Decoder {
    feed: String,
    known: HashMap<(String, String, String), Known>,
    order: VecDeque<(String, String, String)>,
}

/// What a message of a frame is.
pub type Outcome = Result<Option<Record<String>>, String>;

fn digits(name: &str, raw: Option<&RawValue>) -> Result<i64, String> {
    let raw = raw.ok_or_else(|| format!("no `{name}`"))?.get();
    fixed::parse(raw.trim_matches('"').as_bytes()).map_err(|error| format!("`{name}`: {error}: {raw}"))
}

/// An id: a number in JSON, or a text.
fn id(name: &str, raw: Option<&RawValue>) -> Result<String, String> {
    let text = raw
        .map(|raw| raw.get().trim_matches('"').to_owned())
        .filter(|text| !text.is_empty() && text != "null");
    text.ok_or_else(|| format!("no `{name}`"))
}

/// Quotes carry no number. A hash of all they say stands for it, so that the same quote has the same number whether it
/// came by the stream, from history, or to another program on the same feed.
fn quote_number(quote: &Quote<String>) -> i64 {
    let mut hasher = Xxh3::new();
    hasher.update(&quote.ts.0.to_le_bytes());
    for side in [&quote.bid, &quote.ask] {
        let numbers = side.as_ref().map_or([0, 0], |side| [side.price.billionths(), side.size.billionths()]);
        numbers.iter().for_each(|number| hasher.update(&number.to_le_bytes()));
        hasher.update(side.as_ref().map_or("", |side| &side.venue).as_bytes());
        hasher.update(&[0]);
    }
    hasher.update(quote.conditions.as_bytes());
    (hasher.digest() >> 1) as i64
}

/// Conditions as the canonical array; one that is a bare text is a list of one.
fn conditions(raw: Option<&RawValue>) -> Result<String, String> {
    let Some(raw) = raw.map(RawValue::get).filter(|text| *text != "null") else { return Ok("[]".to_owned()) };
    let list: Vec<String> = match serde_json::from_str(raw) {
        Ok(list) => list,
        Err(_) => vec![serde_json::from_str(raw).map_err(|_| format!("`c` is no list of texts: {raw}"))?],
    };
    if list.iter().any(|code| code.contains(['"', '\\']) || code.chars().any(char::is_control)) {
        return Err(format!("a condition code that cannot be kept: {raw}"));
    }
    Ok(if list.is_empty() { "[]".to_owned() } else { format!("[\"{}\"]", list.join("\",\"")) })
}

impl Decoder {
    /// Of a feed, as `alpaca.sip`.
    #[must_use]
    pub fn new(feed: &str) -> Self {
        Self { feed: feed.to_owned(), ..Self::default() }
    }

    /// Hands over each message of a frame: a record, nothing (a control message, a bar), or why it cannot be read, with
    /// its text.
    ///
    /// # Errors
    /// The frame is no JSON array of messages.
    pub fn frame(
        &mut self,
        frame: &str,
        recv_ts: UnixNanos,
        sink: &mut dyn FnMut(Outcome, &str),
    ) -> Result<(), String> {
        let messages: Vec<&RawValue> =
            serde_json::from_str(frame).map_err(|error| format!("not an array of messages: {error}"))?;
        for raw in messages {
            let outcome = serde_json::from_str::<Message<'_>>(raw.get())
                .map_err(|error| format!("not a message: {error}"))
                .and_then(|message| self.message(&message, recv_ts));
            sink(outcome, raw.get());
        }
        Ok(())
    }

    /// A record of history: the same members, without class and symbol.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn past(
        &mut self,
        kind: Kind,
        symbol: &str,
        raw: &str,
        recv_ts: UnixNanos,
    ) -> Result<Record<String>, String> {
        let mut message = serde_json::from_str::<Message<'_>>(raw)
            .map_err(|error| format!("not a message: {error}: {raw}"))?;
        message.symbol = Cow::Borrowed(symbol);
        match kind {
            Kind::Trade => {
                let key = (symbol.to_owned(), message.x.to_string(), id("i", message.i)?);
                // One amended since is not taken back to what it was.
                let known = self.known.get(&key).filter(|known| known.revision > 0).cloned();
                let mut record = self.trade(&message, recv_ts)?;
                if let Record::Trade(trade) = &mut record {
                    trade.canceled = matches!(&*message.u, "canceled" | "incorrect");
                    trade.revision = u32::from(trade.canceled);
                    if let Some(known) = known {
                        trade.revision = trade.revision.max(known.revision);
                        trade.id.clone_from(&known.id);
                        self.known.insert(key, known);
                    }
                }
                Ok(record)
            }
            Kind::Quote => self.quote(&message, recv_ts),
        }
    }

    fn message(&mut self, message: &Message<'_>, recv_ts: UnixNanos) -> Outcome {
        match &*message.class {
            "" => Err("not a message: no `T`".to_owned()),
            "t" => self.trade(message, recv_ts).map(Some),
            "q" => self.quote(message, recv_ts).map(Some),
            "c" => self.correction(message, recv_ts).map(Some),
            "x" => self.cancel(message, recv_ts).map(Some),
            // Control, bars, statuses, bands, imbalances: not records.
            _ => Ok(None),
        }
    }

    fn time(message: &Message<'_>) -> Result<UnixNanos, String> {
        UnixNanos::parse(&message.t).map_err(|error| format!("`t`: {error}"))
    }

    fn symbol(message: &Message<'_>) -> Result<String, String> {
        let fits = !message.symbol.is_empty() && !message.symbol.contains(['"', '\\']);
        fits.then(|| message.symbol.to_string()).ok_or_else(|| "no `S`".to_owned())
    }

    fn trade(&mut self, message: &Message<'_>, recv_ts: UnixNanos) -> Result<Record<String>, String> {
        let trade = Trade {
            symbol: Self::symbol(message)?,
            feed: self.feed.clone(),
            venue: message.x.to_string(),
            id: id("i", message.i)?,
            ts: Self::time(message)?,
            recv_ts,
            price: Price::from_billionths(digits("p", message.p)?),
            size: Size::from_billionths(digits("s", message.s)?),
            conditions: conditions(message.c)?,
            tape: message.z.to_string(),
            revision: 0,
            canceled: false,
        };
        let known = Known {
            id: trade.id.clone(),
            ts: trade.ts,
            revision: 0,
            conditions: trade.conditions.clone(),
            tape: trade.tape.clone(),
        };
        self.remember((trade.symbol.clone(), trade.venue.clone(), trade.id.clone()), known);
        Ok(Record::Trade(trade))
    }

    fn remember(&mut self, key: (String, String, String), known: Known) {
        if self.known.insert(key.clone(), known).is_none() {
            self.order.push_back(key);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }

    /// The next revision of a trade seen before.
    fn amended(&mut self, message: &Message<'_>, id: &str) -> Result<Known, String> {
        let key = (Self::symbol(message)?, message.x.to_string(), id.to_owned());
        let known = self.known.get_mut(&key).ok_or_else(|| {
            format!(
                "it amends trade {id} of {} on {}, which is not among the last {REMEMBERED} seen",
                key.0, key.1
            )
        })?;
        known.revision += 1;
        Ok(known.clone())
    }

    fn correction(&mut self, message: &Message<'_>, recv_ts: UnixNanos) -> Result<Record<String>, String> {
        let (price, size) = (digits("cp", message.cp)?, digits("cs", message.cs)?);
        let (tape, codes) = (message.z.to_string(), conditions(message.cc)?);
        let mut known = self.amended(message, &id("oi", message.oi)?)?;
        known.conditions = codes;
        known.tape = tape;
        // A correction of the correction names the new id; it is still about the same trade.
        let key = (Self::symbol(message)?, message.x.to_string(), id("ci", message.ci)?);
        self.remember(key, known.clone());
        Ok(Record::Trade(self.revised(message, known, price, size, recv_ts, false)?))
    }

    fn cancel(&mut self, message: &Message<'_>, recv_ts: UnixNanos) -> Result<Record<String>, String> {
        let (price, size) = (digits("p", message.p)?, digits("s", message.s)?);
        let known = self.amended(message, &id("i", message.i)?)?;
        Ok(Record::Trade(self.revised(message, known, price, size, recv_ts, true)?))
    }

    fn revised(
        &self,
        message: &Message<'_>,
        known: Known,
        price: i64,
        size: i64,
        recv_ts: UnixNanos,
        canceled: bool,
    ) -> Result<Trade<String>, String> {
        Ok(Trade {
            symbol: Self::symbol(message)?,
            feed: self.feed.clone(),
            venue: message.x.to_string(),
            id: known.id,
            ts: known.ts,
            recv_ts,
            price: Price::from_billionths(price),
            size: Size::from_billionths(size),
            conditions: known.conditions,
            tape: known.tape,
            revision: known.revision,
            canceled,
        })
    }

    fn quote(&mut self, message: &Message<'_>, recv_ts: UnixNanos) -> Result<Record<String>, String> {
        let side = |name: &str, price: Option<&RawValue>, size: Option<&RawValue>, venue: &str| {
            let price = digits(name, price)?;
            // An empty side is written as a price of zero.
            Ok::<_, String>((price != 0).then_some(Side {
                price: Price::from_billionths(price),
                size: Size::from_billionths(digits("size", size)?),
                venue: venue.to_owned(),
            }))
        };
        let mut quote = Quote {
            symbol: Self::symbol(message)?,
            feed: self.feed.clone(),
            seq: 0,
            ts: Self::time(message)?,
            recv_ts,
            bid: side("bp", message.bp, message.bs, &message.bx)?,
            ask: side("ap", message.ap, message.ask_size, &message.ax)?,
            conditions: conditions(message.c)?,
        };
        quote.seq = quote_number(&quote);
        Ok(Record::Quote(quote))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(frames: &[&str]) -> Vec<Outcome> {
        let mut decoder = Decoder::new("alpaca.sip");
        let mut out = Vec::new();
        for frame in frames {
            decoder.frame(frame, UnixNanos(7), &mut |outcome, _| out.push(outcome)).unwrap();
        }
        out
    }

    fn trade(outcome: &Outcome) -> &Trade<String> {
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
        assert_eq!(
            (corrected.price.to_string(), corrected.conditions.as_str()),
            ("177.8".into(), r#"["@"]"#)
        );
        assert_eq!((&canceled.id, canceled.revision >= 2, canceled.canceled), (&first.id, true, true));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (message, part) in [
            (r#"{"T":"t","S":"A","x":"V","p":1,"s":1,"t":"2021-01-27T10:35:34Z"}"#, "no `i`"),
            (r#"{"T":"t","S":"A","i":1,"x":"V","p":1e3,"s":1,"t":"2021-01-27T10:35:34Z"}"#, "`p`"),
            (r#"{"T":"t","S":"A","i":1,"x":"V","p":1,"s":1,"t":"now"}"#, "`t`"),
            (r#"{"T":"t","S":"A","i":1,"x":"V","p":1,"s":1,"c":[1],"t":"2021-01-27T10:35:34Z"}"#, "`c`"),
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
}
