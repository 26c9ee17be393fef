//! Destination of rows: a file that appears only when it is complete, or standard output.

use ports::error::io;
use ports::{Error, Result};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Size of the write buffer in bytes.
const BUFFER: usize = 256 * 1024;

/// A buffered writer. What is written after the reader of a pipe is gone is dropped.
pub(crate) struct Destination {
    out: BufWriter<Box<dyn Write + Send>>,
    gone: Gone,
    file: Option<Unfinished>,
    terminal: bool,
}

/// Location of the rows: a file, or `None` for standard output.
#[derive(Debug, Default)]
pub(crate) struct Written(pub(crate) Option<PathBuf>);

/// Whether the reader of the pipe is gone: shared with whoever produces the rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gone(Arc<AtomicBool>);

impl Gone {
    pub(crate) fn is_gone(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The result of a write; a closed pipe is noted instead of failing.
    fn note(&self, result: io::Result<()>) -> io::Result<()> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.0.store(true, Ordering::Relaxed);
                Ok(())
            }
            result => result,
        }
    }
}

/// A file under a temporary name in the same folder; removed unless it is finished.
struct Unfinished {
    temporary: PathBuf,
    path: PathBuf,
    done: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done && self.temporary != self.path {
            // A failure is harmless, and the error that left the file unfinished is the one to report.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

impl Destination {
    /// A file, or standard output for `-` or nothing.
    pub(crate) fn open(out: Option<&Path>) -> Result<Self> {
        let Some(path) = out.filter(|path| *path != Path::new("-")) else {
            let stdout = io::stdout();
            let terminal = stdout.is_terminal();
            return Ok(Self {
                out: BufWriter::with_capacity(BUFFER, Box::new(stdout)),
                gone: Gone::default(),
                file: None,
                terminal,
            });
        };
        // A device or pipe is written in place.
        let in_place = path.exists() && !path.is_file();
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.part", std::process::id()));
        let temporary = if in_place { path.to_owned() } else { PathBuf::from(temporary) };
        let file = File::create(&temporary).map_err(io("create", path))?;
        let unfinished = Unfinished { temporary, path: path.to_owned(), done: false };
        Ok(Self {
            out: BufWriter::with_capacity(BUFFER, Box::new(file)),
            gone: Gone::default(),
            file: Some(unfinished),
            terminal: false,
        })
    }

    pub(crate) fn gone(&self) -> Gone {
        self.gone.clone()
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The name for error messages.
    pub(crate) fn name(&self) -> String {
        self.file
            .as_ref()
            .map_or_else(|| "standard output".to_owned(), |file| file.path.display().to_string())
    }

    /// Writes text; returns false once the reader of a pipe is gone.
    pub(crate) fn put(&mut self, text: &str) -> Result<bool> {
        let result = self.write_all(text.as_bytes());
        result.map_err(|error| self.failed(&error))?;
        Ok(!self.gone.is_gone())
    }

    /// Flushes, and renames the file to its final name.
    pub(crate) fn finish(mut self) -> Result<Written> {
        let flushed = self.flush();
        flushed.map_err(|error| self.failed(&error))?;
        if self.gone.is_gone() {
            // Its buffer would be written once more when it is dropped.
            drop(self.out.into_parts());
            return Ok(Written::default());
        }
        let Some(mut file) = self.file.take() else { return Ok(Written::default()) };
        if file.temporary != file.path {
            std::fs::rename(&file.temporary, &file.path).map_err(ports::error::io("write", &file.path))?;
        }
        file.done = true;
        Ok(Written(Some(file.path.clone())))
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::user(format!("write {}: {error}", self.name()))
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.gone.is_gone() {
            let written = self.out.write_all(bytes);
            self.gone.note(written)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gone.is_gone() {
            return Ok(());
        }
        let flushed = self.out.flush();
        self.gone.note(flushed)
    }
}
