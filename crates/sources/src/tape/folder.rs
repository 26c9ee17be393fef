//! Finds the tick files of a folder.

use super::settings::TapeSettings;
use market::Kind;
use ports::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
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
    let mut real_paths = BTreeSet::new();
    walk(dir, DEPTH, &mut |path| {
        if let Some(entry) = entry(path) {
            // A link leads to a file that was found already.
            if !real_paths.insert(path.canonicalize().unwrap_or_else(|_| path.to_owned())) {
                return;
            }
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
    require_all(settings, &entries)?;
    refuse_same_names(&entries)?;
    for hole in holes(&entries) {
        tracing::warn!("{hole}");
    }
    // Order of equal times: by symbol, trades before quotes.
    entries.sort_by(|a, b| (a.session, &a.symbol, a.kind).cmp(&(b.session, &b.symbol, b.kind)));
    Ok(entries)
}

/// Fails if a requested symbol or date has no file: the others alone are not the requested source.
fn require_all(settings: &TapeSettings, entries: &[Entry]) -> Result<()> {
    let symbols = settings.symbols.iter();
    let symbols = symbols.filter(|name| !entries.iter().any(|entry| entry.symbol.eq_ignore_ascii_case(name)));
    let dates = settings.dates.iter().filter(|date| !entries.iter().any(|entry| entry.session == **date));
    let missing: Vec<String> = symbols.cloned().chain(dates.map(ToString::to_string)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: BTreeSet<&str> = entries.iter().map(|entry| entry.symbol.as_str()).collect();
    let sessions: BTreeSet<String> = entries.iter().map(|entry| entry.session.to_string()).collect();
    let list = |words: &[String]| words.join(", ");
    Err(Error::user(format!("no tick file of {} in {}", list(&missing), settings.dir.display())).hint(format!(
        "of the requested, found symbols {} and dates {}; request only these with symbols= and dates=, or add the files",
        names.into_iter().collect::<Vec<_>>().join(", "),
        list(&sessions.into_iter().collect::<Vec<_>>())
    )))
}

/// Fails if two folders have a file of one symbol, session and kind: their rows have the same identities, so that one would
/// overwrite the other.
fn refuse_same_names(entries: &[Entry]) -> Result<()> {
    let mut paths: BTreeMap<&str, &Path> = BTreeMap::new();
    for entry in entries {
        if let Some(other) = paths.insert(&entry.name, &entry.path) {
            return Err(Error::user(format!(
                "expected one file {}.zip, found {} and {}",
                entry.name,
                other.display(),
                entry.path.display()
            ))
            .hint(
                "give the folder of one of them, and publish the other with a label of its own (`source.feed`)",
            ));
        }
    }
    Ok(())
}

/// Sessions between a symbol's first and last for which other symbols have a file of the kind and it has none.
fn holes(entries: &[Entry]) -> Vec<String> {
    let mut sessions: BTreeMap<Kind, BTreeSet<u32>> = BTreeMap::new();
    let mut of_symbol: BTreeMap<(Kind, &str), BTreeSet<u32>> = BTreeMap::new();
    for entry in entries {
        sessions.entry(entry.kind).or_default().insert(entry.session);
        of_symbol.entry((entry.kind, &entry.symbol)).or_default().insert(entry.session);
    }
    let mut out = Vec::new();
    for ((kind, symbol), own) in &of_symbol {
        let (Some(first), Some(last)) = (own.first(), own.last()) else { continue };
        let all = sessions.get(kind).into_iter().flat_map(|all| all.range(*first..=*last));
        for session in all.filter(|session| !own.contains(session)) {
            let kind = kind.name();
            out.push(format!(
                "no {kind} file of {symbol} for {session}, which other symbols have: expected tick/{}/{session}_{kind}.zip",
                symbol.to_ascii_lowercase()
            ));
        }
    }
    out
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
        "trade" => Kind::TRADE,
        "quote" => Kind::QUOTE,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(dir: &Path, files: &[&str], symbols: &[&str], dates: &[u32]) -> TapeSettings {
        for file in files {
            let path = dir.join("tick").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        TapeSettings {
            dir: dir.to_owned(),
            speed: None,
            symbols: symbols.iter().map(ToString::to_string).collect(),
            kinds: vec![Kind::TRADE],
            dates: dates.to_vec(),
            feed: "lean.sip".to_owned(),
            zone: "America/New_York".to_owned(),
        }
    }

    const FILES: [&str; 4] = [
        "abc/20131007_trade.zip",
        "abc/20131009_trade.zip",
        "xyz/20131008_trade.zip",
        "xyz/20131009_trade.zip",
    ];

    #[test]
    fn a_requested_symbol_or_date_without_a_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let all = settings(dir.path(), &FILES, &["abc", "XYZ"], &[20_131_007, 20_131_009]);
        assert_eq!(list(&all).unwrap().len(), 3);
        let error = list(&settings(dir.path(), &[], &["ABC", "NO"], &[20_131_007, 20_131_010])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no tick file of NO, 20131010 in "), "{text}");
        assert!(text.contains("found symbols ABC and dates 20131007"), "{text}");
    }

    /// Rows are identified by session and number: of two files, one would replace rows of the other.
    #[test]
    fn two_files_of_one_symbol_and_session_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut tape = settings(&dir.path().join("a"), &FILES[..1], &[], &[]);
        settings(&dir.path().join("b"), &FILES[..2], &[], &[]);
        tape.dir = dir.path().to_owned();
        let error = list(&tape).unwrap_err().to_string();
        assert!(error.contains("expected one file abc/20131007_trade.zip, found "), "{error}");
        assert!(error.contains("a/tick/abc") && error.contains("b/tick/abc"), "{error}");
        tape.dates = vec![20_131_009];
        assert_eq!(list(&tape).unwrap().len(), 1);
        // A link to the same file is not a second file.
        tape.dates = Vec::new();
        tape.dir = dir.path().join("b");
        std::fs::create_dir(tape.dir.join("more")).unwrap();
        std::os::unix::fs::symlink(tape.dir.join("tick"), tape.dir.join("more/tick")).unwrap();
        assert_eq!(list(&tape).unwrap().len(), 2);
    }

    #[test]
    fn a_day_that_other_symbols_have_is_a_hole() {
        let dir = tempfile::tempdir().unwrap();
        let holes = holes(&list(&settings(dir.path(), &FILES, &[], &[])).unwrap());
        // XYZ begins after the first day, which is not a gap.
        assert_eq!(holes.len(), 1, "{holes:?}");
        assert!(holes[0].contains("no trade file of ABC for 20131008"), "{holes:?}");
    }
}
