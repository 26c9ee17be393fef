//! `tapeline schema`, and docs/schemas, which it writes.

use crate::run;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_documented_schemas_are_those_of_the_program() {
    let documented = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    for options in [&["schema", "--out", folder][..], &["schema", "--avro", "--out", folder]] {
        let (code, text) = run(options);
        assert_eq!(code, 0, "{text}");
    }
    let names = |dir: &Path| -> BTreeSet<_> {
        std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.file_name()).collect()
    };
    assert_eq!(names(dir.path()), names(&documented));
    for name in names(dir.path()) {
        let [ours, theirs] =
            [dir.path(), &documented].map(|dir| std::fs::read_to_string(dir.join(&name)).unwrap());
        let (kind, ending) = name.to_str().unwrap().split_once('.').unwrap();
        let options: &[&str] = if ending == "avsc" { &["schema", kind, "--avro"] } else { &["schema", kind] };
        assert!(
            ours == theirs,
            "docs/schemas/{kind}.{ending}: tapeline {} --out docs/schemas",
            options.join(" ")
        );
        assert_eq!(run(options), (0, ours));
    }
    let (code, text) = run(&["schema", "bar", "--avro"]);
    assert!(code == 2 && text.contains("expected one of trade, quote, reading\n"), "{text}");
    let (code, text) = run(&["schema", "candle"]);
    assert!(code == 2 && text.contains("expected one of trade, quote, reading, bar"), "{text}");
}
