//! The KV engine, version 2: a secret is a few names and texts, in versions.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use iam_core::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::VaultError;
use crate::question::{Body, Question, check_mount, check_path, is_vaults, success};
use crate::text::SecretText;

/// A version of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number, from 1.
    pub version: u64,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was or will be deleted.
    pub deleted_at: Option<Timestamp>,
    /// Whether nothing of it is left.
    pub destroyed: bool,
}

/// A secret as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvSecret {
    /// Its names and texts; `None` where this version is deleted.
    pub data: Option<BTreeMap<String, SecretText>>,
    /// Which version it is.
    pub version: Version,
}

/// The metadata of a version, in this member of the body.
fn version(body: &mut Body, at: &str) -> Result<Version, VaultError> {
    const TIME: VaultError = VaultError::Lying("a time that is none");
    let moment = |text: String| -> Result<Timestamp, VaultError> { text.parse().map_err(|_| TIME) };
    let number = body.integer(&format!("{at}/version"))?;
    let version = u32::try_from(number).ok().filter(|version| *version > 0);
    let version = version.ok_or(VaultError::Lying("a version that is none"))?.into();
    let deleted_at = body.text(&format!("{at}/deletion_time"))?;
    let deleted_at = if deleted_at.is_empty() { None } else { Some(moment(deleted_at)?) };
    let created_at = moment(body.text(&format!("{at}/created_time"))?)?;
    Ok(Version { version, created_at, deleted_at, destroyed: body.flag(&format!("{at}/destroyed"))? })
}

/// Reads the newest version. `None`: there never was one. Where its engine or namespace is not there that is
/// an error: another store's secret must not take the place of one that may exist.
///
/// # Errors
/// When mount or path is none.
pub fn read(mount: &str, path: &str) -> Result<Question<Option<KvSecret>>, VaultError> {
    check_mount(mount)?;
    check_path(path)?;
    Ok(Question::get(format!("{mount}/data/{path}"), read_answer))
}

fn read_answer(answer: &Response<Bytes>) -> Result<Option<KvSecret>, VaultError> {
    const FORM: VaultError = VaultError::Lying("a secret of another form");
    if is_vaults(answer) {
        // Of a deleted version the metadata comes with the 404.
        let mut body = Body(serde_json::from_slice(answer.body()).map_err(|_| FORM)?);
        if body.0.pointer("/data/metadata").is_none() {
            // Of a secret that nobody wrote Vault says so without a reason; a reason is about what is in
            // front of it.
            let is_absent = body.take("/errors").as_array().is_some_and(Vec::is_empty);
            return if is_absent { Ok(None) } else { Err(VaultError::NoEngine) };
        }
        return Ok(Some(KvSecret { data: None, version: version(&mut body, "/data/metadata")? }));
    }
    let mut body = success(answer)?;
    let version = version(&mut body, "/data/metadata")?;
    let Value::Object(members) = body.take("/data/data") else { return Err(FORM) };
    let mut data = BTreeMap::new();
    for (name, value) in members {
        let Value::String(text) = value else { return Err(FORM) };
        data.insert(name, SecretText::new(text));
    }
    if version.destroyed {
        return Err(VaultError::Lying("data of a version that is destroyed"));
    }
    Ok(Some(KvSecret { data: Some(data), version }))
}

/// Writes a new version. With `check_and_set` only where the newest one is that: 0 where there is none yet.
///
/// # Errors
/// When mount or path is none, or the data is too large.
pub fn write(
    mount: &str,
    path: &str,
    data: &impl Serialize,
    check_and_set: Option<u64>,
) -> Result<Question<Version>, VaultError> {
    check_mount(mount)?;
    check_path(path)?;
    #[derive(Serialize)]
    struct Written<'a, D> {
        data: &'a D,
        #[serde(skip_serializing_if = "Option::is_none")]
        options: Option<serde_json::Value>,
    }
    let options = check_and_set.map(|version| json!({"cas": version}));
    Question::post(format!("{mount}/data/{path}"), &Written { data, options }, |answer| {
        let version = version(&mut success(answer)?, "/data")?;
        if version.destroyed || version.deleted_at.is_some_and(|at| at <= version.created_at) {
            return Err(VaultError::Lying("a version that is deleted as it is written"));
        }
        Ok(version)
    })
}
