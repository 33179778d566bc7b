//! `iam logout`

use std::io::{Write as _, stderr};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;
use crate::profile::{self, Profile};

/// End the session of the profile, and forget it.
///
/// The profile is forgotten even where the session has ended already.
#[derive(Args)]
#[command(after_help = "Example:\n  iam logout --profile ci")]
pub(crate) struct Logout {}

impl Logout {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let path = profile::path(&global.profile)?;
        let Some(profile) = Profile::load(&path)? else {
            writeln!(stderr(), "nobody was signed in")?;
            return Ok(Exit::Done);
        };
        let client = Client::of_profile(profile, path.clone(), global)?;
        let ended = client.call(&Call::post("/api/v1/auth/logout", &json!({})));
        match ended {
            Ok(_) => {}
            // Whoever is not let in has no session any more.
            Err(error) if Exit::of(&error) == Exit::Denied => {}
            Err(error) => return Err(error).context("the session was not ended"),
        }
        std::fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
        writeln!(stderr(), "signed out")?;
        Ok(Exit::Done)
    }
}
