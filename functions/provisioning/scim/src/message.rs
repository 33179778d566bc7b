//! SCIM messages in and out.

use std::convert::Infallible;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ETAG, HOST, LOCATION};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, StatusCode};
use iam_provisioning::projection::Projection;
use iam_provisioning::schema::ResourceSchema;
use iam_provisioning::value::Object;
use iam_provisioning::{ScimError, ScimErrorKind};
use iam_service::{ApiError, Context, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The media type of SCIM.
pub(crate) const MEDIA_TYPE: &str = "application/scim+json";

/// Where this service is, as the client sees it, without a slash at the end.
pub(crate) struct BaseUrl(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for BaseUrl {
    type Rejection = Infallible;

    /// As configured; else from the request's own URL, or its `Host`; relative where it has neither.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let configured =
            parts.extensions.get::<Context>().and_then(|it| it.configuration().public_url.clone());
        let host = || parts.headers.get(HOST)?.to_str().ok()?.parse::<Authority>().ok();
        let origin = configured.map(|url| url.trim_end_matches('/').to_owned()).or_else(|| {
            let authority = parts.uri.authority().cloned().or_else(host)?;
            Some(format!("{}://{authority}", parts.uri.scheme_str().unwrap_or("http")))
        });
        Ok(Self(format!("{}/api/scim/v2", origin.unwrap_or_default())))
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

/// A query whose values don't read is `invalidValue`.
pub(crate) struct ScimQuery<T>(pub(crate) T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ScimQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::from_request_parts(parts, state).await;
        let invalid = |error: ApiError| error.scim_type(ScimErrorKind::InvalidValue.as_str());
        query.map(|Query(value)| Self(value)).map_err(invalid)
    }
}

/// Which attributes an answer shows.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    /// These alone, separated by commas.
    attributes: Option<String>,
    /// All but these, separated by commas.
    excluded_attributes: Option<String>,
}

impl Shown {
    /// Whether the client says anything.
    pub(crate) fn is_asked(&self) -> bool {
        self.attributes.is_some() || self.excluded_attributes.is_some()
    }

    pub(crate) fn projection(&self, schema: ResourceSchema<'_>) -> Result<Projection, ApiError> {
        let (attributes, excluded) = (self.attributes.as_deref(), self.excluded_attributes.as_deref());
        Projection::parse(schema, attributes, excluded).map_err(refused)
    }
}

/// The answer to a refused request (RFC 7644 table 9).
pub(crate) fn refused(error: ScimError) -> ApiError {
    let status = match error.kind {
        ScimErrorKind::Uniqueness => StatusCode::CONFLICT,
        ScimErrorKind::InvalidFilter
        | ScimErrorKind::TooMany
        | ScimErrorKind::InvalidPath
        | ScimErrorKind::InvalidSyntax
        | ScimErrorKind::InvalidValue
        | ScimErrorKind::InvalidCursor
        | ScimErrorKind::Mutability
        | ScimErrorKind::NoTarget => StatusCode::BAD_REQUEST,
    };
    ApiError::new(status, error.kind.as_str(), error.detail).scim_type(error.kind.as_str())
}

/// What came of a request for one resource.
pub(crate) struct Done {
    /// 200, 201 or 204.
    pub(crate) status: StatusCode,
    /// Where the resource is.
    pub(crate) location: String,
    /// Its version; none once it is deleted.
    pub(crate) version: Option<String>,
    /// It, as far as it is shown.
    pub(crate) resource: Option<Object>,
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        let mut response = match (self.status, &self.resource) {
            (StatusCode::NOT_MODIFIED, _) => StatusCode::NOT_MODIFIED.into_response(),
            (StatusCode::NO_CONTENT, _) | (_, None) => StatusCode::NO_CONTENT.into_response(),
            (status, Some(resource)) => {
                let mut response = iam_service::body(resource, MEDIA_TYPE);
                *response.status_mut() = status;
                response
            }
        };
        let mut add = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        };
        if let Some(version) = &self.version {
            add(ETAG, version);
            // RFC 7644 shows it in every answer with a resource, and `/Me` must have it.
            add(LOCATION, &self.location);
        }
        response
    }
}

/// A page of resources (RFC 7644 section 3.4.2, RFC 9865 section 2).
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListResponse<T> {
    schemas: [&'static str; 1],
    /// How many there are, on all pages.
    total_results: i64,
    /// The number of this page's first one; absent with a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    start_index: Option<i64>,
    /// How many are on this page.
    items_per_page: usize,
    /// Where the next page begins, where a cursor was asked for; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    #[serde(rename = "Resources")]
    resources: Vec<T>,
}

impl<T: Serialize> ListResponse<T> {
    pub(crate) fn new(total_results: i64, start_index: Option<i64>, resources: Vec<T>) -> Self {
        let schemas = ["urn:ietf:params:scim:api:messages:2.0:ListResponse"];
        let items_per_page = resources.len();
        Self { schemas, total_results, start_index, items_per_page, next_cursor: None, resources }
    }

    pub(crate) fn followed_by(self, next_cursor: Option<String>) -> Self {
        Self { next_cursor, ..self }
    }

    /// All of a short list.
    pub(crate) fn whole(resources: Vec<T>) -> Self {
        Self::new(i64::try_from(resources.len()).unwrap_or(i64::MAX), Some(1), resources)
    }

    pub(crate) fn into_response(self) -> Response {
        iam_service::body(&self, MEDIA_TYPE)
    }
}
