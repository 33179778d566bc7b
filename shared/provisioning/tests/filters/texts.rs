//! Filters at random, as text.

use iam_provisioning::schema::{ENTERPRISE_URN, ResourceKind, USER_URN};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

use super::world::{FACTS, TEAM};

/// Texts that differ in what SQL, JSON or the folding of letters could get wrong.
pub(crate) const TEXTS: &[&str] = &[
    "",
    "a",
    "A",
    "ab",
    "aB",
    "b",
    "Ba",
    "äb",
    "Äb",
    "\u{1f600}",
    "\u{1f600}x",
    "a\"b",
    "a'b",
    "a\\b",
    "a%",
    "a_b",
    "?2",
    "a b",
    " a",
    "a ",
    "\u{d7ff}",
    "\u{e000}",
    "\u{10ffff}",
    "a\u{10ffff}",
    "a\u{10ffff}b",
    "\u{1}",
    "\n",
    "true",
    "7",
    "İ",
    "ß",
    "Σ",
    "$[0]",
];

/// Around whole seconds, for what `meta` shows.
pub(crate) const MOMENTS: &[i64] =
    &[0, 999, 1000, 1001, 1999, 2000, 1_305_261_754_000, 1_305_261_754_520, -1];

pub(crate) fn text() -> impl Strategy<Value = String> {
    select(TEXTS).prop_map(str::to_owned)
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Opaque,
    Truth,
    Number,
    Moment,
    /// No comparison.
    Whole,
}

type Path = (String, Kind);

fn paths(kind: ResourceKind) -> Vec<Path> {
    let own = match kind {
        ResourceKind::User => USER_PATHS,
        ResourceKind::Group => GROUP_PATHS,
    };
    let common = [
        ("id", Kind::Text),
        ("externalId", Kind::Text),
        ("meta.created", Kind::Moment),
        ("meta.lastModified", Kind::Moment),
        ("meta.resourceType", Kind::Text),
        ("schemas", Kind::Text),
        ("meta", Kind::Whole),
    ];
    own.iter()
        .chain(&common)
        .map(|(path, of)| {
            (
                path.replace("@facts", FACTS)
                    .replace("@team", TEAM)
                    .replace("@enterprise", ENTERPRISE_URN)
                    .replace("@core", USER_URN),
                *of,
            )
        })
        .collect()
}

const USER_PATHS: &[(&str, Kind)] = &[
    ("userName", Kind::Text),
    ("@core:userName", Kind::Text),
    ("displayName", Kind::Text),
    ("title", Kind::Text),
    ("profileUrl", Kind::Text),
    ("active", Kind::Truth),
    ("name", Kind::Whole),
    ("name.familyName", Kind::Text),
    ("emails", Kind::Text),
    ("emails.value", Kind::Text),
    ("emails.type", Kind::Text),
    ("emails.primary", Kind::Truth),
    ("addresses", Kind::Whole),
    ("addresses.locality", Kind::Text),
    ("groups", Kind::Text),
    ("groups.value", Kind::Text),
    ("groups.display", Kind::Text),
    ("groups.type", Kind::Text),
    ("x509Certificates", Kind::Opaque),
    ("@enterprise", Kind::Whole),
    ("@enterprise:department", Kind::Text),
    ("@enterprise:manager", Kind::Text),
    ("@enterprise.manager.value", Kind::Text),
    ("@facts", Kind::Whole),
    ("@facts:level", Kind::Number),
    ("@facts:score", Kind::Number),
    ("@facts:hired", Kind::Moment),
    ("@facts:remote", Kind::Truth),
    ("@facts:code", Kind::Text),
    ("@facts:tags", Kind::Text),
    ("@facts:badge", Kind::Whole),
    ("@facts:badge.number", Kind::Text),
    ("@facts:badge.issued", Kind::Moment),
    ("@facts:phones", Kind::Text),
    ("@facts:phones.count", Kind::Number),
];

const GROUP_PATHS: &[(&str, Kind)] = &[
    ("displayName", Kind::Text),
    ("members", Kind::Text),
    ("members.value", Kind::Text),
    ("members.display", Kind::Text),
    ("members.type", Kind::Text),
    ("@team", Kind::Whole),
    ("@team:color", Kind::Text),
    ("@team:sites", Kind::Text),
];

/// An attribute that takes brackets, and what may be in them.
type Parts = (&'static str, &'static [(&'static str, Kind)]);

const USER_PARTS: &[Parts] = &[
    (
        "emails",
        &[("value", Kind::Text), ("type", Kind::Text), ("primary", Kind::Truth), ("display", Kind::Text)],
    ),
    ("addresses", &[("locality", Kind::Text), ("type", Kind::Text)]),
    ("groups", &[("value", Kind::Text), ("display", Kind::Text), ("type", Kind::Text)]),
    ("name", &[("familyName", Kind::Text), ("givenName", Kind::Text)]),
    ("meta", &[("created", Kind::Moment), ("resourceType", Kind::Text)]),
    ("@facts:tags", &[("value", Kind::Text)]),
    ("@facts:badge", &[("number", Kind::Text), ("issued", Kind::Moment)]),
    ("@facts:phones", &[("value", Kind::Text), ("type", Kind::Text), ("count", Kind::Number)]),
];

const GROUP_PARTS: &[Parts] = &[
    ("members", &[("value", Kind::Text), ("display", Kind::Text), ("type", Kind::Text)]),
    ("@team:sites", &[("value", Kind::Text)]),
];

/// A value in a filter: from the texts, or what a resource is likely to have.
fn literal(kind: Kind) -> BoxedStrategy<String> {
    let known = vec![
        "usr_0",
        "usr_1",
        "USR_2",
        "grp_0",
        "grp_1",
        "User",
        "Group",
        "direct",
        "work",
        "Work",
        "home",
        "a0",
        "ab1",
        ENTERPRISE_URN,
        USER_URN,
        "urn:",
    ];
    match kind {
        Kind::Text => prop_oneof![4 => text(), 3 => select(known).prop_map(str::to_owned)]
            .prop_flat_map(|text| select(vec![json!(text).to_string(), escaped(&text)]))
            .boxed(),
        Kind::Opaque | Kind::Whole => text().prop_map(|text| json!(text).to_string()).boxed(),
        Kind::Truth => select(vec!["true", "false", "True", "\"False\""]).prop_map(str::to_owned).boxed(),
        Kind::Number => select(vec!["0", "-3", "7", "7.0", "70e-1", "10", "9007199254740991"])
            .prop_map(str::to_owned)
            .boxed(),
        Kind::Moment => (select(MOMENTS), select(vec!["Z", "+00:00"]))
            .prop_map(|(moment, zone)| {
                let text = iam_core::time::rfc3339::format(moment);
                json!(text.replace('Z', zone)).to_string()
            })
            .boxed(),
    }
}

/// Every character escaped.
fn escaped(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{units}\"")
}

/// What follows a path.
fn predicate(kind: Kind) -> BoxedStrategy<String> {
    let operators = match kind {
        Kind::Text => vec!["eq", "EQ", "ne", "co", "sw", "Ew", "gt", "ge", "lt", "le"],
        Kind::Opaque | Kind::Truth => vec!["eq", "ne"],
        Kind::Number | Kind::Moment => vec!["eq", "ne", "gt", "ge", "lt", "le"],
        Kind::Whole => return Just("pr".to_owned()).boxed(),
    };
    let compare =
        (select(operators), literal(kind)).prop_map(|(operator, literal)| format!("{operator} {literal}"));
    let other = select(vec!["pr", "Pr", "eq null", "ne null"]).prop_map(str::to_owned);
    prop_oneof![6 => compare, 1 => other].boxed()
}

fn test(paths: Vec<Path>) -> BoxedStrategy<String> {
    let said = |(path, kind): Path| predicate(kind).prop_map(move |predicate| format!("{path} {predicate}"));
    select(paths).prop_flat_map(said).boxed()
}

fn combined(leaf: BoxedStrategy<String>, depth: u32, size: u32) -> BoxedStrategy<String> {
    leaf.prop_recursive(depth, size, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(|all| format!("({})", all.join(" and "))),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(|any| format!("({})", any.join(" OR "))),
            inner.clone().prop_map(|it| format!("not ({it})")),
            (inner.clone(), inner).prop_map(|(one, other)| format!("({one} or {other} and {one})")),
        ]
    })
    .boxed()
}

fn brackets(kind: ResourceKind) -> BoxedStrategy<String> {
    let of = if kind == ResourceKind::User { USER_PARTS } else { GROUP_PARTS };
    let within = |(path, parts): Parts| {
        let path = path.replace("@facts", FACTS).replace("@team", TEAM);
        let parts: Vec<Path> = parts.iter().map(|(part, kind)| ((*part).to_owned(), *kind)).collect();
        let sub_attribute = test(parts.clone()).prop_map(|test| format!(".{test}"));
        let then = prop_oneof![2 => Just(String::new()), 1 => sub_attribute];
        (combined(test(parts), 2, 6), then).prop_map(move |(filter, then)| format!("{path}[{filter}]{then}"))
    };
    select(of).prop_flat_map(within).boxed()
}

/// Filters over a kind of resources.
pub(crate) fn filter(kind: ResourceKind) -> BoxedStrategy<String> {
    combined(prop_oneof![3 => test(paths(kind)), 1 => brackets(kind)].boxed(), 3, 12)
}

/// A value that a resource has.
pub(crate) fn value() -> impl Strategy<Value = Json> {
    text().prop_map(Json::String)
}
