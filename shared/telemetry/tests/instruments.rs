//! Every instrument is recorded by somebody: read off the sources.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::Path;

/// The names of the instruments, as the file that declares them has them.
fn declared(root: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join("shared/telemetry/src/instruments.rs")).unwrap();
    // Those of the product stand in `instruments!`, and not the macro's own `$name`.
    let names =
        text.lines().filter_map(|line| line.trim_start().strip_prefix("pub static ")?.split_once(':'));
    names.map(|(name, _)| name.to_owned()).filter(|name| !name.starts_with('$')).collect()
}

/// What modules are made of: the code of functions and of what they share, without tests and documentation.
fn code(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() {
            if !["tests", "target", "node_modules"].contains(&name.as_str()) {
                code(&path, text);
            }
        } else if name.ends_with(".rs") && name != "instruments.rs" {
            let source = fs::read_to_string(&path).unwrap();
            let source = source.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
            lines.for_each(|line| text.extend([line, "\n"]));
        }
    }
}

#[test]
fn every_instrument_is_recorded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let mut text = String::new();
    for folder in ["functions", "shared"] {
        code(&root.join(folder), &mut text);
    }
    let declared = declared(root);
    assert!(declared.len() > 10, "{declared:?}");
    let is_recorded = |name: &str| {
        // A call takes it by reference, maybe one of two.
        text.match_indices(&format!("&{name}")).any(|(place, found)| {
            let after = text.get(place + found.len()..).and_then(|rest| rest.chars().next());
            !after.is_some_and(|next| next.is_alphanumeric() || next == '_')
        })
    };
    let unused: Vec<_> = declared.iter().filter(|name| !is_recorded(name)).collect();
    assert!(unused.is_empty(), "declared and never recorded: {unused:?}");
}
