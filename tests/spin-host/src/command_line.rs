//! The command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lexopt::{Arg, Parser, ValueExt};

use crate::{Settings, SpinHostError};

/// What `--help` says.
pub const USAGE: &str = "\
A Spin-compatible host for tests and local development

Usage: iam-spin-host --manifest FILE --state DIR [OPTION]...

  --manifest FILE         the application's spin.toml
  --state DIR             folder of the stores: default.db and key-value.db
  --listen ADDRESS        where to listen [127.0.0.1:3000]; port 0 takes any free one
  --variable NAME=VALUE   an application variable; may be repeated
  --variables-file FILE   a JSON object of application variables; --variable comes first
  --compile-cache DIR     folder of the compiled components [DIR of --state/compiled]
  --compile-only          compile the components into that folder, and end
  --help                  this text

An application variable can also come from the environment, as SPIN_VARIABLE_<NAME>.
Prints `listening http://ADDRESS` once it serves; components write to standard error.
";

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Show [`USAGE`].
    Help,
    /// Run an application.
    Run(Settings),
    /// Only compile an application's components.
    Compile(Settings),
}

/// Reads the command line, without the program's name.
///
/// # Errors
///
/// When it asks for something unknown, or a variables file can't be read.
pub fn parse_command_line(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, SpinHostError> {
    let mut parser = Parser::from_args(arguments);
    let (mut manifest, mut state, mut compile_cache) = (None, None, None);
    let mut listen = "127.0.0.1:3000".to_owned();
    let mut variables = BTreeMap::new();
    let mut from_file = BTreeMap::new();
    let mut compile_only = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") => return Ok(Command::Help),
            Arg::Long("manifest") => manifest = Some(PathBuf::from(parser.value()?)),
            Arg::Long("state") => state = Some(PathBuf::from(parser.value()?)),
            Arg::Long("compile-cache") => compile_cache = Some(PathBuf::from(parser.value()?)),
            Arg::Long("compile-only") => compile_only = true,
            Arg::Long("listen") => listen = parser.value()?.string()?,
            Arg::Long("variables-file") => from_file.extend(read_variables(Path::new(&parser.value()?))?),
            Arg::Long("variable") => {
                let pair = parser.value()?.string()?;
                let (name, value) =
                    pair.split_once('=').ok_or_else(|| usage("--variable needs NAME=VALUE"))?;
                variables.insert(name.to_owned(), value.to_owned());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    for (name, value) in from_file {
        variables.entry(name).or_insert(value);
    }
    let state = state.ok_or_else(|| usage("--state is missing"))?;
    let settings = Settings {
        manifest: manifest.ok_or_else(|| usage("--manifest is missing"))?,
        listen: listen.parse().map_err(|_| usage("--listen needs an address like 127.0.0.1:3000"))?,
        compile_cache: compile_cache.unwrap_or_else(|| state.join("compiled")),
        state,
        variables,
    };
    Ok(if compile_only { Command::Compile(settings) } else { Command::Run(settings) })
}

fn read_variables(path: &Path) -> Result<BTreeMap<String, String>, SpinHostError> {
    let text = std::fs::read(path).map_err(SpinHostError::io(format!("reading {}", path.display())))?;
    serde_json::from_slice(&text)
        .map_err(|error| SpinHostError::Variable(format!("file {}: {error}", path.display())))
}

fn usage(message: &str) -> SpinHostError {
    SpinHostError::Usage(message.to_owned())
}

impl From<lexopt::Error> for SpinHostError {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Command, SpinHostError> {
        parse_command_line(arguments.iter().map(OsString::from))
    }

    #[test]
    fn everything_has_its_place() {
        let command = parse(&[
            "--manifest",
            "a/spin.toml",
            "--state",
            "s",
            "--listen",
            "127.0.0.1:0",
            "--variable",
            "a=b=c",
        ]);
        let Command::Run(settings) = command.unwrap() else { panic!("no settings") };
        assert_eq!(settings.manifest, Path::new("a/spin.toml"));
        assert_eq!(settings.compile_cache, Path::new("s/compiled"));
        assert_eq!(settings.listen.port(), 0);
        assert_eq!(settings.variables["a"], "b=c");
    }

    #[test]
    fn what_is_unknown_or_missing_is_said() {
        assert!(matches!(parse(&["--help"]), Ok(Command::Help)));
        let compile = parse(&["--manifest", "m", "--state", "s", "--compile-only"]);
        assert!(matches!(compile, Ok(Command::Compile(_))));
        for arguments in [
            &["--state", "s"][..],
            &["--manifest", "m"],
            &["--manifest", "m", "--state", "s", "--listen", "here"],
            &["--manifest", "m", "--state", "s", "--variable", "a"],
            &["--unknown"],
        ] {
            assert!(matches!(parse(arguments), Err(SpinHostError::Usage(_))), "{arguments:?}");
        }
    }
}
