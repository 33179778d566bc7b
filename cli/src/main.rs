//! `iam`: the command line of Edge IAM. One file per command, under `commands/`.

mod client;
mod commands;
mod output;
mod profile;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::Outcome;
use output::Format;

/// Administer a deployment of Edge IAM.
///
/// Sign in once with `iam login`; the other commands use what it stored. Instead of signing in, a token or an API key can
/// be given in the environment variable IAM_TOKEN.
///
/// Exit codes: 0 all is well, 2 some of it was refused (and which is in the report), 1 failed.
#[derive(Parser)]
#[command(name = "iam", version)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(clap::Args)]
struct Global {
    /// Where the deployment is, such as https://iam.example.com; without it, where the profile signed in.
    #[arg(long, global = true, env = "IAM_URL", value_name = "URL")]
    url: Option<String>,
    /// The name under which a sign-in is kept: one for each deployment or person.
    #[arg(long, global = true, env = "IAM_PROFILE", default_value = "default", value_name = "NAME")]
    profile: String,
    /// How answers are written: for people, or as one JSON object a line.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Speak plain HTTP with other machines than this one. Whoever is on the way can read the credentials.
    #[arg(long, global = true)]
    insecure_http: bool,
}

#[derive(Subcommand)]
enum Command {
    Login(commands::login::Login),
    TestWebhook(commands::test_webhook::TestWebhook),
    Users(commands::users::Users),
}

impl Command {
    fn run(&self, global: &Global) -> anyhow::Result<Outcome> {
        match self {
            Self::Login(login) => login.run(global),
            Self::TestWebhook(command) => command.run(global),
            Self::Users(users) => users.run(global),
        }
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => {
            // Help and version are what was asked for; 2 would mean something else here.
            let code = if message.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            let told = message.print();
            return if told.is_ok() { code } else { ExitCode::FAILURE };
        }
    };
    match arguments.command.run(&arguments.global) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::PartlyRefused) => ExitCode::from(2),
        Err(error) => {
            // Where standard error is closed nobody is left to tell.
            let _ = writeln!(std::io::stderr(), "iam: {error:#}");
            ExitCode::FAILURE
        }
    }
}
