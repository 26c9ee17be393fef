//! Finds the tick files of a folder.

use super::TapeSettings;
use market::Kind;
use ports::{Error, Result};
use std::path::{Path, PathBuf};

/// One zipped tick file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// `spy/20131008_trade`: its name in saved positions.
    pub(super) name: String,
    pub(super) symbol: String,
    pub(super) session: u32,
    pub(super) kind: Kind,
    /// Checksum from the zip's directory, or the length if there is none: a changed file is read again.
    pub(super) checksum: u32,
    /// Estimated from its unzipped length: for progress only.
    pub(super) rows_guess: u64,
}

/// Maximum depth below the given folder.
const DEPTH: usize = 6;

pub(super) fn list(settings: &TapeSettings) -> Result<Vec<Entry>> {
    let dir = &settings.dir;
    if !dir.is_dir() {
        return Err(Error::user(format!("no folder {}", dir.display()))
            .hint("--source 'tape:DIR' expects a folder with tick/<symbol>/<yyyymmdd>_trade.zip"));
    }
    let (mut entries, mut seen) = (Vec::new(), 0);
    walk(dir, DEPTH, &mut |path| {
        if let Some(entry) = entry(path) {
            seen += 1;
            let wanted = (settings.symbols.is_empty()
                || settings.symbols.iter().any(|symbol| symbol.eq_ignore_ascii_case(&entry.symbol)))
                && settings.kinds.contains(&entry.kind)
                && (settings.dates.is_empty() || settings.dates.contains(&entry.session));
            if wanted {
                entries.push(entry);
            }
        }
    })?;
    if entries.is_empty() {
        let what = if seen == 0 {
            "no tick files"
        } else {
            "no tick file of the requested symbols, kinds and dates"
        };
        return Err(Error::user(format!("{what} in {}", dir.display())).hint(format!(
            "{seen} tick files found; expected paths such as tick/<symbol>/<yyyymmdd>_trade.zip"
        )));
    }
    // Order of equal times: by symbol, trades before quotes.
    entries.sort_by(|a, b| (a.session, &a.symbol, a.kind).cmp(&(b.session, &b.symbol, b.kind)));
    Ok(entries)
}

fn walk(dir: &Path, depth: usize, visit: &mut dyn FnMut(&Path)) -> Result<()> {
    let fail = ports::error::io("list folder", dir);
    for item in std::fs::read_dir(dir).map_err(&fail)? {
        let path = item.map_err(&fail)?.path();
        if path.is_dir() {
            if depth > 0 {
                walk(&path, depth - 1, visit)?;
            }
        } else {
            visit(&path);
        }
    }
    Ok(())
}

/// `…/tick/spy/20131008_trade.zip`, and nothing else: minute and second bars have the same names in other
/// folders.
fn entry(path: &Path) -> Option<Entry> {
    let (stem, extension) = (path.file_stem()?.to_str()?, path.extension()?.to_str()?);
    let (session, kind) = stem.split_once('_')?;
    let folder = path.parent()?;
    let symbol = folder.file_name()?.to_str()?;
    let resolution = folder.parent()?.file_name()?.to_str()?;
    if extension != "zip" || resolution != "tick" || session.len() != 8 {
        return None;
    }
    let kind = match kind {
        "trade" => Kind::Trade,
        "quote" => Kind::Quote,
        _ => return None,
    };
    let (checksum, length) = content(path);
    Some(Entry {
        path: path.to_owned(),
        name: format!("{symbol}/{stem}"),
        symbol: symbol.to_ascii_uppercase(),
        session: session.parse().ok()?,
        kind,
        checksum,
        rows_guess: length / 31,
    })
}

/// Checksum and unzipped length of the zip's only file.
fn content(path: &Path) -> (u32, u64) {
    let zipped = || {
        let mut archive = zip::ZipArchive::new(crate::files::open(path).ok()?).ok()?;
        let file = archive.by_index_raw(0).ok()?;
        Some((file.crc32(), file.size()))
    };
    zipped().unwrap_or_else(|| {
        let length = std::fs::metadata(path).map_or(0, |meta| meta.len());
        (length as u32, length * 5)
    })
}
