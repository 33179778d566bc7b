//! Noticing that a source changed: a look at the times of some hundred files, twice a second.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::workspace::Workspace;

const SOURCES: [&str; 5] = ["functions", "shared", "kv-schema/migrations", "Cargo.toml", "Cargo.lock"];

/// What was last seen.
pub(super) struct Sources {
    files: usize,
    newest: Option<SystemTime>,
}

impl Sources {
    /// Looks at every source.
    pub(super) fn look(workspace: &Workspace) -> Self {
        let mut seen = Self { files: 0, newest: None };
        for source in SOURCES {
            seen.visit(&workspace.root.join(source));
        }
        seen
    }

    /// Whether a source changed, came or went since the last look.
    pub(super) fn changed(&mut self, workspace: &Workspace) -> bool {
        let now = Self::look(workspace);
        let changed = now.files != self.files || now.newest != self.newest;
        *self = now;
        changed
    }

    /// A file that goes while we look is seen as gone at the next look.
    fn visit(&mut self, path: &Path) {
        if let Ok(entries) = fs::read_dir(path) {
            entries.flatten().for_each(|entry| self.visit(&entry.path()));
        } else if let Ok(modified) = fs::metadata(path).and_then(|metadata| metadata.modified()) {
            self.files += 1;
            self.newest = self.newest.max(Some(modified));
        }
    }
}
