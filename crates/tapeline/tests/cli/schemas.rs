//! `tapeline schema`, and docs/schemas, which it writes.

use crate::run;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_documented_schemas_are_those_of_the_program() {
    let documented = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    let dir = tempfile::tempdir().unwrap();
    let (code, text) = run(&["schema", "--out", dir.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{text}");
    let names = |dir: &Path| -> BTreeSet<_> {
        std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.file_name()).collect()
    };
    assert_eq!(names(dir.path()), names(&documented));
    for name in names(dir.path()) {
        let [ours, theirs] =
            [dir.path(), &documented].map(|dir| std::fs::read_to_string(dir.join(&name)).unwrap());
        assert!(ours == theirs, "docs/schemas/{}: tapeline schema --out docs/schemas", name.display());
        let kind = name.to_str().unwrap().trim_end_matches(".json").to_owned();
        assert_eq!(run(&["schema", &kind]), (0, ours));
    }
    let (code, text) = run(&["schema", "candle"]);
    assert!(code == 2 && text.contains("expected one of trade, quote, reading, bar"), "{text}");
}
