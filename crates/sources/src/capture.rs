//! A capture of a vendor's stream: a text file with one websocket frame per line, as sent by the vendor.

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
use std::collections::BTreeSet;
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
        return Err(Error::user(format!(
            "frames:{rest}: expected the feed of a known vendor, found {found}"
        ))
        .hint(EXAMPLE));
    };
    Frames::open(path.as_ref(), &feed, decoder)
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
    /// Number of frames emitted.
    done: u64,
    /// Frames that an earlier run published: decoded, so that later corrections find their trades, but not
    /// emitted.
    skip: u64,
    changed: bool,
    unknown: UnknownMessages,
    /// Newest record so far, and the symbols of all.
    latest: Option<UnixNanos>,
    symbols: BTreeSet<String>,
    /// The last line, if the file ends within it.
    incomplete: Vec<String>,
    /// A sequence gap behind the last record.
    missed: Option<String>,
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
            done: 0,
            skip: 0,
            changed: false,
            unknown: UnknownMessages::new(feed),
            latest: None,
            symbols: BTreeSet::new(),
            incomplete: Vec::new(),
            missed: None,
        })
    }

    /// Notes that the file ends within the current line, so that it is read again once the file is complete.
    fn cut(&mut self, reason: &str) {
        self.incomplete.push(format!(
            "{}:{}: expected a complete line, found the end of the file within it: {reason}",
            self.path.display(),
            self.done
        ));
        self.done -= 1;
    }

    /// Reads the next line, without its end. Returns false at the end of the file.
    fn read_line(&mut self) -> Result<bool> {
        self.line.clear();
        let read = self.reader.read_until(b'\n', &mut self.line);
        if read.map_err(ports::error::io("read the capture", &self.path))? == 0 {
            return Ok(false);
        }
        self.is_last = self.line.last() != Some(&b'\n');
        while self.line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            self.line.pop();
        }
        Ok(true)
    }

    fn name(&self) -> String {
        format!("frames:{}", self.path.display())
    }
}

/// What the numbers of the feed show to be missing from the capture: of which symbol is not known for every vendor, so
/// of all so far. It stays open, because a capture has no history.
fn missing(
    feed: &str,
    symbols: &BTreeSet<String>,
    (from, to): (UnixNanos, UnixNanos),
    what: &str,
    origin: &str,
) -> Gap {
    Gap {
        id: format!("{feed}|{origin}"),
        feed: feed.to_owned(),
        symbols: symbols.iter().cloned().collect(),
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
        let kept =
            positions.get(&self.name()).and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
        self.skip = kept.unwrap_or(0);
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
            self.done += 1;
            self.changed = true;
            let origin = format!("{}:{}", self.path.display(), self.done);
            let dead_letter = |reason: String, raw: &[u8]| DeadLetter {
                stage: Stage::Source,
                origin: origin.clone(),
                reason,
                key: String::new(),
                kind: String::new(),
                raw: raw.to_vec(),
                ..DeadLetter::default()
            };
            let pass_over = self.done <= self.skip;
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
                    Ok(FeedMessage::Missed(what)) => self.missed = Some((*what).to_owned()),
                    Ok(FeedMessage::Record(record)) => {
                        let ts = record.ts();
                        if let (Some(what), Some(latest)) = (self.missed.take(), self.latest) {
                            gap = Some(missing(&self.feed, &self.symbols, (latest, ts), &what, &origin));
                        }
                        self.latest = self.latest.max(Some(ts));
                        if !self.symbols.contains(*record.symbol()) {
                            self.symbols.insert((*record.symbol()).to_owned());
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
                    Ok(FeedMessage::Silent | FeedMessage::Missed(_)) => Ok(()),
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
            out.insert(self.name(), self.done.to_string().into_bytes());
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
        self.name()
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
        let positions = Positions::from([(frames.name(), skip.to_string().into_bytes())]);
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

    #[test]
    fn a_line_that_is_not_text_is_kept_and_not_repeated() {
        let text = [trade(7, 1).as_bytes(), b"\n\xff\xfe\x00junk\n\n", trade(8, 2).as_bytes()].concat();
        let expected = ["record BTC/USD", "dead not UTF-8 7", "record BTC/USD"];
        assert_eq!(events(&text, 0), expected);
        assert_eq!(events(&text, 2), expected[2..]);
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
