//! Folder of trained models: `DIR/SYMBOL/INTERVAL/0001.safetensors`, one file per version, never rewritten.

use ports::error::io;
use ports::{Error, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

const EXTENSION: &str = "safetensors";
/// Extension of files being written.
const TEMPORARY: &str = "tmp";

/// A trained version on disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) number: u32,
    pub(crate) path: PathBuf,
}

/// Saves a new version atomically: the bytes are written and synced under a temporary name, then linked to
/// the next free number.
pub(crate) fn save(dir: &Path, symbol: &str, interval: &str, bytes: &[u8]) -> Result<Version> {
    let folder = folder(dir, symbol, interval);
    fs::create_dir_all(&folder).map_err(io("create model folder", &folder))?;
    let temporary = folder.join(format!(".{}.{TEMPORARY}", std::process::id()));
    let mut file = create_locked(&temporary).map_err(io("create model file", &temporary))?;
    file.write_all(bytes).map_err(io("write model file", &temporary))?;
    file.sync_all().map_err(io("write model file", &temporary))?;
    let mut number = newest(dir, symbol, interval)?.map_or(1, |version| version.number + 1);
    let path = loop {
        let path = folder.join(format!("{number:04}.{EXTENSION}"));
        match fs::hard_link(&temporary, &path) {
            Ok(()) => break path,
            // Another training run took the number first.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(io("write model file", &path)(error)),
        }
    };
    fs::remove_file(&temporary).map_err(io("remove temporary file", &temporary))?;
    remove_abandoned(&folder)?;
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(io("write model folder", &folder))?;
    Ok(Version { number, path })
}

/// Creates a file and locks it for as long as it is open: files without a lock were left by a process that was killed.
fn create_locked(path: &Path) -> std::io::Result<File> {
    loop {
        let file = File::create(path)?;
        file.lock()?;
        // Another process may have taken it for abandoned before it was locked.
        if path.exists() {
            return Ok(file);
        }
    }
}

/// Removes the temporary files of processes that were killed.
fn remove_abandoned(folder: &Path) -> Result<()> {
    for path in
        entries(folder)?.iter().filter(|path| path.extension().is_some_and(|found| found == TEMPORARY))
    {
        let Ok(file) = File::open(path) else { continue };
        if file.try_lock().is_ok() {
            tracing::debug!("removing {}, left by a process that was killed", path.display());
            match fs::remove_file(path) {
                // Another process removed it at the same time.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other.map_err(io("remove temporary file", path))?,
            }
        }
    }
    Ok(())
}

/// Versions of a symbol and interval, oldest first; none for an unknown one.
pub(crate) fn versions(dir: &Path, symbol: &str, interval: &str) -> Result<Vec<Version>> {
    let folder = folder(dir, symbol, interval);
    let mut found = Vec::new();
    for path in entries(&folder)? {
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|found| found == EXTENSION)) {
            found.push(Version { number, path });
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn newest(dir: &Path, symbol: &str, interval: &str) -> Result<Option<Version>> {
    Ok(versions(dir, symbol, interval)?.pop())
}

/// The requested version, or the newest.
pub(crate) fn find(dir: &Path, symbol: &str, interval: &str, number: Option<u32>) -> Result<Version> {
    let all = versions(dir, symbol, interval)?;
    let found = match number {
        Some(number) => all.iter().find(|version| version.number == number),
        None => all.last(),
    };
    found.cloned().ok_or_else(|| {
        let wanted =
            number.map_or_else(|| "a trained model".to_owned(), |number| format!("version {number}"));
        let found =
            all.last().map_or_else(|| "none".to_owned(), |last| format!("versions up to {}", last.number));
        Error::user(format!("expected {wanted} for {symbol} {interval} in {}, found {found}", dir.display()))
            .hint(format!("tapeline forecast train {symbol} --interval {interval}"))
    })
}

pub(crate) fn read(version: &Version) -> Result<(forecast::Bundle, String)> {
    let bytes = fs::read(&version.path).map_err(io("read model file", &version.path))?;
    let fail = |error| super::input_error::failed(&version.path.display().to_string(), &error);
    let bundle = forecast::file::decode(&bytes).map_err(fail)?;
    let digest = forecast::file::digest(&bytes).map_err(fail)?;
    Ok((bundle, digest))
}

/// Every version of every symbol and interval.
pub(crate) fn all(dir: &Path) -> Result<Vec<Version>> {
    let mut found = Vec::new();
    for symbol in entries(dir)? {
        for interval in entries(&symbol)? {
            let files = entries(&interval)?.into_iter();
            let number = |path: &Path| path.file_stem()?.to_str()?.parse().ok();
            let model = |path: &PathBuf| path.extension().is_some_and(|found| found == EXTENSION);
            found.extend(
                files.filter(model).filter_map(|path| Some(Version { number: number(&path)?, path })),
            );
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let read = fs::read_dir(folder).map_err(io("read model folder", folder))?;
    let path = |entry: std::io::Result<fs::DirEntry>| entry.map(|entry| entry.path());
    read.map(path).collect::<std::io::Result<_>>().map_err(io("read model folder", folder))
}

fn folder(dir: &Path, symbol: &str, interval: &str) -> PathBuf {
    dir.join(safe(symbol)).join(safe(interval))
}

/// Encodes a name as a file name: everything but letters, digits, `-` and `_` is percent-encoded, so that
/// `BTC/USD` and `..` stay in the folder.
fn safe(name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_and_temporary_files_are_no_versions() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest(dir.path(), "BTC/USD", "1m").unwrap(), None);
        let first = save(dir.path(), "BTC/USD", "1m", b"one").unwrap();
        let second = save(dir.path(), "BTC/USD", "1m", b"two").unwrap();
        assert_eq!((first.number, second.number), (1, 2));
        assert!(first.path.starts_with(dir.path().join("BTC%2FUSD/1m")));
        let (abandoned, other) = (first.path.with_file_name(".77.tmp"), first.path.with_file_name(".78.tmp"));
        fs::write(&abandoned, b"half a mod").unwrap();
        let being_written = create_locked(&other).unwrap();
        assert_eq!(versions(dir.path(), "BTC/USD", "1m").unwrap(), [first.clone(), second.clone()]);
        assert_eq!(all(dir.path()).unwrap(), [first, second]);
        assert_eq!(save(dir.path(), "BTC/USD", "1m", b"three").unwrap().number, 3);
        assert!(!abandoned.exists() && other.exists(), "what another process writes stays");
        drop(being_written);
        let missing = find(dir.path(), "BTC/USD", "1m", Some(7)).unwrap_err().to_string();
        assert!(missing.contains("version 7") && missing.contains("versions up to 3"), "{missing}");
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        assert_eq!(safe(".."), "%2E%2E");
        assert_eq!(safe("BRK.B"), "BRK%2EB");
    }
}
