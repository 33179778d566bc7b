//! What anybody may read and caches may keep: the keys that verify tokens (JWKS, RFC 7517), the metadata of
//! the authorization server (RFC 8414) and the description of the API (OpenAPI 3.1).

mod conditional;
mod metadata;

use std::sync::LazyLock;

use axum::response::Response;
use http::{HeaderMap, Uri};
use iam_core::id::OrganizationId;
use iam_core::jose::jwk::{Jwk, JwkSet};
use iam_core::time::Duration;
use iam_service::{Access, ApiError, Area, Context, Function, Id, Route};

use crate::conditional::Document;
use crate::metadata::{Metadata, base_url};

iam_service::deploy!(function);

const JWK_SET: &str = "application/jwk-set+json";
const JSON: &str = "application/json";

/// How long caches may keep what changes with a deployment alone.
const DEPLOYMENT_MAX_AGE: Duration = Duration::from_seconds(3600);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let keys = "The keys that verify access tokens: those that will sign soon, the one that signs, and those \
                whose tokens have not all ended. May be cached for `max-age`; a new key signs no sooner than \
                twice that.";
    Function::new("well-known", "Publishes keys, metadata and the description of the API")
        .area(Area::Admin)
        .uses_database()
        .uses_master_key()
        .route(
            Route::get("/.well-known/jwks.json", Access::public(), own_keys)
                .summary("Gives the keys of the deployment's own organization")
                .description(keys)
                .gives_as::<JwkSet>(200, JWK_SET, "The keys")
                .answers(304, "The keys of `If-None-Match` are current")
                .round_trips(2),
        )
        .route(
            Route::get("/.well-known/{organization}/jwks.json", Access::public(), keys_of)
                .summary("Gives the keys of an organization")
                .description(keys)
                .gives_as::<JwkSet>(200, JWK_SET, "The keys")
                .answers(304, "The keys of `If-None-Match` are current")
                .round_trips(2),
        )
        .route(
            Route::get("/.well-known/oauth-authorization-server", Access::public(), server_metadata)
                .summary("Gives the authorization server's metadata (RFC 8414)")
                .description(
                    "`issuer` is `jwt.issuer` of the configuration, the `iss` of every token; set it to the \
                     address of the deployment for clients that compare the two. Endpoints are under \
                     `public_url`, or under the address that the request came to.",
                )
                .gives::<Metadata>(200, "The metadata")
                .answers(304, "The metadata of `If-None-Match` is current")
                .round_trips(0),
        )
        .route(
            Route::get("/openapi.json", Access::public(), openapi)
                .summary("Gives this description")
                .answers(200, "OpenAPI 3.1")
                .answers(304, "The description of `If-None-Match` is current")
                .round_trips(0),
        )
}

async fn own_keys(context: Context, headers: HeaderMap) -> Result<Response, ApiError> {
    let organization = context.configuration().organization.clone();
    keys(&context, &organization, &headers).await
}

async fn keys_of(
    context: Context,
    Id(organization): Id<OrganizationId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    keys(&context, &organization, &headers).await
}

/// One round trip at most, none where the instance has the keys at hand; another for the very first key.
async fn keys(
    context: &Context,
    organization: &OrganizationId,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let stored = context.published_keys(organization).await?;
    let published = stored.iter().filter(|key| key.phase(context.now).is_some());
    let keys = published.map(|key| Jwk::new(&key.key_id, &key.public)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|error| ApiError::internal(error.to_string()))?;
    if keys.is_empty() {
        return Err(ApiError::not_found("there is no such organization"));
    }
    let max_age = context.configuration().keyring.jwks_max_age;
    Ok(Document::new(JWK_SET, serde_json::to_vec(&JwkSet { keys })?, max_age).answer(headers))
}

async fn server_metadata(context: Context, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let configuration = context.configuration();
    let base = base_url(configuration, &uri, &headers)
        .ok_or_else(|| ApiError::bad_request("host_missing", "the request names no sane host"))?;
    let metadata = serde_json::to_vec(&Metadata::new(&configuration.jwt.issuer, &base))?;
    Ok(Document::new(JSON, metadata, DEPLOYMENT_MAX_AGE).answer(&headers))
}

/// The document that `cargo xtask manifests` writes from what the functions declare.
async fn openapi(headers: HeaderMap) -> Response {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
        Document::new(JSON, include_str!("../../../../docs/reference/openapi.json"), DEPLOYMENT_MAX_AGE)
    });
    DOCUMENT.answer(&headers)
}
