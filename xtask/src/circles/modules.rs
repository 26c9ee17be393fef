//! The modules of a crate: their files, items, imports and paths.

use super::tokens::tokens;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A `use` of one item or, for globs, of one module.
pub(super) struct Import {
    /// Name under which the item is known in the module; empty for globs.
    pub(super) name: String,
    pub(super) path: Vec<String>,
    pub(super) is_reexport: bool,
}

/// A module, in a file of its own or inline.
pub(super) struct Module {
    /// Names from the root of the crate.
    path: Vec<String>,
    pub(super) file: String,
    /// Items that are defined in it.
    items: BTreeSet<String>,
    pub(super) uses: Vec<Import>,
    pub(super) globs: Vec<Import>,
    /// Paths of at least two names in its code.
    pub(super) paths: Vec<Vec<String>>,
    /// Names in its code, except in `use`.
    pub(super) words: BTreeSet<String>,
}

impl Module {
    fn new(path: Vec<String>, file: &str) -> Self {
        Self {
            path,
            file: file.to_owned(),
            items: BTreeSet::new(),
            uses: Vec::new(),
            globs: Vec::new(),
            paths: Vec::new(),
            words: BTreeSet::new(),
        }
    }

    /// Whether it defines or imports this name itself, not by a glob.
    pub(super) fn has(&self, name: &str) -> bool {
        self.items.contains(name) || self.uses.iter().any(|import| import.name == name)
    }
}

/// All modules of a crate, from its root file.
pub(super) fn walk(root: &str, read: &dyn Fn(&Path) -> Option<String>) -> Vec<Module> {
    let mut modules = Vec::new();
    let mut files = vec![(Vec::new(), PathBuf::from(root))];
    while let Some((path, file)) = files.pop() {
        let Some(text) = read(&file) else { continue };
        let folder = folder(&file, path.is_empty());
        for child in parse(&tokens(&text), path, &file.to_string_lossy(), &mut modules) {
            let below: PathBuf = folder.join(child[depth_of(&folder, root)..].join("/"));
            let candidates = [below.with_extension("rs"), below.join("mod.rs")];
            files.extend(candidates.into_iter().map(|candidate| (child.clone(), candidate)));
        }
    }
    modules
}

/// Where the files of the children of a file's module are.
fn folder(file: &Path, is_root: bool) -> PathBuf {
    if is_root || file.ends_with("mod.rs") {
        file.parent().unwrap_or(Path::new("")).to_owned()
    } else {
        file.with_extension("")
    }
}

/// How many names of a module's path lead to a folder below that of the root file.
fn depth_of(folder: &Path, root: &str) -> usize {
    let root = Path::new(root).parent().map_or(0, |folder| folder.components().count());
    folder.components().count() - root
}

/// Adds the modules of a file; returns the paths of those that are declared in it and are in other files.
fn parse(tokens: &[String], path: Vec<String>, file: &str, modules: &mut Vec<Module>) -> Vec<Vec<String>> {
    let mut declared = Vec::new();
    // Inline modules, with the depth of braces at which each ends.
    let mut open = vec![(modules.len(), 0_usize)];
    modules.push(Module::new(path, file));
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(token) = tokens.get(at) {
        let current = open.last().map_or(0, |(module, _)| *module);
        let next = tokens.get(at + 1).map_or("", String::as_str);
        match token.as_str() {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if open.len() > 1 && open.last().is_some_and(|(_, end)| *end == depth) {
                    open.pop();
                }
            }
            "use" if next != "<" => {
                let is_reexport = at > 0 && matches!(tokens[at - 1].as_str(), "pub" | ")");
                at = parse_use(tokens, at + 1, &[], is_reexport, &mut modules[current]);
                continue;
            }
            "mod" => {
                let child = [modules[current].path.as_slice(), &[next.to_owned()]].concat();
                modules[current].items.insert(next.to_owned());
                if tokens.get(at + 2).is_some_and(|token| token == "{") {
                    open.push((modules.len(), depth));
                    modules.push(Module::new(child, file));
                    depth += 1;
                    at += 2;
                } else {
                    declared.push(child);
                    at += 1;
                }
            }
            "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union" => {
                modules[current].items.insert(next.to_owned());
            }
            word if is_word(word) => {
                let end = end_of_path(tokens, at);
                let names: Vec<String> =
                    tokens[at..end].iter().filter(|token| *token != "::").cloned().collect();
                modules[current].words.insert(names[0].clone());
                if names.len() > 1 {
                    modules[current].paths.push(names);
                }
                at = end - 1;
            }
            _ => {}
        }
        at += 1;
    }
    declared
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Position after the path `a::b::c` that begins here.
fn end_of_path(tokens: &[String], start: usize) -> usize {
    let mut end = start + 1;
    while tokens.get(end).is_some_and(|token| token == "::")
        && tokens.get(end + 1).is_some_and(|next| is_word(next))
    {
        end += 2;
    }
    end
}

/// Adds what a tree of `use` imports; returns the position after it.
fn parse_use(
    tokens: &[String],
    mut at: usize,
    above: &[String],
    is_reexport: bool,
    module: &mut Module,
) -> usize {
    let mut path = above.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "::" => {}
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = parse_use(tokens, at, &path, is_reexport, module);
                    if tokens.get(at).is_some_and(|token| token == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "*" => {
                module.globs.push(Import { name: String::new(), path, is_reexport });
                return at + 1;
            }
            "self" if !path.is_empty() => {}
            word if is_word(word) && word != "as" => path.push(word.to_owned()),
            _ => break,
        }
        at += 1;
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if tokens.get(at).is_some_and(|token| token == "as") {
        name = tokens.get(at + 1).cloned().unwrap_or_default();
        at += 2;
    }
    module.uses.push(Import { name, path, is_reexport });
    at
}

/// Where a path that a module names leads.
enum Target {
    Module(usize),
    /// An item of a module, by its name.
    Item(usize, String),
}

/// File and name of the item that a module's path leads to; nothing if it is a module or is in another crate.
pub(super) fn defined_in(modules: &[Module], from: usize, path: &[String]) -> Option<(String, String)> {
    match resolve(modules, from, path, 0)? {
        Target::Item(module, name) => Some((modules[module].file.clone(), name)),
        Target::Module(_) => None,
    }
}

/// Whether the module that a path leads to has this name.
pub(super) fn contains(modules: &[Module], from: usize, path: &[String], name: &str) -> bool {
    match resolve(modules, from, path, 0) {
        Some(Target::Module(module)) => named(modules, module, name, 0).is_some(),
        // The variants of an enum.
        Some(Target::Item(..)) => true,
        None => false,
    }
}

/// Maximum number of re-exports between a path and its item.
const DEPTH: usize = 16;

fn resolve(modules: &[Module], from: usize, path: &[String], depth: usize) -> Option<Target> {
    let of_path = |path: &[String]| modules.iter().position(|module| module.path == path);
    let (first, mut rest) = path.split_first()?;
    let mut current = match first.as_str() {
        "crate" => of_path(&[])?,
        "self" => from,
        "super" => of_path(modules[from].path.split_last()?.1)?,
        name => match named(modules, from, name, depth)? {
            Target::Module(module) => module,
            item @ Target::Item(..) => return Some(item),
        },
    };
    while let Some((name, further)) = rest.split_first() {
        current = match name.as_str() {
            "super" => of_path(modules[current].path.split_last()?.1)?,
            name => match named(modules, current, name, depth)? {
                Target::Module(module) => module,
                item @ Target::Item(..) => return Some(item),
            },
        };
        rest = further;
    }
    Some(Target::Module(current))
}

/// What a name means in a module.
fn named(modules: &[Module], module: usize, name: &str, depth: usize) -> Option<Target> {
    if depth > DEPTH {
        return None;
    }
    let this = &modules[module];
    let child = [this.path.as_slice(), &[name.to_owned()]].concat();
    if let Some(child) = modules.iter().position(|module| module.path == child) {
        return Some(Target::Module(child));
    }
    // First, because an item of the same name as an imported module is a function and begins no path.
    if let Some(import) = this.uses.iter().find(|import| import.name == name && import.path != [name]) {
        return resolve(modules, module, &import.path, depth + 1);
    }
    if this.items.contains(name) {
        return Some(Target::Item(module, name.to_owned()));
    }
    this.globs.iter().find_map(|glob| match resolve(modules, module, &glob.path, depth + 1)? {
        Target::Module(target) if target != module => named(modules, target, name, depth + 1),
        _ => None,
    })
}
