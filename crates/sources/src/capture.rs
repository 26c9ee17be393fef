//! A capture of a vendor's stream: a text file with one websocket frame per line, as sent by the vendor.

use crate::live::bars_of;
use crate::unknown::UnknownMessages;
use market::codec::feed::{Decode, Message};
use market::codec::json;
use ports::cancel::CancelToken;
use ports::dead_letter::{DeadLetter, Stage};
use ports::notice::Notice;
use ports::options;
use ports::source::{Event, Positions, Source};
use ports::{Error, Result, clock};
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
    lines: std::io::Lines<BufReader<std::fs::File>>,
    /// Number of frames emitted.
    done: u64,
    /// Frames that an earlier run published: decoded, so that later corrections find their trades, but not
    /// emitted.
    skip: u64,
    changed: bool,
    unknown: UnknownMessages,
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
            lines: BufReader::new(file).lines(),
            done: 0,
            skip: 0,
            changed: false,
            unknown: UnknownMessages::new(feed),
        })
    }

    fn name(&self) -> String {
        format!("frames:{}", self.path.display())
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
            let Some(line) = self.lines.next() else { return Ok(false) };
            self.done += 1;
            self.changed = true;
            // A blank line contains no frame.
            if line.as_ref().is_ok_and(|line| line.trim().trim_start_matches('\u{feff}').is_empty()) {
                continue;
            }
            let origin = format!("{}:{}", self.path.display(), self.done);
            let letter = |reason: String, raw: &str| DeadLetter {
                stage: Stage::Source,
                origin: origin.clone(),
                reason,
                key: String::new(),
                kind: String::new(),
                raw: raw.as_bytes().to_vec(),
                ..DeadLetter::default()
            };
            let line = match line {
                Ok(line) => line,
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    sink(Event::Dead(letter("not UTF-8".to_owned(), "")))?;
                    continue;
                }
                Err(error) => return Err(Error::user(format!("read {}: {error}", self.path.display()))),
            };
            let pass_over = self.done <= self.skip;
            let mut failed = None;
            let read = self.decoder.frame(&line, clock::now(), &mut |outcome, raw| {
                if pass_over || failed.is_some() {
                    return;
                }
                let handed = match &outcome {
                    Ok(Message::Record(record)) => {
                        payload.clear();
                        json::encode(record, &mut payload);
                        sink(Event::Record {
                            kind: record.kind(),
                            symbol: record.symbol(),
                            recv_ts: record.recv_ts(),
                            payload: &payload,
                        })
                    }
                    Ok(Message::Bar(given)) => match given.bar(&bars_of(&self.feed)) {
                        Ok(bar) => sink(Event::Bar(&bar)),
                        Err(reason) => sink(Event::Dead(letter(reason, raw))),
                    },
                    Ok(Message::Bands(bands)) => sink(Event::Notice(&Notice::bands(&self.feed, bands))),
                    Ok(Message::Halted { symbol, ts, halted }) => {
                        sink(Event::Notice(&Notice::halt(&self.feed, symbol, *ts, *halted)))
                    }
                    Ok(Message::Silent | Message::Missed(_)) => Ok(()),
                    Ok(Message::Unknown(class)) => {
                        self.unknown.count(class);
                        Ok(())
                    }
                    Err(reason) => sink(Event::Dead(letter(reason.clone(), raw))),
                };
                failed = handed.err();
            });
            if let Some(error) = failed {
                return Err(error);
            }
            if let Err(reason) = read
                && !pass_over
            {
                sink(Event::Dead(letter(reason, &line)))?;
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

    fn size(&self) -> Option<u64> {
        None
    }

    fn describe(&self) -> String {
        self.name()
    }
}
