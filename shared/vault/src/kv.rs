//! The KV engine, version 2: a secret is a few names and texts, in versions.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use iam_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::VaultError;
use crate::question::{Question, check_mount, check_path, check_status, is_vaults, success};
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

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct ReadAnswer {
    data: Option<BTreeMap<String, SecretText>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
    created_time: String,
    deletion_time: String,
    destroyed: bool,
}

impl Metadata {
    fn read(self) -> Result<Version, VaultError> {
        const TIME: VaultError = VaultError::Lying("a time that is none");
        let moment = |text: &str| -> Result<Timestamp, VaultError> { text.parse().map_err(|_| TIME) };
        if self.version == 0 || self.version > u64::from(u32::MAX) {
            return Err(VaultError::Lying("a version that is none"));
        }
        let deleted_at =
            if self.deletion_time.is_empty() { None } else { Some(moment(&self.deletion_time)?) };
        Ok(Version {
            version: self.version,
            created_at: moment(&self.created_time)?,
            deleted_at,
            destroyed: self.destroyed,
        })
    }
}

/// Reads the newest version. `None`: there never was one.
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
        let Ok(envelope) = serde_json::from_slice::<Envelope<Option<ReadAnswer>>>(answer.body()) else {
            return Ok(None);
        };
        let Some(deleted) = envelope.data else { return Ok(None) };
        return Ok(Some(KvSecret { data: None, version: deleted.metadata.read()? }));
    }
    check_status(answer)?;
    let envelope: Envelope<ReadAnswer> = serde_json::from_slice(answer.body()).map_err(|_| FORM)?;
    let version = envelope.data.metadata.read()?;
    let data = envelope.data.data.ok_or(FORM)?;
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
    struct Body<'a, D> {
        data: &'a D,
        #[serde(skip_serializing_if = "Option::is_none")]
        options: Option<serde_json::Value>,
    }
    let options = check_and_set.map(|version| json!({"cas": version}));
    Question::post(format!("{mount}/data/{path}"), &Body { data, options }, |answer| {
        let envelope: Envelope<Metadata> = success(answer)?;
        let version = envelope.data.read()?;
        if version.destroyed || version.deleted_at.is_some_and(|at| at <= version.created_at) {
            return Err(VaultError::Lying("a version that is deleted as it is written"));
        }
        Ok(version)
    })
}
