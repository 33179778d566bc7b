//! One operation of a bulk request, and the references in it.

use std::collections::HashMap;

use iam_provisioning::ScimError;
use iam_provisioning::schema::ResourceKind;
use serde::Deserialize;
use serde_json::Value as Json;

/// What a reference begins with.
const REFERENCE: &str = "bulkId:";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// With what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/Users`
    Endpoint(ResourceKind),
    /// `/Users/<id>`
    Resource(ResourceKind, String),
}

impl Target {
    pub(super) fn kind(&self) -> ResourceKind {
        match self {
            Self::Endpoint(kind) | Self::Resource(kind, _) => *kind,
        }
    }
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) bulk_id: Option<String>,
    pub(super) target: Target,
    pub(super) version: Option<String>,
    pub(super) data: Option<Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    method: String,
    bulk_id: Option<String>,
    path: String,
    version: Option<String>,
    data: Option<Json>,
}

impl Operation {
    pub(super) fn read(json: Json) -> Result<Self, ScimError> {
        let written: Written = serde_json::from_value(json)
            .map_err(|error| ScimError::syntax(format!("the operation is malformed: {error}")))?;
        let method = [Method::Post, Method::Put, Method::Patch, Method::Delete]
            .into_iter()
            .find(|method| method.as_str().eq_ignore_ascii_case(&written.method))
            .ok_or_else(|| ScimError::syntax("`method` must be POST, PUT, PATCH or DELETE"))?;
        if method == Method::Post && written.bulk_id.as_deref().is_none_or(str::is_empty) {
            return Err(ScimError::syntax("a POST needs a `bulkId`"));
        }
        if method != Method::Delete && !written.data.as_ref().is_some_and(Json::is_object) {
            return Err(ScimError::syntax(format!("{} needs `data`, an object", method.as_str())));
        }
        let target = target(&written.path)?;
        let Written { bulk_id, version, data, .. } = written;
        Ok(Self { method, bulk_id, target, version, data })
    }

    /// The `bulkId`s that it refers to.
    pub(super) fn references(&self) -> Vec<&str> {
        let mut references = Vec::new();
        if let Target::Resource(_, id) = &self.target {
            references.extend(id.strip_prefix(REFERENCE));
        }
        let mut left: Vec<&Json> = self.data.iter().collect();
        while let Some(value) = left.pop() {
            match value {
                Json::String(text) => references.extend(text.strip_prefix(REFERENCE)),
                Json::Array(values) => left.extend(values),
                Json::Object(members) => left.extend(members.values()),
                Json::Null | Json::Bool(_) | Json::Number(_) => {}
            }
        }
        references
    }

    /// It with ids in place of references.
    pub(super) fn resolved(
        &self,
        ids: &HashMap<String, String>,
        failed: &[String],
    ) -> Result<Self, ScimError> {
        for reference in self.references() {
            if !ids.contains_key(reference) {
                return Err(ScimError::value(format!("no operation has the bulkId `{}`", short(reference))));
            }
            if failed.iter().any(|it| it == reference) {
                let detail = format!("the operation with the bulkId `{}` failed", short(reference));
                return Err(ScimError::value(detail));
            }
        }
        let mut resolved = self.clone();
        if let Target::Resource(_, id) = &mut resolved.target {
            resolve(id, ids);
        }
        let mut left: Vec<&mut Json> = resolved.data.iter_mut().collect();
        while let Some(value) = left.pop() {
            match value {
                Json::String(text) => resolve(text, ids),
                Json::Array(values) => left.extend(values),
                Json::Object(members) => left.extend(members.values_mut()),
                Json::Null | Json::Bool(_) | Json::Number(_) => {}
            }
        }
        Ok(resolved)
    }
}

fn resolve(text: &mut String, ids: &HashMap<String, String>) {
    if let Some(id) = text.strip_prefix(REFERENCE).and_then(|reference| ids.get(reference)) {
        text.clone_from(id);
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(64).collect()
}

/// `/Users`, `/Users/<id>` and the same of groups; some clients send the whole path, or none of the slashes.
fn target(path: &str) -> Result<Target, ScimError> {
    let unknown = || ScimError::syntax("`path` must be `/Users`, `/Groups`, or one of theirs with an id");
    let path = path.rsplit_once("/v2/").map_or(path, |(_, path)| path).trim_matches('/');
    let (endpoint, id) = match path.split_once('/') {
        Some((endpoint, id)) => (endpoint, Some(id)),
        None => (path, None),
    };
    let kind = ResourceKind::ALL.into_iter().find(|kind| kind.endpoint() == endpoint).ok_or_else(unknown)?;
    match id {
        None => Ok(Target::Endpoint(kind)),
        Some(id) if !id.is_empty() && !id.contains('/') => Ok(Target::Resource(kind, id.to_owned())),
        Some(_) => Err(unknown()),
    }
}
