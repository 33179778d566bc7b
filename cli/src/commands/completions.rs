//! `iam completions`

use std::io::{Write as _, stdout};

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::Arguments;
use crate::exit::Exit;

/// Write what a shell needs to complete the arguments of this program.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  iam completions bash > ~/.local/share/bash-completion/completions/iam\n  \
                        iam completions zsh > ~/.zfunc/_iam\n  \
                        iam completions fish > ~/.config/fish/completions/iam.fish"
)]
pub(crate) struct Completions {
    /// Which shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<Exit> {
        // Written at once: the generator itself would panic where a pipe is closed.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "iam", &mut script);
        stdout().write_all(&script).context("can't write")?;
        Ok(Exit::Done)
    }
}
