//! One zipped tick file, read row by row.

use super::folder::Entry;
use super::settings::TapeSettings;
use market::codec::lean::RowReader;
use market::time::SessionDay;
use market::{Record, UnixNanos};
use ports::dead_letter::{DeadLetter, Stage};
use std::io::{BufReader, Read};

/// Bytes unzipped at a time.
const CHUNK: usize = 256 * 1024;
/// Some editors and spreadsheets begin a file with this mark. It is no part of the first row.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// A longer row is corrupt: real ones have less than 100 bytes.
const ROW: usize = 64 * 1024;

/// Result of reading a row.
pub(super) enum Line {
    /// A row, and its event time or why it has none.
    Row(Result<UnixNanos, String>),
    /// The file ends.
    End,
    /// The file ends prematurely.
    Broken { dead_letter: DeadLetter, reason: String },
}

pub(super) struct TapeFile {
    entry: Entry,
    reader: RowReader,
    input: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// The current row is `buffer[start..end]`.
    start: usize,
    end: usize,
    next: usize,
    filled: usize,
    /// Number of rows read: the current one is number `rows + 1`.
    rows: u64,
    /// Bytes of the unzipped file before `buffer[0]`.
    before: u64,
    broken: Option<String>,
    /// Whether the damage cuts off the current row.
    torn: bool,
    over: bool,
}

impl std::fmt::Debug for TapeFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TapeFile({} at row {})", self.entry.name, self.rows)
    }
}

impl TapeFile {
    /// Opens a file and skips the rows already read.
    pub(super) fn open(entry: &Entry, settings: &TapeSettings, skip: u64) -> Result<Self, String> {
        let session = SessionDay::new(entry.session, &settings.zone)?;
        let mut file = Self {
            reader: RowReader::new(entry.kind, &entry.symbol, &settings.feed, session),
            input: unzip(entry)?,
            entry: entry.clone(),
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            next: 0,
            filled: 0,
            rows: 0,
            before: 0,
            broken: None,
            torn: false,
            over: false,
        };
        while file.rows < skip && file.advance() {
            file.rows += 1;
        }
        Ok(file)
    }

    /// Finds the next row in the buffer, filling it as needed; returns false at the end.
    fn advance(&mut self) -> bool {
        let mut searched = self.next;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[searched..self.filled]) {
                (self.start, self.end) = (self.next, searched + at);
                self.next = self.end + 1;
                break;
            }
            searched = self.filled;
            if self.over || self.filled - self.next > ROW {
                // The rest without a line end is the last row, or a truncated one.
                (self.start, self.end) = (self.next, self.filled);
                self.next = self.filled;
                self.torn = self.broken.is_some();
                if self.start == self.end {
                    return false;
                }
                break;
            }
            // Move the partial row to the front and fill the rest.
            self.before += self.next as u64;
            self.buffer.copy_within(self.next..self.filled, 0);
            self.filled -= self.next;
            searched -= self.next;
            self.next = 0;
            if self.filled == self.buffer.len() {
                self.buffer.resize(self.filled + ROW, 0);
            }
            match self.input.read(&mut self.buffer[self.filled..]) {
                Ok(0) => self.over = true,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.broken = Some(error.to_string());
                    self.over = true;
                }
            }
        }
        if self.before + self.start as u64 == 0 && self.row().starts_with(BYTE_ORDER_MARK) {
            self.start += BYTE_ORDER_MARK.len();
        }
        if self.end > self.start && self.buffer[self.end - 1] == b'\r' {
            self.end -= 1;
        }
        true
    }

    fn row(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn read_line(&mut self) -> Line {
        if self.advance() {
            return Line::Row(match self.torn {
                true => Err("the file is damaged within this row".to_owned()),
                false => self.reader.time(self.row()),
            });
        }
        match self.broken.take() {
            None => Line::End,
            Some(reason) => {
                let mut dead_letter = self.dead_letter(&format!(
                    "the file is damaged from here on, and later rows are lost: {reason}"
                ));
                dead_letter.raw.clear();
                Line::Broken { dead_letter, reason }
            }
        }
    }

    /// The current row as a record.
    pub(super) fn record(&mut self, recv_ts: UnixNanos) -> Result<Record<&str>, String> {
        self.reader.read(&self.buffer[self.start..self.end], self.rows + 1, recv_ts)
    }

    /// Advances past the current row.
    pub(super) fn step(&mut self) {
        self.rows += 1;
    }

    /// The current row as a dead letter.
    pub(super) fn dead_letter(&self, reason: &str) -> DeadLetter {
        let byte = self.before + self.start as u64;
        DeadLetter {
            stage: Stage::Source,
            origin: format!("{} row {}, byte {byte}", self.entry.path.display(), self.rows + 1),
            reason: reason.to_owned(),
            key: self.entry.symbol.clone(),
            kind: self.entry.kind.name().to_owned(),
            raw: self.row().to_vec(),
            ..DeadLetter::default()
        }
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.entry.path
    }

    pub(super) fn name(&self) -> &str {
        &self.entry.name
    }

    pub(super) fn checksum(&self) -> u32 {
        self.entry.checksum
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }
}

/// Content of the zip's only file. A truncated zip has lost the directory at its end; its content is then
/// read from the beginning.
fn unzip(entry: &Entry) -> Result<Box<dyn Read + Send>, String> {
    let open = || crate::files::open(&entry.path).map_err(|error| error.to_string());
    match zip::ZipArchive::new(open()?) {
        Ok(mut archive) => {
            crate::files::check_one(&archive)?;
            // Keep only the position of the content: the archive cannot move together with a reader into
            // itself.
            let (start, length, method, checksum) = {
                let file = archive.by_index_raw(0).map_err(|error| error.to_string())?;
                let start = file.data_start().ok_or("the zip's directory has no data")?;
                (start, file.compressed_size(), file.compression(), file.crc32())
            };
            inflate(open()?, start, length, method == zip::CompressionMethod::Stored, Ok(checksum))
        }
        Err(damage) => {
            let (start, stored) = local_header(open()?).ok_or_else(|| format!("not a zip: {damage}"))?;
            inflate(open()?, start, u64::MAX, stored, Err(damage.to_string()))
        }
    }
}

fn inflate(
    mut file: std::fs::File,
    start: u64,
    length: u64,
    stored: bool,
    expected: Result<u32, String>,
) -> Result<Box<dyn Read + Send>, String> {
    use std::io::Seek;
    file.seek(std::io::SeekFrom::Start(start)).map_err(|error| error.to_string())?;
    let bytes = BufReader::with_capacity(64 * 1024, file.take(length));
    let plain: Box<dyn Read + Send> =
        if stored { Box::new(bytes) } else { Box::new(flate2::bufread::DeflateDecoder::new(bytes)) };
    Ok(Box::new(Checked { input: flate2::CrcReader::new(plain), expected }))
}

/// Where the content of the first file starts, and whether it is stored uncompressed.
fn local_header(mut file: std::fs::File) -> Option<(u64, bool)> {
    let mut header = [0; 30];
    file.read_exact(&mut header).ok()?;
    let word = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
    (header.starts_with(b"PK\x03\x04")).then(|| (30 + word(26) + word(28), word(8) == 0))
}

/// Succeeds only if the content's checksum matches the zip's directory.
struct Checked {
    input: flate2::CrcReader<Box<dyn Read + Send>>,
    /// Error of the zip, reported once everything readable has been read.
    expected: Result<u32, String>,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        match &self.expected {
            Ok(expected) if *expected == self.input.crc().sum() => Ok(0),
            Ok(_) => Err(std::io::Error::other("checksum mismatch: some row is corrupt")),
            Err(damage) => Err(std::io::Error::other(damage.clone())),
        }
    }
}
