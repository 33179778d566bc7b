//! Arrows point down: no file of a lower floor names one above it, and in `shared/service` no files name each
//! other in a ring.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, assert_none, sources};

/// The floors of `shared/core/src`, from the ground up; what is not listed is a room, on top of all.
const CORE: [&[&str]; 2] = [
    &["due", "encoding", "id", "permission", "sql", "time"],
    &["config", "jose", "limit", "record", "secret"],
];

/// The floors of `shared/service/src`, from the ground up. A longer path goes before a shorter one.
const SERVICE: [&[&str]; 6] = [
    &["request"],
    &["instance"],
    &["context", "database", "call"],
    &["access"],
    &["directory", "keys", "oauth", "operation", "record", "sign_in"],
    &["function", "request::serve"],
];

/// A crate's files by the module that each is, and what each names.
struct Crate {
    /// Module path (`access::caller`; empty for `lib.rs`) → file.
    files: BTreeMap<String, String>,
    /// Module path → module paths that it names, with the line where it does.
    names: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Crate {
    fn read(folder: &str) -> Self {
        let sources = sources(&[folder]);
        let files: BTreeMap<String, String> =
            sources.iter().map(|source| (module(folder, source), source.path.clone())).collect();
        let mut names = BTreeMap::new();
        for source in &sources {
            let module = module(folder, source);
            let mut named = BTreeMap::new();
            for (number, path) in paths(source, &module) {
                let Some(target) = owner(&files, &path) else { continue };
                if target != module && !target.is_empty() {
                    named.entry(target).or_insert(number);
                }
            }
            names.insert(module, named);
        }
        Self { files, names }
    }

    fn upward(&self, floor: impl Fn(&str) -> usize) -> Vec<String> {
        let mut wrong = Vec::new();
        for (module, named) in self.names.iter().filter(|(module, _)| !module.is_empty()) {
            for (target, number) in named {
                if floor(target) > floor(module) {
                    wrong.push(format!("{}:{number} names {target}, which is above it", self.files[module]));
                }
            }
        }
        wrong
    }

    /// A ring that begins and ends at each module that is in one, found by going down from it.
    fn rings(&self) -> Vec<String> {
        let mut rings = Vec::new();
        for start in self.names.keys().filter(|module| !module.is_empty()) {
            if let Some(ring) = self.way_back(start) {
                rings.push(ring.join(" → "));
            }
        }
        rings
    }

    fn way_back(&self, start: &str) -> Option<Vec<String>> {
        let mut seen = BTreeSet::new();
        let mut open = vec![vec![start.to_owned()]];
        while let Some(way) = open.pop() {
            for target in self.names.get(way.last()?).into_iter().flat_map(BTreeMap::keys) {
                let mut further = way.clone();
                further.push(target.clone());
                if target == start {
                    return Some(further);
                }
                if seen.insert(target.clone()) {
                    open.push(further);
                }
            }
        }
        None
    }
}

/// The module that a file is.
fn module(folder: &str, source: &Source) -> String {
    let path = source.path.strip_prefix(folder).unwrap().trim_start_matches('/');
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { String::new() } else { path.replace('/', "::") }
}

/// The paths within the crate that a file names, absolute, with the line of each. `mod` and re-exports of a
/// module's own children are how a room is put together, and name nothing.
fn paths(source: &Source, module: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut statement: Option<(usize, String)> = None;
    for (number, line) in source.code() {
        let code = line.split("//").next().unwrap_or_default().trim();
        if let Some((_, text)) = &mut statement {
            text.push_str(code);
        } else if code.starts_with("use ") || (code.starts_with("pub") && code.contains(" use ")) {
            statement = Some((number, code.to_owned()));
        } else {
            found.extend(inline(code).into_iter().map(|path| (number, path)));
        }
        if statement.as_ref().is_some_and(|(_, text)| text.ends_with(';')) {
            let (number, text) = statement.take().unwrap();
            let tree = text.split_once("use ").unwrap().1.trim_end_matches(';').to_owned();
            found.extend(expand(&tree).into_iter().map(|path| (number, path)));
        }
    }
    found.into_iter().filter_map(|(number, path)| Some((number, absolute(&path, module)?))).collect()
}

/// `a::{b, c::{d, e}}` → `a::b`, `a::c::d`, `a::c::e`.
fn expand(tree: &str) -> Vec<String> {
    let Some((before, inside)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let inside = inside.trim_end().trim_end_matches('}');
    let (mut parts, mut depth, mut part) = (Vec::new(), 0_usize, String::new());
    for character in inside.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(character);
    }
    parts.push(part);
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.flat_map(|part| expand(&format!("{}{part}", before.trim()))).collect()
}

/// The paths of a line of code that begin with `crate::` or `super::`.
fn inline(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for start in ["crate::", "super::"] {
        for (index, _) in code.match_indices(start) {
            let is_whole = !code[..index].ends_with(|before: char| before.is_alphanumeric() || before == ':');
            let path: String = code[index..]
                .chars()
                .take_while(|next| next.is_alphanumeric() || "_:".contains(*next))
                .collect();
            if is_whole {
                paths.push(path);
            }
        }
    }
    paths
}

/// From the root of the crate; `None` for what is no path within it.
fn absolute(path: &str, module: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("crate::") {
        return Some(rest.to_owned());
    }
    let mut base: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let mut rest = path.strip_prefix("super::")?;
    base.pop()?;
    while let Some(further) = rest.strip_prefix("super::") {
        base.pop()?;
        rest = further;
    }
    base.push(rest);
    Some(base.join("::"))
}

/// The file that a path leads to: that of the longest module in it.
fn owner(files: &BTreeMap<String, String>, path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split("::").collect();
    (1..=parts.len()).rev().map(|length| parts[..length].join("::")).find(|module| files.contains_key(module))
}

fn floor_of(floors: &[&[&str]], module: &str) -> usize {
    let is_in = |name: &&str| module == *name || module.starts_with(&format!("{name}::"));
    let found =
        floors.iter().enumerate().flat_map(|(floor, names)| names.iter().map(move |name| (floor, name)));
    found
        .filter(|(_, name)| is_in(name))
        .max_by_key(|(_, name)| name.len())
        .map_or(floors.len(), |(floor, _)| floor)
}

#[test]
fn arrows_in_core_point_down() {
    let core = Crate::read("shared/core/src");
    assert!(core.names.len() > 60, "only {} files were read", core.names.len());
    assert_none("arrows that point up", core.upward(|module| floor_of(&CORE, module)));
}

#[test]
fn arrows_in_service_point_down() {
    let service = Crate::read("shared/service/src");
    assert!(service.names.len() > 30, "only {} files were read", service.names.len());
    assert_none("arrows that point up", service.upward(|module| floor_of(&SERVICE, module)));
    assert_none("rings of files", service.rings());
}

/// An instance answers what is due; who calls acts.
#[test]
fn memories_take_no_context() {
    let mut named = Vec::new();
    for source in sources(&["shared/service/src/instance"]) {
        let lines = source.lines().filter(|(_, line)| line.contains("context::Context"));
        named.extend(lines.map(|(number, line)| format!("{}:{number}: {line}", source.path)));
    }
    assert_none("memories that know of a context", named);
}

#[test]
fn paths_are_told() {
    let source = Source {
        path: "x/a/b.rs".to_owned(),
        text: "use crate::c::{D, e::{F, G}};\nuse super::{h, i::J};\nfn k() { crate::l::m(); $crate::n!(); \
             std::o::p() }\n"
            .to_owned(),
    };
    let told: Vec<String> = paths(&source, "a::b").into_iter().map(|(_, path)| path).collect();
    assert_eq!(told, ["c::D", "c::e::F", "c::e::G", "a::h", "a::i::J", "l::m", "n"]);
}
