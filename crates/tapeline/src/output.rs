//! Printing of numbers and tables, and handling of closed pipes.

pub(crate) use ports::count::{choose, counted, thousands};
use ports::{Error, Result};
use std::io::{self, BufWriter, StdoutLock, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static QUIET: AtomicBool = AtomicBool::new(false);

/// Suppresses progress, summaries and notes from now on (`--quiet`).
pub(crate) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Whether only results and errors are printed.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Prints a line for the person at the terminal, on standard error, unless `--quiet`.
pub(crate) fn note(text: &str) {
    if !is_quiet() {
        eprintln!("{text}");
    }
}

/// Microseconds in readable form; an hour is the maximum measured.
pub(crate) fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..10_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        10_000_000..3_600_000_000 => format!("{:.1} s", micros as f64 / 1e6),
        _ => "over an hour".to_owned(),
    }
}

/// Text that came with data, safe on a terminal: control characters are escaped, and a long text is cut.
pub(crate) fn printable(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max) + 1);
    for (index, c) in text.chars().enumerate() {
        if index == max {
            out.push('…');
            break;
        }
        // Characters that change the direction of writing can make a line look like another.
        let hidden = c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if hidden { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Columns padded to their widest cell; the first `left` left-aligned, the others right-aligned.
pub(crate) fn table(rows: &[Vec<String>], left: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let align = |column| if column < left { Align::Left } else { Align::Right };
    aligned(rows, &(0..columns).map(align).collect::<Vec<_>>())
}

/// Columns padded to their widest cell.
pub(crate) fn aligned(rows: &[Vec<String>], align: &[Align]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let pad = widths[column].saturating_sub(cell.chars().count());
            let left = align.get(column) == Some(&Align::Left);
            let (before, after) = if left { (0, pad) } else { (pad, 0) };
            line.push_str(&format!(" {}{cell}{}", " ".repeat(before), " ".repeat(after)));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Standard output, buffered. A reader that closes the pipe early (`| head`) is not an error.
pub(crate) struct Out(BufWriter<StdoutLock<'static>>);

impl Out {
    pub(crate) fn new() -> Self {
        Self(BufWriter::with_capacity(64 * 1024, io::stdout().lock()))
    }

    /// Writes text; returns false once the reader is gone.
    pub(crate) fn put(&mut self, text: &str) -> Result<bool> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes as they are; false once the reader is gone.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<bool> {
        gone(self.0.write_all(bytes))
    }

    pub(crate) fn end(mut self) -> Result<()> {
        gone(self.0.flush()).map(drop)
    }
}

fn gone(result: io::Result<()>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::user(format!("write to standard output: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_tables_are_readable() {
        assert_eq!([5, 1_500, 12_000_000].map(duration), ["5 us", "1.5 ms", "12.0 s"]);
        let rows = [vec!["a".to_owned(), "n".to_owned()], vec!["bb".to_owned(), "10".to_owned()]];
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}", 9), "a\\u{1b}[2Jb\\u{202e}");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(table(&rows, 1), "  a   n\n  bb 10\n");
    }
}
