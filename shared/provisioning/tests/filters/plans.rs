//! Filters that an index answers read what it gives, and nobody else.

use iam_provisioning::filter::parse::parse;
use iam_provisioning::filter::sql::{Compiled, compile};
use iam_provisioning::filter::{MAX_FILTER_COMPARISONS, MAX_FILTER_DEPTH};
use iam_provisioning::schema::ResourceKind;

use super::world::{Database, registry};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn compiled(kind: ResourceKind, text: &str) -> Compiled {
    let registry = registry();
    compile(kind, &parse(registry.of(kind), text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

/// Filters over users and the index that each is answered by.
const INDEXED_USERS: &[(&str, &str)] = &[
    (r#"id eq "a""#, "PRIMARY KEY (org_id=? AND user_id=?)"),
    (r#"id gt "a""#, "PRIMARY KEY (org_id=? AND user_id>?)"),
    (r#"userName eq "a""#, "users_by_username (org_id=? AND username_key=?)"),
    (r#"userName sw "a""#, "users_by_username (org_id=? AND username_key>? AND username_key<?)"),
    (r#"userName ge "a""#, "users_by_username (org_id=? AND username_key>?)"),
    (r#"externalId eq "a""#, "users_by_external_id (org_id=? AND external_id=?)"),
    ("externalId pr", "users_by_external_id (org_id=? AND external_id>?)"),
    (r#"externalId co "a""#, "users_by_external_id (org_id=? AND external_id>?)"),
    (r#"emails eq "a""#, "scim_values_by_value (org_id=? AND kind=? AND attribute=? AND value=?)"),
    (
        r#"emails[type eq "work" and value eq "a"]"#,
        "scim_values_by_value (org_id=? AND kind=? AND attribute=? AND value=?)",
    ),
    (
        r#"displayName sw "a""#,
        "scim_values_by_value (org_id=? AND kind=? AND attribute=? AND value>? AND value<?)",
    ),
    (r#"title gt "a""#, "scim_values_by_value (org_id=? AND kind=? AND attribute=? AND value>?)"),
    ("title pr", "scim_values_by_value (org_id=? AND kind=? AND attribute=? AND value>?)"),
    ("name pr", "scim_values_by_value (org_id=? AND kind=? AND attribute=? AND value>?)"),
    (r#"title co "a""#, "scim_values_by_value (org_id=? AND kind=? AND attribute=?)"),
    ("urn:example:Facts:level eq 7", "scim_values_by_value (org_id=? AND kind=? AND attribute=?)"),
    (
        r#"urn:example:Facts:hired lt "2011-05-13T04:42:34Z""#,
        "scim_values_by_value (org_id=? AND kind=? AND attribute=? AND value<?)",
    ),
    (r#"groups.value eq "a""#, "group_members_by_group (org_id=? AND group_id=?)"),
    (r#"groups[display eq "a"]"#, "groups_by_display_name (org_id=? AND display_name_key=?)"),
    ("active eq false", "users_suspended (org_id=?)"),
    ("active ne true", "users_suspended (org_id=?)"),
    (r#"meta.lastModified gt "2011-05-13T04:42:34Z""#, "users_by_update (org_id=? AND updated_at>?)"),
    (
        r#"meta.created eq "2011-05-13T04:42:34Z""#,
        "users_by_creation (org_id=? AND created_at>? AND created_at<?)",
    ),
    (
        r#"active eq true and title co "a" and not (nickName pr) and userName eq "a""#,
        "users_by_username (org_id=? AND username_key=?)",
    ),
    (
        r#"userName eq "a" or (emails.value eq "b" and active eq true)"#,
        "scim_values_by_value (org_id=? AND kind=? AND attribute=? AND value=?)",
    ),
];

const INDEXED_GROUPS: &[(&str, &str)] = &[
    (r#"id eq "a" and members eq "b""#, "PRIMARY KEY (org_id=? AND group_id=?)"),
    (r#"displayName eq "a""#, "groups_by_display_name (org_id=? AND display_name_key=?)"),
    (r#"externalId eq "a""#, "groups_by_external_id (org_id=? AND external_id=?)"),
    (r#"members.value eq "a""#, "PRIMARY KEY (org_id=? AND user_id=?)"),
    (r#"members[value eq "a"] and displayName co "b""#, "PRIMARY KEY (org_id=? AND user_id=?)"),
    (
        r#"urn:example:Team:color eq "a""#,
        "scim_values_by_value (org_id=? AND kind=? AND attribute=? AND value=?)",
    ),
];

/// Whoever reads a table or index from end to end says so.
fn is_scan(step: &str) -> bool {
    step.starts_with("SCAN")
        && !step.contains("json_each")
        && !step.contains("subquery")
        && step != "SCAN CONSTANT ROW"
}

#[tokio::test]
async fn indexed_filters_read_what_the_index_gives() {
    let database = Database::new();
    for (kind, filters) in [(ResourceKind::User, INDEXED_USERS), (ResourceKind::Group, INDEXED_GROUPS)] {
        for (text, index) in filters {
            let compiled = compiled(kind, text);
            assert!(compiled.is_indexed, "{text}");
            let plan = database.plan(kind, &compiled).await;
            assert!(plan.iter().any(|step| step.ends_with(index)), "{text}: {plan:#?}");
            assert!(!plan.iter().any(|step| is_scan(step)), "{text}: {plan:#?}");
        }
    }
}

/// What a resource has is looked up by the resource.
#[tokio::test]
async fn conditions_look_up_the_resource() {
    let database = Database::new();
    for (kind, filters) in [(ResourceKind::User, INDEXED_USERS), (ResourceKind::Group, INDEXED_GROUPS)] {
        for (text, _) in filters {
            let mut compiled = compiled(kind, text);
            compiled.candidates = "SELECT 'usr_1' AS id".to_owned();
            let plan = database.plan(kind, &compiled).await;
            let looked_up = |step: &str| !step.contains("scim_values") && !is_scan(step);
            let by_resource = |step: &str| {
                let is_value = step.starts_with("SEARCH part ") || step.starts_with("SEARCH element ");
                !is_value || step.contains("PRIMARY KEY (org_id=? AND kind=? AND id=?")
            };
            assert!(plan.iter().all(|step| looked_up(step) && by_resource(step)), "{text}: {plan:#?}");
        }
    }
}

#[test]
fn other_filters_ask_everybody() {
    for text in [
        r#"userName co "a""#,
        "userName pr",
        r#"userName sw """#,
        "id pr",
        "active eq true",
        "active ne false",
        "active pr",
        r#"not (title eq "a")"#,
        r#"title ne "a""#,
        r#"title eq null"#,
        r#"userName eq "a" or userName co "b""#,
        r#"emails[not (type eq "work")]"#,
        "groups pr",
        r#"schemas eq "urn:ietf:params:scim:schemas:core:2.0:User""#,
    ] {
        assert!(!compiled(ResourceKind::User, text).is_indexed, "{text}");
    }
    assert!(compiled(ResourceKind::User, &format!("schemas eq \"{ENTERPRISE}\"")).is_indexed);
}

/// What a statement has in parentheses: how deep, and of how many terms a union within is.
fn shape(sql: &str) -> (usize, usize) {
    let (mut deepest, mut most) = (0, 0);
    let mut terms = vec![1];
    for (at, character) in sql.char_indices() {
        match character {
            '(' => terms.push(1),
            ')' => drop(terms.pop()),
            'U' if sql[at..].starts_with("UNION ALL") => *terms.last_mut().unwrap() += 1,
            _ => {}
        }
        deepest = deepest.max(terms.len());
        most = most.max(*terms.last().unwrap());
    }
    (deepest, most)
}

/// D1 takes expressions of 100 levels, unions of 5 terms and statements of 100 kB.
#[tokio::test]
async fn the_largest_filters_fit_every_host() {
    let database = Database::new();
    let nest = |open: &str| {
        format!(
            "{}emails[type eq \"work\"]{}",
            open.repeat(MAX_FILTER_DEPTH - 1),
            ")".repeat(MAX_FILTER_DEPTH - 1)
        )
    };
    for text in [
        vec![r#"emails[type eq "a"]"#; MAX_FILTER_COMPARISONS].join(" or "),
        vec!["not (externalId eq \"a\")"; MAX_FILTER_COMPARISONS].join(" and "),
        vec![r#"groups.display eq "a""#; MAX_FILTER_COMPARISONS].join(" or "),
        nest("not (title pr and "),
        nest("not (title pr or active eq true and "),
        nest("not (emails[type ne \"work\" and value pr] and "),
    ] {
        let compiled = compiled(ResourceKind::User, &text);
        database.plan(ResourceKind::User, &compiled).await;
        for sql in [&compiled.candidates, &compiled.condition] {
            let (depth, terms) = shape(sql);
            assert!(depth < 80 && terms <= 4 && sql.len() < 45_000, "{depth} {terms} {}: {text}", sql.len());
        }
    }
}

/// In an organization of thousands, what SQLite knows of the tables changes nothing.
#[tokio::test]
async fn statistics_change_no_plan() {
    let database = Database::new();
    database.apply(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO users \
         (org_id, user_id, username, username_key, display_name, external_id, status, managed_by, \
         created_at, updated_at) SELECT 'org', 'usr_' || i, 'u' || i, 'u' || i, 'U' || i, 'x' || i, \
         'active', 'scim', i, i FROM n; ANALYZE;",
    );
    for (text, index) in INDEXED_USERS {
        let plan = database.plan(ResourceKind::User, &compiled(ResourceKind::User, text)).await;
        assert!(plan.iter().any(|step| step.ends_with(index)), "{text}: {plan:#?}");
        assert!(!plan.iter().any(|step| is_scan(step)), "{text}: {plan:#?}");
    }
}
