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

mod memory;
#[cfg(test)]
mod tests;

use super::feed::{Decode, Message, Outcome, Sink, quote_number};
use super::scan::{Scanner, Value, conditions};
use crate::record::{Quote, Record, Side, Trade};
use crate::{Kind, Price, Size, UnixNanos};
use memory::{Key, Known, Memory, REMEMBERED};

/// The members of a message that are looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Members<'a> {
    class: Value<'a>,
    symbol: Value<'a>,
    i: Value<'a>,
    x: Value<'a>,
    p: Value<'a>,
    s: Value<'a>,
    c: Value<'a>,
    z: Value<'a>,
    t: Value<'a>,
    /// Of history: `canceled`, `corrected`, `incorrect`.
    u: Value<'a>,
    oi: Value<'a>,
    ci: Value<'a>,
    cp: Value<'a>,
    cs: Value<'a>,
    cc: Value<'a>,
    bid: [Value<'a>; 3],
    ask: [Value<'a>; 3],
}

impl<'a> Members<'a> {
    #[inline]
    fn set(&mut self, name: &str, value: Value<'a>) {
        let place = match name.as_bytes() {
            b"T" => &mut self.class,
            b"S" => &mut self.symbol,
            b"i" => &mut self.i,
            b"x" => &mut self.x,
            b"p" => &mut self.p,
            b"s" => &mut self.s,
            b"c" => &mut self.c,
            b"z" => &mut self.z,
            b"t" => &mut self.t,
            b"u" => &mut self.u,
            b"oi" => &mut self.oi,
            b"ci" => &mut self.ci,
            b"cp" => &mut self.cp,
            b"cs" => &mut self.cs,
            b"cc" => &mut self.cc,
            b"bp" => &mut self.bid[0],
            b"bs" => &mut self.bid[1],
            b"bx" => &mut self.bid[2],
            b"ap" => &mut self.ask[0],
            b"as" => &mut self.ask[1],
            b"ax" => &mut self.ask[2],
            _ => return,
        };
        *place = value;
    }
}

/// Reads frames; remembers trades for their corrections.
#[derive(Debug, Default)]
pub struct Decoder {
    feed: String,
    memory: Memory,
    scratch: String,
}

impl Decoder {
    /// Of a feed, as `alpaca.sip`.
    #[must_use]
    pub fn new(feed: &str) -> Self {
        Self { feed: feed.to_owned(), ..Self::default() }
    }

    fn message(&mut self, of: &Members<'_>, recv_ts: UnixNanos, raw: &str, sink: Sink<'_>) {
        let class = match of.class {
            Value::Text(class) => class,
            _ => return sink(Err("not a message: no `T`".to_owned()), raw),
        };
        let done = match class {
            "t" => self.trade(of, recv_ts, &mut |outcome| sink(outcome, raw)),
            "q" => self.quote(of, recv_ts, &mut |outcome| sink(outcome, raw)),
            "c" => self.correction(of, recv_ts, &mut |outcome| sink(outcome, raw)),
            "x" => self.cancel(of, recv_ts, &mut |outcome| sink(outcome, raw)),
            // Control, bars, statuses, bands, imbalances: not records.
            _ => return sink(Ok(Message::Silent), raw),
        };
        if let Err(reason) = done {
            sink(Err(reason), raw);
        }
    }

    #[inline]
    fn trade(
        &mut self,
        of: &Members<'_>,
        recv_ts: UnixNanos,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        let codes = conditions(of.c, "c", &mut self.scratch)?;
        let mut trade = Trade {
            symbol: of.symbol.needed("S")?,
            feed: self.feed.as_str(),
            venue: of.x.text("x")?,
            id: of.i.id("i")?,
            ts: of.t.time("t")?,
            recv_ts,
            price: Price::from_billionths(of.p.billionths("p")?),
            size: Size::from_billionths(of.s.billionths("s")?),
            conditions: codes,
            tape: of.z.text("z")?,
            revision: 0,
            canceled: matches!(of.u, Value::Text("canceled" | "incorrect")),
        };
        trade.revision = u32::from(trade.canceled);
        let key = Memory::key(trade.symbol, trade.venue, trade.id);
        if let Some(known) = self.memory.find(key).copied()
            && known.revision > 0
        {
            // One amended since is not taken back to what it was.
            trade.revision = trade.revision.max(known.revision);
            if let Some(first) = known.first {
                trade.id = self.memory.text(first);
            }
        } else {
            let (conditions, tape) = (self.memory.keep(codes), self.memory.keep(trade.tape));
            let known = Known { ts: trade.ts.0, revision: trade.revision, conditions, tape, first: None };
            self.memory.remember(key, known);
        }
        take(Ok(Message::Record(Record::Trade(trade))));
        Ok(())
    }

    fn amend(&mut self, of: &Members<'_>, id: &str) -> Result<(Key, Known), String> {
        let (symbol, venue) = (of.symbol.needed("S")?, of.x.text("x")?);
        let key = Memory::key(symbol, venue, id);
        let known = self.memory.amend(key).ok_or_else(|| {
            format!(
                "it amends trade {id} of {symbol} on {venue}, which is not among the last {REMEMBERED} seen"
            )
        })?;
        Ok((key, known))
    }

    fn correction(
        &mut self,
        of: &Members<'_>,
        recv_ts: UnixNanos,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        let (price, size) = (of.cp.billionths("cp")?, of.cs.billionths("cs")?);
        let (old, new) = (of.oi.id("oi")?, of.ci.id("ci")?);
        let tape = of.z.text("z")?;
        let codes = self.memory.keep(conditions(of.cc, "cc", &mut self.scratch)?);
        let (_, mut known) = self.amend(of, old)?;
        known.conditions = codes;
        known.tape = self.memory.keep(tape);
        let first = known.first.unwrap_or_else(|| self.memory.keep(old));
        known.first = Some(first);
        // A correction of the correction names the new id; it is still about the same trade.
        self.memory.remember(Memory::key(of.symbol.needed("S")?, of.x.text("x")?, new), known);
        self.revised(of, &known, self.memory.text(first), [price, size], recv_ts, false, take)
    }

    fn cancel(
        &mut self,
        of: &Members<'_>,
        recv_ts: UnixNanos,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        let (price, size) = (of.p.billionths("p")?, of.s.billionths("s")?);
        let id = of.i.id("i")?;
        let (_, known) = self.amend(of, id)?;
        let first = known.first.map_or(id, |first| self.memory.text(first));
        self.revised(of, &known, first, [price, size], recv_ts, true, take)
    }

    #[allow(clippy::too_many_arguments, reason = "the members of a trade")]
    fn revised(
        &self,
        of: &Members<'_>,
        known: &Known,
        id: &str,
        [price, size]: [i64; 2],
        recv_ts: UnixNanos,
        canceled: bool,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        take(Ok(Message::Record(Record::Trade(Trade {
            symbol: of.symbol.needed("S")?,
            feed: &self.feed,
            venue: of.x.text("x")?,
            id,
            ts: UnixNanos(known.ts),
            recv_ts,
            price: Price::from_billionths(price),
            size: Size::from_billionths(size),
            conditions: self.memory.text(known.conditions),
            tape: self.memory.text(known.tape),
            revision: known.revision,
            canceled,
        }))));
        Ok(())
    }

    fn quote(
        &mut self,
        of: &Members<'_>,
        recv_ts: UnixNanos,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        let mut quote = Quote {
            symbol: of.symbol.needed("S")?,
            feed: self.feed.as_str(),
            seq: 0,
            ts: of.t.time("t")?,
            recv_ts,
            bid: side(of.bid, ["bp", "bs", "bx"])?,
            ask: side(of.ask, ["ap", "as", "ax"])?,
            conditions: conditions(of.c, "c", &mut self.scratch)?,
        };
        quote.seq = quote_number(&quote, 0);
        take(Ok(Message::Record(Record::Quote(quote))));
        Ok(())
    }
}

/// A side of a quote; an empty one is written as a price of zero.
pub(super) fn side<'a>(
    [price, size, venue]: [Value<'a>; 3],
    names: [&str; 3],
) -> Result<Option<Side<&'a str>>, String> {
    let price = price.billionths(names[0])?;
    if price == 0 {
        return Ok(None);
    }
    let size = Size::from_billionths(size.billionths(names[1])?);
    Ok(Some(Side { price: Price::from_billionths(price), size, venue: venue.text(names[2])? }))
}

impl Decode for Decoder {
    fn frame(&mut self, frame: &str, recv_ts: UnixNanos, sink: Sink<'_>) -> Result<(), String> {
        let mut scanner = Scanner::new(frame);
        scanner.array(|scanner| {
            let from = scanner.at();
            let mut members = Members::default();
            scanner.object(|name, value| members.set(name, value))?;
            self.message(&members, recv_ts, scanner.since(from), sink);
            Ok::<(), String>(())
        })?;
        Ok(scanner.end()?)
    }

    fn past(&mut self, kind: Kind, symbol: &str, raw: &str, recv_ts: UnixNanos, sink: Sink<'_>) {
        let mut members = Members::default();
        let mut scanner = Scanner::new(raw);
        let read = scanner.object(|name, value| members.set(name, value)).and_then(|()| scanner.end());
        members.symbol = Value::Text(symbol);
        let done = read.map_err(String::from).and_then(|()| match kind {
            Kind::Trade => self.trade(&members, recv_ts, &mut |outcome| sink(outcome, raw)),
            Kind::Quote => self.quote(&members, recv_ts, &mut |outcome| sink(outcome, raw)),
        });
        if let Err(reason) = done {
            sink(Err(reason), raw);
        }
    }
}
