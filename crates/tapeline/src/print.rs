//! `print!`, `println!` and `eprintln!` that do not panic when nobody reads any more (`tapeline run | head -1`): what the
//! program is for continues without its messages.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard output could not be written, for another reason than that nobody reads it.
static FAILED: AtomicBool = AtomicBool::new(false);
/// Standard output is for JSON: what is meant for people goes to standard error.
static JSON: AtomicBool = AtomicBool::new(false);

macro_rules! print {
    ($($part:tt)*) => { $crate::print::to_output(format_args!($($part)*)) };
}

macro_rules! println {
    () => { $crate::print::to_output(format_args!("\n")) };
    ($($part:tt)*) => { $crate::print::to_output(format_args!("{}\n", format_args!($($part)*))) };
}

macro_rules! eprintln {
    ($($part:tt)*) => { $crate::print::to_error(format_args!("{}\n", format_args!($($part)*))) };
}

/// Reserves standard output for [`json`] (`--format json`).
pub(crate) fn reserve_for_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Whether standard output is reserved for JSON.
pub(crate) fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Prints a value on a line of its own, if JSON was requested.
pub(crate) fn json(value: impl FnOnce() -> serde_json::Value) {
    if is_json() {
        let value = value();
        report(io::stdout().lock().write_fmt(format_args!("{value}\n")));
    }
}

/// Writes to standard output; a failure is reported once, and by [`outcome`].
pub(crate) fn to_output(text: Arguments<'_>) {
    if is_json() {
        return to_error(text);
    }
    report(io::stdout().lock().write_fmt(text));
}

fn report(written: io::Result<()>) {
    let Err(error) = written else { return };
    if error.kind() != ErrorKind::BrokenPipe && !FAILED.swap(true, Ordering::Relaxed) {
        eprintln!("error: write to standard output: {error}");
    }
}

/// Writes to standard error. There is no other place for what cannot be written there.
pub(crate) fn to_error(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// The exit code; failure instead of success if output is missing.
pub(crate) fn outcome(code: ExitCode) -> ExitCode {
    report(io::stdout().flush());
    if code == ExitCode::SUCCESS && FAILED.load(Ordering::Relaxed) { ExitCode::FAILURE } else { code }
}
