//! What SCIM's lists and changes cost in a filled directory.

use anyhow::Result;
use iam_core::config::Configuration;
use iam_core::sql::Statement;
use serde_json::json;

use super::client::{Call, Client};
use super::operations::{Operation, Send, same};
use super::server::Server;

/// The group that everybody is in, as far as a group takes them.
const LARGE_GROUP: &str = "group_00000000000000000000000001";

/// How many members it has at most.
const LARGE_GROUP_MEMBERS: u32 = 50_000;

/// A group of users, the last of them left out.
pub(super) fn statements(configuration: &Configuration, users: u32) -> [Statement; 2] {
    [
        Statement::new(
            "INSERT INTO groups (org_id, group_id, display_name, display_name_key, managed_by, created_at, \
             updated_at) VALUES (?1, ?2, 'Everybody', 'everybody', 'scim', unixepoch() * 1000, unixepoch() * \
             1000)",
        )
        .bind(&configuration.organization)
        .bind(LARGE_GROUP),
        Statement::new(
            "INSERT INTO group_members (org_id, user_id, group_id) SELECT org_id, user_id, ?2 FROM users \
             WHERE org_id = ?1 AND user_id < printf('user_%026d', ?3) AND username_key >= 'scale-' ORDER BY \
             user_id LIMIT ?4",
        )
        .bind(&configuration.organization)
        .bind(LARGE_GROUP)
        .bind(users)
        .bind(LARGE_GROUP_MEMBERS),
    ]
}

/// Lists and changes, for the last user as well as for the first.
pub(super) fn in_directory(server: &Server, client: &Client, users: u32) -> Result<Vec<Operation>> {
    let base = format!("{}/api/scim/v2", server.url("iam-scim")?);
    let list = |name: &'static str, query: String| {
        let call = Call::get(format!("{base}/Users?{query}"));
        Operation::new(
            name,
            "GET /api/scim/v2/Users",
            same(client, call.with(&server.credentials.scim_token)),
        )
    };
    let middle = users / 2;
    let mut operations = vec![
        list("SCIM first by userName", "filter=userName%20eq%20%22scale-1%22".to_owned()),
        list("SCIM last by userName", format!("filter=userName%20eq%20%22scale-{users}%22")),
        list(
            "SCIM by e-mail address",
            format!("filter=emails.value%20eq%20%22scale-{users}%40example.com%22"),
        ),
        list(
            "SCIM by displayName, with or",
            format!("filter=displayName%20eq%20%22Number%20{users}%22%20or%20externalId%20eq%20%22none%22"),
        ),
        list(
            "SCIM by the beginning of a name",
            format!("filter=userName%20sw%20%22scale-{users}%22&count=20"),
        ),
        list("SCIM first page of 20", "count=20".to_owned()),
        list("SCIM page in the middle", format!("startIndex={middle}&count=20")),
        list("SCIM last page", format!("startIndex={}&count=20", users - 20)),
        list("SCIM names alone, 20", "count=20&attributes=userName".to_owned()),
    ];
    operations.push(membership(server, client, &base, users));
    Ok(operations)
}

/// One user in turns added to a large group and removed from it.
fn membership(server: &Server, client: &Client, base: &str, users: u32) -> Operation {
    let url = format!("{base}/Groups/{LARGE_GROUP}");
    let member = format!("user_{users:026}");
    let token = server.credentials.scim_token.clone();
    let client = client.clone();
    let mut is_in = false;
    let send: Send = Box::new(move || {
        let operation = if is_in {
            json!({"op": "remove", "path": format!("members[value eq \"{member}\"]")})
        } else {
            json!({"op": "add", "path": "members", "value": [{"value": member}]})
        };
        is_in = !is_in;
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [operation],
        });
        client.send(&Call::patch(url.clone(), &body).with(&token).expect(204)).map(drop)
    });
    Operation::new("SCIM one member comes or goes", "PATCH /api/scim/v2/Groups/{id}", send)
}
