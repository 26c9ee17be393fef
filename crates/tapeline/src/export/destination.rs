//! Destination of rows: a file that appears only when it is complete, or standard output.

use ports::error::io;
use ports::{Error, Result};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Size of the write buffer in bytes.
const BUFFER: usize = 256 * 1024;

/// A buffered writer.
pub(crate) struct Destination {
    out: BufWriter<Box<dyn Write + Send>>,
    file: Option<Unfinished>,
    terminal: bool,
}

/// Location of the rows: a file, or `None` for standard output.
#[derive(Debug, Default)]
pub(crate) struct Written(pub(crate) Option<PathBuf>);

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
            file: Some(unfinished),
            terminal: false,
        })
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
        let result = self.out.write_all(text.as_bytes());
        self.gone(result)
    }

    /// Flushes, and renames the file to its final name.
    pub(crate) fn finish(mut self) -> Result<Written> {
        let flushed = self.out.flush();
        self.gone(flushed)?;
        let Some(mut file) = self.file.take() else { return Ok(Written::default()) };
        if file.temporary != file.path {
            std::fs::rename(&file.temporary, &file.path).map_err(ports::error::io("write", &file.path))?;
        }
        file.done = true;
        Ok(Written(Some(file.path.clone())))
    }

    fn gone(&self, result: io::Result<()>) -> Result<bool> {
        match result {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Error::user(format!("write {}: {error}", self.name()))),
        }
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
