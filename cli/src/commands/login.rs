//! `iam login`

use std::io::{Write as _, stderr};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::Global;
use crate::client::{Call, Client, Tokens};
use crate::exit::Exit;
use crate::profile::{self, Profile};
use crate::secret;

/// Sign in, and keep the sign-in for the other commands.
///
/// The password is asked for; where standard input is no terminal, its first line is read instead, and where
/// the environment variable IAM_PASSWORD is set, that is it. It is never an argument, because other users of
/// a machine see those. What is kept (a file under the user's configuration folder that only its owner may
/// read) are the session's tokens, not the password.
#[derive(Args)]
#[command(after_help = "Examples:\n  iam login --url https://iam.example.com --username ada\n  \
                        vault read -field=password ci/iam | iam login --username ci --profile ci")]
pub(crate) struct Login {
    /// The user name.
    #[arg(long, env = "IAM_USERNAME", value_name = "NAME")]
    username: String,
    /// The organization, where it is not the deployment's own.
    #[arg(long, value_name = "ORG_ID")]
    organization: Option<String>,
}

impl Login {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let path = profile::path(&global.profile)?;
        let client = Client::anonymous(global)?;
        let body = Request {
            username: &self.username,
            password: &secret::ask("Password", "IAM_PASSWORD")?,
            organization: self.organization.as_deref(),
        };
        let answer = client.call(&Call::post("/api/v1/auth/login", &serde_json::to_value(body)?));
        let Tokens { access_token, refresh_token } = answer.context("not signed in")?.json()?;
        let url = client.url().to_owned();
        let profile = Profile { url, username: self.username.clone(), access_token, refresh_token };
        profile.store(&path)?;
        writeln!(stderr(), "signed in as {} at {}", profile.username, profile.url)?;
        Ok(Exit::Done)
    }
}

#[derive(Serialize)]
struct Request<'a> {
    username: &'a str,
    password: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<&'a str>,
}
