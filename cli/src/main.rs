//! `iam`: the command line of Edge IAM. One file per command, under `commands/`.

mod answer;
mod client;
mod commands;
mod exit;
mod key;
mod output;
mod profile;
mod query;
mod secret;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::Exit;
use output::Format;

/// Administer a deployment of Edge IAM.
///
/// Sign in once with `iam login`; the other commands use what it stored. Instead of signing in, a token or an
/// API key can be given in the environment variable IAM_TOKEN. Secrets are never arguments: they are asked
/// for, read from standard input, or taken from the environment.
#[derive(Parser)]
#[command(name = "iam", version, after_long_help = exit::EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(clap::Args)]
pub(crate) struct Global {
    /// Where the deployment is, such as https://iam.example.com; without it, where the profile signed in.
    #[arg(long, global = true, env = "IAM_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The name under which a sign-in is kept: one for each deployment or person.
    #[arg(long, global = true, env = "IAM_PROFILE", default_value = "default", value_name = "NAME")]
    pub(crate) profile: String,
    /// How answers are written: for people, or as one JSON object a line.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Speak plain HTTP with other machines than this one. Whoever is on the way can read the credentials.
    #[arg(long, global = true)]
    pub(crate) insecure_http: bool,
}

#[derive(Subcommand)]
enum Command {
    Completions(commands::completions::Completions),
    Flags(commands::flags::Flags),
    GenerateKey(commands::generate_key::GenerateKey),
    Health(commands::health::Health),
    KeyUsage(commands::key_usage::KeyUsage),
    ListKeys(commands::list_keys::ListKeys),
    Login(commands::login::Login),
    Logout(commands::logout::Logout),
    RevokeKey(commands::revoke_key::RevokeKey),
    RotateKey(commands::rotate_key::RotateKey),
    ShowKey(commands::show_key::ShowKey),
    TestWebhook(commands::test_webhook::TestWebhook),
    UpdateKey(commands::update_key::UpdateKey),
    Users(commands::users::Users),
    ValidateConfig(commands::validate_config::ValidateConfig),
    VerifyKey(commands::verify_key::VerifyKey),
}

impl Command {
    fn run(&self, global: &Global) -> anyhow::Result<Exit> {
        match self {
            Self::Completions(command) => command.run(),
            Self::Flags(command) => command.run(global),
            Self::GenerateKey(command) => command.run(global),
            Self::Health(command) => command.run(global),
            Self::KeyUsage(command) => command.run(global),
            Self::ListKeys(command) => command.run(global),
            Self::Login(command) => command.run(global),
            Self::Logout(command) => command.run(global),
            Self::RevokeKey(command) => command.run(global),
            Self::RotateKey(command) => command.run(global),
            Self::ShowKey(command) => command.run(global),
            Self::TestWebhook(command) => command.run(global),
            Self::UpdateKey(command) => command.run(global),
            Self::Users(command) => command.run(global),
            Self::ValidateConfig(command) => command.run(global),
            Self::VerifyKey(command) => command.run(global),
        }
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) if message.use_stderr() => {
            let given = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
            return fail(Exit::Usage, &secret::redacted(message.to_string(), given));
        }
        // Help and version are what was asked for.
        Err(help) => return if help.print().is_ok() { Exit::Done } else { Exit::Failed }.into(),
    };
    match arguments.command.run(&arguments.global) {
        Ok(exit) => exit.into(),
        Err(error) => fail(Exit::of(&error), &format!("iam: {error:#}")),
    }
}

fn fail(exit: Exit, message: &str) -> ExitCode {
    // Where standard error is closed nobody is left to tell.
    let _ = writeln!(std::io::stderr(), "{}", message.trim_end());
    exit.into()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    /// Other users of a machine see arguments.
    #[test]
    fn no_argument_takes_a_secret() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                let is_secret = ["password", "secret", "token", "api_key", "credential"]
                    .iter()
                    .any(|word| name.contains(word));
                assert!(
                    !is_secret || !argument.get_action().takes_values(),
                    "{} --{name}",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }

    #[test]
    fn every_command_says_what_it_does() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }
}
