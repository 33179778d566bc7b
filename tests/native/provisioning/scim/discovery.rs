use axum::body::Body;
use http::{Method, StatusCode};
use iam_provisioning::schema::{ENTERPRISE_URN, GROUP_URN, USER_URN};
use serde_json::{Value as Json, json};

use super::support::Installation;

async fn open(installation: &Installation, path: &str) -> Json {
    let mut request = installation.request(Method::GET, &format!("/api/scim/v2/{path}"), Body::empty());
    request.headers_mut().remove("authorization");
    let answer = installation.send(request).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/scim+json");
    answer.body
}

#[tokio::test]
async fn a_client_reads_what_is_offered() {
    let installation = Installation::new().await;
    let configuration = open(&installation, "ServiceProviderConfig").await;
    assert_eq!(
        configuration["schemas"],
        json!(["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"])
    );
    assert_eq!(configuration["patch"], json!({"supported": true}));
    assert_eq!(configuration["filter"], json!({"supported": true, "maxResults": 200}));
    assert_eq!(
        configuration["bulk"],
        json!({"supported": true, "maxOperations": 100, "maxPayloadSize": 1 << 20})
    );
    assert_eq!(
        (&configuration["sort"], &configuration["etag"]),
        (&json!({"supported": true}), &json!({"supported": true}))
    );
    assert_eq!(configuration["pagination"]["cursor"], true);
    assert_eq!(configuration["authenticationSchemes"][0]["type"], "oauthbearertoken");
    let location = "http://iam.example.com/api/scim/v2/ServiceProviderConfig";
    assert_eq!(configuration["meta"], json!({"resourceType": "ServiceProviderConfig", "location": location}));

    let types = open(&installation, "ResourceTypes").await;
    assert_eq!((&types["totalResults"], &types["Resources"][0]["schema"]), (&json!(2), &json!(USER_URN)));
    assert_eq!(types["Resources"][1]["endpoint"], "/Groups");
    assert_eq!(open(&installation, "ResourceTypes/User").await, types["Resources"][0]);
}

#[tokio::test]
async fn the_schemas_are_those_that_are_checked() {
    let installation = Installation::new().await;
    let schemas = open(&installation, "Schemas").await;
    let ids: Vec<&Json> =
        schemas["Resources"].as_array().unwrap().iter().map(|schema| &schema["id"]).collect();
    assert_eq!(ids, [&json!(USER_URN), &json!(GROUP_URN), &json!(ENTERPRISE_URN)]);
    let user = open(&installation, &format!("Schemas/{USER_URN}")).await;
    assert_eq!(user, schemas["Resources"][0]);
    let attribute = |name: &str| {
        user["attributes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|attribute| attribute["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(
        attribute("userName"),
        json!({
            "name": "userName", "type": "string", "multiValued": false, "required": true, "caseExact": false,
            "mutability": "readWrite", "returned": "default", "uniqueness": "server",
            "description": "The name for signing in",
        })
    );
    assert_eq!(attribute("password")["returned"], "never");
    assert_eq!(attribute("groups")["mutability"], "readOnly");
    assert_eq!(attribute("emails")["subAttributes"].as_array().unwrap().len(), 4);
    for path in ["Schemas/urn:other", "ResourceTypes/Device"] {
        assert_eq!(installation.get(&format!("/api/scim/v2/{path}")).await.refusal(), (404, ""), "{path}");
    }
    for path in ["Schemas", "ResourceTypes", "ServiceProviderConfig"] {
        let filtered = installation.get(&format!("/api/scim/v2/{path}?filter=id%20pr")).await;
        assert_eq!(filtered.refusal(), (403, ""), "{path}");
    }
}
