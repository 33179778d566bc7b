//! Users and groups in a database, and the JSON that SCIM would answer for each.

use iam_core::directory::account::username_key;
use iam_core::directory::group::display_name_key;
use iam_core::sql::{Rows, Statement};
use iam_core::time::Timestamp;
use iam_edge::native::TestHost;
use iam_provisioning::filter::sql::Compiled;
use iam_provisioning::schema::{
    Attribute, Extension, Kind, Mutability, Registry, ResourceKind, Returned, Schema,
};
use serde_json::{Map, Value as Json, json};

const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kv-schema/migrations");

const fn attribute(name: &'static str, kind: Kind) -> Attribute {
    Attribute {
        name,
        description: "",
        kind,
        is_multi_valued: false,
        mutability: Mutability::ReadWrite,
        returned: Returned::Default,
        is_required: false,
        is_case_exact: false,
        is_unique: false,
        canonical_values: &[],
        reference_types: &[],
    }
}

const fn list(name: &'static str, kind: Kind) -> Attribute {
    Attribute { is_multi_valued: true, ..attribute(name, kind) }
}

pub(crate) const FACTS: &str = "urn:example:Facts";
pub(crate) const TEAM: &str = "urn:example:Team";

const BADGE: &[Attribute] = &[attribute("number", Kind::Text), attribute("issued", Kind::DateTime)];
const PHONE: &[Attribute] =
    &[attribute("value", Kind::Text), attribute("type", Kind::Text), attribute("count", Kind::Integer)];
const FACT: &[Attribute] = &[
    attribute("level", Kind::Integer),
    attribute("score", Kind::Decimal),
    attribute("hired", Kind::DateTime),
    attribute("remote", Kind::Boolean),
    Attribute { is_case_exact: true, ..attribute("code", Kind::Text) },
    list("tags", Kind::Text),
    attribute("badge", Kind::Complex(BADGE)),
    list("phones", Kind::Complex(PHONE)),
];
static FACTS_SCHEMA: Schema = Schema { id: FACTS, name: "Facts", description: "", attributes: FACT };
static FACTS_ATTRIBUTE: Attribute = attribute(FACTS, Kind::Complex(FACT));

const TEAM_FACT: &[Attribute] = &[attribute("color", Kind::Text), list("sites", Kind::Text)];
static TEAM_SCHEMA: Schema = Schema { id: TEAM, name: "Team", description: "", attributes: TEAM_FACT };
static TEAM_ATTRIBUTE: Attribute = attribute(TEAM, Kind::Complex(TEAM_FACT));

/// The standard schemas and an extension for either kind of resource.
pub(crate) fn registry() -> Registry {
    let extension = |kind, schema, attribute| Extension { kind, schema, attribute, is_required: false };
    Registry::new(vec![
        extension(ResourceKind::User, &FACTS_SCHEMA, &FACTS_ATTRIBUTE),
        extension(ResourceKind::Group, &TEAM_SCHEMA, &TEAM_ATTRIBUTE),
    ])
}

#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) attributes: Map<String, Json>,
    pub(crate) status: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) is_deleted: bool,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Team {
    pub(crate) name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) attributes: Map<String, Json>,
    pub(crate) members: Vec<usize>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) members_changed_at: i64,
}

/// Everything of one organization. Person 3 has the id `usr_3`, group 3 `grp_3`.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) people: Vec<Person>,
    pub(crate) teams: Vec<Team>,
}

pub(crate) fn moment(milliseconds: i64) -> String {
    Timestamp::from_millis(milliseconds).to_string()
}

impl World {
    /// The resources that SCIM shows.
    pub(crate) fn resources(&self, kind: ResourceKind) -> Vec<Json> {
        match kind {
            ResourceKind::User => {
                let shown = |(_, person): &(usize, &Person)| !person.is_deleted && person.kind == "person";
                self.people
                    .iter()
                    .enumerate()
                    .filter(shown)
                    .map(|(place, person)| self.user(place, person))
                    .collect()
            }
            ResourceKind::Group => {
                self.teams.iter().enumerate().map(|(place, team)| self.group(place, team)).collect()
            }
        }
    }

    fn user(&self, place: usize, person: &Person) -> Json {
        let mut user = person.attributes.clone();
        let mut add = |name: &str, value: Json| user.insert(name.to_owned(), value);
        add("id", format!("usr_{place}").into());
        add("userName", person.name.clone().into());
        add("active", (person.status != "suspended").into());
        add("meta", meta("User", person.created_at, person.updated_at));
        let names = [("externalId", &person.external_id), ("displayName", &person.display_name)];
        for (name, value) in names {
            if let Some(value) = value {
                add(name, value.clone().into());
            }
        }
        let of = self.teams.iter().enumerate().filter(|(_, team)| team.members.contains(&place));
        let groups = of
            .map(|(at, team)| json!({"value": format!("grp_{at}"), "display": team.name, "type": "direct"}));
        let groups: Vec<Json> = groups.collect();
        if !groups.is_empty() {
            add("groups", groups.into());
        }
        if let (Some(email), false) = (&person.email, user.contains_key("emails")) {
            user.insert("emails".to_owned(), json!([{"value": email, "primary": true}]));
        }
        Json::Object(user)
    }

    fn group(&self, place: usize, team: &Team) -> Json {
        let mut group = team.attributes.clone();
        group.insert("id".to_owned(), format!("grp_{place}").into());
        group.insert("displayName".to_owned(), team.name.clone().into());
        let changed = team.updated_at.max(team.members_changed_at);
        group.insert("meta".to_owned(), meta("Group", team.created_at, changed));
        if let Some(external_id) = &team.external_id {
            group.insert("externalId".to_owned(), external_id.clone().into());
        }
        let members = team.members.iter().filter(|at| !self.people[**at].is_deleted).map(|at| {
            let mut member = json!({"value": format!("usr_{at}"), "type": "User"});
            if let Some(name) = &self.people[*at].display_name {
                member["display"] = name.clone().into();
            }
            member
        });
        let members: Vec<Json> = members.collect();
        if !members.is_empty() {
            group.insert("members".to_owned(), members.into());
        }
        Json::Object(group)
    }

    /// Writes everything.
    pub(crate) async fn write(&self, database: &Database, organization: &str) {
        let mut statements = Vec::new();
        for (place, person) in self.people.iter().enumerate() {
            statements.push(
                Statement::new(
                    "INSERT INTO users (org_id, user_id, username, username_key, external_id, email, \
                     display_name, attributes, status, kind, deleted_at, managed_by, created_at, updated_at) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'scim', ?12, ?13)",
                )
                .bind(organization)
                .bind(format!("usr_{place}"))
                .bind(person.name.as_str())
                .bind(username_key(&person.name))
                .bind(person.external_id.as_deref())
                .bind(person.email.as_deref())
                .bind(person.display_name.as_deref())
                .bind(Json::Object(person.attributes.clone()).to_string())
                .bind(person.status)
                .bind(person.kind)
                .bind(person.is_deleted.then_some(1))
                .bind(person.created_at)
                .bind(person.updated_at),
            );
        }
        for (place, team) in self.teams.iter().enumerate() {
            statements.extend(team.statements(place, organization));
        }
        database.host.request().db(organization).batch(statements).await.unwrap();
    }
}

impl Team {
    fn statements(&self, place: usize, organization: &str) -> Vec<Statement> {
        let id = format!("grp_{place}");
        let create = Statement::new(
            "INSERT INTO groups (org_id, group_id, display_name, display_name_key, external_id, attributes, \
             managed_by, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'scim', ?7, ?8)",
        )
        .bind(organization)
        .bind(id.as_str())
        .bind(self.name.as_str())
        .bind(display_name_key(&self.name))
        .bind(self.external_id.as_deref())
        .bind(Json::Object(self.attributes.clone()).to_string())
        .bind(self.created_at)
        .bind(self.updated_at);
        let members = self.members.iter().map(|at| {
            Statement::new("INSERT INTO group_members (org_id, user_id, group_id) VALUES (?1, ?2, ?3)")
                .bind(organization)
                .bind(format!("usr_{at}"))
                .bind(id.as_str())
        });
        let changed =
            Statement::new("UPDATE groups SET members_changed_at = ?3 WHERE org_id = ?1 AND group_id = ?2")
                .bind(organization)
                .bind(id.as_str())
                .bind(self.members_changed_at);
        std::iter::once(create).chain(members).chain([changed]).collect()
    }
}

fn meta(kind: &str, created: i64, changed: i64) -> Json {
    json!({"resourceType": kind, "created": moment(created), "lastModified": moment(changed)})
}

/// A database with the migrations.
pub(crate) struct Database {
    host: TestHost,
}

impl Database {
    pub(crate) fn new() -> Self {
        let host = TestHost::new_in_memory().unwrap();
        let mut migrations: Vec<_> =
            std::fs::read_dir(MIGRATIONS).unwrap().map(|entry| entry.unwrap().path()).collect();
        migrations.sort();
        for migration in migrations {
            host.apply(&std::fs::read_to_string(migration).unwrap()).unwrap();
        }
        Self { host }
    }

    pub(crate) fn apply(&self, sql: &str) {
        self.host.apply(sql).unwrap();
    }

    async fn run(&self, sql: String, organization: &str, compiled: &Compiled) -> Rows {
        let statement = Statement::new(sql).bind(organization).bind(compiled.arguments.to_string());
        let rows = self.host.request().db(organization).run(statement.clone()).await;
        rows.unwrap_or_else(|error| panic!("{error}: {}", statement.text()))
    }

    /// The ids that a filter holds of: by its condition over everybody, and over its candidates alone.
    pub(crate) async fn ids(
        &self,
        kind: ResourceKind,
        organization: &str,
        compiled: &Compiled,
    ) -> [Vec<String>; 2] {
        let everybody = select(kind, compiled, "");
        let id = if kind == ResourceKind::User { "users.user_id" } else { "groups.group_id" };
        let candidates = select(kind, compiled, &format!(" AND {id} IN ({})", compiled.candidates));
        let mut found = [everybody, candidates].map(|sql| self.run(sql, organization, compiled)).into_iter();
        let ids = |rows: Rows| rows.iter().map(|row| row.text("id").unwrap().to_owned()).collect();
        [ids(found.next().unwrap().await), ids(found.next().unwrap().await)]
    }

    /// How SQLite finds the candidates and decides on them, a line a step.
    pub(crate) async fn plan(&self, kind: ResourceKind, compiled: &Compiled) -> Vec<String> {
        let id = if kind == ResourceKind::User { "users.user_id" } else { "groups.group_id" };
        let sql = select(kind, compiled, &format!(" AND {id} IN ({})", compiled.candidates));
        let rows = self.run(format!("EXPLAIN QUERY PLAN {sql}"), "org", compiled).await;
        rows.iter().map(|row| row.text("detail").unwrap().to_owned()).collect()
    }
}

fn select(kind: ResourceKind, compiled: &Compiled, and: &str) -> String {
    let condition = &compiled.condition;
    match kind {
        ResourceKind::User => format!(
            "SELECT users.user_id AS id FROM users WHERE users.org_id = ?1 AND users.deleted_at IS NULL AND \
             users.kind = 'person' AND {condition} = 1{and} ORDER BY users.user_id"
        ),
        ResourceKind::Group => format!(
            "SELECT groups.group_id AS id FROM groups WHERE groups.org_id = ?1 AND {condition} = 1{and} \
             ORDER BY groups.group_id"
        ),
    }
}
