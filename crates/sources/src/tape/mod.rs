//! Plays recorded sessions: the zipped tick files of a folder in Lean's format, all symbols merged in time
//! order, in real time, at a multiple of it, or as fast as they can be read.
//!
//! ```text
//! DIR/[…/]tick/<symbol>/<yyyymmdd>_trade.zip    one CSV each, see market::codec::lean
//! DIR/[…/]tick/<symbol>/<yyyymmdd>_quote.zip
//! ```
//! A record's identity is its session date and row number, so playing a file again publishes the same
//! records.

mod file;
mod folder;
mod settings;

use file::{Line, TapeFile};
use folder::Entry;
use market::codec::json;
use market::{Kind, UnixNanos};
use ports::cancel::CancelToken;
use ports::dead_letter::{DeadLetter, Stage};
use ports::source::{Event, Positions, Source};
use ports::{Error, Result, clock};
pub use settings::TapeSettings;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

/// The kinds of records that tapes hold.
pub const KINDS: [Kind; 2] = [Kind::TRADE, Kind::QUOTE];

/// Maximum number of rows read by one call of `next`.
const TURN: usize = 1_024;
/// Maximum sleep of one call of `next` while no row is due.
const NAP: Duration = Duration::from_millis(20);

/// A folder being played.
#[derive(Debug)]
pub struct Tape {
    settings: TapeSettings,
    /// Remaining sessions, newest first.
    sessions: Vec<(u32, Vec<Entry>)>,
    /// The current session.
    open: Vec<TapeFile>,
    queue: BinaryHeap<Reverse<(UnixNanos, usize)>>,
    /// Files whose next row is not queued yet: nothing may be emitted before it is.
    unqueued: Vec<usize>,
    /// Rows read by session and file, with the file's checksum.
    done: BTreeMap<u32, BTreeMap<String, (u32, u64)>>,
    /// Sessions read from since positions were last requested.
    touched: Vec<u32>,
    /// Files that could not be read to their end.
    incomplete: Vec<String>,
    session: u32,
    pace: Option<(Instant, UnixNanos)>,
    recv_ts: UnixNanos,
    size: u64,
    payload: Vec<u8>,
}

impl Tape {
    /// Lists the folder without reading any file.
    ///
    /// # Errors
    /// The folder does not exist, or has no tick file.
    pub fn open(settings: TapeSettings) -> Result<Self> {
        let entries = folder::list(&settings)?;
        let size = entries.iter().map(|entry| entry.rows_guess).sum();
        let mut by_session: BTreeMap<u32, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            by_session.entry(entry.session).or_default().push(entry);
        }
        Ok(Self {
            settings,
            sessions: by_session.into_iter().rev().collect(),
            open: Vec::new(),
            queue: BinaryHeap::new(),
            unqueued: Vec::new(),
            done: BTreeMap::new(),
            touched: Vec::new(),
            incomplete: Vec::new(),
            session: 0,
            pace: None,
            recv_ts: UnixNanos(0),
            size,
            payload: Vec::with_capacity(512),
        })
    }

    fn name(&self, session: u32) -> String {
        format!("{}/{session}", self.settings.feed)
    }

    /// Opens the next session's files and queues the first row of each.
    fn open_session(
        &mut self,
        session: u32,
        entries: &[Entry],
        sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        self.session = session;
        self.pace = None;
        self.open.clear();
        self.queue.clear();
        let empty = BTreeMap::new();
        for entry in entries {
            let done = self.done.get(&session).unwrap_or(&empty).get(&entry.name);
            let skip = done.filter(|(checksum, _)| *checksum == entry.checksum).map_or(0, |(_, rows)| *rows);
            match TapeFile::open(entry, &self.settings, skip) {
                Ok(file) => self.open.push(file),
                Err(reason) => {
                    let what = format!("{}: expected a zip of ticks, found {reason}", entry.path.display());
                    self.incomplete.push(what);
                    sink(Event::Dead(unreadable(entry, &reason)))?;
                }
            }
        }
        self.unqueued.clear();
        self.unqueued.extend(0..self.open.len());
        Ok(())
    }

    /// Reads rows of a file until one has a valid time; invalid ones become dead letters. Stops after `left` rows: a
    /// file may have millions of invalid ones.
    fn queue_next(
        &mut self,
        index: usize,
        left: &mut usize,
        sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        loop {
            if *left == 0 {
                self.unqueued.push(index);
                return Ok(());
            }
            *left -= 1;
            let file = &mut self.open[index];
            match file.read_line() {
                Line::End => break,
                Line::Row(Ok(time)) => {
                    self.queue.push(Reverse((time, index)));
                    break;
                }
                Line::Row(Err(reason)) => {
                    let dead_letter = file.dead_letter(&reason);
                    file.step();
                    self.touch();
                    sink(Event::Dead(dead_letter))?;
                }
                Line::Broken { dead_letter, reason } => {
                    let (path, rows) = (file.path().display(), file.rows());
                    let what = format!(
                        "{path}: expected a complete zip file, found damage after row {rows}: {reason}"
                    );
                    self.incomplete.push(what);
                    self.touch();
                    sink(Event::Dead(dead_letter))?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// How long until the row is due.
    fn early(&mut self, time: UnixNanos) -> Duration {
        let Some(speed) = self.settings.speed else { return Duration::ZERO };
        let (start, first) = *self.pace.get_or_insert_with(|| (Instant::now(), time));
        let due = start + Duration::from_secs_f64((time.0 - first.0).max(0) as f64 / 1e9 / speed);
        due.saturating_duration_since(Instant::now())
    }

    fn hand_over(&mut self, index: usize, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let file = &mut self.open[index];
        match file.record(self.recv_ts) {
            Ok(record) => {
                self.payload.clear();
                json::encode(&record, &mut self.payload);
                let event = Event::Record {
                    kind: record.kind(),
                    symbol: record.symbol(),
                    recv_ts: self.recv_ts,
                    payload: &self.payload,
                };
                sink(event)?;
            }
            Err(reason) => sink(Event::Dead(file.dead_letter(&reason)))?,
        }
        self.open[index].step();
        self.touch();
        Ok(())
    }

    fn touch(&mut self) {
        if self.touched.last() != Some(&self.session) {
            self.touched.push(self.session);
        }
    }

    fn mark_done(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let files = self.done.entry(self.session).or_default();
        for file in &self.open {
            files.insert(file.name().to_owned(), (file.checksum(), file.rows()));
        }
    }
}

fn unreadable(entry: &Entry, reason: &str) -> DeadLetter {
    DeadLetter {
        stage: Stage::Source,
        origin: entry.path.display().to_string(),
        reason: reason.to_owned(),
        key: entry.symbol.clone(),
        kind: entry.kind.name().to_owned(),
        raw: Vec::new(),
        ..DeadLetter::default()
    }
}

impl Source for Tape {
    fn resume(&mut self, positions: &Positions) -> Result<u64> {
        let mut rows = 0;
        for (session, entries) in &self.sessions {
            let Some(position) = positions.get(&self.name(*session)) else { continue };
            let files: BTreeMap<String, (u32, u64)> = serde_json::from_slice(position).map_err(|error| {
                Error::user(format!("the saved position of {} is unreadable: {error}", self.name(*session)))
                    .hint("play the tape from its beginning: --replay")
            })?;
            // A file of another folder, or one changed since, is not the one published.
            let known = |entry: &Entry| files.get(&entry.name).filter(|(sum, _)| *sum == entry.checksum);
            rows += entries.iter().filter_map(known).map(|(_, rows)| rows).sum::<u64>();
            self.done.insert(*session, files);
        }
        Ok(rows)
    }

    fn next(&mut self, stop: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        self.recv_ts = clock::now();
        let mut left = TURN;
        while let Some(index) = self.unqueued.pop() {
            self.queue_next(index, &mut left, sink)?;
            if left == 0 {
                return Ok(true);
            }
        }
        while left > 0 {
            let Some(&Reverse((time, index))) = self.queue.peek() else {
                self.mark_done();
                let Some((session, entries)) = self.sessions.pop() else { return Ok(false) };
                self.open_session(session, &entries, sink)?;
                return Ok(true);
            };
            let early = self.early(time);
            if !early.is_zero() {
                // In short sleeps, so that the loop can attend to other work.
                stop.sleep(early.min(NAP));
                return Ok(true);
            }
            if self.settings.speed.is_some() {
                self.recv_ts = clock::now();
            }
            self.queue.pop();
            self.hand_over(index, sink)?;
            self.queue_next(index, &mut left, sink)?;
        }
        Ok(true)
    }

    fn positions(&mut self) -> Positions {
        let mut out = Positions::new();
        self.mark_done();
        for session in std::mem::take(&mut self.touched) {
            if let Some(Ok(json)) = self.done.get(&session).map(serde_json::to_vec) {
                out.insert(self.name(session), json);
            }
        }
        out
    }

    fn incomplete(&self) -> &[String] {
        &self.incomplete
    }

    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn describe(&self) -> String {
        format!("tape:{}", self.settings.dir.display())
    }
}

/// The text of a zip file's only entry: a vendor's bars.
///
/// # Errors
/// The file cannot be read, or is not a zip of text.
pub fn unzip(path: &std::path::Path) -> Result<String> {
    let fail = |error: &dyn std::fmt::Display| {
        Error::user(format!("read {}: {error}", path.display()))
            .hint("expected a zip file with one text file in it")
    };
    let file = crate::files::open(path).map_err(ports::error::io("open", path))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| fail(&error))?;
    crate::files::check_one(&archive).map_err(|error| fail(&error))?;
    let mut text = String::new();
    let mut member = archive.by_index(0).map_err(|error| fail(&error))?;
    std::io::Read::read_to_string(&mut member, &mut text).map_err(|error| fail(&error))?;
    // A byte order mark is no part of the first row.
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::Kind;
    use std::io::Write;

    /// A file of millions of invalid rows does not keep the loop from cancellation, nor from saving its position.
    #[test]
    fn one_call_reads_a_bounded_number_of_rows_however_many_are_invalid() {
        const BAD: usize = 10_000;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tick/xyz");
        std::fs::create_dir_all(&folder).unwrap();
        let mut zip = zip::ZipWriter::new(std::fs::File::create(folder.join("20131008_trade.zip")).unwrap());
        zip.start_file("20131008_xyz_Trade_Tick.csv", zip::write::SimpleFileOptions::default()).unwrap();
        for _ in 0..BAD {
            zip.write_all(b"x,y\n").unwrap();
        }
        zip.write_all(b"34200000,1000000,100,P,1,0\n").unwrap();
        zip.finish().unwrap();
        let settings = TapeSettings {
            dir: dir.path().to_owned(),
            speed: None,
            symbols: Vec::new(),
            kinds: vec![Kind::TRADE],
            dates: Vec::new(),
            feed: "lean.sip".to_owned(),
            zone: "America/New_York".to_owned(),
        };
        let mut tape = Tape::open(settings).unwrap();
        let (mut dead, mut records, mut calls) = (0, 0, 0);
        loop {
            let before = dead + records;
            let more = tape.next(&CancelToken::default(), &mut |event| {
                match event {
                    Event::Dead(_) => dead += 1,
                    Event::Record { .. } => records += 1,
                    _ => {}
                }
                Ok(())
            });
            assert!(dead + records - before <= TURN, "{} rows in one call", dead + records - before);
            calls += 1;
            if !more.unwrap() {
                break;
            }
        }
        assert_eq!((dead, records), (BAD, 1));
        assert!(calls > BAD / TURN, "{calls}");
    }
}
