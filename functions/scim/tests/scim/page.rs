use http::StatusCode;
use iam_core::scim::filter::UserFilter;
use iam_core::scim::store::Page;
use serde_json::{Value as Json, json};

use crate::support::{Installation, USERS};

fn names(body: &Json) -> Vec<&str> {
    body["Resources"].as_array().unwrap().iter().map(|user| user["userName"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn users_come_in_pages_oldest_first() {
    let installation = Installation::new().await;
    for name in ["c", "a", "b"] {
        installation.create(name).await;
        // Ids are ordered by the millisecond.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let all = installation.get(USERS).await;
    assert_eq!(all.status, StatusCode::OK);
    assert_eq!(all.round_trips.used, 2);
    assert_eq!(all.body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
    assert_eq!((&all.body["totalResults"], &all.body["itemsPerPage"]), (&json!(4), &json!(4)));
    assert_eq!(names(&all.body), ["admin@example.com", "c", "a", "b"]);
    let location = all.body["Resources"][1]["meta"]["location"].as_str().unwrap();
    assert!(location.starts_with("http://iam.example.com/api/scim/v2/Users/user_"));

    let page = installation.get(&format!("{USERS}?startIndex=2&count=2")).await;
    assert_eq!(names(&page.body), ["c", "a"]);
    assert_eq!((&page.body["startIndex"], &page.body["itemsPerPage"]), (&json!(2), &json!(2)));
    for (query, start_index, count) in
        [("count=0", 1, 0), ("count=-1", 1, 0), ("startIndex=-7&count=9999", 1, 4), ("startIndex=5", 5, 0)]
    {
        let page = installation.get(&format!("{USERS}?{query}")).await;
        assert_eq!(page.body["totalResults"], 4, "{query}");
        assert_eq!(page.body["startIndex"], start_index, "{query}");
        assert_eq!(page.body["itemsPerPage"], count, "{query}");
    }
    let far = installation.get(&format!("{USERS}?startIndex=9223372036854775807")).await;
    assert_eq!((far.status, &far.body["itemsPerPage"]), (StatusCode::OK, &json!(0)));
    for query in ["count=many", "startIndex=1.5", "count=99999999999999999999"] {
        assert_eq!(
            installation.get(&format!("{USERS}?{query}")).await.refusal(),
            (400, "invalidValue"),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_page_is_bounded() {
    let installation = Installation::new().await;
    let many = "INSERT INTO users (org_id, user_id, username, username_key, status, managed_by, created_at, updated_at) \
                SELECT ?1, printf('user_%026d', value), 'u' || value, 'u' || value, 'active', 'scim', 0, 0 FROM \
                (WITH RECURSIVE numbers (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM numbers LIMIT 250) \
                SELECT value FROM numbers)";
    installation.query(many, &[]).await;
    let without = installation.get(USERS).await;
    assert_eq!((&without.body["totalResults"], &without.body["itemsPerPage"]), (&json!(251), &json!(100)));
    let greedy = installation.get(&format!("{USERS}?count=1000")).await;
    assert_eq!(greedy.body["itemsPerPage"], 200);
    let last = installation.get(&format!("{USERS}?startIndex=201&count=200")).await;
    assert_eq!(last.body["itemsPerPage"], 51);
}

#[tokio::test]
async fn users_are_found_by_name_and_ids() {
    let installation = Installation::new().await;
    let id = installation.create("Ada \"the Countess\"").await;
    let external = json!([{"op": "add", "path": "externalId", "value": "X-1"}]);
    installation.patch(&id, external).await;
    installation.create("bob").await;
    for filter in [
        r#"userName eq "ada \"the countess\"""#.to_owned(),
        r#"USERNAME Eq "ADA \"THE COUNTESS\"""#.to_owned(),
        r#"externalId eq "X-1""#.to_owned(),
        format!("id eq \"{id}\""),
    ] {
        let found = installation.find(&filter).await;
        assert_eq!(found.body["totalResults"], 1, "{filter}");
        assert_eq!(found.body["Resources"][0]["id"], json!(id), "{filter}");
    }
    for filter in
        [r#"externalId eq "x-1""#, r#"id eq "other""#, r#"userName eq "' OR 1=1 --""#, r#"userName eq """#]
    {
        let found = installation.find(filter).await;
        assert_eq!(
            (&found.body["totalResults"], &found.body["Resources"]),
            (&json!(0), &json!([])),
            "{filter}"
        );
    }
    for filter in
        ["", "title eq \"x\"", "userName co \"a\"", "userName eq", "userName eq \"a\" or id eq \"b\""]
    {
        assert_eq!(installation.find(filter).await.refusal(), (400, "invalidFilter"), "{filter}");
    }
}

/// No list reads more users than it shows, beside stepping over an index.
#[tokio::test]
async fn every_list_has_its_index() {
    let installation = Installation::new().await;
    let text = || "x".to_owned();
    for (filter, index) in [
        (None, "USING COVERING INDEX users_in_order (org_id=?)"),
        (Some(UserFilter::UserName(text())), "INDEX users_by_username (org_id=? AND username_key=?)"),
        (Some(UserFilter::ExternalId(text())), "INDEX users_by_external_id (org_id=? AND external_id=?)"),
        (Some(UserFilter::Id(text())), "PRIMARY KEY (org_id=? AND user_id=?)"),
    ] {
        let page = Page::new(filter, None, None);
        for statement in [page.total(&installation.organization), page.users(&installation.organization)] {
            let plan = installation.plan(&statement).await;
            assert!(plan.contains(index), "{plan}");
            assert!(!plan.contains("PRIMARY KEY (org_id=?)\n"), "{plan}");
        }
    }
}
