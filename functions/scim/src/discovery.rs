//! What this service offers (RFC 7644 section 4). Open to anybody: a client reads here how to sign in.

use std::str::FromStr;

use axum::response::Response;
use iam_core::scim::schema::{ENTERPRISE_URN, SCHEMAS, Schema, USER_URN};
use iam_core::scim::store::MAX_PAGE;
use iam_service::{Access, Function, Id, Route};
use serde_json::{Value as Json, json};

use crate::message::{BaseUrl, ListResponse, MEDIA_TYPE};

const USER_TYPE: &str = "User";

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

async fn configuration(base: BaseUrl) -> Response {
    let answer = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": MAX_PAGE},
        "changePassword": {"supported": true},
        "sort": {"supported": false},
        "etag": {"supported": false},
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "The SCIM token of an organization, as `Authorization: Bearer`",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": meta("ServiceProviderConfig", &base.at("ServiceProviderConfig")),
    });
    iam_service::body(&answer, MEDIA_TYPE)
}

async fn resource_types(base: BaseUrl) -> Response {
    ListResponse::whole(vec![user_type(&base)]).into_response()
}

async fn resource_type(base: BaseUrl, Id(UserType): Id<UserType>) -> Response {
    iam_service::body(&user_type(&base), MEDIA_TYPE)
}

async fn schemas(base: BaseUrl) -> Response {
    ListResponse::whole(SCHEMAS.iter().map(|schema| definition(schema, &base)).collect()).into_response()
}

async fn schema(base: BaseUrl, Id(KnownSchema(schema)): Id<KnownSchema>) -> Response {
    iam_service::body(&definition(&schema, &base), MEDIA_TYPE)
}

fn user_type(base: &BaseUrl) -> Json {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": USER_TYPE,
        "name": USER_TYPE,
        "description": "User account",
        "endpoint": "/Users",
        "schema": USER_URN,
        "schemaExtensions": [{"schema": ENTERPRISE_URN, "required": false}],
        "meta": meta("ResourceType", &base.at("ResourceTypes/User")),
    })
}

fn definition(schema: &Schema, base: &BaseUrl) -> Json {
    let mut definition = schema.definition();
    if let Some(fields) = definition.as_object_mut() {
        fields.insert("meta".to_owned(), meta("Schema", &base.at(&format!("Schemas/{}", schema.id))));
    }
    definition
}

fn meta(resource_type: &str, location: &str) -> Json {
    json!({"resourceType": resource_type, "location": location})
}

/// The kind of resource that a path names: there is one.
struct UserType;

impl FromStr for UserType {
    type Err = ();

    fn from_str(id: &str) -> Result<Self, ()> {
        (id == USER_TYPE).then_some(Self).ok_or(())
    }
}

/// The schema that a path names.
struct KnownSchema(Schema);

impl FromStr for KnownSchema {
    type Err = ();

    fn from_str(id: &str) -> Result<Self, ()> {
        SCHEMAS.into_iter().find(|schema| schema.id.eq_ignore_ascii_case(id)).map(Self).ok_or(())
    }
}
