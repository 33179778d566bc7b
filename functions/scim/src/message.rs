//! SCIM messages in and out.

use std::convert::Infallible;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::Response;
use bytes::Bytes;
use http::header::{HOST, LOCATION};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, StatusCode};
use iam_core::scim::patch::PATCH_URN;
use iam_core::scim::schema::{self, Attribute, Kind, Mutability, USER_URN};
use iam_core::scim::user::ScimUser;
use iam_core::scim::{ScimError, ScimErrorKind};
use iam_service::ApiError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

/// The media type of SCIM.
pub(crate) const MEDIA_TYPE: &str = "application/scim+json";

const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// Where this service is, as the client sees it.
pub(crate) struct BaseUrl(String);

impl BaseUrl {
    /// The address of a resource.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}/api/scim/v2/{path}", self.0)
    }

    fn user(&self, user: &ScimUser) -> String {
        self.at(&format!("Users/{}", user.user_id))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for BaseUrl {
    type Rejection = Infallible;

    /// From the request's own URL, or its `Host`; relative where it has neither.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let host = || parts.headers.get(HOST)?.to_str().ok()?.parse::<Authority>().ok();
        let authority = parts.uri.authority().cloned().or_else(host);
        let scheme = parts.uri.scheme_str().unwrap_or("http");
        Ok(Self(authority.map(|authority| format!("{scheme}://{authority}")).unwrap_or_default()))
    }
}

/// A SCIM request's JSON.
pub(crate) struct ScimBody(pub(crate) Json);

impl<S: Send + Sync> FromRequest<S> for ScimBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        iam_service::check_media_type(request.headers(), &[MEDIA_TYPE, "application/json"])?;
        let body = Bytes::from_request(request, state).await.map_err(|error| {
            ApiError::bad_request("body_unreadable", "the body can't be read").cause(error.to_string())
        })?;
        let parsed = iam_service::parse(&body);
        parsed.map(Self).map_err(|error| error.scim_type(ScimErrorKind::InvalidSyntax.as_str()))
    }
}

/// The answer to a refused request (RFC 7644 table 9).
pub(crate) fn refused(error: ScimError) -> ApiError {
    let status = match error.kind {
        ScimErrorKind::Uniqueness => StatusCode::CONFLICT,
        ScimErrorKind::InvalidFilter
        | ScimErrorKind::InvalidPath
        | ScimErrorKind::InvalidSyntax
        | ScimErrorKind::InvalidValue
        | ScimErrorKind::Mutability
        | ScimErrorKind::NoTarget => StatusCode::BAD_REQUEST,
    };
    ApiError::new(status, error.kind.as_str(), error.detail).scim_type(error.kind.as_str())
}

/// The answer that shows a user; what was just created has its address in `Location` too.
pub(crate) fn resource(status: StatusCode, user: &ScimUser, base: &BaseUrl) -> Result<Response, ApiError> {
    let location = base.user(user);
    let mut response = iam_service::body(&UserResource(user.to_resource(&location)), MEDIA_TYPE);
    *response.status_mut() = status;
    if status == StatusCode::CREATED {
        let location =
            HeaderValue::from_str(&location).map_err(|error| ApiError::internal(error.to_string()))?;
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// A page of resources (RFC 7644 section 3.4.2).
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListResponse<T = UserResource> {
    schemas: [&'static str; 1],
    /// How many there are, on all pages.
    total_results: i64,
    /// The number of this page's first one.
    start_index: i64,
    /// How many are on this page.
    items_per_page: usize,
    #[serde(rename = "Resources")]
    resources: Vec<T>,
}

impl ListResponse {
    pub(crate) fn of_users(total: i64, start_index: i64, users: &[ScimUser], base: &BaseUrl) -> Self {
        let resources = users.iter().map(|user| UserResource(user.to_resource(&base.user(user))));
        Self::new(total, start_index, resources.collect())
    }
}

impl ListResponse<Json> {
    /// All of a short list.
    pub(crate) fn whole(resources: Vec<Json>) -> Self {
        Self::new(i64::try_from(resources.len()).unwrap_or(i64::MAX), 1, resources)
    }
}

impl<T: Serialize> ListResponse<T> {
    fn new(total_results: i64, start_index: i64, resources: Vec<T>) -> Self {
        Self { schemas: [LIST_URN], total_results, start_index, items_per_page: resources.len(), resources }
    }

    pub(crate) fn into_response(self) -> Response {
        iam_service::body(&self, MEDIA_TYPE)
    }
}

/// A user.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct UserResource(Json);

impl JsonSchema for UserResource {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ScimUser".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": format!("A user of `{USER_URN}` (RFC 7643 section 4.1)"),
            "required": ["schemas", "userName"],
            "properties": properties(schema::top_level()),
        })
    }
}

fn properties(attributes: impl IntoIterator<Item = &'static Attribute>) -> Map<String, Json> {
    attributes.into_iter().map(|attribute| (attribute.name.to_owned(), property(attribute))).collect()
}

fn property(attribute: &'static Attribute) -> Json {
    let mut schema = match attribute.kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Reference => json!({"type": "string", "format": "uri"}),
        Kind::Binary => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Complex(of) => json!({"type": "object", "properties": properties(of)}),
    };
    if attribute.is_multi_valued {
        schema = json!({"type": "array", "items": schema});
    }
    let mark = match attribute.mutability {
        Mutability::ReadWrite => None,
        Mutability::ReadOnly => Some("readOnly"),
        Mutability::WriteOnly => Some("writeOnly"),
    };
    if let (Some(mark), Some(fields)) = (mark, schema.as_object_mut()) {
        fields.insert(mark.to_owned(), Json::Bool(true));
    }
    schema
}

/// The body of a PATCH, as the API's document shows it.
pub(crate) struct PatchRequest;

impl JsonSchema for PatchRequest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ScimPatch".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Operations, in any case (RFC 7644 section 3.5.2)",
            "required": ["schemas", "Operations"],
            "properties": {
                "schemas": {"type": "array", "items": {"const": PATCH_URN}},
                "Operations": {"type": "array", "minItems": 1, "items": {
                    "type": "object",
                    "required": ["op"],
                    "properties": {
                        "op": {"enum": ["add", "replace", "remove"]},
                        "path": {"type": "string"},
                        "value": true,
                    },
                }},
            },
        })
    }
}
