//! Children that end with this process, however it ends.

use std::ffi::OsStr;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A child that watches its standard input and ends when that is closed.
pub struct Attached {
    child: Child,
    input: Option<ChildStdin>,
}

impl Attached {
    /// Takes a child whose standard input was piped, and may still be written to.
    #[must_use]
    pub fn new(mut child: Child) -> Self {
        let input = child.stdin.take();
        Self { child, input }
    }

    /// Its standard input.
    pub fn input(&mut self) -> &mut ChildStdin {
        self.input.as_mut().expect("the input is open until the end")
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// A program that does not watch its standard input, under a shell that does it for it. Statics of a test
/// binary are never dropped, and a program that nobody ends would outlive the tests.
#[must_use]
pub fn watched(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#""$@" & child=$!; cat > /dev/null; kill $child; wait $child"#, "sh"]).arg(program);
    command.stdin(Stdio::piped());
    command
}
