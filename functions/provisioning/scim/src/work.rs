//! What every SCIM handler works with: who asks, the schemas in force, where the service is; and the
//! conditions of RFC 7644 section 3.14 on versions.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use iam_core::directory::role_mapping::RoleMapping;
use iam_core::id::OrganizationId;
use iam_core::record::Act;
use iam_core::record::audit::{Actor, AuditEvent, Outcome};
use iam_provisioning::schema::{Extension, Registry, ResourceKind, ResourceSchema};
use iam_service::{ApiError, Context, Db, ScimClient};
use serde_json::Value as Json;

use crate::message::BaseUrl;

/// What the configuration says of SCIM, read once an instance.
pub(crate) struct Rules {
    pub(crate) registry: Registry,
    pub(crate) roles: RoleMapping,
}

impl Rules {
    /// Reads the configuration.
    pub(crate) fn of(context: &Context) -> Result<Arc<Self>, ApiError> {
        context.instance.derived(|configuration| {
            let extensions = Extension::read(&configuration.scim.extensions)
                .map_err(|error| ApiError::internal(error.to_string()))?;
            let roles = RoleMapping::read(&configuration.scim.role_mappings)
                .map_err(|error| ApiError::internal(error.to_string()))?;
            Ok(Self { registry: Registry::new(extensions), roles })
        })
    }
}

/// One request of a SCIM client.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) context: Context,
    pub(crate) client: ScimClient,
    pub(crate) rules: Arc<Rules>,
    /// Where the service is.
    pub(crate) base: Arc<str>,
}

impl<S: Send + Sync> FromRequestParts<S> for Work {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let context = Context::from_request_parts(parts, state).await?;
        let client = ScimClient::from_request_parts(parts, state).await?;
        let rules = Rules::of(&context)?;
        let Ok(BaseUrl(base)) = BaseUrl::from_request_parts(parts, state).await;
        Ok(Self { context, client, rules, base: base.into() })
    }
}

impl Work {
    pub(crate) fn organization(&self) -> &OrganizationId {
        &self.client.organization
    }

    pub(crate) fn db(&self) -> Db {
        self.context.db(&self.client.organization)
    }

    pub(crate) fn schema(&self, kind: ResourceKind) -> ResourceSchema<'_> {
        self.rules.registry.of(kind)
    }

    /// Begins the record of what the client does.
    pub(crate) fn event(&self, act: Act, id: &str) -> Result<AuditEvent, ApiError> {
        let event = self
            .context
            .audit(&self.client.organization, act, Outcome::Success)?
            .on(id)
            .detail("client_id", self.client.client_id.as_str())
            .detail("client", self.client.name.as_str())
            .detail("token_id", self.client.token_id.as_str());
        Ok(AuditEvent { actor: Actor::Scim, ..event })
    }
}

/// How often a change is tried where somebody else changes the resource at the same moment.
pub(crate) const CHANGE_TRIES: u32 = 2;

/// What a change takes at most: each try reads and writes.
pub(crate) const CHANGE_ROUND_TRIPS: u32 = 2 * CHANGE_TRIES;

/// What becomes of a resource.
pub(crate) enum Change {
    /// It is replaced by this (PUT).
    Replace(Json),
    /// These operations are applied to it (PATCH).
    Patch(Json),
}

impl Change {
    pub(crate) fn body(&self) -> &Json {
        match self {
            Self::Replace(body) | Self::Patch(body) => body,
        }
    }
}

/// The conditions that a request has on a resource's version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    /// `If-Match`: one of these.
    pub(crate) matches: Option<Vec<String>>,
    none_match: Option<Vec<String>>,
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self { matches: tags(&parts.headers, IF_MATCH), none_match: tags(&parts.headers, IF_NONE_MATCH) })
    }
}

impl Conditions {
    /// `If-Match` alone, as an operation of a bulk request has it.
    pub(crate) fn of_version(version: Option<&str>) -> Self {
        Self { matches: version.map(|version| vec![opaque(version)]), none_match: None }
    }

    /// Refuses where the resource is in none of the versions that the client wants.
    pub(crate) fn check(&self, version: &str) -> Result<(), ApiError> {
        match &self.matches {
            Some(wanted) if !is_among(wanted, version) => Err(precondition_failed()),
            _ => Ok(()),
        }
    }

    /// Whether the client has this version already.
    pub(crate) fn is_known(&self, version: &str) -> bool {
        self.none_match.as_ref().is_some_and(|known| is_among(known, version))
    }
}

pub(crate) fn precondition_failed() -> ApiError {
    let detail = "the resource is in another version than `If-Match` says";
    ApiError::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
}

/// The entity tags of a header (RFC 9110 section 8.8.3), without the mark of weak ones: they are compared
/// weakly.
fn tags(headers: &HeaderMap, name: http::HeaderName) -> Option<Vec<String>> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let texts = values.filter_map(|value| value.to_str().ok());
    Some(texts.flat_map(|text| text.split(',')).map(opaque).collect())
}

fn opaque(tag: &str) -> String {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').to_owned()
}

fn is_among(tags: &[String], version: &str) -> bool {
    let version = opaque(version);
    tags.iter().any(|tag| tag == "*" || *tag == version)
}
