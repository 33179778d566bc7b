use http::StatusCode;
use serde_json::{Value as Json, json};

use super::support::{Installation, USERS, user};

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
    let many = "INSERT INTO users (org_id, user_id, username, username_key, status, managed_by, created_at, \
                updated_at) SELECT ?1, printf('user_%026d', value), 'u' || value, 'u' || value, 'active', \
                'scim', 0, 0 FROM (WITH RECURSIVE numbers (value) AS (SELECT 1 UNION ALL SELECT value + 1 \
                FROM numbers LIMIT 250) SELECT value FROM numbers)";
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
    for filter in ["", "shoeSize eq \"x\"", "userName eq", "userName eq \"a\" or", "password sw \"a\""] {
        assert_eq!(installation.find(filter).await.refusal(), (400, "invalidFilter"), "{filter}");
    }
}

/// Pages by cursor show everybody once, whoever comes meanwhile.
#[tokio::test]
async fn cursors_lead_through_the_list() {
    let installation = Installation::new().await;
    for name in ["e", "b", "d", "a", "c"] {
        installation.create(name).await;
    }
    for (order, names_in_order) in [
        ("", ["admin@example.com", "e", "b", "d", "a", "c", "new"]),
        ("&sortBy=userName", ["a", "admin@example.com", "b", "c", "d", "e", "new"]),
        ("&sortBy=userName&sortOrder=descending", ["new", "e", "d", "c", "b", "admin@example.com", "a"]),
        ("&sortBy=title", ["admin@example.com", "e", "b", "d", "a", "c", "new"]),
        ("&filter=userName%20pr", ["admin@example.com", "e", "b", "d", "a", "c", "new"]),
    ] {
        let mut cursor = String::new();
        let mut seen: Vec<String> = Vec::new();
        loop {
            let page = installation.get(&format!("{USERS}?count=2&cursor={cursor}{order}")).await;
            assert_eq!(page.status, StatusCode::OK, "{}", page.body);
            assert!(page.body.get("startIndex").is_none());
            assert!(page.body["totalResults"] == 6 || page.body["totalResults"] == 7);
            seen.extend(names(&page.body).into_iter().map(str::to_owned));
            let Some(next) = page.body["nextCursor"].as_str() else { break };
            cursor = next.to_owned();
            // It goes into an address as it is.
            assert!(
                cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)),
                "{cursor}"
            );
            if !seen.contains(&"new".to_owned())
                && installation.find("userName eq \"new\"").await.body["totalResults"] == 0
            {
                installation.create("new").await;
            }
        }
        if order.contains("descending") {
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 7, "{order}");
        } else {
            // Ids of one millisecond have no order among themselves; places have.
            assert_eq!(seen, names_in_order, "{order}");
        }
    }
    for cursor in ["x", "e30", "WzEsMl0"] {
        let refused = installation.get(&format!("{USERS}?cursor={cursor}")).await;
        assert_eq!(refused.refusal(), (400, "invalidCursor"), "{cursor}");
    }
    let search = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "cursor": "", "count": 2,
    });
    let found = installation.post_to("/api/scim/v2/Users/.search", search.clone()).await;
    assert!(found.body["nextCursor"].is_string(), "{}", found.body);
    let both = installation.post_to("/api/scim/v2/.search", search).await;
    assert_eq!(both.refusal(), (400, "invalidCursor"));
    let first = installation.get(&format!("{USERS}?count=2&cursor=")).await;
    let cursor = first.body["nextCursor"].as_str().unwrap();
    let other = installation.get(&format!("{USERS}?cursor={cursor}&sortBy=title")).await;
    assert_eq!(other.refusal(), (400, "invalidCursor"));
}

/// A page anywhere in a large directory, deleted users among the others.
#[tokio::test]
async fn pages_in_the_middle_are_right() {
    let installation = Installation::new().await;
    let many = "INSERT INTO users (org_id, user_id, username, username_key, status, managed_by, created_at, \
                updated_at) SELECT ?1, printf('user_%026d', value), 'u' || value, 'u' || value, 'active', \
                'scim', 0, 0 FROM (WITH RECURSIVE numbers (value) AS (SELECT 1 UNION ALL SELECT value + 1 \
                FROM numbers LIMIT 2000) SELECT value FROM numbers)";
    installation.query(many, &[]).await;
    installation.query("UPDATE users SET deleted_at = 5 WHERE org_id = ?1 AND user_id LIKE '%3'", &[]).await;
    let restored = "UPDATE users SET deleted_at = NULL WHERE org_id = ?1 AND username_key = 'u1003'";
    installation.query(restored, &[]).await;
    let mut expected = vec!["admin@example.com".to_owned()];
    expected.extend(
        (1..=2000).filter(|number| number % 10 != 3 || *number == 1003).map(|number| format!("u{number}")),
    );
    for start in [1, 2, 400, 462, 463, 511, 512, 513, 514, 900, 903, 904, 1024, 1500, 1790, 1801, 1802, 1803]
    {
        let page = installation.get(&format!("{USERS}?startIndex={start}&count=7&attributes=userName")).await;
        assert_eq!(page.body["totalResults"], json!(expected.len()), "{}", page.body);
        let wanted: Vec<&str> = expected.iter().skip(start - 1).take(7).map(String::as_str).collect();
        assert_eq!(names(&page.body), wanted, "from {start}");
    }
}

#[tokio::test]
async fn lists_are_ordered_and_cut_to_what_is_asked() {
    let installation = Installation::new().await;
    for (name, title) in [("a", Some("z")), ("b", None), ("c", Some("Y"))] {
        let mut body = user(name);
        body["title"] = json!(title);
        body["emails"] =
            json!([{"value": format!("{name}@x.org", name = if name == "a" { "m" } else { name })}]);
        installation.post(body).await;
    }
    let by_title =
        installation.get(&format!("{USERS}?sortBy=title&filter=emails%20pr&attributes=userName")).await;
    // Who has none comes last in an ascending order.
    assert_eq!(names(&by_title.body)[..2], ["c", "a"]);
    let first = &by_title.body["Resources"][0];
    let mut shown: Vec<&String> = first.as_object().unwrap().keys().collect();
    shown.sort();
    assert_eq!(shown, ["id", "schemas", "userName"]);
    let descending =
        format!("{USERS}?sortBy=emails&sortOrder=descending&filter=emails.value%20ew%20%22x.org%22");
    assert_eq!(names(&installation.get(&descending).await.body), ["a", "c", "b"]);
    let primary = json!([{"value": "zz@x.org"}, {"value": "0@x.org", "primary": true}]);
    let change = json!([{"op": "replace", "path": "emails", "value": primary}]);
    let c =
        installation.find("userName eq \"c\"").await.body["Resources"][0]["id"].as_str().unwrap().to_owned();
    installation.patch(&c, change).await;
    // The primary value counts, and otherwise the first.
    let ascending = format!("{USERS}?sortBy=emails&filter=emails.value%20ew%20%22x.org%22");
    assert_eq!(names(&installation.get(&ascending).await.body), ["c", "b", "a"]);
    for query in ["sortBy=shoeSize", "sortBy=x509Certificates", "sortBy=title&sortOrder=sideways"] {
        assert_eq!(
            installation.get(&format!("{USERS}?{query}")).await.status,
            StatusCode::BAD_REQUEST,
            "{query}"
        );
    }
    let both = installation.get(&format!("{USERS}?attributes=title&excludedAttributes=emails")).await;
    assert_eq!(both.refusal(), (400, "invalidValue"));
    let search = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": "title pr",
        "sortBy": "title",
        "attributes": ["userName"], "startIndex": 2, "count": 1,
    });
    let found = installation.post_to("/api/scim/v2/Users/.search", search.clone()).await;
    assert_eq!((found.status, names(&found.body)), (StatusCode::OK, vec!["a"]));
    let everywhere = installation.post_to("/api/scim/v2/.search", search).await;
    assert_eq!((&everywhere.body["totalResults"], names(&everywhere.body)), (&json!(2), vec!["a"]));
}

/// A filter that would look at too many users says so.
#[tokio::test]
async fn a_filter_looks_at_so_many_users_at_most() {
    let installation = Installation::with(r#""scim": {"max_scanned": 1000}"#).await;
    let many = "INSERT INTO users (org_id, user_id, username, username_key, status, managed_by, created_at, \
                updated_at) SELECT ?1, printf('user_%026d', value), 'u' || value, 'u' || value, 'active', \
                'scim', 0, 0 FROM (WITH RECURSIVE numbers (value) AS (SELECT 1 UNION ALL SELECT value + 1 \
                FROM numbers LIMIT 1100) SELECT value FROM numbers)";
    installation.query(many, &[]).await;
    assert_eq!(installation.find("userName co \"5\"").await.refusal(), (400, "tooMany"));
    let indexed = installation.find("userName sw \"u55\" and userName co \"5\"").await;
    assert_eq!(indexed.body["totalResults"], 11);
}
