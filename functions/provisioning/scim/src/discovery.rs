//! What this service offers (RFC 7644 section 4). Open to anybody: a client reads here how to sign in.

use axum::response::Response;
use http::StatusCode;
use iam_provisioning::page::{DEFAULT_PAGE, MAX_PAGE};
use iam_provisioning::schema::{ResourceKind, Schema};
use iam_service::{Access, ApiError, Context, Function, Id, MAX_BODY_BYTES, Route};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::bulk::MAX_OPERATIONS;
use crate::message::{BaseUrl, ListResponse, MEDIA_TYPE, ScimQuery};
use crate::work::Rules;

/// Adds the routes of discovery.
pub(crate) fn routes(function: Function) -> Function {
    function
        .route(
            Route::get("/api/scim/v2/ServiceProviderConfig", Access::public(), configuration)
                .summary("Tells what of SCIM is offered")
                .gives_as::<Json>(200, MEDIA_TYPE, "RFC 7643 section 5")
                .scim_errors(),
        )
        .route(
            Route::get("/api/scim/v2/ResourceTypes", Access::public(), resource_types)
                .summary("Lists the kinds of resources")
                .gives_as::<ListResponse<Json>>(200, MEDIA_TYPE, "RFC 7643 section 6")
                .scim_errors(),
        )
        .route(
            Route::get("/api/scim/v2/ResourceTypes/{id}", Access::public(), resource_type)
                .summary("Shows a kind of resource")
                .gives_as::<Json>(200, MEDIA_TYPE, "RFC 7643 section 6")
                .scim_errors(),
        )
        .route(
            Route::get("/api/scim/v2/Schemas", Access::public(), schemas)
                .summary("Lists the schemas of resources")
                .gives_as::<ListResponse<Json>>(200, MEDIA_TYPE, "RFC 7643 section 7")
                .scim_errors(),
        )
        .route(
            Route::get("/api/scim/v2/Schemas/{id}", Access::public(), schema)
                .summary("Shows a schema")
                .gives_as::<Json>(200, MEDIA_TYPE, "RFC 7643 section 7")
                .scim_errors(),
        )
}

/// What a question for these may not have (RFC 7644 section 4).
#[derive(Deserialize)]
struct Plain {
    filter: Option<String>,
}

impl Plain {
    fn check(&self) -> Result<(), ApiError> {
        match self.filter {
            None => Ok(()),
            Some(_) => {
                let detail = "a `filter` is not offered here";
                Err(ApiError::new(StatusCode::FORBIDDEN, "filter_not_offered", detail))
            }
        }
    }
}

async fn configuration(base: BaseUrl, ScimQuery(query): ScimQuery<Plain>) -> Result<Response, ApiError> {
    query.check()?;
    let answer = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true},
        "bulk": {"supported": true, "maxOperations": MAX_OPERATIONS, "maxPayloadSize": MAX_BODY_BYTES},
        "filter": {"supported": true, "maxResults": MAX_PAGE},
        "changePassword": {"supported": true},
        "sort": {"supported": true},
        "etag": {"supported": true},
        "pagination": {
            "cursor": true,
            "index": true,
            "defaultPaginationMethod": "index",
            "defaultPageSize": DEFAULT_PAGE,
            "maxPageSize": MAX_PAGE,
        },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "The token of a SCIM client, as `Authorization: Bearer`",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": meta("ServiceProviderConfig", &base, "ServiceProviderConfig"),
    });
    Ok(iam_service::body(&answer, MEDIA_TYPE))
}

async fn resource_types(
    context: Context,
    base: BaseUrl,
    ScimQuery(query): ScimQuery<Plain>,
) -> Result<Response, ApiError> {
    query.check()?;
    let rules = Rules::of(&context)?;
    let types = ResourceKind::ALL.into_iter().map(|kind| describe(kind, &rules, &base));
    Ok(ListResponse::whole(types.collect()).into_response())
}

async fn resource_type(context: Context, base: BaseUrl, Id(id): Id<String>) -> Result<Response, ApiError> {
    let rules = Rules::of(&context)?;
    let kind = ResourceKind::ALL.into_iter().find(|kind| kind.name() == id);
    let kind = kind.ok_or_else(|| ApiError::not_found("there is no such resource type"))?;
    Ok(iam_service::body(&describe(kind, &rules, &base), MEDIA_TYPE))
}

async fn schemas(
    context: Context,
    base: BaseUrl,
    ScimQuery(query): ScimQuery<Plain>,
) -> Result<Response, ApiError> {
    query.check()?;
    let rules = Rules::of(&context)?;
    let schemas = rules.registry.schemas().map(|schema| definition(schema, &base));
    Ok(ListResponse::whole(schemas.collect()).into_response())
}

async fn schema(context: Context, base: BaseUrl, Id(id): Id<String>) -> Result<Response, ApiError> {
    let rules = Rules::of(&context)?;
    let schema = rules.registry.schemas().find(|schema| schema.id.eq_ignore_ascii_case(&id));
    let schema = schema.ok_or_else(|| ApiError::not_found("there is no such schema"))?;
    Ok(iam_service::body(&definition(schema, &base), MEDIA_TYPE))
}

fn describe(kind: ResourceKind, rules: &Rules, base: &BaseUrl) -> Json {
    let schema = kind.schema();
    let extensions: Vec<Json> = rules
        .registry
        .of(kind)
        .extensions()
        .map(|extension| json!({"schema": extension.schema.id, "required": extension.is_required}))
        .collect();
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": kind.name(),
        "name": kind.name(),
        "description": schema.description,
        "endpoint": format!("/{}", kind.endpoint()),
        "schema": schema.id,
        "schemaExtensions": extensions,
        "meta": meta("ResourceType", base, &format!("ResourceTypes/{kind}")),
    })
}

fn definition(schema: &Schema, base: &BaseUrl) -> Json {
    let mut definition = schema.definition();
    if let Some(fields) = definition.as_object_mut() {
        fields.insert("meta".to_owned(), meta("Schema", base, &format!("Schemas/{}", schema.id)));
    }
    definition
}

fn meta(resource_type: &str, BaseUrl(base): &BaseUrl, path: &str) -> Json {
    json!({"resourceType": resource_type, "location": format!("{base}/{path}")})
}
