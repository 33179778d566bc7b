//! What is read, what it means, and what is refused.

use iam_provisioning::ScimErrorKind;
use iam_provisioning::filter::evaluate::{matches, value_matches};
use iam_provisioning::filter::parse::{parse, parse_value_filter};
use iam_provisioning::filter::{
    Filter, MAX_FILTER_BYTES, MAX_FILTER_COMPARISONS, MAX_FILTER_DEPTH, Operator, sql,
};
use iam_provisioning::schema::{Attribute, Registry, ResourceKind};
use serde_json::{Value as Json, json};

use super::world::registry;

fn user(text: &str) -> Result<Filter, String> {
    let registry = registry();
    let filter = parse(registry.of(ResourceKind::User), text);
    filter.map_err(|error| {
        assert_eq!(error.kind, ScimErrorKind::InvalidFilter, "{text}");
        error.detail
    })
}

fn holds(text: &str, resource: &Json) -> bool {
    matches(&user(text).unwrap_or_else(|error| panic!("{text}: {error}")), resource)
}

fn top_level(kind: ResourceKind, name: &str) -> &'static Attribute {
    let registry = Registry::default();
    registry.of(kind).attribute(name).unwrap().attribute
}

fn ada() -> Json {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": "usr_1", "externalId": "X7", "userName": "Ada@Example.com", "displayName": "Ada Lovelace",
        "name": {"familyName": "Lovelace", "givenName": "Ada"}, "nickName": "", "active": true,
        "emails": [
            {"value": "ada@example.com", "type": "work", "primary": true},
            {"value": "ada@home.example", "type": "home"},
        ],
        "meta": {"resourceType": "User", "created": "2011-05-13T04:42:34Z",
        "lastModified": "2020-01-01T00:00:00Z"},
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
            {"department": "Engines", "manager": {"value": "26118915"}},
        "urn:example:Facts": {"level": 7, "score": 1.5, "hired": "2011-05-13T04:42:34.000Z", "tags": ["Red",
        "blue"]},
    })
}

/// RFC 7644 figure 2, and what identity providers send.
#[test]
fn true_filters_are_true() {
    for text in [
        r#"userName eq "ada@EXAMPLE.com""#,
        r#"name.familyName co "LACE""#,
        r#"userName sw "A""#,
        r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "a""#,
        "displayName pr",
        r#"meta.lastModified gt "2011-05-13T04:42:34Z""#,
        r#"meta.lastModified ge "2020-01-01T01:00:00+01:00""#,
        r#"meta.created lt "2011-05-13T04:42:34.5Z""#,
        r#"meta.created le "2011-05-13T04:42:34Z""#,
        r#"displayName pr and externalId eq "X7""#,
        r#"title pr or active eq true"#,
        r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#,
        r#"schemas eq "urn:ietf:params:scim:schemas:core:2.0:User" and schemas pr"#,
        r#"displayName sw "ada" and (emails co "example.com" or emails.value co "example.org")"#,
        r#"displayName ne "Bob" and not (emails co "example.net" or emails.value co "example.org")"#,
        r#"emails.type eq "work""#,
        r#"emails[type eq "work" and value co "@example.com"]"#,
        concat!(
            r#"emails[type eq "work" and value co "@example.com"] or "#,
            r#"ims[type eq "xmpp" and value co "@foo.com"]"#
        ),
        r#"emails[type eq "work"].value eq "ADA@example.com""#,
        r#"emails[not (type eq "work")].value ew "home.example""#,
        r#"emails[primary eq "True"] and active eq "True" and active eq TRUE"#,
        r#"ACTIVE EQ true AND NOT (TITLE PR)"#,
        r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "engines""#,
        r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "26118915""#,
        r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager.value sw "26""#,
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User pr",
        r#"name[givenName eq "ada" and familyName pr]"#,
        r#"title eq null and nickName eq null and externalId ne null"#,
        r#"title ne "x""#,
        r#"nickName eq "" and nickName co "" and not (nickName pr)"#,
        r#"meta.resourceType eq "User" and not (meta.resourceType ne "User")"#,
        "urn:example:Facts:level ge 7 and urn:example:Facts:level lt 7.0e1 and urn:example:Facts:score eq \
         1.50",
        r#"urn:example:Facts:hired eq "2011-05-13T06:42:34+02:00""#,
        r#"urn:example:Facts:tags eq "RED" and urn:example:Facts:tags[value sw "b"]"#,
        "\tactive\n eq  true  ",
        "((active eq true))",
        "not(title pr)and(active eq true)",
        r#"displayName eq "\u0041da \u004covelace""#,
    ] {
        assert!(holds(text, &ada()), "{text}");
    }
}

#[test]
fn false_filters_are_false() {
    for text in [
        r#"externalId eq "x7""#,
        r#"id eq "USR_1""#,
        r#"title co """#,
        "nickName pr",
        r#"emails[type eq "home" and value co "@example.com"]"#,
        r#"emails[type eq "home"].primary pr"#,
        r#"emails ne "ada@example.com""#,
        r#"meta.created gt "2011-05-13T04:42:34Z""#,
        r#"meta.resourceType eq "Group""#,
        r#"schemas eq "urn:example:nothing" or meta.resourceType eq "user""#,
        r#"name[not (givenName eq "Ada")]"#,
        "roles[not (value pr)] or addresses pr",
        r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value eq "26""#,
        "active eq null",
    ] {
        assert!(!holds(text, &ada()), "{text}");
    }
}

#[test]
fn not_binds_tighter_than_and_and_that_than_or() {
    let spelled = |text: &str| user(text).unwrap();
    assert_eq!(
        spelled("title pr or active eq true and nickName pr"),
        spelled("title pr or (active eq true and nickName pr)")
    );
    assert_eq!(
        spelled("title pr and active eq true or nickName pr"),
        spelled("(title pr and active eq true) or nickName pr")
    );
    assert_eq!(
        spelled("not (title pr) and nickName pr or active eq true"),
        spelled("((not (title pr)) and nickName pr) or active eq true")
    );
    let Filter::And(three) = spelled("title pr and (nickName pr and active eq true)") else { panic!() };
    assert_eq!(three.len(), 3);
}

#[test]
fn moments_are_milliseconds() {
    let Filter::Compare(_, comparison) = user(r#"meta.created ge "1970-01-01T01:00:01.5+01:00""#).unwrap()
    else {
        panic!()
    };
    assert_eq!((comparison.operator, comparison.value), (Operator::Ge, json!(1500)));
}

#[test]
fn what_is_no_filter_is_refused() {
    for text in [
        "",
        " ",
        "title",
        "title ",
        "title eq",
        "title eq ",
        "title is \"a\"",
        "title eq a",
        "title eq 'a'",
        "title eq \"a",
        "title eq \"a\\\"",
        "title eq \"a\"\"",
        "title eq \"a\"b",
        "title eq \"\\x\"",
        "title eq \"\\ud800\"",
        "title eq \"\\u0000\"",
        "title pr and",
        "and title pr",
        "title pr title pr",
        "title pr & title pr",
        "(title pr",
        "title pr)",
        "()",
        "not title pr",
        "not ()",
        "not",
        "emails[]",
        "emails[type eq \"a\"",
        "emails[type eq \"a\"]x",
        "emails[type eq \"a\"].",
        "emails[type eq \"a\"].value",
        "emails[type eq \"a\"] eq \"b\"",
        "emails[emails[type pr]]",
        "emails[(type pr]",
        "emails(type pr)",
        "title[value pr]",
        "schemas[value pr]",
        "emails.type[value pr]",
        "name[emails[type pr]]",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User[department pr]",
        "title eq \"a\";DROP TABLE users",
        "title eq \"a\" -- ",
        "title pr or 1=1",
        "titl\u{e9} pr",
        "title\0 pr",
        "title pr\0",
        "title\u{a0}pr",
        "title eq nul",
        "title eq 1.",
        "title eq +1",
        "title eq [1]",
        "title eq {}",
    ] {
        user(text).expect_err(text);
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    for (text, said) in [
        ("shoeSize eq 43", "shoeSize"),
        ("name.shoeSize pr", "name.shoeSize"),
        ("emails[shoeSize pr]", "shoeSize"),
        ("emails[type pr].shoeSize pr", "shoeSize"),
        ("password eq \"a\"", "`password` is sensitive"),
        ("not (PASSWORD pr)", "`password` is sensitive"),
        ("active gt true", "`active` cannot be compared by `gt`"),
        ("active co \"t\"", "`active` cannot be compared by `co`"),
        ("active eq \"yes\"", "`active` must be compared with true or false"),
        ("active eq 1", "true or false"),
        ("title eq true", "`title` must be compared with text"),
        ("title eq 1", "text"),
        ("title gt null", "null"),
        ("meta.created co \"2011\"", "`created` cannot be compared by `co`"),
        ("meta.created gt \"2011\"", "RFC 3339"),
        ("meta.created gt \"2011-05-13T04:42:34\"", "RFC 3339"),
        ("meta.created gt 2011", "a date and time"),
        ("meta.version eq \"1\"", "meta.version"),
        ("meta[version pr]", "meta.version"),
        ("groups.$ref pr", "groups.$ref"),
        ("groups[$ref sw \"h\"]", "groups.$ref"),
        ("name eq \"Ada\"", "`name` has parts"),
        ("addresses co \"a\"", "`addresses` has parts"),
        ("urn:example:Facts eq \"a\"", "has parts"),
        ("x509Certificates.value sw \"a\"", "`value` cannot be compared by `sw`"),
        ("x509Certificates gt \"a\"", "`value` cannot be compared by `gt`"),
        ("urn:example:Facts:level eq 1.5", "a whole number"),
        ("urn:example:Facts:level eq 1e16", "a whole number"),
        ("urn:example:Facts:level co \"1\"", "`level` cannot be compared by `co`"),
        ("members pr", "members"),
    ] {
        let error = user(text).expect_err(text);
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn bounds_hold() {
    let nested = |depth: usize| format!("{}title pr{}", "(".repeat(depth), ")".repeat(depth));
    user(&nested(MAX_FILTER_DEPTH)).unwrap();
    assert!(user(&nested(MAX_FILTER_DEPTH + 1)).unwrap_err().contains("levels deep"));
    user(&"(".repeat(MAX_FILTER_BYTES)).unwrap_err();
    user(&"not (".repeat(MAX_FILTER_BYTES / 5)).unwrap_err();
    user(&"[".repeat(MAX_FILTER_BYTES)).unwrap_err();
    let many = |comparisons: usize| vec!["title pr"; comparisons].join(" or ");
    user(&many(MAX_FILTER_COMPARISONS)).unwrap();
    assert!(user(&many(MAX_FILTER_COMPARISONS + 1)).unwrap_err().contains("comparisons"));
    let long = |length: usize| format!("title eq \"{}\"", "a".repeat(length));
    user(&long(MAX_FILTER_BYTES - 11)).unwrap();
    assert!(user(&long(MAX_FILTER_BYTES)).unwrap_err().contains("bytes long"));
}

#[test]
fn brackets_of_a_path_find_values() {
    let emails = top_level(ResourceKind::User, "emails");
    let work = parse_value_filter(emails, r#"type eq "WORK" and not (value ew ".org")"#).unwrap();
    assert!(value_matches(&work, &json!({"type": "work", "value": "a@example.com"})));
    assert!(!value_matches(&work, &json!({"type": "work", "value": "a@example.org"})));
    assert!(!value_matches(&work, &json!({"value": "a@example.com"})));
    let members = top_level(ResourceKind::Group, "members");
    let one = parse_value_filter(members, r#"value eq "usr_1""#).unwrap();
    assert!(
        value_matches(&one, &json!({"value": "usr_1"})) && !value_matches(&one, &json!({"value": "USR_1"}))
    );
    for text in
        ["", "type", "shoeSize pr", "emails.type pr", "emails[type pr]", "type eq 1", "type pr] or [type pr"]
    {
        assert_eq!(
            parse_value_filter(emails, text).unwrap_err().kind,
            ScimErrorKind::InvalidFilter,
            "{text}"
        );
    }
}

/// Two filters of one shape have one text, whatever their values are.
#[test]
fn the_text_of_the_sql_is_the_shapes() {
    let compiled = |text: &str| sql::compile(ResourceKind::User, &user(text).unwrap());
    let one = compiled(r#"title eq "a" or emails[type eq "work" and not (value sw "b")]"#);
    let other =
        compiled(r#"nickName eq "'); DROP TABLE users; --" or emails[value eq "\"" and not (type sw "?9")]"#);
    assert_eq!((one.candidates, one.condition), (other.candidates.clone(), other.condition.clone()));
    assert!(!other.condition.contains("drop") && other.arguments.to_string().contains("drop"));
}

proptest::proptest! {
    #[test]
    fn foreign_text_never_panics(text in ".{0,200}") {
        let _ = user(&text);
    }

    #[test]
    fn nearly_a_filter_never_panics(
        text in "((title|emails|not|and|or|pr|eq|co|\"a\"|true|\\(|\\)|\\[|\\]|\\.value|:|1) ?){0,24}",
    ) {
        if let Ok(filter) = user(&text) {
            let _ = sql::compile(ResourceKind::User, &filter);
        }
    }

    #[test]
    fn every_text_can_be_asked_for(text in "[^\0]{0,100}") {
        let resource = json!({"externalId": text});
        let filter = format!("externalId eq {}", json!(text));
        proptest::prop_assert!(holds(&filter, &resource), "{filter}");
    }
}
