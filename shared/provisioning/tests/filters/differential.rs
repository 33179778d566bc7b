//! Random filters over random users and groups: the SQL finds whom the evaluation in memory finds.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use iam_core::directory::account::username_key;
use iam_provisioning::filter::evaluate::matches;
use iam_provisioning::filter::parse::parse;
use iam_provisioning::filter::sql;
use iam_provisioning::schema::{ENTERPRISE_URN, ResourceKind};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value as Json, json};

use super::texts::{MOMENTS, TEXTS, filter, text, value};
use super::world::{Database, FACTS, Person, TEAM, Team, World, registry};

const PEOPLE: usize = 10;
const TEAMS: usize = 3;
const FILTERS: usize = 6;

/// A moment as attributes of extensions are kept.
fn kept_moment() -> impl Strategy<Value = Json> {
    let kept = vec![
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.999Z",
        "1970-01-01T00:00:01.000Z",
        "2011-05-13T04:42:34.520Z",
    ];
    select(kept).prop_map(Json::from)
}

/// An object of those members that have a value; absent where none has.
fn object(members: Vec<(&'static str, BoxedStrategy<Json>)>) -> BoxedStrategy<Option<Json>> {
    let each: Vec<_> = members
        .into_iter()
        .map(|(name, value)| of(value).prop_map(move |it| it.map(|it| (name, it))))
        .collect();
    each.prop_map(|members| {
        let members: Map<String, Json> =
            members.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect();
        (!members.is_empty()).then_some(Json::Object(members))
    })
    .boxed()
}

fn objects(members: fn() -> Vec<(&'static str, BoxedStrategy<Json>)>) -> BoxedStrategy<Json> {
    vec(object(members()), 1..4)
        .prop_map(|all| all.into_iter().flatten().collect::<Vec<_>>())
        .prop_filter("empty", |all| !all.is_empty())
        .prop_map(Json::Array)
        .boxed()
}

fn kind_of_value() -> BoxedStrategy<Json> {
    select(vec!["work", "Work", "home"]).prop_map(Json::from).boxed()
}

fn emails() -> BoxedStrategy<Json> {
    objects(|| {
        vec![
            ("value", value().boxed()),
            ("type", kind_of_value()),
            ("primary", any::<bool>().prop_map(Json::from).boxed()),
        ]
    })
}

fn facts() -> BoxedStrategy<Option<Json>> {
    object(vec![
        ("level", select(vec![0, -3, 7, 10, 9_007_199_254_740_991_i64]).prop_map(Json::from).boxed()),
        ("score", select(vec![0.0, -3.0, 7.0, 7.5, 1e20]).prop_map(Json::from).boxed()),
        ("hired", kept_moment().boxed()),
        ("remote", any::<bool>().prop_map(Json::from).boxed()),
        ("code", value().boxed()),
        ("tags", vec(value(), 1..3).prop_map(Json::from).boxed()),
        (
            "badge",
            object(vec![("number", value().boxed()), ("issued", kept_moment().boxed())])
                .prop_map(|it| it.unwrap_or(json!({"number": "7"})))
                .boxed(),
        ),
        (
            "phones",
            objects(|| {
                vec![
                    ("value", value().boxed()),
                    ("type", kind_of_value()),
                    ("count", select(vec![0, 7]).prop_map(Json::from).boxed()),
                ]
            }),
        ),
    ])
}

fn enterprise() -> BoxedStrategy<Option<Json>> {
    object(vec![
        ("department", value().boxed()),
        ("manager", value().prop_map(|value| json!({"value": value})).boxed()),
    ])
}

fn attributes() -> BoxedStrategy<Map<String, Json>> {
    let present = |value: BoxedStrategy<Option<Json>>| {
        value.prop_map(|it| it.unwrap_or(json!({"department": "a", "code": "a"}))).boxed()
    };
    let name = object(vec![("familyName", value().boxed()), ("givenName", value().boxed())]);
    object(vec![
        ("title", value().boxed()),
        ("profileUrl", value().boxed()),
        ("name", name.prop_map(|it| it.unwrap_or(json!({"familyName": "a"}))).boxed()),
        ("emails", emails()),
        ("addresses", objects(|| vec![("locality", value().boxed()), ("type", kind_of_value())])),
        ("x509Certificates", objects(|| vec![("value", value().boxed())])),
        (ENTERPRISE_URN, present(enterprise())),
        (FACTS, present(facts())),
    ])
    .prop_map(members)
    .boxed()
}

fn members(object: Option<Json>) -> Map<String, Json> {
    object.and_then(|object| object.as_object().cloned()).unwrap_or_default()
}

fn person() -> impl Strategy<Value = Person> {
    let kind = prop_oneof![9 => Just("person"), 1 => Just("service_account")];
    let names = (text(), of(text()), of(text()), of(text()));
    let state = (select(vec!["active", "suspended", "locked"]), kind, proptest::bool::weighted(0.1));
    (names, attributes(), state, select(MOMENTS), select(MOMENTS)).prop_map(
        |(
            (name, external_id, email, display_name),
            attributes,
            (status, kind, is_deleted),
            created_at,
            updated_at,
        )| Person {
            name,
            external_id,
            email,
            display_name,
            attributes,
            status,
            kind,
            is_deleted,
            created_at,
            updated_at,
        },
    )
}

fn team() -> impl Strategy<Value = Team> {
    let facts =
        object(vec![("color", value().boxed()), ("sites", vec(value(), 1..3).prop_map(Json::from).boxed())]);
    let attributes = facts.prop_map(|facts| members(facts.map(|facts| json!({TEAM: facts}))));
    let moments = (select(MOMENTS), select(MOMENTS), select(MOMENTS));
    (text(), of(text()), attributes, subsequence((0..PEOPLE).collect::<Vec<_>>(), 0..4), moments).prop_map(
        |(name, external_id, attributes, members, (created_at, updated_at, members_changed_at))| Team {
            name,
            external_id,
            attributes,
            members,
            created_at,
            updated_at,
            members_changed_at,
        },
    )
}

/// Names are unique: those that are not are given a number.
fn world() -> impl Strategy<Value = World> {
    (vec(person(), PEOPLE), vec(team(), TEAMS)).prop_map(|(mut people, mut teams)| {
        let mut taken = BTreeSet::new();
        let people_names = people.iter_mut().map(|person| &mut person.name);
        for (place, name) in people_names.enumerate() {
            if name.trim().is_empty() || !taken.insert(username_key(name)) {
                name.push_str(&format!("-{place}"));
                taken.insert(username_key(name));
            }
        }
        taken.clear();
        for (place, team) in teams.iter_mut().enumerate() {
            if team.name.trim().is_empty() || !taken.insert(username_key(&team.name)) {
                team.name.push_str(&format!("-{place}"));
            }
        }
        World { people, teams }
    })
}

struct Bench {
    database: Database,
    runtime: tokio::runtime::Runtime,
    organizations: AtomicU32,
}

impl Bench {
    /// Holds the SQL of filters against the evaluation; gives how many of the answers were neither nobody nor
    /// everybody.
    fn check(&self, world: &World, kind: ResourceKind, filters: &[String]) -> Result<usize, TestCaseError> {
        let organization = format!("org_{}", self.organizations.fetch_add(1, Ordering::Relaxed));
        self.runtime.block_on(world.write(&self.database, &organization));
        let (registry, resources) = (registry(), world.resources(kind));
        let mut telling = 0;
        for text in filters {
            let filter = match parse(registry.of(kind), text) {
                Ok(filter) => filter,
                // Beyond a bound.
                Err(error) if error.detail.starts_with("a filter may") => continue,
                Err(error) => return Err(TestCaseError::fail(format!("{text}: {error}"))),
            };
            let mut expected: Vec<&str> = resources
                .iter()
                .filter(|resource| matches(&filter, resource))
                .filter_map(|resource| resource["id"].as_str())
                .collect();
            expected.sort_unstable();
            let compiled = sql::compile(kind, &filter);
            let [all, candidates] = self.runtime.block_on(self.database.ids(kind, &organization, &compiled));
            prop_assert_eq!(&all, &expected, "{}: {:?}\n{:#?}", text, compiled, resources);
            prop_assert_eq!(
                &candidates,
                &expected,
                "candidates of {}: {:?}\n{:#?}",
                text,
                compiled,
                resources
            );
            telling += usize::from(!expected.is_empty() && expected.len() < resources.len());
        }
        Ok(telling)
    }
}

/// As many cases as proptest is told to, each with a few filters over either kind.
fn run(kind: ResourceKind) {
    let bench = Bench {
        database: Database::new(),
        runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
        organizations: AtomicU32::new(0),
    };
    let telling = std::cell::Cell::new(0);
    let config =
        ProptestConfig { failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() };
    let cases = (world(), vec(filter(kind), FILTERS));
    let all = config.cases as usize * FILTERS;
    // Of random filters about a fifth tell resources apart. Where chance gave fewer, as many again are tried:
    // the test is to have asked that many which tell something.
    for _ in 0..2 {
        // A runner counts its cases once.
        let mut runner = proptest::test_runner::TestRunner::new(config.clone());
        let result = runner.run(&cases, |(world, filters)| {
            telling.set(telling.get() + bench.check(&world, kind, &filters)?);
            Ok(())
        });
        result.unwrap();
        if telling.get() * 5 > all {
            return;
        }
    }
    panic!("of {} filters only {} tell resources apart", 2 * all, telling.get());
}

#[test]
fn users_are_found_by_sql_as_in_memory() {
    run(ResourceKind::User);
}

#[test]
fn groups_are_found_by_sql_as_in_memory() {
    run(ResourceKind::Group);
}

#[test]
fn the_texts_differ() {
    assert_eq!(TEXTS.iter().collect::<BTreeSet<_>>().len(), TEXTS.len());
}
