//! Readings from a file or from standard input, a line at a time.
//!
//! The position of a file is the offset behind the last line that was emitted, with a hash of the file's beginning:
//! a file that was replaced under its name is read from its start. Standard input has no position. Reading a line again
//! changes nothing in the store, as its readings have the same identity, unless their time is the time of receipt.

use super::options::Declared;
use market::codec::json;
use market::codec::lines::{LineDecoder, LineFormat};
use market::{Kind, Record};
use ports::cancel::CancelToken;
use ports::dead_letter::{DeadLetter, Stage};
use ports::options::split;
use ports::source::{Event, Positions, Source};
use ports::{Error, Result, clock};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXAMPLE: &str = "--source 'lines:FILE?format=csv&series={device}.{field}&value=temperature,humidity'; FILE `-` is standard input";
/// Lines emitted at once.
const AT_ONCE: usize = 256;
/// Longest line, bytes.
const LONGEST: u64 = 1 << 20;
/// Bytes at a file's beginning that tell whether it is still the same file.
const HEAD: usize = 1_024;
/// How long to wait for more where the file is followed.
const NAP: Duration = Duration::from_millis(100);

/// Opens `FILE?format=influx|ndjson|csv&…`.
///
/// # Errors
/// An option is unknown or wrong, or the file cannot be opened.
pub fn open(rest: &str) -> Result<Lines> {
    let (path, options) = split(rest);
    let mut follow = false;
    let declared = Declared::read(options, "lines", EXAMPLE, |option| {
        if option.name != "follow" {
            return Ok(false);
        }
        follow = match option.value.as_str() {
            "true" | "" => true,
            "false" => false,
            _ => return Err(option.error("expected true or false").hint(EXAMPLE)),
        };
        Ok(true)
    })?;
    if path.is_empty() {
        return Err(Error::user(format!("`lines:{rest}` names no file")).hint(EXAMPLE));
    }
    Lines::open(path.as_ref(), &declared, follow)
}

/// The lines of one file.
pub struct Lines {
    path: PathBuf,
    feed: String,
    format: LineFormat,
    decoder: LineDecoder,
    reader: Box<dyn BufRead + Send>,
    /// `None` for standard input.
    head: Option<Head>,
    size: Option<u64>,
    follow: bool,
    position: Position,
    changed: bool,
    /// A line as far as it has come.
    line: Vec<u8>,
    /// Bytes of the line that were left out because it is too long.
    skipped: u64,
    /// The last line, if the file ends within it.
    incomplete: Vec<String>,
    payload: Vec<u8>,
}

/// The beginning of the file, as far as it was there when it was opened.
struct Head(Vec<u8>);

/// How far a file has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Position {
    /// Bytes.
    offset: u64,
    /// Lines.
    line: u64,
    /// Length and hash of the beginning that the offset is of.
    head: (usize, u64),
}

impl Lines {
    fn open(path: &Path, declared: &Declared, follow: bool) -> Result<Self> {
        let fail = |error: std::io::Error| ports::error::io("open the source", path)(error);
        let (reader, head, size): (Box<dyn BufRead + Send>, _, _) = if path == Path::new("-") {
            (Box::new(BufReader::new(std::io::stdin())), None, None)
        } else {
            let pipe = |error: std::io::Error| match error.kind() {
                ErrorKind::InvalidInput => {
                    fail(error).hint("a pipe is read from standard input: --source 'lines:-?…' <PIPE")
                }
                _ => fail(error),
            };
            let mut file = crate::files::open(path).map_err(pipe)?;
            let size = file.metadata().map_err(fail)?.len();
            let mut head = Vec::new();
            (&file).take(HEAD as u64).read_to_end(&mut head).map_err(fail)?;
            file.seek(SeekFrom::Start(0)).map_err(fail)?;
            (Box::new(BufReader::new(file)), Some(Head(head)), Some(size))
        };
        Ok(Self {
            path: path.to_owned(),
            feed: declared.feed().to_owned(),
            format: declared.format,
            decoder: declared.decoder()?,
            reader,
            head,
            size,
            follow,
            position: Position::default(),
            changed: false,
            line: Vec::new(),
            skipped: 0,
            incomplete: Vec::new(),
            payload: Vec::new(),
        })
    }

    fn name(&self) -> String {
        format!("lines:{}/{}", self.feed, self.path.display())
    }

    /// Reads up to the end of a line, or of the file. True if a line is complete.
    fn read_line(&mut self) -> Result<bool> {
        loop {
            let room = (LONGEST + 1).saturating_sub(self.line.len() as u64);
            let before = self.line.len();
            let read = (&mut self.reader).take(room.max(1)).read_until(b'\n', &mut self.line);
            read.map_err(|error| Error::user(format!("read {}: {error}", self.path.display())))?;
            let added = self.line.len() - before;
            if self.line.last() == Some(&b'\n') {
                return Ok(true);
            }
            if added == 0 {
                // The last line needs no line break, where no more of it can come.
                return Ok(!self.follow && (!self.line.is_empty() || self.skipped > 0));
            }
            if self.line.len() as u64 > LONGEST {
                // Only its beginning is kept.
                self.skipped += (self.line.len() - HEAD) as u64;
                self.line.truncate(HEAD);
            }
        }
    }

    fn dead_letter(&self, number: u64, reason: String, raw: &[u8]) -> DeadLetter {
        DeadLetter {
            stage: Stage::Source,
            origin: format!("{}:{number}", self.path.display()),
            reason,
            key: String::new(),
            kind: Kind::READING.name().to_owned(),
            raw: raw.to_vec(),
            ..DeadLetter::default()
        }
    }

    fn hand_over(&mut self, line: &[u8], sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let number = self.position.line + 1;
        if self.skipped > 0 {
            let length = line.len() as u64 + self.skipped;
            let reason =
                format!("a line of {length} bytes, expected at most {LONGEST}; its beginning is kept");
            return sink(Event::Dead(self.dead_letter(number, reason, &line[..HEAD.min(line.len())])));
        }
        let Ok(text) = std::str::from_utf8(line) else {
            return sink(Event::Dead(self.dead_letter(number, "not UTF-8".to_owned(), line)));
        };
        if self.decoder.expects_header() {
            return self.decoder.header(text.trim_end_matches(['\r', '\n'])).map_err(|why| {
                Error::user(format!("{}:{number}: {why}", self.path.display()))
                    .hint("name the columns with columns=a,b,c if there is no header")
            });
        }
        let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { text };
        let (mut payload, mut failed, mut reasons) = (std::mem::take(&mut self.payload), None, Vec::new());
        self.decoder.line(text, clock::now(), &mut |reading| {
            if failed.is_some() {
                return;
            }
            match reading {
                Ok(reading) => {
                    payload.clear();
                    json::encode(&Record::Reading(reading), &mut payload);
                    let handed = sink(Event::Record {
                        kind: Kind::READING,
                        symbol: reading.series,
                        recv_ts: reading.recv_ts,
                        payload: &payload,
                    });
                    failed = handed.err();
                }
                Err(reason) => reasons.push(reason),
            }
        });
        self.payload = payload;
        if let Some(error) = failed {
            return Err(error);
        }
        reasons.into_iter().try_for_each(|reason| sink(Event::Dead(self.dead_letter(number, reason, line))))
    }
}

impl Source for Lines {
    fn resume(&mut self, positions: &Positions) -> Result<u64> {
        let kept =
            positions.get(&self.name()).and_then(|bytes| serde_json::from_slice::<Position>(bytes).ok());
        let (Some(kept), Some(Head(head))) = (kept, &self.head) else { return Ok(0) };
        let same = head.get(..kept.head.0).is_some_and(|head| hash(head) == kept.head.1)
            && self.size.is_some_and(|size| size >= kept.offset);
        if !same {
            tracing::info!(
                "{} is another file than the one read before; it is read from its start",
                self.path.display()
            );
            return Ok(0);
        }
        let fail = |error: std::io::Error| ports::error::io("open the source", &self.path)(error);
        let mut file = File::open(&self.path).map_err(fail)?;
        if self.decoder.expects_header() && kept.line > 0 {
            let mut header = Vec::new();
            BufReader::new(&file).take(LONGEST).read_until(b'\n', &mut header).map_err(fail)?;
            let header = String::from_utf8_lossy(&header);
            self.decoder
                .header(header.trim_end_matches(['\r', '\n']))
                .map_err(|why| Error::user(format!("{}:1: {why}", self.path.display())))?;
        }
        file.seek(SeekFrom::Start(kept.offset)).map_err(fail)?;
        self.reader = Box::new(BufReader::new(file));
        self.position = kept;
        Ok(kept.line)
    }

    fn next(&mut self, stop: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        for _ in 0..AT_ONCE {
            if stop.is_cancelled() {
                return Ok(true);
            }
            if !self.read_line()? {
                if self.follow {
                    stop.sleep(NAP);
                }
                return Ok(self.follow);
            }
            let mut line = std::mem::take(&mut self.line);
            let mut dead = None;
            let handed = self.hand_over(&line, &mut |event| {
                if let Event::Dead(dead_letter) = &event {
                    dead.get_or_insert_with(|| dead_letter.reason.clone());
                }
                sink(event)
            });
            if let Some(reason) = dead.filter(|_| line.last() != Some(&b'\n')) {
                // Read again once the file is complete: the position stays before the line.
                self.incomplete.push(format!(
                    "{}:{}: expected a complete line, found the end of the file within it: {reason}",
                    self.path.display(),
                    self.position.line + 1
                ));
                handed?;
                return Ok(false);
            }
            self.position.offset += line.len() as u64 + self.skipped;
            self.position.line += 1;
            self.skipped = 0;
            self.changed = true;
            line.clear();
            self.line = line;
            handed?;
        }
        Ok(true)
    }

    fn positions(&mut self) -> Positions {
        let mut out = Positions::new();
        if let (true, Some(Head(head))) = (std::mem::take(&mut self.changed), &self.head) {
            let length = head.len().min(usize::try_from(self.position.offset).unwrap_or(usize::MAX));
            let position = Position { head: (length, hash(&head[..length])), ..self.position };
            if let Ok(json) = serde_json::to_vec(&position) {
                out.insert(self.name(), json);
            }
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
        let what =
            if self.head.is_some() { self.path.display().to_string() } else { "standard input".to_owned() };
        format!("lines:{what} ({})", self.format)
    }
}

/// FNV-1a. A kept position depends on it: it must never change.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads to the end; series and values, or what became a dead letter.
    fn read(source: &mut Lines) -> Vec<String> {
        let (stop, mut out) = (CancelToken::default(), Vec::new());
        while source
            .next(&stop, &mut |event| {
                match event {
                    Event::Record { symbol, payload, .. } => {
                        let record = json::decode(Kind::READING, payload).unwrap();
                        let Record::Reading(reading) = record else { panic!() };
                        out.push(format!("{symbol}={}", reading.value.text));
                    }
                    Event::Dead(dead_letter) => {
                        let name = dead_letter.origin.rsplit('/').next().unwrap_or_default().to_owned();
                        out.push(format!("{name}: {}", dead_letter.reason));
                    }
                    other => panic!("{other:?}"),
                }
                Ok(())
            })
            .unwrap()
        {}
        out
    }

    fn source(path: &Path, options: &str) -> Lines {
        open(&format!("{}?{options}", path.display())).unwrap()
    }

    const CSV: &str = "format=csv&series={d}.{field}&value=t,h";

    #[test]
    fn a_file_is_read_on_from_where_it_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "d,time,t,h\nx,1700000000,1,2\nx,1700000001,nan\n").unwrap();
        let mut first = source(&path, CSV);
        assert_eq!(read(&mut first), ["x.t=1", "x.h=2", "a.csv:3: expected 4 columns, found 3"]);
        let positions = first.positions();
        assert_eq!(positions.len(), 1);
        assert!(first.positions().is_empty());
        // More lines, the last one without a line break.
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("y,1700000002,3,4\ny,1700000003,5,");
        std::fs::write(&path, &text).unwrap();
        let mut again = source(&path, CSV);
        assert_eq!(again.resume(&positions).unwrap(), 3);
        assert_eq!(read(&mut again), ["y.t=3", "y.h=4", "y.t=5"]);
        // Another file under the same name.
        std::fs::write(&path, text.replace("x,1700000000,1", "x,1700000000,7")).unwrap();
        let mut other = source(&path, CSV);
        assert_eq!(other.resume(&positions).unwrap(), 0);
        assert_eq!(read(&mut other)[0], "x.t=7");
    }

    #[test]
    fn a_followed_file_waits_for_the_end_of_its_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lp");
        std::fs::write(&path, "m f=1 1700000000\nm f=2 17000").unwrap();
        let mut source = source(&path, "format=influx&follow=true");
        let (stop, mut seen) = (CancelToken::default(), 0);
        let mut step = |source: &mut Lines| {
            let more = source.next(&stop, &mut |event| {
                assert!(matches!(event, Event::Record { .. }), "{event:?}");
                seen += 1;
                Ok(())
            });
            assert!(more.unwrap());
            seen
        };
        assert_eq!(step(&mut source), 1);
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, b"00001\n").unwrap();
        assert_eq!(step(&mut source), 2);
    }

    #[test]
    fn lines_that_are_too_long_or_not_text_become_dead_letters() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lp");
        let mut bytes = b"m f=1 1700000000\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', 3 << 20));
        bytes.extend(b"\nm f=\xff\nm f=2 1700000000");
        std::fs::write(&path, bytes).unwrap();
        let mut source = source(&path, "format=influx");
        assert_eq!(
            read(&mut source),
            [
                "m.f=1",
                "a.lp:2: a line of 3145729 bytes, expected at most 1048576; its beginning is kept",
                "a.lp:3: not UTF-8",
                "m.f=2"
            ]
        );
        assert_eq!(source.position.line, 4);
        assert_eq!(source.position.offset, std::fs::metadata(&path).unwrap().len());
    }

    #[test]
    fn what_is_wrong_with_a_url_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "a,b\n1,2\n").unwrap();
        for (options, part) in [
            ("", "`format` is missing"),
            ("format=xml", "expected one of influx, ndjson, csv, bare"),
            ("format=csv", "series: expected a template"),
            ("format=csv&series=x&colour=red", "unknown option; known are format, feed, series"),
            ("format=csv&series=x&precision=h", "expected auto, ns, us, ms or s"),
            ("format=csv&series=x&type=number", "expected one of decimal, float, integer, boolean, text"),
            ("format=csv&series=x&delimiter=ab", "expected one character, or tab"),
            ("format=csv&series=x&follow=maybe", "expected true or false"),
        ] {
            let error = open(&format!("{}?{options}", path.display())).err().unwrap().to_string();
            assert!(error.contains(part) && error.contains("--source 'lines:"), "{error}");
        }
        let mut source = source(&path, "format=csv&series=x");
        let error = source.next(&CancelToken::default(), &mut |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("a.csv:1: the header has no column `time`; it has a, b"), "{error}");
        assert!(open("/no/such?format=influx").err().unwrap().to_string().contains("/no/such"));
    }

    #[test]
    fn a_file_that_ends_within_a_line_is_incomplete_and_that_line_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "d,time,t,h\nx,1700000000,1,2\nx,17000").unwrap();
        let mut cut = source(&path, CSV);
        assert_eq!(read(&mut cut), ["x.t=1", "x.h=2", "a.csv:3: expected 4 columns, found 2"]);
        let found = cut.incomplete();
        assert!(found.len() == 1 && found[0].contains("a.csv:3: expected a complete line"), "{found:?}");
        let positions = cut.positions();
        std::fs::write(&path, "d,time,t,h\nx,1700000000,1,2\nx,1700000001,3,4\n").unwrap();
        let mut complete = source(&path, CSV);
        complete.resume(&positions).unwrap();
        assert_eq!(read(&mut complete), ["x.t=3", "x.h=4"]);
        assert!(complete.incomplete().is_empty());
    }
}
