//! `archive`, `verify --archive` and `restore` on embedded engines and a folder, with kills.

use crate::{embedded_urls, finish, run, session, signal, tapeline, url, with};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The program with small ranges.
fn small(arguments: &[&str]) -> Command {
    let mut command = tapeline(arguments);
    command.env("TAPELINE__ARCHIVE__ROWS", "2000").env("TAPELINE__TOPIC__PARTITIONS", "3");
    command
}

fn objects(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                // Files that are being written appear and vanish.
                if !path.ends_with(".unfinished") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "parquet") {
                found.insert(path, entry.metadata().unwrap().len());
            }
        }
    }
    found
}

#[test]
fn kills_leave_no_double_and_no_gap_and_a_flipped_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("archive");
    let archive = format!("folder:{}", folder.display());
    let mut urls = embedded_urls(dir.path(), &session());
    urls[1].push_str("?kinds=trades&symbols=AIG,IBM&speed=max");
    for verb in ["produce", "consume"] {
        let arguments: Vec<&str> =
            with(verb, &urls).into_iter().chain((verb == "consume").then_some("--until-end")).collect();
        let (code, text) = finish(small(&arguments).output().unwrap());
        assert_eq!(code, 0, "{text}");
    }
    let archiving: Vec<&str> =
        with("archive", &urls).into_iter().chain(["--archive", &archive, "--until-end"]).collect();
    let spawn =
        || -> Child { small(&archiving).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap() };
    // Killed as soon as it has written something more, which may be any step of a range.
    let mut killed = 0;
    let count = |folder: &Path| if folder.is_dir() { objects(folder).len() } else { 0 };
    for round in 0..12 {
        let mut child = spawn();
        let before = count(&folder);
        loop {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            if count(&folder) > before + round % 3 {
                signal(&child, "-KILL");
                killed += 1;
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let (_, text) = finish(child.wait_with_output().unwrap());
        assert!(!text.contains("error") && !text.contains("panicked"), "{text}");
    }
    assert!(killed >= 6, "{killed} kills: the topic is too small for the test");
    let (code, text) = finish(spawn().wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
    let before = objects(&folder);
    let (code, text) = finish(spawn().wait_with_output().unwrap());
    assert!(code == 0 && text.contains("archived: 0 records in 0 ranges"), "{text}");
    assert_eq!(objects(&folder), before);

    let verifying: Vec<&str> = with("verify", &urls).into_iter().chain(["--archive", &archive]).collect();
    let (code, text) = run(&verifying);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("equal field for field in source, topic, store, archive"), "{text}");

    // An empty store becomes equal.
    let restored = url("sqlite", &dir.path().join("restored.db"));
    let (code, text) = run(&["restore", "--archive", &archive, "--store", &restored]);
    assert_eq!(code, 0, "{text}");
    let mut urls = urls.clone();
    urls[5] = restored;
    let (code, text) = run(&with("verify", &urls));
    assert!(code == 0 && text.contains("equal field for field in source, topic, store"), "{text}");

    // One flipped byte.
    let path = before.keys().nth(1).unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
    let (code, text) = run(&verifying);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(code == 3 && text.contains(name) && text.contains("damaged: expected SHA-256"), "{text}");
    let (code, text) = run(&["restore", "--archive", &archive, "--store", &urls[5]]);
    assert!(code == 3 && text.contains(name), "{text}");
}

#[test]
fn a_quiet_partition_is_archived_by_time_and_a_stop_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("archive");
    let archive = format!("folder:{}", folder.display());
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    crate::tape(dir.path(), "34200000,100000,1,P,00000001,0\n");
    let (code, text) = run(&with("produce", &urls));
    assert_eq!(code, 0, "{text}");
    let arguments: Vec<&str> = with("archive", &urls).into_iter().chain(["--archive", &archive]).collect();
    let mut child = tapeline(&arguments)
        .env("TAPELINE__ARCHIVE__AGE", "1s")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !folder.join("_manifests").is_dir() || objects(&folder).is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before the partition was archived");
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(&child, "-TERM");
    let (code, text) = finish(child.wait_with_output().unwrap());
    assert!(code == 0 && text.contains("1 record in 1 range"), "{text}");
}

#[test]
fn what_is_missing_is_named_and_archive_writes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("archive");
    let archive = format!("folder:{}", folder.display());
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    crate::tape(dir.path(), "34200000,100000,1,P,00000001,0\n34200001,100000,2,P,00000001,0\n");
    let with_archive = |verb, url| -> Vec<String> {
        let arguments = with(verb, &urls).into_iter().chain(["--archive", url]);
        arguments.map(str::to_owned).collect()
    };
    let call = |arguments: Vec<String>| run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(run(&with("produce", &urls)).0, 0);
    let until_end = |verb| with(verb, &urls).into_iter().chain(["--until-end"]).collect::<Vec<_>>();
    assert_eq!(run(&until_end("consume")).0, 0);
    let archiving = || {
        let mut arguments = with_archive("archive", &archive);
        arguments.push("--until-end".to_owned());
        call(arguments)
    };
    assert_eq!(archiving().0, 0);
    let store = dir.path().join("restored.db");
    let restored = url("sqlite", &store);
    let restore = |archive: &str| run(&["restore", "--archive", archive, "--store", &restored]);

    // A mistyped address creates nothing.
    let (none, file) = (format!("{archive}x"), format!("folder:{}", dir.path().join("file").display()));
    std::fs::write(dir.path().join("file"), b"x").unwrap();
    for (address, part) in [(&none, "no such folder"), (&file, "expected a folder")] {
        let (code, text) = restore(address);
        assert!(code == 1 && text.contains(part) && !store.exists(), "{code} {text}");
        let (code, text) = call(with_archive("verify", address));
        assert!(code == 1 && text.contains(part), "{code} {text}");
    }
    let (code, text) = call(with_archive("archive", &file));
    assert!(code == 1 && text.contains("expected a folder"), "{code} {text}");

    let manifest = std::fs::read_dir(folder.join("_manifests/tapeline.trades"))
        .unwrap()
        .flat_map(|partition| std::fs::read_dir(partition.unwrap().path()).unwrap())
        .next()
        .unwrap()
        .unwrap()
        .path();
    let object = objects(&folder).into_keys().next().unwrap();
    for (missing, part) in [(&manifest, "begun and not complete"), (&object, "missing")] {
        std::fs::remove_file(missing).unwrap();
        for (code, text) in [restore(&archive), call(with_archive("verify", &archive))] {
            assert!(
                code == 3 && text.contains(part) && text.contains("1 fault of the archive"),
                "{code} {text}"
            );
            assert!(text.contains("tapeline archive --until-end --archive"), "{text}");
        }
        let (code, text) = archiving();
        assert!(code == 0 && missing.exists(), "{code} {text}");
        let (code, text) = call(with_archive("verify", &archive));
        assert_eq!(code, 0, "{text}");
    }
    let (code, text) = restore(&archive);
    assert!(code == 0 && text.contains("restored: 2 records"), "{code} {text}");

    // A manifest that was cut is named, and not written over.
    let whole = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, &whole[..whole.len() / 2]).unwrap();
    let name = manifest.file_name().unwrap().to_str().unwrap();
    for (code, text) in [restore(&archive), call(with_archive("verify", &archive)), archiving()] {
        assert!(code == 3 && text.contains(name) && text.contains("damaged"), "{code} {text}");
    }
    std::fs::remove_file(&manifest).unwrap();
    assert_eq!(archiving().0, 0);
    assert_eq!(std::fs::read(&manifest).unwrap(), whole);
}

#[test]
fn invalid_archives_are_named() {
    for (arguments, part) in [
        (&["archive"][..], "no archive given"),
        (&["archive", "--archive", "/tmp/x"], "unknown archive URL `/tmp/x`"),
        (&["archive", "--archive", "s3://B"], "not the name of a bucket"),
        (&["restore", "--archive", "s3://bucket/p"], "no region"),
        (&["archive", "--kinds", "trades", "--archive", "folder:x"], "archives everything on the topic"),
    ] {
        let mut command = tapeline(arguments);
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            command.env_remove(name);
        }
        let (code, text) = finish(command.output().unwrap());
        assert!(code == 2 && text.contains(part), "{code} {text}");
    }
}
