//! A capture of a vendor's stream: a text file with one websocket frame per line, as sent by the vendor.
//!
//! The position of a file is the number of lines that were read, with their hash: a file that was replaced under its name is
//! read from its beginning, and so is one that is read as another feed.

use crate::live::bars_of;
use crate::unknown::UnknownMessages;
use market::UnixNanos;
use market::codec::feed::{Decode, FeedMessage};
use market::codec::json;
use ports::cancel::CancelToken;
use ports::dead_letter::{DeadLetter, Stage};
use ports::gap::{Gap, GapState};
use ports::notice::Notice;
use ports::options;
use ports::source::{Event, Positions, Source};
use ports::{Error, Result, clock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Opens `FILE?feed=LABEL`.
///
/// # Errors
/// The feed is missing or its vendor unknown, an option is unknown, or the file cannot be opened.
pub fn open(rest: &str) -> Result<Frames> {
    const EXAMPLE: &str = "--source 'frames:FILE?feed=alpaca.sip', one frame a line";
    let (path, options) = options::split(rest);
    let mut feed = String::new();
    options.each(|option| match option.name.as_str() {
        "feed" => {
            option.value.clone_into(&mut feed);
            Ok(())
        }
        _ => Err(option.error("unknown option; expected feed").hint(EXAMPLE)),
    })?;
    let Some(decoder) = crate::live::decoder(&feed) else {
        let found = if feed.is_empty() { "none".to_owned() } else { format!("`{feed}`") };
        return Err(Error::usage(format!(
            "frames:{rest}: expected the feed of a known vendor, found {found}"
        ))
        .hint(EXAMPLE));
    };
    Frames::open(path.as_ref(), &feed, decoder)
}

/// Lines of a capture that are read to find its vendor.
const SAMPLE: usize = 200;

/// The vendors whose messages the first lines of a capture `FILE?feed=LABEL` are, except the one that it names.
#[must_use]
pub fn other_vendors(rest: &str) -> Vec<&'static str> {
    let (path, options) = options::split(rest);
    let mut named = String::new();
    let _ = options.each(|option| {
        if option.name == "feed" {
            option.value.clone_into(&mut named);
        }
        Ok(())
    });
    let Ok(file) = crate::files::open(path.as_ref()) else { return Vec::new() };
    let lines: Vec<String> = BufReader::new(file).lines().take(SAMPLE).map_while(Result::ok).collect();
    let is_of = |scheme: &&'static str| {
        let Some(mut decoder) = crate::live::decoder(scheme) else { return false };
        let mut found = false;
        for line in &lines {
            let _ = decoder.frame(line, clock::now(), &mut |outcome, _| {
                found |= matches!(outcome, Ok(FeedMessage::Record(_) | FeedMessage::Bar(_)));
            });
        }
        found
    };
    crate::live::schemes().filter(|scheme| !named.starts_with(scheme)).filter(is_of).collect()
}

/// Maximum number of frames emitted at once.
const AT_ONCE: usize = 256;

/// The frames of one file.
#[derive(Debug)]
pub struct Frames {
    path: PathBuf,
    feed: String,
    decoder: Box<dyn Decode>,
    reader: BufReader<std::fs::File>,
    /// The current line.
    line: Vec<u8>,
    /// Whether the file ends with it, without a line break.
    is_last: bool,
    /// Lines read, and before the current one.
    done: Position,
    before: Position,
    /// Frames that an earlier run published: decoded, so that later corrections find their trades, but not
    /// emitted.
    skip: u64,
    changed: bool,
    unknown: UnknownMessages,
    /// Time of the newest record so far, and of each symbol's newest.
    latest: Option<UnixNanos>,
    symbols: BTreeMap<String, UnixNanos>,
    /// The last line, if the file ends within it.
    incomplete: Vec<String>,
    /// A sequence gap behind the last record, and its symbol if the numbers are those of one.
    missed: Option<(String, Option<String>)>,
}

impl Frames {
    /// Frames of a feed, decoded by `decoder`.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path, feed: &str, decoder: Box<dyn Decode>) -> Result<Self> {
        let file = crate::files::open(path).map_err(ports::error::io("open the capture", path))?;
        Ok(Self {
            path: path.to_owned(),
            feed: feed.to_owned(),
            decoder,
            reader: BufReader::new(file),
            line: Vec::new(),
            is_last: false,
            done: Position::default(),
            before: Position::default(),
            skip: 0,
            changed: false,
            unknown: UnknownMessages::new(feed),
            latest: None,
            symbols: BTreeMap::new(),
            incomplete: Vec::new(),
            missed: None,
        })
    }

    /// Notes that the file ends within the current line, so that it is read again once the file is complete.
    fn cut(&mut self, reason: &str) {
        self.incomplete.push(format!(
            "{}:{}: expected a complete line, found the end of the file within it: {reason}",
            self.path.display(),
            self.done.lines
        ));
        self.done = self.before;
    }

    /// Reads the next line, without its end. Returns false at the end of the file.
    fn read_line(&mut self) -> Result<bool> {
        self.line.clear();
        let read = self.reader.read_until(b'\n', &mut self.line);
        if read.map_err(ports::error::io("read the capture", &self.path))? == 0 {
            return Ok(false);
        }
        self.is_last = self.line.last() != Some(&b'\n');
        self.line.truncate(without_end(&self.line).len());
        Ok(true)
    }

    /// Name of the position.
    fn name(&self) -> String {
        format!("{}?feed={}", self.describe(), self.feed)
    }

    /// The position after this many lines; `None` if the file has fewer.
    fn position_after(&self, lines: u64) -> Result<Option<Position>> {
        let fail = ports::error::io("read the capture", &self.path);
        let mut reader = BufReader::new(crate::files::open(&self.path).map_err(&fail)?);
        let (mut position, mut line) = (Position::default(), Vec::new());
        while position.lines < lines {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(&fail)? == 0 {
                return Ok(None);
            }
            position = position.after(without_end(&line));
        }
        Ok(Some(position))
    }
}

/// How far a file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    lines: u64,
    /// FNV-1a of the lines. A kept position depends on it: it must never change.
    hash: u64,
}

impl Default for Position {
    fn default() -> Self {
        Self { lines: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Position {
    fn after(self, line: &[u8]) -> Self {
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Self { lines: self.lines + 1, hash: line.iter().chain(b"\n").fold(self.hash, mix) }
    }
}

/// A line without its line break.
fn without_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    &line[..end]
}

/// What the numbers of the feed show to be missing from the capture: of one symbol, or of all so far where the vendor
/// numbers messages. It stays open, because a capture has no history.
fn missing(
    feed: &str,
    symbols: Vec<String>,
    (from, to): (UnixNanos, UnixNanos),
    what: &str,
    origin: &str,
) -> Gap {
    Gap {
        id: format!("{feed}|{origin}"),
        feed: feed.to_owned(),
        symbols,
        from: from.min(to).to_string(),
        to: Some(from.max(to).to_string()),
        cause: format!("sequence gap in the capture: {what}"),
        state: GapState::Open,
        proof: None,
        note: Some("a capture has no history; backfill it from the vendor".to_owned()),
        offsets: None,
    }
}

impl Source for Frames {
    fn resume(&mut self, positions: &Positions) -> Result<u64> {
        let kept: Option<Position> =
            positions.get(&self.name()).and_then(|bytes| serde_json::from_slice(bytes).ok());
        if let Some(kept) = kept {
            if self.position_after(kept.lines)? == Some(kept) {
                self.skip = kept.lines;
            } else {
                tracing::warn!(file = %self.path.display(), "the capture has changed since it was read: reading it from its beginning");
            }
        }
        Ok(self.skip)
    }

    fn next(&mut self, stop: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        let mut payload = Vec::new();
        for _ in 0..AT_ONCE {
            if stop.is_cancelled() {
                return Ok(true);
            }
            if !self.read_line()? {
                return Ok(false);
            }
            self.before = self.done;
            self.done = self.done.after(&self.line);
            self.changed = true;
            let origin = format!("{}:{}", self.path.display(), self.done.lines);
            let dead_letter = |reason: String, raw: &[u8]| DeadLetter {
                stage: Stage::Source,
                origin: origin.clone(),
                reason,
                key: String::new(),
                kind: String::new(),
                raw: raw.to_vec(),
                ..DeadLetter::default()
            };
            let pass_over = self.done.lines <= self.skip;
            let Ok(line) = std::str::from_utf8(&self.line) else {
                if !pass_over {
                    sink(Event::Dead(dead_letter("not UTF-8".to_owned(), &self.line)))?;
                }
                if self.is_last {
                    self.cut("not UTF-8");
                    return Ok(false);
                }
                continue;
            };
            // A blank line contains no frame.
            if line.trim().trim_start_matches('\u{feff}').is_empty() {
                continue;
            }
            let mut failed = None;
            let read = self.decoder.frame(line, clock::now(), &mut |outcome, raw| {
                if failed.is_some() {
                    return;
                }
                // What was published before is not emitted again, and must be known all the same.
                let mut gap = None;
                match &outcome {
                    Ok(FeedMessage::Missed { what, symbol }) => {
                        self.missed = Some(((*what).to_owned(), symbol.map(str::to_owned)));
                    }
                    Ok(FeedMessage::Record(record)) => {
                        let ts = record.ts();
                        if let (Some((what, symbol)), Some(latest)) = (self.missed.take(), self.latest) {
                            let last = symbol.as_deref().and_then(|symbol| self.symbols.get(symbol));
                            let symbols = match (&symbol, last) {
                                (Some(symbol), Some(_)) => vec![symbol.clone()],
                                _ => self.symbols.keys().cloned().collect(),
                            };
                            let from = last.map_or(latest, |last| latest.min(*last));
                            gap = Some(missing(&self.feed, symbols, (from, ts), &what, &origin));
                        }
                        self.latest = self.latest.max(Some(ts));
                        match self.symbols.get_mut(*record.symbol()) {
                            Some(last) => *last = ts.max(*last),
                            None => drop(self.symbols.insert((*record.symbol()).to_owned(), ts)),
                        }
                    }
                    _ => {}
                }
                if pass_over {
                    return;
                }
                // As from a stream: it is found, and then its end is known.
                failed = gap.and_then(|gap: Gap| {
                    let found = Gap { to: None, ..gap.clone() };
                    sink(Event::Gap(&found)).and_then(|()| sink(Event::Gap(&gap))).err()
                });
                if failed.is_some() {
                    return;
                }
                let handed = match &outcome {
                    Ok(FeedMessage::Record(record)) => {
                        payload.clear();
                        json::encode(record, &mut payload);
                        sink(Event::Record {
                            kind: record.kind(),
                            symbol: record.symbol(),
                            recv_ts: record.recv_ts(),
                            payload: &payload,
                        })
                    }
                    Ok(FeedMessage::Bar(given)) => match given.bar(&bars_of(&self.feed)) {
                        Ok(bar) => sink(Event::Bar(&bar)),
                        Err(reason) => sink(Event::Dead(dead_letter(reason, raw.as_bytes()))),
                    },
                    Ok(FeedMessage::Bands(bands)) => sink(Event::Notice(&Notice::bands(&self.feed, bands))),
                    Ok(FeedMessage::Halted { symbol, ts, halted }) => {
                        sink(Event::Notice(&Notice::halt(&self.feed, symbol, *ts, *halted)))
                    }
                    Ok(FeedMessage::Silent | FeedMessage::Missed { .. }) => Ok(()),
                    Ok(FeedMessage::Unknown(class)) => {
                        self.unknown.count(class);
                        Ok(())
                    }
                    Err(reason) => sink(Event::Dead(dead_letter(reason.clone(), raw.as_bytes()))),
                };
                failed = handed.err();
            });
            if let Some(error) = failed {
                return Err(error);
            }
            if let Err(reason) = read {
                if !pass_over {
                    sink(Event::Dead(dead_letter(reason.clone(), line.as_bytes())))?;
                }
                if self.is_last {
                    self.cut(&reason);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn positions(&mut self) -> Positions {
        let mut out = Positions::new();
        if std::mem::take(&mut self.changed) {
            // Two numbers: this does not fail.
            out.insert(self.name(), serde_json::to_vec(&self.done).unwrap_or_default());
        }
        out
    }

    fn incomplete(&self) -> &[String] {
        &self.incomplete
    }

    fn size(&self) -> Option<u64> {
        None
    }

    fn describe(&self) -> String {
        format!("frames:{}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(number: u32, second: u32) -> String {
        format!(
            r#"{{"channel":"trade","type":"update","data":[{{"symbol":"BTC/USD","side":"buy","price":100.5,"qty":1,"ord_type":"market","trade_id":{number},"timestamp":"2025-05-28T13:30:{second:02}Z"}}]}}"#
        )
    }

    /// Events of a file, after an earlier run published this many of its lines.
    fn events(text: &[u8], skip: u64) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("capture.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut frames = open(&format!("{}?feed=kraken", path.display())).unwrap();
        let position = frames.position_after(skip).unwrap().unwrap();
        let positions = Positions::from([(frames.name(), serde_json::to_vec(&position).unwrap())]);
        assert_eq!(frames.resume(&positions).unwrap(), skip);
        let mut out = Vec::new();
        while frames
            .next(&CancelToken::default(), &mut |event| {
                out.push(match event {
                    Event::Record { symbol, .. } => format!("record {symbol}"),
                    Event::Dead(letter) => format!("dead {} {}", letter.reason, letter.raw.len()),
                    Event::Gap(gap) => {
                        format!("gap {} {} {:?} {}", gap.from, gap.cause, gap.to, gap.symbols.join(","))
                    }
                    _ => "other".to_owned(),
                });
                Ok(())
            })
            .unwrap()
        {}
        out
    }

    #[test]
    fn what_the_numbers_of_a_capture_show_to_be_missing_is_a_gap() {
        let text = [trade(7, 1), trade(8, 2), trade(11, 5), trade(12, 6)].join("\r\n");
        let gap = r#"gap 2025-05-28T13:30:02Z sequence gap in the capture: trades 9 to 10 of BTC/USD were not sent Some("2025-05-28T13:30:05Z") BTC/USD"#;
        let found = gap.replace(r#"Some("2025-05-28T13:30:05Z")"#, "None");
        let found = found.as_str();
        let record = "record BTC/USD";
        assert_eq!(events(text.as_bytes(), 0), [record, record, found, gap, record, record]);
        // A run that resumes behind the gap found it before, and one that resumes before it finds the same.
        assert_eq!(events(text.as_bytes(), 3), [record]);
        assert_eq!(events(text.as_bytes(), 2), [found, gap, record, record]);
    }

    /// The trades may have been lost long before the other symbol's last one.
    #[test]
    fn a_gap_of_one_symbol_begins_at_its_own_last_trade() {
        let eth = |number, second| trade(number, second).replace("BTC", "ETH");
        let text = [trade(7, 1), eth(50, 2), eth(51, 40), trade(11, 45), eth(52, 46)].join("\n");
        let gap = r#"gap 2025-05-28T13:30:01Z sequence gap in the capture: trades 8 to 10 of BTC/USD were not sent Some("2025-05-28T13:30:45Z") BTC/USD"#;
        assert!(events(text.as_bytes(), 0).contains(&gap.to_owned()), "{:?}", events(text.as_bytes(), 0));
    }

    #[test]
    fn a_line_that_is_not_text_is_kept_and_not_repeated() {
        let text = [trade(7, 1).as_bytes(), b"\n\xff\xfe\x00junk\n\n", trade(8, 2).as_bytes()].concat();
        let expected = ["record BTC/USD", "dead not UTF-8 7", "record BTC/USD"];
        assert_eq!(events(&text, 0), expected);
        assert_eq!(events(&text, 2), expected[2..]);
    }

    /// Neither a file that was replaced under its name, nor one first read as the wrong feed, is skipped.
    #[test]
    fn only_lines_that_were_read_as_this_feed_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("capture.jsonl");
        let read = |text: &str, feed: &str, positions: &mut Positions| {
            std::fs::write(&path, text).unwrap();
            let mut frames = open(&format!("{}?feed={feed}", path.display())).unwrap();
            let (resumed, mut records) = (frames.resume(positions).unwrap(), 0);
            let mut sink = |event: Event<'_>| {
                records += i32::from(matches!(event, Event::Record { .. }));
                Ok(())
            };
            while frames.next(&CancelToken::default(), &mut sink).unwrap() {}
            positions.extend(frames.positions());
            (resumed, records)
        };
        let (first, mut positions) = (trade(7, 1) + "\n", Positions::new());
        assert_eq!(read(&first, "coinbase", &mut positions), (0, 0));
        assert_eq!(read(&first, "kraken", &mut positions), (0, 1));
        let longer = first + &trade(8, 2) + "\n";
        assert_eq!(read(&longer, "kraken", &mut positions), (1, 1));
        assert_eq!(read(&longer, "kraken", &mut positions), (2, 0));
        let other = trade(9, 3) + "\n" + &trade(10, 4) + "\n" + &trade(11, 5) + "\n";
        assert_eq!(read(&other, "kraken", &mut positions), (0, 3));
        // Shorter than what was read.
        assert_eq!(read(&(trade(12, 6) + "\n"), "kraken", &mut positions), (0, 1));
    }

    /// What was cut off is not skipped once the file is complete.
    #[test]
    fn a_file_that_ends_within_a_line_is_incomplete_and_that_line_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("capture.jsonl");
        let text = [trade(7, 1), trade(8, 2)].join("\n");
        let read = |text: &str, positions: &Positions| {
            std::fs::write(&path, text).unwrap();
            let mut frames = open(&format!("{}?feed=kraken", path.display())).unwrap();
            frames.resume(positions).unwrap();
            let (mut records, mut dead) = (0, 0);
            while frames
                .next(&CancelToken::default(), &mut |event| {
                    match event {
                        Event::Record { .. } => records += 1,
                        Event::Dead(_) => dead += 1,
                        _ => {}
                    }
                    Ok(())
                })
                .unwrap()
            {}
            (records, dead, frames.incomplete().to_vec(), frames.positions())
        };
        let (records, dead, incomplete, positions) = read(&text[..text.len() - 9], &Positions::new());
        assert_eq!((records, dead, incomplete.len()), (1, 1, 1));
        assert!(incomplete[0].contains("capture.jsonl:2: expected a complete line"), "{incomplete:?}");
        let (records, dead, incomplete, _) = read(&text, &positions);
        assert_eq!((records, dead, incomplete.len()), (1, 0, 0));
    }
}
