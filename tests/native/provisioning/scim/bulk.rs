//! Bulk requests.

use http::StatusCode;
use iam_provisioning::schema::{ENTERPRISE_URN, GROUP_URN, USER_URN};
use serde_json::{Value as Json, json};

use super::support::{Answer, Installation, USERS, user};

async fn bulk(installation: &Installation, fail_on_errors: Option<u32>, operations: Json) -> Answer {
    let mut body =
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations});
    if let Some(most) = fail_on_errors {
        body["failOnErrors"] = json!(most);
    }
    installation.post_to("/api/scim/v2/Bulk", body).await
}

fn statuses(answer: &Answer) -> Vec<&str> {
    let operations = answer.body["Operations"].as_array().unwrap();
    operations.iter().map(|operation| operation["status"].as_str().unwrap()).collect()
}

fn id_at(answer: &Answer, index: usize) -> String {
    let location = answer.body["Operations"][index]["location"].as_str().unwrap();
    location.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn references_lead_forward_and_in_circles() {
    let installation = Installation::new().await;
    let employee = |name: &str, manager: &str| {
        json!({"schemas": [USER_URN, ENTERPRISE_URN], "userName": name,
        (ENTERPRISE_URN): {"manager": {"value": manager}}})
    };
    let answer = bulk(
        &installation,
        None,
        json!([
            {"method": "POST", "path": "/Groups", "bulkId": "g", "data": {
                "schemas": [GROUP_URN], "displayName": "Engines",
                "members": [{"value": "bulkId:ada"}, {"value": "bulkId:bob"}],
            }},
            {"method": "POST", "path": "/Users", "bulkId": "ada", "data": employee("ada", "bulkId:bob")},
            {"method": "post", "path": "/Users", "bulkId": "bob", "data": employee("bob", "bulkId:ada")},
            {"method": "PATCH", "path": "/Users/bulkId:ada", "data": {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "replace", "path": "title", "value": "Countess"}],
            }},
        ]),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"]));
    assert_eq!(statuses(&answer), ["201", "201", "201", "200"], "{}", answer.body);
    let (group, ada, bob) = (id_at(&answer, 0), id_at(&answer, 1), id_at(&answer, 2));
    let group = installation.get(&format!("/api/scim/v2/Groups/{group}")).await;
    assert_eq!(group.body["members"].as_array().unwrap().len(), 2);
    let first = installation.get(&format!("{USERS}/{ada}")).await;
    assert_eq!(
        (&first.body[ENTERPRISE_URN]["manager"]["value"], &first.body["title"]),
        (&json!(bob), &json!("Countess"))
    );
    let second = installation.get(&format!("{USERS}/{bob}")).await;
    assert_eq!(second.body[ENTERPRISE_URN]["manager"]["value"], json!(ada));
    assert_eq!(answer.body["Operations"][1]["version"], "W/\"1\"");
}

#[tokio::test]
async fn failures_are_told_and_stop_where_they_are_to() {
    let installation = Installation::new().await;
    let ada = installation.create("ada").await;
    let operations = json!([
        {"method": "POST", "path": "/Users", "bulkId": "1", "data": user("ada")},
        {"method": "POST", "path": "/Users", "data": user("nobody")},
        {"method": "PUT", "path": format!("/Users/{ada}"), "version": "W/\"7\"", "data": user("ada")},
        {"method": "DELETE", "path": "/Users/user_01fwhe4ydgfk1shh6w1g60eecf"},
        {"method": "POST", "path": "/Devices", "bulkId": "2", "data": user("x")},
        {"method": "POST", "path": "/Groups", "bulkId": "3", "data": {
            "schemas": [GROUP_URN], "displayName": "Engines", "members": [{"value": "bulkId:1"}],
        }},
        {"method": "PATCH", "path": "/Users/bulkId:unheard", "data": {}},
        {"method": "DELETE", "path": format!("/Users/{ada}")},
    ]);
    let all = bulk(&installation, None, operations.clone()).await;
    assert_eq!(statuses(&all), ["409", "400", "412", "404", "400", "400", "400", "204"], "{}", all.body);
    assert_eq!(all.body["Operations"][0]["response"]["scimType"], "uniqueness");
    assert_eq!(all.body["Operations"][0]["bulkId"], "1");
    let some = bulk(&installation, Some(2), operations).await;
    assert_eq!(statuses(&some).len(), 3, "{}", some.body);
}

#[tokio::test]
async fn what_is_no_bulk_request_is_refused() {
    let installation = Installation::new().await;
    let one = json!({"method": "DELETE", "path": "/Users/x"});
    assert_eq!(bulk(&installation, None, json!(vec![one.clone(); 101])).await.refusal(), (413, ""));
    for body in [
        json!({}),
        json!({"schemas": ["x"], "Operations": []}),
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]}),
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": 1}),
    ] {
        let refused = installation.post_to("/api/scim/v2/Bulk", body.clone()).await;
        assert_eq!(refused.refusal(), (400, "invalidSyntax"), "{body}");
    }
    let twins = json!([
        {"method": "POST", "path": "/Users", "bulkId": "1", "data": user("a")},
        {"method": "POST", "path": "/Users", "bulkId": "1", "data": user("b")},
    ]);
    assert_eq!(bulk(&installation, None, twins).await.refusal(), (400, "invalidValue"));
}

/// Each operation meets somebody else's at each of its tries: nothing costs more, and the budget is no
/// larger.
#[tokio::test]
async fn the_costliest_request_takes_its_whole_budget() {
    let installation = Installation::new().await;
    let ada = installation.create("ada").await;
    let engines = json!({"schemas": [GROUP_URN], "displayName": "Engines"});
    let group = installation.post_to("/api/scim/v2/Groups", engines).await.id();
    let somebody_else = "CREATE TRIGGER no_user BEFORE UPDATE ON users BEGIN SELECT RAISE(IGNORE); END; \
                         CREATE TRIGGER no_group BEFORE INSERT ON audit_events WHEN NEW.action = \
                         'scim.group.update' BEGIN UPDATE groups SET version = version + 1; SELECT \
                         RAISE(IGNORE); END;";
    installation.host.apply(somebody_else).unwrap();
    let (user, group) = (format!("/Users/{ada}"), format!("/Groups/{group}"));
    let operations: Vec<Json> = (0..50)
        .flat_map(|number| [(&user, "title", number), (&group, "displayName", number)])
        .map(|(path, attribute, number)| {
            json!({"method": "PATCH", "path": path, "data": {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "replace", "path": attribute, "value": format!("number {number}")}],
            }})
        })
        .collect();
    let answer = bulk(&installation, None, json!(operations)).await;
    assert_eq!(statuses(&answer), ["409"; 100], "{}", answer.body);
    assert_eq!((answer.round_trips.used, answer.round_trips.budget), (401, 401));
}
