//! Input files: regular ones only, and zip files with one file in them.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Opens a regular file. Opening a named pipe would block until there is a writer, and reading a device might never end.
///
/// # Errors
/// An I/O error, or the file is a folder, a pipe or a device.
pub(crate) fn open(path: &Path) -> Result<File> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_file() {
        return File::open(path);
    }
    let found = if kind.is_dir() { "a folder" } else { "a pipe, socket or device" };
    Err(Error::new(ErrorKind::InvalidInput, format!("expected a regular file, found {found}")))
}

/// Fails unless the zip contains exactly one file: with several, the choice would be ambiguous.
pub(crate) fn check_one<R: std::io::Read + std::io::Seek>(
    archive: &zip::ZipArchive<R>,
) -> std::result::Result<(), String> {
    match archive.len() {
        1 => Ok(()),
        0 => Err("the zip contains no file".to_owned()),
        count => {
            let names: Vec<_> = archive.file_names().flatten().take(3).collect();
            let more = if count > names.len() { ", …" } else { "" };
            Err(format!("expected a zip with one file in it, found {count}: {}{more}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        assert!(open(dir.path()).unwrap_err().to_string().contains("found a folder"));
        assert!(open("/dev/zero".as_ref()).unwrap_err().to_string().contains("device"));
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(open(&pipe).unwrap_err().to_string().contains("pipe"));
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert!(open(&file).is_ok());
    }

    #[test]
    fn a_zip_of_two_files_is_refused_by_name() {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in ["one.csv", "two.csv"] {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(b"1,2\n").unwrap();
        }
        let archive = zip::ZipArchive::new(zip.finish().unwrap()).unwrap();
        let error = check_one(&archive).unwrap_err();
        assert!(error.contains("found 2: ") && error.contains("two.csv"), "{error}");
    }
}
