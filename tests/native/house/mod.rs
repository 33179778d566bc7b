//! The rules of the house that a compiler does not hold: read off the sources, and named by file and line
//! where they are broken.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "what fails in a helper fails its test"
)]

mod errors;
mod imports;
mod words;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The root of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A source file.
struct Source {
    /// From the root.
    path: String,
    text: String,
}

impl Source {
    /// Lines with their numbers, up to the tests at its end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Every Rust source below these folders, in order.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut paths).unwrap();
    }
    paths.sort();
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/"),
    };
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target" && name != "node_modules") {
                collect(&path, paths)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

/// Fails naming every place.
fn assert_none(rule: &str, places: Vec<String>) {
    let mut text = String::new();
    for place in &places {
        writeln!(text, "  {place}").unwrap();
    }
    assert!(places.is_empty(), "{rule}:\n{text}");
}
