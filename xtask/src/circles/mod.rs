//! Circles of imports between the files of a crate.
//!
//! A file imports another if its code names an item that is defined there, through whatever re-exports: by `use`, by a
//! path such as `crate::a::b()`, or by a name that it also re-exports. A declaration `mod child;` and a re-export
//! `pub use child::Item;` alone are no imports, and neither are tests.

mod modules;
mod tokens;

use modules::Module;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Imports of a crate: importing file, imported file, and the names.
type Imports = BTreeMap<(String, String), BTreeSet<String>>;

/// A message for each circle of imports in the crate with this root file.
pub(crate) fn circles(root: &str, read: &dyn Fn(&Path) -> Option<String>) -> Vec<String> {
    let imports = imports(&modules::walk(root, read));
    let mut reached: BTreeSet<(&str, &str)> = imports.keys().map(|(a, b)| (&**a, &**b)).collect();
    let files: BTreeSet<&str> = reached.iter().flat_map(|(a, b)| [*a, *b]).collect();
    for via in &files {
        for from in &files {
            if reached.contains(&(*from, *via)) {
                let further: Vec<_> = files.iter().filter(|to| reached.contains(&(*via, **to))).collect();
                reached.extend(further.into_iter().map(|to| (*from, *to)));
            }
        }
    }
    let component = |file: &&str| -> BTreeSet<&str> {
        let is_mutual =
            |other: &&&str| reached.contains(&(*file, **other)) && reached.contains(&(**other, *file));
        files.iter().filter(is_mutual).copied().collect()
    };
    let components: BTreeSet<BTreeSet<&str>> =
        files.iter().map(component).filter(|set| set.len() > 1).collect();
    components.iter().map(|files| message(files, &imports)).collect()
}

fn message(files: &BTreeSet<&str>, imports: &Imports) -> String {
    let inner = imports.iter().filter(|((from, to), _)| files.contains(&**from) && files.contains(&**to));
    let lines = inner.map(|((from, to), names)| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("\n    {from} imports {} of {to}", names.join(", "))
    });
    format!("circle of imports between {} files:{}", files.len(), lines.collect::<String>())
}

fn imports(modules: &[Module]) -> Imports {
    let mut imports = Imports::new();
    for (index, module) in modules.iter().enumerate() {
        let mut add = |path: &[String]| {
            if let Some((file, name)) = modules::defined_in(modules, index, path)
                && file != module.file
            {
                imports.entry((module.file.clone(), file)).or_default().insert(name);
            }
        };
        for import in &module.uses {
            // What is only re-exported is not imported.
            if !import.is_reexport || module.words.contains(&import.name) {
                add(&import.path);
            }
        }
        for path in &module.paths {
            add(path);
        }
        for glob in module.globs.iter().filter(|glob| !glob.is_reexport) {
            for word in &module.words {
                if !module.has(word) && modules::contains(modules, index, &glob.path, word) {
                    add(&[glob.path.as_slice(), std::slice::from_ref(word)].concat());
                }
            }
        }
    }
    imports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path)?;
            Some(found.1.to_owned())
        };
        circles("lib.rs", &read)
    }

    #[test]
    fn two_files_that_import_each_other_are_a_circle() {
        let b = ("b.rs", "use crate::a::A;\npub struct B(A);");
        let circle = |a: &str| circles_of(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), b]);
        let expected =
            "circle of imports between 2 files:\n    a.rs imports B of b.rs\n    b.rs imports A of a.rs";
        assert_eq!(circle("use crate::b::B;\npub struct A;"), [expected]);
        assert_eq!(circle("use super::{b::{self as other, B}, x};\npub struct A;"), [expected]);
        assert_eq!(circle("pub struct A(crate::b::B);"), [expected]);
        assert_eq!(circle("use crate::b;\npub fn f() { b::B::new::<A>() }\npub struct A;"), [expected]);
        assert_eq!(circle("use crate::b::*;\npub struct A(B);"), [expected]);
    }

    #[test]
    fn tests_comments_and_strings_import_nothing() {
        let b = ("b.rs", "use crate::a::A;\npub struct B(A);");
        let circle = |a: &str| circles_of(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), b]);
        assert_eq!(circle("pub struct A;\n#[cfg(test)]\nmod tests { use crate::b::B; }"), [""; 0]);
        assert_eq!(circle("pub struct A;\n#[cfg(test)]\nuse crate::b::B;"), [""; 0]);
        assert_eq!(circle("/* crate::b::B /* */ */ /// [`crate::b::B`]\npub struct A;"), [""; 0]);
        assert_eq!(circle("pub const A: &str = \"\\\"crate::b::B\"; const C: char = '\"';"), [""; 0]);
        assert_eq!(circle("pub const A: &str = r#\"\"crate::b::B\"#; fn f<'a>() {}"), [""; 0]);
    }

    #[test]
    fn a_parent_may_declare_and_re_export_its_children_but_not_use_them_in_turn() {
        let child = ("a/b.rs", "use super::A;\npub struct B(A);");
        let circle = |a: &str| circles_of(&[("lib.rs", "mod a;"), ("a.rs", a), child]).len();
        assert_eq!(circle("mod b;\npub use b::B;\npub struct A;"), 0);
        assert_eq!(circle("mod b;\npub use b::B;\npub struct A;\nfn f() -> B {}"), 1);
        assert_eq!(circle("mod b;\npub struct A;\nfn f() { b::B }"), 1);
    }

    #[test]
    fn imports_are_followed_through_re_exports_and_other_files() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c { pub use crate::b::B; }"),
            ("a/mod.rs", "pub mod d; pub use d::*;"),
            ("a/d.rs", "pub struct D(crate::c::B);"),
            ("b.rs", "mod e;\npub use e::E; use anyhow::Result; pub struct B(E);"),
            ("b/e.rs", "use crate::a; use super::Result; pub struct E(a::D);"),
        ];
        let found = circles_of(&files);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("circle of imports between 3 files:"), "{found:?}");
        assert!(found[0].contains("b/e.rs imports D of a/d.rs"), "{found:?}");
    }
}
