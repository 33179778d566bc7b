//! What the commands about API keys share.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use iam_core::id::KeyId;
use iam_core::permission::{Name, Permission, PermissionError};
use serde_json::Value;

use crate::exit::{Exit, Failure};
use crate::query::encoded;
use crate::secret::SecretFile;

/// Where keys are.
pub(crate) const KEYS: &str = "/api/v1/auth/keys";

/// What people see of a key.
pub(crate) const FIELDS: [&str; 15] = [
    "key_id",
    "name",
    "status",
    "owner_id",
    "permissions",
    "rate_limit",
    "allowed_addresses",
    "metadata",
    "created_at",
    "expires_at",
    "last_used",
    "revoked_at",
    "revoked_because",
    "replaced_by",
    "rotates_at",
];

/// The path of a key. What is no key's id is refused here and not repeated: it may be the key itself, which
/// belongs into no address and no log.
pub(crate) fn path(key_id: &str) -> Result<String> {
    match key_id.parse::<KeyId>() {
        Ok(key_id) => Ok(format!("{KEYS}/{}", encoded(key_id.as_str()))),
        Err(_) => Err(Failure::error(Exit::Usage, "that is no key's id: one begins with `key_`")),
    }
}

/// Reads a permission as people write it: `users.read.organization`.
pub(crate) fn permission(text: &str) -> Result<Permission, String> {
    let read = || -> Result<Permission, PermissionError> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().unwrap_or_default();
        let resource = Name::try_from(part().to_owned())?;
        let action = Name::try_from(part().to_owned())?;
        Ok(Permission { resource, action, scope: part().parse()? })
    };
    read().map_err(|error| format!("a permission is `<resource>.<action>.<scope>`: {error}"))
}

/// Reads a note: `team=payments`.
pub(crate) fn note(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    parts.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or("a note is NAME=TEXT".to_owned())
}

/// Notes as the API takes them; `None` where there are none.
pub(crate) fn notes(notes: &[(String, String)]) -> Option<Value> {
    let all = || notes.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))).collect();
    (!notes.is_empty()).then(all)
}

/// Where a new key goes: to a file for its owner alone, or to standard output.
pub(crate) fn place(file: Option<&Path>) -> Result<Option<SecretFile>> {
    file.map(SecretFile::create).transpose()
}

/// A name for one creation, so that a retry makes no second key.
pub(crate) fn idempotency_key() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no randomness: {error}"))?;
    Ok(format!("iam-{}", iam_core::encoding::base64url(&bytes)))
}

/// Hands a new key over: to its file where there is one, otherwise to what tells of it. It is told of without
/// the key where that is in the file.
pub(crate) fn hand_over(
    mut answer: Value,
    member: &str,
    file: Option<SecretFile>,
    tell: impl FnOnce(&Value, Option<&str>) -> Result<()>,
) -> Result<Exit> {
    let secret =
        answer.get(member).and_then(Value::as_str).context("the answer has no key in it")?.to_owned();
    match file {
        None => tell(&answer, Some(&secret))?,
        Some(file) => {
            if let Some(answer) = answer.as_object_mut() {
                answer.remove(member);
            }
            file.write(&secret).context("the key was made and is lost: revoke it")?;
            tell(&answer, None)?;
        }
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_has_three_parts() {
        assert_eq!(permission("users.read.organization").unwrap().to_string(), "users.read.organization");
        for bad in
            ["", "users", "users.read", "users.read.every", "users.read.own.more", "Users.read.own", "..own"]
        {
            assert!(permission(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_gets_into_no_path() {
        let error = path("cronos_sk_live_5vQx8Zr2mN4pL7kT9wY3bC6dF1gH").unwrap_err();
        assert!(!format!("{error:#}").contains("5vQx"));
        assert_eq!(Exit::of(&error), Exit::Usage);
        assert!(path("../users").is_err());
        let path = path("key_01m83r09avf99a312cwc6rrkrt").unwrap();
        assert_eq!(path, "/api/v1/auth/keys/key_01m83r09avf99a312cwc6rrkrt");
    }

    #[test]
    fn a_note_has_a_name() {
        assert!(note("x").is_err() && note("=x").is_err());
        assert_eq!(note("x=").unwrap(), ("x".to_owned(), String::new()));
    }
}
