//! An archive in a folder. An object is written under a temporary name, made durable, and linked to its own name, which
//! fails if that exists; so it appears whole, and only once.

use ports::archive::{Archive, Created, ObjectInfo, check_name};
use ports::check::Chain;
use ports::error::io;
use ports::{Error, Result};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Folder of unfinished objects. Its name is not that of an object.
const TEMPORARY: &str = ".unfinished";
/// Age after which an unfinished object is certainly abandoned.
const ABANDONED: Duration = Duration::from_secs(24 * 3_600);

/// An archive in a folder.
#[derive(Debug)]
pub struct FolderArchive {
    root: PathBuf,
}

/// Removes the temporary file, whatever becomes of the object.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed now is removed when it is abandoned.
        let _ = fs::remove_file(&self.0);
    }
}

impl FolderArchive {
    /// In `root`, which is created when the first object is.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The error of a request to the file system.
    fn failed(&self, doing: &'static str, path: &Path, error: std::io::Error) -> Error {
        if error.kind() == ErrorKind::NotADirectory {
            return Error::user(format!("{}: expected a folder, found a file", self.root.display()))
                .hint("--archive folder:DIR: `archive` creates DIR if there is none");
        }
        io(doing, path)(error)
    }

    /// A new file for the bytes of an object.
    fn temporary(&self) -> Result<(Temporary, File)> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let folder = self.root.join(TEMPORARY);
        fs::create_dir_all(&folder).map_err(io("create folder", &folder))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            remove_abandoned(&folder);
        }
        let name = format!("{}-{:x}-{number}", std::process::id(), ports::clock::now().0);
        let path = folder.join(name);
        let file = File::create_new(&path).map_err(io("create", &path))?;
        Ok((Temporary(path), file))
    }
}

/// Removes what killed processes left behind. What cannot be removed does no harm.
fn remove_abandoned(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|about| about.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes the entries of a folder durable.
fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync folder", folder))
}

/// Creates a folder and makes its entry, and those of its parents below `root`, durable.
fn create_folder(root: &Path, folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(io("create folder", folder))?;
    for above in folder.ancestors().skip(1) {
        sync(above)?;
        if above == root {
            break;
        }
    }
    Ok(())
}

impl Archive for FolderArchive {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created> {
        check_name(name)?;
        let path = self.root.join(name);
        if path.exists() {
            return Ok(Created::Existed);
        }
        let (temporary, mut file) = self.temporary()?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io("write", &temporary.0))?;
        let folder = path.parent().unwrap_or(&self.root);
        create_folder(&self.root, folder)?;
        match fs::hard_link(&temporary.0, &path) {
            Ok(()) => sync(folder).map(|()| Created::New),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Created::Existed),
            Err(error) => Err(io("create", &path)(error)
                .hint("the archive's folder must be on one file system, and support hard links")),
        }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        check_name(name)?;
        let path = self.root.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io("read", &path)(error)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let mut found = Vec::new();
        let mut folders = vec![prefix.trim_end_matches('/').to_owned()];
        while let Some(folder) = folders.pop() {
            let path = self.root.join(&folder);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound && folder.is_empty() => {
                    return Err(Error::user(format!("{}: no such folder", self.root.display()))
                        .hint("check the address: --archive folder:DIR"));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(self.failed("list", &path, error)),
            };
            for entry in entries {
                let entry = entry.map_err(io("list", &path))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') {
                    continue;
                }
                let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let about = match entry.metadata() {
                    Ok(about) => about,
                    // Another process has removed it.
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    Err(error) => return Err(io("list", &entry.path())(error)),
                };
                if about.is_dir() {
                    folders.push(name);
                } else {
                    found.push(ObjectInfo { name, bytes: about.len() });
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn remove(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let path = self.root.join(name);
        match fs::remove_file(&path) {
            Ok(()) => sync(path.parent().unwrap_or(&self.root)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io("remove", &path)(error)),
        }
    }

    fn check(&self) -> Chain {
        let mut chain = Chain::new();
        let found = match fs::metadata(&self.root) {
            Ok(about) if about.is_dir() => Ok(self.root.display().to_string()),
            Ok(_) => Err(Error::user(format!("{} is not a folder", self.root.display()))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(format!("{} does not exist yet; `tapeline archive` creates it", self.root.display()))
            }
            Err(error) => Err(io("open", &self.root)(error)),
        };
        chain.step("folder", found);
        chain
    }

    fn describe(&self) -> String {
        format!("folder:{}", self.root.display())
    }
}
