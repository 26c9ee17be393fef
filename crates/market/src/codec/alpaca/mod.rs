//! Alpaca's market data stream, v2: trades, quotes, corrections and cancels.
//!
//! A frame is a JSON array of messages, distinguished by `T` (docs.alpaca.markets, real-time stock data;
//! alpacahq/alpaca-py `alpaca/data/live`). Numbers are parsed from their digits, never through a float:
//!
//! ```text
//! {"T":"t","S":"AAPL","i":6142,"x":"V","p":177.79,"s":90,"c":["@","I"],"z":"C","t":"2021-01-27T10:35:34.82840127Z"}
//! {"T":"q","S":"AAPL","bx":"V","bp":25.41,"bs":35,"ax":"V","ap":25.43,"as":35,"c":["R"],"z":"B","t":…}
//! {"T":"c","S":"DIA","x":"D","oi":1,"op":349.15,"os":25000,"oc":["7"],"ci":2,"cp":349.2,"cs":25000,"cc":["7"],"z":"B","t":…}
//! {"T":"x","S":"DJT","i":4868,"x":"D","p":36.18,"s":31800,"a":"C","z":"C","t":…}
//! ```
//! History (`/v2/stocks/trades`, `/quotes`) has the same members, without `T` and `S`.
//!
//! A cancel becomes the next revision of its trade, marked as canceled, at that trade's own time: it replaces
//! the row and restates the bars. A correction is a cancel of the old trade and a new trade under the new id,
//! as in history (`u`: `incorrect` and `corrected`), so that both yield the same rows. These messages lack
//! the trade's time, so the decoder remembers it.

mod memory;
#[cfg(test)]
mod tests;

use super::extras;
use super::feed::{Decode, FeedMessage, MessageSink, Outcome, emit, emit_trade, not_an_object, quote_number};
use super::placeholder::{IdMint, Origin};
use super::scan::{Scanner, Value, conditions, unescaped};
use crate::record::{Quote, QuoteSide, Record, Side, Trade};
use crate::{Kind, Price, Size, UnixNanos};
use memory::{KnownTrade, Memory, REMEMBERED};

/// The members of a message that are read.
#[derive(Debug, Clone, Copy, Default)]
struct MessageFields<'a> {
    class: Value<'a>,
    symbol: Value<'a>,
    i: Value<'a>,
    x: Value<'a>,
    p: Value<'a>,
    s: Value<'a>,
    c: Value<'a>,
    z: Value<'a>,
    t: Value<'a>,
    /// History only: `canceled`, or `incorrect` if replaced by a trade that is `corrected`.
    u: Value<'a>,
    /// The taker's side, of crypto: `B` or `S`.
    tks: Value<'a>,
    sc: Value<'a>,
    oi: Value<'a>,
    op: Value<'a>,
    os: Value<'a>,
    oc: Value<'a>,
    ci: Value<'a>,
    cp: Value<'a>,
    cs: Value<'a>,
    cc: Value<'a>,
    bid: [Value<'a>; 3],
    ask: [Value<'a>; 3],
}

impl<'a> MessageFields<'a> {
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
            b"tks" => &mut self.tks,
            b"sc" => &mut self.sc,
            b"oi" => &mut self.oi,
            b"op" => &mut self.op,
            b"os" => &mut self.os,
            b"oc" => &mut self.oc,
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

/// Decodes frames; remembers trades for their corrections.
#[derive(Debug, Default)]
pub struct AlpacaDecoder {
    feed: String,
    memory: Memory,
    mint: IdMint,
    scratch: String,
}

impl AlpacaDecoder {
    /// Creates a decoder for a feed, for example `alpaca.sip`.
    #[must_use]
    pub fn new(feed: &str) -> Self {
        Self { feed: feed.to_owned(), ..Self::default() }
    }

    fn message(&mut self, of: &MessageFields<'_>, recv_ts: UnixNanos, raw: &str, sink: MessageSink<'_>) {
        let class = match of.class {
            Value::Text(class) => class,
            _ => return sink(Err("not a message: missing `T`".to_owned()), raw),
        };
        let done = match class {
            "t" => self.trade(Origin::Stream, of, recv_ts, &mut |outcome| sink(outcome, raw)),
            "q" => self.quote(of, recv_ts, &mut |outcome| sink(outcome, raw)),
            "c" => self.correction(of, recv_ts, &mut |outcome| sink(outcome, raw)),
            "x" => self.cancel(of, recv_ts, &mut |outcome| sink(outcome, raw)),
            "s" => status(of).map(|message| sink(Ok(message), raw)),
            "b" | "u" | "d" | "l" => return extras::alpaca(class, raw, sink),
            "success" | "subscription" | "error" => return sink(Ok(FeedMessage::Silent), raw),
            other => return sink(Ok(FeedMessage::Unknown(other)), raw),
        };
        if let Err(reason) = done {
            sink(Err(reason), raw);
        }
    }

    #[inline]
    fn trade(
        &mut self,
        origin: Origin,
        of: &MessageFields<'_>,
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
            price: of.p.price("p")?,
            size: of.s.size("s")?,
            side: match of.tks.text("tks")? {
                "B" => Side::Buy,
                "S" => Side::Sell,
                _ => Side::Unknown,
            },
            conditions: codes,
            tape: of.z.text("z")?,
            seq: 0,
            revision: 0,
            canceled: matches!(of.u, Value::Text("canceled" | "incorrect")),
        };
        if IdMint::is_placeholder(trade.id) {
            trade.revision = u32::from(trade.canceled);
            return emit_trade(trade, &mut self.mint, origin, take);
        }
        let key = Memory::key(trade.symbol, trade.venue, trade.id);
        let incorrect = matches!(of.u, Value::Text("incorrect"));
        let mut revision = 0;
        match self.memory.find(key).copied() {
            // Its time is the trade's own on both paths.
            Some(mut known) if matches!(of.u, Value::Text("corrected")) => {
                if known.incorrect {
                    // The correction keeps the id.
                    let revision = known.revision + 2;
                    known = KnownTrade { canceled: false, incorrect: false, revision, ..known };
                    self.memory.remember(key, known);
                }
                (trade.ts, trade.canceled, revision) = (UnixNanos(known.ts), known.canceled, known.revision);
            }
            Some(known) if known.ts == trade.ts.0 && incorrect => {
                if known.revision == 0 {
                    self.memory.remember(key, KnownTrade { canceled: true, incorrect: true, ..known });
                }
            }
            // A repeat of what was corrected since under the same id.
            Some(known) if known.ts == trade.ts.0 && known.revision > 0 => return Ok(()),
            // A trade that was canceled since is not restored by a repeat.
            Some(known) if known.ts == trade.ts.0 => trade.canceled |= known.canceled,
            _ => {
                let (conditions, tape) = (self.memory.keep(codes), self.memory.keep(trade.tape));
                let (ts, canceled) = (trade.ts.0, trade.canceled);
                let known = KnownTrade { ts, conditions, tape, canceled, incorrect, revision: 0 };
                self.memory.remember(key, known);
            }
        }
        trade.revision = revision + u32::from(trade.canceled);
        emit(Record::Trade(trade), take)
    }

    /// The old trade is canceled; the new one has its time.
    fn correction(
        &mut self,
        of: &MessageFields<'_>,
        recv_ts: UnixNanos,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        let (old, new, tape) = (of.oi.id("oi")?, of.ci.id("ci")?, of.z.text("z")?);
        let [was, is] = [[of.op, of.os], [of.cp, of.cs]]
            .map(|[price, size]| Ok::<_, String>((price.price("op, cp")?, size.size("os, cs")?)));
        let (was, is) = (was?, is?);
        let tape = self.memory.keep(tape);
        let old_conditions = self.memory.keep(conditions(of.oc, "oc", &mut self.scratch)?);
        let says = self.memory.keep(conditions(of.cc, "cc", &mut self.scratch)?);
        let known = self.cancels(of, old)?;
        let (before, after) = (
            KnownTrade { conditions: old_conditions, tape, ..known },
            KnownTrade {
                conditions: says,
                tape,
                canceled: false,
                // The higher revision of a trade counts.
                revision: if old == new { known.revision + 2 } else { 0 },
                ..known
            },
        );
        self.memory.remember(Memory::key(of.symbol.needed("S")?, of.x.text("x")?, new), after);
        self.emit_amended(of, &before, old, was, recv_ts, take)?;
        self.emit_amended(of, &after, new, is, recv_ts, take)
    }

    fn cancel(
        &mut self,
        of: &MessageFields<'_>,
        recv_ts: UnixNanos,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        let (price, size, id) = (of.p.price("p")?, of.s.size("s")?, of.i.id("i")?);
        let known = self.cancels(of, id)?;
        self.emit_amended(of, &known, id, (price, size), recv_ts, take)
    }

    fn cancels(&mut self, of: &MessageFields<'_>, id: &str) -> Result<KnownTrade, String> {
        let (symbol, venue) = (of.symbol.needed("S")?, of.x.text("x")?);
        self.memory.cancel(Memory::key(symbol, venue, id)).ok_or_else(|| {
            format!(
                "it amends trade {id} of {symbol} on {venue}, which is not among the last {REMEMBERED} seen"
            )
        })
    }

    /// A trade with known time, conditions and state.
    fn emit_amended(
        &self,
        of: &MessageFields<'_>,
        known: &KnownTrade,
        id: &str,
        (price, size): (Price, Size),
        recv_ts: UnixNanos,
        take: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        let trade = Trade {
            symbol: of.symbol.needed("S")?,
            feed: self.feed.as_str(),
            venue: of.x.text("x")?,
            id,
            ts: UnixNanos(known.ts),
            recv_ts,
            price,
            size,
            side: Side::Unknown,
            conditions: self.memory.text(known.conditions),
            tape: self.memory.text(known.tape),
            seq: 0,
            revision: known.revision + u32::from(known.canceled),
            canceled: known.canceled,
        };
        emit(Record::Trade(trade), take)
    }

    fn quote(
        &mut self,
        of: &MessageFields<'_>,
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
        emit(Record::Quote(quote), take)
    }
}

/// A trading status: CTA's codes are digits, UTP's letters (docs.alpaca.markets, trading status).
fn status<'a>(of: &MessageFields<'a>) -> Result<FeedMessage<'a>, String> {
    let halted = match of.sc.needed("sc")? {
        // Halted; volatility pause.
        "2" | "H" | "P" => true,
        // Resumed.
        "3" | "T" => false,
        _ => return Ok(FeedMessage::Silent),
    };
    Ok(FeedMessage::Halted { symbol: of.symbol.needed("S")?, ts: of.t.time("t")?, halted })
}

/// One side of a quote; an absent one has a price of zero.
pub(super) fn side<'a>(
    [price, size, venue]: [Value<'a>; 3],
    names: [&str; 3],
) -> Result<Option<QuoteSide<&'a str>>, String> {
    let price = price.price(names[0])?;
    if price == Price::ZERO {
        return Ok(None);
    }
    let size = size.size(names[1])?;
    Ok(Some(QuoteSide { price, size, venue: venue.text(names[2])? }))
}

impl Decode for AlpacaDecoder {
    fn frame(&mut self, frame: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) -> Result<(), String> {
        let frame = &*unescaped(frame);
        let mut scanner = Scanner::new(frame);
        scanner.array(|scanner| {
            let from = scanner.at();
            let mut members = MessageFields::default();
            if let Some(element) = scanner.object_or_value(|name, value| members.set(name, value))? {
                not_an_object(element, scanner.since(from), sink);
                return Ok(());
            }
            self.message(&members, recv_ts, scanner.since(from), sink);
            Ok::<(), String>(())
        })?;
        Ok(scanner.end()?)
    }

    fn past(&mut self, kind: Kind, symbol: &str, raw: &str, recv_ts: UnixNanos, sink: MessageSink<'_>) {
        let raw = &*unescaped(raw);
        let mut members = MessageFields::default();
        let mut scanner = Scanner::new(raw);
        let read = scanner.object(|name, value| members.set(name, value)).and_then(|()| scanner.end());
        members.symbol = Value::Text(symbol);
        let done = read.map_err(String::from).and_then(|()| match kind {
            Kind::TRADE => self.trade(Origin::History, &members, recv_ts, &mut |outcome| sink(outcome, raw)),
            Kind::QUOTE => self.quote(&members, recv_ts, &mut |outcome| sink(outcome, raw)),
            _ => Err(format!("the vendor has no {}", kind.plural())),
        });
        if let Err(reason) = done {
            sink(Err(reason), raw);
        }
    }

    fn rewind(&mut self) {
        self.mint.rewind();
    }
}
