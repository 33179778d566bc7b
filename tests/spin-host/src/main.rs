//! Runs a Spin application until it is told to stop.

use std::io::Write;
use std::process::ExitCode;

use iam_spin_host::{Command, Host, Settings, SpinHostError, USAGE, parse_command_line};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let outcome = match parse_command_line(std::env::args_os().skip(1)) {
        Ok(Command::Help) => say(USAGE),
        Ok(Command::Run(settings)) => run(&settings),
        Ok(Command::Compile(settings)) => Host::compile(&settings),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere is left to say that standard error is closed.
            writeln!(std::io::stderr(), "iam-spin-host: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<(), SpinHostError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io("the runtime"))?;
    let outcome = runtime.block_on(serve_until_told(settings));
    // Requests in flight end here: whoever stops a host doesn't wait for them.
    runtime.shutdown_background();
    outcome
}

async fn serve_until_told(settings: &Settings) -> Result<(), SpinHostError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(io("signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io("signals"))?;
    let host = Host::start(settings).await?;
    say(&format!("listening http://{}\n", host.address()?))?;
    tokio::select! {
        outcome = host.serve() => outcome,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

fn say(text: &str) -> Result<(), SpinHostError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(io("standard output"))
}

fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> SpinHostError {
    move |source| SpinHostError::Io { doing: doing.to_owned(), source }
}
